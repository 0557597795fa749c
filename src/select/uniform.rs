//! Uniform selection among the clients that are present.

use super::draw::{draws, sample};
use super::{Ask, Policy, Selection};
use serde::{Deserialize, Serialize};

/// Every client that is present has the same probability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Uniform {}

impl Selection for Uniform {
    fn policy(&self) -> Box<dyn Policy> {
        Box::new(*self)
    }

    fn is_uniform(&self) -> bool {
        true
    }
}

impl Policy for Uniform {
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32> {
        let population = ask.population;
        sample(
            &mut draws(ask),
            0..population.size(),
            ask.wanted,
            |client, draw| population.is_there(client, draw),
        )
    }
}
