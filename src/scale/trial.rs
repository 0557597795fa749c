//! A scenario at another size, expressed as overrides. So the scenario is checked like any other,
//! and the overrides can be handed to the process that runs it.

use crate::data::Partitioner;
use crate::federation::Cohort;
use crate::scenario::Scenario;

/// The largest number of populations in one measurement.
const MOST: usize = 32;

/// The changes to a scenario besides its population.
#[derive(Debug, Clone, Default)]
pub struct Trial {
    /// The number of reports that a round wants; unchanged if not given.
    pub cohort: Option<u32>,
    /// The number of rounds.
    pub rounds: u32,
    /// Whether clients really train.
    pub real: bool,
}

/// Reads populations such as `1e3,1e4,50000` and returns them in ascending order, each once.
///
/// # Errors
/// The first population that is wrong, and why.
pub fn parse_populations(text: &str) -> Result<Vec<u32>, String> {
    let each = text.split(',').map(|word| {
        let word = word.trim();
        let number: f64 = word.parse().map_err(|_| {
            format!("{word:?} is no number of clients: expected numbers such as 1e3,1e4,50000")
        })?;
        let whole = number.fract() == 0.0;
        if !whole || !(1.0..=1e8).contains(&number) {
            return Err(format!(
                "{word} is no number of clients: expected whole numbers from 1 to 1e8"
            ));
        }
        Ok(number as u32)
    });
    let mut all = each.collect::<Result<Vec<u32>, String>>()?;
    all.sort_unstable();
    all.dedup();
    if all.len() > MOST {
        return Err(format!("{} populations, at most {MOST} can be", all.len()));
    }
    Ok(all)
}

/// Divides `total` in the proportions of `counts` by largest remainders, with at least one each;
/// `None` if `total` is too small for that.
fn divided(total: u32, counts: &[u32]) -> Option<Vec<u32>> {
    let groups = u32::try_from(counts.len()).ok()?;
    let rest = u128::from(total.checked_sub(groups)?);
    let sum: u128 = counts.iter().map(|&count| u128::from(count)).sum();
    if sum == 0 {
        return None;
    }
    // Each gets one, and the rest is divided in proportion.
    let due = counts.iter().map(|&count| rest * u128::from(count));
    let mut parts: Vec<u32> = due.clone().map(|due| (due / sum) as u32 + 1).collect();
    let mut remainders: Vec<(u128, usize)> =
        due.enumerate().map(|(at, due)| (due % sum, at)).collect();
    remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut missing = total - parts.iter().sum::<u32>();
    for (_, at) in remainders {
        if missing == 0 {
            break;
        }
        parts[at] += 1;
        missing -= 1;
    }
    Some(parts)
}

impl Trial {
    /// The number of reports that a round shall have, if the cohort is a number and there is a
    /// server.
    fn wanted(&self, scenario: &Scenario) -> Option<u32> {
        let cohort = match (self.cohort, scenario.schedule.cohort) {
            (Some(count), _) | (None, Cohort::Count(count)) => Some(count),
            (None, Cohort::Ratio(_)) => None,
        };
        // Without a server, all clients take part in every round.
        cohort.filter(|_| scenario.topology.is_none())
    }

    /// Whether `population` clients are fewer than the reports that a round shall have.
    pub fn caps(&self, scenario: &Scenario, population: u32) -> bool {
        self.wanted(scenario)
            .is_some_and(|count| count > population)
    }

    /// The overrides of `scenario` for a population of so many clients.
    ///
    /// Groups keep their proportions. Each client has as many samples as the clients of the
    /// scenario have on average, whatever the population is: clients share samples, unless the
    /// scenario already says so.
    ///
    /// # Errors
    /// When there are more groups than clients.
    pub fn overrides(&self, scenario: &Scenario, population: u32) -> Result<Vec<String>, String> {
        let counts: Vec<u32> = scenario.population.iter().map(|m| m.group.count).collect();
        let parts = divided(population, &counts).ok_or_else(|| {
            format!(
                "a population of {population} has no client for each of the {} groups",
                counts.len()
            )
        })?;
        let mut all: Vec<String> = parts
            .iter()
            .enumerate()
            .map(|(index, count)| format!("population[{index}].count={count}"))
            .collect();
        if !matches!(scenario.partition.by, Partitioner::Shared { .. }) {
            let each = scenario.samples_each();
            let least = scenario.partition.min_per_client.min(each);
            let holdout = match scenario.partition.holdout.get() {
                0.0 => String::new(),
                share => format!(", holdout: {share}"),
            };
            all.push(format!(
                "partition=(by: Shared(per_client: {each}), min_per_client: {least}{holdout})"
            ));
        }
        if let Some(count) = self.wanted(scenario) {
            all.push(format!("schedule.cohort={}", count.min(population)));
        }
        all.push(format!("schedule.rounds={}", self.rounds));
        all.push(format!(
            "compute={}",
            if self.real { "Real" } else { "Modelled" }
        ));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    #[test]
    fn populations_are_whole_numbers_in_any_notation_and_order() {
        assert_eq!(
            parse_populations("1e4, 1000,1e3,50_0").unwrap_err(),
            "\"50_0\" is no number of clients: expected numbers such as 1e3,1e4,50000"
        );
        assert_eq!(
            parse_populations("1e4, 1000,1e3,500").unwrap(),
            [500, 1_000, 10_000]
        );
        for (text, about) in [
            ("", "\"\" is no number"),
            ("1.5", "1.5 is no number of clients"),
            ("0", "whole numbers from 1"),
            ("-3", "whole numbers from 1"),
            ("1e9", "to 1e8"),
            ("inf", "whole numbers"),
            ("NaN", "whole numbers"),
        ] {
            let error = parse_populations(text).unwrap_err();
            assert!(error.contains(about), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn groups_keep_their_proportions_and_nobody_is_lost(
            counts in prop::collection::vec(1u32..10_000, 1..8),
            total in 8u32..100_000_000,
        ) {
            let parts = divided(total, &counts).unwrap();
            prop_assert_eq!(parts.iter().map(|&n| u64::from(n)).sum::<u64>(), u64::from(total));
            let sum: f64 = counts.iter().map(|&n| f64::from(n)).sum();
            for (part, count) in parts.iter().zip(&counts) {
                let due = f64::from(total) * f64::from(*count) / sum;
                prop_assert!(*part >= 1);
                // One each is set aside first: a group is off by at most as many as there are groups.
                prop_assert!((f64::from(*part) - due).abs() <= counts.len() as f64 + 1.0);
            }
        }
    }

    #[test]
    fn a_scenario_at_another_size_is_a_scenario() {
        let text = "(data: Digits, model: \"logistic\", partition: (by: Shards()),
            population: [(count: 30), (name: \"few\", count: 10)], schedule: (cohort: 20))";
        let path = Path::new("s.ron");
        let scenario = Scenario::parse(text, path, &[]).unwrap();
        let trial = Trial {
            rounds: 3,
            ..Trial::default()
        };
        let of = |population| {
            let overrides = trial.overrides(&scenario, population).unwrap();
            Scenario::parse(text, path, &overrides).unwrap_or_else(|wrong| panic!("{wrong:#}"))
        };
        let large = of(1_000_000);
        let counts: Vec<u32> = large.population.iter().map(|m| m.group.count).collect();
        assert_eq!(counts, [750_000, 250_000]);
        // 1,437 samples for 40 clients.
        assert_eq!(large.samples_each(), 35);
        assert!(large.compute.is_modelled());
        assert_eq!(
            (large.schedule.rounds, large.schedule.cohort),
            (3, Cohort::Count(20))
        );
        assert_eq!(of(7).schedule.cohort, Cohort::Count(7));
        assert!(trial.caps(&scenario, 7) && !trial.caps(&scenario, 20));
        assert!(trial
            .overrides(&scenario, 1)
            .unwrap_err()
            .contains("each of the 2 groups"));
    }
}
