//! What is right instead of what people write who know other simulators, or other files.
//!
//! The nearest name helps with a slip of the keyboard. It does not help with `learning_rate`, which has
//! another name and another place here. So there is a table of words known elsewhere: Flower, FLGo,
//! FedScale, FedML, papers' own symbols.

use super::file::{GraphFile, RuleFile, WaitingFile};
use crate::learn::{device_presets, Optimizer};
use crate::model::{presets as models, LayerSpec};
use crate::net::presets as links;
use crate::quantity::nearest;
use crate::text::{names_of, Misread, Misreading};

/// Words for the same thing, and where that is said here.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (
        &[
            "lr", "learning_rate", "client_lr", "local_lr", "eta", "momentum", "weight_decay", "nesterov",
        ],
        "this is the optimizer's: training: (optimizer: Sgd(lr: 0.05, momentum: 0.9, weight_decay: 1e-4))",
    ),
    (
        &["optimizer", "opt", "optim", "client_optimizer"],
        "local training is described in training: (optimizer: Sgd(lr: 0.05))",
    ),
    (
        &["epochs", "epoch", "local_epochs", "num_epochs", "num_local_epochs", "n_epochs", "e"],
        "passes over a client's samples are training: (epochs: 5)",
    ),
    (
        &["batch", "batch_size", "bs", "b", "local_batch_size", "train_batch_size", "minibatch"],
        "the size of a batch is training: (batch: 32)",
    ),
    (
        &["steps", "local_steps", "num_steps", "iterations", "local_iterations"],
        "local steps are training: (steps: 10)",
    ),
    (
        &["clip", "grad_clip", "clip_grad", "max_grad_norm"],
        "the largest gradient norm is training: (clip: 1.0)",
    ),
    (
        &[
            "rounds", "num_rounds", "n_rounds", "global_rounds", "comm_round", "comm_rounds",
            "communication_rounds", "num_server_rounds", "max_rounds", "t",
        ],
        "rounds are counted in schedule: (rounds: 100)",
    ),
    (
        &[
            "clients", "num_clients", "n_clients", "client_num_in_total", "total_clients", "client_count",
            "nodes", "num_nodes", "users", "num_users", "num_supernodes", "devices", "workers_count", "k",
        ],
        "clients are the population: [(count: 100)]",
    ),
    (
        &[
            "cohort", "cohort_size", "clients_per_round", "num_clients_per_round", "client_num_per_round",
            "num_participants", "participants_per_round", "fraction_fit", "fraction", "proportion",
            "sample_ratio", "sampling_rate", "participation_rate", "c",
        ],
        "how many clients a round asks is schedule: (cohort: 10), or a share of them: (cohort: 0.1)",
    ),
    (
        &["min_fit_clients", "min_available_clients", "min_clients", "least_reports", "min_num_clients"],
        "with fewer reports than this a round is abandoned: schedule: (least_reports: 2)",
    ),
    (
        &["deadline", "timeout", "round_timeout", "round_deadline"],
        "when a round ends with what it has is schedule: (deadline: \"60 s\")",
    ),
    (
        &["on_deadline", "drop_stragglers", "partial_work", "drop_percent"],
        "what becomes of clients that would not be done in time is schedule: (on_deadline: ReportPartial)",
    ),
    (
        &["over_selection", "overcommitment", "over_commitment", "over_provision"],
        "how many more clients are asked than reports are wanted is schedule: (over_selection: 1.3)",
    ),
    (
        &["dataset", "datasets", "data_set", "train_data", "task"],
        "where the samples come from is data: Digits",
    ),
    (
        &["network", "net", "arch", "architecture", "backbone", "model_name", "layers"],
        "the network is model: \"mlp\", or a list of layers",
    ),
    (
        &["algorithm", "algo", "strategy", "aggregator", "aggregation", "gradient_policy", "fl_algorithm"],
        "the method is method: FedAvg",
    ),
    (
        &["alpha", "dirichlet", "dirichlet_alpha", "non_iid", "iid", "partitioner", "by", "split", "skew"],
        "how samples are dealt is partition: (by: Dirichlet(alpha: 0.3))",
    ),
    (
        &["holdout", "test_split", "val_split", "local_test_ratio", "train_holdout"],
        "what each client keeps for its own evaluation is partition: (holdout: 0.2)",
    ),
    (
        &["eval_every", "eval_interval", "test_interval", "eval_freq", "eval_frequency", "eval_step"],
        "how often is evaluated is evaluation: (every: 5)",
    ),
    (
        &["random_seed", "rng_seed", "dataseed", "manual_seed"],
        "every random stream follows from seed: 1",
    ),
    (
        &["attack", "attacks", "byzantine", "malicious", "attackers", "poisoning"],
        "who attacks is adversaries: [(who: Share(0.2), attack: SignFlip())]",
    ),
    (
        &["who", "malicious_ratio", "attack_ratio", "malicious_fraction"],
        "who it is about is said where it is: adversaries: [(who: Share(0.2), ..)], faults: [(who: Count(3), ..)]",
    ),
    (
        &["defense", "robust_aggregation", "robust"],
        "the defence is defence: Krum(byzantine: 2)",
    ),
    (
        &["device", "link", "participation", "availability", "leaving", "budget", "size", "tiers", "count"],
        "this is said of a group of clients: population: [(count: 100, device: \"phone-mid\", link: \"4g\", ..)]",
    ),
    (
        &["dropout", "dropout_rate", "drop_rate", "client_dropout", "straggler", "stragglers"],
        "clients that fall out are participation: 0.9 in a group of the population, or an entry of faults",
    ),
    (
        &["mu", "proximal_mu", "prox_mu"],
        "this is the method's: method: FedProx(mu: 0.1)",
    ),
    (
        &["server_lr", "global_lr", "server_learning_rate"],
        "this is the method's: method: FedAvgM(lr: 1.0)",
    ),
    (
        &["epsilon", "delta", "noise_multiplier", "clipping_norm", "dp"],
        "differential privacy is privacy: CentralDp(clip: 1.0, noise: 1.0)",
    ),
    (
        &["gpu", "gpus", "num_gpus", "cuda", "use_cuda", "num_workers", "workers", "num_cpus", "processes"],
        "what a run is computed on is no part of a scenario: shoal run FILE --workers 4 --device cuda:0",
    ),
    (
        &["output", "out", "output_dir", "log_dir", "save_dir", "logger", "results"],
        "where results go is no part of a scenario: shoal run FILE --out DIR",
    ),
    (
        &["edges", "edge_servers", "num_edges", "edge"],
        "servers between are hierarchy: [(name: \"edge\", count: 10)]",
    ),
    (
        &["buffer", "buffer_size", "concurrency", "staleness", "async", "asynchronous"],
        "a server that holds no rounds is schedule: (waiting: FedBuff(concurrency: 40))",
    ),
    (
        &["graph", "gossip", "decentralized", "decentralised", "peers"],
        "a federation without a server is topology: Gossip(graph: Ring)",
    ),
];

/// Words in the bracket of a link or a device, and what they are called here.
const IN_LINK: &[(&[&str], &str)] = &[
    (
        &["bandwidth", "rate", "throughput", "speed"],
        "rates are up: \"10 Mbit/s\" and down: \"50 Mbit/s\"",
    ),
    (
        &["upload", "uplink", "upload_speed", "ul"],
        "did you mean up?",
    ),
    (
        &["download", "downlink", "download_speed", "dl"],
        "did you mean down?",
    ),
    (
        &["delay", "ping", "rtt", "jitter"],
        "the time that a message takes one way is latency: \"20 ms\"",
    ),
    (
        &["packet_loss", "drop", "drop_rate", "loss_rate"],
        "lost packets are loss: Independent(0.01)",
    ),
    (&["name", "kind", "type"], "did you mean preset?"),
];
const IN_DEVICE: &[(&[&str], &str)] = &[
    (
        &[
            "flops",
            "compute",
            "gflops",
            "cpu",
            "computation",
            "compute_speed",
            "rate",
        ],
        "how fast it trains is speed: \"15 GFLOP/s\"",
    ),
    (&["ram", "mem", "gpu_memory"], "did you mean memory?"),
    (
        &["energy", "watts", "battery"],
        "what it draws is power: \"4 W\"",
    ),
    (
        &["latency", "overhead", "delay"],
        "what each task costs before it computes is startup: \"200 ms\"",
    ),
    (&["name", "kind", "type"], "did you mean preset?"),
];

/// What would be right instead of what could not be read.
pub(super) fn hints(misread: &Misread<'_>) -> Option<String> {
    let (bracket, last) = match misread.path.rsplit_once('.') {
        Some((bracket, last)) => (last_name(bracket), last),
        None => ("", misread.path),
    };
    match misread.found {
        Misreading::Field { name, near } => {
            let hint = known_elsewhere(bracket, name)?;
            // Where the bracket has the field under nearly this name, that is all there is to say.
            let told = near.is_some_and(|near| hint.contains(near));
            (!told).then(|| hint.to_string())
        }
        Misreading::Word(name) | Misreading::Named(name) => {
            instead_of_name(misread.path, last, name, misread.found)
        }
        Misreading::Fields => list_of_one(last),
        Misreading::Number if last == "population" => {
            Some("did you mean [(count: ..)], with that number?".into())
        }
        Misreading::Text(text) => instead_of_text(last, text),
        Misreading::Number | Misreading::Other => None,
    }
}

/// The last name of a path, without indices.
fn last_name(path: &str) -> &str {
    let last = path.rsplit('.').next().unwrap_or_default();
    last.split('[').next().unwrap_or_default()
}

fn known_elsewhere(bracket: &str, name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('-', "_");
    let look_up = |table: &'static [(&[&str], &str)]| {
        let row = table
            .iter()
            .find(|(words, _)| words.contains(&name.as_str()));
        row.map(|(_, hint)| *hint)
    };
    match bracket {
        "link" => look_up(IN_LINK),
        "device" => look_up(IN_DEVICE),
        // Words of a scenario as a whole, and of what is said of it in its first brackets.
        "" | "training" | "schedule" | "population" | "partition" | "server" | "evaluation" => {
            look_up(ELSEWHERE)
        }
        _ => None,
    }
}

/// Instead of a name where brackets, a list or a text are wanted.
fn instead_of_name(path: &str, last: &str, name: &str, found: Misreading<'_>) -> Option<String> {
    let written = match found {
        Misreading::Named(_) => format!("{name}(..)"),
        _ => name.to_string(),
    };
    let inside = |field: &str| Some(format!("did you mean ({field}: {written})?"));
    let quoted = |known: &mut dyn Iterator<Item = &str>| {
        nearest(name, known).map(|meant| format!("did you mean {meant:?}, in quotes?"))
    };
    match path {
        "partition" if names_of::<RuleFile>().contains(&name) => return inside("by"),
        "schedule" if names_of::<WaitingFile>().contains(&name) => return inside("waiting"),
        "topology" if names_of::<GraphFile>().contains(&name) => {
            return Some(format!("did you mean Gossip(graph: {written})?"));
        }
        "model" if names_of::<LayerSpec>().contains(&name) => {
            return Some(format!("did you mean a list of layers, [{written}]?"));
        }
        "model" => return quoted(&mut models().iter().map(|preset| preset.name)),
        _ => {}
    }
    match last {
        "training" if names_of::<Optimizer>().contains(&name) => inside("optimizer"),
        "link" => quoted(&mut links().iter().map(|preset| preset.name)),
        "device" => quoted(&mut device_presets().iter().map(|preset| preset.name)),
        _ => None,
    }
}

/// Instead of one element where a list of them is wanted.
fn list_of_one(last: &str) -> Option<String> {
    matches!(
        last,
        "population" | "hierarchy" | "adversaries" | "faults" | "tiers"
    )
    .then(|| "did you mean a list with this one, [(..)]?".into())
}

/// Instead of the name of something that a layer, a list or brackets describe.
fn instead_of_text(last: &str, text: &str) -> Option<String> {
    match last {
        "training" => Some("expected what a client does, such as (epochs: 5, batch: 8)".into()),
        "population" => {
            let device = device_presets().iter().any(|preset| preset.name == text);
            device.then(|| format!("did you mean [(count: 100, device: {text:?})]?"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scenario;
    use super::ELSEWHERE;
    use std::path::Path;

    /// What is said of a scenario with `part` in it, and with `overrides`.
    fn said(part: &str, overrides: &[&str]) -> String {
        let given = |name: &str| part.starts_with(name);
        let rest = [
            ("data:", "data: Digits"),
            ("model:", "model: \"mlp\""),
            ("population:", "population: [(count: 20, link: \"4g\")]"),
        ];
        let rest = rest.iter().filter(|(name, _)| !given(name));
        let rest: Vec<&str> = rest.map(|(_, part)| *part).collect();
        let text = format!("(\n{part},\n{})", rest.join(",\n"));
        let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_string()).collect();
        match Scenario::parse(&text, Path::new("s.ron"), &overrides) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn a_word_that_is_known_elsewhere_is_told_its_place_here() {
        for (part, hint) in [
            ("clients: 50", "clients are the population: [(count: 100)]"),
            (
                "num_clients: 50",
                "clients are the population: [(count: 100)]",
            ),
            ("rounds: 5", "rounds are counted in schedule: (rounds: 100)"),
            (
                "num_rounds: 5",
                "rounds are counted in schedule: (rounds: 100)",
            ),
            (
                "batch_size: 5",
                "the size of a batch is training: (batch: 32)",
            ),
            (
                "local_epochs: 5",
                "passes over a client's samples are training: (epochs: 5)",
            ),
            ("learning_rate: 0.1", "training: (optimizer: Sgd(lr: 0.05"),
            ("training: (lr: 0.1)", "training: (optimizer: Sgd(lr: 0.05"),
            (
                "training: (batch_size: 8)",
                "the size of a batch is training: (batch: 32)",
            ),
            (
                "fraction_fit: 0.1",
                "schedule: (cohort: 10), or a share of them",
            ),
            (
                "schedule: (clients_per_round: 5)",
                "schedule: (cohort: 10), or a share of them",
            ),
            ("strategy: FedAvg", "the method is method: FedAvg"),
            ("dataset: Digits", "data"),
            ("net: \"mlp\"", "the network is model:"),
            (
                "partition: Dirichlet(alpha: 0.3)",
                "did you mean (by: Dirichlet(..))?",
            ),
            ("partition: Natural", "did you mean (by: Natural)?"),
            (
                "partition: (alpha: 0.3)",
                "partition: (by: Dirichlet(alpha: 0.3))",
            ),
            (
                "training: Sgd(lr: 0.1)",
                "did you mean (optimizer: Sgd(..))?",
            ),
            (
                "schedule: FedBuff(concurrency: 4)",
                "did you mean (waiting: FedBuff(..))?",
            ),
            ("topology: Ring", "did you mean Gossip(graph: Ring)?"),
            ("model: Mlp", "did you mean \"mlp\", in quotes?"),
            (
                "model: Dense(10)",
                "did you mean a list of layers, [Dense(..)]?",
            ),
            (
                "population: 50",
                "did you mean [(count: ..)], with that number?",
            ),
            (
                "population: (count: 50)",
                "did you mean a list with this one, [(..)]?",
            ),
            (
                "population: [(count: 5, link: wifi)]",
                "did you mean \"wifi\", in quotes?",
            ),
            (
                "population: [(count: 5, device: laptop)]",
                "did you mean \"laptop\", in quotes?",
            ),
            (
                "population: [(count: 5, link: (bandwidth: \"1 Mbit/s\"))]",
                "rates are up: ",
            ),
            (
                "population: [(count: 5, device: (flops: \"1 GFLOP/s\"))]",
                "speed: \"15 GFLOP/s\"",
            ),
            ("training: (epoch: 3)", "did you mean epochs?"),
            ("seeed: 3", "did you mean seed?"),
        ] {
            let said = said(part, &[]);
            assert!(said.contains(hint), "{part}: {said}");
        }
    }

    #[test]
    fn a_comment_of_another_language_is_told_how_comments_begin_here_with_all_other_mistakes() {
        let text =
            "# my run\n(data: Digits, # ten digits\nmodel: \"mpl\", population: [(count: 20)])";
        let error = Scenario::parse(text, Path::new("s.ron"), &[]).unwrap_err();
        let said: Vec<String> = error.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3, "{error}");
        assert_eq!(
            said[0],
            "s.ron:1:1: a comment begins with `//` here, found `#`"
        );
        assert_eq!(
            said[1],
            "s.ron:2:16: a comment begins with `//` here, found `#`"
        );
        assert!(said[2].starts_with("s.ron:3:8: model: "), "{error}");
    }

    #[test]
    fn a_field_set_on_a_preset_that_is_a_text_alone_makes_brackets_of_it() {
        let part = "name: \"x\"";
        assert_eq!(said(part, &["population[0].link.up=1 Mbit/s"]), "");
        assert_eq!(said(part, &["population[0].link.preset=wifi"]), "");
        let both = [
            "population[0].link.up=1 Mbit/s",
            "population[0].link.latency=9 ms",
        ];
        assert_eq!(said(part, &both), "");
        assert_eq!(
            said(part, &["name.first=me"]),
            "--set name.first=me: name is \"x\", which has no field first"
        );
        let wrong = said(part, &["population[0].link.upp=1 Mbit/s"]);
        assert!(wrong.ends_with("found upp; did you mean up?"), "{wrong}");
        let text = "(data: Digits, model: \"mlp\", population: [(count: 20, link: \"4g\")])";
        let read = |text: &str, set: &[&str]| {
            let set: Vec<String> = set.iter().map(|s| (*s).to_string()).collect();
            Scenario::parse(text, Path::new("s.ron"), &set).unwrap()
        };
        let by_hand = text.replace("\"4g\"", "(preset: \"4g\", up: \"1 Mbit/s\")");
        let set = read(text, &["population[0].link.up=1 Mbit/s"]);
        assert_eq!(set, read(&by_hand, &[]));
        assert_ne!(set, read(text, &[]));
    }

    #[test]
    fn a_word_stands_in_the_table_once() {
        let mut words: Vec<&str> = ELSEWHERE
            .iter()
            .flat_map(|(words, _)| *words)
            .copied()
            .collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
        assert!(words.iter().all(|word| word.to_lowercase() == **word));
    }
}
