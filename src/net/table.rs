//! Which node has which link.

use super::link::LinkModel;
use crate::quantity::{Bandwidth, Span};
use crate::sim::NodeId;
use thiserror::Error;

/// Why links do not make a network.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NetError {
    /// A link that cannot be used.
    #[error("link of {}: {}", range(*.first, *.count), .problems.join("; "))]
    Link {
        /// The first node that would have it.
        first: u32,
        /// How many would.
        count: u32,
        /// All that is wrong with it.
        problems: Vec<String>,
    },
    /// Rates of single nodes that are not one a node.
    #[error("link of {}: {found} {side} rates for {count} nodes: give one a node, or none", range(*.first, *.count))]
    Rates {
        /// The first node of the group.
        first: u32,
        /// How many nodes there are.
        count: u32,
        /// "up" or "down".
        side: &'static str,
        /// How many rates there are.
        found: usize,
    },
    /// More nodes than can be numbered.
    #[error("{first} + {count} nodes have links; at most 4294967295 can")]
    TooMany {
        /// Nodes that have links already.
        first: u32,
        /// Nodes that were to get one.
        count: u32,
    },
    /// No node has a link.
    #[error("a network needs links: give at least one node a link")]
    Empty,
    /// The centre of a star that is not there.
    #[error("the centre of the star, {centre}, has no link: only nodes 0 to {} do", .nodes - 1)]
    NoCentre {
        /// The centre.
        centre: NodeId,
        /// How many nodes have links.
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

/// Rates that differ from node to node within a group; an empty side has the model's rate.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rates {
    /// From each node of the group, in order.
    pub up: Vec<Bandwidth>,
    /// To each node of the group, in order.
    pub down: Vec<Bandwidth>,
}

/// Nodes in a row with the same link model.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub model: LinkModel,
    /// The latency, if it never varies.
    pub fixed: Option<Span>,
    /// The median latency.
    pub median: Span,
    pub first: u32,
    pub count: u32,
    rates: Rates,
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
        self.rate(&self.rates.up, node, self.model.up)
    }

    pub fn down(&self, node: NodeId) -> Option<Bandwidth> {
        self.rate(&self.rates.down, node, self.model.down)
    }
}

/// The links of a population, group by group from node 0 on.
///
/// A group takes the memory of one model however many nodes it has, plus 8 bytes a node and side
/// where [`Rates`] are given. Finding a node's link takes the same time for any number of nodes; it
/// grows with the logarithm of the number of groups.
#[derive(Debug, Clone, Default)]
pub struct LinkTable {
    /// The node after each group's last.
    ends: Vec<u32>,
    groups: Vec<Group>,
}

impl LinkTable {
    /// A table without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the next `count` nodes the link `model`. No nodes, no group.
    ///
    /// # Errors
    /// [`NetError`] with everything that is wrong with the model.
    pub fn push(&mut self, count: u32, model: LinkModel) -> Result<(), NetError> {
        self.push_with(count, model, Rates::default())
    }

    /// Gives the next `count` nodes the link `model`, and each rates of its own.
    ///
    /// # Errors
    /// [`NetError`] with everything that is wrong with the model, or rates that are not one a node.
    pub fn push_with(
        &mut self,
        count: u32,
        model: LinkModel,
        rates: Rates,
    ) -> Result<(), NetError> {
        let first = self.nodes();
        let end = first
            .checked_add(count)
            .ok_or(NetError::TooMany { first, count })?;
        let problems = model.problems();
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
        if count > 0 {
            self.ends.push(end);
            self.groups.push(Group {
                fixed: model.latency.fixed(),
                median: model.latency.median(),
                model,
                first,
                count,
                rates,
            });
        }
        Ok(())
    }

    /// How many nodes have links.
    pub fn nodes(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group of a node; of a node beyond the table, the last one. None only if there is none.
    pub(super) fn group(&self, node: NodeId) -> Option<&Group> {
        let place = self.ends.partition_point(|end| *end <= node.0);
        self.groups.get(place).or(self.groups.last())
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
        assert_eq!(table.groups()[0].fixed, None);
    }
}
