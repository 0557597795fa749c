//! Every page is in the summary, and every link leads somewhere.

use super::page::*;
use std::fs;
use std::path::Path;

/// What is wrong with a link from a page in `folder` to `link`, if anything is.
pub(super) fn broken(page: &Page, link: &str) -> Option<String> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => page.path.clone(),
        path => tidy(&page.path.parent().unwrap().join(path)),
    };
    leads_nowhere(&target, anchor)
}

/// What is wrong with `target`, a path in the repository, and an anchor there.
pub(super) fn leads_nowhere(target: &Path, anchor: &str) -> Option<String> {
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
