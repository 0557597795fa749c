//! Work due inside the running window takes its place in the order, exactly.

use super::gossip::{Gossip, Mischief, Product};
use shoal::sim::{Delivery, Simulation, Workers};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::Arc;

#[test]
fn finished_work_is_delivered_in_key_order_among_all_else() {
    let (summary, witness) = Gossip::small(Mischief::default()).run(9, 2, 2);
    summary.unwrap();
    assert!(witness.deliveries.windows(2).all(|w| w[0].key < w[1].key));
    let work = witness
        .deliveries
        .iter()
        .filter(|d| d.kind == Delivery::WORK);
    let in_window = work.filter(|d| d.key.time.nanos() / 1_000 * 1_000 < d.key.time.nanos());
    assert!(in_window.count() > 50, "the case under test did occur");
}

#[test]
fn a_job_whose_worker_panics_is_run_once_more_and_leaves_no_trace() {
    let run = |flaky: bool| {
        let failures = Arc::new(AtomicU32::new(if flaky { 5 } else { 0 }));
        let workers = Workers::start(1, move || {
            let failures = Arc::clone(&failures);
            move |job: &u64| {
                let before = failures
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
                // Odd counts left: never twice in a row for one job.
                assert!(!before.is_ok_and(|n| n % 2 == 1), "worker lost");
                Product(Ok(*job))
            }
        })
        .unwrap();
        let sim = Simulation {
            world: Arc::new(Gossip::small(Mischief::default())),
            seed: 5,
            shards: 1,
        };
        sim.run(&workers, &mut shoal::sim::Silent, &AtomicBool::new(false))
            .unwrap()
            .hash
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn work_that_fails_twice_reaches_its_node_as_a_failure() {
    let workers = Workers::start(2, || |_: &u64| -> Product { panic!("always") }).unwrap();
    let sim = Simulation {
        world: Arc::new(Gossip::small(Mischief::default())),
        seed: 5,
        shards: 1,
    };
    let mut witness = super::gossip::Witness::default();
    sim.run(&workers, &mut witness, &AtomicBool::new(false))
        .unwrap();
    assert!(witness.deliveries.iter().any(|d| d.kind == Delivery::WORK));
}
