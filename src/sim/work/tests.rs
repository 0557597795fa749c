use super::super::event::NodeId;
use super::super::hash::Digest;
use super::*;
use crate::quantity::VirtualTime;
use std::collections::BTreeMap;
use std::panic::panic_any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

const LONG: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, PartialEq)]
enum Product {
    Double(u32),
    Failed(String),
}

impl Digest for Product {
    fn digest(&self) -> u64 {
        0
    }
}

crate::snapshot::snapshot_enum!(Product {
    0 => Double(number),
    1 => Failed(reason),
});

impl Outcome for Product {
    fn failed(reason: String) -> Self {
        Self::Failed(reason)
    }
}

fn due(sequence: u64) -> Key {
    Key {
        time: VirtualTime::ZERO,
        source: NodeId(0),
        sequence,
    }
}

fn unit(jobs: &[u32]) -> Unit<u32> {
    Unit {
        dues: jobs.iter().map(|&job| due(u64::from(job))).collect(),
        jobs: jobs.to_vec(),
        lost: 0,
    }
}

/// Runs some units and returns the output of each job.
fn outcomes(workers: &Workers<u32, Product>, units: &[&[u32]]) -> BTreeMap<u64, Product> {
    units.iter().for_each(|jobs| workers.submit(unit(jobs)));
    let wanted: usize = units.iter().map(|jobs| jobs.len()).sum();
    let (began, mut found) = (Instant::now(), BTreeMap::new());
    while found.len() < wanted {
        assert!(began.elapsed() < LONG, "only {found:?}");
        let outputs = workers.finished(Duration::from_millis(5)).unwrap();
        for (due, output) in outputs.into_iter().flatten() {
            assert_eq!(found.insert(due.sequence, output), None, "answered twice");
        }
    }
    found
}

fn doubled(jobs: impl Iterator<Item = u32>) -> BTreeMap<u64, Product> {
    jobs.map(|job| (u64::from(job), Product::Double(2 * job)))
        .collect()
}

/// A panic that `catch_unwind` cannot contain, because its payload panics again when it is dropped. It
/// ends the thread.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a thread ends here: expected on standard error");
        }
    }
}

#[test]
fn queued_jobs_are_dropped_when_a_run_ends_early() {
    let ran = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&ran);
    let workers = Workers::<u32, ()>::start(1, move || {
        let counter = Arc::clone(&counter);
        move |_: &u32| {
            counter.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(30));
        }
    })
    .unwrap();
    for sequence in 0..50 {
        workers.submit(unit(&[sequence]));
    }
    // The first is under way by then.
    workers.finished(Duration::from_secs(5)).unwrap();
    drop(workers);
    assert!(ran.load(Ordering::Relaxed) < 10, "{ran:?}");
}

#[test]
fn jobs_of_a_worker_whose_thread_ends_are_run_by_another() {
    for count in [1, 2] {
        let bombs = Arc::new(AtomicU32::new(3));
        let armed = Arc::clone(&bombs);
        let workers = Workers::start(count, move || {
            let bombs = Arc::clone(&armed);
            move |job: &u32| {
                let left = |n: u32| n.checked_sub(1);
                if job.is_multiple_of(7)
                    && bombs
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
                        .is_ok_and(|n| n % 2 == 1)
                {
                    panic_any(Bomb);
                }
                Product::Double(2 * job)
            }
        })
        .unwrap();
        let units: [&[u32]; 4] = [&[1, 2, 3], &[7, 8], &[14], &[21, 22, 23]];
        let found = outcomes(&workers, &units);
        assert_eq!(
            found,
            doubled(units.concat().into_iter()),
            "{count} workers"
        );
        assert_eq!(bombs.load(Ordering::Relaxed), 0, "threads did end");
    }
}

#[test]
fn a_job_that_ends_every_thread_fails_alone() {
    let workers = Workers::start(2, || {
        |job: &u32| {
            if *job == 5 {
                panic_any(Bomb);
            }
            Product::Double(2 * job)
        }
    })
    .unwrap();
    let mut found = outcomes(&workers, &[&[4, 5, 6], &[9]]);
    let Some(Product::Failed(reason)) = found.remove(&5) else {
        panic!("job 5 cannot end well: {found:?}");
    };
    assert_eq!(reason, "2 device workers ended over it");
    assert_eq!(found, doubled([4, 6, 9].into_iter()));
}

#[test]
fn a_panic_in_a_unit_costs_only_the_job_that_panics() {
    let workers = Workers::start(1, || {
        |job: &u32| {
            assert!(*job != 5, "not this one");
            Product::Double(2 * job)
        }
    })
    .unwrap();
    let mut found = outcomes(&workers, &[&[4, 5, 6]]);
    let Some(Product::Failed(reason)) = found.remove(&5) else {
        panic!("job 5 cannot end well: {found:?}");
    };
    assert!(reason.starts_with("not this one"), "{reason}");
    assert_eq!(found, doubled([4, 6].into_iter()));
}

#[test]
fn a_job_that_would_not_end_is_given_up_when_its_pool_goes_and_not_before() {
    let begun = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&begun);
    let make = move || {
        let begun = Arc::clone(&seen);
        move |job: &u32| {
            begun.fetch_add(1, Ordering::SeqCst);
            let start = Instant::now();
            while *job == 7 && !given_up() {
                assert!(start.elapsed() < LONG, "nobody gave it up");
                std::thread::sleep(Duration::from_millis(1));
            }
            Product::Double(u32::from(given_up()))
        }
    };
    let workers = Workers::start(1, make).unwrap();
    assert_eq!(outcomes(&workers, &[&[1]])[&1], Product::Double(0));
    workers.submit(unit(&[7]));
    while begun.load(Ordering::SeqCst) < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(workers);
    assert!(!given_up(), "it is a matter of its workers alone");
}
