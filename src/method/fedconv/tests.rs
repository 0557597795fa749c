//! The ten smallest honest tests of FedConv, and a few more.

use super::bank::{Filters, Way};
use super::fit::Fit;
use super::learn::bank_of;
use super::*;
use crate::federation::Federation;
use crate::method::fedavg::FedAvg;
use crate::method::testing::{local, narrow};
use crate::method::{Payload, Phase, PublicData, Received, ServerHalf, ServerJob};
use crate::model::{preset, Mode, Selection};
use crate::model::{ParamSet, Sizes};
use crate::run::assemble;
use crate::scenario::Scenario;
use crate::sim::rng::{stream, Purpose};
use std::path::Path;
use tch::{Device, Kind};

const RATIOS: [f64; 4] = [0.75, 0.5625, 0.5, 0.9];

fn mnist() -> Model {
    let layers = preset("fedconv-mnist").unwrap().layers(10);
    Model::build(&layers, &[1, 28, 28], 10).unwrap()
}

fn params(model: &Model) -> Vec<Tensor> {
    let set = model.init(3, Default::default()).unwrap();
    set.views().unwrap().iter().map(Tensor::copy).collect()
}

fn rng(n: u64) -> crate::sim::rng::Stream {
    stream(1, 0, Purpose::Method, n)
}

fn learned(plan: &Filters, init: FilterInit) -> Vec<Tensor> {
    let numbers = plan.begin(init, &mut rng(9));
    assert_eq!(numbers.len(), plan.parameters());
    plan.tensors(&numbers, Device::Cpu).unwrap()
}

#[test]
fn banks_lead_to_the_shapes_of_the_sub_model_and_back() {
    let grouped = [
        crate::model::LayerSpec::conv(40, 3, 1),
        crate::model::LayerSpec::GroupNorm { groups: 2 },
        crate::model::LayerSpec::Relu,
        crate::model::LayerSpec::Residual {
            body: vec![crate::model::LayerSpec::conv(40, 3, 1)],
            shortcut: vec![],
        },
        crate::model::LayerSpec::GlobalAvgPool,
        crate::model::LayerSpec::dense(20),
        crate::model::LayerSpec::dense(10),
    ];
    for full in [mnist(), Model::build(&grouped, &[3, 8, 8], 10).unwrap()] {
        let whole = params(&full);
        for ratio in RATIOS {
            let sub = match full.narrowed(ratio) {
                Ok(sub) => sub,
                // 40 channels at this width are no multiple of the groups.
                Err(error) => panic!("{ratio}: {error}"),
            };
            for init in [FilterInit::Delta, FilterInit::Random] {
                let down = Filters::new(Way::Compress, &full, &sub);
                let small = down.apply(&whole, &learned(&down, init), Activation::Identity);
                let small = small.unwrap();
                let up = Filters::new(Way::Dilate, &full, &sub);
                let large = up.apply(&small, &learned(&up, init), Activation::Identity);
                for (tensor, entry) in small.iter().zip(sub.layout().entries()) {
                    assert_eq!(tensor.size(), entry.dims(), "{ratio} {}", entry.name);
                }
                for (tensor, entry) in large.unwrap().iter().zip(full.layout().entries()) {
                    assert_eq!(tensor.size(), entry.dims(), "{ratio} {}", entry.name);
                }
            }
        }
    }
}

#[test]
fn kernels_and_learned_numbers_of_the_mnist_network_are_the_papers() {
    let full = mnist();
    for (ratio, weights, numbers) in [
        (0.75, [[5, 1], [9, 5], [1, 393]], 924),
        (0.5625, [[8, 1], [15, 8], [1, 687]], 1_929),
    ] {
        let plan = Filters::new(Way::Compress, &full, &full.narrowed(ratio).unwrap());
        let kernels = plan.kernels();
        assert_eq!([kernels[0], kernels[2], kernels[4]], weights);
        // The last bias keeps its shape.
        assert_eq!(kernels[5], [1, 1]);
        assert_eq!(plan.parameters(), numbers, "{ratio}");
    }
}

#[test]
fn with_delta_kernels_compression_is_heterofls_slice_and_dilation_fills_with_zeros() {
    let full = mnist();
    let set = full.init(3, Default::default()).unwrap();
    for ratio in RATIOS {
        let sub = full.narrowed(ratio).unwrap();
        let prefix = Selection::prefix(full.units(), sub.units());
        let sliced = prefix.gather(&full, &sub, &set).unwrap();
        let down = Filters::new(Way::Compress, &full, &sub);
        let small = down
            .apply(
                &set.views().unwrap(),
                &learned(&down, FilterInit::Delta),
                Activation::Identity,
            )
            .unwrap();
        let small = fit::freeze(&sub, &small).unwrap();
        // A dense layer's columns are cut as a matrix, HeteroFL's by channels: where a channel has
        // several columns the two agree because channels lie one after the other.
        assert_eq!(
            small.as_slice().unwrap(),
            sliced.as_slice().unwrap(),
            "{ratio}"
        );
        let up = Filters::new(Way::Dilate, &full, &sub);
        let large = up
            .apply(
                &small.views().unwrap(),
                &learned(&up, FilterInit::Delta),
                Activation::Identity,
            )
            .unwrap();
        let large = fit::freeze(&full, &large).unwrap();
        let again = prefix.gather(&full, &sub, &large).unwrap();
        assert_eq!(
            again.as_slice().unwrap(),
            small.as_slice().unwrap(),
            "{ratio}"
        );
        let sum = |set: &ParamSet| {
            set.as_slice()
                .unwrap()
                .iter()
                .filter(|v| **v != 0.0)
                .count()
        };
        assert_eq!(sum(&large), sum(&small), "{ratio}: everything else is zero");
    }
}

#[test]
fn dilation_is_the_adjoint_of_compression() {
    let full = mnist();
    let sub = full.narrowed(0.75).unwrap();
    let down = Filters::new(Way::Compress, &full, &sub);
    let up = Filters::new(Way::Dilate, &full, &sub);
    // Random kernels, projections that change nothing.
    let kernels = |init: FilterInit| -> Vec<Tensor> {
        let (random, delta) = (learned(&down, init), learned(&down, FilterInit::Delta));
        let each = random.into_iter().zip(delta).enumerate();
        each.map(|(i, (random, delta))| if i % 4 < 2 { random } else { delta })
            .collect()
    };
    let kernels = kernels(FilterInit::Random);
    let (w, v) = (params(&full), params(&sub));
    let small = down.apply(&w, &kernels, Activation::Identity).unwrap();
    let large = up.apply(&v, &kernels, Activation::Identity).unwrap();
    let dot = |a: &[Tensor], b: &[Tensor]| -> f64 {
        let each = a.iter().zip(b).map(|(a, b)| (a * b).sum(Kind::Double));
        each.map(|sum| sum.double_value(&[])).sum()
    };
    let (a, b) = (dot(&small, &v), dot(&w, &large));
    assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{a} against {b}");
}

#[test]
fn the_authors_activation_twice_has_their_slopes() {
    let mlr = Activation::Mlr {
        negative: 0.001,
        positive: 0.85,
    };
    let twice = |mlr: Activation| {
        let y = mlr.twice(Tensor::from_slice(&[1.0f64, -1.0])).unwrap();
        Vec::<f64>::try_from(&y).unwrap()
    };
    let found = twice(mlr);
    assert!(
        (found[0] - 0.7225).abs() < 1e-12 && (found[1] + 1e-6).abs() < 1e-15,
        "{found:?}"
    );
    // A slope below 0 changes the sign, so that the other slope comes next.
    for (negative, positive, expected) in
        [(-0.5, 0.25, [0.0625, 0.125]), (0.5, -2.0, [-1.0, -0.25])]
    {
        assert_eq!(twice(Activation::Mlr { negative, positive }), expected);
    }
}

/// FedConv on digits: three widths, a tenth of the samples public.
fn federation(method: &str) -> Federation {
    let text = format!(
        "(seed: 4, data: Digits, public: (share: 0.2, select: 0.2), method: FedConv({method}),
          model: [Conv(out: 8, kernel: 3, padding: 1), Relu, MaxPool(size: 2), Flatten, Dense(10)],
          training: (epochs: 1, batch: 16, optimizer: Adam(lr: 0.01)),
          population: [(count: 1), (count: 2, size: 0.75), (count: 2, size: 0.5)])"
    );
    let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]).unwrap();
    assemble(&scenario, Default::default()).unwrap()
}

fn setup(federation: &Federation) -> Setup {
    let plan = federation.plan();
    let all: Vec<u32> = plan.partition.indices().to_vec();
    Setup {
        model: Arc::clone(&plan.model),
        initial: plan.model.init(plan.seed, plan.init).unwrap(),
        sizes: federation.sizes().clone(),
        public: Some(PublicData {
            data: Arc::clone(&plan.train),
            train: plan.public.train.clone().into(),
            select: plan.public.select.clone().into(),
        }),
        population: plan.population(),
        seed: plan.seed,
        data: Arc::clone(&plan.train),
        pooled: all.into(),
        local: Arc::new(plan.groups[0].training.clone()),
    }
}

fn server(method: &str) -> Server {
    let federation = federation(method);
    let method: &FedConv = federation.plan().method.settings().unwrap();
    Server::new(method.clone(), setup(&federation))
}

/// Lets the server do its own work of a phase.
fn work(server: &mut Server, phase: Phase) {
    let mut scratch = crate::learn::Scratch::new();
    let mut outputs = Vec::new();
    loop {
        let jobs = server.step(phase, outputs).unwrap();
        if jobs.is_empty() {
            return;
        }
        assert!(
            jobs.iter()
                .all(|job| job.cost.flops.0 > 0 && job.cost.memory.0 > 0),
            "server work costs virtual time"
        );
        outputs = jobs
            .iter()
            .map(|job| (job.work)(&mut scratch).unwrap())
            .collect();
    }
}

/// What a client of the server reports that did not train, moved by `by`.
fn report(server: &mut Server, client: u32, by: f32) -> Received {
    let task = server.task(client, 1).unwrap();
    let sent = task.as_model().unwrap();
    let moved: Vec<f32> = sent.as_slice().unwrap().iter().map(|v| v + by).collect();
    Received {
        client,
        round: 1,
        samples: 10 + client,
        payload: Payload::Model(ParamSet::from_slice(sent.layout(), &moved).unwrap()),
    }
}

/// Mean cross entropy on the public training samples, in double precision.
fn public_loss(model: &Model, params: &[Tensor], public: &PublicData) -> Tensor {
    let samples = public.train.as_slice();
    let x = public
        .data
        .batch(samples, false)
        .unwrap()
        .to_kind(Kind::Double);
    let mut labels = Vec::new();
    public.data.labels_of(samples, &mut labels).unwrap();
    let labels: Vec<i64> = labels.iter().map(|&l| i64::from(l)).collect();
    let scores = model.forward(params, &x, Mode::Evaluate).unwrap();
    let chances = scores.log_softmax(-1, Kind::Double);
    chances.nll_loss(&Tensor::from_slice(&labels))
}

fn doubles(set: &ParamSet) -> Vec<Tensor> {
    let views = set.views().unwrap();
    views
        .iter()
        .map(|view| view.to_kind(Kind::Double))
        .collect()
}

#[test]
fn gradients_reach_the_filters_as_central_differences_have_them_and_never_the_model() {
    let federation = federation("");
    let setup = setup(&federation);
    let public = setup.public.clone().unwrap();
    let sub = &setup.sizes.levels()[1].model;
    let plan = Filters::new(Way::Compress, &setup.model, sub);
    let numbers = plan.begin(FilterInit::Random, &mut rng(5));
    let theta = doubles(&setup.initial);
    let mlr = Activation::Mlr {
        negative: 0.1,
        positive: 0.85,
    };
    let loss = |numbers: &[f64]| {
        // Double precision all along: the filters are cut from a flat vector here.
        let floats: Vec<f32> = numbers.iter().map(|_| 0.0).collect();
        let shapes = plan.tensors(&floats, Device::Cpu).unwrap();
        let mut at = 0;
        let leaves: Vec<Tensor> = shapes
            .iter()
            .map(|like| {
                let n = like.numel();
                let own = Tensor::from_slice(&numbers[at..at + n]).view(like.size().as_slice());
                at += n;
                own.set_requires_grad(true)
            })
            .collect();
        let params = plan.apply(&theta, &leaves, mlr).unwrap();
        (public_loss(sub, &params, &public), leaves)
    };
    let at: Vec<f64> = numbers.iter().map(|&v| f64::from(v)).collect();
    let (root, leaves) = loss(&at);
    let gradients = Tensor::run_backward(&[root], &leaves, false, false);
    let flat: Vec<f64> = gradients
        .iter()
        .flat_map(|g| Vec::<f64>::try_from(g.flatten(0, -1)).unwrap())
        .collect();
    let mut checked = 0;
    for k in 0..20 {
        let i = k * at.len() / 20;
        let h = 1e-6;
        let shifted = |by: f64| {
            let mut moved = at.clone();
            moved[i] += by;
            loss(&moved).0.double_value(&[])
        };
        let numeric = (shifted(h) - shifted(-h)) / (2.0 * h);
        assert!(
            (numeric - flat[i]).abs() < 1e-5 * (1.0 + numeric.abs()),
            "{i}: {numeric} against {}",
            flat[i]
        );
        checked += usize::from(flat[i].abs() > 1e-7);
    }
    assert!(checked > 10, "only {checked} of 20 matter");

    let mut server = server("tune: 0, filter: 2");
    let before = server.global.digest().unwrap();
    work(&mut server, Phase::BeforeRound(1));
    assert_eq!(server.global.digest().unwrap(), before);
    assert!(server.filters[1].as_ref().unwrap().cut.is_some());
}

#[test]
fn every_learning_step_lowers_the_public_loss_from_where_it_starts() {
    let mut server = server("tune: 3, filter: 6, tune_clients: 0, aggregate: 6, filter_lr: 0.01");
    let public = server.public().unwrap();
    let loss = |model: &Model, set: &ParamSet| {
        public_loss(model, &doubles(set), &public).double_value(&[])
    };
    // Compression: from the slice of the tuned model to what is sent.
    let sub = Arc::clone(&server.sizes().levels()[2].model);
    let full = Arc::clone(&server.setup.model);
    work(&mut server, Phase::BeforeRound(1));
    let prefix = Selection::prefix(full.units(), sub.units());
    let sliced = prefix.gather(&full, &sub, &server.global).unwrap();
    let sent = server.filters[2].as_ref().unwrap().cut.clone().unwrap();
    let (before, after) = (loss(&sub, &sliced), loss(&sub, &sent));
    assert!(after < before - 0.01, "compression: {before} to {after}");

    // Dilation: from the sub-model filled up with zeros to the dilated one.
    for client in 0..5 {
        let report = report(&mut server, client, 0.003);
        server.receive(&report).unwrap();
    }
    let mut scratch = crate::learn::Scratch::new();
    let mut run = |jobs: Vec<ServerJob>| -> Vec<Payload> {
        jobs.iter()
            .map(|job| (job.work)(&mut scratch).unwrap())
            .collect()
    };
    let jobs = server.step(Phase::AfterRound(1), Vec::new()).unwrap();
    let outputs = run(jobs);
    let (_, dilated) = bank_of(&outputs[4]).unwrap();
    let own = &server.reported[4].params;
    let up = Filters::new(Way::Dilate, &full, &sub);
    let filled = up
        .apply(
            &own.views().unwrap(),
            &learned(&up, FilterInit::Delta),
            Activation::Identity,
        )
        .unwrap();
    let filled = fit::freeze(&full, &filled).unwrap();
    let (before, after) = (loss(&full, &filled), loss(&full, &dilated));
    assert!(after < before - 0.01, "dilation: {before} to {after}");

    // Aggregation: from the weighted mean to the learned one.
    let jobs = server.step(Phase::AfterRound(1), outputs).unwrap();
    let mut mean = crate::method::WeightedSum::like(&server.global);
    for (report, set) in server.reported.iter().zip(&server.dilated) {
        mean.add(set, report.weight).unwrap();
    }
    let mean = mean.take_mean().unwrap().unwrap().freeze();
    let outputs = run(jobs);
    server.step(Phase::AfterRound(1), outputs).unwrap();
    let (before, after) = (loss(&full, &mean), loss(&full, &server.global));
    assert!(after < before - 0.01, "aggregation: {before} to {after}");
}

#[test]
fn without_learning_of_its_own_it_is_fedavg() {
    let still = FedConv {
        tune: 0,
        filter: 0,
        filter_later: 0,
        tune_clients: 0,
        aggregate: 0,
        ..FedConv::default()
    };
    let average = FedAvg::default();
    let mut a = narrow::toy(&still, &local(), [1.0; 3]);
    let mut b = narrow::toy(&average, &local(), [1.0; 3]);
    for cohort in [&[0, 1, 2][..], &[2, 0]] {
        a.round(cohort);
        b.round(cohort);
        assert!(a.model().distance_squared(&b.model()).unwrap() < 1e-12);
    }
}

#[test]
fn a_clients_report_changes_its_own_dilation_bank_only() {
    let banks = |moved: f32| {
        let mut server = server("tune: 0, filter: 2, tune_clients: 1, aggregate: 1");
        work(&mut server, Phase::BeforeRound(1));
        for client in 0..5 {
            let by = if client == 3 { moved } else { 0.001 };
            let report = report(&mut server, client, by);
            server.receive(&report).unwrap();
        }
        work(&mut server, Phase::AfterRound(1));
        server.dilation.clone()
    };
    let (a, b) = (banks(0.001), banks(-0.002));
    // The client at full width has none.
    assert_eq!(a.keys().copied().collect::<Vec<u32>>(), [1, 2, 3, 4]);
    for client in [1, 2, 4] {
        assert_eq!(a[&client], b[&client], "{client}");
    }
    assert_ne!(a[&3], b[&3]);
}

#[test]
fn compression_banks_do_not_depend_on_which_clients_there_are() {
    let learned = |server: &mut Server| {
        work(server, Phase::BeforeRound(1));
        let each = server.filters.iter().flatten();
        each.map(|filters| filters.learned.to_vec())
            .collect::<Vec<_>>()
    };
    let mut five = server("filter: 2");
    let mut other = server("filter: 2");
    // The same widths, at other clients.
    other.setup.sizes = Sizes::new(other.sizes().levels().to_vec(), vec![2, 2, 2, 1, 0, 1, 0]);
    other.setup.population = 7;
    assert_eq!(learned(&mut five), learned(&mut other));
}

/// Image files in the IDX format: magic number, sizes, bytes.
fn idx(path: &Path, dims: &[u32], bytes: &[u8]) {
    let mut all = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|n| all.extend(n.to_be_bytes()));
    all.extend(bytes);
    std::fs::write(path, all).unwrap();
}

#[test]
fn the_labels_of_the_test_data_change_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let image = |i: usize| {
        (0..16).map(move |p| {
            if p / 4 == i % 4 {
                220
            } else {
                (i * p % 40) as u8
            }
        })
    };
    let images = |n: usize| (0..n).flat_map(image).collect::<Vec<u8>>();
    let labels =
        |n: usize, shift: usize| (0..n).map(|i| ((i + shift) % 4) as u8).collect::<Vec<u8>>();
    idx(&at("train"), &[120, 4, 4], &images(120));
    idx(&at("train-labels"), &[120], &labels(120, 0));
    idx(&at("test"), &[40, 4, 4], &images(40));
    let run = |shift: usize| {
        idx(&at("test-labels"), &[40], &labels(40, shift));
        let path = |name: &str| at(name).display().to_string();
        let text = format!(
            "(data: Idx(train_images: \"{}\", train_labels: \"{}\", test_images: \"{}\", test_labels: \"{}\"),
              public: (share: 0.3, select: 0.2), model: [Flatten, Dense(8), Relu, Dense(4)],
              training: (batch: 8, optimizer: Adam(lr: 0.01)), population: [(count: 2), (count: 2, size: 0.5)],
              method: FedConv(tune: 2, filter: 2, tune_clients: 1, aggregate: 2),
              schedule: (rounds: 2, cohort: 4))",
            path("train"), path("train-labels"), path("test"), path("test-labels")
        );
        let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]).unwrap();
        let out = at(&format!("run-{shift}"));
        let options = crate::run::Options {
            workers: 1,
            device: Default::default(),
            out: Some(out.clone()),
            file: "s.ron".into(),
            text,
            overrides: Vec::new(),
            kept_memory: crate::quantity::Bytes(u64::MAX),
            memory: None,
            quiet: true,
            ranks: None,
        };
        let stop = std::sync::atomic::AtomicBool::new(false);
        let finished = crate::run::run(&scenario, &options, &stop).unwrap();
        let clients = std::fs::read_to_string(out.join("clients.csv")).unwrap();
        (clients, finished.totals.final_loss)
    };
    let ((a, right), (b, wrong)) = (run(0), run(1));
    assert_eq!(a, b);
    assert_ne!(right, wrong, "the labels did change");
}

#[test]
fn batch_statistics_are_refused_with_a_remedy() {
    let text = "(data: Digits, public: (share: 0.1), method: FedConv(),
        model: [Conv(out: 4, kernel: 3), BatchNorm, Relu, Flatten, Dense(10)],
        population: [(count: 3, size: 0.5)])";
    let error = Scenario::parse(text, Path::new("s.ron"), &[]).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("use GroupNorm"), "{said}");
}

#[test]
fn batch_statistics_are_refused_at_the_full_width_too() {
    let text = "(data: Digits, public: (share: 0.1), method: FedConv(),
        model: [Conv(out: 4, kernel: 3), BatchNorm, Relu, Flatten, Dense(10)],
        population: [(count: 3)])";
    let scenario = Scenario::parse(text, Path::new("s.ron"), &[]).unwrap();
    let built = assemble(&scenario, Default::default());
    let said = built.err().unwrap().to_string();
    assert!(said.contains("use GroupNorm"), "{said}");
}

/// Half a network is never sent a whole one, also between a round that was given up and the next.
#[test]
fn a_client_is_sent_its_own_width_after_an_abandoned_round() {
    let mut server = server("tune: 0, filter: 1");
    work(&mut server, Phase::BeforeRound(1));
    let sent = server.task(4, 1).unwrap();
    server.abandon();
    let again = server.task(4, 1).unwrap();
    let layout = server.sizes().of(4).model.layout();
    assert!(again.as_model().unwrap().has_layout(layout).is_ok());
    // The bank was kept, and the global model is the same.
    assert_eq!(again.digest(), sent.digest());
}

/// Counted by hand: passes over the samples to learn from, and one measurement more than passes,
/// each of which has to make the weights that it measures.
#[test]
fn learning_a_bank_costs_its_steps_and_the_choice_among_start_and_passes() {
    let server = server("tune: 0, filter: 3, batch: 10");
    let public = server.public().unwrap();
    let (learn, choose) = (public.train.len() as u64, public.select.len() as u64);
    let sub = &server.sizes().levels()[1].model;
    let forward = sub.forward_flops().0;
    // Eight channels to six on 3x3 windows of one channel, then 8 * 16 columns to 6 * 16.
    let filters = 2 * (9 * 6 * 3 + 6 * 3 + 10 * 96 * 33 + 10);
    let expected = 3 * (learn * 3 * forward + learn.div_ceil(10) * 3 * filters)
        + 4 * (choose * forward + filters);
    let plan = Filters::new(Way::Compress, &server.setup.model, sub);
    assert_eq!(plan.flops(), 3 * filters);
    assert_eq!(server.fit_cost(sub, 3, plan.flops(), 0).flops.0, expected);
}

/// The first parameters that are built are no numbers, all later ones are.
#[test]
fn a_start_that_is_no_number_is_not_kept_for_ever() {
    let federation = federation("");
    let setup = setup(&federation);
    let public = setup.public.clone().unwrap();
    let fit = Fit {
        epochs: 1,
        lr: 0.01,
        batch: 16,
        seed: 1,
        counter: 1,
    };
    let (whole, built) = (params(&setup.model), std::cell::Cell::new(0));
    let leaf = Tensor::zeros([1], (Kind::Float, Device::Cpu));
    let fitted = fit.run(&setup.model, &public, vec![leaf], |leaves| {
        let first = built.replace(built.get() + 1) == 0;
        let shift = if first { f64::NAN } else { 0.0 };
        Ok(whole.iter().map(|t| t + &leaves[0] + shift).collect())
    });
    assert!(fitted.unwrap().params.is_finite().unwrap());
}

#[test]
fn long_kernels_in_phases_give_what_a_plain_convolution_gives_and_its_gradients() {
    let none = None::<&Tensor>;
    for (n, k) in [(1568, 687), (1568, 393), (200, 96), (300, 145), (200, 200)] {
        let values = |count: i64, of: i64| {
            let each = (0..count).map(|i| ((i * of) % 101 - 50) as f64 / 64.0);
            Tensor::from_slice(&each.collect::<Vec<f64>>())
        };
        let kernel = values(k, 37).view([1, k]).set_requires_grad(true);
        let (wide, small) = (
            values(3 * n, 29).view([3, n]).set_requires_grad(true),
            values(3 * (n - k + 1), 23)
                .view([3, n - k + 1])
                .set_requires_grad(true),
        );
        let whole = kernel.view([1, 1, 1, k]);
        let plain = [
            wide.view([1, 1, 3, n])
                .conv2d(&whole, none, [1, 1], [0, 0], [1, 1], 1),
            small.view([1, 1, 3, -1]).conv_transpose2d(
                &whole,
                none,
                [1, 1],
                [0, 0],
                [0, 0],
                1,
                [1, 1],
            ),
        ];
        let phased = [
            bank::correlate(&wide, &kernel).unwrap(),
            bank::spread(&small, &kernel).unwrap(),
        ];
        for ((plain, phased), x) in plain.iter().zip(&phased).zip([&wide, &small]) {
            let plain = plain.squeeze_dim(0).squeeze_dim(0);
            assert_eq!(plain.size(), phased.size());
            let found = |y: &Tensor| {
                let weighted = (y * y.detach().cos()).sum(Kind::Double);
                let mut all = Tensor::run_backward(&[weighted], &[&kernel, x], true, false);
                all.push(y.detach());
                all
            };
            for (a, b) in found(&plain).iter().zip(found(phased)) {
                let off = (a - b).abs().max().double_value(&[]);
                assert!(off < 1e-9, "{n}, {k}: off by {off}");
            }
        }
    }
}
