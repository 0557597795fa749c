//! The command line of Shoal, nothing else.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
