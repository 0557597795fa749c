//! Carries out what a handler or an interface asked for: messages, timers, jobs, dormancy, crashes.

use super::super::event::{Body, Event, Key, NodeId, Parcel};
use super::super::network::{NetContext, NetEffect, Network};
use super::super::node::{Effect, Fate, Message, Node, World};
use super::{Asleep, BodyOf, EventOf, Local, Shard, Slot, Submitted};
use crate::quantity::VirtualTime;

impl<W: World> Shard<W> {
    /// Carries out what a handler asked for, once it has returned.
    pub(super) fn apply(&mut self, index: usize, node: NodeId, key: Key) {
        let mut effects = std::mem::take(&mut self.effects);
        let mut sent = false;
        for effect in effects.drain(..) {
            let Some(Slot::Live(live)) = self.slots.get_mut(index) else {
                break;
            };
            match effect {
                Effect::Send(target, message, sequence) => {
                    if let Some(tally) = self.tallies.get_mut(usize::from(message.kind())) {
                        tally.sent += 1;
                        tally.bytes += message.wire_bytes().0;
                    }
                    let parcel = Parcel {
                        source: node,
                        target,
                        sequence,
                        sent: key.time,
                        message,
                    };
                    let mut cx = NetContext {
                        now: key.time,
                        node,
                        seed: self.seed,
                        effects: &mut self.net_effects,
                    };
                    self.world.network().send(&mut live.nic, parcel, &mut cx);
                    sent = true;
                }
                Effect::Timer(at, token, sequence) => {
                    live.pending += 1;
                    self.enqueue_own(Event {
                        key: Key {
                            time: at,
                            source: node,
                            sequence,
                        },
                        sent: key.time,
                        target: node,
                        body: Body::Timer(token),
                    });
                }
                Effect::Work(at, job, sequence) => {
                    live.pending += 1;
                    let due = Key {
                        time: at,
                        source: node,
                        sequence,
                    };
                    if self.queue.window_of(at) <= self.window {
                        live.blocked = Some(live.blocked.map_or(due, |first| first.min(due)));
                    }
                    self.report.jobs.push(Submitted { due, job });
                }
                Effect::Record(record) => self.report.records.push((key, record)),
                Effect::Tell(target, message, sequence) => {
                    self.tell(node, key.time, (target, message, sequence));
                }
            }
        }
        self.effects = effects;
        if sent {
            self.apply_net(index, node, key.time);
        }
    }

    /// Sends a message past the network ([`super::super::Context::tell`]).
    #[cold]
    fn tell(
        &mut self,
        node: NodeId,
        now: VirtualTime,
        (target, message, sequence): (NodeId, W::Message, u64),
    ) {
        if let Some(tally) = self.tallies.get_mut(usize::from(message.kind())) {
            tally.sent += 1;
            tally.bytes += message.wire_bytes().0;
        }
        let parcel = Parcel {
            source: node,
            target,
            sequence,
            sent: now,
            message,
        };
        let at = now + self.world.network().lookahead();
        self.forward(parcel, at, now, node, Body::Deliver);
    }

    /// Carries out what an interface asked for.
    pub(super) fn apply_net(&mut self, index: usize, node: NodeId, now: VirtualTime) {
        let mut effects = std::mem::take(&mut self.net_effects);
        for effect in effects.drain(..) {
            match effect {
                NetEffect::Carry(parcel, at) => self.forward(parcel, at, now, node, Body::Arrive),
                NetEffect::Deliver(parcel, at) => {
                    self.forward(parcel, at, now, node, Body::Deliver)
                }
                NetEffect::Lose(parcel) => {
                    if let Some(tally) = self.tallies.get_mut(usize::from(parcel.message.kind())) {
                        tally.lost += 1;
                    }
                    self.record_fate(Fate::Gone, &parcel);
                }
                NetEffect::Drop(parcel) => {
                    if let Some(tally) = self.tallies.get_mut(usize::from(parcel.message.kind())) {
                        tally.dropped += 1;
                    }
                    self.record_fate(Fate::Gone, &parcel);
                }
                NetEffect::Copy(parcel, at) => self.forward_copy(index, parcel, at, now),
                NetEffect::Beside { kind, setup, acks } => {
                    if let Some(tally) = self.tallies.get_mut(usize::from(kind)) {
                        tally.bytes_setup += setup;
                        tally.bytes_acks += acks;
                    }
                }
                NetEffect::Alarm(at, token) => {
                    let Some(Slot::Live(live)) = self.slots.get_mut(index) else {
                        continue;
                    };
                    live.pending += 1;
                    let sequence = live.sequence;
                    live.sequence += 1;
                    self.enqueue_own(Event {
                        key: Key {
                            time: at.max(now),
                            source: node,
                            sequence,
                        },
                        sent: now,
                        target: node,
                        body: Body::Alarm(token),
                    });
                }
            }
        }
        self.net_effects = effects;
    }

    /// Records what the event being handled makes of a message.
    #[cold]
    fn record_fate(&mut self, fate: Fate, parcel: &Parcel<W::Message>) {
        let ends = (parcel.source, parcel.target);
        let record = self.world.fate(fate, ends, &parcel.message);
        if let (Some(record), Some((_, key))) = (record, self.handling) {
            self.report.records.push((key, record));
        }
    }

    #[cold]
    fn forward_copy(
        &mut self,
        index: usize,
        parcel: Parcel<W::Message>,
        at: VirtualTime,
        now: VirtualTime,
    ) {
        let Some(Slot::Live(live)) = self.slots.get_mut(index) else {
            return;
        };
        let sequence = live.sequence;
        live.sequence += 1;
        if let Some(tally) = self.tallies.get_mut(usize::from(parcel.message.kind())) {
            tally.duplicated += 1;
        }
        let node = parcel.source;
        self.record_fate(Fate::Copied, &parcel);
        let copy = Parcel { sequence, ..parcel };
        self.forward(copy, at, now, node, Body::Deliver);
    }

    #[inline(always)]
    fn forward(
        &mut self,
        parcel: Parcel<W::Message>,
        at: VirtualTime,
        now: VirtualTime,
        node: NodeId,
        body: impl Fn(W::Message) -> BodyOf<W>,
    ) {
        // A message to another node takes at least the lookahead: windows are correct only because of
        // that.
        let earliest = if parcel.target == node {
            now
        } else {
            now + self.world.network().lookahead()
        };
        debug_assert!(at >= earliest, "the network broke its own lookahead");
        let own = parcel.target == node;
        let event = Event {
            key: Key {
                time: at.max(earliest),
                source: parcel.source,
                sequence: parcel.sequence,
            },
            sent: parcel.sent,
            target: parcel.target,
            body: body(parcel.message),
        };
        let home = Self::home(event.target, self.shards);
        if own {
            self.enqueue_own(event);
        } else if home == self.index {
            // At zero lookahead this may be the window being run. The event still waits for the next
            // pass, as it would on another shard, since the number of shards must not affect the run.
            self.queue.push(event);
        } else if let Some((batch, earliest)) = self.report.outgoing.get_mut(home) {
            *earliest = (*earliest).min(self.queue.window_of(event.key.time));
            batch.push(event);
        }
    }

    /// Queues an event that a node causes to itself; the event may be due in the window being run.
    fn enqueue_own(&mut self, event: EventOf<W>) {
        if self.queue.window_of(event.key.time) <= self.window {
            self.local.push(Local(event));
        } else {
            self.queue.push(event);
        }
    }

    /// Makes a node dormant if it asked for that and nothing is pending.
    pub(super) fn settle(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        let idle = matches!(slot, Slot::Live(live) if live.resting && live.pending == 0);
        if !idle {
            return;
        }
        if let Slot::Live(live) = std::mem::replace(slot, Slot::Dormant) {
            let live = *live;
            let remembers = self.world.network().remembers(&live.nic);
            *slot = Slot::Asleep(Box::new(Asleep {
                kept: live.node.rest(),
                nic: remembers.then_some(live.nic),
                sequence: live.sequence,
            }));
        }
    }

    pub(super) fn unblock(&mut self, node: NodeId, due: Key) {
        let index = node.0 as usize / self.shards;
        if let Some(Slot::Live(live)) = self.slots.get_mut(index) {
            if live.blocked.is_some_and(|first| first <= due) {
                live.blocked = None;
            }
        }
    }

    /// Handles a panic of the node being handled: undoes the handler's effects and drops the messages
    /// that wait inside the node.
    pub(super) fn crash(&mut self, reason: &str) {
        self.effects.clear();
        let Some((index, key)) = self.handling.take() else {
            return;
        };
        let id = NodeId((index * self.shards + self.index) as u32);
        tracing::warn!(
            t = key.time.nanos(),
            node = id.0,
            reason,
            "handler panicked: node crashed"
        );
        if let Some(slot) = self.slots.get_mut(index) {
            if let Slot::Live(live) = std::mem::replace(slot, Slot::Crashed) {
                let (tallies, world) = (&mut self.tallies, &self.world);
                let records = &mut self.report.records;
                world.network().held(&live.nic, &mut |message| {
                    if let Some(tally) = tallies.get_mut(usize::from(message.kind())) {
                        tally.dropped += 1;
                    }
                    let record = world.fate(Fate::Gone, (id, id), message);
                    records.extend(record.map(|record| (key, record)));
                });
            }
        }
        if let Some(record) = self.world.crashed(id, key.time, reason) {
            self.report.records.push((key, record));
        }
    }

    pub(super) fn drop_undeliverable(&mut self, event: EventOf<W>) {
        let key = event.key;
        if let Some(parcel) = event.into_parcel() {
            if let Some(tally) = self.tallies.get_mut(usize::from(parcel.message.kind())) {
                tally.dropped += 1;
            }
            let ends = (parcel.source, parcel.target);
            let record = self.world.fate(Fate::Gone, ends, &parcel.message);
            self.report
                .records
                .extend(record.map(|record| (key, record)));
        }
    }
}
