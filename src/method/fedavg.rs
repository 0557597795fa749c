//! FedAvg: clients train locally, and the server averages their models (McMahan et al.,
//! "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017,
//! algorithm 1).

use super::average::{add_flops, WeightedSum, Weighting};
use super::public_tuning::{tuned, PublicTuning};
use super::server_training::SetGlobal;
use super::{
    ClientHalf, ClientInput, ClientWork, Method, MethodError, Payload, Phase, Received, ReportKind,
    ServerHalf, ServerJob, Setup, Training,
};
use crate::learn::{Correction, LocalTraining, Trained};
use crate::model::ParamSet;
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// FedAvg, with its settings. The new global model is `Σ n_k w_k / Σ n_k`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedAvg {
    /// The weight of a report.
    pub weighting: Weighting,
    /// Fine-tuning of the mean on the public set, if wanted.
    pub fine_tune: Option<PublicTuning>,
}

impl Method for FedAvg {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        self.fine_tune
            .as_ref()
            .map(PublicTuning::check)
            .unwrap_or_default()
    }

    fn needs_public(&self) -> bool {
        self.fine_tune.is_some()
    }

    fn is_plain_mean(&self) -> bool {
        self.fine_tune.is_none()
    }

    fn mixes_without_server(&self) -> bool {
        true
    }

    fn weighting(&self) -> Weighting {
        self.weighting
    }

    fn reports(&self) -> ReportKind {
        ReportKind::Model
    }

    fn freezes(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        let inner = Averager::new(setup.initial.clone(), self.weighting);
        tuned(inner, self.fine_tune.as_ref(), &setup)
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Trainer { proximal: None })
    }
}

/// A server half that sends its model and becomes the mean of the models that come back.
#[derive(Debug)]
pub(super) struct Averager {
    global: ParamSet,
    models: WeightedSum,
    weighting: Weighting,
}

impl Averager {
    /// A server half with the model `initial`.
    pub fn new(initial: ParamSet, weighting: Weighting) -> Self {
        Self {
            models: WeightedSum::like(&initial),
            global: initial,
            weighting,
        }
    }
}

impl SetGlobal for Averager {
    fn set_global(&mut self, global: ParamSet) {
        self.global = global;
    }
}

impl ServerHalf for Averager {
    fn task(&mut self, _: u32, _: u32) -> Result<Payload, MethodError> {
        Ok(Payload::Model(self.global.clone()))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let weight = self.weighting.of(report.samples);
        Ok(self.models.add(report.payload.as_model()?, weight)?)
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            if let Some(mean) = self.models.take_mean()? {
                self.global = mean.freeze();
            }
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.models.clear();
    }

    fn adopt(&mut self, global: ParamSet) -> Result<(), MethodError> {
        global.has_layout(self.global.layout())?;
        self.global = global;
        Ok(())
    }

    fn save(&self, to: &mut Writer) {
        self.global.save(to);
        // The sum is empty, except at a server between the clients and the top that is a round
        // behind.
        self.models.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.global = Snapshot::load(from)?;
        self.models.restore(from)
    }

    fn receive_flops(&self) -> Flops {
        add_flops(self.global.len())
    }

    fn round_flops(&self) -> Flops {
        Flops(self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }
}

/// A client half that trains from the model that it was sent and reports its own.
#[derive(Debug)]
pub(super) struct Trainer {
    /// The weight μ of a proximal term, if there is one.
    pub proximal: Option<f64>,
}

impl ClientHalf for Trainer {
    fn only_trains(&self) -> bool {
        true
    }

    fn corrections(&self) -> u64 {
        u64::from(self.proximal.is_some())
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        Ok(Training {
            start: input.task.as_model()?.clone(),
            correction: Correction {
                proximal: self.proximal,
                ..Correction::default()
            },
        })
    }

    fn report(&self, _: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        let report = Payload::Model(trained.params.clone());
        Ok(ClientWork::stateless(report, &trained))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{close, local, mean, size, start, Descent, Toy};

    #[test]
    fn three_rounds_are_those_of_a_float64_reference() {
        let method = FedAvg::default();
        let mut toy = Toy::new(&method, &local());
        let mut w = start().to_vec();
        for round in 1..=3 {
            toy.round(&[0, 1, 2]);
            w = mean(&Descent::of_local().cohort(&w, round), size);
            close(&toy.model(), &w);
        }
    }

    #[test]
    fn uniform_weighting_counts_small_clients_as_large_ones() {
        let method = FedAvg {
            weighting: Weighting::Uniform,
            fine_tune: None,
        };
        let mut toy = Toy::new(&method, &local());
        toy.round(&[0, 1, 2]);
        let models = Descent::of_local().cohort(&start(), 1);
        close(&toy.model(), &mean(&models, |_| 1.0));
    }

    #[test]
    fn only_those_who_report_are_averaged() {
        let method = FedAvg::default();
        let mut toy = Toy::new(&method, &local());
        toy.round(&[2, 0]);
        let models = Descent::of_local().cohort(&start(), 1);
        let weight = |k| if k == 1 { 0.0 } else { size(k) };
        close(&toy.model(), &mean(&models, weight));
    }
}
