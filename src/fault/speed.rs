//! A rate that faults change over time, and how long work takes across all these changes.

use super::when::Periods;
use crate::quantity::{Span, VirtualTime};

/// The number of intervals of constant rate that are followed one by one. Work that lasts through more
/// of them has met their average to a part in some hundreds, and goes on at its mean rate so far. So
/// the end of any work is computed in bounded time, however often faults begin and end and however slow
/// a device is.
const STRETCHES: u64 = 1 << 17;

/// The number of steps in which a gradual change is made.
const STEPS: u64 = 32;

/// How a fault changes a rate while it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    /// The rate falls to this share; 0 stops the work.
    To(f64),
    /// Over a period the rate falls to a `1/n`-th, in such a way that the time for a piece of work
    /// grows evenly.
    Down(f64),
}

/// A rate of 1 that faults change.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace<'a> {
    pub changes: Vec<(Periods<'a>, Change)>,
}

impl Pace<'_> {
    /// The rate at `now`, and until when it stays so.
    fn at(&self, now: VirtualTime) -> (f64, VirtualTime) {
        let mut rate = 1.0;
        let mut until = VirtualTime::NEVER;
        for (periods, change) in &self.changes {
            let Some(period) = periods.at_or_after(now) else {
                continue;
            };
            if now < period.start {
                until = until.min(period.start);
                continue;
            }
            match *change {
                Change::To(share) => {
                    rate *= share;
                    until = until.min(period.end);
                }
                Change::Down(to) => {
                    let whole = period.end.since(period.start).nanos();
                    let step = whole.div_ceil(STEPS).max(1);
                    let number = now.since(period.start).nanos() / step;
                    let middle = (number as f64 + 0.5) / STEPS as f64;
                    rate /= 1.0 + (to - 1.0) * middle.min(1.0);
                    let next = period.start + Span::from_nanos(step.saturating_mul(number + 1));
                    until = until.min(next).min(period.end);
                }
            }
        }
        (rate, until)
    }

    /// When work that begins at `start` is done, where `work` is its time at rate 1;
    /// [`VirtualTime::NEVER`] if the rate stays 0.
    pub fn finish(&self, start: VirtualTime, work: Span) -> VirtualTime {
        self.finish_while(start, work, |_| (true, VirtualTime::NEVER))
    }

    /// When work is done that goes on only at certain times. For a moment, `open` returns whether work
    /// goes on then, and until when that stays so.
    pub fn finish_while(
        &self,
        start: VirtualTime,
        work: Span,
        open: impl Fn(VirtualTime) -> (bool, VirtualTime),
    ) -> VirtualTime {
        let mut now = start;
        let mut left = work.nanos() as f64;
        for _ in 0..STRETCHES {
            let (rate, until) = self.at(now);
            let (may, changes) = open(now);
            let (rate, until) = (if may { rate } else { 0.0 }, until.min(changes));
            let end = if rate > 0.0 {
                now + Span::from_nanos(libm::ceil(left / rate) as u64)
            } else if left <= 0.0 {
                now
            } else {
                VirtualTime::NEVER
            };
            if end <= until || until == VirtualTime::NEVER {
                return end;
            }
            left = (left - rate * until.since(now).nanos() as f64).max(0.0);
            now = until;
        }
        let (done, took) = (work.nanos() as f64 - left, now.since(start).nanos() as f64);
        match done > 0.0 {
            true => now + Span::from_nanos(libm::ceil(left * (took / done)) as u64),
            // Nothing was done in that many intervals.
            false => VirtualTime::NEVER,
        }
    }

    /// How much is done by `now` of work that began at time zero: the integral of the rate, in whole
    /// nanoseconds.
    pub fn done_by(&self, now: VirtualTime) -> VirtualTime {
        let mut at = VirtualTime::ZERO;
        let mut done = 0.0;
        let mut followed = 0;
        while at < now && followed < STRETCHES {
            let (rate, until) = self.at(at);
            let until = until.min(now);
            done += rate * until.since(at).nanos() as f64;
            at = until;
            followed += 1;
        }
        if at < now {
            // The rest goes on at the mean rate so far.
            done *= now.nanos() as f64 / at.nanos() as f64;
        }
        VirtualTime::from_nanos(done as u64)
    }

    /// The first moment by which `done` is done; the inverse of [`Pace::done_by`].
    pub fn when_done(&self, done: VirtualTime) -> VirtualTime {
        let mut now = self.finish(VirtualTime::ZERO, done.since(VirtualTime::ZERO));
        // The sums of the two directions can be rounded differently. The result is increased until the
        // work is done at that moment. A nanosecond or two are enough unless the rate is almost 0: from
        // the ninth time on, twice as much is added each time.
        for time in 0..72 {
            if now >= VirtualTime::NEVER {
                break;
            }
            let missing = done.since(self.done_by(now)).nanos();
            if missing == 0 {
                break;
            }
            let times = 1u64 << u32::saturating_sub(time, 8);
            now += Span::from_nanos(missing.saturating_mul(times));
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::super::when::When;
    use super::*;
    use crate::quantity::Distribution;
    use proptest::prelude::*;

    fn once(at: u64, lasts: u64) -> When {
        When::Once {
            at: Span::from_secs(at),
            lasts: Some(Span::from_secs(lasts)),
        }
    }

    fn periods(when: &When) -> Periods<'_> {
        Periods {
            when,
            seed: 1,
            entry: 0,
            node: 1,
            milestones: None,
        }
    }

    fn seconds(s: f64) -> VirtualTime {
        VirtualTime::ZERO + Span::from_seconds(s)
    }

    #[test]
    fn work_goes_on_at_the_rate_of_each_stretch() {
        let (slow, stop) = (once(10, 10), once(30, 5));
        let pace = Pace {
            changes: vec![
                (periods(&slow), Change::To(0.25)),
                (periods(&stop), Change::To(0.0)),
            ],
        };
        let finish = |start, work| pace.finish(seconds(start), Span::from_seconds(work));
        assert_eq!(finish(0.0, 10.0), seconds(10.0));
        assert_eq!(
            finish(0.0, 11.0),
            seconds(14.0),
            "the eleventh second takes four"
        );
        assert_eq!(
            finish(12.0, 3.0),
            seconds(21.0),
            "two of eight slow seconds, and one more"
        );
        assert_eq!(
            finish(29.0, 2.0),
            seconds(36.0),
            "a stop of five seconds inside"
        );
        assert_eq!(
            finish(30.0, 0.0),
            seconds(30.0),
            "what is no work is done at once"
        );
        assert_eq!(
            Pace::default().finish(seconds(3.0), Span::from_secs(4)),
            seconds(7.0)
        );
    }

    #[test]
    fn what_is_stopped_for_ever_is_never_done() {
        let when = When::Once {
            at: Span::from_secs(5),
            lasts: None,
        };
        let pace = Pace {
            changes: vec![(periods(&when), Change::To(0.0))],
        };
        assert_eq!(
            pace.finish(seconds(0.0), Span::from_secs(6)),
            VirtualTime::NEVER
        );
        assert_eq!(pace.finish(seconds(0.0), Span::from_secs(5)), seconds(5.0));
    }

    #[test]
    fn work_through_more_stretches_than_are_followed_goes_on_at_its_mean_rate() {
        // One millisecond of full speed and one at a quarter make five eighths on average. Ten hours
        // have 36 million intervals.
        let when = When::Repeated {
            between: Distribution::Constant(1e-3),
            lasts: Distribution::Constant(1e-3),
            until: None,
        };
        let pace = |share| Pace {
            changes: vec![(periods(&when), Change::To(share))],
        };
        let hours = Span::from_secs(36_000);
        let took = pace(0.25).finish(seconds(5.0), hours).since(seconds(5.0));
        assert!((took.seconds() - 36_000.0 / 0.625).abs() < 1.0, "{took}");
        let done = pace(0.25).done_by(seconds(36_000.0)).seconds();
        assert!((done - 36_000.0 * 0.625).abs() < 1.0, "{done}");
        let back = pace(0.25).when_done(pace(0.25).done_by(seconds(36_000.0)));
        assert!((back.seconds() - 36_000.0).abs() < 1.0, "{back}");
        // Work at a rate that is always 0 is never done, and that is found in bounded time too.
        let stops = Pace {
            changes: vec![
                (periods(&when), Change::To(0.0)),
                (periods(&When::Always), Change::To(0.0)),
            ],
        };
        assert_eq!(stops.finish(seconds(0.0), hours), VirtualTime::NEVER);
    }

    #[test]
    fn a_rate_of_almost_nothing_is_made_up_for_in_few_steps() {
        let when = When::Always;
        let pace = Pace {
            changes: vec![(periods(&when), Change::To(1e-300))],
        };
        let now = pace.when_done(seconds(1.0));
        assert!(now == VirtualTime::NEVER || pace.done_by(now) >= seconds(1.0));
    }

    #[test]
    fn a_gradual_fall_takes_the_mean_of_its_ends() {
        // Over 100 s a piece of work comes to take four times as long: done is the integral of
        // 1 / (1 + 3 t / 100), which is 100 / 3 · ln 4 = 46.21 s.
        let when = once(0, 100);
        let pace = Pace {
            changes: vec![(periods(&when), Change::Down(4.0))],
        };
        let done = pace.done_by(seconds(100.0)).seconds();
        assert!((done - 100.0 / 3.0 * 4f64.ln()).abs() < 0.02, "{done}");
    }

    proptest! {
        /// Both directions of the integral agree, to the nanosecond that rounding may cost.
        #[test]
        fn time_and_work_are_each_others_inverse(
            between in 1u64..50, lasts in 1u64..50, share in 0.05f64..1.0, at in 0u64..500_000_000_000,
        ) {
            let when = When::Repeated {
                between: Distribution::Exponential { min: 0.0, mean: between as f64 },
                lasts: Distribution::Constant(lasts as f64),
                until: None,
            };
            let pace = Pace { changes: vec![(periods(&when), Change::To(share))] };
            let at = VirtualTime::from_nanos(at);
            let back = pace.when_done(pace.done_by(at));
            prop_assert!(pace.done_by(back) >= pace.done_by(at));
            // A nanosecond of work at the least rate, and the roundings of the stretches before.
            let apart = at.nanos().abs_diff(back.nanos());
            prop_assert!(apart as f64 <= 2.0 / share + 1_000.0, "{back} for {at}");
        }
    }
}
