//! Runs a run folder's scenario again and says whether it is the same run.

mod files;

pub use files::altered;

use super::ranks::{agree, call, Head};
use super::trace::{TraceReader, TRACE};
use super::{assemble, simulate, Executors, Options, RunError, LIBTORCH, SCENARIO};
use crate::disk;
use crate::federation::{DeviceMemory, Federation, Message, Record};
use crate::learn::HostDevice;
use crate::model::Spill;
use crate::observe::folder::RECORD;
use crate::observe::record::{Host, RunRecord};
use crate::quantity::Bytes;
use crate::scenario::Scenario;
use crate::sim::{Delivery, Key, Message as _, Observe, Recorder, RecorderError, SimError};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use thiserror::Error;

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The same trace hash.
    Identical {
        /// It.
        hash: String,
        /// How many delivered events were compared.
        events: u64,
    },
    /// The recorded run was stopped; up to there, all events are the same.
    IdenticalSoFar {
        /// How many delivered events were compared.
        events: u64,
    },
    /// The first event that differs.
    Diverged(Box<Divergence>),
    /// All events are the same, and yet the hashes differ: a metric does, or an event beyond those
    /// that the trace keeps.
    HashDiffers {
        /// The recorded one.
        recorded: String,
        /// The one of this run.
        now: String,
        /// How many delivered events were compared.
        events: u64,
    },
    /// The run was stopped before it could be told.
    Interrupted {
        /// How many delivered events were the same until then.
        events: u64,
    },
}

/// The first event in which two runs differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// How many events were the same before it.
    pub index: u64,
    /// What the folder has; `None` when its run had ended.
    pub recorded: Option<Delivery>,
    /// What happened this time; `None` when the run had ended.
    pub now: Option<Delivery>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |delivery: &Option<Delivery>| match delivery {
            Some(d) => format!(
                "t = {} ns: {} from {} (sequence {}) to {}, digest {:016x}",
                d.key.time.nanos(),
                Delivery::kind_in_words(d.kind, Message::KINDS),
                d.key.source,
                d.key.sequence,
                d.target,
                d.digest
            ),
            None => "no further event".to_string(),
        };
        writeln!(f, "diverged at event {} (counted from 0)", self.index)?;
        writeln!(f, "  recorded  {}", words(&self.recorded))?;
        write!(f, "  now       {}", words(&self.now))
    }
}

impl Verdict {
    /// Whether nothing differs.
    pub const fn is_identical(&self) -> bool {
        matches!(self, Self::Identical { .. } | Self::IdenticalSoFar { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identical { hash, events } => {
                write!(f, "identical: {events} events, trace hash {hash}")
            }
            Self::IdenticalSoFar { events } => write!(
                f,
                "identical up to where the recorded run was stopped: {events} events"
            ),
            Self::Diverged(divergence) => divergence.fmt(f),
            Self::HashDiffers {
                recorded,
                now,
                events,
            } => write!(
                f,
                "the {events} recorded events are the same, but the trace hash was {recorded} and is {now}: \
                 a metric differs, or an event beyond the recorded ones"
            ),
            Self::Interrupted { events } => write!(f, "interrupted: {events} events were the same until then"),
        }
    }
}

/// Compares what happens with what a trace says.
struct Comparer<'a> {
    reference: TraceReader,
    compared: u64,
    /// Where the recorded run was stopped is where this one may stop too.
    open_ended: bool,
    ended: bool,
    stop: &'a AtomicBool,
    fatal: Option<String>,
}

/// Ends a run at its first difference.
#[derive(Debug, Error)]
#[error("{0}")]
struct Diverged(Divergence);

impl Recorder<Federation> for Comparer<'_> {
    fn observe(&self) -> Observe {
        Observe {
            deliveries: true,
            left: false,
        }
    }

    fn deliveries(&mut self, deliveries: &[Delivery]) -> Result<(), RecorderError> {
        for now in deliveries {
            if self.ended {
                return Ok(());
            }
            let cut = self.reference.is_cut();
            let recorded = self
                .reference
                .next_event()
                .map_err(|e| RecorderError(Box::new(e)))?;
            let same = recorded.is_some_and(|r| {
                (r.key, r.target, r.kind, r.digest) == (now.key, now.target, now.kind, now.digest)
            });
            if same {
                self.compared += 1;
            } else if recorded.is_none() && (cut || self.open_ended) {
                self.ended = true;
                if self.open_ended {
                    self.stop.store(true, Ordering::Relaxed);
                }
            } else {
                return Err(RecorderError(Box::new(Diverged(Divergence {
                    index: self.compared,
                    recorded,
                    now: Some(*now),
                }))));
            }
        }
        Ok(())
    }

    fn record(&mut self, _: Key, record: Record) -> Result<(), RecorderError> {
        if let Record::Fatal(reason) = record {
            self.fatal = Some(reason);
        }
        Ok(())
    }
}

/// In what this machine may compute differently from the one that made the run in `folder`, a line each:
/// where it does, events differ in their last digits, and nothing is wrong with the run.
///
/// # Errors
/// When the folder is not one of a run.
pub fn elsewhere(folder: &Path) -> Result<Vec<String>, RunError> {
    let record = RunRecord::read(&folder.join(RECORD)).map_err(|error| RunError::NotARun {
        problem: error.to_string(),
    })?;
    Ok(record.differences(&Host::detect(LIBTORCH)))
}

/// Runs the scenario of a run folder again on `workers` device workers, and on those of other `ranks`,
/// and compares.
///
/// # Errors
/// When the folder is not one of a run with a trace, or its scenario cannot be run any more.
pub fn verify(
    folder: &Path,
    workers: usize,
    device: HostDevice,
    kept_memory: Bytes,
    ranks: Option<&Arc<Head>>,
    stop: &AtomicBool,
) -> Result<Verdict, RunError> {
    let not_a_run = |problem: String| RunError::NotARun { problem };
    let unreadable = |name: &str, error: io::Error| {
        not_a_run(format!("{}: {error}", folder.join(name).display()))
    };
    let record =
        RunRecord::read(&folder.join(RECORD)).map_err(|error| not_a_run(error.to_string()))?;
    let text = disk::read_to_string(&folder.join(SCENARIO)).map_err(|e| unreadable(SCENARIO, e))?;
    let reference = TraceReader::open(folder).map_err(|e| unreadable(TRACE, e))?;
    let scenario = Scenario::parse(&text, Path::new(&record.scenario_file), &record.overrides)?;
    // Cut as the run cut: a limit on memory can show in the last bits.
    let memory = record.memory.map(Bytes);
    let options = Options {
        workers,
        device,
        memory,
        out: None,
        file: PathBuf::from(&record.scenario_file),
        text,
        overrides: record.overrides.clone(),
        kept_memory,
        quiet: true,
        ranks: ranks.cloned(),
    };
    call(&options)?;
    let mut federation = assemble(&scenario, device)?.within(device.stack_limit(memory));
    agree(&scenario, &options, federation.plan(), stop)?;
    match Spill::create(folder, kept_memory.0) {
        Ok(spill) => federation.spill_to(spill),
        // A run folder that cannot be written to can still be verified.
        Err(error) => tracing::warn!(%error, "all that clients keep stays in memory"),
    }
    let memory = DeviceMemory::new(memory, device.available());
    let mut comparer = Comparer {
        reference,
        compared: 0,
        open_ended: !record.status.is_at_end(),
        ended: false,
        stop,
        fatal: None,
    };
    let result = simulate(
        federation,
        None,
        scenario.seed,
        Executors::of(&options),
        memory,
        &mut comparer,
        stop,
    );
    let events = comparer.compared;
    let summary = match result {
        Ok(summary) => summary,
        Err(RunError::Sim(SimError::Recorder(error))) => {
            return match error.0.downcast::<Diverged>() {
                Ok(diverged) => Ok(Verdict::Diverged(Box::new(diverged.0))),
                Err(other) => Err(RunError::Fatal(other.to_string())),
            }
        }
        Err(error) => return Err(error),
    };
    if let Some(reason) = comparer.fatal {
        if record.status.is_at_end() {
            return Err(RunError::Fatal(reason));
        }
    }
    if comparer.open_ended && comparer.ended {
        return Ok(Verdict::IdenticalSoFar { events });
    }
    if stop.load(Ordering::Relaxed) {
        return Ok(Verdict::Interrupted { events });
    }
    if !comparer.ended {
        let left = comparer
            .reference
            .next_event()
            .map_err(|e| unreadable(TRACE, e))?;
        if left.is_some() {
            return Ok(Verdict::Diverged(Box::new(Divergence {
                index: events,
                recorded: left,
                now: None,
            })));
        }
    }
    let now = summary.hash.to_string();
    match record.trace_hash {
        Some(hash) if hash == now => Ok(Verdict::Identical { hash, events }),
        Some(recorded) => Ok(Verdict::HashDiffers {
            recorded,
            now,
            events,
        }),
        None => Ok(Verdict::IdenticalSoFar { events }),
    }
}
