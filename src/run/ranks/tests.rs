use super::link::testing::{threads, Threads};
use super::*;
use crate::observe::record::{RunRecord, Status};
use crate::run::{run, Finished};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

const QUICK: Patience = Patience {
    beat: Duration::from_millis(20),
    silence: Duration::from_millis(800),
    look: Duration::from_millis(20),
};

/// For tests in which nobody is to be lost, however busy the machine is.
const PATIENT: Patience = Patience {
    silence: Duration::from_secs(60),
    ..QUICK
};

/// Sub-models, and evaluations of both widths.
const SCENARIO: &str = "Scenario(
    seed: 4, data: Digits,
    partition: (by: Dirichlet(alpha: 1.0), min_per_client: 8, holdout: 0.2),
    model: [Flatten, Dense(12), Relu, Dense(10)],
    training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
    population: [(count: 12, size: Drawn([1, 0.5]))],
    method: HeteroFL(),
    schedule: (rounds: 6, cohort: 6),
    evaluation: (per_client: true, by_size: true),
    checkpoint: (every: 2),
)";

fn options(text: &str, out: PathBuf, head: Option<&Arc<Head>>) -> Options {
    Options {
        workers: 1,
        device: Default::default(),
        memory: None,
        out: Some(out),
        file: "s.ron".into(),
        text: text.into(),
        overrides: vec!["name=many".into()],
        kept_memory: Bytes(u64::MAX),
        quiet: true,
        ranks: head.cloned(),
    }
}

fn run_with(options: &Options) -> Result<Finished, RunError> {
    let scenario = Scenario::parse(&options.text, Path::new("s.ron"), &options.overrides).unwrap();
    run(&scenario, options, &AtomicBool::new(false))
}

type Service = std::thread::JoinHandle<Result<(), String>>;

/// Rank 0 of so many, the others' lives, and their links' mutes.
fn meet(ranks: usize, patience: Patience) -> (Arc<Head>, Vec<Service>, Vec<Arc<AtomicBool>>) {
    let mut links = threads(ranks).into_iter();
    let first = links.next().unwrap();
    let links: Vec<Threads> = links.collect();
    let mutes = links.iter().map(|link| Arc::clone(&link.mute)).collect();
    let serve = |link| {
        std::thread::spawn(move || match enter(move || Ok(link), patience) {
            Ok(Joined::Member(served)) => served,
            Ok(_) => panic!("it is no member"),
            Err(reason) => Err(reason),
        })
    };
    let services = links.into_iter().map(serve).collect();
    let Ok(Joined::Head(mut head)) = enter(move || Ok(first), patience) else {
        panic!("it is not rank 0");
    };
    head.set_workers(Some(2));
    (Arc::new(head), services, mutes)
}

#[test]
fn a_run_is_the_same_on_any_number_of_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let alone = run_with(&options(SCENARIO, at("alone"), None)).unwrap();
    for ranks in [1, 3] {
        let (head, services, _) = meet(ranks, PATIENT);
        let out = at(&format!("ranks-{ranks}"));
        let many = run_with(&options(SCENARIO, out.clone(), Some(&head))).unwrap();
        head.end();
        for service in services {
            assert_eq!(service.join().unwrap(), Ok(()));
        }
        assert_eq!(many.hash, alone.hash, "{ranks} ranks");
        for table in ["rounds.csv", "clients.csv"] {
            let read = |run: &Path| fs::read(run.join(table)).unwrap();
            assert_eq!(read(&out), read(&alone.folder), "{table}");
        }
        let record = RunRecord::read(&out.join("run.json")).unwrap();
        assert_eq!(record.ranks.len(), ranks);
        assert_eq!(record.ranks[0].workers, 1);
        for rank in &record.ranks[1..] {
            assert_eq!((rank.workers, &rank.host), (2, &record.ranks[0].host));
            assert!(
                rank.units > Some(5) && rank.bytes_received > Some(1_000),
                "{rank:?}"
            );
        }
    }
    let record = RunRecord::read(&at("alone").join("run.json")).unwrap();
    assert_eq!(record.ranks, []);
}

#[test]
fn a_rank_that_falls_silent_ends_the_run_which_can_be_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let alone = run_with(&options(SCENARIO, at("alone"), None)).unwrap();
    let (head, services, mutes) = meet(3, QUICK);
    let out = at("lost");
    let silencer = std::thread::spawn({
        let checkpoint = out.join("checkpoints");
        let mute = Arc::clone(&mutes[1]);
        move || {
            while !checkpoint.exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
            mute.store(true, Ordering::Relaxed);
        }
    });
    // Long enough to be still at it when the silence is noticed.
    let text = SCENARIO.replace("epochs: 1, batch: 32", "epochs: 300, batch: 32");
    let error = run_with(&options(&text, out.clone(), Some(&head))).unwrap_err();
    silencer.join().unwrap();
    let said = error.to_string();
    let expected = "rank 2 (";
    assert!(
        said.starts_with(expected) && said.contains("nothing was heard of it for"),
        "{said}"
    );
    assert!(said.contains("shoal resume"), "{said}");
    let record = RunRecord::read(&out.join("run.json")).unwrap();
    assert_eq!((record.status, record.error), (Status::Failed, Some(said)));
    head.end();
    drop((services, alone));
}

#[test]
fn a_rank_that_cannot_do_its_part_says_why_and_no_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (head, services, _) = meet(2, PATIENT);
    // What rank 0 runs is not what it tells.
    let mut wrong = options(SCENARIO, folder.path().join("run"), Some(&head));
    let scenario = Scenario::parse(SCENARIO, Path::new("s.ron"), &[]).unwrap();
    wrong.text = SCENARIO.replace("seed: 4", "seed: 5");
    let error = run(&scenario, &wrong, &AtomicBool::new(false)).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("has other data or makes something else of the scenario"),
        "{said}"
    );
    wrong.text = SCENARIO.replace("Digits", "Digit");
    let error = run(&scenario, &wrong, &AtomicBool::new(false)).unwrap_err();
    let said = error.to_string();
    assert!(
        said.starts_with("rank 1 (") && said.contains("did you mean Digits?"),
        "{said}"
    );
    assert!(!folder.path().join("run").exists());
    // It is still there, and can do better.
    let right = options(SCENARIO, folder.path().join("run"), Some(&head));
    let many = run_with(&right).unwrap();
    let alone = run_with(&options(SCENARIO, folder.path().join("alone"), None)).unwrap();
    assert_eq!(many.hash, alone.hash);
    head.end();
    for service in services {
        assert_eq!(service.join().unwrap(), Ok(()));
    }
}

#[test]
fn a_rank_that_loses_rank_0_ends() {
    let mut links = threads(2);
    let member = links.pop().unwrap();
    let served = enter(move || Ok(member), QUICK);
    let Ok(Joined::Member(Err(lost))) = served else {
        panic!("it goes on alone");
    };
    assert!(
        lost.starts_with("rank 0 is lost: nothing was heard of it for"),
        "{lost}"
    );
}
