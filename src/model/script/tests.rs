use super::*;
use crate::learn::{train, DeviceData, Features, LocalTraining, Normalisation, Scratch, TrainJob};
use crate::model::{LayerSpec, Mode, Model};

const DIGIT: [usize; 3] = [1, 8, 8];

fn open(name: &str) -> Result<Arc<Script>, ScriptError> {
    let path = format!("tests/modules/{name}.pt");
    Script::open(Path::new(&path), &DIGIT, 10)
}

fn model(name: &str) -> Model {
    Model::of_script(&open(name).unwrap(), &DIGIT, 10, (1, 1))
}

fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.contiguous();
    let mut values = vec![0f32; flat.numel()];
    let count = values.len();
    flat.copy_data(&mut values, count);
    values
}

/// Sixty noisy samples of ten classes.
fn data() -> Arc<DeviceData> {
    let samples = 60;
    let pixel = |n: usize| libm::sin(n as f64 * 0.7) as f32 + ((n / 64) % 10) as f32 * 0.1;
    let features = (0..samples * 64).map(pixel).collect();
    let normal = Normalisation {
        scale: 1.0,
        mean: vec![0.0],
        std: vec![1.0],
    };
    let labels = (0..samples as u32).map(|sample| sample % 10).collect();
    let data = DeviceData::new(
        &DIGIT,
        Features::F32(features),
        normal,
        labels,
        10,
        Device::Cpu,
    );
    Arc::new(data.unwrap())
}

fn job(model: &Arc<Model>, start: &ParamSet, local: LocalTraining) -> TrainJob {
    TrainJob {
        model: Arc::clone(model),
        start: start.clone(),
        data: data(),
        samples: (0..60).collect::<Vec<u32>>().into(),
        local,
        round: 0,
        seed: 3,
        client: 1,
        correction: Default::default(),
    }
}

/// The module of one linear layer is the network of one dense layer, whose gradients are written by hand.
#[test]
fn a_module_is_trained_as_the_same_network_of_layers_is() {
    let module = Arc::new(model("linear"));
    let layers = [LayerSpec::Flatten, LayerSpec::dense(10)];
    let layers = Arc::new(Model::build(&layers, &DIGIT, 10).unwrap());
    let initial = module.script().unwrap().initial().clone();
    let same = ParamSet::from_slice(layers.layout(), initial.as_slice().unwrap()).unwrap();
    for local in [LocalTraining::sgd(0.2), LocalTraining::adam(0.01)] {
        let of = |model: &Arc<Model>, start: &ParamSet| {
            let job = job(model, start, local.clone());
            train(&job, &mut Scratch::new()).unwrap()
        };
        let (a, b) = (of(&module, &initial), of(&layers, &same));
        assert!((a.mean_loss - b.mean_loss).abs() < 1e-5);
        let both = a.params.as_slice().unwrap().iter();
        for (a, b) in both.zip(b.params.as_slice().unwrap()) {
            assert!((a - b).abs() < 1e-4, "{a} is not {b}");
        }
    }
}

/// Central differences of half the sum of squared scores, whose gradient with respect to the scores they
/// are themselves: along a tensor's gradient, the slope is the square of its length.
#[test]
fn gradients_are_those_of_central_differences() {
    for name in ["resnet18", "lstm", "transformer", "unused"] {
        let model = model(name);
        let script = model.script().unwrap();
        let x = samples(&[4, 1, 8, 8], 0.53).unwrap();
        let start = script.initial();
        let score = |values: &[f32]| {
            let set = ParamSet::from_slice(start.layout(), values).unwrap();
            let (passed, scores) = script.forward(&set.views().unwrap(), &x).unwrap();
            drop(passed);
            let each = self::values(&scores).into_iter();
            each.map(|s| f64::from(s) * f64::from(s) / 2.0).sum::<f64>()
        };
        let (passed, scores) = script.forward(&start.views().unwrap(), &x).unwrap();
        let gradients = passed.gradients(&scores).unwrap();
        let entries = start.layout().entries();
        assert_eq!(entries.len(), gradients.len());
        for (entry, gradient) in entries.iter().zip(&gradients) {
            if name == "unused" && entry.name == "idle" {
                assert!(!gradient.defined());
                continue;
            }
            let found = values(gradient);
            let square: f64 = found.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
            // Short where the slope is steep, so that few ReLUs turn, and long enough to see past rounding.
            let step = (1e-3 / square).min(2e-2 / square.sqrt().max(1e-6));
            let moved = |step: f64| {
                let mut values = start.as_slice().unwrap().to_vec();
                let own = values[entry.offset..entry.offset + entry.len].iter_mut();
                own.zip(&found)
                    .for_each(|(value, g)| *value += (step * f64::from(*g)) as f32);
                score(&values)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            let error = (slope - square).abs();
            assert!(
                error < 0.05 * square.max(0.01),
                "{name}, {}: {slope} is not {square}",
                entry.name
            );
        }
    }
}

#[test]
fn a_pass_depends_on_its_parameters_and_not_on_what_ran_before() {
    let model = model("transformer");
    let script = model.script().unwrap();
    let x = samples(&[5, 1, 8, 8], 0.21).unwrap();
    let start = script.initial();
    let mut other = start.as_slice().unwrap().to_vec();
    other.iter_mut().for_each(|value| *value *= 1.5);
    let other = ParamSet::from_slice(start.layout(), &other).unwrap();
    let scores = |set: &ParamSet| {
        let scores = model.forward(&set.views().unwrap(), &x, Mode::Evaluate);
        values(&scores.unwrap())
    };
    let first = scores(start);
    let second = scores(&other);
    assert_ne!(first, second);
    // Passes in training, more than an optimiser of code would watch, and copies side by side.
    let passes = (0..4).map(|_| script.forward(&other.views().unwrap(), &x).unwrap());
    let passes: Vec<(Passed, Tensor)> = passes.collect();
    for (passed, scores) in &passes {
        let found = passed.gradients(scores).unwrap();
        let again = passes[0].1.size();
        assert_eq!(scores.size(), again);
        assert_eq!(found.len(), start.layout().entries().len());
    }
    let trained: Vec<Vec<f32>> = passes.iter().map(|(_, scores)| values(scores)).collect();
    assert!(trained.iter().all(|scores| *scores == trained[0]));
    drop(passes);
    assert_eq!(scores(start), first);
    assert_eq!(scores(&other), second);
}

#[test]
fn names_and_shapes_are_the_modules_own() {
    let script = open("lstm").unwrap();
    let entries = script.initial().layout().entries().iter();
    let named: Vec<String> = entries
        .map(|e| format!("{} {:?}", e.name, e.shape))
        .collect();
    assert_eq!(
        named,
        [
            "lstm.weight_ih_l0 [48, 8]",
            "lstm.weight_hh_l0 [48, 12]",
            "lstm.bias_ih_l0 [48]",
            "lstm.bias_hh_l0 [48]",
            "lstm.weight_ih_l1 [48, 12]",
            "lstm.weight_hh_l1 [48, 12]",
            "lstm.bias_ih_l1 [48]",
            "lstm.bias_hh_l1 [48]",
            "fc.weight [10, 12]",
            "fc.bias [10]",
        ]
    );
}

#[test]
fn modules_that_training_cannot_rely_on_are_refused_with_words() {
    for (name, says) in [
        (
            "dropout",
            "it draws random numbers in training, as Dropout does",
        ),
        (
            "batchnorm",
            "it keeps something from one pass to the next, as BatchNorm does",
        ),
        (
            "tied",
            "its parameters \"a.weight\" and \"b.weight\" are one tensor",
        ),
        (
            "nine",
            "expected scores of shape [3, 10] for 3 samples of 10 classes, got [3, 9]",
        ),
        ("nothing", "cannot read: No such file or directory"),
    ] {
        let said = open(name).unwrap_err().to_string();
        assert!(said.contains(says), "{name}: {said}");
    }
    let path = Path::new("tests/modules/linear.pt");
    let said = Script::open(path, &[7], 10).unwrap_err().to_string();
    assert!(
        said.contains("samples of shape [7]: RuntimeError: "),
        "{said}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pt");
    for bytes in [&b"no archive"[..], b"PK\x03\x04", b""] {
        std::fs::write(&path, bytes).unwrap();
        let said = Script::open(&path, &DIGIT, 10).unwrap_err().to_string();
        assert!(said.contains("torch cannot load it"), "{said}");
    }
    // A good archive that lost its end.
    let good = std::fs::read("tests/modules/linear.pt").unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    let said = Script::open(&path, &DIGIT, 10).unwrap_err().to_string();
    assert!(said.contains("torch cannot load it"), "{said}");
}
