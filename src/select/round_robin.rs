//! Round robin: the clients take turns by number.

use super::draw::is_there;
use super::{Ask, Policy, Selection};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};

/// Clients are chosen one after the other by number, and from the first again after the last. A
/// client that is not present loses its turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoundRobin {}

impl Selection for RoundRobin {
    fn policy(&self) -> Box<dyn Policy> {
        Box::new(Turns { next: 0 })
    }
}

struct Turns {
    next: u32,
}

impl Policy for Turns {
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32> {
        let population = ask.population.size();
        let mut chosen = Vec::new();
        for _ in 0..population {
            if chosen.len() as u32 == ask.wanted {
                break;
            }
            let client = self.next % population;
            self.next = (client + 1) % population;
            if is_there(ask, client) {
                chosen.push(client);
            }
        }
        chosen
    }

    fn save(&self, to: &mut Writer) {
        self.next.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.next = Snapshot::load(from)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::SmallPopulation;
    use super::*;

    #[test]
    fn everybody_has_a_turn_before_anybody_has_another() {
        let mut population = SmallPopulation::of(5);
        let mut policy = RoundRobin {}.policy();
        let chosen = [1, 2, 3].map(|round| population.ask(policy.as_mut(), round, 2));
        assert_eq!(chosen, [[0, 1], [2, 3], [4, 0]]);
        population.away = vec![2];
        assert_eq!(population.ask(policy.as_mut(), 4, 3), [1, 3, 4]);
        assert_eq!(
            population.ask(policy.as_mut(), 5, 9).len(),
            4,
            "as many as there are"
        );
    }
}
