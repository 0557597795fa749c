//! A tighter accountant: the distribution of the privacy loss.
//!
//! The accountant of `rdp` bounds the distribution of the privacy loss by its moments. This one
//! computes the distribution itself, on a grid, and composes the rounds by a Fourier transform
//! (Koskela, Jälkö and Honkela, "Computing Tight Differential Privacy Guarantees Using FFT",
//! AISTATS 2020; Gopi, Lee and Wutschitz, "Numerical Composition of Differential Privacy", NeurIPS
//! 2021). The ε is an upper bound: whatever the grid, the ends of the window and the rounding of
//! numbers leave out is added to δ or to ε. What is assumed is that the functions of `libm` are
//! right to a few units in the last place.
//!
//! Neighbouring federations differ by one client that is there or not. Both directions are
//! computed, and the larger ε counts.

mod compose;
mod fft;
mod gaussian;
mod loss;

use super::rdp::Accountant;
use compose::Window;
use loss::{Direction, Loss, Mechanism};

/// The accountant that a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accounting {
    /// Rényi differential privacy: the moments of the privacy loss.
    Rdp,
    /// The distribution of the privacy loss.
    Pld,
}

/// The smaller one of the figures of the two accountants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// An upper bound on ε.
    pub epsilon: f64,
    /// The accountant that gave the bound: [`Accounting::Rdp`] also where the distribution cannot
    /// be computed within half a second and 100 MB.
    pub by: Accounting,
}

/// The most points of a transform, and of the grid of one round.
const MOST_POINTS: usize = 1 << 19;
/// With less noise than this, one round alone has losses of several hundred, and the distribution
/// is not computed.
const LEAST_NOISE: f64 = 0.05;
/// With more noise than this, the privacy loss of a round has too few digits.
const MOST_NOISE: f64 = 1e6;
/// The smallest δ for which the distribution is computed: tails beyond are too close to the
/// smallest number.
const LEAST_DELTA: f64 = 1e-100;
/// By what share of ε the grid may raise ε, where [`MOST_POINTS`] are enough for that.
const TIGHTNESS: f64 = 2e-5;
/// The share of δ, and of the tilted mass, that ends of the grid and of the window may take.
const SPARED: f64 = 1e-7;

impl Bound {
    /// The ε by the distribution of the privacy loss, without a unit; `None` where the ε is that of
    /// the moments.
    pub fn by_distribution(self) -> Option<f64> {
        (self.by == Accounting::Pld).then_some(self.epsilon)
    }
}

impl Accountant {
    /// The smaller ε of the two accountants after so many `rounds`, without a unit. The figure of
    /// the distribution takes up to half a second, so this is for the end of a run.
    pub fn tightest(&self, rounds: u32) -> Bound {
        let rdp = Bound {
            epsilon: self.epsilon(rounds),
            by: Accounting::Rdp,
        };
        match by_distribution(self.rate, self.noise, rounds, self.delta) {
            Some(epsilon) if epsilon < rdp.epsilon => Bound {
                epsilon,
                by: Accounting::Pld,
            },
            _ => rdp,
        }
    }
}

/// The ε by the distribution of the privacy loss; `None` where the distribution cannot be computed.
fn by_distribution(q: f64, noise: f64, steps: u32, delta: f64) -> Option<f64> {
    if steps == 0 || q <= 0.0 {
        return Some(0.0);
    }
    if q >= 1.0 {
        return gaussian::epsilon(noise, steps, delta);
    }
    composed(Mechanism { q, s: noise }, steps, delta)
}

/// The ε of both directions by discretisation and composition.
fn composed(mechanism: Mechanism, steps: u32, delta: f64) -> Option<f64> {
    let in_range = (LEAST_NOISE..=MOST_NOISE).contains(&mechanism.s)
        && (LEAST_DELTA..1.0).contains(&delta)
        && mechanism.q >= 1e-12;
    if !in_range {
        return None;
    }
    let remove = one_way(mechanism, Direction::Remove, steps, delta, 0.0)?;
    let larger = one_way(mechanism, Direction::Add, steps, delta, remove)?.max(remove);
    larger.is_finite().then_some(larger.max(0.0))
}

/// How many windows are tried.
const WINDOWS: u32 = 4;
/// By what the tilt is divided from one window to the next.
const LESS_TILT: f64 = 16.0;

/// The ε of one direction. An ε of up to `enough` need not be the smallest one.
fn one_way(m: Mechanism, direction: Direction, steps: u32, delta: f64, enough: f64) -> Option<f64> {
    let (mut smaller, mut least) = (1.0, f64::INFINITY);
    for _ in 0..WINDOWS {
        let plan = Plan::new(m, direction, steps, delta, smaller);
        let loss = Loss::new(m, direction, plan.width, plan.reach, 2 * MOST_POINTS)?;
        least = compose::epsilon(&loss, steps, delta, &plan.window)?.min(least);
        // Where the loss has a largest value, Chernoff's bound may lie so far above ε that ε lies
        // below the window. A smaller tilt moves the window down.
        if least > plan.window.start || least <= enough.max(0.0) {
            break;
        }
        smaller /= LESS_TILT;
    }
    Some(least)
}

/// The grid and the window for a number of rounds.
struct Plan {
    /// The width of the grid, in units of ε.
    width: f64,
    /// How many standard deviations beyond 0 and 1 the grid reaches.
    reach: f64,
    window: Window,
}

impl Plan {
    /// For a tilt of so much times the best one of Chernoff's bound.
    fn new(
        mechanism: Mechanism,
        direction: Direction,
        steps: u32,
        delta: f64,
        smaller: f64,
    ) -> Self {
        let rounds = f64::from(steps);
        // Φ(−z) ≤ exp(−z²/2)/2.
        let reach = libm::sqrt(2.0 * libm::log(rounds / (SPARED * delta)));
        let rough = Rough::new(mechanism, direction, reach);
        let log_delta = -libm::log(delta);
        let chernoff = |tilt: f64| (rounds * rough.log_moment(tilt) + log_delta) / tilt;
        let tilt = smaller * libm::exp(lowest(|x| chernoff(libm::exp(x)), -14.0, 21.0));
        let epsilon = chernoff(tilt);

        // Chernoff's inequality for the tilted losses, at moments of several orders.
        let ours = rough.log_moment(tilt);
        let end = |gap: f64| {
            let excess = rounds * (rough.log_moment(tilt + gap) - ours) - libm::log(SPARED);
            excess / gap
        };
        let around = [libm::log(tilt) - 6.0, libm::log(tilt) + 5.0];
        let [up, down] = [1.0, -1.0].map(|sign| {
            let [low, high] = around;
            let log = lowest(|x| sign * end(sign * libm::exp(x)), low, high);
            (libm::exp(log), end(sign * libm::exp(log)))
        });
        let (start, length) = (down.1, (up.1 - down.1).max(1e-300));

        // Dividing the mass between two points adds up to about order·(order + 1)·width²/12 to a
        // log-moment, where the mass is spread evenly, and the ε by that moment rises accordingly.
        let fine = libm::sqrt(12.0 * TIGHTNESS * epsilon / (rounds * (tilt + 1.0)));
        let most = MOST_POINTS as f64;
        let width = fine
            .min(length / 64.0)
            .max(length / (most - 4.0))
            .max(rough.range() / most);
        let points = (libm::ceil(length / width) as usize + 3).next_power_of_two();
        let points = points.min(MOST_POINTS);
        // The power of two leaves room for a finer grid.
        let width = (length / (points as f64 - 3.0)).max(rough.range() / most);
        Self {
            width,
            reach,
            window: Window {
                tilt,
                tail: tilt + up.0,
                start,
                points,
            },
        }
    }
}

/// The privacy loss of one round by a rule of quadrature, from which the grid is planned.
struct Rough {
    /// Losses, and the logarithms of their masses, which add up to 1.
    points: Vec<(f64, f64)>,
}

impl Rough {
    fn new(mechanism: Mechanism, direction: Direction, reach: f64) -> Self {
        let s = mechanism.s;
        let step = s / 16.0;
        let count = libm::ceil((1.0 / s + 2.0 * reach) * 16.0) as u32;
        let points = (0..=count).map(|i| {
            let x = f64::from(i) * step - reach * s;
            let (loss, log_mass) = (mechanism.loss(x), -x * x / (2.0 * s * s));
            match direction {
                Direction::Remove => (loss, log_mass + loss),
                Direction::Add => (-loss, log_mass),
            }
        });
        let mut points: Vec<(f64, f64)> = points.collect();
        let most = points
            .iter()
            .fold(f64::NEG_INFINITY, |most, p| most.max(p.1));
        let sum: f64 = points.iter().map(|p| libm::exp(p.1 - most)).sum();
        let scale = most + libm::log(sum);
        points.iter_mut().for_each(|p| p.1 -= scale);
        Self { points }
    }

    /// The difference of the largest and the smallest loss.
    fn range(&self) -> f64 {
        let ends = (self.points.first(), self.points.last());
        ends.0.zip(ends.1).map_or(0.0, |(a, b)| (a.0 - b.0).abs())
    }

    /// The logarithm ln E[exp(order · loss)].
    fn log_moment(&self, order: f64) -> f64 {
        let exponents = || self.points.iter().map(|(loss, mass)| (order * loss, *mass));
        if exponents().all(|(x, _)| x.abs() < 0.5) {
            // A moment close to 1 keeps the digits of its difference to 1.
            let excess = exponents().map(|(x, mass)| libm::exp(mass) * libm::expm1(x));
            return libm::log1p(excess.sum());
        }
        let most = exponents().fold(f64::NEG_INFINITY, |most, (x, mass)| most.max(x + mass));
        let sum: f64 = exponents()
            .map(|(x, mass)| libm::exp(x + mass - most))
            .sum();
        most + libm::log(sum)
    }
}

/// Where a function with one minimum is lowest between `low` and `high`, by golden section, to
/// about a thousandth.
fn lowest(of: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_8;
    let inner = |low: f64, high: f64| (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut left, mut right) = inner(low, high);
    let (mut at_left, mut at_right) = (of(left), of(right));
    while high - low > 1e-3 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = inner(low, high).0;
            at_left = of(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = inner(low, high).1;
            at_right = of(right);
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests;
