//! From windows to trains: the packets that may be sent pass the bottleneck and meet its losses.

use super::{Class, Flow, Train};
use crate::net::tcp::bottleneck::{Burst, Path};

/// BBR sends an eighth of a round trip's packets at once.
const QUANTA: f64 = 8.0;
/// Two trains are joined if the second follows within this part of the spacing of the first, and the
/// spacings differ by at most a third of it.
const JOINT: f64 = 0.3;
const ALIKE: f64 = 0.1;

impl Flow {
    pub(super) fn first_window(&mut self, now: f64, path: &mut dyn Path) {
        let packets = self
            .room()
            .min(u32::try_from(self.total).unwrap_or(u32::MAX));
        self.emit(Class::New, packets, now, 0.0, packets, path);
    }

    /// When BBR may send again, in seconds.
    pub(super) fn pace_at(&self) -> f64 {
        if self.bbr.is_none() || self.done || self.waiting() == 0 || self.room() == 0 {
            return f64::INFINITY;
        }
        self.pace_next.max(self.last_event)
    }

    /// Sends as many packets as the window allows, spread over the acknowledgements of `per` packets
    /// each that come from `from` to `to`.
    pub(super) fn fill(&mut self, from: f64, to: f64, per: u32, path: &mut dyn Path) {
        let mut room = self.room();
        let mut at = from;
        let mut pace = None;
        if let Some(bbr) = &self.bbr {
            if from < self.pace_next {
                return;
            }
            // A rate of zero would be a pause without end.
            let rate = bbr.pace().max(1.0);
            room = room.min(((rate * self.rtt.least / QUANTA) as u32).max(1));
            at = from.max(self.last_event);
            pace = Some(rate);
        }
        let new = u32::try_from(self.total - self.sent_new).unwrap_or(u32::MAX);
        let count = u64::from(room).min(self.waiting()) as u32;
        if count == 0 {
            return;
        }
        let gap = match pace {
            Some(rate) => {
                self.pace_next = at + f64::from(count) / rate;
                1.0 / rate
            }
            None if room > 1 => (to - from) / f64::from(room),
            None => 0.0,
        };
        let group = per * 2;
        let mut left = count;
        let old = left.min(self.queue_old);
        self.queue_old -= old;
        left -= old;
        let late = left.min(self.queue_late);
        self.queue_late -= late;
        left -= late;
        let new = left.min(new);
        for (class, packets) in [(Class::Old, old), (Class::Late, late), (Class::New, new)] {
            if packets > 0 {
                self.emit(class, packets, at, gap, group, path);
                at += gap * f64::from(packets);
            }
        }
    }

    /// Sends packets of one class.
    pub(super) fn emit(
        &mut self,
        class: Class,
        packets: u32,
        at: f64,
        gap: f64,
        group: u32,
        path: &mut dyn Path,
    ) {
        if packets == 0 {
            return;
        }
        let burst = Burst {
            at,
            gap,
            packets,
            group,
        };
        let passed = path.pass(burst, &mut self.dice);
        let lost = self.losses(packets, passed.dropped);
        let good = packets - lost.len() as u32;
        if class == Class::New {
            self.sent_new += u64::from(packets);
            self.missing += lost.len() as u64;
        } else {
            self.missing -= u64::from(good);
        }
        self.pipe += packets;
        if good > 0 {
            let gone = lost.iter().rev().zip((0..packets).rev());
            let gone = gone.take_while(|(lost, place)| *lost == place).count() as u32;
            let last = passed.first + passed.gap * f64::from(packets - 1 - gone);
            self.end = self.end.max(last + self.base / 2.0);
        }
        self.done = self.sent_new == self.total && self.missing == 0;
        self.last_event = self.last_event.max(at);
        let before_at = if self.delivered == 0 {
            at
        } else {
            self.delivered_at
        };
        let train = Train {
            class,
            packets,
            done: 0,
            first: passed.first,
            gap: passed.gap,
            sent: at,
            sent_gap: gap,
            lost: lost.into(),
            serial: self.serial,
            before: self.delivered,
            before_at,
        };
        self.serial += u64::from(packets);
        match self.trains.back_mut() {
            Some(back) if self.bbr.is_none() && back.continues(&train) => back.join(train),
            _ => self.trains.push_back(train),
        }
    }

    /// The positions of the packets that do not get through: those in `dropped`, and, of the others,
    /// those lost at random.
    fn losses(&mut self, packets: u32, mut dropped: Vec<u32>) -> Vec<u32> {
        self.tally.overflow += dropped.len() as u64;
        for gaps in [&mut self.gaps.0, &mut self.gaps.1] {
            let kept = u64::from(packets) - dropped.len() as u64;
            let lost = gaps.pass(kept, &mut self.dice);
            if lost.is_empty() {
                continue;
            }
            self.tally.random += lost.len() as u64;
            // The n-th of the packets that were not dropped has the n-th position that is not in
            // `dropped`.
            let mut all = Vec::with_capacity(dropped.len() + lost.len());
            let mut gone = dropped.iter().copied().peekable();
            let mut shift = 0;
            for place in lost {
                while gone.peek().is_some_and(|dropped| *dropped <= place + shift) {
                    all.extend(gone.next());
                    shift += 1;
                }
                all.push(place + shift);
            }
            all.extend(gone);
            dropped = all;
        }
        dropped
    }
}

impl Train {
    /// Whether `next` follows at the spacing of this train.
    fn continues(&self, next: &Self) -> bool {
        let expected = self.first + self.gap * f64::from(self.packets);
        self.class == next.class
            && (next.first - expected).abs() < JOINT * next.gap
            && (self.gap - next.gap).abs() < ALIKE * next.gap
            && self.packets.checked_add(next.packets).is_some()
    }

    /// Adds the packets of `next`; the times of the first and the last packet stay exact.
    fn join(&mut self, next: Self) {
        let last_sent = next.sent + next.sent_gap * f64::from(next.packets - 1);
        let last = next.first + next.gap * f64::from(next.packets - 1);
        let shift = self.packets;
        self.lost
            .extend(next.lost.iter().map(|place| place + shift));
        self.packets += next.packets;
        let done = f64::from(self.done);
        let (first, sent) = (
            self.first + self.gap * done,
            self.sent + self.sent_gap * done,
        );
        let span = f64::from((self.packets - 1 - self.done).max(1));
        self.gap = (last - first) / span;
        self.sent_gap = (last_sent - sent) / span;
        self.first = first - self.gap * done;
        self.sent = sent - self.sent_gap * done;
    }
}
