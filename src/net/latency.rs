//! The latency that a link adds to the path of a message.

use crate::quantity::{Distribution, Span};
use crate::sim::rng::Stream;
use serde::Serialize;
use thiserror::Error;

/// A one-way latency: a distribution in seconds, and a bound that no draw goes below.
///
/// Each draw is `max(bound, draw)`. The windows of virtual time are as long as the least sum of two
/// bounds, so the bound is above zero for every link but the ideal one. For example, with a bound of 5
/// ms a draw of 3.2 ms counts as 5 ms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    distribution: Distribution,
    bound: Span,
}

/// Why a distribution cannot be used as a latency.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum LatencyError {
    /// The parameters do not make a distribution of latencies; the text says why.
    #[error("latency: {0}")]
    Parameters(String),
    /// No bound is given, and the distribution has no positive minimum that could serve as one.
    #[error(
        "this latency has no positive minimum: give a bound, the least latency that the link can \
         have (such as \"1 ms\"), or use the preset \"ideal\" for a link without latency"
    )]
    NoBound,
    /// The bound is zero.
    #[error(
        "latency bound 0 s: it must be above zero, because virtual time advances in windows of \
         that length; use the preset \"ideal\" for a link without latency"
    )]
    ZeroBound,
}

impl Latency {
    /// A latency with `bound`, or with the distribution's minimum as its bound where that is positive.
    ///
    /// # Errors
    /// Returns a [`LatencyError`] if the parameters make no distribution of latencies, if there is
    /// neither a bound nor a positive minimum, or if the bound is zero.
    pub fn new(distribution: Distribution, bound: Option<Span>) -> Result<Self, LatencyError> {
        if let Some(problem) = parameter_problem(&distribution) {
            return Err(LatencyError::Parameters(problem));
        }
        let bound = match bound {
            Some(Span::ZERO) => return Err(LatencyError::ZeroBound),
            Some(bound) => bound,
            None => match Span::from_seconds(distribution.minimum()) {
                Span::ZERO => return Err(LatencyError::NoBound),
                bound => bound,
            },
        };
        Ok(Self {
            distribution,
            bound,
        })
    }

    /// A latency of zero, with a bound of zero.
    pub const fn ideal() -> Self {
        Self {
            distribution: Distribution::Constant(0.0),
            bound: Span::ZERO,
        }
    }

    /// A latency without checks, for the presets, whose parameters a test checks.
    pub(super) const fn of(distribution: Distribution, bound: Span) -> Self {
        Self {
            distribution,
            bound,
        }
    }

    /// The distribution, in seconds, before the bound.
    pub const fn distribution(&self) -> &Distribution {
        &self.distribution
    }

    /// The bound, below which no draw goes.
    pub const fn bound(&self) -> Span {
        self.bound
    }

    /// One draw from the distribution, raised to the bound where it is below.
    pub fn draw(&self, rng: &mut Stream) -> Span {
        Span::from_seconds(self.distribution.sample(rng)).max(self.bound)
    }

    /// The latency, if it never varies.
    pub fn fixed(&self) -> Option<Span> {
        match self.distribution {
            Distribution::Constant(seconds) => Some(Span::from_seconds(seconds).max(self.bound)),
            _ => None,
        }
    }

    /// The median of the draws.
    pub fn median(&self) -> Span {
        let seconds = match &self.distribution {
            Distribution::Constant(value) => *value,
            Distribution::Uniform { low, high } => low + (high - low) / 2.0,
            Distribution::Normal { mean, .. } => *mean,
            Distribution::LogNormal { median, .. } => *median,
            Distribution::Exponential { min, mean } => min + (mean - min) * std::f64::consts::LN_2,
            Distribution::Quantiles(values) => {
                let last = values.len().saturating_sub(1);
                let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
                (at(last / 2) + at(last.div_ceil(2))) / 2.0
            }
            mixture @ Distribution::Mixture(_) => mixture.at_normal(0.0),
        };
        Span::from_seconds(seconds).max(self.bound)
    }
}

/// What is wrong with the parameters of a distribution of latencies.
fn parameter_problem(distribution: &Distribution) -> Option<String> {
    let (name, numbers): (_, &[(&str, f64)]) = match distribution {
        Distribution::Constant(value) => ("constant", &[("value", *value)]),
        Distribution::Uniform { low, high } => ("uniform", &[("low", *low), ("high", *high)]),
        Distribution::Normal { mean, std } => ("normal", &[("mean", *mean), ("std", *std)]),
        Distribution::LogNormal { median, sigma } => {
            ("log-normal", &[("median", *median), ("sigma", *sigma)])
        }
        Distribution::Exponential { min, mean } => {
            ("exponential", &[("min", *min), ("mean", *mean)])
        }
        Distribution::Quantiles(values) => return quantile_problem(values),
        Distribution::Mixture(parts) => {
            return parts.iter().find_map(|(_, part)| parameter_problem(part));
        }
    };
    if let Some((which, found)) = numbers
        .iter()
        .find(|(_, value)| !(value.is_finite() && *value >= 0.0))
    {
        return Some(format!(
            "{which} {found} of the {name} distribution is outside [0, infinity)"
        ));
    }
    match distribution {
        Distribution::Uniform { low, high } if low > high => Some(format!(
            "low {low} of the uniform distribution is above its high {high}: swap them"
        )),
        Distribution::LogNormal { median: 0.0, .. } => Some(
            "median 0 of the log-normal distribution: it must be above zero (its samples are \
             multiples of the median)"
                .into(),
        ),
        Distribution::Exponential { min, mean } if min > mean => Some(format!(
            "min {min} of the exponential distribution is above its mean {mean}; the mean includes \
             the minimum"
        )),
        _ => None,
    }
}

fn quantile_problem(values: &[f64]) -> Option<String> {
    if values.is_empty() {
        return Some("no quantiles: give at least one value".into());
    }
    if let Some(found) = values.iter().find(|v| !(v.is_finite() && **v >= 0.0)) {
        return Some(format!("quantile {found} is outside [0, infinity)"));
    }
    let mut pairs = values.windows(2).enumerate();
    pairs.find_map(|(place, pair)| match pair {
        [low, high] if low > high => Some(format!(
            "quantile {low} at place {place} is above the next, {high}: give them in ascending order"
        )),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::rng::{stream, Purpose};

    fn kinds() -> Vec<Distribution> {
        vec![
            Distribution::Constant(0.004),
            Distribution::Uniform {
                low: 0.001,
                high: 0.009,
            },
            Distribution::Normal {
                mean: 0.004,
                std: 0.004,
            },
            Distribution::LogNormal {
                median: 0.004,
                sigma: 1.0,
            },
            Distribution::Exponential {
                min: 0.001,
                mean: 0.004,
            },
            Distribution::Quantiles(vec![0.0, 0.002, 0.004, 0.005, 0.1]),
        ]
    }

    #[test]
    fn no_draw_goes_below_the_bound_and_half_of_them_below_the_median() {
        for distribution in kinds() {
            let bound = Span::from_millis(3);
            let latency = Latency::new(distribution, Some(bound)).unwrap();
            let mut rng = stream(1, 2, Purpose::Link, 3);
            let draws: Vec<Span> = (0..10_000).map(|_| latency.draw(&mut rng)).collect();
            assert!(draws.iter().all(|draw| *draw >= bound), "{latency:?}");
            // Binomial(10 000, 1/2) has a standard deviation of 50.
            let below = draws.iter().filter(|draw| **draw < latency.median());
            let at = draws.iter().filter(|draw| **draw == latency.median());
            let (below, at) = (below.count(), at.count());
            assert!(
                below <= 5_250 && below + at >= 4_750,
                "{latency:?}: {below}"
            );
        }
    }

    #[test]
    fn the_bound_is_the_minimum_where_that_is_positive() {
        let bound = |d: Distribution| Latency::new(d, None).map(|latency| latency.bound());
        assert_eq!(
            bound(Distribution::Uniform {
                low: 0.002,
                high: 0.009
            }),
            Ok(Span::from_millis(2))
        );
        let normal = Distribution::Normal {
            mean: 0.02,
            std: 0.001,
        };
        assert_eq!(bound(normal.clone()), Err(LatencyError::NoBound));
        assert_eq!(
            bound(Distribution::Constant(0.0)).unwrap_err().to_string(),
            "this latency has no positive minimum: give a bound, the least latency that \
             the link can have (such as \"1 ms\"), or use the preset \"ideal\" for a link without \
             latency"
        );
        assert_eq!(
            Latency::new(normal, Some(Span::ZERO)),
            Err(LatencyError::ZeroBound)
        );
    }

    #[test]
    fn parameters_that_make_no_latency_are_named() {
        for (distribution, part) in [
            (Distribution::Constant(-1.0), "value -1 of the constant"),
            (Distribution::Constant(f64::NAN), "value NaN"),
            (
                Distribution::Uniform {
                    low: 2.0,
                    high: 1.0,
                },
                "swap them",
            ),
            (
                Distribution::Normal {
                    mean: 1.0,
                    std: f64::INFINITY,
                },
                "std inf",
            ),
            (
                Distribution::LogNormal {
                    median: 0.0,
                    sigma: 1.0,
                },
                "median 0",
            ),
            (
                Distribution::Exponential {
                    min: 2.0,
                    mean: 1.0,
                },
                "includes the minimum",
            ),
            (Distribution::Quantiles(vec![]), "at least one"),
            (Distribution::Quantiles(vec![2.0, 1.0]), "ascending"),
            (Distribution::Quantiles(vec![f64::NAN]), "quantile NaN"),
        ] {
            let error = Latency::new(distribution, Some(Span::from_millis(1))).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn an_endless_draw_saturates() {
        let latency = Latency::new(
            Distribution::LogNormal {
                median: 1.0,
                sigma: 1e300,
            },
            Some(Span::from_millis(1)),
        )
        .unwrap();
        let mut rng = stream(1, 2, Purpose::Link, 3);
        for _ in 0..100 {
            assert!(latency.draw(&mut rng) >= latency.bound());
        }
    }
}
