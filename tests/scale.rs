//! That a modelled federation is the real one without its arithmetic, and that its size is measured.

use super::tiny::{Ran, TINY};
use shoal::federation::Compute;
use shoal::method::MethodSpec;
use shoal::observe::rows::{ClientOutcome, ClientRow, RoundRow};
use shoal::observe::table::read_rows;
use shoal::quantity::Probability;
use shoal::scale::Measurement;
use std::path::Path;
use std::process::{Command, Output};

/// All that could part the two: drawn speeds, jitter, losses, absence, over-selection, a deadline,
/// several widths, clients that decline, an evaluation of each client.
fn federation(method: &str, sized: bool, more: &str) -> String {
    let size = if sized { ", size: Drawn([1, 0.5])" } else { "" };
    let head = if method.starts_with("DepthFL") {
        "Flatten, Dense(16), Relu, Exit(head: [Dense(10)]), Dense(16), Relu, Dense(10)"
    } else {
        "Flatten, Dense(16), Relu, Dense(10)"
    };
    format!(
        "Scenario(
            name: \"federation\",
            seed: 9,
            data: Digits,
            public: (share: 0.05),
            partition: (by: Dirichlet(alpha: 0.5), min_per_client: 5),
            model: [{head}],
            training: (epochs: 1, batch: 16, optimizer: Sgd(lr: 0.05)),
            population: [
                (name: \"phones\", count: 12, participation: 0.9{size},
                 device: (preset: \"phone-mid\", speed: LogNormal(\"15 GFLOP/s\", 0.5)),
                 link: (preset: \"4g\", loss: Independent(0.03), transport: Datagram)),
                (name: \"boards\", count: 4, device: \"raspberry-pi-4\", link: \"satellite-leo\"),
                (name: \"small\", count: 2, device: (preset: \"laptop\", memory: \"1 kB\"), link: \"lan\"),
            ],
            method: {method},
            schedule: (rounds: 4, cohort: 5, over_selection: 1.6, deadline: \"2500 ms\"),
            evaluation: (per_client: true),
            record: (events: Events(kinds: [\"work\"])),
            {more}
        )"
    )
}

/// A round without what was learned.
fn unlearned(row: RoundRow) -> RoundRow {
    RoundRow {
        accuracy: None,
        select_accuracy: None,
        select_loss: None,
        loss: None,
        train_loss: None,
        client_mean: None,
        client_std: None,
        client_p5: None,
        client_p95: None,
        client_worst10: None,
        client_worst10_clients: None,
        client_worst10_samples: None,
        received_mean: None,
        received_std: None,
        received_p5: None,
        received_p95: None,
        received_worst10: None,
        received_worst10_samples: None,
        trained_mean: None,
        trained_std: None,
        trained_p5: None,
        trained_p95: None,
        trained_worst10: None,
        trained_worst10_samples: None,
        trained_worst10_clients: None,
        trained_clients: None,
        ..row
    }
}

fn same_protocol(name: &str, text: &str) {
    let real = Ran::of(text);
    let modelled = Ran::changed(text, Path::new("test.ron"), &["compute=Modelled"]);
    if let Err(error) = &modelled.result {
        panic!("{name}: {error}");
    }
    assert!(!real.bytes("events.jsonl").is_empty(), "{name}");
    assert!(
        modelled.bytes("events.jsonl").is_empty(),
        "{name}: a job reached a device worker"
    );
    let rounds = modelled.rounds();
    for row in &rounds {
        assert_eq!(
            *row,
            unlearned(row.clone()),
            "{name}: something was learned"
        );
    }
    let expected: Vec<RoundRow> = real.rounds().into_iter().map(unlearned).collect();
    assert_eq!(rounds, expected, "{name}");
    let unlearned = |row: ClientRow| ClientRow {
        loss: None,
        trained_accuracy: None,
        received_accuracy: None,
        ..row
    };
    let expected: Vec<ClientRow> = real.clients().into_iter().map(unlearned).collect();
    assert_eq!(modelled.clients(), expected, "{name}");
    let (real, modelled) = (real.record(), modelled.record());
    assert_eq!(modelled.messages, real.messages, "{name}");
    let (real, modelled) = (real.totals.unwrap(), modelled.totals.unwrap());
    assert_eq!(modelled.virtual_ns, real.virtual_ns, "{name}");
    assert_eq!(modelled.final_accuracy, None, "{name}");
}

#[test]
fn every_method_that_can_be_modelled_holds_the_rounds_of_a_real_run() {
    let mut asked = 0;
    for (name, _) in MethodSpec::ALL {
        let text = federation(&format!("{name}()"), false, "");
        let scenario = shoal::scenario::Scenario::parse(&text, Path::new("s.ron"), &[]);
        let scenario = scenario.unwrap_or_else(|wrong| panic!("{name}: {wrong:#}"));
        let method = scenario.method.method();
        if method.modelled().is_err() {
            continue;
        }
        asked += 1;
        let sized = method.sizes();
        same_protocol(name, &federation(&format!("{name}()"), sized, ""));
    }
    assert!(asked >= 14, "{asked}");
}

#[test]
fn compression_and_the_servers_own_training_take_their_bytes_and_their_time() {
    let tuned = "FedAvg(fine_tune: Some((epochs: 1)))";
    for (method, sized, more) in [
        ("FedAvg()", false, "compression: Int8()"),
        ("Scaffold()", false, "compression: TopK(share: 0.1)"),
        ("HeteroFL()", true, "compression: Qsgd()"),
        (
            tuned,
            false,
            "server: (device: (preset: \"server\", speed: \"10 MFLOP/s\"))",
        ),
    ] {
        same_protocol(
            &format!("{method} {more}"),
            &federation(method, sized, more),
        );
    }
}

#[test]
fn faults_befall_modelled_clients_as_real_ones() {
    let faults = "faults: [
        (fault: Crash(keep_state: false), when: Rate(every: \"4 s\", lasts: \"1 s\")),
        (fault: PartialWork(0.5), p: 0.4),
        (fault: OutOfMemory, p: 0.2),
        (fault: DuplicateReport(1), p: 0.3),
        (fault: LateReport(\"300 ms\"), p: 0.3),
        (fault: ReplayReport, p: 0.2),
        (fault: StaleModel, p: 0.2),
        (fault: ServerCrash, when: Once(at: \"5 s\", lasts: \"1 s\")),
    ]";
    same_protocol("faults", &federation("FedAvg()", false, faults));
}

#[test]
fn every_output_of_a_modelled_run_says_so() {
    let text = TINY.replace("seed: 3,", "seed: 3, compute: Modelled,");
    let ran = Ran::of(&text);
    let table = &ran.result.as_ref().unwrap().table;
    assert!(table.contains("\n  compute       modelled\n"), "{table}");
    assert!(table.contains("\n  accuracy      \u{2013}\n"), "{table}");
    assert_eq!(ran.record().compute.as_deref(), Some("modelled"));
    let page = String::from_utf8(ran.bytes("report.html")).unwrap();
    assert!(page.contains("<dt>compute</dt><dd>modelled</dd>"));
    assert!(!page.contains("Accuracy by round"));
    assert_eq!(Ran::of(TINY).record().compute, None);
}

#[test]
fn a_run_that_samples_everybody_is_the_real_one() {
    let text = federation("FedAvg()", false, "");
    let hash = |ran: &Ran| ran.result.as_ref().unwrap().hash.to_string();
    let all = Ran::changed(&text, Path::new("test.ron"), &["compute=Sampled(1.0)"]);
    assert_eq!(hash(&all), hash(&Ran::of(&text)));
}

#[test]
fn of_a_sampled_run_those_who_were_drawn_train_and_the_model_is_theirs() {
    let text = federation("FedAvg()", false, "");
    let overrides = ["compute=Sampled(0.5)"];
    let ran = Ran::changed(&text, Path::new("test.ron"), &overrides);
    let compute = Compute::Sampled(Probability::new(0.5).unwrap());
    let rows = ran.clients();
    let reported = |row: &&ClientRow| row.outcome == ClientOutcome::Reported;
    let mut trained = 0;
    for row in rows.iter().filter(reported) {
        let drawn = compute.trains(9, row.client, row.round);
        assert_eq!(row.loss.is_some(), drawn, "{row:?}");
        assert!(row.steps > 0, "{row:?}");
        trained += u32::from(drawn);
    }
    let all = rows.iter().filter(reported).count() as u32;
    assert!(trained > 2 && trained < all, "{trained} of {all}");
    // The mean loss of a round is of those who trained, by their samples.
    for round in ran.rounds() {
        let of_round = rows
            .iter()
            .filter(reported)
            .filter(|r| r.round == round.round);
        let (mut sum, mut weight) = (0.0, 0.0);
        for row in of_round {
            if let Some(loss) = row.loss {
                sum += loss * f64::from(row.samples);
                weight += f64::from(row.samples);
            }
        }
        match round.train_loss {
            Some(loss) => assert!((loss - sum / weight).abs() < 1e-9),
            None => assert_eq!(weight, 0.0),
        }
        assert!(round.accuracy.is_some());
    }
    assert_eq!(ran.record().compute.as_deref(), Some("sampled (0.5)"));
    assert!(ran
        .result
        .as_ref()
        .unwrap()
        .table
        .contains("compute       sampled (0.5)\n"));
    let again = Ran::changed(&text, Path::new("test.ron"), &overrides);
    assert_eq!(ran.bytes("rounds.csv"), again.bytes("rounds.csv"));
    // Times and bytes are those of the real run.
    let real: Vec<RoundRow> = Ran::of(&text).rounds().into_iter().map(unlearned).collect();
    let rounds: Vec<RoundRow> = ran.rounds().into_iter().map(unlearned).collect();
    assert_eq!(rounds, real);
}

/// Enough clients for several shards, and far more than there are samples.
const CROWD: &str = "Scenario(
    name: \"crowd\",
    seed: 2,
    data: Digits,
    partition: (by: Shared(per_client: 20), holdout: 0.2),
    model: \"logistic\",
    population: [(count: 30000, link: \"4g\"), (name: \"slow\", count: 10000, device: \"phone-low\", link: \"3g\")],
    schedule: (rounds: 2, cohort: 300, over_selection: 1.2, deadline: \"60 s\"),
    compute: Modelled,
)";

#[test]
fn a_crowd_is_the_same_on_any_number_of_workers_and_shards() {
    let hash = |workers| {
        let ran = Ran::on(workers, CROWD);
        let finished = ran
            .result
            .as_ref()
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(finished.totals.reports, 600);
        finished.hash.to_string()
    };
    let one = hash(1);
    assert_eq!(one, hash(2));
    assert_eq!(one, hash(5));
}

fn shoal(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
    command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn a_scenario_is_measured_at_several_sizes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.ron"), TINY).unwrap();
    let arguments = "scale tiny.ron --population 2e3,8,500 --rounds 2 --out s --workers 1";
    let done = shoal(folder.path(), &arguments.split(' ').collect::<Vec<_>>());
    let err = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{err}");
    let out = String::from_utf8_lossy(&done.stdout);
    assert!(
        out.contains("host time of a round grows with the power"),
        "{out}"
    );
    let rows: Vec<Measurement> = read_rows(&folder.path().join("s/scale.csv")).unwrap();
    let found: Vec<_> = rows
        .iter()
        .map(|r| (r.population, r.cohort, r.rounds))
        .collect();
    assert_eq!(found, [(8, 4, 2), (500, 4, 2), (2_000, 4, 2)]);
    assert!(rows
        .iter()
        .all(|row| !row.capped && !out.contains("capped")));
    assert!(rows
        .iter()
        .all(|row| row.compute == "modelled" && row.samples == 179));
    let picture = std::fs::read_to_string(folder.path().join("s/scale.svg")).unwrap();
    assert!(picture.contains("host time of a round"));

    let arguments =
        "scale tiny.ron --population 8 --cohort 2 --rounds 1 --compute real --out s --seed 5";
    let done = shoal(folder.path(), &arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(done.status.code(), Some(0));
    let rows: Vec<Measurement> = read_rows(&folder.path().join("s/scale.csv")).unwrap();
    assert_eq!(
        (rows.len(), rows[0].cohort, rows[0].compute.as_str()),
        (1, 2, "real")
    );
}

/// A federation whose reports queue for the way into the server, 22 ms each: the only thing that grows.
/// Beside it a round is two seconds of starting up.
fn through_a_narrow_gate(clients: u32) -> Measurement {
    let text = format!(
        "(data: Digits, model: \"logistic\", compute: Modelled, partition: (by: Shared(per_client: 20)),
          population: [(count: {clients}, device: (preset: \"laptop\", startup: \"2 s\"), link: \"lan\")],
          server: (link: (up: \"10 Gbit/s\", down: \"1 Mbit/s\")),
          schedule: (rounds: 3, cohort: 0.5),
          record: (clients: false, trace: false))"
    );
    let scenario = shoal::scenario::Scenario::parse(&text, Path::new("s.ron"), &[]);
    let scenario = scenario.unwrap_or_else(|wrong| panic!("{wrong:#}"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let measured = shoal::scale::measure(&scenario, std::time::Instant::now(), 1, &stop);
    measured.unwrap().unwrap()
}

#[test]
fn a_forecast_is_what_a_run_beyond_it_finds() {
    let rows: Vec<Measurement> = [40, 80, 160].map(through_a_narrow_gate).into();
    assert!(rows.iter().all(|row| !row.capped));
    assert!(
        rows.iter().all(|row| row.link_use.unwrap() < 0.8),
        "{rows:?}"
    );
    let found = shoal::scale::verdict(&rows, None);
    let link = found
        .limits
        .iter()
        .find(|limit| limit.resource.contains("link"));
    let foretold = link.unwrap_or_else(|| panic!("{found}")).clients;
    let at = |times: f64| {
        through_a_narrow_gate((foretold * times) as u32)
            .link_use
            .unwrap()
    };
    assert!(
        foretold > 4.0 * 160.0,
        "beyond what was measured: {foretold}"
    );
    // It is said to be in use for 95 % of the time there.
    assert!((0.93..0.97).contains(&at(1.0)), "{} at {foretold}", at(1.0));
    assert!(
        at(0.5) < 0.93 && at(2.0) > 0.96,
        "{} and {}",
        at(0.5),
        at(2.0)
    );
}

#[test]
fn populations_too_small_for_the_cohort_are_marked_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.ron"), TINY).unwrap();
    let arguments = "scale tiny.ron --population 4,8,20,40 --cohort 16 --rounds 2 --out s";
    let done = shoal(folder.path(), &arguments.split(' ').collect::<Vec<_>>());
    let out = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{out}");
    let rows: Vec<Measurement> = read_rows(&folder.path().join("s/scale.csv")).unwrap();
    let capped: Vec<bool> = rows.iter().map(|row| row.capped).collect();
    assert_eq!(capped, [true, true, false, false]);
    for said in [
        "8 (capped)",
        "2 populations were too small for the cohort (capped, up to 8 clients) and left out",
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }
}

#[test]
fn what_cannot_be_measured_is_told_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.ron"), TINY).unwrap();
    for (arguments, said) in [
        ("scale tiny.ron", "--population"),
        (
            "scale tiny.ron --population 1e3,x",
            "\"x\" is no number of clients",
        ),
        ("scale tiny.ron --population 1e3 --cohort 0", "--cohort"),
        ("scale absent.ron --population 1e3", "absent.ron"),
        (
            "scale tiny.ron --population 1e3 --set method=LotteryFL()",
            "for a population of 1000:\n",
        ),
        (
            "scale tiny.ron --population 1e3 --set schedule.stop_at_accuracy=0.9",
            "compute: Modelled learns nothing",
        ),
    ] {
        let done = shoal(folder.path(), &arguments.split(' ').collect::<Vec<_>>());
        let err = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{arguments}: {err}");
        assert!(err.contains(said), "{arguments}: {err}");
        assert!(done.stdout.is_empty(), "{arguments}");
    }
    assert!(!folder.path().join("runs").exists());
}
