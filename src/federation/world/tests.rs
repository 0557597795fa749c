use super::super::DeviceWorker;
use super::*;
use crate::method::Payload;
use crate::observe::rows::RoundRow;
use crate::run::assemble;
use crate::scenario::Scenario;
use crate::sim::{Delivery, Ending, Key, Observe, Recorder, RecorderError, Simulation, Workers};
use crate::snapshot::{memory, Snapshot};
use std::path::Path;
use std::sync::atomic::AtomicBool;

#[derive(Default)]
struct Heard {
    crashed: Vec<u32>,
    rounds: Vec<RoundRow>,
}

impl Recorder<Federation> for Heard {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _: Key, record: Record) -> Result<(), RecorderError> {
        match record {
            Record::Crash { node, .. } => self.crashed.extend(Federation::client_of(node)),
            Record::Round(row) => self.rounds.push(*row),
            _ => {}
        }
        Ok(())
    }
}

#[test]
fn what_a_client_cannot_have_kept_is_refused_whatever_its_checksum() {
    for (method, name) in [
        ("Scaffold()", "control"),
        ("Hermes()", "own"),
        ("FedMD()", "model"),
        ("LotteryFL()", "mask"),
        ("LocalOnly()", "model"),
        ("FedAvg()", "budget.spent"),
        ("FedAvg()", "faults.figures"),
    ] {
        let text = format!(
            "(data: Digits, public: (share: 0.05, select: 0.25), partition: (holdout: 0.2),
            model: [Flatten, Dense(12), Relu, Dense(10)],
            population: [(count: 4)], method: {method}, schedule: (rounds: 1, cohort: 2))"
        );
        let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]);
        let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
        let federation = assemble(&scenario, Default::default()).unwrap();
        let kept = |state: ClientState| {
            let bytes = Arc::new(memory::write(|to| state.save(to)).unwrap());
            federation.shared.kept(&mut memory::open(&bytes).unwrap())
        };
        let wrong = ClientState::default().with(name, Payload::scalars([1.0]));
        let error = kept(wrong).unwrap_err().to_string();
        assert!(error.contains(name), "{method}: {error}");
        assert!(kept(ClientState::default()).is_ok());
    }
}

#[test]
fn a_client_whose_handler_panics_is_lost_and_the_run_goes_on() {
    let text = "(data: Digits, model: [Flatten, Dense(10)], population: [
        (name: \"sound\", count: 3, device: \"laptop\", link: \"lan\"),
        (name: \"broken\", count: 2, device: \"laptop\", link: \"lan\"),
    ], schedule: (rounds: 3, cohort: 5, deadline: \"20 s\"))";
    let scenario = Scenario::parse(text, Path::new("s.ron"), &[]).unwrap();
    let mut federation = assemble(&scenario, Default::default()).unwrap();
    // A client of the second group finds no local training where it must be.
    Arc::get_mut(&mut federation.shared)
        .unwrap()
        .local
        .truncate(1);
    let mut heard = Heard::default();
    let workers = Workers::start(1, DeviceWorker::new).unwrap();
    let simulation = Simulation {
        world: Arc::new(federation),
        seed: 1,
        shards: 1,
    };
    let summary = simulation
        .run(&workers, &mut heard, &AtomicBool::new(false))
        .unwrap();
    assert_eq!(summary.ending, Ending::Finished);
    heard.crashed.sort_unstable();
    assert_eq!(heard.crashed, [3, 4], "each crashes once");
    let counts: Vec<_> = heard
        .rounds
        .iter()
        .map(|r| (r.reported, r.unanswered))
        .collect();
    assert_eq!(counts, [(3, 2); 3]);
}
