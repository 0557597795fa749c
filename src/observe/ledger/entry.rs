//! One invitation, as long as something may yet become of it.

use super::{untold, Work};
use crate::observe::rows::{ClientOutcome, ClientRow};
use crate::quantity::VirtualTime;
use crate::snapshot::snapshot_struct;

#[derive(Debug)]
pub(super) struct Entry {
    /// The client's line as far as it is known; its figures of what was spent are kept here.
    row: ClientRow,
    /// Whether a server has told of it: with an answer, or as lost, which says that it has stopped
    /// waiting.
    told: bool,
    /// Task messages under way.
    tasks: i32,
    /// Answers under way.
    answers: i32,
    /// Work that has not been counted yet, and when it began.
    work: Option<(VirtualTime, Work)>,
    /// When training was done, as far as the client's device tells.
    trained: Option<VirtualTime>,
    received: Option<VirtualTime>,
    /// When an answer came that nobody waited for, and what that makes of the invitation.
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
    told,
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
    /// When it is over, done or not.
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
            told: false,
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

    pub const fn is_told(&self) -> bool {
        self.told
    }

    // What happens.

    pub fn asked(&mut self, bytes: Option<u64>, beside: u64) {
        self.row.overhead_bytes = self.row.overhead_bytes.saturating_add(beside);
        match bytes {
            Some(bytes) => {
                self.tasks += 1;
                self.row.bytes_down = self.row.bytes_down.saturating_add(bytes);
            }
            // It has set itself the task, again if it went down over it.
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

    /// The client gives its training up at `at`; a report that is held back goes out all the same.
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
        // What was sent before is under way all the same.
        self.crashed |= self.answers <= 0 && !over;
        self.tasks = 0;
        self.count_work(at);
    }

    /// A server's word on it.
    pub fn told(&mut self, told: ClientRow) {
        // What was spent is known better here, and only here if no answer came.
        self.row = ClientRow {
            bytes_down: self.row.bytes_down,
            bytes_up: self.row.bytes_up,
            overhead_bytes: self.row.overhead_bytes,
            compute: self.row.compute,
            flops: self.row.flops,
            memory_bytes: self.row.memory_bytes,
            energy_j: self.row.energy_j,
            ..told
        };
        self.told = true;
        if !untold(&self.row) {
            self.answers = 0;
        }
    }

    /// Counts the work that there is, as far as it had come by `at`.
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
        // A share of a number of operations is no larger than they are.
        row.flops = row.flops.saturating_add((work.flops as f64 * share) as u64);
        row.energy_j += work.energy * share;
    }

    // What becomes of it.

    /// Whether nothing more can: nothing of it is under way, the device is not at it, and the server
    /// has told of it.
    pub fn is_final(&self) -> bool {
        let answered = !untold(&self.row) || self.arrived.is_some();
        let quiet = self.work.is_none() && self.tasks <= 0;
        self.told && quiet && (answered || self.answers <= 0)
    }

    /// Whether it is under way at `at`, when the run ends.
    fn is_under_way(&self, at: VirtualTime) -> bool {
        let works = |(_, work): &(VirtualTime, Work)| {
            // What is done and was not heard of was in the moment of being told.
            work.breaks > at.min(work.until)
        };
        self.tasks > 0 || self.answers > 0 || self.work.as_ref().is_some_and(works)
    }

    /// The client's line; of an invitation that is undecided when the run ends, at that moment.
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
        if !untold(&row) {
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
