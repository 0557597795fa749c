//! The two tables of a sweep: a row for each cell, and statistics over the seeds of each setting.

use super::cells::Cell;
use super::outcome::{Outcome, Standing};
use super::plan::{replace, SweepError, SweepPlan};
use std::path::Path;

/// The name of the table with a row for each cell.
pub const TABLE: &str = "sweep.csv";
/// The name of the table with a row for each setting and figure.
pub const SUMMARY: &str = "summary.csv";

/// The columns of a cell's row that follow its number and the varied parameters.
pub const TABLE_COLUMNS: [&str; 19] = [
    "seed",
    "status",
    "final_accuracy",
    "best_accuracy",
    "best_round",
    "client_mean",
    "received_mean",
    "trained_mean",
    "final_loss",
    "rounds",
    "virtual_s",
    "goal_s",
    "goal_bytes",
    "bytes_down",
    "bytes_up",
    "real_s",
    "trace_hash",
    "folder",
    "error",
];

/// The columns of a figure's row that follow the varied parameters.
pub const SUMMARY_COLUMNS: [&str; 6] = ["figure", "runs", "mean", "sd", "min", "max"];

/// The mean and the spread of a figure over the runs that have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The number of runs that have the figure.
    pub runs: usize,
    /// The mean.
    pub mean: f64,
    /// The standard deviation with the divisor n − 1; `None` for a single run.
    pub sd: Option<f64>,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

/// The mean and the spread of those values that are numbers; `None` if there are none.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let values: Vec<f64> = values
        .into_iter()
        .filter(|value| value.is_finite())
        .collect();
    let (min, max) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |ends, &value| {
            (ends.0.min(value), ends.1.max(value))
        });
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    // The sum is made in a second pass over the values, so that values close together lose no
    // digits.
    let squares = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>();
    (!values.is_empty()).then(|| Spread {
        runs: values.len(),
        mean,
        sd: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
        min,
        max,
    })
}

/// The results of a sweep so far.
#[derive(Debug)]
pub struct Collected {
    /// The result of each cell, in order.
    pub outcomes: Vec<Outcome>,
    /// The final accuracy over the seeds of each setting, in order.
    pub accuracy: Vec<Option<Spread>>,
}

/// Reads a figure from the result of a run, if the run has it.
type Pick = fn(&Outcome) -> Option<f64>;

/// The names of the figures that a summary has for each setting.
pub fn figures() -> impl Iterator<Item = &'static str> {
    FIGURES.iter().map(|(name, _)| *name)
}

/// The figures that are summarised over the seeds.
const FIGURES: [(&str, Pick); 9] = [
    ("final_accuracy", |o| o.totals.as_ref()?.final_accuracy),
    ("best_accuracy", |o| {
        Some(o.totals.as_ref()?.best_accuracy?.0)
    }),
    ("client_mean", |o| o.client_mean),
    ("received_mean", |o| o.received_mean),
    ("trained_mean", |o| o.trained_mean),
    ("virtual_s", |o| {
        Some(o.totals.as_ref()?.virtual_ns as f64 / 1e9)
    }),
    ("goal_s", |o| Some(o.goal?.0)),
    ("goal_bytes", |o| Some(o.goal?.1 as f64)),
    ("bytes", |o| {
        let totals = o.totals.as_ref()?;
        Some(totals.bytes_down.saturating_add(totals.bytes_up) as f64)
    }),
];

/// Reads the results of all cells that have run, whichever process ran them, and writes both
/// tables. `goal` is an accuracy in [0, 1] for the columns that say when it was reached.
///
/// # Errors
/// When the tables cannot be written.
pub fn collect(plan: &SweepPlan, out: &Path, goal: Option<f64>) -> Result<Collected, SweepError> {
    let cells = plan.cells.iter();
    let outcomes: Vec<Outcome> = cells.map(|cell| Outcome::of(out, cell, goal)).collect();
    replace(out, TABLE, &written(rows(plan, &outcomes), out, TABLE)?)?;
    let settings = settings(plan);
    let over = |of: &[usize], pick: Pick| spread(of.iter().filter_map(|&at| pick(&outcomes[at])));
    let mut lines = vec![heading(plan, &SUMMARY_COLUMNS)];
    for of in &settings {
        for (name, pick) in FIGURES {
            let Some(spread) = over(of, pick) else {
                continue;
            };
            let mut line = plan.cells[of[0]].values.clone();
            line.extend([
                name.to_string(),
                spread.runs.to_string(),
                spread.mean.to_string(),
                spread.sd.map(|sd| sd.to_string()).unwrap_or_default(),
                spread.min.to_string(),
                spread.max.to_string(),
            ]);
            lines.push(line);
        }
    }
    replace(out, SUMMARY, &written(lines, out, SUMMARY)?)?;
    let accuracy = settings.iter().map(|of| over(of, FIGURES[0].1)).collect();
    Ok(Collected { outcomes, accuracy })
}

/// For each setting, the places of its cells in the list of cells.
fn settings(plan: &SweepPlan) -> Vec<Vec<usize>> {
    let mut settings: Vec<Vec<usize>> = Vec::new();
    for (at, cell) in plan.cells.iter().enumerate() {
        if cell.setting == settings.len() {
            settings.push(Vec::new());
        }
        if let Some(last) = settings.last_mut() {
            last.push(at);
        }
    }
    settings
}

fn heading(plan: &SweepPlan, columns: &[&str]) -> Vec<String> {
    let varied = plan.varied.iter().map(|varied| varied.path.clone());
    varied
        .chain(columns.iter().map(ToString::to_string))
        .collect()
}

fn rows(plan: &SweepPlan, outcomes: &[Outcome]) -> Vec<Vec<String>> {
    let mut head = vec!["cell".to_string()];
    head.extend(heading(plan, &TABLE_COLUMNS));
    let rows = plan
        .cells
        .iter()
        .zip(outcomes)
        .map(|(cell, o)| row(cell, o));
    std::iter::once(head).chain(rows).collect()
}

fn row(cell: &Cell, outcome: &Outcome) -> Vec<String> {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let whole = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let totals = outcome.totals.as_ref();
    let begun = outcome.standing != Standing::Absent;
    let mut row = vec![cell.index.to_string()];
    row.extend(cell.values.iter().cloned());
    row.extend([
        cell.seed.to_string(),
        outcome.standing.word().to_string(),
        number(totals.and_then(|t| t.final_accuracy)),
        number(totals.and_then(|t| Some(t.best_accuracy?.0))),
        whole(totals.and_then(|t| Some(t.best_accuracy?.1.into()))),
        number(outcome.client_mean),
        number(outcome.received_mean),
        number(outcome.trained_mean),
        number(totals.and_then(|t| t.final_loss)),
        whole(totals.map(|t| t.rounds.into())),
        number(totals.map(|t| t.virtual_ns as f64 / 1e9)),
        number(outcome.goal.map(|goal| goal.0)),
        whole(outcome.goal.map(|goal| goal.1)),
        whole(totals.map(|t| t.bytes_down)),
        whole(totals.map(|t| t.bytes_up)),
        number(totals.map(|t| t.real_s)),
        outcome.hash.clone().unwrap_or_default(),
        match begun {
            true => SweepPlan::folder(Path::new(""), cell).display().to_string(),
            false => String::new(),
        },
        outcome.error.clone().unwrap_or_default(),
    ]);
    row
}

fn written(lines: Vec<Vec<String>>, out: &Path, name: &str) -> Result<Vec<u8>, SweepError> {
    let failed = |problem: String| SweepError::File {
        path: out.join(name),
        problem,
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer
            .write_record(line)
            .map_err(|error| failed(error.to_string()))?;
    }
    writer
        .into_inner()
        .map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_spread_is_of_what_is_a_number() {
        let found = spread([2.0, f64::NAN, 4.0, 9.0]).unwrap();
        // Deviations of -3, -1 and 4 from 5: 26 over 2.
        assert_eq!(
            found,
            Spread {
                runs: 3,
                mean: 5.0,
                sd: Some(13f64.sqrt()),
                min: 2.0,
                max: 9.0
            }
        );
        assert_eq!(spread([1.5]).unwrap().sd, None);
        assert_eq!(spread([f64::NAN]), None);
        assert_eq!(spread([]), None);
    }

    proptest! {
        #[test]
        fn the_mean_is_between_the_ends(values in prop::collection::vec(-1e6f64..1e6, 1..30)) {
            let n = values.len();
            let found = spread(values).unwrap();
            prop_assert!(found.min <= found.mean + 1e-6 && found.mean <= found.max + 1e-6);
            prop_assert_eq!(found.runs, n);
            // No deviation is larger than the range.
            let range = found.max - found.min;
            prop_assert!(found.sd.unwrap_or(0.0) <= range * (1.0 + 1e-9));
        }
    }
}
