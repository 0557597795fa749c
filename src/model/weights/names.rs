//! What a tensor is called in PyTorch.

use crate::model::{Entry, Part};

/// The name that the tensor has in the `state_dict` of a module whose `layers` are an `nn.Sequential` of
/// the same layers: `layers[3].body[0].weight` is `layers.3.body.0.weight`. The statistics of a batch
/// normalisation are called `running_mean` and `running_var`.
pub fn torch_name(entry: &Entry) -> String {
    let mut name: String = entry
        .name
        .chars()
        .filter(|&c| c != ']')
        .map(|c| if c == '[' { '.' } else { c })
        .collect();
    let part = match entry.role.part {
        Part::Mean => "running_mean",
        Part::Square => "running_var",
        Part::Weight | Part::Bias | Part::Own => return name,
    };
    name.truncate(name.rfind('.').map_or(0, |dot| dot + 1));
    name.push_str(part);
    name
}

/// The variance that evaluation makes of a channel's mean and mean square, rounded as there: never below
/// zero, where rounding brings the mean square below the square of the mean.
pub(super) fn variance(mean: f32, square: f32) -> f32 {
    // Torch's clamp keeps NaN as it is, and `f32::max` does not.
    let variance = square - mean * mean;
    if variance < 0.0 {
        0.0
    } else {
        variance
    }
}

/// A mean square that has this variance about the mean, as nearly as single precision can say it: where
/// one has exactly this variance by [`variance`], that.
pub(super) fn mean_square(mean: f32, wanted: f32) -> f32 {
    let near = wanted + mean * mean;
    let (below, above) = (near.next_down(), near.next_up());
    let exact = |square: &f32| variance(mean, *square).to_bits() == wanted.to_bits();
    [near, below, above].into_iter().find(exact).unwrap_or(near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LayerSpec, Model};
    use proptest::prelude::*;

    #[test]
    fn names_are_those_of_nested_sequential_modules() {
        let layers = [
            LayerSpec::conv(4, 3, 1),
            LayerSpec::BatchNorm,
            LayerSpec::Residual {
                body: vec![LayerSpec::Relu, LayerSpec::conv(4, 1, 0)],
                shortcut: vec![],
            },
            LayerSpec::Flatten,
            LayerSpec::Dense(2, false),
        ];
        let model = Model::build(&layers, &[1, 2, 2], 2).unwrap();
        let names: Vec<String> = model.layout().entries().iter().map(torch_name).collect();
        assert_eq!(
            names,
            [
                "layers.0.weight",
                "layers.0.bias",
                "layers.1.weight",
                "layers.1.bias",
                "layers.1.running_mean",
                "layers.1.running_var",
                "layers.2.body.1.weight",
                "layers.2.body.1.bias",
                "layers.4.weight",
            ]
        );
    }

    #[test]
    fn the_variance_is_that_of_evaluation() {
        assert_eq!(variance(2.0, 5.0), 1.0);
        assert_eq!(variance(2.0, 4.0), 0.0);
        assert_eq!(variance(2.0, 3.5), 0.0);
        assert!(variance(f32::NAN, 1.0).is_nan());
    }

    proptest! {
        /// What evaluation makes of a mean square survives the way out and back, whatever it rounds to.
        #[test]
        fn a_variance_goes_out_and_comes_back_as_it_was(
            mean in -1e3f32..1e3, square in prop_oneof![0f32..1e7, 0f32..1.0]
        ) {
            let out = variance(mean, square);
            let back = variance(mean, mean_square(mean, out));
            prop_assert_eq!(back.to_bits(), out.to_bits());
        }
    }
}
