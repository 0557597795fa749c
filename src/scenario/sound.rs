//! Which complaints about a scenario that was mended while it was read are worth telling.
//!
//! A mended scenario holds defaults and placeholders where something was wrong. What is wrong with
//! those, or with anything that was worked out from them, is no mistake of the user's. So every rule
//! says which parts of the file it looks at, beside the value that it complains about, and what it
//! says is told only where all of them were read well and no rule before has complained of them. A
//! rule that says nothing of what it looks at may look at everything.

use crate::text::{concerns, Document, Spoilt};

/// What a rule looks at, beside the value that it complains about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reads {
    /// It did not say: it may be anything.
    Anything,
    /// The values at these paths; `[]` in a path is every element of a list. `?` at its end says that
    /// only the kind of the value matters, if there is one, and not its parts; `.*` says that its fields
    /// matter as they were typed, whatever rules say of them.
    Parts(Vec<String>),
}

impl Reads {
    /// The values at `parts`.
    pub(super) fn parts(parts: &[&str]) -> Self {
        Self::Parts(parts.iter().map(|part| part.to_string()).collect())
    }
}

/// The parts of a document that can be believed.
pub(super) struct Sound<'a> {
    document: &'a Document,
    /// What was not read as it was written.
    spoilt: &'a [Spoilt],
    /// What rules have complained of: something else may have taken its place.
    told: Vec<String>,
}

impl<'a> Sound<'a> {
    /// What is sound in `document` beside what is `spoilt`.
    pub(super) fn new(document: &'a Document, spoilt: &'a [Spoilt]) -> Self {
        Self {
            document,
            spoilt,
            told: Vec::new(),
        }
    }

    /// Notes that a rule complains of the value at `path`, for which it looked at `reads` too;
    /// whether all of it is sound, so that the complaint is worth telling.
    pub(super) fn complaint(&mut self, path: &str, reads: &Reads) -> bool {
        let read_well = |path: &str| !self.spoilt.iter().any(|s| s.touches(path, self.document));
        // What kind of value was typed is no less known because a rule does not like it.
        let as_typed = |path: &str| path.ends_with('?') || path.ends_with(".*");
        let right = |path: &str| as_typed(path) || !self.told.iter().any(|t| concerns(t, path));
        let sound = read_well(path)
            && match reads {
                Reads::Anything => self.spoilt.is_empty(),
                Reads::Parts(parts) => parts.iter().all(|part| read_well(part) && right(part)),
            };
        self.told.push(path.to_string());
        sound
    }

    /// How many complaints there were, told or not.
    pub(super) fn complaints(&self) -> usize {
        self.told.len()
    }
}

#[cfg(test)]
mod planted;

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

    #[test]
    fn a_bad_trace_file_says_nothing_of_how_clients_leave() {
        let parts = "data: Digits, model: \"mlp\", population: [(count: 20, leaving: Pause, \
                     availability: Trace(file: \"no such file.csv\"))]";
        assert_eq!(said(parts), ["population[0].availability.file"]);
    }

    #[test]
    fn training_without_an_epoch_is_told_once_however_many_groups_there_are() {
        let parts = "data: Digits, model: \"mlp\", training: (epochs: 0), \
                     population: [(count: 20), (count: 10, training: (batch: 4))]";
        assert_eq!(said(parts), ["training.epochs"]);
        let own = "data: Digits, model: \"mlp\", population: [(count: 20, training: (steps: 0))]";
        assert_eq!(said(own), ["population[0].training.steps"]);
    }

    #[test]
    fn a_count_that_is_no_number_of_clients_says_nothing_of_the_servers_between() {
        let parts = "data: Digits, model: \"mlp\", hierarchy: [(count: 5)], \
                     population: [(count: -20)], schedule: (cohort: 10)";
        assert_eq!(said(parts), ["population[0].count"]);
    }

    #[test]
    fn a_field_of_the_method_out_of_range_is_told_once() {
        let parts = "data: Digits, model: \"mlp\", method: FedProx(mu: -1), \
                     population: [(count: 20, training: (epochs: 2))]";
        assert_eq!(said(parts), ["method.mu"]);
    }

    #[test]
    fn a_slip_in_the_syntax_hides_no_mistake_elsewhere() {
        let parts = "data: Digits, model: \"mlp\", population: [(count: 3x)], \
                     evaluation: (every: 0), schedule: (rounds: 0)";
        assert_eq!(said(parts), ["", "evaluation.every", "schedule.rounds"]);
    }

    #[test]
    fn a_missing_part_hides_no_mistake_elsewhere() {
        let parts = "model: \"mlp\", population: [(device: \"fone\")], \
                     evaluation: (every: 0), schedule: (rounds: 0, cohort: 50)";
        let expected = [
            "",
            "population[0]",
            "population[0].device",
            "evaluation.every",
            "schedule.rounds",
        ];
        assert_eq!(said(parts), expected);
    }
}
