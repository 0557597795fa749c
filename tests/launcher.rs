//! `shoal` finds libtorch and becomes `shoal-engine`; where it cannot, it says why and what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Copies of the programs in a folder of their own, as an installation has them.
fn installed(folder: &Path, programs: &[&str]) -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_shoal")).parent().unwrap();
    for program in programs {
        fs::copy(built.join(program), folder.join(program)).unwrap();
    }
    folder.join("shoal")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// With no variable set, from a folder that has nothing to do with a checkout.
fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/");
    command
}

#[test]
fn an_installed_program_runs_from_any_folder_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let shoal = installed(folder.path(), &["shoal", "shoal-engine"]);
    let output = bare(&shoal).arg("--version").output().unwrap();
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    let version = format!("shoal {} (", env!("CARGO_PKG_VERSION"));
    assert!(
        said.starts_with(&version) && said.contains("libtorch 2.11.0)"),
        "{said}"
    );
    // An installation holds on to no checkout.
    let engine = fs::read(folder.path().join("shoal-engine")).unwrap();
    let checkout = format!("{}/.libtorch", env!("CARGO_MANIFEST_DIR"));
    let runpath = format!("{checkout}/torch/lib\0");
    let holds = engine
        .windows(runpath.len())
        .any(|bytes| bytes == runpath.as_bytes());
    assert!(!holds, "the engine's search path leads to {checkout}");
}

#[test]
fn a_libtorch_that_is_named_and_not_there_is_an_error_with_remedies() {
    let folder = tempfile::tempdir().unwrap();
    let shoal = installed(folder.path(), &["shoal", "shoal-engine"]);
    let output = bare(&shoal)
        .env("LIBTORCH", "/no/such")
        .arg("list")
        .output()
        .unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in [
        "no libtorch_cpu.so in\n  /no/such/lib (LIBTORCH)",
        "python3 -m pip install torch==2.11.0",
        "export LIBTORCH=",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_program_without_its_engine_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let shoal = installed(folder.path(), &["shoal"]);
    let output = bare(&shoal).arg("list").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("shoal-engine is not there"),
        "{}",
        said(&output)
    );
}

/// All pages and scripts are there, and name every command.
#[test]
fn manual_pages_and_completions_name_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let shoal = Path::new(env!("CARGO_BIN_EXE_shoal"));
    let output = bare(shoal)
        .args(["man", "--dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let page = fs::read_to_string(folder.path().join("shoal.1")).unwrap();
    let script = said(&bare(shoal).args(["completions", "bash"]).output().unwrap());
    for command in [
        "check", "run", "resume", "verify", "swarm", "scale", "sweep", "list", "devices",
    ] {
        assert!(
            folder.path().join(format!("shoal-{command}.1")).is_file(),
            "{command}"
        );
        assert!(
            page.contains(command) && script.contains(command),
            "{command}"
        );
    }
}
