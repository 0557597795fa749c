//! Every command of a page is one that Shoal has.

use super::page::*;
use std::fs;
use std::path::Path;

/// The words of each command of a piece of shell, without what its output goes to.
pub(super) fn commands(shell: &str) -> Vec<Vec<String>> {
    let shell = shell.replace("\\\n", " ");
    let (mut commands, mut command, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut characters = shell.chars();
    while let Some(c) = characters.next() {
        match c {
            '\'' => {
                let inside = characters.by_ref().take_while(|c| *c != '\'');
                word.get_or_insert_default().extend(inside);
            }
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = characters.next() {
                    match c {
                        '"' => break,
                        '\\' => word.extend(characters.next()),
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            '#' if word.is_none() => {
                while characters.next().is_some_and(|c| c != '\n') {}
                commands.push(std::mem::take(&mut command));
            }
            c if c.is_whitespace() || ";|&<>()".contains(c) => {
                command.extend(word.take());
                if c == '\n' || !c.is_whitespace() {
                    commands.push(std::mem::take(&mut command));
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    command.extend(word);
    commands.push(command);
    commands.retain(|command| !command.is_empty());
    commands
}

/// The command line of `shoal` in a command, if it has one. What stands for a value gets one.
pub(super) fn of_shoal(command: &[String]) -> Option<Vec<String>> {
    let name = |word: &String| {
        Path::new(word)
            .file_name()
            .is_some_and(|name| name == "shoal")
    };
    let at = command.iter().position(name)?;
    let filled = command[at + 1..].iter().map(|word| match word.as_str() {
        "N" | "M" => "1".to_string(),
        "..." | "…" => "a=1".to_string(),
        word => match word.split_once('$') {
            Some((before, after)) => {
                let rest =
                    after.trim_start_matches(|c: char| c.is_alphanumeric() || "_{}".contains(c));
                format!("{before}1{rest}")
            }
            None => word.to_string(),
        },
    });
    Some(std::iter::once("shoal".to_string()).chain(filled).collect())
}

/// What is wrong with a command line of `shoal`.
pub(super) fn unknown(line: &[String]) -> Option<String> {
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    let error = shoal::cli::parses(&words).err()?;
    Some(format!("{}\n{error}", line.join(" ")))
}

/// The files of the repository that a command names and that are not there.
pub(super) fn missing(command: &[String]) -> Vec<String> {
    let ours = ["scenarios/", "examples/", ".ci/", "benches/"];
    let named = command
        .iter()
        .filter(|word| ours.iter().any(|folder| word.starts_with(folder)));
    let gone = named.filter(|word| !word.contains('$') && !Path::new(ROOT).join(word).exists());
    gone.cloned().collect()
}

/// Pages whose commands are run.
pub(super) fn is_run(page: &Page) -> bool {
    page.path == Path::new("docs/tutorial.md") || page.path.starts_with("docs/howto")
}

#[test]
fn every_command_of_a_page_is_one_that_shoal_has() {
    let makefile = fs::read_to_string(Path::new(ROOT).join("Makefile")).unwrap();
    let (mut wrong, mut of_blocks, mut of_text) = (String::new(), 0, 0);
    for page in pages("") {
        let shell = page.blocks.iter().filter(|block| block.language == "sh");
        for block in shell {
            let place = page.at(block.line);
            for command in commands(&block.text) {
                for file in missing(&command) {
                    wrong += &format!("{place}: {file} is not there\n");
                }
                if let [make, target, ..] = &command[..] {
                    if make == "make" && !makefile.contains(&format!("\n{target}:")) {
                        wrong += &format!("{place}: make {target} is not there\n");
                    }
                }
                if let Some(line) = of_shoal(&command) {
                    of_blocks += 1;
                    if let Some(why) = unknown(&line) {
                        wrong += &format!("{place}: {why}\n");
                    }
                }
            }
        }
        // In a sentence a command is often named without all that it needs: `shoal verify`.
        let lines = page
            .lines
            .iter()
            .filter(|(_, line)| line.starts_with("    shoal "));
        let indented =
            lines.map(|(number, line)| (*number, line.trim_end_matches('\\').to_string()));
        for (number, code) in page.inline_code().into_iter().chain(indented) {
            let named = commands(&code);
            let Some(command) = named
                .first()
                .filter(|words| words[0] == "shoal" && words.len() > 1)
            else {
                continue;
            };
            of_text += 1;
            let why = of_shoal(command).and_then(|line| unknown(&line));
            let wanting = ["arguments were not provided", "a value is required"];
            if let Some(why) = why.filter(|why| !wanting.iter().any(|words| why.contains(words))) {
                wrong += &format!("{}: {why}\n", page.at(number));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(of_blocks >= 40 && of_text >= 40, "{of_blocks} {of_text}");
}
