//! What is particular to each client of a group: its device, its speed and the rates of its link.
//!
//! All of it follows from the seed and the client's number and is drawn again whenever asked. A group
//! may give its clients one of several devices (tiers), speeds and rates as they were measured (a
//! capacity trace), and ties between speed, rates and the number of samples (a Gaussian copula).

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

/// Counters of a client's streams for its own properties. Never renumber.
const SPEED: u64 = 0;
const UP: u64 = 2;
const DOWN: u64 = 3;
const TIER: u64 = 5;

/// A device that some clients of a group have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceTier {
    /// The share of the group's clients that have it, on average; one for all tiers together.
    pub share: f64,
    /// What it is like; its speed is the mean of `speed`.
    pub device: VirtualDevice,
    /// A client's speed in FLOP/s, drawn once a client.
    pub speed: Distribution,
}

/// One client of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub seed: u64,
    /// Its number in the population.
    pub client: u32,
    /// Its number in its group.
    pub place: u32,
    /// Its group.
    pub group: &'a Group,
    /// By how many samples they have, where that matters.
    pub ranks: &'a Ranks,
}

impl Whose<'_> {
    fn draw(&self, law: &Distribution, which: u64) -> f64 {
        let node = u64::from(self.client) + 1;
        law.sample(&mut stream(self.seed, node, Purpose::Population, which))
    }

    /// Standard normals for its speed and its rates, where these are tied.
    fn normals(&self) -> Option<[f64; 2]> {
        let correlation = self.group.correlation.as_ref()?;
        let samples = self.ranks.normal(self.place);
        Some(correlation.normals(self.seed, self.client, samples))
    }

    /// Which tier it is of; the first, where there are none.
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

    /// Its device. `step` is what a training step of the full network costs, per sample.
    pub fn device(&self, step: Flops) -> VirtualDevice {
        let group = self.group;
        let (device, law) = match group.tiers.get(self.tier()) {
            Some(tier) => (&tier.device, &tier.speed),
            None => (&group.device, &group.speed),
        };
        let speed = match (&group.capacity, self.normals()) {
            (Some(capacity), _) => capacity.speed(self.place, step),
            // Within a tier, speeds are drawn independently of everything.
            (None, Some([speed, _])) if group.tiers.is_empty() => law.at_normal(speed),
            (None, _) => self.draw(law, SPEED),
        };
        VirtualDevice {
            // A draw that is no speed (a normal's far tail, say) is the slowest there can be.
            speed: Speed::flops_per_second(speed).unwrap_or(Speed::ONE),
            ..*device
        }
    }

    /// Its rate up in bit/s, where `law` says how the rates of its link differ.
    pub fn up(&self, law: &Distribution) -> f64 {
        self.rate(law, UP)
    }

    /// Its rate down.
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
