//! The adversaries of a federation: which clients attack, with which attack, and in which rounds.

use super::copies::{append, Bright};
use super::{Attack, AttackSpec, Rounds};
use crate::data::{Dataset, Partition, Values};
use crate::learn::Samples;
use crate::sim::rng::{stream, Purpose};
use crate::who::{Members, Who};
use serde::Serialize;
use std::collections::BTreeSet;

/// One entry of the scenario's list of adversaries, checked: a group of clients that collude.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Adversary {
    /// The clients of the group.
    pub who: Who,
    /// Their attack.
    pub attack: AttackSpec,
    /// The rounds in which the attack is on.
    pub rounds: Rounds,
}

/// All adversaries of a federation, and the samples that they train on.
#[derive(Debug, Clone, Default)]
pub struct Adversaries {
    parties: Vec<Party>,
}

/// The adversaries of one entry.
#[derive(Debug, Clone)]
pub struct Party {
    members: Members,
    attack: AttackSpec,
    rounds: Rounds,
    /// For each member by its place: the samples that it trains on while the attack is on. Empty if
    /// members train on their own data.
    samples: Vec<Samples>,
}

/// This constant keeps the random draws for adversaries apart from those for faults.
const DRAW: u64 = 1 << 32;

impl Party {
    /// The attack of the entry.
    pub fn attack(&self) -> &dyn Attack {
        self.attack.attack()
    }

    /// The first member, whose training sybils share.
    pub fn first(&self) -> Option<u32> {
        self.members.iter().next()
    }
}

impl Adversaries {
    /// Determines which clients belong to each entry. Entries that ask for a share or a number of
    /// clients take them from one random order, entry after entry, so two such entries have no
    /// client in common.
    pub fn draw<'a>(
        adversaries: &[Adversary],
        groups: impl Iterator<Item = (&'a str, u32)> + Clone,
        seed: u64,
    ) -> Self {
        let counts = groups.clone().map(|(_, count)| count);
        let population = counts.fold(0u32, u32::saturating_add);
        let mut drawn = 0u32;
        let mut first = |count: u32| {
            let before = Who::Count(drawn).members(groups.clone(), seed, DRAW);
            drawn = drawn.saturating_add(count);
            let all = Who::Count(drawn).members(groups.clone(), seed, DRAW);
            let new = all.iter().filter(|client| !before.contains(*client));
            Members::Listed(new.collect())
        };
        let party = |adversary: &Adversary| Party {
            members: match &adversary.who {
                Who::Share(share) => first(libm::round(share.get() * f64::from(population)) as u32),
                Who::Count(count) => first(*count),
                who => who.members(groups.clone(), seed, DRAW),
            },
            attack: adversary.attack.clone(),
            rounds: adversary.rounds,
            samples: Vec::new(),
        };
        Self {
            parties: adversaries.iter().map(party).collect(),
        }
    }

    /// Whether there are no adversaries.
    pub fn is_empty(&self) -> bool {
        self.parties.is_empty()
    }

    /// The number of clients over all entries.
    pub fn count(&self) -> u32 {
        let each = self.parties.iter().map(|party| party.members.len());
        u32::try_from(each.sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// The entries, in the order of the scenario.
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// The first two entries that have a client in common, and that client; `None` if no two
    /// entries overlap.
    pub fn overlap(&self) -> Option<(usize, usize, u32)> {
        let sets = self.parties.iter().map(|party| party.members.iter());
        let sets: Vec<BTreeSet<u32>> = sets.map(Iterator::collect).collect();
        for (later, set) in sets.iter().enumerate() {
            for (earlier, other) in sets.iter().enumerate().take(later) {
                if let Some(client) = set.intersection(other).next() {
                    return Some((earlier, later, *client));
                }
            }
        }
        None
    }

    /// Adds the samples that adversaries train on to `train`. Returns the data set on which success
    /// is measured, made of copies of `test`; `None` if no attack has a target class. Each client
    /// has a random stream of its own.
    pub fn poison(
        &mut self,
        train: &mut Dataset,
        test: &Dataset,
        partition: &Partition,
        seed: u64,
    ) -> Option<Dataset> {
        if !self.parties.iter().any(|p| p.attack().poison().is_some()) {
            return None;
        }
        let bright = Bright::of(train);
        let mut targets = empty_like(test);
        for party in &self.parties {
            let Some(poison) = party.attack().poison() else {
                continue;
            };
            append(
                &mut targets,
                Some(test),
                &poison.targets(train, test),
                bright,
            );
        }
        // The samples of all adversaries are chosen before any is added, so that no adversary takes
        // another's copies for clean samples.
        let mut wanted = Vec::new();
        for (number, party) in self.parties.iter().enumerate() {
            let Some(poison) = party.attack().poison() else {
                continue;
            };
            let shared = party.attack().forge().is_some_and(|f| f.shared());
            for (place, client) in party.members.iter().enumerate() {
                if shared && place > 0 {
                    break;
                }
                let own = partition.client(client as usize);
                let mut draws = stream(seed, u64::from(client) + 1, Purpose::Attack, 0);
                wanted.push((number, poison.poison(train, own, &mut draws)));
            }
        }
        for (number, samples) in wanted {
            let places = append(train, None, &samples, bright);
            if let Some(party) = self.parties.get_mut(number) {
                party.samples.push(places.into());
            }
        }
        (!targets.is_empty()).then_some(targets)
    }

    /// The entry that a client belongs to, and the place of the client in it.
    fn party_of(&self, client: u32) -> Option<(&Party, usize)> {
        let mut all = self.parties.iter();
        all.find_map(|party| Some((party, party.members.place(client)?)))
    }

    /// Whether `client` is an adversary.
    pub fn has(&self, client: u32) -> bool {
        self.party_of(client).is_some()
    }

    /// The entry of `client`, if it is an adversary whose attack is on in `round`.
    pub fn active(&self, client: u32, round: u32) -> Option<&Party> {
        let (party, _) = self.party_of(client)?;
        party.rounds.contains(round).then_some(party)
    }

    /// The number of the entry of `client`, if it takes part in an attack at the server
    /// ([`Craft`](super::Craft)) that is on in `round`.
    pub fn crafting(&self, client: u32, round: u32) -> Option<usize> {
        let number = self
            .parties
            .iter()
            .position(|party| party.members.contains(client))?;
        let party = self.parties.get(number)?;
        let on = party.rounds.contains(round) && party.attack().craft().is_some();
        on.then_some(number)
    }

    /// The samples that `client` trains on in `round` instead of its own; `None` for honest clients
    /// and for attacks that leave data alone.
    pub fn samples(&self, client: u32, round: u32) -> Option<&Samples> {
        let (party, place) = self.party_of(client)?;
        if !party.rounds.contains(round) {
            return None;
        }
        let shared = party.attack().forge().is_some_and(|forge| forge.shared());
        party.samples.get(if shared { 0 } else { place })
    }

    /// Whether `client` does not train in `round`.
    pub fn idles(&self, client: u32, round: u32) -> bool {
        let forge = self.active(client, round).and_then(|p| p.attack().forge());
        forge.is_some_and(|forge| !forge.trains())
    }
}

/// A data set without samples, whose samples would have the shape and the type of values of `data`.
fn empty_like(data: &Dataset) -> Dataset {
    Dataset {
        name: data.name.clone(),
        shape: data.shape.clone(),
        values: match data.values {
            Values::U8(_) => Values::U8(Vec::new()),
            Values::F32(_) => Values::F32(Vec::new()),
        },
        scaling: data.scaling.clone(),
        labels: Vec::new(),
        classes: data.classes,
        users: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, groups, pictures};
    use super::*;
    use crate::data::Partitioner;
    use crate::quantity::Probability;

    fn flip() -> AttackSpec {
        super::super::label_flip::LabelFlip::default().into()
    }

    #[test]
    fn entries_drawn_at_random_share_nobody_and_have_the_stated_sizes() {
        let share = Who::Share(Probability::new(0.3).unwrap());
        let entries = [
            entry(share.clone(), flip()),
            entry(Who::Count(5), flip()),
            entry(share, flip()),
        ];
        for seed in 0..20 {
            let all = Adversaries::draw(&entries, groups(20), seed);
            let sizes: Vec<usize> = all.parties.iter().map(|p| p.members.len()).collect();
            assert_eq!(sizes, [6, 5, 6]);
            assert_eq!(all.overlap(), None);
        }
    }

    #[test]
    fn a_client_of_two_entries_is_found() {
        let entries = [
            entry(Who::Clients(vec![1, 4]), flip()),
            entry(Who::Clients(vec![0]), flip()),
            entry(Who::Clients(vec![2, 4]), flip()),
        ];
        let all = Adversaries::draw(&entries, groups(6), 1);
        assert_eq!(all.overlap(), Some((0, 2, 4)));
    }

    #[test]
    fn adversaries_train_on_changed_copies_in_their_rounds_and_nobody_elses_samples_change() {
        let (mut train, test) = (pictures(12), pictures(6));
        let before = train.clone();
        let partition = Partitioner::Iid {
            samples_per_client: None,
        };
        let partition = partition.partition(&train, 3, 1, 5).unwrap();
        let mut late = entry(Who::Clients(vec![1]), flip());
        late.rounds.from = 2;
        let mut all = Adversaries::draw(&[late], groups(3), 1);
        assert!(all.poison(&mut train, &test, &partition, 1).is_none());
        assert_eq!(all.samples(1, 1), None);
        assert_eq!(all.samples(0, 2), None);
        let own = partition.client(1);
        let poisoned = all.samples(1, 2).unwrap().as_slice();
        assert_eq!(poisoned.len(), own.len());
        for (of, copy) in own.iter().zip(poisoned) {
            assert_eq!(
                train.labels[*copy as usize],
                2 - before.labels[*of as usize]
            );
        }
        assert_eq!(train.labels[..12], before.labels[..]);
        train.validate().unwrap();
    }

    #[test]
    fn sybils_have_the_data_of_the_first_and_a_backdoor_its_triggered_test_samples() {
        let (mut train, test) = (pictures(12), pictures(6));
        let partition = Partitioner::Iid {
            samples_per_client: None,
        };
        let partition = partition.partition(&train, 4, 1, 5).unwrap();
        let sybils = super::super::sybils::Sybils {
            source: 0,
            target: 1,
            noise: 0.0,
        };
        let backdoor = super::super::backdoor::Backdoor::default();
        let entries = [
            entry(Who::Clients(vec![1, 3]), sybils.into()),
            entry(Who::Clients(vec![2]), backdoor.into()),
        ];
        let mut all = Adversaries::draw(&entries, groups(4), 1);
        let targets = all.poison(&mut train, &test, &partition, 1).unwrap();
        let first = all.samples(1, 1).unwrap().as_slice();
        assert_eq!(first, all.samples(3, 1).unwrap().as_slice());
        assert_eq!(first.len(), partition.client(1).len());
        // Four of six test samples are not of class 0, the backdoor's target.
        assert_eq!((targets.len(), &targets.labels[..]), (4, &[0; 4][..]));
        train.validate().unwrap();
    }
}
