//! The sender of one message: its state, and the next event.

mod acks;
mod recovery;
mod sending;
mod timers;

use super::bbr::Bbr;
use super::bottleneck::Path;
use super::cubic::Cubic;
use super::gaps::{Dice, Gaps};
use super::hystart::HyStart;
use super::receiver::{Receiver, DELAY};
use super::rtt::Rtt;
use super::Congestion;
use crate::net::Loss;
use crate::snapshot::{snapshot_enum, snapshot_struct};
use std::collections::VecDeque;

/// The number of timeouts in a row after which Linux gives up.
const RETRIES: u32 = 15;

/// The parameters of a flow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setup {
    /// The congestion control, which decides how many packets are in flight.
    pub congestion: Congestion,
    /// The number of packets that are sent before the first acknowledgement.
    pub initial_window: u32,
    /// The number of packets up to which the receiver's window may grow.
    pub receive_window: f64,
    /// The number of packets of the message.
    pub packets: u64,
    /// The round trip without waiting in queues, in seconds.
    pub rtt: f64,
    /// The random losses on the sender's and on the receiver's side of the path.
    pub losses: [Loss; 2],
    /// Acknowledgements that come within this many seconds are handled at once; between such groups,
    /// other flows use the path.
    pub grain: f64,
}

/// Counts of the events of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowCounts {
    /// Steps of the flow.
    pub events: u64,
    /// Fast recoveries that the flow began.
    pub recoveries: u64,
    /// Tail loss probes that the flow sent.
    pub probes: u64,
    /// Retransmission timeouts of the flow.
    pub timeouts: u64,
    /// Packets lost at random.
    pub random: u64,
    /// Packets dropped because a buffer had no room.
    pub overflow: u64,
}

/// Whether packets are sent for the first time (`New`), or again because of a loss before (`Old`) or
/// after (`Late`) the beginning of the current recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    New,
    Old,
    Late,
}

/// Packets that leave the bottleneck one after the other at one spacing.
#[derive(Debug, Clone, PartialEq)]
struct Train {
    class: Class,
    packets: u32,
    /// How many of the packets have been handled.
    done: u32,
    /// When the first packet left the bottleneck, and the time from each packet to the next.
    first: f64,
    gap: f64,
    /// When the first packet was sent, and the time from each packet to the next.
    sent: f64,
    sent_gap: f64,
    /// The positions of packets that did not get through.
    lost: VecDeque<u32>,
    /// The serial number of the first packet among all packets that the flow sent.
    serial: u64,
    /// The number of packets delivered when the first packet was sent, and when the last of those was
    /// delivered.
    before: u64,
    before_at: f64,
}

/// A lost packet that the sender does not yet know to be lost.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Hole {
    sent: f64,
    late: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No loss is known.
    Open,
    /// The sender is in fast recovery.
    Recovery,
    /// The sender is in slow start after a timeout.
    Loss,
}

/// One message under way. Times are in seconds from a moment that the caller chooses.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    congestion: Congestion,
    total: u64,
    base: f64,
    grain: f64,
    /// The number of packets sent for the first time, and of all packets sent.
    sent_new: u64,
    serial: u64,
    /// All packets before this one have been handled.
    acked: u64,
    window: u32,
    /// Acknowledged packets that have not yet made the window larger.
    credit: f64,
    threshold: u32,
    state: State,
    trains: VecDeque<Train>,
    holes: Vec<Hole>,
    /// Packets that arrived after the first hole.
    after_hole: u32,
    /// Packets to be sent again, by class.
    queue_old: u32,
    queue_late: u32,
    /// Packets that the receiver knows to be missing and that are not yet through, by class.
    open_old: u32,
    open_late: u32,
    /// Packets that are lost and have not been sent again with success.
    missing: u64,
    /// Packets in flight, as far as the sender knows.
    pipe: u32,
    /// For proportional rate reduction: the window before the recovery, and the packets delivered and
    /// sent since it began.
    prior: u32,
    came: u32,
    went: u32,
    /// A recovery is over when all packets before this one have been handled.
    high: u64,
    cubic: Cubic,
    hystart: HyStart,
    bbr: Option<Bbr>,
    rtt: Rtt,
    receiver: Receiver,
    /// A packet whose acknowledgement waits for another packet: when it arrived, its round trip, its
    /// number.
    odd: Option<(f64, f64, u64)>,
    /// The random losses on the sender's and on the receiver's side of the path.
    gaps: (Gaps, Gaps),
    dice: Dice,
    backoff: f64,
    /// The number of timeouts since a packet got through.
    silent: u32,
    probed: bool,
    last_event: f64,
    delivered: u64,
    delivered_at: f64,
    /// The last measurement of the delivery rate.
    sample: (u64, f64, f64),
    pace_next: f64,
    end: f64,
    done: bool,
    tally: FlowCounts,
}

snapshot_enum!(Class { 0 => New, 1 => Old, 2 => Late });
snapshot_enum!(State { 0 => Open, 1 => Recovery, 2 => Loss });
snapshot_struct!(Hole { sent, late });
snapshot_struct!(Train {
    class,
    packets,
    done,
    first,
    gap,
    sent,
    sent_gap,
    lost,
    serial,
    before,
    before_at
});
snapshot_struct!(FlowCounts {
    events,
    recoveries,
    probes,
    timeouts,
    random,
    overflow
});
snapshot_struct!(Flow {
    congestion,
    total,
    base,
    grain,
    sent_new,
    serial,
    acked,
    window,
    credit,
    threshold,
    state,
    trains,
    holes,
    after_hole,
    queue_old,
    queue_late,
    open_old,
    open_late,
    missing,
    pipe,
    prior,
    came,
    went,
    high,
    cubic,
    hystart,
    bbr,
    rtt,
    receiver,
    odd,
    gaps,
    dice,
    backoff,
    silent,
    probed,
    last_event,
    delivered,
    delivered_at,
    sample,
    pace_next,
    end,
    done,
    tally
});

impl Flow {
    /// Hands the message to an idle, established connection at `now`, and sends the initial window.
    pub fn begin(setup: &Setup, mut dice: Dice, now: f64, path: &mut dyn Path) -> Self {
        // On a path without any delay, rounds would never end at one moment.
        let base = setup.rtt.max(1e-6);
        let window = setup.initial_window.max(1);
        let phase = dice_phase(&mut dice);
        let bbr = (setup.congestion == Congestion::Bbr).then(|| Bbr::new(window, base, now, phase));
        let [up, down] = setup.losses;
        let mut flow = Self {
            congestion: setup.congestion,
            total: setup.packets.max(1),
            base,
            grain: setup.grain,
            sent_new: 0,
            serial: 0,
            acked: 0,
            window,
            credit: 0.0,
            threshold: u32::MAX,
            state: State::Open,
            trains: VecDeque::new(),
            holes: Vec::new(),
            after_hole: 0,
            queue_old: 0,
            queue_late: 0,
            open_old: 0,
            open_late: 0,
            missing: 0,
            pipe: 0,
            prior: 0,
            came: 0,
            went: 0,
            high: 0,
            cubic: Cubic::new(),
            hystart: HyStart::new(),
            bbr,
            rtt: Rtt::new(base),
            receiver: Receiver::new(now, setup.receive_window.max(2.0)),
            odd: None,
            gaps: (Gaps::new(up, &mut dice), Gaps::new(down, &mut dice)),
            dice,
            backoff: 1.0,
            silent: 0,
            probed: false,
            last_event: now,
            delivered: 0,
            delivered_at: now,
            sample: (0, base, now),
            pace_next: now,
            end: now,
            done: false,
            tally: FlowCounts::default(),
        };
        flow.first_window(now, path);
        flow
    }

    /// Whether the arrival time of the last packet is known; see [`Flow::end`].
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// When the last of the packets that have got through so far arrives; once [`Flow::is_done`], this
    /// is when the whole message arrives.
    pub const fn end(&self) -> f64 {
        self.end
    }

    /// Whether the sender has given up after too many timeouts in a row (`tcp_retries2`).
    pub const fn has_failed(&self) -> bool {
        self.silent > RETRIES
    }

    /// The counts of the events so far.
    pub const fn tally(&self) -> FlowCounts {
        self.tally
    }

    /// When the next event of the sender is due, in seconds.
    pub fn next(&self) -> f64 {
        let others = self.odd_at().min(self.pace_at());
        self.train_at().min(self.timer_at()).min(others)
    }

    /// Handles the next event.
    pub fn step(&mut self, path: &mut dyn Path) {
        self.tally.events += 1;
        let (train, timer) = (self.train_at(), self.timer_at());
        let (odd, pace) = (self.odd_at(), self.pace_at());
        if pace <= odd && pace <= train && pace <= timer {
            self.last_event = self.last_event.max(pace);
            self.fill(pace, pace, 1, path);
        } else if odd <= train && odd <= timer {
            self.acknowledge_odd(odd, DELAY, path);
        } else if timer < train {
            self.fire(timer, path);
        } else {
            self.pass_train(path);
        }
    }

    /// When the next packet of the first train is acknowledged, or known to be missing.
    fn train_at(&self) -> f64 {
        self.trains.front().map_or(f64::INFINITY, |train| {
            train.first + train.gap * f64::from(train.done) + self.base
        })
    }

    /// When the receiver acknowledges a packet that waits for another one.
    fn odd_at(&self) -> f64 {
        self.odd.map_or(f64::INFINITY, |(at, _, _)| at + DELAY)
    }

    /// The effective window: the smaller of the sender's and the receiver's, in packets.
    fn room(&self) -> u32 {
        let window = self.window.min(self.receiver.window as u32);
        window.saturating_sub(self.pipe)
    }

    /// The number of packets that are still to be sent, for the first time or again.
    fn waiting(&self) -> u64 {
        u64::from(self.queue_old) + u64::from(self.queue_late) + self.total - self.sent_new
    }
}

/// The phase at which BBR begins its cycle.
fn dice_phase(dice: &mut Dice) -> u64 {
    use rand::Rng;
    dice.stream().next_u64()
}
