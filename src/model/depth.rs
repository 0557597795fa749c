//! Shallower networks: those that end in an exit.

use super::{LayerProblem, LayerSpec, Model, ModelError};

impl Model {
    /// How many classifiers it has: its exits, and its last layer.
    pub fn classifiers(&self) -> usize {
        let exits = self.layers().iter();
        exits
            .filter(|layer| matches!(layer, LayerSpec::Exit { .. }))
            .count()
            + 1
    }

    /// The network of the first `ratio` of the classifiers, rounded down, at least one: it ends in the
    /// head of the deepest of them, and what lies behind is dropped. Its parameters are the first ones
    /// of this network, in the same order.
    ///
    /// # Errors
    /// When there is no exit to end in.
    pub fn shallower(&self, ratio: f64) -> Result<Self, ModelError> {
        let classifiers = self.classifiers();
        let wanted = libm::floor(classifiers as f64 * ratio + 1e-9) as usize;
        let depth = wanted.clamp(1, classifiers);
        if classifiers == 1 && ratio < 1.0 {
            return Err(ModelError {
                problems: vec![LayerProblem {
                    path: "layers".to_owned(),
                    message: "a network without exits has one depth: expected Exit(head: [...]) \
                              where shallower clients are to end"
                        .to_owned(),
                }],
            });
        }
        let mut layers = Vec::new();
        let mut passed = 0;
        for layer in self.layers() {
            if let LayerSpec::Exit { head } = layer {
                passed += 1;
                if passed == depth {
                    layers.extend_from_slice(head);
                    break;
                }
            }
            layers.push(layer.clone());
        }
        Self::build(&layers, self.input(), self.classes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Initializer, Place};

    fn exit(head: &[LayerSpec]) -> LayerSpec {
        LayerSpec::Exit {
            head: head.to_vec(),
        }
    }

    /// Three classifiers.
    fn deep() -> Model {
        let layers = [
            LayerSpec::conv(4, 3, 1),
            LayerSpec::Relu,
            exit(&[LayerSpec::GlobalAvgPool, LayerSpec::dense(3)]),
            LayerSpec::Flatten,
            LayerSpec::dense(6),
            exit(&[LayerSpec::dense(5), LayerSpec::Relu, LayerSpec::dense(3)]),
            LayerSpec::dense(3),
        ];
        Model::build(&layers, &[1, 4, 4], 3).unwrap()
    }

    #[test]
    fn a_share_of_the_depth_is_a_share_of_the_classifiers() {
        let deep = deep();
        let found =
            [0.01, 0.34, 0.66, 0.67, 1.0].map(|ratio| deep.shallower(ratio).unwrap().classifiers());
        assert_eq!(found, [1, 1, 1, 2, 3]);
        assert_eq!(deep.shallower(1.0).unwrap(), deep);
        let plain = Model::build(&[LayerSpec::dense(2)], &[2], 2).unwrap();
        let error = plain.shallower(0.5).unwrap_err().to_string();
        assert!(error.contains("without exits has one depth"), "{error}");
    }

    #[test]
    fn a_shallower_network_has_the_first_parameters_and_the_work_up_to_its_end() {
        let deep = deep();
        let values = deep.init(5, Initializer::PyTorch).unwrap();
        let flops = |units: u64, inputs: u64| units * (2 * inputs + 1);
        let first = 16 * flops(4, 9) + flops(3, 4);
        let second = flops(6, 64) + flops(5, 6) + flops(3, 5);
        for (ratio, flops) in [(0.34, first), (0.67, first + second)] {
            let part = deep.shallower(ratio).unwrap();
            let own = part.init(5, Initializer::PyTorch).unwrap();
            let whole = values.as_slice().unwrap();
            assert_eq!(own.as_slice().unwrap(), &whole[..part.parameters()]);
            assert_eq!(part.forward_flops().0, flops);
        }
        assert_eq!(deep.forward_flops().0, first + second + 3 * (2 * 6 + 1));
    }

    #[test]
    fn what_gives_scores_is_last_and_keeps_its_units_at_any_width() {
        let deep = deep();
        let places: Vec<Place> = deep
            .layout()
            .entries()
            .iter()
            .map(|e| e.role.place)
            .collect();
        use Place::{First, Hidden, Last};
        assert_eq!(
            places,
            [First, First, Last, Last, Hidden, Hidden, Hidden, Hidden, Last, Last, Last, Last]
        );
        let half = deep.narrowed(0.5).unwrap();
        let rows: Vec<usize> = half.layout().entries().iter().map(|e| e.shape[0]).collect();
        assert_eq!(rows, [2, 2, 3, 3, 3, 3, 2, 2, 3, 3, 3, 3]);
    }

    #[test]
    fn an_exit_that_cannot_be_is_refused() {
        let fails = |layers: &[LayerSpec], words: &str| {
            let error = Model::build(layers, &[4], 3).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        let dense = LayerSpec::dense;
        fails(&[exit(&[dense(3)]), dense(3)], "layer before it");
        fails(
            &[dense(4), exit(&[dense(2)]), dense(3)],
            "must end in shape [3]",
        );
        fails(
            &[dense(4), exit(&[]), dense(3)],
            "at least one layer in head",
        );
        let inside = LayerSpec::Residual {
            body: vec![dense(4), exit(&[dense(3)])],
            shortcut: vec![],
        };
        fails(&[dense(4), inside, dense(3)], "network's own level");
    }
}
