//! `shoal sweep`

mod children;

use super::exit::Exit;
use super::list::columns;
use super::signals::interruptions;
use super::{size, HostArgs, ScenarioArgs};
use crate::learn::available_memory;
use crate::observe::report::swept;
use crate::quantity::{Bytes, Span};
use crate::run::SCENARIO;
use crate::sweep::{
    collect, in_use_by, keep_text, parse_seeds, replace, state, tidied, Cell, Collected, Hold,
    Outcome, Shard, Standing, State, SweepPlan, Varied, MOST_CELLS, SUMMARY, TABLE,
};
use crate::text::read_text;
use crate::{note, say};
use children::{conduct, Ended, Job, Turn};
use clap::Args;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The picture's file.
const PICTURE: &str = "sweep.svg";
/// For how long the run of a sweep that was killed may take to end.
const ORPHAN: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub struct SweepArgs {
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// Run with each of these values, RON with commas between them (repeat for all combinations)
    #[arg(long, value_name = "PATH=VALUE,VALUE,...")]
    vary: Vec<Varied>,
    /// Run each combination under each of these seeds, such as 1..5 or 1,2,7
    #[arg(long, value_name = "SEEDS", value_parser = seeds, conflicts_with = "seed")]
    seeds: Option<Seeds>,
    /// Of N shards, run the I-th: cells I, I+N, ...
    #[arg(
        long,
        value_name = "I/N",
        default_value = "1/1",
        hide_default_value = true
    )]
    shard: Shard,
    /// Runs at the same time [default: cores over workers]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    #[command(flatten)]
    host: HostArgs,
    /// As in `shoal run`, for each run
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<Bytes>,
    /// Tell when the accuracy first was this high, in [0, 1]
    #[arg(long, value_name = "ACCURACY", value_parser = accuracy)]
    goal: Option<f64>,
    /// The folder of the sweep; one that holds it already is gone on with [default: runs/NAME-sweep]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Check and list the cells, and run none
    #[arg(long, conflicts_with = "collect")]
    dry_run: bool,
    /// Only make the tables of what is there
    #[arg(long)]
    collect: bool,
}

/// A list is one value to clap.
#[derive(Debug, Clone)]
struct Seeds(Vec<u64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    parse_seeds(text, MOST_CELLS).map(Seeds)
}

fn accuracy(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".into()),
    }
}

impl SweepArgs {
    /// Whether nothing is run and nothing written.
    pub const fn only_lists(&self) -> bool {
        self.dry_run
    }
}

pub fn sweep_of(args: &SweepArgs) -> Exit {
    let file = &args.scenario.file;
    let text = match read_text(file) {
        Ok(text) => text,
        Err(problems) => {
            note!("{problems:#}");
            return Exit::BadInput;
        }
    };
    let plan = SweepPlan::new(
        (&text, file),
        &args.scenario.all_overrides(),
        args.vary.clone(),
        args.seeds.as_ref().map(|seeds| seeds.0.as_slice()),
    );
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            note!("{error}");
            return Exit::BadInput;
        }
    };
    let out = args.out.clone().unwrap_or_else(|| plan.default_folder());
    if let Err(error) = plan.fits(&out) {
        note!("error: {error}");
        return Exit::BadInput;
    }
    let device = args.host.device.to_string();
    let mine: Vec<(&Cell, State)> = plan
        .cells
        .iter()
        .filter(|cell| args.shard.takes(cell.index))
        .map(|cell| {
            (
                cell,
                state(&SweepPlan::folder(&out, cell), &text, cell, &device),
            )
        })
        .collect();
    if args.dry_run {
        say::out(format_args!("{}", listed(&plan, &mine)));
        return Exit::Done;
    }
    if args.collect {
        return told(&plan, &out, args, &[], Exit::Done);
    }
    if let Some((cell, _)) = mine.iter().find(|(_, state)| *state == State::Foreign) {
        let folder = SweepPlan::folder(&out, cell);
        note!(
            "error: {}: the run of something else is there; choose another folder with --out",
            folder.display()
        );
        return Exit::BadInput;
    }
    for (cell, _) in mine.iter().filter(|(_, state)| *state == State::Done) {
        tidied(&SweepPlan::folder(&out, cell));
    }
    let kept = || plan.write(&out).and_then(|()| keep_text(&out, &text));
    if let Err(error) = kept() {
        note!("error: {error}");
        return Exit::BadInput;
    }
    run(&plan, &out, args, (mine.as_slice(), &text))
}

/// What is to be done for a cell, now that it is its turn: other sweeps may have been at it since this
/// one began. Whatever it is, nobody else does it too.
fn turn(folder: &Path, text: &str, cell: &Cell, device: &str) -> Turn {
    let hold = match Hold::of(folder) {
        Ok(Ok(hold)) => hold,
        Ok(Err(holder)) => return Turn::Left(holder),
        Err(error) => return Turn::Impossible(format!("cannot hold the cell: {error}")),
    };
    let began = Instant::now();
    loop {
        match state(folder, text, cell, device) {
            State::Done => return Turn::Done,
            State::Foreign => {
                let what = "the run of something else is there; choose another folder with --out";
                return Turn::Impossible(what.into());
            }
            State::Resumable => return Turn::Begin(hold, true),
            State::Absent | State::Remains => return Turn::Begin(hold, false),
            // The run of a sweep that was killed ends with it, but not in the same moment.
            State::InUse if began.elapsed() < ORPHAN => std::thread::sleep(ORPHAN / 50),
            State::InUse => return Turn::Left(in_use_by(folder).unwrap_or_default()),
        }
    }
}

/// Runs what is to be run of this shard's cells, and says what came of it.
fn run(
    plan: &SweepPlan,
    out: &Path,
    args: &SweepArgs,
    (mine, text): (&[(&Cell, State)], &str),
) -> Exit {
    let todo: Vec<&Cell> = mine
        .iter()
        .filter(|(_, state)| *state != State::Done)
        .map(|(cell, _)| *cell)
        .collect();
    if todo.len() < mine.len() {
        note!(
            "{} of {} cells are done already",
            mine.len() - todo.len(),
            mine.len()
        );
    }
    let (jobs, workers) = divided(args, todo.len());
    let host = host_arguments(args, jobs, workers);
    let jobs_of = todo.iter().map(|cell| Job {
        name: cell.in_words(&plan.varied),
        folder: SweepPlan::folder(out, cell),
        log: SweepPlan::log(out, cell),
        anew: run_arguments(args, &host, cell, out),
        go_on: {
            let folder = SweepPlan::folder(out, cell);
            let mut words = vec!["resume".into(), folder.into(), "--quiet".into()];
            words.extend(host.iter().cloned());
            words
        },
    });
    let jobs_of: Vec<Job> = jobs_of.collect();
    let device = args.host.device.to_string();
    let interruptions = interruptions();
    let ended = conduct(
        &jobs_of,
        jobs,
        &interruptions,
        |job| match todo.get(job) {
            Some(cell) => turn(&SweepPlan::folder(out, cell), text, cell, &device),
            None => Turn::Done,
        },
        |job, ended| match (todo.get(job), ended) {
            (_, Ended::Interrupted) => "interrupted".into(),
            (Some(cell), _) => result(&Outcome::of(out, cell, args.goal)),
            (None, _) => String::new(),
        },
    );
    let exit = match ended {
        Ok(ended) if ended.contains(&Ended::Interrupted) => Exit::Interrupted,
        Ok(ended)
            if ended
                .iter()
                .all(|ended| matches!(ended, Ended::Done | Ended::Left)) =>
        {
            Exit::Done
        }
        Ok(_) => Exit::RunFailed,
        Err(error) => {
            note!("error: {error}");
            Exit::RunFailed
        }
    };
    told(plan, out, args, mine, exit)
}

/// How many runs at once, and how many workers each.
fn divided(args: &SweepArgs, todo: usize) -> (usize, usize) {
    let cores = super::workers(None);
    let most = todo.max(1);
    match (
        args.jobs.map(usize::from),
        args.host.workers.map(usize::from),
    ) {
        (Some(jobs), Some(workers)) => (jobs.min(most), workers),
        (None, Some(workers)) => ((cores / workers).clamp(1, most), workers),
        (jobs, None) => {
            let jobs = jobs.unwrap_or(cores).min(most);
            (jobs, (cores / jobs).max(1))
        }
    }
}

/// What every run is told about the host.
fn host_arguments(args: &SweepArgs, jobs: usize, workers: usize) -> Vec<OsString> {
    // Half of what is free is for all of them together.
    let kept = args.host.kept_memory.or_else(|| {
        let free = available_memory()?;
        Some(Bytes(free.0 / 2 / jobs as u64))
    });
    let mut words: Vec<OsString> = vec![
        "--workers".into(),
        workers.to_string().into(),
        "--device".into(),
        args.host.device.to_string().into(),
    ];
    if let Some(kept) = kept {
        words.extend(["--kept-memory".into(), format!("{} B", kept.0).into()]);
    }
    words
}

fn run_arguments(args: &SweepArgs, host: &[OsString], cell: &Cell, out: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec![
        "run".into(),
        args.scenario.file.clone().into(),
        "--quiet".into(),
        "--out".into(),
        SweepPlan::folder(out, cell).into(),
        "--text".into(),
        out.join(SCENARIO).into(),
    ];
    for assignment in &cell.overrides {
        words.extend(["--set".into(), assignment.into()]);
    }
    if let Some(memory) = args.memory {
        words.extend(["--memory".into(), format!("{} B", memory.0).into()]);
    }
    words.extend(host.iter().cloned());
    words
}

/// Makes the tables of all that is there, and prints this shard's lines.
fn told(
    plan: &SweepPlan,
    out: &Path,
    args: &SweepArgs,
    mine: &[(&Cell, State)],
    exit: Exit,
) -> Exit {
    let collected = match collect(plan, out, args.goal) {
        Ok(collected) => collected,
        Err(error) => {
            note!("error: {error}");
            return Exit::RunFailed;
        }
    };
    let shown =
        |cell: &Cell| mine.is_empty() || mine.iter().any(|(one, _)| one.index == cell.index);
    say::out(format_args!(
        "{}",
        table(plan, &collected, args.goal, shown)
    ));
    match drawn(plan, &collected) {
        Ok(None) => {}
        Ok(Some(svg)) => {
            if let Err(error) = replace(out, PICTURE, svg.as_bytes()) {
                note!("error: {error}");
                return Exit::RunFailed;
            }
        }
        Err(error) => {
            note!("error: {error}");
            return Exit::RunFailed;
        }
    }
    let done = collected
        .outcomes
        .iter()
        .filter(|one| one.standing == Standing::Ok)
        .count();
    say!(
        "{done} of {} cells done; {TABLE} and {SUMMARY} in {}",
        plan.cells.len(),
        out.display()
    );
    exit
}

/// Where one path has numbers for values.
fn drawn(plan: &SweepPlan, collected: &Collected) -> Result<Option<String>, String> {
    let [varied] = plan.varied.as_slice() else {
        return Ok(None);
    };
    let numbers: Option<Vec<f64>> = varied
        .values
        .iter()
        .map(|value| value.parse().ok().filter(|number: &f64| number.is_finite()))
        .collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() > 1) else {
        return Ok(None);
    };
    let mut points: Vec<(f64, f64, f64)> = numbers
        .iter()
        .zip(&collected.accuracy)
        .filter_map(|(&x, spread)| spread.map(|s| (x, s.mean, s.sd.unwrap_or(0.0))))
        .collect();
    if points.is_empty() {
        return Ok(None);
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    swept(&varied.path, &points)
        .map(Some)
        .map_err(|error| error.to_string())
}

fn percent(share: Option<f64>) -> String {
    share.map_or("–".into(), |share| format!("{:.2} %", 100.0 * share))
}

/// A finished cell in a few words.
fn result(outcome: &Outcome) -> String {
    match (&outcome.totals, &outcome.error) {
        (Some(totals), _) => format!(
            "{} after {}",
            percent(totals.final_accuracy),
            Span::from_seconds(totals.real_s)
        ),
        (None, Some(error)) => format!("failed: {error}"),
        (None, None) => outcome.standing.word().into(),
    }
}

/// What would be done.
fn listed(plan: &SweepPlan, mine: &[(&Cell, State)]) -> String {
    let mut lines = vec![vec![
        "CELL".into(),
        "FOLDER".into(),
        "STATE".into(),
        "SET".into(),
    ]];
    for (cell, state) in mine {
        let state = match state {
            State::Absent => "to be run",
            State::Done => "done",
            State::Resumable => "to be gone on with",
            State::Remains => "to be run again",
            State::InUse => "at work",
            State::Foreign => "another run is there",
        };
        lines.push(vec![
            cell.index.to_string(),
            cell.folder.clone(),
            state.into(),
            cell.in_words(&plan.varied),
        ]);
    }
    columns(&lines)
}

/// A line a cell.
fn table(
    plan: &SweepPlan,
    collected: &Collected,
    goal: Option<f64>,
    shown: impl Fn(&Cell) -> bool,
) -> String {
    let mut head: Vec<String> = vec!["CELL".into()];
    head.extend(plan.varied.iter().map(|varied| varied.path.clone()));
    head.extend(["SEED", "ACCURACY", "BEST"].map(String::from));
    head.extend(goal.map(|goal| format!("TO {}", percent(Some(goal)))));
    head.extend(["TRACE HASH", "STATUS"].map(String::from));
    let mut lines = vec![head];
    for (cell, outcome) in plan.cells.iter().zip(&collected.outcomes) {
        if !shown(cell) {
            continue;
        }
        let totals = outcome.totals.as_ref();
        let mut line = vec![cell.index.to_string()];
        line.extend(cell.values.iter().cloned());
        line.extend([
            cell.seed.to_string(),
            percent(totals.and_then(|totals| totals.final_accuracy)),
            percent(totals.and_then(|totals| Some(totals.best_accuracy?.0))),
        ]);
        if goal.is_some() {
            let reached = outcome
                .goal
                .map(|(seconds, _)| Span::from_seconds(seconds).to_string());
            line.push(reached.unwrap_or_else(|| "–".into()));
        }
        line.push(outcome.hash.clone().unwrap_or_else(|| "–".into()));
        line.push(match &outcome.error {
            Some(error) => format!("{}: {error}", outcome.standing.word()),
            None => outcome.standing.word().into(),
        });
        lines.push(line);
    }
    columns(&lines)
}
