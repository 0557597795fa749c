//! The outcome of a partition: one array of sample indices, and where each client's samples begin in
//! it.

use super::rows::{Rows, Shared};
use crate::quantity::Probability;
use crate::sim::rng::{below, stream, Purpose};
use std::ops::Range;

/// The samples of each client, in compressed sparse rows or as ranges that clients share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    indices: Vec<u32>,
    rows: Rows,
}

impl Partition {
    /// The partition by the owner of each sample, in the order of `order`. Samples whose owner is not
    /// below `clients` are dropped.
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
        let rows = Rows::Offsets(offsets);
        Self { indices, rows }
    }

    /// A partition with `each` samples for each of `clients` clients: a range of `order`, continued at
    /// its start, from a position drawn for the client. `order` must have at least `each` entries.
    pub(super) fn shared(order: Vec<u32>, clients: usize, each: usize, seed: u64) -> Self {
        let places = order.len();
        let mut indices = order;
        // The start of the array is repeated behind its end, so that every range is one piece.
        indices.extend_from_within(..each.saturating_sub(1).min(places));
        let rows = Rows::Shared(Shared {
            clients,
            each,
            skipped: 0,
            places,
            seed,
        });
        Self { indices, rows }
    }

    /// This partition for other samples: `names[i]` in place of sample i, in the order that there is.
    pub(super) fn renumbered(mut self, names: &[u32]) -> Self {
        for index in &mut self.indices {
            *index = names[*index as usize];
        }
        self
    }

    /// Sorts the samples of each client.
    pub(super) fn sorted(mut self) -> Self {
        for client in 0..self.clients() {
            let range = self.rows.range(client);
            self.indices[range].sort_unstable();
        }
        self
    }

    /// Joins the pieces of each client, one client after the other.
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
        let rows = Rows::Offsets(offsets);
        Self { indices, rows }
    }

    /// The number of clients.
    pub fn clients(&self) -> usize {
        self.rows.clients()
    }

    /// The number of samples distributed, over all clients; a sample that clients share counts once.
    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::Offsets(_) => self.indices.len(),
            Rows::Shared(shared) => shared.places,
        }
    }

    /// Whether no sample was distributed.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Whether clients may have common samples.
    pub fn is_shared(&self) -> bool {
        matches!(self.rows, Rows::Shared(_))
    }

    /// The samples of client `client`, in ascending order unless samples are shared; empty for a client
    /// that does not exist.
    pub fn client(&self, client: usize) -> &[u32] {
        self.indices.get(self.range(client)).unwrap_or_default()
    }

    /// The range of a client's samples in [`Partition::indices`].
    pub fn range(&self, client: usize) -> Range<usize> {
        self.rows.range(client)
    }

    /// The number of samples of client `client`.
    pub fn size(&self, client: usize) -> usize {
        self.rows.size(client)
    }

    /// The number of samples of each client.
    pub fn sizes(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        (0..self.clients()).map(|client| self.size(client))
    }

    /// All indices, client by client. Where clients share samples, the first [`Partition::len`] indices
    /// are all of them, and some of the first are repeated after them.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Numbers that distinguish this partition from others of the same array.
    pub fn words(&self) -> Vec<u64> {
        match &self.rows {
            Rows::Offsets(offsets) => offsets.iter().map(|&offset| offset as u64).collect(),
            Rows::Shared(shared) => [shared.clients, shared.each, shared.skipped, shared.places]
                .map(|n| n as u64)
                .to_vec(),
        }
    }

    /// Splits each client's samples into those to train on and those held out: `fraction` of them to
    /// the nearest whole number, but at least one stays for training. A client's draw depends on the
    /// seed, its number and its samples alone. Of a shared range the end is held out, and other clients
    /// may train on it.
    pub fn holdout(&self, fraction: Probability, seed: u64) -> (Self, Self) {
        let wanted = |n: usize| {
            let wanted = libm::round(fraction.get() * n as f64) as usize;
            wanted.min(n.saturating_sub(1))
        };
        if let Rows::Shared(shared) = self.rows {
            let held = wanted(shared.each);
            let part = |each, skipped| Self {
                indices: match each {
                    0 => Vec::new(),
                    _ => self.indices.clone(),
                },
                rows: Rows::Shared(Shared {
                    each,
                    skipped: shared.skipped + skipped,
                    ..shared
                }),
            };
            let kept = shared.each - held;
            return (part(kept, 0), part(held, kept));
        }
        let (mut train, mut held) = (Vec::new(), Vec::new());
        let (mut train_offsets, mut held_offsets) = (vec![0], vec![0]);
        for client in 0..self.clients() {
            let samples = self.client(client);
            let n = samples.len();
            let mut left = wanted(n);
            let mut rng = stream(seed, client as u64, Purpose::Holdout, 0);
            // Selection sampling (Knuth, TAOCP 3.4.2, algorithm S) keeps the order.
            for (at, &sample) in samples.iter().enumerate() {
                if below(&mut rng, (n - at) as u64) < left as u64 {
                    held.push(sample);
                    left -= 1;
                } else {
                    train.push(sample);
                }
            }
            train_offsets.push(train.len());
            held_offsets.push(held.len());
        }
        let of = |indices, offsets| Self {
            indices,
            rows: Rows::Offsets(offsets),
        };
        (of(train, train_offsets), of(held, held_offsets))
    }
}
