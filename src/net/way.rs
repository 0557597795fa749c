//! The path of a flow's trains: the sides of links that they pass, and what the fault plan does to
//! them.

use super::nic::Clock;
use super::tcp::{Bottleneck, Burst, Dice, Gaps, Passed, Path};
use super::Loss;
use crate::fault::{LinkFault, LinkFaults, Traffic};
use crate::quantity::{Span, VirtualTime};

/// The first whole nanosecond at or after `seconds`.
pub(super) fn moment(seconds: f64) -> VirtualTime {
    // `as` saturates, at the end of virtual time.
    VirtualTime::from_nanos(libm::ceil(seconds * 1e9) as u64)
}

/// One side of a link, as a flow passes it.
pub(super) struct Hop<'a> {
    pub bottleneck: &'a mut Bottleneck,
    /// Seconds that a packet takes.
    pub packet: f64,
    pub buffer: f64,
    pub clock: Clock<'a>,
    pub up: bool,
}

impl Hop<'_> {
    /// Seconds of work that are done by the moment `at` at the full rate.
    fn work(&self, at: f64) -> f64 {
        match self.clock.0 {
            None => at,
            Some(_) => self.clock.service(self.up, moment(at)).seconds(),
        }
    }

    fn time(&self, work: f64) -> f64 {
        match self.clock.0 {
            None => work,
            Some(_) => match self.clock.moment(self.up, moment(work)) {
                VirtualTime::NEVER => f64::INFINITY,
                at => at.seconds(),
            },
        }
    }

    /// Lets a burst through, with all times as this side's clock has them.
    fn pass(&mut self, burst: Burst, dice: &mut Dice) -> Passed {
        let span = f64::from(burst.packets - 1);
        let at = self.work(burst.at);
        let last = self.work(burst.at + burst.gap * span);
        self.bottleneck.packet = self.packet;
        self.bottleneck.buffer = self.buffer;
        let gap = if burst.packets > 1 {
            (last - at) / span
        } else {
            0.0
        };
        let mut passed = self.bottleneck.pass(Burst { at, gap, ..burst }, dice);
        if self.clock.0.is_some() {
            let last = self.time(passed.first + passed.gap * span);
            let first = self.time(passed.first);
            if last.is_infinite() {
                // A side that stands still for good lets no packet through.
                passed.dropped = (0..burst.packets).collect();
                return Passed {
                    first: burst.at,
                    gap: burst.gap,
                    ..passed
                };
            }
            passed.first = first;
            passed.gap = if burst.packets > 1 {
                (last - first) / span
            } else {
                0.0
            };
        }
        passed
    }
}

/// The path of one flow's trains.
pub(super) struct Way<'a> {
    pub hops: [Option<Hop<'a>>; 2],
    pub faults: Option<(&'a LinkFaults, &'a mut Traffic)>,
}

impl Path for Way<'_> {
    fn pass(&mut self, burst: Burst, dice: &mut Dice) -> Passed {
        let mut rest = burst;
        let mut gone: Vec<u32> = Vec::new();
        for hop in self.hops.iter_mut().flatten() {
            let passed = hop.pass(rest, dice);
            rest.at = passed.first;
            rest.gap = passed.gap;
            add(&mut gone, passed.dropped);
            rest.packets = burst.packets - gone.len() as u32;
            if rest.packets == 0 {
                break;
            }
        }
        let mut passed = Passed {
            first: rest.at,
            gap: rest.gap,
            dropped: gone,
        };
        if let Some((faults, traffic)) = &mut self.faults {
            meet(faults, traffic, &burst, &mut passed, dice);
            traffic.attempt += 1;
        }
        passed
    }
}

/// Adds positions to `gone`; `places` counts only the packets that are not in `gone`.
fn add(gone: &mut Vec<u32>, places: Vec<u32>) {
    if gone.is_empty() {
        *gone = places;
        return;
    }
    let mut all = Vec::with_capacity(gone.len() + places.len());
    let mut before = gone.iter().copied().peekable();
    let mut shift = 0;
    for place in places {
        while before.peek().is_some_and(|gone| *gone <= place + shift) {
            all.extend(before.next());
            shift += 1;
        }
        all.push(place + shift);
    }
    all.extend(before);
    *gone = all;
}

/// Applies the fault plan to a train.
fn meet(
    faults: &LinkFaults,
    traffic: &Traffic,
    burst: &Burst,
    passed: &mut Passed,
    dice: &mut Dice,
) {
    let now = moment(burst.at);
    for pass in faults.met(traffic, now) {
        let left = u64::from(burst.packets) - passed.dropped.len() as u64;
        let mut rng = faults.draws(&pass, traffic);
        let mut drawn = |law: &crate::quantity::Distribution| {
            Span::from_seconds(law.sample(&mut rng)).seconds()
        };
        let losses = |loss: Loss, dice: &mut Dice| Gaps::new(loss, dice).lost(left, dice);
        match pass.fault {
            LinkFault::Delay(by) => passed.first += drawn(by),
            LinkFault::Reorder { hold } => passed.first += drawn(hold),
            LinkFault::Offset(law) => passed.first += faults.offset(&pass, law).seconds(),
            LinkFault::Loss(p) => {
                let lost = losses(Loss::Independent { p: *p }, dice);
                add(&mut passed.dropped, lost);
            }
            LinkFault::BurstLoss {
                p_good_to_bad,
                p_bad_to_good,
                loss_good,
                loss_bad,
            } => {
                let loss = Loss::GilbertElliott {
                    p_good_to_bad: *p_good_to_bad,
                    p_bad_to_good: *p_bad_to_good,
                    loss_good: *loss_good,
                    loss_bad: *loss_bad,
                };
                let lost = losses(loss, dice);
                add(&mut passed.dropped, lost);
            }
            LinkFault::Corrupt { checksum: true, .. } if left > 0 => {
                add(&mut passed.dropped, vec![0]);
            }
            LinkFault::Outage(outage) if outage.held => {
                let until = pass.until.unwrap_or(now);
                passed.first = passed.first.max(until.seconds());
            }
            LinkFault::Outage(_) => passed.dropped = (0..burst.packets).collect(),
            LinkFault::Corrupt { .. }
            | LinkFault::Duplicate { .. }
            | LinkFault::Bandwidth(_)
            | LinkFault::Mtu(_)
            | LinkFault::Queue { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_among_what_is_left_become_places_among_all() {
        let mut gone = Vec::new();
        add(&mut gone, vec![3, 4]);
        assert_eq!(gone, [3, 4]);
        // 0 1 2 5 6 7 are left: the second, the fourth and the last of them.
        add(&mut gone, vec![1, 3, 5]);
        assert_eq!(gone, [1, 3, 4, 5, 7]);
    }
}
