//! A run driven from Rust: a scenario is read, its federation assembled and simulated, and every round is
//! looked at as it closes. No folder is written.
//!
//! ```sh
//! cargo run --release --example run_from_rust
//! ```

use shoal::federation::{DeviceWorker, Federation, Record};
use shoal::learn::HostDevice;
use shoal::sim::{Delivery, Key, Observe, Recorder, RecorderError, Simulation, Workers};
use shoal::{run::assemble, scenario::Scenario};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

/// Prints each round, and keeps how good the model is.
#[derive(Default)]
struct Printer {
    accuracies: Vec<f64>,
}

impl Recorder<Federation> for Printer {
    /// Neither every delivery nor every message is wanted, only what nodes record.
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _at: Key, record: Record) -> Result<(), RecorderError> {
        if let Record::Round(row) = record {
            let accuracy = row.accuracy.unwrap_or(f64::NAN);
            shoal::say!(
                "round {}: accuracy {accuracy:.4}, ended at {}",
                row.round,
                row.ended
            );
            self.accuracies.push(accuracy);
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = "Scenario(data: Digits, model: [Flatten, Dense(10)], partition: (by: Iid()),
        training: (epochs: 2, batch: 16, optimizer: Sgd(lr: 0.1)),
        population: [(count: 20)], schedule: (rounds: 5, cohort: 5))";
    let scenario = Scenario::parse(text, Path::new("from Rust"), &[])?;
    let federation = assemble(&scenario, HostDevice::Cpu)?;
    let workers = Workers::start(2, DeviceWorker::new)?;
    let simulation = Simulation {
        world: Arc::new(federation),
        seed: scenario.seed,
        shards: 1,
    };
    let mut printer = Printer::default();
    let summary = simulation.run(&workers, &mut printer, &AtomicBool::new(false))?;
    shoal::say!("trace hash {}", summary.hash);
    assert_eq!(printer.accuracies.len(), 5);
    Ok(())
}
