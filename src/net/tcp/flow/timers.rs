//! Packets that are sent again without any acknowledgement: the reordering timer and tail loss probes
//! (RFC 8985, sections 6.3 and 7), and retransmission timeouts (RFC 6298).

use super::{Class, Flow, State};
use crate::net::tcp::bottleneck::Path;
use crate::net::tcp::cubic::Cubic;
use crate::net::tcp::hystart::HyStart;
use crate::net::tcp::rtt::LEAST_MARGIN;

/// The seconds that a probe waits beyond two round trips, for the grain of the timer or for the
/// acknowledgement of a lone packet.
const GRAIN: f64 = 0.002;
/// The longest timeout in seconds (`TCP_RTO_MAX`).
const LONGEST: f64 = 120.0;

impl Flow {
    /// Whether holes are known, but too few packets came after them to count them as losses.
    fn reorders(&self) -> bool {
        self.state == State::Open && !self.holes.is_empty() && self.after_hole > 0
    }

    /// Whether a probe is due before a timeout.
    fn probes(&self) -> bool {
        self.state == State::Open && !self.probed && !self.holes.is_empty()
    }

    pub(super) fn timer_at(&self) -> f64 {
        if self.done {
            return f64::INFINITY;
        }
        let Some(first) = self.holes.first() else {
            // Packets are on their way, or all packets are lost and marked, after a timeout.
            let idle = self.trains.is_empty() && self.odd.is_none() && self.pace_at().is_infinite();
            return if idle {
                self.last_event + self.rtt.timeout() * self.backoff
            } else {
                f64::INFINITY
            };
        };
        if self.reorders() {
            return first.sent + self.rtt.latest + self.rtt.reordering();
        }
        if !self.trains.is_empty() || self.odd.is_some() {
            return f64::INFINITY;
        }
        let timeout = self.rtt.timeout() * self.backoff;
        if self.probes() {
            let alone = if self.pipe == 1 { LEAST_MARGIN } else { GRAIN };
            let probe = self.last_event + 2.0 * self.rtt.smoothed + alone;
            return probe.min(first.sent + timeout).max(self.last_event);
        }
        let last = self.holes.last().map_or(first.sent, |hole| hole.sent);
        (last + timeout).max(self.last_event)
    }

    pub(super) fn fire(&mut self, now: f64, path: &mut dyn Path) {
        self.last_event = now;
        if self.reorders() {
            self.enter(now, 0, path);
        } else if self.probes() {
            self.tally.probes += 1;
            self.probed = true;
            if self.sent_new < self.total {
                self.emit(Class::New, 1, now, 0.0, 1, path);
            } else {
                self.holes.pop();
                self.pipe -= 1;
                self.emit(Class::Old, 1, now, 0.0, 1, path);
            }
        } else {
            self.time_out(now, path);
        }
    }

    /// Counts all packets in flight as lost; slow start begins anew from one packet.
    fn time_out(&mut self, now: f64, path: &mut dyn Path) {
        self.tally.timeouts += 1;
        self.silent += 1;
        if self.state != State::Loss || self.window > 1 {
            self.threshold = self.reduce();
        }
        self.cubic = Cubic::new();
        self.hystart = HyStart::new();
        self.state = State::Loss;
        self.window = 1;
        self.credit = 0.0;
        self.queue_old += std::mem::take(&mut self.queue_late) + self.holes.len() as u32;
        self.open_old += std::mem::take(&mut self.open_late);
        self.holes.clear();
        self.after_hole = 0;
        self.pipe = 0;
        self.high = self.serial;
        let most = (LONGEST / self.rtt.timeout()).max(1.0);
        self.backoff = (self.backoff * 2.0).min(most);
        self.pace_next = self.pace_next.min(now);
        self.fill(now, now, 1, path);
    }
}
