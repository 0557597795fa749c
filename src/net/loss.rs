//! Which packets a link loses.
//!
//! For example, with `p_good_to_bad` 0.01 and `p_bad_to_good` 0.04 a fifth of the packets meet the bad
//! state, and a burst lasts 25 packets on average.

use super::binomial::{binomial, geometric};
use super::packet_loss::PacketLoss;
use crate::quantity::Probability;
use crate::registry::Interned;
use crate::sim::rng::Stream;
use crate::snapshot::snapshot_enum;
use rand::Rng;
use serde::Serialize;

/// The number of changes of state of a burst process that are followed one by one within a message. In
/// a message with more than a million changes the losses are the average to a part in a thousand, so
/// the rest of its packets are lost independently at the stationary rate.
const SOJOURNS: u32 = 1 << 20;

/// How a link loses packets, independently in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub enum Loss {
    /// No packet is lost.
    #[default]
    None,
    /// Each packet is lost with the same probability.
    Independent {
        /// The probability that a packet is lost.
        p: Probability,
    },
    /// Losses come in bursts: a two-state Markov chain that moves after each packet (Gilbert 1960,
    /// Elliott 1963). In the notation of Haßlinger and Hohlfeld (MMB 2008) the four probabilities are
    /// p, r, 1 - k and 1 - h.
    GilbertElliott {
        /// The probability to move from the good state to the bad one after a packet.
        p_good_to_bad: Probability,
        /// The probability to move from the bad state to the good one after a packet; bursts last `1 /
        /// p_bad_to_good` packets on average.
        p_bad_to_good: Probability,
        /// The probability that a packet is lost in the good state.
        loss_good: Probability,
        /// The probability that a packet is lost in the bad state.
        loss_bad: Probability,
    },
    /// A law of packet loss from the registry.
    #[serde(untagged)]
    Other(Interned<dyn PacketLoss>),
}

snapshot_enum!(Loss {
    0 => None,
    1 => Independent { p },
    2 => GilbertElliott { p_good_to_bad, p_bad_to_good, loss_good, loss_bad },
    3 => Other(law),
});

impl Loss {
    /// The share of packets lost in the long run; for bursts `(r * loss_good + p * loss_bad) / (p +
    /// r)`.
    pub fn rate(&self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Independent { p } => p.get(),
            Self::GilbertElliott {
                loss_good,
                loss_bad,
                ..
            } => {
                let bad = self.time_in_bad();
                (1.0 - bad) * loss_good.get() + bad * loss_bad.get()
            }
            Self::Other(law) => law.get().rate().clamp(0.0, 1.0),
        }
    }

    /// The share of packets that meet the bad state in the long run: `p / (p + r)`.
    pub(super) fn time_in_bad(&self) -> f64 {
        match self {
            Self::GilbertElliott {
                p_good_to_bad,
                p_bad_to_good,
                ..
            } => {
                let moves = p_good_to_bad.get() + p_bad_to_good.get();
                if moves > 0.0 {
                    p_good_to_bad.get() / moves
                } else {
                    0.0
                }
            }
            _ => 0.0,
        }
    }

    /// What is wrong with the parameters, in words, if anything is.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::GilbertElliott {
                p_good_to_bad,
                p_bad_to_good,
                ..
            } if p_good_to_bad.get() + p_bad_to_good.get() == 0.0 => Some(
                "loss: p_good_to_bad and p_bad_to_good are both 0, so the link would stay for ever \
                 in the state it began in; use Independent"
                    .into(),
            ),
            Self::Other(law) => {
                let problem = law.get().problem();
                problem.map(|problem| format!("loss: {}: {problem}", law.name()))
            }
            _ => None,
        }
    }

    /// The number of lost packets among `packets`. `bad` is the state of the burst process; where it is
    /// `None`, the state is drawn from the stationary distribution.
    pub(super) fn lost(&self, packets: u64, bad: &mut Option<bool>, rng: &mut Stream) -> u64 {
        match self {
            Self::None => 0,
            Self::Independent { p } => binomial(packets, p.get(), rng),
            Self::GilbertElliott {
                p_good_to_bad,
                p_bad_to_good,
                loss_good,
                loss_bad,
            } => {
                let stationary = |rng: &mut Stream| {
                    let share = Probability::new(self.time_in_bad()).unwrap_or(Probability::ZERO);
                    share.hit(rng.next_u64())
                };
                let mut state = bad.unwrap_or_else(|| stationary(rng));
                let mut left = packets;
                let mut lost = 0;
                for _ in 0..SOJOURNS {
                    if left == 0 {
                        break;
                    }
                    let (leave, loss) = if state {
                        (p_bad_to_good, loss_bad)
                    } else {
                        (p_good_to_bad, loss_good)
                    };
                    let sojourn = geometric(leave.get(), rng);
                    let here = sojourn.min(left);
                    lost += binomial(here, loss.get(), rng);
                    left -= here;
                    // A stay in a state that outlasts the message is drawn anew at the next message,
                    // since it has no memory.
                    if sojourn == here {
                        state = !state;
                    }
                }
                if left > 0 {
                    lost += binomial(left, self.rate(), rng);
                    state = stationary(rng);
                }
                *bad = Some(state);
                lost
            }
            // The process begins anew with each message.
            Self::Other(law) => {
                let (mut state, mut lost, mut left) = (0, 0, packets);
                for _ in 0..SOJOURNS {
                    let through = law.get().gap(&mut state, rng);
                    if through >= left {
                        return lost;
                    }
                    left -= through + 1;
                    lost += 1;
                }
                lost + binomial(left, self.rate(), rng)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::rng::{stream, Purpose};

    fn p(value: f64) -> Probability {
        Probability::new(value).unwrap()
    }

    fn bursts(enter: f64, leave: f64, good: f64, bad: f64) -> Loss {
        Loss::GilbertElliott {
            p_good_to_bad: p(enter),
            p_bad_to_good: p(leave),
            loss_good: p(good),
            loss_bad: p(bad),
        }
    }

    #[test]
    fn the_stationary_rate_is_the_formula() {
        // p = 0.01, r = 0.04: a fifth of the packets meet the bad state.
        assert!((bursts(0.01, 0.04, 0.1, 0.6).rate() - (0.8 * 0.1 + 0.2 * 0.6)).abs() < 1e-15);
        assert_eq!(Loss::Independent { p: p(0.3) }.rate(), 0.3);
        assert_eq!(Loss::None.rate(), 0.0);
    }

    #[test]
    fn losses_come_at_the_stationary_rate_whatever_the_message_size() {
        for loss in [
            Loss::Independent { p: p(0.03) },
            bursts(0.01, 0.2, 0.0, 1.0),
            bursts(0.05, 0.1, 0.02, 0.5),
            bursts(1.0, 1.0, 0.1, 0.9),
        ] {
            for size in [1, 7, 1_000, 200_000] {
                let mut rng = stream(3, size, Purpose::Link, 0);
                let mut bad = None;
                let messages = 1_000_000 / size;
                let lost: u64 = (0..messages)
                    .map(|_| loss.lost(size, &mut bad, &mut rng))
                    .sum();
                let rate = lost as f64 / (messages * size) as f64;
                // Correlation widens the deviation by at most (1 + rho) / (1 - rho) < 19 with
                // rho = 1 - p - r; five deviations of 10^6 packets.
                let deviation = (loss.rate() * (1.0 - loss.rate()) * 19.0 / 1e6).sqrt();
                assert!(
                    (rate - loss.rate()).abs() < 5.0 * deviation,
                    "{loss:?}, {size} packets: {rate}"
                );
            }
        }
    }

    #[test]
    fn bursts_and_gaps_last_as_long_as_the_chain_says() {
        let loss = bursts(0.02, 0.25, 0.0, 1.0);
        let mut rng = stream(4, 0, Purpose::Link, 0);
        let mut bad = None;
        let mut bursts = 0u32;
        let (mut lost, mut kept) = (0u32, 0u32);
        let mut before = false;
        for _ in 0..1_000_000 {
            let now = loss.lost(1, &mut bad, &mut rng) == 1;
            bursts += u32::from(now && !before);
            lost += u32::from(now);
            kept += u32::from(!now);
            before = now;
        }
        // Geometric lengths: mean 1/r = 4 packets, deviation sqrt(1 - r) / r; some 18 500 bursts.
        let burst = f64::from(lost) / f64::from(bursts);
        let gap = f64::from(kept) / f64::from(bursts);
        let count = f64::from(bursts).sqrt();
        assert!(
            (burst - 4.0).abs() < 5.0 * 0.75f64.sqrt() / 0.25 / count,
            "{burst}"
        );
        assert!(
            (gap - 50.0).abs() < 5.0 * 0.98f64.sqrt() / 0.02 / count,
            "{gap}"
        );
    }

    #[test]
    fn skipping_over_sojourns_spreads_like_packet_by_packet() {
        // The variance of the losses in 100 packets, against the chain's autocovariance:
        // Var = n s (1 - s) + 2 sum_{k<n} (n - k) s (1 - s) (1 - p - r)^k, s the stationary rate.
        let (enter, leave, n) = (0.1, 0.3, 100u64);
        let s: f64 = enter / (enter + leave);
        let rho: f64 = 1.0 - enter - leave;
        let tail: f64 = (1..n).map(|k| (n - k) as f64 * rho.powi(k as i32)).sum();
        let expected = s * (1.0 - s) * (n as f64 + 2.0 * tail);
        let loss = bursts(enter, leave, 0.0, 1.0);
        let draws = 100_000;
        let counts: Vec<f64> = (0..draws)
            .map(|i| loss.lost(n, &mut None, &mut stream(8, 0, Purpose::Link, i)) as f64)
            .collect();
        let mean = counts.iter().sum::<f64>() / draws as f64;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / draws as f64;
        assert!(
            (mean - 25.0).abs() < 5.0 * (expected / draws as f64).sqrt(),
            "{mean}"
        );
        assert!(
            (variance / expected - 1.0).abs() < 0.03,
            "{variance} against {expected}"
        );
    }

    #[test]
    fn a_message_of_any_size_is_counted_at_once() {
        let mut rng = stream(9, 0, Purpose::Link, 0);
        let loss = bursts(0.5, 0.5, 0.0, 1.0);
        let lost = loss.lost(u64::MAX, &mut None, &mut rng);
        assert!((lost as f64 / u64::MAX as f64 - 0.5).abs() < 0.01);
    }

    #[test]
    fn a_chain_that_never_moves_is_refused() {
        assert!(bursts(0.0, 0.0, 0.0, 1.0).problem().is_some());
        assert!(bursts(0.0, 0.1, 0.0, 1.0).problem().is_none());
        assert_eq!(bursts(0.0, 0.1, 0.0, 1.0).rate(), 0.0);
    }
}
