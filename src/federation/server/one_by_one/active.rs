//! Which clients train at the moment, where clients are asked one by one.

use crate::federation::message::Report;
use crate::federation::outstanding::Asked;
use crate::observe::rows::Rejection;
use crate::quantity::VirtualTime;
use crate::snapshot::snapshot_struct;
use std::collections::{BTreeMap, VecDeque};

/// The clients that train at the moment, and what is known of their tasks.
#[derive(Debug, Default)]
pub(in super::super) struct ActiveClients {
    /// The task of each client whose answer the server waits for.
    pub(super) tasks: BTreeMap<u32, ActiveTask>,
    /// The last task of each client, as long as its number is not below the number of the open round.
    last: BTreeMap<u32, Last>,
    /// The highest number that any task has had.
    highest: u32,
    /// How often a client was drawn, with or without success.
    pub(super) draws: u64,
    /// How many reports in the buffer were used before the open round began.
    pub(super) carried: u32,
    /// The reports that arrived while the server was busy with a step, in the order of their arrival.
    pub(super) held: VecDeque<Held>,
    /// When a client that is away may be back, where a place is free for it.
    pub(super) back: Option<VirtualTime>,
}

/// A task whose answer the server waits for.
#[derive(Debug)]
pub(super) struct ActiveTask {
    /// Its number.
    pub task: u32,
    /// The round in which the client was asked.
    pub round: u32,
    /// When the client was asked.
    pub at: VirtualTime,
}

/// The last task of a client.
#[derive(Debug)]
struct Last {
    task: u32,
    answered: bool,
}

/// A report that waits until the server has done its step.
#[derive(Debug)]
pub(super) struct Held {
    /// The client that reports.
    pub client: u32,
    /// The report.
    pub report: Report,
    /// When the report arrived.
    pub at: VirtualTime,
}

snapshot_struct!(ActiveClients {
    tasks,
    last,
    highest,
    draws,
    carried,
    held,
    back,
});
snapshot_struct!(ActiveTask { task, round, at });
snapshot_struct!(Last { task, answered });
snapshot_struct!(Held { client, report, at });

impl ActiveClients {
    /// The number of the next task of a client that is asked in round `round`.
    pub(super) fn number(&mut self, client: u32, round: u32) -> u32 {
        let last = self.last.get(&client);
        let task = last.map_or(round, |last| round.max(last.task.saturating_add(1)));
        self.highest = self.highest.max(task);
        task
    }

    /// Notes that a client was asked.
    pub(super) fn ask(&mut self, client: u32, given: ActiveTask) {
        let last = Last {
            task: given.task,
            answered: false,
        };
        self.last.insert(client, last);
        self.tasks.insert(client, given);
    }

    /// Ends a client's task, because the client has `answered` or because the server gives it up; `None` if
    /// the server does not wait for this task.
    pub fn end_task(&mut self, client: u32, task: u32, answered: bool) -> Option<Asked> {
        let given = self.tasks.get(&client)?;
        if given.task != task {
            return None;
        }
        let asked = Asked {
            round: given.round,
            at: given.at,
        };
        self.tasks.remove(&client);
        if let Some(last) = self.last.get_mut(&client).filter(|last| last.task == task) {
            last.answered = answered;
        }
        Some(asked)
    }

    /// The number of the task that a client is working at.
    pub fn task_of(&self, client: u32) -> Option<u32> {
        self.tasks.get(&client).map(|given| given.task)
    }

    /// The clients that train at the moment.
    pub fn clients(&self) -> impl Iterator<Item = u32> + '_ {
        self.tasks.keys().copied()
    }

    /// Why a report to task `task`, for which nobody waits, is not used in round `round`.
    pub fn reason(&self, client: u32, task: u32, round: u32) -> Rejection {
        let last = self.last.get(&client);
        let newest = self.task_of(client).or(last.map(|last| last.task));
        match newest {
            Some(newest) if task > newest => Rejection::Future,
            Some(newest) if task < newest => Rejection::Stale,
            Some(_) if last.is_some_and(|last| last.answered) => Rejection::Again,
            // The client was given up before its report arrived.
            Some(_) => Rejection::Stale,
            None if task > round => Rejection::Future,
            None if task < round => Rejection::Stale,
            None => Rejection::NotAsked,
        }
    }

    /// Begins a round. If the round before was `abandoned`, its `reported` reports stay in the buffer.
    pub fn turn(&mut self, round: u32, abandoned: bool, reported: u32) {
        self.carried = match abandoned {
            true => self.carried.saturating_add(reported),
            false => 0,
        };
        self.last.retain(|_, last| last.task >= round);
    }

    /// Whether the moment has come at which a client may be back. The moment is then forgotten.
    pub(super) fn is_due(&mut self, now: VirtualTime) -> bool {
        self.back.take_if(|back| *back <= now).is_some()
    }

    /// Takes out the reports that are held and will not be used: their clients, tasks and bytes.
    pub fn take_held(&mut self) -> Vec<(u32, u32, u64)> {
        let held = std::mem::take(&mut self.held).into_iter();
        held.map(|held| (held.client, held.report.round, held.report.wire_bytes().0))
            .collect()
    }

    /// Stops waiting for all clients, and returns them with their tasks.
    pub fn clear(&mut self) -> Vec<(u32, Asked)> {
        self.held.clear();
        self.carried = 0;
        self.back = None;
        let all = std::mem::take(&mut self.tasks).into_iter();
        all.map(|(client, given)| {
            let asked = Asked {
                round: given.round,
                at: given.at,
            };
            (client, asked)
        })
        .collect()
    }

    /// The most tasks that any client can have had since round `round`.
    pub fn tasks_since(&self, round: u32) -> u32 {
        self.highest.saturating_sub(round)
    }
}
