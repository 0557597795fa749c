//! The tutorial and the how-tos, followed command by command.

use super::commands::*;
use super::page::*;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;
use std::process::Command;

/// The words of a line that are alike in runs of any length and on any machine: figures are left out, and
/// the word behind a figure, which is its unit or what is counted.
pub(super) fn shape(line: &str) -> Vec<&str> {
    let is_figure = |word: &str| word.contains(|c: char| c.is_ascii_digit());
    let words: Vec<_> = line.split_whitespace().collect();
    let behind = std::iter::once(false).chain(words.iter().map(|word| is_figure(word)));
    let told = words.iter().zip(behind).filter(|(word, behind)| {
        !behind && !is_figure(word) && word.chars().any(char::is_alphabetic)
    });
    told.map(|(word, _)| *word).collect()
}

/// Lines that are shown and that nothing of the output is like.
pub(super) fn unlike<'a>(shown: &'a str, output: &str) -> Vec<&'a str> {
    let said: BTreeSet<_> = output.lines().map(shape).collect();
    let lines = shown
        .lines()
        .filter(|line| !["", "…", "..."].contains(&line.trim()));
    lines.filter(|line| !said.contains(&shape(line))).collect()
}

/// A folder in which the commands of a page are run: `shoal` is the program that was built, and the
/// repository's scenarios and examples are there.
pub(super) struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["scenarios", "examples"] {
            symlink(Path::new(ROOT).join(name), folder.path().join(name)).unwrap();
        }
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        // What a block is shortened by is added here, so that the whole block can be run as it stands.
        let program = format!(
            "#!/bin/sh\ncase $1 in\n\
             run|sweep) exec {0} \"$@\" $SHORTENED ;;\n*) exec {0} \"$@\" ;;\nesac\n",
            env!("CARGO_BIN_EXE_shoal")
        );
        fs::write(bin.join("shoal"), program).unwrap();
        fs::set_permissions(bin.join("shoal"), fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// Runs a block; what it says, and the status with which it ends.
    fn run(&self, block: &Block) -> (String, i32) {
        let path = std::env::var("PATH").unwrap();
        let shortened = block.said("shortened").unwrap_or_default();
        let shortened = shortened
            .split_whitespace()
            .map(|set| format!("--set {set} "));
        let done = Command::new("bash")
            .args([
                "-eu",
                "-o",
                "pipefail",
                "-c",
                &format!("exec 2>&1\n{}", block.text),
            ])
            .env("PATH", format!("{}/bin:{path}", self.0.path().display()))
            .env("SHORTENED", shortened.collect::<String>())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        (said, done.status.code().unwrap_or(-1))
    }
}

/// Does what a page says, block after block; what does not go as it says.
pub(super) fn follow(page: &Page) -> (String, usize) {
    let (desk, mut wrong, mut ran) = (Desk::new(), String::new(), 0);
    let mut output: Option<String> = None;
    for block in &page.blocks {
        let place = page.at(block.line);
        if let Some(name) = block.said("file") {
            fs::write(desk.0.path().join(name), &block.text).unwrap();
            output = None;
        } else if block.language == "text" {
            let compared = output
                .as_ref()
                .filter(|_| block.said("not compared").is_none());
            let unlike = compared.map_or(Vec::new(), |output| unlike(&block.text, output));
            for line in unlike {
                wrong += &format!("{place}: nothing that was said is like\n  {line}\n");
            }
        } else if block.language == "sh" && block.said("only parsed").is_none_or(str::is_empty) {
            let (said, status) = desk.run(block);
            let meant = block
                .said("ends with")
                .map_or(0, |status| status.parse().unwrap());
            if status != meant {
                wrong += &format!("{place}: ends with {status}, not with {meant}:\n{said}\n");
            }
            output = Some(said);
            ran += 1;
        } else {
            output = None;
        }
    }
    (wrong, ran)
}

#[test]
fn what_the_tutorial_and_the_how_tos_say_can_be_done() {
    let pages: Vec<_> = docs().into_iter().filter(is_run).collect();
    assert!(pages.len() >= 5);
    let (mut wrong, mut ran) = (String::new(), 0);
    for page in &pages {
        let followed = follow(page);
        wrong += &followed.0;
        ran += followed.1;
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(ran >= 15, "{ran} blocks were run");
}
