//! The program `shoal`: finds libtorch, and becomes `shoal-engine`, which lies beside it.
//!
//! A program that is linked to libtorch ends before its first line where the loader finds none, with words
//! that help nobody. This one is linked to nothing: it looks in all places where libtorch may be, says
//! where it has looked if there is none, and otherwise is replaced by the engine in one process.

// It is not linked to the library, so what it says cannot go through `shoal::say`.
#![allow(clippy::print_stderr)]

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What has to lie in a folder for it to be libtorch's.
const LIBRARY: &str = "libtorch_cpu.so";
/// The loader's list of folders.
const FOLDERS: &str = "LD_LIBRARY_PATH";

fn main() -> ExitCode {
    let here = match env::current_exe().and_then(|path| path.canonicalize()) {
        Ok(here) => here,
        Err(error) => return failed(&format!("where this program lies is not known: {error}")),
    };
    let engine = here.with_file_name("shoal-engine");
    if !engine.is_file() {
        return failed(&format!(
            "{} is not there: build it with `cargo build --release`, or install all of Shoal again",
            engine.display()
        ));
    }
    let torch = match libtorch(&here) {
        Ok(torch) => torch,
        Err(looked) => return failed(&missing(&looked)),
    };
    let error = Command::new(&engine)
        .arg0("shoal")
        .args(env::args_os().skip(1))
        .env(FOLDERS, folders(&torch))
        .exec();
    failed(&format!("{} cannot be started: {error}", engine.display()))
}

/// The folder of libtorch's libraries, or all that were looked at.
fn libtorch(here: &Path) -> Result<PathBuf, Vec<String>> {
    let mut looked = Vec::new();
    let mut is_there = |said: &str, folder: PathBuf| {
        let there = folder.join(LIBRARY).is_file();
        looked.push(format!("{} ({said})", folder.display()));
        there.then_some(folder)
    };
    if let Some(own) = env::var_os("LIBTORCH") {
        // Who says where it is means that one and no other.
        let found = is_there("LIBTORCH", Path::new(&own).join("lib"));
        return found.ok_or(looked);
    }
    if let Some(found) = env::var_os(FOLDERS)
        .as_ref()
        .and_then(|list| env::split_paths(list).find_map(|folder| is_there(FOLDERS, folder)))
    {
        return Ok(found);
    }
    let beside = here.parent().map(|folder| folder.join("../lib/shoal/lib"));
    if let Some(found) = beside.and_then(|folder| is_there("beside this program", folder)) {
        return Ok(found);
    }
    for above in here.ancestors().skip(1) {
        let checkout = above.join(".libtorch/torch/lib");
        if checkout.exists() {
            if let Some(found) = is_there("a checkout", checkout) {
                return Ok(found);
            }
        }
    }
    if let Some(built) = option_env!("LIBTORCH_AT_BUILD") {
        if let Some(found) = is_there("what it was built with", built.into()) {
            return Ok(found);
        }
    }
    for python in ["python3", "python"] {
        if let Some(found) = of_python(python).and_then(|folder| is_there(python, folder)) {
            return Ok(found);
        }
    }
    Err(looked)
}

/// The folder of the libtorch that a Python's PyTorch has, without importing it.
fn of_python(python: &str) -> Option<PathBuf> {
    let program = "import importlib.util as u; s = u.find_spec('torch'); \
                   print(s.submodule_search_locations[0] if s else '')";
    let output = Command::new(python).args(["-c", program]).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    let folder = folder.trim();
    (!folder.is_empty()).then(|| Path::new(folder).join("lib"))
}

/// The loader's folders: libtorch's, those that its wheel needs, and whatever was there.
fn folders(torch: &Path) -> OsString {
    let mut all = vec![torch.to_path_buf()];
    // A wheel's libraries of CUDA lie beside the folder of the wheel.
    let beside = torch.ancestors().nth(2).map(|folder| folder.join("nvidia"));
    let parts = beside.and_then(|folder| folder.read_dir().ok());
    let mut parts: Vec<PathBuf> = parts
        .into_iter()
        .flatten()
        .filter_map(|part| Some(part.ok()?.path().join("lib")))
        .filter(|folder| folder.is_dir())
        .collect();
    parts.sort();
    all.extend(parts);
    let before = env::var_os(FOLDERS).unwrap_or_default();
    all.extend(env::split_paths(&before).filter(|folder| !folder.as_os_str().is_empty()));
    env::join_paths(&all).unwrap_or_else(|_| torch.into())
}

fn missing(looked: &[String]) -> String {
    let mut words = format!("libtorch is not there: no {LIBRARY} in\n");
    for place in looked {
        words += &format!("  {place}\n");
    }
    words + "Shoal needs libtorch 2.11.0. One of these brings it:\n  \
        python3 -m pip install torch==2.11.0     # 530 MB and what it needs; found by itself afterwards\n  \
        export LIBTORCH=/a/folder                # one with lib/libtorch_cpu.so of version 2.11.0\n  \
        make setup                               # in a checkout of Shoal: 560 MB into .libtorch"
}

fn failed(words: &str) -> ExitCode {
    eprintln!("error: {words}");
    ExitCode::from(2)
}
