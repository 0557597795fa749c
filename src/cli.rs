//! The command line: arguments, and one file per command.
//!
//! `shoal` is nothing but [`main`]. A program of yours that has methods, attacks or anything else of its
//! own to name in scenarios installs a [`crate::registry::Registry`] and calls [`main`] too: it is then
//! Shoal's command line, with all commands, that knows yours.

mod check;
mod child;
mod devices;
mod exit;
mod list;
mod memory;
mod probe;
mod resume;
mod run;
mod scale;
mod shell;
mod signals;
mod swarm;
mod sweep;
mod verify;

pub use memory::keep_freed_memory;

use crate::learn::{available_memory, HostDevice};
use crate::note;
use crate::quantity::{parse_quantity, Bytes, Unit};
use crate::run::ranks::{self, Head, Joined};
use crate::run::LIBTORCH;
use crate::say::Notes;
use crate::scenario::Scenario;
use crate::text::{read_text, Diagnostics};
use clap::{Args, Parser, Subcommand};
use exit::Exit;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

/// `0.2.0 (commit 0cbda5d, libtorch 2.11.0)`. The commit is known where a build was told it, as `make
/// install` and `make dist` do: asking git in each build would build everything anew after each commit.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let commit = option_env!("SHOAL_COMMIT").filter(|commit| !commit.is_empty());
        let commit = commit.map(|commit| format!("commit {commit}, "));
        let (version, commit) = (env!("CARGO_PKG_VERSION"), commit.unwrap_or_default());
        format!("{version} ({commit}libtorch {LIBTORCH})")
    });
    &VERSION
}

/// Simulate federated learning: a whole federation, in virtual time, on one machine.
///
/// A scenario is a RON file that says everything: data, model, clients, links, method, schedule.
/// Start with `shoal run scenarios/quickstart.ron`, then change the file and see what happens;
/// `shoal check FILE` explains what a file means, or what is wrong with it.
#[derive(Debug, Parser)]
#[command(
    name = "shoal",
    version = version(),
    after_help = "Exit status:\n  0  done\n  1  the run failed, or verify found a difference\n  \
                  2  the input is wrong: scenario, data, arguments\n  3  the run came to its end, and no round was completed\n  \
                  130  interrupted; what was done is kept\n  \
                  141  nobody read what check, list or devices had to say\n\n\
                  Set RUST_LOG=shoal=debug to see what happens inside, with virtual time (ns) and node."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a scenario and print what it means, or all that is wrong with it
    #[command(
        after_help = "All that `shoal run` would refuse before its first round is refused here: data are read and dealt,\n\
                      links drawn, the method set up, as for a run. What is printed after the scenario is what to expect\n\
                      of it: a round's time by group, and about what the run takes of this machine."
    )]
    Check {
        #[command(flatten)]
        scenario: ScenarioArgs,
        /// Leave out what needs the data read and dealt, and what is worked out from that
        #[arg(long)]
        quick: bool,
        /// Try out how long the messages take on the links: alone, and those of a cohort at once
        #[arg(long, conflicts_with = "quick")]
        links: bool,
    },
    /// Run a scenario and leave its results in a folder
    #[command(after_help = "Examples:\n  shoal run scenarios/quickstart.ron\n  \
                      shoal run scenarios/quickstart.ron --seed 7 --out runs/seven\n  \
                      shoal run scenarios/quickstart.ron --set schedule.rounds=5 --set 'population[0].link=3g'\n\n\
                      Workers never change a result, only how soon it is there. On another device, or with less\n\
                      memory than a batch needs, the last bits of a result can differ.\n\
                      Ctrl-C ends a run at the next window and keeps everything so far.")]
    Run {
        #[command(flatten)]
        scenario: ScenarioArgs,
        #[command(flatten)]
        host: HostArgs,
        /// The folder for the results; it must be new or empty [default: runs/NAME-SEED-N]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Memory of the host device that training may take, such as "8 GB"; a batch that needs more
        /// is cut, which changes its rounding [default: what is left, on a GPU 6 GiB]
        #[arg(long, value_name = "SIZE", value_parser = size)]
        memory: Option<Bytes>,
        /// Show neither progress nor the closing table
        #[arg(long, short)]
        quiet: bool,
    },
    /// Go on with a run that was killed or interrupted, from its last checkpoint
    #[command(
        after_help = "The scenario says when checkpoints are made: checkpoint: (every: 10). The run ends as if\n\
                      it had never been stopped: the same trace hash, the same tables. It goes on on any number of\n\
                      workers, and on the device it began on."
    )]
    Resume {
        /// The folder of the run
        run_dir: PathBuf,
        #[command(flatten)]
        host: HostArgs,
        /// Show neither progress nor the closing table
        #[arg(long, short)]
        quiet: bool,
    },
    /// Run a run folder's scenario again: identical, or the first event that differs
    Verify {
        /// The folder of a run
        run_dir: PathBuf,
        #[command(flatten)]
        host: HostArgs,
    },
    /// Try a scenario amid random faults, run after run, and shrink what breaks it
    #[command(
        after_help = "Examples:\n  shoal swarm scenarios/quickstart.ron --runs 2000\n  \
                      shoal swarm scenarios/quickstart.ron --seed 7 --minutes 10\n  \
                      shoal swarm scenarios/quickstart.ron --seed 7 --only 123"
    )]
    Swarm(swarm::SwarmArgs),
    /// Run a scenario at several population sizes: how time and memory grow, what runs out first
    #[command(
        after_help = "Examples:\n  shoal scale scenarios/population/million.ron --population 1e3,1e4,1e5,1e6\n  \
                      shoal scale scenarios/quickstart.ron --population 100,1000 --compute real --rounds 3\n\n\
                      Groups keep their proportions, and each client has as many samples as the scenario's have on\n\
                      average, which clients share. Each population runs in a process of its own. Ctrl-C keeps what\n\
                      was measured."
    )]
    Scale(scale::ScaleArgs),
    /// Run a scenario with parameters varied, under several seeds: a run a combination, side by side
    #[command(
        after_help = "Examples:\n  shoal sweep scenarios/quickstart.ron --vary schedule.cohort=10,20,40 --seeds 1..5\n  \
                      shoal sweep scenarios/quickstart.ron --vary 'method=FedAvg,FedProx(mu: 0.1)' --seeds 1..3 \\\n    \
                      --set schedule.rounds=20 --goal 0.9 --jobs 4 --out runs/methods\n  \
                      shoal sweep scenarios/quickstart.ron --vary schedule.cohort=10,20,40 --seeds 1..5 --shard 2/8\n\n\
                      Each run is the one that `shoal run` makes with the same --set and --seed. Running it again goes on:\n\
                      what is done stays, what has a checkpoint is gone on with, the rest begins anew. Shards of one sweep\n\
                      take the same folder; --collect makes the tables of what is there. Ctrl-C keeps what was done."
    )]
    Sweep(sweep::SweepArgs),
    /// List this machine's devices, with measured rates of matrix products and of copying
    Devices {
        /// Threads on the CPU that are measured together [default: one per core]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        workers: Option<u16>,
    },
    /// Print a script that completes the command line in a shell
    #[command(
        after_help = "Example:\n  shoal completions bash > ~/.local/share/bash-completion/completions/shoal"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for each command
    #[command(after_help = "Example:\n  shoal man --dir ~/.local/share/man/man1; man shoal-run")]
    Man {
        /// The folder for the pages of all commands; only the first one is printed when not given
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// List what a scenario can name
    List {
        /// Of which kind; all when not given
        what: Option<list::What>,
    },
}

/// A scenario and what is changed in it.
#[derive(Debug, Args)]
struct ScenarioArgs {
    /// The scenario's file
    file: PathBuf,
    /// Use this seed instead of the file's
    #[arg(long)]
    seed: Option<u64>,
    /// Change a value of the scenario; checked as the file is (repeat for more)
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// Where the text of FILE was kept when it was read: for processes that this program starts, since
    /// a pipe cannot be read again and a file may have changed
    #[arg(long, value_name = "KEPT", hide = true)]
    text: Option<PathBuf>,
}

/// Where the work is done.
#[derive(Debug, Args)]
struct HostArgs {
    /// Device workers: threads that train and evaluate [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    /// Host device: cpu or cuda:N
    #[arg(long, default_value = "cpu")]
    device: HostDevice,
    /// Host memory for what dormant clients keep, such as their own models ("4 GB"); the rest waits
    /// on disk in the run folder [default: half of what is free]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    kept_memory: Option<Bytes>,
}

/// A size such as "4 GB".
fn size(text: &str) -> Result<Bytes, String> {
    match parse_quantity(text, Unit::Bytes) {
        Ok(bytes) if (0.0..=1e18).contains(&bytes) => Ok(Bytes(bytes as u64)),
        Ok(_) => Err("expected a size from 0 B to 1e18 B".to_string()),
        Err(error) => Err(error.to_string()),
    }
}

impl ScenarioArgs {
    /// The overrides in the order they apply: `--seed` last.
    fn all_overrides(&self) -> Vec<String> {
        let seed = self.seed.map(|seed| format!("seed={seed}"));
        self.overrides.iter().cloned().chain(seed).collect()
    }

    /// The scenario and its text, which is read once: what is kept is what was checked, and a pipe has
    /// nothing for a second reading.
    fn open(&self) -> Result<(Scenario, String), Exit> {
        let told = |problems: Diagnostics| {
            note!("{problems:#}");
            Exit::BadInput
        };
        let text = read_text(self.text.as_ref().unwrap_or(&self.file)).map_err(told)?;
        let scenario = Scenario::parse(&text, &self.file, &self.all_overrides()).map_err(told)?;
        Ok((scenario, text))
    }
}

/// As many as were asked for, or one per core.
fn workers(given: Option<u16>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    given.map_or_else(cores, usize::from)
}

impl HostArgs {
    fn workers(&self) -> usize {
        workers(self.workers)
    }

    fn kept_memory(&self) -> Bytes {
        let half = || available_memory().map_or(Bytes(u64::MAX), |all| Bytes(all.0 / 2));
        self.kept_memory.unwrap_or_else(half)
    }
}

/// Other ranks, where there are some.
type Ranks = Option<Arc<Head>>;

/// Does what the arguments of the process say: meets other ranks, if there are some, and does the part
/// of this one.
pub fn main() -> ExitCode {
    keep_freed_memory();
    let head = match ranks::join() {
        Ok(Joined::Alone) => None,
        Ok(Joined::Head(head)) => Some(head),
        // Rank 0 has said all that there is to say.
        Ok(Joined::Member(served)) => ranks::leave(i32::from(served.is_err())),
        Err(reason) => {
            note!("error: {reason}");
            return Exit::RunFailed.into();
        }
    };
    match Cli::try_parse() {
        Ok(cli) => {
            let ranks = head.map(|mut head| {
                head.set_workers(cli.command.workers());
                Arc::new(head)
            });
            let all = cli.command.is_all_words();
            let exit = execute(cli.command, &ranks).heard(all);
            if let Some(head) = ranks {
                head.end();
            }
            exit.into()
        }
        Err(error) => {
            let printed = error.print();
            if let Some(head) = head {
                head.end();
            }
            match (error.exit_code(), printed) {
                (0, Err(error)) => Exit::unwritten(&error).into(),
                (code, _) => ExitCode::from(u8::try_from(code).unwrap_or(2)),
            }
        }
    }
}

/// Whether a command line is one that `shoal` takes, without doing anything of it. The first argument is
/// the program's name, as in `["shoal", "run", "s.ron", "--seed", "7"]`. Files are not looked at. The tests
/// hold the commands of the documentation to it.
///
/// # Errors
///
/// What `shoal` would print about a command line that it does not take.
pub fn parses(arguments: &[&str]) -> Result<(), String> {
    let parsed = Cli::try_parse_from(arguments).map(|_| ());
    parsed.or_else(|error| match error.exit_code() {
        // `--help` and `--version` are answered, too.
        0 => Ok(()),
        _ => Err(error.to_string()),
    })
}

impl Command {
    /// Whether what it says on standard output is all there is of it; other commands leave files, or
    /// answer with their exit status.
    const fn is_all_words(&self) -> bool {
        match self {
            Self::Check { .. }
            | Self::List { .. }
            | Self::Devices { .. }
            | Self::Completions { .. }
            | Self::Man { dir: None } => true,
            Self::Sweep(args) => args.only_lists(),
            _ => false,
        }
    }

    /// How many workers each rank is to have, where that was said.
    const fn workers(&self) -> Option<u16> {
        match self {
            Self::Run { host, .. } | Self::Resume { host, .. } | Self::Verify { host, .. } => {
                host.workers
            }
            _ => None,
        }
    }
}

/// Runs the command.
fn execute(command: Command, ranks: &Ranks) -> Exit {
    // Swarms make things go wrong; each of them is no news.
    let level = if matches!(command, Command::Swarm(_)) {
        "error"
    } else {
        "warn"
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Notes)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .init();
    match command {
        Command::Check {
            scenario,
            quick,
            links,
        } => check::check(&scenario, quick, links),
        Command::Run {
            scenario,
            host,
            out,
            memory,
            quiet,
        } => run::run(&scenario, &host, ranks, memory, out, quiet),
        Command::Resume {
            run_dir,
            host,
            quiet,
        } => resume::resume(&run_dir, &host, ranks, quiet),
        Command::Verify { run_dir, host } => verify::verify(&run_dir, &host, ranks),
        Command::Swarm(args) => swarm::swarm_of(&args),
        Command::Scale(args) => scale::scale_of(&args),
        Command::Sweep(args) => sweep::sweep_of(&args),
        Command::Devices { workers: given } => devices::devices(workers(given)),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { dir } => shell::man(dir.as_deref()),
        Command::List { what } => list::list(what),
    }
}
