//! Central differential privacy: DP-FedAvg with fixed denominators (McMahan, Ramage, Talwar and
//! Zhang, "Learning Differentially Private Recurrent Language Models", ICLR 2018, algorithm 1).

use super::adaptive::Adaptive;
use super::clip::{add_noise, change_of, clip};
use super::rdp::Accountant;
use super::{check, NAME};
use crate::method::{Form, MethodError, Payload, Received, ServerHalf, ServerLayer, WeightedSum};
use crate::model::ParamSet;
use crate::quantity::{Distribution, Flops};
use crate::sim::rng::{stream, Purpose};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Each update is clipped to the Euclidean norm `clip`. The server adds Gaussian noise of standard
/// deviation `noise` · `clip` to each value of their sum, and divides the sum by the size of the
/// cohort that the scenario wants, however many clients report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CentralDp {
    /// The bound S: the largest Euclidean norm of an update.
    pub clip: f64,
    /// The multiplier z: the standard deviation of the noise on the sum, divided by S.
    pub noise: f64,
    /// The δ of the (ε, δ) that is reported.
    pub delta: f64,
    /// Lets the bound follow the norms of the updates; `clip` is then the bound of the first round.
    pub adaptive: Option<Adaptive>,
}

impl Default for CentralDp {
    fn default() -> Self {
        Self {
            clip: 1.0,
            noise: 1.0,
            delta: 1e-5,
            adaptive: None,
        }
    }
}

impl CentralDp {
    pub(super) fn check(&self, cohort: u32) -> Vec<(&'static str, String)> {
        let mut problems = check(self.clip, self.noise, self.delta);
        if let Some(adaptive) = &self.adaptive {
            problems.extend(adaptive.check(self.noise, cohort));
        }
        problems
    }
}

/// The server's end of the layer. It sums the clipped updates, adds noise, and gives the method's
/// server half one report with the noisy mean.
#[derive(Debug)]
pub struct NoisyMean {
    settings: CentralDp,
    /// The clipping bound of the current round.
    bound: f64,
    /// The number of clients that a round shall have, by which the sum is divided.
    cohort: u32,
    seed: u64,
    sum: WeightedSum,
    /// The number of reports in the sum.
    reports: u32,
    /// The number of reports whose update was within the bound.
    within: u32,
    /// The sum of the samples of all clients that reported.
    samples: u32,
    /// One client that reported, and the form of its report.
    one: Option<(u32, Form)>,
    /// The number of rounds whose noisy mean was released.
    released: u32,
    accountant: Accountant,
    /// Whether reports come from secure aggregation: each is then a mean over clients that have
    /// clipped their updates, and its samples count these clients.
    aggregated: bool,
}

impl NoisyMean {
    /// The server's end for rounds that shall have `cohort` reports, in which each client takes
    /// part with probability `rate`. The parameters of the network have the layout of `initial`.
    pub fn new(settings: CentralDp, cohort: u32, rate: f64, seed: u64, initial: &ParamSet) -> Self {
        Self {
            bound: settings.clip,
            cohort: cohort.max(1),
            seed,
            sum: WeightedSum::like(initial),
            reports: 0,
            within: 0,
            samples: 0,
            one: None,
            released: 0,
            accountant: Accountant::new(rate, settings.noise, settings.delta),
            aggregated: false,
            settings,
        }
    }

    /// Puts this layer behind secure aggregation: it then gets one report, which is the mean over
    /// as many clients as the report has samples.
    #[must_use]
    pub fn behind_aggregation(self) -> Self {
        Self {
            aggregated: true,
            ..self
        }
    }

    /// The clipping bound of the current round.
    #[cfg(test)]
    pub(super) const fn bound(&self) -> f64 {
        self.bound
    }

    /// The noise multiplier of the sum of updates.
    fn multiplier(&self) -> f64 {
        let z = self.settings.noise;
        match &self.settings.adaptive {
            Some(adaptive) => adaptive.noise(z, self.cohort).unwrap_or(z),
            None => z,
        }
    }
}

impl ServerLayer for NoisyMean {
    fn receive(
        &mut self,
        report: &Received,
        sent: &Payload,
        _: &mut dyn ServerHalf,
    ) -> Result<(), MethodError> {
        let (form, mut change) = change_of(&report.payload, sent)?;
        if self.aggregated {
            self.sum.add(&change.freeze(), f64::from(report.samples))?;
            self.reports += report.samples;
        } else {
            // Clients clip, too, but a server that guarantees something does not rely on that. An
            // update that was compressed may also be longer than before.
            let norm = clip(&mut change, self.bound)?;
            self.sum.add(&change.freeze(), 1.0)?;
            self.reports += 1;
            self.within += u32::from(norm <= self.bound);
        }
        self.samples = self.samples.saturating_add(report.samples);
        self.one.get_or_insert((report.client, form));
        Ok(())
    }

    fn close(
        &mut self,
        round: u32,
        sent: &BTreeMap<u32, Payload>,
        inner: &mut dyn ServerHalf,
    ) -> Result<(), MethodError> {
        let (Some((client, form)), Some((mut sum, _))) = (self.one, self.sum.take()?) else {
            return Ok(());
        };
        let task = sent.get(&client).unwrap_or(&Payload::Nothing);
        if sent.values().any(|other| other.digest() != task.digest()) {
            let what = "clients were sent different models: their updates have no mean";
            return Err(MethodError::layer(NAME, what));
        }
        let mut rng = stream(self.seed, 0, Purpose::Privacy, u64::from(round));
        add_noise(&mut sum, self.multiplier() * self.bound, &mut rng)?;
        sum.scale((1.0 / f64::from(self.cohort)) as f32)?;
        self.released += 1;
        if let Some(adaptive) = &self.settings.adaptive {
            let std = adaptive.count_noise(self.cohort);
            let noise = Distribution::Normal { mean: 0.0, std }.sample(&mut rng);
            // The count is shifted by ½ for each report, so that one client changes it by at most
            // ½.
            let shifted = f64::from(self.within) - f64::from(self.reports) / 2.0;
            let within = (shifted + noise) / f64::from(self.cohort) + 0.5;
            self.bound = adaptive.next(self.bound, within);
        }
        let report = Received {
            client,
            round,
            samples: self.samples.max(1),
            payload: form.restore(sum.freeze(), task)?,
        };
        self.clear();
        inner.receive(&report)
    }

    fn clear(&mut self) {
        self.sum.clear();
        (self.reports, self.within, self.samples) = (0, 0, 0);
        self.one = None;
    }

    fn save(&self, to: &mut Writer) {
        self.bound.save(to);
        self.released.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.bound = Snapshot::load(from)?;
        self.released = Snapshot::load(from)?;
        Ok(())
    }

    /// A round that the restored server does not remember may have released its mean, so it is
    /// counted.
    fn lost_rounds(&mut self, rounds: u32) {
        self.released = self.released.saturating_add(rounds);
    }

    fn receive_flops(&self) -> Flops {
        // The operations are the difference, its norm, the scaling and the sum.
        Flops(6 * self.sum.len() as u64)
    }

    fn round_flops(&self) -> Flops {
        Flops(22 * self.sum.len() as u64)
    }

    fn epsilon(&self) -> Option<f64> {
        Some(self.accountant.epsilon(self.released))
    }

    fn epsilon_pld(&self) -> Option<f64> {
        self.accountant.tightest(self.released).by_distribution()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::testing::{mean, Round};
    use crate::privacy::Clipper;

    fn settings(clip: f64, noise: f64) -> CentralDp {
        CentralDp {
            clip,
            noise,
            ..CentralDp::default()
        }
    }

    #[test]
    fn without_noise_the_mean_is_that_of_clipped_updates_over_the_cohort() {
        let round = Round::new();
        let clip = 0.4;
        // Two of three report: the sum is divided by three all the same.
        let layer = NoisyMean::new(settings(clip, 1e-12), 3, 1.0, 1, &round.initial());
        let (moved, _) = round.close(layer, &[0, 2]);
        let clipped: Vec<Vec<f64>> = [0, 2]
            .map(|client| {
                let (_, change) = round.change(client);
                let norm = change.iter().map(|v| v * v).sum::<f64>().sqrt();
                assert!(norm > clip, "{norm}");
                change.iter().map(|v| v * clip / norm).collect()
            })
            .to_vec();
        for (i, moved) in moved.iter().enumerate() {
            let expected = (clipped[0][i] + clipped[1][i]) / 3.0;
            assert!(
                (moved - expected).abs() < 1e-6,
                "{moved} against {expected}"
            );
        }
    }

    #[test]
    fn the_noise_on_the_mean_is_that_of_the_bound_over_the_cohort() {
        let round = Round::new();
        let (mut squares, mut n) = (0.0, 0.0);
        for seed in 0..300 {
            let quiet = NoisyMean::new(settings(0.5, 1e-12), 3, 1.0, seed, &round.initial());
            let noisy = NoisyMean::new(settings(0.5, 1.2), 3, 1.0, seed, &round.initial());
            let (a, b) = (
                round.close(quiet, &[0, 1, 2]).0,
                round.close(noisy, &[0, 1, 2]).0,
            );
            for (a, b) in a.iter().zip(b) {
                squares += (a - b).powi(2);
                n += 1.0;
            }
        }
        let (variance, exact) = (squares / n, (1.2f64 * 0.5 / 3.0).powi(2));
        assert!(
            (variance / exact - 1.0).abs() < 5.0 * f64::sqrt(2.0 / n),
            "{variance}, {exact}"
        );
    }

    #[test]
    fn a_server_clips_again_what_a_client_did_not() {
        let round = Round::new();
        let layer = || NoisyMean::new(settings(0.2, 1e-12), 3, 1.0, 1, &round.initial());
        let (honest, _) = round.close_with(
            layer(),
            &[0, 1],
            &Clipper {
                bound: 0.2,
                noise: None,
            },
        );
        let (cheating, _) = round.close(layer(), &[0, 1]);
        for (a, b) in honest.iter().zip(cheating) {
            assert!((a - b).abs() < 1e-6);
        }
    }

    #[test]
    fn epsilon_counts_rounds_that_were_closed_and_no_abandoned_ones() {
        let round = Round::new();
        let layer = NoisyMean::new(settings(1.0, 1.1), 3, 0.1, 1, &round.initial());
        let accountant = Accountant::new(0.1, 1.1, 1e-5);
        let (_, epsilon) = round.close(layer, &[0, 1]);
        assert_eq!(epsilon, accountant.epsilon(1));
        let layer = NoisyMean::new(settings(1.0, 1.1), 3, 0.1, 1, &round.initial());
        assert_eq!(round.abandon(layer, &[0, 1]), 0.0);
    }

    #[test]
    fn an_adaptive_bound_grows_while_updates_are_beyond_it_and_shrinks_while_they_are_within() {
        let round = Round::new();
        let moved = |clip| {
            let settings = CentralDp {
                adaptive: Some(Adaptive {
                    count_noise: Some(0.6),
                    ..Adaptive::default()
                }),
                ..settings(clip, 1.0)
            };
            let mut layer = NoisyMean::new(settings, 3, 1.0, 1, &round.initial());
            // Without noise on the count: all or none of three are within.
            layer.settings.adaptive.as_mut().unwrap().count_noise = Some(1e-9);
            round.bound_after(layer, &[0, 1, 2])
        };
        assert!((moved(1e-3) - 1e-3 * (0.2f64 * 0.5).exp()).abs() < 1e-9);
        assert!((moved(1e3) - 1e3 * (-0.2f64 * 0.5).exp()).abs() < 1e-3);
    }

    #[test]
    fn a_mean_of_several_clients_is_taken_for_as_many_updates() {
        let round = Round::new();
        let single = NoisyMean::new(settings(10.0, 1e-12), 4, 1.0, 1, &round.initial());
        let (one_by_one, _) = round.close(single, &[0, 1, 2]);
        let changes: Vec<Vec<f64>> = (0..3).map(|client| round.change(client).1).collect();
        let layer = NoisyMean::new(settings(10.0, 1e-12), 4, 1.0, 1, &round.initial());
        let at_once = round.close_mean(layer.behind_aggregation(), &mean(&changes), 3);
        for (a, b) in one_by_one.iter().zip(at_once) {
            assert!((a - b).abs() < 1e-6, "{a} against {b}");
        }
    }
}
