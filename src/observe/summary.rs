//! The closing table of a run, on one screen of the terminal.

use super::histograms::Histograms;
use super::participation::Participation;
use super::record::{Declined, Messages, Rejections, Status, Totals};
use super::rows::{CostRow, InvitationRow};
use super::staleness::Staleness;
use super::text;
use crate::quantity::Flops;
use std::fmt;
use std::path::Path;

/// The data of the closing table, which is written with `{}`.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a> {
    /// The name of the scenario.
    pub name: &'a str,
    /// The seed of the run.
    pub seed: u64,
    /// How the run ended.
    pub status: Status,
    /// Which computation was left out, if any was.
    pub compute: Option<&'a str>,
    /// The run in a few figures.
    pub totals: &'a Totals,
    /// The histograms of durations.
    pub histograms: &'a Histograms,
    /// What became of messages, by kind.
    pub messages: &'a Messages,
    /// The number of reports that were not used, by reason.
    pub rejections: &'a Rejections,
    /// The number of tasks that were declined for want of budget.
    pub declined: &'a Declined,
    /// How evenly clients were asked, where some may be away.
    pub participation: Option<&'a Participation>,
    /// The staleness of the used reports.
    pub staleness: &'a Staleness,
    /// What became of all invitations.
    pub invitations: Option<&'a InvitationRow>,
    /// What clients cost, by width.
    pub costs: &'a [CostRow],
    /// The trace hash.
    pub hash: Option<&'a str>,
    /// The path of the run folder.
    pub folder: &'a Path,
}

/// A grid of cells under headings; the first column has names, the others have figures.
struct Grid {
    rows: Vec<Vec<String>>,
}

impl Grid {
    fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|&h| h.to_owned()).collect()],
        }
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.rows {
            write!(f, " ")?;
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, " {cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = self.totals;
        let name = text::shown(self.name, 80);
        writeln!(f, "{name} · seed {} · {}", self.seed, self.status.word())?;
        writeln!(f)?;
        let mut line = |what: &str, value: String| writeln!(f, "  {what:<14}{value}");
        let best = match totals.best_accuracy {
            Some((best, round)) => {
                format!(" (best {} in round {round})", text::percent(Some(best)))
            }
            None => String::new(),
        };
        if let Some(compute) = self.compute {
            line("compute", compute.to_owned())?;
        }
        let broken = match totals.not_a_number_since {
            Some(_) => ", loss not a number",
            None => "",
        };
        line(
            "accuracy",
            text::percent(totals.final_accuracy) + broken + &best,
        )?;
        let warnings = totals.warnings();
        if !warnings.is_empty() {
            line("warning", warnings.join("\n                "))?;
        }
        if totals.attack_success.is_some() {
            let success = text::percent(totals.attack_success);
            line("attack", format!("{success} success"))?;
        }
        line("rounds", rounds_in_words(totals))?;
        line(
            "reports",
            format!(
                "{} ({} clients/s){}",
                text::grouped(totals.reports),
                text::significant(totals.reports_per_second()),
                partial_in_words(totals)
            ),
        )?;
        if let Some(all) = self.invitations.filter(|all| all.invited > 0) {
            line("invitations", invitations_in_words(all))?;
            line("wasted", waste_in_words(all))?;
        }
        if !self.rejections.is_empty() {
            let each = self.rejections.iter();
            let words: Vec<String> = each
                .map(|(why, n)| format!("{} ({why})", text::grouped(*n)))
                .collect();
            // The words go one below the other, aligned under the first.
            line("not used", words.join("\n                "))?;
        }
        if !self.declined.is_empty() {
            let each = self.declined.iter();
            let words: Vec<String> = each
                .map(|(why, n)| format!("{} ({why})", text::grouped(*n)))
                .collect();
            line("declined", words.join("\n                "))?;
        }
        if let Some(who) = self.participation {
            let words = format!(
                "{} clients, {} never (Gini {:.2})",
                text::grouped(u64::from(who.asked)),
                text::grouped(u64::from(who.never)),
                who.gini
            );
            line("asked", words)?;
        }
        if !self.staleness.is_empty() {
            line("staleness", self.staleness.to_string())?;
        }
        line("virtual time", text::span(totals.virtual_time()))?;
        line("real time", text::span(real(totals)))?;
        line(
            "traffic",
            format!(
                "{} down, {} up",
                text::bytes(totals.bytes_down),
                text::bytes(totals.bytes_up)
            ),
        )?;
        if let Some(epsilon) = totals.epsilon {
            let words = match epsilon.is_infinite() {
                true => "ε is infinite: nothing is promised".to_string(),
                false => format!("ε = {}", text::significant(epsilon)),
            };
            let words = match totals.epsilon_pld {
                Some(tighter) => {
                    format!("{words} (RDP), {} (PLD)", text::significant(tighter))
                }
                None => words,
            };
            line("privacy", words)?;
        }
        line("events", text::grouped(totals.events))?;
        if let Some(hash) = self.hash {
            line("trace hash", text::shown(hash, 80))?;
        }

        let figures = self.histograms.table();
        if !figures.is_empty() {
            let mut grid = Grid::new(&["virtual time of", "p50", "p90", "p99", "max", "count"]);
            for (title, p) in figures {
                grid.rows.push(vec![
                    text::shown(&title, 40),
                    text::span(p.p50),
                    text::span(p.p90),
                    text::span(p.p99),
                    text::span(p.max),
                    text::grouped(p.count),
                ]);
            }
            write!(f, "\n{grid}")?;
            if let Some(note) = self.histograms.note() {
                writeln!(f, "  {note}")?;
            }
        }

        if !self.costs.is_empty() {
            let mut grid = Grid::new(&COST_HEADINGS);
            for cost in self.costs {
                grid.rows.push(cost_cells(cost));
            }
            write!(f, "\n{grid}")?;
        }

        if !self.messages.is_empty() {
            let mut grid = Grid::new(&[
                "messages",
                "sent",
                "copies",
                "delivered",
                "lost",
                "dropped",
                "in flight",
                "bytes",
                "",
            ]);
            for (kind, count) in self.messages {
                grid.rows.push(vec![
                    text::shown(kind, 40),
                    text::grouped(count.sent),
                    text::grouped(count.duplicated),
                    text::grouped(count.delivered),
                    text::grouped(count.lost),
                    text::grouped(count.dropped),
                    text::grouped(count.in_flight),
                    text::bytes(count.bytes),
                    match count.balances() {
                        true => String::new(),
                        false => "do not add up".to_owned(),
                    },
                ]);
            }
            write!(f, "\n{grid}")?;
        }
        writeln!(f, "\n  output in {}", self.folder.display())
    }
}

/// How many rounds were asked for, held and completed, in words.
pub(super) fn rounds_in_words(totals: &Totals) -> String {
    let wanted = match totals.scheduled {
        0 => totals.rounds,
        scheduled => scheduled,
    };
    let completed = format!(
        "{} of {} completed",
        text::grouped(totals.completed.into()),
        text::grouped(wanted.into())
    );
    match totals.rounds == totals.completed {
        true => completed,
        false => format!("{completed}, {} held", text::grouped(totals.rounds.into())),
    }
}

/// How many reports are of training that stopped early, in words; nothing where none can be.
pub(super) fn partial_in_words(totals: &Totals) -> String {
    let words = |partial| format!(", {} of them partial", text::grouped(partial));
    totals.partial.map_or_else(String::new, words)
}

/// How many invitations there were, and what became of them, in words.
pub(super) fn invitations_in_words(all: &InvitationRow) -> String {
    let outcomes = all.outcomes().into_iter().filter(|(_, count)| *count > 0);
    let words = outcomes.map(|(word, count)| format!("{} {word}", text::grouped(count.into())));
    let words: Vec<String> = words.collect();
    format!(
        "{}: {}",
        text::grouped(all.invited.into()),
        words.join(", ")
    )
}

/// How much of what was spent was wasted, in words.
pub(super) fn waste_in_words(all: &InvitationRow) -> String {
    let share = |part: f64, whole: f64| match whole > 0.0 {
        true => text::percent(Some(part / whole)),
        false => text::percent(Some(0.0)),
    };
    let traffic = |down: u64, up: u64| down.saturating_add(up) as f64;
    format!(
        "{} of the computing, {} of the energy ({}), {} of the traffic",
        share(all.wasted_flops as f64, all.flops as f64),
        share(all.wasted_energy_j, all.energy_j),
        text::joules(all.wasted_energy_j),
        share(
            traffic(all.wasted_bytes_down, all.wasted_bytes_up),
            traffic(all.bytes_down, all.bytes_up)
        )
    )
}

/// The headings above [`cost_cells`].
pub(super) const COST_HEADINGS: [&str; 11] = [
    "clients of width",
    "clients",
    "parameters",
    "memory",
    "trained",
    "FLOP",
    "down",
    "up",
    "compute",
    "energy",
    "wasted",
];

/// What the clients of one width cost, one cell for each figure.
pub(super) fn cost_cells(cost: &CostRow) -> Vec<String> {
    vec![
        cost.size.to_string(),
        text::grouped(cost.clients.into()),
        text::grouped(cost.parameters),
        text::bytes(cost.memory_bytes),
        text::grouped(cost.trained),
        Flops(cost.flops).to_string(),
        text::bytes(cost.bytes_down),
        text::bytes(cost.bytes_up),
        text::span(cost.compute),
        text::joules(cost.energy_j),
        text::joules(cost.wasted_energy_j),
    ]
}

/// The host time of the run, as a span so that it is printed like the others.
pub(super) fn real(totals: &Totals) -> crate::quantity::Span {
    crate::quantity::Span::from_seconds(totals.real_s)
}

#[cfg(test)]
mod tests {
    use super::super::record::MessageCount;
    use super::super::rows::RoundRow;
    use super::*;
    use crate::quantity::{Span, VirtualTime};
    use std::time::Duration;

    fn text_of(totals: &Totals, histograms: &Histograms, messages: &Messages) -> String {
        let (none, some) = (Staleness::default(), Staleness([(0, 599), (4, 1)].into()));
        Summary {
            name: "quickstart\x1b[31m",
            seed: 1,
            status: Status::Completed,
            compute: Some("sampled (0.05)"),
            totals,
            histograms,
            messages,
            rejections: &Rejections::new(),
            declined: &Declined::from([("data plan spent".to_owned(), 1_200)]),
            participation: Some(&Participation {
                asked: 1_234,
                never: 66,
                gini: 0.316,
            }),
            staleness: match totals.reports {
                0 => &none,
                _ => &some,
            },
            costs: &[CostRow {
                size: 0.5,
                clients: 40,
                parameters: 14_506,
                memory_bytes: 2_500_000,
                trained: 1_000,
                flops: 3_000_000_000,
                bytes_down: 58_000_000,
                bytes_up: 58_000_000,
                compute: Span::from_secs(90),
                energy_j: 4_500.0,
                wasted_energy_j: 300.0,
                ..CostRow::default()
            }],
            invitations: Some(&InvitationRow {
                invited: match totals.reports {
                    0 => 0,
                    _ => 1_310,
                },
                reported: 1_200,
                late: 100,
                lost: 10,
                bytes_down: 600,
                bytes_up: 400,
                flops: 50,
                energy_j: 4_000.0,
                wasted_bytes_down: 100,
                wasted_bytes_up: 50,
                wasted_flops: 5,
                wasted_energy_j: 500.0,
                ..InvitationRow::default()
            }),
            hash: Some("9f2c"),
            folder: Path::new("runs/quickstart-1-1"),
        }
        .to_string()
    }

    #[test]
    fn the_table_says_what_came_of_the_run() {
        let rounds = [(1, 0.9), (2, 0.875)].map(|(round, accuracy)| RoundRow {
            round,
            reported: 600,
            bytes_down: 2_000_000,
            accuracy: Some(accuracy),
            epsilon: Some(accuracy * 2.0),
            ..RoundRow::default()
        });
        let end = VirtualTime::from_nanos(75_000_000_000);
        let totals = Totals {
            scheduled: 400,
            epsilon_pld: Some(1.5),
            ..Totals::of(&rounds, end, 12_345, Duration::from_secs(2))
        };
        let mut histograms = Histograms::new();
        histograms.message("update", end, Span::from_millis(20));
        let count = MessageCount {
            sent: 1200,
            duplicated: 0,
            delivered: 1199,
            ..MessageCount::default()
        };
        let text = text_of(&totals, &histograms, &[("update".to_owned(), count)].into());
        for expected in [
            "quickstart\u{fffd}[31m · seed 1 · completed\n",
            "  compute       sampled (0.05)\n",
            "  accuracy      87.50 % (best 90.00 % in round 1)\n",
            "  rounds        2 of 400 completed\n",
            "  invitations   1,310: 1,200 reported, 100 late, 10 lost\n",
            "  wasted        10.00 % of the computing, 12.50 % of the energy (500 J), 15.00 % of the traffic\n",
            "  reports       1,200 (600 clients/s)\n",
            "  declined      1,200 (data plan spent)\n",
            "  staleness     mean 0.01, p50 0, p90 0, p99 0, max 4 server steps\n",
            "  virtual time  1 min 15 s\n",
            "  real time     2 s\n",
            "  traffic       4 MB down, 0 B up\n",
            "  privacy       ε = 1.75 (RDP), 1.5 (PLD)\n",
            "  events        12,345\n",
            "  trace hash    9f2c\n",
            "  virtual time of      p50    p90    p99    max  count\n",
            "  latency of update  20 ms  20 ms  20 ms  20 ms      1\n",
            "  update    1,200       0      1,199     0        0          0    0 B  do not add up\n",
            "  0.5                    40      14,506  2.5 MB    1,000  3 GFLOP  58 MB  58 MB  1 min 30 s  4.5 kJ   300 J\n",
            "  output in runs/quickstart-1-1\n",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
    }

    #[test]
    fn an_interrupted_run_says_what_was_asked_for_and_what_was_held() {
        let totals = |scheduled, rounds, completed| Totals {
            scheduled,
            rounds,
            completed,
            ..Totals::default()
        };
        assert_eq!(rounds_in_words(&totals(400, 23, 23)), "23 of 400 completed");
        let held = rounds_in_words(&totals(400, 25, 23));
        assert_eq!(held, "23 of 400 completed, 25 held");
        assert_eq!(rounds_in_words(&totals(2, 2, 2)), "2 of 2 completed");
    }

    #[test]
    fn a_loss_that_is_not_a_number_is_reported_beside_the_accuracy_and_so_is_training_that_diverged(
    ) {
        let rounds = [(1, 2.0, 0), (2, f64::NAN, 3), (4, f64::INFINITY, 1)];
        let rounds = rounds.map(|(round, loss, diverged)| RoundRow {
            round,
            accuracy: Some(0.0),
            loss: Some(loss),
            diverged: Some(diverged),
            ..RoundRow::default()
        });
        let of = |rounds: &[RoundRow]| {
            let totals = Totals::of(rounds, VirtualTime::ZERO, 1, Duration::from_secs(1));
            text_of(&totals, &Histograms::new(), &Messages::new())
        };
        let text = of(&rounds);
        for expected in [
            "  accuracy      0.00 %, loss not a number",
            "  warning       The model's loss on the test set is not a finite number since round 2",
            "\n                4 local trainings of clients ended in a loss or in weights that are not",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        assert!(!of(&rounds[..1]).contains("warning"));
        // A loss that became a number again is reported as a loss.
        let back = RoundRow {
            loss: Some(1.0),
            ..rounds[0].clone()
        };
        assert!(!of(&[rounds[1].clone(), back]).contains("not a finite"));
    }

    #[test]
    fn a_run_that_came_to_nothing_still_has_a_table() {
        let text = text_of(&Totals::default(), &Histograms::new(), &Messages::new());
        assert!(text.contains("accuracy      –\n"), "{text}");
        assert!(text.contains("0 (0 clients/s)"), "{text}");
        assert!(!text.contains("p50"), "{text}");
    }
}
