//! The engine at its real work: client updates a second, against bare loops and the arithmetic.
//!
//! The engine does everything it does in a run (links, virtual time, aggregation, tables,
//! histograms, trace), with two device workers. Floors:
//! - two bare loops: two processes at the same time, each a loop in `tch` as one would write it
//!   without an engine (network in a `VarStore`, autograd, the optimiser of libtorch, one intra-op
//!   thread) that does the same training steps and nothing else;
//! - the same in PyTorch, with `SHOAL_PYTHON` naming a Python that has torch (`benches/peers`);
//! - the arithmetic: operations of an update over the measured rate of large matrix products, two
//!   threads at once.
//!
//! `learn/memory` is the most memory resident when 200 of 1,000 clients train a round.

mod support;

use shoal::learn::HostDevice;
use shoal::run::{run, Options};
use shoal::scenario::Scenario;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use support::{
    alone, in_own_process, in_own_processes, line, median, peak_resident, seconds, wanted,
};
use tch::nn::{self, Module, OptimizerConfig};
use tch::{Device, IndexOp, Kind, Tensor};

const WORKERS: usize = 2;

struct Case {
    name: &'static str,
    scenario: &'static str,
    rounds: u32,
    /// Clients that the bare loop trains.
    bare_clients: usize,
    samples: i64,
    /// Operations of training on one sample: three forward passes, less the gradient of the input.
    flops: f64,
    shape: &'static [i64],
}

const CASES: [Case; 2] = [
    Case {
        name: "learn/pfl-slice",
        // 1,000 clients × 50 images, cohort 50, batch 10, one epoch (pfl-research's CIFAR-10 benchmark).
        scenario: r#"Scenario(
            name: "pfl-slice",
            data: Random(shape: [3, 32, 32], classes: 10, train: 50000, test: 10, bytes: true),
            partition: (by: Iid(samples_per_client: 50)),
            model: "pfl-cifar10",
            training: (epochs: 1, batch: 10, optimizer: Sgd(lr: 0.01)),
            population: [(count: 1000, device: "phone-high", link: "wifi")],
            schedule: (rounds: 1, cohort: 50),
            evaluation: (central: false),
            record: (report: false),
        )"#,
        rounds: 6,
        bare_clients: 60,
        samples: 50,
        // Convolutions of 32 and 64 channels, dense layers of 128 and 10: 33.75 M a forward pass, of
        // which 1.56 M are of the first layer.
        flops: 3.0 * 33_749_514.0 - 1_555_200.0,
        shape: &[3, 32, 32],
    },
    Case {
        name: "learn/small-mlp",
        // 784-64-10, cohort 100, 20 samples each, batch 10.
        scenario: r#"Scenario(
            name: "small-mlp",
            data: Random(shape: [1, 28, 28], classes: 10, train: 20000, test: 10, bytes: true),
            partition: (by: Iid(samples_per_client: 20)),
            model: [Flatten, Dense(64), Relu, Dense(10)],
            training: (epochs: 1, batch: 10, optimizer: Sgd(lr: 0.01)),
            population: [(count: 1000, device: "phone-high", link: "wifi")],
            schedule: (rounds: 1, cohort: 100),
            evaluation: (central: false),
            record: (report: false),
        )"#,
        rounds: 200,
        bare_clients: 8_000,
        samples: 20,
        flops: 3.0 * 101_706.0 - 2.0 * 784.0 * 64.0,
        shape: &[1, 28, 28],
    },
];

/// Client updates a second of the engine.
fn engine(case: &Case, overrides: &[&str]) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    let file = Path::new("bench.ron");
    let scenario =
        Scenario::parse(case.scenario, file, &overrides).expect("the bench's scenario is right");
    let options = Options {
        workers: WORKERS,
        device: HostDevice::Cpu,
        memory: None,
        out: Some(folder.path().join("run")),
        file: file.to_path_buf(),
        text: case.scenario.to_string(),
        overrides,
        kept_memory: shoal::quantity::Bytes(u64::MAX),
        quiet: true,
        ranks: None,
    };
    let finished = run(&scenario, &options, &AtomicBool::new(false)).expect("the bench runs");
    finished.totals.reports_per_second()
}

/// Scores of a batch, in training or not.
type Forward = dyn Fn(&Tensor, bool) -> Tensor;

/// The network of a case, as `tch`'s examples build them.
fn network(case: &Case, root: &nn::Path<'_>) -> Box<Forward> {
    if case.name == "learn/pfl-slice" {
        let conv1 = nn::conv2d(root, 3, 32, 3, nn::ConvConfig::default());
        let conv2 = nn::conv2d(root, 32, 64, 3, nn::ConvConfig::default());
        let dense1 = nn::linear(root, 64 * 14 * 14, 128, nn::LinearConfig::default());
        let dense2 = nn::linear(root, 128, 10, nn::LinearConfig::default());
        Box::new(move |x, train| {
            let x = x
                .apply(&conv1)
                .relu()
                .apply(&conv2)
                .relu()
                .max_pool2d_default(2);
            let x = x.dropout(0.25, train).flat_view();
            dense2.forward(&x.apply(&dense1).relu().dropout(0.5, train))
        })
    } else {
        let dense1 = nn::linear(root, 784, 64, nn::LinearConfig::default());
        let dense2 = nn::linear(root, 64, 10, nn::LinearConfig::default());
        Box::new(move |x, _| x.flat_view().apply(&dense1).relu().apply(&dense2))
    }
}

/// Client updates a second of the bare loop, on one thread.
fn bare(case: &Case) -> f64 {
    tch::set_num_threads(1);
    tch::manual_seed(1);
    let clients: i64 = 100;
    let shape: Vec<i64> = [&[clients * case.samples], case.shape].concat();
    let images = Tensor::randn(shape.as_slice(), (Kind::Float, Device::Cpu));
    let labels = Tensor::randint(10, [clients * case.samples], (Kind::Int64, Device::Cpu));
    let vars = nn::VarStore::new(Device::Cpu);
    let forward = network(case, &vars.root());
    let global: Vec<Tensor> = vars
        .trainable_variables()
        .iter()
        .map(Tensor::copy)
        .collect();
    let mut optimizer = nn::Sgd::default().build(&vars, 0.01).expect("an optimiser");
    let mut client = |number: i64| {
        tch::no_grad(|| {
            for (own, global) in vars.trainable_variables().iter_mut().zip(&global) {
                own.copy_(global);
            }
        });
        let first = number % clients * case.samples;
        let order = Tensor::randperm(case.samples, (Kind::Int64, Device::Cpu)) + first;
        for batch in 0..case.samples / 10 {
            let indices = order.i(batch * 10..batch * 10 + 10);
            let x = images.index_select(0, &indices);
            let loss =
                forward(&x, true).cross_entropy_for_logits(&labels.index_select(0, &indices));
            optimizer.backward_step(&loss);
        }
    };
    for number in 0..3 {
        client(number);
    }
    let (time, ()) = seconds(|| (0..case.bare_clients as i64).for_each(&mut client));
    case.bare_clients as f64 / time
}

/// Operations a second of one thread's large matrix products.
fn products() -> f64 {
    tch::set_num_threads(1);
    let n = 1024;
    let matrix = || Tensor::randn([n, n], (Kind::Float, Device::Cpu));
    let (a, b) = (matrix(), matrix());
    let one = || std::hint::black_box(a.mm(&b));
    drop(one());
    let times = (0..20).map(|_| seconds(one).0);
    2.0 * (n as f64).powi(3) / median(times.collect())
}

/// Updates a second of two PyTorch processes, where a Python with torch is named.
fn pytorch(case: &Case) -> Option<f64> {
    let python = std::env::var("SHOAL_PYTHON").ok()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/bare.py");
    let start = |_| {
        std::process::Command::new(&python)
            .args([script, case.name, &case.bare_clients.to_string()])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("SHOAL_PYTHON starts")
    };
    let running: Vec<_> = (0..WORKERS).map(start).collect();
    let figures = running.into_iter().map(|child| {
        let output = child.wait_with_output().expect("the script ends");
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim()
            .parse::<f64>()
            .expect("the script prints a rate")
    });
    Some(figures.sum())
}

const MEMORY: &str = "learn/memory";
const PRODUCTS: &str = "products";
/// What the memory bench may take: 2 GB.
const MOST_MEMORY: f64 = 2e9;

fn main() {
    shoal::cli::keep_freed_memory();
    match alone().as_deref() {
        Some(MEMORY) => {
            engine(&CASES[0], &["schedule.rounds=2", "schedule.cohort=200"]);
            println!("{}", peak_resident());
            return;
        }
        Some(PRODUCTS) => {
            println!("{}", products());
            return;
        }
        Some(name) => {
            let case = CASES.iter().find(|case| case.name == name);
            println!("{}", bare(case.expect("a known case")));
            return;
        }
        None => {}
    }
    for case in CASES.iter().filter(|case| wanted(case.name)) {
        // In turn, so that a machine whose speed drifts drifts for all.
        let rounds = format!("schedule.rounds={}", case.rounds);
        let turn = |_| {
            [
                engine(case, &[&rounds]),
                in_own_processes(case.name, WORKERS),
                in_own_processes(PRODUCTS, WORKERS) / (case.flops * case.samples as f64),
                pytorch(case).unwrap_or(f64::NAN),
            ]
        };
        let turns: Vec<[f64; 4]> = (0..3).map(turn).collect();
        let of = |f: &dyn Fn(&[f64; 4]) -> f64| median(turns.iter().map(f).collect());
        let floors = ["", "-arithmetic", "-pytorch"].into_iter().zip(1..);
        for (name, floor) in floors {
            let ratio = of(&|turn| turn[0] / turn[floor]);
            if ratio.is_finite() {
                let name = format!("{}{name}", case.name);
                line(&name, of(&|t| t[0]), "updates/s", of(&|t| t[floor]), ratio);
            }
        }
    }
    if wanted(MEMORY) {
        let resident = in_own_process(MEMORY);
        let ratio = resident / MOST_MEMORY;
        line(MEMORY, resident, "B", MOST_MEMORY, ratio);
    }
}
