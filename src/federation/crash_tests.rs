//! Servers that go down in the middle of things.

use super::testing::Heard;
use super::DeviceWorker;
use crate::method::{MethodError, MethodSpec, Payload, Phase, Received, ServerHalf, ServerJob};
use crate::observe::rows::{ClientOutcome, Outcome, RoundRow};
use crate::quantity::{Span, VirtualTime};
use crate::run::assemble;
use crate::scenario::Scenario;
use crate::sim::{Ending, Simulation, Summary, Workers};
use crate::snapshot::{Damaged, Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// The digest of the model that each round began with.
type Models = Arc<Mutex<BTreeMap<u32, u64>>>;

/// Notes which model a round begins with.
struct Watched {
    inner: Box<dyn ServerHalf>,
    models: Models,
}

impl ServerHalf for Watched {
    fn inner(&self) -> Option<&dyn ServerHalf> {
        Some(&*self.inner)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        Some(&mut *self.inner)
    }

    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        self.inner.task(client, round)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        self.inner.receive(report)
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let (Phase::BeforeRound(round), Some(global)) = (phase, self.inner.global()) {
            let digest = global.digest().unwrap();
            self.models.lock().unwrap().insert(round, digest);
        }
        self.inner.step(phase, outputs)
    }

    fn abandon(&mut self) {
        self.inner.abandon();
    }

    fn save(&self, to: &mut Writer) {
        self.inner.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.inner.restore(from)
    }
}

struct Run {
    heard: Heard,
    models: BTreeMap<u32, u64>,
    summary: Summary,
}

impl Run {
    fn round(&self, number: u32) -> &RoundRow {
        &self.heard.rounds[number as usize - 1]
    }

    fn model(&self, round: u32) -> u64 {
        self.models[&round]
    }

    /// The middle of a round, in seconds.
    fn middle(&self, number: u32) -> f64 {
        let round = self.round(number);
        round.started.seconds() + round.duration().seconds() / 2.0
    }
}

/// Runs a small federation with a method and further fields.
fn run(method: &str, further: &str) -> Run {
    run_by(method, "schedule: (rounds: 6, cohort: 4)", further)
}

fn run_by(method: &str, schedule: &str, further: &str) -> Run {
    let exit = match method.starts_with("DepthFL") {
        true => "Exit(head: [Dense(10)]), Dense(8), Relu, ",
        false => "",
    };
    let text = format!(
        "Scenario(
            seed: 5,
            data: Digits,
            public: (share: 0.02, select: 0.25),
            partition: (by: Iid, holdout: 0.2),
            model: [Flatten, Dense(12), Relu, {exit}Dense(10)],
            training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
            population: [(name: \"phones\", count: 6, device: \"phone-mid\", link: \"3g\")],
            method: {method},
            {schedule},
            {further}
        )"
    );
    let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
    let models = Models::default();
    let federation = assemble(&scenario, Default::default()).unwrap().audited({
        let models = Arc::clone(&models);
        move |inner| {
            Box::new(Watched {
                inner,
                models: Arc::clone(&models),
            })
        }
    });
    let mut heard = Heard::default();
    let pool = Workers::start(1, DeviceWorker::new).unwrap();
    let simulation = Simulation {
        world: Arc::new(federation),
        seed: scenario.seed,
        shards: 1,
    };
    let summary = simulation
        .run(&pool, &mut heard, &AtomicBool::new(false))
        .unwrap();
    assert_eq!(summary.ending, Ending::Finished, "{method} {further}");
    assert_eq!(heard.fatal, None, "{method} {further}");
    let models = models.lock().unwrap().clone();
    Run {
        heard,
        models,
        summary,
    }
}

/// A crash at so many seconds, for two seconds.
fn crash(at: f64) -> String {
    format!("(fault: ServerCrash, when: Once(at: \"{at:.9} s\", lasts: \"2 s\"))")
}

#[test]
fn a_server_that_crashes_in_a_round_goes_on_with_the_model_of_its_checkpoint() {
    let sound = run("FedAvg()", "");
    let at = sound.middle(3);
    let crashed = run("FedAvg()", &format!("faults: [{}]", crash(at)));
    assert_eq!(crashed.heard.rounds[..2], sound.heard.rounds[..2]);
    let lost = crashed.round(3);
    assert_eq!(lost.outcome, Outcome::Crashed);
    assert_eq!(lost.started, sound.round(3).started);
    assert!((lost.ended.seconds() - at).abs() < 1e-6);
    assert_eq!((lost.accuracy, lost.restored), (None, None));
    let next = crashed.round(4);
    assert_eq!(next.restored, Some(2));
    assert_eq!(next.started, lost.ended + Span::from_secs(2));
    assert_eq!(
        crashed.model(4),
        sound.model(3),
        "the model of the checkpoint"
    );
    assert_ne!(sound.model(4), sound.model(3));
    let outcomes = crashed.heard.rounds.iter().map(|round| round.outcome);
    let completed = outcomes.filter(|outcome| *outcome == Outcome::Completed);
    assert_eq!((completed.count(), crashed.heard.rounds.len()), (5, 6));
    assert!(crashed.heard.rounds[4..]
        .iter()
        .all(|r| r.restored.is_none()));

    // Each client of each round has one outcome; nobody who was asked in the lost round is used.
    let mut told = BTreeSet::new();
    for row in &crashed.heard.clients {
        assert!(told.insert((row.round, row.client)), "{row:?}");
        if row.round == 3 {
            assert_eq!(row.outcome, ClientOutcome::Lost);
        }
    }
    // What they sent all the same was dropped by a server that was down, or came too late for it.
    let dropped = crashed.summary.accounting.total().dropped;
    assert_eq!(dropped + crashed.heard.rejections.len() as u64, 4);
}

#[test]
fn rounds_since_the_last_checkpoint_are_lost() {
    let sound = run("FedAvgM()", "");
    let faults = format!("faults: [{}]", crash(sound.middle(4)));
    let crashed = run(
        "FedAvgM()",
        &format!("server: (checkpoint_every: 2), {faults}"),
    );
    assert_eq!(crashed.round(5).restored, Some(2));
    assert_eq!(crashed.model(5), sound.model(3));
    let rare = run(
        "FedAvgM()",
        &format!("server: (checkpoint_every: 9), {faults}"),
    );
    assert_eq!(rare.round(5).restored, Some(0));
    assert_eq!(rare.model(5), sound.model(1), "as it was set up");
}

#[test]
fn a_checkpoint_that_is_torn_is_found_out_and_the_one_before_is_used() {
    let sound = run("FedAvg()", "");
    let crash = crash(sound.middle(4));
    let torn = |rounds: &str| {
        let torn = format!("(fault: TornCheckpoint, when: Rounds({rounds}))");
        run("FedAvg()", &format!("faults: [{crash}, {torn}]"))
    };
    let last = torn("from: 3, until: 3");
    assert_eq!(last.round(5).restored, Some(2));
    assert_eq!(last.model(5), sound.model(3));
    // Two are kept. With neither of them the server is set up anew.
    let both = torn("from: 2, until: 3");
    assert_eq!(both.round(5).restored, Some(0));
    assert_eq!(both.model(5), sound.model(1));
    let late = torn("from: 4");
    assert_eq!(late.model(5), sound.model(4), "torn after it was needed");
}

#[test]
fn a_server_that_is_always_falling_uses_its_rounds_up_and_ends() {
    let run = run(
        "FedAvg()",
        "faults: [(fault: ServerCrash, when: Repeated(between: \"1 ms\", lasts: \"1 ms\"))]",
    );
    assert_eq!(run.heard.rounds.len(), 6);
    assert!(run
        .heard
        .rounds
        .iter()
        .all(|r| r.outcome == Outcome::Crashed));
    // Long enough for its own work, and not for its clients.
    let restored: Vec<_> = run.heard.rounds.iter().map(|r| r.restored).collect();
    assert_eq!(restored[1..], [Some(0); 5]);
}

#[test]
fn crashes_that_overlap_are_one() {
    let twice = "faults: [
        (fault: ServerCrash, when: Once(at: \"2 s\", lasts: \"3 s\")),
        (fault: ServerCrash, when: Once(at: \"4 s\", lasts: \"5 s\"))]";
    let run = run("FedAvg()", twice);
    let crashed: Vec<&RoundRow> = run
        .heard
        .rounds
        .iter()
        .filter(|round| round.outcome == Outcome::Crashed)
        .collect();
    assert_eq!(crashed.len(), 1);
    let next = run.round(crashed[0].round + 1);
    assert_eq!(next.started, VirtualTime::ZERO + Span::from_secs(9));
}

#[test]
fn what_was_spent_of_privacy_is_not_forgotten() {
    for privacy in [
        "privacy: CentralDp(clip: 1.0, noise: 0.5, delta: 1e-5)",
        "privacy: LocalDp(clip: 1.0, noise: 0.5, delta: 1e-5)",
    ] {
        let sound = run("FedAvg()", privacy);
        let faults = format!("faults: [{}]", crash(sound.middle(4)));
        let further = format!("{privacy}, server: (checkpoint_every: 3), {faults}");
        let crashed = run("FedAvg()", &further);
        assert_eq!(crashed.round(5).restored, Some(3));
        for number in 1..=6 {
            let spent = crashed.round(number).epsilon;
            // The round that was lost was not paid for yet.
            let paid = if number == 4 { 3 } else { number };
            let least = sound.round(paid).epsilon;
            assert!(
                spent.is_some() && spent >= least,
                "round {number} of {privacy}"
            );
        }
    }
}

#[test]
fn the_end_of_time_is_not_put_off_by_a_crash() {
    let faults = "faults: [(fault: ServerCrash, when: Once(at: \"3 s\", lasts: \"1 h\"))]";
    let hour = VirtualTime::ZERO + Span::from_secs(3_603);
    let patient = run("FedAvg()", faults);
    assert!(patient.summary.now > hour);
    let schedule = "schedule: (rounds: 6, cohort: 4, stop_at_time: \"10 s\")";
    let hurried = run_by("FedAvg()", schedule, faults);
    assert_eq!(hurried.heard.rounds.len(), 2);
    assert_eq!(hurried.round(2).outcome, Outcome::Crashed);
    assert!(hurried.summary.now < VirtualTime::ZERO + Span::from_secs(11));
}

/// Whatever a server keeps and works at, in any phase.
#[test]
fn every_method_lives_through_crashes_of_its_server() {
    for (name, _) in MethodSpec::ALL {
        let settings = match *name {
            "LotteryFL" | "Hermes" => "acc_threshold: 0",
            "FedConv" => "tune: 1, filter: 2, filter_later: 1, tune_clients: 1, aggregate: 2",
            "FedMD" => "transfer_public_epochs: 1, transfer_private_epochs: 1",
            "PublicOnly" => "epochs: 1",
            _ => "",
        };
        let method = format!("{name}({settings})");
        let server = "server: (device: (preset: \"server\", speed: \"100 MFLOP/s\"))";
        let sound = run(&method, server);
        let end = sound.summary.now.seconds();
        let (every, lasts, until) = (end / 10.0, end / 100.0, end / 2.0);
        let crashes = format!(
            "{server}, faults: [(fault: ServerCrash, when: Rate(every: \"{every:.9} s\",
                lasts: \"{lasts:.9} s\", until: \"{until:.9} s\"))]"
        );
        let run = run(&method, &crashes);
        assert_eq!(run.heard.rounds.len(), 6, "{name}");
        let outcome = |number| run.round(number).outcome;
        assert!(
            (1..6).any(|n| outcome(n) == Outcome::Crashed),
            "{name} never met a crash"
        );
        assert_eq!(outcome(6), Outcome::Completed, "{name}");
    }
}
