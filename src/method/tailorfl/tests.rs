use super::*;
use crate::method::heterofl::HeteroFl;
use crate::method::testing::narrow::{
    merge, places, start, toy, NarrowDescent, Part, HIDDEN, PARAMETERS,
};
use crate::method::testing::{close, local, samples_of, size, Toy, BATCH, CLASSES, INPUTS, SEED};
use crate::model::LayerSpec;
use crate::sim::rng::{shuffle, stream, Purpose};

const RATIOS: [f64; 3] = [1.0, 0.5, 0.25];

/// The hidden units that a message of `flags` names.
fn named(flags: &Payload) -> Vec<usize> {
    let flags = flags.as_mask(HIDDEN).unwrap();
    (0..HIDDEN).filter(|&unit| flags[unit]).collect()
}

/// The factors of the hidden units in double precision.
fn factors(w: &[f64], method: &TailorFl, client: u32, round: u32) -> Vec<f64> {
    let node = IMPORTANCE + u64::from(client);
    let mut rng = stream(SEED, node, Purpose::Shuffle, u64::from(round - 1));
    let mut order = samples_of(client);
    let mut s = vec![1.0; HIDDEN];
    let mut step = 0;
    while step < method.importance_steps {
        shuffle(&mut rng, &mut order);
        for chosen in order.chunks(BATCH) {
            if step == method.importance_steps {
                break;
            }
            step += 1;
            // Weights and bias of a unit, scaled; g is the gradient at those.
            let mut scaled = w.to_vec();
            for u in 0..HIDDEN {
                (0..INPUTS).for_each(|j| scaled[u * INPUTS + j] *= s[u]);
                scaled[HIDDEN * INPUTS + u] *= s[u];
            }
            let g = NarrowDescent::of_local().gradient(&scaled, chosen);
            for (u, s) in s.iter_mut().enumerate() {
                let row: f64 = (0..INPUTS)
                    .map(|j| g[u * INPUTS + j] * w[u * INPUTS + j])
                    .sum();
                let slope = row + g[HIDDEN * INPUTS + u] * w[HIDDEN * INPUTS + u];
                let slope = slope + 2.0 * method.sparsity * *s / HIDDEN as f64;
                *s = (*s - 0.25 * slope).clamp(0.0, 1.0);
            }
        }
    }
    s
}

fn rounds(method: &TailorFl) {
    let mut toy = toy(method, &local(), RATIOS);
    let mut w = start().to_vec();
    // Client 2 comes late.
    for (round, cohort) in (1u32..).zip([vec![0u32, 1], vec![1, 0, 2], vec![2, 1, 0]]) {
        toy.open();
        let mut parts = Vec::new();
        for &k in &cohort {
            let ratio = RATIOS[k as usize];
            let scale = if method.scaling { ratio } else { 1.0 };
            let (task, work) = toy.ask(k);
            let kept = match &task {
                Payload::Model(_) => {
                    let report = work.report.as_parts::<3>().unwrap();
                    let s = factors(&w, method, k, round);
                    let told = report[2].as_scalars::<HIDDEN>().unwrap();
                    for (told, s) in told.iter().zip(&s) {
                        assert!((told - s).abs() < 1e-5, "{told} against {s}");
                    }
                    let mut order: Vec<usize> = (0..HIDDEN).collect();
                    order.sort_by(|&a, &b| s[b].total_cmp(&s[a]));
                    order.truncate((HIDDEN as f64 * ratio) as usize);
                    order.sort_unstable();
                    assert_eq!(named(&report[1]), order, "client {k}");
                    order
                }
                _ => named(&task.as_parts::<2>().unwrap()[1]),
            };
            let own: Vec<f64> = places(&kept).iter().map(|&i| w[i] / scale).collect();
            if let Payload::Bundle(parts) = &task {
                close(parts[0].as_model().unwrap(), &own);
            }
            let trained = NarrowDescent::of_local().client(&own, k, round);
            let report = match &work.report {
                Payload::Bundle(parts) => &parts[0],
                model => model,
            };
            close(report.as_model().unwrap(), &trained);
            parts.push(Part {
                values: trained.iter().map(|v| v * scale).collect(),
                kept,
                weight: size(k) / scale,
                classes: None,
            });
            let report = toy.received(k, work.report);
            toy.server.receive(&report).unwrap();
        }
        toy.close();
        w = merge(&w, &parts);
        close(&toy.model(), &w);
    }
}

#[test]
fn rounds_are_those_of_a_float64_reference() {
    rounds(&TailorFl::default());
    rounds(&TailorFl {
        scaling: false,
        tuning: 0.0,
        ..TailorFl::default()
    });
}

#[test]
fn with_nothing_personal_units_go_by_norm_and_all_of_a_width_have_the_same() {
    let method = TailorFl {
        personal_layers: 0.0,
        ..TailorFl::default()
    };
    let mut toy = toy(&method, &local(), [0.5; 3]);
    for _ in 0..3 {
        let model = toy.model();
        let w: Vec<f64> = model
            .as_slice()
            .unwrap()
            .iter()
            .map(|&v| f64::from(v))
            .collect();
        let norm = |u: usize| {
            let row: f64 = w[u * INPUTS..][..INPUTS].iter().map(|w| w * w).sum();
            row + w[HIDDEN * INPUTS + u] * w[HIDDEN * INPUTS + u]
        };
        let mut order: Vec<usize> = (0..HIDDEN).collect();
        order.sort_by(|&a, &b| norm(b).total_cmp(&norm(a)));
        order.truncate(2);
        order.sort_unstable();
        toy.open();
        for k in 0..3 {
            let (task, work) = toy.ask(k);
            let units = match &task {
                Payload::Model(_) => named(&work.report.as_parts::<3>().unwrap()[1]),
                _ => named(&task.as_parts::<2>().unwrap()[1]),
            };
            assert_eq!(units, order);
            let report = toy.received(k, work.report);
            toy.server.receive(&report).unwrap();
        }
        toy.close();
    }
}

#[test]
fn of_two_hidden_layers_the_first_is_shared_and_the_second_personal() {
    let layers = [
        LayerSpec::dense(6),
        LayerSpec::Relu,
        LayerSpec::dense(8),
        LayerSpec::Relu,
        LayerSpec::dense(CLASSES),
    ];
    let model = Model::build(&layers, &[INPUTS], CLASSES).unwrap();
    let start: Vec<f32> = (0..model.parameters())
        .map(|i| (i * 29 % 37) as f32 / 40.0 - 0.45)
        .collect();
    let method = TailorFl {
        tuning: 0.0,
        ..TailorFl::default()
    };
    assert_eq!(method.personal(&model), [2]);
    let mut toy = Toy::of_model(&method, &local(), 3, model, &start, &[0.5; 3]);
    toy.open();
    let told: Vec<Vec<bool>> = (0..3)
        .map(|k| {
            let (_, work) = toy.ask(k);
            let parts = work.report.as_parts::<3>().unwrap();
            parts[1].as_mask(14).unwrap().to_vec()
        })
        .collect();
    for flags in &told {
        assert_eq!(flags[..6], told[0][..6]);
        assert_eq!(flags[6..].iter().filter(|kept| **kept).count(), 4);
    }
    assert!(told.iter().any(|flags| flags[6..] != told[0][6..]));
}

#[test]
fn at_full_width_it_is_fedavg() {
    let method = TailorFl::default();
    let average = crate::method::fedavg::FedAvg::default();
    let mut a = toy(&method, &local(), [1.0; 3]);
    let mut b = toy(&average, &local(), [1.0; 3]);
    for cohort in [[0, 1, 2], [2, 0, 1]] {
        a.round(&cohort);
        b.round(&cohort);
        assert!(a.model().distance_squared(&b.model()).unwrap() < 1e-12);
    }
}

/// A width of ½ has 2 · 3 + 2 + 3 · 2 + 3 = 17 of 31 parameters; four hidden units are four bits, their
/// factors four numbers.
#[test]
fn after_the_first_task_only_sub_models_travel() {
    let method = TailorFl::default();
    let mut toy = toy(&method, &local(), [0.5, 0.5, 1.0]);
    let sizes = |toy: &mut Toy| {
        toy.open();
        let (task, work) = toy.ask(0);
        let sizes = (task.wire_bytes().0, work.report.wire_bytes().0);
        let report = toy.received(0, work.report);
        toy.server.receive(&report).unwrap();
        toy.close();
        sizes
    };
    let (whole, part) = (8 + 4 * PARAMETERS as u64, 8 + 4 * 17);
    let first = (whole, 8 + part + (8 + 1) + (8 + 4 * 8));
    assert_eq!(sizes(&mut toy), first);
    assert_eq!(sizes(&mut toy), (8 + part + (8 + 1), part));
}

#[test]
fn importance_costs_virtual_time_once() {
    let method = TailorFl::default();
    let mut toy = toy(&method, &local(), RATIOS);
    let half = method.client();
    toy.open();
    let task = toy.server.task(2, 1).unwrap();
    let input = toy.input(2, task);
    // Ten steps of five samples through the whole network (22 samples: 5, 5, 5, 5, 2 a pass).
    let whole = input.sizes.levels()[0].model.training_flops().0;
    assert_eq!(half.beside(&input).unwrap().flops.0, 2 * 22 * whole);
    toy.round(&[2]);
    let task = toy.server.task(2, 2).unwrap();
    let input = toy.input(2, task);
    assert_eq!(half.beside(&input).unwrap(), Cost::default());
}

#[test]
fn a_level_is_measured_with_its_units_of_largest_norm() {
    let method = TailorFl {
        personal_layers: 0.0,
        ..TailorFl::default()
    };
    let mut toy = toy(&method, &local(), [0.5; 3]);
    toy.round(&[0]);
    toy.open();
    let task = toy.server.task(0, 2).unwrap();
    let part = task.as_parts::<2>().unwrap()[0].as_model().unwrap();
    let measured = toy.server.at_level(1).unwrap().unwrap();
    assert_eq!(measured.as_slice().unwrap(), part.as_slice().unwrap());
    assert!(toy.server.at_level(2).unwrap().is_none());
}

#[test]
fn units_and_factors_of_another_number_are_refused() {
    let method = TailorFl::default();
    let mut toy = toy(&method, &local(), [0.5; 3]);
    toy.open();
    let (_, work) = toy.ask(0);
    let [model, units, factors] = work.report.as_parts().unwrap();
    let mut refused = |parts: [Payload; 3]| {
        let report = toy.received(0, Payload::bundle(parts));
        toy.server.receive(&report).unwrap_err().to_string()
    };
    let three = Payload::Mask([true, true, true, false].into());
    assert_eq!(
        refused([model.clone(), three, factors.clone()]),
        "expected 2 in the units of a layer, got 3"
    );
    assert_eq!(
        refused([model.clone(), units.clone(), Payload::scalars([0.5])]),
        "expected 4 in the list of numbers, got 1"
    );
    let whole = Payload::Model(toy.model());
    let report = toy.received(0, Payload::bundle([whole, units.clone(), factors.clone()]));
    assert!(toy.server.receive(&report).is_err());
}

#[test]
fn its_sub_models_have_the_shapes_of_heterofl_without_scalers() {
    let plain = HeteroFl {
        scaler: false,
        ..HeteroFl::default()
    };
    let full = toy(&plain, &local(), RATIOS)
        .input(0, Payload::Nothing)
        .model;
    let a = TailorFl::default().sub_model(&full, 0.5).unwrap();
    assert_eq!(a, plain.sub_model(&full, 0.5).unwrap());
}

#[test]
fn settings_outside_their_range_are_refused() {
    let bad = TailorFl {
        sparsity: -1.0,
        personal_layers: 1.5,
        tuning: f64::NAN,
        ..TailorFl::default()
    };
    let problems = bad.check(&local());
    let names: Vec<&str> = problems.iter().map(|p| p.0).collect();
    assert_eq!(names, ["sparsity", "personal_layers", "tuning"]);
}

/// Two clients of one of four units report in the second round; a third is known already. Each has two
/// others: correlations of four factors, 6 · 4 operations, and one exchange of a single unit.
#[test]
fn tuning_costs_the_server_virtual_time_by_who_reports_and_who_is_known() {
    let method = TailorFl::default();
    let mut toy = toy(&method, &local(), [0.25; 3]);
    let plain = 4 * PARAMETERS as u64;
    toy.open();
    assert_eq!(toy.server.round_flops().0, plain);
    toy.round(&[0, 2]);
    toy.open();
    for k in [1, 2] {
        let (_, work) = toy.ask(k);
        let report = toy.received(k, work.report);
        toy.server.receive(&report).unwrap();
    }
    assert_eq!(toy.server.round_flops().0, plain + 2 * 2 * (6 * 4 + 2));
}

/// A statistic is what a layer gets; only what is learnt is divided by the width.
#[test]
fn statistics_of_batch_normalisations_are_not_scaled() {
    let layers = [
        LayerSpec::conv(2, 1, 0),
        LayerSpec::BatchNorm,
        LayerSpec::Flatten,
        LayerSpec::dense(CLASSES),
    ];
    let model = Model::build(&layers, &[1, 2, 2], CLASSES).unwrap();
    let ones = ParamSet::from_slice(model.layout(), &vec![1.0; model.parameters()]).unwrap();
    let halved = scaled(ones, 0.5).unwrap();
    let values = halved.as_slice().unwrap();
    for entry in model.layout().entries() {
        let expected = match entry.role.part.is_statistic() {
            true => 1.0,
            false => 0.5,
        };
        let own = &values[entry.offset..][..entry.len];
        assert!(own.iter().all(|v| *v == expected), "{}", entry.name);
    }
}
