//! Weights between Shoal and PyTorch, by the Python of `docs/python.md`.

use super::tiny::Ran;
use shoal::learn::evaluate;
use shoal::model::weights::{to_bytes, Drawn, WeightsFile};
use shoal::model::{Initializer, Model, ParamSet};
use shoal::run::assemble;
use shoal::scenario::Scenario;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// A `python3` that has PyTorch and the format's package: as it is, or with the PyTorch that Shoal brought.
/// Says plainly, past the harness, where there is none.
pub fn python() -> Option<Command> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".libtorch");
    let given = std::env::var("PYTHONPATH").unwrap_or_default();
    let mut said = String::new();
    for path in [given.clone(), format!("{given}:{}", own.display())] {
        let python = || {
            let mut python = Command::new("python3");
            python.env("PYTHONPATH", &path);
            python
        };
        let asked = python()
            .args(["-c", "import torch, safetensors.torch"])
            .output();
        match asked {
            Ok(done) if done.status.success() => return Some(python()),
            Ok(done) => {
                let error = String::from_utf8_lossy(&done.stderr).into_owned();
                said = error.lines().last().unwrap_or_default().to_string();
            }
            Err(error) => said = error.to_string(),
        }
    }
    let line = format!("not tested: python3 has no PyTorch with safetensors ({said})\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}

/// Runs a script in a folder; what it printed.
pub fn ran(mut python: Command, folder: &Path, script: &str) -> String {
    let file = folder.join("script.py");
    fs::write(&file, script).unwrap();
    let done = python.arg(file).current_dir(folder).output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{error}");
    String::from_utf8(done.stdout).unwrap()
}

/// The Python blocks of the page, first to last.
fn blocks() -> Vec<String> {
    let page = fs::read_to_string("docs/python.md").unwrap();
    let blocks = page.split("```python\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_string())
        .collect()
}

/// What a scenario's model begins with, and how many central test samples it classifies rightly.
struct Known {
    model: Arc<Model>,
    initial: Option<ParamSet>,
    /// Normalised test samples and their labels, as raw little-endian numbers.
    inputs: Vec<u8>,
    labels: Vec<u8>,
    correct: u64,
}

/// `params` of a file, or the file that the scenario begins with.
fn known(text: &str, file: &Path, params: Option<&Path>) -> Known {
    let scenario = Scenario::parse(text, file, &[]).unwrap_or_else(|e| panic!("{e:#}"));
    let federation = assemble(&scenario, Default::default()).unwrap();
    let plan = federation.plan();
    let all: Vec<u32> = (0..plan.test.len() as u32).collect();
    let mut inputs = vec![0f32; all.len() * plan.model.input().iter().product::<usize>()];
    let count = inputs.len();
    let batch = plan.test.batch(&all, false).unwrap();
    batch.contiguous().copy_data(&mut inputs, count);
    let initial = plan.initial.clone();
    let of_file = params.map(|path| of_file(&plan.model, path));
    let measured = of_file.or_else(|| initial.clone()).unwrap();
    let tally = evaluate(&plan.model, &measured, &plan.test, &all, 64, None).unwrap();
    Known {
        model: Arc::clone(&plan.model),
        initial,
        inputs: inputs.iter().flat_map(|v| v.to_le_bytes()).collect(),
        labels: plan
            .test
            .labels()
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect(),
        correct: tally.correct,
    }
}

fn of_file(model: &Model, path: &Path) -> ParamSet {
    let start = match model.script() {
        Some(script) => script.initial().clone(),
        None => model.init(1, Initializer::PyTorch).unwrap(),
    };
    let mut file = WeightsFile::open(path).unwrap();
    file.load(&start, Drawn(&[])).unwrap()
}

fn bits(set: &ParamSet) -> Vec<u32> {
    set.as_slice()
        .unwrap()
        .iter()
        .map(|v| v.to_bits())
        .collect()
}

/// Counts what `net` classifies rightly.
const COUNT: &str = "
def correct(net, shape):
    inputs = torch.frombuffer(bytearray(open('inputs', 'rb').read()), dtype=torch.float32)
    labels = torch.frombuffer(bytearray(open('labels', 'rb').read()), dtype=torch.int32)
    with torch.no_grad():
        scores = net(inputs.reshape(-1, *shape))
    return int((scores.argmax(1) == labels).sum())
";

#[test]
fn weights_go_to_pytorch_and_back_and_see_what_they_saw() {
    let Some(python) = python() else {
        return;
    };
    let scenario = fs::read_to_string("scenarios/weights/record.ron").unwrap();
    let text = scenario.replace("rounds: 20", "rounds: 3");
    let run = Ran::of(&text);
    let desk = tempfile::tempdir().unwrap();
    let models = desk.path().join("runs/pretrained/models");
    fs::create_dir_all(&models).unwrap();
    let best = run.path("models/best.safetensors");
    fs::copy(&best, models.join("best.safetensors")).unwrap();
    let before = known(&text, Path::new("s.ron"), Some(&best));
    fs::write(desk.path().join("inputs"), &before.inputs).unwrap();
    fs::write(desk.path().join("labels"), &before.labels).unwrap();
    let blocks = blocks();
    // Both blocks as they stand, then a count.
    let script = format!(
        "{}\n{}\n{COUNT}\nprint(correct(net.layers, (1, 8, 8)))\n",
        blocks[0], blocks[1]
    );
    let said = ran(python, desk.path(), &script);
    assert_eq!(said.trim(), before.correct.to_string());
    let begins = text.replace(
        "data: Digits,",
        "data: Digits, init: File(\"tuned.safetensors\"),",
    );
    let after = known(&begins, &desk.path().join("s.ron"), None);
    let out = of_file(&before.model, &best);
    assert_eq!(bits(after.initial.as_ref().unwrap()), bits(&out));
    assert_eq!(after.correct, before.correct);
}

/// Layers of every kind, at two widths, by the module that is built from `architecture.json`.
#[test]
fn any_model_of_a_run_is_built_in_pytorch_from_what_the_run_says_of_it() {
    let Some(python) = python() else {
        return;
    };
    let text = "(data: Digits, model: [Conv(out: 4, kernel: 3, padding: 1, bias: false), BatchNorm,
        Relu, Residual(body: [Conv(out: 4, kernel: 3, padding: 1), GroupNorm(groups: 1), PRelu()]),
        LayerNorm(), Gelu, AvgPool(size: 2), Residual(body: [Conv(out: 6, kernel: 3, stride: 1, padding: 1)],
        shortcut: [Conv(out: 6, kernel: 1)]), Exit(head: [GlobalAvgPool, Dense(10)]),
        MaxPool(size: 2, stride: 1), Flatten, Dropout(rate: 0.1), Dense(12, false), Sigmoid, Dense(10)],
        training: (epochs: 2, optimizer: Adam(lr: 0.01)), method: HeteroFL(),
        population: [(count: 4, size: Drawn([1, 0.5]))], schedule: (rounds: 3, cohort: 4),
        record: (model: Final))";
    let run = Ran::of(text);
    let full = run.path("models/final.safetensors");
    let known = known(text, Path::new("s.ron"), Some(&full));
    let desk = tempfile::tempdir().unwrap();
    fs::write(desk.path().join("inputs"), &known.inputs).unwrap();
    fs::write(desk.path().join("labels"), &known.labels).unwrap();
    let blocks = blocks();
    let head: String = blocks[0]
        .lines()
        .take(2)
        .map(|line| format!("{line}\n"))
        .collect();
    let folder = run.path("");
    let script = format!(
        "{head}\n{}\n{COUNT}
net = load({folder:?})
print(correct(net, (1, 8, 8)))
print(correct(load({folder:?}, 'final-0.5', 'architecture-0.5'), (1, 8, 8)) > 0)
save_file({{name: tensor.contiguous() for name, tensor in net.state_dict().items()}}, 'back.safetensors')
",
        blocks[2]
    );
    let said = ran(python, desk.path(), &script);
    assert_eq!(said, format!("{}\nTrue\n", known.correct));
    let back = of_file(&known.model, &desk.path().join("back.safetensors"));
    let out = of_file(&known.model, &full);
    assert_eq!(bits(&back), bits(&out));
}

#[test]
fn weights_of_pytorch_go_through_shoal_and_come_back_bit_for_bit() {
    let Some(python) = python() else {
        return;
    };
    let desk = tempfile::tempdir().unwrap();
    let net = "import sys, torch
from safetensors.torch import load_file, save_file
torch.manual_seed(3)
net = torch.nn.Module()
net.layers = torch.nn.Sequential(
    torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(),
    torch.nn.Linear(144, 10))
net.layers(torch.randn(64, 1, 8, 8) * 3 + 1)
";
    let script = format!("{net}save_file(net.state_dict(), 'out.safetensors')");
    ran(python, desk.path(), &script);
    let text =
        "(data: Digits, model: [Conv(out: 4, kernel: 3), BatchNorm, Relu, Flatten, Dense(10)],
        init: File(\"out.safetensors\"), population: [(count: 2)])";
    let known = known(text, &desk.path().join("s.ron"), None);
    let bytes = to_bytes(&known.initial.unwrap(), &serde_json::json!({})).unwrap();
    fs::write(desk.path().join("back.safetensors"), bytes).unwrap();
    let script = format!(
        "{net}back = load_file('back.safetensors')
for name, tensor in net.state_dict().items():
    if name.endswith('running_var'):
        print((back[name] / tensor - 1).abs().max().item() < 1e-6)
    elif not name.endswith('num_batches_tracked'):
        print(torch.equal(back[name], tensor))
"
    );
    let said = ran(self::python().unwrap(), desk.path(), &script);
    assert_eq!(said, "True\n".repeat(8));
}

#[test]
fn a_module_made_in_pytorch_is_trained_here_and_its_weights_go_back() {
    let Some(python) = python() else {
        return;
    };
    let desk = tempfile::tempdir().unwrap();
    let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules");
    let import = format!(
        "import sys, torch
sys.argv = ['make', '.']
sys.path.insert(0, {make:?})
sys.dont_write_bytecode = True
import make
from safetensors.torch import load_file
"
    );
    ran(python, desk.path(), &import);
    for (name, build) in [
        ("resnet18", "make.ResNet18(4)"),
        ("lstm", "make.Lstm()"),
        ("transformer", "make.Transformer()"),
    ] {
        let file = desk.path().join(format!("{name}.pt"));
        let text = format!(
            "(data: Digits, model: TorchScript(file: {file:?}, flops: 50000),
            training: (optimizer: Adam(lr: 0.01)), population: [(count: 4)],
            schedule: (rounds: 2, cohort: 3), record: (model: Final))"
        );
        let run = Ran::of(&text);
        let last = run.path("models/final.safetensors");
        let known = known(&text, Path::new("s.ron"), Some(&last));
        fs::write(desk.path().join("inputs"), &known.inputs).unwrap();
        fs::write(desk.path().join("labels"), &known.labels).unwrap();
        let script = format!(
            "{import}{COUNT}
net = {build}
net.load_state_dict(load_file({last:?}))
print(correct(net.eval(), (1, 8, 8)))
"
        );
        let said = ran(self::python().unwrap(), desk.path(), &script);
        assert_eq!(said.trim(), known.correct.to_string(), "{name}");
        let measured = run.record().totals.unwrap().final_accuracy.unwrap();
        let count = known.labels.len() as f64 / 4.0;
        assert!((measured * count - known.correct as f64).abs() < 1e-6);
    }
}
