//! What a client keeps while it is dormant, and in a checkpoint.

use super::super::budget::Spent;
use super::super::world::Shared;
use super::fate::Memory;
use super::{Busy, Client};
use crate::method::{ClientState, Payload};
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::sync::Arc;

snapshot_struct!(Busy {
    job,
    round,
    server,
    received,
    compute,
    cost,
    energy,
    samples,
    steps,
    partial,
    bytes_down,
    fate,
});

/// Whether a dormant client can have this entry in its state, if faults put it there. Names that are
/// not for faults always can be.
pub(in super::super) fn keeps_of_faults(name: &str, payload: &Payload) -> bool {
    Memory::keeps(name, payload)
}

impl Client {
    /// A client that wakes with what it kept.
    pub(in super::super) fn new(shared: Arc<Shared>, number: u32, mut state: ClientState) -> Self {
        if let Some(spill) = &shared.spill {
            state.each_set(|set| spill.take(set));
        }
        let faults = &shared.faults.clients;
        let memory = (!faults.is_empty()).then(|| Box::new(Memory::wake(&mut state)));
        let budget = shared.plan.budget(number);
        let spent = budget.map(|_| Box::new(Spent::wake(&mut state)));
        Self {
            shared,
            number,
            state,
            busy: None,
            memory,
            spent,
        }
    }

    /// What the client keeps while it is dormant, in memory or on disk.
    pub(in super::super) fn into_state(self) -> ClientState {
        let state = match self.memory {
            Some(memory) => memory.keep(self.state, self.number, &self.shared.faults.clients),
            None => self.state,
        };
        let state = match self.spent {
            Some(spent) => spent.keep(state),
            None => state,
        };
        self.shared.keep(state)
    }

    /// What the method's client half keeps.
    pub(in super::super) const fn state(&self) -> &ClientState {
        &self.state
    }

    /// Writes the client to a checkpoint.
    pub(in super::super) fn save(&self, to: &mut Writer) {
        self.state.save(to);
        self.busy.save(to);
        self.memory.save(to);
        self.spent.save(to);
    }

    /// An awake client from what [`Client::save`] wrote.
    pub(in super::super) fn restore(
        shared: Arc<Shared>,
        number: u32,
        from: &mut Reader,
    ) -> Result<Self, Damaged> {
        Ok(Self {
            state: shared.kept(from)?,
            shared,
            number,
            busy: Snapshot::load(from)?,
            memory: Snapshot::load(from)?,
            spent: Snapshot::load(from)?,
        })
    }
}
