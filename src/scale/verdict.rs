//! How each resource grows with the population, and which one runs out first.

use super::fit::{line, power_law, PowerLaw};
use super::measure::Measurement;
use crate::quantity::Bytes;
use std::fmt;

/// The share of use above which a resource counts as used up: rounds then wait for it, and its
/// share grows no further.
const FULL: f64 = 0.95;

/// A law whose prediction differs from the measurement by more than this share is not used.
const TRUSTED: f64 = 0.2;

/// Clients are numbered with 32 bits, so a resource that lasts until this number does not run out.
const MOST: f64 = 4e9;

/// The population at which one resource runs out.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// The name of the resource.
    pub resource: &'static str,
    /// The approximate number of clients.
    pub clients: f64,
    /// How the number was computed.
    pub how: String,
}

/// The conclusions from the measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The host time of a round as a function of the population.
    pub time: Option<PowerLaw>,
    /// The resources that run out, the first one first; resources that do not grow are left out.
    pub limits: Vec<Limit>,
    /// Remarks on these: measurements that were left out, and growth that could not be predicted.
    pub notes: Vec<String>,
}

/// Draws the conclusions for a host with `memory` left for a run. The predictions extrapolate, so
/// they hold only as far as growth continues as it was measured. Populations smaller than the
/// schedule's cohort are left out, since costs that grow up to the size of the cohort do not grow
/// further.
pub fn verdict(rows: &[Measurement], memory: Option<Bytes>) -> Verdict {
    let (capped, fitted): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.capped);
    let mut notes = Vec::new();
    if let Some(largest) = capped.iter().map(|row| row.population).max() {
        let lines = match capped.len() {
            1 => "one population was".to_owned(),
            n => format!("{n} populations were"),
        };
        notes.push(format!(
            "{lines} too small for the cohort (capped, up to {largest} clients) and left out of what \
             follows"
        ));
        if fitted.len() < 2 {
            notes.push(format!(
                "measure two populations or more that the cohort fits into, larger than {largest}, or \
                 lower --cohort"
            ));
        }
    }
    let of = |pick: &dyn Fn(&Measurement) -> f64| -> Vec<(f64, f64)> {
        fitted
            .iter()
            .map(|row| (f64::from(row.population), pick(row)))
            .collect()
    };
    let time = power_law(&of(&|row| row.round_s));
    let mut limits = Vec::new();
    if let (Some(memory), Some(line)) = (memory, line(&of(&|row| row.peak_bytes as f64))) {
        if let Some(clients) = line.reaches(memory.0 as f64) {
            let base = Bytes(line.base.max(0.0) as u64);
            limits.push(Limit {
                resource: "memory of this machine",
                clients,
                how: format!(
                    "peak memory is {base} and {:.0} B a client (line through all sizes), {memory} are free",
                    line.each
                ),
            });
        }
    }
    let uses = [
        ("link of the server", of(&|row| row.link_use.unwrap_or(0.0))),
        ("computation of the server", of(&|row| row.server_use)),
    ];
    for (resource, points) in uses {
        match share(resource, &points) {
            Share::Ends(limit) => limits.push(limit),
            Share::Unclear(note) => notes.push(note),
            Share::Lasts => {}
        }
    }
    let hours = of(&|row| row.virtual_hour_s / 3_600.0);
    if let Some((law, clients)) = power_law(&hours).and_then(|law| Some((law, law.reaches(1.0)?))) {
        limits.push(Limit {
            resource: "time of this machine",
            clients,
            how: format!(
                "an hour of virtual time takes an hour; its host time grows with the power {:.2} of the \
                 population",
                law.exponent
            ),
        });
    }
    limits.retain(|limit| limit.clients <= MOST);
    limits.sort_by(|a, b| a.clients.total_cmp(&b.clients));
    Verdict {
        time,
        limits,
        notes,
    }
}

/// The conclusion about a resource that is in use for a share of the virtual time.
enum Share {
    /// The resource is used up at this population.
    Ends(Limit),
    /// The use of the resource does not grow.
    Lasts,
    /// The growth cannot be predicted, for this reason.
    Unclear(String),
}

/// The population at which the share of the virtual time comes close to 1.
///
/// A round that waits for the resource lasts longer by that wait, so the share itself bends towards one.
/// The ratio of the time in use to the time not in use keeps growing; the law is fitted to that ratio. With three sizes or more, the law through the smaller ones must predict the largest one.
fn share(resource: &'static str, points: &[(f64, f64)]) -> Share {
    if let Some((clients, used)) = points.iter().find(|(_, used)| *used >= FULL) {
        return Share::Ends(Limit {
            resource,
            clients: *clients,
            how: format!(
                "it was in use {:.0} % of the virtual time already",
                100.0 * used
            ),
        });
    }
    let odds = |used: f64| used / (1.0 - used);
    let odd: Vec<(f64, f64)> = points.iter().map(|&(n, used)| (n, odds(used))).collect();
    let (Some(law), Some(&(largest, used))) = (power_law(&odd), points.last()) else {
        return Share::Lasts;
    };
    let Some(clients) = law.reaches(odds(FULL)) else {
        return Share::Lasts;
    };
    let smaller = &odd[..odd.len() - 1];
    if let Some(before) = power_law(smaller) {
        let foretold = before.at(largest) / (1.0 + before.at(largest));
        if (foretold / used - 1.0).abs() > TRUSTED {
            return Share::Unclear(format!(
                "the {resource}: its use does not go on as it began ({:.3} % at {largest:.0} clients, \
                 where the smaller populations foretell {:.3} %), so nothing is foretold of it",
                100.0 * used,
                100.0 * foretold
            ));
        }
    }
    Share::Ends(Limit {
        resource,
        clients,
        how: format!(
            "its use was {:.3} % at the largest and comes to {:.0} %: time in use over time not in use \
             grows with the power {:.2} of the population",
            100.0 * used,
            100.0 * FULL,
            law.exponent
        ),
    })
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        match &self.time {
            Some(law) => writeln!(
                f,
                "host time of a round grows with the power {:.2} of the population",
                law.exponent
            )?,
            None => writeln!(
                f,
                "two populations or more that are not capped tell how time grows"
            )?,
        }
        let Some((first, others)) = self.limits.split_first() else {
            return writeln!(f, "nothing that was measured grows enough to run out");
        };
        let at = |clients: f64| format!("{clients:.0}");
        writeln!(
            f,
            "first to run out: the {}, at about {} clients: {}",
            first.resource,
            at(first.clients),
            first.how
        )?;
        for limit in others {
            writeln!(
                f,
                "  then the {}, at about {} clients: {}",
                limit.resource,
                at(limit.clients),
                limit.how
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made up: time with the power 0.5, memory of 100 MB and 50 B a client, a link that takes 10 µs a
    /// client in rounds that take a second beside, a server that is never in use.
    fn made_up() -> Vec<Measurement> {
        let each = [1_000u32, 10_000, 40_000].into_iter().map(|population| {
            let n = f64::from(population);
            Measurement {
                population,
                cohort: population / 10,
                rounds: 10,
                samples: 20,
                compute: "modelled".into(),
                events: 1,
                events_per_s: 1.0,
                setup_s: 1.0,
                round_s: 0.01 * n.sqrt(),
                virtual_hour_s: 0.36 * n.sqrt(),
                virtual_s: 1.0,
                peak_bytes: 100_000_000 + 50 * u64::from(population),
                client_bytes: 50.0,
                queue_p50_s: 0.0,
                queue_p99_s: 0.0,
                link_use: Some(1e-5 * n / (1.0 + 1e-5 * n)),
                server_use: 0.0,
                invited: n / 10.0,
                capped: false,
            }
        });
        each.collect()
    }

    #[test]
    fn what_runs_out_first_is_named_with_where_and_why() {
        let found = verdict(&made_up(), Some(Bytes(1_100_000_000)));
        assert!((found.time.unwrap().exponent - 0.5).abs() < 1e-9);
        let names: Vec<&str> = found.limits.iter().map(|limit| limit.resource).collect();
        assert_eq!(
            names,
            [
                "link of the server",
                "memory of this machine",
                "time of this machine"
            ]
        );
        let at: Vec<f64> = found.limits.iter().map(|limit| limit.clients).collect();
        for (at, exact) in at.iter().zip([1.9e6, 2e7, 1e8]) {
            assert!((at / exact - 1.0).abs() < 1e-6, "{at} against {exact}");
        }
        let text = found.to_string();
        assert!(
            text.contains("power 0.50 of the population\nfirst to run out: the link"),
            "{text}"
        );
        assert!(
            text.contains("peak memory is 100 MB and 50 B a client"),
            "{text}"
        );
    }

    #[test]
    fn what_is_used_up_already_runs_out_where_it_was_seen() {
        let mut rows = made_up();
        rows[1].server_use = 0.97;
        rows[2].server_use = 0.99;
        let found = verdict(&rows, None);
        assert_eq!(found.limits[0].resource, "computation of the server");
        assert_eq!(found.limits[0].clients, 10_000.0);
        assert_eq!(
            found.limits[0].how,
            "it was in use 97 % of the virtual time already"
        );
    }

    /// What `shoal scale scenarios/population/million.ron --population 1e3,1e4,1e5,1e6` found of the link:
    /// a cohort of 10,000, and 1.2 times as many asked.
    fn million() -> Vec<Measurement> {
        let each = [
            (1_000, 0.034_886_529_219_663_8, true),
            (10_000, 0.236_093_191_305_138, true),
            (100_000, 0.366_546_299_433_660_96, false),
            (1_000_000, 0.366_484_632_828_776_4, false),
        ];
        let rows = made_up().into_iter().cycle().zip(each);
        rows.map(|(row, (population, used, capped))| Measurement {
            population,
            link_use: Some(used),
            capped,
            peak_bytes: 100_000_000,
            round_s: 1.0,
            virtual_hour_s: 1.0,
            ..row
        })
        .collect()
    }

    #[test]
    fn populations_too_small_for_the_cohort_foretell_nothing_of_larger_ones() {
        let found = verdict(&million(), None);
        assert_eq!(found.limits, [], "its use stays where it is");
        assert!(
            found.notes[0]
                .contains("2 populations were too small for the cohort (capped, up to 10000"),
            "{:?}",
            found.notes
        );
        // The fault that this stands for: with them the link seemed to run out.
        let mut believed = million();
        believed.iter_mut().for_each(|row| row.capped = false);
        let law = power_law(
            &believed
                .iter()
                .map(|row| (f64::from(row.population), row.link_use.unwrap()))
                .collect::<Vec<_>>(),
        );
        assert!(law.unwrap().reaches(1.0).unwrap() < 1e8);
        // One population left is none to go by, and it says what to do.
        let few = verdict(&million()[..3], None);
        assert_eq!((few.time, few.limits.len()), (None, 0));
        assert!(few.notes[1].contains("lower --cohort"), "{:?}", few.notes);
    }

    #[test]
    fn a_use_that_does_not_go_on_as_it_began_is_not_foretold() {
        let mut rows = made_up();
        rows[2].link_use = Some(0.15);
        let found = verdict(&rows, None);
        assert!(found
            .limits
            .iter()
            .all(|limit| !limit.resource.contains("link")));
        assert!(
            found.notes[0].starts_with("the link of the server: its use does not go on"),
            "{:?}",
            found.notes
        );
    }

    #[test]
    fn one_population_foretells_nothing() {
        let found = verdict(&made_up()[..1], Some(Bytes(1 << 30)));
        assert_eq!((found.time, found.limits.len()), (None, 0));
        assert!(found.to_string().contains("nothing that was measured"));
    }
}
