//! What the tests of whole federations share.

use super::{DeviceWorker, Federation, Of, Record, Weights};
use crate::observe::rows::{ClientRow, RejectionRow, RoundRow, ServerRow, SizeRow};
use crate::run::assemble;
use crate::scenario::Scenario;
use crate::sim::{
    Delivery, Key, Observe, Recorder, RecorderError, SimError, Simulation, Summary, Workers,
};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

/// Runs a scenario on one worker and one shard.
pub fn run(scenario: &Scenario) -> (Heard, Result<Summary, SimError>) {
    let federation = assemble(scenario, Default::default()).unwrap();
    let mut heard = Heard::default();
    let pool = Workers::start(1, DeviceWorker::new).unwrap();
    let simulation = Simulation {
        world: Arc::new(federation),
        seed: scenario.seed,
        shards: 1,
    };
    let summary = simulation.run(&pool, &mut heard, &AtomicBool::new(false));
    (heard, summary)
}

/// A recorder that keeps what it gets.
#[derive(Default)]
pub struct Heard {
    pub rounds: Vec<RoundRow>,
    pub clients: Vec<ClientRow>,
    pub servers: Vec<ServerRow>,
    pub rejections: Vec<RejectionRow>,
    pub staleness: BTreeMap<u32, u32>,
    pub sizes: Vec<SizeRow>,
    /// The global models of rounds.
    pub weights: Vec<Weights>,
    pub fatal: Option<String>,
}

impl Recorder<Federation> for Heard {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _: Key, record: Record) -> Result<(), RecorderError> {
        match record {
            Record::Round(row) => self.rounds.push(*row),
            Record::Server(row) => self.servers.push(*row),
            Record::Client(row) => self.clients.push(*row),
            Record::Rejection(row) => self.rejections.push(*row),
            Record::Staleness(counts) => {
                for (tau, reports) in counts {
                    *self.staleness.entry(tau).or_default() += reports;
                }
            }
            Record::Size(row) => self.sizes.push(*row),
            Record::Weights(weights) if weights.of == Of::Round => self.weights.push(*weights),
            Record::Fatal(reason) => self.fatal = Some(reason),
            _ => {}
        }
        Ok(())
    }
}
