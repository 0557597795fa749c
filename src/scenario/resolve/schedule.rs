//! The schedule.

use super::{Resolver, CLIENTS};
use crate::federation::{Cohort, Schedule};
use crate::quantity::Probability;
use crate::scenario::file::{CohortFile, ScheduleFile};
use crate::select::SelectionSpec;

/// Without a cohort in the scenario: this share of the population.
const DEFAULT_COHORT: f64 = 0.1;

impl Resolver<'_> {
    /// `servers` report to the server, where there are some between, and not clients.
    pub(super) fn schedule(
        &mut self,
        typed: ScheduleFile,
        clients: u64,
        servers: Option<u32>,
    ) -> Schedule {
        if typed.rounds == 0 {
            self.complain(
                "schedule.rounds",
                "expected a whole number of 1 or more, found 0",
            );
        }
        let waiting = typed.waiting.as_ref();
        let waiting = waiting.map(|typed| self.waiting(typed, clients, servers));
        // Servers between hold rounds, however the one at the top waits.
        let alone = waiting.as_ref().filter(|_| servers.is_none());
        if let Some(waiting) = alone {
            self.no_rounds(waiting);
        }
        let cohort = match alone {
            // How many reports a round is to have.
            Some(waiting) => Cohort::Count(waiting.buffer()),
            None => self.cohort(typed.cohort, clients),
        };
        let size = u64::from(cohort.of(u32::try_from(clients).unwrap_or(u32::MAX)));
        if !(1.0..=100.0).contains(&typed.over_selection) {
            let found = typed.over_selection;
            self.complain(
                "schedule.over_selection",
                format!("{found} is outside [1, 100]: how many clients are asked for each report wanted"),
            );
        }
        let least = u64::from(typed.least_reports);
        // Without clients nothing can be said of the cohort, and all has been said of the population.
        let (most, of) = match servers {
            Some(servers) => (u64::from(servers), format!("{servers} servers")),
            None => (size, format!("a cohort of {size}")),
        };
        if least > most && clients > 0 && waiting.is_none() {
            self.complain_reading(
                &[
                    CLIENTS,
                    "hierarchy[].count",
                    "schedule.cohort",
                    "schedule.waiting?",
                ],
                "schedule.least_reports",
                format!("{least} reports can never come from {of}"),
            );
        }
        for (field, span) in [
            ("deadline", typed.deadline),
            ("stop_at_time", typed.stop_at_time),
        ] {
            if span.is_some_and(|span| span.0.nanos() == 0) {
                self.complain(
                    &format!("schedule.{field}"),
                    "expected a duration above 0 s, found 0 s",
                );
            }
        }
        Schedule {
            rounds: typed.rounds,
            cohort,
            over_selection: typed.over_selection,
            deadline: typed.deadline.map(|span| span.0),
            on_deadline: self.on_deadline(typed.on_deadline),
            least_reports: typed.least_reports,
            stop_at_accuracy: typed.stop_at_accuracy.map(|goal| goal.0),
            stop_at_time: typed.stop_at_time.map(|span| span.0),
            waiting,
        }
    }

    /// Complains of what is wrong with the policy of selection.
    pub(super) fn selection(
        &mut self,
        spec: &SelectionSpec,
        schedule: &Schedule,
        (per_client, servers): (bool, bool),
    ) {
        let selection = spec.selection();
        for (field, message) in selection.check() {
            self.complain_within("selection", field, message);
        }
        if selection.needs_accuracies() && servers {
            let message = format!(
                "{} goes by what is measured at the server at the top, and servers between choose here: \
                 expected adaptive: false",
                spec.name()
            );
            self.complain_reading(&["hierarchy?"], "selection", message);
        } else if selection.needs_accuracies() && !per_client {
            let message = format!(
                "{} goes by the accuracies of clients: expected evaluation: (per_client: true), or \
                 adaptive: false",
                spec.name()
            );
            self.complain_reading(
                &["evaluation.per_client", "hierarchy?"],
                "selection",
                message,
            );
        }
        if selection.needs_deadline() && schedule.deadline.is_none() && schedule.waiting.is_none() {
            let message = format!("{} needs a schedule.deadline to choose for", spec.name());
            let reads = ["schedule.deadline", "schedule.waiting?"];
            self.complain_reading(&reads, "selection", message);
        }
    }

    fn cohort(&mut self, typed: Option<CohortFile>, clients: u64) -> Cohort {
        let path = "schedule.cohort";
        match typed {
            None => Cohort::Ratio(Probability::new(DEFAULT_COHORT).unwrap_or(Probability::ONE)),
            Some(CohortFile::Count(0)) => {
                self.complain(path, "expected at least 1 client, found 0");
                Cohort::Count(1)
            }
            Some(CohortFile::Count(count)) if count > clients && clients > 0 => {
                self.complain_reading(
                    &[CLIENTS],
                    path,
                    format!(
                        "a cohort of {count} is larger than the population of {clients}; ask at most {clients}, or add clients"
                    ),
                );
                Cohort::Count(1)
            }
            Some(CohortFile::Count(count)) => {
                Cohort::Count(u32::try_from(count).unwrap_or(u32::MAX))
            }
            Some(CohortFile::Ratio(ratio)) => match Probability::new(ratio) {
                Ok(share) if ratio > 0.0 => Cohort::Ratio(share),
                _ => {
                    self.complain(
                        path,
                        format!("the share {ratio} is outside (0, 1]; a number of clients is written without a point"),
                    );
                    Cohort::Count(1)
                }
            },
        }
    }
}
