//! The whole page of the report.

use super::html::{escape, figure, table, tile};
use super::{curves, labels, latency, spread, stacks, theme, timeline, Figure, Party, ReportPage};
use crate::observe::record::Status;
use crate::observe::rows::{InvitationRow, Outcome};
use crate::observe::{summary, text, ObserveError};
use crate::quantity::Span;

const STYLE: &str = include_str!("style.css");
/// The largest number of rows of a table.
const MOST_ROWS: usize = 200;
/// The largest number of characters of a scenario that are shown; the rest is in the run folder.
const LONGEST_SCENARIO: usize = 200_000;

pub(super) fn render(report: &ReportPage<'_>) -> Result<String, ObserveError> {
    let rounds = &report.digest.rounds;
    let digest = report.digest;
    let figures: Vec<Figure> = [
        curves::accuracy(rounds)?,
        curves::accuracy_in_time(rounds)?,
        curves::loss(rounds)?,
        curves::by_size(rounds, &digest.sizes)?,
        spread::bands(rounds)?,
        spread::clients(&digest.accuracy, &digest.groups)?,
        latency::percentiles(report.histograms)?,
        stacks::invitations(digest, report.party)?,
        stacks::bytes(rounds, report.party)?,
        match report.party {
            // The rounds of the clients are those of other servers.
            Party::Servers => None,
            Party::Clients | Party::Peers => timeline::timeline(digest, report.deadline)?,
        },
        labels::bubbles(&digest.dealt, &digest.groups)?,
    ]
    .into_iter()
    .flatten()
    .collect();

    let mut body = header(report);
    body += "<div class=\"tiles\">\n";
    body += &tiles(report);
    body += "</div>\n";
    for warning in report.totals.warnings() {
        body += &format!("<p class=\"card warning\">{}</p>\n", escape(&warning));
    }
    if rounds.is_empty() {
        body +=
            "<p class=\"card empty\">No round was closed, so there is nothing to draw yet.</p>\n";
    }
    body += "<div class=\"figures\">\n";
    body.extend(figures.iter().map(figure));
    body += &invitations(report);
    body += &groups(report);
    body += &costs(report);
    body += &classes(report);
    body += &times(report);
    body += &messages(report);
    body += &staleness(report);
    body += &rejections(report);
    body += &unfinished(report);
    body += "</div>\n";
    body += &scenario(report);
    body += &format!(
        "<footer>Drawn by shoal {}. Times are virtual unless they say otherwise.</footer>\n",
        escape(report.version)
    );

    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{} · shoal</title>\n<style>\n{}{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(&text::shown(report.name, 120)),
        theme::css()
    ))
}

fn header(report: &ReportPage<'_>) -> String {
    let facts: String = report
        .facts
        .iter()
        .map(|(name, value)| {
            let value = text::shown(value, 160);
            format!(
                "<div><dt>{}</dt><dd>{}</dd></div>",
                escape(name),
                escape(&value)
            )
        })
        .collect();
    format!(
        "<header><p class=\"status {class}\">{status}</p><h1>{name}</h1><dl class=\"facts\">{facts}\
         <div><dt>seed</dt><dd>{seed}</dd></div></dl></header>\n",
        status = report.status.word(),
        class = report.status.word().replace(' ', "-"),
        name = escape(&text::shown(report.name, 120)),
        seed = report.seed,
    )
}

fn tiles(report: &ReportPage<'_>) -> String {
    let totals = report.totals;
    let mut out = String::new();
    let best = match totals.best_accuracy {
        Some((best, round)) => {
            format!(
                "best {} in round {}",
                text::percent(Some(best)),
                text::grouped(round.into())
            )
        }
        None => "central test set not evaluated".to_owned(),
    };
    out += &tile(
        "Final accuracy",
        &text::percent(totals.final_accuracy),
        &best,
    );
    let failed = totals.rounds.saturating_sub(totals.completed);
    let closed = match (totals.rounds, failed) {
        (0, _) => "none was closed".to_owned(),
        (_, 0) => "all completed".to_owned(),
        (_, n) => format!("{} of them not completed", text::grouped(n.into())),
    };
    let closed = match totals.scheduled > totals.rounds {
        true => format!(
            "of {} scheduled, {closed}",
            text::grouped(totals.scheduled.into())
        ),
        false => closed,
    };
    out += &tile("Rounds held", &text::grouped(totals.rounds.into()), &closed);
    out += &tile(
        "Virtual time",
        &text::span(totals.virtual_time()),
        &format!("simulated in {}", text::span(summary::real(totals))),
    );
    out += &tile(
        "Traffic",
        &text::bytes(totals.bytes_down.saturating_add(totals.bytes_up)),
        &format!(
            "{} down, {} up",
            text::bytes(totals.bytes_down),
            text::bytes(totals.bytes_up)
        ),
    );
    out += &tile(
        "Reports",
        &text::grouped(totals.reports),
        &format!(
            "{} clients/s real",
            text::significant(totals.reports_per_second())
        ),
    );
    let hash = report
        .hash
        .map_or("–".to_owned(), |hash| text::shown(hash, 40));
    let events = format!("over {} events", text::grouped(totals.events));
    out + &tile("Trace hash", &hash, &events)
}

/// The first rows of a table, and a note if there are more.
fn capped<T>(all: &[T], row: impl Fn(&T) -> Vec<String>) -> (Vec<Vec<String>>, Vec<String>) {
    let rows = all.iter().take(MOST_ROWS).map(row).collect();
    let note = format!(
        "The first {MOST_ROWS} of {} are listed.",
        text::grouped(all.len() as u64)
    );
    (
        rows,
        Vec::from_iter((all.len() > MOST_ROWS).then_some(note)),
    )
}

/// What became of all invitations, and what each outcome means.
fn invitations(report: &ReportPage<'_>) -> String {
    let mut all = InvitationRow::default();
    for row in &report.digest.invitations {
        all.add(row);
    }
    if all.invited == 0 {
        return String::new();
    }
    let outcomes = all.outcomes().into_iter().filter(|(_, count)| *count > 0);
    let rows: Vec<Vec<String>> = outcomes
        .map(|(word, count)| {
            vec![
                word.to_owned(),
                text::grouped(count.into()),
                text::percent(Some(f64::from(count) / f64::from(all.invited))),
                stacks::meaning(word).to_owned(),
            ]
        })
        .collect();
    let notes = [
        format!(
            "{} invitations, each with exactly one outcome.",
            text::grouped(all.invited.into())
        ),
        format!("Wasted: {}.", summary::waste_in_words(&all)),
    ];
    table(
        "What became of the invitations",
        &["outcome", "invitations", "share", "meaning"],
        &rows,
        &notes,
    )
}

fn groups(report: &ReportPage<'_>) -> String {
    let groups = &report.digest.groups;
    if groups.is_empty() {
        return String::new();
    }
    let (rows, notes) = capped(groups, |group| {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        vec![
            text::shown(&group.group, 60),
            text::grouped(group.clients.into()),
            text::percent(share(group.asked.into(), group.clients.into())),
            text::grouped(group.invited),
            text::percent(share(group.reported, group.invited)),
            text::percent(group.mean_accuracy),
            text::percent(group.mean_trained),
            group.mean_compute.map_or("–".to_owned(), text::span),
            text::bytes(group.bytes_down),
            text::bytes(group.bytes_up),
        ]
    });
    let headings = [
        "group",
        "clients",
        "took part",
        "invitations",
        "reported",
        "mean accuracy",
        "after training",
        "mean compute",
        "down",
        "up",
    ];
    table("Groups", &headings, &rows, &notes)
}

fn costs(report: &ReportPage<'_>) -> String {
    let costs = &report.digest.costs;
    if costs.is_empty() {
        return String::new();
    }
    let (rows, mut notes) = capped(costs, |cost| {
        let mut row = summary::cost_cells(cost);
        let last = report.digest.last_of(cost.size);
        row.push(text::percent(last.and_then(|last| last.accuracy)));
        row.push(text::percent(last.and_then(|last| last.client_mean)));
        row.push(text::percent(last.and_then(|last| last.trained_mean)));
        row
    });
    notes.push(
        "Wasted is the energy of work that moved no model: of invitations that were not reported, and \
         of reports to rounds that were not completed."
            .to_owned(),
    );
    let mut headings = summary::COST_HEADINGS.to_vec();
    headings.extend(["accuracy", "on own samples", "after training"]);
    // With a single width, its accuracy is in the tiles.
    let shown = match report.digest.sizes.is_empty() {
        true => summary::COST_HEADINGS.len(),
        false => headings.len(),
    };
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|mut row| {
            row.truncate(shown);
            row
        })
        .collect();
    table("What clients cost", &headings[..shown], &rows, &notes)
}

/// The indices of the classes, with the names that the data has for them.
fn classes(report: &ReportPage<'_>) -> String {
    if report.classes.is_empty() {
        return String::new();
    }
    let (rows, mut notes) = capped(report.classes, |class| {
        vec![
            class.index.to_string(),
            text::shown(&class.name, 60),
            text::grouped(class.train),
            text::grouped(class.test),
        ]
    });
    notes.push("Samples are counted before faults and attacks change any.".to_owned());
    let headings = [
        "class",
        "name in the data",
        "training samples",
        "test samples",
    ];
    table("Classes", &headings, &rows, &notes)
}

fn times(report: &ReportPage<'_>) -> String {
    let figures = report.histograms.table();
    if figures.is_empty() {
        return String::new();
    }
    let (rows, mut notes) = capped(&figures, |(title, p)| {
        let mut row = vec![text::shown(title, 60)];
        row.extend([p.p50, p.p90, p.p99, p.max].map(|span: Span| text::span(span)));
        row.push(text::grouped(p.count));
        row
    });
    notes.extend(report.histograms.note().map(|note| note + "."));
    let headings = ["virtual time of", "p50", "p90", "p99", "max", "count"];
    table("Where time goes", &headings, &rows, &notes)
}

fn messages(report: &ReportPage<'_>) -> String {
    if report.messages.is_empty() {
        return String::new();
    }
    let all: Vec<_> = report.messages.iter().collect();
    let (rows, mut notes) = capped(&all, |(kind, count)| {
        vec![
            text::shown(kind, 60),
            text::grouped(count.sent),
            text::grouped(count.duplicated),
            text::grouped(count.delivered),
            text::grouped(count.lost),
            text::grouped(count.dropped),
            text::grouped(count.in_flight),
            text::bytes(count.bytes),
        ]
    });
    notes.push(
        match all.iter().all(|(_, count)| count.balances()) {
            true => {
                "Every message is accounted for: sent + copies = delivered + lost + dropped + in flight."
            }
            false => {
                "The figures do not add up: a message is unaccounted for. This is a bug in shoal."
            }
        }
        .to_owned(),
    );
    let headings = [
        "kind",
        "sent",
        "copies",
        "delivered",
        "lost",
        "dropped",
        "in flight",
        "bytes",
    ];
    table("Messages", &headings, &rows, &notes)
}

fn staleness(report: &ReportPage<'_>) -> String {
    let all = report.staleness.reports();
    let (rows, mut notes) = capped(&report.staleness.ranges(), |(first, last, reports)| {
        vec![
            match first == last {
                true => first.to_string(),
                false => format!("{first}–{last}"),
            },
            text::grouped(*reports),
            text::percent(Some(*reports as f64 / all.max(1) as f64)),
        ]
    });
    if rows.is_empty() {
        return String::new();
    }
    notes.push(format!(
        "Server steps between a client's task and its report: {}.",
        report.staleness
    ));
    let headings = ["server steps", "reports", "share"];
    table("How old reports were", &headings, &rows, &notes)
}

fn rejections(report: &ReportPage<'_>) -> String {
    if report.rejections.is_empty() {
        return String::new();
    }
    let all: Vec<_> = report.rejections.iter().collect();
    let (rows, mut notes) = capped(&all, |(reason, count)| {
        vec![reason.to_string(), text::grouped(**count)]
    });
    notes.push("Each of them is a line of rejections.csv.".to_owned());
    table(
        "Reports that were not used",
        &["reason", "reports"],
        &rows,
        &notes,
    )
}

/// The rounds that did not change the model, and those that began with an older one.
fn unfinished(report: &ReportPage<'_>) -> String {
    let rounds = report.digest.rounds.iter();
    let odd: Vec<_> = rounds
        .filter(|row| row.outcome != Outcome::Completed || row.restored.is_some())
        .collect();
    if odd.is_empty() {
        return String::new();
    }
    let (rows, notes) = capped(&odd, |row| {
        vec![
            text::grouped(row.round.into()),
            match row.outcome {
                Outcome::Completed => "completed",
                Outcome::Abandoned => "abandoned: too few reports",
                Outcome::Stopped => "stopped with the run",
                Outcome::Crashed => "lost: the server went down",
            }
            .to_owned(),
            format!(
                "{} of {}",
                text::grouped(row.reported.into()),
                text::grouped(row.invited.into())
            ),
            match row.restored {
                None => "the round before".to_owned(),
                Some(0) => "what it was set up with".to_owned(),
                Some(round) => format!("the checkpoint of round {}", text::grouped(round.into())),
            },
        ]
    });
    let headings = ["round", "outcome", "reported", "went on from"];
    table("Rounds out of the ordinary", &headings, &rows, &notes)
}

fn scenario(report: &ReportPage<'_>) -> String {
    let mut shown: String = report.scenario.chars().take(LONGEST_SCENARIO).collect();
    if shown.len() < report.scenario.len() {
        shown += "\n… the rest is in run.json";
    }
    let run_again = match report.command.is_empty() {
        true => String::new(),
        false => format!(
            "<p>Run it again: <code>{}</code></p>",
            escape(&text::shown(report.command, 2_000))
        ),
    };
    let open = match report.status {
        Status::Failed => " open",
        _ => "",
    };
    format!(
        "<details class=\"card\"{open}><summary>The scenario</summary>{run_again}<pre>{}</pre></details>\n",
        escape(&shown)
    )
}
