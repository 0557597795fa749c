//! The privacy loss of one round, on a grid, never too small.

use std::f64::consts::SQRT_2;

/// Half the distance from 1 to the next number: the relative error of one operation.
pub(super) const ROUNDING: f64 = f64::EPSILON / 2.0;

/// Which of two neighbouring federations the released sum comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the one with the client, as seen by somebody who compares it with the one without.
    Remove,
    /// From the one without the client, compared with the one with the client.
    Add,
}

/// The Poisson-subsampled Gaussian mechanism. Its result x has the density P = (1 − q)·N(0, s²) +
/// q·N(1, s²) with the client, and Q = N(0, s²) without it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mechanism {
    /// The probability q with which the client takes part, in (0, 1].
    pub q: f64,
    /// The standard deviation s of the noise, as a multiple of the sensitivity.
    pub s: f64,
}

impl Mechanism {
    /// The privacy loss ln(P/Q) at `x`. It rises with x.
    pub fn loss(self, x: f64) -> f64 {
        let with = (2.0 * x - 1.0) / (2.0 * self.s * self.s);
        if with.abs() < 1.0 {
            return libm::log1p(self.q * libm::expm1(with));
        }
        let (with, without) = (with + libm::log(self.q), libm::log1p(-self.q));
        let (low, high) = (with.min(without), with.max(without));
        high + libm::log1p(libm::exp(low - high))
    }

    /// The x at which the privacy loss is `loss`; minus infinity below the least possible loss. The
    /// two ways keep the digits where the likelihood ratio is close to 1, and where it is close to
    /// 0.
    fn at(self, loss: f64) -> f64 {
        let log_ratio = match loss > -0.5 {
            true => libm::log1p((libm::expm1(loss) / self.q).max(-1.0)),
            false => libm::log(((libm::exp(loss) - (1.0 - self.q)) / self.q).max(0.0)),
        };
        self.s * self.s * log_ratio + 0.5
    }

    /// The Q-mass and the P-mass below and above `x`.
    fn edge(self, x: f64) -> [Sides; 2] {
        let (zero, one) = (Sides::of(x / self.s), Sides::of((x - 1.0) / self.s));
        let mix = |zero: f64, one: f64| (1.0 - self.q) * zero + self.q * one;
        let both = Sides {
            below: mix(zero.below, one.below),
            above: mix(zero.above, one.above),
            error: zero.error.max(one.error) + 4.0 * ROUNDING,
        };
        [zero, both]
    }
}

/// The masses of a distribution on the two sides of a point.
#[derive(Debug, Clone, Copy)]
struct Sides {
    below: f64,
    above: f64,
    /// A bound on the relative error of both.
    error: f64,
}

impl Sides {
    /// Those of the standard normal distribution at `z`. The error function of `libm` is right to
    /// about one unit in the last place, and a relative error u of its argument changes the tail
    /// beyond z by at most a factor of 1 + (z² + 1)·u.
    fn of(z: f64) -> Self {
        let squares = if z.is_finite() { z * z } else { 0.0 };
        Self {
            below: 0.5 * libm::erfc(-z / SQRT_2),
            above: 0.5 * libm::erfc(z / SQRT_2),
            error: (8.0 + 4.0 * squares) * ROUNDING,
        }
    }

    /// The mass between this point and a `higher` one, and a bound on its error. Of the two ways to
    /// compute it, the one with the smaller numbers is taken.
    fn up_to(self, higher: Self) -> (f64, f64) {
        let (more, less) = match self.above < self.below {
            true => ((self.above, self.error), (higher.above, higher.error)),
            false => ((higher.below, higher.error), (self.below, self.error)),
        };
        let mass = (more.0 - less.0).max(0.0);
        (mass, more.0 * more.1 + less.0 * less.1)
    }
}

/// The privacy loss of one round as masses at whole multiples of the grid's width.
///
/// The mass between two grid points is divided between the two so that both the mass and the mass
/// under the other federation are kept. The δ(ε) of the result is then the true one at grid points
/// and, between them, the chord of that convex function of exp(ε): an upper bound ("connect the
/// dots", Doroshenko, Ghazi, Kamath, Kumar and Manurangsi, PETS 2022). Every rounding error is made
/// up for by mass that is moved or added upwards, so that the bound also holds for the numbers that
/// are stored here.
pub(super) struct Loss {
    /// The width of the grid, in units of ε.
    pub width: f64,
    /// The number of the lowest grid point.
    pub first: i64,
    /// The masses at this grid point and at those above it.
    pub masses: Vec<f64>,
    /// The mass of losses above the grid, which count as infinite.
    pub infinite: f64,
    /// How far, by rounding, a loss may be above the grid point at which it is counted.
    pub shift: f64,
}

impl Loss {
    /// The loss of `mechanism` in one direction on a grid of this `width`, over all x from `reach`
    /// standard deviations below 0 to `reach` above 1. `None` if that takes more than `most` grid
    /// points, or losses that are too large for an exponential.
    pub fn new(
        mechanism: Mechanism,
        direction: Direction,
        width: f64,
        reach: f64,
        most: usize,
    ) -> Option<Self> {
        let spread = reach * mechanism.s;
        let low = libm::floor(mechanism.loss(-spread) / width);
        let high = libm::ceil(mechanism.loss(1.0 + spread) / width).max(low + 1.0);
        let farthest = high.max(-low) * width;
        // What is not a number fails both comparisons.
        let fits = high - low < most as f64 && farthest < 600.0;
        if !fits {
            return None;
        }
        let (low, high) = (low as i64, high as i64);
        let points = usize::try_from(high - low + 1).ok()?;
        let edge = |i: i64| mechanism.edge(mechanism.at(i as f64 * width));
        let mut masses = vec![0.0; points];
        let (bottom, top) = (edge(low), edge(high));
        let within = |mass: f64, sides: Sides| mass * (1.0 + sides.error);
        // What lies below the grid is rounded up to its lowest point.
        let (below, infinite) = match direction {
            Direction::Remove => (
                within(bottom[1].below, bottom[1]),
                within(top[1].above, top[1]),
            ),
            Direction::Add => (
                within(top[0].above, top[0]),
                within(bottom[0].below, bottom[0]),
            ),
        };
        if let Some(lowest) = masses.first_mut() {
            *lowest += below;
        }
        let full = -libm::expm1(-width);
        let mut before = bottom;
        for i in low..high {
            let after = edge(i + 1);
            let [without, with] = [0, 1].map(|k| before[k].up_to(after[k]));
            before = after;
            let (own, other, lower, place) = match direction {
                Direction::Remove => (with, without, i, i - low),
                // The losses have the other sign, and the grid is turned round.
                Direction::Add => (without, with, -i - 1, high - i - 1),
            };
            let lower = lower as f64 * width;
            let ratio = libm::exp(lower);
            let (mass, moved) = (own.0 + own.1, other.0 * ratio);
            let slack = own.1 + other.1 * ratio + (8.0 + lower.abs()) * ROUNDING * (own.0 + moved);
            let upper = (((own.0 - moved).max(0.0) + slack) / full).min(mass);
            let place = usize::try_from(place).ok()?;
            if let Some([below, above]) = masses.get_mut(place..place + 2) {
                *below += mass - upper;
                *above += upper;
            }
        }
        Some(Self {
            width,
            first: if direction == Direction::Remove {
                low
            } else {
                -high
            },
            masses,
            infinite,
            // The errors of a grid point, of the x that belongs to it, and of the loss at that x.
            shift: 8.0
                * ROUNDING
                * (1.0 + farthest - libm::log(mechanism.q) + 1.0 / (mechanism.s * mechanism.s)),
        })
    }

    /// The loss at each grid point, and its mass.
    pub fn points(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let masses = self.masses.iter().enumerate();
        masses.map(|(i, &mass)| ((self.first + i as i64) as f64 * self.width, mass))
    }

    /// The logarithm ln E[exp(order · loss)] over the masses of the grid.
    pub fn log_moment(&self, order: f64) -> f64 {
        let exponents = self
            .points()
            .map(|(loss, mass)| order * loss + libm::log(mass));
        let exponents: Vec<f64> = exponents.collect();
        let most = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = exponents.iter().map(|x| libm::exp(x - most)).sum();
        most + libm::log(sum)
    }

    /// A bound on the rounding error of [`Self::log_moment`]: that of a sum of so many masses, none
    /// of which is below the smallest number, and of their exponents.
    pub fn log_moment_error(&self, order: f64) -> f64 {
        let ends = [self.first, self.first + self.masses.len() as i64];
        let farthest = ends.map(|i| (i as f64 * self.width).abs());
        let exponent = order.abs() * farthest[0].max(farthest[1]) + 750.0;
        (4.0 * exponent + self.masses.len() as f64) * ROUNDING
    }
}
