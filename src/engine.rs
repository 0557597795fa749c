//! The program `shoal-engine`: the command line of the library, nothing else. It is linked to libtorch and
//! does not start where that is not found; `shoal` finds it and starts this.

fn main() -> std::process::ExitCode {
    shoal::cli::main()
}
