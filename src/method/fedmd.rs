//! FedMD (Li and Wang, "FedMD: Heterogenous Federated Learning via Model Distillation", NeurIPS
//! 2019 workshop, algorithm 1). Every client has a network of its own, of any size. Clients and
//! server exchange class scores on public samples: the server averages them, and clients train
//! towards this consensus.
//!
//! A round of the paper has four steps: send scores, receive their mean, digest the mean, revisit
//! the private data. Here a round is one message each way. A task brings the mean of the last
//! round; the client digests it, trains on its own data, and reports its scores on the samples of
//! the next mean. The sequence of steps is the paper's, divided at another place. A client in its
//! first round starts with the public set and then its own data (the paper's transfer learning).

use super::average::Weighting;
use super::client::train_locally;
use super::{
    ClientHalf, ClientInput, ClientState, ClientWork, Leaves, Method, MethodError, Metrics,
    Payload, Phase, Prospect, PublicData, PublicSamples, Received, ReportKind, Scores, ServerHalf,
    ServerJob, Setup, Training,
};
use crate::learn::{
    class_scores, distill, train, Amount, Correction, Cost, LocalTraining, Samples, ScoreLoss,
    Scratch, TrainJob, Trained,
};
use crate::model::ParamSet;
use crate::quantity::bounds::{at_most, MOST_PASSES};
use crate::quantity::Flops;
use crate::sim::mix_words;
use crate::sim::rng::{shuffle, stream, Purpose};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// FedMD, with its settings. The defaults are those of the authors' code (the CIFAR experiment with
/// unbalanced classes), in which the training for the transfer also stops early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedMd {
    /// The number of public samples that the server draws for a round; all of them if there are
    /// fewer.
    pub subset: usize,
    /// The distance to the consensus. The authors' code takes the mean absolute error of the
    /// scores.
    pub loss: ScoreLoss,
    /// The passes over a round's subset towards the consensus.
    pub digest_epochs: u32,
    /// The number of samples in a batch of these passes; with 0 a batch is the whole subset.
    pub digest_batch: usize,
    /// The passes over the labelled public set before a client's first round.
    pub transfer_public_epochs: u32,
    /// The passes over the client's own samples after those.
    pub transfer_private_epochs: u32,
    /// How clients get the public set.
    pub public_set: PublicSet,
    /// The weight of a client's scores; the paper gives all clients equal weight.
    pub weighting: Weighting,
}

/// How clients get the public set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PublicSet {
    /// The set is sent with a client's first task, and its bytes are counted.
    #[default]
    Sent,
    /// The set was installed beforehand and costs nothing.
    Installed,
}

impl Default for FedMd {
    fn default() -> Self {
        Self {
            subset: 5000,
            loss: ScoreLoss::MeanAbsolute,
            digest_epochs: 1,
            digest_batch: 128,
            transfer_public_epochs: 20,
            transfer_private_epochs: 25,
            public_set: PublicSet::Sent,
            weighting: Weighting::Uniform,
        }
    }
}

impl Method for FedMd {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        let passes = [
            ("digest_epochs", self.digest_epochs),
            ("transfer_public_epochs", self.transfer_public_epochs),
            ("transfer_private_epochs", self.transfer_private_epochs),
        ];
        let wrong = passes.map(|(field, passes)| at_most(field, passes, MOST_PASSES));
        let mut problems: Vec<_> = wrong.into_iter().flatten().collect();
        if let ScoreLoss::Divergence { temperature } = self.loss {
            if !(temperature > 0.0 && temperature <= 1e6) {
                let message = format!("expected a temperature in (0, 1e6], got {temperature}");
                problems.push(("loss", message));
            }
        }
        problems
    }

    fn sizes(&self) -> bool {
        true
    }

    fn needs_public(&self) -> bool {
        true
    }

    fn reports(&self) -> ReportKind {
        ReportKind::Scores
    }

    fn modelled(&self) -> Result<(), &'static str> {
        Err("what its clients do depends on the models they keep")
    }

    fn leaves(&self) -> Leaves {
        Leaves {
            global: false,
            own: true,
        }
    }

    fn begins_with_one(&self) -> bool {
        false
    }

    fn freezes(&self) -> Result<(), &'static str> {
        Err("its clients draw networks of their own and distil into them")
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Err("they learn from the public set before they train, and that has to be done whole")
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        let public = setup.public.ok_or(MethodError::NoPublicData)?;
        let sent = PublicSamples {
            bytes: public.data.wire_bytes(public.train.len()),
            samples: public.train.clone(),
        };
        Ok(Box::new(Server {
            installation: match self.public_set {
                PublicSet::Sent => Payload::Samples(sent),
                PublicSet::Installed => Payload::Nothing,
            },
            public: public.train,
            subset: self.subset,
            weighting: self.weighting,
            classes: setup.model.classes(),
            seed: setup.seed,
            asked: Vec::new().into(),
            sum: Vec::new(),
            weight: 0.0,
            consensus: Payload::Nothing,
            known: BTreeSet::new(),
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client {
            settings: self.clone(),
        })
    }
}

struct Server {
    /// The public set as a client gets it with its first task.
    installation: Payload,
    public: Samples,
    subset: usize,
    weighting: Weighting,
    classes: usize,
    seed: u64,
    /// The samples of this round.
    asked: Arc<[u32]>,
    /// The sum of the scores that were reported, each multiplied by its weight.
    sum: Vec<f64>,
    weight: f64,
    /// The mean of the last round.
    consensus: Payload,
    /// The clients that have reported before and therefore have the public set.
    known: BTreeSet<u32>,
}

impl Server {
    /// The public samples of a round, in ascending order.
    fn draw(&self, round: u32) -> Arc<[u32]> {
        let mut all = self.public.as_slice().to_vec();
        if self.subset < all.len() {
            let mut rng = stream(self.seed, 0, Purpose::Method, u64::from(round));
            shuffle(&mut rng, &mut all);
            all.truncate(self.subset);
            all.sort_unstable();
        }
        all.into()
    }
}

impl ServerHalf for Server {
    fn task(&mut self, client: u32, _: u32) -> Result<Payload, MethodError> {
        let installation = match self.known.contains(&client) {
            true => Payload::Nothing,
            false => self.installation.clone(),
        };
        Ok(Payload::bundle([
            installation,
            self.consensus.clone(),
            Payload::Indices(Arc::clone(&self.asked)),
        ]))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let scores = report.payload.as_scores()?.of(&self.asked, self.classes)?;
        let weight = self.weighting.of(report.samples);
        self.sum.resize(scores.len(), 0.0);
        for (sum, &score) in self.sum.iter_mut().zip(scores) {
            *sum += weight * f64::from(score);
        }
        self.weight += weight;
        self.known.insert(report.client);
        Ok(())
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        match phase {
            Phase::BeforeRound(round) => self.asked = self.draw(round),
            Phase::AfterRound(_) if self.weight > 0.0 && !self.asked.is_empty() => {
                let mean = self.sum.iter().map(|sum| (sum / self.weight) as f32);
                let mean: Vec<f32> = mean.collect();
                let scores = Scores::new(Arc::clone(&self.asked), mean, self.classes)?;
                self.consensus = Payload::Scores(scores);
                self.abandon();
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.sum.clear();
        self.weight = 0.0;
    }

    fn save(&self, to: &mut Writer) {
        self.asked.save(to);
        self.consensus.save(to);
        self.known.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.asked = Snapshot::load(from)?;
        self.consensus = Snapshot::load(from)?;
        self.known = Snapshot::load(from)?;
        Ok(())
    }

    fn receive_flops(&self) -> Flops {
        Flops(2 * (self.asked.len() * self.classes) as u64)
    }

    fn round_flops(&self) -> Flops {
        Flops((self.asked.len() * self.classes) as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        None
    }
}

/// The name of the client's own model in its state.
const MODEL: &str = "model";

/// The number of samples whose scores are computed at once.
const BATCH: usize = 64;

/// This bit keeps the streams of transfer and digestion apart from those of private training, which
/// are numbered by the client.
const PUBLIC: u64 = 1 << 32;
const PRIVATE: u64 = 2 << 32;
const DIGEST: u64 = 3 << 32;

struct Client {
    settings: FedMd,
}

/// The parts of a task.
struct Task<'a> {
    consensus: Option<&'a Scores>,
    asked: &'a Arc<[u32]>,
}

impl<'a> Task<'a> {
    fn of(payload: &'a Payload) -> Result<Self, MethodError> {
        let [installation, consensus, asked] = payload.as_parts()?;
        if installation.as_nothing().is_err() {
            installation.as_samples()?;
        }
        Ok(Self {
            consensus: match consensus {
                Payload::Nothing => None,
                other => Some(other.as_scores()?),
            },
            asked: asked.as_indices()?,
        })
    }
}

fn public(input: &ClientInput) -> Result<&PublicData, MethodError> {
    input.public.as_ref().ok_or(MethodError::NoPublicData)
}

impl Client {
    /// The settings of passes over a whole set, in batches of the size of private training.
    fn transfer(&self, local: &LocalTraining, epochs: u32) -> LocalTraining {
        LocalTraining {
            amount: Amount::Epochs(epochs),
            ..local.clone()
        }
    }

    /// The settings of passes over a round's subset.
    fn digestion(&self, local: &LocalTraining) -> LocalTraining {
        LocalTraining {
            amount: Amount::Epochs(self.settings.digest_epochs),
            batch: self.settings.digest_batch,
            ..local.clone()
        }
    }

    /// The work of a client before its first round: it draws a network of its own and trains it on
    /// the public set and then on its own samples.
    fn begin(&self, input: &ClientInput, scratch: &mut Scratch) -> Result<ParamSet, MethodError> {
        let public = public(input)?;
        let mut own = initial(input)?;
        let phases = [
            (
                &public.data,
                &public.train,
                self.settings.transfer_public_epochs,
                PUBLIC,
            ),
            (
                &input.data,
                &input.train,
                self.settings.transfer_private_epochs,
                PRIVATE,
            ),
        ];
        for (data, samples, epochs, streams) in phases {
            if epochs == 0 || samples.is_empty() {
                continue;
            }
            let job = TrainJob {
                model: Arc::clone(&input.model),
                start: own,
                data: Arc::clone(data),
                samples: samples.clone(),
                local: self.transfer(&input.local, epochs),
                round: u64::from(input.round - 1),
                seed: input.seed,
                client: streams + u64::from(input.client),
                correction: Correction::default(),
            };
            own = train(&job, scratch)?.params;
        }
        Ok(own)
    }

    /// Trains the model `own` towards the consensus.
    fn digest(
        &self,
        input: &ClientInput,
        consensus: &Scores,
        own: ParamSet,
    ) -> Result<ParamSet, MethodError> {
        let job = TrainJob {
            model: Arc::clone(&input.model),
            start: own,
            data: Arc::clone(&public(input)?.data),
            samples: consensus.indices().to_vec().into(),
            local: self.digestion(&input.local),
            round: u64::from(input.round - 1),
            seed: input.seed,
            client: DIGEST + u64::from(input.client),
            correction: Correction::default(),
        };
        Ok(distill(&job, consensus.values(), self.settings.loss)?.params)
    }
}

/// The initial network, which each client draws itself, so that no two are equal.
fn initial(input: &ClientInput) -> Result<ParamSet, MethodError> {
    let seed = mix_words(&[input.seed, u64::from(input.client)]);
    Ok(input.model.init(seed, input.init)?)
}

impl ClientHalf for Client {
    fn keeps(&self, name: &str, payload: &Payload) -> bool {
        match name {
            MODEL => matches!(payload, Payload::Model(_)),
            _ => true,
        }
    }

    fn own<'a>(&self, state: &'a ClientState) -> Option<&'a ParamSet> {
        state.get(MODEL)?.as_model().ok()
    }

    fn beside(&self, input: &ClientInput) -> Result<Cost, MethodError> {
        let task = Task::of(&input.task)?;
        let mut cost = Cost::evaluation(&input.model, task.asked.len(), BATCH);
        if input.state.get(MODEL).is_none() {
            let phases = [
                (
                    public(input)?.train.len(),
                    self.settings.transfer_public_epochs,
                ),
                (input.train.len(), self.settings.transfer_private_epochs),
            ];
            for (samples, epochs) in phases {
                let local = self.transfer(&input.local, epochs);
                cost = cost.then(Cost::training(&input.model, &local, samples, 0));
            }
        }
        if let Some(consensus) = task.consensus {
            let samples = consensus.indices().len();
            let digestion = self.digestion(&input.local);
            cost = cost.then(Cost::training(&input.model, &digestion, samples, 0));
        }
        Ok(cost)
    }

    /// Digestion may use larger batches than local training.
    fn usually_beside(&self, prospect: &Prospect) -> Cost {
        let samples = self.settings.subset.min(prospect.public);
        let digestion = self.digestion(prospect.local);
        let digesting = Cost::training(prospect.own, &digestion, samples, 0);
        digesting.then(Cost::evaluation(prospect.own, samples, BATCH))
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        Ok(Training {
            start: match input.state.get(MODEL) {
                Some(own) => own.as_model()?.clone(),
                None => initial(input)?,
            },
            correction: Correction::default(),
        })
    }

    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        let asked = Task::of(&input.task)?.asked;
        let data = &public(input)?.data;
        let scores = class_scores(&input.model, &trained.params, data, asked, BATCH)?;
        let scores = Scores::new(Arc::clone(asked), scores, input.model.classes())?;
        Ok(ClientWork {
            report: Payload::Scores(scores),
            metrics: Metrics::of(&trained),
            state: ClientState::default().with(MODEL, Payload::Model(trained.params)),
        })
    }

    fn run(&self, input: &ClientInput, scratch: &mut Scratch) -> Result<ClientWork, MethodError> {
        let task = Task::of(&input.task)?;
        let mut own = match input.state.get(MODEL) {
            Some(own) => own.as_model()?.clone(),
            None => self.begin(input, scratch)?,
        };
        if let Some(consensus) = task.consensus {
            own = self.digest(input, consensus, own)?;
        }
        let mut input = input.clone();
        input.state = input.state.with(MODEL, Payload::Model(own));
        let trained = train_locally(self, &input, scratch)?;
        self.report(&input, trained)
    }
}

#[cfg(test)]
mod tests;
