//! Federations without a server that really learn, against their definitions in double precision.

use super::super::testing::Heard;
use super::super::{DeviceWorker, Federation};
use crate::model::ParamSet;
use crate::observe::rows::{ClientOutcome, Outcome};
use crate::run::assemble;
use crate::scenario::Scenario;
use crate::sim::{Ending, SimError, Simulation, Summary, Workers};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

mod definitions;
mod delays;
mod runs;

/// What is watched of a client's round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// What it trains from.
    Start,
    /// What training makes of that.
    Trained,
    /// What it ends the round with.
    End,
}

/// A run and what was watched in it.
struct Ran {
    heard: Heard,
    summary: Result<Summary, SimError>,
    federation: Arc<Federation>,
}

impl Ran {
    fn finished(self) -> Self {
        assert_eq!(self.heard.fatal, None);
        let summary = self
            .summary
            .as_ref()
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(summary.ending, Ending::Finished);
        assert!(summary.accounting.unbalanced().is_empty());
        self
    }

    fn model(&self, what: What, round: u32, client: u32) -> Vec<f64> {
        let watched = self.federation.shared().gossip.as_ref().unwrap();
        let watched = watched.watched.lock().unwrap();
        let set = watched.get(&(what, round, client));
        let set = set.unwrap_or_else(|| panic!("{what:?} of {client} in {round}"));
        wide(set)
    }

    fn initial(&self) -> Vec<f64> {
        wide(&self.federation.shared().gossip.as_ref().unwrap().initial)
    }
}

fn wide(set: &ParamSet) -> Vec<f64> {
    set.as_slice()
        .unwrap()
        .iter()
        .map(|v| f64::from(*v))
        .collect()
}

fn scenario(clients: u32, topology: &str, schedule: &str, further: &str) -> Scenario {
    let population = match further.contains("population:") {
        true => String::new(),
        false => format!("population: [(count: {clients}, device: \"laptop\", link: \"lan\")],"),
    };
    let training = match further.contains("training:") {
        true => "",
        false => "training: (epochs: 1, batch: 16, optimizer: Sgd(lr: 0.2)),",
    };
    let text = format!(
        "Scenario(
            seed: 4,
            data: Digits,
            partition: (by: Iid(samples_per_client: 48)),
            model: [Flatten, Dense(10)],
            {training}
            {population}
            topology: Gossip({topology}),
            schedule: ({schedule}),
            {further}
        )"
    );
    let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]);
    scenario.unwrap_or_else(|problems| panic!("{problems:#}"))
}

fn run_on(scenario: &Scenario, workers: usize, shards: usize) -> Ran {
    let federation = Arc::new(assemble(scenario, Default::default()).unwrap());
    let mut heard = Heard::default();
    let pool = Workers::start(workers, DeviceWorker::new).unwrap();
    let simulation = Simulation {
        world: Arc::clone(&federation),
        seed: scenario.seed,
        shards,
    };
    let summary = simulation.run(&pool, &mut heard, &AtomicBool::new(false));
    Ran {
        heard,
        summary,
        federation,
    }
}

fn run(clients: u32, topology: &str, schedule: &str, further: &str) -> Ran {
    run_on(&scenario(clients, topology, schedule, further), 1, 1).finished()
}

fn combine(w: &[f64], models: &[Vec<f64>]) -> Vec<f64> {
    let mut sum = vec![0.0; models[0].len()];
    for (weight, model) in w.iter().zip(models) {
        sum.iter_mut()
            .zip(model)
            .for_each(|(sum, x)| *sum += weight * x);
    }
    sum
}

#[track_caller]
fn near(found: &[f64], expected: &[f64], within: f64) {
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let off = off.fold(0.0, f64::max);
    assert!(off <= within, "{off}");
}

/// W of a ring of n with weights 1/3.
fn ring(n: usize) -> Vec<Vec<f64>> {
    let row = |i: usize| {
        let mut row = vec![0.0; n];
        for j in [i, (i + 1) % n, (i + n - 1) % n] {
            row[j] = 1.0 / 3.0;
        }
        row
    };
    (0..n).map(row).collect()
}

/// 1/n Σ ‖x_i − x̄‖².
fn consensus(models: &[Vec<f64>]) -> f64 {
    let n = models.len();
    let mean = combine(&vec![1.0 / n as f64; n], models);
    let away = |model: &Vec<f64>| -> f64 {
        model
            .iter()
            .zip(&mean)
            .map(|(x, m)| (x - m) * (x - m))
            .sum()
    };
    models.iter().map(away).sum::<f64>() / n as f64
}
