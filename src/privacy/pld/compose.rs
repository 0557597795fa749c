//! The privacy loss of many rounds: the distribution of a sum of independent losses, and the ε at
//! which its δ is small enough.
//!
//! The masses are first tilted, that is multiplied by exp(tilt · loss) and scaled to the sum 1. The
//! tilt is the one of the Chernoff bound, so that the tilted sum lies around the ε in question. A
//! discrete Fourier transform then composes the rounds, and the tilt is taken back. Tilting keeps
//! the error of the transform small relative to δ, however small δ is, and the window of the
//! transform has to hold the neighbourhood of ε only.
//!
//! The transform is cyclic: a loss outside the window is counted inside it. A loss below the window
//! is thereby added to another one, which makes δ larger, never smaller. The mass above the window
//! is bounded by Chernoff's inequality and added to δ.

use super::fft::{power, Complex, Fft};
use super::loss::{Loss, ROUNDING};

/// What is decided before rounds are composed. It decides how tight ε is; that ε is an upper bound
/// does not depend on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// The order of the moment with which masses are tilted; above 0.
    pub tilt: f64,
    /// The order of the moment that bounds the mass above the window; above 0.
    pub tail: f64,
    /// The total loss at which the window begins.
    pub start: f64,
    /// The number of grid points in the window, a power of two and at least 2.
    pub points: usize,
}

/// The Euclidean norm of `values`.
fn norm(values: &[Complex]) -> f64 {
    libm::sqrt(values.iter().map(|x| x.0 * x.0 + x.1 * x.1).sum())
}

/// The tilted distribution of the sum of `steps` losses: the masses in the window, the logarithm
/// of what one step was scaled by, the bound on the norm of the error, and the bound on the
/// relative error in one step that comes before the transform.
struct Composed {
    masses: Vec<Complex>,
    log_scale: f64,
    error: f64,
    relative: f64,
}

impl Composed {
    fn new(loss: &Loss, steps: u32, window: &Window) -> Option<Self> {
        let log_scale = loss.log_moment(window.tilt);
        let n = i64::try_from(window.points).ok()?;
        let mut masses = vec![(0.0, 0.0); window.points];
        let mut largest: f64 = 0.0;
        for ((value, mass), i) in loss.points().zip(loss.first..) {
            let exponents = (window.tilt * value, libm::log(mass));
            let place = usize::try_from(i.rem_euclid(n)).ok()?;
            if let Some(at) = masses.get_mut(place).filter(|_| mass > 0.0) {
                at.0 += libm::exp(exponents.0 + exponents.1 - log_scale);
                largest = largest.max(exponents.0.abs() + exponents.1.abs());
            }
        }
        let relative = (8.0 + 2.0 * largest + log_scale.abs()) * ROUNDING;
        let fft = Fft::new(window.points);
        let (one, width, rounds) = (fft.error(), libm::sqrt(n as f64), f64::from(steps));
        let before = norm(&masses);
        fft.forward(&mut masses);
        // The masses are real, so the transform at −k is the conjugate of that at k.
        let half = window.points / 2;
        for k in 0..=half {
            if let Some(value) = masses.get_mut(k) {
                // Conjugated, so that the next transform is the inverse.
                let (re, im) = power(*value, steps);
                *value = (re, -im);
            }
        }
        for k in 1..half {
            let (re, im) = masses.get(k).copied()?;
            *masses.get_mut(window.points - k)? = (re, -im);
        }
        // An error of one transform is raised by a power of at most `steps`, in which no factor is
        // larger than 1 by more than that error.
        let growth = libm::exp(rounds * (one * width * before + relative));
        let spectrum = norm(&masses) / width;
        let error = growth * rounds * one * before + (5.0 * rounds * ROUNDING + one) * spectrum;
        fft.forward(&mut masses);
        for value in &mut masses {
            *value = ((value.0 / n as f64).max(0.0), 0.0);
        }
        Some(Self {
            masses,
            log_scale,
            // Half of the spectrum is used twice, so its error may be, too: a factor of √2.
            error: 1.5 * error,
            relative,
        })
    }
}

/// An ε with which `steps` equal and independent rounds of this `loss` are (ε, `delta`)-private, in
/// one direction. `None` if the window does not reach far enough to say so.
pub(super) fn epsilon(loss: &Loss, steps: u32, delta: f64, window: &Window) -> Option<f64> {
    let rounds = f64::from(steps);
    let composed = Composed::new(loss, steps, window)?;
    let first = libm::floor(window.start / loss.width);
    let end = (first + window.points as f64) * loss.width;
    // The bound exp(steps · log − order · at), raised by more than the rounding of the exponent, of
    // the masses of one step, and of the sums below.
    let sums = 4.0 * ROUNDING * window.points as f64 + rounds * composed.relative;
    let bound = |order: f64, log: f64, at: f64| {
        let size = rounds * log.abs() + (order * at).abs();
        libm::exp(rounds * log - order * at + 4.0 * ROUNDING * size + sums)
    };
    let (log_tail, error) = (
        loss.log_moment(window.tail),
        loss.log_moment_error(window.tail),
    );
    let lost = rounds * loss.infinite + bound(window.tail, log_tail + error, end);

    let offset = (first as i64).rem_euclid(window.points as i64) as usize;
    let (keep, part) = (libm::exp(-loss.width), -libm::expm1(-loss.width));
    // Of all losses above the present ε: the mass, δ(ε) by them alone, and the squares of weights.
    let (mut above, mut curve, mut squares) = (0.0, 0.0, 0.0);
    for j in (0..window.points).rev() {
        let at = (first + j as f64) * loss.width;
        // δ(ε − w) = Σ mass·(1 − exp(ε − w − loss)) = (1 − exp(−w))·Σ mass + exp(−w)·δ(ε).
        let lower = part * above + keep * curve;
        let rest = delta - lost - composed.error * libm::sqrt(squares);
        // What is not a number is no promise either.
        if lower > rest || lower.is_nan() || rest.is_nan() {
            if j + 1 == window.points {
                return None;
            }
            // δ is linear in exp(ε) between two grid points.
            let share = ((rest - curve) / (lower - curve)).clamp(0.0, 1.0);
            let share = if share.is_nan() { 0.0 } else { share };
            return Some(at + loss.width + libm::log1p(-share * part) + rounds * loss.shift);
        }
        let weight = bound(window.tilt, composed.log_scale, at);
        let (mass, _) = composed.masses.get((offset + j) % window.points)?;
        above += weight * mass;
        squares += weight * weight;
        curve = lower;
    }
    Some(first * loss.width + rounds * loss.shift)
}
