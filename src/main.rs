//! The program `shoal`: the command line of the library, nothing else.

fn main() -> std::process::ExitCode {
    shoal::cli::main()
}
