//! The engine at its real work: client updates a second, against a bare `tch` loop.
//!
//! The engine does everything it does in a run (links, virtual time, aggregation, tables,
//! histograms, trace), with two device workers. The floor is a loop in `tch` as one would write it
//! without an engine (network in a `VarStore`, autograd, the optimiser of libtorch, one intra-op
//! thread), which does the same training steps and nothing else, times the number of workers. It
//! runs in a process of its own, so that nothing the engine sets up helps or hinders it.

mod support;

use shoal::learn::HostDevice;
use shoal::scenario::run::{run, Options};
use shoal::scenario::Scenario;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use support::{alone, in_own_process, line, median, seconds, wanted};
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
        shape: &[1, 28, 28],
    },
];

/// Client updates a second of the engine.
fn engine(case: &Case) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let overrides = vec![format!("schedule.rounds={}", case.rounds)];
    let file = Path::new("bench.ron");
    let scenario =
        Scenario::parse(case.scenario, file, &overrides).expect("the bench's scenario is right");
    let options = Options {
        workers: WORKERS,
        device: HostDevice::Cpu,
        out: Some(folder.path().join("run")),
        file: file.to_path_buf(),
        text: case.scenario.to_string(),
        overrides,
        kept_memory: shoal::quantity::Bytes(u64::MAX),
        quiet: true,
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

fn main() {
    if let Some(name) = alone() {
        let case = CASES
            .iter()
            .find(|case| case.name == name)
            .expect("a known case");
        println!("{}", bare(case));
        return;
    }
    for case in CASES.iter().filter(|case| wanted(case.name)) {
        // In turn, so that a machine whose speed drifts drifts for both.
        let pairs: Vec<(f64, f64)> = (0..3)
            .map(|_| (engine(case), in_own_process(case.name)))
            .collect();
        let engine = median(pairs.iter().map(|pair| pair.0).collect());
        let floor = median(pairs.iter().map(|pair| pair.1).collect()) * WORKERS as f64;
        let ratio = median(
            pairs
                .iter()
                .map(|(e, b)| e / (b * WORKERS as f64))
                .collect(),
        );
        line(case.name, engine, "updates/s", floor, ratio);
    }
}
