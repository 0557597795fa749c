//! What stands for reports whose making is only modelled: their size.
//!
//! Before the run begins one client of each width does one step of its work for real, with the
//! method's client half and all its layers; what it reports gives the size of all reports of that
//! width. That is exact where the size depends on the network alone, as it does in every method that
//! says it can be modelled ([`Method::modelled`](crate::method::Method::modelled)) and in every
//! compression there is.

use super::evaluation::Evaluator;
use super::world::Shared;
use crate::learn::{prepare_worker_thread, Amount, LocalTraining, Scratch};
use crate::method::{ClientInput, ClientState, MethodError, Payload, Phase, ServerHalf};
use crate::quantity::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of work that is not done.
#[derive(Debug, Default)]
pub(super) struct StandIns {
    /// The sizes of reports, by level; none where nobody of that level can train.
    reports: Vec<Option<Bytes>>,
    /// How many pieces an evaluation would have.
    pub pieces: u64,
}

impl StandIns {
    /// What stands for a report of a client of level `level`.
    pub fn report(&self, level: usize) -> Payload {
        let bytes = self.reports.get(level).copied().flatten();
        Payload::Blank(bytes.unwrap_or_default())
    }

    /// Lets one client of each level work for one step.
    ///
    /// # Errors
    /// What its work says.
    pub fn find(shared: &Shared) -> Result<Self, MethodError> {
        let levels = shared.sizes.levels().len();
        let mut first: BTreeMap<usize, u32> = BTreeMap::new();
        for client in 0..shared.plan.population() {
            let level = shared.sizes.level_of(client);
            if !first.contains_key(&level) && shared.plan.partition.size(client as usize) > 0 {
                first.insert(level, client);
                if first.len() == levels {
                    break;
                }
            }
        }
        let mut half = shared.fresh_half()?;
        let pieces = Evaluator::count(&shared.plan, &shared.sizes, half.personal());
        if !half.needs_clients() {
            let reports = Vec::new();
            return Ok(Self { reports, pieces });
        }
        let asked: Vec<u32> = first.values().copied().collect();
        for phase in [Phase::Setup, Phase::BeforeRound(1)] {
            pass(half.as_mut(), phase)?;
        }
        half.cohort(1, &asked);
        let mut inputs = Vec::new();
        for (level, client) in first {
            inputs.push((level, input(shared, client, half.task(client, 1)?)));
        }
        let mut reports = vec![None; levels];
        // As a device worker does: settings of torch belong to a thread.
        let works = std::thread::scope(|scope| {
            let all = scope.spawn(|| {
                prepare_worker_thread();
                let mut scratch = Scratch::default();
                let each = inputs.iter().map(|(level, input)| {
                    let work = shared.client_half.run(input, &mut scratch)?;
                    Ok((*level, work.report.wire_bytes()))
                });
                each.collect::<Result<Vec<_>, MethodError>>()
            });
            all.join()
        });
        let works = works
            .map_err(|_| MethodError::layer("modelled reports", "a client's work panics"))??;
        for (level, bytes) in works {
            if let Some(size) = reports.get_mut(level) {
                *size = Some(bytes);
            }
        }
        Ok(Self { reports, pieces })
    }
}

/// The work of `client` in the first round, cut down to one step.
fn input(shared: &Shared, client: u32, task: Payload) -> ClientInput {
    let group = shared.plan.group_of(client);
    let local = Arc::new(LocalTraining {
        amount: Amount::Steps(1),
        ..LocalTraining::clone(&shared.local[group])
    });
    let train = shared.train_samples(client, 1);
    shared.input((client, 1), local, train, task, ClientState::default())
}

/// Goes through a phase of the server's own work without doing it.
fn pass(half: &mut dyn ServerHalf, phase: Phase) -> Result<(), MethodError> {
    let mut outputs = Vec::new();
    loop {
        let jobs = half.step(phase, outputs)?;
        if jobs.is_empty() {
            return Ok(());
        }
        outputs = jobs.into_iter().filter_map(|job| job.stand_in).collect();
    }
}
