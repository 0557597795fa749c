//! `shoal scale`

use super::child::ends_with_this_one;
use super::exit::Exit;
use super::list::columns;
use super::signals::stop_flag;
use super::{workers, ScenarioArgs};
use crate::learn::available_memory;
use crate::observe::report::scaling;
use crate::observe::table::Table;
use crate::quantity::{Bytes, Span};
use crate::run::ranks::LAUNCHED;
use crate::run::SCENARIO;
use crate::say::{lost, out};
use crate::scale::{measure, parse_populations, verdict, Measurement, Trial};
use crate::scenario::Scenario;
use crate::{note, say};
use clap::{Args, ValueEnum};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub struct ScaleArgs {
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// Populations to measure, such as 1e3,1e4,1e5,1e6
    #[arg(
        long,
        value_name = "N,N,...",
        value_parser = populations,
        required_unless_present = "measure"
    )]
    population: Option<Populations>,
    /// Reports wanted a round [default: the scenario's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cohort: Option<u32>,
    /// Rounds of each population
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Whether clients really train
    #[arg(long, value_enum, default_value_t = How::Modelled)]
    compute: How,
    /// The folder for scale.csv and scale.svg
    #[arg(long, value_name = "DIR", default_value = "runs/scale")]
    out: PathBuf,
    /// Device workers and shards [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// Measure the scenario as it is, and print the measurement as JSON
    #[arg(long, hide = true)]
    measure: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Rounds take their time and nothing is learned
    Modelled,
    /// All of it
    Real,
}

/// A list is one value to clap.
#[derive(Debug, Clone)]
struct Populations(Vec<u32>);

fn populations(text: &str) -> Result<Populations, String> {
    parse_populations(text).map(Populations)
}

/// How a population ended that was not measured.
enum Missed {
    Interrupted,
    /// Its process has said why.
    Failed(Exit),
}

pub fn scale_of(args: &ScaleArgs) -> Exit {
    if args.measure {
        return measured(args);
    }
    let populations = args.population.as_ref().map_or(&[][..], |all| &all.0);
    let (base, text) = match args.scenario.open() {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let trial = Trial {
        cohort: args.cohort,
        rounds: args.rounds,
        real: args.compute == How::Real,
    };
    // All that is wrong with any of them, before anything runs.
    let mut all = Vec::new();
    for &population in populations {
        let mut overrides = args.scenario.all_overrides();
        match trial.overrides(&base, population) {
            Ok(more) => overrides.extend(more),
            Err(error) => {
                note!("error: {error}");
                return Exit::BadInput;
            }
        }
        if let Err(problems) = Scenario::parse(&text, &args.scenario.file, &overrides) {
            note!("for a population of {population}:\n{problems:#}");
            return Exit::BadInput;
        }
        all.push((population, overrides));
    }
    if let Err(error) = std::fs::create_dir_all(&args.out) {
        note!("{}: cannot make the folder: {error}", args.out.display());
        return Exit::BadInput;
    }
    // Each population's process reads what was checked here.
    if let Err(error) = std::fs::write(args.out.join(SCENARIO), &text) {
        note!("{}: {error}", args.out.join(SCENARIO).display());
        return Exit::BadInput;
    }
    let stop = stop_flag();
    let memory = available_memory();
    let (mut rows, mut exit) = (Vec::new(), Exit::Done);
    for (population, overrides) in all {
        note!("{population} clients ...");
        match apart(args, &overrides, &stop) {
            Ok(row) => rows.push(Measurement {
                capped: row.capped || trial.caps(&base, population),
                ..row
            }),
            Err(Missed::Interrupted) => {
                exit = Exit::Interrupted;
                break;
            }
            // A larger one would fail, too.
            Err(Missed::Failed(failed)) => {
                exit = failed;
                break;
            }
        }
    }
    if !rows.is_empty() {
        out(format_args!("{}\n{}", table(&rows), verdict(&rows, memory)));
        if let Err(error) = write(&rows, &args.out) {
            note!("error: {error}");
            return Exit::RunFailed;
        }
        say!("output in {}", args.out.display());
    }
    exit
}

/// In a process of its own: measures the scenario, tells its parent.
fn measured(args: &ScaleArgs) -> Exit {
    let began = Instant::now();
    let scenario = match args.scenario.open() {
        Ok((scenario, _)) => scenario,
        Err(exit) => return exit,
    };
    match measure(&scenario, began, workers(args.workers), &stop_flag()) {
        Ok(Some(row)) => match serde_json::to_string(&row) {
            Ok(text) => {
                say!("{text}");
                // Nobody is there to whom it is told.
                lost().map_or(Exit::Done, |_| Exit::RunFailed)
            }
            Err(error) => {
                note!("error: a measurement that cannot be told: {error}");
                Exit::RunFailed
            }
        },
        Ok(None) => Exit::Interrupted,
        Err(error) => Exit::of_error(&error),
    }
}

/// Measures in a process of its own, whose memory is nobody else's.
fn apart(args: &ScaleArgs, overrides: &[String], stop: &AtomicBool) -> Result<Measurement, Missed> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        note!("error: {what}: {error}");
        Missed::Failed(Exit::RunFailed)
    };
    let program =
        std::env::current_exe().map_err(|error| failed("this program cannot be found", &error))?;
    let mut command = Command::new(program);
    // It is no rank, whatever this process is.
    LAUNCHED.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
        .arg("scale")
        .arg(&args.scenario.file)
        .arg("--text")
        .arg(args.out.join(SCENARIO))
        .arg("--measure");
    for assignment in overrides {
        command.arg("--set").arg(assignment);
    }
    command
        .arg("--workers")
        .arg(workers(args.workers).to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    // Nothing of an unfinished measurement is kept.
    ends_with_this_one(&mut command, libc::SIGKILL);
    let child = command.spawn();
    let mut child = child.map_err(|error| failed("no process of its own", &error))?;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if stop.load(Ordering::Relaxed) => {
                end(&mut child);
                return Err(Missed::Interrupted);
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => {
                end(&mut child);
                return Err(failed("a population's process", &error));
            }
        }
    };
    match status.code() {
        Some(0) => {}
        Some(2) => return Err(Missed::Failed(Exit::BadInput)),
        Some(130) => return Err(Missed::Interrupted),
        _ => return Err(failed("a population's process ended", &status)),
    }
    // One line: it fits the pipe, so that the process did not wait to be read.
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        let read = stdout.read_to_string(&mut text);
        read.map_err(|error| failed("a population's process", &error))?;
    }
    serde_json::from_str(&text).map_err(|error| failed("what a population's process told", &error))
}

/// Nothing of an unfinished measurement is kept.
fn end(child: &mut Child) {
    // It may have ended by itself at the same Ctrl-C.
    let _ = child.kill();
    let _ = child.wait();
}

fn write(rows: &[Measurement], out: &Path) -> Result<(), String> {
    let (csv, svg) = (out.join("scale.csv"), out.join("scale.svg"));
    // What an earlier measurement left there is replaced.
    match std::fs::remove_file(&csv) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", csv.display()));
        }
        _ => {}
    }
    let told = |error: crate::observe::ObserveError| error.to_string();
    let mut table = Table::create(&csv).map_err(told)?;
    for row in rows {
        table.write(row).map_err(told)?;
    }
    table.flush().map_err(told)?;
    let points: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                f64::from(row.population),
                row.round_s,
                row.peak_bytes as f64,
            )
        })
        .collect();
    let picture = scaling(&points).map_err(told)?;
    std::fs::write(&svg, picture).map_err(|error| format!("{}: {error}", svg.display()))
}

/// A line a population.
fn table(rows: &[Measurement]) -> String {
    let headings = [
        "CLIENTS",
        "COHORT",
        "ROUNDS",
        "SAMPLES",
        "COMPUTE",
        "SET-UP",
        "A ROUND",
        "VIRTUAL HOUR",
        "EVENTS/S",
        "PEAK",
        "A CLIENT",
        "QUEUE P50",
        "P99",
        "LINK",
        "SERVER",
    ];
    let span = |seconds: f64| Span::from_seconds(seconds).to_string();
    let share = |share: f64| format!("{:.2} %", 100.0 * share);
    let lines = rows.iter().map(|row| {
        vec![
            row.population.to_string(),
            match row.capped {
                true => format!("{} (capped)", row.cohort),
                false => row.cohort.to_string(),
            },
            row.rounds.to_string(),
            row.samples.to_string(),
            row.compute.clone(),
            span(row.setup_s),
            span(row.round_s),
            span(row.virtual_hour_s),
            format!("{:.0}", row.events_per_s),
            Bytes(row.peak_bytes).to_string(),
            format!("{:.0} B", row.client_bytes),
            span(row.queue_p50_s),
            span(row.queue_p99_s),
            row.link_use.map_or("no limit".into(), share),
            share(row.server_use),
        ]
    });
    let headings = headings.map(String::from).to_vec();
    columns(&std::iter::once(headings).chain(lines).collect::<Vec<_>>())
}
