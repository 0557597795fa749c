//! Faults of links: what happens to messages on a client's access link.

use super::plan::Entry;
use super::speed::{Change, Pace};
use super::when::{draws, lane, Moment, Period, When};
use crate::quantity::{Bytes, Distribution, Probability, Span, VirtualTime};
use crate::sim::rng::{below, Stream};
use crate::sim::NodeId;
use rand::Rng;
use serde::Serialize;

/// A fault of a link.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub enum LinkFault {
    /// Every message takes this many seconds longer; a distribution gives jitter.
    Delay(Distribution),
    /// Every message takes longer by a number of seconds that is drawn once for each client and
    /// direction.
    Offset(Distribution),
    /// Every packet is lost with this probability, in addition to the losses of the link itself.
    Loss(Probability),
    /// Packets are lost in bursts, in addition to the losses of the link itself (the model of Gilbert
    /// and Elliott, as in [`crate::net::Loss`]).
    BurstLoss {
        /// The probability to move from the good state to the bad one, after a packet.
        p_good_to_bad: Probability,
        /// The probability to move from the bad state to the good one, after a packet.
        p_bad_to_good: Probability,
        /// The probability that a packet is lost in the good state.
        loss_good: Probability,
        /// The probability that a packet is lost in the bad state.
        loss_bad: Probability,
    },
    /// A second copy of the message arrives later; a copy that comes much later is a replay.
    Duplicate {
        /// How many seconds later the copy arrives.
        after: Distribution,
    },
    /// The message is held back, so that later messages overtake it.
    Reorder {
        /// How many seconds the message is held back.
        hold: Distribution,
    },
    /// Bits of the message change on the way.
    Corrupt {
        /// How the content changes.
        how: Corruption,
        /// Whether a checksum detects the change. If so, the packet is thrown away; otherwise the
        /// message arrives with changed content.
        checksum: bool,
    },
    /// The rates of the link are reduced to this share.
    Bandwidth(Probability),
    /// A packet carries at most this many bytes of a message.
    Mtu(Bytes),
    /// The queue in front of the link has a limited capacity.
    Queue {
        /// The capacity in bytes of messages that wait, including the message that is being sent.
        capacity: Bytes,
        /// Which message leaves when the queue is full.
        drop: Drop,
    },
    /// Messages do not get through.
    Outage(Outage),
}

/// How the content of a message changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Corruption {
    /// This many bits are flipped.
    Flip(u32),
    /// The end is cut off.
    Truncate,
}

/// Which message leaves a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Drop {
    /// The message that arrives.
    Newest,
    /// The message that has waited longest.
    Oldest,
    /// A message drawn at random.
    Random,
}

/// An outage: one link or several let nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Outage {
    /// Which of the clients concerned are cut off in a period.
    pub cut: Cut,
    /// Whether messages wait for the end of the outage. Otherwise they are lost, and only a reliable
    /// transport sends them again.
    pub held: bool,
    /// Each client's link comes back up to this much later than the period ends; the delay is drawn for
    /// each client.
    pub heal: Span,
}

/// Which clients an outage cuts off from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Cut {
    /// All clients that the fault concerns.
    All,
    /// Each client with probability 1/2, drawn anew for each period.
    Half,
    /// The clients fall into this many groups; those that are not in the server's group are cut off.
    Groups(u32),
    /// One client, drawn anew for each period.
    One,
}

/// The direction of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Direction {
    /// Messages in both directions.
    #[default]
    Both,
    /// Messages from the client.
    Up,
    /// Messages to the client.
    Down,
}

/// Which messages a link fault concerns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Filter {
    /// The direction of the messages.
    pub direction: Direction,
    /// The kinds of message, as indices into [`crate::sim::Message::KINDS`]; `None` means all.
    pub kinds: Option<Vec<u8>>,
    /// Only messages of at least this many bytes.
    pub at_least: Bytes,
    /// Only messages of at most this many bytes.
    pub at_most: Option<Bytes>,
}

/// The properties of a message that crosses a link, by which faults select it.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// The node that sends the message.
    pub source: NodeId,
    /// The node that gets the message.
    pub target: NodeId,
    /// The sender's sequence number of the message.
    pub sequence: u64,
    /// How often the message was sent before.
    pub attempt: u32,
    /// The kind of the message.
    pub kind: u8,
    /// The size of the message.
    pub bytes: Bytes,
    /// The round to which the message belongs.
    pub round: u32,
    /// The number of the message among those that its sender sends, from 1.
    pub number: u64,
}

/// A fault that a message meets.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// The number of the fault's entry in the plan.
    pub entry: u32,
    /// The fault that the message meets.
    pub fault: &'a LinkFault,
    /// The node of the client whose link is at fault.
    pub node: NodeId,
    /// Whether the message comes from that client; otherwise it goes to the client.
    pub up: bool,
    /// When the fault ends, if its periods depend on time.
    pub until: Option<VirtualTime>,
}

/// All faults of links in a run.
#[derive(Debug, Clone, Default)]
pub struct LinkFaults {
    seed: u64,
    /// The faults, each with the messages that it concerns.
    entries: Vec<(Entry<LinkFault>, Filter)>,
    /// Crashes of clients, which lose the messages that the client is sending.
    crashes: Option<super::ClientFaults>,
    server: Option<super::ServerFaults>,
}

impl Filter {
    fn lets(&self, traffic: &Traffic, up: bool) -> bool {
        let way = match self.direction {
            Direction::Both => true,
            Direction::Up => up,
            Direction::Down => !up,
        };
        way && self
            .kinds
            .as_ref()
            .is_none_or(|kinds| kinds.contains(&traffic.kind))
            && traffic.bytes >= self.at_least
            && self.at_most.is_none_or(|most| traffic.bytes <= most)
    }
}

impl Entry<LinkFault> {
    /// Whether the fault holds for the link of `node`: `Some` if it does, with its end where it has
    /// one.
    fn holds(&self, seed: u64, node: NodeId, moment: Moment) -> Option<Option<VirtualTime>> {
        let periods = self.periods(seed, u64::from(node.0));
        if !self.when.is_timed() {
            let held = periods.holds(moment) && self.cuts(seed, node, 0);
            return held.then_some(None);
        }
        let LinkFault::Outage(outage) = &self.fault else {
            return periods.at(moment.now).map(|period| Some(period.end));
        };
        // A link that comes back late is still cut off in a period that is over.
        let back = VirtualTime::from_nanos(moment.now.nanos().saturating_sub(outage.heal.nanos()));
        let mut next = periods.at_or_after(back);
        while let Some(period) = next.filter(|period| period.start <= moment.now) {
            let end = self.healed(seed, node, outage, period);
            if moment.now < end && self.cuts(seed, node, period.number) {
                return Some(Some(end));
            }
            next = periods.at_or_after(period.end);
        }
        None
    }

    /// When the link of `node` lets messages through again after `period`.
    fn healed(&self, seed: u64, node: NodeId, outage: &Outage, period: Period) -> VirtualTime {
        if outage.heal == Span::ZERO || period.end == VirtualTime::NEVER {
            return period.end;
        }
        let mut rng = draws(
            seed,
            u64::from(node.0),
            self.number,
            lane::CUT,
            period.number,
        );
        let _ = rng.next_u64();
        period.end + Span::from_nanos(below(&mut rng, outage.heal.nanos().saturating_add(1)))
    }

    /// Whether the outage's period with this number cuts `node` off; faults other than outages concern
    /// all nodes.
    fn cuts(&self, seed: u64, node: NodeId, period: u64) -> bool {
        let LinkFault::Outage(outage) = &self.fault else {
            return true;
        };
        let own = || draws(seed, u64::from(node.0), self.number, lane::CUT, period);
        match outage.cut {
            Cut::All => true,
            Cut::Half => own().next_u64() >> 63 == 0,
            Cut::Groups(groups) => below(&mut own(), u64::from(groups)) != 0,
            Cut::One => {
                let mut rng = draws(seed, 0, self.number, lane::CUT, period);
                let place = below(&mut rng, self.members.len() as u64) as usize;
                node.0
                    .checked_sub(1)
                    .and_then(|client| self.members.place(client))
                    == Some(place)
            }
        }
    }
}

impl LinkFaults {
    pub(super) const fn new(
        seed: u64,
        entries: Vec<(Entry<LinkFault>, Filter)>,
        crashes: Option<super::ClientFaults>,
        server: Option<super::ServerFaults>,
    ) -> Self {
        Self {
            seed,
            entries,
            crashes,
            server,
        }
    }

    /// Whether there are no faults of links.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.crashes.is_none() && self.server.is_none()
    }

    /// Whether some fault depends on the number of a message.
    pub fn counts(&self) -> bool {
        self.entries
            .iter()
            .any(|(entry, _)| matches!(entry.when, When::Messages { .. }))
    }

    /// The faults that a message meets at `now`, in the order of the plan. Where a fault hits only some
    /// messages, one draw for each attempt decides whether it hits this one; asking again gives the
    /// answer of the first time.
    pub fn met<'a>(
        &'a self,
        traffic: &'a Traffic,
        now: VirtualTime,
    ) -> impl Iterator<Item = Pass<'a>> {
        let moment = Moment {
            now,
            round: traffic.round,
            message: traffic.number,
        };
        let ends = [(traffic.source, true), (traffic.target, false)];
        self.entries.iter().flat_map(move |(entry, filter)| {
            ends.into_iter().filter_map(move |(node, up)| {
                let client = node.0.checked_sub(1)?;
                if !filter.lets(traffic, up) || !entry.members.contains(client) {
                    return None;
                }
                let until = entry.holds(self.seed, node, moment)?;
                let hit = entry.probability == Probability::ONE
                    || entry
                        .probability
                        .hit(self.fate(entry.number, traffic).next_u64());
                hit.then_some(Pass {
                    entry: entry.number,
                    fault: &entry.fault,
                    node,
                    up,
                    until,
                })
            })
        })
    }

    fn fate(&self, entry: u32, traffic: &Traffic) -> Stream {
        // No transport sends a message more than a thousand times.
        let number = traffic.sequence << 10 | u64::from(traffic.attempt & 1023);
        draws(
            self.seed,
            u64::from(traffic.source.0),
            entry,
            lane::FATE,
            number,
        )
    }

    /// The random draws that decide what `pass` does to a message; the first draw is whether it is hit.
    pub fn draws(&self, pass: &Pass<'_>, traffic: &Traffic) -> Stream {
        self.draws_of(pass.entry, traffic)
    }

    /// The random draws of [`LinkFaults::draws`] for the entry of the plan with this number.
    pub fn draws_of(&self, entry: u32, traffic: &Traffic) -> Stream {
        let mut rng = self.fate(entry, traffic);
        let _ = rng.next_u64();
        rng
    }

    /// The constant delay that [`LinkFault::Offset`] adds.
    pub fn offset(&self, pass: &Pass<'_>, law: &Distribution) -> Span {
        let lane = lane::FIXED + u8::from(pass.up);
        Span::from_seconds(law.sample(&mut draws(
            self.seed,
            u64::from(pass.node.0),
            pass.entry,
            lane,
            0,
        )))
    }

    /// How the rate of one side of the link of `node` changes over time; `None` if it never does.
    fn pace(&self, node: NodeId, up: bool) -> Option<Pace<'_>> {
        let client = node.0.checked_sub(1)?;
        let mut pace = Pace::default();
        for (entry, filter) in &self.entries {
            let LinkFault::Bandwidth(share) = &entry.fault else {
                continue;
            };
            let way = match filter.direction {
                Direction::Both => true,
                Direction::Up => up,
                Direction::Down => !up,
            };
            if way && entry.members.contains(client) {
                pace.changes.push((
                    entry.periods(self.seed, u64::from(node.0)),
                    Change::To(share.get()),
                ));
            }
        }
        (!pace.changes.is_empty()).then_some(pace)
    }

    /// Whether the rate of one side of the link of `node` ever changes.
    pub fn is_paced(&self, node: NodeId, up: bool) -> bool {
        self.pace(node, up).is_some()
    }

    /// The service time of one side of a link at `now`: the time that the side would need at its full
    /// rate for what it can have sent by `now`.
    pub fn service(&self, node: NodeId, up: bool, now: VirtualTime) -> VirtualTime {
        self.pace(node, up).map_or(now, |pace| pace.done_by(now))
    }

    /// The first moment at which the service time of one side reaches `service`; the inverse of
    /// [`LinkFaults::service`].
    pub fn moment(&self, node: NodeId, up: bool, service: VirtualTime) -> VirtualTime {
        self.pace(node, up)
            .map_or(service, |pace| pace.when_done(service))
    }

    /// Whether `node` crashes in `(after, until]`.
    pub fn crashes_within(&self, node: NodeId, after: VirtualTime, until: VirtualTime) -> bool {
        match node.0.checked_sub(1) {
            Some(client) => {
                let crashes = self.crashes.as_ref();
                crashes.is_some_and(|faults| faults.crashes_within(client, after, until))
            }
            None => {
                let crashes = self.server.as_ref();
                crashes.is_some_and(|faults| faults.crashes_within(after, until))
            }
        }
    }
}
