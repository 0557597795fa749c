//! The network interface of one node: the messages that wait in it, and the state of its burst
//! processes.

use super::link::Sharing;
use super::queue::{Queue, Work};
use super::streams::Streams;
use crate::fault::{Drop, LinkFaults};
use crate::quantity::{Bytes, VirtualTime};
use crate::sim::rng::Stream;
use crate::sim::{Message, NetContext, NodeId, Parcel};
use crate::snapshot::snapshot_struct;
use std::collections::BTreeMap;

/// What an alarm of an interface is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// A message may be through on the up side.
    Up,
    /// A message may be through on the down side.
    Down,
    /// A retransmission is due.
    Resend,
    /// An event of a message over TCP is due.
    Stream,
    /// A connection is set up.
    Open,
}

impl Wake {
    pub const fn token(self) -> u64 {
        self as u64
    }

    pub fn from_token(token: u64) -> Option<Self> {
        [Self::Up, Self::Down, Self::Resend, Self::Stream, Self::Open]
            .into_iter()
            .find(|wake| wake.token() == token)
    }
}

/// A message of which some packets are not yet across.
pub(super) struct Transfer<M> {
    pub parcel: Parcel<M>,
    /// The number of packets that are not yet across.
    pub packets: u64,
    /// The number of retransmissions so far.
    pub attempt: u32,
    /// The number of the message among those from its sender to its receiver, from 1; 0 where they are
    /// not counted.
    pub number: u64,
    /// The number of bytes that one packet carries.
    pub mtu: Bytes,
}

/// How the time of a side's queue passes: like virtual time, unless a fault changes the side's rate.
#[derive(Clone, Copy)]
pub(super) struct Clock<'a>(pub Option<(&'a LinkFaults, NodeId)>);

impl Clock<'_> {
    pub(super) fn service(self, up: bool, now: VirtualTime) -> VirtualTime {
        self.0
            .map_or(now, |(faults, node)| faults.service(node, up, now))
    }

    pub(super) fn moment(self, up: bool, service: VirtualTime) -> VirtualTime {
        self.0
            .map_or(service, |(faults, node)| faults.moment(node, up, service))
    }
}

/// The network interface of a node. It takes three words while nothing waits in it.
pub struct Nic<M> {
    busy: Option<Box<Busy<M>>>,
    memory: Option<Box<Memory>>,
    /// Until when the down side is busy with messages that have passed it, in the time of its service.
    taken: VirtualTime,
}

/// What waits inside an interface.
struct Busy<M> {
    up: Side<Transfer<M>>,
    down: Side<Parcel<M>>,
    /// Retransmissions by when they are due; those due at one moment in the order in which they were
    /// decided.
    resend: BTreeMap<(VirtualTime, u64), Transfer<M>>,
    resends: u64,
    /// The messages over TCP that this node is sending.
    streams: Streams<M>,
    /// Messages whose connection is being set up, by when it will be open; those of one moment in the
    /// order in which they came.
    opening: BTreeMap<(VirtualTime, u64), Parcel<M>>,
    openings: u64,
    /// Until when acknowledgements keep the up side busy, behind messages over TCP.
    acks_until: VirtualTime,
}

/// One direction with a limited rate.
struct Side<T> {
    queue: Queue<T>,
    /// The earliest alarm that is set. It is never after the moment at which the next item is through;
    /// it may be before, where items that came later slowed that item down.
    armed: Option<VirtualTime>,
}

/// State that an interface keeps from message to message.
#[derive(Default)]
pub(super) struct Memory {
    /// Whether the burst process of this node's up side is in its bad state.
    pub up: Option<bool>,
    /// Whether the burst processes of receivers' down sides are in their bad state, as this node meets
    /// them.
    pub down: BTreeMap<NodeId, Option<bool>>,
    /// Whether the burst processes of faults are in their bad state, by their entry in the fault plan
    /// and by receiver.
    pub faults: BTreeMap<(u32, NodeId), Option<bool>>,
    /// The number of messages sent so far, by receiver, where they are counted.
    pub sent: BTreeMap<NodeId, u64>,
}

snapshot_struct!(impl<M> Transfer<M> { parcel, packets, attempt, number, mtu });
snapshot_struct!(impl<M> Nic<M> { busy, memory, taken });
snapshot_struct!(impl<M> Busy<M> {
    up, down, resend, resends, streams, opening, openings, acks_until
});
snapshot_struct!(impl<T> Side<T> { queue, armed });
snapshot_struct!(Memory {
    up,
    down,
    faults,
    sent
});

impl<T> Side<T> {
    fn new(sharing: Sharing) -> Self {
        Self {
            queue: Queue::new(sharing),
            armed: None,
        }
    }

    /// Makes sure that an alarm goes off at the latest when the next item is through.
    fn arm<M>(&mut self, wake: Wake, clock: Clock<'_>, cx: &mut NetContext<'_, M>) {
        if let Some(next) = self.queue.next() {
            let next = clock.moment(wake == Wake::Up, next);
            // An item that a fault stops for good is never through.
            let soon = next < VirtualTime::NEVER || clock.0.is_none();
            if soon && self.armed.is_none_or(|armed| next < armed) {
                self.armed = Some(next);
                cx.alarm(next, wake.token());
            }
        }
    }

    /// Whether the alarm that goes off now is the one to act on.
    fn expects(&mut self, now: VirtualTime) -> bool {
        let expected = self.armed == Some(now);
        if expected {
            self.armed = None;
        }
        expected
    }
}

impl<M> Nic<M> {
    pub(super) const fn new() -> Self {
        Self {
            busy: None,
            memory: None,
            taken: VirtualTime::ZERO,
        }
    }

    pub(super) fn memory(&mut self) -> &mut Memory {
        self.memory.get_or_insert_default()
    }

    /// Whether this interface counts messages.
    pub(super) fn counts(&self) -> bool {
        self.memory
            .as_ref()
            .is_some_and(|memory| !memory.sent.is_empty())
    }

    fn busy(&mut self, sharing: Sharing) -> &mut Busy<M> {
        self.busy.get_or_insert_with(|| {
            Box::new(Busy {
                up: Side::new(sharing),
                down: Side::new(sharing),
                resend: BTreeMap::new(),
                resends: 0,
                streams: Streams::new(),
                opening: BTreeMap::new(),
                openings: 0,
                acks_until: VirtualTime::ZERO,
            })
        })
    }

    pub(super) fn queue_up(
        &mut self,
        sharing: Sharing,
        clock: Clock<'_>,
        work: Work,
        transfer: Transfer<M>,
        cx: &mut NetContext<'_, M>,
    ) {
        let side = &mut self.busy(sharing).up;
        side.queue
            .push(clock.service(true, cx.now()), work, transfer);
        side.arm(Wake::Up, clock, cx);
    }

    pub(super) fn queue_down(
        &mut self,
        sharing: Sharing,
        clock: Clock<'_>,
        work: Work,
        parcel: Parcel<M>,
        cx: &mut NetContext<'_, M>,
    ) {
        let now = clock.service(false, cx.now());
        self.taken = now;
        let side = &mut self.busy(sharing).down;
        side.queue.push(now, work, parcel);
        side.arm(Wake::Down, clock, cx);
    }

    /// Takes a message over TCP that has arrived. Its packets passed this side one by one while the
    /// side was idle, from `first` on at the earliest; the part of the work for which there was no time
    /// is still to be done.
    pub(super) fn pass_down(
        &mut self,
        sharing: Sharing,
        clock: Clock<'_>,
        (first, work): (VirtualTime, Work),
        parcel: Parcel<M>,
        cx: &mut NetContext<'_, M>,
    ) {
        let now = clock.service(false, cx.now());
        let waits = self
            .busy
            .as_ref()
            .is_some_and(|busy| !busy.down.queue.is_empty());
        if !waits {
            let idle_from = clock.service(false, first).max(self.taken).min(now);
            let (done, left) = work.split(now.since(idle_from));
            if left.is_none() {
                self.taken = idle_from + done;
                let now = cx.now();
                return cx.deliver(parcel, now);
            }
            return self.queue_down(sharing, clock, left, parcel, cx);
        }
        self.queue_down(sharing, clock, work, parcel, cx);
    }

    /// The messages over TCP that this node sends.
    pub(super) fn streams(&mut self, sharing: Sharing) -> &mut Streams<M> {
        &mut self.busy(sharing).streams
    }

    /// Keeps a message until its connection is there.
    pub(super) fn open(
        &mut self,
        sharing: Sharing,
        at: VirtualTime,
        parcel: Parcel<M>,
        cx: &mut NetContext<'_, M>,
    ) {
        let busy = self.busy(sharing);
        busy.opening.insert((at, busy.openings), parcel);
        busy.openings += 1;
        cx.alarm(at, Wake::Open.token());
    }

    /// Takes out a message whose connection is open.
    pub(super) fn opened(&mut self, now: VirtualTime) -> Option<Parcel<M>> {
        let busy = self.busy.as_mut()?;
        let (at, _) = *busy.opening.first_key_value()?.0;
        (at <= now)
            .then(|| busy.opening.pop_first())?
            .map(|(_, parcel)| parcel)
    }

    /// Adds acknowledgements to the work of the up side, behind trains of messages over TCP.
    pub(super) fn load_streams(
        &mut self,
        sharing: Sharing,
        clock: Clock<'_>,
        seconds: f64,
        cx: &mut NetContext<'_, M>,
    ) {
        let now = clock.service(true, cx.now()).seconds();
        let busy = self.busy(sharing);
        let free = busy.streams.load(now, seconds);
        let at = clock.moment(true, free);
        // A side that stands still for good serves nothing.
        if at < VirtualTime::NEVER && at > busy.acks_until {
            busy.acks_until = at;
            cx.alarm(at, Wake::Stream.token());
        }
    }

    /// Adds acknowledgements to the work of a side, among other messages.
    pub(super) fn load_side(
        &mut self,
        sharing: Sharing,
        clock: Clock<'_>,
        (up, work): (bool, Work),
        cx: &mut NetContext<'_, M>,
    ) {
        let now = clock.service(up, cx.now());
        let busy = self.busy(sharing);
        if up {
            busy.up.queue.load(now, work);
            busy.up.arm(Wake::Up, clock, cx);
        } else {
            busy.down.queue.load(now, work);
            busy.down.arm(Wake::Down, clock, cx);
        }
    }

    /// Keeps a transfer until its lost packets are sent again.
    pub(super) fn keep(
        &mut self,
        sharing: Sharing,
        at: VirtualTime,
        transfer: Transfer<M>,
        cx: &mut NetContext<'_, M>,
    ) {
        let busy = self.busy(sharing);
        busy.resend.insert((at, busy.resends), transfer);
        busy.resends += 1;
        cx.alarm(at, Wake::Resend.token());
    }

    /// Whether the alarm that goes off now is about something that still waits.
    pub(super) fn expects(&mut self, wake: Wake, now: VirtualTime) -> bool {
        self.busy.as_mut().is_some_and(|busy| match wake {
            Wake::Up => busy.up.expects(now),
            Wake::Down => busy.down.expects(now),
            Wake::Resend | Wake::Stream | Wake::Open => true,
        })
    }

    pub(super) fn through_up(&mut self, clock: Clock<'_>, now: VirtualTime) -> Option<Transfer<M>> {
        let side = &mut self.busy.as_mut()?.up;
        side.queue.pop(clock.service(true, now))
    }

    pub(super) fn through_down(&mut self, clock: Clock<'_>, now: VirtualTime) -> Option<Parcel<M>> {
        let now = clock.service(false, now);
        let parcel = self.busy.as_mut()?.down.queue.pop(now)?;
        self.taken = now;
        Some(parcel)
    }

    pub(super) fn due_again(&mut self, now: VirtualTime) -> Option<Transfer<M>> {
        let busy = self.busy.as_mut()?;
        let (at, _) = *busy.resend.first_key_value()?.0;
        if at > now {
            return None;
        }
        busy.resend.pop_first().map(|(_, transfer)| transfer)
    }

    /// Sets the alarms for what still waits, and gives the memory back if nothing does.
    pub(super) fn settle(&mut self, clock: Clock<'_>, cx: &mut NetContext<'_, M>) {
        let Some(busy) = &mut self.busy else {
            return;
        };
        busy.up.arm(Wake::Up, clock, cx);
        busy.down.arm(Wake::Down, clock, cx);
        let idle = busy.up.queue.is_empty() && busy.down.queue.is_empty();
        let waits = !busy.resend.is_empty() || !busy.opening.is_empty();
        let acks = busy.acks_until > cx.now();
        if idle && !waits && !acks && busy.streams.is_empty() {
            self.busy = None;
        }
    }

    pub(super) fn for_each(&self, visit: &mut dyn FnMut(&M)) {
        let Some(busy) = &self.busy else {
            return;
        };
        busy.up
            .queue
            .for_each(&mut |transfer| visit(&transfer.parcel.message));
        busy.down
            .queue
            .for_each(&mut |parcel| visit(&parcel.message));
        busy.resend
            .values()
            .for_each(|transfer| visit(&transfer.parcel.message));
        busy.opening
            .values()
            .for_each(|parcel| visit(&parcel.message));
        busy.streams.for_each(visit);
    }
}

impl<M: Message> Nic<M> {
    /// Makes room on the up side for a message of `bytes`, in a queue that holds at most `capacity`.
    /// Returns the transfers that must go, or `None` if the new message is the one to go.
    pub(super) fn make_room_up(
        &mut self,
        (clock, now): (Clock<'_>, VirtualTime),
        rule: (Bytes, Drop),
        bytes: Bytes,
        rng: &mut Stream,
    ) -> Option<Vec<Transfer<M>>> {
        let Some(busy) = &mut self.busy else {
            return (bytes <= rule.0).then(Vec::new);
        };
        let now = clock.service(true, now);
        let size = |transfer: &Transfer<M>| transfer.parcel.message.wire_bytes();
        busy.up.queue.make_room(now, rule, bytes, size, rng)
    }

    /// Makes room on the down side, by the rule of [`Nic::make_room_up`].
    pub(super) fn make_room_down(
        &mut self,
        (clock, now): (Clock<'_>, VirtualTime),
        rule: (Bytes, Drop),
        bytes: Bytes,
        rng: &mut Stream,
    ) -> Option<Vec<Parcel<M>>> {
        let Some(busy) = &mut self.busy else {
            return (bytes <= rule.0).then(Vec::new);
        };
        let now = clock.service(false, now);
        let size = |parcel: &Parcel<M>| parcel.message.wire_bytes();
        busy.down.queue.make_room(now, rule, bytes, size, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testbed::Mail;

    #[test]
    fn an_idle_interface_is_three_words() {
        assert_eq!(size_of::<Nic<Mail>>(), 3 * size_of::<usize>());
    }

    #[test]
    fn tokens_name_what_they_wake() {
        for wake in [Wake::Up, Wake::Down, Wake::Resend, Wake::Stream, Wake::Open] {
            assert_eq!(Wake::from_token(wake.token()), Some(wake));
        }
        assert_eq!(Wake::from_token(5), None);
    }
}
