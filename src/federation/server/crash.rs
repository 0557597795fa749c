//! A server that crashes, and goes on with the last of its own checkpoints that can be read.
//!
//! The server writes a checkpoint when it is set up and after every so many rounds, and keeps the last
//! two. Checkpoints cost nothing where no crash is planned. After a crash the model is that of the
//! checkpoint, but the numbers of rounds go on, so that no client is asked twice in one round: the server
//! is taken to write down that a round begins before it asks anybody.

use super::super::world::Shared;
use super::{timer, Cx, Server, Stage};
use crate::method::{Phase, ServerHalf};
use crate::observe::rows::Outcome;
use crate::quantity::{Span, VirtualTime};
use crate::select::Policy;
use crate::snapshot::{memory, snapshot_struct, Damaged};
use std::sync::Arc;

/// How many checkpoints are kept. The one before the last is there in case the last was not written
/// whole.
const KEPT: usize = 2;

/// One of the server's checkpoints.
pub(super) struct Kept {
    /// The last round before the checkpoint.
    round: u32,
    /// What [`ServerHalf::save`] and [`Policy::save`] wrote, with its checksum, or only its first bytes if
    /// a fault tore the checkpoint.
    bytes: Arc<Vec<u8>>,
}

snapshot_struct!(Kept { round, bytes });

impl Kept {
    /// Reads the checkpoint into a half and a policy that were just made.
    fn read(
        &self,
        shared: &Shared,
        half: &mut dyn ServerHalf,
        policy: &mut dyn Policy,
    ) -> Result<(), Damaged> {
        let mut from = memory::open(&self.bytes)?;
        from.know(shared.layouts());
        half.restore(&mut from)?;
        policy.restore(&mut from)
    }
}

impl Server {
    /// Writes a checkpoint between two rounds, if one may ever be needed.
    pub(super) fn keep(&mut self, cx: &Cx<'_>) -> Result<(), String> {
        let faults = &self.shared.faults.server;
        if !faults.can_crash() {
            return Ok(());
        }
        let round = self.round.number;
        let written = memory::write(|to| {
            self.half.save(to);
            self.policy.save(to);
        });
        let mut bytes = written.map_err(|error| format!("the server's checkpoint: {error}"))?;
        self.written += 1;
        let length = bytes.len() as u64;
        if let Some(left) = faults.tears(length, round, self.written, cx.now()) {
            bytes.truncate(left as usize);
        }
        self.kept.push_back(Kept {
            round,
            bytes: Arc::new(bytes),
        });
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        Ok(())
    }

    /// Sets the timer of the next crash.
    pub(super) fn await_crash(&mut self, cx: &mut Cx<'_>) {
        if let Some(at) = self.shared.faults.server.next_crash(cx.now()) {
            self.alarm(at, timer::CRASH, cx);
        }
    }

    /// Sets a timer of a crash. Until its crash, a run is the same run as one without the crash: timers of
    /// crashes have no part in the numbers by which random streams are named.
    fn alarm(&mut self, at: VirtualTime, token: u64, cx: &mut Cx<'_>) {
        cx.timer_beside(at.since(cx.now()), token, self.timers);
        self.timers += 1;
    }

    /// Goes down in the middle of whatever the server is doing. The server does not go down after the last
    /// round, when the federation's work is over.
    pub(super) fn crash(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        let jobs: Vec<_> = match &self.stage {
            Stage::Finished
            | Stage::Down
            | Stage::Working {
                phase: Phase::Finish,
                ..
            } => return,
            Stage::Working { jobs, .. } => jobs.iter().map(|(id, _)| *id).collect(),
            Stage::Querying { pieces } => pieces.iter().map(|(id, _)| *id).collect(),
            Stage::Evaluating { pieces } => pieces.iter().map(|(id, _)| *id).collect(),
            Stage::Waiting | Stage::Collecting | Stage::Closing => Vec::new(),
        };
        if let Stage::Working {
            phase: Phase::Setup,
            ..
        } = self.stage
        {
            // A crash during setup counts as a round, so that a server which never gets as far as a round
            // also comes to an end.
            self.open(self.round.number + 1, 0, cx);
        }
        // Jobs that are only modelled have timers, which are ignored when they come.
        if !self.shared.plan.compute.is_modelled() {
            self.forgotten.extend(jobs);
        }
        self.half.abandon();
        let undone = self.busy_until.since(now);
        self.round.server_compute = Span::from_nanos(
            self.round
                .server_compute
                .nanos()
                .saturating_sub(undone.nanos()),
        );
        self.busy_until = now;
        self.ready_until = None;
        for _ in 0..self.lose_all(cx) {
            self.round.give_up();
        }
        tracing::info!(round = self.round.number, "the server is down");
        self.round.outcome = Outcome::Crashed;
        let row = self.round_row(None, cx);
        self.record_round(row, cx);
        self.stage = Stage::Down;
        self.await_rise(cx);
    }

    /// Sets the timer at which the server comes up.
    fn await_rise(&mut self, cx: &mut Cx<'_>) {
        let until = self.shared.faults.server.down_until(cx.now());
        self.alarm(until, timer::UP, cx);
    }

    /// Comes up, unless another crash keeps the server down.
    pub(super) fn rise(&mut self, cx: &mut Cx<'_>) {
        if !matches!(self.stage, Stage::Down) {
            return;
        }
        if self.shared.faults.server.is_down(cx.now()) {
            return self.await_rise(cx);
        }
        self.await_crash(cx);
        self.go_on(cx);
    }

    /// Goes on from the last checkpoint that can be read or, without one, from the beginning.
    pub(super) fn go_on(&mut self, cx: &mut Cx<'_>) {
        let round = self.round.number;
        let restored = match self.recover() {
            Ok(restored) => restored,
            Err(reason) => return self.fail(format!("restart of the server: {reason}"), cx),
        };
        tracing::info!(round, from = restored, "the server is up again");
        self.restored = Some(restored.unwrap_or(0));
        let since = restored.unwrap_or(0).min(round);
        // Where clients are asked one by one, a client may have had several tasks in a round.
        let tasks = self
            .active
            .as_ref()
            .map_or(0, |active| active.tasks_since(since));
        self.half.lost_rounds(tasks.max(round - since));
        let ends = self.stopping || round >= self.shared.plan.schedule.rounds;
        match restored {
            Some(_) => self.next_round(cx),
            None if ends => self.finish(cx),
            None => self.begin(Phase::Setup, cx),
        }
    }

    /// Replaces the half and the policy by those of the last readable checkpoint, or by new ones. Returns
    /// the round of the checkpoint.
    fn recover(&mut self) -> Result<Option<u32>, String> {
        loop {
            // A half that was read in part is of no use, so each try begins with a new one.
            let half = self.shared.fresh_half();
            self.half = half.map_err(|error| error.to_string())?;
            self.policy = self.shared.plan.selection.selection().policy();
            let Some(last) = self.kept.back() else {
                return Ok(None);
            };
            match last.read(&self.shared, self.half.as_mut(), self.policy.as_mut()) {
                Ok(()) => {
                    if self.active.is_some() {
                        // The server no longer waits for clients that trained when the checkpoint was written.
                        self.half.abandon();
                    }
                    return Ok(Some(last.round));
                }
                Err(damaged) => {
                    tracing::info!(round = last.round, %damaged, "a checkpoint is of no use");
                    self.kept.pop_back();
                }
            }
        }
    }
}
