//! The outcome of a partition: one row of sample indices and where each client's begin.

use crate::quantity::Probability;
use crate::sim::rng::{below, stream, Purpose};

/// Samples of each client, in compressed sparse rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    indices: Vec<u32>,
    /// One more than there are clients; the first is 0, the last the length of `indices`.
    offsets: Vec<usize>,
}

impl Partition {
    /// From the owner of each sample, in the order of `order`. Samples whose owner is not below
    /// `clients` are dropped.
    pub(super) fn from_owners(owner: impl Fn(u32) -> u32, order: &[u32], clients: usize) -> Self {
        let mut offsets = vec![0usize; clients + 1];
        let mut count = |i: &u32| {
            if let Some(slot) = offsets.get_mut(owner(*i) as usize + 1) {
                *slot += 1;
            }
        };
        order.iter().for_each(&mut count);
        for client in 0..clients {
            offsets[client + 1] += offsets[client];
        }
        let mut next = offsets.clone();
        let mut indices = vec![0; offsets[clients]];
        for &i in order {
            let client = owner(i) as usize;
            if client < clients {
                indices[next[client]] = i;
                next[client] += 1;
            }
        }
        Self { indices, offsets }
    }

    /// The same deal of other samples: `names[i]` in place of sample i, in the same order.
    pub(super) fn renumbered(mut self, names: &[u32]) -> Self {
        for index in &mut self.indices {
            *index = names[*index as usize];
        }
        self
    }

    /// Sorts each client's samples.
    pub(super) fn sorted(mut self) -> Self {
        for client in 0..self.clients() {
            let (start, end) = (self.offsets[client], self.offsets[client + 1]);
            self.indices[start..end].sort_unstable();
        }
        self
    }

    /// One client after another, each with the pieces that it has.
    pub(super) fn gather<'a, const N: usize>(
        clients: impl Iterator<Item = [&'a [u32]; N]>,
    ) -> Self {
        let (mut indices, mut offsets) = (Vec::new(), vec![0]);
        for pieces in clients {
            pieces
                .iter()
                .for_each(|piece| indices.extend_from_slice(piece));
            offsets.push(indices.len());
        }
        Self { indices, offsets }
    }

    /// Number of clients.
    pub fn clients(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of samples dealt, over all clients.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether no sample was dealt.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The samples of client `client`, ascending; none for a client that does not exist.
    pub fn client(&self, client: usize) -> &[u32] {
        match (
            self.offsets.get(client),
            self.offsets.get(client.saturating_add(1)),
        ) {
            (Some(start), Some(end)) => self.indices.get(*start..*end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Number of samples of each client.
    pub fn sizes(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.offsets.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// All indices, client by client.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Where each client's indices begin, and after the last one where they end.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Splits each client's samples into some to train on and some held out: `fraction` of them to
    /// the nearest whole number, but never the last one. A client's draw depends on the seed, its
    /// number and its samples alone.
    pub fn holdout(&self, fraction: Probability, seed: u64) -> (Self, Self) {
        let empty = || Self {
            indices: Vec::new(),
            offsets: vec![0],
        };
        let (mut train, mut held) = (empty(), empty());
        for client in 0..self.clients() {
            let samples = self.client(client);
            let n = samples.len();
            let wanted = libm::round(fraction.get() * n as f64) as usize;
            let mut left = wanted.min(n.saturating_sub(1));
            let mut rng = stream(seed, client as u64, Purpose::Holdout, 0);
            // Selection sampling (Knuth, TAOCP 3.4.2, algorithm S) keeps the order.
            for (at, &sample) in samples.iter().enumerate() {
                if below(&mut rng, (n - at) as u64) < left as u64 {
                    held.indices.push(sample);
                    left -= 1;
                } else {
                    train.indices.push(sample);
                }
            }
            train.offsets.push(train.indices.len());
            held.offsets.push(held.indices.len());
        }
        (train, held)
    }
}
