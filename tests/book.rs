//! The documentation as a book: every page is listed, every link leads somewhere, every scenario is one
//! that Shoal takes, and every command is one that it has. The commands of the tutorial and of the
//! how-tos are run, and what the pages show of their output is held against the output.
//!
//! A comment in front of a block of code says what is special about the block:
//!
//! | comment | block | what it means |
//! |---|---|---|
//! | `<!-- ignored: WHY -->` | `ron,ignore` | the block is neither a scenario nor fields of one |
//! | `<!-- each by itself -->` | `ron` | the fields are shown together and do not go together |
//! | `<!-- with FIELDS -->` | `ron` | the fields go with these, such as `population: [(count: 4)]` |
//! | `<!-- file: NAME -->` | any | the reader writes the block to this file |
//! | `<!-- only parsed: WHY -->` | `sh` | the commands are not run: they take long, or more than is here |
//! | `<!-- shortened: PATH=VALUE … -->` | `sh` | `run` and `sweep` get these with `--set` as well, to take less time |
//! | `<!-- ends with N -->` | `sh` | the status with which the last command ends |
//! | `<!-- not compared: WHY -->` | `text` | the output is not that of a run of this test |

use shoal::scenario::Scenario;
use shoal::text::{Diagnostic, Diagnostics};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A block of code in a page.
struct Block {
    /// The line of the page that opens it, from 1.
    line: usize,
    /// What stands behind the three ticks, such as `sh`.
    language: String,
    text: String,
    /// The comment in front of it, without its brackets.
    comment: Option<String>,
}

impl Block {
    /// What the comment says behind `word:`, where that is how it begins.
    fn said(&self, word: &str) -> Option<&str> {
        let rest = self.comment.as_deref()?.strip_prefix(word)?;
        Some(rest.trim_start_matches(':').trim())
    }
}

/// A page: its blocks of code, and its text without them.
struct Page {
    /// Relative to the repository.
    path: PathBuf,
    blocks: Vec<Block>,
    /// Lines outside of blocks, with their numbers from 1.
    lines: Vec<(usize, String)>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Self {
        let mut page = Self {
            path: path.to_path_buf(),
            blocks: Vec::new(),
            lines: Vec::new(),
        };
        let mut comment = None;
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let trimmed = line.trim();
            if let Some(language) = trimmed.strip_prefix("```") {
                let indent = line.len() - line.trim_start().len();
                let inside = lines.by_ref().map(|(_, line)| line);
                let inside = inside.take_while(|line| line.trim() != "```");
                let inside: Vec<_> = inside
                    .map(|line| line.get(indent..).unwrap_or(""))
                    .collect();
                page.blocks.push(Block {
                    line: number + 1,
                    language: language.to_string(),
                    text: inside.join("\n") + "\n",
                    comment: comment.take(),
                });
            } else if let Some(said) = trimmed.strip_prefix("<!--") {
                comment = Some(said.trim_end_matches("-->").trim().to_string());
            } else {
                if !trimmed.is_empty() {
                    comment = None;
                }
                page.lines.push((number + 1, line.to_string()));
            }
        }
        page
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    /// The anchors of its headings, as GitHub and mdBook make them.
    fn anchors(&self) -> BTreeSet<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let headings = self.lines.iter().filter(|(_, line)| line.starts_with('#'));
        headings
            .map(|(_, line)| {
                let anchor = anchor(line.trim_start_matches('#').trim());
                let count = seen.entry(anchor.clone()).or_default();
                *count += 1;
                match *count {
                    1 => anchor,
                    n => format!("{anchor}-{}", n - 1),
                }
            })
            .collect()
    }

    /// Where its links lead, with the lines that they stand in.
    fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in &self.lines {
            let text = without_code(line);
            let ends = text.match_indices("](").map(|(at, _)| &text[at + 2..]);
            links.extend(
                ends.filter_map(|rest| Some((*number, rest[..rest.find(')')?].to_string()))),
            );
        }
        links
    }

    /// What stands between single ticks, with the lines.
    fn inline_code(&self) -> Vec<(usize, String)> {
        let mut code = Vec::new();
        for (number, line) in &self.lines {
            // A backslash belongs to bytes that are shown, not to a command.
            let parts = line.split('`').skip(1).step_by(2);
            let parts = parts.filter(|part| !part.contains('\\'));
            code.extend(parts.map(|part| (*number, part.to_string())));
        }
        code
    }
}

/// A line without what stands between ticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The anchor of a heading: its letters and digits, with dashes for gaps.
fn anchor(heading: &str) -> String {
    // Of a link only the words are seen.
    let mut words = heading.replace('`', "");
    while let (Some(middle), Some(start)) = (words.find("]("), words.find('[')) {
        let end = words[middle..]
            .find(')')
            .map_or(words.len(), |end| middle + end + 1);
        words = format!(
            "{}{}{}",
            &words[..start],
            &words[start + 1..middle],
            &words[end..]
        );
    }
    let kept = words.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || "-_".contains(c) => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// The files below `folder`, or all where it is empty, whose names end in one of `endings`, relative to the repository.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            // What is built and what runs leave is no part of the repository.
            let passed = ["target", "runs", ".git", ".libtorch"].map(Path::new);
            if entry.file_type().unwrap().is_dir() {
                if !passed.contains(&path.as_path()) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn pages(folder: &str) -> Vec<Page> {
    let pages = files(folder, &[".md"]);
    pages.iter().map(|path| Page::read(path)).collect()
}

/// The pages of the book.
fn docs() -> Vec<Page> {
    pages("docs")
}

/// A path without `.` and `..`, which need not be there.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                tidy.pop();
            }
            std::path::Component::CurDir => {}
            part => tidy.push(part),
        }
    }
    tidy
}

/// What is wrong with a link from a page in `folder` to `link`, if anything is.
fn broken(page: &Page, link: &str) -> Option<String> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => page.path.clone(),
        path => tidy(&page.path.parent().unwrap().join(path)),
    };
    leads_nowhere(&target, anchor)
}

/// What is wrong with `target`, a path in the repository, and an anchor there.
fn leads_nowhere(target: &Path, anchor: &str) -> Option<String> {
    if !Path::new(ROOT).join(target).exists() {
        return Some(format!("{} is not there", target.display()));
    }
    let anchors = (!anchor.is_empty()).then(|| Page::read(target).anchors())?;
    let wrong = !anchors.contains(anchor);
    wrong.then(|| format!("{} has no heading #{anchor}", target.display()))
}

#[test]
fn every_page_is_in_the_summary_and_every_link_leads_somewhere() {
    let mut wrong = String::new();
    let summary = Page::read(Path::new("docs/SUMMARY.md"));
    let listed: Vec<_> = summary.links().into_iter().map(|(_, link)| link).collect();
    for page in docs().iter().filter(|page| page.path != summary.path) {
        let name = page.path.strip_prefix("docs").unwrap();
        let times = listed.iter().filter(|link| Path::new(link) == name).count();
        if times != 1 {
            wrong += &format!(
                "{} is {times} times in docs/SUMMARY.md\n",
                page.path.display()
            );
        }
    }
    let (pages, mut links) = (pages(""), 0);
    for page in &pages {
        for (line, link) in page.links() {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            links += 1;
            if let Some(why) = broken(page, &link) {
                wrong += &format!("{}: {why}\n", page.at(line));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(pages.len() > 35 && links > 150, "{} {links}", pages.len());
}

/// Code, scenarios and scripts send their readers to pages, too.
#[test]
fn every_page_that_the_code_names_is_there() {
    let mut wrong = String::new();
    let mut named = 0;
    for folder in ["src", "scenarios", "examples", "benches", ".ci"] {
        for file in files(folder, &[".rs", ".ron", ".sh", ".py"]) {
            let text = fs::read_to_string(Path::new(ROOT).join(&file)).unwrap();
            for (at, _) in text.match_indices("docs/") {
                // The end of another path, such as that of an address.
                if text[..at].ends_with(['/', '.']) && !text[..at].ends_with("../") {
                    continue;
                }
                let mut word =
                    text[at..].split(|c: char| !(c.is_alphanumeric() || "/._-#".contains(c)));
                let word = word.next().unwrap().trim_end_matches('.');
                let (path, anchor) = word.split_once('#').unwrap_or((word, ""));
                named += 1;
                if let Some(why) = leads_nowhere(Path::new(path), anchor) {
                    wrong += &format!("{}: {why}\n", file.display());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(named >= 5, "{named}");
}

/// The entries of a fragment: what commas, or new fields at the start of a line, part at the top level.
/// Comments are left out.
fn entries(text: &str) -> Vec<String> {
    let (mut entries, mut entry) = (Vec::new(), String::new());
    let (mut depth, mut quoted) = (0, false);
    for line in text.lines() {
        if depth == 0 && !quoted && begins_an_entry(line) {
            entries.push(std::mem::take(&mut entry));
        }
        let mut characters = line.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '\\' if quoted => {
                    entry.push(c);
                    entry.extend(characters.next());
                    continue;
                }
                '"' => quoted = !quoted,
                '/' if !quoted && characters.peek() == Some(&'/') => break,
                '(' | '[' | '{' if !quoted => depth += 1,
                ')' | ']' | '}' if !quoted => depth -= 1,
                ',' if !quoted && depth == 0 => {
                    entries.push(std::mem::take(&mut entry));
                    continue;
                }
                _ => {}
            }
            entry.push(c);
        }
        entry.push('\n');
    }
    entries.push(entry);
    let entries = entries.iter().map(|entry| entry.trim().to_string());
    entries.filter(|entry| !entry.is_empty()).collect()
}

/// Whether a line begins with a field, `name: …`, or with a value such as `Npz(…)`.
fn begins_an_entry(line: &str) -> bool {
    let name = line.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    name.is_some_and(|end| end > 0 && line[end..].starts_with([':', '(']))
}

/// The name of the field that an entry gives a value.
fn field(entry: &str) -> Option<&str> {
    let (name, _) = entry.split_once(':')?;
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// A small scenario with these fields in place of its own.
fn completed(fields: &[String]) -> String {
    let has = |name: &str| fields.iter().any(|entry| field(entry) == Some(name));
    let schedule = match has("topology") {
        true => "schedule: (rounds: 5, deadline: \"5 s\")",
        false => "schedule: (rounds: 5, cohort: 0.4, deadline: \"5 s\")",
    };
    let base = [
        "data: Digits",
        "model: [Conv(out: 8, kernel: 3, padding: 1), Relu, MaxPool(size: 2), Flatten, Dense(32), Relu, Dense(10)]",
        "partition: (by: Dirichlet(alpha: 0.3))",
        "population: [(name: \"phones\", count: 60, device: \"phone-mid\", link: \"4g\")]",
        schedule,
    ];
    let base = base.iter().filter(|entry| !has(field(entry).unwrap()));
    let all: Vec<_> = base
        .map(ToString::to_string)
        .chain(fields.iter().cloned())
        .collect();
    format!("(\n{},\n)\n", all.join(",\n"))
}

/// Fields of a group that a scenario does not have itself.
const OF_A_GROUP: &[&str] = &[
    "count",
    "device",
    "link",
    "tiers",
    "correlation",
    "trace",
    "budget",
    "participation",
    "availability",
    "leaving",
    "size",
];

/// The scenarios that a block stands for: itself, or a small one with its fields. A field that stands
/// there twice is shown with two values, of which each gets a scenario.
fn scenarios(block: &Block) -> Vec<String> {
    let with = block.said("with").map_or(Vec::new(), entries);
    let small = |fields: &[String]| completed(&[fields, &with].concat());
    let entries = entries(&block.text);
    if let [whole] = &entries[..] {
        let body = whole.strip_prefix("Scenario").unwrap_or(whole);
        match body.starts_with('(') {
            true if body.contains("population:") && body.contains("data:") => {
                return vec![block.text.clone()];
            }
            // A group of a population.
            true => return vec![small(&[format!("population: [{body}]")])],
            false => {}
        }
    }
    let names: Vec<_> = entries.iter().map(|entry| field(entry)).collect();
    if names.iter().all(Option::is_none) {
        // Values without a field are sources of data.
        let data = entries.iter().map(|value| format!("data: {value}"));
        return data.map(|data| small(&[data])).collect();
    }
    if names.iter().flatten().any(|name| OF_A_GROUP.contains(name)) {
        let mut group = entries.clone();
        if !names.contains(&Some("count")) {
            group.push("count: 60".to_string());
        }
        let group = format!("population: [({})]", group.join(", "));
        return vec![small(&[group])];
    }
    let apart = block.said("each by itself").is_some();
    let repeated = |entry: &str| {
        let name = field(entry);
        apart || names.iter().filter(|other| **other == name).count() > 1
    };
    let (once, each): (Vec<_>, Vec<_>) =
        entries.iter().cloned().partition(|entry| !repeated(entry));
    match each.is_empty() {
        true => vec![small(&once)],
        false => each
            .into_iter()
            .map(|entry| small(&[&once[..], &[entry]].concat()))
            .collect(),
    }
}

/// Whether a problem is only that a file of the reader's is not here.
fn is_of_a_missing_file(problem: &Diagnostic) -> bool {
    let said = problem.message.to_lowercase();
    said.contains("no such file") || said.contains("scenarios/data/fetch.sh")
}

/// What is wrong with a block as a scenario or as fields of one.
fn refused(block: &Block) -> Option<String> {
    let read = |text: &String| -> Result<_, Diagnostics> {
        // Relative paths start where there is a file of weights, for those that begin with one.
        Scenario::parse(text, Path::new("scenarios/weights/page.ron"), &[])
    };
    let problems = scenarios(block)
        .iter()
        .filter_map(|scenario| read(scenario).err())
        .collect::<Vec<_>>();
    let told = problems
        .iter()
        .filter(|them| !them.iter().all(is_of_a_missing_file));
    let told: Vec<_> = told.map(|problems| format!("{problems:#}")).collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

#[test]
fn every_scenario_of_a_page_is_one_that_shoal_takes() {
    let (mut wrong, mut taken, mut ignored) = (String::new(), 0, 0);
    let mut pages = docs();
    pages.extend(["README.md", "CONTRIBUTING.md"].map(|name| Page::read(Path::new(name))));
    for page in &pages {
        for block in &page.blocks {
            let place = page.at(block.line);
            match block.language.as_str() {
                "ron" => {
                    taken += 1;
                    if let Some(why) = refused(block) {
                        wrong += &format!("{place}: {why}\n");
                    }
                }
                "ron,ignore" => {
                    ignored += 1;
                    if block.said("ignored").is_none_or(str::is_empty) {
                        wrong += &format!("{place}: <!-- ignored: WHY --> is missing before it\n");
                    }
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(
        taken >= 20 && ignored <= 3,
        "{taken} taken, {ignored} ignored"
    );
}

/// The words of each command of a piece of shell, without what its output goes to.
fn commands(shell: &str) -> Vec<Vec<String>> {
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
fn of_shoal(command: &[String]) -> Option<Vec<String>> {
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
fn unknown(line: &[String]) -> Option<String> {
    let words: Vec<&str> = line.iter().map(String::as_str).collect();
    let error = shoal::cli::parses(&words).err()?;
    Some(format!("{}\n{error}", line.join(" ")))
}

/// The files of the repository that a command names and that are not there.
fn missing(command: &[String]) -> Vec<String> {
    let ours = ["scenarios/", "examples/", ".ci/", "benches/"];
    let named = command
        .iter()
        .filter(|word| ours.iter().any(|folder| word.starts_with(folder)));
    let gone = named.filter(|word| !word.contains('$') && !Path::new(ROOT).join(word).exists());
    gone.cloned().collect()
}

/// Pages whose commands are run.
fn is_run(page: &Page) -> bool {
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

/// The words of a line that are alike in runs of any length and on any machine: figures are left out, and
/// the word behind a figure, which is its unit or what is counted.
fn shape(line: &str) -> Vec<&str> {
    let is_figure = |word: &str| word.contains(|c: char| c.is_ascii_digit());
    let words: Vec<_> = line.split_whitespace().collect();
    let behind = std::iter::once(false).chain(words.iter().map(|word| is_figure(word)));
    let told = words.iter().zip(behind).filter(|(word, behind)| {
        !behind && !is_figure(word) && word.chars().any(char::is_alphabetic)
    });
    told.map(|(word, _)| *word).collect()
}

/// Lines that are shown and that nothing of the output is like.
fn unlike<'a>(shown: &'a str, output: &str) -> Vec<&'a str> {
    let said: BTreeSet<_> = output.lines().map(shape).collect();
    let lines = shown
        .lines()
        .filter(|line| !["", "…", "..."].contains(&line.trim()));
    lines.filter(|line| !said.contains(&shape(line))).collect()
}

/// A folder in which the commands of a page are run: `shoal` is the program that was built, and the
/// repository's scenarios and examples are there.
struct Desk(tempfile::TempDir);

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
fn follow(page: &Page) -> (String, usize) {
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

/// The checks above would be worth little if nothing could fail them.
#[test]
fn what_is_wrong_on_a_page_is_found() {
    let parse = |text: &str| Page::parse(Path::new("docs/made_up.md"), text);
    let block = |comment: &str, text: &str| {
        let mut page = parse(&format!("{comment}\n```ron\n{text}\n```\n"));
        page.blocks.remove(0)
    };
    let links = parse(
        "[a](nowhere.md) `[b](c.md)` [d](scenario.md#no-such-heading) [e](scenario.md#scenario)",
    );
    let found: Vec<_> = links
        .links()
        .iter()
        .map(|(_, link)| broken(&links, link).is_some())
        .collect();
    assert_eq!(found, [true, true, false]);
    assert_eq!(
        anchor("`partition: (by: RULE)` and [a link](b.md)"),
        "partition-by-rule-and-a-link"
    );

    for (text, right) in [
        ("method: FedAvg", true),
        ("method: FedAvgg", false),
        (
            "topology: Gossip(graph: Ring)\ntopology: Gossip(graph: Rung)",
            false,
        ),
        (
            "topology: Gossip(graph: Ring)\ntopology: Gossip(graph: Torus)",
            true,
        ),
        (
            "schedule: (rounds: 3, cohorts: 5), // a comment, with a comma",
            false,
        ),
        (
            "schedule: (rounds: 3, cohort: 5), // a comment, with a comma",
            true,
        ),
        (
            "Npz(file: \"mine.npz\", train: (x: \"x\", y: \"y\"), test_fraction: 0.2)",
            true,
        ),
        (
            "Npz(file: \"mine.npz\", train: (x: \"x\", why: \"y\"), test_fraction: 0.2)",
            false,
        ),
        ("(name: \"phones\", count: 10, link: \"4g\")", true),
        ("(name: \"phones\", count: 10, link: \"4gg\")", false),
        ("device: \"laptop\", availability: Diurnal(low: 0.1)", true),
        (
            "device: \"laptop\", availability: Diurnal(lower: 0.1)",
            false,
        ),
        (
            "Scenario(data: Digits, model: \"mlp-64\", population: [(count: 5)])",
            true,
        ),
        (
            "Scenario(data: Digits, model: \"mlp-64\", population: [(count: -5)])",
            false,
        ),
    ] {
        let why = refused(&block("", text));
        assert_eq!(why.is_none(), right, "{text}: {why:?}");
    }
    let together = "compression: TopK(), secure_aggregation: SecAgg()";
    assert!(refused(&block("", together)).is_some());
    assert!(refused(&block("<!-- each by itself -->", together)).is_none());
    let of_four = "topology: Gossip(graph: Edges([(0, 1), (1, 2), (2, 3)]))";
    assert!(refused(&block("", of_four)).is_some());
    assert!(refused(&block("<!-- with population: [(count: 4)] -->", of_four)).is_none());

    let shell = "# shoal nothing\nX=1 shoal run 'a b.ron' \\\n  --set \"x=\\\"y\\\"\" > out; nice target/release/shoal lst";
    let lines: Vec<_> = commands(shell)
        .iter()
        .filter_map(|command| of_shoal(command))
        .collect();
    assert_eq!(lines[0], ["shoal", "run", "a b.ron", "--set", "x=\"y\""]);
    let known: Vec<_> = lines.iter().map(|line| unknown(line).is_none()).collect();
    assert_eq!(known, [true, false]);

    let page = parse(
        "<!-- file: s.txt -->\n```text\nhello world\n```\n\n```sh\ncat s.txt\n```\n\n```text\nhello moon\n```\n\n\
         ```sh\nshoal run nothing.ron\n```\n\n<!-- ends with 2 -->\n```sh\nshoal run nothing.ron\n```\n\n\
         <!-- only parsed: it never ends -->\n```sh\nsleep 1000\n```\n",
    );
    let (wrong, ran) = follow(&page);
    assert_eq!(ran, 3);
    assert!(
        wrong.contains("hello moon") && wrong.contains("ends with 2, not with 0"),
        "{wrong}"
    );
    assert!(!wrong.contains("hello world"), "{wrong}");
}
