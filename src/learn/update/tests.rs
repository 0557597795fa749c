use super::*;
use crate::learn::Schedule;
use crate::model::{LayerSpec, Layout, Model};
use std::sync::Arc;

const STEPS: u64 = 3;

/// 38 values: two whole blocks of lanes and a remainder.
fn layout() -> Arc<Layout> {
    Model::build(&[LayerSpec::dense(2)], &[18], 2)
        .unwrap()
        .layout()
        .clone()
}

fn values(salt: usize) -> Vec<f32> {
    (0..38)
        .map(|i| ((i * 37 + salt * 11) % 29) as f32 / 14.0 - 1.0)
        .collect()
}

fn set(values: &[f32]) -> ParamSet {
    ParamSet::from_slice(&layout(), values).unwrap()
}

/// Weights after three steps whose gradients are `values(step)`.
fn updated(local: &LocalTraining, proximal: Option<f32>, drift: bool, on_torch: bool) -> Vec<f32> {
    let (start, correction) = (set(&values(7)), set(&values(8)));
    let mut w = Buffer::copy_of(&set(&values(9))).unwrap();
    let mut moments = Moments::new(&local.optimizer, &w).unwrap();
    let terms = Terms {
        proximal: proximal.map(|mu| (mu, &start)),
        drift: drift.then_some(&correction),
        ..Terms::default()
    };
    for t in 1..=STEPS {
        let mut g = Buffer::copy_of(&set(&values(t as usize))).unwrap();
        let lr = local.rate(0);
        if on_torch {
            let decay = match local.optimizer {
                Optimizer::Sgd { weight_decay, .. } | Optimizer::Adam { weight_decay, .. } => {
                    weight_decay
                }
            };
            let factors = Factors {
                lr: lr as f32,
                decay: decay as f32,
                clip: 1.0,
                mu: proximal.unwrap_or(0.0),
            };
            on_device(&mut w, &mut g, &mut moments, terms, local, factors, t).unwrap();
        } else {
            step(&mut w, &mut g, &mut moments, terms, local, lr, t).unwrap();
        }
    }
    w.as_slice().unwrap().to_vec()
}

/// The same in double precision, written from the definitions.
fn reference(local: &LocalTraining, proximal: Option<f32>, drift: bool) -> Vec<f64> {
    let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect::<Vec<_>>();
    let (start, correction, mut w) = (wide(values(7)), wide(values(8)), wide(values(9)));
    let n = w.len();
    let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
    for t in 1..=STEPS {
        let mut g = wide(values(t as usize));
        if let Some(mu) = proximal {
            for i in 0..n {
                g[i] += f64::from(mu) * (w[i] - start[i]);
            }
        }
        if let Some(clip) = local.clip {
            let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
            if norm > clip {
                g.iter_mut().for_each(|g| *g *= clip / norm);
            }
        }
        for i in 0..n {
            let mut g = g[i] + if drift { correction[i] } else { 0.0 };
            match local.optimizer {
                Optimizer::Sgd {
                    lr,
                    momentum,
                    nesterov,
                    weight_decay,
                } => {
                    g += weight_decay * w[i];
                    m[i] = momentum * m[i] + g;
                    w[i] -= lr * if nesterov { g + momentum * m[i] } else { m[i] };
                }
                Optimizer::Adam {
                    lr,
                    beta1,
                    beta2,
                    epsilon,
                    weight_decay,
                } => {
                    g += weight_decay * w[i];
                    m[i] = beta1 * m[i] + (1.0 - beta1) * g;
                    v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
                    let m_hat = m[i] / (1.0 - beta1.powi(t as i32));
                    let v_hat: f64 = v[i] / (1.0 - beta2.powi(t as i32));
                    w[i] -= lr * m_hat / (v_hat.sqrt() + epsilon);
                }
            }
        }
    }
    w
}

fn optimizers() -> Vec<Optimizer> {
    let sgd = |momentum, nesterov, weight_decay| Optimizer::Sgd {
        lr: 0.1,
        momentum,
        nesterov,
        weight_decay,
    };
    let adam = |weight_decay| Optimizer::Adam {
        lr: 0.05,
        beta1: 0.8,
        beta2: 0.95,
        epsilon: 1e-3,
        weight_decay,
    };
    vec![
        sgd(0.0, false, 0.0),
        sgd(0.0, false, 0.3),
        sgd(0.9, false, 0.0),
        sgd(0.9, true, 0.2),
        adam(0.0),
        adam(0.1),
    ]
}

#[test]
fn every_optimiser_with_every_term_follows_its_definition() {
    for optimizer in optimizers() {
        for clip in [None, Some(1.5), Some(1e5)] {
            for proximal in [None, Some(0.7)] {
                for drift in [false, true] {
                    let local = LocalTraining {
                        optimizer: optimizer.clone(),
                        schedule: Schedule::Constant,
                        clip,
                        ..LocalTraining::sgd(0.0)
                    };
                    let expected = reference(&local, proximal, drift);
                    for on_torch in [false, true] {
                        let got = updated(&local, proximal, drift, on_torch);
                        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
                            assert!(
                                (f64::from(*got) - expected).abs() < 2e-5,
                                "{local:?} proximal {proximal:?} drift {drift} torch {on_torch}, \
                                 value {i}: {got} against {expected}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn cleared_moments_are_as_new() {
    let optimizer = &optimizers()[3];
    let local = LocalTraining {
        optimizer: optimizer.clone(),
        ..LocalTraining::sgd(0.0)
    };
    let mut moments =
        Moments::new(optimizer, &Buffer::zeros(layout(), Device::Cpu).unwrap()).unwrap();
    let once = |moments: &mut Moments| {
        let mut w = Buffer::copy_of(&set(&values(9))).unwrap();
        let mut g = Buffer::copy_of(&set(&values(1))).unwrap();
        step(&mut w, &mut g, moments, Terms::default(), &local, 0.1, 1).unwrap();
        w.as_slice().unwrap().to_vec()
    };
    let first = once(&mut moments);
    assert_ne!(once(&mut moments), first);
    moments.clear().unwrap();
    assert_eq!(once(&mut moments), first);
}

/// With momentum, decay, clipping and a proximal term: what the mask leaves out stays at zero to the
/// bit, and the rest moves as if it were alone.
#[test]
fn what_is_masked_does_not_move_and_does_not_count_in_the_norm() {
    for local in [
        LocalTraining {
            optimizer: Optimizer::Sgd {
                lr: 0.1,
                momentum: 0.9,
                nesterov: true,
                weight_decay: 0.01,
            },
            clip: Some(0.5),
            ..LocalTraining::sgd(0.1)
        },
        LocalTraining::adam(0.1),
    ] {
        let factors: Vec<f32> = (0..38).map(|i| f32::from(i % 3 != 0)).collect();
        let only = |values: Vec<f32>| -> Vec<f32> {
            values.iter().zip(&factors).map(|(v, m)| v * m).collect()
        };
        let (mask, start) = (set(&factors), set(&only(values(7))));
        let run = |masked: bool| {
            let mut w = Buffer::copy_of(&start).unwrap();
            let mut moments = Moments::new(&local.optimizer, &w).unwrap();
            let terms = Terms {
                proximal: Some((0.5, &start)),
                drift: None,
                mask: masked.then_some(&mask),
                ..Terms::default()
            };
            for t in 1..=STEPS {
                let g = values(t as usize);
                let g = if masked { g } else { only(g) };
                let mut g = Buffer::copy_of(&set(&g)).unwrap();
                step(&mut w, &mut g, &mut moments, terms, &local, 0.1, t).unwrap();
            }
            w.as_slice().unwrap().to_vec()
        };
        let got = run(true);
        assert_eq!(got, run(false));
        for (i, value) in got.iter().enumerate() {
            assert_eq!(*value == 0.0, i % 3 == 0, "{i}: {value}");
        }
    }
}
