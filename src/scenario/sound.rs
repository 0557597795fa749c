//! Which complaints about a scenario that was mended while it was read are worth telling.
//!
//! A mended scenario holds defaults and placeholders where something was wrong. What is wrong with
//! those, or with anything that was worked out from them, is no mistake of the user's.

use super::text::{Diagnostics, Document};

/// The parts of a scenario.
const PARTS: &[&str] = &[
    "name",
    "seed",
    "data",
    "partition",
    "model",
    "init",
    "width",
    "public",
    "training",
    "population",
    "server",
    "method",
    "defence",
    "adversaries",
    "compression",
    "privacy",
    "secure_aggregation",
    "schedule",
    "evaluation",
    "record",
];

/// The parts that the check of the value at `path` looks at as a whole, beside the value itself.
fn looks_at(path: &str) -> &'static [&'static str] {
    match part_of(path) {
        "data" => &["data"],
        "partition" => &["partition", "data", "population", "evaluation", "public"],
        "model" => &["model", "data"],
        "width" => &["model", "data"],
        "method" => &["method", "training"],
        "public" | "compression" => &["method"],
        "defence" => &[
            "method",
            "schedule",
            "population",
            "public",
            "model",
            "data",
        ],
        "adversaries" => &["method", "population", "data", "defence"],
        "privacy" => &["method", "model", "schedule", "population"],
        "secure_aggregation" => &["method", "compression", "privacy", "schedule", "population"],
        "population" if path.contains("].size") => &["method", "model", "width", "data"],
        "population" if path.contains("].training") => &["training", "method"],
        "population" if !path.contains('[') => &["partition", "data"],
        "schedule" if path != "schedule.rounds" => &["population"],
        _ => &[],
    }
}

/// The parts of a document that were read as they are written.
pub(super) struct Sound {
    mistakes: Vec<String>,
    /// Parts that are not in the document, any of which a misspelt one may have meant.
    absent: Vec<&'static str>,
}

impl Sound {
    /// What is sound in `document` beside `mistakes`.
    pub(super) fn new(document: &Document, mistakes: &Diagnostics) -> Self {
        let mistakes: Vec<String> = mistakes.iter().map(|m| m.path.clone()).collect();
        let misspelt = mistakes.iter().any(|path| !PARTS.contains(&part_of(path)));
        let absent = PARTS.iter().copied();
        Self {
            absent: absent
                .filter(|part| misspelt && !document.has(part))
                .collect(),
            mistakes,
        }
    }

    /// Whether a complaint about the value at `path` rests on sound values only.
    pub(super) fn holds(&self, path: &str) -> bool {
        let part = part_of(path);
        let looks_at = looks_at(path);
        // Whether clients can leave at all depends on when they are there.
        let whole = path.strip_suffix(".leaving").unwrap_or(path);
        let spoils = |mistake: &String| {
            let spoilt = part_of(mistake);
            // A mistake without a place could be anywhere.
            mistake.is_empty()
                || looks_at.contains(&spoilt)
                || is_within(path, mistake)
                || is_within(mistake, whole)
                // Taken out of its list, it has moved the elements after it.
                || list_of(mistake).is_some_and(|list| is_within(path, list))
        };
        let meant = |absent: &&str| *absent == part || looks_at.contains(absent);
        !self.mistakes.iter().any(spoils) && !self.absent.iter().any(meant)
    }
}

/// The first name of a path.
fn part_of(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or_default()
}

/// The list that a path names an element of.
fn list_of(path: &str) -> Option<&str> {
    let (list, _) = path.strip_suffix(']')?.rsplit_once('[')?;
    Some(list)
}

/// Whether `inner` is at `outer` or in it.
fn is_within(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::super::Scenario;
    use std::path::Path;

    /// What is said of a scenario with these parts.
    fn said(parts: &str) -> Vec<String> {
        let error = Scenario::parse(&format!("({parts})"), Path::new("s.ron"), &[]).unwrap_err();
        error.iter().map(|d| d.path.clone()).collect()
    }

    #[test]
    fn a_slip_in_one_part_hides_no_mistake_in_another() {
        let parts = "data: Digits, model: [Flatten, Dense(9)], training: (epoch: 3), population: \
                     [(count: 20, device: \"fone\", participation: 2.0)], schedule: (rounds: 0)";
        assert_eq!(
            said(parts),
            [
                "model[1]",
                "training.epoch",
                "population[0].device",
                "population[0].participation",
                "schedule.rounds",
            ]
        );
    }

    #[test]
    fn a_slip_in_a_list_within_an_element_hides_no_mistake_in_other_elements() {
        let parts = "data: Digits, model: \"mlp\", method: HeteroFL(), population: [\
                     (count: 2, size: 1.5), (count: 2, size: Fit([0.5, 0]))]";
        assert_eq!(said(parts), ["population[0].size", "population[1].size[1]"]);
    }

    #[test]
    fn what_follows_from_a_slip_is_not_told() {
        // A cohort of 15 fits the population as meant, not as mended.
        let population = "data: Digits, model: \"mlp\", population: [(count: -20)], \
                          schedule: (cohort: 15)";
        assert_eq!(said(population), ["population[0].count"]);
        // The model fits the data as meant.
        let data = "data: Digitz, model: [Conv(out: 4, kernel: 9), Dense(10)], population: \
                    [(count: 20)]";
        assert_eq!(said(data), ["data"]);
        let misspelt = "data: Digits, model: \"mlp\", populaton: [(count: 20)], \
                        schedule: (cohort: 15)";
        assert_eq!(said(misspelt), ["populaton"]);
        let leaving = "data: Digits, model: \"mlp\", population: \
                       [(count: 20, availability: Markow(on: \"1 s\", off: \"1 s\"), leaving: Pause)]";
        assert_eq!(said(leaving), ["population[0].availability"]);
        // Both groups would be said to lie one place further on than they do.
        let moved = "data: Digits, model: \"mlp\", population: \
                     [5, (count: 20, link: \"5gg\")]";
        assert_eq!(said(moved), ["population[0]"]);
    }
}
