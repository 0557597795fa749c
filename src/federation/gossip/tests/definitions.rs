//! What clients mix, against the definitions of the algorithms.

use super::*;

#[test]
fn gossip_on_a_complete_graph_with_equal_weights_is_averaging() {
    let n = 6;
    let ran = run(
        n,
        "graph: Complete, weights: Uniform, algorithm: AdaptThenCombine",
        "rounds: 3",
        "",
    );
    for round in 1..=3 {
        let trained: Vec<_> = (0..n).map(|i| ran.model(What::Trained, round, i)).collect();
        let mean = combine(&vec![1.0 / f64::from(n); n as usize], &trained);
        for client in 0..n {
            let ended = ran.model(What::End, round, client);
            // A mean in double precision, rounded once.
            let rounded: Vec<f64> = mean.iter().map(|x| f64::from(*x as f32)).collect();
            near(&ended, &rounded, 1e-9);
        }
        let row = &ran.heard.rounds[round as usize - 1];
        assert!(row.consensus_distance.unwrap() < 1e-12, "{row:?}");
        assert_eq!((row.invited, row.reported, row.unanswered), (n, n, 0));
        assert_eq!((row.refused, row.late_arrivals), (0, 0));
    }
    // Each sent 650 values to five others, with 8 and 16 bytes before them.
    let sent = u64::from(n * (n - 1)) * (4 * 650 + 24);
    let row = &ran.heard.rounds[2];
    assert_eq!((row.bytes_up, row.bytes_down), (sent, sent));
    let summary = ran.summary.as_ref().unwrap();
    let notices = summary.accounting.kinds["notice"];
    assert_eq!(
        (notices.sent, notices.delivered, notices.bytes),
        (18, 18, 0)
    );
    assert_eq!(summary.accounting.kinds["model"].sent, 90);
}

#[test]
fn it_is_fedavg_with_all_clients_of_equal_size_too() {
    let gossip = scenario(
        6,
        "graph: Complete, algorithm: AdaptThenCombine",
        "rounds: 4",
        "",
    );
    let mut fedavg = gossip.clone();
    fedavg.topology = None;
    let (gossip, fedavg) = (
        run_on(&gossip, 1, 1).finished(),
        run_on(&fedavg, 1, 1).finished(),
    );
    assert_eq!(gossip.heard.rounds.len(), 4);
    for (a, b) in gossip.heard.rounds.iter().zip(&fedavg.heard.rounds) {
        assert_eq!(a.accuracy, b.accuracy);
        let off = |of: fn(&crate::observe::rows::RoundRow) -> Option<f64>| {
            (of(a).unwrap() - of(b).unwrap()).abs()
        };
        assert!(off(|row| row.loss) < 1e-6, "{}", off(|row| row.loss));
        assert!(off(|row| row.train_loss) < 1e-6);
        assert_eq!(b.consensus_distance, None);
    }
}

/// Softmax regression by full-batch gradient descent in double precision: x + g(x) of one step.
struct Problem {
    /// Of each client: inputs and labels.
    samples: Vec<(Vec<Vec<f64>>, Vec<usize>)>,
    lr: f64,
}

impl Problem {
    fn of(federation: &Federation, lr: f64) -> Self {
        let plan = federation.plan();
        let samples = (0..plan.population()).map(|client| {
            let own = plan.partition.client(client as usize);
            let inputs = plan.train.batch(own, false).unwrap();
            let inputs = inputs
                .view([own.len() as i64, -1])
                .to_kind(tch::Kind::Double);
            let inputs: Vec<Vec<f64>> = inputs.try_into().unwrap();
            let labels = own
                .iter()
                .map(|s| plan.train.labels()[*s as usize] as usize);
            (inputs, labels.collect())
        });
        let samples = samples.collect();
        Self { samples, lr }
    }

    fn step(&self, client: usize, x: &[f64]) -> Vec<f64> {
        let (inputs, labels) = &self.samples[client];
        let (d, n) = (inputs[0].len(), inputs.len() as f64);
        let mut next = x.to_vec();
        for (input, label) in inputs.iter().zip(labels) {
            let scores: Vec<f64> = (0..10)
                .map(|c| {
                    let row = &x[c * d..(c + 1) * d];
                    row.iter().zip(input).map(|(w, v)| w * v).sum::<f64>() + x[10 * d + c]
                })
                .collect();
            let most = scores.iter().copied().fold(f64::MIN, f64::max);
            let powers: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
            let sum: f64 = powers.iter().sum();
            for c in 0..10 {
                let by = powers[c] / sum - if c == *label { 1.0 } else { 0.0 };
                for (w, v) in next[c * d..(c + 1) * d].iter_mut().zip(input) {
                    *w -= self.lr * by * v / n;
                }
                next[10 * d + c] -= self.lr * by / n;
            }
        }
        next
    }
}

/// All rounds of all three algorithms on a ring, from the definitions, with nothing taken from the run
/// but the initial model.
#[test]
fn whole_runs_on_a_ring_follow_the_definitions_in_double_precision() {
    let (n, rounds, w) = (5, 5, ring(5));
    for algorithm in ["DPsgd", "AdaptThenCombine", "CombineThenAdapt"] {
        let ran = run(
            5,
            &format!("graph: Ring, algorithm: {algorithm}"),
            &format!("rounds: {rounds}"),
            "method: FedSgd(), training: (optimizer: Sgd(lr: 0.5))",
        );
        let problem = Problem::of(&ran.federation, 0.5);
        let mut x = vec![ran.initial(); n];
        let step = |x: &[Vec<f64>]| -> Vec<Vec<f64>> {
            x.iter()
                .enumerate()
                .map(|(i, x)| problem.step(i, x))
                .collect()
        };
        let mix =
            |x: &[Vec<f64>]| -> Vec<Vec<f64>> { w.iter().map(|row| combine(row, x)).collect() };
        for round in 1..=rounds {
            x = match algorithm {
                "AdaptThenCombine" => mix(&step(&x)),
                "CombineThenAdapt" => step(&mix(&x)),
                _ => {
                    let each = mix(&x).into_iter().zip(step(&x)).zip(&x);
                    each.map(|((mixed, next), x)| {
                        combine(&[1.0, 1.0, -1.0], &[mixed, next, x.clone()])
                    })
                    .collect()
                }
            };
            for (client, expected) in (0..).zip(&x) {
                near(&ran.model(What::End, round, client), expected, 2e-6);
            }
            let found = ran.heard.rounds[round as usize - 1]
                .consensus_distance
                .unwrap();
            let expected = consensus(&x);
            assert!(
                (found / expected - 1.0).abs() < 1e-4,
                "{algorithm}: {found}, {expected}"
            );
        }
        assert!(
            consensus(&x) > 1e-6,
            "{algorithm}: they learn different things"
        );
    }
}

/// In round 1 every model gets noise of its own; after that nobody learns: x_r = W^(r−1) x_1.
#[test]
fn without_learning_models_come_together_as_powers_of_w_do() {
    let n = 8;
    let ran = run(
        n,
        "graph: Ring, algorithm: AdaptThenCombine",
        "rounds: 12",
        "training: (optimizer: Sgd(lr: 0)),
         adversaries: [(who: Count(8), attack: Gaussian(std: 1.0), rounds: (until: 1))]",
    );
    let w = ring(n as usize);
    let mut x: Vec<_> = (0..n).map(|i| ran.model(What::Trained, 1, i)).collect();
    // Eigenvalues of the ring's W are (1 + 2cos(2πk/n))/3.
    let rho = (1.0 + 2.0 * libm::cos(2.0 * std::f64::consts::PI / f64::from(n))) / 3.0;
    let mut before = consensus(&x);
    assert!(before > 100.0, "{before}");
    for round in 1..=12 {
        x = w.iter().map(|row| combine(row, &x)).collect();
        for client in 0..n {
            near(
                &ran.model(What::End, round, client),
                &x[client as usize],
                2e-6,
            );
        }
        let distance = ran.heard.rounds[round as usize - 1]
            .consensus_distance
            .unwrap();
        assert!((distance / consensus(&x) - 1.0).abs() < 1e-5);
        assert!(
            distance <= before * rho * rho * (1.0 + 1e-5),
            "{round}: {distance}"
        );
        before = distance;
    }
    // In the end only the slowest eigenvector is left, and the bound is what happens.
    let last = [10, 11].map(|r: usize| ran.heard.rounds[r].consensus_distance.unwrap());
    assert!(
        (last[1] / last[0] / (rho * rho) - 1.0).abs() < 0.02,
        "{last:?}"
    );
}

#[test]
fn a_client_that_cannot_train_passes_models_on() {
    let ran = run(
        0,
        "graph: Ring",
        "rounds: 3",
        "population: [(name: \"able\", count: 4, device: \"laptop\", link: \"lan\"),
            (name: \"small\", count: 1, device: (preset: \"laptop\", memory: \"1 kB\"), link: \"lan\")]",
    );
    for round in 1..=3 {
        let row = &ran.heard.rounds[round - 1];
        assert_eq!((row.reported, row.refused, row.unanswered), (4, 1, 0));
    }
    let starts: Vec<_> = [0, 3, 4].map(|i| ran.model(What::Start, 3, i)).to_vec();
    let expected = combine(&[1.0 / 3.0; 3], &starts);
    near(&ran.model(What::End, 3, 4), &expected, 1e-6);
    let refused = ran.heard.clients.iter().filter(|row| {
        matches!(&row.outcome, ClientOutcome::Refused(reason) if reason.contains("1 kB")
            || reason.contains("the device has"))
    });
    assert_eq!(refused.count(), 3);
}
