//! How evenly clients were asked.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often each client was asked; clients that were never asked are not in the map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Invitations(pub BTreeMap<u32, u32>);

/// How evenly the clients of a population were asked over a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Participation {
    /// The number of clients that were asked at least once.
    pub asked: u32,
    /// The number of clients that were never asked.
    pub never: u32,
    /// The Gini coefficient of how often each client was asked (Gini 1912): 0 if all were asked equally
    /// often, (n - 1) / n if only one of n was asked. It is also 0 if no client was asked.
    pub gini: f64,
}

impl Invitations {
    /// Counts an invitation of `client`.
    pub fn count(&mut self, client: u32) {
        let asked = self.0.entry(client).or_default();
        *asked = asked.saturating_add(1);
    }

    /// The participation of a population with this many clients.
    pub fn participation(&self, population: u32) -> Participation {
        let asked = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let never = population.saturating_sub(asked);
        let mut counts: Vec<u32> = self.0.values().copied().collect();
        counts.sort_unstable();
        // The sum of rank times count, with ranks from 1; clients that were never asked have the first
        // ranks.
        let ranks = (1..).map(|rank: u32| f64::from(never) + f64::from(rank));
        let ranked: f64 = ranks.zip(&counts).map(|(r, &n)| r * f64::from(n)).sum();
        let total: f64 = counts.iter().map(|&n| f64::from(n)).sum();
        let n = f64::from(asked) + f64::from(never);
        let gini = match total > 0.0 {
            true => 2.0 * ranked / (n * total) - (n + 1.0) / n,
            false => 0.0,
        };
        Participation { asked, never, gini }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By another definition of the Gini coefficient: the mean difference of all pairs over twice the
    /// mean.
    fn by_pairs(counts: &[u32]) -> f64 {
        let n = counts.len() as f64;
        let mean = counts.iter().map(|&c| f64::from(c)).sum::<f64>() / n;
        let pairs = counts.iter().flat_map(|&a| {
            let others = counts.iter();
            others.map(move |&b| (f64::from(a) - f64::from(b)).abs())
        });
        pairs.sum::<f64>() / (n * n) / (2.0 * mean)
    }

    #[test]
    fn the_coefficient_is_the_mean_difference_of_pairs() {
        for counts in [
            vec![3, 3, 3],
            vec![0, 0, 0, 7],
            vec![5, 0, 1, 2, 2, 9, 0],
            vec![1],
        ] {
            let mut invitations = Invitations::default();
            for (client, &times) in (0u32..).zip(&counts) {
                (0..times).for_each(|_| invitations.count(client));
            }
            let found = invitations.participation(counts.len() as u32);
            assert!((found.gini - by_pairs(&counts)).abs() < 1e-12, "{counts:?}");
            let never = counts.iter().filter(|&&c| c == 0).count() as u32;
            assert_eq!(
                (found.never, found.asked + never),
                (never, counts.len() as u32)
            );
        }
        let nobody = Invitations::default().participation(4);
        assert_eq!((nobody.asked, nobody.never, nobody.gini), (0, 4, 0.0));
    }
}
