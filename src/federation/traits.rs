//! The properties that differ between the clients of a group: device, speed and link rates.
//!
//! They follow from the seed and the client's number, and are drawn again whenever they are needed. A
//! group may give each of its clients one of several devices (tiers), may take speeds and rates from
//! measurements (a capacity trace), and may correlate speed, rates and the number of samples (a Gaussian
//! copula).

mod capacity;
mod copula;

pub use capacity::{read as read_capacity, Capacity, CapacityRow};
pub use copula::Correlation;
pub(crate) use copula::Ranks;

use super::plan::Group;
use crate::learn::VirtualDevice;
use crate::quantity::{picked, Distribution, Flops, Speed};
use crate::sim::rng::{stream, Purpose};
use serde::Serialize;

/// The counters of a client's streams for its own properties. They must never be renumbered.
const SPEED: u64 = 0;
const UP: u64 = 2;
const DOWN: u64 = 3;
const TIER: u64 = 5;

/// A device that some clients of a group have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceTier {
    /// The share of the group's clients that have it, on average; one for all tiers together.
    pub share: f64,
    /// The device; its speed is the mean of `speed`.
    pub device: VirtualDevice,
    /// The law of a client's speed in FLOP/s, drawn once for each client.
    pub speed: Distribution,
}

/// One client of a group, whose properties are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose<'a> {
    /// The seed of the scenario.
    pub seed: u64,
    /// The client's number in the population.
    pub client: u32,
    /// The client's number in its group.
    pub place: u32,
    /// The client's group.
    pub group: &'a Group,
    /// The ranks of the group's clients by their number of samples; empty where the ranks do not matter.
    pub ranks: &'a Ranks,
}

impl Whose<'_> {
    fn draw(&self, law: &Distribution, which: u64) -> f64 {
        let node = u64::from(self.client) + 1;
        law.sample(&mut stream(self.seed, node, Purpose::Population, which))
    }

    /// Standard normal values for the client's speed and rates, where the group correlates them.
    fn normals(&self) -> Option<[f64; 2]> {
        let correlation = self.group.correlation.as_ref()?;
        let samples = self.ranks.normal(self.place);
        Some(correlation.normals(self.seed, self.client, samples))
    }

    /// The client's tier; 0 where the group has no tiers.
    pub fn tier(&self) -> usize {
        let tiers = &self.group.tiers;
        if tiers.is_empty() {
            return 0;
        }
        let uniform = Distribution::Uniform {
            low: 0.0,
            high: 1.0,
        };
        let Some([speed, _]) = self.normals() else {
            let shares = tiers.iter().map(|tier| tier.share);
            return picked(shares, self.draw(&uniform, TIER));
        };
        // The slowest tier has the lowest ranks.
        let order = self.slowest_first();
        let shares = order.iter().map(|&tier| tiers[tier].share);
        order[picked(shares, uniform.at_normal(speed))]
    }

    fn slowest_first(&self) -> Vec<usize> {
        let tiers = &self.group.tiers;
        let mut order: Vec<usize> = (0..tiers.len()).collect();
        order.sort_by(|&a, &b| tiers[a].speed.mean().total_cmp(&tiers[b].speed.mean()));
        order
    }

    /// The client's device. `step` is the cost of a training step of the full network for one sample.
    pub fn device(&self, step: Flops) -> VirtualDevice {
        let group = self.group;
        let (device, law) = match group.tiers.get(self.tier()) {
            Some(tier) => (&tier.device, &tier.speed),
            None => (&group.device, &group.speed),
        };
        let speed = match (&group.capacity, self.normals()) {
            (Some(capacity), _) => capacity.speed(self.place, step),
            // Within a tier, speeds are drawn independently of everything else.
            (None, Some([speed, _])) if group.tiers.is_empty() => law.at_normal(speed),
            (None, _) => self.draw(law, SPEED),
        };
        VirtualDevice {
            // A draw that is not positive, such as one from the tail of a normal law, becomes the slowest
            // speed that there can be.
            speed: Speed::flops_per_second(speed).unwrap_or(Speed::ONE),
            ..*device
        }
    }

    /// The rate of the client's link up, in bit/s, drawn from `law`.
    pub fn up(&self, law: &Distribution) -> f64 {
        self.rate(law, UP)
    }

    /// The rate of the client's link down, in bit/s, drawn from `law`.
    pub fn down(&self, law: &Distribution) -> f64 {
        self.rate(law, DOWN)
    }

    fn rate(&self, law: &Distribution, which: u64) -> f64 {
        match self.normals() {
            Some([_, link]) => law.at_normal(link),
            None => self.draw(law, which),
        }
    }
}

#[cfg(test)]
mod tests;
