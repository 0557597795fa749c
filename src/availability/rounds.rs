//! Presence by round: each client is present with a probability of its own, drawn anew for each round.
//!
//! The modes are those of FLGo (Wang et al. 2023, arXiv:2306.12079), by the formulas of its
//! `flgo.simulator.default_simulator`; where the comments there give another formula than the code, the
//! code counts. Maxima in FLGo are over all clients; here they are over the clients of the group.
//! Rounds count from 1.

use super::{Availability, Lane, Whose};
use crate::data::Partition;
use crate::quantity::{Distribution, Probability};
use rand::Rng;
use std::ops::Range;

/// The number of rounds after which SLN and YC repeat.
const CYCLE: u32 = 24;

/// The samples of clients, for the modes whose probabilities depend on them.
#[derive(Debug, Clone, Copy)]
pub struct Holdings<'a> {
    /// The samples that each client trains on.
    pub partition: &'a Partition,
    /// The samples that each client holds out; their labels count, too.
    pub holdout: &'a Partition,
    /// The label of each sample.
    pub labels: &'a [u32],
    /// The number of classes; all labels are below it.
    pub classes: usize,
}

impl Holdings<'_> {
    /// The number of samples that a client trains on; at least one, so that no rate is infinite.
    fn samples(&self, client: u32) -> f64 {
        self.partition.client(client as usize).len().max(1) as f64
    }

    /// The labels that a client has, in ascending order, each once.
    fn labels(&self, client: u32) -> Vec<u32> {
        let [train, held] = [self.partition, self.holdout].map(|p| p.client(client as usize));
        let samples = train.iter().chain(held);
        let labels = samples.filter_map(|&sample| self.labels.get(sample as usize).copied());
        let mut labels: Vec<u32> = labels.collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// The highest label; 1 where there is only one class.
    fn highest(&self) -> f64 {
        self.classes.saturating_sub(1).max(1) as f64
    }
}

/// The probabilities of presence of the clients of a group.
#[derive(Debug)]
pub(super) enum Rates {
    /// One probability for all clients.
    Same(f64),
    /// The probability of each client, by its number in the group.
    Each(Vec<f64>),
    /// A log-normal draw for each client, divided by the greatest draw.
    LogNormal {
        law: Distribution,
        greatest: f64,
        /// Whether the probability rises and falls over the rounds.
        waves: bool,
    },
    /// Probability 1 in the part of a cycle that a client's labels span, else `otherwise`.
    Cycle {
        /// The part of the cycle for each client of the group, as shares of the cycle.
        spans: Vec<(f64, f64)>,
        otherwise: f64,
    },
}

impl Rates {
    /// The probabilities of the `clients` of a group; `None` if its availability does not go by rounds.
    pub fn new(
        kind: &Availability,
        clients: Range<u32>,
        holdings: &Holdings<'_>,
        seed: u64,
    ) -> Option<Self> {
        let classes = holdings.classes.max(1) as f64;
        let each = |rate: &dyn Fn(u32) -> f64| Self::Each(clients.clone().map(rate).collect());
        Some(match kind {
            Availability::Independent(p) => Self::Same(p.get()),
            Availability::Homo(beta) => Self::Same(1.0 - beta),
            Availability::Ln(beta) => Self::drawn(*beta, false, clients, seed),
            Availability::Sln(beta) => Self::drawn(*beta, true, clients, seed),
            Availability::Ymf(beta) => each(&|client| {
                let least = holdings.labels(client).first().copied().unwrap_or(0);
                beta * f64::from(least) / holdings.highest() + (1.0 - beta)
            }),
            Availability::Mdf(beta) => {
                let most = clients.clone().map(|client| holdings.samples(client));
                let most = most.fold(1.0, f64::max);
                each(&|client| libm::pow(holdings.samples(client) / most, *beta))
            }
            Availability::Ldf(beta) => {
                let least = clients.clone().map(|client| holdings.samples(client));
                let least = least.fold(f64::INFINITY, f64::min);
                each(&|client| libm::pow(least / holdings.samples(client), *beta))
            }
            Availability::Yff(beta) => {
                each(&|client| beta * holdings.labels(client).len() as f64 / classes + (1.0 - beta))
            }
            Availability::Yc(beta) => Self::Cycle {
                spans: clients
                    .map(|client| {
                        let labels = holdings.labels(client);
                        let share = |label: Option<&u32>| {
                            label.map_or(f64::INFINITY, |&l| f64::from(l) / holdings.highest())
                        };
                        (share(labels.first()), share(labels.last()))
                    })
                    .collect(),
                otherwise: 1.0 - beta,
            },
            _ => return None,
        })
    }

    /// FLGo has -ln(1 - β - 1e-6), which keeps β = 0 and β = 1 from being limits.
    fn drawn(beta: f64, waves: bool, clients: Range<u32>, seed: u64) -> Self {
        let law = Distribution::LogNormal {
            median: 1.0,
            sigma: -libm::log(1.0 - beta),
        };
        let drawn = clients.clone().map(|client| {
            let whose = Whose {
                seed,
                client,
                place: client - clients.start,
            };
            law.sample(&mut whose.draws(Lane::Rate, 0))
        });
        let greatest = drawn.fold(0.0, f64::max);
        Self::LogNormal {
            law,
            greatest,
            waves,
        }
    }

    /// The probability that a client is present in a round.
    pub fn of(&self, whose: Whose, round: u32) -> f64 {
        let place = whose.place as usize;
        match self {
            Self::Same(rate) => *rate,
            Self::Each(rates) => rates.get(place).copied().unwrap_or(0.0),
            Self::LogNormal {
                law,
                greatest,
                waves,
            } => {
                let own = law.sample(&mut whose.draws(Lane::Rate, 0)) / greatest;
                let at = f64::from(round % CYCLE) / f64::from(CYCLE - 1);
                match waves {
                    true => own * (0.4 * libm::sin(2.0 * std::f64::consts::PI * at) + 0.5),
                    false => own,
                }
            }
            Self::Cycle { spans, otherwise } => {
                let at = f64::from(1 + round % CYCLE) / f64::from(CYCLE);
                match spans.get(place) {
                    Some((first, last)) if *first <= at && at <= *last => 1.0,
                    _ => *otherwise,
                }
            }
        }
    }

    pub fn is_there(&self, whose: Whose, round: u32) -> bool {
        let rate = self.of(whose, round).clamp(0.0, 1.0);
        let draw = whose.draws(Lane::Round, u64::from(round)).next_u64();
        Probability::new(rate).is_ok_and(|rate| rate.hit(draw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{load, Source};
    use crate::data::{Dataset, Partitioner};
    use std::collections::BTreeSet;
    use std::path::Path;

    const SEED: u64 = 21;
    const CLIENTS: u32 = 12;

    struct Dealt {
        data: Dataset,
        partition: Partition,
        holdout: Partition,
    }

    fn dealt() -> Dealt {
        let data = load(&Source::Digits, SEED, Path::new(".")).unwrap().train;
        let rule = Partitioner::LabelAndQuantity {
            alpha: 0.2,
            exponent: 1.0,
        };
        let partition = rule.partition(&data, CLIENTS as usize, 3, SEED).unwrap();
        let (partition, holdout) = partition.holdout(Probability::new(0.3).unwrap(), SEED);
        Dealt {
            data,
            partition,
            holdout,
        }
    }

    fn holdings(dealt: &Dealt) -> Holdings<'_> {
        Holdings {
            partition: &dealt.partition,
            holdout: &dealt.holdout,
            labels: &dealt.data.labels,
            classes: 10,
        }
    }

    fn whose(client: u32) -> Whose {
        Whose {
            seed: SEED,
            client,
            place: client,
        }
    }

    /// Rates of a kind, of all clients in a round.
    fn rates(kind: &Availability, round: u32) -> Vec<f64> {
        let dealt = dealt();
        let rates = Rates::new(kind, 0..CLIENTS, &holdings(&dealt), SEED).unwrap();
        (0..CLIENTS).map(|c| rates.of(whose(c), round)).collect()
    }

    /// Each formula again, from the samples themselves.
    #[test]
    fn the_modes_that_look_at_data_have_the_rates_of_their_formulas() {
        let dealt = dealt();
        let labels = |client: u32| -> BTreeSet<u32> {
            let client = client as usize;
            let (train, held) = (dealt.partition.client(client), dealt.holdout.client(client));
            let all = train.iter().chain(held);
            all.map(|&s| dealt.data.labels[s as usize]).collect()
        };
        let n = |client: u32| dealt.partition.client(client as usize).len() as f64;
        let most = (0..CLIENTS).map(n).fold(0.0, f64::max);
        let least = (0..CLIENTS).map(n).fold(f64::MAX, f64::min);
        assert!(most > 3.0 * least, "sizes differ");
        let beta = 0.6f64;
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let kinds = [
            Availability::Ymf(beta),
            Availability::Mdf(beta),
            Availability::Ldf(beta),
            Availability::Yff(beta),
        ];
        let [ymf, mdf, ldf, yff] = kinds.map(|kind| rates(&kind, 3));
        let yc = Availability::Yc(beta);
        let cycle = Rates::new(&yc, 0..CLIENTS, &holdings(&dealt), SEED).unwrap();
        for client in 0..CLIENTS {
            let at = client as usize;
            let own = labels(client);
            let lowest = f64::from(*own.first().unwrap());
            assert!(close(ymf[at], beta * lowest / 9.0 + 1.0 - beta));
            assert!(close(mdf[at], n(client).powf(beta) / most.powf(beta)));
            assert!(close(ldf[at], n(client).powf(-beta) / least.powf(-beta)));
            assert!(close(yff[at], beta * own.len() as f64 / 10.0 + 1.0 - beta));
            for round in 1..60u32 {
                let r = f64::from(1 + round % 24) / 24.0;
                let (low, high) = (lowest / 9.0, f64::from(*own.last().unwrap()) / 9.0);
                let inside = f64::from(u8::from(low <= r && r <= high));
                let yc = cycle.of(whose(client), round);
                assert!(close(yc, beta * inside + 1.0 - beta), "{client} {round}");
            }
        }
        for all in [&ymf, &yff, &mdf, &ldf] {
            assert!(all.iter().any(|rate| *rate != all[0]), "{all:?}");
        }
    }

    #[test]
    fn log_normal_rates_are_those_of_the_law_over_their_greatest() {
        let dealt = dealt();
        let n = 4_000;
        let beta = 0.5;
        let of = |kind| Rates::new(&kind, 0..n, &holdings(&dealt), SEED).unwrap();
        let (ln, sln) = (of(Availability::Ln(beta)), of(Availability::Sln(beta)));
        let own: Vec<f64> = (0..n).map(|c| ln.of(whose(c), 5)).collect();
        assert_eq!(own.iter().copied().fold(0.0, f64::max), 1.0);
        // ln p is normal but for a constant: its deviation is sigma = ln 2.
        let logs: Vec<f64> = own.iter().map(|p| p.ln()).collect();
        let mean = logs.iter().sum::<f64>() / f64::from(n);
        let variance = logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / f64::from(n - 1);
        let bound = 5.0 * (2.0 / f64::from(n)).sqrt();
        assert!(
            (variance / 2f64.ln().powi(2) - 1.0).abs() < bound,
            "{variance}"
        );
        for round in [1, 6, 23, 24, 30, 48] {
            let angle = f64::from(round % 24) / 23.0 * std::f64::consts::TAU;
            for client in [0, 17, 3_999] {
                let expected = own[client as usize] * (0.4 * angle.sin() + 0.5);
                assert!((sln.of(whose(client), round) - expected).abs() < 1e-12);
            }
        }
        assert_eq!(rates(&Availability::Ln(0.0), 1), [1.0; CLIENTS as usize]);
    }

    /// Every mode: how often each client is there, over rounds at which its rate is the same.
    #[test]
    fn clients_are_there_as_often_as_their_rates_say() {
        let dealt = dealt();
        for kind in [
            Availability::Independent(Probability::new(0.3).unwrap()),
            Availability::Homo(0.2),
            Availability::Ln(0.4),
            Availability::Sln(0.4),
            Availability::Ymf(0.7),
            Availability::Mdf(0.5),
            Availability::Ldf(0.5),
            Availability::Yff(0.8),
            Availability::Yc(0.7),
        ] {
            let rates = Rates::new(&kind, 0..CLIENTS, &holdings(&dealt), SEED).unwrap();
            for client in 0..CLIENTS {
                // One round of each cycle has the same rate.
                let rounds = (0..2_000).map(|cycle| 7 + 24 * cycle);
                let there = rounds.filter(|&round| rates.is_there(whose(client), round));
                let (found, p) = (there.count() as f64 / 2_000.0, rates.of(whose(client), 7));
                let bound = 5.0 * (p * (1.0 - p) / 2_000.0).sqrt() + 1e-9;
                assert!((found - p).abs() < bound, "{kind:?} {client}: {found}, {p}");
            }
        }
        assert!(Rates::new(&Availability::Always, 0..3, &holdings(&dealt), 1).is_none());
    }
}
