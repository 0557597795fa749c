use super::*;
use crate::learn::{
    Amount, Correction, DeviceData, Features, LocalTraining, Normalisation, Optimizer, Precision,
};
use crate::model::{Initializer, LayerSpec, Model};

const CLASSES: usize = 4;

/// Samples for all tests, of one shape.
fn data(shape: &[usize]) -> Arc<DeviceData> {
    let size: usize = shape.iter().product();
    let raw = (0..60 * size).map(|i| (i * 7919 % 251) as u8).collect();
    let normal = Normalisation {
        scale: 1.0 / 255.0,
        mean: vec![0.5],
        std: vec![0.3],
    };
    let labels = (0..60).map(|i| (i * i) % CLASSES as u32).collect();
    let data = DeviceData::new(
        shape,
        Features::U8(raw),
        normal,
        labels,
        CLASSES,
        Device::Cpu,
    );
    Arc::new(data.unwrap())
}

/// Five clients of 7, 12, 3, 10 and 12 samples: in batches of 5, short tails, and one to three steps
/// an epoch.
fn jobs(layers: &[LayerSpec], input: &[usize], local: &LocalTraining) -> Vec<TrainJob> {
    let (model, data) = (Model::build(layers, input, CLASSES), data(input));
    let model = Arc::new(model.unwrap());
    let start = model.init(3, Initializer::PyTorch).unwrap();
    let bounds = [0, 7, 19, 22, 32, 44];
    let clients = bounds.windows(2).zip(1..);
    let job = |(bounds, client): (&[u32], u64)| TrainJob {
        model: Arc::clone(&model),
        start: start.clone(),
        data: Arc::clone(&data),
        samples: (bounds[0]..bounds[1]).collect::<Vec<u32>>().into(),
        local: local.clone(),
        round: 2,
        seed: 5,
        client,
        correction: Correction::default(),
    };
    clients.map(job).collect()
}

fn local() -> LocalTraining {
    LocalTraining {
        batch: 5,
        amount: Amount::Epochs(2),
        ..LocalTraining::sgd(0.1)
    }
}

/// Stacked training gives what training one by one gives, to float tolerance.
fn agree(jobs: &[TrainJob]) {
    let stacked = train_stack(jobs).unwrap();
    assert_eq!(stacked.len(), jobs.len());
    for (job, stacked) in jobs.iter().zip(stacked) {
        let alone = train(job, &mut Scratch::new()).unwrap();
        let stacked = stacked.unwrap();
        assert_eq!(
            (stacked.steps, stacked.samples_seen),
            (alone.steps, alone.samples_seen)
        );
        let loss = (stacked.mean_loss - alone.mean_loss).abs();
        assert!(loss < 1e-5, "client {}: loss off by {loss}", job.client);
        let (a, b) = (
            stacked.params.as_slice().unwrap(),
            alone.params.as_slice().unwrap(),
        );
        let start = job.start.as_slice().unwrap();
        let moved = b
            .iter()
            .zip(start)
            .any(|(b, start)| (b - start).abs() > 1e-3);
        assert!(
            moved,
            "client {} learned nothing: the test shows nothing",
            job.client
        );
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            let off = (a - b).abs();
            assert!(
                off < 2e-5,
                "client {}, weight {i}: {a} against {b}",
                job.client
            );
        }
    }
}

fn dense() -> Vec<LayerSpec> {
    vec![
        LayerSpec::dense(8),
        LayerSpec::Relu,
        LayerSpec::dense(CLASSES),
    ]
}

#[test]
fn stacked_and_serial_training_agree_for_every_kind_of_layer() {
    use LayerSpec as L;
    let strided = L::Conv {
        out: 6,
        kernel: 3,
        stride: 2,
        padding: 1,
        bias: false,
    };
    let residual = L::Residual {
        body: vec![L::conv(4, 3, 1), L::Relu, L::conv(4, 3, 1)],
        shortcut: vec![],
    };
    let widening = L::Residual {
        body: vec![L::conv(6, 3, 1), L::Tanh],
        shortcut: vec![L::conv(6, 1, 0)],
    };
    let avg = L::AvgPool {
        size: 2,
        stride: Some(1),
    };
    let ends: [&[L]; 13] = [
        &[L::Flatten, L::Dense(8, false), L::Relu],
        &[L::Flatten, L::dense(8), L::Tanh],
        &[L::Flatten, L::dense(8), L::Sigmoid],
        &[
            L::Flatten,
            L::Dropout { rate: 0.4 },
            L::dense(8),
            L::Dropout { rate: 0.2 },
        ],
        &[L::conv(4, 3, 1), L::Relu, L::Flatten],
        &[strided, L::Flatten],
        &[L::conv(4, 3, 0), L::max_pool(2), L::Flatten],
        &[L::conv(4, 3, 0), avg, L::Flatten],
        &[L::conv(4, 3, 0), L::GlobalAvgPool],
        &[
            L::conv(4, 3, 1),
            L::GroupNorm { groups: 2 },
            L::Relu,
            L::Flatten,
        ],
        &[L::conv(4, 3, 1), residual, widening, L::Flatten],
        &[L::conv(4, 3, 1), L::Dropout { rate: 0.3 }, L::Flatten],
        &[
            L::conv(4, 3, 1),
            L::Scaler { rate: 0.5 },
            L::Relu,
            L::Flatten,
        ],
    ];
    for layers in ends {
        let layers = [layers, &[L::dense(CLASSES)]].concat();
        agree(&jobs(&layers, &[2, 6, 6], &local()));
    }
}

#[test]
fn stacked_and_serial_training_agree_in_every_precision() {
    use LayerSpec as L;
    let layers = [L::conv(6, 3, 1), L::Relu, L::Flatten, L::dense(CLASSES)];
    for (precision, tolerance) in [(Precision::Tf32, 2e-3), (Precision::Bf16, 2e-2)] {
        let local = LocalTraining {
            precision,
            ..local()
        };
        let jobs = jobs(&layers, &[2, 5, 5], &local);
        let stacked = train_stack(&jobs).unwrap();
        for (job, stacked) in jobs.iter().zip(stacked) {
            let alone = train(job, &mut Scratch::new()).unwrap().params;
            let single = TrainJob {
                local: LocalTraining {
                    precision: Precision::Single,
                    ..job.local.clone()
                },
                ..job.clone()
            };
            let single = train(&single, &mut Scratch::new()).unwrap().params;
            let moved = alone.distance_squared(&job.start).unwrap().sqrt();
            let off = |other: &ParamSet| alone.distance_squared(other).unwrap().sqrt() / moved;
            let (stacked, single) = (off(&stacked.unwrap().params), off(&single));
            assert!(stacked < tolerance, "{precision}: {stacked}");
            assert!(single > 0.0, "{precision}: as in single precision");
        }
    }
}

#[test]
fn stacked_and_serial_training_agree_for_every_optimiser_and_term() {
    let sgd = |momentum, nesterov, weight_decay| Optimizer::Sgd {
        lr: 0.1,
        momentum,
        nesterov,
        weight_decay,
    };
    let adam = Optimizer::Adam {
        lr: 0.01,
        beta1: 0.9,
        beta2: 0.99,
        // Adam divides by the root of the second moment: where a gradient is all rounding, so is
        // its step, unless this is larger.
        epsilon: 1e-3,
        weight_decay: 0.01,
    };
    for optimizer in [
        sgd(0.0, false, 0.0),
        sgd(0.9, false, 0.01),
        sgd(0.8, true, 0.0),
        adam,
    ] {
        for clip in [None, Some(0.3)] {
            let local = LocalTraining {
                optimizer: optimizer.clone(),
                clip,
                ..local()
            };
            let mut jobs = jobs(&dense(), &[9], &local);
            agree(&jobs);
            for (k, job) in jobs.iter_mut().enumerate() {
                // Each client starts elsewhere and drifts elsewhere.
                let start: Vec<f32> = job.start.as_slice().unwrap().to_vec();
                let moved: Vec<f32> = start.iter().map(|w| w * (1.0 + 0.1 * k as f32)).collect();
                let drift: Vec<f32> = (0..start.len())
                    .map(|i| ((i * 7 + k) % 5) as f32 * 0.01)
                    .collect();
                let layout = job.model.layout();
                job.start = ParamSet::from_slice(layout, &moved).unwrap();
                job.correction = Correction {
                    // Every client counts other classes; one counts all.
                    classes: (k > 0).then(|| (0..CLASSES).map(|c| c % 4 != k % 4).collect()),
                    proximal: Some(0.5),
                    drift: Some(ParamSet::from_slice(layout, &drift).unwrap()),
                    mask: None,
                };
            }
            agree(&jobs);
        }
    }
}

#[test]
fn a_client_that_diverges_or_has_nothing_spoils_no_other() {
    let mut jobs = jobs(&dense(), &[9], &local());
    let huge = vec![1e30; jobs[1].start.len()];
    jobs[1].start = ParamSet::from_slice(jobs[1].model.layout(), &huge).unwrap();
    jobs[3].samples = Vec::new().into();
    let results = train_stack(&jobs).unwrap();
    assert!(
        matches!(results[1], Err(LearnError::Diverged { .. })),
        "{:?}",
        results[1]
    );
    assert!(matches!(results[3], Err(LearnError::NoSamples)));
    let sound = [0, 2, 4].map(|k| jobs[k].clone());
    agree(&sound);
    for (k, alone) in [0, 2, 4].into_iter().zip(train_stack(&sound).unwrap()) {
        let (a, b) = (results[k].as_ref().unwrap(), alone.unwrap());
        assert!(
            a.params.distance_squared(&b.params).unwrap() < 1e-9,
            "client {k}"
        );
    }
}

#[test]
fn jobs_that_differ_are_not_stacked() {
    let alike = jobs(&dense(), &[9], &local());
    let refused = |change: fn(&mut TrainJob)| {
        let mut jobs = alike.clone();
        change(&mut jobs[2]);
        matches!(train_stack(&jobs), Err(LearnError::Unlike { jobs: 5 }))
    };
    assert!(!refused(|_| ()));
    assert!(refused(|job| job.local.batch = 6));
    assert!(refused(|job| job.correction.proximal = Some(0.1)));
    assert!(refused(|job| job.data = data(&[9])));
    assert!(refused(|job| job.correction.drift = Some(job.start.clone())));
    // The same network, built twice, is one network.
    assert!(!refused(
        |job| job.model = Arc::new(Model::build(&dense(), &[9], CLASSES).unwrap())
    ));
    assert!(refused(|job| {
        let layers = [
            LayerSpec::dense(8),
            LayerSpec::Tanh,
            LayerSpec::dense(CLASSES),
        ];
        job.model = Arc::new(Model::build(&layers, &[9], CLASSES).unwrap());
    }));
}

#[test]
fn a_job_under_a_mask_is_stacked_with_no_other_masked_or_not() {
    let jobs = jobs(&dense(), &[9], &local());
    let masked = |masked: fn(usize) -> bool| {
        let mut jobs = jobs.clone();
        for (k, job) in jobs.iter_mut().enumerate().filter(|(k, _)| masked(*k)) {
            let ones = vec![1.0; job.start.len() - k];
            let mask = [vec![0.0; k], ones].concat();
            job.correction.mask = Some(ParamSet::from_slice(job.model.layout(), &mask).unwrap());
        }
        jobs
    };
    for some in [|k| k == 0, |k| k == 3, |k| k > 1, |_| true] {
        let jobs = masked(some);
        assert!(matches!(
            train_stack(&jobs),
            Err(LearnError::Unlike { jobs: 5 })
        ));
    }
    // Together they give what each gives alone.
    let jobs = masked(|k| k % 2 == 1);
    for (job, together) in jobs.iter().zip(train_all(&jobs, &mut Scratch::new())) {
        let alone = train(job, &mut Scratch::new()).unwrap();
        assert!(
            alone
                .params
                .distance_squared(&together.unwrap().params)
                .unwrap()
                == 0.0
        );
    }
}

fn out_of_memory() -> LearnError {
    LearnError::OutOfMemory {
        detail: "an allocator that fails on purpose".into(),
    }
}

#[test]
fn a_stack_that_does_not_fit_is_halved_until_it_does_and_nothing_is_lost() {
    let jobs = jobs(&dense(), &[9], &local());
    let mut tried = Vec::new();
    let results = halving(&jobs, &mut |jobs| {
        tried.push(jobs.len());
        if jobs.len() > 2 {
            return Err(out_of_memory());
        }
        train_stack(jobs)
    });
    assert_eq!(tried, [5, 2, 3, 1, 2]);
    for (job, result) in jobs.iter().zip(results) {
        let alone = train(job, &mut Scratch::new()).unwrap();
        let apart = alone
            .params
            .distance_squared(&result.unwrap().params)
            .unwrap();
        assert!(apart < 1e-9, "client {}", job.client);
    }
}

#[test]
fn a_single_job_that_does_not_fit_fails_alone() {
    let jobs = jobs(&dense(), &[9], &local());
    let results = halving(&jobs, &mut |jobs| {
        if jobs.iter().any(|job| job.client == 4) {
            return Err(out_of_memory());
        }
        train_stack(jobs)
    });
    let failed: Vec<bool> = results.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, false, false, true, false]);
}

#[test]
fn on_the_cpu_jobs_run_together_have_the_bits_of_jobs_run_alone() {
    let conv = [
        LayerSpec::conv(4, 3, 1),
        LayerSpec::Flatten,
        LayerSpec::dense(CLASSES),
    ];
    for jobs in [
        jobs(&dense(), &[9], &local()),
        jobs(&conv, &[2, 6, 6], &local()),
    ] {
        let mut scratch = Scratch::new();
        for (job, together) in jobs.iter().zip(train_all(&jobs, &mut scratch)) {
            let alone = train(job, &mut Scratch::new()).unwrap();
            let digest = |trained: &Trained| trained.params.digest().unwrap();
            assert_eq!(digest(&alone), digest(&together.unwrap()));
        }
    }
}
