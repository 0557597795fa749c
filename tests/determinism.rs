//! The same scenario and seed give the same run, learning and all, on any number of workers.

use super::tiny::Ran;
use shoal::quantity::Bytes;

/// Everything that could bring in chance: groups, drawn speeds, dropout, momentum, over-selection,
/// datagrams that get lost, a deadline, an evaluation of each client.
const MIXED: &str = "Scenario(
    seed: 11,
    data: Digits,
    partition: (by: Dirichlet(alpha: 0.5), min_per_client: 10),
    model: [Conv(out: 4, kernel: 3), Relu, Flatten, Dropout(rate: 0.3), Dense(10)],
    training: (epochs: 1, batch: 16, optimizer: Sgd(lr: 0.05, momentum: 0.9)),
    population: [
        (name: \"phones\", count: 6, device: (preset: \"phone-mid\", speed: LogNormal(\"15 GFLOP/s\", 0.5)),
         link: (preset: \"4g\", loss: Independent(0.05), transport: Datagram), participation: 0.9),
        (name: \"laptops\", count: 4, device: \"laptop\", link: \"wifi\"),
        (name: \"boards\", count: 2, device: \"raspberry-pi-4\", link: \"satellite-leo\",
         training: (epochs: 2)),
    ],
    schedule: (rounds: 4, cohort: 5, over_selection: 1.6, deadline: \"4 s\", least_reports: 2),
    evaluation: (per_client: true),
)";

#[test]
fn workers_change_nothing_and_the_seed_everything() {
    let hash = |ran: &Ran| ran.result.as_ref().unwrap().hash.to_string();
    let first = Ran::on(1, MIXED);
    let lost: u32 = first.rounds().iter().map(|round| round.unanswered).sum();
    assert!(lost > 0, "a run in which nothing is lost shows little");
    for workers in [1, 2, 4, 2, 4] {
        let again = Ran::on(workers, MIXED);
        assert_eq!(hash(&first), hash(&again), "{workers} workers");
        for file in ["rounds.csv", "clients.csv", "accuracy.csv", "trace.bin"] {
            assert!(
                first.bytes(file) == again.bytes(file),
                "{file} on {workers} workers"
            );
        }
    }
    let other = Ran::on(2, &MIXED.replace("seed: 11", "seed: 12"));
    assert_ne!(hash(&first), hash(&other));
}

#[test]
fn workers_change_nothing_over_tcp() {
    let hash = |ran: &Ran| ran.result.as_ref().unwrap().hash.to_string();
    let tcp = MIXED
        .replace(
            "transport: Datagram",
            "transport: Tcp(congestion: Bbr), buffer: \"64 kB\"",
        )
        .replace(
            "link: \"wifi\"",
            "link: (preset: \"wifi\", transport: Tcp())",
        )
        .replace(
            "link: \"satellite-leo\"",
            "link: (preset: \"satellite-leo\", transport: Tcp(congestion: Reno, initial_window: 4))",
        );
    let first = Ran::on(1, &tcp);
    assert_ne!(hash(&first), hash(&Ran::on(1, MIXED)));
    for workers in [2, 4] {
        let again = Ran::on(workers, &tcp);
        assert_eq!(hash(&first), hash(&again), "{workers} workers");
        assert!(first.bytes("trace.bin") == again.bytes("trace.bin"));
    }
}

/// Widths by group, by device and drawn, and a public set that nobody gets.
const SIZES: &str = "Scenario(
    seed: 5,
    data: Digits,
    partition: (by: Dirichlet(alpha: 0.5), min_per_client: 5),
    public: (share: 0.1),
    model: [Conv(out: 8, kernel: 3), Relu, Flatten, Dense(16), Relu, Dense(10)],
    training: (epochs: 1, batch: 8, optimizer: Sgd(lr: 0.1)),
    population: [
        (name: \"whole\", count: 3, device: \"laptop\", link: \"lan\"),
        (name: \"half\", count: 4, device: \"phone-mid\", link: \"4g\", size: 0.5),
        (name: \"drawn\", count: 6, link: \"wifi\", size: Drawn([1, 0.5, 0.25])),
        (name: \"fitted\", count: 3, link: \"wifi\", size: Fit([1, 0.25]),
         device: (speed: LogNormal(\"1 MFLOP/s\", 1.5))),
    ],
    method: HeteroFL(),
    schedule: (rounds: 4, cohort: 8, deadline: \"20 s\"),
    evaluation: (per_client: true),
)";

#[test]
fn workers_change_nothing_where_clients_have_models_of_several_widths() {
    let hash = |ran: &Ran| ran.result.as_ref().unwrap().hash.to_string();
    let first = Ran::on(1, SIZES);
    for workers in [1, 2, 4] {
        let again = Ran::on(workers, SIZES);
        assert_eq!(hash(&first), hash(&again), "{workers} workers");
        for file in ["clients.csv", "accuracy.csv", "sizes.csv", "costs.csv"] {
            assert!(
                first.bytes(file) == again.bytes(file),
                "{file} on {workers} workers"
            );
        }
    }
    let sizes = String::from_utf8(first.bytes("sizes.csv")).unwrap();
    // A heading, and three widths in each of four rounds.
    assert_eq!(sizes.lines().count(), 1 + 3 * 4, "{sizes}");
}

/// The statistics of each width's model are measured on the samples of clients, in pieces that workers
/// share.
#[test]
fn workers_change_nothing_where_statistics_are_queried() {
    let hash = |ran: &Ran| ran.result.as_ref().unwrap().hash.to_string();
    let text = SIZES.replace("kernel: 3), Relu", "kernel: 3), BatchNorm, Relu");
    let first = Ran::on(1, &text);
    let asked = |ran: &Ran| {
        let rounds = ran.rounds().into_iter();
        rounds
            .map(|round| round.statistics_bytes)
            .collect::<Vec<_>>()
    };
    assert!(asked(&first).iter().all(Option::is_some));
    assert_eq!(asked(&Ran::on(1, SIZES)), [None; 4]);
    for workers in [2, 4] {
        let again = Ran::on(workers, &text);
        assert_eq!(hash(&first), hash(&again), "{workers} workers");
        for file in ["rounds.csv", "accuracy.csv", "sizes.csv", "trace.bin"] {
            assert!(
                first.bytes(file) == again.bytes(file),
                "{file} on {workers} workers"
            );
        }
    }
}

/// Personal models on disk are the same models: with room for none, some or all of them in memory
/// a run is the same, and its folder holds nothing of them afterwards.
#[test]
fn what_clients_keep_may_wait_on_disk() {
    let pruning = ["LotteryFL(acc_threshold: 0)", "Hermes(acc_threshold: 0)"];
    for method in ["LocalOnly()", "Scaffold()"].into_iter().chain(pruning) {
        let text = SIZES.replace("HeteroFL()", method);
        let text = [
            "size: 0.5",
            "size: Drawn([1, 0.5, 0.25])",
            "size: Fit([1, 0.25])",
        ]
        .iter()
        .fold(text, |text, size| text.replace(&format!(", {size}"), ""));
        let hash = |kept| {
            let ran = Ran::keeping(kept, 2, &text);
            let files = ran.record().files;
            assert!(
                files.iter().all(|file| !file.name.contains("kept")),
                "{files:?}"
            );
            ran.result.as_ref().unwrap().hash.to_string()
        };
        let all = hash(u64::MAX);
        // The model has 4,874 parameters: three fit into 60 kB.
        for kept in [0, 60_000] {
            assert_eq!(hash(kept), all, "{method} with {kept} B in memory");
        }
    }
}

/// Many small jobs of three kinds: what workers get is units of several.
const SMALL: &str = "Scenario(
    seed: 3,
    data: Digits,
    partition: (by: Dirichlet(alpha: 1.0), min_per_client: 5),
    model: [Flatten, Dense(24), Relu, Dropout(rate: 0.2), Dense(10)],
    training: (epochs: 2, batch: 8, optimizer: Sgd(lr: 0.1)),
    population: [
        (name: \"plain\", count: 30, device: \"laptop\", link: \"wifi\"),
        (name: \"momentum\", count: 10, device: \"laptop\", link: \"wifi\",
         training: (optimizer: Sgd(lr: 0.05, momentum: 0.9))),
        (name: \"adam\", count: 10, device: \"raspberry-pi-4\", link: \"wifi\",
         training: (optimizer: Adam(lr: 0.001))),
    ],
    schedule: (rounds: 3, cohort: 40),
)";

#[test]
fn jobs_that_run_together_give_the_run_of_jobs_that_run_apart() {
    let first = Ran::on(1, SMALL);
    let hash = |ran: &Ran| ran.result.as_ref().unwrap().hash.to_string();
    for workers in [2, 4] {
        assert_eq!(hash(&first), hash(&Ran::on(workers, SMALL)));
    }
    // Memory for one job at a time: every unit is a single job.
    let narrow = Ran::within(Bytes(1), 2, SMALL);
    assert_eq!(hash(&first), hash(&narrow));
    for file in ["rounds.csv", "clients.csv"] {
        assert!(first.bytes(file) == narrow.bytes(file), "{file}");
    }
}

#[test]
fn with_little_memory_every_client_still_trains() {
    // MIXED has convolutions: its batches are cut, which may show in the last bits and not beyond.
    let (free, tight) = (Ran::on(2, MIXED), Ran::within(Bytes(20_000), 2, MIXED));
    for (free, tight) in free.rounds().iter().zip(tight.rounds()) {
        assert_eq!(free.reported, tight.reported);
        let apart = free.train_loss.unwrap() - tight.train_loss.unwrap();
        assert!(apart.abs() < 1e-3, "{apart}");
    }
}

/// Slow clients and quick ones, loss, clients that are given up and reports that are too old.
const ASYNC: &str = "Scenario(
    seed: 4,
    data: Digits,
    partition: (by: Dirichlet(alpha: 0.5), min_per_client: 5),
    model: [Flatten, Dense(16), Relu, Dense(10)],
    training: (epochs: 1, batch: 16, optimizer: Sgd(lr: 0.1)),
    population: [
        (name: \"phones\", count: 8, device: (preset: \"phone-mid\", startup: \"300 ms\"),
         link: (preset: \"4g\", loss: Independent(0.1), transport: Datagram), participation: 0.8),
        (name: \"boards\", count: 4, device: (preset: \"raspberry-pi-4\", startup: \"2 s\"), link: \"wifi\"),
    ],
    schedule: (rounds: 15, waiting: FedBuff(concurrency: 6, buffer: 3, max_staleness: 4, timeout: \"4 s\")),
)";

#[test]
fn workers_change_nothing_where_clients_are_asked_one_by_one() {
    let hash = |ran: &Ran| ran.result.as_ref().unwrap().hash.to_string();
    let first = Ran::on(1, ASYNC);
    let rounds = first.rounds();
    assert!(
        rounds.iter().any(|round| round.unanswered > 0),
        "nobody is given up"
    );
    assert!(rounds.iter().any(|round| round.staleness_max > Some(1)));
    let record = first.record();
    assert_eq!(record.staleness.reports(), 45);
    assert_eq!(
        Some(record.staleness.max()),
        rounds.iter().filter_map(|r| r.staleness_max).max()
    );
    for workers in [2, 4] {
        let again = Ran::on(workers, ASYNC);
        assert_eq!(hash(&first), hash(&again), "{workers} workers");
        assert_eq!(again.record().staleness, record.staleness);
        for file in ["rounds.csv", "clients.csv", "rejections.csv", "trace.bin"] {
            let [a, b] = [&first, &again].map(|ran| ran.exists(file).then(|| ran.bytes(file)));
            assert!(a == b, "{file} on {workers} workers");
        }
    }
}

/// No server: a graph that is drawn anew in every round, links that lose models, clients that crash, a
/// deadline, adversaries, an evaluation of each client.
const GOSSIP: &str = "Scenario(
    seed: 8,
    data: Digits,
    partition: (by: Dirichlet(alpha: 0.5), min_per_client: 8),
    model: [Flatten, Dropout(rate: 0.2), Dense(16), Relu, Dense(10)],
    training: (epochs: 1, batch: 16, optimizer: Sgd(lr: 0.1)),
    population: [
        (name: \"phones\", count: 8, device: (preset: \"phone-mid\", speed: LogNormal(\"15 GFLOP/s\", 0.5)),
         link: (preset: \"4g\", loss: Independent(0.05), transport: Datagram)),
        (name: \"laptops\", count: 8, device: \"laptop\", link: \"wifi\"),
    ],
    topology: Gossip(graph: RandomRegular(degree: 4), redraw_every: 1),
    schedule: (rounds: 8, deadline: \"3 s\"),
    adversaries: [(who: Count(2), attack: SignFlip())],
    faults: [(fault: Crash(), who: Count(4), when: Rate(every: \"10 s\", lasts: \"2 s\"))],
    evaluation: (every: 2, per_client: true),
)";

#[test]
fn workers_change_nothing_where_there_is_no_server() {
    let hash = |ran: &Ran| ran.result.as_ref().unwrap().hash.to_string();
    let first = Ran::on(1, GOSSIP);
    let rounds = first.rounds();
    assert_eq!(rounds.len(), 8);
    assert!(rounds.iter().map(|round| round.unanswered).sum::<u32>() > 0);
    assert!(rounds.iter().map(|round| round.late_arrivals).sum::<u32>() > 0);
    for round in &rounds {
        let due = round.round % 2 == 0;
        assert_eq!(round.consensus_distance.is_some(), due, "{round:?}");
        assert_eq!(round.accuracy.is_some() && round.client_mean.is_some(), due);
    }
    let messages = first.record().messages;
    let kinds: Vec<&str> = messages.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["model", "notice"]);
    assert!(messages["model"].lost > 0);
    assert_eq!(messages["notice"].lost + messages["notice"].bytes, 0);
    for workers in [2, 4] {
        let again = Ran::on(workers, GOSSIP);
        assert_eq!(hash(&first), hash(&again), "{workers} workers");
        for file in ["rounds.csv", "clients.csv", "accuracy.csv", "trace.bin"] {
            assert!(
                first.bytes(file) == again.bytes(file),
                "{file} on {workers} workers"
            );
        }
    }
}
