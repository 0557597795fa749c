//! What goes with what: every method with every layer, defence, attack, kind of server and kind of compute.
//! Whether a pair is taken follows from what its two sides say of themselves; here every pair is
//! asked for, every one that is taken is run, and the table in the docs is what came of it.

use shoal::attack::AttackSpec;
use shoal::compress::Compression;
use shoal::defend::DefenceSpec;
use shoal::federation::{DeviceWorker, Federation, Record};
use shoal::learn::HostDevice;
use shoal::method::MethodSpec;
use shoal::sim::{Delivery, Ending, Key, Observe, Recorder, RecorderError, Simulation, Workers};
use shoal::{run::assemble, scenario::Scenario};
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

/// Counts completed rounds and keeps why a run could not go on.
#[derive(Default)]
struct Rounds {
    completed: u32,
    fatal: Option<String>,
}

impl Recorder<Federation> for Rounds {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _: Key, record: Record) -> Result<(), RecorderError> {
        match record {
            Record::Round(row) if row.outcome == Default::default() => self.completed += 1,
            Record::Fatal(reason) => self.fatal = Some(reason),
            _ => {}
        }
        Ok(())
    }
}

/// What stands in the place of a part: a field of the scenario for each name.
type Part = (&'static str, Vec<(String, String)>);

fn parts() -> Vec<Part> {
    let named = |all: &[(&str, &str)], field: &dyn Fn(&str) -> String| {
        let names = all.iter();
        names
            .map(|(name, _)| (name.to_string(), field(name)))
            .collect()
    };
    let one = |name: &str, field: &str| vec![(name.to_string(), field.to_string())];
    let settings = |name: &str| match name {
        "Krum" | "MultiKrum" | "Bulyan" => format!("{name}(byzantine: 1)"),
        "LabelFlip" => "LabelFlip(source: 1, target: 2)".to_string(),
        name => format!("{name}()"),
    };
    vec![
        (
            "compression",
            named(Compression::ALL, &|name| {
                let feedback = name
                    .parse::<Compression>()
                    .is_ok_and(|c| c.scheme().feedback());
                let off = if feedback {
                    "error_feedback: false"
                } else {
                    ""
                };
                format!("compression: {name}({off})")
            }),
        ),
        (
            "with error feedback",
            one("TopK", "compression: TopK(error_feedback: true)"),
        ),
        (
            "central privacy",
            one("CentralDp", "privacy: CentralDp(clip: 1.0, noise: 1.0)"),
        ),
        (
            "local privacy",
            one("LocalDp", "privacy: LocalDp(clip: 1.0, noise: 1.0)"),
        ),
        (
            "secure aggregation",
            one("SecAgg", "secure_aggregation: SecAgg(threshold: 0.5)"),
        ),
        (
            "defences",
            named(DefenceSpec::ALL, &|name| {
                format!("defence: {}", settings(name))
            }),
        ),
        (
            "attacks",
            named(AttackSpec::ALL, &|name| {
                format!("adversaries: [(who: Count(1), attack: {})]", settings(name))
            }),
        ),
        ("widths", one("0.5", "#width")),
        (
            "servers between",
            one(
                "hierarchy",
                "hierarchy: [(name: \"edge\", count: 2, link: \"lan\")]",
            ),
        ),
        (
            "FedBuff",
            one("FedBuff", "#FedBuff(concurrency: 4, buffer: 2)"),
        ),
        ("FedAsync", one("FedAsync", "#FedAsync(concurrency: 4)")),
        ("gossip", one("Gossip", "topology: Gossip(graph: Ring)")),
        (
            "modelled compute",
            one(
                "Modelled",
                "compute: Modelled, evaluation: (every: 1000, central: false)",
            ),
        ),
    ]
}

/// Eight clients with a method and something beside it.
fn scenario(method: &str, beside: &str) -> Result<Scenario, String> {
    scenario_with(method, beside, "Flatten, Dense(12), Relu")
}

/// With a network that begins with these layers.
fn scenario_with(method: &str, beside: &str, layers: &str) -> Result<Scenario, String> {
    let (further, schedule, size) = match beside.strip_prefix('#') {
        None => (beside, "rounds: 2, cohort: 8".to_string(), ""),
        Some("width") => ("", "rounds: 2, cohort: 8".to_string(), ", size: 0.5"),
        Some(waiting) => ("", format!("rounds: 2, waiting: {waiting}"), ""),
    };
    let schedule = match further.starts_with("topology") {
        true => "rounds: 2".to_string(),
        false => schedule,
    };
    let (settings, exit) = match method {
        "FedConv" => (
            "tune: 1, filter: 2, filter_later: 1, tune_clients: 1, aggregate: 2",
            "",
        ),
        "FedMD" => ("transfer_public_epochs: 1, transfer_private_epochs: 1", ""),
        "PublicOnly" => ("epochs: 1", ""),
        "DepthFL" => ("", "Exit(head: [Dense(10)]), Dense(8), Relu, "),
        _ => ("", ""),
    };
    let text = format!(
        "Scenario(
            data: Digits,
            public: (share: 0.01, select: 0.25),
            partition: (by: Shared(per_client: 20), holdout: 0.2),
            model: [{layers}, {exit}Dense(10)],
            training: (steps: 2, batch: 10, optimizer: Sgd(lr: 0.1)),
            population: [
                (name: \"whole\", count: 4, device: \"laptop\", link: \"ideal\"),
                (name: \"other\", count: 4, device: \"laptop\", link: \"ideal\"{size}),
            ],
            method: {method}({settings}),
            schedule: ({schedule}),
            {further}
        )"
    );
    Scenario::parse(&text, Path::new("pair.ron"), &[]).map_err(|wrong| wrong.to_string())
}

/// Runs it, or says why it could not be.
fn run(scenario: &Scenario) -> Result<u32, String> {
    let federation = assemble(scenario, HostDevice::Cpu).map_err(|error| error.to_string())?;
    let workers = Workers::start(2, DeviceWorker::new).map_err(|error| error.to_string())?;
    let simulation = Simulation {
        world: Arc::new(federation),
        seed: scenario.seed,
        shards: 1,
    };
    let mut rounds = Rounds::default();
    let never = AtomicBool::new(false);
    let summary = simulation.run(&workers, &mut rounds, &never);
    let summary = summary.map_err(|error| error.to_string())?;
    match (rounds.fatal, summary.ending) {
        (Some(reason), _) => Err(reason),
        (None, Ending::Finished) => Ok(rounds.completed),
        (None, other) => Err(format!("{other:?}")),
    }
}

/// The table of the docs: a method a line, and in each column how much of a part goes with it.
fn table(parts: &[Part], taken: &[(String, Vec<Vec<bool>>)]) -> String {
    let mut table = String::from("| method |");
    for (part, names) in parts {
        let of = if names.len() > 1 {
            format!(" ({})", names.len())
        } else {
            String::new()
        };
        write!(table, " {part}{of} |").unwrap();
    }
    table += &format!("\n|---|{}\n", "---|".repeat(parts.len()));
    for (method, columns) in taken {
        write!(table, "| `{method}` |").unwrap();
        for (column, (_, names)) in columns.iter().zip(parts) {
            let count = column.iter().filter(|taken| **taken).count();
            let missing = || {
                let missing = column.iter().zip(names).filter(|(taken, _)| !**taken);
                missing
                    .map(|(_, (name, _))| name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let found = || {
                let found = column.iter().zip(names).filter(|(taken, _)| **taken);
                found
                    .map(|(_, (name, _))| name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let cell = match count {
                0 => "–".to_string(),
                count if count == names.len() => "yes".to_string(),
                count if 2 * count > names.len() => format!("all but {}", missing()),
                _ => found(),
            };
            write!(table, " {cell} |").unwrap();
        }
        table.push('\n');
    }
    table
}

/// Layers of the registry have tensors of their own shapes: a vector with a value for each channel, and images
/// with a value for each value of a sample.
#[test]
fn every_method_trains_layers_of_the_registry_at_every_width_that_it_takes() {
    let mut narrow = 0;
    for (method, _) in MethodSpec::ALL {
        for beside in ["", "#width"] {
            let plain = scenario_with(method, beside, "Flatten, Dense(12), Relu");
            let layers =
                "Conv(out: 4, kernel: 3), LayerNorm, PRelu(), MaxPool(size: 2), Flatten, Gelu, \
                          Dense(12), LayerNorm";
            let found = scenario_with(method, beside, layers);
            assert_eq!(plain.is_ok(), found.is_ok(), "{method}{beside}: {found:?}");
            let Ok(scenario) = found else { continue };
            narrow += u32::from(!beside.is_empty());
            let rounds = run(&scenario);
            assert_eq!(rounds, Ok(2), "{method}{beside}");
        }
    }
    assert!(narrow >= 5, "{narrow}");
}

#[test]
fn every_pair_that_is_taken_runs_and_the_docs_have_the_table() {
    let parts = parts();
    let (mut taken, mut wrong, mut ran) = (Vec::new(), String::new(), 0);
    for (method, _) in MethodSpec::ALL {
        let alone = scenario(method, "").unwrap_or_else(|error| panic!("{method}: {error}"));
        assert!(
            run(&alone).is_ok_and(|rounds| rounds == 2),
            "{method} alone"
        );
        let mut columns = Vec::new();
        for (_, names) in &parts {
            let mut column = Vec::new();
            for (name, beside) in names {
                let pair = scenario(method, beside);
                column.push(pair.is_ok());
                let Ok(scenario) = pair else { continue };
                ran += 1;
                match run(&scenario) {
                    // A round in which every report is refused is no round of a pair that works.
                    Ok(rounds) if rounds >= 1 => {}
                    Ok(rounds) => writeln!(wrong, "{method} with {name}: {rounds} rounds").unwrap(),
                    Err(error) => writeln!(wrong, "{method} with {name}: {error}").unwrap(),
                }
            }
            columns.push(column);
        }
        taken.push((method.to_string(), columns));
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(ran > 300, "{ran}");
    let page = std::fs::read_to_string("docs/pairs.md").unwrap_or_default();
    let table = table(&parts, &taken);
    assert!(
        page.contains(&table),
        "docs/pairs.md lacks this table:\n{table}"
    );
}
