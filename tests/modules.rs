//! Networks of the user's own: TorchScript modules in whole runs.

use super::tiny::Ran;
use shoal::scenario::Scenario;
use std::path::{Path, PathBuf};
use tch::Tensor;

fn text(file: &Path, rest: &str) -> String {
    format!(
        "(seed: 2, data: Digits, model: TorchScript(file: {file:?}, flops: 50000),
        training: (epochs: 2, batch: 16, optimizer: Adam(lr: 0.01)),
        population: [(count: 4)], {rest})"
    )
}

fn module(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(format!("tests/modules/{name}.pt"))
}

/// The accuracy of chance is a tenth.
#[test]
fn modules_learn_and_do_so_alike_on_any_number_of_workers() {
    for name in ["resnet18", "lstm", "transformer"] {
        let text = text(
            &module(name),
            "schedule: (rounds: 3, cohort: 4), record: (model: Final)",
        );
        let ran = [1, 2].map(|workers| Ran::on(workers, &text));
        let [one, two] = ran.map(|ran| {
            let finished = ran
                .result
                .as_ref()
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let hash = finished.hash;
            let accuracy = ran.record().totals.unwrap().final_accuracy.unwrap();
            (hash, accuracy, ran.bytes("models/final.safetensors"))
        });
        assert!(one == two, "{name} depends on the number of workers");
        assert!(one.1 > 0.3, "{name}: {}", one.1);
    }
}

#[test]
fn frozen_parameters_of_a_module_keep_their_bits_and_weights_come_from_a_file() {
    let rest = "freeze: [\"blocks.0\", \"stem.0\"], schedule: (rounds: 2, cohort: 3), record: (model: Final)";
    let ran = Ran::of(&text(&module("resnet18"), rest));
    let begun = tch::CModule::load(module("resnet18")).unwrap();
    let ended = Tensor::read_safetensors(ran.path("models/final.safetensors")).unwrap();
    let (mut kept, mut moved) = (0, 0);
    for (name, tensor) in begun.named_parameters().unwrap() {
        let (_, found) = ended.iter().find(|(found, _)| *found == name).unwrap();
        let same = *found == tensor.detach();
        let frozen = name.starts_with("blocks.0.") || name.starts_with("stem.0.");
        assert_eq!(same, frozen, "{name}");
        kept += usize::from(frozen);
        moved += usize::from(!same);
    }
    assert!(kept == 7 && moved > 30, "{kept} {moved}");
    // Another run goes on where this one ended.
    let file = ran.path("models/final.safetensors");
    let on = text(
        &module("resnet18"),
        &format!("init: File({file:?}), schedule: (rounds: 1, cohort: 4)"),
    );
    let first = ran.record().totals.unwrap().final_accuracy.unwrap();
    let accuracy = Ran::of(&on)
        .record()
        .totals
        .unwrap()
        .final_accuracy
        .unwrap();
    assert!(accuracy > first - 0.1, "{accuracy} after {first}");
}

#[test]
fn methods_servers_and_topologies_that_average_models_take_a_module() {
    for rest in [
        "method: Scaffold(), training: (optimizer: Sgd(lr: 0.1)), schedule: (rounds: 1, cohort: 2)",
        "method: FedAdam(), schedule: (rounds: 1, cohort: 2)",
        "method: FedProx(mu: 0.1), schedule: (rounds: 1, cohort: 2)",
        "method: LocalOnly(), schedule: (rounds: 1, cohort: 2), record: (model: Clients)",
        "topology: Gossip(graph: Ring), schedule: (rounds: 1)",
        "compression: TopK(share: 0.1), defence: Median(), schedule: (rounds: 1, cohort: 3)",
        "compute: Modelled, schedule: (rounds: 1, cohort: 2)",
        "schedule: (rounds: 2, waiting: FedAsync(concurrency: 2))",
    ] {
        let text = text(&module("linear"), rest);
        let text = match rest.contains("training") {
            true => text.replacen(
                "training: (epochs: 2, batch: 16, optimizer: Adam(lr: 0.01)),",
                "",
                1,
            ),
            false => text,
        };
        let rounds = Ran::of(&text).rounds().len();
        assert!(rounds > 0, "{rest}");
    }
}

/// As methods say of themselves: those that read layers are refused at the method, all others are not.
#[test]
fn every_method_that_reads_layers_refuses_a_module_with_words() {
    for (name, _) in shoal::method::MethodSpec::ALL {
        let rest = format!(
            "method: {name}(), public: (share: 0.1, select: 0.2), partition: (holdout: 0.2),
            schedule: (rounds: 1, cohort: 2)"
        );
        let text = text(&module("linear"), &rest).replace("Adam(lr: 0.01)", "Sgd(lr: 0.1)");
        let text = text.replace("epochs: 2, batch: 16, ", "");
        let parsed = Scenario::parse(&text, Path::new("s.ron"), &[]);
        let reads = [
            "HeteroFL",
            "FedRolex",
            "FedDropout",
            "FjORD",
            "DepthFL",
            "FedConv",
            "FedMD",
            "TailorFL",
            "Hermes",
            "LotteryFL",
        ];
        match parsed {
            Ok(_) => assert!(!reads.contains(name), "{name}"),
            Err(problems) => {
                assert!(reads.contains(name), "{name}: {problems:#}");
                let said = problems.to_string();
                assert!(said.contains("has to know the layers"), "{name}: {said}");
            }
        }
    }
}
