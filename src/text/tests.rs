mod overrides;

use super::fields::{Duration, OrDistribution, PositiveFraction};
use super::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename = "Scenario")]
struct Scenario {
    name: String,
    #[serde(default)]
    seed: u32,
    method: Method,
    population: Vec<Group>,
    #[serde(default)]
    deadline: Option<Duration>,
    #[serde(default)]
    tags: BTreeMap<String, bool>,
}

#[derive(Debug, Deserialize, PartialEq)]
enum Method {
    FedAvg,
    FedProx { mu: f64 },
    Scaffold(Scaffold),
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Scaffold {
    warm: bool,
    rate: f32,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Group {
    count: u32,
    #[serde(default)]
    participation: Option<PositiveFraction>,
    #[serde(default)]
    link: Link,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Link {
    preset: String,
    latency: Option<OrDistribution<Duration>>,
    window: (u8, u8),
}

const SOUND: &str = r#"// A comment.
Scenario(
    name: "quick",
    method: FedProx(mu: 0.1),
    population: [
        (count: 3, participation: 0.5),
        (count: 4, link: (latency: "20 ms", window: (1, 2))),
    ],
)
"#;

fn parse(text: &str) -> Document {
    Document::parse(text, Path::new("s.ron")).unwrap()
}

fn read(text: &str) -> Result<Scenario, Diagnostics> {
    Document::parse(text, Path::new("s.ron"))?.read()
}

/// What is said about `text`, one string a mistake.
fn mistakes(text: &str) -> Vec<String> {
    read(text)
        .unwrap_err()
        .iter()
        .map(|d| d.to_string())
        .collect()
}

/// What is said about the sound scenario with each `from` turned into its `to`.
fn spoilt(changes: &[(&str, &str)]) -> Vec<String> {
    let text = changes.iter().fold(SOUND.to_string(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    });
    mistakes(&text)
}

#[test]
fn a_sound_scenario_reads() {
    let scenario = read(SOUND).unwrap();
    assert_eq!(scenario.method, Method::FedProx { mu: 0.1 });
    assert_eq!(scenario.population[1].link.window, (1, 2));
    assert_eq!(scenario.population[0].count, 3);
}

#[test]
fn a_misspelt_field_is_named_with_the_fields_there_are() {
    assert_eq!(
        spoilt(&[("count: 3", "cuont: 3")]),
        ["s.ron:6:10: population[0].cuont: expected one of the fields count, participation, link, found cuont; did you mean count?"]
    );
}

#[test]
fn a_misspelt_variant_is_named_with_the_variants_there_are() {
    assert_eq!(
        spoilt(&[("FedProx(mu: 0.1)", "FedPorx(mu: 0.1)")]),
        ["s.ron:4:13: method: expected one of FedAvg, FedProx, Scaffold, found FedPorx; did you mean FedProx?"]
    );
    assert_eq!(
        spoilt(&[("FedProx(mu: 0.1)", "\"FedAvg\"")]),
        ["s.ron:4:13: method: expected one of FedAvg, FedProx, Scaffold, found \"FedAvg\"; did you mean FedAvg, without quotes?"]
    );
}

#[test]
fn a_number_out_of_range_or_of_the_wrong_kind_says_what_the_range_is() {
    for (to, found) in [
        ("count: -1", "-1"),
        ("count: 3.5", "3.5"),
        ("count: 5_000_000_000", "5_000_000_000"),
        ("count: \"3\"", "\"3\""),
        ("count: [3]", "a list [..]"),
        (
            "count: 99999999999999999999999999",
            "99999999999999999999999999",
        ),
    ] {
        assert_eq!(
            spoilt(&[("count: 3", to)]),
            [format!("s.ron:6:17: population[0].count: expected a whole number from 0 to 4294967295, found {found}")]
        );
    }
}

#[test]
fn a_rule_of_the_type_is_reported_at_the_value() {
    assert_eq!(
        spoilt(&[("0.5", "1.4"), ("20 ms", "20 msec")]),
        [
            "s.ron:6:35: population[0].participation: 1.4 is outside (0, 1]; did you mean 0.14?",
            "s.ron:7:36: population[1].link.latency: expected a duration such as \"20 ms\", found \"20 msec\": \"msec\" is not one of ns, us, ms, s, min, h, d; did you mean ms?",
        ]
    );
}

#[test]
fn every_missing_field_is_reported_once() {
    assert_eq!(
        mistakes("(population: [(link: ()), ()])"),
        [
            "s.ron:1:1: the required field name is missing",
            "s.ron:1:1: the required field method is missing",
            "s.ron:1:15: population[0]: the required field count is missing",
            "s.ron:1:27: population[1]: the required field count is missing",
        ]
    );
}

#[test]
fn a_wrong_required_value_hides_no_other_mistake_and_makes_none() {
    assert_eq!(
        spoilt(&[
            ("name: \"quick\"", "name: 5"),
            ("mu: 0.1", "my: 0.1"),
            ("count: 3", "count: x"),
            ("(1, 2)", "(1, 300)"),
        ])
        .len(),
        4
    );
}

#[test]
fn a_tuple_element_that_is_wrong_does_not_shift_the_others() {
    assert_eq!(
        spoilt(&[("(1, 2)", "(\"x\", 300)")]),
        [
            "s.ron:7:54: population[1].link.window[0]: expected a whole number from 0 to 255, found \"x\"",
            "s.ron:7:59: population[1].link.window[1]: expected a whole number from 0 to 255, found 300",
        ]
    );
    assert_eq!(
        spoilt(&[("(1, 2)", "(1, 2, 3)")]),
        ["s.ron:7:53: population[1].link.window: expected 2 values, found 3"]
    );
    assert_eq!(
        spoilt(&[("(1, 2)", "(1,)")]),
        ["s.ron:7:53: population[1].link.window: expected 2 values, found 1"]
    );
}

#[test]
fn a_wrong_element_keeps_the_numbers_of_those_behind_it() {
    let text = "(name: \"x\", method: FedAvg, population: [5, (count: 1), (count: true)])";
    assert_eq!(
        mistakes(text),
        [
            "s.ron:1:42: population[0]: expected fields such as (count: .., participation: .., link: ..), found 5",
            "s.ron:1:65: population[2].count: expected a whole number from 0 to 4294967295, found true",
        ]
    );
}

#[test]
fn a_wrong_struct_name_is_reported_and_looked_past() {
    let said = spoilt(&[("Scenario(", "Scenaro("), ("count: 3", "count: y")]);
    assert_eq!(
        said[0],
        "s.ron:2:1: expected Scenario(..) or (..), found Scenaro(..); did you mean Scenario?"
    );
    assert_eq!(said.len(), 2);
}

#[test]
fn slips_in_the_syntax_are_reported_with_the_mistakes_in_the_values() {
    assert_eq!(
        spoilt(&[
            ("name: \"quick\",", "name: \"quick\", seed = 3, seed: 4"),
            ("0.5", "20ms"),
            ("count: 4", "count: -4"),
        ]),
        [
            "s.ron:3:25: expected `:` after the field name seed, found `=`",
            "s.ron:3:30: the field seed is given twice, first at 3:20; keep one",
            "s.ron:3:37: expected `,` before `method`",
            "s.ron:6:35: expected a number, found 20ms; a quantity with its unit goes in quotes: \"20ms\"",
            "s.ron:7:17: population[1].count: expected a whole number from 0 to 4294967295, found -4",
        ]
    );
}

#[test]
fn variants_take_their_fields_by_name_by_position_or_not_at_all() {
    let method = |text: &str| {
        let text = SOUND.replace("FedProx(mu: 0.1)", text);
        read(&text).map(|scenario| scenario.method)
    };
    assert_eq!(method("FedProx(0.1)"), Ok(Method::FedProx { mu: 0.1 }));
    assert_eq!(method("FedAvg()"), Ok(Method::FedAvg));
    let cold = Scaffold::default();
    assert_eq!(method("Scaffold"), Ok(Method::Scaffold(cold)));
    let warm = || Scaffold {
        warm: true,
        rate: 0.0,
    };
    assert_eq!(method("Scaffold(warm: true)"), Ok(Method::Scaffold(warm())));
    assert_eq!(
        method("Scaffold((warm: true))"),
        Ok(Method::Scaffold(warm()))
    );
    let said = |text: &str| method(text).unwrap_err().to_string();
    assert_eq!(
        said("FedAvg(1)"),
        "s.ron:4:13: method: expected FedAvg with nothing behind it, found FedAvg(..)"
    );
    assert_eq!(
        said("FedProx(0.1, 0.2)"),
        "s.ron:4:13: method: expected one value (mu), found 2"
    );
    assert_eq!(
        said("FedProx"),
        "s.ron:4:13: method: the required field mu is missing"
    );
    assert_eq!(
        said("Scaffold(worm: true)"),
        "s.ron:4:22: method.worm: expected one of the fields warm, rate, found worm; did you mean warm?"
    );
}

#[test]
fn a_bare_value_will_do_for_an_option() {
    let one = SOUND.replace("name:", "deadline: \"1 s\", name:");
    let two = SOUND.replace("name:", "deadline: Some(\"1 s\"), name:");
    assert_eq!(read(&one), read(&two));
    assert!(read(&one).unwrap().deadline.is_some());
    let none = SOUND.replace("name:", "deadline: None, name:");
    assert_eq!(read(&none), read(SOUND));
    assert_eq!(
        spoilt(&[("name:", "deadline: Some(\"-1 s\"), name:")]),
        ["s.ron:3:20: deadline: -1 s is outside [0 s, 1e10 s]"]
    );
}

#[test]
fn the_long_form_shows_the_line_and_marks_the_mistake() {
    let error = read(&SOUND.replace("0.5", "1.4")).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "s.ron:6:35: population[0].participation: 1.4 is outside (0, 1]; did you mean 0.14?\n \
         6 |         (count: 3, participation: 1.4),\n   \
         |                                   ^^^"
    );
}

#[test]
fn a_long_line_is_shown_in_part_and_control_characters_not_at_all() {
    let text = format!("(name: \"\u{1b}[31m{}\", seed: -1)", "é".repeat(5000));
    let error = read(&text).unwrap_err();
    let seed = error.iter().find(|d| d.path == "seed").unwrap();
    let excerpt = seed.excerpt.as_ref().unwrap();
    assert!(excerpt.line.chars().count() <= 100);
    let marked = excerpt
        .line
        .chars()
        .skip(excerpt.offset)
        .take(excerpt.width);
    assert_eq!(marked.collect::<String>(), "-1");
    assert!(!format!("{error:#}").contains('\u{1b}'));
}

#[test]
fn a_bad_map_entry_is_named_by_its_key() {
    assert_eq!(
        spoilt(&[("name:", "tags: {\"a\": true, \"b\": 3}, name:")]),
        ["s.ron:3:28: tags[\"b\"]: expected true or false, found 3"]
    );
}

#[test]
fn a_hundred_thousand_mistakes_are_counted_not_listed() {
    let text = format!(
        "(name: \"x\", method: FedAvg, population: [{}])",
        "5,".repeat(100_000)
    );
    let error = read(&text).unwrap_err();
    assert_eq!(error.len(), 100);
    let said = error.to_string();
    assert_eq!(said.lines().count(), 51);
    assert!(said.ends_with("\nand at least 50 more"), "{said}");
}

#[test]
fn mistakes_found_later_are_placed_by_path() {
    let document = parse(SOUND);
    let said = |path: &str| document.error(path, "no").to_string();
    assert_eq!(
        said("population[0].participation"),
        "s.ron:6:35: population[0].participation: no"
    );
    assert_eq!(said("method.mu"), "s.ron:4:25: method.mu: no");
    // Left out: the nearest value around it.
    assert_eq!(
        said("population[0].link.latency"),
        "s.ron:6:9: population[0].link.latency: no"
    );
    assert_eq!(said("population[7]"), "s.ron:5:17: population[7]: no");
    assert_eq!(said("server"), "s.ron:2:1: server: no");
    assert_eq!(said(""), "s.ron:2:1: no");
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.ron");
    let said = |path: &Path| Document::open(path).unwrap_err().to_string();
    assert_eq!(
        said(&path),
        format!(
            "{}: cannot read the file: No such file or directory (os error 2)",
            path.display()
        )
    );
    std::fs::write(&path, b"(name: \"\xff\")").unwrap();
    assert_eq!(
        said(&path),
        format!(
            "{}: expected UTF-8 text, found the byte 0xff in line 1; save the file as UTF-8",
            path.display()
        )
    );
    std::fs::write(&path, vec![b' '; MAX_BYTES + 1]).unwrap();
    assert!(said(&path).ends_with("expected at most 4 MiB of text, found more"));
    std::fs::write(&path, SOUND).unwrap();
    assert_eq!(Document::open(&path).unwrap().read(), read(SOUND));
}

#[derive(Debug, Deserialize, PartialEq)]
struct Named {
    #[serde(alias = "learning_rate")]
    rate: u8,
}

#[test]
fn a_field_given_by_two_of_its_names_is_reported_at_the_second() {
    let error = parse("(learning_rate: 1, rate: 2)").read::<Named>();
    assert_eq!(
        error.unwrap_err().to_string(),
        "s.ron:1:20: rate: the field rate is given twice; keep one"
    );
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(try_from = "Ends")]
struct Ordered(u8, u8);

#[derive(Deserialize)]
struct Ends {
    low: u8,
    high: u8,
}

impl TryFrom<Ends> for Ordered {
    type Error = &'static str;

    fn try_from(ends: Ends) -> Result<Self, Self::Error> {
        match ends.low < ends.high {
            true => Ok(Self(ends.low, ends.high)),
            false => Err("low is not below high"),
        }
    }
}

#[test]
fn a_rule_across_fields_is_reported_unless_one_of_them_was() {
    let said = |text: &str| {
        let error = parse(text).read::<Vec<Ordered>>().unwrap_err();
        error.iter().map(|d| d.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        said("[(low: 3, high: 2), (low: 3, high: -1), (low: 1, high: 2)]"),
        [
            "s.ron:1:2: [0]: low is not below high",
            "s.ron:1:36: [1].high: expected a whole number from 0 to 255, found -1",
        ]
    );
}

#[derive(Debug, Deserialize, PartialEq)]
enum Chain {
    Link(Box<Chain>),
    End,
}

#[test]
fn a_type_that_contains_itself_reads_as_deep_as_a_text_goes() {
    let depth = 64;
    let text = format!("{}End{}", "Link(".repeat(depth), ")".repeat(depth));
    let mut chain = parse(&text).read::<Chain>().unwrap();
    let mut links = 0;
    while let Chain::Link(next) = chain {
        chain = *next;
        links += 1;
    }
    assert_eq!(links, depth);
    // No placeholder can be made for a chain: its first variant holds another one.
    let error = parse("Link(Link(Ent))").read::<Chain>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "s.ron:1:11: expected one of Link, End, found Ent; did you mean End?"
    );
}

#[test]
fn a_bad_number_in_a_required_field_is_one_mistake() {
    assert_eq!(
        spoilt(&[("count: 3", "count: 3x")]),
        ["s.ron:6:17: expected a number, found 3x; a quantity with its unit goes in quotes: \"3x\""]
    );
}
