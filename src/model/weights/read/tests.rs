use super::*;
use crate::model::weights::to_bytes;
use crate::model::{Initializer, LayerSpec, Model};
use proptest::prelude::*;
use serde_json::{json, Value};
use std::fs;
use tempfile::TempDir;

fn model() -> Model {
    let layers = [
        LayerSpec::conv(2, 3, 1),
        LayerSpec::BatchNorm,
        LayerSpec::Relu,
        LayerSpec::Flatten,
        LayerSpec::dense(3),
    ];
    Model::build(&layers, &[1, 4, 4], 3).unwrap()
}

/// Values that differ from those that are drawn; mean squares above the squares of the means.
fn values(model: &Model) -> ParamSet {
    let values = (0..model.parameters()).map(|i| (i as f32 * 0.731).sin());
    let mut values: Vec<f32> = values.collect();
    for entry in model.layout().entries() {
        if entry.role.part == Part::Square {
            values[entry.offset..entry.offset + entry.len].fill(1.75);
        }
    }
    ParamSet::from_slice(model.layout(), &values).unwrap()
}

struct Desk(TempDir);

impl Desk {
    fn with(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("w.safetensors"), bytes).unwrap();
        Self(folder)
    }

    fn open(&self) -> Result<WeightsFile, String> {
        let folder = format!("{}/", self.0.path().display());
        let file = WeightsFile::open(&self.0.path().join("w.safetensors"));
        file.map_err(|error| error.to_string().replace(&folder, ""))
    }

    fn problems(&self, model: &Model, drawn: &[&str]) -> Vec<String> {
        let drawn: Vec<String> = drawn.iter().map(ToString::to_string).collect();
        let folder = format!("{}/", self.0.path().display());
        let said = self.open().unwrap().problems(model.layout(), Drawn(&drawn));
        said.iter().map(|said| said.replace(&folder, "")).collect()
    }
}

/// The bytes of a file with this header.
fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn bits(set: &ParamSet) -> Vec<u32> {
    set.as_slice()
        .unwrap()
        .iter()
        .map(|v| v.to_bits())
        .collect()
}

#[test]
fn what_is_written_comes_back_bit_for_bit() {
    let model = model();
    let set = values(&model);
    let desk = Desk::with(&to_bytes(&set, &json!({})).unwrap());
    let start = model.init(1, Initializer::PyTorch).unwrap();
    let read = desk.open().unwrap().load(&start, Drawn(&[])).unwrap();
    assert_eq!(bits(&read), bits(&set));
    // And out again, byte for byte.
    assert_eq!(
        to_bytes(&read, &json!({})).unwrap(),
        to_bytes(&set, &json!({})).unwrap()
    );
}

#[test]
fn layers_that_are_to_be_drawn_are_and_all_others_come_from_the_file() {
    let model = model();
    let set = values(&model);
    let desk = Desk::with(&to_bytes(&set, &json!({})).unwrap());
    let start = model.init(1, Initializer::PyTorch).unwrap();
    let drawn = ["layers.4".to_string()];
    let read = desk.open().unwrap().load(&start, Drawn(&drawn)).unwrap();
    for entry in model.layout().entries() {
        let from = if torch_name(entry).starts_with("layers.4.") {
            &start
        } else {
            &set
        };
        let range = entry.offset..entry.offset + entry.len;
        assert_eq!(
            bits(&read)[range.clone()],
            bits(from)[range],
            "{}",
            entry.name
        );
    }
}

#[test]
fn everything_that_does_not_fit_is_told_at_once() {
    let other = [
        LayerSpec::conv(2, 3, 1),
        LayerSpec::Relu,
        LayerSpec::Flatten,
        LayerSpec::dense(4),
        LayerSpec::dense(5),
    ];
    let other = Model::build(&other, &[1, 4, 4], 5).unwrap();
    let set = other.init(1, Initializer::PyTorch).unwrap();
    let desk = Desk::with(&to_bytes(&set, &json!({})).unwrap());
    let missing = |name: &str, shape: &str| {
        format!(
            "w.safetensors: \"layers.1.{name}\" of shape {shape} is missing; a layer that the file lacks is \
             drawn with draw: [\"layers.1\"]"
        )
    };
    let differs = |name: &str, expected: &str, found: &str| {
        format!(
            "w.safetensors: \"layers.4.{name}\": expected shape {expected}, found {found}; a layer of another \
             shape is drawn anew with draw: [\"layers.4\"]"
        )
    };
    assert_eq!(
        desk.problems(&model(), &[]),
        [
            missing("weight", "[2]"),
            missing("bias", "[2]"),
            missing("running_mean", "[2]"),
            missing("running_var", "[2]"),
            differs("weight", "[3, 32]", "[5, 4]"),
            differs("bias", "[3]", "[5]"),
            "w.safetensors: the network has no tensor \"layers.3.bias\"; is it \"layers.1.bias\"?".into(),
            "w.safetensors: the network has no tensor \"layers.3.weight\"; is it \"layers.1.weight\"?"
                .into(),
        ]
    );
    let left = desk.problems(&model(), &["layers.1", "layers.4", "layers.3"]);
    assert_eq!(left, [""; 0]);
    let start = model().init(1, Initializer::PyTorch).unwrap();
    let refused = desk.open().unwrap().load(&start, Drawn(&[])).unwrap_err();
    assert!(refused.to_string().contains("layers.1.weight"), "{refused}");
}

#[test]
fn many_mismatches_are_counted_and_the_first_are_told() {
    let layers = vec![LayerSpec::dense(2); 40];
    let wide = Model::build(&layers, &[2], 2).unwrap();
    let desk = Desk::with(&with_header("{}", &[]));
    let said = desk.problems(&wide, &[]);
    assert_eq!(said.len(), MOST_TOLD + 1);
    assert_eq!(
        said[MOST_TOLD],
        "w.safetensors: and 60 more that do not fit"
    );
}

#[test]
fn pytorchs_count_of_batches_is_passed_over_and_other_kinds_of_numbers_are_not() {
    let model = model();
    let bytes = to_bytes(&values(&model), &json!({})).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut data = bytes[8 + length..].to_vec();
    let end = data.len();
    data.extend([0; 8]);
    header["layers.1.num_batches_tracked"] =
        json!({"dtype": "I64", "shape": [], "data_offsets": [end, end + 8]});
    let desk = Desk::with(&with_header(&header.to_string(), &data));
    assert_eq!(desk.problems(&model, &[]), [""; 0]);
    header["layers.4.bias"]["dtype"] = "I32".into();
    let desk = Desk::with(&with_header(&header.to_string(), &data));
    assert_eq!(
        desk.problems(&model, &[]),
        ["w.safetensors: \"layers.4.bias\": expected single precision (F32), found I32; convert it with \
          .float()"]
    );
}

#[test]
fn values_that_are_no_numbers_are_refused_with_their_place() {
    let model = model();
    let start = model.init(1, Initializer::PyTorch).unwrap();
    for (name, place, bad, says) in [
        (
            "layers.4.weight",
            5,
            f32::NAN,
            "value 5 is NaN; expected finite numbers",
        ),
        (
            "layers.0.bias",
            1,
            f32::NEG_INFINITY,
            "value 1 is -inf; expected finite numbers",
        ),
    ] {
        let mut all = values(&model).as_slice().unwrap().to_vec();
        let entry = model
            .layout()
            .entries()
            .iter()
            .find(|e| torch_name(e) == name);
        all[entry.unwrap().offset + place] = bad;
        let set = ParamSet::from_slice(model.layout(), &all).unwrap();
        let desk = Desk::with(&to_bytes(&set, &json!({})).unwrap());
        let error = desk.open().unwrap().load(&start, Drawn(&[])).unwrap_err();
        assert!(
            error.to_string().ends_with(&format!("{name:?}: {says}")),
            "{error}"
        );
    }
    let bytes = to_bytes(&values(&model), &json!({})).unwrap();
    let variance = (1.75f32 - values(&model).as_slice().unwrap()[24].powi(2)).to_le_bytes();
    let at = bytes
        .windows(4)
        .position(|window| window == variance)
        .unwrap();
    let mut bytes = bytes;
    bytes[at + 3] |= 0x80;
    let error = Desk::with(&bytes)
        .open()
        .unwrap()
        .load(&start, Drawn(&[]))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("expected a variance of 0 or more"),
        "{error}"
    );
}

#[test]
fn files_that_mean_ill_are_refused_with_words() {
    let tensor = |from: u64, to: u64| {
        format!("{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[{from},{to}]}}")
    };
    for (bytes, says) in [
        (b"short".to_vec(), "found 5 bytes"),
        (u64::MAX.to_le_bytes().to_vec(), "expected a header of at most 0 bytes"),
        // What `torch.save` writes is a zip archive.
        (b"PK\x03\x04\x00\x00\x08\x08\x00\x00".to_vec(), "a file of torch.save is a pickle"),
        (with_header("[]", &[]), "the header: expected JSON: invalid type: sequence"),
        (with_header("{\"a\":", &[]), "the header: expected JSON: EOF"),
        (
            with_header(&format!("{{\"a\":{0},\"a\":{0}}}", tensor(0, 8)), &[0; 8]),
            "the header names \"a\" twice",
        ),
        (
            with_header(&format!("{{\"a\":{},\"b\":{}}}", tensor(0, 8), tensor(4, 12)), &[0; 12]),
            "the header: invalid offset for tensor `b`",
        ),
        (
            with_header(&format!("{{\"a\":{},\"b\":{}}}", tensor(0, 8), tensor(12, 20)), &[0; 20]),
            "the header: invalid offset for tensor `b`",
        ),
        (
            with_header(&format!("{{\"a\":{}}}", tensor(0, 4)), &[0; 4]),
            "the header: invalid shape, data type, or offset for tensor",
        ),
        (
            with_header(&format!("{{\"a\":{}}}", tensor(0, 8)), &[0; 7]),
            "byte 62: the header speaks of 8 bytes of values, the file has 7",
        ),
        (
            with_header(&format!("{{\"a\":{}}}", tensor(0, 8)), &[0; 9]),
            "byte 62: the header speaks of 8 bytes of values, the file has 9",
        ),
        (
            with_header(
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2],\"data_offsets\":[0,8]}}",
                &[0; 8],
            ),
            "the header: ",
        ),
        (
            with_header("{\"a\":{\"dtype\":\"PICKLE\",\"shape\":[2],\"data_offsets\":[0,8]}}", &[0; 8]),
            "the header: ",
        ),
    ] {
        let said = Desk::with(&bytes).open().unwrap_err();
        assert!(said.starts_with("w.safetensors: "), "{said}");
        assert!(said.contains(says), "{said:?} does not say {says:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let error = WeightsFile::open(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("it is a folder, and no file"), "{error}");
}

#[test]
fn paths_that_no_layer_has_are_told_with_the_nearest() {
    let layout = model().layout().clone();
    let paths = [
        "layers.0",
        "layers.44",
        "layers.1.running_mean",
        "head",
        "layers",
    ];
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    let said = unknown_paths(&paths, &layout);
    assert_eq!(
        said.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
        [1, 3]
    );
    assert_eq!(
        said[0].1,
        "expected a layer or a tensor of the network such as \"layers.0\", found \"layers.44\"; did you \
         mean \"layers.4\"?"
    );
}

proptest! {
    /// Whatever bytes there are, reading them ends with a file or an error.
    #[test]
    fn any_bytes_are_a_file_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..200), flip in any::<(usize, u8)>()
    ) {
        let _ = Desk::with(&bytes).open();
        let mut good = to_bytes(&values(&model()), &json!({})).unwrap();
        let place = flip.0 % good.len();
        good[place] ^= flip.1;
        let start = model().init(1, Initializer::PyTorch).unwrap();
        if let Ok(mut file) = Desk::with(&good).open() {
            let _ = file.load(&start, Drawn(&[]));
        }
    }
}
