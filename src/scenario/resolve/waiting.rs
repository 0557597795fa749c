//! How an asynchronous server waits, and what cannot go with it.

use super::draft::Draft;
use super::{Resolver, CLIENTS};
use crate::availability::Leaving;
use crate::federation::{Rule, Staleness, Waiting};
use crate::method::{MethodSpec, ReportKind};
use crate::privacy::Privacy;
use crate::scenario::file::WaitingFile;
use crate::text::fields::Duration;

/// What the server's learning rate may be: single precision bears it.
const RATES: (f64, f64) = (1e-6, 1e6);

/// A server step of more updates than this is one that no run gets to.
const MOST_UPDATES: u32 = 1_000_000;

/// The most that a parameter of a staleness weight may be.
const MOST: f64 = 1_000.0;

/// Where it stands.
const PATH: &str = "schedule.waiting";

impl Resolver<'_> {
    /// How the server waits.
    pub(super) fn waiting(
        &mut self,
        typed: &WaitingFile,
        clients: u64,
        servers: Option<u32>,
    ) -> Waiting {
        let (rule, concurrency, staleness, max_staleness, timeout) = match typed {
            WaitingFile::FedBuff(typed) => {
                self.some("buffer", typed.buffer, "updates a server step");
                if typed.buffer > MOST_UPDATES {
                    let found = typed.buffer;
                    let message =
                        format!("{found} is outside [1, {MOST_UPDATES}]: updates a server step");
                    self.complain(&format!("{PATH}.buffer"), message);
                }
                let lr = typed.server_lr;
                if !(RATES.0..=RATES.1).contains(&lr) {
                    let message = format!("{lr} is outside [{}, {}]", RATES.0, RATES.1);
                    self.complain(&format!("{PATH}.server_lr"), message);
                }
                let rule = Rule::FedBuff {
                    buffer: typed.buffer.max(1),
                    server_lr: lr,
                    weighting: typed.weighting,
                };
                (
                    rule,
                    typed.concurrency,
                    typed.staleness,
                    typed.max_staleness,
                    typed.timeout,
                )
            }
            WaitingFile::FedAsync(typed) => {
                let alpha = typed.alpha;
                if !(alpha > 0.0 && alpha <= 1.0) {
                    let message = format!(
                        "{alpha} is outside (0, 1]: the share of the new model in the mixture"
                    );
                    self.complain(&format!("{PATH}.alpha"), message);
                }
                let rule = Rule::FedAsync { alpha };
                (
                    rule,
                    typed.concurrency,
                    typed.staleness,
                    typed.max_staleness,
                    typed.timeout,
                )
            }
            // All of them are at work at any time, and age does not count.
            WaitingFile::FedAT(typed) => {
                let everybody = servers.unwrap_or(1);
                (
                    Rule::FedAT,
                    everybody,
                    Staleness::Constant,
                    None,
                    typed.timeout,
                )
            }
        };
        if matches!(rule, Rule::FedAT) && servers.is_none() {
            let message =
                "FedAT keeps the latest model of each of a few servers between: expected a \
                           hierarchy such as [(count: 5, assign: BySpeed)]";
            self.complain_reading(&["hierarchy?"], PATH, message);
        }
        self.some("concurrency", concurrency, "clients at work");
        if let Some(servers) = servers.filter(|servers| concurrency > *servers) {
            let message = format!(
                "{concurrency} of {servers} servers cannot be at work; ask at most {servers}, or add \
                 servers to the first tier"
            );
            self.complain_reading(
                &["hierarchy[].count"],
                &format!("{PATH}.concurrency"),
                message,
            );
        } else if u64::from(concurrency) > clients && clients > 0 {
            let message = format!(
                "{concurrency} clients cannot be at work in a population of {clients}; ask at most \
                 {clients}, or add clients"
            );
            self.complain_reading(
                &["hierarchy[].count", CLIENTS],
                &format!("{PATH}.concurrency"),
                message,
            );
        }
        self.staleness(staleness);
        if timeout.is_some_and(|span: Duration| span.0.nanos() == 0) {
            let message = "expected a duration above 0 s, found 0 s";
            self.complain(&format!("{PATH}.timeout"), message);
        }
        Waiting {
            rule,
            concurrency: concurrency.max(1),
            staleness,
            max_staleness,
            timeout: timeout.map(|span| span.0),
        }
    }

    fn some(&mut self, field: &str, found: u32, what: &str) {
        if found == 0 {
            let message = format!("expected 1 or more {what}, found 0");
            self.complain(&format!("{PATH}.{field}"), message);
        }
    }

    fn staleness(&mut self, staleness: Staleness) {
        let numbers = match staleness {
            Staleness::Constant => [None, None],
            Staleness::Polynomial { a } => [Some(("a", a)), None],
            Staleness::Hinge { a, b } => [Some(("a", a)), Some(("b", b))],
        };
        for (field, number) in numbers.into_iter().flatten() {
            if !(0.0..=MOST).contains(&number) {
                let message =
                    format!("{number} is outside [0, {MOST}]: an older report must not count more");
                self.complain(&format!("{PATH}.staleness.{field}"), message);
            }
        }
    }

    /// Complains of fields that say how rounds are held, where none are.
    pub(super) fn no_rounds(&mut self, waiting: &Waiting) {
        let name = waiting.name();
        let fields = [
            ("cohort", "its concurrency says how many clients are at work"),
            ("over_selection", "its concurrency says how many clients are at work"),
            ("deadline", "a server that never waits for a round has no end of it; for clients that do not answer there is waiting.timeout"),
            ("on_deadline", "a client has no deadline to be done by, and its report is used whenever it comes"),
            ("least_reports", "a server step has as many reports as its buffer holds"),
        ];
        for (field, why) in fields {
            let path = format!("schedule.{field}");
            if self.document.has(&path) {
                let message = format!("{name} holds no rounds: {why}");
                self.complain_reading(&["schedule.waiting?", "hierarchy?"], &path, message);
            }
        }
    }

    /// Complains of a method whose clients report several models, or none.
    fn one_model(&mut self, name: &str, method: &MethodSpec) {
        if method.method().reports() != ReportKind::Model {
            let message = format!(
                "{name} needs clients that report one model of the whole network, those of {} \
                 report something else: expected a method such as FedAvg, FedProx or FedAdam",
                method.name()
            );
            self.complain_reading(&["method?", "hierarchy?"], PATH, message);
        }
    }

    /// Complains of what cannot be done where clients are asked one by one.
    pub(super) fn one_by_one(&mut self, around: &Draft<'_>, servers_between: bool) {
        let Draft {
            population,
            selection,
            method,
            schedule,
            layers,
            defence,
            adversaries,
            ..
        } = around;
        let Some(waiting) = &schedule.waiting else {
            return;
        };
        let name = waiting.name();
        if servers_between {
            // What is said of clients below holds of the servers that they answer to.
            return self.one_model(name, method);
        }
        self.one_model(name, method);
        if selection.selection().needs_deadline() {
            let message = format!(
                "{} chooses for a deadline, and {name} holds no rounds that have one: expected \
                 another policy such as Uniform or Oort",
                selection.name()
            );
            self.complain("selection", message);
        }
        for (index, member) in population.iter().enumerate() {
            let why = match member.group.leaving {
                Leaving::Abandon => "a client that abandons its task never answers",
                Leaving::Restart => "a task that is longer than any session is never done",
                Leaving::Continue | Leaving::Pause => continue,
            };
            if waiting.timeout.is_none() {
                let message = format!(
                    "{why}, and {name} keeps its place for ever: expected a schedule.waiting.timeout, \
                     or another leaving"
                );
                self.complain_reading(
                    &[PATH, "hierarchy?"],
                    &format!("population[{index}].leaving"),
                    message,
                );
            }
        }
        if let Some(Privacy::CentralDp(_)) = &layers.privacy {
            let message = format!(
                "CentralDp counts on a sample of the clients for each step, and {name} takes \
                 whoever is done first: expected LocalDp, or no waiting"
            );
            self.complain("privacy", message);
        }
        if let Some(secure) = &layers.secure_aggregation {
            let message = format!(
                "{} agrees on masks with all clients of a round, and {name} holds no rounds: \
                 expected one of the two",
                secure.name()
            );
            self.complain("secure_aggregation", message);
        }
        if let Some(defence) = defence {
            let message = format!(
                "{} compares the reports of one round, and {name} has reports to models of \
                 different age: expected one of the two",
                defence.name()
            );
            self.complain("defence", message);
        }
        for (index, adversary) in adversaries.iter().enumerate() {
            if adversary.attack.attack().craft().is_some() {
                let message = format!(
                    "{} is made of the other reports of its round, and {name} holds no rounds: \
                     expected an attack on own reports such as SignFlip",
                    adversary.attack.name()
                );
                self.complain(&format!("adversaries[{index}].attack"), message);
            }
        }
    }
}
