//! What `report.html` says first of a run: what ran, with what, and by which command.

use super::{Options, RunError};
use crate::observe::digest::Digest;
use crate::observe::folder::RunFolder;
use crate::observe::histograms::Histograms;
use crate::observe::record::{RunRecord, Totals};
use crate::observe::report::{Party, ReportPage};
use crate::scenario::Scenario;
use std::sync::Arc;

/// The page, as HTML.
///
/// # Errors
/// When a table of the folder cannot be read again, or the page not be drawn.
pub(super) fn render(
    scenario: &Scenario,
    options: &Options,
    folder: &RunFolder,
    record: &RunRecord,
    totals: &Totals,
    histograms: &Histograms,
) -> Result<String, RunError> {
    let groups = scenario.population.iter();
    let groups: Vec<_> = groups
        .map(|m| (Arc::clone(&m.group.name), m.group.count))
        .collect();
    let digest = Digest::read(folder.path(), &groups)?;
    let mut command = format!("shoal run {}", options.file.display());
    for assignment in &options.overrides {
        command += &format!(" --set '{assignment}'");
    }
    let cohort = scenario.schedule.cohort.of(scenario.clients());
    let between = scenario.hierarchy.iter().rev();
    let between: String = between
        .map(|above| format!(" below {} servers ({})", above.tier.count, above.tier.name))
        .collect();
    let at_work = match &scenario.schedule.waiting {
        Some(waiting) if scenario.hierarchy.is_empty() => waiting.to_string(),
        Some(waiting) => format!("{cohort} a round{between}, {waiting}"),
        None => format!("{cohort} a round{between}"),
    };
    let mut facts = vec![
        ("method", scenario.method.name().to_string()),
        ("model", scenario.model_in_words()),
        (
            "clients",
            format!(
                "{} in {} groups, {at_work}",
                scenario.clients(),
                groups.len()
            ),
        ),
        (
            "data",
            format!(
                "{}, {} training samples",
                scenario.data.name(),
                scenario.samples.train
            ),
        ),
    ];
    facts.extend(scenario.compute.in_words().map(|words| ("compute", words)));
    facts.extend(scenario.troubles());
    let report = ReportPage {
        name: &scenario.name,
        seed: scenario.seed,
        version: &record.version,
        status: record.status,
        hash: record.trace_hash.as_deref(),
        facts: &facts,
        command: &command,
        totals,
        digest: &digest,
        histograms,
        messages: &record.messages,
        rejections: &record.rejections,
        classes: &record.classes,
        staleness: &record.staleness,
        party: match (scenario.gossip(), scenario.hierarchy.as_slice()) {
            (Some(_), _) => Party::Peers,
            (None, []) => Party::Clients,
            (None, _) => Party::Servers,
        },
        deadline: scenario.schedule.deadline,
        scenario: &options.text,
    };
    Ok(report.render()?)
}

impl Scenario {
    /// What makes this federation's world less than perfect, and what is done about it.
    fn troubles(&self) -> Vec<(&'static str, String)> {
        let faults = self.faults.iter().map(|fault| fault.what.name());
        let attacks = self.adversaries.iter().map(|party| party.attack.name());
        let layers = &self.layers;
        let worn = [
            layers.compression.as_ref().map(|layer| layer.name()),
            layers.privacy.as_ref().map(|layer| layer.name()),
            layers.secure_aggregation.as_ref().map(|layer| layer.name()),
        ];
        let all = [
            ("faults", named(faults)),
            ("attacks", named(attacks)),
            (
                "defence",
                named(self.defence.iter().map(|defence| defence.name())),
            ),
            ("layers", named(worn.into_iter().flatten())),
        ];
        let some = all.into_iter().filter(|(_, names)| !names.is_empty());
        some.collect()
    }
}

/// Each name once, in order, with its number if there are several.
fn named(names: impl Iterator<Item = &'static str>) -> String {
    let mut counts: Vec<(&str, u32)> = Vec::new();
    for name in names {
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let words = counts.iter().map(|(name, count)| match count {
        1 => (*name).to_string(),
        _ => format!("{name} × {count}"),
    });
    words.collect::<Vec<String>>().join(", ")
}
