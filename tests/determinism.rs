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
    let lost: u32 = first.rounds().iter().map(|round| round.lost).sum();
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
