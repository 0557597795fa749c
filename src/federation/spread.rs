//! How accuracy is spread over the clients: with the model that the server would send each client now, and
//! with each client's own model before and after its latest local training.

use crate::learn::{EvaluationSums, HeldOut};
use crate::observe::rows::{ClientAccuracyRow, RoundRow};
use crate::snapshot::snapshot_struct;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The distribution of accuracy over clients. Every client counts once, however many samples it holds out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, of the clients as a whole population.
    pub std: f64,
    /// 5th percentile, interpolated linearly between order statistics.
    pub p5: f64,
    /// 95th percentile, interpolated in the same way.
    pub p95: f64,
    /// Mean of the worst tenth of the clients, at least one client.
    pub worst10: f64,
    /// How many clients there are.
    pub clients: u32,
    /// How many clients the worst tenth has.
    pub worst_clients: u32,
    /// How many held-out samples the clients of the worst tenth have together.
    pub worst_samples: u64,
}

impl Spread {
    /// The spread of clients' accuracies, each with the number of samples that it was measured on; `None`
    /// without clients.
    pub fn of(scores: impl IntoIterator<Item = (f64, u64)>) -> Option<Self> {
        let mut scores: Vec<(f64, u64)> = scores.into_iter().collect();
        if scores.is_empty() {
            return None;
        }
        // Of clients with one accuracy, those with the fewest samples are taken as the worst.
        scores.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let n = scores.len();
        let mean = scores.iter().map(|score| score.0).sum::<f64>() / n as f64;
        let variance = scores
            .iter()
            .map(|(a, _)| (a - mean) * (a - mean))
            .sum::<f64>()
            / n as f64;
        let percentile = |p: f64| {
            let place = p * (n - 1) as f64;
            let below = scores[place as usize].0;
            let above = scores[(place as usize + 1).min(n - 1)].0;
            below + (above - below) * (place - libm::floor(place))
        };
        let worst = &scores[..n.div_ceil(10)];
        Some(Self {
            mean,
            std: variance.sqrt(),
            p5: percentile(0.05),
            p95: percentile(0.95),
            worst10: worst.iter().map(|score| score.0).sum::<f64>() / worst.len() as f64,
            clients: n as u32,
            worst_clients: worst.len() as u32,
            worst_samples: worst.iter().map(|score| score.1).sum(),
        })
    }
}

/// How a client's own model did on the client's held-out samples, in the latest local training whose report
/// was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// The round in which its report was used.
    pub round: u32,
    /// The figures before and after that training.
    pub held_out: HeldOut,
}

snapshot_struct!(Own { round, held_out });

/// Everything that an evaluation knows of clients on their held-out samples.
#[derive(Debug, Clone, Default)]
pub struct PerClient {
    /// The figures with the model that each client would be sent now, where clients begin with a model of the
    /// server; by client, ascending.
    pub now: Vec<(u32, EvaluationSums)>,
    /// The figures before and after each client's latest local training.
    pub own: BTreeMap<u32, Own>,
}

impl PerClient {
    /// The lines in `accuracy.csv`, one for each client of which something is known.
    pub fn rows<'a>(
        &'a self,
        round: u32,
        group: impl Fn(u32) -> Arc<str> + 'a,
    ) -> impl Iterator<Item = ClientAccuracyRow> + 'a {
        let now: BTreeMap<u32, EvaluationSums> = self.now.iter().copied().collect();
        let mut all: Vec<u32> = now.keys().chain(self.own.keys()).copied().collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().filter_map(move |client| {
            let (now, own) = (now.get(&client), self.own.get(&client));
            let count = now.map(|tally| tally.count as u32);
            Some(ClientAccuracyRow {
                round,
                client,
                group: group(client),
                correct: now.map(|tally| tally.correct as u32),
                count: count.or_else(|| own.map(|own| own.held_out.count))?,
                received_correct: own.map(|own| own.held_out.received),
                trained_correct: own.map(|own| own.held_out.trained),
                trained_round: own.map(|own| own.round),
            })
        })
    }

    /// Fills the three spreads into a round's line.
    pub fn fill(&self, row: RoundRow) -> RoundRow {
        let now = self.now.iter();
        let now = Spread::of(now.map(|(_, tally)| (tally.accuracy(), tally.count)));
        let own = |accuracy: fn(&HeldOut) -> f64| {
            let own = self.own.values().map(|own| &own.held_out);
            Spread::of(own.map(|held_out| (accuracy(held_out), u64::from(held_out.count))))
        };
        let received = own(HeldOut::received_accuracy);
        let trained = own(HeldOut::trained_accuracy);
        RoundRow {
            client_mean: now.map(|s| s.mean),
            client_std: now.map(|s| s.std),
            client_p5: now.map(|s| s.p5),
            client_p95: now.map(|s| s.p95),
            client_worst10: now.map(|s| s.worst10),
            client_worst10_clients: now.map(|s| s.worst_clients),
            client_worst10_samples: now.map(|s| s.worst_samples),
            received_mean: received.map(|s| s.mean),
            received_std: received.map(|s| s.std),
            received_p5: received.map(|s| s.p5),
            received_p95: received.map(|s| s.p95),
            received_worst10: received.map(|s| s.worst10),
            received_worst10_samples: received.map(|s| s.worst_samples),
            trained_mean: trained.map(|s| s.mean),
            trained_std: trained.map(|s| s.std),
            trained_p5: trained.map(|s| s.p5),
            trained_p95: trained.map(|s| s.p95),
            trained_worst10: trained.map(|s| s.worst10),
            trained_worst10_samples: trained.map(|s| s.worst_samples),
            trained_worst10_clients: trained.map(|s| s.worst_clients),
            trained_clients: trained.map(|s| s.clients),
            ..row
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_known_accuracies_and_what_its_worst_tenth_stands_on() {
        // 0.00, 0.05, ..., 0.95 shuffled: numpy.percentile gives 0.0475 and 0.9025.
        let values = (0..20).map(|i| (f64::from(i * 7 % 20) * 0.05, i as u64 * 7 % 20 + 1));
        let spread = Spread::of(values).unwrap();
        assert!((spread.mean - 0.475).abs() < 1e-12);
        assert!(
            (spread.std - 0.288_314_064_867_1).abs() < 1e-9,
            "{}",
            spread.std
        );
        assert!((spread.p5 - 0.0475).abs() < 1e-12);
        assert!((spread.p95 - 0.9025).abs() < 1e-12);
        assert!((spread.worst10 - 0.025).abs() < 1e-12);
        // The clients at 0.00 and 0.05, with one sample and two.
        assert_eq!((spread.clients, spread.worst_clients), (20, 2));
        assert_eq!(spread.worst_samples, 3);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_client_has_a_line_for_what_is_known_of_it_and_figures_stand_in_columns_of_their_own() {
        let tally = |correct, count| EvaluationSums {
            count,
            correct,
            loss_sum: 0.0,
        };
        let own = |round, count, received, trained| Own {
            round,
            held_out: HeldOut {
                count,
                received,
                trained,
            },
        };
        let scores = PerClient {
            now: vec![(0, tally(1, 4)), (2, tally(4, 4))],
            own: [(1, own(3, 2, 0, 1)), (2, own(5, 4, 2, 3))].into(),
        };
        let rows: Vec<ClientAccuracyRow> = scores.rows(6, |_| "all".into()).collect();
        let brief = |row: &ClientAccuracyRow| {
            let own = (row.received_correct, row.trained_correct, row.trained_round);
            (row.client, row.correct, row.count, own)
        };
        let expected = [
            (0, Some(1), 4, (None, None, None)),
            (1, None, 2, (Some(0), Some(1), Some(3))),
            (2, Some(4), 4, (Some(2), Some(3), Some(5))),
        ];
        assert_eq!(rows.iter().map(brief).collect::<Vec<_>>(), expected);

        let row = scores.fill(RoundRow::default());
        assert_eq!(row.client_mean, Some((0.25 + 1.0) / 2.0));
        assert_eq!(row.received_mean, Some((0.0 + 0.5) / 2.0));
        assert_eq!(row.trained_mean, Some((0.5 + 0.75) / 2.0));
        assert_eq!(row.trained_clients, Some(2));
        assert_eq!(row.trained_worst10_samples, Some(2));
        let nobody = PerClient::default().fill(RoundRow::default());
        assert_eq!(nobody, RoundRow::default());
    }
}
