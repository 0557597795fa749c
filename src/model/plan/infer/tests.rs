use super::*;
use crate::quantity::{Bytes, Flops};
use proptest::prelude::*;

fn message(layers: &[LayerSpec], input: &[usize], classes: usize) -> String {
    Model::build(layers, input, classes)
        .unwrap_err()
        .to_string()
}

fn residual(body: Vec<LayerSpec>, shortcut: Vec<LayerSpec>) -> LayerSpec {
    LayerSpec::Residual { body, shortcut }
}

#[test]
fn every_bad_value_is_reported_with_its_place() {
    let layers = [
        LayerSpec::conv(0, 3, 0),
        LayerSpec::Relu,
        LayerSpec::Dropout { rate: 1.0 },
        residual(
            vec![LayerSpec::MaxPool {
                size: 2,
                stride: Some(0),
            }],
            vec![],
        ),
    ];
    assert_eq!(
        message(&layers, &[1, 8, 8], 10),
        "layers[0]: Conv: expected out from 1 to 1048576, got 0\n\
         layers[2]: Dropout: expected rate in [0, 1), got 1\n\
         layers[3].body[0]: MaxPool: expected stride from 1 to 1048576, got 0"
    );
}

#[test]
fn a_shape_that_does_not_fit_says_what_it_is_and_what_it_should_be() {
    let image = &[3, 32, 32];
    assert_eq!(
        message(&[LayerSpec::conv(4, 3, 0), LayerSpec::dense(10)], image, 10),
        "layers[1]: Dense: expected input of shape [features], got [4, 30, 30]; put Flatten before it"
    );
    assert_eq!(
        message(&[LayerSpec::dense(5), LayerSpec::conv(4, 3, 0)], &[7], 10),
        "layers[1]: Conv: expected input of shape [channels, height, width], got [5]"
    );
    assert_eq!(
        message(&[LayerSpec::conv(4, 35, 1)], image, 10),
        "layers[0]: Conv: expected an input side of at least 35 (with padding), got 34"
    );
    assert_eq!(
        message(&[LayerSpec::GroupNorm { groups: 2 }], image, 10),
        "layers[0]: GroupNorm: expected groups that divide the 3 channels of [3, 32, 32], got 2"
    );
    assert_eq!(
        message(&[LayerSpec::Flatten, LayerSpec::dense(12)], image, 10),
        "layers[1]: the network's output must have shape [10], one score per class, got [12]; end with Dense(10)"
    );
    assert_eq!(
        message(&[residual(vec![LayerSpec::conv(4, 3, 1)], vec![])], image, 10),
        "layers[0]: Residual: body and shortcut must end in one shape, got [4, 32, 32] and [3, 32, 32]"
    );
    assert_eq!(
        message(
            &[residual(vec![LayerSpec::Relu, LayerSpec::dense(2)], vec![])],
            image,
            10
        ),
        "layers[0].body[1]: Dense: expected input of shape [features], got [3, 32, 32]; put Flatten before it"
    );
}

#[test]
fn huge_sizes_are_refused_without_overflow_or_allocation() {
    let wide = LayerSpec::dense(1 << 20);
    assert_eq!(
        message(&[wide.clone(), wide], &[1024], 10),
        "layers[0]: Dense: the network would have more than the 1073741824 parameters allowed"
    );
    assert_eq!(
        message(&[LayerSpec::conv(1 << 20, 1, 1 << 20)], &[1, 2, 2], 10),
        "layers[0]: Conv: one sample's output of shape [1048576, 2097154, 2097154] has more than the 1073741824 \
         values allowed"
    );
    assert_eq!(
        message(&[LayerSpec::dense(usize::MAX)], &[4], 10),
        format!(
            "layers[0]: Dense: expected outputs from 1 to 1048576, got {}",
            usize::MAX
        )
    );
    assert!(message(&[], &[0, 1], 0)
        .starts_with("layers: expected at least one layer, got none\nlayers: expected at"));
    let mut nested = LayerSpec::Relu;
    for _ in 0..20 {
        nested = residual(vec![nested], vec![]);
    }
    assert!(message(&[nested], &[1, 2, 2], 4).ends_with("residual blocks nest at most 8 deep"));
    let long = vec![LayerSpec::Relu; crate::model::MAX_LAYERS + 5];
    assert_eq!(
        message(&long, &[4], 4),
        "layers: a network has at most 10000 layers"
    );
}

#[test]
fn places_are_explicit() {
    let layers = [
        LayerSpec::conv(4, 3, 1),
        LayerSpec::GroupNorm { groups: 2 },
        residual(vec![LayerSpec::conv(4, 3, 1)], vec![]),
        LayerSpec::GlobalAvgPool,
        LayerSpec::Dense(10, false),
    ];
    let model = Model::build(&layers, &[3, 8, 8], 10).unwrap();
    let found: Vec<_> = model
        .layout()
        .entries()
        .iter()
        .map(|e| (e.name.as_str(), e.role.place, e.role.part))
        .collect();
    assert_eq!(
        found,
        [
            ("layers[0].weight", Place::First, Part::Weight),
            ("layers[0].bias", Place::First, Part::Bias),
            ("layers[1].weight", Place::Norm, Part::Weight),
            ("layers[1].bias", Place::Norm, Part::Bias),
            ("layers[2].body[0].weight", Place::Hidden, Part::Weight),
            ("layers[2].body[0].bias", Place::Hidden, Part::Bias),
            ("layers[4].weight", Place::Last, Part::Weight),
        ]
    );
    let only = Model::build(&[LayerSpec::dense(2)], &[3], 2).unwrap();
    assert_eq!(only.layout().entries()[1].role.place, Place::Only);
}

#[test]
fn costs_are_those_counted_by_hand() {
    // 2×6×6 ─conv 3×3→4×4×4 ─pool→4×2×2 ─flatten→16 ─dropout→16 ─dense→3
    let layers = [
        LayerSpec::conv(4, 3, 0),
        LayerSpec::Relu,
        LayerSpec::max_pool(2),
        LayerSpec::Flatten,
        LayerSpec::Dropout { rate: 0.5 },
        LayerSpec::dense(3),
    ];
    let model = Model::build(&layers, &[2, 6, 6], 3).unwrap();
    assert_eq!(model.parameters(), (4 * 2 * 9 + 4) + (16 * 3 + 3));
    // Convolution: 64 outputs of 18 multiply-adds and a bias; dense: 3 of 16 and a bias.
    assert_eq!(
        model.forward_flops(),
        Flops(64 * (2 * 18 + 1) + 3 * (2 * 16 + 1))
    );
    assert_eq!(model.training_flops().0, 3 * model.forward_flops().0);
    // Input 72, conv 64, relu 64, pool 16, dropout 16 and its mask 16, dense 3.
    assert_eq!(model.activations(), 72 + 64 + 64 + 16 + 32 + 3);
    assert_eq!(
        model.training_memory(10, 1),
        Bytes(4 * (3 * model.parameters() as u64 + 10 * model.activations()))
    );
    assert_eq!(model.shape_after(2), Some([4, 2, 2].as_slice()));
    assert_eq!(model.shape_after(6), None);
}

fn layer() -> impl Strategy<Value = LayerSpec> {
    let n = prop_oneof![0usize..6, any::<usize>(), Just(1 << 20)];
    let leaf = prop_oneof![
        (n.clone(), n.clone(), n.clone(), n.clone(), any::<bool>()).prop_map(
            |(out, kernel, stride, padding, bias)| LayerSpec::Conv {
                out,
                kernel,
                stride,
                padding,
                bias
            }
        ),
        (n.clone(), any::<bool>()).prop_map(|(out, bias)| LayerSpec::Dense(out, bias)),
        (n.clone(), prop::option::of(n.clone()))
            .prop_map(|(size, stride)| LayerSpec::MaxPool { size, stride }),
        any::<f64>().prop_map(|rate| LayerSpec::Dropout { rate }),
        n.prop_map(|groups| LayerSpec::GroupNorm { groups }),
        Just(LayerSpec::GlobalAvgPool),
        Just(LayerSpec::Flatten),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        (
            prop::collection::vec(inner.clone(), 0..3),
            prop::collection::vec(inner, 0..3),
        )
            .prop_map(|(body, shortcut)| residual(body, shortcut))
    })
}

proptest! {
    #[test]
    fn any_list_is_either_a_model_within_bounds_or_an_error(
        layers in prop::collection::vec(layer(), 0..6),
        input in prop::collection::vec(prop_oneof![1usize..9, any::<usize>()], 0..4),
        classes in 0usize..5,
    ) {
        match Model::build(&layers, &input, classes) {
            Ok(model) => {
                prop_assert!(model.parameters() <= MAX_PARAMETERS);
                prop_assert!(model.activations() <= MAX_ACTIVATIONS);
                let sum: usize = model.layout().entries().iter().map(|e| e.len).sum();
                prop_assert_eq!(sum, model.parameters());
            }
            Err(error) => prop_assert!(!error.problems.is_empty()),
        }
    }
}
