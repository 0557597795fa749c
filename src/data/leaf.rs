//! LEAF's JSON (Caldas et al. 2018): `users`, `num_samples` and `user_data`, which has the features `x`
//! and the labels `y` of each user. The file is read as a stream, so that only the numbers are kept.

use super::assemble::Names;
use super::dataset::MAX_CLASSES;
use super::error::{DataError, Place};
use super::labels::REGRESSION;
use super::magic;
use crate::quantity::shown;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;
use std::path::Path;

/// The samples of the files read so far.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Samples {
    pub values: Vec<f32>,
    pub labels: Vec<u32>,
    pub users: Vec<u32>,
    /// The number of values of a sample, once a sample was read.
    pub width: Option<usize>,
}

/// Appends the samples of one file, in the file's order; users are numbered in `names`.
pub(super) fn read(
    file: &Path,
    mut reader: impl BufRead,
    names: &mut Names<String>,
    into: &mut Samples,
) -> Result<(), DataError> {
    let start = reader.fill_buf();
    let started = magic::kind(start.map_err(|error| DataError::unreadable(file, error))?);
    let mut json = serde_json::Deserializer::from_reader(reader);
    let document = Document { into, names };
    document
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|e| {
            if let Some(kind) = e.io_error_kind() {
                return DataError::unreadable(file, kind);
            }
            let place = Place::Line {
                line: e.line() as u64,
                column: e.column() as u64,
            };
            // serde_json repeats the place at the end of its text.
            let text = e.to_string();
            let found = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(what, _)| what);
            let expected = "LEAF JSON with users, num_samples and user_data of numbers";
            match started {
                Some(kind) if e.line() <= 1 => {
                    DataError::malformed(file, Place::Whole, expected, kind.what)
                        .advise(kind.remedy)
                }
                _ => DataError::malformed(file, place, expected, found),
            }
        })
}

/// Implements reading a JSON object or array for a type that is its own visitor.
macro_rules! seed {
    ($name:ident, $value:ty, $method:ident) => {
        impl<'de> DeserializeSeed<'de> for $name<'_> {
            type Value = $value;
            fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<$value, D::Error> {
                d.$method(self)
            }
        }
    };
}

/// The whole file.
struct Document<'a> {
    into: &'a mut Samples,
    names: &'a mut Names<String>,
}
seed!(Document, (), deserialize_map);

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut users: Option<BTreeMap<String, usize>> = None;
        let mut counts: Option<Vec<u64>> = None;
        let mut data: Option<BTreeMap<String, u64>> = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "users" => users = Some(map.next_value_seed(Users)?),
                "num_samples" => counts = Some(map.next_value()?),
                "user_data" if data.is_none() => {
                    data = Some(map.next_value_seed(UserData {
                        into: self.into,
                        names: self.names,
                    })?);
                }
                "user_data" => return Err(A::Error::custom("user_data twice")),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let (Some(users), Some(data)) = (users, data) else {
            return Err(A::Error::custom("no users or no user_data"));
        };
        if users.len() != data.len() {
            let (said, held) = (users.len(), data.len());
            return Err(A::Error::custom(format!(
                "{said} users, and data of {held}"
            )));
        }
        if counts
            .as_ref()
            .is_some_and(|counts| counts.len() != users.len())
        {
            return Err(A::Error::custom("num_samples of another length than users"));
        }
        for (user, i) in &users {
            let Some(held) = data.get(user) else {
                let user = shown(user, 40);
                return Err(A::Error::custom(format!("no data of user {user:?}")));
            };
            let said = counts
                .as_ref()
                .and_then(|counts| counts.get(*i))
                .unwrap_or(held);
            if said != held {
                let user = shown(user, 40);
                let text = format!("{held} samples of user {user:?} and {said} in num_samples");
                return Err(A::Error::custom(text));
            }
        }
        Ok(())
    }
}

/// Reads `users`: returns the position of each. A user that occurs twice is refused at once, so that
/// the list holds no more than the names.
struct Users;

impl<'de> DeserializeSeed<'de> for Users {
    type Value = BTreeMap<String, usize>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Users {
    type Value = BTreeMap<String, usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of users")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut users = BTreeMap::new();
        while let Some(user) = seq.next_element::<String>()? {
            let place = users.len();
            if let Some(_first) = users.insert(user, place) {
                return Err(A::Error::custom("a user twice in users"));
            }
        }
        Ok(users)
    }
}

/// Reads `user_data`: returns the number of samples of each user.
struct UserData<'a> {
    into: &'a mut Samples,
    names: &'a mut Names<String>,
}
seed!(UserData, BTreeMap<String, u64>, deserialize_map);

impl<'de> Visitor<'de> for UserData<'_> {
    type Value = BTreeMap<String, u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a member for each user")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut counts = BTreeMap::new();
        while let Some(user) = map.next_key::<String>()? {
            let count = map.next_value_seed(User { into: self.into })?;
            let number = self.names.number(user.clone());
            self.into.users.resize(self.into.labels.len(), number);
            if counts.insert(user, count).is_some() {
                return Err(A::Error::custom("a user twice"));
            }
        }
        Ok(counts)
    }
}

/// Reads one user's `x` and `y`: returns the number of samples.
struct User<'a> {
    into: &'a mut Samples,
}
seed!(User, u64, deserialize_map);

impl<'de> Visitor<'de> for User<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with x and y")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let (mut features, mut labels) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "x" if features.is_none() => {
                    features = Some(map.next_value_seed(Rows { into: self.into })?);
                }
                "y" if labels.is_none() => {
                    labels = Some(map.next_value_seed(Labels(&mut self.into.labels))?);
                }
                "x" | "y" => return Err(A::Error::custom("x or y twice")),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match (features, labels) {
            (Some(x), Some(y)) if x == y => Ok(x),
            (Some(x), Some(y)) => Err(A::Error::custom(format!("{x} rows of x and {y} of y"))),
            _ => Err(A::Error::custom("a user without x or without y")),
        }
    }
}

/// Reads the rows of `x`, all of one width.
struct Rows<'a> {
    into: &'a mut Samples,
}
seed!(Rows, u64, deserialize_seq);

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of samples")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<u64, A::Error> {
        let mut rows = 0;
        loop {
            let start = self.into.values.len();
            if seq.next_element_seed(Row(&mut self.into.values))?.is_none() {
                return Ok(rows);
            }
            let width = self.into.values.len() - start;
            let wanted = *self.into.width.get_or_insert(width);
            if width != wanted || width == 0 {
                let text = format!("a sample of {width} values where others have {wanted}");
                return Err(A::Error::custom(text));
            }
            rows += 1;
        }
    }
}

/// Reads one sample, flattened: a number, or numbers in arrays, however nested.
struct Row<'a>(&'a mut Vec<f32>);
seed!(Row, (), deserialize_any);

impl Row<'_> {
    fn push<E: Error>(self, value: f64) -> Result<(), E> {
        let value = value as f32;
        if !value.is_finite() {
            return Err(E::custom("a number beyond single precision"));
        }
        self.0.push(value);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers (text must be turned into numbers first)")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.push(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(value as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Row(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

/// Reads `y`: returns the number of labels.
struct Labels<'a>(&'a mut Vec<u32>);
seed!(Labels, u64, deserialize_seq);

impl<'de> Visitor<'de> for Labels<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of labels")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<u64, A::Error> {
        let mut count = 0;
        // Programs also write labels as floats ("3.0").
        while let Some(value) = seq.next_element::<f64>()? {
            if !(libm::trunc(value) == value && (0.0..MAX_CLASSES as f64).contains(&value)) {
                let text = match libm::trunc(value) == value {
                    true => format!(
                        "label {value}, which is no number from 0 to {}",
                        MAX_CLASSES - 1
                    ),
                    false => format!("label {value}, which is no whole number; {REGRESSION}"),
                };
                return Err(A::Error::custom(text));
            }
            self.0.push(value as u32);
            count += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const GOOD: &str = r#"{"users": ["b", "a"], "num_samples": [2, 1], "hierarchies": [],
        "user_data": {"a": {"x": [[1, 2.5]], "y": [3.0]},
                      "b": {"y": [0, 1], "x": [[-4, 5], [[6], [7]]]}}}"#;

    pub fn parse(text: &[u8]) -> Result<Samples, DataError> {
        let mut samples = Samples::default();
        read(
            Path::new("l.json"),
            text,
            &mut Names::default(),
            &mut samples,
        )?;
        Ok(samples)
    }

    #[test]
    fn samples_are_read_in_the_order_of_the_file() {
        let samples = parse(GOOD.as_bytes()).unwrap();
        assert_eq!(samples.values, [1.0, 2.5, -4.0, 5.0, 6.0, 7.0]);
        assert_eq!(samples.labels, [3, 0, 1]);
        assert_eq!(samples.users, [0, 1, 1]);
        assert_eq!(samples.width, Some(2));
    }

    #[test]
    fn a_file_that_contradicts_itself_is_an_error() {
        let error = |from: &str, to: &str| {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            parse(text.as_bytes()).unwrap_err().to_string()
        };
        assert!(error("[2, 1]", "[2, 7]")
            .contains("found 1 samples of user \"a\" and 7 in num_samples"));
        assert!(error("[2, 1]", "[2]").contains("num_samples of another length"));
        assert!(error("\"b\", \"a\"", "\"b\", \"c\"").contains("no data of user \"c\""));
        assert!(error("\"b\", \"a\"", "\"b\"").contains("1 users, and data of 2"));
        assert!(error("[-4, 5]", "[-4]").contains("a sample of 1 values where others have 2"));
        assert!(error("[0, 1]", "[0]").contains("2 rows of x and 1 of y"));
        assert!(error("[0, 1]", "[0, 1.5]").contains("label 1.5"));
        assert!(error("[0, 1]", "[0, -1]").contains("label -1"));
        assert!(error("2.5", "1e300").contains("beyond single precision"));
        assert!(error("2.5", "\"word\"").contains("text must be turned into numbers"));
        assert!(error("}}}", "}} }{").contains("l.json:3:"));
        assert!(error("\"a\": {", "\"b\": {").contains("a user twice"));
        assert!(error("\"b\", \"a\"", "\"b\", \"b\"").contains("a user twice in users"));
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_an_overflow() {
        let deep = format!("{{\"user_data\": {{\"a\": {{\"x\": {}", "[".repeat(100_000));
        assert!(parse(deep.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("recursion limit"));
    }
}
