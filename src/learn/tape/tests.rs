use super::*;
use crate::model::{Gelu, LayerNorm, LayerSpec, Mode, PRelu, ParamSet};

/// Samples in a batch, where nothing depends on how many.
const BATCH: usize = 5;

fn spec_conv(out: usize, kernel: usize, stride: usize, padding: usize, bias: bool) -> LayerSpec {
    LayerSpec::Conv {
        out,
        kernel,
        stride,
        padding,
        bias,
    }
}

/// Networks that between them put every layer behind, before and inside every other kind.
fn networks() -> Vec<(&'static str, Vec<LayerSpec>, Vec<usize>)> {
    let overlapping = LayerSpec::MaxPool {
        size: 3,
        stride: Some(2),
    };
    let average = LayerSpec::AvgPool {
        size: 2,
        stride: Some(1),
    };
    let drop = LayerSpec::Dropout { rate: 0.25 };
    vec![
        ("linear", vec![LayerSpec::dense(4)], vec![6]),
        (
            "dense with every activation",
            vec![
                LayerSpec::Dense(7, false),
                LayerSpec::Tanh,
                LayerSpec::dense(5),
                LayerSpec::Sigmoid,
                drop.clone(),
                LayerSpec::dense(6),
                LayerSpec::Relu,
                LayerSpec::dense(4),
            ],
            vec![6],
        ),
        (
            "convolutions, pooling and dropout",
            vec![
                spec_conv(4, 3, 1, 1, true),
                LayerSpec::Relu,
                overlapping,
                drop.clone(),
                spec_conv(6, 2, 2, 0, false),
                LayerSpec::Tanh,
                average,
                LayerSpec::Flatten,
                LayerSpec::dense(4),
            ],
            vec![2, 11, 9],
        ),
        (
            "layers before anything learns",
            vec![
                LayerSpec::max_pool(2),
                drop,
                LayerSpec::Flatten,
                LayerSpec::Relu,
                LayerSpec::dense(4),
            ],
            vec![3, 6, 6],
        ),
        (
            "layers of the registry",
            vec![
                LayerSpec::other(Gelu {}),
                spec_conv(4, 3, 1, 1, true),
                LayerSpec::other(LayerNorm {}),
                LayerSpec::other(PRelu { slope: 0.3 }),
                LayerSpec::Residual {
                    body: vec![spec_conv(4, 3, 1, 1, true), LayerSpec::other(Gelu {})],
                    shortcut: vec![LayerSpec::other(PRelu::default())],
                },
                LayerSpec::Flatten,
                LayerSpec::other(LayerNorm {}),
                LayerSpec::dense(5),
                LayerSpec::other(PRelu::default()),
                LayerSpec::dense(4),
            ],
            vec![2, 5, 4],
        ),
        (
            "layers of the registry before anything learns",
            vec![
                LayerSpec::Flatten,
                LayerSpec::other(Gelu {}),
                LayerSpec::dense(4),
            ],
            vec![2, 3, 2],
        ),
        (
            "batch normalisation and a scaler",
            vec![
                spec_conv(4, 3, 1, 1, false),
                LayerSpec::Scaler { rate: 0.5 },
                LayerSpec::BatchNorm,
                LayerSpec::Relu,
                LayerSpec::Residual {
                    body: vec![spec_conv(4, 3, 1, 1, false), LayerSpec::BatchNorm],
                    shortcut: vec![],
                },
                LayerSpec::Flatten,
                LayerSpec::dense(4),
            ],
            vec![2, 5, 4],
        ),
        (
            "exits",
            vec![
                spec_conv(4, 3, 2, 1, false),
                LayerSpec::Relu,
                LayerSpec::Exit {
                    head: vec![LayerSpec::GlobalAvgPool, LayerSpec::dense(4)],
                },
                spec_conv(6, 3, 1, 1, true),
                LayerSpec::Tanh,
                LayerSpec::Flatten,
                LayerSpec::Exit {
                    head: vec![LayerSpec::dense(5), LayerSpec::Relu, LayerSpec::dense(4)],
                },
                LayerSpec::dense(4),
            ],
            vec![2, 6, 6],
        ),
        (
            "residual blocks",
            vec![
                LayerSpec::Residual {
                    body: vec![LayerSpec::Relu],
                    shortcut: vec![],
                },
                LayerSpec::Residual {
                    body: vec![
                        spec_conv(4, 3, 2, 1, false),
                        LayerSpec::GroupNorm { groups: 2 },
                        LayerSpec::Relu,
                        spec_conv(4, 3, 1, 1, true),
                    ],
                    shortcut: vec![spec_conv(4, 1, 2, 0, true)],
                },
                LayerSpec::Residual {
                    body: vec![LayerSpec::GroupNorm { groups: 4 }, LayerSpec::Sigmoid],
                    shortcut: vec![],
                },
                LayerSpec::GlobalAvgPool,
                LayerSpec::dense(4),
            ],
            vec![2, 7, 7],
        ),
    ]
}

/// A model, its parameters with norms moved off their start, and a batch.
fn setting(layers: &[LayerSpec], input: &[usize], batch: usize) -> (Model, ParamSet, Tensor) {
    let model = Model::build(layers, input, 4).unwrap();
    let mut values = model
        .init(3, crate::model::Initializer::PyTorch)
        .unwrap()
        .as_slice()
        .unwrap()
        .to_vec();
    for (i, v) in values.iter_mut().enumerate() {
        *v += 0.1 * ((i * 7 % 11) as f32 - 5.0) / 5.0;
    }
    let params = ParamSet::from_slice(model.layout(), &values).unwrap();
    let size: usize = input.iter().product();
    let x: Vec<f32> = (0..batch * size)
        .map(|i| ((i * 131 % 97) as f32 - 48.0) / 30.0)
        .collect();
    let mut dims = vec![batch as i64];
    dims.extend(input.iter().map(|&n| n as i64));
    let x = Tensor::from_slice(&x).view(dims.as_slice());
    (model, params, x)
}

/// Any weights for a loss that is linear in the scores.
fn of_scores(batch: usize) -> Tensor {
    let g: Vec<f32> = (0..4 * batch)
        .map(|i| ((i * 5 % 9) as f32 - 4.0) / 7.0)
        .collect();
    Tensor::from_slice(&g).view([batch as i64, 4])
}

fn taped(model: &Model, params: &ParamSet, x: &Tensor) -> (Tensor, Vec<f32>) {
    taped_in(Precision::Single, model, params, x)
}

fn taped_in(
    precision: Precision,
    model: &Model,
    params: &ParamSet,
    x: &Tensor,
) -> (Tensor, Vec<f32>) {
    let views = params.views().unwrap();
    let mut gradients = Gradients::new(model.layout().clone(), Device::Cpu).unwrap();
    let mut masks = MaskSource::new(1, 2, 3);
    let tape = Tape::forward(model, &views, x, &mut masks, precision).unwrap();
    let scores = tape.scores().copy();
    tape.backward(of_scores(x.size()[0] as usize), &mut gradients)
        .unwrap();
    (scores, gradients.flat().as_slice().unwrap().to_vec())
}

#[test]
fn the_tape_gives_the_scores_and_gradients_of_the_functional_forward_under_autograd() {
    // The larger batch is beyond the kernels for small ones.
    let batches = [BATCH, 40];
    for ((name, layers, input), batch) in networks()
        .into_iter()
        .flat_map(|n| batches.map(|b| (n.clone(), b)))
    {
        let (model, params, x) = setting(&layers, &input, batch);
        for channels_last in [false, true] {
            let x = if channels_last && input.len() == 3 {
                x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
            } else {
                x.shallow_clone()
            };
            let (scores, gradients) = taped(&model, &params, &x);
            let leaves: Vec<Tensor> = params
                .views()
                .unwrap()
                .iter()
                .map(|v| v.copy().set_requires_grad(true))
                .collect();
            let mut masks = MaskSource::new(1, 2, 3);
            let mode = Mode::Train {
                dropout: &mut masks,
            };
            let expected = model.forward(&leaves, &x, mode).unwrap();
            let error = f64::try_from((&scores - &expected).abs().max()).unwrap();
            assert!(error < 1e-5, "{name}: scores differ by {error}");
            let root = (&expected * of_scores(batch)).sum(Kind::Float);
            let autograd = Tensor::run_backward(&[root], &leaves, false, false);
            for (entry, expected) in model.layout().entries().iter().zip(autograd) {
                let got = &gradients[entry.offset..entry.offset + entry.len];
                if entry.role.part.is_statistic() {
                    // Training does not read it.
                    assert!(!expected.defined(), "{name}: {}", entry.name);
                    assert!(got.iter().all(|&g| g == 0.0), "{name}: {}", entry.name);
                    continue;
                }
                let got = Tensor::from_slice(got).view(entry.dims().as_slice());
                let error = f64::try_from((got - &expected).abs().max()).unwrap();
                assert!(error < 1e-4, "{name}: {} differs by {error}", entry.name);
                assert!(
                    f64::try_from(expected.abs().max()).unwrap() > 1e-4,
                    "{name}: {} must matter",
                    entry.name
                );
            }
        }
    }
}

#[test]
fn gradients_are_the_central_differences_of_double_precision() {
    for (name, layers, input) in networks() {
        let (model, params, x) = setting(&layers, &input, BATCH);
        let (_, gradients) = taped(&model, &params, &x);
        let x = x.to_kind(Kind::Double);
        let loss = |at: usize, by: f64| {
            let views: Vec<Tensor> = params
                .views()
                .unwrap()
                .iter()
                .zip(model.layout().entries())
                .map(|(v, entry)| {
                    let v = v.to_kind(Kind::Double);
                    if (entry.offset..entry.offset + entry.len).contains(&at) {
                        let _ = v
                            .view([-1])
                            .get((at - entry.offset) as i64)
                            .g_add_scalar_(by);
                    }
                    v
                })
                .collect();
            let mut masks = MaskSource::new(1, 2, 3);
            let mode = Mode::Train {
                dropout: &mut masks,
            };
            let scores = model.forward(&views, &x, mode).unwrap();
            f64::try_from((scores * of_scores(BATCH)).sum(Kind::Double)).unwrap()
        };
        let h = 1e-6;
        for at in (0..params.len()).step_by(params.len().div_ceil(40)) {
            let expected = (loss(at, h) - loss(at, -h)) / (2.0 * h);
            let got = f64::from(gradients[at]);
            assert!(
                (got - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                "{name}: parameter {at}: {got} against {expected}"
            );
        }
    }
}

#[test]
fn a_parameter_list_that_is_too_short_is_an_error() {
    let (model, params, x) = setting(&[LayerSpec::dense(4)], &[6], BATCH);
    let views = params.views().unwrap();
    let error = Tape::forward(
        &model,
        &views[..1],
        &x,
        &mut MaskSource::new(1, 1, 1),
        Precision::Single,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "torch: invalid shape: the network reads parameter 1, the list has 1"
    );
}

#[test]
fn a_gradient_of_another_shape_than_the_scores_is_an_error() {
    let (model, params, x) = setting(&[LayerSpec::dense(4)], &[6], BATCH);
    let views = params.views().unwrap();
    let mut gradients = Gradients::new(model.layout().clone(), Device::Cpu).unwrap();
    let tape = Tape::forward(
        &model,
        &views,
        &x,
        &mut MaskSource::new(1, 1, 1),
        Precision::Single,
    )
    .unwrap();
    assert!(tape.backward(of_scores(BATCH + 1), &mut gradients).is_err());
}

#[test]
fn features_at_a_cut_and_scores_from_them_make_the_whole() {
    let (_, layers, input) = networks().remove(2);
    let (model, params, x) = setting(&layers, &input, BATCH);
    let views = params.views().unwrap();
    let whole = model.forward(&views, &x, Mode::Evaluate).unwrap();
    let features = model
        .forward_layers(0..4, &views, &x, Mode::Evaluate)
        .unwrap();
    let shape: Vec<i64> = model
        .shape_after(3)
        .unwrap()
        .iter()
        .map(|&n| n as i64)
        .collect();
    assert_eq!(features.size()[1..], shape);
    let scores = model
        .forward_layers(4..layers.len(), &views, &features, Mode::Evaluate)
        .unwrap();
    assert_eq!(scores, whole);
    assert!(model
        .forward_layers(0..99, &views, &x, Mode::Evaluate)
        .is_err());
}

/// How far two vectors are apart, against the length of the second.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    let squares = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(&a, &b)| f(a.into(), b.into()).powi(2)).sum()
    };
    (squares(&|a, b| a - b) / squares(&|_, b| b)).sqrt()
}

#[test]
fn rounded_products_are_off_by_what_their_format_rounds_and_no_more() {
    let list = |scores: Tensor| Vec::<f32>::try_from(scores.flatten(0, -1)).unwrap();
    let smooth_ones = [
        (
            "dense, smooth",
            vec![LayerSpec::dense(9), LayerSpec::Tanh, LayerSpec::dense(4)],
            vec![12],
        ),
        (
            "convolutions, smooth",
            vec![
                LayerSpec::conv(6, 3, 1),
                LayerSpec::Sigmoid,
                LayerSpec::conv(5, 3, 0),
                LayerSpec::Tanh,
                LayerSpec::Flatten,
                LayerSpec::dense(4),
            ],
            vec![2, 6, 6],
        ),
    ];
    for (name, layers, input) in networks().into_iter().chain(smooth_ones) {
        let (model, params, x) = setting(&layers, &input, BATCH);
        let (scores, gradients) = taped(&model, &params, &x);
        let scores = list(scores);
        // Where a ReLU or a maximum is close, one rounding decides about a whole gradient.
        let text = format!("{layers:?}");
        let smooth = !text.contains("Relu") && !text.contains("MaxPool");
        for (precision, unit) in [
            (Precision::Tf32, libm::exp2(-11.0)),
            (Precision::Bf16, libm::exp2(-8.0)),
        ] {
            let (off_scores, off_gradients) = taped_in(precision, &model, &params, &x);
            let mut errors = vec![apart(&list(off_scores), &scores)];
            if smooth {
                errors.push(apart(&off_gradients, &gradients));
            }
            for error in errors {
                // A handful of products each round two factors.
                assert!(error < 20.0 * unit, "{name}, {precision}: {error}");
                assert!(
                    error > unit / 20.0,
                    "{name}, {precision}: nothing is rounded"
                );
            }
        }
    }
}

#[test]
fn a_tape_of_an_empty_batch_has_no_scores_and_gradients_of_zero() {
    for (name, layers, input) in networks() {
        let (model, params, x) = setting(&layers, &input, 3);
        let empty = x.narrow(0, 0, 0);
        let views = params.views().unwrap();
        let mut masks = MaskSource::new(1, 2, 3);
        // Torch itself refuses some operations on nothing.
        let tape = Tape::forward(&model, &views, &empty, &mut masks, Precision::Single);
        let Ok(tape) = tape else { continue };
        assert_eq!(tape.scores().size(), [0, 4], "{name}");
    }
    let (model, params, x) = setting(&[LayerSpec::dense(6), LayerSpec::dense(4)], &[5], 3);
    let views = params.views().unwrap();
    let (mut masks, layout) = (MaskSource::new(1, 2, 3), model.layout().clone());
    let mut gradients = Gradients::new(layout, Device::Cpu).unwrap();
    let empty = x.narrow(0, 0, 0);
    let tape = Tape::forward(&model, &views, &empty, &mut masks, Precision::Single).unwrap();
    tape.backward(of_scores(0), &mut gradients).unwrap();
    assert!(gradients
        .flat()
        .as_slice()
        .unwrap()
        .iter()
        .all(|&g| g == 0.0));
}

#[test]
fn a_second_handle_to_the_memory_of_a_tensor_is_read_beside_it_and_never_written_under_it() {
    // One tensor as both factors: what is read twice is written by nobody.
    let x = Tensor::from_slice2(&[[1.0f32, 2.0], [3.0, 4.0]]);
    let y = linear(&x, &x.shallow_clone(), None).unwrap();
    assert_eq!(y, Tensor::from_slice2(&[[5.0f32, 11.0], [11.0, 25.0]]));
    // A result that would lie in its factors is refused, and nothing is written.
    let mut target = x.shallow_clone();
    let before = x.copy();
    assert!(weight_gradient(&x, &x, &mut target).is_err());
    assert_eq!(x, before);
    let mut apart = Tensor::zeros([2, 2], (KIND, Device::Cpu));
    weight_gradient(&x, &x, &mut apart).unwrap();
    assert_eq!(apart, x.tr().mm(&x));
}
