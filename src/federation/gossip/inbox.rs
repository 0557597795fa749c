//! Models of neighbours that wait until the client is in their round.

use crate::method::Payload;
use crate::snapshot::snapshot_struct;
use std::collections::BTreeMap;

/// The models of neighbours, by round and client. A model that arrived and cannot be used leaves an empty
/// place, because the client does not wait for another.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    models: BTreeMap<(u32, u32), Option<Payload>>,
}

snapshot_struct!(Inbox { models });

impl Inbox {
    /// Takes in the model of a client. Of several models of one client for one round, the first counts.
    pub fn take_in(&mut self, round: u32, client: u32, model: Option<Payload>) {
        self.models.entry((round, client)).or_insert(model);
    }

    /// How many models of a round have arrived.
    pub fn count(&self, round: u32) -> usize {
        self.models.range((round, 0)..=(round, u32::MAX)).count()
    }

    /// Whether the model of a client for a round has arrived.
    pub fn has(&self, round: u32, client: u32) -> bool {
        self.models.contains_key(&(round, client))
    }

    /// Takes out the models of a round, by client.
    pub fn open(&mut self, round: u32) -> BTreeMap<u32, Payload> {
        self.turn(round);
        let later = self.models.split_off(&(round + 1, 0));
        let these = std::mem::replace(&mut self.models, later);
        let usable = these
            .into_iter()
            .filter_map(|((_, client), model)| Some((client, model?)));
        usable.collect()
    }

    /// Drops the models of earlier rounds.
    pub fn turn(&mut self, round: u32) {
        self.models = self.models.split_off(&(round, 0));
    }

    /// Drops all models.
    pub fn clear(&mut self) {
        self.models.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_wait_for_their_round_and_the_first_of_a_client_counts() {
        let mut inbox = Inbox::default();
        let model = |x: f64| Some(Payload::scalars([x]));
        for (round, client, x) in [
            (3, 7, 1.0),
            (2, 9, 2.0),
            (2, 4, 3.0),
            (2, 9, 4.0),
            (1, 9, 5.0),
        ] {
            inbox.take_in(round, client, model(x));
        }
        inbox.take_in(2, 5, None);
        assert_eq!((inbox.count(2), inbox.count(3), inbox.count(4)), (3, 1, 0));
        assert!(inbox.has(2, 5) && !inbox.has(2, 7));
        let found: Vec<_> = inbox
            .open(2)
            .into_iter()
            .map(|(client, model)| (client, model.as_scalars::<1>().unwrap()[0]))
            .collect();
        assert_eq!(found, [(4, 3.0), (9, 2.0)]);
        assert_eq!((inbox.count(1), inbox.count(2), inbox.count(3)), (0, 0, 1));
    }
}
