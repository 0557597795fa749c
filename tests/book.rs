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

mod commands;
mod followed;
mod links;
mod page;
mod scenarios;

use commands::*;
use followed::*;
use links::*;
use page::*;
use scenarios::*;
use std::path::Path;

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
