//! A federation that goes on from a checkpoint does the same as one that was never stopped, for every
//! method: a checkpoint has everything that the following rounds depend on.
//!
//! - `servers`: servers that ask clients one by one, edge servers, and federations without a server.

use super::{DeviceWorker, Federation, Record};
use crate::method::MethodSpec;
use crate::model::Spill;
use crate::run::assemble;
use crate::scenario::Scenario;
use crate::select::SelectionSpec;
use crate::sim::{
    Delivery, Digest, Ending, Key, Observe, Recorder, RecorderError, Simulation, Summary, Workers,
};
use crate::snapshot::testing::{reader, try_bytes_of};
use crate::snapshot::Writer;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

mod servers;

/// Keeps what is recorded and every checkpoint.
#[derive(Default)]
struct Memory {
    records: Vec<(Key, u64)>,
    late: u32,
    /// How many reports were of training that stopped early.
    partial: u32,
    fatal: Option<String>,
    /// Each with the number of records before it.
    checkpoints: Vec<(usize, Vec<u8>)>,
}

impl Recorder<Federation> for Memory {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, at: Key, record: Record) -> Result<(), RecorderError> {
        self.records.push((at, record.digest()));
        match record {
            Record::Round(row) => {
                self.late += row.late_arrivals;
                self.partial += row.partial.unwrap_or(0);
            }
            Record::Fatal(reason) => self.fatal = Some(reason),
            _ => {}
        }
        Ok(())
    }

    fn checkpoint(&mut self, save: &mut dyn FnMut(Writer) -> Writer) -> Result<(), RecorderError> {
        let bytes = try_bytes_of(|to| {
            let writer = std::mem::replace(to, Writer::nowhere());
            *to = save(writer);
        });
        let bytes = bytes.map_err(|error| RecorderError(Box::new(error)))?;
        self.checkpoints.push((self.records.len(), bytes));
        Ok(())
    }
}

/// A federation in which much is under way whenever a round ends: slow clients train on, their late
/// reports creep over thin links with bursts of losses, and one client declines.
fn scenario(method: &str) -> Scenario {
    wearing(method, "")
}

/// The settings with which each method shows what it keeps.
pub(super) fn settings(method: &str) -> &'static str {
    // Those that prune are to prune, and what is learned on the public set is to be learned soon.
    match method {
        "LotteryFL" | "Hermes" => "acc_threshold: 0",
        "FedConv" => "tune: 1, filter: 2, filter_later: 1, tune_clients: 1, aggregate: 2",
        "FedMD" => "transfer_public_epochs: 1, transfer_private_epochs: 1",
        "PublicOnly" => "epochs: 1",
        _ => "",
    }
}

/// The same with further fields.
pub(super) fn wearing(method: &str, further: &str) -> Scenario {
    changed(method, further, &[])
}

/// The same with fields changed.
fn changed(method: &str, further: &str, overrides: &[&str]) -> Scenario {
    let rounds = "rounds: 5, cohort: 4, over_selection: 2.0, deadline: \"3 s\"";
    holding(rounds, method, further, overrides)
}

/// The same with another schedule.
fn holding(schedule: &str, method: &str, further: &str, overrides: &[&str]) -> Scenario {
    let sized = |size: &str| match method.split('(').next() {
        Some("HeteroFL" | "FedRolex" | "FedDropout" | "FjORD" | "DepthFL" | "FedConv") => {
            format!(", size: {size}")
        }
        Some("FedMD" | "TailorFL" | "LocalOnly") => format!(", size: {size}"),
        _ => String::new(),
    };
    let (half, drawn) = (sized("0.5"), sized("Drawn([1, 0.5])"));
    let exit = match method.starts_with("DepthFL") {
        true => "Exit(head: [Dense(10)]), Dense(8), Relu, ",
        false => "",
    };
    let bursts =
        "GilbertElliott(p_good_to_bad: 0.2, p_bad_to_good: 0.3, loss_good: 0, loss_bad: 0.5)";
    let text = format!(
        "Scenario(
            seed: 9,
            data: Digits,
            public: (share: 0.01, select: 0.25),
            partition: (by: Dirichlet(alpha: 1.0), min_per_client: 8, holdout: 0.2),
            model: [Flatten, Dense(12), Relu, {exit}Dense(10)],
            training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
            population: [
                (name: \"quick\", count: 5, device: \"laptop\", participation: 0.8,
                 link: (preset: \"lan\", up: \"300 kbit/s\", loss: {bursts}){drawn}),
                (name: \"slow\", count: 3, device: (preset: \"laptop\", speed: \"700 kFLOP/s\"),
                 link: (preset: \"wifi\", up: \"20 kbit/s\", down: \"60 kbit/s\", sharing: Fifo){half}),
                (name: \"small\", count: 1, device: (preset: \"laptop\", memory: \"1 kB\"), link: \"lan\"),
            ],
            method: {method},
            schedule: ({schedule}),
            evaluation: (per_client: true),
            checkpoint: (every: 1),
            {further}
        )"
    );
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    let scenario = Scenario::parse(&text, Path::new("s.ron"), &overrides);
    scenario.unwrap_or_else(|problems| panic!("{problems:#}"))
}

fn run(
    scenario: &Scenario,
    from: Option<&[u8]>,
    workers: usize,
    shards: usize,
    kept: u64,
) -> (Summary, Memory) {
    let folder = tempfile::tempdir().unwrap();
    let mut federation = assemble(scenario, Default::default()).unwrap();
    federation.spill_to(Spill::create(folder.path(), kept).unwrap());
    let layouts = federation.layouts();
    let mut memory = Memory::default();
    let pool = Workers::start(workers, DeviceWorker::new).unwrap();
    let simulation = Simulation {
        world: Arc::new(federation),
        seed: scenario.seed,
        shards,
    };
    let never = AtomicBool::new(false);
    let summary = match from {
        Some(bytes) => {
            let mut from = reader(bytes);
            from.know(layouts);
            simulation.resume(from, &pool, &mut memory, &never)
        }
        None => simulation.run(&pool, &mut memory, &never),
    };
    let summary = summary.unwrap();
    assert_eq!(summary.ending, Ending::Finished);
    assert_eq!(memory.fatal, None);
    (summary, memory)
}

/// Runs it whole, and again from its checkpoints: one in `step` of them, from the first.
fn holds(scenario: &Scenario, kept: u64, step: usize) -> Memory {
    let (whole, memory) = run(scenario, None, 2, 1, kept);
    let name = scenario.method.name();
    assert!(!memory.checkpoints.is_empty(), "{name}");
    for (place, (told, bytes)) in memory.checkpoints.iter().enumerate().step_by(step) {
        let (summary, rest) = run(scenario, Some(bytes), 1, 1 + place % 3, kept);
        assert_eq!(rest.records, memory.records[*told..], "{name} from {place}");
        assert_eq!(summary.hash, whole.hash, "{name} from {place}");
        assert_eq!(summary.accounting, whole.accounting, "{name} from {place}");
        assert_eq!(summary.delivered, whole.delivered, "{name} from {place}");
    }
    memory
}

#[test]
fn every_method_goes_on_from_a_checkpoint_as_if_it_had_not_been_stopped() {
    for (name, _) in MethodSpec::ALL {
        let settings = settings(name);
        let step = if *name == "FedAvg" { 1 } else { 2 };
        // A server that works alone is slow, so that its run is not over before the first checkpoint.
        let slow = "server: (device: (speed: \"1 MFLOP/s\"))";
        let alone = matches!(*name, "Centralised" | "PublicOnly");
        let further = if alone { slow } else { "" };
        let scenario = changed(&format!("{name}({settings})"), further, &[]);
        let memory = holds(&scenario, u64::MAX, step);
        if *name == "FedAvg" {
            assert!(memory.late > 0, "nothing was under way when a round ended");
            assert_eq!(memory.checkpoints.len(), 4);
        }
    }
}

#[test]
fn options_that_add_to_a_servers_state_go_on_too() {
    let tuned = "fine_tune: Some((epochs: 1))";
    for method in [
        format!("FedAvg({tuned})"),
        format!("HeteroFL({tuned})"),
        "FedAvgM(momentum: 0.5)".into(),
        "Hermes(acc_threshold: 0, overlap: Any)".into(),
        "FedMD(public_set: Installed, subset: 5, transfer_public_epochs: 0)".into(),
    ] {
        holds(&scenario(&method), u64::MAX, 3);
    }
}

/// Statistics are queried at both widths, also by a server that has been down.
#[test]
fn queried_statistics_go_on_too() {
    let network = "model=[Conv(out: 4, kernel: 3), BatchNorm, Relu, Flatten, Dense(10)]";
    let crash =
        "faults: [(fault: ServerCrash, when: Repeated(between: \"4 s\", lasts: \"500 ms\"))]";
    for (method, further) in [
        ("HeteroFL()", ""),
        ("FedRolex()", crash),
        ("TailorFL()", ""),
        ("HeteroFL()", "compute: Modelled"),
        ("FedDropout()", "compression: Int8()"),
    ] {
        holds(&changed(method, further, &[network]), u64::MAX, 2);
    }
}

#[test]
fn what_is_worn_attacked_and_goes_wrong_goes_on_too() {
    for (method, further) in [
        ("Scaffold()", "compression: TopK(share: 0.1, error_feedback: true)"),
        ("FedAvg()", "compression: Qsgd(levels: 4), privacy: LocalDp(clip: 1.0, noise: 0.1, delta: 1e-5)"),
        ("FedAvgM()", "privacy: CentralDp(clip: 1.0, noise: 0.5, delta: 1e-5, adaptive: (count_noise: 1.0))"),
        ("FedAvg()", "secure_aggregation: SecAgg(threshold: 0.3)"),
        ("FedAvg()", "defence: FoolsGold(), adversaries: [(who: Count(2), attack: Sybils())]"),
        ("FedAdam()", "defence: CentredClipping(), adversaries: [(who: Count(2), attack: Alie(knowledge: Defence))]"),
        ("FedAvg()", "defence: FLTrust(), adversaries: [(who: Count(2), attack: LabelFlip())]"),
        (
            "Scaffold()",
            "faults: [(fault: Duplicate(after: \"4 s\"), p: 0.5), (fault: StaleModel, p: 0.5),
                (fault: LateReport(\"2 s\"), p: 0.3), (fault: ReplayReport, p: 0.5),
                (fault: Crash(), when: Rate(every: \"8 s\", lasts: \"1 s\")),
                (fault: Corrupt(how: Truncate, checksum: false), p: 0.3, kinds: [\"report\"]),
                (fault: Disconnect, when: Messages(from: 3, until: 3), who: Count(4)),
                (fault: Bandwidth(0.3), when: Repeated(between: \"2 s\", lasts: \"1 s\")),
                (fault: BurstLoss(p_good_to_bad: 0.1, p_bad_to_good: 0.3), who: Count(5))]",
        ),
        ("Scaffold()", "compute: Sampled(0.5), compression: TopK(share: 0.1, error_feedback: true)"),
        (
            "HeteroFL(fine_tune: Some((epochs: 1)))",
            "compute: Modelled, server: (device: (preset: \"server\", speed: \"20 MFLOP/s\")),
             faults: [(fault: ServerCrash, when: Repeated(between: \"4 s\", lasts: \"500 ms\")),
                (fault: PartialWork(0.5), p: 0.5), (fault: ReplayReport, p: 0.5),
                (fault: Crash(), when: Rate(every: \"8 s\", lasts: \"1 s\"))]",
        ),
        (
            "FedConv(tune: 1, filter: 2, filter_later: 1, tune_clients: 1, aggregate: 2)",
            "server: (device: (preset: \"server\", speed: \"1 GFLOP/s\"), checkpoint_every: 2),
             faults: [(fault: ServerCrash, when: Repeated(between: \"4 s\", lasts: \"500 ms\"))]",
        ),
        (
            "FedAvgM()",
            "privacy: CentralDp(clip: 1.0, noise: 0.5, delta: 1e-5), compression: Int8(),
             faults: [(fault: ServerCrash, when: Rate(every: \"6 s\", lasts: \"500 ms\")),
                (fault: TornCheckpoint, p: 0.5)]",
        ),
    ] {
        let scenario = wearing(method, further);
        let (whole, memory) = run(&scenario, None, 2, 1, u64::MAX);
        for (place, (told, bytes)) in memory.checkpoints.iter().enumerate() {
            let (summary, rest) = run(&scenario, Some(bytes), 1, 1 + place % 3, u64::MAX);
            assert_eq!(rest.records, memory.records[*told..], "{further} from {place}");
            assert_eq!(summary.hash, whole.hash, "{further} from {place}");
            assert_eq!(summary.accounting, whole.accounting, "{further} from {place}");
        }
    }
}

/// On one to three shards, too: who is there does not depend on them.
#[test]
fn who_is_there_goes_on_too() {
    let markov = r#"population[0].availability=Markov(on: Exponential(min: "0 s", mean: "2 s"), off: "1 s")"#;
    let diurnal = r#"population[1].availability=Diurnal(low: 0.3, zones: [0, 5], day: "10 s")"#;
    let charging = r#"population[1].availability=Charging(plugged: "1 s", lasts: "6 s", skipped: 0.2, day: "10 s")"#;
    let (pause, abandon) = (
        "population[0].leaving=Pause",
        "population[0].leaving=Abandon",
    );
    let slow = "population[1].leaving=Pause";
    let quick = "population[2].availability=SLN(0.3)";
    let few = "schedule.least_reports=4";
    let faults = "faults: [(fault: Pause, when: Rate(every: \"3 s\", lasts: \"500 ms\"))]";
    for (overrides, further) in [
        ([markov, pause, diurnal, slow, quick], ""),
        ([markov, abandon, charging, quick, few], ""),
        ([markov, abandon, diurnal, slow, few], faults),
    ] {
        holds(&changed("Scaffold()", further, &overrides), u64::MAX, 1);
    }
}

/// On any number of workers, too.
#[test]
fn clients_that_stop_early_go_on_too() {
    let rounds = "rounds: 5, cohort: 8, deadline: \"6 s\", \
                  on_deadline: ReportPartial(reserve: \"100 ms\")";
    let faults = "faults: [(fault: Pause, when: Rate(every: \"3 s\", lasts: \"200 ms\")),
        (fault: Crash(), when: Rate(every: \"8 s\", lasts: \"1 s\"))]";
    let secure = "secure_aggregation: SecAgg(threshold: 0.3)";
    for (method, further) in [
        ("FedProx()", ""),
        ("Scaffold()", faults),
        ("FedNova()", "compute: Sampled(0.5)"),
        ("FedAvg()", "compression: Qsgd(levels: 4)"),
        ("FedAvg()", secure),
    ] {
        // Masks take a slow client longer than its training.
        let deadline = match further == secure {
            true => "schedule.deadline=15 s",
            false => "schedule.deadline=6 s",
        };
        let slow = "population[1].device.speed=150 kFLOP/s";
        let scenario = holding(rounds, method, further, &[slow, deadline]);
        let memory = holds(&scenario, u64::MAX, 3);
        assert!(memory.partial > 0, "{method}: nobody stopped early");
        let hash = |workers| run(&scenario, None, workers, 1, u64::MAX).0.hash;
        let alone = hash(1);
        assert!(
            [2, 4].map(hash).iter().all(|more| *more == alone),
            "{method}"
        );
    }
}

#[test]
fn what_clients_have_spent_goes_on_too() {
    let energy = r#"population[1].budget=(energy: "60 J", per: "9 s")"#;
    let data = r#"population[0].budget=(data: "14 kB")"#;
    let crash = "faults: [(fault: Crash(keep_state: false), when: Rate(every: \"4 s\", lasts: \"500 ms\"))]";
    for further in ["", crash] {
        holds(
            &changed("Scaffold()", further, &[energy, data]),
            u64::MAX,
            1,
        );
    }
}

#[test]
fn every_policy_of_selection_remembers_what_it_has_heard() {
    for (name, _) in SelectionSpec::ALL {
        let policy = format!("selection: {name}()");
        let scenario = wearing("FedAvg()", &policy);
        let (whole, memory) = run(&scenario, None, 2, 1, u64::MAX);
        let (told, bytes) = &memory.checkpoints[2];
        let (summary, rest) = run(&scenario, Some(bytes), 1, 2, u64::MAX);
        assert_eq!(rest.records, memory.records[*told..], "{name}");
        assert_eq!(summary.hash, whole.hash, "{name}");
    }
    // And so does a server that was down.
    let crash = "(fault: ServerCrash, when: Repeated(between: \"5 s\", lasts: \"100 ms\"))";
    let further = format!("selection: Oort(window: 1), faults: [{crash}]");
    let scenario = wearing("FedAvg()", &further);
    let (whole, memory) = run(&scenario, None, 2, 1, u64::MAX);
    for (told, bytes) in &memory.checkpoints {
        let (summary, rest) = run(&scenario, Some(bytes), 1, 2, u64::MAX);
        assert_eq!(rest.records, memory.records[*told..]);
        assert_eq!(summary.hash, whole.hash);
    }
}

#[test]
fn what_clients_keep_on_disk_is_part_of_a_checkpoint() {
    for method in ["Scaffold()", "LocalOnly()", "LotteryFL(acc_threshold: 0)"] {
        for kept in [0, 8_000] {
            holds(&scenario(method), kept, 3);
        }
    }
}

#[test]
fn checkpoints_do_not_show_in_the_trace() {
    let scenario = scenario("Scaffold()");
    let without = Scenario {
        checkpoint: None,
        ..scenario.clone()
    };
    let (with, memory) = run(&scenario, None, 1, 1, u64::MAX);
    let (without, plain) = run(&without, None, 1, 1, u64::MAX);
    assert_eq!((memory.checkpoints.len(), plain.checkpoints.len()), (4, 0));
    assert_eq!(with.hash, without.hash);
    assert_eq!(with.windows, without.windows);
}

/// The global model is in dozens of places: in the server, on links, with clients.
#[test]
fn a_parameter_set_is_written_once_however_many_have_it() {
    let scenario = scenario("FedAvg()");
    let (_, memory) = run(&scenario, None, 1, 1, u64::MAX);
    let size = scenario.model.bytes.0 as usize;
    for (_, bytes) in &memory.checkpoints {
        // Each slow client's report is its own; all tasks share the model of their round.
        assert!(
            bytes.len() < 10 * size,
            "{} bytes, {size} a model",
            bytes.len()
        );
    }
}

#[test]
fn a_damaged_checkpoint_is_an_error_and_never_a_panic() {
    let scenario = scenario("Scaffold()");
    let (_, memory) = run(&scenario, None, 1, 1, u64::MAX);
    let bytes = &memory.checkpoints[2].1;
    let pool = Workers::start(1, DeviceWorker::new).unwrap();
    let stop = AtomicBool::new(true);
    for place in (0..bytes.len()).step_by(bytes.len() / 60) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x55;
        let federation = assemble(&scenario, Default::default()).unwrap();
        let mut from = reader(&damaged);
        from.know(federation.layouts());
        let simulation = Simulation {
            world: Arc::new(federation),
            seed: scenario.seed,
            shards: 1,
        };
        // A changed weight is a value as any other: the file's checksum is there for that.
        let _ = simulation.resume(from, &pool, &mut Memory::default(), &stop);
    }
}
