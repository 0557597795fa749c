//! What grows how with the population, and what runs out first.

use super::fit::{line, power_law, PowerLaw};
use super::measure::Measurement;
use crate::quantity::Bytes;
use std::fmt;

/// Above this share something counts as used up: rounds then wait for it, and its share grows no
/// further.
const FULL: f64 = 0.95;

/// More clients than this cannot be numbered: what lasts until then lasts.
const MOST: f64 = 4e9;

/// Where one resource ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Which.
    pub resource: &'static str,
    /// At about so many clients.
    pub clients: f64,
    /// How that was worked out.
    pub how: String,
}

/// What follows from measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Host time of a round over the population.
    pub time: Option<PowerLaw>,
    /// What runs out, the first first; what does not grow is not there.
    pub limits: Vec<Limit>,
}

/// Works it out, for a host with `memory` left for a run. Foretells by extrapolation, so only as far
/// as things go on as they were measured.
pub fn verdict(rows: &[Measurement], memory: Option<Bytes>) -> Verdict {
    let of = |pick: &dyn Fn(&Measurement) -> f64| -> Vec<(f64, f64)> {
        rows.iter()
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
    limits.extend(share(
        "link of the server",
        &of(&|row| row.link_use.unwrap_or(0.0)),
    ));
    limits.extend(share(
        "computation of the server",
        &of(&|row| row.server_use),
    ));
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
    Verdict { time, limits }
}

/// Where a share of the virtual time comes to all of it.
fn share(resource: &'static str, points: &[(f64, f64)]) -> Option<Limit> {
    if let Some((clients, used)) = points.iter().find(|(_, used)| *used >= FULL) {
        return Some(Limit {
            resource,
            clients: *clients,
            how: format!(
                "it was in use {:.0} % of the virtual time already",
                100.0 * used
            ),
        });
    }
    let law = power_law(points)?;
    Some(Limit {
        resource,
        clients: law.reaches(1.0)?,
        how: format!(
            "its use grows with the power {:.2} of the population and was {:.3} % at the largest",
            law.exponent,
            100.0 * points.last()?.1
        ),
    })
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.time {
            Some(law) => writeln!(
                f,
                "host time of a round grows with the power {:.2} of the population",
                law.exponent
            )?,
            None => writeln!(f, "two populations or more tell how time grows")?,
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

    /// Made up: time with the power 0.5, memory of 100 MB and 50 B a client, a link that is at 1 % of
    /// 1,000 clients and in proportion, a server that is never in use.
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
                link_use: Some(1e-5 * n),
                server_use: 0.0,
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
        for (at, exact) in at.iter().zip([1e5, 2e7, 1e8]) {
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

    #[test]
    fn one_population_foretells_nothing() {
        let found = verdict(&made_up()[..1], Some(Bytes(1 << 30)));
        assert_eq!((found.time, found.limits.len()), (None, 0));
        assert!(found.to_string().contains("nothing that was measured"));
    }
}
