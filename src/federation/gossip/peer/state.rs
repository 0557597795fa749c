//! A client without a server as it begins, and as a checkpoint has it.

use super::super::inbox::Inbox;
use super::super::notice::Notice;
use super::super::Common;
use super::{Peer, Step, Work};
use crate::federation::world::Shared;
use crate::method::{ClientState, Payload};
use crate::quantity::VirtualTime;
use crate::snapshot::{snapshot_enum, snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::sync::Arc;

snapshot_enum!(Step {
    0 => Down,
    1 => Training(work),
    2 => Waiting,
    3 => Mixing(work),
    4 => Finished,
});
snapshot_struct!(Work {
    job,
    timer,
    start,
    fails,
    steps,
});

impl Peer {
    /// A client before its first round.
    pub fn new(shared: Arc<Shared>, common: Arc<Common>, number: u32) -> Self {
        Self {
            model: Self::initial(&shared, &common, number),
            shared,
            common,
            number,
            state: ClientState::default(),
            round: 0,
            step: Step::Down,
            trained: None,
            inbox: Inbox::default(),
            mixed: false,
            overdue: false,
            deadline: 0,
            timers: 0,
            waiting_since: VirtualTime::ZERO,
            heard: 0,
            seen: VirtualTime::ZERO,
            tasks: 0,
            notice: Notice::default(),
        }
    }

    /// The model that a client begins with; only its size, where no client really trains.
    pub(super) fn initial(shared: &Shared, common: &Common, number: u32) -> Payload {
        match shared.plan.compute.is_real() {
            true => Payload::Model(common.initial.clone()),
            false => shared.stand_ins.report(shared.sizes.level_of(number)),
        }
    }

    /// Writes the client to a checkpoint.
    pub fn save(&self, to: &mut Writer) {
        let Self {
            shared: _,
            common: _,
            number: _,
            model,
            state,
            round,
            step,
            trained,
            inbox,
            mixed,
            overdue,
            deadline,
            timers,
            waiting_since,
            heard,
            seen,
            tasks,
            notice,
        } = self;
        model.save(to);
        state.save(to);
        round.save(to);
        step.save(to);
        trained.save(to);
        inbox.save(to);
        mixed.save(to);
        overdue.save(to);
        deadline.save(to);
        timers.save(to);
        waiting_since.save(to);
        heard.save(to);
        seen.save(to);
        tasks.save(to);
        notice.save(to);
    }

    /// A client from what [`Peer::save`] wrote.
    pub fn restore(
        shared: Arc<Shared>,
        common: Arc<Common>,
        number: u32,
        from: &mut Reader,
    ) -> Result<Self, Damaged> {
        Ok(Self {
            model: Snapshot::load(from)?,
            state: shared.kept(from)?,
            shared,
            common,
            number,
            round: Snapshot::load(from)?,
            step: Snapshot::load(from)?,
            trained: Snapshot::load(from)?,
            inbox: Snapshot::load(from)?,
            mixed: Snapshot::load(from)?,
            overdue: Snapshot::load(from)?,
            deadline: Snapshot::load(from)?,
            timers: Snapshot::load(from)?,
            waiting_since: Snapshot::load(from)?,
            heard: Snapshot::load(from)?,
            seen: Snapshot::load(from)?,
            tasks: Snapshot::load(from)?,
            notice: Snapshot::load(from)?,
        })
    }
}
