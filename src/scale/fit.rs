//! Power laws and lines through measured points, by least squares.

/// The law `value = factor · n^exponent`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLaw {
    /// The exponent; 1 means growth in proportion to n.
    pub exponent: f64,
    /// The value at n = 1.
    pub factor: f64,
}

/// The line `value = base + each · n`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// The value at n = 0.
    pub base: f64,
    /// The increase for each unit of n.
    pub each: f64,
}

/// The slope and the intercept of the least-squares line; `None` without two different values of x.
fn least_squares(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum();
    let together: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let slope = together / spread;
    (points.len() > 1 && spread > 0.0 && slope.is_finite()).then_some((slope, y - slope * x))
}

/// The power law that fits best in logarithms. Points without logarithms (0 or less) are left out;
/// the result is `None` if fewer than two sizes are left.
pub fn power_law(points: &[(f64, f64)]) -> Option<PowerLaw> {
    let positive = points.iter().filter(|(n, value)| *n > 0.0 && *value > 0.0);
    let logs: Vec<(f64, f64)> = positive
        .map(|(n, value)| (libm::log(*n), libm::log(*value)))
        .collect();
    let (exponent, intercept) = least_squares(&logs)?;
    let factor = libm::exp(intercept);
    Some(PowerLaw { exponent, factor })
}

/// The line that fits best; `None` with fewer than two sizes.
pub fn line(points: &[(f64, f64)]) -> Option<Line> {
    let (each, base) = least_squares(points)?;
    Some(Line { base, each })
}

impl PowerLaw {
    /// An exponent below this is too small to predict anything from.
    const FLAT: f64 = 0.05;

    /// The value at `n`.
    pub fn at(&self, n: f64) -> f64 {
        self.factor * libm::pow(n, self.exponent)
    }

    /// The n at which the law reaches `value`; `None` if the law does not grow.
    pub fn reaches(&self, value: f64) -> Option<f64> {
        let n = libm::pow(value / self.factor, 1.0 / self.exponent);
        (self.exponent > Self::FLAT && n.is_finite()).then_some(n)
    }
}

impl Line {
    /// The n at which the line reaches `value`; `None` if the line does not rise.
    pub fn reaches(&self, value: f64) -> Option<f64> {
        let n = (value - self.base) / self.each;
        (self.each > 0.0 && n.is_finite()).then_some(n.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_exact_power_law_is_found_again(exponent in -2.0f64..3.0, factor in 1e-6f64..1e6) {
            let points = [1e3, 1e4, 1e5, 1e6].map(|n: f64| (n, factor * n.powf(exponent)));
            let found = power_law(&points).unwrap();
            prop_assert!((found.exponent - exponent).abs() < 1e-9, "{:?}", found);
            prop_assert!((found.factor / factor - 1.0).abs() < 1e-6, "{:?}", found);
            if exponent > 0.1 {
                let n = found.reaches(found.at(5e4)).unwrap();
                prop_assert!((n / 5e4 - 1.0).abs() < 1e-6);
            }
        }
    }

    /// By the normal equations, in Python with `math.fsum`.
    #[test]
    fn a_noisy_one_solves_the_normal_equations() {
        let points = [(1e3, 0.05), (1e4, 0.44), (1e5, 3.0), (1e6, 23.0)];
        let found = power_law(&points).unwrap();
        assert!((found.exponent - 0.882194207).abs() < 1e-6, "{found:?}");
        assert!(
            (found.factor.ln() - (-9.036624119)).abs() < 1e-6,
            "{found:?}"
        );
    }

    #[test]
    fn one_size_or_none_is_no_law_and_zeros_are_left_out() {
        assert_eq!(power_law(&[]), None);
        assert_eq!(power_law(&[(1e3, 2.0)]), None);
        assert_eq!(power_law(&[(1e3, 2.0), (1e3, 4.0)]), None);
        assert_eq!(power_law(&[(1e3, 0.0), (1e4, 4.0)]), None);
        assert_eq!(line(&[(5.0, 1.0)]), None);
    }

    #[test]
    fn what_does_not_grow_reaches_nothing() {
        let flat = power_law(&[(1e3, 2.0), (1e6, 2.0)]).unwrap();
        assert_eq!(flat.reaches(100.0), None);
        let line = line(&[(0.0, 100.0), (10.0, 130.0), (20.0, 160.0)]).unwrap();
        assert_eq!((line.base, line.each), (100.0, 3.0));
        assert_eq!(line.reaches(400.0), Some(100.0));
        let falls = super::line(&[(0.0, 5.0), (1.0, 4.0)]).unwrap();
        assert_eq!(falls.reaches(100.0), None);
    }
}
