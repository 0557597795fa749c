//! Sessions and absences in turn: an alternating renewal process that has been running since long
//! before the start of the run.

use super::{Lane, Session, Whose};
use crate::fault::{Milestones, Periods, When};
use crate::quantity::{Distribution, Span, VirtualTime};
use serde::Serialize;

/// The number under which the periods of sessions draw, as if they were an entry of a fault plan; no
/// entry has so high a number.
const ENTRY: u32 = 0xffff;

/// A client is alternately present and away, for times drawn independently. With exponential
/// distributions this is the two-state Markov chain in continuous time. At time zero the process is
/// stationary: a client is present with probability E\[on\] / (E\[on\] + E\[off\]), and the rest of its
/// current session or absence is drawn from the equilibrium distribution, density P(X > x) / E\[X\]
/// (Cox, Renewal Theory, 1962).
///
/// For example, with sessions of 600 s and absences of 1,800 s a quarter of the clients is present at
/// any time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Markov {
    /// The length of a session, in seconds.
    pub on: Distribution,
    /// The length of an absence, in seconds.
    pub off: Distribution,
}

/// A [`Markov`], prepared for questions.
#[derive(Debug)]
pub(super) struct Sessions {
    law: Markov,
    /// The probability of being present.
    share: f64,
    when: When,
    milestones: Milestones,
}

impl Markov {
    /// The share of time for which a client is present.
    pub fn share(&self) -> f64 {
        let (on, off) = (self.on.mean_length(), self.off.mean_length());
        // A state whose length has no finite mean takes all of the time in the long run.
        match (on.is_finite(), off.is_finite()) {
            (true, true) if on + off > 0.0 => on / (on + off),
            (false, true) => 1.0,
            (true, false) => 0.0,
            _ => 0.5,
        }
    }
}

impl Sessions {
    pub fn new(law: &Markov) -> Self {
        Self {
            share: law.share(),
            when: When::Repeated {
                between: law.off.clone(),
                lasts: law.on.clone(),
                until: None,
            },
            law: law.clone(),
            milestones: Milestones::default(),
        }
    }

    /// The session that a client is in at time zero, or else its first one. The periods of the renewal
    /// process are counted from the end of this session.
    fn first(&self, whose: Whose) -> Session {
        let mut rng = whose.draws(Lane::Start, 0);
        let unit = {
            let law = Distribution::Uniform {
                low: 0.0,
                high: 1.0,
            };
            move |rng: &mut _| law.sample(rng)
        };
        let length = |seconds: f64| Span::from_seconds(seconds).max(Span::from_nanos(1));
        let is_there = unit(&mut rng) < self.share;
        let law = if is_there {
            &self.law.on
        } else {
            &self.law.off
        };
        // What is left of an interval that contains a random moment is a uniform share of it.
        let whole = law.sample_length_biased(&mut rng);
        let left = VirtualTime::ZERO + length(whole * unit(&mut rng));
        if is_there {
            return Session {
                start: VirtualTime::ZERO,
                end: left,
            };
        }
        Session {
            start: left,
            end: left + length(self.law.on.sample(&mut rng)),
        }
    }

    pub fn at_or_after(&self, whose: Whose, now: VirtualTime) -> Option<Session> {
        let first = self.first(whose);
        if now < first.end {
            return Some(first);
        }
        let periods = Periods {
            when: &self.when,
            seed: whose.seed,
            entry: ENTRY,
            node: whose.node(),
            milestones: Some(&self.milestones),
        };
        let since = VirtualTime::ZERO + now.since(first.end);
        let period = periods.at_or_after(since)?;
        let moment = |at: VirtualTime| first.end + at.since(VirtualTime::ZERO);
        Some(Session {
            start: moment(period.start),
            end: moment(period.end),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(client: u32) -> Whose {
        Whose {
            seed: 11,
            client,
            place: client,
        }
    }

    fn is_there(sessions: &Sessions, client: u32, now: VirtualTime) -> bool {
        let session = sessions.at_or_after(of(client), now);
        session.is_some_and(|session| session.start <= now)
    }

    fn laws() -> Vec<Markov> {
        use Distribution::*;
        let exponential = |min, mean| Exponential { min, mean };
        vec![
            Markov {
                on: exponential(0.0, 3.0),
                off: exponential(0.0, 7.0),
            },
            Markov {
                on: Constant(2.0),
                off: Constant(6.0),
            },
            Markov {
                on: LogNormal {
                    median: 2.0,
                    sigma: 1.0,
                },
                off: Uniform {
                    low: 1.0,
                    high: 9.0,
                },
            },
            Markov {
                on: Normal {
                    mean: 1.0,
                    std: 1.0,
                },
                off: Quantiles(vec![0.5, 1.0, 4.0]),
            },
            Markov {
                on: exponential(2.0, 3.0),
                off: exponential(1.0, 2.0),
            },
        ]
    }

    /// At the start, soon after it and much later: the same share of clients is there.
    #[test]
    fn the_share_of_clients_that_are_there_is_the_same_at_all_times() {
        let n = 4_000u32;
        for law in laws() {
            let sessions = Sessions::new(&law);
            let p = law.share();
            for s in [0.0, 0.7, 1.9, 3.0, 5.5, 8.0, 40.0, 1_000.0] {
                let now = VirtualTime::ZERO + Span::from_seconds(s);
                let there = (0..n).filter(|&client| is_there(&sessions, client, now));
                let found = there.count() as f64 / f64::from(n);
                // Five deviations of a binomial share.
                let bound = 5.0 * (p * (1.0 - p) / f64::from(n)).sqrt();
                assert!((found - p).abs() < bound, "{law:?} at {s} s: {found}, {p}");
            }
        }
    }

    /// For a two-state chain with rates a (on to off) and b, P(on at t | on at 0) is
    /// s + (1 - s) exp(-(a + b) t), s = b / (a + b).
    #[test]
    fn exponential_laws_are_the_markov_chain() {
        let law = &laws()[0];
        let sessions = Sessions::new(law);
        let (a, b) = (1.0 / 3.0, 1.0 / 7.0);
        let share = b / (a + b);
        let there: Vec<u32> = (0..20_000)
            .filter(|&client| is_there(&sessions, client, VirtualTime::ZERO))
            .collect();
        for s in [0.5f64, 1.0, 2.0, 4.0, 10.0] {
            let now = VirtualTime::ZERO + Span::from_seconds(s);
            let still = there
                .iter()
                .filter(|&&c| is_there(&sessions, c, now))
                .count();
            let p = share + (1.0 - share) * (-(a + b) * s).exp();
            let n = there.len() as f64;
            let found = still as f64 / n;
            assert!(
                (found - p).abs() < 5.0 * (p * (1.0 - p) / n).sqrt(),
                "{s}: {found}, {p}"
            );
        }
    }

    #[test]
    fn constant_lengths_repeat_exactly_and_only_the_phase_is_drawn() {
        let sessions = Sessions::new(&laws()[1]);
        for client in 0..50 {
            let first = sessions.at_or_after(of(client), VirtualTime::ZERO).unwrap();
            let mut end = first.end;
            for _ in 0..300 {
                let next = sessions.at_or_after(of(client), end).unwrap();
                assert_eq!(next.start, end + Span::from_secs(6));
                assert_eq!(next.end, next.start + Span::from_secs(2));
                end = next.end;
            }
        }
    }

    #[test]
    fn the_first_sessions_of_a_client_are_pinned() {
        let sessions = Sessions::new(&laws()[0]);
        let nanos: Vec<u64> = (0..3)
            .map(|client| sessions.first(of(client)).end.nanos())
            .collect();
        assert_eq!(nanos, PINNED);
    }

    /// From a second implementation, in Python.
    const PINNED: [u64; 3] = [4_103_267_524, 6_506_849_775, 9_369_219_309];
}
