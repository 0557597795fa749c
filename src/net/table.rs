//! The table of which node has which link.

use super::link::LinkModel;
use crate::quantity::{Bandwidth, Span};
use crate::sim::NodeId;
use std::sync::Arc;
use thiserror::Error;

/// Why links do not make a network.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum NetError {
    /// A link model that cannot be used.
    #[error("link of {}: {}", range(*.first, *.count), .problems.join("; "))]
    Link {
        /// The first node that would have the link.
        first: u32,
        /// The number of nodes that would have it.
        count: u32,
        /// Everything that is wrong with the model.
        problems: Vec<String>,
    },
    /// The number of rates is not the number of nodes.
    #[error("link of {}: {found} {side} rates for {count} nodes: give one a node, or none", range(*.first, *.count))]
    Rates {
        /// The first node of the group.
        first: u32,
        /// The number of nodes.
        count: u32,
        /// The side of the links that the rates are for, "up" or "down".
        side: &'static str,
        /// The number of rates.
        found: usize,
    },
    /// A node is given a tier that does not exist.
    #[error("link of {}: a node is of tier {found}, and there are {tiers}, counted from 0", range(*.first, *.count))]
    Tier {
        /// The first node of the group.
        first: u32,
        /// The number of nodes.
        count: u32,
        /// The number of tiers.
        tiers: usize,
        /// The tier that does not exist.
        found: u8,
    },
    /// More nodes than can be numbered with 32 bits.
    #[error("{first} + {count} nodes have links; at most 4294967295 can")]
    TooMany {
        /// The number of nodes that have links already.
        first: u32,
        /// The number of nodes that were to be added.
        count: u32,
    },
    /// No node has a link.
    #[error("a network needs links: give at least one node a link")]
    Empty,
    /// The centre of a star has no link.
    #[error("the centre of the star, {centre}, has no link: only nodes 0 to {} do", .nodes - 1)]
    NoCentre {
        /// The node that was to be the centre.
        centre: NodeId,
        /// The number of nodes that have links.
        nodes: u32,
    },
}

fn range(first: u32, count: u32) -> String {
    match count {
        1 => format!("node {first}"),
        _ => format!(
            "nodes {first} to {}",
            first.saturating_add(count).saturating_sub(1)
        ),
    }
}

/// Rates that differ from node to node within a group; an empty list means the model's rate for all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rates {
    /// The rate from each node of the group, in order.
    pub up: Vec<Bandwidth>,
    /// The rate to each node of the group, in order.
    pub down: Vec<Bandwidth>,
}

/// One rate for each node; empty where all have the model's rate.
type OwnRates = Arc<[Bandwidth]>;

/// A link model that some nodes of a group have.
#[derive(Debug, Clone)]
pub struct LinkTier {
    /// The model that these nodes share.
    pub model: LinkModel,
    /// Whether nodes of this tier have their own rate up, and their own rate down, from the group's
    /// [`Rates`]; otherwise they have the model's.
    pub own: [bool; 2],
}

/// Consecutive nodes with one link model, or with one of a few (tiers).
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub model: LinkModel,
    /// The latency, if it never varies.
    pub fixed: Option<Span>,
    /// The median latency of these nodes' links.
    pub median: Span,
    /// Whether anything crosses links in addition to messages and their headers.
    pub beside: bool,
    pub first: u32,
    pub count: u32,
    up: OwnRates,
    down: OwnRates,
    /// The tiers, where nodes have one of several links; the other fields then describe none of them.
    tiers: Option<Box<Tiers>>,
}

#[derive(Debug, Clone)]
struct Tiers {
    /// The tier of each node.
    of: Vec<u8>,
    /// The groups by tier; each covers all nodes from the group's first on.
    groups: Vec<Group>,
}

/// The least latency of a number of nodes, from which the lookahead follows.
pub(super) struct Bound {
    pub latency: Span,
    pub count: u32,
    first: u32,
    /// Whether the nodes are not consecutive.
    scattered: bool,
}

impl Bound {
    /// Whether the group begins in this range of nodes, and has nodes at all.
    pub fn begins_in(&self, nodes: &std::ops::Range<u32>) -> bool {
        self.count > 0 && nodes.contains(&self.first)
    }

    /// Whether a node is certain to be one of these nodes.
    pub fn holds(&self, node: NodeId) -> bool {
        let row = self.first..self.first.saturating_add(self.count);
        !self.scattered && row.contains(&node.0)
    }
}

impl Group {
    fn rate(
        &self,
        own: &[Bandwidth],
        node: NodeId,
        shared: Option<Bandwidth>,
    ) -> Option<Bandwidth> {
        if own.is_empty() {
            return shared;
        }
        let place = node.0.wrapping_sub(self.first) as usize;
        own.get(place).copied().or(shared)
    }

    pub fn up(&self, node: NodeId) -> Option<Bandwidth> {
        self.rate(&self.up, node, self.model.up)
    }

    pub fn down(&self, node: NodeId) -> Option<Bandwidth> {
        self.rate(&self.down, node, self.model.down)
    }

    /// The tier of a node of this group, or the group itself where there are no tiers.
    fn tier(&self, node: NodeId) -> &Self {
        match &self.tiers {
            None => self,
            Some(tiers) => {
                let place = node.0.wrapping_sub(self.first) as usize;
                let tier = tiers.of.get(place).copied().unwrap_or_default();
                tiers.groups.get(usize::from(tier)).unwrap_or(self)
            }
        }
    }

    fn bound(&self, scattered: bool) -> Bound {
        Bound {
            latency: self.model.latency.bound(),
            count: self.count,
            first: self.first,
            scattered,
        }
    }
}

/// The links of a population, group by group from node 0 on.
///
/// A group takes the memory of one model however many nodes it has, plus 8 bytes a node and side where
/// [`Rates`] are given, and one byte a node where it has tiers. The time to find a node's link does not
/// depend on the number of nodes; it grows with the logarithm of the number of groups.
#[derive(Debug, Clone, Default)]
pub struct LinkTable {
    /// For each group, the number of the node after its last.
    ends: Vec<u32>,
    groups: Vec<Group>,
}

impl LinkTable {
    /// A table without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the next `count` nodes the link `model`. With a `count` of 0 no group is added.
    ///
    /// # Errors
    /// Returns a [`NetError`] with everything that is wrong with the model, or if there are too many
    /// nodes.
    pub fn push(&mut self, count: u32, model: LinkModel) -> Result<(), NetError> {
        self.push_with(count, model, Rates::default())
    }

    /// Gives the next `count` nodes the link `model`, and each node rates of its own.
    ///
    /// # Errors
    /// Returns a [`NetError`] with everything that is wrong with the model, or if the number of rates
    /// is not the number of nodes.
    pub fn push_with(
        &mut self,
        count: u32,
        model: LinkModel,
        rates: Rates,
    ) -> Result<(), NetError> {
        let [up, down] = self.checked(count, std::slice::from_ref(&model), rates)?;
        let first = self.nodes();
        self.add(Group {
            fixed: model.latency.fixed(),
            median: model.latency.median(),
            beside: model.acks || !model.connection.is_persistent(),
            model,
            first,
            count,
            up,
            down,
            tiers: None,
        });
        Ok(())
    }

    /// Gives the next nodes one of several links each: `of` holds the tier of each node. `rates` covers
    /// all these nodes; tiers that ask for own rates ([`LinkTier::own`]) use it.
    ///
    /// # Errors
    /// Returns a [`NetError`] as [`LinkTable::push_with`] does, or if a tier does not exist.
    pub fn push_tiers(
        &mut self,
        tiers: Vec<LinkTier>,
        of: Vec<u8>,
        rates: Rates,
    ) -> Result<(), NetError> {
        let first = self.nodes();
        let count = u32::try_from(of.len()).map_err(|_| NetError::TooMany {
            first,
            count: u32::MAX,
        })?;
        let models: Vec<LinkModel> = tiers.iter().map(|tier| tier.model.clone()).collect();
        let [up, down] = self.checked(count, &models, rates)?;
        let mut counts = vec![0u32; tiers.len()];
        for &tier in &of {
            match counts.get_mut(usize::from(tier)) {
                Some(count) => *count += 1,
                None => {
                    return Err(NetError::Tier {
                        first,
                        count,
                        tiers: tiers.len(),
                        found: tier,
                    })
                }
            }
        }
        let side = |own: bool, rates: &OwnRates| match own {
            true => Arc::clone(rates),
            false => Arc::default(),
        };
        let groups: Vec<Group> = tiers
            .into_iter()
            .zip(counts)
            .map(|(tier, count)| Group {
                fixed: tier.model.latency.fixed(),
                median: tier.model.latency.median(),
                beside: tier.model.acks || !tier.model.connection.is_persistent(),
                model: tier.model,
                first,
                count,
                up: side(tier.own[0], &up),
                down: side(tier.own[1], &down),
                tiers: None,
            })
            .collect();
        if let Some(any) = groups.first() {
            self.add(Group {
                count,
                tiers: Some(Box::new(Tiers {
                    of,
                    groups: groups.clone(),
                })),
                ..any.clone()
            });
        }
        Ok(())
    }

    /// Checks whether the next `count` nodes can have these links; returns their own rates.
    fn checked(
        &self,
        count: u32,
        models: &[LinkModel],
        rates: Rates,
    ) -> Result<[OwnRates; 2], NetError> {
        let first = self.nodes();
        if first.checked_add(count).is_none() {
            return Err(NetError::TooMany { first, count });
        }
        let problems: Vec<String> = models.iter().flat_map(LinkModel::problems).collect();
        if !problems.is_empty() {
            return Err(NetError::Link {
                first,
                count,
                problems,
            });
        }
        for (side, own) in [("up", &rates.up), ("down", &rates.down)] {
            if !own.is_empty() && own.len() != count as usize {
                return Err(NetError::Rates {
                    first,
                    count,
                    side,
                    found: own.len(),
                });
            }
        }
        Ok([rates.up.into(), rates.down.into()])
    }

    fn add(&mut self, group: Group) {
        if group.count > 0 {
            self.ends.push(group.first + group.count);
            self.groups.push(group);
        }
    }

    /// The number of nodes that have links.
    pub fn nodes(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The last group, which stands for nodes beyond the table; `None` if the table has no nodes.
    pub(super) fn last(&self) -> Option<&Group> {
        let last = self.groups.last()?;
        Some(last.tier(NodeId(last.first)))
    }

    /// The latency bounds of all nodes.
    pub(super) fn bounds(&self) -> impl Iterator<Item = Bound> + '_ {
        self.groups.iter().flat_map(|group| {
            let tiers = group.tiers.iter().flat_map(|tiers| &tiers.groups);
            let own = group.tiers.is_none().then(|| group.bound(false));
            own.into_iter().chain(tiers.map(|tier| tier.bound(true)))
        })
    }

    /// The group of a node; for a node beyond the table, the last group. `None` only if the table is
    /// empty.
    pub(super) fn group(&self, node: NodeId) -> Option<&Group> {
        let place = self.ends.partition_point(|end| *end <= node.0);
        let group = self.groups.get(place).or(self.groups.last())?;
        Some(group.tier(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::{Bytes, Distribution};

    fn rate(mbit: f64) -> Bandwidth {
        Bandwidth::bits_per_second(mbit * 1e6).unwrap()
    }

    #[test]
    fn each_node_finds_the_link_of_its_group() {
        let mut table = LinkTable::new();
        for (count, mbit) in [(1, 1.0), (0, 9.0), (3, 2.0), (2, 3.0)] {
            let mut link = LinkModel::ideal();
            link.up = Some(rate(mbit));
            table.push(count, link).unwrap();
        }
        let up = |node| table.group(NodeId(node)).unwrap().up(NodeId(node));
        let found: Vec<_> = (0..8).map(|node| up(node).unwrap().get() / 1e6).collect();
        assert_eq!(found, [1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0]);
        assert_eq!(table.nodes(), 6);
    }

    #[test]
    fn nodes_of_a_group_may_have_rates_of_their_own() {
        let mut table = LinkTable::new();
        let rates = Rates {
            up: vec![rate(1.0), rate(2.0)],
            down: vec![],
        };
        let mut link = LinkModel::ideal();
        link.down = Some(rate(7.0));
        table.push(3, link.clone()).unwrap();
        table.push_with(2, link.clone(), rates.clone()).unwrap();
        let group = table.group(NodeId(4)).unwrap();
        assert_eq!(group.up(NodeId(4)), Some(rate(2.0)));
        assert_eq!(group.down(NodeId(4)), Some(rate(7.0)));
        assert_eq!(
            table.push_with(3, link, rates).unwrap_err().to_string(),
            "link of nodes 5 to 7: 2 up rates for 3 nodes: give one a node, or none"
        );
    }

    #[test]
    fn nodes_of_a_group_may_have_one_of_several_links() {
        let link = |mbit: f64, millis: f64| {
            let mut link = LinkModel::new(
                crate::net::Latency::new(Distribution::Constant(millis / 1e3), None).unwrap(),
            );
            link.up = Some(rate(mbit));
            link
        };
        let tier = |mbit, millis, own| LinkTier {
            model: link(mbit, millis),
            own,
        };
        let tiers = vec![
            tier(1.0, 50.0, [false; 2]),
            tier(9.0, 5.0, [true, false]),
            tier(5.0, 1.0, [false; 2]),
        ];
        let rates = Rates {
            up: [10.0, 11.0, 12.0, 13.0].map(rate).to_vec(),
            down: vec![],
        };
        let mut table = LinkTable::new();
        table.push(1, link(100.0, 20.0)).unwrap();
        table
            .push_tiers(tiers.clone(), vec![1, 0, 0, 1], rates.clone())
            .unwrap();
        table.push(1, link(3.0, 7.0)).unwrap();
        let up = |node| table.group(NodeId(node)).unwrap().up(NodeId(node));
        let found: Vec<_> = (0..7).map(|node| up(node).unwrap().get() / 1e6).collect();
        assert_eq!(found, [100.0, 10.0, 1.0, 1.0, 13.0, 3.0, 3.0]);
        let bounds: Vec<(u64, u32)> = table
            .bounds()
            .map(|bound| (bound.latency.nanos() / 1_000_000, bound.count))
            .collect();
        // No node is of the third tier.
        assert_eq!(bounds, [(20, 1), (50, 2), (5, 2), (1, 0), (7, 1)]);
        assert_eq!(
            table
                .push_tiers(tiers.clone(), vec![0, 3], Rates::default())
                .unwrap_err()
                .to_string(),
            "link of nodes 6 to 7: a node is of tier 3, and there are 3, counted from 0"
        );
        let error = table.push_tiers(tiers, vec![0, 1], rates).unwrap_err();
        assert!(error.to_string().contains("4 up rates for 2 nodes"));
    }

    #[test]
    fn a_link_that_cannot_be_used_is_refused_with_all_its_problems() {
        let mut table = LinkTable::new();
        let mut link = LinkModel::ideal();
        link.mtu = Bytes(0);
        link.header = Bytes(1 << 40);
        let text = table.push(2, link).unwrap_err().to_string();
        assert!(text.starts_with("link of nodes 0 to 1: mtu 0 B"), "{text}");
        assert!(text.contains("; header 1099511627776"), "{text}");
        assert_eq!(table.nodes(), 0);
    }

    #[test]
    fn more_nodes_than_numbers_are_refused() {
        let mut table = LinkTable::new();
        table.push(u32::MAX, LinkModel::ideal()).unwrap();
        assert!(matches!(
            table.push(1, LinkModel::ideal()),
            Err(NetError::TooMany { .. })
        ));
    }

    #[test]
    fn a_varying_latency_is_not_fixed() {
        let mut table = LinkTable::new();
        let latency = crate::net::Latency::new(
            Distribution::Uniform {
                low: 0.001,
                high: 0.002,
            },
            None,
        );
        table.push(1, LinkModel::new(latency.unwrap())).unwrap();
        assert_eq!(table.group(NodeId(0)).unwrap().fixed, None);
    }
}
