//! Fast recovery: when a loss becomes known (RFC 6675, RFC 8985), what is sent meanwhile (RFC 6937),
//! and the window afterwards.

use super::acks::Arrived;
use super::{Class, Flow, State};
use crate::net::tcp::bottleneck::Path;
use crate::net::tcp::Congestion;

impl Flow {
    /// Reduces the window after a loss and returns the new one.
    pub(super) fn reduce(&mut self) -> u32 {
        match self.congestion {
            Congestion::Reno => (self.window / 2).max(2),
            Congestion::Cubic => self.cubic.reduce(self.window),
            Congestion::Bbr => self.window,
        }
    }

    /// Handles packets that arrive while some packets before them are missing, or were.
    pub(super) fn disorder(&mut self, arrived: &Arrived, path: &mut dyn Path) {
        let last = arrived.last();
        if arrived.class != Class::New {
            // A probe got through.
            if !self.holes.is_empty() {
                return self.enter(last, 1, path);
            }
            self.threshold = self.reduce();
            if self.bbr.is_none() {
                self.window = self.threshold;
            }
            self.probed = false;
            return self.fill(last, last, 1, path);
        }
        self.after_hole += arrived.packets;
        let patience = self.rtt.latest + self.rtt.reordering();
        let long_ago = self
            .holes
            .first()
            .is_some_and(|hole| arrived.at >= hole.sent + patience);
        if self.after_hole >= 3 || long_ago {
            self.enter(last, 1, path);
        } else {
            // Limited transmit (RFC 3042).
            self.fill(arrived.at, last, 1, path);
        }
    }

    pub(super) fn enter(&mut self, now: f64, came: u32, path: &mut dyn Path) {
        self.tally.recoveries += 1;
        self.prior = self.window;
        self.threshold = self.reduce();
        self.credit = 0.0;
        self.state = State::Recovery;
        self.came = 0;
        self.went = 0;
        self.high = self.serial;
        self.open_old += std::mem::take(&mut self.open_late);
        self.queue_old += std::mem::take(&mut self.queue_late);
        for train in &mut self.trains {
            if train.class == Class::Late {
                train.class = Class::Old;
            }
        }
        self.mark();
        self.after_hole = 0;
        self.probed = false;
        self.hystart.found = true;
        if let Some(bbr) = &mut self.bbr {
            bbr.enter(self.window, self.delivered);
            self.window = self.pipe + 1;
            return self.fill(now, now, 1, path);
        }
        let news = Arrived {
            class: Class::New,
            packets: came,
            at: now,
            gap: 0.0,
            rtts: (self.rtt.latest, self.rtt.latest),
            serial: self.acked,
        };
        self.reduce_in_proportion(&news, false, path);
    }

    /// Marks the holes as known losses, to be sent again.
    pub(super) fn mark(&mut self) {
        let count = self.holes.len() as u32;
        if self.bbr.is_some() {
            self.window = self.window.saturating_sub(count).max(1);
        }
        let late = self.holes.iter().filter(|hole| hole.late).count() as u32;
        self.pipe -= count;
        self.queue_late += late;
        self.queue_old += count - late;
        self.holes.clear();
    }

    /// Handles packets that arrive in fast recovery.
    pub(super) fn recover(&mut self, arrived: &Arrived, path: &mut dyn Path) {
        let more_lost = !self.holes.is_empty();
        self.mark();
        if self.bbr.is_some() {
            self.release_each(arrived, path);
        } else {
            let repairs = arrived.class == Class::Old && !more_lost;
            self.reduce_in_proportion(arrived, repairs, path);
        }
        if self.acked >= self.high && self.open_old == 0 {
            self.leave(arrived.last(), path);
        }
    }

    /// Proportional rate reduction: the number of packets sent for each packet that arrives is reduced
    /// in proportion to the reduction of the window. Below the new window as many packets are sent as
    /// arrive, and one more while the hole is being filled.
    fn reduce_in_proportion(&mut self, arrived: &Arrived, repairs: bool, path: &mut dyn Path) {
        self.came += arrived.packets;
        let (came, went) = (i64::from(self.came), i64::from(self.went));
        let below = i64::from(self.threshold) - i64::from(self.pipe);
        let mut count = if below < 0 {
            let (target, prior) = (u64::from(self.threshold), u64::from(self.prior.max(1)));
            (target * u64::from(self.came)).div_ceil(prior) as i64 - went
        } else {
            let news = i64::from(arrived.packets);
            let more = if repairs { news } else { 0 };
            ((came - went).max(news) + more).min(below)
        };
        if went == 0 {
            // The first lost packet goes at once.
            count = count.max(1);
        }
        self.window = self.pipe;
        if count > 0 {
            let before = self.serial;
            self.window += count as u32;
            self.fill(arrived.at, arrived.last(), 1, path);
            self.went += (self.serial - before) as u32;
        }
    }

    fn leave(&mut self, now: f64, path: &mut dyn Path) {
        self.window = match &mut self.bbr {
            Some(bbr) => bbr.leave(self.window),
            None => self.threshold,
        };
        self.credit = 0.0;
        self.state = State::Open;
        self.after_hole = 0;
        if self.open_late > 0 {
            // Packets lost since the beginning of this recovery begin the next one.
            self.enter(now, 1, path);
        } else {
            self.fill(now, now, 1, path);
        }
    }
}
