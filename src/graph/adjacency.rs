//! A graph as the lists of neighbours of its nodes, one list after the other.

/// An undirected graph; the neighbours of each node are in ascending order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Adjacency {
    /// Where the list of each node begins, and where the last list ends.
    bounds: Vec<usize>,
    neighbours: Vec<u32>,
}

impl Adjacency {
    /// The graph of `nodes` nodes with these edges; an edge given twice counts once.
    pub fn of(nodes: u32, edges: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut lists = vec![Vec::new(); nodes as usize];
        for (a, b) in edges {
            for (from, to) in [(a, b), (b, a)] {
                if let Some(list) = lists.get_mut(from as usize) {
                    list.push(to);
                }
            }
        }
        Self::from_lists(lists)
    }

    /// The graph in which `lists` are the neighbours of each node.
    pub fn from_lists(lists: Vec<Vec<u32>>) -> Self {
        let mut graph = Self {
            bounds: vec![0],
            neighbours: Vec::new(),
        };
        for mut list in lists {
            list.sort_unstable();
            list.dedup();
            graph.neighbours.extend(list);
            graph.bounds.push(graph.neighbours.len());
        }
        graph
    }

    /// The neighbours of a node; empty for a node that does not exist.
    pub fn neighbours(&self, node: u32) -> &[u32] {
        let node = node as usize;
        let bounds = (self.bounds.get(node), self.bounds.get(node + 1));
        match bounds {
            (Some(&from), Some(&to)) => &self.neighbours[from..to],
            _ => &[],
        }
    }

    /// The number of entries of all lists: twice the number of edges.
    pub fn entries(&self) -> u64 {
        self.neighbours.len() as u64
    }

    /// Whether each node can be reached from each other node.
    pub fn is_connected(&self) -> bool {
        let nodes = self.bounds.len() - 1;
        if nodes == 0 {
            return true;
        }
        let (mut seen, mut left, mut stack) = (vec![false; nodes], nodes - 1, vec![0u32]);
        seen[0] = true;
        while let Some(node) = stack.pop() {
            for &next in self.neighbours(node) {
                if let Some(seen) = seen.get_mut(next as usize).filter(|seen| !**seen) {
                    *seen = true;
                    left -= 1;
                    stack.push(next);
                }
            }
        }
        left == 0
    }
}
