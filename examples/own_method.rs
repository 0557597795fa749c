//! A federated method of your own, by its name in a scenario: `Damped(rate: 0.5)`, FedAvg whose server
//! goes only a part of the way to the mean of the clients' models.
//!
//! ```sh
//! cargo run --release --example own_method -- run examples/own_method.ron
//! ```
//!
//! The program is Shoal's whole command line; its scenarios may name one more method.

use serde::{Deserialize, Serialize};
use shoal::learn::LocalTraining;
use shoal::method::{
    server_of_rule, training_client, ClientHalf, Method, MethodError, ReportKind, ServerHalf,
    ServerRule, Setup, Weighting,
};
use shoal::registry::{Registry, Taken};
use std::sync::Arc;

/// The settings, which are also what a scenario names. Unknown fields are refused in any case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Damped {
    /// How far the server goes to the mean, from 0 (not at all) to 1 (FedAvg).
    rate: f32,
}

impl ServerRule for Damped {
    /// A multiplication and an addition for each parameter.
    const FLOPS: u64 = 2;

    /// `delta` is the mean of the clients' models less the global model; the moments are not used.
    fn step(&self, w: f32, m: f32, v: f32, delta: f32) -> (f32, f32, f32) {
        (w + self.rate * delta, m, v)
    }
}

impl Method for Damped {
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
        server_of_rule(self.clone(), Weighting::Samples, setup)
    }

    /// Clients do what FedAvg's do.
    fn client(&self) -> Arc<dyn ClientHalf> {
        training_client()
    }
}

/// What scenarios may name now. It fails where something else has the name.
pub fn add(registry: &mut Registry) -> Result<(), Taken> {
    let about = "FedAvg whose server goes a part of the way to the mean";
    registry.add::<dyn Method, Damped>("Damped", about)
}

fn main() -> Result<std::process::ExitCode, Taken> {
    let mut registry = Registry::standard();
    add(&mut registry)?;
    registry.install();
    Ok(shoal::cli::main())
}
