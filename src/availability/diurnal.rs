//! Presence by the time of day.

use super::clock::{Day, Local};
use super::{Lane, Session, Whose};
use crate::quantity::{Probability, VirtualTime};
use rand::Rng;
use serde::Serialize;

/// The number of days that the search for the next session covers.
const MOST_DAYS: u64 = 400;
/// The number of steps of a day in which a wave is given.
const STEPS: u32 = 96;

/// Presence with a probability that depends on local time. Each client draws one number a day, uniform
/// in \[0, 1), and is present while the probability is above that number. So at any moment the client
/// is present with just that probability, in few sessions a day, and if it is present at all on a day,
/// then around the peak. Days and clients are independent of each other.
///
/// For example, a client that draws 0.7 is present only while the probability is above 0.7.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diurnal {
    /// The probability over a day, in equal steps.
    pub shares: Vec<Probability>,
    /// The length of a day, and the time zones.
    pub day: Day,
}

impl Diurnal {
    /// A wave between `low` and `high` with its peak at the hour `peak`: low + (high - low) (1 + cos(2π
    /// (h - peak) / 24)) / 2, taken in the middle of each of 96 steps.
    pub fn wave(low: Probability, high: Probability, peak: f64, day: Day) -> Self {
        let share = |step: u32| {
            let hour = (f64::from(step) + 0.5) / f64::from(STEPS) * 24.0;
            let angle = 2.0 * std::f64::consts::PI * (hour - peak) / 24.0;
            let height = (1.0 + libm::cos(angle)) / 2.0;
            let p = low.get() + (high.get() - low.get()) * height;
            Probability::new(p.clamp(0.0, 1.0)).unwrap_or(Probability::ZERO)
        };
        Self {
            shares: (0..STEPS).map(share).collect(),
            day,
        }
    }

    /// The beginning of a step, in nanoseconds of the day.
    fn edge(&self, step: usize) -> u64 {
        let nanos = u128::from(self.day.length.nanos()) * step as u128;
        (nanos / self.shares.len().max(1) as u128) as u64
    }

    /// The step that contains a time of day, in nanoseconds.
    fn step(&self, time: u64) -> usize {
        let length = u128::from(self.day.length.nanos().max(1));
        let step = (u128::from(time) * self.shares.len() as u128 / length) as usize;
        // The edges of steps are rounded down, so a time at an edge may be put into the step before it.
        step + usize::from(self.edge(step + 1) <= time)
    }

    /// The number that a client draws for a day, which decides in which steps the client is present.
    fn draw(&self, whose: Whose, day: u64) -> u64 {
        whose.draws(Lane::Day, day).next_u64()
    }

    pub(super) fn at_or_after(&self, whose: Whose, now: VirtualTime) -> Option<Session> {
        let local: Local = self.day.local(whose, now);
        let mut first = self.step(local.time);
        for day in local.day..local.day.saturating_add(MOST_DAYS) {
            let draw = self.draw(whose, day);
            let is_there = |step: usize| self.shares.get(step).is_some_and(|p| p.hit(draw));
            let steps = self.shares.len();
            if let Some(start) = (first..steps).find(|&step| is_there(step)) {
                let end = (start..steps).find(|&step| !is_there(step));
                return Some(Session {
                    start: local.moment(day, self.edge(start)),
                    end: local.moment(day, self.edge(end.unwrap_or(steps))),
                });
            }
            first = 0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Span;

    fn of(client: u32) -> Whose {
        Whose {
            seed: 5,
            client,
            place: client,
        }
    }

    fn is_there(diurnal: &Diurnal, client: u32, now: VirtualTime) -> bool {
        let session = diurnal.at_or_after(of(client), now);
        session.is_some_and(|session| session.start <= now)
    }

    fn p(p: f64) -> Probability {
        Probability::new(p).unwrap()
    }

    /// A wave, and an arbitrary curve, held against their formulas by many clients.
    #[test]
    fn at_each_hour_the_share_of_clients_is_what_the_curve_says() {
        let day = |zone| Day {
            length: Span::from_secs(86_400),
            zones: vec![zone],
        };
        let hours: Vec<Probability> = (0..24).map(|h| p(f64::from(h * h % 24) / 24.0)).collect();
        let curve = Diurnal {
            shares: hours.clone(),
            day: day(3.0),
        };
        let wave = Diurnal::wave(p(0.1), p(0.7), 14.0, day(-6.0));
        let n = 3_000;
        for hour in 0..24u32 {
            // The middle of the hour, on the second day.
            let now = VirtualTime::ZERO + Span::from_secs(86_400 + u64::from(hour) * 3_600 + 1_800);
            let share = |diurnal: &Diurnal| {
                let there = (0..n).filter(|&client| is_there(diurnal, client, now));
                there.count() as f64 / f64::from(n)
            };
            let expected = hours[((hour + 3) % 24) as usize].get();
            let bound = |p: f64| 5.0 * (p * (1.0 - p) / f64::from(n)).sqrt() + 1e-9;
            let found = share(&curve);
            assert!(
                (found - expected).abs() < bound(expected),
                "{hour}: {found}"
            );
            let angle = (f64::from(hour) + 0.5 - 6.0 - 14.0) / 24.0 * std::f64::consts::TAU;
            let expected = 0.4 + 0.3 * angle.cos();
            let found = share(&wave);
            // The wave is taken in steps of a quarter of an hour.
            assert!(
                (found - expected).abs() < bound(expected) + 0.011,
                "{hour}: {found}"
            );
        }
    }

    #[test]
    fn sessions_follow_each_other_and_are_what_a_walk_in_small_steps_finds() {
        let wave = Diurnal::wave(
            p(0.0),
            p(0.9),
            20.0,
            Day {
                length: Span::from_nanos(1_000_003),
                zones: vec![-5.0, 0.0, 7.0],
            },
        );
        for client in 0..20 {
            let mut now = VirtualTime::ZERO;
            while now.nanos() < 4_000_000 {
                let session = wave.at_or_after(of(client), now).unwrap();
                assert!(session.start < session.end && session.end > now);
                for at in [now, session.start, session.end] {
                    let next = wave.at_or_after(of(client), at).unwrap();
                    let inside = session.start <= at && at < session.end;
                    assert_eq!(next.start <= at, inside || next.start == session.end);
                }
                now = session.end;
            }
        }
        let never = Diurnal {
            shares: vec![Probability::ZERO; 24],
            ..wave
        };
        assert_eq!(never.at_or_after(of(0), VirtualTime::ZERO), None);
    }
}
