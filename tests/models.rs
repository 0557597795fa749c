//! Models that a run writes: read with torch's own reader, they are the models that the run measured.

use super::tiny::{Ran, TINY};
use shoal::learn::evaluate;
use shoal::method::MethodSpec;
use shoal::model::weights::torch_name;
use shoal::model::{Model, ParamSet, Part};
use shoal::run::assemble;
use shoal::run::verify::altered;
use shoal::scenario::Scenario;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tch::Tensor;

/// The names of the models that a run has kept.
fn kept(ran: &Ran) -> BTreeSet<String> {
    let files = ran.record().files.into_iter();
    files
        .filter_map(|file| Some(file.name.strip_prefix("models/")?.to_string()))
        .collect()
}

/// A model as torch reads it from a file: the mean square of a batch normalisation is made of its variance.
fn read(model: &Model, file: &Path) -> ParamSet {
    let tensors = Tensor::read_safetensors(file).unwrap();
    let entries = model.layout().entries();
    assert_eq!(tensors.len(), entries.len(), "{}", file.display());
    let mut values: Vec<f32> = Vec::new();
    for entry in entries {
        let name = torch_name(entry);
        let (_, tensor) = tensors
            .iter()
            .find(|(found, _)| *found == name)
            .unwrap_or_else(|| panic!("{name} is not in {}", file.display()));
        let shape: Vec<i64> = entry.shape.iter().map(|&n| n as i64).collect();
        assert_eq!(tensor.size(), shape, "{name}");
        let mut own = vec![0f32; entry.len];
        tensor.copy_data(&mut own, entry.len);
        if entry.role.part == Part::Square {
            let means = values[entry.offset - entry.len..].to_vec();
            own.iter_mut().zip(means).for_each(|(v, m)| *v += m * m);
        }
        values.extend(own);
    }
    ParamSet::from_slice(model.layout(), &values).unwrap()
}

/// The accuracy of the full model in a file on the central test data.
fn accuracy(text: &str, ran: &Ran, file: &str) -> f64 {
    let scenario = Scenario::parse(text, Path::new("test.ron"), &[]).unwrap();
    let federation = assemble(&scenario, Default::default()).unwrap();
    let plan = federation.plan();
    let params = read(&plan.model, &ran.path(&format!("models/{file}")));
    let all: Vec<u32> = (0..plan.test.len() as u32).collect();
    let tally = evaluate(&plan.model, &params, &plan.test, &all, 64, None).unwrap();
    tally.accuracy()
}

/// Two accuracies that are the same number of samples: one was read from a decimal.
#[track_caller]
fn same(a: Option<f64>, b: Option<f64>) {
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

fn with(text: &str, record: &str) -> String {
    text.replacen('(', &format!("(record: ({record}), "), 1)
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn the_final_model_is_the_one_that_was_measured_last_and_changes_no_hash() {
    let text = with(TINY, "model: Final");
    let ran = Ran::of(&text);
    assert_eq!(kept(&ran), set(&["architecture.json", "final.safetensors"]));
    let record = ran.record();
    let measured = record.totals.unwrap().final_accuracy;
    same(Some(accuracy(&text, &ran, "final.safetensors")), measured);
    assert_eq!(record.trace_hash, Ran::of(TINY).record().trace_hash);
}

#[test]
fn the_best_model_is_that_of_the_best_round() {
    // One client a round, each with few classes: accuracy goes up and down.
    let text = "(seed: 3, data: Digits, partition: (by: Labels(per_client: 2)),
        model: [Flatten, Dense(10)], training: (optimizer: Sgd(lr: 0.5)),
        population: [(count: 8)], schedule: (rounds: 9, cohort: 1))";
    let text = with(text, "model: Best");
    let ran = Ran::of(&text);
    assert_eq!(kept(&ran), set(&["architecture.json", "best.safetensors"]));
    let (best, round) = ran.record().totals.unwrap().best_accuracy.unwrap();
    assert!(round < 9, "the last round is the best: {round}");
    same(Some(accuracy(&text, &ran, "best.safetensors")), Some(best));
    let bytes = ran.bytes("models/best.safetensors");
    let notes = format!("\\\"round\\\":{round},");
    let header = String::from_utf8_lossy(&bytes[8..400]).into_owned();
    assert!(header.contains(&notes), "{notes} is not in {header}");
}

#[test]
fn models_of_every_other_round_are_those_that_were_measured_at_every_width() {
    let text = "(data: Digits, model: [Flatten, Dense(12), Relu, Dense(10)], method: HeteroFL(),
        training: (optimizer: Sgd(lr: 0.1)), population: [(count: 6, size: Drawn([1, 0.5]))],
        schedule: (rounds: 5, cohort: 4), record: (model: Every(2)))";
    let ran = Ran::of(text);
    let files = [
        "architecture.json",
        "architecture-0.5.json",
        "final.safetensors",
        "final-0.5.safetensors",
        "round-00000002.safetensors",
        "round-00000002-0.5.safetensors",
        "round-00000004.safetensors",
        "round-00000004-0.5.safetensors",
    ];
    assert_eq!(kept(&ran), set(&files));
    for row in ran.rounds() {
        let file = match row.round {
            5 => "final.safetensors".to_string(),
            round if round % 2 == 0 => format!("round-{round:08}.safetensors"),
            _ => continue,
        };
        same(Some(accuracy(text, &ran, &file)), row.accuracy);
    }
    // The narrower network has shapes of its own.
    let scenario = Scenario::parse(text, Path::new("test.ron"), &[]).unwrap();
    let federation = assemble(&scenario, Default::default()).unwrap();
    let [_, half] = federation.sizes().levels() else {
        panic!("two widths");
    };
    assert_eq!(half.model.layout().entries()[0].shape, [6, 64]);
    read(&half.model, &ran.path("models/final-0.5.safetensors"));
    let said = ran.bytes("models/architecture-0.5.json");
    let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said["size"], 0.5);
    assert_eq!(said["layers"][1]["out"], 6);
}

/// Each method by its name, with what it needs; whatever says that it leaves a model leaves one.
#[test]
fn every_method_leaves_the_models_that_it_says_it_leaves() {
    for (name, _) in MethodSpec::ALL {
        let text = |record: &str| {
            let text = format!(
                "(data: Digits, public: (share: 0.05, select: 0.25), partition: (holdout: 0.2),
                model: [Flatten, Dense(12), Relu, Dense(10)],
                training: (optimizer: Sgd(lr: 0.05)), population: [(count: 4)], method: {name}(),
                schedule: (rounds: 2, cohort: 3))"
            );
            with(&text, record)
        };
        let mut left = 0;
        for record in ["model: Final", "model: Clients"] {
            let text = text(record);
            let parsed = Scenario::parse(&text, Path::new("s.ron"), &[]);
            let scenario = match parsed {
                Ok(scenario) => scenario,
                Err(problems) => {
                    let said = problems.iter().map(|p| p.path.clone()).collect::<Vec<_>>();
                    assert_eq!(said, ["record.model"], "{name}: {problems:#}");
                    continue;
                }
            };
            left += 1;
            let leaves = scenario.method.method().leaves();
            let ran = Ran::of(&text);
            let kept = kept(&ran);
            assert_eq!(kept.contains("final.safetensors"), leaves.global, "{name}");
            let own = kept.iter().filter(|file| file.starts_with("client-"));
            let took_part: BTreeSet<u32> = ran.clients().iter().map(|row| row.client).collect();
            let expected = match record {
                "model: Clients" => took_part.len(),
                _ => 0,
            };
            assert_eq!(own.count(), expected, "{name}: {kept:?}");
            let federation = assemble(&scenario, Default::default()).unwrap();
            for file in kept.iter().filter(|file| file.ends_with(".safetensors")) {
                read(
                    &federation.plan().model,
                    &ran.path(&format!("models/{file}")),
                );
            }
        }
        assert!(left > 0, "{name} leaves nothing");
    }
}

#[test]
fn a_clients_own_model_is_the_one_that_was_measured_on_its_held_out_samples() {
    let text = "(data: Digits, partition: (holdout: 0.2), model: [Flatten, Dense(10)],
        training: (optimizer: Sgd(lr: 0.1)), population: [(count: 5)], method: LocalOnly(),
        schedule: (rounds: 3, cohort: 5), evaluation: (per_client: true),
        record: (model: Clients))";
    let ran = Ran::of(text);
    let scenario = Scenario::parse(text, Path::new("test.ron"), &[]).unwrap();
    let federation = assemble(&scenario, Default::default()).unwrap();
    let plan = federation.plan();
    for row in ran.clients().iter().filter(|row| row.round == 3) {
        let file = format!("models/client-{:08}.safetensors", row.client);
        let params = read(&plan.model, &ran.path(&file));
        let own = plan.holdout.client(row.client as usize);
        let tally = evaluate(&plan.model, &params, &plan.train, own, 64, None).unwrap();
        assert_eq!(Some(tally.accuracy()), row.trained_accuracy, "{file}");
    }
}

#[test]
fn without_a_server_the_mean_that_was_measured_and_the_clients_models_are_kept() {
    let text = "(data: Digits, model: [Flatten, Dense(10)], training: (optimizer: Sgd(lr: 0.1)),
        population: [(count: 5)], topology: Gossip(graph: Ring), schedule: (rounds: 4))";
    let ran = Ran::of(&with(text, "model: Clients"));
    let clients = (0..5).map(|client| format!("client-{client:08}.safetensors"));
    let clients: BTreeSet<String> = clients.collect();
    let kept = kept(&ran);
    assert!(kept.is_superset(&clients), "{kept:?}");
    let last = ran.rounds().last().unwrap().accuracy;
    same(Some(accuracy(text, &ran, "final.safetensors")), last);
    // When all have mixed for the last time, the final model is the mean of the clients'.
    let scenario = Scenario::parse(text, Path::new("test.ron"), &[]).unwrap();
    let federation = assemble(&scenario, Default::default()).unwrap();
    let model = &federation.plan().model;
    let own = clients
        .iter()
        .map(|file| read(model, &ran.path(&format!("models/{file}"))));
    let own: Vec<ParamSet> = own.collect();
    let mean = read(model, &ran.path("models/final.safetensors"));
    for (place, mean) in mean.as_slice().unwrap().iter().enumerate() {
        let values = own
            .iter()
            .map(|set| f64::from(set.as_slice().unwrap()[place]));
        let expected = values.sum::<f64>() / 5.0;
        assert!((f64::from(*mean) - expected).abs() < 1e-6);
    }
    let ran = Ran::of(&with(text, "model: Best"));
    let (best, _) = ran.record().totals.unwrap().best_accuracy.unwrap();
    same(Some(accuracy(text, &ran, "best.safetensors")), Some(best));
}

#[test]
fn servers_that_do_not_wait_and_servers_above_servers_keep_their_model() {
    for more in [
        "schedule: (rounds: 4, waiting: FedAsync(concurrency: 3))",
        "hierarchy: [(name: \"edge\", count: 2, link: \"lan\")], schedule: (rounds: 2, cohort: 4)",
    ] {
        let text = format!(
            "(data: Digits, model: [Conv(out: 3, kernel: 3), BatchNorm, Flatten, Dense(10)],
            training: (optimizer: Sgd(lr: 0.1)), population: [(count: 6)], {more},
            record: (model: Final))"
        );
        let ran = Ran::of(&text);
        let measured = ran.record().totals.unwrap().final_accuracy;
        same(Some(accuracy(&text, &ran, "final.safetensors")), measured);
    }
}

#[test]
fn a_model_that_was_changed_after_the_run_is_named() {
    let ran = Ran::of(&with(TINY, "model: Final"));
    assert_eq!(altered(&ran.path("")).unwrap(), [""; 0]);
    let file = ran.path("models/final.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(
        altered(&ran.path("")).unwrap(),
        ["models/final.safetensors: its content is not what the run wrote"]
    );
}

/// The weights that a scenario's model begins with.
fn beginning(text: &str, file: &Path) -> (Arc<Model>, ParamSet) {
    let scenario = Scenario::parse(text, file, &[]).unwrap_or_else(|e| panic!("{e:#}"));
    let federation = assemble(&scenario, Default::default()).unwrap();
    let plan = federation.plan();
    let drawn = || plan.model.init(plan.seed, plan.init).unwrap();
    let initial = plan.initial.clone().unwrap_or_else(drawn);
    (Arc::clone(&plan.model), initial)
}

fn bits(set: &ParamSet) -> Vec<u32> {
    set.as_slice()
        .unwrap()
        .iter()
        .map(|v| v.to_bits())
        .collect()
}

#[test]
fn a_run_begins_with_the_model_that_another_ended_with_bit_for_bit() {
    let ran = Ran::of(&with(TINY, "model: Final"));
    let begins = format!(
        "Scenario(init: File({:?}), {}",
        ran.path("models/final.safetensors"),
        &TINY["Scenario(".len()..]
    );
    let (model, initial) = beginning(&begins, Path::new("test.ron"));
    let written = read(&model, &ran.path("models/final.safetensors"));
    assert_eq!(bits(&initial), bits(&written));
    // Nothing is learned without a rate: what comes out is what went in, and does as well.
    let still = with(&begins.replace("lr: 0.1", "lr: 0"), "model: Final");
    let again = Ran::of(&still);
    let (first, second) = (ran.record().totals.unwrap(), again.record().totals.unwrap());
    assert_eq!(first.final_accuracy, second.final_accuracy);
    let back = read(&model, &again.path("models/final.safetensors"));
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * a.abs().max(1e-3);
    let both = back
        .as_slice()
        .unwrap()
        .iter()
        .zip(written.as_slice().unwrap());
    assert!(
        both.into_iter().all(close),
        "a mean of equal models is rounded, no more"
    );
    // Going on is better than beginning.
    let on = Ran::of(&begins).record().totals.unwrap();
    assert!(on.final_accuracy > first.final_accuracy);
}

#[test]
fn a_new_head_is_drawn_and_the_rest_comes_from_the_file() {
    let text = |head: &str, rest: &str| {
        format!(
            "(seed: 4, data: Digits, model: [Flatten, Dense(12), Relu, {head}Dense(10)],
            training: (optimizer: Sgd(lr: 0.1)), population: [(count: 4)],
            schedule: (rounds: 1, cohort: 4), {rest})"
        )
    };
    let ran = Ran::of(&text("", "record: (model: Final)"));
    let file = format!("file: {:?}", ran.path("models/final.safetensors"));
    let new = |rest: &str| text("Dense(6), Relu, ", &format!("init: File({file}{rest})"));
    let problems = Scenario::parse(&new(""), Path::new("s.ron"), &[]).unwrap_err();
    let said: Vec<&str> = problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(said, ["init"; 4], "{problems:#}");
    let drawn = new(", draw: [\"layers.3\", \"layers.5\"], by: HeNormal");
    let (model, initial) = beginning(&drawn, Path::new("s.ron"));
    let (_, by_rule) = beginning(
        &text("Dense(6), Relu, ", "init: HeNormal"),
        Path::new("s.ron"),
    );
    let source = Tensor::read_safetensors(ran.path("models/final.safetensors")).unwrap();
    for entry in model.layout().entries() {
        let range = entry.offset..entry.offset + entry.len;
        let found = &bits(&initial)[range.clone()];
        if torch_name(entry).starts_with("layers.1.") {
            let (_, tensor) = source
                .iter()
                .find(|(n, _)| *n == torch_name(entry))
                .unwrap();
            let mut own = vec![0f32; entry.len];
            tensor.copy_data(&mut own, entry.len);
            let own: Vec<u32> = own.iter().map(|v| v.to_bits()).collect();
            assert_eq!(found, own, "{}", entry.name);
        } else {
            assert_eq!(found, &bits(&by_rule)[range], "{}", entry.name);
        }
    }
}

/// Everything that pulls at weights that are not to move: decay, momentum, noise, rounding of means,
/// statistics, servers between, servers that do not wait.
#[test]
fn frozen_layers_keep_their_bits_in_every_method_that_takes_them() {
    let frozen = |name: &str| name.starts_with("layers.0.") || name.starts_with("layers.1.");
    let text = |rest: &str| {
        format!(
            "(seed: 5, data: Digits, public: (share: 0.1),
            model: [Conv(out: 4, kernel: 3), BatchNorm, Relu, Flatten, Dense(12), Relu, Dense(10)],
            partition: (by: Dirichlet(alpha: 0.5), min_per_client: 4),
            freeze: [\"layers.0\", \"layers.1\"], {rest}, record: (model: MODEL))"
        )
    };
    let sgd = "training: (clip: 1, optimizer: Sgd(lr: 0.1, momentum: 0.5, weight_decay: 0.01))";
    let adam = "training: (optimizer: Adam(lr: 0.01, weight_decay: 0.01))";
    let who = "population: [(count: 6)]";
    let sizes = "population: [(count: 6, size: Drawn([1, 0.5]))]";
    let two = "schedule: (rounds: 3, cohort: 4)";
    let mut held = 0;
    let mut try_one = |rest: &str, model: &str| -> bool {
        let text = text(rest).replace("MODEL", model);
        let text = match rest.contains("privacy") {
            true => text.replace("BatchNorm", "GroupNorm(groups: 2)"),
            false => text,
        };
        let parsed = Scenario::parse(&text, Path::new("s.ron"), &[]);
        let problems = parsed.as_ref().err().map(|problems| {
            let paths = problems.iter().map(|problem| problem.path.clone());
            paths.collect::<BTreeSet<String>>()
        });
        if let Some(paths) = problems {
            assert!(
                paths
                    .iter()
                    .any(|path| ["freeze", "record.model", "method"].contains(&path.as_str())),
                "{rest}: {:#}",
                parsed.unwrap_err()
            );
            return false;
        }
        let (model, start) = beginning(&text, Path::new("s.ron"));
        let ran = Ran::of(&text);
        let files = kept(&ran).into_iter();
        let files = files.filter(|file| file.ends_with(".safetensors") && !file.contains("-0.5"));
        let files: Vec<String> = files.collect();
        assert!(!files.is_empty());
        for file in files {
            let tensors = Tensor::read_safetensors(ran.path(&format!("models/{file}"))).unwrap();
            let mut moved = false;
            for entry in model.layout().entries() {
                let name = torch_name(entry);
                let (_, tensor) = tensors.iter().find(|(found, _)| *found == name).unwrap();
                let mut own = vec![0f32; entry.len];
                tensor.copy_data(&mut own, entry.len);
                let begun = &start.as_slice().unwrap()[entry.offset..entry.offset + entry.len];
                let same = own
                    .iter()
                    .zip(begun)
                    .all(|(a, b)| a.to_bits() == b.to_bits());
                // It begins with mean 0 and mean square 1: the variance is the mean square.
                assert!(same || !frozen(&name), "{rest}: {name} in {file} has moved");
                moved |= !same;
            }
            assert!(moved, "{rest}: nothing has moved");
        }
        held += 1;
        true
    };
    for (name, _) in MethodSpec::ALL {
        let method = format!("method: {name}()");
        let taken = ["Final", "Clients"].map(|model| {
            try_one(&format!("{sgd}, {who}, {two}, {method}"), model)
                || try_one(&format!("{adam}, {who}, {two}, {method}"), model)
                || try_one(
                    &format!("training: (optimizer: Sgd(lr: 0.1)), {who}, {two}, {method}"),
                    model,
                )
        });
        let refuses = [
            "DepthFL",
            "FedConv",
            "FedMD",
            "FjORD",
            "Hermes",
            "LotteryFL",
            "TailorFL",
        ];
        assert_ne!(taken.contains(&true), refuses.contains(name), "{name}");
    }
    for rest in [
        format!("{sgd}, {sizes}, {two}, method: HeteroFL()"),
        format!("{sgd}, {sizes}, {two}, method: FedRolex()"),
        format!("{sgd}, {who}, {two}, method: FedAvg(fine_tune: (epochs: 2))"),
        // Noise does not go with statistics.
        format!("{sgd}, {who}, {two}, privacy: CentralDp(clip: 1, noise: 1, delta: 1e-5)"),
        format!("{sgd}, {who}, {two}, compression: TopK(share: 0.1)"),
        format!("{sgd}, {who}, {two}, defence: Median()"),
        format!("{sgd}, {who}, schedule: (rounds: 4, waiting: FedAsync(concurrency: 3))"),
        format!(
            "{sgd}, {who}, schedule: (rounds: 2, cohort: 4),
            hierarchy: [(name: \"edge\", count: 2, link: \"lan\", rounds: 2)]"
        ),
    ] {
        assert!(try_one(&rest, "Final"), "{rest}");
    }
    assert!(held > 20, "{held}");
}
