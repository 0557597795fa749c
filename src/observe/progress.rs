//! The progress line of a run: a bar on a terminal, and now and then a plain line in a file.

use super::rows::RoundRow;
use super::text;
use crate::note;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// The number of plain lines of a run, when standard error is not a terminal.
const PLAIN_LINES: u32 = 10;
const BAR: &str = "{bar:28.cyan/blue} {pos}/{len} rounds · {msg} · {elapsed} gone, {eta} left";

/// The progress of a run, shown on standard error.
///
/// It reads the host's clock to show the pace, and none of that reaches a result.
#[derive(Debug)]
pub struct Progress {
    rounds: u32,
    started: Instant,
    reports: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts the progress line of a run with this many rounds.
    pub fn new(rounds: u32) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(
                Some(u64::from(rounds)),
                ProgressDrawTarget::stderr_with_hz(8),
            );
            // The template is a constant; if it were wrong, the style of the library would be used.
            if let Ok(style) = ProgressStyle::with_template(BAR) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar.set_message("starting");
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self {
            rounds,
            started: Instant::now(),
            reports: 0,
            bar,
        }
    }

    /// Shows that a round was closed.
    pub fn round(&mut self, row: &RoundRow) {
        self.reports = self.reports.saturating_add(u64::from(row.reported));
        let figures = figures(row, self.reports, self.started.elapsed());
        match &self.bar {
            Some(bar) => {
                bar.set_position(u64::from(row.round));
                bar.set_message(figures);
            }
            None if is_due(row.round, self.rounds) => {
                note!("round {}/{} · {figures}", row.round, self.rounds);
            }
            None => {}
        }
    }

    /// Writes a line to standard error without breaking the bar.
    pub fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note!("{line}")),
            None => note!("{line}"),
        }
    }

    /// Removes the bar.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Accuracy, virtual time and pace, in words.
fn figures(row: &RoundRow, reports: u64, elapsed: Duration) -> String {
    let virtual_time = text::span(crate::quantity::Span::from_nanos(row.ended.nanos()));
    let accuracy = match row.accuracy {
        Some(_) if row.loss.is_some_and(|loss| !loss.is_finite()) => {
            "loss not a number · ".to_owned()
        }
        Some(_) => format!("accuracy {} · ", text::percent(row.accuracy)),
        None => String::new(),
    };
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let pace = text::significant(reports as f64 / seconds);
    format!("{accuracy}virtual time {virtual_time} · {pace} clients/s")
}

/// Whether a plain line is due after this round: at every tenth of the run, and at its end.
fn is_due(round: u32, rounds: u32) -> bool {
    let tenth = |round: u32| u64::from(round) * u64::from(PLAIN_LINES) / u64::from(rounds.max(1));
    round >= rounds || round > 0 && tenth(round) != tenth(round - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::VirtualTime;

    #[test]
    fn a_plain_line_is_due_ten_times_a_run() {
        let due = |rounds| -> Vec<u32> { (1..=rounds).filter(|&r| is_due(r, rounds)).collect() };
        assert_eq!(due(100), [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
        assert_eq!(due(3), [1, 2, 3]);
        assert_eq!(due(1_000_000).len(), 10);
        assert!(is_due(0, 0) && is_due(5, 0));
    }

    #[test]
    fn the_bar_has_a_template_that_the_library_takes() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }

    #[test]
    fn the_line_tells_accuracy_virtual_time_and_pace() {
        let mut row = RoundRow {
            round: 3,
            ended: VirtualTime::from_nanos(90_000_000_000),
            accuracy: Some(0.875),
            ..RoundRow::default()
        };
        let line = |row: &RoundRow| figures(row, 120, Duration::from_secs(2));
        assert_eq!(
            line(&row),
            "accuracy 87.50 % · virtual time 1 min 30 s · 60 clients/s"
        );
        row.loss = Some(f64::NAN);
        assert_eq!(
            line(&row),
            "loss not a number · virtual time 1 min 30 s · 60 clients/s"
        );
        row.accuracy = None;
        assert_eq!(line(&row), "virtual time 1 min 30 s · 60 clients/s");
    }
}
