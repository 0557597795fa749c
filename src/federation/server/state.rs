//! The server in a checkpoint.

use super::super::query::Queried;
use super::super::world::Shared;
use super::{ActiveClients, Server, Stage};
use crate::method::ServerHalf;
use crate::snapshot::{snapshot_enum, Damaged, Reader, Snapshot, Writer};
use std::sync::Arc;

snapshot_enum!(Stage {
    0 => Working { phase, jobs },
    1 => Collecting,
    2 => Closing,
    3 => Evaluating { pieces },
    4 => Finished,
    5 => Down,
    6 => Waiting,
    7 => Querying { pieces },
});

impl Server {
    /// Writes the server between two rounds.
    pub(in super::super) fn save(&self, to: &mut Writer) {
        let Self {
            shared: _,
            half,
            policy,
            stage,
            round,
            outstanding,
            busy_until,
            ready_until,
            own,
            stopping,
            kept,
            written,
            restored,
            forgotten,
            timers,
            active,
            // A model that is written later is measured again.
            queried: _,
            keeping_busy: _,
        } = self;
        if round.reported > 0 && active.is_none() {
            // A sum of reports is not written, except the buffer of a server that does not wait for rounds.
            to.fail("a checkpoint after the first report of a round");
        }
        stage.save(to);
        round.save(to);
        outstanding.save(to);
        busy_until.save(to);
        ready_until.save(to);
        own.save(to);
        stopping.save(to);
        kept.save(to);
        written.save(to);
        restored.save(to);
        forgotten.save(to);
        timers.save(to);
        active.save(to);
        half.save(to);
        to.mark("server half");
        policy.save(to);
        to.mark("selection");
    }

    /// The server from what [`Server::save`] wrote, with a half that was just made.
    pub(in super::super) fn restore(
        shared: Arc<Shared>,
        mut half: Box<dyn ServerHalf>,
        from: &mut Reader,
    ) -> Result<Self, Damaged> {
        let stage = Snapshot::load(from)?;
        let round = Snapshot::load(from)?;
        let outstanding = Snapshot::load(from)?;
        let busy_until = Snapshot::load(from)?;
        let ready_until = Snapshot::load(from)?;
        let own = Snapshot::load(from)?;
        let stopping = Snapshot::load(from)?;
        let kept = Snapshot::load(from)?;
        let written = Snapshot::load(from)?;
        let restored = Snapshot::load(from)?;
        let forgotten = Snapshot::load(from)?;
        let timers = Snapshot::load(from)?;
        let active: Option<Box<ActiveClients>> = Snapshot::load(from)?;
        if active.is_some() != shared.plan.schedule.waiting.is_some() {
            return Err(Damaged::new("a server that waits in another way"));
        }
        half.restore(from)?;
        from.mark("server half")?;
        let mut policy = shared.plan.selection.selection().policy();
        policy.restore(from)?;
        from.mark("selection")?;
        Ok(Self {
            shared,
            half,
            policy,
            stage,
            round,
            outstanding,
            busy_until,
            ready_until,
            own,
            stopping,
            kept,
            written,
            restored,
            forgotten,
            timers,
            active,
            queried: Queried::default(),
            keeping_busy: false,
        })
    }
}
