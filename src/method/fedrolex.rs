//! FedRolex (Alam, Liu, Yan and Zhang, "FedRolex: Model-Heterogeneous Federated Learning with
//! Rolling Sub-Model Extraction", NeurIPS 2022). A client of width r trains a share r of the units
//! of every hidden layer. The units form a window that moves on by one unit each round and
//! continues at the first unit after the last (equation 2). Each parameter becomes the mean over
//! the clients that held it (algorithm 1).
//!
//! Over as many rounds as a layer has units, each of its units is held equally often, by clients of
//! any width. With the paper's windows, which all move at one pace, this does not hold for single
//! weights between two hidden layers. [`Pace`] explains what holds, and has a pace with which it
//! holds for these weights, too.

use super::average::Weighting;
use super::sub_models::Choice;
use super::{heterofl, ClientHalf, Method, MethodError, ReportKind, ServerHalf, Setup};
use crate::model::{Model, ModelError, Pace, Rounding};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// FedRolex, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedRolex {
    /// The pace at which the windows of the layers move.
    pub pace: Pace,
    /// Whether layers have HeteroFL's scaler. It is not part of the paper's algorithm, but the
    /// authors' published runs use it.
    pub scaler: bool,
    /// Whether clients use HeteroFL's masked cross entropy. It is not part of the paper's
    /// algorithm, but the authors' published runs use it.
    pub masked_loss: bool,
    /// The weight of a report; the paper gives all reports equal weight.
    pub weighting: Weighting,
}

impl Default for FedRolex {
    fn default() -> Self {
        Self {
            pace: Pace::Together,
            scaler: false,
            masked_loss: false,
            weighting: Weighting::Uniform,
        }
    }
}

impl Method for FedRolex {
    fn sizes(&self) -> bool {
        true
    }

    fn sub_model(&self, full: &Model, ratio: f64) -> Result<Model, ModelError> {
        heterofl::sub_model(full, ratio, Rounding::Down, self.scaler)
    }

    fn reports(&self) -> ReportKind {
        ReportKind::Parts
    }

    fn freezes(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn reads_layers(&self) -> Option<&'static str> {
        Some("its sub-models keep some of the units of every layer")
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        let choice = Choice::Rolling(self.pace);
        Ok(Box::new(heterofl::server(
            setup,
            choice,
            self.weighting,
            self.masked_loss,
        )))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        heterofl::client(self.masked_loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::fedavg::FedAvg;
    use crate::method::testing::narrow::{
        classes_of, merge, places, start, toy, toy_from, NarrowDescent, Part, HIDDEN, PARAMETERS,
    };
    use crate::method::testing::{close, local, Toy};

    /// The hidden units in the window of a client of width `ratio` in `round`, from 1.
    fn window(ratio: f64, round: u32) -> Vec<usize> {
        let kept = (HIDDEN as f64 * ratio) as usize;
        (0..kept)
            .map(|unit| (round as usize - 1 + unit) % HIDDEN)
            .collect()
    }

    fn rounds(method: &FedRolex, ratios: [f64; 3]) {
        let mut toy = toy(method, &local(), ratios);
        let mut w = start().to_vec();
        for round in 1..=6 {
            toy.round(&[0, 1, 2]);
            let parts = (0..3u32).map(|k| {
                let ratio = ratios[k as usize];
                let kept = window(ratio, round);
                let classes = method.masked_loss.then(|| classes_of(k));
                let descent = NarrowDescent {
                    rate: if method.scaler { ratio } else { 1.0 },
                    classes,
                    ..NarrowDescent::of_local()
                };
                let own: Vec<f64> = places(&kept).iter().map(|&place| w[place]).collect();
                Part {
                    values: descent.client(&own, k, round),
                    kept,
                    weight: 1.0,
                    classes,
                }
            });
            w = merge(&w, &parts.collect::<Vec<Part>>());
            close(&toy.model(), &w);
        }
    }

    #[test]
    fn rounds_are_those_of_a_float64_reference_around_the_end_of_the_window() {
        rounds(&FedRolex::default(), [1.0, 0.5, 0.25]);
        rounds(&FedRolex::default(), [0.75, 0.75, 0.5]);
    }

    #[test]
    fn the_scaler_and_the_masked_loss_can_be_put_on() {
        let method = FedRolex {
            scaler: true,
            masked_loss: true,
            ..FedRolex::default()
        };
        rounds(&method, [0.5, 0.25, 1.0]);
    }

    #[test]
    fn over_a_full_cycle_every_unit_is_sent_equally_often() {
        let method = FedRolex::default();
        // Every value is its own place.
        let values: [f64; PARAMETERS] = std::array::from_fn(|place| place as f64);
        let mut toy = toy_from(&method, &local(), [0.5, 0.75, 0.25], &values);
        for (client, kept) in [(0, 2), (1, 3), (2, 1)] {
            let mut sent = vec![0; PARAMETERS];
            for round in 1..=HIDDEN as u32 {
                let task = toy.server.task(client, round).unwrap();
                for &place in task.as_model().unwrap().as_slice().unwrap() {
                    sent[place as usize] += 1;
                }
                toy.server.abandon();
            }
            let scores = PARAMETERS - 3;
            assert_eq!(sent[..scores], vec![kept; scores], "client {client}");
            assert_eq!(sent[scores..], [HIDDEN; 3], "biases of the scores");
        }
    }

    #[test]
    fn clients_of_full_width_alone_are_fedavg_with_uniform_weights() {
        let average = FedAvg {
            weighting: Weighting::Uniform,
            ..FedAvg::default()
        };
        let method = FedRolex::default();
        let mut a = toy(&method, &local(), [1.0; 3]);
        let mut b: Toy = toy(&average, &local(), [1.0; 3]);
        for cohort in [vec![0, 1, 2], vec![2, 1]] {
            a.round(&cohort);
            b.round(&cohort);
            assert!(a.model().distance_squared(&b.model()).unwrap() < 1e-12);
        }
    }
}
