use super::*;
use crate::learn::{prepare_worker_thread, Amount, Features, HostDevice, Normalisation, Schedule};
use crate::model::{preset, LayerSpec, Mode};

fn plain() -> Normalisation {
    Normalisation {
        scale: 1.0,
        mean: vec![0.0],
        std: vec![1.0],
    }
}

/// Twelve samples of three features in two classes, under logistic regression.
fn logistic(local: LocalTraining) -> TrainJob {
    let model = Arc::new(Model::build(&[LayerSpec::dense(2)], &[3], 2).unwrap());
    let features = (0..36)
        .map(|i| ((i * 23 % 17) as f32 - 8.0) / 5.0)
        .collect();
    let labels = (0..12).map(|i| u32::from(i % 3 == 0)).collect();
    let data = DeviceData::new(
        &[3],
        Features::F32(features),
        plain(),
        labels,
        2,
        Device::Cpu,
    )
    .unwrap();
    let start = ParamSet::from_slice(
        model.layout(),
        &[0.3, -0.2, 0.5, 0.1, 0.4, -0.6, 0.05, -0.05],
    )
    .unwrap();
    TrainJob {
        model,
        start,
        data: Arc::new(data),
        samples: (0..12).collect::<Vec<u32>>().into(),
        local,
        round: 0,
        seed: 11,
        client: 4,
        correction: Correction::default(),
    }
}

/// A convolutional network with dropout on 23 random images: a last batch of 3.
fn convolutional() -> TrainJob {
    convolutional_on(Device::Cpu)
}

fn convolutional_on(device: Device) -> TrainJob {
    let layers = [
        LayerSpec::conv(4, 3, 1),
        LayerSpec::Relu,
        LayerSpec::max_pool(2),
        LayerSpec::Dropout { rate: 0.25 },
        LayerSpec::Flatten,
        LayerSpec::dense(16),
        LayerSpec::Relu,
        LayerSpec::dense(10),
    ];
    let model = Arc::new(Model::build(&layers, &[3, 8, 8], 10).unwrap());
    let raw = (0..40 * 192usize).map(|i| (i * 7919 % 251) as u8).collect();
    let normal = Normalisation {
        scale: 1.0 / 255.0,
        mean: vec![0.4, 0.5, 0.6],
        std: vec![0.2, 0.25, 0.3],
    };
    let labels = (0..40).map(|i| i % 10).collect();
    let data = DeviceData::new(&[3, 8, 8], Features::U8(raw), normal, labels, 10, device).unwrap();
    let indices: Arc<[u32]> = (0..40).collect::<Vec<u32>>().into();
    TrainJob {
        start: model.init(2, crate::model::Initializer::PyTorch).unwrap(),
        model,
        data: Arc::new(data),
        samples: Samples::part(indices, 5..28).unwrap(),
        local: LocalTraining {
            amount: Amount::Epochs(2),
            ..LocalTraining::sgd(0.05)
        },
        round: 3,
        seed: 11,
        client: 4,
        correction: Correction::default(),
    }
}

fn digest(job: &TrainJob, scratch: &mut Scratch) -> u64 {
    train(job, scratch).unwrap().params.digest().unwrap()
}

/// Softmax regression on the whole set, in double precision, from its definition: weights after
/// `steps` steps and the loss before the last one.
fn by_hand(job: &TrainJob, steps: usize, term: impl Fn(&[f64], usize) -> f64) -> (Vec<f64>, f64) {
    let x: Vec<f64> = (0..36)
        .map(|i| f64::from(((i * 23 % 17) as f32 - 8.0) / 5.0))
        .collect();
    let mut w: Vec<f64> = job
        .start
        .as_slice()
        .unwrap()
        .iter()
        .map(|&v| f64::from(v))
        .collect();
    let mut loss = 0.0;
    for _ in 0..steps {
        let mut g = [0.0; 8];
        loss = 0.0;
        for s in 0..12 {
            let row = &x[s * 3..][..3];
            let score = |c: usize| w[6 + c] + (0..3).map(|j| w[c * 3 + j] * row[j]).sum::<f64>();
            let (a, b) = (score(0).exp(), score(1).exp());
            let label = usize::from(s % 3 == 0);
            let p = [a / (a + b), b / (a + b)];
            loss -= p[label].ln() / 12.0;
            for (c, p) in p.iter().enumerate() {
                let d = (p - f64::from(u8::from(c == label))) / 12.0;
                (0..3).for_each(|j| g[c * 3 + j] += d * row[j]);
                g[6 + c] += d;
            }
        }
        let old = w.clone();
        for i in 0..8 {
            w[i] -= 0.5 * (g[i] + term(&old, i));
        }
    }
    (w, loss)
}

fn close(got: &ParamSet, expected: &[f64]) {
    for (got, expected) in got.as_slice().unwrap().iter().zip(expected) {
        assert!(
            (f64::from(*got) - expected).abs() < 1e-5,
            "{got} against {expected}"
        );
    }
}

#[test]
fn logistic_regression_takes_the_steps_computed_by_hand() {
    let local = LocalTraining {
        batch: 0,
        amount: Amount::Steps(3),
        ..LocalTraining::sgd(0.5)
    };
    let mut job = logistic(local);
    let trained = train(&job, &mut Scratch::new()).unwrap();
    let (expected, loss) = by_hand(&job, 3, |_, _| 0.0);
    close(&trained.params, &expected);
    assert!((trained.last_loss - loss).abs() < 1e-6);
    assert_eq!((trained.steps, trained.samples_seen), (3, 36));

    let drift: Vec<f32> = (0..8).map(|i| i as f32 * 0.02 - 0.07).collect();
    job.correction = Correction {
        classes: None,
        mask: None,
        proximal: Some(0.4),
        drift: Some(ParamSet::from_slice(job.model.layout(), &drift).unwrap()),
    };
    let start: Vec<f64> = job
        .start
        .as_slice()
        .unwrap()
        .iter()
        .map(|&v| f64::from(v))
        .collect();
    let (expected, _) = by_hand(&job, 3, |w, i| {
        0.4 * (w[i] - start[i]) + f64::from(drift[i])
    });
    close(&train(&job, &mut Scratch::new()).unwrap().params, &expected);
}

#[test]
fn an_epoch_goes_through_every_sample_once_the_short_last_batch_included() {
    // With a learning rate of 0 every loss is that of the start, so the mean over an epoch in
    // batches of 5, 5 and 2 is that of the whole set.
    let mut job = logistic(LocalTraining {
        batch: 5,
        ..LocalTraining::sgd(0.0)
    });
    let trained = train(&job, &mut Scratch::new()).unwrap();
    let (_, loss) = by_hand(&job, 1, |_, _| 0.0);
    assert_eq!((trained.steps, trained.samples_seen), (3, 12));
    assert!((trained.mean_loss - loss).abs() < 1e-6);
    assert_eq!(
        trained.params.digest().unwrap(),
        job.start.digest().unwrap()
    );

    job.local.amount = Amount::Steps(5);
    let trained = train(&job, &mut Scratch::new()).unwrap();
    assert_eq!((trained.steps, trained.samples_seen), (5, 12 + 10));
    job.local.amount = Amount::Epochs(0);
    let trained = train(&job, &mut Scratch::new()).unwrap();
    assert_eq!(
        (trained.steps, trained.samples_seen, trained.mean_loss),
        (0, 0, 0.0)
    );
}

#[test]
fn equal_jobs_give_equal_bits_on_every_thread_and_with_any_scratch() {
    prepare_worker_thread();
    let job = convolutional();
    let expected = digest(&job, &mut Scratch::new());
    let mut used = Scratch::new();
    for local in [LocalTraining::adam(0.01), LocalTraining::sgd(0.3)] {
        digest(
            &TrainJob {
                local,
                ..job.clone()
            },
            &mut used,
        );
        digest(&logistic(LocalTraining::sgd(0.1)), &mut used);
        assert_eq!(digest(&job, &mut used), expected);
    }
    let found: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    prepare_worker_thread();
                    let mut scratch = Scratch::new();
                    (0..3)
                        .map(|_| digest(&job, &mut scratch))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    assert_eq!(found, vec![expected; 12]);
}

#[test]
fn every_fast_path_takes_the_steps_of_the_general_one() {
    let several = |local| LocalTraining {
        batch: 5,
        amount: Amount::Epochs(3),
        ..local
    };
    let dense = logistic(several(LocalTraining::sgd(0.1)));
    let adam = logistic(several(LocalTraining::adam(0.01)));
    for job in [dense, adam, convolutional()] {
        let fast = train(&job, &mut Scratch::new()).unwrap();
        for path in [FastPath::Tape, FastPath::Slices] {
            let slow = train(&job, &mut Scratch::without(path)).unwrap();
            let (a, b) = (fast.params.as_slice(), slow.params.as_slice());
            for (a, b) in a.unwrap().iter().zip(b.unwrap()) {
                assert!((a - b).abs() < 1e-5, "{path:?}: {a} and {b}");
            }
            assert!((fast.mean_loss - slow.mean_loss).abs() < 1e-5, "{path:?}");
        }
    }
}

#[test]
fn an_optimisers_state_does_not_outlive_its_job() {
    let momentum = |momentum| LocalTraining {
        optimizer: Optimizer::Sgd {
            lr: 0.05,
            momentum,
            nesterov: false,
            weight_decay: 0.0,
        },
        ..LocalTraining::sgd(0.05)
    };
    let mut used = Scratch::new();
    for local in [
        momentum(0.9),
        momentum(0.9),
        momentum(0.0),
        LocalTraining::adam(0.01),
        momentum(0.9),
    ] {
        let job = TrainJob {
            local,
            ..convolutional()
        };
        assert_eq!(digest(&job, &mut used), digest(&job, &mut Scratch::new()));
    }
}

#[test]
fn a_gpu_agrees_with_the_cpu_where_there_is_one() {
    let Ok(device) = HostDevice::Cuda(0).open() else {
        // Past the harness, which would swallow it: this test has said nothing here.
        let skipped = b"not tested: no GPU to compare with the CPU\n";
        std::io::Write::write_all(&mut std::io::stderr(), skipped).unwrap();
        return;
    };
    for local in [LocalTraining::sgd(0.05), LocalTraining::adam(0.001)] {
        let local = LocalTraining {
            clip: Some(1.0),
            ..local
        };
        let run = |device| {
            let job = TrainJob {
                local: local.clone(),
                ..convolutional_on(device)
            };
            let trained = train(&job, &mut Scratch::new()).unwrap();
            assert_eq!(trained.params.device(), device);
            trained.params.to_device(Device::Cpu).unwrap()
        };
        let (here, there) = (run(Device::Cpu), run(device));
        let distance = here.distance_squared(&there).unwrap().sqrt();
        let moved = here
            .distance_squared(&convolutional().start)
            .unwrap()
            .sqrt();
        assert!(
            distance < 1e-2 * moved,
            "{distance} apart after moving {moved}"
        );
    }
}

#[test]
fn seed_client_and_round_each_change_the_result() {
    let job = convolutional();
    let base = digest(&job, &mut Scratch::new());
    let change = |f: fn(&mut TrainJob)| {
        let mut job = job.clone();
        f(&mut job);
        digest(&job, &mut Scratch::new())
    };
    assert_ne!(change(|job| job.seed += 1), base);
    assert_ne!(change(|job| job.client += 1), base);
    assert_ne!(change(|job| job.round += 1), base);
}

#[test]
fn the_schedule_sets_the_rate_of_the_round() {
    let mut job = convolutional();
    job.local.schedule = Schedule::Step {
        every: 3,
        factor: 0.5,
    };
    let halved = digest(&job, &mut Scratch::new());
    job.local = LocalTraining {
        amount: Amount::Epochs(2),
        ..LocalTraining::sgd(0.025)
    };
    assert_eq!(digest(&job, &mut Scratch::new()), halved);
}

#[test]
fn training_learns() {
    let mut job = convolutional();
    job.local.amount = Amount::Epochs(60);
    let trained = train(&job, &mut Scratch::new()).unwrap();
    let samples = job.samples.as_slice();
    let before =
        super::super::evaluate(&job.model, &job.start, &job.data, samples, 8, None).unwrap();
    let after =
        super::super::evaluate(&job.model, &trained.params, &job.data, samples, 8, None).unwrap();
    assert!(
        after.mean_loss() < 0.5 * before.mean_loss(),
        "{before:?} {after:?}"
    );
}

#[test]
fn a_job_whose_parts_do_not_fit_is_refused() {
    let job = logistic(LocalTraining::sgd(0.1));
    let other = convolutional();
    let error = |job: TrainJob| train(&job, &mut Scratch::new()).unwrap_err().to_string();
    assert_eq!(
        error(TrainJob {
            data: other.data.clone(),
            ..job.clone()
        }),
        "the model takes samples of shape [3] in 2 classes, the data set has shape [3, 8, 8] and 10 classes"
    );
    assert!(error(TrainJob {
        start: other.start.clone(),
        ..job.clone()
    })
    .starts_with("parameters of different layouts: expected 2 tensors with 8 values"));
    let (drift, mask) = (Some(other.start.clone()), Some(other.start));
    for correction in [
        Correction {
            drift,
            ..Correction::default()
        },
        Correction {
            mask,
            ..Correction::default()
        },
    ] {
        assert!(error(TrainJob {
            correction,
            ..job.clone()
        })
        .starts_with("parameters of different layouts"));
    }
    assert_eq!(
        error(TrainJob {
            samples: vec![3, 12].into(),
            ..job.clone()
        }),
        "sample 12 was asked for, the data set has 12"
    );
    assert!(matches!(
        train(
            &TrainJob {
                samples: vec![].into(),
                ..job
            },
            &mut Scratch::new()
        ),
        Err(LearnError::NoSamples)
    ));
}

/// Of a network that is trained without torch, under every optimiser.
#[test]
fn what_a_mask_leaves_out_of_a_dense_network_stays_zero_to_the_bit_and_the_rest_learns() {
    let sgd = |momentum, weight_decay| Optimizer::Sgd {
        lr: 0.1,
        momentum,
        nesterov: false,
        weight_decay,
    };
    let adam = LocalTraining::adam(0.01).optimizer;
    for optimizer in [sgd(0.0, 0.0), sgd(0.9, 0.01), adam] {
        let local = LocalTraining {
            optimizer,
            batch: 5,
            amount: Amount::Epochs(3),
            ..LocalTraining::sgd(0.1)
        };
        let mut job = logistic(local);
        assert!(Perceptron::of(&job.model, 5).is_some());
        let pruned = |i: usize| i % 3 == 1;
        let mut start = job.start.as_slice().unwrap().to_vec();
        let mut mask = vec![1.0; 8];
        for i in (0..8).filter(|&i| pruned(i)) {
            (start[i], mask[i]) = (0.0, 0.0);
        }
        let layout = job.model.layout();
        job.start = ParamSet::from_slice(layout, &start).unwrap();
        job.correction.mask = Some(ParamSet::from_slice(layout, &mask).unwrap());
        let trained = train(&job, &mut Scratch::new()).unwrap();
        let trained = trained.params.as_slice().unwrap();
        for (i, (now, before)) in trained.iter().zip(&start).enumerate() {
            match pruned(i) {
                true => assert_eq!(now.to_bits(), 0, "{i}"),
                false => assert!((now - before).abs() > 1e-4, "{i}"),
            }
        }
    }
}

#[test]
fn training_that_diverges_says_when() {
    let mut job = convolutional();
    job.local = LocalTraining {
        amount: Amount::Epochs(50),
        ..LocalTraining::sgd(1e6)
    };
    let mut scratch = Scratch::new();
    let Err(LearnError::Diverged { step, .. }) = train(&job, &mut scratch) else {
        panic!("a learning rate of a million must diverge");
    };
    assert!(step > 0);
    // The scratch is fit for use all the same.
    let job = convolutional();
    assert_eq!(
        digest(&job, &mut scratch),
        digest(&job, &mut Scratch::new())
    );
}

#[test]
fn a_part_of_a_shared_list_stays_within_it() {
    let indices: Arc<[u32]> = vec![5, 6, 7, 8].into();
    let part = Samples::part(indices.clone(), 1..3).unwrap();
    assert_eq!((part.as_slice(), part.len()), ([6u32, 7].as_slice(), 2));
    assert!(Samples::part(indices.clone(), 2..5).is_none());
    assert!(Samples::part(indices, 4..4).unwrap().is_empty());
}

#[test]
fn presets_train() {
    for (name, input) in [
        ("lenet5", vec![1, 28, 28]),
        ("resnet18-gn", vec![3, 16, 16]),
    ] {
        let model = Arc::new(Model::build(&preset(name).unwrap().layers(3), &input, 3).unwrap());
        let size: usize = input.iter().product();
        let raw = (0..4 * size).map(|i| (i * 7919 % 251) as u8).collect();
        let normal = Normalisation {
            scale: 1.0 / 255.0,
            ..plain()
        };
        let data = DeviceData::new(
            &input,
            Features::U8(raw),
            normal,
            vec![0, 1, 2, 0],
            3,
            Device::Cpu,
        )
        .unwrap();
        let job = TrainJob {
            start: model.init(1, crate::model::Initializer::PyTorch).unwrap(),
            model,
            data: Arc::new(data),
            samples: (0..4).collect::<Vec<u32>>().into(),
            ..logistic(LocalTraining {
                amount: Amount::Steps(8),
                batch: 0,
                ..LocalTraining::adam(0.001)
            })
        };
        let trained = train(&job, &mut Scratch::new()).unwrap();
        assert!(trained.last_loss < trained.mean_loss, "{name}: {trained:?}");
    }
}

/// Batch normalisation behind one 1×1 convolution of a single channel, whose weight is what the
/// statistics are worked out from by hand.
#[test]
fn static_statistics_are_those_of_the_clients_samples_under_the_trained_weights() {
    let layers = [
        LayerSpec::conv(2, 1, 0),
        LayerSpec::BatchNorm,
        LayerSpec::Flatten,
        LayerSpec::dense(10),
    ];
    let mut job = convolutional();
    job.model = Arc::new(Model::build(&layers, &[3, 8, 8], 10).unwrap());
    job.start = job.model.init(2, Default::default()).unwrap();
    job.local.optimizer = Optimizer::Sgd {
        lr: 0.05,
        momentum: 0.9,
        nesterov: false,
        // Statistics are nothing that decays.
        weight_decay: 0.1,
    };
    let trained = train(&job, &mut Scratch::new()).unwrap().params;
    let values: Vec<f64> = trained
        .as_slice()
        .unwrap()
        .iter()
        .map(|&v| f64::from(v))
        .collect();
    let entries = job.model.layout().entries();
    let names: Vec<&str> = entries
        .iter()
        .map(|e| e.name.rsplit('.').next().unwrap())
        .collect();
    assert_eq!(
        names[..6],
        ["weight", "bias", "weight", "bias", "mean", "square"]
    );

    let pixel = |s: usize, c: usize, at: usize| {
        let raw = ((s * 192 + c * 64 + at) * 7919 % 251) as f64 / 255.0;
        (raw - [0.4, 0.5, 0.6][c]) / [0.2, 0.25, 0.3][c]
    };
    for channel in 0..2 {
        let (mut sum, mut square) = (0.0, 0.0);
        for s in 5..28 {
            for at in 0..64 {
                let out: f64 = (0..3)
                    .map(|c| values[channel * 3 + c] * pixel(s, c, at))
                    .sum();
                let out = out + values[6 + channel];
                sum += out;
                square += out * out;
            }
        }
        let n = 23.0 * 64.0;
        let of = |entry: usize| values[entries[entry].offset + channel];
        assert!(
            (of(4) - sum / n).abs() < 1e-5,
            "mean {} against {}",
            of(4),
            sum / n
        );
        assert!(
            (of(5) - square / n).abs() < 1e-5,
            "square {} against {}",
            of(5),
            square / n
        );
    }
}

/// With the whole set as one batch, what evaluation normalises by is what training did.
#[test]
fn evaluation_normalises_by_the_statistics() {
    let layers = [
        LayerSpec::conv(3, 3, 1),
        LayerSpec::BatchNorm,
        LayerSpec::Relu,
        LayerSpec::GlobalAvgPool,
        LayerSpec::dense(10),
    ];
    let mut job = convolutional();
    job.model = Arc::new(Model::build(&layers, &[3, 8, 8], 10).unwrap());
    job.start = job.model.init(2, Default::default()).unwrap();
    job.local.batch = 0;
    let trained = train(&job, &mut Scratch::new()).unwrap().params;
    let x = job.data.batch(job.samples.as_slice(), true).unwrap();
    let views = trained.views().unwrap();
    let evaluated = job.model.forward(&views, &x, Mode::Evaluate).unwrap();
    let mut masks = MaskSource::new(0, 0, 0);
    let mode = Mode::Train {
        dropout: &mut masks,
    };
    let by_batch = job.model.forward(&views, &x, mode).unwrap();
    let apart = (evaluated - by_batch).abs().max().double_value(&[]);
    assert!(apart < 1e-4, "{apart}");
}

#[test]
fn a_batch_that_does_not_fit_is_cut_and_gives_the_same_to_float_tolerance() {
    let job = convolutional();
    let whole = train(&job, &mut Scratch::new()).unwrap();
    let scratch = |samples| {
        let memory = job.model.training_memory(samples, 1);
        let cut = Pieces::within(Some(memory.0), &job);
        (Scratch::within(memory), cut)
    };
    // Batches of 10: as a whole, in halves, and sample by sample where nothing fits.
    let mut results = Vec::new();
    for (samples, expected) in [(10, 1), (9, 2), (5, 2), (3, 4), (0, 16)] {
        let (mut scratch, cut) = scratch(samples);
        let mut tried = None;
        let mut cut = cut;
        cut.attempt(10, |pieces| {
            tried = Some(pieces);
            Ok(())
        })
        .unwrap();
        assert_eq!(tried, Some(expected), "room for {samples} samples");
        let trained = train(&job, &mut scratch).unwrap();
        let apart = trained.params.distance_squared(&whole.params).unwrap();
        assert!(apart < 1e-10, "room for {samples} samples: {apart}");
        assert!((trained.mean_loss - whole.mean_loss).abs() < 1e-6);
        assert_eq!(trained.samples_seen, whole.samples_seen);
        results.push(trained.params.digest().unwrap());
    }
    assert_eq!(results[0], whole.params.digest().unwrap());
    assert_eq!(results[1], results[2], "equal cuts, equal bits");
}

#[test]
fn an_allocation_that_fails_cuts_the_batch_until_it_succeeds_or_cannot_be_cut() {
    let job = convolutional();
    let allocator = |largest: usize| {
        let mut tried = Vec::new();
        let result = Pieces::within(None, &job).attempt(10, |pieces| {
            tried.push(pieces);
            let piece = 10usize.div_ceil(pieces);
            if piece > largest {
                let detail = "an allocator that fails on purpose".into();
                return Err(LearnError::OutOfMemory { detail });
            }
            Ok(piece)
        });
        (tried, result.ok())
    };
    assert_eq!(allocator(10), (vec![1], Some(10)));
    assert_eq!(allocator(4), (vec![1, 2, 4], Some(3)));
    assert_eq!(allocator(0), (vec![1, 2, 4, 8, 16], None));
    let other = Pieces::within(None, &job).attempt(10, |_| Err::<(), _>(LearnError::NoSamples));
    assert!(matches!(other, Err(LearnError::NoSamples)));
}

#[test]
fn the_loss_of_no_samples_is_nothing_and_so_is_its_gradient() {
    let scores = Tensor::zeros([0, 3], (tch::Kind::Float, Device::Cpu));
    let mut host = vec![1.0];
    let (sum, gradient) = loss(&scores, &[], None, &mut host).unwrap();
    assert_eq!((sum, gradient.size(), host.len()), (0.0, vec![0, 3], 0));
}
