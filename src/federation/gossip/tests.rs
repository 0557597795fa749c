//! Federations without a server that really learn, against their definitions in double precision.

use super::super::testing::Heard;
use super::super::{DeviceWorker, Federation};
use crate::model::ParamSet;
use crate::observe::rows::{ClientOutcome, Outcome};
use crate::run::assemble;
use crate::scenario::Scenario;
use crate::sim::{Ending, SimError, Simulation, Summary, Workers};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

/// What is watched of a client's round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// What it trains from.
    Start,
    /// What training makes of that.
    Trained,
    /// What it ends the round with.
    End,
}

/// A run and what was watched in it.
struct Ran {
    heard: Heard,
    summary: Result<Summary, SimError>,
    federation: Arc<Federation>,
}

impl Ran {
    fn finished(self) -> Self {
        assert_eq!(self.heard.fatal, None);
        let summary = self
            .summary
            .as_ref()
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(summary.ending, Ending::Finished);
        assert!(summary.accounting.unbalanced().is_empty());
        self
    }

    fn model(&self, what: What, round: u32, client: u32) -> Vec<f64> {
        let watched = self.federation.shared().gossip.as_ref().unwrap();
        let watched = watched.watched.lock().unwrap();
        let set = watched.get(&(what, round, client));
        let set = set.unwrap_or_else(|| panic!("{what:?} of {client} in {round}"));
        wide(set)
    }

    fn initial(&self) -> Vec<f64> {
        wide(&self.federation.shared().gossip.as_ref().unwrap().initial)
    }
}

fn wide(set: &ParamSet) -> Vec<f64> {
    set.as_slice()
        .unwrap()
        .iter()
        .map(|v| f64::from(*v))
        .collect()
}

fn scenario(clients: u32, topology: &str, schedule: &str, further: &str) -> Scenario {
    let population = match further.contains("population:") {
        true => String::new(),
        false => format!("population: [(count: {clients}, device: \"laptop\", link: \"lan\")],"),
    };
    let training = match further.contains("training:") {
        true => "",
        false => "training: (epochs: 1, batch: 16, optimizer: Sgd(lr: 0.2)),",
    };
    let text = format!(
        "Scenario(
            seed: 4,
            data: Digits,
            partition: (by: Iid(samples_per_client: 48)),
            model: [Flatten, Dense(10)],
            {training}
            {population}
            topology: Gossip({topology}),
            schedule: ({schedule}),
            {further}
        )"
    );
    let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]);
    scenario.unwrap_or_else(|problems| panic!("{problems:#}"))
}

fn run_on(scenario: &Scenario, workers: usize, shards: usize) -> Ran {
    let federation = Arc::new(assemble(scenario, Default::default()).unwrap());
    let mut heard = Heard::default();
    let pool = Workers::start(workers, DeviceWorker::new).unwrap();
    let simulation = Simulation {
        world: Arc::clone(&federation),
        seed: scenario.seed,
        shards,
    };
    let summary = simulation.run(&pool, &mut heard, &AtomicBool::new(false));
    Ran {
        heard,
        summary,
        federation,
    }
}

fn run(clients: u32, topology: &str, schedule: &str, further: &str) -> Ran {
    run_on(&scenario(clients, topology, schedule, further), 1, 1).finished()
}

fn combine(w: &[f64], models: &[Vec<f64>]) -> Vec<f64> {
    let mut sum = vec![0.0; models[0].len()];
    for (weight, model) in w.iter().zip(models) {
        sum.iter_mut()
            .zip(model)
            .for_each(|(sum, x)| *sum += weight * x);
    }
    sum
}

#[track_caller]
fn near(found: &[f64], expected: &[f64], within: f64) {
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let off = off.fold(0.0, f64::max);
    assert!(off <= within, "{off}");
}

/// W of a ring of n with weights 1/3.
fn ring(n: usize) -> Vec<Vec<f64>> {
    let row = |i: usize| {
        let mut row = vec![0.0; n];
        for j in [i, (i + 1) % n, (i + n - 1) % n] {
            row[j] = 1.0 / 3.0;
        }
        row
    };
    (0..n).map(row).collect()
}

/// 1/n Σ ‖x_i − x̄‖².
fn consensus(models: &[Vec<f64>]) -> f64 {
    let n = models.len();
    let mean = combine(&vec![1.0 / n as f64; n], models);
    let away = |model: &Vec<f64>| -> f64 {
        model
            .iter()
            .zip(&mean)
            .map(|(x, m)| (x - m) * (x - m))
            .sum()
    };
    models.iter().map(away).sum::<f64>() / n as f64
}

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

/// Client 4's models take far longer than the deadline: its neighbours go on without them.
const ONE_IS_SLOW: &str =
    "population: [(name: \"quick\", count: 4, device: \"laptop\", link: \"lan\"),
        (name: \"slow\", count: 1, device: \"laptop\", link: (preset: \"lan\", up: \"8 kbit/s\"))]";

#[test]
fn a_model_that_misses_the_deadline_gives_its_weight_to_ones_own() {
    for (algorithm, own) in [("AdaptThenCombine", What::Trained), ("DPsgd", What::Start)] {
        let ran = run(
            0,
            &format!("graph: Ring, algorithm: {algorithm}"),
            "rounds: 8, deadline: \"3 s\"",
            ONE_IS_SLOW,
        );
        for round in 1..=4 {
            let mine = ran.model(own, round, 0);
            let theirs = ran.model(own, round, 1);
            let mut expected = combine(&[2.0 / 3.0, 1.0 / 3.0], &[mine, theirs]);
            if own == What::Start {
                let (from, to) = (
                    ran.model(What::Start, round, 0),
                    ran.model(What::Trained, round, 0),
                );
                expected = combine(&[1.0, -1.0, 1.0], &[expected, from, to]);
            }
            near(&ran.model(What::End, round, 0), &expected, 1e-6);
        }
        let rounds = &ran.heard.rounds;
        assert!(
            rounds.iter().all(|row| row.unanswered == 0),
            "it is heard of all the same"
        );
        // Two models of 21 kbit at 8 kbit/s: five seconds and more, when its neighbours are further.
        assert!(
            rounds.iter().map(|row| row.late_arrivals).sum::<u32>() > 0,
            "{rounds:?}"
        );
    }
}

#[test]
fn without_a_deadline_everybody_waits_for_the_slowest() {
    let ran = run(0, "graph: Ring", "rounds: 3", ONE_IS_SLOW);
    assert!(ran
        .heard
        .rounds
        .iter()
        .all(|row| row.late_arrivals == 0 && row.unanswered == 0));
    let last = ran
        .heard
        .rounds
        .last()
        .unwrap()
        .ended
        .since(Default::default());
    assert!(last.seconds() > 12.0, "{last:?}");
    let waited = |client| {
        let rows = ran
            .heard
            .clients
            .iter()
            .filter(move |row| row.client == client);
        rows.map(|row| row.queue_wait.seconds()).sum::<f64>()
    };
    assert!(
        waited(0) > 8.0 && waited(2) > 4.0,
        "{} {}",
        waited(0),
        waited(2)
    );
}

#[test]
fn a_graph_that_is_drawn_anew_changes_who_mixes_with_whom() {
    let ran = run(
        12,
        "graph: RandomRegular(degree: 3), redraw_every: 2, algorithm: AdaptThenCombine",
        "rounds: 6",
        "",
    );
    let common = ran.federation.shared().gossip.clone().unwrap();
    let sources = |round, client| -> Vec<u32> {
        let links = common.links(client, round).unwrap();
        links.sources.iter().map(|(j, _)| *j).collect()
    };
    for round in 1..=6 {
        let trained: Vec<_> = (0..12)
            .map(|i| ran.model(What::Trained, round, i))
            .collect();
        for client in 0..12 {
            let mut w = [0.0; 12];
            w[client as usize] = 0.25;
            for other in sources(round, client) {
                w[other as usize] = 0.25;
            }
            near(
                &ran.model(What::End, round, client),
                &combine(&w, &trained),
                1e-6,
            );
        }
    }
    let graphs: Vec<Vec<Vec<u32>>> = (1..=6)
        .map(|round| (0..12).map(|client| sources(round, client)).collect())
        .collect();
    assert_eq!(graphs[0], graphs[1]);
    assert_ne!(graphs[1], graphs[2]);
    assert_ne!(graphs[3], graphs[4]);
}

#[test]
fn one_peer_exponential_averages_eight_clients_in_three_rounds() {
    let ran = run(
        8,
        "graph: Exponential, algorithm: AdaptThenCombine",
        "rounds: 3",
        "training: (optimizer: Sgd(lr: 0)),
         adversaries: [(who: Count(8), attack: Gaussian(std: 1.0), rounds: (until: 1))]",
    );
    let first: Vec<_> = (0..8).map(|i| ran.model(What::Trained, 1, i)).collect();
    let mean = combine(&[0.125; 8], &first);
    for client in 0..8 {
        near(&ran.model(What::End, 3, client), &mean, 1e-6);
    }
    assert_eq!(ran.heard.rounds[0].bytes_up, 8 * (4 * 650 + 24));
}

#[test]
fn the_hash_is_the_same_on_any_number_of_workers_and_shards() {
    for (topology, schedule, further) in [
        // Without any latency windows are single timestamps.
        (
            "graph: Exponential",
            "rounds: 4",
            "population: [(count: 12, device: \"laptop\", link: \"ideal\")]",
        ),
        (
            "graph: SmallWorld(degree: 4, rewire: 0.3), redraw_every: 1",
            "rounds: 4",
            "",
        ),
        (
            "graph: Torus, algorithm: AdaptThenCombine",
            "rounds: 4, deadline: \"2 s\"",
            "population: [(name: \"a\", count: 6, device: \"laptop\", link: \"wifi\"),
                (name: \"b\", count: 6, device: \"phone-mid\", link: \"4g\")],
             evaluation: (per_client: true), faults: [(fault: Crash(),
                when: Rate(every: \"8 s\", lasts: \"1 s\")), (fault: Loss(0.2))]",
        ),
    ] {
        let scenario = scenario(12, topology, schedule, further);
        let hashes: Vec<String> = [(1, 1), (2, 1), (2, 2), (4, 4), (1, 3)]
            .into_iter()
            .map(|(workers, shards)| {
                let ran = run_on(&scenario, workers, shards).finished();
                ran.summary.unwrap().hash.to_string()
            })
            .collect();
        assert!(
            hashes.windows(2).all(|pair| pair[0] == pair[1]),
            "{hashes:?}"
        );
    }
}

#[test]
fn a_modelled_run_has_the_times_of_the_real_one() {
    for algorithm in ["DPsgd", "AdaptThenCombine", "CombineThenAdapt"] {
        let topology = format!("graph: Ring, algorithm: {algorithm}");
        let real = run(6, &topology, "rounds: 4, deadline: \"2 s\"", "");
        let modelled = run(
            6,
            &topology,
            "rounds: 4, deadline: \"2 s\"",
            "compute: Modelled",
        );
        for (a, b) in real.heard.rounds.iter().zip(&modelled.heard.rounds) {
            assert_eq!((a.started, a.ended), (b.started, b.ended));
            assert_eq!((a.bytes_up, a.bytes_down), (b.bytes_up, b.bytes_down));
            assert_eq!((b.accuracy, b.consensus_distance), (None, None));
        }
        assert_eq!(real.heard.rounds.len(), modelled.heard.rounds.len());
    }
}

#[test]
fn a_client_that_crashes_comes_back_and_catches_up() {
    for (crash, forgets) in [("Crash()", true), ("Crash(keep_state: true)", false)] {
        let ran = run(
            5,
            "graph: Ring, algorithm: AdaptThenCombine",
            "rounds: 12, deadline: \"2 s\"",
            &format!(
                "faults: [(fault: {crash}, who: Clients([2]), when: Once(at: \"2600 ms\", lasts: \"3 s\"))]"
            ),
        );
        assert_eq!(ran.heard.rounds.len(), 12);
        let of_two = |wanted: &ClientOutcome| {
            let rows = ran.heard.clients.iter().filter(|row| row.client == 2);
            rows.filter(|row| row.outcome == *wanted).count()
        };
        let lost = of_two(&ClientOutcome::Lost) + of_two(&ClientOutcome::Late);
        assert!(lost > 0, "it was away for some rounds");
        assert!(
            of_two(&ClientOutcome::Reported) >= 5,
            "and is in most others"
        );
        assert_eq!(ran.heard.rounds.last().unwrap().reported, 5);
        let rows = ran
            .heard
            .clients
            .iter()
            .map(|row| ((row.client, row.round), 1));
        let each: BTreeMap<_, u32> = rows.fold(BTreeMap::new(), |mut all, (key, one)| {
            *all.entry(key).or_default() += one;
            all
        });
        assert_eq!(each.len(), 60, "one line for each client and round");
        assert!(each.values().all(|lines| *lines == 1));
        // Who has lost its model begins with the initial one.
        let initial = ran.initial();
        let began: Vec<u32> = (2..=12)
            .filter(|round| {
                let watched = ran.federation.shared().gossip.as_ref().unwrap();
                let watched = watched.watched.lock().unwrap();
                let start = watched.get(&(What::Start, *round, 2));
                start.is_some_and(|start| wide(start) == initial)
            })
            .collect();
        assert_eq!(began.len(), usize::from(forgets), "{crash}: {began:?}");
    }
}

#[test]
fn a_client_that_is_gone_for_good_does_not_stop_the_others() {
    for fault in [
        "(fault: Crash(), who: Clients([1]), when: Once(at: \"1 s\"))",
        "(fault: Panic, who: Clients([1]), when: Rounds(from: 2))",
    ] {
        let ran = run(
            5,
            "graph: Ring",
            "rounds: 6, deadline: \"2 s\"",
            &format!("faults: [{fault}]"),
        );
        assert_eq!(ran.heard.rounds.len(), 6);
        for row in &ran.heard.rounds[2..] {
            assert_eq!(
                (row.reported, row.unanswered, row.outcome),
                (4, 1, Outcome::Completed)
            );
            assert!(row.accuracy.is_some());
        }
    }
    // Without a deadline its neighbours wait for ever, and the error says for whom.
    let scenario = scenario(
        5,
        "graph: Ring",
        "rounds: 6",
        "faults: [(fault: Crash(), who: Clients([1]), when: Once(at: \"1 s\"))]",
    );
    let error = run_on(&scenario, 1, 1).summary.unwrap_err().to_string();
    assert!(
        error.contains("from clients 1") && error.contains("schedule.deadline"),
        "{error}"
    );
}

#[test]
fn the_schedule_says_when_it_ends() {
    let ran = run(5, "graph: Ring", "rounds: 50, stop_at_accuracy: 0.5", "");
    let rounds = &ran.heard.rounds;
    assert!(rounds.len() < 50 && rounds.last().unwrap().accuracy.unwrap() >= 0.5);
    let ran = run(5, "graph: Ring", "rounds: 50, stop_at_time: \"5 s\"", "");
    let last = ran.heard.rounds.last().unwrap();
    assert_eq!(last.outcome, Outcome::Stopped);
    assert_eq!(last.ended.since(Default::default()).seconds(), 5.0);
    assert!(ran.heard.rounds.len() > 3);
}

#[test]
fn clients_measure_their_own_models() {
    let ran = run(
        5,
        "graph: Ring",
        "rounds: 4",
        "evaluation: (every: 2, per_client: true)",
    );
    let rounds = &ran.heard.rounds;
    for row in rounds {
        let due = row.round % 2 == 0;
        assert_eq!(row.accuracy.is_some(), due);
        assert_eq!(row.client_mean.is_some(), due);
        assert_eq!(row.consensus_distance.is_some(), due);
    }
    assert!(rounds[3].client_mean > rounds[1].client_mean);
}

#[test]
fn a_spoilt_model_is_not_mixed() {
    let ran = run(
        5,
        "graph: Ring, algorithm: AdaptThenCombine",
        "rounds: 2",
        "faults: [(fault: Corrupt(how: Truncate, checksum: false), who: Clients([0]), direction: Up)]",
    );
    assert!(!ran.heard.rejections.is_empty());
    assert!(ran.heard.rejections.iter().all(|row| row.client == 0));
    let trained: Vec<_> = [1, 2].map(|i| ran.model(What::Trained, 1, i)).to_vec();
    let expected = combine(&[2.0 / 3.0, 1.0 / 3.0], &trained);
    near(&ran.model(What::End, 1, 1), &expected, 1e-6);
}
