//! What is kept of a run, and what cannot be kept of it.

use super::Resolver;
use crate::federation::{Compute, Keep};
use crate::method::MethodSpec;
use crate::scenario::file::{EvaluationFile, EventsFile, RecordFile};
use crate::scenario::{EventFilter, Record};
use crate::sim::{Delivery, Message as _};

/// Where it stands.
const MODEL: &str = "record.model";

/// What decides on the models that a run has.
pub(super) struct Run<'a> {
    pub method: &'a MethodSpec,
    pub evaluation: &'a EvaluationFile,
    pub compute: Compute,
    /// Whether clients talk to each other, without a server.
    pub gossip: bool,
}

impl Resolver<'_> {
    pub(super) fn record(&mut self, typed: RecordFile, run: &Run) -> Record {
        if let Some(keep) = typed.model {
            self.models(keep, run);
        }
        let events = typed.events.map(|events| self.events(events));
        Record {
            clients: typed.clients,
            histograms: typed.histograms,
            trace: typed.trace,
            events,
            report: typed.report,
            model: typed.model,
        }
    }

    /// Complains of models that the run will not have.
    fn models(&mut self, keep: Keep, run: &Run) {
        if keep == Keep::Every(0) {
            self.complain(MODEL, "expected a number of rounds of 1 or more, found 0");
        }
        if !run.compute.is_real() {
            self.complain_reading(
                &["compute"],
                MODEL,
                format!(
                    "compute: {} leaves no model that all clients trained: expected compute: Real, or no \
                     model in the record",
                    match run.compute {
                        Compute::Modelled => "Modelled",
                        _ => "Sampled",
                    }
                ),
            );
        }
        let (name, leaves) = (run.method.name(), run.method.method().leaves());
        if keep == Keep::Clients && !leaves.own && !run.gossip {
            self.complain_reading(
                &["method", "topology?"],
                MODEL,
                format!(
                    "the clients of {name} keep no models of their own: expected Final, Best or \
                     Every(10), which keep the global model at every width that clients have"
                ),
            );
        }
        if keep != Keep::Clients && !leaves.global && !run.gossip {
            self.complain_reading(
                &["method", "topology?"],
                MODEL,
                format!(
                    "{name} has no global model: expected Clients, which keeps the clients' own"
                ),
            );
        }
        if keep == Keep::Best && !run.evaluation.central {
            self.complain_reading(
                &["evaluation"],
                MODEL,
                "the best model is that of the best central accuracy, which nobody measures: expected \
                 evaluation: (central: true), or Final",
            );
        }
        let every = run.evaluation.every.max(1);
        match keep {
            Keep::Every(rounds) if run.gossip && rounds > 0 && !rounds.is_multiple_of(every) => {
                self.complain_reading(
                    &["evaluation", "topology?"],
                    MODEL,
                    format!(
                        "without a server there is a mean of the models only in rounds that are \
                         measured: expected a multiple of evaluation.every, {every}, found {rounds}"
                    ),
                );
            }
            _ => {}
        }
    }

    fn events(&mut self, typed: EventsFile) -> EventFilter {
        let known: Vec<&str> = event_kinds().collect();
        for (index, kind) in typed.kinds.iter().flatten().enumerate() {
            if !known.contains(&kind.as_str()) {
                let path = format!("record.events.kinds[{index}]");
                self.unknown(&path, "a kind of event", kind, known.iter().copied());
            }
        }
        EventFilter {
            kinds: typed.kinds,
            nodes: typed.nodes,
        }
    }
}

/// The kinds of event that can be recorded.
fn event_kinds() -> impl Iterator<Item = &'static str> {
    let messages = crate::federation::Message::KINDS;
    let others = [Delivery::START, Delivery::TIMER, Delivery::WORK];
    let others = others.map(|kind| Delivery::kind_in_words(kind, messages));
    messages.iter().copied().chain(others)
}
