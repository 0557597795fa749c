//! Draws the number of lost packets without a draw for each packet.
//!
//! All draws use `libm`, so that a stream gives the same counts on every machine.

use crate::sim::rng::Stream;
use rand::Rng;

/// Below this mean, a binomial number is drawn loss by loss; above it, by rejection.
const FEW: f64 = 10.0;

/// A uniform draw in [0, 1).
fn unit(rng: &mut Stream) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// The number of trials up to and including the first success of probability `p`, by inversion (Devroye
/// 1986, X.2); `u64::MAX` if there is no success.
pub(super) fn geometric(p: f64, rng: &mut Stream) -> u64 {
    if p >= 1.0 {
        return 1;
    }
    if p <= 0.0 {
        return u64::MAX;
    }
    // 1 - u lies in (0, 1]; `as` saturates.
    let failures = libm::floor(libm::log(1.0 - unit(rng)) / libm::log1p(-p)) as u64;
    failures.saturating_add(1)
}

/// The number of successes of probability `p` in `n` trials, in constant expected time.
pub(super) fn binomial(n: u64, p: f64, rng: &mut Stream) -> u64 {
    if p >= 1.0 {
        n
    } else if p > 0.5 {
        n - binomial(n, 1.0 - p, rng)
    } else if n as f64 * p < FEW {
        few(n, p, rng)
    } else {
        many(n, p, rng)
    }
}

/// Counts by going from success to success; fast where few are expected.
fn few(n: u64, p: f64, rng: &mut Stream) -> u64 {
    let mut left = n;
    let mut count = 0;
    loop {
        let gap = geometric(p, rng);
        if gap > left {
            return count;
        }
        left -= gap;
        count += 1;
    }
}

/// Transformed rejection with squeeze: algorithm BTRS of Hörmann, "The generation of binomial random
/// variates", J. Stat. Comput. Simul. 46 (1993). It needs `p` <= 1/2 and `n p` >= 10.
fn many(n: u64, p: f64, rng: &mut Stream) -> u64 {
    let trials = n as f64;
    let deviation = libm::sqrt(trials * p * (1.0 - p));
    let b = 1.15 + 2.53 * deviation;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let centre = trials * p + 0.5;
    let squeeze = 0.92 - 4.2 / b;
    let alpha = (2.83 + 5.1 / b) * deviation;
    let log_odds = libm::log(p / (1.0 - p));
    let mode = libm::floor((trials + 1.0) * p);
    let at_mode = libm::lgamma(mode + 1.0) + libm::lgamma(trials - mode + 1.0);
    loop {
        let v = unit(rng);
        let u = unit(rng) - 0.5;
        let us = 0.5 - u.abs();
        let k = libm::floor((2.0 * a / us + b) * u + centre);
        // Also false for the NaN and infinity of u = -1/2.
        if !(0.0..=trials).contains(&k) {
            continue;
        }
        let quick = us >= 0.07 && v <= squeeze;
        let accepted = quick
            || libm::log(v * alpha / (a / (us * us) + b))
                <= at_mode - libm::lgamma(k + 1.0) - libm::lgamma(trials - k + 1.0)
                    + (k - mode) * log_odds;
        if accepted {
            return (k as u64).min(n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::rng::{stream, Purpose};

    /// Binomial probabilities by the recurrence, in float64.
    fn probabilities(n: u64, p: f64) -> Vec<f64> {
        let mut mass = vec![(1.0 - p).powi(n as i32)];
        for k in 0..n {
            let ratio = (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
            mass.push(mass[k as usize] * ratio);
        }
        mass
    }

    /// Pearson's statistic over the cells that expect at least 10, and their number.
    fn chi_square(n: u64, p: f64, draws: u32) -> (f64, f64) {
        let mut rng = stream(5, n, Purpose::Link, p.to_bits());
        let mut seen = vec![0u32; n as usize + 1];
        for _ in 0..draws {
            seen[binomial(n, p, &mut rng) as usize] += 1;
        }
        let expected = probabilities(n, p);
        let mut statistic = 0.0;
        let mut cells = 0.0;
        for (seen, mass) in seen.iter().zip(expected) {
            let expected = mass * f64::from(draws);
            if expected >= 10.0 {
                statistic += (f64::from(*seen) - expected).powi(2) / expected;
                cells += 1.0;
            }
        }
        (statistic, cells)
    }

    #[test]
    fn both_methods_draw_from_the_binomial_distribution() {
        for (n, p) in [
            (20, 0.05),
            (40, 0.2),
            (100, 0.1),
            (200, 0.3),
            (100, 0.9),
            (50, 0.5),
        ] {
            let (statistic, cells) = chi_square(n, p, 200_000);
            // The statistic has mean `cells - 1` and deviation sqrt(2 cells); five deviations are
            // allowed.
            let limit = cells + 5.0 * (2.0 * cells).sqrt();
            assert!(
                statistic < limit,
                "n {n} p {p}: {statistic} over {cells} cells"
            );
        }
    }

    #[test]
    fn counts_stay_within_the_trials_at_every_size() {
        let mut rng = stream(6, 0, Purpose::Link, 0);
        for n in [0, 1, 2, 1_000, 1 << 40, u64::MAX] {
            for p in [0.0, 1e-300, 1e-12, 0.3, 0.5, 0.7, 1.0 - 1e-12, 1.0] {
                for _ in 0..100 {
                    assert!(binomial(n, p, &mut rng) <= n, "n {n} p {p}");
                }
            }
        }
        assert_eq!(binomial(7, 0.0, &mut rng), 0);
        assert_eq!(binomial(7, 1.0, &mut rng), 7);
    }

    #[test]
    fn waiting_times_have_mean_one_over_p() {
        for p in [0.9, 0.25, 0.01] {
            let mut rng = stream(7, 0, Purpose::Link, 0);
            let n = 100_000;
            let mean = (0..n).map(|_| geometric(p, &mut rng) as f64).sum::<f64>() / f64::from(n);
            let deviation = ((1.0 - p) / (p * p) / f64::from(n)).sqrt();
            assert!((mean - 1.0 / p).abs() < 5.0 * deviation, "p {p}: {mean}");
        }
        let mut rng = stream(7, 0, Purpose::Link, 1);
        assert_eq!(geometric(1.0, &mut rng), 1);
        assert_eq!(geometric(0.0, &mut rng), u64::MAX);
    }
}
