//! From what was typed to what it means: presets looked up, defaults filled in, rules checked.
//!
//! Every function here reports what is wrong and goes on with a harmless value, so that one reading
//! finds all mistakes.

mod adversaries;
mod availability;
mod compute;
mod data;
mod devices;
mod draft;
mod faults;
mod hierarchy;
mod layers;
mod links;
mod model;
mod on_deadline;
mod population;
mod record;
mod schedule;
mod script;
mod sizes;
mod topology;
mod traits;
mod waiting;
mod weights;
mod who;

use super::file::{CheckpointFile, ScenarioFile};
use super::sound::{Reads, Sound};
use super::{Checkpoint, Member, Scenario, Server};
use crate::data::Partitioner;
use crate::federation::{Compute, Evaluation, Layers};
use crate::learn::LocalTraining;
use crate::method::MethodSpec;
use crate::quantity::nearest;
use crate::text::{Diagnostics, Document};
use draft::Draft;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many clients there are.
const CLIENTS: &str = "population[].count";
/// What the samples and the model's shapes follow from.
const SHAPES: [&str; 3] = ["data", "model", "width"];

/// What all parts of the resolution share.
struct Resolver<'a> {
    document: &'a Document,
    problems: Diagnostics,
    base: PathBuf,
    sound: Sound<'a>,
    /// What the rules that are followed now look at, beside the value that each complains about.
    reads: Reads,
}

impl Resolver<'_> {
    /// Notes a mistake at a field, if all that it rests on was read well.
    fn complain(&mut self, path: &str, message: impl Into<String>) {
        if self.sound.complaint(path, &self.reads) {
            self.problems.push(self.document.error(path, message));
        }
    }

    /// Follows `rules` that look at the values at `parts`, beside the value that each complains about:
    /// what they complain of is told only where those are sound. `[]` in a path is every element,
    /// `?` at its end says that only the kind of the value matters, if there is one, not its parts, and
    /// `.*` that its fields matter as they were typed.
    /// Rules that are followed outside any such call may look at everything.
    fn reading<T>(&mut self, parts: &[&str], rules: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.reads, Reads::parts(parts));
        let result = rules(self);
        self.reads = outer;
        result
    }

    /// As [`Resolver::complain`], for a rule that looks at the values at `parts` too.
    fn complain_reading(&mut self, parts: &[&str], path: &str, message: impl Into<String>) {
        self.reading(parts, |r| r.complain(path, message));
    }

    /// Complains of one field of the bracket at `part`, or of all of it (an empty `field`), for a rule
    /// that is about that bracket only. A field that was written stands for itself, whatever else is
    /// wrong in its bracket, and so do those that it was held against, named after it
    /// (`"weights, tiers"`); a default might not be what was meant.
    fn complain_within(&mut self, part: &str, field: &str, message: impl Into<String>) {
        let mut paths = field.split(", ").map(|field| format!("{part}.{field}"));
        let written = !field.is_empty() && paths.all(|path| self.document.has(&path));
        let mut paths = field.split(", ").map(|field| format!("{part}.{field}"));
        let path = match field {
            "" => part.to_string(),
            _ => paths.next().unwrap_or_default(),
        };
        let (others, all): (Vec<String>, _) = (paths.collect(), format!("{part}.*"));
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let reads = if written { &others } else { &vec![&*all] };
        self.complain_reading(reads, &path, message);
    }

    /// Notes a name that nothing has.
    fn unknown<'b>(
        &mut self,
        path: &str,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'b str> + Clone,
    ) {
        let hint = nearest(name, known.clone())
            .map_or(String::new(), |n| format!("; did you mean {n:?}?"));
        let all: Vec<&str> = known.collect();
        self.complain(
            path,
            format!(
                "expected {what} such as {}, found {name:?}{hint}",
                all.join(", ")
            ),
        );
    }
}

/// Resolves a scenario.
pub(super) fn resolve(
    document: &Document,
    sound: Sound<'_>,
    typed: ScenarioFile,
    path: &Path,
) -> Result<Scenario, Diagnostics> {
    let mut r = Resolver {
        document,
        problems: Diagnostics::default(),
        base: Scenario::base_of(path).to_path_buf(),
        sound,
        reads: Reads::Anything,
    };
    // Each rule says what it looks at beside the value that it complains about: here, or where it does.
    let name = r.reading(&[], |r| r.name(typed.name, path));
    let source = typed.data;
    let samples = r.reading(&[], |r| r.samples(&source, typed.seed));
    let local = r.reading(&[], |r| r.training(&typed.training, None, "training"));
    let population = r.reading(&[], |r| r.population(typed.population, &typed.training));
    let clients = population
        .iter()
        .map(|member| u64::from(member.group.count))
        .sum();
    let per_client = typed.evaluation.per_client;
    let public = r.reading(&[], |r| r.public(typed.public, typed.method.method()));
    let partition = r.reading(&[], |r| {
        r.partition(
            typed.partition,
            samples.as_ref(),
            public,
            clients,
            per_client,
        )
    });
    r.reading(&["partition.by?"], |r| {
        r.samples_differ(&population, &partition);
    });
    let model = r.reading(&["data", "width"], |r| {
        r.model(typed.model, typed.width.0, samples.as_ref())
    });
    let model = r.reading(&["data", "model", "width"], |r| {
        r.weights(typed.init, typed.freeze, model, samples.as_ref())
    });
    let sizes = r.reading(&["data", "model", "width", "method"], |r| {
        r.sizes(&population, &typed.method, model.as_ref(), samples.as_ref())
    });
    let server = r.reading(&[], |r| Server {
        device: r.device(typed.server.device, "server.device").device,
        link: r.link(typed.server.link, "server.link"),
        checkpoint_every: typed.server.checkpoint_every.max(1),
    });
    let hierarchy = r.reading(&[], |r| r.hierarchy(typed.hierarchy, clients));
    if typed.server.checkpoint_every == 0 {
        r.complain_reading(
            &[],
            "server.checkpoint_every",
            "expected a number of rounds of 1 or more, found 0",
        );
    }
    r.method(&typed.method, &local, &population);
    let servers = hierarchy.first().map(|above| above.tier.count);
    let mut schedule = r.reading(&[], |r| r.schedule(typed.schedule, clients, servers));
    let topology = r.reading(&["topology?"], |r| {
        r.topology(
            typed.topology,
            &mut schedule,
            u32::try_from(clients).unwrap_or(u32::MAX),
        )
    });
    let around = (per_client, servers.is_some());
    r.reading(&[], |r| r.selection(&typed.selection, &schedule, around));
    let faults = r.reading(&[], |r| r.faults(typed.faults, &population));
    let bare = Layers::default();
    let draft = Draft {
        seed: typed.seed,
        population: &population,
        samples: samples.as_ref(),
        model: model.as_ref(),
        method: &typed.method,
        schedule: &schedule,
        selection: &typed.selection,
        public: public.is_some(),
        layers: &bare,
        defence: None,
        adversaries: &[],
        faults: &faults,
        compute: Compute::Real,
    };
    let defence = r.reading(&[], |r| r.defence(typed.defence, &draft));
    let adversaries = r.reading(&[], |r| {
        r.adversaries(typed.adversaries, defence.as_ref(), &draft)
    });
    let layers = Layers {
        compression: typed.compression,
        privacy: typed.privacy,
        secure_aggregation: typed.secure_aggregation,
    };
    let clients = u32::try_from(clients).unwrap_or(u32::MAX);
    r.reading(&[], |r| {
        r.layers(&layers, &typed.method, model.as_ref(), &schedule, clients);
    });
    r.reading(&["privacy?", "secure_aggregation?"], |r| {
        r.sums_only(&layers, defence.as_ref(), &adversaries);
    });
    let draft = Draft {
        layers: &layers,
        defence: defence.as_ref(),
        adversaries: &adversaries,
        ..draft
    };
    r.reading(&["schedule.waiting?", "hierarchy?"], |r| {
        r.one_by_one(&draft, !hierarchy.is_empty());
    });
    r.reading(&["hierarchy?"], |r| r.between(&hierarchy, &draft));
    let in_rounds = hierarchy.is_empty() && schedule.waiting.is_none();
    r.reading(&["hierarchy?", "schedule.waiting?"], |r| {
        r.partial_reports(&draft, in_rounds);
    });
    let compute = r.reading(&["compute?"], |r| r.compute(typed.compute, &draft));
    let draft = Draft { compute, ..draft };
    r.reading(&["topology?"], |r| {
        r.without_server(topology.as_ref(), &draft);
    });
    r.reading(&[], |r| {
        r.beginnings(model.as_ref(), &typed.method, topology.as_ref());
        r.module_in(model.as_ref(), &typed.method, &population);
    });
    if matches!(partition.by, Partitioner::Shared { .. }) {
        r.reading(&["partition.by?"], |r| r.spoils_shared(&faults));
    }
    if typed.evaluation.every == 0 {
        r.complain_reading(
            &[],
            "evaluation.every",
            "expected a number of rounds of 1 or more, found 0",
        );
    }
    let statistics_clients = r.reading(&[], |r| {
        let asked = typed.evaluation.statistics_clients;
        r.statistics_clients(asked, &typed.method, model.as_ref())
    });
    let run = record::Run {
        method: &typed.method,
        evaluation: &typed.evaluation,
        compute,
        gossip: topology.is_some(),
    };
    let record = r.reading(&[], |r| r.record(typed.record, &run));
    let checkpoint = typed
        .checkpoint
        .map(|typed| r.reading(&[], |r| r.checkpoint(&typed)));
    match (samples, model) {
        (Some(samples), Some(model)) if r.problems.is_empty() => Ok(Scenario {
            name,
            seed: typed.seed,
            data: source,
            samples,
            partition,
            public,
            model,
            sizes,
            population,
            server,
            hierarchy,
            method: typed.method,
            selection: typed.selection,
            defence,
            adversaries,
            layers,
            topology,
            schedule,
            faults,
            evaluation: Evaluation {
                every: typed.evaluation.every,
                central: typed.evaluation.central,
                per_client,
                by_size: typed.evaluation.by_size,
                statistics_clients,
            },
            compute,
            record,
            checkpoint,
            base: r.base,
            places: super::Places(Arc::new(document.clone())),
        }),
        // Whatever is missing has been complained about.
        _ => Err(r.problems),
    }
}

impl Resolver<'_> {
    fn name(&mut self, typed: Option<String>, path: &Path) -> String {
        let name = typed.unwrap_or_else(|| {
            // The number of a pipe is no name.
            let file = Some(path).filter(|path| !Scenario::is_from_pipe(path));
            let stem = file
                .and_then(Path::file_stem)
                .map(|stem| stem.to_string_lossy().into_owned());
            stem.unwrap_or_else(|| "scenario".into())
        });
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            self.complain("name", "expected 1 to 100 printable characters");
        }
        name
    }

    /// What the method says of its fields and of the training of each group.
    fn method(&mut self, method: &MethodSpec, local: &LocalTraining, population: &[Member]) {
        let check = |training: &LocalTraining| method.method().check(training);
        // What it says of any training is about its own fields only.
        let own = check(&LocalTraining::sgd(0.1));
        let said = check(local);
        for problem in &said {
            let (field, message) = problem;
            if own.contains(problem) {
                self.complain_within("method", field, message);
                continue;
            }
            let path = match *field {
                "" => "method".to_string(),
                field => format!("method.{field}"),
            };
            self.complain_reading(&["method.*", "training"], &path, message);
        }
        for (index, member) in population.iter().enumerate() {
            // What was said of the scenario's training, or of any, need not be said again.
            let problems = check(&member.group.training);
            for problem in problems.iter().filter(|p| !said.contains(p)) {
                let message = format!("{}: {}", method.name(), problem.1);
                let path = format!("population[{index}].training");
                self.complain_reading(&["training", "method"], &path, message);
            }
        }
    }

    fn checkpoint(&mut self, typed: &CheckpointFile) -> Checkpoint {
        for (field, found, what) in [
            ("every", typed.every, "rounds"),
            ("keep", typed.keep, "checkpoints"),
        ] {
            if found == 0 {
                self.complain(
                    &format!("checkpoint.{field}"),
                    format!("expected a number of {what} of 1 or more, found 0"),
                );
            }
        }
        Checkpoint {
            every: typed.every.max(1),
            keep: typed.keep.max(1),
        }
    }
}

/// The names as a choice: `A, B or C`.
fn one_of(names: &[&str]) -> String {
    match names {
        [] => "none there is".to_string(),
        [only] => only.to_string(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}
