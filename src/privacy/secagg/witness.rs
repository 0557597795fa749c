//! A check that the masks leave the sums of updates unchanged. It is off in a federation and is
//! switched on by a test of the engine, the swarm.

use super::quantise::Quantiser;
use super::server::Sum;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Receives a message for each sum that is wrong.
type Complain = dyn Fn(String) + Send + Sync;

/// Records the vectors that clients mask and compares their sum with the server's, once somebody
/// watches.
#[derive(Default)]
pub struct Witness {
    complain: OnceLock<Box<Complain>>,
    /// The words and the weight of each client, by round and client, for rounds that are not over.
    plain: Mutex<BTreeMap<(u32, u32), Sum>>,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

impl Witness {
    /// Starts the check; `complain` gets a message for each sum that is wrong.
    pub fn watch(&self, complain: impl Fn(String) + Send + Sync + 'static) {
        // If somebody watches already, the first `complain` stays.
        let _ = self.complain.set(Box::new(complain));
    }

    /// Records that a client is about to mask these words and this weight.
    pub(super) fn masks(&self, round: u32, client: u32, words: &[u32], weight: u32) {
        if self.complain.get().is_some() {
            let mut plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
            let words = words.to_vec();
            plain.insert((round, client), Sum { words, weight });
        }
    }

    /// Compares the server's sum with that of the words of the clients that `reported`.
    pub(super) fn sums(
        &self,
        round: u32,
        reported: &BTreeSet<u32>,
        sum: &Sum,
        quantiser: &Quantiser,
    ) {
        let Some(complain) = self.complain.get() else {
            return;
        };
        let mut plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut words, mut weight) = (vec![0u32; sum.words.len()], 0u32);
        for client in reported {
            let Some(own) = plain.get(&(round, *client)) else {
                complain(format!("round {round}: client {client} has masked nothing"));
                return;
            };
            for (total, word) in words.iter_mut().zip(&own.words) {
                *total = total.wrapping_add(*word);
            }
            weight = weight.wrapping_add(own.weight);
        }
        // Words are compared as numbers of the bits that they have on the wire.
        let pairs = words.iter().zip(&sum.words);
        let wrong = pairs
            .filter(|(plain, came)| quantiser.sum(**plain) != quantiser.sum(**came))
            .count();
        if wrong > 0 || weight != sum.weight {
            complain(format!(
                "round {round}: the sum of {} masked updates is not that of the plain ones in {wrong} \
                 of {} values, weights {} and {weight}",
                reported.len(),
                words.len(),
                sum.weight
            ));
        }
        plain.retain(|(other, _), _| *other > round);
    }
}

#[cfg(test)]
mod tests {
    use super::super::SecAgg;
    use super::*;
    use std::sync::Arc;

    #[test]
    fn sums_that_are_not_those_of_the_plain_words_are_told() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sum = |words: [u32; 2], weight| Sum {
            words: words.to_vec(),
            weight,
        };
        let witness = Witness::default();
        let quantiser = Quantiser::new(&SecAgg::default(), 2, false);
        let both = BTreeSet::from([4, 7]);
        witness.masks(1, 4, &[1, 2], 3);
        witness.sums(1, &both, &sum([9, 9], 9), &quantiser);
        witness.watch({
            let told = Arc::clone(&told);
            move |wrong| told.lock().unwrap().push(wrong)
        });
        // Nobody was listening in the first round. Of words 17 bits count.
        for (round, came) in [
            (2, sum([0x1_ffff, 5], 8)),
            (3, sum([0, 5], 8)),
            (4, sum([u32::MAX, 5], 7)),
        ] {
            witness.masks(round, 4, &[u32::MAX, 2], 3);
            witness.masks(round, 7, &[0, 3], 5);
            // Somebody who is gone.
            witness.masks(round, 9, &[5, 5], 5);
            witness.sums(round, &both, &came, &quantiser);
        }
        witness.sums(5, &both, &sum([0, 0], 0), &quantiser);
        let told = told.lock().unwrap();
        assert_eq!(
            *told,
            [
                "round 3: the sum of 2 masked updates is not that of the plain ones in 1 of 2 values, \
                 weights 8 and 8",
                "round 4: the sum of 2 masked updates is not that of the plain ones in 0 of 2 values, \
                 weights 7 and 8",
                "round 5: client 4 has masked nothing",
            ]
        );
    }
}
