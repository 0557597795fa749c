//! About what a run takes of this machine: time, memory, disk.
//!
//! Work is counted as it is for the simulated devices: operations of training, evaluation and
//! aggregation. What this machine makes of it is assumed, and the assumption is told with the result:
//! the figures are to say whether a run takes a minute, an hour or a week, and no more.

use super::plausible::{about, Outlooks};
use super::{Member, Scenario};
use crate::availability::{Availability, Leaving};
use crate::federation::{Compute, Federation, Keep, Rule};
use crate::learn::available_memory;
use crate::quantity::{Bytes, Distribution, Flops, Span};
use std::path::Path;

/// What a core makes of training small models, operations a second: measured with
/// `shoal run scenarios/quickstart.ron --workers 1` (117 MFLOP a task, 880 tasks, 12 s of processor
/// time, evaluation counted).
const RATE: f64 = 1e10;
/// What a step costs beside its arithmetic, in seconds.
const STEP: f64 = 1e-4;
/// What a sample costs beside the arithmetic of measuring a model on it, in seconds.
const MEASURED: f64 = 1e-6;
/// What an event costs, in seconds, where links share their rates: measured with a complete graph of 1,437
/// clients, `compute: Modelled` (2.07 M events, 29 s of processor time).
const EVENT: f64 = 1.4e-5;
/// What it takes to follow a fault through one of its periods, in seconds.
const PERIOD: f64 = 3e-7;
/// What it takes to work out when a task is done, for each time that a fault or an absence changes its pace,
/// in seconds: `shoal run scenarios/faults/half_work.ron --workers 1` with a start-up of 4,294,967,295 ms took
/// 246 s of processor time (one core of an Intel Xeon) for 400 tasks of the phones, in each of which 131,072
/// changes are followed.
const INTERRUPTION: f64 = 4.7e-6;
/// The most that are followed for one task.
const MOST_INTERRUPTIONS: f64 = 131_072.0;
const MOST_ABSENCES: f64 = 1_048_576.0;
/// Events of a client that is asked: its task, its work, its report, and what else there is.
const EVENTS_A_TASK: f64 = 3.2;

/// Bytes of an event in `trace.bin`.
const TRACE: f64 = 33.0;
/// Bytes of a line of `clients.csv`, of `accuracy.csv`, of `rounds.csv` and of `events.jsonl`, about.
const CLIENT_LINE: f64 = 180.0;
const ACCURACY_LINE: f64 = 18.0;
const ROUND_LINE: f64 = 250.0;
const EVENT_LINE: f64 = 200.0;
/// Bytes of everything else in a run folder.
const REST: f64 = 200e3;

/// Bytes of a process that has loaded libtorch.
const PROCESS: f64 = 150e6;
/// Bytes of a client that is not at work, and of a message on its way.
const CLIENT: f64 = 64.0;
const MESSAGE: f64 = 400.0;
/// Copies of the global model: itself, the next one, sums in double precision, what is measured.
const COPIES: f64 = 6.0;

/// A run that takes longer, in seconds, is warned of.
const LONG: f64 = 3_600.0;

/// What a machine has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Cores.
    pub cores: usize,
    /// Memory that programs can still be given.
    pub memory: Option<Bytes>,
    /// Room on the disk that run folders are on.
    pub disk: Option<Bytes>,
}

impl Machine {
    /// This one, with run folders below `folder`.
    pub fn this(folder: &Path) -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: available_memory(),
            disk: free_disk(folder),
        }
    }
}

/// Room on the disk that `folder` is on.
fn free_disk(folder: &Path) -> Option<Bytes> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(Bytes(disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// About what a run takes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// Rounds with clients, those of servers between counted.
    pub rounds: f64,
    /// How often a client is asked, over all rounds.
    pub tasks: f64,
    /// Operations of one task, on average.
    pub flops: f64,
    /// Steps of one task, on average.
    pub steps: f64,
    /// How often models are measured.
    pub evaluations: f64,
    /// Events.
    pub events: f64,
    /// Seconds of one core for what device workers do, which any number of cores share.
    pub work: f64,
    /// Seconds for events and faults, one after the other.
    pub serial: f64,
    /// Most bytes of memory.
    pub memory: f64,
    /// Bytes on disk.
    pub disk: f64,
    /// Virtual time, in seconds.
    pub virtual_seconds: f64,
    /// Changes of pace by faults and absences that have to be followed, over all tasks.
    pub interruptions: f64,
    /// Periods of faults that have to be followed, over all clients.
    pub periods: f64,
}

impl Estimate {
    /// About what a run of the scenario takes, if nothing stops it before its last round.
    pub fn of(scenario: &Scenario, federation: &Federation, outlooks: &Outlooks) -> Self {
        let plan = federation.plan();
        let schedule = &scenario.schedule;
        let clients = f64::from(scenario.clients());
        let steps = f64::from(schedule.rounds);
        let between: f64 = scenario
            .hierarchy
            .iter()
            .map(|above| f64::from(above.tier.rounds))
            .product();
        let rounds = steps * between;
        let asked =
            (f64::from(schedule.cohort.of(scenario.clients())) * schedule.over_selection).ceil();
        let asked = asked.min(clients);
        let gossip = scenario.gossip().is_some();
        let tasks = match (&schedule.waiting, scenario.hierarchy.is_empty()) {
            _ if gossip => clients * steps,
            _ if !outlooks.server.asks => 0.0,
            (Some(waiting), true) => {
                steps * f64::from(waiting.buffer()) + f64::from(waiting.concurrency)
            }
            _ => rounds * asked,
        };
        let mean = |of: &dyn Fn(&crate::federation::Outlook) -> f64| {
            let (sum, weight) = outlooks
                .each()
                .fold((0.0, 0.0), |(sum, all), (one, weight)| {
                    // Who has not the memory declines.
                    let own = if one.fits { of(one) } else { 0.0 };
                    (sum + weight * own, all + weight)
                });
            sum / f64::max(weight, 1.0)
        };
        let (flops, each) = (
            mean(&|one| one.cost.flops.0 as f64),
            mean(&|one| one.steps as f64),
        );
        let trained = match scenario.compute {
            Compute::Real => 1.0,
            Compute::Modelled => 0.0,
            Compute::Sampled(share) => share.get(),
        };
        let evaluations = match scenario.compute.is_modelled() {
            true => 0.0,
            false => (steps / f64::from(scenario.evaluation.every.max(1))).ceil(),
        };
        let (Flops(measuring), measured) = federation.evaluation_cost();
        let values = plan.model.parameters() as f64;
        let messages = federation
            .peer_messages()
            .map_or(0.0, |messages| messages as f64);
        // A model that comes is looked through, and added to the mean in double precision.
        let mixing = messages * steps * values * 4.0 * trained.ceil();
        let serving = outlooks.server.setup.0 as f64
            + outlooks.server.round.0 as f64 * steps * trained.ceil();
        let events = tasks * EVENTS_A_TASK + messages * steps + rounds;
        let length = round_length(scenario, outlooks, asked);
        let virtual_seconds = steps * between * length;
        let virtual_seconds = match schedule.stop_at_time {
            Some(stop) => virtual_seconds.min(stop.seconds()),
            None => virtual_seconds,
        };
        // Whoever a fault takes away is waited for until the deadline of a round or of a server between, or
        // the timeout of a server that holds no rounds, however far off that is.
        let tiers = scenario.hierarchy.iter().map(|above| above.tier.deadline);
        let timeout = schedule
            .waiting
            .as_ref()
            .and_then(|waiting| waiting.timeout);
        let limits = tiers.chain([schedule.deadline, timeout]).flatten();
        let deadline = limits.map(Span::seconds).fold(0.0, f64::max);
        let longest = steps * between * f64::max(length, deadline);
        let longest = match schedule.stop_at_time {
            Some(stop) => longest.min(stop.seconds()),
            None => longest,
        };
        let periods = periods(scenario, longest);
        let interruptions = interruptions(scenario, outlooks, tasks);
        let arithmetic =
            tasks * trained * flops + evaluations * measuring as f64 + serving + mixing;
        let work = arithmetic / RATE
            + tasks * trained * each * STEP
            + evaluations * measured as f64 * MEASURED;
        let serial = events * EVENT + periods * PERIOD + interruptions * INTERRUPTION;
        let model = 4.0 * values;
        let personal = match outlooks.server.personal && trained > 0.0 {
            true => model * clients.min(if gossip { clients } else { tasks }),
            false => 0.0,
        };
        let training = outlooks
            .each()
            .filter(|(one, _)| one.fits)
            .map(|(one, _)| one.cost.memory.0)
            .max()
            .unwrap_or(0) as f64;
        let data = (plan.train.wire_bytes(plan.train.len()).0
            + plan.test.wire_bytes(plan.test.len()).0) as f64;
        let reports = match trained > 0.0 {
            true => model * if gossip { clients } else { asked },
            false => 0.0,
        };
        let training = if trained > 0.0 { training } else { 0.0 };
        let memory = PROCESS
            + clients * CLIENT
            + (messages + asked) * MESSAGE
            + 4.0 * (plan.partition.len() + plan.holdout.len()) as f64
            + data
            + model * COPIES
            + personal
            + reports
            + training;
        let record = &scenario.record;
        let on = |kept: bool, bytes: f64| if kept { bytes } else { 0.0 };
        let per_client = scenario.evaluation.per_client || outlooks.server.personal;
        let checkpoints = scenario.checkpoint.map_or(0.0, |checkpoint| {
            let made = (steps / f64::from(checkpoint.every.max(1))).floor();
            made.min(f64::from(checkpoint.keep) + 1.0)
                * (model * COPIES + personal + clients * CLIENT)
        });
        let disk = REST
            + rounds * ROUND_LINE
            + on(record.trace, events * TRACE)
            + on(record.clients, tasks * CLIENT_LINE)
            + on(
                record.clients && per_client,
                evaluations * clients * ACCURACY_LINE,
            )
            + on(record.events.is_some(), events * EVENT_LINE)
            + model * kept_models(scenario, steps, clients)
            + checkpoints;
        Self {
            rounds,
            tasks,
            flops,
            steps: each,
            evaluations,
            events,
            work,
            serial,
            memory,
            disk,
            virtual_seconds,
            periods,
            interruptions,
        }
    }

    /// Seconds that it takes on a machine.
    pub fn seconds(&self, machine: &Machine) -> f64 {
        self.work / machine.cores.max(1) as f64 + self.serial
    }

    /// What it says, line by line.
    pub fn lines(&self, machine: &Machine) -> Vec<String> {
        let beside = |free: Option<Bytes>| match free {
            Some(free) => format!(" ({} free)", bytes(free.0 as f64)),
            None => String::new(),
        };
        let cores = match machine.cores {
            1 => "a core".to_string(),
            cores => format!("{cores} cores"),
        };
        let tasks = match self.tasks > 0.0 {
            true => format!(
                "{} tasks of {} in {} steps each, ",
                count(self.tasks),
                Flops(self.flops as u64),
                count(self.steps)
            ),
            false => String::new(),
        };
        vec![
            format!(
                "the run: {} rounds, {tasks}{} evaluations, {} events; {} of virtual time",
                count(self.rounds),
                count(self.evaluations),
                count(self.events),
                span(self.virtual_seconds)
            ),
            format!(
                "time: about {} on {cores}, taken for {:.0} GFLOP/s a core, {:.1} ms a step and {:.0} us an event",
                span(self.seconds(machine)),
                RATE / 1e9,
                STEP * 1e3,
                EVENT * 1e6
            ),
            format!(
                "memory: about {}{}; disk: about {}{}",
                bytes(self.memory),
                beside(machine.memory),
                bytes(self.disk),
                beside(machine.disk)
            ),
        ]
    }

    /// Sentences about what it takes too much of.
    pub fn warnings(&self, machine: &Machine) -> Vec<String> {
        let mut warnings = Vec::new();
        let seconds = self.seconds(machine);
        if seconds.is_nan() || seconds > LONG {
            let followed = self.periods * PERIOD + self.interruptions * INTERRUPTION;
            let faults = match followed > seconds / 2.0 {
                true => format!(
                    ", most of it to follow faults and absences through {} of their periods",
                    count(self.periods + self.interruptions)
                ),
                false => String::new(),
            };
            warnings.push(format!(
                "the run takes about {} of this machine{faults}; it can be stopped, and with a \
                 checkpoint: (every: N) gone on with",
                span(seconds)
            ));
        }
        let scarce = [
            ("memory", self.memory, machine.memory),
            ("room on disk", self.disk, machine.disk),
        ];
        for (what, need, free) in scarce {
            if let Some(free) = free.filter(|free| need > free.0 as f64) {
                warnings.push(format!(
                    "the run takes about {} of {what}, and {free} are free",
                    bytes(need)
                ));
            }
        }
        warnings
    }
}

/// How many files of models are kept.
fn kept_models(scenario: &Scenario, rounds: f64, clients: f64) -> f64 {
    match scenario.record.model {
        None => 0.0,
        Some(Keep::Final | Keep::Best) => 1.0,
        Some(Keep::Every(every)) => 1.0 + (rounds / f64::from(every.max(1))).floor(),
        Some(Keep::Clients) => 1.0 + clients,
    }
}

/// How long a round is expected to be, in seconds of virtual time: until as many have reported as are
/// wanted, or the deadline.
fn round_length(scenario: &Scenario, outlooks: &Outlooks, asked: f64) -> f64 {
    // Who is there more often is asked more often.
    let mut all: Vec<(f64, f64)> = outlooks
        .each()
        .map(|(one, weight)| (one.total().seconds(), weight * one.participation))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = all.iter().map(|(_, weight)| weight).sum();
    let quantile = |share: f64| {
        let mut below = 0.0;
        let reached = all.iter().find(|(_, weight)| {
            below += weight;
            below >= share * total
        });
        reached.or(all.last()).map_or(0.0, |(seconds, _)| *seconds)
    };
    let deadline = match scenario.hierarchy.last() {
        Some(above) => above.tier.deadline,
        None => scenario.schedule.deadline,
    };
    let within = deadline.map_or(f64::INFINITY, Span::seconds);
    match (&scenario.schedule.waiting, scenario.hierarchy.is_empty()) {
        // So many at once, and a step of every few.
        (Some(waiting), true) => {
            let mean = all
                .iter()
                .map(|(seconds, weight)| seconds * weight)
                .sum::<f64>()
                / f64::max(total, 1.0);
            let wanted = match waiting.rule {
                Rule::FedBuff { buffer, .. } => f64::from(buffer),
                Rule::FedAsync { .. } | Rule::FedAT => 1.0,
            };
            mean * wanted / f64::from(waiting.concurrency.max(1))
        }
        _ => {
            let wanted = f64::from(scenario.schedule.cohort.of(scenario.clients()));
            quantile(wanted.min(asked) / (asked + 1.0)).min(within)
        }
    }
}

/// How often faults begin and end in so much virtual time, over all whom they concern.
fn periods(scenario: &Scenario, seconds: f64) -> f64 {
    use crate::fault::When;
    let clients = f64::from(scenario.clients());
    let of_faults = scenario.faults.iter().map(|fault| {
        let When::Repeated {
            between,
            lasts,
            until,
        } = &fault.when
        else {
            return 0.0;
        };
        // Of constant spans none has to be walked through to find a later one.
        if let (Distribution::Constant(_), Distribution::Constant(_)) = (between, lasts) {
            return 0.0;
        }
        let cycle = between.usual_length() + lasts.usual_length();
        let seconds = until.map_or(seconds, |until| until.seconds().min(seconds));
        let concerned = if fault.together { 1.0 } else { clients };
        concerned * seconds / cycle.max(1e-9)
    });
    of_faults.fold(0.0, |sum, each| sum + each)
}

/// How often faults and absences change the pace of all tasks together, as far as that is followed.
fn interruptions(scenario: &Scenario, outlooks: &Outlooks, tasks: f64) -> f64 {
    use crate::fault::When;
    let cycle =
        |a: &Distribution, b: &Distribution| (a.usual_length() + b.usual_length()).max(1e-9);
    let of_faults = |length: f64| {
        let changes = scenario
            .faults
            .iter()
            .filter_map(|fault| match &fault.when {
                When::Repeated {
                    between,
                    lasts,
                    until,
                } => {
                    let length = until.map_or(length, |until| until.seconds().min(length));
                    Some(2.0 * length / cycle(between, lasts))
                }
                _ => None,
            });
        // Each fault is looked at whenever one of them changes.
        let (sum, many) = changes.fold((0.0, 0.0), |(sum, many), each| (sum + each, many + 1.0));
        f64::min(sum, MOST_INTERRUPTIONS) * many
    };
    let of_absences =
        |member: &Member, length: f64| match (&member.group.availability, member.group.leaving) {
            (Availability::Markov(law), Leaving::Restart) if length > law.on.usual_length() => {
                MOST_ABSENCES
            }
            (Availability::Markov(law), Leaving::Pause | Leaving::Restart) => {
                (2.0 * length / cycle(&law.on, &law.off)).min(MOST_INTERRUPTIONS)
            }
            _ => 0.0,
        };
    let clients = f64::from(scenario.clients()).max(1.0);
    let groups = scenario.population.iter().zip(&outlooks.groups);
    let each = groups.map(|(member, group)| {
        let each = group.clients.iter().map(|one| {
            let length = one.total().seconds();
            of_faults(length) + of_absences(member, length)
        });
        let mean = each.sum::<f64>() / f64::from(group.looked_at.max(1));
        mean * f64::from(group.count) / clients
    });
    tasks * each.sum::<f64>()
}

/// A number of things, to three digits.
fn count(n: f64) -> String {
    match n {
        n if n < 1e4 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.3}k", n / 1e3).trim_end_matches('0').to_string(),
        n => format!("{n:.2e}"),
    }
}

/// A length of time, in seconds, as people say it.
fn span(seconds: f64) -> String {
    const DAY: f64 = 86_400.0;
    match seconds {
        s if s.is_nan() => "an unknown time".into(),
        s if s < 1e4 => about(Span::from_seconds(s)),
        s if s < 3.0 * DAY => format!("{:.1} h", s / 3_600.0),
        s if s < 1_000.0 * DAY => format!("{:.0} days", s / DAY),
        s if s < 1e6 * 365.0 * DAY => format!("{:.0} years", s / (365.0 * DAY)),
        _ => "more than a million years".into(),
    }
}

/// A size, in bytes, to three digits.
fn bytes(n: f64) -> String {
    let (value, unit) = match n {
        n if n < 1e6 => (n / 1e3, "kB"),
        n if n < 1e9 => (n / 1e6, "MB"),
        n if n < 1e12 => (n / 1e9, "GB"),
        n => (n / 1e12, "TB"),
    };
    match value {
        v if v < 10.0 => format!("{v:.2} {unit}"),
        v if v < 100.0 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests;
