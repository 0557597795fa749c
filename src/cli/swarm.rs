//! `shoal swarm`

use super::exit::Exit;
use super::signals::stop_flag;
use super::{workers, ScenarioArgs};
use crate::federation::Bug;
use crate::swarm::{of_run, shrink, swarm, Failure, Reference, Settings, Subject, SwarmResult};
use crate::text::read_text;
use crate::{note, say};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub struct SwarmArgs {
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// How many runs
    #[arg(long, default_value_t = 200)]
    runs: u32,
    /// Begin no run after so many minutes
    #[arg(long, value_parser = minutes)]
    minutes: Option<f64>,
    /// Only this run of the swarm
    #[arg(long, value_name = "N")]
    only: Option<u32>,
    /// Train as the scenario says; otherwise one step of a small model, in ten rounds
    #[arg(long)]
    full: bool,
    /// Runs at the same time [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Where the scenario of a failure goes
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// Put a defect into the federation, to see it found
    #[arg(long, hide = true)]
    plant: Option<Plant>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Plant {
    /// A second report of a client is counted again
    DoubleCount,
    /// A report of another round is used
    IgnoreRound,
    /// Deadlines do not come
    NeverTimeOut,
    /// An old report counts as much as a fresh one, where clients are asked one by one
    AlwaysFresh,
    /// The weight of a model that did not come goes to nobody, where there is no server
    LoseWeight,
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes > 0.0 && minutes <= MOST_MINUTES => Ok(minutes),
        _ => Err(format!(
            "expected a number of minutes above 0 and up to {MOST_MINUTES}"
        )),
    }
}

/// Two years.
const MOST_MINUTES: f64 = 1e6;

impl From<Plant> for Bug {
    fn from(plant: Plant) -> Self {
        match plant {
            Plant::DoubleCount => Self::DoubleCount,
            Plant::IgnoreRound => Self::IgnoreRound,
            Plant::NeverTimeOut => Self::NeverTimeOut,
            Plant::AlwaysFresh => Self::AlwaysFresh,
            Plant::LoseWeight => Self::LoseWeight,
        }
    }
}

pub fn swarm_of(args: &SwarmArgs) -> Exit {
    let file = &args.scenario.file;
    let seed = args.scenario.seed.unwrap_or(1);
    let bug = args.plant.map(Bug::from);
    let text = match read_text(file) {
        Ok(text) => text,
        Err(problems) => {
            note!("{problems:#}");
            return Exit::BadInput;
        }
    };
    let subject = Subject::new(text, file, args.scenario.overrides.clone(), args.full);
    let subject = subject.and_then(|subject| Ok((subject.reference()?, subject)));
    let (reference, subject) = match subject {
        Ok(subject) => subject,
        Err(error) => {
            note!("error: {error}");
            return Exit::BadInput;
        }
    };
    let began = Instant::now();
    if let Some(run) = args.only {
        return alone(&subject, &reference, seed, run, bug, args);
    }
    let settings = Settings {
        seed,
        runs: args.runs,
        jobs: workers(args.jobs),
        until: args
            .minutes
            .map(|minutes| began + Duration::from_secs_f64(60.0 * minutes)),
        bug,
    };
    let stop = stop_flag();
    let bar = indicatif::ProgressBar::new(u64::from(args.runs));
    let result = swarm(&subject, &reference, settings, &stop, |result| {
        bar.set_position(u64::from(result.runs));
    });
    bar.finish_and_clear();
    let took = began.elapsed().as_secs_f64();
    say!("{}", in_words(&result, seed, took));
    match &result.failure {
        Some(failure) => told(&subject, &reference, failure, bug, args, seed),
        None if stop.load(Ordering::Relaxed) => Exit::Interrupted,
        None => Exit::Done,
    }
}

fn in_words(result: &SwarmResult, seed: u64, took: f64) -> String {
    let verdict = match &result.failure {
        Some(_) => "one broke an invariant",
        None => "no invariant broken",
    };
    format!(
        "swarm of seed {seed}: {} runs amid {} faults, {} rounds, {} reports rejected, {took:.1} s: {verdict}",
        result.runs, result.faults, result.rounds, result.rejected
    )
}

/// One run of the swarm, by its number.
fn alone(
    subject: &Subject,
    reference: &Reference,
    seed: u64,
    run: u32,
    bug: Option<Bug>,
    args: &SwarmArgs,
) -> Exit {
    let (plan, scenario_seed) = of_run(subject, reference, seed, run);
    match subject.trial(&plan, scenario_seed, Some(reference), bug) {
        Ok(outcome) => {
            say!(
                "run {run} of seed {seed} holds: {} faults, hash {}",
                plan.len(),
                outcome.hash
            );
            Exit::Done
        }
        Err(violation) => {
            let failure = Failure {
                run,
                seed: scenario_seed,
                plan,
                violation,
            };
            told(subject, reference, &failure, bug, args, seed)
        }
    }
}

/// Says what failed, shrinks it, and leaves it as a scenario.
fn told(
    subject: &Subject,
    reference: &Reference,
    failure: &Failure,
    bug: Option<Bug>,
    args: &SwarmArgs,
    seed: u64,
) -> Exit {
    say!("run {}: {}", failure.run, failure.violation);
    let file = args.scenario.file.display();
    let more: String = args
        .scenario
        .overrides
        .iter()
        .map(|o| format!(" --set '{o}'"))
        .collect();
    let full = if args.full { " --full" } else { "" };
    let plant = args.plant.and_then(|plant| plant.to_possible_value());
    let plant = plant.map_or(String::new(), |plant| {
        format!(" --plant {}", plant.get_name())
    });
    say!(
        "again: shoal swarm {file} --seed {seed} --only {}{full}{plant}{more}",
        failure.run
    );
    let invariant = failure.violation.invariant;
    let plan = shrink(&failure.plan, |rest| {
        let trial = subject.trial(rest, failure.seed, Some(reference), bug);
        trial.is_err_and(|violation| violation.invariant == invariant)
    });
    match plan.len() {
        0 => say!("it takes no fault at all"),
        n => say!("{n} of {} faults are enough:", failure.plan.len()),
    }
    for fault in &plan {
        say!("    {fault}");
    }
    let text = match subject.to_ron(&plan, failure.seed) {
        Ok(text) => text,
        Err(problems) => {
            note!("{problems:#}");
            return Exit::RunFailed;
        }
    };
    let path = args.out.join(format!("swarm-{seed}-{}.ron", failure.run));
    let head = format!(
        "// Run {} of `shoal swarm {file} --seed {seed}`: {}\n",
        failure.run, failure.violation
    );
    let written =
        std::fs::create_dir_all(&args.out).and_then(|()| std::fs::write(&path, head + &text));
    match written {
        Ok(()) => say!("as a scenario: {}", path.display()),
        Err(error) => note!("{}: cannot write the scenario: {error}", path.display()),
    }
    Exit::RunFailed
}
