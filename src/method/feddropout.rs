//! Federated Dropout (Caldas, Konečný, McMahan and Talwalkar, "Expanding the Reach of Federated
//! Learning by Reducing Client Resource Requirements", 2018, section 3.2). Every client is sent a
//! small dense network whose units are drawn at random, a fixed share of every hidden layer, anew
//! for each client and round. The trained values are put back at the places that they came from.
//!
//! The drawn units are a function of seed, client and round. So a report need not contain them, and
//! a late report is put back at the places of its own round.

use super::average::Weighting;
use super::sub_models::Choice;
use super::{heterofl, ClientHalf, Method, MethodError, ReportKind, ServerHalf, Setup};
use crate::model::{Model, ModelError, Rounding};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Federated Dropout, with its settings. The share of units kept is the size of the clients'
/// models.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedDropout {
    /// Whether hidden layers divide their outputs by the share of units kept during training, as
    /// inverted dropout does (Srivastava et al. 2014, section 10).
    pub scaler: bool,
    /// The weight of a report.
    pub weighting: Weighting,
}

impl Method for FedDropout {
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
        Ok(Box::new(heterofl::server(
            setup,
            Choice::Random,
            self.weighting,
            false,
        )))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        heterofl::client(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::narrow::{
        merge, places, start, toy, toy_from, NarrowDescent, Part, HIDDEN, PARAMETERS,
    };
    use crate::method::testing::{close, local, size};
    use crate::model::ParamSet;

    const RATIOS: [f64; 3] = [1.0, 0.5, 0.25];

    /// The hidden units, in ascending order, whose parameters in `global` are `sent`.
    fn units_of(sent: &ParamSet, global: &[f64]) -> Vec<usize> {
        let sent = sent.as_slice().unwrap();
        let subsets = (0..1usize << HIDDEN).map(|bits| {
            let kept = (0..HIDDEN).filter(|unit| bits >> unit & 1 == 1);
            kept.collect::<Vec<usize>>()
        });
        let mut fits = subsets.filter(|kept| {
            let places = places(kept);
            let near =
                |(&place, &value): (&usize, &f32)| (global[place] - f64::from(value)).abs() < 1e-5;
            places.len() == sent.len() && places.iter().zip(sent).all(near)
        });
        let found = fits.next().expect("a part of the global model");
        assert_eq!(fits.next(), None, "no other part looks the same");
        found
    }

    fn rounds(method: &FedDropout) {
        // Values that tell the units apart.
        let start: [f64; PARAMETERS] = std::array::from_fn(|i| (i * 37 % 64) as f64 / 128.0 - 0.25);
        let mut toy = toy_from(method, &local(), RATIOS, &start);
        let mut w = start.to_vec();
        for round in 1..=4 {
            toy.open();
            let mut parts = Vec::new();
            for k in 0..3u32 {
                let (task, work) = toy.ask(k);
                let report = toy.received(k, work.report);
                toy.server.receive(&report).unwrap();
                let kept = units_of(task.as_model().unwrap(), &w);
                let ratio = RATIOS[k as usize];
                assert_eq!(kept.len(), (HIDDEN as f64 * ratio) as usize);
                let descent = NarrowDescent {
                    rate: if method.scaler { ratio } else { 1.0 },
                    ..NarrowDescent::of_local()
                };
                let own: Vec<f64> = places(&kept).iter().map(|&place| w[place]).collect();
                parts.push(Part {
                    values: descent.client(&own, k, round),
                    kept,
                    weight: size(k),
                    classes: None,
                });
            }
            toy.close();
            w = merge(&w, &parts);
            close(&toy.model(), &w);
        }
    }

    #[test]
    fn rounds_are_those_of_a_float64_reference_on_the_units_that_were_sent() {
        rounds(&FedDropout::default());
    }

    #[test]
    fn activations_can_be_scaled_as_in_inverted_dropout() {
        rounds(&FedDropout {
            scaler: true,
            ..FedDropout::default()
        });
    }

    /// What clients 0 and 1, both of half the width, are sent in the first rounds: units by place.
    fn draws(rounds: u32) -> [Vec<Vec<usize>>; 2] {
        let method = FedDropout::default();
        let values: [f64; PARAMETERS] = std::array::from_fn(|place| place as f64);
        let mut toy = toy_from(&method, &local(), [0.5, 0.5, 1.0], &values);
        [0, 1].map(|client| {
            let each = (1..=rounds).map(|round| {
                let task = toy.server.task(client, round).unwrap();
                units_of(task.as_model().unwrap(), &values)
            });
            each.collect()
        })
    }

    #[test]
    fn every_client_and_round_has_its_own_draw_and_every_unit_its_share_of_them() {
        let [first, second] = draws(400);
        assert_eq!(
            draws(400),
            [first.clone(), second.clone()],
            "one seed, one draw"
        );
        assert_ne!(first, second);
        for drawn in [first, second] {
            for unit in 0..HIDDEN {
                // Half of 400, with a deviation of 10.
                let times = drawn.iter().filter(|kept| kept.contains(&unit)).count();
                assert!((150..=250).contains(&times), "unit {unit}: {times}");
            }
        }
    }

    #[test]
    fn a_client_is_sent_the_small_dense_model_alone() {
        let method = FedDropout::default();
        let mut toy = toy(&method, &local(), RATIOS);
        // Two units of three inputs, their biases, three scores of two units, their biases.
        let half = 2 * 3 + 2 + 3 * 2 + 3;
        assert_eq!(toy.server.task(1, 1).unwrap().wire_bytes().0, 8 + 4 * half);
    }

    #[test]
    fn a_late_report_is_put_back_where_its_own_round_had_taken_it_from() {
        let method = FedDropout::default();
        let mut toy = toy_from(&method, &local(), [0.25; 3], &start());
        let sent_in = |toy: &mut crate::method::testing::Toy, round| {
            toy.server
                .task(0, round)
                .unwrap()
                .as_model()
                .unwrap()
                .clone()
        };
        let first = sent_in(&mut toy, 1);
        let later = (2..20)
            .find(|&round| sent_in(&mut toy, round).digest().unwrap() != first.digest().unwrap());
        let later = later.expect("another draw");
        for _ in 0..later {
            toy.open();
        }
        // Client 0's report of round 1, every value 9, comes in a round with another draw.
        let marked = vec![9.0; first.len()];
        let marked = ParamSet::from_slice(first.layout(), &marked).unwrap();
        let mut report = toy.received(0, crate::method::Payload::Model(marked));
        report.round = 1;
        toy.server.receive(&report).unwrap();
        toy.close();
        let unit = units_of(&first, &start());
        let after = toy.model();
        let changed = after.as_slice().unwrap().iter().enumerate();
        let changed: Vec<usize> = changed
            .filter(|(_, v)| **v == 9.0)
            .map(|(i, _)| i)
            .collect();
        let mut expected = places(&unit);
        expected.sort_unstable();
        assert_eq!(changed, expected);
    }
}
