//! Reports that consist of one whole model or one update, which layers around a method can look
//! into.

use super::{MethodError, Payload, Received};
use crate::model::{Buffer, ParamSet};
use crate::snapshot::snapshot_struct;
use std::collections::BTreeMap;

/// What a method's clients report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportKind {
    /// A model of full size, trained from the global one.
    Model,
    /// An update of full size.
    Update,
    /// Models or updates in another arrangement: of a part of the network, several of them, or
    /// together with other contents.
    Parts,
    /// Class scores of public samples.
    Scores,
    /// Contents that only the method understands.
    Other,
    /// Nothing, since no client is asked.
    Nothing,
}

impl ReportKind {
    /// Whether reports contain models or updates, in any arrangement.
    pub const fn is_parameters(self) -> bool {
        matches!(self, Self::Model | Self::Update | Self::Parts)
    }

    /// Whether a report is one model or one update of full size.
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::Model | Self::Update)
    }
}

/// Converts the reports of one round to updates, and updates to reports.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    /// The model that each client was sent this round; clients share one vector.
    sent: BTreeMap<u32, ParamSet>,
}

snapshot_struct!(Whole { sent });

impl Whole {
    /// Records the task that `client` is sent.
    pub fn note(&mut self, client: u32, task: &Payload) {
        if let Payload::Model(model) = task {
            self.sent.insert(client, model.clone());
        }
    }

    /// Forgets the round.
    pub fn clear(&mut self) {
        self.sent.clear();
    }

    fn base(&self, client: u32) -> Result<&ParamSet, MethodError> {
        let base = self.sent.get(&client);
        base.ok_or_else(|| MethodError::payload("a model that was asked for", &Payload::Nothing))
    }

    /// The update that a report stands for: an update as it is, or a model minus the model that its
    /// client was sent.
    ///
    /// # Errors
    /// When the report is neither a model nor an update, belongs to another network, or is not
    /// finite.
    pub fn update_of(&self, report: &Received) -> Result<ParamSet, MethodError> {
        self.update(report.client, &report.payload)
    }

    /// As [`Self::update_of`], for a report's payload.
    pub fn update(&self, client: u32, payload: &Payload) -> Result<ParamSet, MethodError> {
        let update = match payload {
            Payload::Model(model) => difference(model, self.base(client)?)?,
            Payload::Update(update) => update.clone(),
            other => return Err(MethodError::payload("a model or an update", other)),
        };
        if update.is_finite()? {
            return Ok(update);
        }
        Err(MethodError::Number {
            what: "each value of a report",
            expected: "finite",
            found: f64::NAN,
        })
    }

    /// The report of `client` that stands for `update`, of the given kind.
    ///
    /// # Errors
    /// When the number of values is not that of the network, or it is not known what the client was
    /// sent.
    pub fn report(
        &self,
        client: u32,
        update: &[f32],
        like: ReportKind,
    ) -> Result<Payload, MethodError> {
        let base = self.base(client)?;
        Ok(match like {
            ReportKind::Model => Payload::Model(moved(base, update)?),
            _ => Payload::Update(ParamSet::from_slice(base.layout(), update)?),
        })
    }
}

/// The difference `a − b`.
pub(crate) fn difference(a: &ParamSet, b: &ParamSet) -> Result<ParamSet, MethodError> {
    let mut update = Buffer::copy_of(a)?;
    update.sub(b)?;
    Ok(update.freeze())
}

/// The sum `base + update`.
pub(crate) fn moved(base: &ParamSet, update: &[f32]) -> Result<ParamSet, MethodError> {
    let update = ParamSet::from_slice(base.layout(), update)?;
    let mut model = Buffer::copy_of(base)?;
    model.add_scaled(1.0, &update)?;
    Ok(model.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{layout, set};

    fn received(payload: Payload) -> Received {
        Received {
            client: 4,
            round: 1,
            samples: 10,
            payload,
        }
    }

    #[test]
    fn a_model_is_an_update_of_what_its_client_was_sent_and_back() {
        let layout = layout();
        let base = set(&layout, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut whole = Whole::default();
        whole.note(4, &Payload::Model(base));
        let model = Payload::Model(set(&layout, &[2.0, 2.0, 2.0, 2.0, 2.0, 2.0]));
        let update = whole.update_of(&received(model.clone())).unwrap();
        let expected = [1.0, 0.0, -1.0, -2.0, -3.0, -4.0];
        assert_eq!(update.as_slice().unwrap(), expected);
        let back = whole.report(4, &expected, ReportKind::Model).unwrap();
        assert_eq!(back.digest(), model.digest());
        let back = whole.report(4, &expected, ReportKind::Update).unwrap();
        assert_eq!(back.as_update().unwrap().as_slice().unwrap(), expected);
        whole.clear();
        assert!(whole.update_of(&received(model)).is_err(), "nobody asked");
    }

    #[test]
    fn a_report_that_is_not_finite_or_not_whole_is_refused() {
        let layout = layout();
        let mut whole = Whole::default();
        whole.note(4, &Payload::Model(set(&layout, &[0.0; 6])));
        for bad in [f32::NAN, f32::INFINITY] {
            let model = set(&layout, &[0.0, bad, 0.0, 0.0, 0.0, 0.0]);
            let error = whole
                .update_of(&received(Payload::Model(model)))
                .unwrap_err();
            assert!(error.to_string().contains("finite"), "{error}");
        }
        assert!(whole.update_of(&received(Payload::Nothing)).is_err());
    }
}
