//! HeteroFL: nested sub-models by width (Diao, Ding and Tarokh, "HeteroFL: Computation and
//! Communication Efficient Federated Learning for Heterogeneous Clients", ICLR 2021). A client of
//! width r trains the first units of every hidden layer, a share r of them. Each parameter becomes
//! the mean over the clients that held it (equations 2 and 3). The statistics of the layer `BatchNorm`
//! are static ([`Method::queries_statistics`]).

use super::average::Weighting;
use super::public_tuning::{tuned, PublicTuning};
use super::server_training::SetGlobal;
use super::sub_models::{Choice, SubModelServer};
use super::{
    ClientHalf, ClientInput, ClientWork, Method, MethodError, Payload, Phase, Received, ReportKind,
    ServerHalf, ServerJob, Setup, Training,
};
use crate::learn::{Correction, LocalTraining, Trained};
use crate::model::{LayerSpec, Model, ModelError, ParamSet, Rounding};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Writer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// HeteroFL, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeteroFl {
    /// Whether hidden layers of a sub-model of width r divide their outputs by r during training
    /// (the paper's scaler).
    pub scaler: bool,
    /// Whether a client's loss contains only the classes that the client has (masked cross
    /// entropy). Of the last layer, the client then changes only the rows of these classes.
    pub masked_loss: bool,
    /// How the number of units of a sub-model is rounded. The authors' program rounds up.
    pub rounding: Rounding,
    /// The weight of a report; the paper gives all reports equal weight.
    pub weighting: Weighting,
    /// Fine-tuning of the global model on the public set, if wanted.
    pub fine_tune: Option<PublicTuning>,
}

impl Default for HeteroFl {
    fn default() -> Self {
        Self {
            scaler: true,
            masked_loss: true,
            rounding: Rounding::Down,
            weighting: Weighting::Uniform,
            fine_tune: None,
        }
    }
}

impl Method for HeteroFl {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        self.fine_tune
            .as_ref()
            .map(PublicTuning::check)
            .unwrap_or_default()
    }

    fn needs_public(&self) -> bool {
        self.fine_tune.is_some()
    }

    fn sizes(&self) -> bool {
        true
    }

    fn sub_model(&self, full: &Model, ratio: f64) -> Result<Model, ModelError> {
        sub_model(full, ratio, self.rounding, self.scaler)
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
        let inner = server(
            setup.clone(),
            Choice::Prefix,
            self.weighting,
            self.masked_loss,
        );
        tuned(inner, self.fine_tune.as_ref(), &setup)
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        client(self.masked_loss)
    }
}

/// The network of width `ratio`, with the numbers of its units rounded as `rounding` says, and with
/// scalers if `scaler` is set.
pub(super) fn sub_model(
    full: &Model,
    ratio: f64,
    rounding: Rounding,
    scaler: bool,
) -> Result<Model, ModelError> {
    let narrow = full.narrowed_layers(ratio, rounding);
    let layers = match scaler {
        true => scaled(&narrow, ratio, &mut hidden(full)),
        false => narrow,
    };
    Model::build(&layers, full.input(), full.classes())
}

/// A server of sub-models with any choice of units, whose clients report which classes they have if
/// `masked` is set.
pub(super) fn server(setup: Setup, choice: Choice, weighting: Weighting, masked: bool) -> Server {
    Server {
        classes: setup.model.classes(),
        masked,
        inner: SubModelServer::new(setup, choice, weighting),
    }
}

/// A client that trains the network that it is sent, on its own classes only if `masked` is set.
pub(super) fn client(masked: bool) -> Arc<dyn ClientHalf> {
    Arc::new(Client { masked })
}

/// For each convolution and dense layer, in order, whether its width changes in sub-models.
fn hidden(full: &Model) -> impl Iterator<Item = bool> + '_ {
    let units = full.units();
    let weights = units
        .entries()
        .iter()
        .filter(|entry| entry.columns.is_some());
    weights.map(|entry| !units.sets()[entry.rows].fixed)
}

/// The list of layers with a scaler behind every layer whose width changes.
fn scaled(
    layers: &[LayerSpec],
    rate: f64,
    hidden: &mut impl Iterator<Item = bool>,
) -> Vec<LayerSpec> {
    let mut all = Vec::new();
    for layer in layers {
        match layer {
            LayerSpec::Conv { .. } | LayerSpec::Dense(..) => {
                all.push(layer.clone());
                if hidden.next() == Some(true) {
                    all.push(LayerSpec::Scaler { rate });
                }
            }
            LayerSpec::Residual { body, shortcut } => all.push(LayerSpec::Residual {
                body: scaled(body, rate, hidden),
                shortcut: scaled(shortcut, rate, hidden),
            }),
            LayerSpec::Exit { head } => all.push(LayerSpec::Exit {
                head: scaled(head, rate, hidden),
            }),
            other => all.push(other.clone()),
        }
    }
    all
}

pub(super) struct Server {
    inner: SubModelServer,
    classes: usize,
    masked: bool,
}

impl SetGlobal for Server {
    fn set_global(&mut self, global: ParamSet) {
        self.inner.replace(global);
    }
}

impl ServerHalf for Server {
    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        self.inner.task(client, round)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        if !self.masked {
            return self.inner.receive(report);
        }
        let [model, classes] = report.payload.as_parts()?;
        let classes = classes.as_mask(self.classes)?;
        self.inner.add(report, model.as_model()?, Some(classes))
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        self.inner.step(phase, outputs)
    }

    fn abandon(&mut self) {
        self.inner.abandon();
    }

    fn adopt(&mut self, global: ParamSet) -> Result<(), MethodError> {
        self.inner.adopt(global)
    }

    fn save(&self, to: &mut Writer) {
        self.inner.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.inner.restore(from)
    }

    fn receive_flops(&self) -> Flops {
        self.inner.receive_flops()
    }

    fn round_flops(&self) -> Flops {
        self.inner.round_flops()
    }

    fn global(&self) -> Option<&ParamSet> {
        self.inner.global()
    }

    fn at_level(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        self.inner.at_level(level)
    }
}

struct Client {
    masked: bool,
}

impl Client {
    /// The classes that the client has samples of, as flags; `None` without masked cross entropy.
    fn classes(&self, input: &ClientInput) -> Result<Option<Arc<[bool]>>, MethodError> {
        if !self.masked {
            return Ok(None);
        }
        let mut labels = Vec::new();
        input.data.labels_of(input.train.as_slice(), &mut labels)?;
        let mut held = vec![false; input.model.classes()];
        for label in labels {
            if let Some(held) = held.get_mut(label as usize) {
                *held = true;
            }
        }
        Ok(Some(held.into()))
    }
}

impl ClientHalf for Client {
    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        Ok(Training {
            start: input.task.as_model()?.clone(),
            correction: Correction {
                classes: self.classes(input)?,
                ..Correction::default()
            },
        })
    }

    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        let model = Payload::Model(trained.params.clone());
        let report = match self.classes(input)? {
            Some(classes) => Payload::bundle([model, Payload::Mask(classes)]),
            None => model,
        };
        Ok(ClientWork::stateless(report, &trained))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::fedavg::FedAvg;
    use crate::method::testing::narrow::{
        classes_of, merge, places, start, toy, NarrowDescent, Part, HIDDEN,
    };
    use crate::method::testing::{close, local, size, Toy};
    use crate::model::preset;

    const RATIOS: [f64; 3] = [1.0, 0.5, 0.25];

    fn three_rounds(method: &HeteroFl, ratios: [f64; 3]) {
        let mut toy = toy(method, &local(), ratios);
        let mut w = start().to_vec();
        for round in 1..=3 {
            toy.round(&[0, 1, 2]);
            let parts = (0..3u32).map(|k| {
                let ratio = ratios[k as usize];
                let units = HIDDEN as f64 * ratio;
                let units = match method.rounding {
                    Rounding::Down => units.floor(),
                    Rounding::Up => units.ceil(),
                };
                let kept: Vec<usize> = (0..units as usize).collect();
                let classes = method.masked_loss.then(|| classes_of(k));
                let descent = NarrowDescent {
                    rate: if method.scaler { ratio } else { 1.0 },
                    classes,
                    ..NarrowDescent::of_local()
                };
                let own: Vec<f64> = places(&kept).iter().map(|&place| w[place]).collect();
                let weight = match method.weighting {
                    Weighting::Uniform => 1.0,
                    Weighting::Samples => size(k),
                };
                Part {
                    values: descent.client(&own, k, round),
                    kept,
                    weight,
                    classes,
                }
            });
            w = merge(&w, &parts.collect::<Vec<Part>>());
            close(&toy.model(), &w);
        }
    }

    #[test]
    fn three_rounds_are_those_of_a_float64_reference() {
        three_rounds(&HeteroFl::default(), RATIOS);
    }

    #[test]
    fn the_scaler_the_masked_loss_and_the_weighting_can_each_be_changed() {
        let plain = HeteroFl {
            scaler: false,
            masked_loss: false,
            rounding: Rounding::Down,
            weighting: Weighting::Samples,
            fine_tune: None,
        };
        three_rounds(&plain, RATIOS);
        three_rounds(
            &HeteroFl {
                scaler: true,
                ..plain.clone()
            },
            [0.5, 0.5, 0.25],
        );
        three_rounds(
            &HeteroFl {
                masked_loss: true,
                ..plain
            },
            [0.5, 0.25, 1.0],
        );
    }

    #[test]
    fn units_can_be_rounded_up_as_in_the_authors_program() {
        let up = HeteroFl {
            rounding: Rounding::Up,
            ..HeteroFl::default()
        };
        three_rounds(&up, [1.0, 0.6, 0.3]);
        let parameters = |method: &HeteroFl, ratio| {
            let full = toy(method, &local(), RATIOS);
            let full = full.input(0, Payload::Nothing).model;
            method.sub_model(&full, ratio).unwrap().parameters()
        };
        // A share that is whole, but for rounding, is whole either way.
        let down = HeteroFl::default();
        assert_eq!(parameters(&up, 0.5), parameters(&down, 0.5));
        assert!(parameters(&up, 0.3) > parameters(&down, 0.3));
    }

    #[test]
    fn what_nobody_holds_stays_as_it_was() {
        let method = HeteroFl::default();
        let mut toy = toy(&method, &local(), [0.5; 3]);
        toy.round(&[0, 1, 2]);
        let model = toy.model();
        let values = model.as_slice().unwrap();
        let held = places(&[0, 1]);
        let before = start();
        for (place, &value) in values.iter().enumerate() {
            if !held.contains(&place) {
                assert_eq!(f64::from(value), before[place], "{place}");
            }
        }
    }

    #[test]
    fn at_full_width_it_is_fedavg_to_rounding() {
        let plain = HeteroFl {
            scaler: true,
            masked_loss: false,
            weighting: Weighting::Samples,
            ..HeteroFl::default()
        };
        let average = FedAvg::default();
        let (mut a, mut b) = (Toy::new(&plain, &local()), Toy::new(&average, &local()));
        for cohort in [[0, 1, 2], [2, 1, 0]] {
            a.round(&cohort);
            b.round(&cohort);
            assert!(a.model().distance_squared(&b.model()).unwrap() < 1e-12);
        }
    }

    #[test]
    fn clients_of_one_width_are_sent_one_shared_set() {
        let method = HeteroFl::default();
        let mut toy = toy(&method, &local(), [0.5, 0.5, 1.0]);
        toy.open();
        let sent = [0, 1, 2].map(|k| toy.server.task(k, 1).unwrap().as_model().unwrap().clone());
        assert!(sent[0].same(&sent[1]));
        assert!(sent[2].same(&toy.model()));
    }

    #[test]
    fn scalers_stand_behind_hidden_layers_only_in_blocks_too() {
        let layers = preset("resnet18-gn").unwrap().layers(10);
        let full = Model::build(&layers, &[3, 32, 32], 10).unwrap();
        let sub = HeteroFl::default().sub_model(&full, 0.5).unwrap();
        fn scalers(layers: &[LayerSpec]) -> usize {
            let each = layers.iter().map(|layer| match layer {
                LayerSpec::Scaler { rate } => {
                    assert_eq!(*rate, 0.5);
                    1
                }
                LayerSpec::Residual { body, shortcut } => scalers(body) + scalers(shortcut),
                _ => 0,
            });
            each.sum()
        }
        // The stem, two in each of eight blocks, three shortcuts; the scores have none.
        assert_eq!(scalers(sub.layers()), 1 + 16 + 3);
        assert_eq!(sub.units().entries(), full.units().entries());
    }
}
