//! Stacked training against the serial loop on one device: 50 clients of the pfl-research slice.
//!
//! `SHOAL_DEVICE` names the device (`cuda:0`); `benches/gpu.sh` does the whole measurement. On the
//! CPU, where the engine never stacks this network, it shows why. A stack that does not agree with
//! the serial loop to float tolerance ends the bench.

#[path = "support/jobs.rs"]
mod sample_jobs;
mod support;

use sample_jobs::jobs;
use shoal::learn::{prepare_worker_thread, train, train_stack, HostDevice, Scratch, Trained};
use shoal::model::preset;
use support::{line, median, seconds, wanted};

const CLIENTS: u32 = 50;
const SAMPLES: u32 = 50;

fn main() {
    shoal::cli::keep_freed_memory();
    let name = std::env::var("SHOAL_DEVICE").unwrap_or_else(|_| "cpu".into());
    let device: HostDevice = name.parse().expect("SHOAL_DEVICE is a device");
    let bench = format!("stack/{name}");
    if !wanted(&bench) {
        return;
    }
    prepare_worker_thread();
    let layers = preset("pfl-cifar10").expect("a preset").layers(10);
    let jobs = jobs(&layers, &[3, 32, 32], (CLIENTS, SAMPLES), device);
    let mut scratch = Scratch::new();
    // Reading a loss back at the end of either waits for the device.
    let mut serial = || -> Vec<Trained> {
        let one = |job| train(job, &mut scratch).expect("training goes well");
        jobs.iter().map(one).collect()
    };
    let stacked = || -> Vec<Trained> {
        let all = train_stack(&jobs).expect("the stack fits");
        let all = all.into_iter().map(|one| one.expect("training goes well"));
        all.collect()
    };
    for (a, b) in serial().iter().zip(stacked()) {
        let apart = (a.mean_loss - b.mean_loss).abs();
        assert!(apart < 1e-3, "stacked and serial differ by {apart}");
    }
    let turns: Vec<(f64, f64)> = (0..3)
        .map(|_| (seconds(stacked).0, seconds(&mut serial).0))
        .collect();
    let rate = |time: f64| f64::from(CLIENTS) / time;
    let of = |f: &dyn Fn(&(f64, f64)) -> f64| median(turns.iter().map(f).collect());
    let (stack, floor) = (of(&|t| rate(t.0)), of(&|t| rate(t.1)));
    line(&bench, stack, "updates/s", floor, of(&|t| t.1 / t.0));
}
