//! `shoal check`

use super::exit::Exit;
use super::ScenarioArgs;
use crate::learn::HostDevice;
use crate::run::assemble;
use crate::scenario::estimate::Machine;
use crate::scenario::plausible::Outlooks;
use crate::{note, say};
use ron::ser::PrettyConfig;
use std::path::Path;

pub fn check(args: &ScenarioArgs, quick: bool, links: bool) -> Exit {
    let scenario = match args.open() {
        Ok((scenario, _)) => scenario,
        Err(exit) => return exit,
    };
    // As a run begins, and for the same reasons refused.
    let federation = match quick {
        true => None,
        false => match assemble(&scenario, HostDevice::Cpu) {
            Ok(federation) => Some(federation),
            Err(error) => return Exit::of_error(&error),
        },
    };
    let pretty = PrettyConfig::new().struct_names(true).depth_limit(6);
    match ron::ser::to_string_pretty(&scenario, pretty) {
        Ok(text) => say!("{text}"),
        Err(error) => {
            note!("error: the scenario cannot be printed: {error}");
            return Exit::RunFailed;
        }
    }
    let model = &scenario.model;
    say!("");
    say!("// model: {}", scenario.model_in_words());
    say!(
        "// a sample costs {} forward, {} to train on",
        model.forward_flops,
        model.training_flops
    );
    say!(
        "// data: {} training and {} test samples of {:?} in {} classes",
        scenario.samples.train,
        scenario.samples.test,
        scenario.samples.shape,
        scenario.samples.classes
    );
    for line in scenario.classes_in_words() {
        say!("// {line}");
    }
    let clients = scenario.clients();
    match (scenario.gossip(), &scenario.schedule.waiting) {
        (Some(gossip), _) => {
            say!("// {clients} clients without a server, {gossip}");
            if let Some(line) = gossip.contraction_in_words(clients, scenario.seed) {
                say!("// {line}");
            }
        }
        (None, Some(waiting)) => say!("// {clients} clients, {waiting}"),
        (None, None) => say!(
            "// {clients} clients, {} asked for a report each round",
            scenario.schedule.cohort.of(clients)
        ),
    }
    for (index, above) in scenario.hierarchy.iter().enumerate() {
        let (tier, lower) = (&above.tier, scenario.hierarchy.get(index + 1));
        let below = lower.map_or(clients, |lower| lower.tier.count);
        let what = lower.map_or("clients", |lower| lower.tier.name.as_ref());
        say!(
            "// {}: {} servers, {:.1} {what} below each, {} rounds for each of the server above",
            tier.name,
            tier.count,
            f64::from(below) / f64::from(tier.count),
            tier.rounds
        );
    }
    if let Some(compute) = scenario.compute.in_words() {
        say!("// compute: {compute}");
    }
    let mut warnings = scenario.warnings();
    if let Some(federation) = federation {
        let machine = Machine::this(Path::new("."));
        let outlooks = Outlooks::of(&scenario, &federation);
        let estimate = scenario.estimate(&federation, &outlooks);
        for line in scenario.expectations(&federation, &outlooks) {
            say!("// {line}");
        }
        if links {
            match scenario.on_links(&federation) {
                Ok(lines) => lines.iter().for_each(|line| say!("// {line}")),
                Err(error) => {
                    note!("error: messages cannot be tried out: {error}");
                    return Exit::RunFailed;
                }
            }
        }
        for line in estimate.lines(&machine) {
            say!("// {line}");
        }
        warnings.extend(scenario.surprises(&federation, &outlooks));
        warnings.extend(estimate.warnings(&machine));
    }
    for warning in warnings {
        say!("// warning: {warning}");
    }
    Exit::Done
}
