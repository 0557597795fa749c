//! A server half around one that averages models, for layers that nobody trains. The mean of equal
//! values may be rounded, but a frozen layer must not change by a bit.

use super::{MethodError, Payload, Phase, Received, ServerHalf, ServerJob};
use crate::model::{Buffer, ParamError, ParamSet};
use crate::snapshot::{Damaged, Reader, Writer};
use std::ops::Range;
use std::sync::Arc;

/// Puts the initial values of frozen layers back after every round.
pub(crate) struct Frozen {
    inner: Box<dyn ServerHalf>,
    start: ParamSet,
    /// The ranges of the frozen values in the flat vector.
    ranges: Arc<[Range<usize>]>,
}

impl Frozen {
    /// The server half `inner`, with the values of `start` put back at `ranges`; just `inner` if
    /// there are no ranges.
    pub fn around(
        inner: Box<dyn ServerHalf>,
        start: &ParamSet,
        ranges: &Arc<[Range<usize>]>,
    ) -> Box<dyn ServerHalf> {
        if ranges.is_empty() || inner.global().is_none() {
            return inner;
        }
        Box::new(Self {
            inner,
            start: start.clone(),
            ranges: Arc::clone(ranges),
        })
    }

    fn put_back(&mut self) -> Result<(), MethodError> {
        let Some(global) = self.inner.global() else {
            return Ok(());
        };
        if let Some(right) = with_frozen(global, &self.start, &self.ranges)? {
            self.inner.adopt(right)?;
        }
        Ok(())
    }
}

/// The parameters `set` with the values of `start` at `ranges`; `None` if they are there already,
/// bit for bit.
fn with_frozen(
    set: &ParamSet,
    start: &ParamSet,
    ranges: &[Range<usize>],
) -> Result<Option<ParamSet>, ParamError> {
    set.has_layout(start.layout())?;
    let (now, wanted) = (set.as_slice()?, start.as_slice()?);
    let same = |range: &Range<usize>| {
        let mut both = now[range.clone()].iter().zip(&wanted[range.clone()]);
        both.all(|(a, b)| a.to_bits() == b.to_bits())
    };
    if ranges.iter().all(same) {
        return Ok(None);
    }
    let mut buffer = Buffer::copy_of(set)?;
    let values = buffer.as_mut_slice()?;
    for range in ranges {
        values[range.clone()].copy_from_slice(&wanted[range.clone()]);
    }
    Ok(Some(buffer.freeze()))
}

impl ServerHalf for Frozen {
    fn inner(&self) -> Option<&dyn ServerHalf> {
        Some(&*self.inner)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        Some(&mut *self.inner)
    }

    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        self.inner.task(client, round)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        self.inner.receive(report)
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        let jobs = self.inner.step(phase, outputs)?;
        if jobs.is_empty() && matches!(phase, Phase::AfterRound(_) | Phase::Finish) {
            self.put_back()?;
        }
        Ok(jobs)
    }

    fn abandon(&mut self) {
        self.inner.abandon();
    }

    fn adopt(&mut self, global: ParamSet) -> Result<(), MethodError> {
        self.inner.adopt(global)?;
        self.put_back()
    }

    fn save(&self, to: &mut Writer) {
        self.inner.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.inner.restore(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{layout, set};

    #[test]
    fn frozen_values_are_put_back_and_a_model_that_has_them_is_left_as_it_is() {
        let layout = layout();
        let start = set(&layout, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let moved = set(&layout, &[1.5, 2.5, 3.5, 4.5, 5.5, 6.5]);
        let ranges = [1..3, 5..6];
        let right = with_frozen(&moved, &start, &ranges).unwrap().unwrap();
        assert_eq!(right.as_slice().unwrap(), [1.5, 2.0, 3.0, 4.5, 5.5, 6.0]);
        assert!(with_frozen(&right, &start, &ranges).unwrap().is_none());
        // Zeros of different signs are different bits.
        let minus = set(&layout, &[0.0, -0.0, 0.0, 0.0, 0.0, 0.0]);
        let plus = set(&layout, &[0.0; 6]);
        assert!(with_frozen(&minus, &plus, &ranges).unwrap().is_some());
    }
}
