//! `shoal check`

use super::exit::Exit;
use super::ScenarioArgs;
use ron::ser::PrettyConfig;
use shoal::{note, say};

pub fn check(args: &ScenarioArgs) -> Exit {
    let scenario = match args.open() {
        Ok((scenario, _)) => scenario,
        Err(exit) => return exit,
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
    for warning in scenario.warnings() {
        say!("// warning: {warning}");
    }
    Exit::Done
}
