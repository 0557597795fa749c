//! What each fast path of training is worth: the same jobs with and without it, on one thread.
//!
//! A path is worth its code only if it saves more than a tenth of a job's time. Paths that do not take
//! the steps of the general one, to float tolerance, end the bench.

#[path = "support/jobs.rs"]
mod sample_jobs;
mod support;

use sample_jobs::jobs;
use shoal::learn::{prepare_worker_thread, train, FastPath, HostDevice, Scratch, TrainJob};
use shoal::model::{preset, LayerSpec};
use support::{line, median, seconds, wanted};

/// A network, the shape of its samples, clients and samples of each.
type Case = (&'static str, Vec<LayerSpec>, Vec<usize>, (u32, u32));

fn cases() -> Vec<Case> {
    let pfl = preset("pfl-cifar10").expect("a preset").layers(10);
    let mlp = |hidden| {
        vec![
            LayerSpec::Flatten,
            LayerSpec::dense(hidden),
            LayerSpec::Relu,
            LayerSpec::dense(10),
        ]
    };
    let conv = vec![
        LayerSpec::conv(8, 3, 1),
        LayerSpec::Relu,
        LayerSpec::max_pool(2),
        LayerSpec::Flatten,
        LayerSpec::dense(10),
    ];
    vec![
        ("mlp-64", mlp(64), vec![1, 28, 28], (400, 20)),
        ("mlp-64-long", mlp(64), vec![1, 28, 28], (40, 200)),
        ("mlp-200", mlp(200), vec![1, 28, 28], (400, 20)),
        ("mlp-200-long", mlp(200), vec![1, 28, 28], (40, 200)),
        ("digits-mlp", mlp(32), vec![64], (2000, 20)),
        ("small-cnn", conv, vec![1, 14, 14], (200, 20)),
        ("pfl-slice", pfl, vec![3, 32, 32], (20, 50)),
    ]
}

/// The mean losses of all jobs.
fn losses(jobs: &[TrainJob], scratch: &mut Scratch) -> Vec<f64> {
    let one = |job| train(job, scratch).expect("training goes well").mean_loss;
    jobs.iter().map(one).collect()
}

fn main() {
    shoal::cli::keep_freed_memory();
    prepare_worker_thread();
    let paths = [("tape", FastPath::Tape), ("slices", FastPath::Slices)];
    for (network, layers, shape, clients) in cases() {
        let convolutional = matches!(network, "small-cnn" | "pfl-slice");
        let jobs = jobs(&layers, &shape, clients, HostDevice::Cpu);
        for (path, without) in paths {
            let bench = format!("paths/{network}/{path}");
            // Only dense networks train on slices.
            if !wanted(&bench) || (convolutional && without != FastPath::Tape) {
                continue;
            }
            let (mut fast, mut slow) = (Scratch::new(), Scratch::without(without));
            let (a, b) = (losses(&jobs, &mut fast), losses(&jobs, &mut slow));
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() < 1e-4, "{bench}: losses {a} and {b}");
            }
            let turns: Vec<(f64, f64)> = (0..5)
                .map(|_| {
                    let fast = seconds(|| losses(&jobs, &mut fast)).0;
                    (fast, seconds(|| losses(&jobs, &mut slow)).0)
                })
                .collect();
            let of = |f: &dyn Fn(&(f64, f64)) -> f64| median(turns.iter().map(f).collect());
            let rate = |time: f64| f64::from(clients.0) / time;
            let (figure, floor) = (of(&|t| rate(t.0)), of(&|t| rate(t.1)));
            line(&bench, figure, "updates/s", floor, of(&|t| t.1 / t.0));
        }
    }
}
