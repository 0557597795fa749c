//! Faults of links: what happens to messages on a client's access link.

use super::plan::Entry;
use super::speed::{Change, Pace};
use super::when::{draws, lane, Moment, Period, When};
use crate::quantity::{Bytes, Distribution, Probability, Span, VirtualTime};
use crate::sim::rng::{below, Stream};
use crate::sim::NodeId;
use rand::Rng;
use serde::Serialize;

/// Something that goes wrong on a link.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum LinkFault {
    /// Every message takes this much longer, in seconds; a distribution is jitter.
    Delay(Distribution),
    /// Every message takes longer by what is drawn once for the client and direction.
    Offset(Distribution),
    /// Every packet is lost with this probability, beside what the link itself loses.
    Loss(Probability),
    /// The same in bursts (Gilbert and Elliott, as [`crate::net::Loss`] has it).
    BurstLoss {
        /// From the good state to the bad one, after a packet.
        p_good_to_bad: Probability,
        /// Back.
        p_bad_to_good: Probability,
        /// Loss in the good state.
        loss_good: Probability,
        /// Loss in the bad state.
        loss_bad: Probability,
    },
    /// A second copy arrives, so much later: a replay if that is long.
    Duplicate {
        /// In seconds.
        after: Distribution,
    },
    /// The message is held back, so that later ones overtake it.
    Reorder {
        /// In seconds.
        hold: Distribution,
    },
    /// Bits change on the way.
    Corrupt {
        /// How.
        how: Corruption,
        /// Whether a checksum finds it: the packet is thrown away then, otherwise the content
        /// arrives changed.
        checksum: bool,
    },
    /// The rates of the link are this share of what they were.
    Bandwidth(Probability),
    /// A packet carries no more bytes of a message than this.
    Mtu(Bytes),
    /// The queue in front of the link holds no more than this.
    Queue {
        /// Of messages that wait, the one under way counted.
        capacity: Bytes,
        /// Who must go when it is full.
        drop: Drop,
    },
    /// Messages do not get through.
    Outage(Outage),
}

/// How content changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Corruption {
    /// So many bits are flipped.
    Flip(u32),
    /// The end is missing.
    Truncate,
}

/// Who leaves a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Drop {
    /// The message that comes.
    Newest,
    /// The one that has waited longest.
    Oldest,
    /// Any, drawn.
    Random,
}

/// A link, or many, that let nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Outage {
    /// Which of the clients concerned are cut off in a period.
    pub cut: Cut,
    /// Whether messages wait for the end of it; otherwise they are lost, and only a reliable transport
    /// sends them again.
    pub held: bool,
    /// Each client's link comes back up to so much later than the period ends, in random order.
    pub heal: Span,
}

/// Which clients an outage cuts off from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Cut {
    /// All it concerns.
    All,
    /// Each with probability 1/2, drawn anew a period.
    Half,
    /// The clients fall into so many groups, the server is in one of them.
    Groups(u32),
    /// One of them, drawn anew a period.
    One,
}

/// Which way messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Direction {
    /// Either.
    #[default]
    Both,
    /// From the client.
    Up,
    /// To the client.
    Down,
}

/// Which messages a link fault concerns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Filter {
    /// Which way they go.
    pub direction: Direction,
    /// The kinds, as indices into the message type's; all when not given.
    pub kinds: Option<Vec<u8>>,
    /// Only messages of so many bytes or more.
    pub at_least: Bytes,
    /// Only messages of so many bytes or less.
    pub at_most: Option<Bytes>,
}

/// A message that passes a link.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// The sender.
    pub source: NodeId,
    /// The receiver.
    pub target: NodeId,
    /// The sender's number for it.
    pub sequence: u64,
    /// How often it was sent before.
    pub attempt: u32,
    /// Its kind.
    pub kind: u8,
    /// Its size.
    pub bytes: Bytes,
    /// The round it belongs to.
    pub round: u32,
    /// The how-manieth it is that its sender sends, from 1.
    pub number: u64,
}

/// A fault that a message meets.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// Which entry of the plan.
    pub entry: u32,
    /// What it is.
    pub fault: &'a LinkFault,
    /// The client's node.
    pub node: NodeId,
    /// Whether the message comes from that client.
    pub up: bool,
    /// When it ends, if it is told by the clock.
    pub until: Option<VirtualTime>,
}

/// All faults of links in a run.
#[derive(Debug, Clone, Default)]
pub struct LinkFaults {
    seed: u64,
    /// Each with the messages it concerns.
    entries: Vec<(Entry<LinkFault>, Filter)>,
    /// Crashes take what their node is sending.
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
    /// Whether the fault holds for the link of `node`; the end of it where it has one.
    fn holds(&self, seed: u64, node: NodeId, moment: Moment) -> Option<Option<VirtualTime>> {
        let periods = self.periods(seed, u64::from(node.0));
        if !self.when.is_timed() {
            let held = periods.holds(moment) && self.cuts(seed, node, 0);
            return held.then_some(None);
        }
        let LinkFault::Outage(outage) = &self.fault else {
            return periods.at(moment.now).map(|period| Some(period.end));
        };
        // A link that heals late is still out in a period that is over.
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

    /// When the link of `node` is whole again after `period`.
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

    /// Whether an outage's period with this number cuts `node` off; other faults concern all.
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

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.crashes.is_none() && self.server.is_none()
    }

    /// Whether some fault counts messages.
    pub fn counts(&self) -> bool {
        self.entries
            .iter()
            .any(|(entry, _)| matches!(entry.when, When::Messages { .. }))
    }

    /// The faults that a message meets at `now`, in the order of the plan. Of those that hit only
    /// some messages it meets the ones that hit it: that is drawn once an attempt, whenever asked.
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
        // No transport sends more than a thousand times.
        let number = traffic.sequence << 10 | u64::from(traffic.attempt & 1023);
        draws(
            self.seed,
            u64::from(traffic.source.0),
            entry,
            lane::FATE,
            number,
        )
    }

    /// The draws that decide what `pass` does to a message; the first is whether it is hit.
    pub fn draws(&self, pass: &Pass<'_>, traffic: &Traffic) -> Stream {
        self.draws_of(pass.entry, traffic)
    }

    /// The same, by the entry of the plan.
    pub fn draws_of(&self, entry: u32, traffic: &Traffic) -> Stream {
        let mut rng = self.fate(entry, traffic);
        let _ = rng.next_u64();
        rng
    }

    /// What [`LinkFault::Offset`] adds for good.
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

    /// How the rate of one side of the link of `node` changes; `None` if it does not.
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

    /// The time that a side of a link would need for what it has done by `now` at its full rate.
    pub fn service(&self, node: NodeId, up: bool, now: VirtualTime) -> VirtualTime {
        self.pace(node, up).map_or(now, |pace| pace.done_by(now))
    }

    /// The first moment at which it has done as much as in `service` at its full rate.
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
