//! Stand-ins for the reports of clients whose training is only modelled: the size of a report. Clients
//! that stop training in time to report
//! ([`OnDeadline::ReportPartial`](super::on_deadline::OnDeadline::ReportPartial)) go by this size, too.
//!
//! Before the run begins, one client of each width really does one local step, with the method's client
//! half and all its layers. The size of its report is the size of all reports of that width. This is exact
//! where the size depends on the network alone, as it does in every method that can be modelled
//! ([`Method::modelled`](crate::method::Method::modelled)) and in every compression that Shoal has.

use super::evaluation::Evaluator;
use super::world::Shared;
use crate::learn::{prepare_worker_thread, Amount, LocalTraining, Scratch};
use crate::method::{ClientInput, ClientState, MethodError, Payload, Phase, ServerHalf};
use crate::quantity::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of work before it is done.
#[derive(Debug, Default)]
pub(super) struct StandIns {
    /// The size of reports, by width; `None` for a width of which no client can train.
    reports: Vec<Option<Bytes>>,
    /// How many pieces an evaluation of real models would have, with those of the query of statistics.
    pub pieces: u64,
}

impl StandIns {
    /// The stand-in for a report of a client of width `level`.
    pub fn report(&self, level: usize) -> Payload {
        let bytes = self.reports.get(level).copied().flatten();
        Payload::Blank(bytes.unwrap_or_default())
    }

    /// Finds the sizes: lets one client of each width do one local step.
    ///
    /// # Errors
    /// When the method's server half or a client's work fails.
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
        let pieces = pieces + shared.query.count();
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
        // On a thread of its own, as a device worker has, since libtorch keeps settings for each thread.
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

/// The work of `client` in the first round, cut down to one local step.
fn input(shared: &Shared, client: u32, task: Payload) -> ClientInput {
    let group = shared.plan.group_of(client);
    let local = Arc::new(LocalTraining {
        amount: Amount::Steps(1),
        ..LocalTraining::clone(&shared.local[group])
    });
    let train = shared.train_samples(client, 1);
    shared.input((client, 1), local, train, task, ClientState::default())
}

/// Goes through a phase of the method's own work without doing its jobs.
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
