use super::*;
use crate::model::{preset, Initializer};
use crate::sim::rng::{stream, Purpose};
use proptest::prelude::*;

fn mnist() -> Arc<Model> {
    let layers = preset("fedconv-mnist").unwrap().layers(10);
    Arc::new(Model::build(&layers, &[1, 28, 28], 10).unwrap())
}

/// Every value is its own place in the flat vector.
fn places(model: &Model) -> ParamSet {
    let values: Vec<f32> = (0..model.parameters()).map(|i| i as f32).collect();
    ParamSet::from_slice(model.layout(), &values).unwrap()
}

#[test]
fn the_mnist_network_has_the_papers_parameter_counts_at_every_level() {
    let full = mnist();
    let counts = [1.0, 0.75, 0.5625].map(|ratio| full.narrowed(ratio).unwrap().parameters());
    assert_eq!(counts, [20_490, 14_506, 10_396]);
}

#[test]
fn target_shapes_come_from_the_sub_model_itself() {
    // 0.6 of 32 channels are 19, on 49 positions each: 931, not 0.6 of 1568 inputs (940).
    let sub = mnist().narrowed(0.6).unwrap();
    assert_eq!(sub.layout().entries()[4].shape, [10, 931]);
}

#[test]
fn blocks_narrow_together_and_scores_stay() {
    let layers = preset("resnet18-gn").unwrap().layers(10);
    let full = Model::build(&layers, &[3, 32, 32], 10).unwrap();
    let half = full.narrowed(0.5).unwrap();
    let sizes: Vec<usize> = half.units().sets().iter().map(|set| set.size).collect();
    for (full, half) in full.units().sets().iter().zip(sizes) {
        assert_eq!(half, if full.fixed { full.size } else { full.size / 2 });
    }
    assert_eq!(half.classes(), 10);
    // A sub-model of the full width is the full network.
    assert_eq!(full.narrowed(1.0).unwrap(), full);
}

#[test]
fn a_narrower_network_whose_groups_do_not_fit_is_an_error_and_no_panic() {
    let layers = [
        LayerSpec::conv(8, 3, 1),
        LayerSpec::GroupNorm { groups: 4 },
        LayerSpec::GlobalAvgPool,
        LayerSpec::dense(3),
    ];
    let full = Model::build(&layers, &[1, 4, 4], 3).unwrap();
    let error = full.narrowed(0.75).unwrap_err();
    assert!(
        error.to_string().contains("divide the 6 channels"),
        "{error}"
    );
}

/// A dense network of 3 inputs, 4 hidden units and 2 classes: weights at 0..12 and biases at 12..16,
/// then 16..24 and 24..26.
fn small() -> (Arc<Model>, Model) {
    let layers = [LayerSpec::dense(4), LayerSpec::Relu, LayerSpec::dense(2)];
    let full = Arc::new(Model::build(&layers, &[3], 2).unwrap());
    let half = full.narrowed(0.5).unwrap();
    (full, half)
}

#[test]
fn a_selection_takes_the_rows_and_columns_of_its_units() {
    let (full, half) = small();
    let take = |selection: &Selection| {
        let taken = selection.gather(&full, &half, &places(&full)).unwrap();
        taken.as_slice().unwrap().to_vec()
    };
    let prefix = Selection::prefix(full.units(), half.units());
    assert_eq!(
        take(&prefix),
        [0., 1., 2., 3., 4., 5., 12., 13., 16., 17., 20., 21., 24., 25.]
    );
    // Units 3 and 0, in this order.
    let rolling = Selection::rolling(full.units(), half.units(), 3);
    assert_eq!(
        take(&rolling),
        [9., 10., 11., 0., 1., 2., 15., 12., 19., 16., 23., 20., 24., 25.]
    );
}

#[test]
fn a_window_as_wide_as_the_network_is_the_network_in_its_own_order() {
    let (full, _) = small();
    let turned = Selection::rolling(full.units(), full.units(), 3);
    let taken = turned.gather(&full, &full, &places(&full)).unwrap();
    assert_eq!(taken.digest().unwrap(), places(&full).digest().unwrap());
}

#[test]
fn flattened_channels_take_all_their_positions_along() {
    let layers = [
        LayerSpec::conv(2, 1, 0),
        LayerSpec::Flatten,
        LayerSpec::dense(2),
    ];
    let full = Model::build(&layers, &[1, 2, 2], 2).unwrap();
    let half = full.narrowed(0.5).unwrap();
    let second = Selection::rolling(full.units(), half.units(), 1);
    let taken = second.gather(&full, &half, &places(&full)).unwrap();
    // Convolution 0..2 and 2..4; dense [2, 8] from 4, its columns 4..8 of each row; biases 20, 21.
    let expected = [1., 3., 8., 9., 10., 11., 16., 17., 18., 19., 20., 21.];
    assert_eq!(taken.as_slice().unwrap(), expected);
}

#[test]
fn a_sub_model_of_another_architecture_is_refused_and_nothing_is_added() {
    let (full, half) = small();
    let other = Model::build(&[LayerSpec::dense(2)], &[3], 2).unwrap();
    let prefix = Selection::prefix(full.units(), half.units());
    let error = prefix.gather(&full, &other, &places(&full)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "4 tensors with 26 values have no part of 2 tensors with 8 values that this selection \
         describes; both must be of one architecture"
    );
    let mut sum = PartialSum::new(Arc::clone(&full));
    assert!(sum.add(&prefix, &half, &places(&full), 1.0, None).is_err());
    assert!(sum.take_mean(&places(&full)).unwrap().is_none());
}

#[test]
fn rolling_windows_hold_every_unit_equally_often_over_a_cycle() {
    let full = mnist();
    let sub = full.narrowed(0.5625).unwrap();
    // A cycle of the larger hidden set is two of the smaller one.
    let mut held = vec![0u32; full.parameters()];
    for shift in 0..32 {
        let selection = Selection::rolling(full.units(), sub.units(), shift);
        let taken = selection.gather(&full, &sub, &places(&full)).unwrap();
        for &place in taken.as_slice().unwrap() {
            held[place as usize] += 1;
        }
    }
    for (entry, units) in full.layout().entries().iter().zip(full.units().entries()) {
        if entry.role.place == Place::Hidden && units.columns.is_some() {
            // Rows and columns roll at one pace, so pairs are held unequally, but each row is held
            // by as many windows, summed over its columns.
            let row: usize = entry.shape[1..].iter().product();
            let rows = held[entry.offset..entry.offset + entry.len].chunks(row);
            let sums: Vec<u32> = rows.map(|row| row.iter().sum()).collect();
            assert!(
                sums.iter().all(|&sum| sum == sums[0]),
                "{}: {sums:?}",
                entry.name
            );
        } else {
            let held = &held[entry.offset..entry.offset + entry.len];
            assert!(held.iter().all(|&n| n == held[0]), "{}", entry.name);
        }
    }
}

#[test]
fn a_random_selection_is_a_set_of_the_right_size_and_follows_its_stream() {
    let full = mnist();
    let sub = full.narrowed(0.5).unwrap();
    let draw = |round| {
        let mut rng = stream(7, 3, Purpose::Method, round);
        Selection::random(full.units(), sub.units(), &mut rng)
    };
    for ((kept, sub), full) in draw(1)
        .kept()
        .iter()
        .zip(sub.units().sets())
        .zip(full.units().sets())
    {
        assert_eq!(kept.len(), sub.size);
        assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(kept.iter().all(|&unit| (unit as usize) < full.size));
    }
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

proptest! {
    /// Every value is the mean over those who held it, weighted; the others stay.
    #[test]
    fn the_partial_mean_equals_a_float64_reference(
        seed in any::<u64>(),
        clients in prop::collection::vec((0usize..3, 0u64..8, 1u32..500, any::<bool>()), 1..12),
    ) {
        let layers = [
            LayerSpec::conv(4, 3, 1), LayerSpec::Relu, LayerSpec::Flatten,
            LayerSpec::dense(8), LayerSpec::dense(3),
        ];
        let full = Arc::new(Model::build(&layers, &[2, 3, 3], 3).unwrap());
        let subs = [1.0, 0.5, 0.25].map(|ratio| full.narrowed(ratio).unwrap());
        let previous = full.init(seed, Initializer::GlorotNormal).unwrap();
        let mut sum = PartialSum::new(Arc::clone(&full));
        let mut exact = vec![(0.0f64, 0.0f64); full.parameters()];
        for (number, &(level, shift, weight, all)) in clients.iter().enumerate() {
            let sub = &subs[level];
            let selection = Selection::rolling(full.units(), sub.units(), shift);
            let trained = sub.init(seed ^ number as u64, Initializer::HeNormal).unwrap();
            let classes = [true, all, true];
            sum.add(&selection, sub, &trained, f64::from(weight), Some(&classes)).unwrap();
            // Which place each value came from, by sending the places themselves.
            let from = selection.gather(&full, sub, &places(&full)).unwrap();
            for (&place, &value) in from.as_slice().unwrap().iter().zip(trained.as_slice().unwrap()) {
                let entry = full.layout().entries().iter()
                    .find(|e| (e.offset..e.offset + e.len).contains(&(place as usize))).unwrap();
                let row = (place as usize - entry.offset) / (entry.len / entry.shape[0]);
                if entry.role.place != Place::Last || classes[row] {
                    exact[place as usize].0 += f64::from(weight) * f64::from(value);
                    exact[place as usize].1 += f64::from(weight);
                }
            }
        }
        let mean = sum.take_mean(&previous).unwrap().unwrap();
        for ((&got, &before), &(total, weight)) in
            mean.as_slice().unwrap().iter().zip(previous.as_slice().unwrap()).zip(&exact)
        {
            let expected = if weight > 0.0 { total / weight } else { f64::from(before) };
            prop_assert!((f64::from(got) - expected).abs() < 1e-5, "{} against {}", got, expected);
        }
        prop_assert!(sum.take_mean(&previous).unwrap().is_none());
    }
}
