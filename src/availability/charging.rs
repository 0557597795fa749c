//! Presence while a device is plugged in.

use super::clock::Day;
use super::{Lane, Session, Whose};
use crate::quantity::{Distribution, Probability, Span, VirtualTime};
use rand::Rng;
use serde::Serialize;

/// The number of days that the search for the next session covers.
const MOST_DAYS: u64 = 400;

/// Once a day a client is plugged in, and it is present until it is unplugged: the condition under
/// which phones train (Bonawitz et al. 2019, MLSys).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Charging {
    /// When the client is plugged in, in seconds of local time after midnight; drawn for each client
    /// and day, and kept within the day.
    pub plugged: Distribution,
    /// How many seconds the client stays plugged in, at most a day; drawn for each client and day.
    pub lasts: Distribution,
    /// The probability that the client is not plugged in on a day.
    pub skipped: Probability,
    /// The length of a day, and the time zones.
    pub day: Day,
}

impl Charging {
    /// The session that begins on a day, as start and end in nanoseconds of local time.
    fn of_day(&self, whose: Whose, day: u64) -> Option<(u64, u64)> {
        let length = self.day.length.nanos().max(1);
        let mut rng = whose.draws(Lane::Day, day);
        if self.skipped.hit(rng.next_u64()) {
            return None;
        }
        let plugged = Span::from_seconds(self.plugged.sample(&mut rng)).nanos();
        let lasts = Span::from_seconds(self.lasts.sample(&mut rng)).nanos();
        Some((plugged.min(length - 1), lasts.clamp(1, length)))
    }

    pub(super) fn at_or_after(&self, whose: Whose, now: VirtualTime) -> Option<Session> {
        let local = self.day.local(whose, now);
        // A session that began yesterday may last until now; an older one cannot.
        let days = local.day.saturating_sub(1)..local.day.saturating_add(MOST_DAYS);
        let sessions = days.filter_map(|day| {
            let (start, lasts) = self.of_day(whose, day)?;
            Some(Session {
                start: local.moment(day, start),
                end: local.moment(day, start.saturating_add(lasts)),
            })
        });
        let mut left = sessions.filter(|session| session.end > now);
        left.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charging(skipped: f64, zones: Vec<f64>) -> Charging {
        Charging {
            plugged: Distribution::Uniform {
                low: 20.0,
                high: 23.0,
            },
            lasts: Distribution::Constant(8.0),
            skipped: Probability::new(skipped).unwrap(),
            // A day of 24 s: an hour is a second.
            day: Day {
                length: Span::from_secs(24),
                zones,
            },
        }
    }

    fn seconds(s: f64) -> VirtualTime {
        VirtualTime::ZERO + Span::from_seconds(s)
    }

    /// Plugged in at U(20, 23), for 8 hours: P(there at h) follows by hand.
    #[test]
    fn the_share_of_clients_at_each_hour_is_that_of_the_night() {
        let expected = |hour: f64| match hour {
            h if h < 4.0 => 1.0,
            h if h < 7.0 => (7.0 - h) / 3.0,
            h if h < 20.0 => 0.0,
            h if h < 23.0 => (h - 20.0) / 3.0,
            _ => 1.0,
        };
        let n = 2_000u32;
        for zone in [0.0, 5.0] {
            let rule = charging(0.25, vec![zone]);
            for half_hour in 0..48 {
                // This holds from the very start: a night before the run has begun already.
                let now = seconds(f64::from(half_hour) / 2.0);
                let hour = (f64::from(half_hour) / 2.0 + zone) % 24.0;
                let there = (0..n).filter(|&client| {
                    let whose = Whose {
                        seed: 8,
                        client,
                        place: client,
                    };
                    let session = rule.at_or_after(whose, now);
                    session.is_some_and(|session| session.start <= now)
                });
                let (found, p) = (there.count() as f64 / f64::from(n), 0.75 * expected(hour));
                let bound = 5.0 * (p * (1.0 - p) / f64::from(n)).sqrt() + 1e-9;
                assert!(
                    (found - p).abs() < bound,
                    "{zone} {hour}: {found} against {p}"
                );
            }
        }
    }

    #[test]
    fn a_client_that_is_never_plugged_in_is_never_there() {
        let whose = Whose {
            seed: 8,
            client: 3,
            place: 3,
        };
        assert_eq!(
            charging(1.0, Vec::new()).at_or_after(whose, seconds(5.0)),
            None
        );
        let session = charging(0.0, Vec::new())
            .at_or_after(whose, seconds(12.0))
            .unwrap();
        assert_eq!(session.end.since(session.start), Span::from_secs(8));
    }
}
