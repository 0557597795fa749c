//! The check of clients that have no server.
//!
//! A client must mix its own model and the models that its neighbours on the graph sent for this
//! round, each once, with weights that sum to one. The mixed model must equal their weighted sum,
//! computed here in double precision. Each client completes each round once, with a model whose
//! values are numbers.

use super::audit::{note, Findings};
use crate::federation::{Mixing, PeerWatcher};
use crate::method::Payload;
use crate::model::ParamSet;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// The audit of all clients of a federation without a server.
pub struct PeerAudit {
    findings: Findings,
    observed: Mutex<Observed>,
}

#[derive(Default)]
struct Observed {
    /// The digests of the models that were sent, by round and client. A client that went down sends
    /// again, so there may be several.
    sent: BTreeMap<(u32, u32), BTreeSet<u64>>,
    /// The values that the mixing of each client must lead to.
    expected: BTreeMap<u32, Vec<f64>>,
    /// The last round that each client has completed.
    ended: BTreeMap<u32, u32>,
}

/// The largest error of a weight, which is a sum of a few quotients.
const CLOSE: f64 = 1e-9;

impl PeerAudit {
    /// An audit that puts what it finds into `findings`.
    pub fn new(findings: Findings) -> Self {
        Self {
            findings,
            observed: Mutex::default(),
        }
    }

    fn find(&self, client: u32, round: u32, what: &str) {
        note(
            &self.findings,
            format!("round {round} of client {client}: {what}"),
        );
    }

    fn weights(&self, mixing: &Mixing<'_>) {
        let (client, round) = (mixing.client, mixing.round);
        let total: f64 = mixing.terms.iter().map(|(_, weight, _)| weight).sum();
        if (total - 1.0).abs() > CLOSE {
            self.find(
                client,
                round,
                &format!("the weights of what it mixes do not sum to one, but to {total}"),
            );
        }
        let mut seen = BTreeSet::new();
        for (from, weight, _) in mixing.terms {
            if !seen.insert(*from) {
                self.find(
                    client,
                    round,
                    &format!("a model of client {from} is mixed twice"),
                );
            }
            if *from == client {
                continue;
            }
            let link = mixing
                .links
                .sources
                .iter()
                .find(|(source, _)| source == from);
            match link {
                None => self.find(
                    client,
                    round,
                    &format!("it mixes a model of client {from}, who is no neighbour"),
                ),
                Some((_, share)) if (share - weight).abs() > CLOSE => self.find(
                    client,
                    round,
                    &format!(
                        "the model of client {from} counts {weight}, and on the graph {share}"
                    ),
                ),
                Some(_) => {}
            }
        }
        if !seen.contains(&client) {
            self.find(client, round, "its own model has no part in what it mixes");
        }
    }

    /// The weighted sum of the models plus the client's own step; `None` if there are no real
    /// models.
    fn sum(mixing: &Mixing<'_>) -> Option<Vec<f64>> {
        let own = mixing.terms.first()?.2.as_model().ok()?;
        let mut sum = vec![0.0f64; own.len()];
        let step = mixing.step.map(|(from, to)| [(-1.0, from), (1.0, to)]);
        let terms = mixing
            .terms
            .iter()
            .map(|(_, weight, model)| (*weight, model));
        for (weight, model) in terms.chain(step.into_iter().flatten()) {
            let values = model.as_model().ok()?.as_slice().ok()?;
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum += weight * f64::from(*value);
            }
        }
        Some(sum)
    }
}

impl PeerWatcher for PeerAudit {
    fn sends(&self, client: u32, round: u32, model: &Payload) {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        let models = observed.sent.entry((round, client)).or_default();
        models.insert(model.digest());
    }

    fn mixes(&self, mixing: &Mixing<'_>) {
        let (client, round) = (mixing.client, mixing.round);
        self.weights(mixing);
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        for (from, _, model) in mixing.terms.iter().filter(|(from, ..)| *from != client) {
            let sent = observed.sent.get(&(round, *from));
            if !sent.is_some_and(|sent| sent.contains(&model.digest())) {
                self.find(
                    client,
                    round,
                    &format!(
                        "the model of client {from} that it mixes was not sent for this round"
                    ),
                );
            }
        }
        match Self::sum(mixing) {
            Some(sum) => drop(observed.expected.insert(client, sum)),
            None => drop(observed.expected.remove(&client)),
        }
    }

    fn mixed(&self, client: u32, round: u32, model: &Payload) {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(expected) = observed.expected.remove(&client) else {
            return;
        };
        let Some(Ok(values)) = model.as_model().ok().map(ParamSet::as_slice) else {
            return;
        };
        let mut pairs = expected.iter().zip(values);
        let far =
            pairs.find(|(sum, value)| (*sum - f64::from(**value)).abs() > 1e-4 * (1.0 + sum.abs()));
        if let Some((sum, value)) = far {
            self.find(
                client,
                round,
                &format!("a value of the mixture must be {sum}, and is {value}"),
            );
        }
    }

    fn ends(&self, client: u32, round: u32, model: &Payload) {
        if !model.largest().is_finite() {
            self.find(client, round, "its model is not finite");
        }
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        let before = observed.ended.insert(client, round);
        if before.is_some_and(|before| before >= round) {
            self.find(client, round, "it is through with this round a second time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Links;
    use crate::model::Layout;
    use std::sync::Arc;

    fn model(values: &[f32]) -> Payload {
        let layout = Arc::new(Layout::flat(values.len()));
        Payload::Model(ParamSet::from_slice(&layout, values).unwrap())
    }

    /// Client 1 between 0 and 2, who sent their models for round 4; what is found of what it mixes.
    fn found(terms: &[(u32, f64, Payload)], mixture: &[f32]) -> Vec<String> {
        let findings = Findings::default();
        let audit = PeerAudit::new(Arc::clone(&findings));
        for (client, round, values) in [(0, 4, [1.0, 2.0]), (2, 4, [4.0, 8.0]), (2, 3, [5.0, 5.0])]
        {
            audit.sends(client, round, &model(&values));
        }
        let links = Links {
            sources: vec![(0, 0.25), (2, 0.25)],
            own: 0.5,
        };
        audit.mixes(&Mixing {
            client: 1,
            round: 4,
            links: &links,
            terms,
            step: None,
        });
        audit.mixed(1, 4, &model(mixture));
        let found = findings.lock().unwrap();
        found.clone()
    }

    #[test]
    fn a_mixture_by_the_graph_is_found_right_whoever_is_missing() {
        let (zero, own, two) = (model(&[1.0, 2.0]), model(&[0.0, 0.0]), model(&[4.0, 8.0]));
        let all = [
            (0, 0.25, zero),
            (1, 0.5, own.clone()),
            (2, 0.25, two.clone()),
        ];
        assert_eq!(found(&all, &[1.25, 2.5]), Vec::<String>::new());
        let one = [(1, 0.75, own.clone()), (2, 0.25, two)];
        assert_eq!(found(&one, &[1.0, 2.0]), Vec::<String>::new());
        assert_eq!(found(&[(1, 1.0, own)], &[0.0, 0.0]), Vec::<String>::new());
    }

    #[test]
    fn whatever_is_mixed_that_should_not_be_is_found() {
        let own = || (1, 0.5, model(&[0.0, 0.0]));
        let two = |weight| (2, weight, model(&[4.0, 8.0]));
        let cases = [
            ("sum to one", vec![own(), two(0.25)]),
            ("mixed twice", vec![own(), two(0.25), two(0.25)]),
            ("no neighbour", vec![own(), (3, 0.5, model(&[4.0, 8.0]))]),
            ("counts 0.5", vec![own(), two(0.5)]),
            (
                "its own model",
                vec![(0, 0.5, model(&[1.0, 2.0])), two(0.5)],
            ),
            // That of the round before.
            (
                "not sent",
                vec![(1, 0.75, model(&[0.0; 2])), (2, 0.25, model(&[5.0, 5.0]))],
            ),
        ];
        for (expected, terms) in cases {
            let found = found(&terms, &[0.0, 0.0]);
            let hit = found.iter().any(|finding| finding.contains(expected));
            assert!(hit, "{expected}: {found:?}");
        }
        let right = [(1, 1.0, model(&[3.0, 3.0]))];
        assert!(found(&right, &[3.0, 3.1])[0].contains("must be 3"));
    }

    #[test]
    fn a_round_that_ends_twice_and_a_model_without_numbers_are_found() {
        let findings = Findings::default();
        let audit = PeerAudit::new(Arc::clone(&findings));
        audit.ends(1, 1, &model(&[1.0]));
        audit.ends(1, 3, &model(&[1.0]));
        assert!(findings.lock().unwrap().is_empty());
        audit.ends(1, 3, &model(&[1.0]));
        audit.ends(1, 4, &model(&[f32::NAN]));
        let found = findings.lock().unwrap();
        assert!(found[0].contains("second time") && found[1].contains("not finite"));
    }
}
