//! The widths that the clients of a federation have.

use super::Model;
use std::sync::Arc;

/// A width, and the network that has it.
#[derive(Debug, Clone)]
pub struct Level {
    /// Share of the full network's hidden units (the shrinkage ratio of HeteroFL and FedConv); 1 is
    /// the full network.
    pub ratio: f64,
    /// The network.
    pub model: Arc<Model>,
}

/// The levels of a federation, and which client has which.
///
/// The first level is the full network, whether any client has it or not.
#[derive(Debug, Clone)]
pub struct Sizes {
    levels: Arc<[Level]>,
    /// The level of each client; empty where there is only one.
    of: Arc<[u8]>,
}

impl Sizes {
    /// Every client has the full network.
    pub fn full(model: Arc<Model>) -> Self {
        Self::new(vec![Level { ratio: 1.0, model }], Vec::new())
    }

    /// `levels`, of which the first is the full network, and the number of each client's.
    pub fn new(levels: Vec<Level>, of: Vec<u8>) -> Self {
        Self {
            levels: levels.into(),
            of: of.into(),
        }
    }

    /// The levels, widest first.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The number of a client's level.
    pub fn level_of(&self, client: u32) -> usize {
        let level = self.of.get(client as usize).copied().unwrap_or(0);
        usize::from(level).min(self.levels.len().saturating_sub(1))
    }

    /// A client's level.
    pub fn of(&self, client: u32) -> &Level {
        &self.levels[self.level_of(client)]
    }

    /// The levels narrower than a client's, widest first.
    pub fn narrower(&self, client: u32) -> &[Level] {
        &self.levels[self.level_of(client) + 1..]
    }

    /// How many of `population` clients have each level.
    pub fn counts(&self, population: u32) -> Vec<u32> {
        let mut counts = vec![0; self.levels.len()];
        if let [all] = counts.as_mut_slice() {
            *all = population;
            return counts;
        }
        for client in 0..population {
            counts[self.level_of(client)] += 1;
        }
        counts
    }
}
