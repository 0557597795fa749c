use super::*;
use crate::model::{Entry, Initializer, MaskSource, Model, ParamSet, Selection};
use crate::registry::Registry;
use crate::text::Document;
use std::path::Path;

#[test]
fn a_layer_list_reads_as_scenarios_write_it() {
    let text =
        "[Conv(out: 32, kernel: 5, padding: 2), Relu, MaxPool(size: 2), Flatten, Dense(512), \
                Dense(10, false), Residual(body: [Tanh])]";
    let layers: Vec<LayerSpec> = ron::from_str(text).unwrap();
    assert_eq!(
        layers,
        [
            LayerSpec::conv(32, 5, 2),
            LayerSpec::Relu,
            LayerSpec::max_pool(2),
            LayerSpec::Flatten,
            LayerSpec::dense(512),
            LayerSpec::Dense(10, false),
            LayerSpec::Residual {
                body: vec![LayerSpec::Tanh],
                shortcut: vec![]
            },
        ]
    );
}

#[test]
fn what_is_written_reads_back_in_another_format() {
    let layers = vec![
        LayerSpec::conv(3, 3, 1),
        LayerSpec::Dropout { rate: 0.25 },
        LayerSpec::dense(4),
    ];
    let text = serde_json::to_string(&layers).unwrap();
    assert_eq!(
        serde_json::from_str::<Vec<LayerSpec>>(&text).unwrap(),
        layers
    );
}

#[test]
fn a_field_that_does_not_exist_is_refused() {
    let error = ron::from_str::<Vec<LayerSpec>>("[Conv(out: 3, kernal: 3)]").unwrap_err();
    assert!(error.to_string().contains("kernal"), "{error}");
}

fn read(text: &str) -> Result<Vec<LayerSpec>, String> {
    let document = Document::parse(text, Path::new("s.ron")).unwrap();
    document.read().map_err(|wrong| wrong.to_string())
}

#[test]
fn layers_of_the_registry_are_read_and_written_beside_the_others() {
    let text = "[Conv(out: 2, kernel: 3), PRelu(slope: 0.5), Residual(body: [Gelu]), LayerNorm()]";
    let layers = read(text).unwrap();
    let expected = [
        LayerSpec::conv(2, 3, 0),
        LayerSpec::other(PRelu { slope: 0.5 }),
        LayerSpec::Residual {
            body: vec![LayerSpec::other(Gelu {})],
            shortcut: vec![],
        },
        LayerSpec::other(LayerNorm {}),
    ];
    assert_eq!(layers, expected);
    assert_eq!(read(&ron::to_string(&layers).unwrap()).unwrap(), layers);
}

#[test]
fn a_misspelt_layer_gets_the_nearest_name_of_both_lists() {
    let said = read("[Prelu]").unwrap_err();
    assert!(said.contains("did you mean PRelu?"), "{said}");
    let said = read("[Tahn]").unwrap_err();
    assert!(said.contains("did you mean Tanh?"), "{said}");
    let said = read("[PRelu(slop: 1)]").unwrap_err();
    assert!(said.contains("did you mean slope?"), "{said}");
}

#[test]
fn the_list_of_variants_is_whole() {
    let listed = LayerSpec::ALL.iter().map(|(name, _)| *name);
    let names = crate::text::names_of::<LayerSpec>().iter().copied();
    let registered = Registry::standard().of::<dyn Layer>();
    let all: Vec<&str> = listed.chain(registered.names().iter().copied()).collect();
    assert!(names.eq(all));
}

#[test]
fn a_normalised_sample_has_mean_0_and_variance_1_before_scale_and_shift() {
    let values: Vec<f32> = (0..24).map(|i| ((i * 7) % 11) as f32 - 3.0).collect();
    let x = tch::Tensor::from_slice(&values).view([2, 3, 2, 2]);
    let scale: Vec<f32> = (0..12).map(|i| 1.0 + i as f32).collect();
    let params = [
        tch::Tensor::from_slice(&scale).view([3, 2, 2]),
        tch::Tensor::full([3, 2, 2], 0.5, (tch::Kind::Float, tch::Device::Cpu)),
    ];
    let y = LayerNorm {}
        .forward(&params, &x, None)
        .unwrap()
        .view([2, 12]);
    for (row, sample) in values.chunks(12).enumerate() {
        let of = |f: &dyn Fn(f64) -> f64| sample.iter().map(|&v| f(f64::from(v))).sum::<f64>();
        let mean = of(&|v| v) / 12.0;
        let variance = of(&|v| (v - mean).powi(2)) / 12.0;
        for (i, &value) in sample.iter().enumerate() {
            let normal = (f64::from(value) - mean) / (variance + 1e-5).sqrt();
            let exact = normal * f64::from(scale[i]) + 0.5;
            let got = y.double_value(&[row as i64, i as i64]);
            assert!((got - exact).abs() < 1e-5, "{got} {exact}");
        }
    }
}

#[test]
fn narrower_networks_have_the_values_of_their_units_and_whole_tensors_keep_theirs() {
    let layers = [
        LayerSpec::conv(4, 3, 1),
        LayerSpec::other(PRelu { slope: 0.25 }),
        LayerSpec::other(LayerNorm {}),
        LayerSpec::Flatten,
        LayerSpec::other(LayerNorm {}),
        LayerSpec::dense(3),
    ];
    let full = Model::build(&layers, &[1, 2, 2], 3).unwrap();
    let half = full.narrowed(0.5).unwrap();
    let shapes = |model: &Model| -> Vec<Vec<usize>> {
        let entries = model.layout().entries().iter();
        entries.map(|entry| entry.shape.clone()).collect()
    };
    let flat = |n: usize| {
        [
            vec![n],
            vec![n, 2, 2],
            vec![n, 2, 2],
            vec![4 * n],
            vec![4 * n],
        ]
    };
    assert_eq!(shapes(&full)[2..7], flat(4));
    assert_eq!(shapes(&half)[2..7], flat(2));
    let names: Vec<&str> = full.layout().entries()[2..4]
        .iter()
        .map(|e| &*e.name)
        .collect();
    assert_eq!(names, ["layers[1].weight", "layers[2].weight"]);
    // Every value is its own place: units 1 and 3 are taken out of each tensor.
    let places: Vec<f32> = (0..full.parameters()).map(|i| i as f32).collect();
    let places = ParamSet::from_slice(full.layout(), &places).unwrap();
    let kept = vec![vec![0], vec![1, 3], vec![0, 1, 2]];
    let taken = Selection::of(kept).gather(&full, &half, &places).unwrap();
    let taken = taken.as_slice().unwrap();
    for (of_half, of_full) in half.layout().entries()[2..7]
        .iter()
        .zip(&full.layout().entries()[2..7])
    {
        let each = of_full.len / 4;
        let row = |unit: usize| {
            (of_full.offset + unit * each..of_full.offset + (unit + 1) * each).map(|i| i as f32)
        };
        let expected: Vec<f32> = row(1).chain(row(3)).collect();
        assert_eq!(
            taken[of_half.offset..of_half.offset + of_half.len],
            expected,
            "{}",
            of_half.name
        );
    }
    let start = full.init(1, Initializer::HeNormal).unwrap();
    let start = start.as_slice().unwrap();
    let of = |i: usize| {
        let entry = &full.layout().entries()[i];
        &start[entry.offset..entry.offset + entry.len]
    };
    assert!(of(2).iter().all(|&v| v == 0.25) && of(3).iter().all(|&v| v == 1.0));
    assert!(of(4).iter().all(|&v| v == 0.0));
}

/// Mixes all features by a matrix of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Mixed {}

impl Layer for Mixed {
    fn build(&self, input: &[usize], tensors: &mut Tensors<'_>) -> Result<Vec<usize>, String> {
        let [features] = *input else {
            return Err(format!("expected input of shape [features], got {input:?}"));
        };
        tensors.whole("mixture", &[6, features], Start::FanIn(features));
        tensors.takes_flops(12 * features as u64);
        tensors.keeps(5);
        Ok(vec![6])
    }

    fn forward(
        &self,
        params: &[tch::Tensor],
        x: &tch::Tensor,
        _: Option<&mut MaskSource>,
    ) -> Result<tch::Tensor, tch::TchError> {
        x.f_linear(&params[0], None::<&tch::Tensor>)
    }
}

#[test]
fn around_a_tensor_that_is_whole_all_units_are_kept_and_what_it_costs_is_counted() {
    let mixed = LayerSpec::Other(Spec::new("Mixed", Mixed {}));
    let layers = [
        LayerSpec::dense(4),
        mixed.clone(),
        LayerSpec::dense(8),
        LayerSpec::dense(3),
    ];
    let full = Model::build(&layers, &[5], 3).unwrap();
    let sets: Vec<(usize, bool)> = full
        .units()
        .sets()
        .iter()
        .map(|s| (s.size, s.fixed))
        .collect();
    assert_eq!(
        sets,
        [
            (5, true),
            (4, true),
            (6, true),
            (6, true),
            (8, false),
            (3, true)
        ]
    );
    let half = full.narrowed(0.5).unwrap();
    assert_eq!(
        half.layout().entries()[2],
        Entry {
            ..full.layout().entries()[2].clone()
        }
    );
    assert_eq!(half.layout().entries()[3].shape, [4, 6]);
    let without = Model::build(&[LayerSpec::dense(4)], &[5], 4).unwrap();
    let after = Model::build(&[LayerSpec::dense(8), LayerSpec::dense(3)], &[6], 3).unwrap();
    let flops = without.forward_flops().0 + after.forward_flops().0 + 48;
    assert_eq!(full.forward_flops().0, flops);
    assert_eq!(full.activations(), 5 + 4 + (6 + 5) + 8 + 3);
    let refused = Model::build(&[mixed, LayerSpec::dense(3)], &[1, 2, 2], 3).unwrap_err();
    let said = refused.to_string();
    assert!(
        said.contains("layers[0]") && said.contains("Mixed: expected input of shape"),
        "{said}"
    );
}

#[test]
fn what_a_layer_of_the_registry_may_not_be_is_refused() {
    let fails = |layer: LayerSpec, input: &[usize], words: &str| {
        let said = Model::build(&[layer, LayerSpec::Flatten, LayerSpec::dense(3)], input, 3);
        let said = said.unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    };
    fails(
        LayerSpec::other(PRelu { slope: f32::NAN }),
        &[4],
        "PRelu: expected slope from -10 to 10, got NaN",
    );
    let flat = LayerSpec::Residual {
        body: vec![
            LayerSpec::conv(2, 1, 0),
            LayerSpec::Flatten,
            LayerSpec::other(PRelu::default()),
        ],
        shortcut: vec![LayerSpec::Flatten],
    };
    fails(
        flat,
        &[2, 2, 2],
        "expected it before Flatten, got 4 features for each of 2 channels",
    );
}

/// Says that it gives as many features as it gets, and gives fewer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Wrong {
    features: i64,
}

impl Layer for Wrong {
    fn build(&self, input: &[usize], _: &mut Tensors<'_>) -> Result<Vec<usize>, String> {
        Ok(input.to_vec())
    }

    fn forward(
        &self,
        _: &[tch::Tensor],
        x: &tch::Tensor,
        _: Option<&mut MaskSource>,
    ) -> Result<tch::Tensor, tch::TchError> {
        x.f_narrow(1, 0, self.features)
    }
}

#[test]
fn a_layer_that_does_not_do_what_it_says_is_refused_before_anything_runs() {
    let refused = |features: i64| {
        let wrong = LayerSpec::Other(Spec::new("Wrong", Wrong { features }));
        let built = Model::build(&[LayerSpec::dense(4), wrong, LayerSpec::dense(3)], &[5], 3);
        built.err().map(|error| error.to_string())
    };
    let said = refused(2).unwrap();
    assert!(
        said.contains("layers[1]")
            && said.contains("gives shape [2, 4], as the layer says, got [2, 2]"),
        "{said}"
    );
    let said = refused(9).unwrap();
    assert!(
        said.contains("Wrong: cannot pass a batch of shape [2, 4]: "),
        "{said}"
    );
    assert_eq!(refused(4), None);
}
