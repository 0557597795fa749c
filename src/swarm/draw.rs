//! Random fault plans.

use crate::quantity::unit;
use crate::sim::rng::{below, stream, Purpose, Stream};

/// The range in which the faults of a plan may lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// The virtual time, in seconds, from which on nothing goes wrong, except that some clients are
    /// gone for good.
    pub horizon: f64,
    /// The last round with faults.
    pub rounds: u32,
    /// The number of clients.
    pub clients: u32,
    /// The kinds of fault that the scenario allows.
    pub kinds: Kinds,
    /// Whether clients talk to each other without a server.
    pub peers: bool,
}

/// A set of kinds of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u64);

impl Kinds {
    /// All kinds.
    pub const ALL: Self = Self(u64::MAX);

    /// The kinds of which `accepts` takes every one of a few faults, drawn within `bounds`.
    pub fn accepted(bounds: &Bounds, mut accepts: impl FnMut(&str) -> bool) -> Self {
        let mut found = 0;
        for (at, kind) in KINDS.iter().enumerate() {
            let mut draws = (0..PROBES).map(|probe| {
                let mut draw = Draw {
                    rng: stream(probe, at as u64, Purpose::Fault, 1 << 60),
                    bounds: *bounds,
                    gone: false,
                };
                kind(&mut draw)
            });
            if draws.all(|fault| accepts(&fault)) {
                found |= 1 << at;
            }
        }
        Self(found)
    }

    const fn has(self, at: usize) -> bool {
        self.0 >> at & 1 == 1
    }

    /// The number of kinds in the set, and the number of all kinds.
    pub fn count(self) -> (u32, usize) {
        let all = (1u64 << KINDS.len()) - 1;
        ((self.0 & all).count_ones(), KINDS.len())
    }
}

/// The number of faults of each kind that are tried on a scenario.
const PROBES: u64 = 3;

/// The largest number of faults in a plan.
const MOST: u64 = 8;
/// The share of the clients that may be gone for good.
pub(super) const GONE: f64 = 0.1;

/// The random draws for one plan.
struct Draw {
    rng: Stream,
    bounds: Bounds,
    /// Whether the plan already has clients that are gone for good.
    gone: bool,
}

type Kind = fn(&mut Draw) -> String;

/// Every kind of fault that a plan may have. Undetected bit flips are not among them: they may lead
/// to any model, so no model would be wrong.
const KINDS: &[Kind] = &[
    |d| d.link_fault("Delay", |d| d.law(2.0)),
    |d| d.link_fault("Offset", |d| d.law(1.0)),
    |d| d.link_fault("Loss", |d| d.share(0.01, 0.9)),
    |d| {
        d.link_fault("BurstLoss", |d| {
            let (enter, leave) = (d.share(0.001, 0.2), d.share(0.01, 0.5));
            format!("p_good_to_bad: {enter}, p_bad_to_good: {leave}")
        })
    },
    |d| d.message_fault("Duplicate", |d| format!("after: {}", d.law(5.0))),
    |d| d.message_fault("Reorder", |d| format!("hold: {}", d.law(5.0))),
    |d| d.message_fault("Corrupt", |_| "checksum: true".into()),
    |d| d.message_fault("Corrupt", |_| "how: Truncate, checksum: false".into()),
    |d| d.timed("Bandwidth", |d| d.share(0.0, 0.5), false),
    |d| d.link_fault("Mtu", |d| format!("\"{} B\"", 40 + d.below(1_400))),
    |d| {
        d.link_fault("Queue", |d| {
            let drop = ["Newest", "Oldest", "Random"][d.below(3) as usize];
            format!("capacity: \"{} kB\", drop: {drop}", 1 + d.below(200))
        })
    },
    |d| d.timed("Disconnect", |_| String::new(), false),
    |d| d.timed("Hold", |_| String::new(), false),
    |d| {
        let cuts = ["All", "Half", "Groups(3)", "One"];
        let cut = cuts[d.below(4) as usize];
        // A link that is cut must also heal within the horizon.
        let heal = d.uniform(0.0, 0.2 * d.bounds.horizon);
        d.until(
            0.8,
            "Partition",
            format!("cut: {cut}, heal: \"{heal:.3} s\""),
        )
    },
    |d| {
        let keep = d.below(2) == 0;
        d.timed("Crash", move |_| format!("keep_state: {keep}"), true)
    },
    |d| d.gone("Crash()"),
    |d| d.gone("Panic"),
    |d| d.timed("Pause", |_| String::new(), true),
    |d| d.timed("Slow", |d| d.times(), true),
    |d| d.timed("Degrade", |d| d.times(), true),
    |d| {
        d.timed(
            "Throttle",
            |d| {
                format!(
                    "after: \"{:.3} s\", slowdown: {}",
                    d.uniform(0.0, 1.0),
                    d.times()
                )
            },
            true,
        )
    },
    |d| {
        d.timed(
            "Clock",
            |d| format!("ahead: {:.3}, drift: 0.001", d.uniform(-5.0, 5.0)),
            true,
        )
    },
    |d| d.task_fault("OutOfMemory", ""),
    |d| {
        let share = d.share(0.1, 1.0);
        d.task_fault("PartialWork", &share)
    },
    |d| d.task_fault("StaleModel", ""),
    |d| d.task_fault("NotANumber", ""),
    |d| d.task_fault("Infinite", ""),
    |d| d.task_fault("WrongShape", ""),
    |d| {
        let by = ["-3", "-1", "1", "2"][d.below(4) as usize];
        d.task_fault("WrongRound", by)
    },
    |d| {
        let copies = (1 + d.below(3)).to_string();
        d.task_fault("DuplicateReport", &copies)
    },
    |d| {
        let by = d.law(20.0);
        d.task_fault("LateReport", &by)
    },
    |d| d.task_fault("ReplayReport", ""),
    |d| d.timed("ServerSlow", |d| d.times(), false),
    |d| {
        d.timed(
            "ServerClock",
            |d| format!("{:.3}", d.uniform(-0.5, 1.0)),
            false,
        )
    },
    |d| d.timed("ServerCrash", |_| String::new(), false),
    |d| d.task_fault("TornCheckpoint", ""),
];

/// The faults of run number `run`, as RON, and the seed of its scenario.
pub fn plan(seed: u64, run: u32, bounds: &Bounds) -> (Vec<String>, u64) {
    let mut draw = Draw {
        rng: stream(seed, u64::from(run), Purpose::Fault, 1 << 61),
        bounds: *bounds,
        gone: false,
    };
    let scenario = draw.below(1 << 32);
    // Each kind of fault is either in the whole run or not at all.
    let share = draw.uniform(0.05, 0.8);
    let known = KINDS
        .iter()
        .enumerate()
        .filter(|(at, _)| bounds.kinds.has(*at));
    let kinds: Vec<Kind> = known
        .filter(|_| draw.uniform(0.0, 1.0) < share)
        .map(|(_, kind)| *kind)
        .collect();
    if kinds.is_empty() {
        return (Vec::new(), scenario);
    }
    let count = 1 + draw.below(MOST);
    let faults = (0..count).filter_map(|_| {
        let kind = kinds[draw.below(kinds.len() as u64) as usize];
        let fault = kind(&mut draw);
        (!fault.is_empty()).then_some(fault)
    });
    (faults.collect(), scenario)
}

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        below(&mut self.rng, bound)
    }

    fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * unit(&mut self.rng)
    }

    /// A random ratio between `low` and `high`, with three decimal places.
    fn share(&mut self, low: f64, high: f64) -> String {
        format!("{:.3}", self.uniform(low, high))
    }

    /// A random slowdown from 1 to 100, on a logarithmic scale.
    fn times(&mut self) -> String {
        format!("{:.2}", libm::pow(10.0, self.uniform(0.0, 2.0)))
    }

    /// A duration of up to `most` seconds, constant or from a distribution.
    fn law(&mut self, most: f64) -> String {
        let length = self.uniform(0.001, most);
        match self.below(3) {
            0 => format!("\"{length:.3} s\""),
            1 => format!("Uniform(low: \"0 s\", high: \"{length:.3} s\")"),
            _ => format!("Exponential(min: \"0 s\", mean: \"{length:.3} s\")"),
        }
    }

    fn who(&mut self) -> String {
        match self.below(4) {
            0 => "All".into(),
            1 => format!("Share({})", self.share(0.1, 0.9)),
            2 => format!("Count({})", 1 + self.below(u64::from(self.bounds.clients))),
            _ => {
                let client = self.below(u64::from(self.bounds.clients));
                format!("Clients([{client}])")
            }
        }
    }

    /// A period by the clock that ends within a share of the horizon.
    fn times_until(&mut self, share: f64) -> String {
        let end = share * self.bounds.horizon;
        match self.below(3) {
            0 => {
                let at = self.uniform(0.0, end);
                let lasts = self.uniform(0.0, end - at).max(0.001);
                format!("Once(at: \"{at:.3} s\", lasts: \"{lasts:.3} s\")")
            }
            which => {
                let (between, lasts) = (self.uniform(0.01, end), self.uniform(0.01, end));
                let law = if which == 1 {
                    "Repeated(between"
                } else {
                    "Rate(every"
                };
                format!(
                    "{law}: \"{between:.3} s\", lasts: Exponential(min: \"1 ms\", mean: \"{lasts:.3} s\"), \
                     until: \"{end:.3} s\")"
                )
            }
        }
    }

    fn rounds(&mut self) -> String {
        let last = u64::from(self.bounds.rounds.max(1));
        let from = 1 + self.below(last);
        let until = from + self.below(last - from + 1);
        format!("Rounds(from: {from}, until: {until})")
    }

    /// A period given by the clock or by rounds.
    fn either(&mut self) -> String {
        if self.below(3) == 0 {
            self.rounds()
        } else {
            self.times_until(1.0)
        }
    }

    fn call(name: &str, arguments: &str) -> String {
        match (name, arguments) {
            ("Crash" | "Duplicate" | "Corrupt", "") => format!("{name}()"),
            (_, "") => name.to_string(),
            _ => format!("{name}({arguments})"),
        }
    }

    /// One of the three directions, and some kinds of message.
    fn filter(&mut self) -> String {
        let direction = ["", ", direction: Up", ", direction: Down"][self.below(3) as usize];
        let kinds = match self.bounds.peers {
            true => ["", "", ", kinds: [\"model\"]", ""],
            false => [
                "",
                "",
                ", kinds: [\"task\"]",
                ", kinds: [\"report\", \"refusal\"]",
            ],
        };
        format!("{direction}{}", kinds[self.below(4) as usize])
    }

    fn link_fault(&mut self, name: &str, arguments: impl Fn(&mut Self) -> String) -> String {
        let arguments = arguments(self);
        let (who, when, filter) = (self.who(), self.either(), self.filter());
        format!(
            "(fault: {}, who: {who}, when: {when}{filter})",
            Self::call(name, &arguments)
        )
    }

    fn message_fault(&mut self, name: &str, arguments: impl Fn(&mut Self) -> String) -> String {
        let arguments = arguments(self);
        let (who, when, filter, p) = (
            self.who(),
            self.either(),
            self.filter(),
            self.share(0.01, 1.0),
        );
        format!(
            "(fault: {}, who: {who}, when: {when}, p: {p}{filter})",
            Self::call(name, &arguments)
        )
    }

    fn task_fault(&mut self, name: &str, arguments: &str) -> String {
        let (who, when, p) = (self.who(), self.either(), self.share(0.05, 1.0));
        format!(
            "(fault: {}, who: {who}, when: {when}, p: {p})",
            Self::call(name, arguments)
        )
    }

    fn timed(
        &mut self,
        name: &str,
        arguments: impl Fn(&mut Self) -> String,
        may_share: bool,
    ) -> String {
        let arguments = arguments(self);
        let together = if may_share && self.below(2) == 0 {
            ", together: true"
        } else {
            ""
        };
        let fault = self.until(1.0, name, arguments);
        fault.replacen(", who:", &format!("{together}, who:"), 1)
    }

    fn until(&mut self, share: f64, name: &str, arguments: String) -> String {
        let (who, when) = (self.who(), self.times_until(share));
        format!(
            "(fault: {}, who: {who}, when: {when})",
            Self::call(name, &arguments)
        )
    }

    /// The fault `fault` for a minority that never comes back; an empty text if the plan already
    /// has such a minority.
    fn gone(&mut self, fault: &str) -> String {
        let share = self.uniform(0.0, GONE);
        let when = if fault == "Panic" {
            format!(
                "Rounds(from: {})",
                1 + self.below(u64::from(self.bounds.rounds.max(1)))
            )
        } else {
            format!(
                "Once(at: \"{:.3} s\")",
                self.uniform(0.0, self.bounds.horizon)
            )
        };
        if std::mem::replace(&mut self.gone, true) {
            return String::new();
        }
        let count = (share * f64::from(self.bounds.clients)) as u32;
        format!(
            "(fault: {fault}, who: Count({}), when: {when})",
            count.max(1)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use std::collections::BTreeSet;
    use std::path::Path;

    const BOUNDS: Bounds = Bounds {
        horizon: 30.0,
        rounds: 5,
        clients: 40,
        kinds: Kinds::ALL,
        peers: false,
    };

    #[test]
    fn every_plan_is_one_that_a_scenario_may_have() {
        let text = "(data: Digits, model: [Flatten, Dense(10)], population: [(count: 40)])";
        let mut kinds = BTreeSet::new();
        for run in 0..600 {
            let (plan, seed) = plan(7, run, &BOUNDS);
            let overrides = [
                format!("faults=[{}]", plan.join(", ")),
                format!("seed={seed}"),
            ];
            let scenario = Scenario::parse(text, Path::new("s.ron"), &overrides);
            let scenario = scenario.unwrap_or_else(|problems| panic!("{plan:#?}\n{problems:#}"));
            assert_eq!(scenario.faults.len(), plan.len());
            let name = |fault: &String| {
                let name = fault.trim_start_matches("(fault: ").split(['(', ',']);
                name.take(1).collect::<String>()
            };
            for (typed, fault) in plan.iter().zip(&scenario.faults) {
                // Whoever is cut off from all is disconnected, whichever way it is typed.
                let (typed, known) = (name(typed), fault.what.name());
                assert!(typed == known || (&*typed, known) == ("Partition", "Disconnect"));
            }
            kinds.extend(plan.iter().map(name));
        }
        // `Corrupt` and `Crash` are there twice.
        assert_eq!(kinds.len(), KINDS.len() - 2, "{kinds:?}");
        assert!(KINDS.len() < 64, "they are bits of a word");
    }

    #[test]
    fn what_a_scenario_refuses_is_in_no_plan() {
        // As where there are servers between.
        let refuses = |fault: &str| fault.contains("ServerCrash") || fault.contains("Torn");
        let kinds = Kinds::accepted(&BOUNDS, |fault| !refuses(fault));
        assert_eq!(kinds.count(), (KINDS.len() as u32 - 2, KINDS.len()));
        let bounds = Bounds { kinds, ..BOUNDS };
        let all: String = (0..600).flat_map(|run| plan(7, run, &bounds).0).collect();
        assert!(!all.contains("ServerCrash") && !all.contains("TornCheckpoint"));
        assert!(all.contains("ServerSlow") && all.contains("Loss"));
        // A kind of which some are refused is left out as a whole.
        let some = Kinds::accepted(&BOUNDS, |fault| !fault.contains("direction: Up"));
        assert!(some.count().0 < KINDS.len() as u32);
    }

    #[test]
    fn clients_without_a_server_meet_faults_of_models_alone() {
        let bounds = Bounds {
            peers: true,
            ..BOUNDS
        };
        let all: String = (0..600).flat_map(|run| plan(7, run, &bounds).0).collect();
        assert!(all.contains("kinds: [\"model\"]"));
        assert!(!all.contains("\"task\"") && !all.contains("\"report\""));
    }

    #[test]
    fn plans_are_named_by_seed_and_run_and_few_clients_are_gone_for_good() {
        assert_eq!(plan(1, 5, &BOUNDS), plan(1, 5, &BOUNDS));
        assert_ne!(plan(1, 5, &BOUNDS), plan(1, 6, &BOUNDS));
        assert_ne!(plan(1, 5, &BOUNDS), plan(2, 5, &BOUNDS));
        for run in 0..400 {
            let (plan, _) = plan(3, run, &BOUNDS);
            let for_good = |fault: &&String| {
                fault.contains("Panic") || fault.contains("Crash()") && !fault.contains("lasts")
            };
            let gone = plan.iter().filter(for_good).count();
            assert!(gone <= 1 && plan.len() <= MOST as usize);
        }
    }
}
