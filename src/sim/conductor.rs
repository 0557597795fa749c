//! The conductor, which moves virtual time from window to window.
//!
//! For each window the conductor waits for the jobs due in that window, lets all shards run the window
//! side by side, and merges their reports in event order. Shards exchange events only through the
//! conductor, once a window.

use super::accounting::{Accounting, Tally};
use super::checkpoint::{Counters, Restored};
use super::event::{Body, Event, Key, NodeId};
use super::hash::{mix_words, Digest, TraceHash};
use super::host::Host;
use super::network::Network;
use super::node::{Message, World};
use super::recorder::{Recorder, RecorderError};
use super::shard::{Command, EventOf, Shard, WindowDone};
use super::stack::gather;
use super::work::Workers;
use crate::quantity::VirtualTime;
use crate::snapshot::{Damaged, Reader};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// How often a conductor that waits for jobs looks whether the run was interrupted.
const PATIENCE: Duration = Duration::from_millis(50);
/// How many windows a lone shard may run before it returns, so that an interruption is soon noticed.
const WINDOWS_AHEAD: u64 = 4096;

/// A simulation, ready to run.
pub struct Simulation<W: World> {
    /// The world to simulate: its nodes, their handlers and the network.
    pub world: Arc<W>,
    /// The seed that, with node, purpose and counter, names every random stream.
    pub seed: u64,
    /// How many shards (event loops, each with a thread of its own) host the nodes. The number never
    /// changes a result.
    pub shards: usize,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The schedule was completed.
    Finished,
    /// The run was asked to stop; everything up to the last window is recorded.
    Interrupted,
}

/// What a run gives back when it ends.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Why the run ended.
    pub ending: Ending,
    /// The hash of everything that happened: equal for equal scenario and seed.
    pub hash: TraceHash,
    /// The virtual time at the end.
    pub now: VirtualTime,
    /// The number of delivered events: messages, timers, finished jobs, starts of nodes.
    pub delivered: u64,
    /// The number of windows that were run.
    pub windows: u64,
    /// What became of every message.
    pub accounting: Accounting,
}

/// Why a run could not go on. Everything recorded until then stays recorded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimError {
    /// No event is pending, so nothing will ever happen again, and the schedule is not done.
    #[error("wedged at {now}: nothing is pending and the schedule is not done{}", list(.waiting))]
    Wedged {
        /// The time of the last event.
        now: VirtualTime,
        /// The nodes that wait, each with what it waits for in words.
        waiting: Vec<(NodeId, String)>,
    },
    /// The counts of messages do not add up, which is a defect of the engine or of a network model.
    /// Holds the kinds concerned, with their counts.
    #[error("messages unaccounted for: {}", imbalances(.0))]
    Unaccounted(Vec<(&'static str, Tally)>),
    /// The recorder could not go on, for example because the disk is full.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// The checkpoint cannot be read as one of this simulation.
    #[error("the checkpoint is damaged: {0}")]
    Damaged(Damaged),
    /// A thread of the engine ended or could not be started; the text says which.
    #[error("{0}")]
    Host(String),
}

fn list(waiting: &[(NodeId, String)]) -> String {
    const SHOWN: usize = 10;
    let mut text: String = waiting
        .iter()
        .take(SHOWN)
        .map(|(node, what)| format!("\n  {node} waits for {what}"))
        .collect();
    if waiting.len() > SHOWN {
        text += &format!("\n  and {} more nodes wait", waiting.len() - SHOWN);
    }
    text
}

fn imbalances(broken: &[(&'static str, Tally)]) -> String {
    let lines = broken.iter().map(|(kind, t)| {
        format!(
            "{kind}: sent {} + copies {} != delivered {} + lost {} + dropped {} + in flight {}",
            t.sent, t.duplicated, t.delivered, t.lost, t.dropped, t.in_flight
        )
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// What the conductor keeps between windows.
pub(super) struct State<'a, W: World> {
    world: &'a W,
    workers: &'a Workers<W::Job, W::Output>,
    width: u64,
    pub(super) hash: TraceHash,
    pub(super) now: VirtualTime,
    pub(super) delivered: u64,
    pub(super) windows: u64,
    /// Events on their way between shards, by destination shard.
    pub(super) crossing: Vec<Vec<Vec<EventOf<W>>>>,
    /// For each shard, the earliest window with an event in its queue or among the events on their way
    /// to it.
    next: Vec<Option<u64>>,
    /// Jobs that no worker has yet, by the key of the moment at which they are due.
    pub(super) waiting: BTreeMap<Key, W::Job>,
    /// Jobs that workers have.
    pub(super) running: BTreeSet<Key>,
    /// Outputs of finished jobs that are not yet due.
    pub(super) ready: BTreeMap<Key, W::Output>,
    /// The windows of outputs that shards were given before they were due.
    pub(super) handed: BTreeSet<u64>,
    finish: bool,
    /// Whether a node asked for a checkpoint.
    checkpoint: bool,
}

impl<W: World> Simulation<W> {
    /// Runs until the schedule is done or `stop` is set.
    ///
    /// # Errors
    /// Returns a [`SimError`] if the run cannot go on; everything recorded until then stays recorded.
    pub fn run(
        &self,
        workers: &Workers<W::Job, W::Output>,
        recorder: &mut dyn Recorder<W>,
        stop: &AtomicBool,
    ) -> Result<Summary, SimError> {
        self.go_on(None, workers, recorder, stop)
    }

    /// Continues from a checkpoint ([`Recorder::checkpoint`]) of a simulation with this world and seed.
    /// The number of shards and workers may differ; the events, records and trace hash are those of a
    /// run that was never interrupted.
    ///
    /// # Errors
    /// Returns a [`SimError`] if the run cannot go on, or if the checkpoint is not one of this world.
    pub fn resume(
        &self,
        mut from: Reader,
        workers: &Workers<W::Job, W::Output>,
        recorder: &mut dyn Recorder<W>,
        stop: &AtomicBool,
    ) -> Result<Summary, SimError> {
        let restored = Restored::load(self.world.as_ref(), self.shards(), &mut from)?;
        // The reader holds the values that several nodes share; they can be freed now.
        drop(from);
        self.go_on(Some(restored), workers, recorder, stop)
    }

    /// The number of shards that are really used: at least 1, at most one for each node.
    fn shards(&self) -> usize {
        let population = self.world.population().max(1) as usize;
        self.shards.clamp(1, population)
    }

    fn go_on(
        &self,
        restored: Option<Restored<W>>,
        workers: &Workers<W::Job, W::Output>,
        recorder: &mut dyn Recorder<W>,
        stop: &AtomicBool,
    ) -> Result<Summary, SimError> {
        let shards = self.shards();
        let observe = recorder.observe();
        let resumed = restored.is_some();
        let (counters, ready, parts) = match restored {
            Some(Restored {
                counters,
                ready,
                parts,
            }) => (counters, ready, parts),
            None => (Counters::start(), BTreeMap::new(), Vec::new()),
        };
        let mut parts = parts.into_iter();
        let host = Host::start(shards, |index| {
            let mut shard = Shard::new(Arc::clone(&self.world), self.seed, index, shards, observe);
            if let Some(part) = parts.next() {
                shard.restore(part);
            }
            shard
        })
        .map_err(SimError::Host)?;
        let next = match resumed {
            true => host.next_windows(),
            false => host.prime(),
        };
        let mut state = State {
            world: self.world.as_ref(),
            workers,
            width: self.world.network().lookahead().nanos().max(1),
            hash: counters.hash,
            now: counters.now,
            delivered: counters.delivered,
            windows: counters.windows,
            crossing: (0..shards).map(|_| Vec::new()).collect(),
            next: next.map_err(SimError::Host)?,
            waiting: BTreeMap::new(),
            running: BTreeSet::new(),
            ready,
            handed: counters.handed,
            finish: false,
            checkpoint: false,
        };
        let ending = loop {
            if state.finish {
                break Ending::Finished;
            }
            if std::mem::take(&mut state.checkpoint) {
                if !state.finish_work(stop)? {
                    break Ending::Interrupted;
                }
                recorder.checkpoint(&mut |to| state.save(&host, to))?;
            }
            if stop.load(Ordering::Relaxed) {
                break Ending::Interrupted;
            }
            let Some(window) = state.next_window() else {
                let waiting = host.waiting().map_err(SimError::Host)?;
                return Err(SimError::Wedged {
                    now: state.now,
                    waiting,
                });
            };
            if !state.run_window(window, &host, recorder, stop)? {
                break Ending::Interrupted;
            }
        };
        if observe.left {
            state.record_left(&host, recorder)?;
        }
        state.close(ending, &host)
    }
}

impl<W: World> State<'_, W> {
    /// The earliest window in which anything is due.
    fn next_window(&self) -> Option<u64> {
        let jobs = [
            self.waiting.keys().next(),
            self.running.first(),
            self.ready.keys().next(),
        ];
        let jobs = jobs.into_iter().flatten().map(|due| self.window_of(due));
        self.next.iter().flatten().copied().chain(jobs).min()
    }

    fn window_of(&self, due: &Key) -> u64 {
        due.time.nanos() / self.width
    }

    /// Runs one window on all shards; returns false if interrupted while waiting for jobs. A lone shard
    /// has no other shard to wait for: it runs through later windows until it needs a job that is not
    /// done.
    fn run_window(
        &mut self,
        window: u64,
        host: &Host<W>,
        recorder: &mut dyn Recorder<W>,
        stop: &AtomicBool,
    ) -> Result<bool, SimError> {
        let mut reports: Vec<WindowDone<W>> = Vec::new();
        let mut window = window;
        let mut first = true;
        loop {
            if !self.wait_for_work(window, stop)? {
                return Ok(false);
            }
            let lone = host.shards() == 1 && first;
            let until = if lone { self.limit(window)? } else { window };
            let mut done = self.take_ready(until, host.shards());
            let mut asked = 0;
            for shard in 0..host.shards() {
                let done = std::mem::take(&mut done[shard]);
                // When a window goes on after jobs, only the shards that got an output have anything to
                // do.
                if first || !done.is_empty() {
                    let incoming = if first {
                        std::mem::take(&mut self.crossing[shard])
                    } else {
                        Vec::new()
                    };
                    let command = Command {
                        window,
                        resumed: !first,
                        until,
                        incoming,
                        done,
                    };
                    host.command(shard, command);
                    asked += 1;
                }
            }
            first = false;
            // All reports are collected first: every shard has to have taken this pass's events before
            // the next pass.
            let mut round = Vec::with_capacity(asked);
            for _ in 0..asked {
                round.push(host.report().map_err(SimError::Host)?);
            }
            for report in &mut round {
                let crossing = self.crossing[report.shard].iter().flatten();
                let earliest = crossing.map(|event| self.window_of(&event.key)).min();
                self.next[report.shard] = report.next.into_iter().chain(earliest).min();
                if let Some((last, _)) = report.windows.last() {
                    window = window.max(*last);
                }
            }
            for report in &mut round {
                for (shard, (batch, earliest)) in report.outgoing.drain(..).enumerate() {
                    if !batch.is_empty() {
                        self.crossing[shard].push(batch);
                        let next = &mut self.next[shard];
                        *next = Some(next.map_or(earliest, |n| n.min(earliest)));
                    }
                }
                for submitted in report.jobs.drain(..) {
                    self.waiting.insert(submitted.due, submitted.job);
                }
                self.finish |= report.finish;
                self.checkpoint |= report.checkpoint;
            }
            reports.extend(round);
            self.handed.retain(|handed| *handed > window);
            let in_window = |due: Option<&Key>| due.is_some_and(|d| self.window_of(d) <= window);
            if !in_window(self.waiting.keys().next()) {
                break;
            }
        }
        self.merge_reports(reports, recorder)?;
        Ok(true)
    }

    /// Waits until all jobs due by `window` are done; false if interrupted.
    fn wait_for_work(&mut self, window: u64, stop: &AtomicBool) -> Result<bool, SimError> {
        let width = self.width;
        let due_by = |key: Option<&Key>| key.is_some_and(|key| key.time.nanos() / width <= window);
        if due_by(self.waiting.keys().next())
            || due_by(self.running.first())
            || due_by(self.ready.keys().next())
            || self.handed.first().is_some_and(|handed| *handed <= window)
        {
            // Virtual time must wait: now, and only now, all pending jobs are handed out, earliest due
            // first. The choice depends on virtual time alone, not on which jobs are done by now.
            self.hand_out();
        }
        while due_by(self.running.first()) {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            self.collect(PATIENCE)?;
        }
        Ok(true)
    }

    /// Gives all pending jobs to the workers.
    fn hand_out(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for unit in gather(waiting, |job| self.world.stack(job)) {
            self.running.extend(unit.dues.iter().copied());
            self.workers.submit(unit);
        }
    }

    /// Waits until all jobs are done, whenever they are due; false if interrupted.
    fn finish_work(&mut self, stop: &AtomicBool) -> Result<bool, SimError> {
        self.hand_out();
        while !self.running.is_empty() {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            self.collect(PATIENCE)?;
        }
        Ok(true)
    }

    /// Takes one finished unit of jobs from the workers; false if none was finished within `patience`.
    fn collect(&mut self, patience: Duration) -> Result<bool, SimError> {
        let Some(outputs) = self.workers.finished(patience).map_err(SimError::Host)? else {
            return Ok(false);
        };
        for (due, output) in outputs {
            self.running.remove(&due);
            self.ready.insert(due, output);
        }
        Ok(true)
    }

    /// The last window that a lone shard can run without waiting for a job. It depends on how far the
    /// workers are; how windows are grouped into commands cannot be seen in any result.
    fn limit(&mut self, window: u64) -> Result<u64, SimError> {
        while self.collect(Duration::ZERO)? {}
        let pending = [self.waiting.keys().next(), self.running.first()];
        let pending = pending.into_iter().flatten().map(|due| self.window_of(due));
        let last = pending.min().map_or(u64::MAX, |due| due - 1);
        Ok(last.clamp(window, window.saturating_add(WINDOWS_AHEAD)))
    }

    /// The outputs due by window `until`, by shard.
    fn take_ready(&mut self, until: u64, shards: usize) -> Vec<Vec<EventOf<W>>> {
        let mut done: Vec<Vec<EventOf<W>>> = (0..shards).map(|_| Vec::new()).collect();
        while let Some(entry) = self.ready.first_entry() {
            let due = entry.key().time.nanos() / self.width;
            if due > until {
                break;
            }
            self.handed.insert(due);
            let (key, output) = entry.remove_entry();
            done[Shard::<W>::home(key.source, shards)].push(Event {
                key,
                sent: key.time,
                target: key.source,
                body: Body::Done(output),
            });
        }
        done
    }

    /// Merges the reports of the shards in event order: chains the trace hash and passes records on.
    fn merge_reports(
        &mut self,
        reports: Vec<WindowDone<W>>,
        recorder: &mut dyn Recorder<W>,
    ) -> Result<(), SimError> {
        let mut digests: BTreeMap<u64, u64> = BTreeMap::new();
        let mut records = Vec::new();
        let mut deliveries = Vec::new();
        for report in reports {
            for (window, digest) in report.windows {
                let sum = digests.entry(window).or_default();
                *sum = sum.wrapping_add(digest);
            }
            self.delivered += report.delivered;
            records.extend(report.records);
            deliveries.extend(report.deliveries);
        }
        self.windows += digests.len() as u64;
        if let Some((last, _)) = digests.last_key_value() {
            self.now = VirtualTime::from_nanos(last.saturating_mul(self.width));
        }
        if !deliveries.is_empty() {
            deliveries.sort_by_key(|d| d.key);
            recorder.deliveries(&deliveries)?;
        }
        // The sort is stable: the records of one event stay in the order in which its handler made
        // them.
        records.sort_by_key(|(key, _)| *key);
        // Windows and records are chained in the order of virtual time, whichever way windows were
        // grouped into commands.
        let mut digests = digests.into_iter().peekable();
        for (key, record) in records {
            let own = self.window_of(&key);
            while let Some((window, digest)) = digests.next_if(|(window, _)| *window <= own) {
                self.hash.chain(mix_words(&[window, digest]));
            }
            if record.counts() {
                self.hash.chain(record.digest());
            }
            recorder.record(key, record)?;
        }
        for (window, digest) in digests {
            self.hash.chain(mix_words(&[window, digest]));
        }
        Ok(())
    }

    /// Passes on the records of the state in which each node is at the end ([`World::left`]).
    fn record_left(&self, host: &Host<W>, recorder: &mut dyn Recorder<W>) -> Result<(), SimError> {
        for shard in 0..host.shards() {
            for left in host.left(shard) {
                let (source, record) = left.map_err(SimError::Host)?;
                let at = Key {
                    time: self.now,
                    source,
                    sequence: u64::MAX,
                };
                recorder.record(at, record)?;
            }
        }
        Ok(())
    }

    fn close(mut self, ending: Ending, host: &Host<W>) -> Result<Summary, SimError> {
        let names = W::Message::KINDS;
        let mut crossing = vec![Tally::default(); names.len()];
        for event in self.crossing.drain(..).flatten().flatten() {
            if let Some(parcel) = event.into_parcel() {
                if let Some(tally) = crossing.get_mut(usize::from(parcel.message.kind())) {
                    tally.in_flight += 1;
                }
            }
        }
        let mut accounting = Accounting::default();
        accounting.merge(names, &crossing);
        for tallies in host.close().map_err(SimError::Host)? {
            accounting.merge(names, &tallies);
        }
        let unbalanced = accounting.unbalanced();
        if !unbalanced.is_empty() {
            return Err(SimError::Unaccounted(unbalanced));
        }
        Ok(Summary {
            ending,
            hash: self.hash,
            now: self.now,
            delivered: self.delivered,
            windows: self.windows,
            accounting,
        })
    }
}
