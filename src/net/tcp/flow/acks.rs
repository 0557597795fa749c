//! Acknowledgements: which packets of a train arrive, how they change the window, and which packets
//! they release.

use super::{Class, Flow, Hole, State, DELAY};
use crate::net::tcp::bbr::Sample;
use crate::net::tcp::bottleneck::Path;
use crate::net::tcp::hystart::Acked;
use crate::net::tcp::Congestion;

/// Packets that arrive one after the other: their number, when the first is acknowledged and how much
/// later each next one, the round trips of the first and the last, and the serial number of the first.
#[derive(Clone, Copy)]
pub(super) struct Arrived {
    pub class: Class,
    pub packets: u32,
    pub at: f64,
    pub gap: f64,
    pub rtts: (f64, f64),
    pub serial: u64,
}

impl Arrived {
    pub fn last(&self) -> f64 {
        self.at + self.gap * f64::from(self.packets.saturating_sub(1))
    }

    /// The packets after the first `done`.
    fn rest(&self, done: u32) -> Self {
        let (first, last) = self.rtts;
        let part = f64::from(done) / f64::from(self.packets);
        Self {
            packets: self.packets - done,
            at: self.at + self.gap * f64::from(done),
            rtts: (first + (last - first) * part, last),
            serial: self.serial + u64::from(done),
            ..*self
        }
    }
}

impl Flow {
    /// Handles as many packets of the first train as follow one set of rules.
    pub(super) fn pass_train(&mut self, path: &mut dyn Path) {
        let (base, state) = (self.base, self.state);
        let boundary = |serial| self.hystart.boundary(serial);
        let Some(train) = self.trains.front() else {
            return;
        };
        let place = train.done;
        let serial = train.serial + u64::from(place);
        let (class, gap) = (train.class, train.gap);
        let at = train.first + gap * f64::from(place) + base;
        let sent = train.sent + train.sent_gap * f64::from(place);
        let (before, before_at) = (train.before, train.before_at);
        let next_loss = train.lost.front().copied();
        if next_loss == Some(place) {
            self.miss(class, serial, sent);
            return self.acknowledge_odd(at, 0.0, path);
        }
        let mut run = next_loss.unwrap_or(train.packets) - place;
        if gap > 0.0 && self.grain.is_finite() {
            run = run.min((self.grain / gap) as u32).max(1);
        }
        if !self.holes.is_empty() {
            run = run.min(match state {
                // The third packet after a hole shows that a packet is lost.
                State::Open => 3u32.saturating_sub(self.after_hole).max(1),
                State::Recovery | State::Loss => 1,
            });
        }
        if let Some(most) = boundary(serial) {
            run = run.min(most);
        }
        if state == State::Recovery && serial < self.high {
            run = run.min(u32::try_from(self.high - serial).unwrap_or(u32::MAX));
        }
        let sent_last = train.sent + train.sent_gap * f64::from(place + run - 1);
        self.pass(run);
        self.acked = serial + u64::from(run);
        let last = at + gap * f64::from(run - 1);
        self.delivered += u64::from(run);
        self.sample = (before, (last - before_at).max(self.rtt.least), last);
        self.delivered_at = last;
        let arrived = Arrived {
            class,
            packets: run,
            at,
            gap,
            rtts: (at - sent, last - sent_last),
            serial,
        };
        self.deliver(&arrived, path);
        self.last_event = self.last_event.max(last);
    }

    /// Marks this many packets of the first train as handled.
    fn pass(&mut self, packets: u32) {
        if let Some(train) = self.trains.front_mut() {
            train.done += packets;
            if train.done == train.packets {
                self.trains.pop_front();
            }
        }
    }

    /// Handles a packet that was expected and has not come.
    fn miss(&mut self, class: Class, serial: u64, sent: f64) {
        if let Some(train) = self.trains.front_mut() {
            train.lost.pop_front();
        }
        self.pass(1);
        self.acked = serial + 1;
        let late = match class {
            Class::Old => false,
            Class::Late => true,
            Class::New => self.state == State::Recovery && serial >= self.high,
        };
        if class == Class::New {
            if late {
                self.open_late += 1;
            } else {
                self.open_old += 1;
            }
        }
        if self.holes.is_empty() {
            self.after_hole = 0;
        }
        self.holes.push(Hole { sent, late });
    }

    /// Acknowledges, after `delay` seconds, the packet whose acknowledgement waits for another packet.
    pub(super) fn acknowledge_odd(&mut self, now: f64, delay: f64, path: &mut dyn Path) {
        if let Some((_, rtt, serial)) = self.odd.take() {
            let rtts = (rtt + delay, rtt + delay);
            self.grow(&Acked {
                serial,
                packets: 1,
                acks: 1,
                at: now,
                gap: 0.0,
                rtts,
            });
            self.fill(now, now, 1, path);
        }
    }

    fn deliver(&mut self, arrived: &Arrived, path: &mut dyn Path) {
        let Arrived {
            class,
            packets,
            at,
            gap,
            rtts,
            serial,
        } = *arrived;
        self.pipe -= packets;
        match class {
            Class::New => {}
            Class::Old => self.open_old -= packets,
            Class::Late => self.open_late -= packets,
        }
        self.backoff = 1.0;
        self.silent = 0;
        let acks = match self.state {
            State::Open => (packets / 2).max(1),
            State::Recovery | State::Loss => packets,
        };
        self.rtt.sample(rtts.0, 1.0, serial, self.serial);
        if packets > 1 {
            let more = f64::from(acks - 1).max(1.0);
            self.rtt.sample(rtts.1, more, serial, self.serial);
        }
        let orderly = self.holes.is_empty() && class == Class::New && self.state == State::Open;
        if orderly {
            self.probed = false;
            return self.in_order(arrived, path);
        }
        self.receiver.arrive(packets, at, gap, self.rtt.least);
        match self.state {
            State::Open => self.disorder(arrived, path),
            State::Recovery => self.recover(arrived, path),
            State::Loss => {
                self.mark();
                self.release(arrived, 1, path);
                let repaired = self.open_old == 0 && self.open_late == 0;
                if self.acked >= self.high && repaired {
                    self.state = State::Open;
                }
            }
        }
    }

    /// Handles packets in order while none is missing: every second packet is acknowledged, some one by
    /// one.
    fn in_order(&mut self, arrived: &Arrived, path: &mut dyn Path) {
        let Arrived {
            packets,
            at,
            gap,
            rtts,
            ..
        } = *arrived;
        let quick = self.receiver.arrive(packets, at, gap, self.rtt.least);
        let mut rest = *arrived;
        if quick > 0 {
            if let Some((_, rtt, serial)) = self.odd.take() {
                self.grow(&Acked {
                    serial,
                    packets: 1,
                    acks: 1,
                    at,
                    gap: 0.0,
                    rtts: (rtt, rtt),
                });
            }
            let part = f64::from(quick - 1) / f64::from((packets - 1).max(1));
            let mid = rtts.0 + (rtts.1 - rtts.0) * part;
            self.pipe += packets - quick;
            let first = Arrived {
                packets: quick,
                rtts: (rtts.0, mid),
                ..*arrived
            };
            self.release(&first, 1, path);
            self.pipe -= packets - quick;
            if quick == packets {
                return;
            }
            rest = Arrived {
                rtts,
                ..arrived.rest(quick)
            };
        }
        if gap >= DELAY {
            // Each of these packets waits in vain for the next one.
            let late = (rtts.0 + DELAY, rtts.1 + DELAY);
            let rest = Arrived {
                at: rest.at + DELAY,
                rtts: late,
                ..rest
            };
            return self.release(&rest, 1, path);
        }
        let mut count = rest.packets;
        let mut first = rest.at + gap;
        if self.odd.take().is_some() {
            count += 1;
            first = rest.at;
        }
        if count % 2 == 1 {
            let at = if count == 1 {
                rest.at
            } else {
                first + gap * f64::from(count - 2)
            };
            self.odd = Some((at, rtts.1, rest.serial + u64::from(count) - 1));
            count -= 1;
        }
        if count > 0 {
            let pairs = Arrived {
                packets: count,
                at: first,
                ..rest
            };
            self.release(&pairs, 2, path);
        }
    }

    /// Makes the window larger by acknowledgements of `per` packets each, and sends the packets that
    /// they release. This is done in pieces, since packets acknowledged after the end of slow start are
    /// released at another pace.
    fn release(&mut self, arrived: &Arrived, per: u32, path: &mut dyn Path) {
        let mut done = 0;
        while done < arrived.packets {
            let rest = arrived.rest(done);
            let acked = Acked {
                serial: rest.serial,
                packets: rest.packets,
                acks: (rest.packets / per).max(1),
                at: rest.at,
                gap: rest.gap,
                rtts: rest.rtts,
            };
            let count = self.grow(&acked).clamp(1, rest.packets);
            // Packets that are acknowledged later are in flight until then.
            self.pipe += rest.packets - count;
            let end = rest.at + rest.gap * f64::from(count.saturating_sub(per));
            self.fill(rest.at, end, per, path);
            self.pipe -= rest.packets - count;
            done += count;
        }
    }

    /// Releases packets in a recovery that BBR goes through.
    pub(super) fn release_each(&mut self, arrived: &Arrived, path: &mut dyn Path) {
        self.release(arrived, 1, path);
    }

    /// Makes the window larger; returns how many of the packets were counted.
    fn grow(&mut self, acked: &Acked) -> u32 {
        let packets = acked.packets;
        if let Some(bbr) = &mut self.bbr {
            let (before, interval, now) = self.sample;
            let sample = Sample {
                packets,
                before,
                delivered: self.delivered,
                interval,
                rtt: acked.rtts.0.min(acked.rtts.1),
                now,
                limited: self.sent_new == self.total,
            };
            self.window = bbr.acked(self.window, self.pipe, &sample);
            return packets;
        }
        let mut left = packets;
        if self.window < self.threshold {
            let mut count = left.min(self.threshold - self.window);
            if self.congestion == Congestion::Cubic && !self.hystart.found {
                let (sent, least) = (self.serial, self.rtt.least);
                if let Some(end) = self.hystart.update(self.window, acked, sent, least) {
                    count = count.min(end);
                    self.threshold = self.window + count;
                }
            }
            self.window += count;
            left -= count;
            if count > 0 && left > 0 {
                return count;
            }
        }
        while left > 0 {
            // The pace changes as the window changes.
            let piece = left.min((self.window / 8).max(2));
            let now = acked.at + acked.gap * f64::from(packets - left);
            let pace = match self.congestion {
                Congestion::Reno => f64::from(self.window),
                Congestion::Cubic | Congestion::Bbr => {
                    let least = self.rtt.least;
                    self.cubic.pace(self.window, f64::from(piece), now, least)
                }
            };
            if self.credit >= pace {
                // Credit from a slower pace counts for one packet.
                self.credit = 0.0;
                self.window += 1;
            }
            self.credit += f64::from(piece);
            if self.credit >= pace {
                let more = libm::floor(self.credit / pace);
                self.credit -= more * pace;
                self.window += more as u32;
            }
            left -= piece;
        }
        packets
    }
}
