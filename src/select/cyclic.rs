//! Cyclic selection: blocks of the population take turns.

use super::draw::{draws, sample};
use super::{Ask, Policy, Selection};
use serde::{Deserialize, Serialize};

/// Semi-cyclic participation (Eichner et al., ICML 2019): the population is cut into blocks of
/// clients with successive numbers, which stand for time zones. The blocks take turns, and clients
/// are drawn uniformly from the block whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cyclic {
    /// The number of blocks.
    pub blocks: u32,
    /// The number of rounds that the turn of a block lasts.
    pub rounds: u32,
}

impl Default for Cyclic {
    fn default() -> Self {
        Self {
            blocks: 24,
            rounds: 1,
        }
    }
}

impl Selection for Cyclic {
    fn policy(&self) -> Box<dyn Policy> {
        Box::new(*self)
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let each = [("blocks", self.blocks), ("rounds", self.rounds)];
        let none = each.into_iter().filter(|(_, number)| *number == 0);
        none.map(|(field, _)| (field, "expected 1 or more, found 0".to_string()))
            .collect()
    }
}

impl Policy for Cyclic {
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32> {
        let population = ask.population;
        let blocks = self.blocks.clamp(1, population.size().max(1));
        let turn = (ask.round.saturating_sub(1) / self.rounds.max(1)) % blocks;
        let bound = |block: u32| {
            (u64::from(population.size()) * u64::from(block) / u64::from(blocks)) as u32
        };
        let block = bound(turn)..bound(turn + 1);
        sample(&mut draws(ask), block, ask.wanted, |client, draw| {
            population.is_there(client, draw)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::SmallPopulation;
    use super::*;

    #[test]
    fn blocks_take_turns_and_cover_everybody() {
        let population = SmallPopulation::of(10);
        let cyclic = Cyclic {
            blocks: 3,
            rounds: 2,
        };
        let mut policy = cyclic.policy();
        let mut turns = (1..=12).map(|round| {
            let mut chosen = population.ask(policy.as_mut(), round, 10);
            chosen.sort_unstable();
            chosen
        });
        let turn: Vec<Vec<u32>> = turns.by_ref().collect();
        assert_eq!(turn[0], [0, 1, 2]);
        assert_eq!(turn[1], turn[0]);
        assert_eq!(turn[2], [3, 4, 5]);
        assert_eq!(turn[5], [6, 7, 8, 9]);
        assert_eq!(turn[6], turn[0]);
        assert_eq!(cyclic.check(), []);
        let none = Cyclic {
            blocks: 0,
            rounds: 0,
        };
        assert_eq!(none.check().len(), 2);
    }
}
