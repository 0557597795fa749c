//! The client half of a method as adversaries run it: the report is forged after training.

use super::Adversaries;
use crate::learn::{Cost, LocalTraining, Scratch, Trained};
use crate::method::{
    difference, moved, ClientHalf, ClientInput, ClientState, ClientWork, MethodError, Metrics,
    Payload, Prospect, ReportKind, Scores, Training,
};
use crate::model::{Level, ParamSet};
use crate::sim::rng::{stream, Purpose, Stream};
use std::sync::Arc;

/// The values that a forgery may depend on, besides the report.
#[derive(Debug)]
pub struct Forging {
    /// The number of the round, from 1.
    pub round: u32,
    /// The number of reports that a round shall have.
    pub cohort: u32,
    /// The number of classes of the data.
    pub classes: usize,
    /// The stream of random numbers of this adversary in this round.
    pub draws: Stream,
}

/// A client half whose reports are changed after training if the client is an adversary. For honest
/// clients it returns exactly what the inner client half returns.
pub(crate) struct Poisoner {
    /// The client half of the method.
    pub inner: Arc<dyn ClientHalf>,
    /// The adversaries of the federation.
    pub adversaries: Arc<Adversaries>,
    /// What the clients of the method report.
    pub kind: ReportKind,
    /// The number of reports that a round shall have.
    pub cohort: u32,
}

impl Poisoner {
    /// Whether every client's work is to train on its own. That is not so if some adversaries do
    /// not train, or train like the first of them.
    fn all_train(&self) -> bool {
        let forges = self.adversaries.parties().iter();
        let mut forges = forges.filter_map(|party| party.attack().forge());
        forges.all(|forge| forge.trains() && !forge.shared())
    }

    /// The report that the client sends: forged if it is an adversary, otherwise unchanged.
    fn forged(&self, input: &ClientInput, report: Payload) -> Result<Payload, MethodError> {
        let party = self.adversaries.active(input.client, input.round);
        let Some(forge) = party.and_then(|party| party.attack().forge()) else {
            return Ok(report);
        };
        let node = u64::from(input.client) + 1;
        let round = u64::from(input.round);
        let mut forging = Forging {
            round: input.round,
            cohort: self.cohort,
            classes: input.model.classes(),
            draws: stream(input.seed, node, Purpose::Attack, round),
        };
        match report {
            Payload::Model(model) => {
                let sent = input.task.as_model()?;
                let mut update = values(&difference(&model, sent)?)?;
                forge.forge(&mut update, &mut forging);
                Ok(Payload::Model(moved(sent, &update)?))
            }
            Payload::Update(update) => {
                let mut forged = values(&update)?;
                forge.forge(&mut forged, &mut forging);
                let forged = ParamSet::from_slice(update.layout(), &forged)?;
                Ok(Payload::Update(forged))
            }
            Payload::Scores(scores) if forge.scores() => {
                let mut forged = scores.values().to_vec();
                forge.forge(&mut forged, &mut forging);
                let indices = Arc::clone(scores.indices());
                let forged = Scores::new(indices, forged, forging.classes)?;
                Ok(Payload::Scores(forged))
            }
            other => Ok(other),
        }
    }

    /// The report of a client that does not train: its update is zero before it is forged.
    fn idle(&self, input: &ClientInput) -> Result<ClientWork, MethodError> {
        let sent = input.task.as_model()?;
        let report = match self.kind {
            ReportKind::Update => Payload::Update(difference(sent, sent)?),
            _ => Payload::Model(sent.clone()),
        };
        Ok(ClientWork {
            report: self.forged(input, report)?,
            state: input.state.clone(),
            metrics: Metrics::default(),
        })
    }
}

fn values(set: &ParamSet) -> Result<Vec<f32>, MethodError> {
    Ok(set.as_slice()?.to_vec())
}

impl ClientHalf for Poisoner {
    fn keeps(&self, name: &str, payload: &Payload) -> bool {
        self.inner.keeps(name, payload)
    }

    fn own<'a>(&self, state: &'a ClientState) -> Option<&'a ParamSet> {
        self.inner.own(state)
    }

    fn only_trains(&self) -> bool {
        self.inner.only_trains() && self.all_train()
    }

    fn local(&self, scenario: &LocalTraining) -> LocalTraining {
        self.inner.local(scenario)
    }

    fn corrections(&self) -> u64 {
        self.inner.corrections()
    }

    fn cost(&self, own: &Level, narrower: &[Level], local: &LocalTraining, samples: usize) -> Cost {
        self.inner.cost(own, narrower, local, samples)
    }

    fn beside(&self, input: &ClientInput) -> Result<Cost, MethodError> {
        self.inner.beside(input)
    }

    fn usually_beside(&self, prospect: &Prospect) -> Cost {
        self.inner.usually_beside(prospect)
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        self.inner.training(input)
    }

    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        let work = self.inner.report(input, trained)?;
        Ok(ClientWork {
            report: self.forged(input, work.report)?,
            ..work
        })
    }

    fn run(&self, input: &ClientInput, scratch: &mut Scratch) -> Result<ClientWork, MethodError> {
        if self.adversaries.idles(input.client, input.round) {
            return self.idle(input);
        }
        let party = self.adversaries.active(input.client, input.round);
        let shared = party.filter(|p| p.attack().forge().is_some_and(|f| f.shared()));
        let work = match shared.and_then(super::adversaries::Party::first) {
            // Random streams are named by the client's number, so a sybil that trains under the
            // first one's number draws the first one's batches.
            Some(client) => {
                let first = ClientInput {
                    client,
                    ..input.clone()
                };
                self.inner.run(&first, scratch)?
            }
            None => self.inner.run(input, scratch)?,
        };
        Ok(ClientWork {
            report: self.forged(input, work.report)?,
            ..work
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::free_rider::FreeRider;
    use super::super::sign_flip::SignFlip;
    use super::super::sybils::Sybils;
    use super::super::testing::of_three;
    use super::super::AttackSpec;
    use super::*;
    use crate::method::testing::{local, samples_of, Toy};
    use crate::method::MethodSpec;

    fn poisoner(method: &MethodSpec, adversaries: &[u32], attack: AttackSpec) -> Poisoner {
        Poisoner {
            inner: method.method().client(),
            adversaries: of_three(adversaries, attack),
            kind: method.method().reports(),
            cohort: 3,
        }
    }

    fn model(work: &ClientWork) -> Vec<f32> {
        work.report.as_model().unwrap().as_slice().unwrap().to_vec()
    }

    #[test]
    fn an_adversary_changes_its_update_after_training_and_others_report_the_same_bits() {
        let method = MethodSpec::default();
        let mut toy = Toy::new(method.method(), &local());
        toy.open();
        let flip = SignFlip { scale: 3.0 }.into();
        let half = poisoner(&method, &[1], flip);
        let mut scratch = Scratch::new();
        for client in 0..3 {
            let (task, honest) = toy.ask(client);
            let work = half
                .run(&toy.input(client, task.clone()), &mut scratch)
                .unwrap();
            let apart = half.only_trains();
            assert!(apart, "sign flipping leaves training as it is");
            if client != 1 {
                assert_eq!(work.report.digest(), honest.report.digest());
                continue;
            }
            let sent = task.as_model().unwrap().as_slice().unwrap();
            for ((got, honest), sent) in model(&work).iter().zip(model(&honest)).zip(sent) {
                let expected = sent - 3.0 * (honest - sent);
                assert!((got - expected).abs() < 1e-6, "{got} against {expected}");
            }
        }
    }

    #[test]
    fn a_free_rider_takes_no_step_and_sends_back_what_it_was_sent() {
        let method = MethodSpec::default();
        let mut toy = Toy::new(method.method(), &local());
        toy.open();
        let half = poisoner(&method, &[2], FreeRider {}.into());
        assert!(
            !half.only_trains(),
            "it must not be trained with the others"
        );
        let task = toy.server.task(2, 1).unwrap();
        let work = half
            .run(&toy.input(2, task.clone()), &mut Scratch::new())
            .unwrap();
        assert_eq!(work.report.digest(), task.digest());
        assert_eq!((work.metrics.steps, work.metrics.loss), (0, None));
    }

    #[test]
    fn sybils_send_copies_of_one_update_that_differ_by_their_noise_only() {
        let method = MethodSpec::default();
        let mut toy = Toy::new(method.method(), &local());
        toy.open();
        let reports = |noise: f64| {
            let sybils = Sybils {
                noise,
                ..Sybils::default()
            };
            let half = poisoner(&method, &[0, 2], sybils.into());
            let report = |client, task| {
                let mut input = toy.input(client, task);
                // What the federation gives both of them: the data of the first.
                input.train = samples_of(0).into();
                model(&half.run(&input, &mut Scratch::new()).unwrap())
            };
            let task = Payload::Model(toy.model());
            (report(0, task.clone()), report(2, task))
        };
        let (first, second) = reports(0.0);
        assert_eq!(first, second);
        let (first, second) = reports(1e-3);
        assert_ne!(first, second);
        let most = first
            .iter()
            .zip(&second)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(most < 1e-2, "{most}");
    }
}
