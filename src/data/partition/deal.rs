//! The rules by which samples are distributed.

use super::csr::Partition;
use super::gamma::dirichlet;
use super::PartitionError;
use crate::data::dataset::Labelled;
use crate::sim::rng::{shuffle, stream, Purpose, Stream};

/// The counters of the streams of [`Purpose::Partition`] at node 0. The repair has a counter of its
/// own.
const ORDER: u64 = 0;
const CLIENTS: u64 = 1;
/// The number of the class is added to this counter.
const CLASS: u64 = 1 << 32;

/// The owner of a sample that no client gets.
const NOBODY: u32 = u32::MAX;

/// Samples that are about to be distributed.
pub(super) struct Deal<'a> {
    pub data: &'a Labelled<'a>,
    pub clients: usize,
    pub seed: u64,
}

/// `total · part / parts`, rounded down.
fn cut(total: usize, part: usize, parts: usize) -> usize {
    (total as u128 * part as u128 / parts.max(1) as u128) as usize
}

/// Gives consecutive pieces of `samples` to clients 0, 1, ... in proportion to `shares`; each piece is
/// within one sample of its exact size.
fn give(samples: &[u32], shares: &[f64], mut to: impl FnMut(u32, usize)) {
    let total: f64 = shares.iter().sum();
    let (mut sum, mut start) = (0.0, 0);
    for (client, share) in shares.iter().enumerate() {
        sum += share;
        let end = if client + 1 == shares.len() {
            samples.len()
        } else {
            let due = libm::round(sum / total * samples.len() as f64) as usize;
            due.clamp(start, samples.len())
        };
        samples[start..end]
            .iter()
            .for_each(|sample| to(*sample, client));
        start = end;
    }
}

impl Deal<'_> {
    fn stream(&self, counter: u64) -> Stream {
        stream(self.seed, 0, Purpose::Partition, counter)
    }

    fn all(&self) -> Vec<u32> {
        (0..self.data.len() as u32).collect()
    }

    fn shuffled(&self) -> Vec<u32> {
        let mut order = self.all();
        shuffle(&mut self.stream(ORDER), &mut order);
        order
    }

    /// Samples by class, each class in order, and where each begins.
    fn by_class(&self) -> Partition {
        let top = self
            .data
            .labels
            .iter()
            .max()
            .map_or(0, |label| *label as usize + 1);
        let label = |i: u32| self.data.labels[i as usize];
        Partition::from_owners(label, &self.all(), top)
    }

    fn collect(&self, owners: &[u32]) -> Partition {
        Partition::from_owners(|i| owners[i as usize], &self.all(), self.clients)
    }

    pub fn iid(&self, samples_per_client: Option<usize>) -> Partition {
        let order = self.shuffled();
        let part = |client: usize| match samples_per_client {
            Some(each) => client * each..(client + 1) * each,
            None => {
                let end = |client| cut(order.len(), client, self.clients);
                end(client)..end(client + 1)
            }
        };
        Partition::gather((0..self.clients).map(|client| [&order[part(client)]])).sorted()
    }

    pub fn shared(&self, per_client: usize, by_label: bool) -> Partition {
        let mut order = self.shuffled();
        if by_label {
            order.sort_by_key(|&sample| self.data.labels[sample as usize]);
        }
        Partition::shared(order, self.clients, per_client, self.seed)
    }

    /// The shares of a power law, given to the clients at random; the largest share is 1.
    fn power_law(&self, exponent: f64) -> Vec<f64> {
        let mut shares: Vec<f64> = (1..=self.clients)
            .map(|rank| libm::pow(rank as f64, -exponent))
            .collect();
        shuffle(&mut self.stream(CLIENTS), &mut shares);
        shares
    }

    pub fn quantity(&self, exponent: f64, minimum: usize) -> Partition {
        let order = self.shuffled();
        let mut owners = vec![0; order.len()];
        let (first, rest) = order.split_at(minimum * self.clients);
        for (at, &sample) in first.iter().enumerate() {
            owners[sample as usize] = (at % self.clients) as u32;
        }
        give(rest, &self.power_law(exponent), |sample, client| {
            owners[sample as usize] = client as u32;
        });
        self.collect(&owners)
    }

    pub fn dirichlet(&self, alpha: f64, exponent: f64) -> Partition {
        let mut concentrations = self.power_law(exponent);
        // The concentrations are scaled so that their mean is alpha.
        let mean = concentrations.iter().sum::<f64>() / self.clients as f64;
        concentrations
            .iter_mut()
            .for_each(|c| *c = alpha * (*c / mean));
        let mut owners = vec![0; self.data.len()];
        let classes = self.by_class();
        let mut shares = Vec::new();
        for class in 0..classes.clients() {
            let mut samples = classes.client(class).to_vec();
            if samples.is_empty() {
                continue;
            }
            let mut rng = self.stream(CLASS + class as u64);
            shuffle(&mut rng, &mut samples);
            shares.clone_from(&concentrations);
            dirichlet(&mut rng, &mut shares);
            give(&samples, &shares, |sample, client| {
                owners[sample as usize] = client as u32
            });
        }
        self.collect(&owners)
    }

    pub fn shards(&self, per_client: usize) -> Result<Partition, PartitionError> {
        let samples = self.data.len();
        let shards = self.parts("shards", per_client)?;
        let sorted = self.by_class();
        let mut dealt: Vec<u32> = (0..shards as u32).collect();
        shuffle(&mut self.stream(CLIENTS), &mut dealt);
        let mut owners = vec![0; samples];
        for (at, &shard) in dealt.iter().enumerate() {
            let (start, end) = (
                cut(samples, shard as usize, shards),
                cut(samples, shard as usize + 1, shards),
            );
            for sample in &sorted.indices()[start..end] {
                owners[*sample as usize] = (at / per_client) as u32;
            }
        }
        Ok(self.collect(&owners))
    }

    /// The number of shards, or of shares of classes, in all; it must not be larger than the number of
    /// samples.
    fn parts(&self, what: &'static str, per_client: usize) -> Result<usize, PartitionError> {
        match self.clients.checked_mul(per_client) {
            Some(parts) if parts <= self.data.len() => Ok(parts),
            _ => Err(PartitionError::TooManyParts {
                what,
                samples: self.data.len(),
                clients: self.clients,
                per_client,
            }),
        }
    }

    pub fn labels(&self, per_client: usize) -> Result<Partition, PartitionError> {
        let samples = self.by_class();
        let mut classes: Vec<u32> = (0..samples.clients() as u32).collect();
        classes.retain(|class| !samples.client(*class as usize).is_empty());
        let parts = self.parts("classes", per_client)?;
        if per_client > classes.len() || parts < classes.len() {
            return Err(PartitionError::Classes {
                classes: classes.len(),
                clients: self.clients,
                per_client,
            });
        }
        let dealt = self.deal_classes(classes, per_client, samples.clients());
        // The clients that have a class: positions in `dealt`, by class.
        let places: Vec<u32> = (0..dealt.len() as u32).collect();
        let holders =
            Partition::from_owners(|place| dealt[place as usize], &places, samples.clients());
        let mut owners = vec![NOBODY; self.data.len()];
        for class in 0..samples.clients() {
            let mut samples = samples.client(class).to_vec();
            shuffle(&mut self.stream(CLASS + class as u64), &mut samples);
            let holders = holders.client(class);
            for (at, place) in holders.iter().enumerate() {
                let part = cut(samples.len(), at, holders.len())
                    ..cut(samples.len(), at + 1, holders.len());
                for sample in &samples[part] {
                    owners[*sample as usize] = *place / per_client as u32;
                }
            }
        }
        Ok(self.collect(&owners))
    }

    /// Draws `per_client` different classes for each client, one client after the other, from freshly
    /// shuffled decks of all classes. A class that the client already has from the deck before is put
    /// back further down.
    fn deal_classes(&self, classes: Vec<u32>, per_client: usize, top: usize) -> Vec<u32> {
        let mut rng = self.stream(CLIENTS);
        let mut deck = classes;
        let mut next = deck.len();
        let mut had_by = vec![NOBODY; top];
        let mut dealt = Vec::with_capacity(self.clients * per_client);
        for client in 0..self.clients as u32 {
            for _ in 0..per_client {
                if next == deck.len() {
                    shuffle(&mut rng, &mut deck);
                    next = 0;
                }
                // A deck has every class, and the client lacks at least one, so a class that it lacks
                // is further down.
                let fresh = (next..deck.len()).find(|at| had_by[deck[*at] as usize] != client);
                deck.swap(next, fresh.unwrap_or(next));
                had_by[deck[next] as usize] = client;
                dealt.push(deck[next]);
                next += 1;
            }
        }
        dealt
    }

    pub fn natural(&self, minimum: usize) -> Result<Partition, PartitionError> {
        let Some(users) = &self.data.users else {
            return Err(PartitionError::NoUsers(self.data.name.to_string()));
        };
        let mut present = users.to_vec();
        present.sort_unstable();
        present.dedup();
        let count = present.len();
        if self.clients > count {
            return Err(PartitionError::TooFewUsers {
                users: count,
                clients: self.clients,
            });
        }
        if self.clients < count {
            shuffle(&mut self.stream(CLIENTS), &mut present);
        }
        let mut places: Vec<(u32, u32)> = present
            .iter()
            .enumerate()
            .map(|(place, user)| (*user, (place * self.clients / count) as u32))
            .collect();
        places.sort_unstable();
        let owners: Vec<u32> = users
            .iter()
            .map(
                |user| match places.binary_search_by_key(user, |(user, _)| *user) {
                    Ok(at) => places[at].1,
                    Err(_) => NOBODY,
                },
            )
            .collect();
        let partition = self.collect(&owners);
        let small = partition
            .sizes()
            .enumerate()
            .find(|(_, size)| *size < minimum);
        match small {
            None => Ok(partition),
            Some((client, found)) => Err(PartitionError::SmallUser {
                client,
                found,
                minimum,
            }),
        }
    }
}
