//! The pages of the documentation, and the blocks of code on them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub(super) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A block of code in a page.
pub(super) struct Block {
    /// The line of the page that opens it, from 1.
    pub(super) line: usize,
    /// What stands behind the three ticks, such as `sh`.
    pub(super) language: String,
    pub(super) text: String,
    /// The comment in front of it, without its brackets.
    pub(super) comment: Option<String>,
}

impl Block {
    /// What the comment says behind `word:`, where that is how it begins.
    pub(super) fn said(&self, word: &str) -> Option<&str> {
        let rest = self.comment.as_deref()?.strip_prefix(word)?;
        Some(rest.trim_start_matches(':').trim())
    }
}

/// A page: its blocks of code, and its text without them.
pub(super) struct Page {
    /// Relative to the repository.
    pub(super) path: PathBuf,
    pub(super) blocks: Vec<Block>,
    /// Lines outside of blocks, with their numbers from 1.
    pub(super) lines: Vec<(usize, String)>,
}

impl Page {
    pub(super) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
        Self::parse(path, &text)
    }

    pub(super) fn parse(path: &Path, text: &str) -> Self {
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

    pub(super) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    /// The anchors of its headings, as GitHub and mdBook make them.
    pub(super) fn anchors(&self) -> BTreeSet<String> {
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
    pub(super) fn links(&self) -> Vec<(usize, String)> {
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
    pub(super) fn inline_code(&self) -> Vec<(usize, String)> {
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
pub(super) fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The anchor of a heading: its letters and digits, with dashes for gaps.
pub(super) fn anchor(heading: &str) -> String {
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
pub(super) fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
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

pub(super) fn pages(folder: &str) -> Vec<Page> {
    let pages = files(folder, &[".md"]);
    pages.iter().map(|path| Page::read(path)).collect()
}

/// The pages of the book.
pub(super) fn docs() -> Vec<Page> {
    pages("docs")
}

/// A path without `.` and `..`, which need not be there.
pub(super) fn tidy(path: &Path) -> PathBuf {
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
