//! The queue in which the packets of a flow wait for a link with a limited rate.

use super::gaps::Dice;
use crate::sim::rng::below;
use crate::snapshot::snapshot_struct;
use std::collections::VecDeque;

/// Packets that reach a path as one burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// When the first packet reaches the path, in seconds.
    pub at: f64,
    /// Seconds from one packet to the next.
    pub gap: f64,
    /// The number of packets; at least one.
    pub packets: u32,
    /// The number of packets that come back to back: groups of this size follow each other.
    pub group: u32,
}

/// How the packets of a burst leave the bottleneck.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Passed {
    /// When the first packet is through, in seconds.
    pub first: f64,
    /// Seconds from one packet to the next, counting the packets that were dropped.
    pub gap: f64,
    /// The positions in the burst, in order, of the packets that were dropped for lack of room.
    pub dropped: Vec<u32>,
}

/// The path that the packets of a flow pass.
pub trait Path {
    /// Takes a burst and returns how it leaves the path.
    fn pass(&mut self, burst: Burst, dice: &mut Dice) -> Passed;
}

/// A link with a rate and a drop-tail buffer, served first come, first served.
#[derive(Debug, Clone, PartialEq)]
pub struct Bottleneck {
    /// Seconds that a packet takes; zero for a link without a limit.
    pub packet: f64,
    /// The buffer in seconds of work: a packet that finds more work waiting is dropped.
    pub buffer: f64,
    /// When all packets that wait will be through, in seconds.
    pub free: f64,
    /// Stretches of time before that in which the link has nothing to do, in order: the latest few.
    idle: VecDeque<(f64, f64)>,
}

/// The number of idle stretches that are kept. Flows are followed a little ahead of each other, so that a
/// burst may come before others that were let through already; what lies further back no longer matters.
const STRETCHES: usize = 64;

snapshot_struct!(Bottleneck {
    packet,
    buffer,
    free,
    idle
});

impl Bottleneck {
    /// A link that is idle, on which a packet takes `packet` seconds, with a buffer of `buffer` seconds of
    /// work.
    pub const fn new(packet: f64, buffer: f64) -> Self {
        Self {
            packet,
            buffer,
            free: 0.0,
            idle: VecDeque::new(),
        }
    }

    /// Forgets idle stretches of the past: nothing that was sent before now is still to come.
    pub fn forget_idle(&mut self) {
        self.idle.clear();
    }

    /// Takes `work` seconds, in one piece and not before `at`, out of a stretch in which the link is idle;
    /// when they begin, if there is such a stretch.
    fn between(&mut self, at: f64, work: f64) -> Option<f64> {
        // Stretches follow each other in time, and most bursts come after them all.
        let mut place = self.idle.partition_point(|(_, end)| *end < at + work);
        let (start, end, begin) = loop {
            let (start, end) = *self.idle.get(place)?;
            let begin = start.max(at);
            if begin + work <= end {
                break (start, end, begin);
            }
            place += 1;
        };
        self.idle.remove(place);
        if begin + work < end {
            self.idle.insert(place, (begin + work, end));
        }
        if start < begin {
            self.idle.insert(place, (start, begin));
        }
        Some(begin)
    }

    /// The link is idle from `free` to `until`.
    fn rests(&mut self, until: f64) {
        if self.packet > 0.0 && until > self.free {
            if self.idle.len() >= STRETCHES {
                self.idle.pop_front();
            }
            self.idle.push_back((self.free, until));
        }
    }

    /// The positions of packets for which there is no room. Once the buffer is full, one packet gets in
    /// for each that leaves; of a group that comes back to back, the first get in.
    fn overflow(&self, burst: &Burst, dice: &mut Dice) -> Vec<u32> {
        let Burst {
            at,
            gap,
            packets,
            group,
        } = *burst;
        let waiting = (self.free - at).max(0.0);
        let rise = self.packet - gap;
        if rise <= 0.0 || waiting + rise * f64::from(packets - 1) <= self.buffer {
            return Vec::new();
        }
        let group = group.max(1);
        let share = rise / self.packet;
        let mut from = libm::floor((self.buffer - waiting) / rise).max(-1.0) + 1.0;
        if from > 0.0 && group > 1 {
            // The position in a group at which the buffer becomes full is not known, so it is drawn.
            from += below(&mut dice.stream(), u64::from(group)) as f64;
        }
        let each = libm::round(f64::from(group) * share).max(1.0);
        let mut dropped: Vec<u32> = Vec::new();
        let mut groups = 0.0;
        loop {
            let begin = from + libm::floor(groups * each / share);
            for place in 0..each as u32 {
                let place = begin + f64::from(place);
                if place >= f64::from(packets) {
                    return dropped;
                }
                let place = place as u32;
                if dropped.last().is_none_or(|last| place > *last) {
                    dropped.push(place);
                }
            }
            groups += 1.0;
        }
    }
}

impl Path for Bottleneck {
    fn pass(&mut self, burst: Burst, dice: &mut Dice) -> Passed {
        let packet = self.packet;
        let arrives = burst.at + burst.gap * f64::from(burst.packets - 1);
        let spaced = |begin: f64, work: f64, dropped: Vec<u32>| {
            let first = begin + packet;
            let mut last = begin + work;
            if dropped.is_empty() {
                last = last.max(arrives + packet);
            }
            let gap = if burst.packets > 1 {
                (last - first) / f64::from(burst.packets - 1)
            } else {
                packet
            };
            Passed {
                first,
                gap,
                dropped,
            }
        };
        if burst.at < self.free {
            let all = packet * f64::from(burst.packets);
            if let Some(begin) = self.between(burst.at, all) {
                return spaced(begin, all, Vec::new());
            }
        }
        let dropped = self.overflow(&burst, dice);
        let begin = self.free.max(burst.at);
        let kept = burst.packets - dropped.len() as u32;
        if kept == 0 {
            return Passed {
                first: begin,
                gap: self.packet,
                dropped,
            };
        }
        // Packets that come more slowly than they leave keep the link busy for their own work and no longer:
        // what others send meanwhile passes between them.
        let work = self.packet * f64::from(kept);
        let passed = spaced(begin, work, dropped);
        self.rests(begin);
        self.free = begin + work;
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(buffer: f64) -> Bottleneck {
        Bottleneck::new(0.001, buffer)
    }

    fn burst(at: f64, gap: f64, packets: u32) -> Burst {
        Burst {
            at,
            gap,
            packets,
            group: 1,
        }
    }

    #[test]
    fn packets_that_come_faster_than_they_leave_wait() {
        let mut dice = Dice::new(1, 1, 1);
        let mut path = path(1.0);
        let passed = path.pass(burst(0.0, 0.0, 10), &mut dice);
        assert!((passed.first - 0.001).abs() < 1e-12 && (passed.gap - 0.001).abs() < 1e-12);
        // The next find five of them waiting, and come as fast as they leave.
        let passed = path.pass(burst(0.005, 0.001, 3), &mut dice);
        assert!((passed.first - 0.011).abs() < 1e-12 && (path.free - 0.013).abs() < 1e-12);
        // Packets after a pause find an empty queue, and keep their spacing.
        let passed = path.pass(burst(1.0, 0.004, 3), &mut dice);
        assert!((passed.first - 1.001).abs() < 1e-12 && (passed.gap - 0.004).abs() < 1e-12);
    }

    /// Ten packets a millisecond of work long, one each tenth of a second: the link is idle for 99 % of the
    /// time, and a burst of another flow in the middle of them does not wait for the last of them.
    #[test]
    fn a_burst_passes_between_packets_that_are_far_apart() {
        let mut dice = Dice::new(1, 1, 1);
        let mut path = path(1.0);
        path.pass(burst(0.0, 0.1, 10), &mut dice);
        let passed = path.pass(burst(0.5, 0.0, 2), &mut dice);
        assert!((passed.first - 0.501).abs() < 1e-12, "{passed:?}");
    }

    /// A flow is followed until 0.5 s, and another that is looked at later sends at 0.2 s: the link had
    /// nothing to do then.
    #[test]
    fn a_burst_that_comes_before_another_one_does_not_wait_for_it() {
        let mut dice = Dice::new(1, 1, 1);
        let mut path = path(1.0);
        path.pass(burst(0.1, 0.0, 10), &mut dice);
        path.pass(burst(0.5, 0.0, 10), &mut dice);
        let passed = path.pass(burst(0.2, 0.0, 100), &mut dice);
        assert!((passed.first - 0.201).abs() < 1e-12, "{passed:?}");
        // What is left until 0.5 s is too short for as many again, which wait until all are through.
        let passed = path.pass(burst(0.25, 0.0, 250), &mut dice);
        assert!((passed.first - 0.511).abs() < 1e-12, "{passed:?}");
        // Nothing waits where the link is idle, and nobody leaves twice in one moment.
        let passed = path.pass(burst(0.25, 0.0, 50), &mut dice);
        assert!((passed.first - 0.301).abs() < 1e-12, "{passed:?}");
        assert!((path.free - 0.760).abs() < 1e-12);
    }

    #[test]
    fn what_finds_the_buffer_full_is_dropped() {
        let mut dice = Dice::new(1, 1, 1);
        // All at once: those who find more than 5 ms of work before them.
        let passed = path(0.005).pass(burst(0.0, 0.0, 10), &mut dice);
        assert_eq!(passed.dropped, [6, 7, 8, 9]);
        // Twice as fast as they leave: every second one, once it is full.
        let passed = path(0.005).pass(burst(0.0, 0.0005, 20), &mut dice);
        assert_eq!(passed.dropped, [11, 13, 15, 17, 19]);
        let mut full = path(0.005);
        full.free = 1.0;
        let passed = full.pass(burst(0.0, 0.0, 3), &mut dice);
        assert_eq!(passed.dropped, [0, 1, 2]);
        assert!((full.free - 1.0).abs() < 1e-12);
    }
}
