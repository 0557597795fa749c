//! Properties of the reader: it reads what the `ron` crate reads, it survives any text, and it counts
//! mistakes.

use super::{Diagnostics, Document};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Plain {
    text: String,
    letter: char,
    whole: i64,
    natural: u64,
    byte: u8,
    real: f64,
    single: f32,
    flag: bool,
    maybe: Option<Option<i32>>,
    word: Option<Kind>,
    unit: (),
    marker: Marker,
    wrapped: Wrapped,
    pair: Pair,
    many: Vec<Kind>,
    array: [u16; 3],
    named: BTreeMap<String, i8>,
    numbered: BTreeMap<i16, (bool, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Wrapped(Vec<u8>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pair(i32, String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Nothing,
    One(u32),
    Inside(Marker),
    Two(f64, String),
    Fields { low: f64, next: Option<Box<Kind>> },
}

fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("finite", |x| x.is_finite())
}

fn kind() -> impl Strategy<Value = Kind> {
    let leaf = prop_oneof![
        Just(Kind::Nothing),
        any::<u32>().prop_map(Kind::One),
        Just(Kind::Inside(Marker)),
        (finite(), any::<String>()).prop_map(|(x, text)| Kind::Two(x, text)),
    ];
    leaf.prop_recursive(4, 8, 1, |inner| {
        (finite(), proptest::option::of(inner)).prop_map(|(low, next)| Kind::Fields {
            low,
            next: next.map(Box::new),
        })
    })
}

prop_compose! {
    fn plain()(
        (text, letter, whole, natural, byte) in any::<(String, char, i64, u64, u8)>(),
        real in finite(),
        single in any::<f32>().prop_filter("finite", |x| x.is_finite()),
        (flag, maybe, array, wrapped) in any::<(bool, Option<Option<i32>>, [u16; 3], Vec<u8>)>(),
        word in proptest::option::of(kind()),
        pair in any::<(i32, String)>(),
        many in vec(kind(), 0..4),
        named in btree_map(any::<String>(), any::<i8>(), 0..4),
        numbered in btree_map(any::<i16>(), any::<(bool, String)>(), 0..4),
    ) -> Plain {
        Plain {
            text, letter, whole, natural, byte, real, single, flag, maybe, word, unit: (),
            marker: Marker, wrapped: Wrapped(wrapped), pair: Pair(pair.0, pair.1), many, array,
            named, numbered,
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Diagnostics> {
    Document::parse(text, Path::new("p"))?.read()
}

/// As the crate of reference reads it, where an absent `Some` needs no telling apart.
fn reference(text: &str) -> Plain {
    ron::from_str(text).unwrap()
}

/// A scenario-like type: fields with rules, lists, variants, a struct within.
#[derive(Debug, PartialEq, Deserialize)]
struct Sheet {
    count: u32,
    title: String,
    share: super::fields::Fraction,
    delay: super::fields::OrDistribution<super::fields::Duration>,
    kind: Kind,
    sizes: Vec<u8>,
    corner: (i8, bool),
    inner: Option<Box<Sheet>>,
}

/// The fields of a sheet, each sound and then spoilt in one way.
const FIELDS: [(&str, &str); 8] = [
    ("count: 5", "count: -5"),
    ("title: \"x\"", "title: x"),
    ("share: 0.5", "share: 1.5"),
    (
        "delay: Uniform(\"1 s\", \"2 s\")",
        "delay: Uniform(\"1 s\", \"2 sec\")",
    ),
    ("kind: Fields(low: 0.5)", "kind: Feilds(low: 0.5)"),
    ("sizes: [1, 2, 3]", "sizes: [1, 256, 3]"),
    ("corner: (1, true)", "corner: (1, yes)"),
    ("", "colour: \"red\""),
];

/// A sheet with the fields for which `spoil` says so spoilt, and another one inside.
fn sheet(spoil: &[bool]) -> String {
    let (outer, inner) = spoil.split_at(FIELDS.len());
    let write = |spoil: &[bool]| -> Vec<&str> {
        let fields = FIELDS.iter().zip(spoil);
        let fields = fields.map(|((sound, wrong), spoil)| if *spoil { *wrong } else { *sound });
        fields.filter(|field| !field.is_empty()).collect()
    };
    let mut fields = write(outer);
    let inner = format!("inner: ({})", write(inner).join(", "));
    fields.insert(fields.len() / 2, &inner);
    format!("Sheet(\n    {},\n)", fields.join(",\n    "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_ron_writes_reads_as_ron_reads_it(value in plain()) {
        let short = ron::to_string(&value).unwrap();
        let pretty = ron::ser::PrettyConfig::new().struct_names(true);
        let long = ron::ser::to_string_pretty(&value, pretty).unwrap();
        for text in [&short, &long] {
            let ours: Plain = read(text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert_eq!(&ours, &reference(text));
            prop_assert_eq!(&ours, &value);
        }
    }

    #[test]
    fn each_planted_mistake_gives_exactly_one_diagnostic(spoil in vec(any::<bool>(), 16)) {
        let planted = spoil.iter().filter(|spoil| **spoil).count();
        let text = sheet(&spoil);
        let found = read::<Sheet>(&text).err().unwrap_or_default();
        prop_assert_eq!(found.len(), planted, "{}\n{}", text, found);
        let places: Vec<_> = found.iter().map(|d| d.to_string()).collect();
        let mut distinct = places.clone();
        distinct.dedup();
        prop_assert_eq!(places, distinct);
    }

    #[test]
    fn leaving_out_fields_gives_one_diagnostic_each(keep in vec(any::<bool>(), 7)) {
        let fields: Vec<&str> = FIELDS.iter().zip(&keep).filter(|(_, k)| **k).map(|(f, _)| f.0).collect();
        let found = read::<Sheet>(&format!("({})", fields.join(","))).err().unwrap_or_default();
        prop_assert_eq!(found.len(), keep.iter().filter(|k| !**k).count(), "{}", found);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = read::<Plain>(&text);
        let _ = read::<Sheet>(&text);
    }

    #[test]
    fn any_row_of_tokens_is_read_or_refused(tokens in vec(prop::sample::select(TOKENS.to_vec()), 0..60)) {
        let text = tokens.concat();
        let _ = read::<Plain>(&text).map_err(|e| format!("{e:#}"));
        let _ = read::<Sheet>(&text).map_err(|e| format!("{e:#}"));
        let _ = read::<Kind>(&text).map_err(|e| format!("{e:#}"));
    }

    #[test]
    fn a_mutilated_document_is_read_or_refused(
        cuts in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::sample::select(TOKENS.to_vec())), 1..6),
        value in plain(),
        spoil in vec(any::<bool>(), 16),
    ) {
        for text in [ron::to_string(&value).unwrap(), sheet(&spoil)] {
            let mut text: Vec<char> = text.chars().collect();
            for (from, length, put) in &cuts {
                let from = from.index(text.len() + 1);
                let to = (from + length.index(8)).min(text.len());
                text.splice(from..to, put.chars());
            }
            let text: String = text.into_iter().collect();
            if let Err(error) = read::<Plain>(&text) {
                prop_assert!(!error.is_empty());
                let shown = format!("{error:#}");
                prop_assert!(shown.contains(": "));
            }
            if let Err(error) = read::<Sheet>(&text) {
                prop_assert!(!error.is_empty());
            }
        }
    }

    #[test]
    fn any_override_is_applied_or_refused(
        path in prop_oneof!["[a-z.\\[\\]0-9]{0,12}", Just("inner.count".into()), Just("sizes[1]".into()), Just("delay.low".into())],
        value in prop_oneof![any::<String>(), vec(prop::sample::select(TOKENS.to_vec()), 0..6).prop_map(|t| t.concat())],
    ) {
        let mut document = Document::parse(&sheet(&[false; 16]), Path::new("p")).unwrap();
        if let Err(error) = document.set(&format!("{path}={value}")) {
            prop_assert_eq!(error.len(), 1);
        }
        if let Err(error) = document.read::<Sheet>() {
            prop_assert!(!error.is_empty());
        }
        let _ = document.error(&path, "x").to_string();
    }
}

const TOKENS: [&str; 36] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "=",
    " ",
    "\n",
    "\"",
    "'",
    "\\",
    "r#\"",
    "\"#",
    "//",
    "/*",
    "*/",
    "#![enable(",
    "Some(",
    "None",
    "inf",
    "-",
    "0x1F",
    "1_0.5e-3",
    "20 ms",
    "true",
    "count: 5",
    "inner: (",
    "Fields(low:",
    "kind:",
    "é",
    "\u{0}",
    "Uniform(",
    "title",
];
