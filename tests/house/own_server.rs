//! A federated method of your own, by its name in a scenario: `Halfway(rate: 0.5)`, FedAvg whose server
//! goes only a part of the way to the mean of the clients' models.
//! Written out whole, without the rules that Shoal has for such servers.

use serde::{Deserialize, Serialize};
use shoal::learn::LocalTraining;
use shoal::method::{
    ClientHalf, Method, MethodError, MethodSpec, Payload, Phase, Received, ReportKind, ServerHalf,
    ServerJob, Setup, WeightedSum,
};
use shoal::model::{Buffer, ParamSet};
use shoal::quantity::Flops;
use shoal::registry::{Registry, Taken};
use shoal::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::sync::Arc;

/// The settings, which are also what a scenario names. Unknown fields are refused in any case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Halfway {
    /// How far the server goes to the mean, from 0 (not at all) to 1 (FedAvg).
    rate: f32,
}

impl Default for Halfway {
    fn default() -> Self {
        Self { rate: 0.5 }
    }
}

impl Method for Halfway {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        let wrong = !(self.rate > 0.0 && self.rate <= 1.0);
        let message = format!("{} is outside (0, 1]", self.rate);
        wrong.then_some(("rate", message)).into_iter().collect()
    }

    /// With this, compression, privacy, attacks and defences go with the method.
    fn reports(&self) -> ReportKind {
        ReportKind::Model
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Server {
            models: WeightedSum::like(&setup.initial),
            global: setup.initial,
            rate: self.rate,
        }))
    }

    /// Clients do what FedAvg's do.
    fn client(&self) -> Arc<dyn ClientHalf> {
        MethodSpec::default().method().client()
    }
}

struct Server {
    global: ParamSet,
    models: WeightedSum,
    rate: f32,
}

impl ServerHalf for Server {
    fn task(&mut self, _: u32, _: u32) -> Result<Payload, MethodError> {
        Ok(Payload::Model(self.global.clone()))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let weight = f64::from(report.samples);
        Ok(self.models.add(report.payload.as_model()?, weight)?)
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let (Phase::AfterRound(_), Some(mean)) = (phase, self.models.take_mean()?) {
            let mut next = Buffer::copy_of(&self.global)?;
            next.scale(1.0 - self.rate)?;
            next.add_scaled(self.rate, &mean.freeze())?;
            self.global = next.freeze();
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.models.clear();
    }

    // What the virtual server is charged: an addition a value for each report, three for the step.
    fn receive_flops(&self) -> Flops {
        Flops(self.global.len() as u64)
    }

    fn round_flops(&self) -> Flops {
        Flops(3 * self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }

    // Between rounds the sum is empty: the model is all that a checkpoint needs.
    fn save(&self, to: &mut Writer) {
        self.global.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.global = Snapshot::load(from)?;
        Ok(())
    }
}

/// What scenarios may name now. It fails where something else has the name.
pub fn add(registry: &mut Registry) -> Result<(), Taken> {
    let about = "FedAvg whose server goes a part of the way to the mean";
    registry.add::<dyn Method, Halfway>("Halfway", about)
}
