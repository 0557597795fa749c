//! Dirichlet draws that neither underflow nor give NaN, however small the concentration is.

use crate::quantity::Distribution;
use crate::sim::rng::Stream;
use rand::Rng;

/// Concentrations beyond these limits make no difference that a partition could show.
const LEAST: f64 = 1e-9;
const MOST: f64 = 1e12;

/// A uniform draw in (0, 1].
fn unit(rng: &mut Stream) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 1.0) * (1.0 / (1u64 << 53) as f64)
}

/// The logarithm of a Gamma(shape, 1) draw, by Marsaglia and Tsang (2000).
///
/// Below 1, the draw is Gamma(shape + 1) · U^(1/shape), whose value underflows for a shape of 0.01
/// although its logarithm is harmless.
fn log_gamma_draw(rng: &mut Stream, shape: f64) -> f64 {
    let shape = shape.clamp(LEAST, MOST);
    if shape < 1.0 {
        let boost = libm::log(unit(rng)) / shape;
        return log_gamma_draw(rng, shape + 1.0) + boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    let standard = Distribution::Normal {
        mean: 0.0,
        std: 1.0,
    };
    // More than 95 of 100 draws are accepted.
    loop {
        let x = standard.sample(rng);
        let t = 1.0 + c * x;
        if t <= 0.0 {
            continue;
        }
        let log_v = 3.0 * libm::log(t);
        if libm::log(unit(rng)) < 0.5 * x * x + d - d * libm::exp(log_v) + d * log_v {
            return libm::log(d) + log_v;
        }
    }
}

/// Fills `out` with a draw from a Dirichlet distribution. On entry `out` has the concentrations; on
/// return it has the shares, which add up to 1.
pub(super) fn dirichlet(rng: &mut Stream, out: &mut [f64]) {
    let mut top = f64::NEG_INFINITY;
    for x in out.iter_mut() {
        *x = log_gamma_draw(rng, *x);
        top = top.max(*x);
    }
    let mut sum = 0.0;
    for x in out.iter_mut() {
        *x = libm::exp(*x - top);
        sum += *x;
    }
    out.iter_mut().for_each(|x| *x /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::rng::{stream, Purpose};

    fn rng(n: u64) -> Stream {
        stream(n, 0, Purpose::Partition, 0)
    }

    #[test]
    fn gamma_draws_have_the_mean_and_variance_of_their_shape() {
        for shape in [0.05, 0.5, 1.0, 3.0, 40.0] {
            let mut rng = rng(1);
            let n = 100_000;
            let draws: Vec<f64> = (0..n)
                .map(|_| log_gamma_draw(&mut rng, shape).exp())
                .collect();
            let mean = draws.iter().sum::<f64>() / n as f64;
            let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n as f64;
            // The mean of n draws deviates by sqrt(shape / n).
            assert!(
                (mean - shape).abs() < 5.0 * (shape / n as f64).sqrt(),
                "{shape}: mean {mean}"
            );
            assert!(
                (variance / shape - 1.0).abs() < 0.12,
                "{shape}: variance {variance}"
            );
        }
    }

    #[test]
    fn the_log_mean_of_a_tiny_shape_is_right() {
        // E[ln X] is the digamma function; for a small shape, -1/shape - 0.5772 + 1.645 shape.
        let (shape, n) = (0.01, 50_000);
        let mut rng = rng(2);
        let mean = (0..n).map(|_| log_gamma_draw(&mut rng, shape)).sum::<f64>() / n as f64;
        let wanted = -1.0 / shape - 0.577_215_7 + 1.645 * shape;
        // ln X deviates by about 1/shape.
        assert!(
            (mean - wanted).abs() < 5.0 * 100.0 / (n as f64).sqrt(),
            "{mean} against {wanted}"
        );
    }

    #[test]
    fn dirichlet_shares_add_up_to_one_for_any_concentration() {
        for alpha in [1e-300, 1e-6, 0.01, 0.3, 1.0, 1e6, 1e300] {
            for seed in 0..20 {
                let mut shares = vec![alpha; 10];
                dirichlet(&mut rng(seed), &mut shares);
                assert!(
                    shares.iter().all(|s| (0.0..=1.0).contains(s)),
                    "{alpha}: {shares:?}"
                );
                assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{alpha}");
            }
        }
    }

    #[test]
    fn concentration_decides_between_one_share_and_equal_shares() {
        let top = |alpha| {
            let mut shares = vec![alpha; 10];
            dirichlet(&mut rng(3), &mut shares);
            shares.into_iter().fold(0.0, f64::max)
        };
        assert!(top(1e-4) > 0.99);
        assert!(top(1e6) < 0.11);
    }
}
