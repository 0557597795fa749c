//! The times at which a fault holds.

use crate::quantity::{Distribution, Span, VirtualTime};
use crate::sim::rng::{stream, Purpose, Stream};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The times at which a fault holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum When {
    /// During the whole run.
    Always,
    /// During one period, which may last until the end of the run.
    Once {
        /// The start of the period.
        at: Span,
        /// The length of the period; `None` means until the end of the run.
        lasts: Option<Span>,
    },
    /// During repeated periods: an alternating renewal process. Constant spans make it periodic, and an
    /// exponential `between` makes it a Poisson process. The least values of both distributions are the
    /// shortest times for which either state lasts.
    Repeated {
        /// Seconds before the first period, and between the end of one and the start of the next.
        between: Distribution,
        /// Seconds a period lasts.
        lasts: Distribution,
        /// The time from which the fault no longer holds.
        until: Option<Span>,
    },
    /// During these rounds: for messages that belong to them, and for clients that were asked in them.
    Rounds {
        /// The first round in which the fault holds.
        from: u32,
        /// The last round; `None` means all rounds from the first on.
        until: Option<u32>,
    },
    /// From the n-th message of a link in its direction, or from the n-th task of a client.
    Messages {
        /// The first number, counted from 1.
        from: u64,
        /// The last number; `None` means all from the first on.
        until: Option<u64>,
    },
}

/// A moment about which the fault plan is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The virtual time of the question.
    pub now: VirtualTime,
    /// The round of the protocol; 0 outside a round.
    pub round: u32,
    /// The number of the message or task, from 1.
    pub message: u64,
}

/// A period in which a fault holds: `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The number of the period, from 0.
    pub number: u64,
    /// The first moment of the period.
    pub start: VirtualTime,
    /// The first moment after the period.
    pub end: VirtualTime,
}

/// The periods of one entry of a fault plan for one client.
#[derive(Debug, Clone, Copy)]
pub struct Periods<'a> {
    /// The times of the entry.
    pub when: &'a When,
    /// The seed of the run.
    pub seed: u64,
    /// The number of the entry in the plan.
    pub entry: u32,
    /// The node of the client, or 0 where all clients concerned share their times.
    pub node: u64,
    /// Where the ends of earlier periods are noted; without it every search begins at the start of the
    /// run.
    pub milestones: Option<&'a Milestones>,
}

/// Ends of some periods of one entry, by node, so that a search visits few periods even late in a run.
/// Periods follow from seed, entry and node alone, so these notes change no answer.
#[derive(Debug, Default)]
pub struct Milestones(Mutex<BTreeMap<u64, Vec<VirtualTime>>>);

impl Milestones {
    /// The number of periods between two notes.
    const EVERY: u64 = 64;

    /// The last noted period that is over by `now`: the number of the period after it, and its end.
    fn before(&self, node: u64, now: VirtualTime) -> (u64, VirtualTime) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = all.get(&node).map_or(&[][..], Vec::as_slice);
        let over = ends.partition_point(|end| *end <= now);
        match over.checked_sub(1).and_then(|last| ends.get(last)) {
            Some(end) => (over as u64 * Self::EVERY, *end),
            None => (0, VirtualTime::ZERO),
        }
    }

    /// Notes that the period before period `number` ends at `end`.
    fn note(&self, node: u64, number: u64, end: VirtualTime) {
        if number.is_multiple_of(Self::EVERY) {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let ends = all.entry(node).or_default();
            if ends.len() as u64 + 1 == number / Self::EVERY {
                ends.push(end);
            }
        }
    }
}

/// A random stream of an entry of the plan; `lane` separates the purposes of draws.
pub(super) fn draws(seed: u64, node: u64, entry: u32, lane: u8, number: u64) -> Stream {
    let counter = u64::from(entry) << 48 | u64::from(lane) << 40 | (number & ((1 << 40) - 1));
    stream(seed, node, Purpose::Fault, counter)
}

/// The purposes of random draws.
pub(super) mod lane {
    /// When periods begin and end.
    pub const PERIOD: u8 = 0;
    /// Which clients a period concerns.
    pub const CUT: u8 = 1;
    /// What happens to a message or to a report.
    pub const FATE: u8 = 2;
    /// Values that are fixed for the run.
    pub const FIXED: u8 = 3;
}

impl Periods<'_> {
    /// The periods in order.
    pub fn iter(&self) -> impl Iterator<Item = Period> + '_ {
        let mut end = VirtualTime::ZERO;
        let numbers = 0u64..;
        numbers.map_while(move |number| {
            let period = self.after(end, number)?;
            end = period.end;
            Some(period)
        })
    }

    /// The period with this number, which begins after `last`.
    fn after(&self, last: VirtualTime, number: u64) -> Option<Period> {
        match self.when {
            When::Always if number == 0 => Some(Period {
                number,
                start: VirtualTime::ZERO,
                end: VirtualTime::NEVER,
            }),
            When::Once { at, lasts } if number == 0 => {
                let start = VirtualTime::ZERO + *at;
                Some(Period {
                    number,
                    start,
                    end: lasts.map_or(VirtualTime::NEVER, |lasts| start + lasts),
                })
            }
            When::Repeated {
                between,
                lasts,
                until,
            } if last < VirtualTime::NEVER => {
                let mut rng = draws(self.seed, self.node, self.entry, lane::PERIOD, number);
                // Each state lasts at least a nanosecond, whatever is drawn.
                let mut span = |law: &Distribution| {
                    Span::from_seconds(law.sample(&mut rng)).max(Span::from_nanos(1))
                };
                let stop = until.map_or(VirtualTime::NEVER, |until| VirtualTime::ZERO + until);
                let start = last + span(between);
                let end = (start + span(lasts)).min(stop);
                (start < end).then_some(Period { number, start, end })
            }
            _ => None,
        }
    }

    /// The period from which a search for `now` begins, with the end of the period before; where
    /// constant spans allow it, earlier periods are skipped.
    fn from(&self, now: VirtualTime) -> (u64, VirtualTime) {
        if let When::Repeated {
            between: Distribution::Constant(between),
            lasts: Distribution::Constant(lasts),
            ..
        } = self.when
        {
            let least = Span::from_nanos(1);
            let cycle =
                Span::from_seconds(*between).max(least) + Span::from_seconds(*lasts).max(least);
            let past = now.nanos() / cycle.nanos();
            return (
                past,
                VirtualTime::from_nanos(past.saturating_mul(cycle.nanos())),
            );
        }
        let noted = self.milestones.map(|noted| noted.before(self.node, now));
        noted.unwrap_or((0, VirtualTime::ZERO))
    }

    /// The period that contains `now`, or else the next one.
    pub fn at_or_after(&self, now: VirtualTime) -> Option<Period> {
        let (mut number, mut end) = self.from(now);
        loop {
            let period = self.after(end, number)?;
            if period.end > now {
                return Some(period);
            }
            number += 1;
            end = period.end;
            if let Some(noted) = self.milestones {
                noted.note(self.node, number, end);
            }
        }
    }

    /// The period that contains `now`.
    pub fn at(&self, now: VirtualTime) -> Option<Period> {
        self.at_or_after(now).filter(|period| period.start <= now)
    }

    /// Whether a period begins in `(after, until]`.
    pub fn begins_within(&self, after: VirtualTime, until: VirtualTime) -> bool {
        self.first_within(after, until).is_some()
    }

    /// When the first period in `(after, until]` begins, if there is one.
    pub fn first_within(&self, after: VirtualTime, until: VirtualTime) -> Option<VirtualTime> {
        let (mut number, mut end) = self.from(after);
        while let Some(period) = self.after(end, number) {
            if period.start > until {
                return None;
            }
            if period.start > after {
                return Some(period.start);
            }
            number += 1;
            end = period.end;
        }
        None
    }

    /// Whether the fault holds at `moment`.
    pub fn holds(&self, moment: Moment) -> bool {
        match *self.when {
            When::Rounds { from, until } => {
                moment.round >= from && until.is_none_or(|until| moment.round <= until)
            }
            When::Messages { from, until } => {
                moment.message >= from && until.is_none_or(|until| moment.message <= until)
            }
            _ => self.at(moment.now).is_some(),
        }
    }
}

impl When {
    /// Whether the periods depend on virtual time, and not on rounds or messages.
    pub const fn is_timed(&self) -> bool {
        matches!(
            self,
            Self::Always | Self::Once { .. } | Self::Repeated { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: f64) -> VirtualTime {
        VirtualTime::ZERO + Span::from_seconds(s)
    }

    fn of(when: &When, node: u64) -> Periods<'_> {
        Periods {
            when,
            seed: 7,
            entry: 3,
            node,
            milestones: None,
        }
    }

    fn moment(now: VirtualTime) -> Moment {
        Moment {
            now,
            round: 0,
            message: 0,
        }
    }

    #[test]
    fn a_single_period_begins_and_ends_when_it_says() {
        let when = When::Once {
            at: Span::from_secs(10),
            lasts: Some(Span::from_secs(5)),
        };
        let periods = of(&when, 1);
        for (s, holds) in [
            (9.999_999_999, false),
            (10.0, true),
            (14.9, true),
            (15.0, false),
        ] {
            assert_eq!(periods.holds(moment(seconds(s))), holds, "{s}");
        }
        assert!(periods.begins_within(seconds(9.0), seconds(10.0)));
        assert!(
            !periods.begins_within(seconds(10.0), seconds(100.0)),
            "it has begun before"
        );
        let for_ever = When::Once {
            at: Span::from_secs(10),
            lasts: None,
        };
        assert!(of(&for_ever, 1).holds(moment(seconds(1e9))));
    }

    #[test]
    fn constant_spans_are_periodic_and_skipping_to_them_changes_nothing() {
        let when = When::Repeated {
            between: Distribution::Constant(3.0),
            lasts: Distribution::Constant(2.0),
            until: None,
        };
        let periods = of(&when, 1);
        let listed: Vec<Period> = periods.iter().take(1_000).collect();
        for period in &listed {
            assert_eq!(period.start, seconds(5.0 * period.number as f64 + 3.0));
            assert_eq!(periods.at(period.start), Some(*period));
            assert_eq!(
                periods.at_or_after(period.end).map(|p| p.number),
                Some(period.number + 1)
            );
            assert_eq!(periods.at(period.end), None);
            assert!(periods.begins_within(
                period.start.min(period.end),
                seconds(5.0 * period.number as f64 + 8.0)
            ));
        }
    }

    #[test]
    fn exponential_gaps_are_a_poisson_process_of_each_client_on_its_own() {
        let when = When::Repeated {
            between: Distribution::Exponential {
                min: 0.0,
                mean: 10.0,
            },
            lasts: Distribution::Constant(1e-9),
            until: None,
        };
        let counts: Vec<f64> = (1..=400)
            .map(|node| {
                let periods = of(&when, node);
                periods
                    .iter()
                    .take_while(|p| p.start < seconds(1_000.0))
                    .count() as f64
            })
            .collect();
        let n = counts.len() as f64;
        let mean = counts.iter().sum::<f64>() / n;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (n - 1.0);
        // Poisson(100): five deviations of the mean of 400, and of their variance (2/n).
        assert!((mean - 100.0).abs() < 5.0 * (100.0 / n).sqrt(), "{mean}");
        assert!(
            (variance / 100.0 - 1.0).abs() < 5.0 * (2.0 / n).sqrt(),
            "{variance}"
        );
    }

    #[test]
    fn least_spans_are_kept_in_both_states() {
        let when = When::Repeated {
            between: Distribution::Exponential {
                min: 4.0,
                mean: 6.0,
            },
            lasts: Distribution::Exponential {
                min: 2.0,
                mean: 3.0,
            },
            until: None,
        };
        let mut end = VirtualTime::ZERO;
        for period in of(&when, 9).iter().take(2_000) {
            assert!(period.start.since(end) >= Span::from_secs(4));
            assert!(period.end.since(period.start) >= Span::from_secs(2));
            end = period.end;
        }
    }

    #[test]
    fn nothing_of_what_ends_at_a_time_holds_after_it() {
        let until = Some(Span::from_secs(20));
        for between in [
            Distribution::Constant(3.0),
            Distribution::Exponential {
                min: 0.0,
                mean: 3.0,
            },
        ] {
            let when = When::Repeated {
                between,
                lasts: Distribution::Constant(5.0),
                until,
            };
            let last = of(&when, 4).iter().last().unwrap();
            assert!(last.end <= seconds(20.0) && last.start < last.end);
            assert!(!of(&when, 4).holds(moment(seconds(20.0))));
            assert_eq!(of(&when, 4).at_or_after(seconds(500.0)), None);
        }
    }

    #[test]
    fn rounds_and_messages_count() {
        let when = When::Rounds {
            from: 2,
            until: Some(3),
        };
        let at = |round, message| Moment {
            now: VirtualTime::ZERO,
            round,
            message,
        };
        let held: Vec<bool> = (0..5)
            .map(|round| of(&when, 1).holds(at(round, 0)))
            .collect();
        assert_eq!(held, [false, false, true, true, false]);
        let when = When::Messages {
            from: 3,
            until: None,
        };
        let held: Vec<bool> = (1..5).map(|n| of(&when, 1).holds(at(0, n))).collect();
        assert_eq!(held, [false, false, true, true]);
        assert!(!when.is_timed());
    }

    #[test]
    fn a_draw_that_is_no_time_does_not_stop_the_clock() {
        let when = When::Repeated {
            between: Distribution::Normal {
                mean: 0.0,
                std: 1e-9,
            },
            lasts: Distribution::Constant(0.0),
            until: None,
        };
        let mut end = VirtualTime::ZERO;
        for period in of(&when, 2).iter().take(100) {
            assert!(period.start > end && period.end > period.start);
            end = period.end;
        }
    }

    /// Searches in any order, late and early, from two threads: what is noted on the way changes nothing.
    #[test]
    fn milestones_shorten_the_way_and_change_no_answer() {
        let when = When::Repeated {
            between: Distribution::Exponential {
                min: 0.0,
                mean: 2.0,
            },
            lasts: Distribution::Exponential {
                min: 0.0,
                mean: 1.0,
            },
            until: None,
        };
        let noted = Milestones::default();
        let search = |node: u64, offset: u64| {
            let plain = of(&when, node);
            let quick = Periods {
                milestones: Some(&noted),
                ..plain
            };
            for step in 0..120 {
                // Up to 3,000 s, about a thousand periods; back and forth.
                let now = seconds(((step * 7_919 + offset) % 3_001) as f64);
                assert_eq!(quick.at_or_after(now), plain.at_or_after(now), "{now}");
                assert_eq!(quick.at(now), plain.at(now));
                let before = seconds((step as f64) * 20.0);
                let later = before + Span::from_millis(700);
                assert_eq!(
                    quick.begins_within(before, later),
                    plain.begins_within(before, later)
                );
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| search(5, 0));
            scope.spawn(|| search(5, 1_500));
            search(6, 700);
        });
        let all = noted.0.lock().unwrap();
        assert_eq!(all.len(), 2);
        assert!(all.values().all(|ends| ends.len() > 10 && ends.is_sorted()));
    }
}
