//! Local differential privacy: every client adds noise to its own update, so nobody has to be
//! trusted.

use super::check;
use super::rdp::Accountant;
use crate::method::{MethodError, Payload, Received, ServerHalf, ServerLayer};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The Gaussian mechanism at every client (Dwork and Roth 2014, appendix A): the update is clipped
/// to the Euclidean norm `clip`, and each of its values gets noise of standard deviation `noise` ·
/// `clip`.
///
/// Any two updates of a client differ by at most twice the clip, so the noise multiplier of the
/// guarantee is `noise` / 2. Sampling does not amplify it, since the server knows which clients
/// report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalDp {
    /// The largest Euclidean norm of an update.
    pub clip: f64,
    /// The standard deviation of the noise on each value, divided by `clip`.
    pub noise: f64,
    /// The δ of the (ε, δ) that is reported.
    pub delta: f64,
}

impl Default for LocalDp {
    fn default() -> Self {
        Self {
            clip: 1.0,
            noise: 1.0,
            delta: 1e-5,
        }
    }
}

impl LocalDp {
    pub(super) fn check(&self) -> Vec<(&'static str, String)> {
        check(self.clip, self.noise, self.delta)
    }
}

/// The server's end of the layer. It passes every report on unchanged and counts how often each
/// client was asked for an update.
#[derive(Debug)]
pub struct Participations {
    counts: BTreeMap<u32, u32>,
    most: u32,
    /// The number of rounds that a restored server does not remember; any client may have been
    /// asked in them.
    lost: u32,
    accountant: Accountant,
}

impl Participations {
    /// The server's end before the first round.
    pub fn new(settings: &LocalDp) -> Self {
        Self {
            counts: BTreeMap::new(),
            most: 0,
            lost: 0,
            accountant: Accountant::new(1.0, settings.noise / 2.0, settings.delta),
        }
    }

    /// How often the client that was asked most often may have been asked.
    const fn asked_most(&self) -> u32 {
        self.most.saturating_add(self.lost)
    }
}

impl ServerLayer for Participations {
    fn asked(&mut self, client: u32) {
        let count = self.counts.entry(client).or_default();
        *count += 1;
        self.most = self.most.max(*count);
    }

    fn receive(
        &mut self,
        report: &Received,
        _: &Payload,
        inner: &mut dyn ServerHalf,
    ) -> Result<(), MethodError> {
        inner.receive(report)
    }

    fn save(&self, to: &mut Writer) {
        self.counts.save(to);
        self.most.save(to);
        self.lost.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.counts = Snapshot::load(from)?;
        self.most = Snapshot::load(from)?;
        self.lost = Snapshot::load(from)?;
        Ok(())
    }

    fn lost_rounds(&mut self, rounds: u32) {
        self.lost = self.lost.saturating_add(rounds);
    }

    fn receive_flops(&self) -> Flops {
        Flops(0)
    }

    /// The ε of the client that was asked most often.
    fn epsilon(&self) -> Option<f64> {
        Some(self.accountant.epsilon(self.asked_most()))
    }

    fn epsilon_pld(&self) -> Option<f64> {
        self.accountant
            .tightest(self.asked_most())
            .by_distribution()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::testing::Round;

    #[test]
    fn what_counts_is_the_client_that_was_asked_most_often() {
        let settings = LocalDp {
            noise: 4.0,
            ..LocalDp::default()
        };
        let mut layer = Participations::new(&settings);
        assert_eq!(layer.epsilon(), Some(0.0));
        for client in [1, 2, 1, 3, 1] {
            layer.asked(client);
        }
        // Three plain Gaussian mechanisms of multiplier 2 (half of 4).
        assert_eq!(
            layer.epsilon(),
            Some(Accountant::new(1.0, 2.0, 1e-5).epsilon(3))
        );
    }

    #[test]
    fn reports_pass_as_they_are() {
        let round = Round::new();
        let (moved, _) = round.close(Participations::new(&LocalDp::default()), &[1]);
        let (_, expected) = round.change(1);
        for (moved, expected) in moved.iter().zip(expected) {
            assert!((moved - expected).abs() < 1e-6);
        }
    }
}
