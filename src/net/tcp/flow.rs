//! The sender of one message: its state, and what happens to it next.

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

/// Timeouts in a row after which Linux gives up.
const RETRIES: u32 = 15;

/// What a flow is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setup {
    /// What decides how much is in flight.
    pub congestion: Congestion,
    /// Packets that are sent before the first acknowledgement.
    pub initial_window: u32,
    /// Packets that the receiver may have room for.
    pub receive_window: f64,
    /// Packets of the message.
    pub packets: u64,
    /// The round trip without waiting, seconds.
    pub rtt: f64,
    /// What the sender's and the receiver's side of the path lose at random.
    pub losses: [Loss; 2],
    /// Acknowledgements are looked at over at most this many seconds at once; what else uses the
    /// path comes in between.
    pub grain: f64,
}

/// What happened to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Steps it took.
    pub events: u64,
    /// Fast recoveries.
    pub recoveries: u64,
    /// Tail loss probes.
    pub probes: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Packets lost at random.
    pub random: u64,
    /// Packets for which there was no room.
    pub overflow: u64,
}

/// Packets are sent for the first time, or again; those again because of a loss before or after the
/// recovery under way began.
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
    /// How many of them are dealt with.
    done: u32,
    /// When the first left the bottleneck, and how much later each next one.
    first: f64,
    gap: f64,
    /// When the first was sent, and how much later each next one.
    sent: f64,
    sent_gap: f64,
    /// The places of those that did not get through.
    lost: VecDeque<u32>,
    /// The first is the serial-th packet the flow sent.
    serial: u64,
    /// What had been delivered when it was sent, and when the last of that was.
    before: u64,
    before_at: f64,
}

/// A lost packet that the sender does not know to be lost.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Hole {
    sent: f64,
    late: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is known to be lost.
    Open,
    /// Fast recovery.
    Recovery,
    /// After a timeout.
    Loss,
}

/// One message on its way. Times are seconds from whatever moment the caller counts from.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    congestion: Congestion,
    total: u64,
    base: f64,
    grain: f64,
    /// Packets sent for the first time, and all that were sent.
    sent_new: u64,
    serial: u64,
    /// The packets before this one are dealt with.
    acked: u64,
    window: u32,
    /// Acknowledged packets that have not made the window larger yet.
    credit: f64,
    threshold: u32,
    state: State,
    trains: VecDeque<Train>,
    holes: Vec<Hole>,
    /// Packets that arrived after the first hole.
    after_hole: u32,
    /// Packets to send again, by class.
    queue_old: u32,
    queue_late: u32,
    /// Packets that are not through, of those known to the receiver as missing, by class.
    open_old: u32,
    open_late: u32,
    /// Packets that are lost and not sent again with success.
    missing: u64,
    /// Packets in flight, as far as the sender knows.
    pipe: u32,
    /// Of proportional rate reduction: the window before, what came and what went since.
    prior: u32,
    came: u32,
    went: u32,
    /// A recovery is over when all before this packet is dealt with.
    high: u64,
    cubic: Cubic,
    hystart: HyStart,
    bbr: Option<Bbr>,
    rtt: Rtt,
    receiver: Receiver,
    /// A packet whose acknowledgement waits for another: when it arrived, its round trip, itself.
    odd: Option<(f64, f64, u64)>,
    /// What the sender's and the receiver's side of the path lose.
    gaps: (Gaps, Gaps),
    dice: Dice,
    backoff: f64,
    /// Timeouts since anything got through.
    silent: u32,
    probed: bool,
    last_event: f64,
    delivered: u64,
    delivered_at: f64,
    /// What the last acknowledgement says about the rate.
    sample: (u64, f64, f64),
    pace_next: f64,
    end: f64,
    done: bool,
    tally: Tally,
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
snapshot_struct!(Tally {
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
        // A path without any delay would have rounds without end at one moment.
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
            tally: Tally::default(),
        };
        flow.first_window(now, path);
        flow
    }

    /// Whether it is known when the last packet arrives; see [`Flow::end`].
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// When the last of the packets that get through so far arrives: of the message, once
    /// [`Flow::is_done`].
    pub const fn end(&self) -> f64 {
        self.end
    }

    /// Whether so many timeouts have passed without news that the sender gives up (`tcp_retries2`).
    pub const fn has_failed(&self) -> bool {
        self.silent > RETRIES
    }

    /// What happened so far.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// When something happens to the sender next.
    pub fn next(&self) -> f64 {
        let others = self.odd_at().min(self.pace_at());
        self.train_at().min(self.timer_at()).min(others)
    }

    /// Lets that happen.
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

    /// When the receiver acknowledges a lone packet.
    fn odd_at(&self) -> f64 {
        self.odd.map_or(f64::INFINITY, |(at, _, _)| at + DELAY)
    }

    /// The window there is: the sender's or the receiver's.
    fn room(&self) -> u32 {
        let window = self.window.min(self.receiver.window as u32);
        window.saturating_sub(self.pipe)
    }

    /// Packets that are still to be sent, for the first time or again.
    fn waiting(&self) -> u64 {
        u64::from(self.queue_old) + u64::from(self.queue_late) + self.total - self.sent_new
    }
}

/// Where BBR begins its cycle.
fn dice_phase(dice: &mut Dice) -> u64 {
    use rand::Rng;
    dice.stream().next_u64()
}
