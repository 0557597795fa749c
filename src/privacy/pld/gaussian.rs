//! The Gaussian mechanism without sampling, which has a closed form.

use super::loss::ROUNDING;
use std::f64::consts::{PI, SQRT_2};

/// Bounds from below and from above on the logarithm of Φ(−z), the mass of the standard normal
/// distribution beyond `z`. They are apart only where the error function has no more digits, by
/// 1/z²: (1 − 1/z²)·φ(z)/z < Φ(−z) < φ(z)/z.
fn log_tail(z: f64) -> (f64, f64) {
    if z < 30.0 {
        let log = libm::log(0.5 * libm::erfc(z / SQRT_2));
        return (log, log);
    }
    let above = -0.5 * z * z - libm::log(z) - 0.5 * libm::log(2.0 * PI);
    (above + libm::log1p(-1.0 / (z * z)), above)
}

/// An upper bound on δ(ε) of `steps` Gaussian mechanisms with noise of `noise` times the
/// sensitivity (Balle and Wang, "Improving the Gaussian Mechanism for Differential Privacy", ICML
/// 2018, theorem 8). Their composition is one mechanism with noise of s = noise/√steps, for which
/// δ(ε) = Φ(1/2s − εs) − exp(ε)·Φ(−1/2s − εs).
fn delta(noise: f64, steps: u32, epsilon: f64) -> f64 {
    let s = noise / libm::sqrt(f64::from(steps));
    let (near, far) = (epsilon * s - 0.5 / s, epsilon * s + 0.5 / s);
    let (first, second) = (log_tail(near).1, epsilon + log_tail(far).0);
    // The rounding of the arguments, relative to the tails, and of the difference.
    let error = (8.0 + 4.0 * (near * near + far * far) + 2.0 * epsilon) * ROUNDING;
    let (first, second) = (libm::exp(first), libm::exp(second));
    first - second + error * (first + second)
}

/// The smallest ε ≥ 0, to about one part in 10¹², with which `steps` Gaussian mechanisms are (ε,
/// `wanted`)-private; rounded up. `None` without noise.
pub(super) fn epsilon(noise: f64, steps: u32, wanted: f64) -> Option<f64> {
    let enough = |epsilon: f64| delta(noise, steps, epsilon) <= wanted;
    if enough(0.0) {
        return Some(0.0);
    }
    let mut high = 1.0;
    while !enough(high) {
        high *= 2.0;
        if high > 1e12 {
            return None;
        }
    }
    let mut low = 0.0;
    while high - low > 1e-12 * high {
        let middle = 0.5 * (low + high);
        match enough(middle) {
            true => high = middle,
            false => low = middle,
        }
    }
    Some(high)
}
