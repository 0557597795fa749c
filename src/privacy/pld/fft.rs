//! A fast Fourier transform whose result is the same on every machine.
//!
//! The crate `rustfft` chooses its instructions by the processor, and even its scalar planner takes
//! its twiddle factors from the sine of the standard library, whose last digits depend on the
//! platform. This radix-2 transform takes them from `libm`, and its rounding error has a proven
//! bound, which the accountant adds to δ (Higham, "Accuracy and Stability of Numerical Algorithms",
//! 2nd edition 2002, theorem 24.2).

use std::f64::consts::PI;

/// A complex number: its real and its imaginary part.
pub(super) type Complex = (f64, f64);

/// The product of two complex numbers, with a relative error of at most √5 · 2⁻⁵³ (Brent, Percival
/// and Zimmermann, "Error Bounds on Complex Floating-Point Multiplication", 2007).
const fn product(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

/// The power base^n by repeated squaring, which multiplies at most n times by one factor or another
/// of the base: the relative error is at most about n · √5 · 2⁻⁵³.
pub(super) fn power(base: Complex, n: u32) -> Complex {
    let (mut square, mut result, mut left) = (base, (1.0, 0.0), n);
    while left > 0 {
        if left & 1 == 1 {
            result = product(result, square);
        }
        square = product(square, square);
        left >>= 1;
    }
    result
}

/// The transform for one number of values.
pub(super) struct Fft {
    /// The factors exp(−2πi·k / values), for k below half of the number of values.
    twiddles: Vec<Complex>,
}

impl Fft {
    /// The transform of so many `values`, a power of two and at least 2.
    pub fn new(values: usize) -> Self {
        let angle = |k: usize| -2.0 * PI * (k as f64 / values as f64);
        let twiddles = (0..values / 2).map(|k| (libm::cos(angle(k)), libm::sin(angle(k))));
        Self {
            twiddles: twiddles.collect(),
        }
    }

    /// Replaces x by X, X_k = Σ_j x_j exp(−2πi·jk / values). The Euclidean norm of the error is at
    /// most [`Self::error`] times the norm of X.
    pub fn forward(&self, x: &mut [Complex]) {
        let values = 2 * self.twiddles.len();
        let bits = values.trailing_zeros();
        for i in 0..values {
            let j = i.reverse_bits() >> (usize::BITS - bits);
            if i < j {
                x.swap(i, j);
            }
        }
        let mut half = 1;
        while half < values {
            let stride = values / (2 * half);
            for block in x.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                let factors = self.twiddles.iter().step_by(stride);
                for ((a, b), &factor) in low.iter_mut().zip(high).zip(factors) {
                    let turned = product(*b, factor);
                    *b = (a.0 - turned.0, a.1 - turned.1);
                    *a = (a.0 + turned.0, a.1 + turned.1);
                }
            }
            half *= 2;
        }
    }

    /// The relative error of a transform: log₂(values) · 8 · 2⁻⁵³. The theorem has a factor of μ +
    /// γ₄(√2 + μ) for each of the log₂(values) passes. The error μ of a twiddle factor is at most
    /// √2 · 2⁻⁵³ for a sine and a cosine that are right to one unit in the last place, so the factor
    /// is below 8 · 2⁻⁵³.
    pub fn error(&self) -> f64 {
        let passes = self.twiddles.len().trailing_zeros() + 1;
        f64::from(passes) * 4.0 * f64::EPSILON
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values without a pattern.
    fn values(n: usize) -> Vec<Complex> {
        let part = |k: usize| ((k * k * 31 + 7 * k) % 101) as f64 / 50.0 - 1.0;
        (0..n).map(|k| (part(k), part(k + 3))).collect()
    }

    #[test]
    fn a_transform_is_the_sum_that_defines_it_within_the_stated_error() {
        for n in [2, 4, 64, 256] {
            let x = values(n);
            let fft = Fft::new(n);
            let mut fast = x.clone();
            fft.forward(&mut fast);
            let (mut wrong, mut norm) = (0.0, 0.0);
            for (k, fast) in fast.iter().enumerate() {
                let mut sum = (0.0, 0.0);
                for (j, &x) in x.iter().enumerate() {
                    let angle = -2.0 * PI * ((j * k % n) as f64 / n as f64);
                    let turned = product(x, (angle.cos(), angle.sin()));
                    sum = (sum.0 + turned.0, sum.1 + turned.1);
                }
                wrong += (sum.0 - fast.0).powi(2) + (sum.1 - fast.1).powi(2);
                norm += sum.0 * sum.0 + sum.1 * sum.1;
            }
            // The sum of the definition has an error of its own, of about n · 2⁻⁵³.
            let most = fft.error() + n as f64 * f64::EPSILON;
            assert!(wrong.sqrt() <= most * norm.sqrt(), "{n}: {wrong}");
        }
    }

    #[test]
    fn two_transforms_give_the_values_back_in_reverse() {
        let n = 1 << 12;
        let x = values(n);
        let fft = Fft::new(n);
        let mut twice = x.clone();
        fft.forward(&mut twice);
        fft.forward(&mut twice);
        let norm = x.iter().map(|x| x.0 * x.0 + x.1 * x.1).sum::<f64>().sqrt();
        for (k, twice) in twice.iter().enumerate() {
            let expected = x[(n - k) % n];
            let off = (twice.0 / n as f64 - expected.0).abs();
            assert!(off <= 2.0 * fft.error() * norm, "{k}: {off}");
        }
    }

    #[test]
    fn a_power_is_that_of_the_length_and_of_the_angle() {
        let (length, angle) = (0.9999_f64, 0.7_f64);
        let base = (length * angle.cos(), length * angle.sin());
        for n in [0, 1, 2, 13, 10_000] {
            let (re, im) = power(base, n);
            let (long, turn) = (length.powi(n as i32), angle * f64::from(n));
            assert!((re - long * turn.cos()).abs() < 1e-11, "{n}");
            assert!((im - long * turn.sin()).abs() < 1e-11, "{n}");
        }
    }
}
