//! A run that is told to stop does so at the next window, with its books in order.

use super::gossip::{Gossip, Memory, Mischief, Product};
use shoal::sim::{Delivery, Ending, Key, Observe, Recorder, RecorderError, Simulation, Workers};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

struct StopAfter<'a> {
    left: usize,
    stop: &'a AtomicBool,
    seen: usize,
}

impl Recorder<Gossip> for StopAfter<'_> {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _: Key, _: Memory) -> Result<(), RecorderError> {
        self.seen += 1;
        if self.seen == self.left {
            self.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[test]
fn an_interrupted_run_keeps_its_books() {
    let stop = AtomicBool::new(false);
    let sim = Simulation {
        world: Arc::new(Gossip::small(Mischief::default())),
        seed: 5,
        shards: 2,
    };
    let workers = Workers::start(2, || |job: &u64| Product(Ok(*job))).unwrap();
    let mut recorder = StopAfter {
        left: 200,
        stop: &stop,
        seen: 0,
    };
    let summary = sim.run(&workers, &mut recorder, &stop).unwrap();
    assert_eq!(summary.ending, Ending::Interrupted);
    assert!(summary.accounting.total().in_flight > 0);
    assert!(
        recorder.seen >= 200 && recorder.seen < 400,
        "{}",
        recorder.seen
    );
}

#[test]
fn a_run_interrupted_while_it_waits_for_work_ends_at_once() {
    let stop = Arc::new(AtomicBool::new(false));
    let sim = Simulation {
        world: Arc::new(Gossip::small(Mischief::default())),
        seed: 5,
        shards: 1,
    };
    let trigger = Arc::clone(&stop);
    let workers = Workers::start(1, move || {
        let trigger = Arc::clone(&trigger);
        move |job: &u64| {
            trigger.store(true, Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(120));
            Product(Ok(*job))
        }
    })
    .unwrap();
    let summary = sim.run(&workers, &mut shoal::sim::Silent, &stop).unwrap();
    assert_eq!(summary.ending, Ending::Interrupted);
}
