//! The varied parameters: paths with their values, and the seeds.

use serde::{Deserialize, Serialize};

/// A path of the scenario and the values that it takes, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Varied {
    /// The path, written as for `--set`.
    pub path: String,
    /// The values as RON, written as for `--set`; at least one.
    pub values: Vec<String>,
}

impl std::str::FromStr for Varied {
    type Err = String;

    /// Reads `PATH=VALUE,VALUE,...`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (path, values) = text
            .split_once('=')
            .ok_or("expected PATH=VALUE,VALUE,..., found no `=`")?;
        let path = path.trim().to_string();
        if path.is_empty() {
            return Err("expected PATH=VALUE,VALUE,..., found no path".into());
        }
        if path == "seed" {
            return Err("seeds are varied with --seeds".into());
        }
        let values = split_values(values)?;
        for (at, value) in values.iter().enumerate() {
            if values[..at].contains(value) {
                return Err(format!("{value} is there twice"));
            }
        }
        Ok(Self { path, values })
    }
}

/// Splits a list at the commas that are outside brackets and quoted texts. Whether the values are
/// valid is left to the scenario's reader, except that brackets and texts must be closed.
///
/// # Errors
/// When a value is empty, a bracket has no counterpart, or a text has no end.
pub fn split_values(text: &str) -> Result<Vec<String>, String> {
    let mut values = Vec::new();
    let mut open: Vec<char> = Vec::new();
    let (mut start, mut at) = (0, 0);
    let rest = |at: usize| text.get(at..).unwrap_or("");
    while let Some(c) = rest(at).chars().next() {
        let width = match c {
            '"' => quoted(rest(at))?,
            'r' if !is_inside_name(text, at) => raw(rest(at))?.unwrap_or(1),
            // This is a character such as 'x', or a lone quotation mark, which the scenario's
            // reader will refuse.
            '\'' => letter(rest(at)),
            _ => c.len_utf8(),
        };
        match c {
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(c) => {
                return Err(format!("`{c}` closes no bracket in {text:?}"));
            }
            ',' if open.is_empty() => {
                values.push(text[start..at].trim().to_string());
                start = at + 1;
            }
            _ => {}
        }
        at += width;
    }
    if let Some(close) = open.pop() {
        return Err(format!("expected `{close}` at the end of {text:?}"));
    }
    values.push(text[start..].trim().to_string());
    if values.iter().any(String::is_empty) {
        return Err(format!("an empty value among {text:?}"));
    }
    Ok(values)
}

fn is_inside_name(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    before.is_some_and(|c| c == '_' || c.is_alphanumeric())
}

/// The length in bytes of the quoted text at the start of `text`, with its quotation marks.
fn quoted(text: &str) -> Result<usize, String> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok(at + 1),
            _ => {}
        }
    }
    Err(format!("a text without its end: {text}"))
}

/// As [`quoted`], for a raw text such as `r"…"`; `None` if no raw text begins here.
fn raw(text: &str) -> Result<Option<usize>, String> {
    let hashes = text[1..].chars().take_while(|&c| c == '#').count();
    let from = 1 + hashes;
    if !text[from..].starts_with('"') {
        return Ok(None);
    }
    let end = format!("\"{}", "#".repeat(hashes));
    match text[from + 1..].find(&end) {
        Some(at) => Ok(Some(from + 1 + at + end.len())),
        None => Err(format!("a text without its end: {text}")),
    }
}

fn letter(text: &str) -> usize {
    let mut inside = text.char_indices().skip(1);
    let last = match inside.next() {
        Some((_, '\\')) => inside.nth(1),
        Some(_) => inside.next(),
        None => None,
    };
    match last {
        Some((at, '\'')) => at + 1,
        _ => 1,
    }
}

/// Reads seeds such as `1..5` (both ends included), `7` or `1..3,10`, and returns them in the order
/// given.
///
/// # Errors
/// When something is not a seed, a seed occurs twice, or there are more than `most`.
pub fn parse_seeds(text: &str, most: usize) -> Result<Vec<u64>, String> {
    let number = |word: &str| {
        word.trim()
            .parse::<u64>()
            .map_err(|_| format!("{word:?} is no seed: expected seeds such as 1..5 or 1,2,7"))
    };
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once("..") {
            Some((first, last)) => (
                number(first)?,
                number(last.strip_prefix('=').unwrap_or(last))?,
            ),
            None => (number(part)?, number(part)?),
        };
        if last < first {
            return Err(format!("{part}: the last seed is before the first"));
        }
        if last - first >= most as u64 || seeds.len() + (last - first) as usize >= most {
            return Err(format!("more than {most} seeds"));
        }
        seeds.extend(first..=last);
    }
    let mut sorted = seeds.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("the seed {} is there twice", pair[0])),
        None => Ok(seeds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_split_at_the_commas_outside_of_brackets_and_texts() {
        for (text, values) in [
            ("10,50,100", vec!["10", "50", "100"]),
            (
                "FedAvg(()), FedProx(mu: 0.1)",
                vec!["FedAvg(())", "FedProx(mu: 0.1)"],
            ),
            (
                "[1, 2],{\"a,)\": (3, 4)}",
                vec!["[1, 2]", "{\"a,)\": (3, 4)}"],
            ),
            (
                r#""a\",b",'"',',',x"#,
                vec![r#""a\",b""#, "'\"'", "','", "x"],
            ),
            (
                r##"r"a\",r#"b",c"#,r,for"##,
                vec![r#"r"a\""#, r##"r#"b",c"#"##, "r", "for"],
            ),
            ("5 s,10 s", vec!["5 s", "10 s"]),
            ("Größe,é", vec!["Größe", "é"]),
        ] {
            assert_eq!(split_values(text).unwrap(), values, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_split_is_refused_in_words() {
        for (text, said) in [
            ("", "an empty value"),
            ("1,,2", "an empty value"),
            ("1,", "an empty value"),
            ("(1,2", "expected `)` at the end"),
            ("1)", "`)` closes no bracket"),
            ("(1],2", "`]` closes no bracket"),
            ("\"a,b", "a text without its end"),
            ("r#\"a\",b", "a text without its end"),
        ] {
            let error = split_values(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        for (text, said) in [
            ("method", "found no `=`"),
            ("=1", "found no path"),
            ("seed=1,2", "--seeds"),
            ("a=1,2,1", "1 is there twice"),
        ] {
            let error = text.parse::<Varied>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn seeds_are_numbers_and_ranges_with_both_ends() {
        assert_eq!(parse_seeds("1..5", 9).unwrap(), [1, 2, 3, 4, 5]);
        assert_eq!(parse_seeds("1..=3, 10", 9).unwrap(), [1, 2, 3, 10]);
        assert_eq!(parse_seeds("7", 9).unwrap(), [7]);
        assert_eq!(parse_seeds("18446744073709551615", 9).unwrap(), [u64::MAX]);
        for (text, said) in [
            ("", "no seed"),
            ("-1", "no seed"),
            ("1..", "no seed"),
            ("5..1", "before the first"),
            ("1..3,2", "the seed 2 is there twice"),
            ("0..18446744073709551615", "more than 9"),
            ("1..5,6..10", "more than 9"),
        ] {
            let error = parse_seeds(text, 9).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    proptest! {
        /// Whatever is joined with commas comes apart again where it was joined.
        #[test]
        fn splitting_undoes_joining(
            values in prop::collection::vec(
                prop_oneof![
                    "[0-9]{1,6}",
                    "[A-Z][a-z]{0,5}\\((a: [0-9]{1,3}, b: \\[1, 2\\])?\\)",
                    "\"[a-z,()\\[\\]]{0,8}\"",
                ],
                1..8,
            ),
        ) {
            prop_assert_eq!(split_values(&values.join(",")).unwrap(), values);
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            let _ = split_values(&text);
            let _ = parse_seeds(&text, 100);
        }
    }
}
