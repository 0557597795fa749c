//! Gathers jobs that run as one.
//!
//! When virtual time must wait, all pending jobs are handed out. Jobs that the world calls alike
//! ([`Stack`]) are gathered into units, in the order of their keys; a unit is what one worker takes.
//! The content of a unit follows from the pending jobs alone, not from the number of workers or from
//! which worker is free.

use super::event::Key;
use std::collections::BTreeMap;

/// How a job may run together with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stack {
    /// Jobs with equal keys are alike.
    pub key: u64,
    /// The largest number of jobs in a unit.
    pub width: usize,
    /// The number of units to make of jobs that are alike, if there are that many jobs, so that a few
    /// jobs do not all go to one worker.
    pub units: usize,
}

/// Jobs that one worker runs as one, each with the key of the moment at which it is due.
pub(crate) struct Unit<J> {
    pub dues: Vec<Key>,
    pub jobs: Vec<J>,
    /// How many worker threads ended while they ran this unit.
    pub lost: u32,
}

impl<J> Unit<J> {
    fn of(pairs: impl Iterator<Item = (Key, J)>) -> Self {
        let (dues, jobs) = pairs.unzip();
        Self {
            dues,
            jobs,
            lost: 0,
        }
    }

    /// Each job as a unit of its own.
    pub fn apart(self) -> impl Iterator<Item = Self> {
        let lost = self.lost;
        let pairs = self.dues.into_iter().zip(self.jobs);
        pairs.map(move |pair| Self {
            lost,
            ..Self::of(std::iter::once(pair))
        })
    }
}

/// Gathers jobs into units and sorts the units by when they are due, earliest first.
pub(crate) fn gather<J>(
    waiting: BTreeMap<Key, J>,
    stack: impl Fn(&J) -> Option<Stack>,
) -> Vec<Unit<J>> {
    let mut units = Vec::new();
    let mut alike: BTreeMap<u64, (Stack, Vec<(Key, J)>)> = BTreeMap::new();
    for (due, job) in waiting {
        match stack(&job) {
            Some(stack) => {
                let group = alike.entry(stack.key);
                group.or_insert((stack, Vec::new())).1.push((due, job));
            }
            None => units.push(Unit::of(std::iter::once((due, job)))),
        }
    }
    for (stack, jobs) in alike.into_values() {
        let count = jobs.len();
        let pieces = count
            .div_ceil(stack.width.max(1))
            .max(stack.units.min(count));
        let mut jobs = jobs.into_iter();
        for piece in 0..pieces {
            // All pieces have one size, or sizes that differ by one.
            let size = count * (piece + 1) / pieces - count * piece / pieces;
            units.push(Unit::of(jobs.by_ref().take(size)));
        }
    }
    units.sort_by_key(|unit| unit.dues.first().copied());
    units
}

#[cfg(test)]
mod tests {
    use super::super::event::NodeId;
    use super::*;
    use crate::quantity::VirtualTime;

    fn due(time: u64, node: u32) -> Key {
        Key {
            time: VirtualTime::from_nanos(time),
            source: NodeId(node),
            sequence: 0,
        }
    }

    fn gathered(jobs: &[(u64, u32, u64)], width: usize, units: usize) -> Vec<Vec<u32>> {
        let waiting = jobs.iter().map(|&(t, node, key)| (due(t, node), key));
        let stack = |key: &u64| {
            (*key > 0).then_some(Stack {
                key: *key,
                width,
                units,
            })
        };
        let units = gather(waiting.collect(), stack);
        let nodes = |unit: Unit<u64>| unit.dues.iter().map(|due| due.source.0).collect();
        units.into_iter().map(nodes).collect()
    }

    #[test]
    fn jobs_that_are_alike_run_together_in_the_order_of_their_keys() {
        // Nodes 1, 3 and 5 are alike, nodes 2 and 6 are alike, and node 4 is like no other.
        let jobs = [
            (9, 1, 7),
            (2, 2, 8),
            (2, 3, 7),
            (5, 4, 0),
            (3, 5, 7),
            (4, 6, 8),
        ];
        assert_eq!(gathered(&jobs, 10, 1), [vec![2, 6], vec![3, 5, 1], vec![4]]);
    }

    #[test]
    fn a_unit_is_no_wider_than_allowed_and_none_is_much_smaller_than_another() {
        let jobs: Vec<_> = (0..11).map(|node| (1, node, 1)).collect();
        let sizes = |width, units| {
            let found = gathered(&jobs, width, units);
            assert_eq!(found.concat(), (0..11).collect::<Vec<_>>());
            found.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(5, 1), [3, 4, 4]);
        assert_eq!(sizes(100, 1), [11]);
        assert_eq!(sizes(100, 4), [2, 3, 3, 3]);
        assert_eq!(sizes(1, 4), [1; 11]);
        assert_eq!(sizes(100, 20), [1; 11], "no unit without a job");
    }
}
