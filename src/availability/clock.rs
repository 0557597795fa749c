//! Local time: days, and the time zones of clients.

use super::{Lane, Whose};
use crate::quantity::{Span, VirtualTime};
use crate::sim::rng::below;
use serde::Serialize;

/// The largest number of hours between a time zone and the server's.
pub const MOST_ZONE: f64 = 14.0;

/// The days of a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Day {
    /// The length of a day; an hour is a 24th of it.
    pub length: Span,
    /// The hours by which local time is ahead of the run's time, which begins at midnight. Each client
    /// has one of these time zones, drawn with equal probability.
    pub zones: Vec<f64>,
}

/// A moment of a client's local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Local {
    /// The number of the day, from 1: a run begins in day 1 or 2, so that there is a day before.
    pub day: u64,
    /// Nanoseconds into the day.
    pub time: u64,
    /// Nanoseconds from the beginning of day 0 to time zero of the run.
    origin: u64,
    length: u64,
}

impl Day {
    /// The local time of a client at `now`.
    pub(super) fn local(&self, whose: Whose, now: VirtualTime) -> Local {
        let length = self.length.nanos().max(1);
        let zone = match self.zones.as_slice() {
            [] => 0.0,
            [one] => *one,
            all => {
                let drawn = below(&mut whose.draws(Lane::Zone, 0), all.len() as u64);
                all.get(drawn as usize).copied().unwrap_or(0.0)
            }
        };
        // Local time is at most a day ahead or behind; adding two days keeps it above zero.
        let ahead = libm::round(zone / 24.0 * length as f64) as i64;
        let origin = length.saturating_mul(2).saturating_add_signed(ahead);
        let nanos = now.nanos().saturating_add(origin);
        Local {
            day: nanos / length,
            time: nanos % length,
            origin,
            length,
        }
    }
}

impl Local {
    /// The moment of the run at which it is `time` into `day`; time zero if that was before the run.
    pub fn moment(self, day: u64, time: u64) -> VirtualTime {
        let nanos = u128::from(day) * u128::from(self.length) + u128::from(time);
        let since = nanos.saturating_sub(u128::from(self.origin));
        u64::try_from(since).map_or(VirtualTime::NEVER, VirtualTime::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_local_time_is_where_the_zone_says() {
        let hour = 3_600_000_000_000u64;
        for zone in [-14.0, -3.5, 0.0, 9.0, 14.0] {
            let day = Day {
                length: Span::from_secs(86_400),
                zones: vec![zone],
            };
            let whose = Whose {
                seed: 1,
                client: 0,
                place: 0,
            };
            for hours in [0u64, 5, 23, 24, 100] {
                let now = VirtualTime::from_nanos(hours * hour);
                let local = day.local(whose, now);
                let expected = (hours as f64 + zone).rem_euclid(24.0);
                assert_eq!(local.time as f64 / hour as f64, expected, "{zone} {hours}");
                assert_eq!(local.moment(local.day, local.time), now);
                assert!(local.day >= 1);
            }
        }
    }

    #[test]
    fn each_client_keeps_its_zone_and_all_are_drawn_equally_often() {
        let day = Day {
            length: Span::from_secs(24),
            zones: vec![0.0, 6.0, 6.0, 12.0],
        };
        let mut counts = [0u32; 24];
        for client in 0..8_000 {
            let whose = Whose {
                seed: 3,
                client,
                place: client,
            };
            let at = |s: u64| {
                day.local(whose, VirtualTime::ZERO + Span::from_secs(s))
                    .time
            };
            assert_eq!(at(0), at(24));
            counts[(at(0) / 1_000_000_000) as usize] += 1;
        }
        // Binomial(8 000, 1/4): five deviations are 194; of (8 000, 1/2): 224.
        assert!(counts[0].abs_diff(2_000) < 194 && counts[12].abs_diff(2_000) < 194);
        assert!(counts[6].abs_diff(4_000) < 224);
    }
}
