//! The receiver: when it acknowledges, and how large a window it advertises, in packets.
//!
//! Linux acknowledges every second packet, or after 40 ms. It acknowledges the first sixteen packets of
//! a connection one by one, and also packets that arrive while the advertised window grows. The window
//! grows by two packets for each packet that comes, up to what the buffer allows; the buffer grows with
//! the amount that comes in a round trip ("dynamic right-sizing": Fisk and Feng 2001,
//! `tcp_rcv_space_adjust`).

use crate::snapshot::snapshot_struct;

/// The seconds after which a lone packet is acknowledged (`TCP_DELACK_MIN`).
pub(super) const DELAY: f64 = 0.040;
/// The number of packets acknowledged one by one at first (`TCP_MAX_QUICKACKS`).
const QUICK: u32 = 16;
/// The first advertised window in packets, and the window that the first buffer of 128 KiB allows.
const FIRST_WINDOW: f64 = 45.0;
const FIRST_ROOM: f64 = 55.7;
/// The number of packets that Linux expects in the first round trip, which is the initial window.
const FIRST_SPACE: f64 = 10.0;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Receiver {
    /// The window that the receiver advertises at present.
    pub window: f64,
    /// The largest window that the buffer allows.
    room: f64,
    /// The largest window that the buffer may grow to.
    most: f64,
    quick: u32,
    /// The largest number of packets that came in one round trip so far.
    space: f64,
    came: f64,
    since: f64,
}

snapshot_struct!(Receiver {
    window,
    room,
    most,
    quick,
    space,
    came,
    since
});

impl Receiver {
    /// A receiver whose window may grow to `most` packets.
    pub fn new(now: f64, most: f64) -> Self {
        Self {
            window: FIRST_WINDOW.min(most),
            room: FIRST_ROOM.min(most),
            most,
            quick: QUICK,
            space: FIRST_SPACE,
            came: 0.0,
            since: now,
        }
    }

    /// Handles `packets` packets that arrive, the first at `at` and each next one `gap` later, on a
    /// path with a round trip of `rtt`. Returns how many of them, from the first on, are acknowledged
    /// one by one.
    pub fn arrive(&mut self, packets: u32, at: f64, gap: f64, rtt: f64) -> u32 {
        self.measure(packets, at, gap, rtt);
        let growing = libm::ceil((self.room - self.window) / 2.0);
        let growing = growing.clamp(0.0, f64::from(packets));
        self.window = (self.window + 2.0 * growing).min(self.room);
        let quick = self.quick.min(packets - growing as u32);
        self.quick -= quick;
        growing as u32 + quick
    }

    /// Enlarges the buffer when more packets come in a round trip than ever before.
    fn measure(&mut self, packets: u32, at: f64, gap: f64, rtt: f64) {
        let (mut left, mut at) = (f64::from(packets), at);
        while left > 0.0 {
            let wait = self.since + rtt - at;
            let next = if gap <= 0.0 {
                left
            } else if wait <= 0.0 {
                1.0
            } else {
                libm::ceil(wait / gap) + 1.0
            };
            let next = next.min(left);
            left -= next;
            self.came += next;
            at += gap * next;
            if at - gap - self.since < rtt {
                continue;
            }
            if self.came > self.space {
                let twice = 2.0 * self.came;
                let window = twice + 2.0 * twice * (self.came - self.space) / self.space;
                self.room = self.room.max(window.min(self.most));
                self.space = self.came;
            }
            self.came = 0.0;
            self.since = at - gap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_packets_are_acknowledged_one_by_one() {
        let mut receiver = Receiver::new(0.0, 1e6);
        // Six while the window grows to what the buffer allows, then sixteen.
        assert_eq!(receiver.arrive(10, 0.03, 0.006, 0.062), 10);
        assert_eq!(receiver.arrive(20, 0.09, 0.006, 0.062), 12);
        assert_eq!(receiver.arrive(20, 0.21, 0.006, 0.062), 0);
    }

    #[test]
    fn the_window_stays_ahead_of_a_sender_that_doubles() {
        let mut receiver = Receiver::new(0.0, 1e6);
        let mut sent = 10;
        for round in 1..10 {
            let at = f64::from(round) * 0.1;
            receiver.arrive(sent, at, 0.000_01, 0.1);
            sent *= 2;
            assert!(receiver.window >= f64::from(sent), "{sent} {receiver:?}");
        }
    }

    #[test]
    fn the_window_never_exceeds_the_buffer() {
        let mut receiver = Receiver::new(0.0, 60.0);
        for round in 1..20 {
            receiver.arrive(50, f64::from(round) * 0.1, 0.000_01, 0.1);
        }
        assert!(receiver.window <= 60.0);
    }
}
