//! A value that is fixed, or drawn from a distribution.

use super::{InRange, NumberVisitor, Parameter, Range, Written};
use crate::quantity::{Distribution, Unit};
use serde::de::value::EnumAccessDeserializer;
use serde::de::{Deserialize, Deserializer, EnumAccess, Error, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A constant in the syntax of `V`, or a distribution whose parameters are in that syntax.
///
/// - `Uniform(low, high)` and `Normal(mean, std)`;
/// - `LogNormal(median, sigma)`, with the `sigma` of the underlying normal distribution as a bare
///   number;
/// - `Exponential(min, mean)`, with the `mean` of the sum;
/// - `Quantiles([..])`, at least two values in ascending order at equally spaced quantiles;
/// - `Mixture([(weight, ..), ..])`, one of several distributions or constants; only the ratios of the
///   weights matter.
///
/// All but the last two take their parameters by position or by name. For example, `latency:
/// Uniform("10 ms", "30 ms")`.
///
/// Every parameter is within the range of `V` (spreads: finite and not negative), and so is every draw
/// of a bounded distribution. Draws of an unbounded one have to be clamped by the code that uses them.
#[derive(Debug, Clone, PartialEq)]
pub struct OrDistribution<V> {
    distribution: Distribution,
    kind: PhantomData<V>,
}

impl<V: Parameter> OrDistribution<V> {
    /// A distribution that always gives `value`.
    pub fn constant(value: V) -> Self {
        Self::over(Distribution::Constant(value.to_base()))
    }

    fn over(distribution: Distribution) -> Self {
        Self {
            distribution,
            kind: PhantomData,
        }
    }

    /// The distribution, in base units (seconds, bytes, bit/s, FLOP/s, ratio).
    pub fn distribution(&self) -> &Distribution {
        &self.distribution
    }

    /// The distribution, in base units, by value.
    pub fn into_distribution(self) -> Distribution {
        self.distribution
    }
}

/// A standard deviation in the syntax of `V`; zero and values above the range of `V` are allowed.
struct Spread<V>(f64, PhantomData<V>);

impl<'de, V: Parameter> Deserialize<'de> for Spread<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = NumberVisitor::<V> {
            check: |written| written.check(&SPREAD),
            harmless: 0.0,
            kind: PhantomData,
        };
        let base = deserializer.deserialize_any(visitor)?;
        Ok(Self(base, PhantomData))
    }
}

const SPREAD: Range = Range {
    low: 0.0,
    above_low: false,
    high: f64::MAX,
    text: "[0, inf)",
};

/// The sigma of a log-normal distribution: a bare number, whatever the unit of the value is.
#[derive(Clone, Copy)]
struct Sigma(f64);

impl Parameter for Sigma {
    const UNIT: Option<Unit> = None;
    const EXPECTED: &'static str = "a number, zero or more";
    const ALLOWED: Range = Range {
        // exp(sigma z) stays finite for any z that can be drawn.
        high: 50.0,
        text: "[0, 50]",
        ..SPREAD
    };

    fn from_base(base: f64) -> Option<Self> {
        Self::ALLOWED.contains(base).then_some(Self(base))
    }

    fn to_base(self) -> f64 {
        self.0
    }
}

/// The weight of one part of a mixture.
#[derive(Clone, Copy)]
struct Weight(f64);

impl Parameter for Weight {
    const UNIT: Option<Unit> = None;
    const EXPECTED: &'static str = "a weight, a number above zero";
    const ALLOWED: Range = Range {
        above_low: true,
        high: 1e12,
        text: "(0, 1e12]",
        ..SPREAD
    };

    fn from_base(base: f64) -> Option<Self> {
        Self::ALLOWED.contains(base).then_some(Self(base))
    }

    fn to_base(self) -> f64 {
        self.0
    }
}

/// A distribution as it is written in a scenario, with its parameters checked one by one.
#[derive(serde::Deserialize)]
#[serde(bound = "V: Parameter")]
enum WrittenDistribution<V> {
    Uniform {
        low: InRange<V>,
        high: InRange<V>,
    },
    Normal {
        mean: InRange<V>,
        std: Spread<V>,
    },
    LogNormal {
        median: InRange<V>,
        sigma: InRange<Sigma>,
    },
    Exponential {
        min: InRange<V>,
        mean: InRange<V>,
    },
    Quantiles(Vec<InRange<V>>),
    Mixture(Vec<(InRange<Weight>, OrDistribution<V>)>),
}

impl<V: Parameter> WrittenDistribution<V> {
    /// Checks the rules that involve more than one parameter.
    fn distribution(self) -> Result<Distribution, String> {
        match self {
            Self::Uniform { low, high } => {
                let (low, high) = (low.0, high.0);
                if low > high {
                    return Err("the low end of Uniform(low, high) is above the high one".into());
                }
                Ok(Distribution::Uniform { low, high })
            }
            Self::Normal { mean, std } => Ok(Distribution::Normal {
                mean: mean.0,
                std: std.0,
            }),
            Self::LogNormal { median, sigma } => {
                let (median, sigma) = (median.0, sigma.0);
                if median <= 0.0 {
                    return Err("the median of LogNormal(median, sigma) is not above zero".into());
                }
                Ok(Distribution::LogNormal { median, sigma })
            }
            Self::Exponential { min, mean } => {
                let (min, mean) = (min.0, mean.0);
                if mean < min {
                    return Err("the mean of Exponential(min, mean) is below its min".into());
                }
                Ok(Distribution::Exponential { min, mean })
            }
            Self::Quantiles(values) => {
                let values: Vec<f64> = values.iter().map(|value| value.0).collect();
                if values.len() < 2 {
                    let found = values.len();
                    return Err(format!("expected at least 2 quantiles, found {found}"));
                }
                match values.windows(2).position(|pair| pair[0] > pair[1]) {
                    Some(at) => Err(format!(
                        "expected quantiles in ascending order, found number {} below number {}",
                        at + 2,
                        at + 1
                    )),
                    None => Ok(Distribution::Quantiles(values)),
                }
            }
            Self::Mixture(parts) => {
                if parts.is_empty() {
                    return Err("expected at least one (weight, distribution), found none".into());
                }
                let total: f64 = parts.iter().map(|(weight, _)| weight.0).sum();
                let parts = parts
                    .into_iter()
                    .map(|(weight, part)| (weight.0 / total, part.distribution));
                Ok(Distribution::Mixture(parts.collect()))
            }
        }
    }
}

impl<'de, V: Parameter> Deserialize<'de> for OrDistribution<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConstantOrShape(PhantomData))
    }
}

struct ConstantOrShape<V>(PhantomData<V>);

impl<V: Parameter> ConstantOrShape<V> {
    /// A constant is checked like a bare `V`.
    fn constant<E: Error>(
        self,
        read: impl FnOnce(NumberVisitor<V>) -> Result<f64, E>,
    ) -> Result<OrDistribution<V>, E> {
        let visitor = NumberVisitor {
            check: |written: &Written<'_>| written.check(&V::ALLOWED),
            harmless: V::HARMLESS,
            kind: PhantomData,
        };
        let base = read(visitor)?;
        Ok(OrDistribution::over(Distribution::Constant(base)))
    }
}

impl<'de, V: Parameter> Visitor<'de> for ConstantOrShape<V> {
    type Value = OrDistribution<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} or a distribution such as Uniform(low, high)",
            V::EXPECTED
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if V::UNIT.is_none() {
            return Err(E::invalid_type(Unexpected::Str(text), &self));
        }
        self.constant(|visitor| visitor.visit_str(text))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        if V::UNIT.is_some() {
            return Err(E::invalid_type(Unexpected::Float(value), &self));
        }
        self.constant(|visitor| visitor.visit_f64(value))
    }

    /// The placeholder for a value already reported, as in [`NumberVisitor`].
    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        self.constant(|visitor| visitor.visit_bytes(bytes))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Self::Value, A::Error> {
        WrittenDistribution::<V>::deserialize(EnumAccessDeserializer::new(data))?
            .distribution()
            .map(OrDistribution::over)
            .map_err(A::Error::custom)
    }
}
