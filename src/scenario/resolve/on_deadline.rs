//! Clients that stop training in time to report, and what cannot go with them.

use super::draft::Draft;
use super::{one_of, Resolver};
use crate::availability::Leaving;
use crate::federation::OnDeadline;
use crate::method::Method;
use crate::registry::Registry;
use crate::scenario::file::OnDeadlineFile;

/// Where it stands.
const PATH: &str = "schedule.on_deadline";

impl Resolver<'_> {
    /// What becomes of a client that would not be done in time.
    pub(super) fn on_deadline(&mut self, typed: OnDeadlineFile) -> OnDeadline {
        match typed {
            OnDeadlineFile::Drop => OnDeadline::Drop,
            OnDeadlineFile::ReportPartial { reserve } => OnDeadline::ReportPartial {
                reserve: reserve.map_or_else(Default::default, |span| span.0),
            },
        }
    }

    /// Complains of what cannot be done where clients stop training early. `in_rounds` says whether the
    /// server at the top asks clients itself and holds rounds; of those that do not, another rule has
    /// said that nothing here applies to them.
    pub(super) fn partial_reports(&mut self, around: &Draft<'_>, in_rounds: bool) {
        let (schedule, method) = (around.schedule, around.method);
        let OnDeadline::ReportPartial { reserve } = schedule.on_deadline else {
            return;
        };
        if !in_rounds {
            return;
        }
        match schedule.deadline {
            None => self.complain_reading(
                &["schedule.deadline"],
                PATH,
                "ReportPartial needs a schedule.deadline to stop for: expected one such as deadline: \"4 s\", \
                 or Drop",
            ),
            Some(deadline) if reserve >= deadline => self.complain_reading(
                &["schedule.deadline"],
                &format!("{PATH}.reserve"),
                format!(
                    "{reserve} of a round of {deadline} leave no time to train: expected a reserve below \
                     schedule.deadline"
                ),
            ),
            Some(_) => {}
        }
        if let Err(why) = method.method().stops_early() {
            let methods = Registry::current().of::<dyn Method>();
            let all = one_of(&methods.those(|method| method.stops_early().is_ok()));
            let message = format!(
                "clients of {} cannot stop early and report what they have: {why}; expected Drop, or {all}",
                method.name()
            );
            self.complain_reading(&["method"], PATH, message);
        }
        for (index, member) in around.population.iter().enumerate() {
            if member.group.leaving == Leaving::Restart {
                let message =
                    "a client that begins its training anew loses the steps that it would report: \
                               expected Pause, or on_deadline: Drop";
                self.complain_reading(&[PATH], &format!("population[{index}].leaving"), message);
            }
        }
    }
}
