//! One invitation, as long as something can still become of it.

use super::{unrecorded, Work};
use crate::observe::rows::{ClientOutcome, ClientRow};
use crate::quantity::VirtualTime;
use crate::snapshot::snapshot_struct;

#[derive(Debug)]
pub(super) struct Entry {
    /// The client's line as far as it is known, with the figures of what was spent.
    row: ClientRow,
    /// Whether a server has recorded the invitation: with an answer, or as lost, which means that the
    /// server has stopped waiting.
    recorded: bool,
    /// The number of task messages under way.
    tasks: i32,
    /// The number of answers under way.
    answers: i32,
    /// Work that has not been counted yet, and when it began.
    work: Option<(VirtualTime, Work)>,
    /// When training was done, as far as the client's device has reported it.
    trained: Option<VirtualTime>,
    received: Option<VirtualTime>,
    /// When an answer came for which nobody was waiting, and the outcome that follows from it.
    arrived: Option<(VirtualTime, ClientOutcome)>,
    crashed: bool,
    superseded: bool,
}

snapshot_struct!(Work {
    until,
    breaks,
    compute,
    flops,
    memory,
    energy,
    trains,
});
snapshot_struct!(Entry {
    row,
    recorded,
    tasks,
    answers,
    work,
    trained,
    received,
    arrived,
    crashed,
    superseded,
});

impl Work {
    /// When the work is over, whether it is done or not.
    fn ends(&self) -> VirtualTime {
        self.until.min(self.breaks)
    }
}

impl Entry {
    pub fn of(row: ClientRow) -> Self {
        Self {
            row: ClientRow {
                outcome: ClientOutcome::Lost,
                ..row
            },
            recorded: false,
            tasks: 0,
            answers: 0,
            work: None,
            trained: None,
            received: None,
            arrived: None,
            crashed: false,
            superseded: false,
        }
    }

    pub fn is_of(&self, round: u32) -> bool {
        self.row.round == round
    }

    pub fn is_asked_at(&self, at: VirtualTime) -> bool {
        self.row.invited == at
    }

    pub const fn is_recorded(&self) -> bool {
        self.recorded
    }

    // What happens to the invitation.

    pub fn asked(&mut self, bytes: Option<u64>, beside: u64) {
        self.row.overhead_bytes = self.row.overhead_bytes.saturating_add(beside);
        match bytes {
            Some(bytes) => {
                self.tasks += 1;
                self.row.bytes_down = self.row.bytes_down.saturating_add(bytes);
            }
            // A client without a server has set itself the task, again if it went down during it.
            None => self.tasks = 1,
        }
    }

    pub fn received(&mut self, at: VirtualTime) {
        self.tasks -= 1;
        self.received = self.received.or(Some(at));
    }

    pub fn works(&mut self, work: Work, at: VirtualTime) {
        self.count_work(at);
        self.work = Some((at, work));
    }

    pub fn sent(&mut self, (bytes, beside): (u64, u64), answers: u32, at: VirtualTime) {
        self.row.overhead_bytes = self.row.overhead_bytes.saturating_add(beside);
        if answers > 0 {
            self.count_work(at);
        }
        self.answers = self.answers.saturating_add_unsigned(answers);
        self.row.bytes_up = self.row.bytes_up.saturating_add(bytes);
    }

    pub fn got(&mut self, bytes: u64) {
        self.row.bytes_down = self.row.bytes_down.saturating_add(bytes);
    }

    pub fn moves(&mut self, task: bool, by: i32) {
        match task {
            true => self.tasks += by,
            false => self.answers += by,
        }
    }

    pub fn arrived(&mut self, at: VirtualTime, outcome: ClientOutcome) {
        self.answers -= 1;
        self.arrived.get_or_insert((at, outcome));
    }

    /// Handles a client that gives its training up at `at`; a report that is held back is sent all the
    /// same.
    pub fn breaks(&mut self, at: VirtualTime) {
        let Some((_, work)) = self.work.as_ref().filter(|(_, work)| work.trains) else {
            return;
        };
        self.superseded |= work.ends() > at;
        self.count_work(at);
    }

    pub fn crashed(&mut self, at: VirtualTime) {
        let over = self
            .work
            .as_ref()
            .is_some_and(|(_, work)| work.breaks <= at);
        // Messages that were sent before the crash are still under way.
        self.crashed |= self.answers <= 0 && !over;
        self.tasks = 0;
        self.count_work(at);
    }

    /// Records a server's line about the invitation.
    pub fn record(&mut self, row: ClientRow) {
        // The costs in this entry are more exact than the server's, and are the only ones if no answer
        // came.
        self.row = ClientRow {
            bytes_down: self.row.bytes_down,
            bytes_up: self.row.bytes_up,
            overhead_bytes: self.row.overhead_bytes,
            compute: self.row.compute,
            flops: self.row.flops,
            memory_bytes: self.row.memory_bytes,
            energy_j: self.row.energy_j,
            ..row
        };
        self.recorded = true;
        if !unrecorded(&self.row) {
            self.answers = 0;
        }
    }

    /// Counts the client's work as far as it had come by `at`.
    fn count_work(&mut self, at: VirtualTime) {
        let Some((began, work)) = self.work.take() else {
            return;
        };
        let ends = work.ends().min(at);
        let row = &mut self.row;
        row.memory_bytes = row.memory_bytes.max(work.memory);
        if ends >= work.until {
            row.compute = row.compute + work.compute;
            row.flops = row.flops.saturating_add(work.flops);
            row.energy_j += work.energy;
            if work.trains {
                self.trained = Some(work.until);
            }
            return;
        }
        let (done, all) = (ends.since(began), work.until.since(began));
        let share = done.nanos() as f64 / all.nanos().max(1) as f64;
        row.compute = row.compute + work.compute.scaled(share);
        // Rounding must not make the share of an operation count larger than the count.
        row.flops = row.flops.saturating_add((work.flops as f64 * share) as u64);
        row.energy_j += work.energy * share;
    }

    // What becomes of the invitation.

    /// Whether nothing more can become of the invitation: no message of it is under way, the device is
    /// not working on it, and a server has recorded it.
    pub fn is_final(&self) -> bool {
        let answered = !unrecorded(&self.row) || self.arrived.is_some();
        let quiet = self.work.is_none() && self.tasks <= 0;
        self.recorded && quiet && (answered || self.answers <= 0)
    }

    /// Whether the invitation is under way at `at`, when the run ends.
    fn is_under_way(&self, at: VirtualTime) -> bool {
        let works = |(_, work): &(VirtualTime, Work)| {
            // Work that ends at that very moment is done; only its report is missing.
            work.breaks > at.min(work.until)
        };
        self.tasks > 0 || self.answers > 0 || self.work.as_ref().is_some_and(works)
    }

    /// The client's line; `end` is the end of the run, for an invitation that is then undecided.
    pub fn row(mut self, end: Option<VirtualTime>) -> ClientRow {
        let under_way = end.is_some_and(|at| self.is_under_way(at));
        if let Some(at) = end {
            self.count_work(at);
        }
        let Self {
            mut row,
            arrived,
            received,
            trained,
            ..
        } = self;
        row.received = row.received.or(received);
        row.trained = row.trained.or(trained);
        if !unrecorded(&row) {
            return row;
        }
        row.outcome = match arrived {
            Some((at, outcome)) => {
                row.reported = Some(at);
                outcome
            }
            None if self.crashed => ClientOutcome::Crashed,
            None if self.superseded => ClientOutcome::Superseded,
            None if under_way => ClientOutcome::Unfinished,
            None => ClientOutcome::Lost,
        };
        row
    }
}
