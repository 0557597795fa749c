//! Edge servers between the clients and the server at the top: which member is below which server.
//!
//! Tiers are listed from the top down: the servers of the first tier answer to the server at the top (the
//! cloud), and the clients answer to the servers of the last tier. Members are numbered on: the clients
//! first, then the edge servers, tier after tier. Node `n + 1` is member `n`, and node 0 is the cloud. For
//! example, with 10 clients and tiers of 2 and 4 servers, members 0 to 9 are the clients, 10 and 11 the
//! upper tier, and 12 to 15 the lower one.

use super::plan::Cohort;
use crate::learn::VirtualDevice;
use crate::quantity::Span;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// One tier of edge servers: all are alike, and as far from the top.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tier {
    /// What a server of this tier is called.
    pub name: Arc<str>,
    /// How many servers it has.
    pub count: u32,
    /// The speed and memory of each server.
    pub device: VirtualDevice,
    /// How many rounds a server holds with its members for each round of the server above: κ₂ of
    /// hierarchical FedAvg.
    pub rounds: u32,
    /// How long after its beginning such a round ends with the reports that it has.
    pub deadline: Option<Span>,
    /// Which members are below which server.
    pub assign: Assign,
}

impl Tier {
    /// How many of `count` members are below one of its servers.
    fn part(&self, count: u32, index: u32) -> u32 {
        match self.assign {
            Assign::Blocks | Assign::BySpeed => {
                let share = share(count, self.count, index);
                share.end - share.start
            }
            Assign::Interleaved => count.saturating_sub(index).div_ceil(self.count.max(1)),
        }
    }
}

/// How members are assigned to the servers of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Assign {
    /// In blocks of consecutive numbers: the first members to the first server, and so on. The clients of a
    /// group stay together as far as they can.
    #[default]
    Blocks,
    /// In turn, like cards that are dealt: each server has some clients of each group.
    Interleaved,
    /// By how long a round is expected to take each client, the fastest clients to the first server: tiers
    /// as in TiFL and FedAT.
    BySpeed,
}

/// The members below one server: `first`, `first + step`, …, or a list of members in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Below<'a> {
    first: u32,
    step: u32,
    count: u32,
    listed: Option<&'a [u32]>,
}

impl<'a> Below<'a> {
    /// All clients of a population.
    pub const fn all(population: u32) -> Self {
        Self {
            first: 0,
            step: 1,
            count: population,
            listed: None,
        }
    }

    /// How many members there are.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The member at a place, which must be less than [`Self::count`].
    pub fn member(self, place: u32) -> u32 {
        match self.listed {
            Some(listed) => listed.get(place as usize).copied().unwrap_or(0),
            None => self.first + place * self.step,
        }
    }

    /// The place of a member, if the member is below the server.
    pub fn place(self, member: u32) -> Option<u32> {
        if let Some(listed) = self.listed {
            return listed.binary_search(&member).ok().map(|place| place as u32);
        }
        let after = member.checked_sub(self.first)?;
        let place = after / self.step;
        (after.is_multiple_of(self.step) && place < self.count).then_some(place)
    }

    /// The places of the members that are in a range of numbers.
    pub fn within(self, range: &Range<u32>) -> Range<u32> {
        if let Some(listed) = self.listed {
            let place = |member| listed.partition_point(|&other| other < member) as u32;
            return place(range.start)..place(range.end);
        }
        let place = |member: u32| {
            let after = member.saturating_sub(self.first);
            after.div_ceil(self.step).min(self.count)
        };
        place(range.start)..place(range.end)
    }

    /// All members, in ascending order.
    pub fn members(self) -> impl Iterator<Item = u32> + use<'a> {
        (0..self.count).map(move |place| self.member(place))
    }
}

/// Where an edge server stands: its tier, and its number in the tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of the tier, from 0 for the tier nearest to the top.
    pub tier: usize,
    /// The number of the server in its tier, from 0.
    pub index: u32,
}

/// The tiers of edge servers, and the population at the bottom.
#[derive(Debug, Clone, Copy)]
pub struct Hierarchy<'a> {
    /// The tiers from the top down; empty where the clients answer to the server at the top.
    pub tiers: &'a [Tier],
    /// How many clients there are.
    pub population: u32,
    /// The clients by speed, cut among the servers of the last tier; empty unless that tier assigns clients
    /// by speed.
    pub by_speed: &'a [u32],
}

/// The clients in the order of how long a round is expected to take each of them (`time`, then number),
/// cut among `servers`. The clients of each server are then sorted by number, so that a search finds them
/// quickly.
pub(super) fn sorted(population: u32, servers: u32, time: impl Fn(u32) -> Span) -> Vec<u32> {
    let mut order: Vec<(Span, u32)> = (0..population)
        .map(|client| (time(client), client))
        .collect();
    order.sort_unstable();
    let mut order: Vec<u32> = order.into_iter().map(|(_, client)| client).collect();
    for index in 0..servers {
        let share = share(population, servers, index);
        if let Some(own) = order.get_mut(share.start as usize..share.end as usize) {
            own.sort_unstable();
        }
    }
    order
}

impl<'a> Hierarchy<'a> {
    /// How many edge servers there are.
    pub fn servers(self) -> u32 {
        self.tiers.iter().map(|tier| tier.count).sum()
    }

    /// The numbers that the servers of a tier have as members.
    pub fn members_of(self, tier: usize) -> Range<u32> {
        let before: u32 = self.tiers.iter().take(tier).map(|tier| tier.count).sum();
        let first = self.population + before;
        first..first + self.tiers.get(tier).map_or(0, |tier| tier.count)
    }

    /// Where a member stands; `None` for a client.
    pub fn place(self, member: u32) -> Option<Place> {
        (0..self.tiers.len()).find_map(|tier| {
            let members = self.members_of(tier);
            let index = member.checked_sub(members.start)?;
            members.contains(&member).then_some(Place { tier, index })
        })
    }

    /// The members that answer to the server at the top.
    pub fn below_top(self) -> Below<'a> {
        if self.tiers.is_empty() {
            return Below::all(self.population);
        }
        let members = self.members_of(0);
        Below {
            first: members.start,
            step: 1,
            count: members.end - members.start,
            listed: None,
        }
    }

    /// The members that answer to an edge server.
    pub fn below(self, place: Place) -> Below<'a> {
        let lower = match place.tier + 1 < self.tiers.len() {
            true => self.members_of(place.tier + 1),
            false => 0..self.population,
        };
        let Some(tier) = self.tiers.get(place.tier) else {
            return Below::all(0);
        };
        let all = lower.end - lower.start;
        let share = share(all, tier.count, place.index);
        let (first, step) = match tier.assign {
            Assign::Blocks | Assign::BySpeed => (share.start, 1),
            Assign::Interleaved => (place.index, tier.count.max(1)),
        };
        Below {
            first: lower.start + first,
            step,
            count: tier.part(all, place.index),
            listed: match tier.assign {
                Assign::BySpeed => self.by_speed.get(share.start as usize..share.end as usize),
                Assign::Blocks | Assign::Interleaved => None,
            },
        }
    }

    /// How many reports a round of an edge server wants: one of each member or, where its members are
    /// clients, its part of the schedule's cohort.
    pub fn wanted(self, place: Place, cohort: Cohort) -> u32 {
        let below = self.below(place).count();
        if place.tier + 1 < self.tiers.len() {
            return below;
        }
        match cohort {
            Cohort::Ratio(_) => cohort.of(below).min(below),
            Cohort::Count(all) => {
                let tier = self.tiers.get(place.tier);
                let part = tier.map_or(all, |tier| tier.part(all, place.index));
                part.max(1).min(below)
            }
        }
    }
}

/// The part of `count` that falls to one of `among` servers, in order. No two parts differ by more than
/// one.
fn share(count: u32, among: u32, index: u32) -> Range<u32> {
    let upto = |index: u32| {
        let (count, among, index) = (u64::from(count), u64::from(among.max(1)), u64::from(index));
        // At most `count`, which is 32 bits.
        (count * index / among) as u32
    };
    upto(index)..upto(index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::{Bytes, Power, Probability, Speed};
    use proptest::prelude::*;

    fn tier(count: u32, assign: Assign) -> Tier {
        Tier {
            name: "edge".into(),
            count,
            device: VirtualDevice {
                speed: Speed::ONE,
                memory: Bytes(u64::MAX),
                startup: Span::ZERO,
                power: Power::ZERO,
            },
            rounds: 1,
            deadline: None,
            assign,
        }
    }

    #[test]
    fn servers_are_numbered_on_after_the_clients() {
        let tiers = [tier(2, Assign::Blocks), tier(4, Assign::Interleaved)];
        let all = Hierarchy {
            tiers: &tiers,
            population: 10,
            by_speed: &[],
        };
        assert_eq!(all.servers(), 6);
        assert_eq!(all.below_top().members().collect::<Vec<_>>(), [10, 11]);
        let at = |tier, index| Place { tier, index };
        assert_eq!(all.place(9), None);
        assert_eq!(all.place(11), Some(at(0, 1)));
        assert_eq!(all.place(12), Some(at(1, 0)));
        assert_eq!(all.place(16), None);
        let below = |tier, index| all.below(at(tier, index)).members().collect::<Vec<_>>();
        assert_eq!(below(0, 0), [12, 13]);
        assert_eq!(below(0, 1), [14, 15]);
        assert_eq!(below(1, 0), [0, 4, 8]);
        assert_eq!(below(1, 3), [3, 7]);
    }

    #[test]
    fn a_cohort_is_shared_out_among_the_servers_that_clients_answer_to() {
        let tiers = [tier(2, Assign::Blocks), tier(3, Assign::Blocks)];
        let all = Hierarchy {
            tiers: &tiers,
            population: 12,
            by_speed: &[],
        };
        let wanted = |tier, index, cohort| all.wanted(Place { tier, index }, cohort);
        let each = [0, 1, 2].map(|index| wanted(1, index, Cohort::Count(7)));
        assert_eq!(each.iter().sum::<u32>(), 7);
        assert!(each.iter().all(|&n| n == 2 || n == 3), "{each:?}");
        let half = Cohort::Ratio(Probability::new(0.5).unwrap());
        assert_eq!(wanted(1, 0, half), 2);
        assert_eq!(wanted(0, 0, half), 1, "all of the servers below it");
        assert_eq!(wanted(1, 0, Cohort::Count(1)), 1, "nobody idles");
    }

    #[test]
    fn by_speed_no_client_of_a_server_is_slower_than_one_of_the_next() {
        let time = |client: u32| Span::from_nanos(u64::from(client * 37 % 11));
        let by_speed = sorted(20, 3, time);
        let tiers = [tier(3, Assign::BySpeed)];
        let all = Hierarchy {
            tiers: &tiers,
            population: 20,
            by_speed: &by_speed,
        };
        let times = |index| {
            let below = all.below(Place { tier: 0, index });
            below.members().map(time).collect::<Vec<_>>()
        };
        for index in 0..2 {
            assert!(times(index).iter().max() <= times(index + 1).iter().min());
        }
    }

    proptest! {
        #[test]
        fn every_client_answers_to_one_server(
            population in 1u32..200, upper in 1u32..6, lower in 1u32..12, rule in 0usize..3,
        ) {
            let assign = [Assign::Blocks, Assign::Interleaved, Assign::BySpeed][rule];
            let above = if rule == 2 { Assign::Blocks } else { assign };
            let tiers = [tier(upper, above), tier(lower, assign)];
            let by_speed = sorted(population, lower, |client| Span::from_nanos(u64::from(client * 7 % 13)));
            let all = Hierarchy { tiers: &tiers, population, by_speed: &by_speed };
            let mut seen = vec![0; (population + upper + lower) as usize];
            for member in all.below_top().members() {
                seen[member as usize] += 1;
            }
            for (at, tier) in tiers.iter().enumerate() {
                let mut sizes = Vec::new();
                for index in 0..tier.count {
                    let below = all.below(Place { tier: at, index });
                    sizes.push(below.count());
                    for (place, member) in (0u32..).zip(below.members()) {
                        seen[member as usize] += 1;
                        prop_assert_eq!(below.place(member), Some(place));
                    }
                    for range in [0..population / 2, population / 2..population, 3..7] {
                        let places = below.within(&range);
                        let expected = below.members().filter(|m| range.contains(m)).count();
                        prop_assert_eq!(places.len(), expected);
                        prop_assert!(places.clone().all(|p| range.contains(&below.member(p))));
                    }
                }
                let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                prop_assert!(most - least <= 1, "{:?}", sizes);
            }
            prop_assert!(seen.iter().all(|&n| n == 1), "{:?}", seen);
        }
    }
}
