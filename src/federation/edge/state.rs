//! An edge server in a checkpoint.

use super::super::hierarchy::Place;
use super::super::world::Shared;
use super::Edge;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::sync::Arc;

impl Edge {
    /// Writes the edge server. Checkpoints fall between rounds of the server at the top, when an edge server
    /// has no half-made sum unless it is a round behind the top.
    pub(in super::super) fn save(&self, to: &mut Writer) {
        self.half.save(to);
        self.policy.save(to);
        self.relay.save(to);
        self.stage.save(to);
        self.round.save(to);
        self.outstanding.save(to);
        self.busy_until.save(to);
    }

    /// An edge server from what [`Edge::save`] wrote.
    pub(in super::super) fn restore(
        shared: Arc<Shared>,
        member: u32,
        place: Place,
        from: &mut Reader,
    ) -> Result<Self, Damaged> {
        let damaged = |error| Damaged::new(format!("a server between: {error}"));
        let mut edge = Self::new(shared, member, place).map_err(damaged)?;
        edge.half.restore(from)?;
        edge.policy.restore(from)?;
        edge.relay = Snapshot::load(from)?;
        edge.stage = Snapshot::load(from)?;
        edge.round = Snapshot::load(from)?;
        edge.outstanding = Snapshot::load(from)?;
        edge.busy_until = Snapshot::load(from)?;
        Ok(edge)
    }
}
