//! The command line of Shoal, nothing else.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::dbg_macro,
    clippy::exit
)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
