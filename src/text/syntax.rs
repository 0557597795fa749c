//! Reads the characters of RON into the tree, keeps places, and goes on after a mistake where that is
//! safe.
//!
//! The grammar is that of RON with `implicit_some` always on, without byte strings and number suffixes,
//! for which scenarios have no use. The submodule `brackets` matches brackets, and `literal` reads
//! numbers, texts and characters; names and what follows them are read here.

mod brackets;
mod literal;

use super::tree::{shortened, Body, Field, Name, Node, Position, Span, Value};
use crate::quantity::nearest;
use brackets::Open;
use std::collections::BTreeMap;

/// The deepest nesting of brackets that is read.
pub(super) const MAX_DEPTH: usize = 64;
/// The most values a text may have: bounds the memory of the tree.
const MAX_VALUES: usize = 1 << 18;
/// The largest number of mistakes that are recorded before the reading stops.
const MAX_SLIPS: usize = 100;

/// A mistake in the syntax.
#[derive(Debug)]
pub(super) struct Slip {
    pub span: Span,
    pub message: String,
}

/// The result of reading a text.
pub(super) struct Parsed {
    /// The tree, or the mistake that ended the reading.
    pub root: Result<Node, Slip>,
    /// The mistakes that did not end the reading.
    pub slips: Vec<Slip>,
}

/// Reads the whole of `text` as one value of source number `source`.
pub(super) fn parse(text: &str, source: u32) -> Parsed {
    let mut parser = Parser {
        text,
        at: 0,
        source,
        open: Vec::new(),
        values: 0,
        slips: Vec::new(),
    };
    let root = parser.document();
    Parsed {
        root,
        slips: parser.slips,
    }
}

/// Whether `text` is nothing but a name.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(starts_name) && text.chars().all(continues_name)
}

fn starts_name(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn continues_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    source: u32,
    /// Brackets that were opened and not yet closed, outermost first.
    open: Vec<Open>,
    values: usize,
    slips: Vec<Slip>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Steps over `token` if it is next.
    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Steps over the characters that satisfy `wanted`; returns them.
    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// The span from `start` to the current position.
    fn span_from(&self, start: usize) -> Span {
        // Texts are at most 4 MiB, so that offsets fit.
        Span {
            source: self.source,
            start: start as u32,
            end: self.at as u32,
        }
    }

    /// The next character as a span. At the end of the text it is the empty span after the last
    /// character that is not blank, since blank lines have nothing to show.
    fn span_here(&self) -> Span {
        let (start, width) = match self.peek() {
            Some(c) => (self.at, c.len_utf8()),
            None => (self.text.trim_end().len(), 0),
        };
        Span {
            source: self.source,
            start: start as u32,
            end: (start + width) as u32,
        }
    }

    /// Line and column of `offset`, for messages that point back.
    fn place(&self, offset: usize) -> String {
        let position = Position::of(self.text, offset);
        format!("{}:{}", position.line, position.column)
    }

    fn stop(&self, message: impl Into<String>) -> Slip {
        Slip {
            span: self.span_here(),
            message: message.into(),
        }
    }

    /// The error about what is next; at the end of the text, the error that the text ends inside a
    /// bracket.
    fn expected(&self, what: impl std::fmt::Display) -> Slip {
        if self.peek().is_none() && !self.open.is_empty() {
            return self.unclosed();
        }
        self.stop(format!("expected {what}, found {}", self.found()))
    }

    /// Records a mistake that does not end the reading.
    fn slip(&mut self, span: Span, message: String) -> Result<(), Slip> {
        if self.slips.len() == MAX_SLIPS {
            let message = format!("stopped after {MAX_SLIPS} mistakes");
            return Err(Slip { span, message });
        }
        self.slips.push(Slip { span, message });
        Ok(())
    }

    /// A description of what is next, for "found ...".
    fn found(&self) -> String {
        match self.peek() {
            None => "the end of the text".into(),
            Some(c) if starts_name(c) => {
                let rest = self.rest();
                let end = rest.find(|c| !continues_name(c)).unwrap_or(rest.len());
                format!("`{}`", shortened(&rest[..end], 40))
            }
            Some(c) => format!("`{c}`"),
        }
    }

    /// Steps over white space and comments; block comments nest.
    fn skip_blank(&mut self) -> Result<(), Slip> {
        loop {
            self.take(char::is_whitespace);
            if self.eat("//") {
                self.take(|c| c != '\n');
            } else if self.rest().starts_with("/*") {
                self.block_comment()?;
            } else if self.peek() == Some('#') && !self.rest().starts_with("#!") {
                let here = self.span_here();
                self.take(|c| c != '\n');
                self.slip(here, "a comment begins with `//` here, found `#`".into())?;
            } else {
                return Ok(());
            }
        }
    }

    fn block_comment(&mut self) -> Result<(), Slip> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            if self.eat("/*") {
                depth += 1;
            } else if self.eat("*/") {
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
            } else if let Some(c) = self.peek() {
                self.at += c.len_utf8();
            } else {
                let mut span = self.span_from(start);
                span.end = span.start + 2;
                let message = "this comment is never closed: expected `*/`".into();
                return Err(Slip { span, message });
            }
        }
    }

    fn document(&mut self) -> Result<Node, Slip> {
        self.eat("\u{feff}");
        self.skip_blank()?;
        while self.rest().starts_with("#!") {
            self.attribute()?;
            self.skip_blank()?;
        }
        if self.peek().is_none() {
            return Err(self.stop("expected a value such as (name: value, ..), found nothing"));
        }
        let root = self.value()?;
        self.skip_blank()?;
        match self.peek() {
            None => Ok(root),
            Some(c @ (')' | ']' | '}')) => {
                Err(self.stop(format!("`{c}` closes nothing that was opened")))
            }
            Some(_) => Err(self.expected("the end of the text")),
        }
    }

    /// `#![enable(extension, ..)]` is accepted, for files that were written for other readers of RON.
    fn attribute(&mut self) -> Result<(), Slip> {
        const KNOWN: [&str; 4] = [
            "implicit_some",
            "unwrap_newtypes",
            "unwrap_variant_newtypes",
            "explicit_struct_names",
        ];
        self.at += "#!".len();
        for token in ["[", "enable", "("] {
            self.skip_blank()?;
            if !self.eat(token) {
                return Err(self.expected("`#![enable(implicit_some)]`"));
            }
        }
        loop {
            self.skip_blank()?;
            let start = self.at;
            let name = self.take(continues_name);
            if !name.is_empty() && !KNOWN.contains(&name) {
                let hint = did_you_mean(near(name, &KNOWN));
                let known = KNOWN.join(", ");
                let message = format!("expected one of {known}, found {name}{hint}");
                self.slip(self.span_from(start), message)?;
            }
            self.skip_blank()?;
            if !self.eat(",") {
                break;
            }
        }
        for token in [")", "]"] {
            self.skip_blank()?;
            if !self.eat(token) {
                return Err(self.expected(format_args!("`{token}`")));
            }
        }
        Ok(())
    }

    fn value(&mut self) -> Result<Node, Slip> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.stop(format!("expected at most {MAX_VALUES} values, found more")));
        }
        let start = self.at;
        match self.peek() {
            Some('(') => self.named(start, None),
            Some('[') => self.list(),
            Some('{') => self.map(),
            Some('"') => self.string(),
            Some('\'') => self.character(),
            Some(c) if c.is_ascii_digit() || matches!(c, '+' | '-' | '.') => self.number(),
            Some('r') if self.at_raw_string() => self.raw_string(),
            Some(c) if starts_name(c) => self.word(),
            _ => Err(self.expected("a value")),
        }
    }

    /// A name, raw (`r#type`) or plain.
    fn name(&mut self) -> Name {
        let start = self.at;
        let text = if self.eat("r#") {
            self.take(|c| continues_name(c) || matches!(c, '.' | '+' | '-'))
        } else {
            self.take(continues_name)
        };
        Name {
            text: text.to_string(),
            span: self.span_from(start),
        }
    }

    /// A value that begins with a word: `true`, `NaN`, `FedAvg`, `Uniform(..)`.
    fn word(&mut self) -> Result<Node, Slip> {
        let start = self.at;
        let name = self.name();
        let value = match name.text.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "inf" => Value::Float(f64::INFINITY),
            "NaN" => Value::Float(f64::NAN),
            _ => {
                let end = self.at;
                self.skip_blank()?;
                if self.peek() == Some('(') {
                    return self.named(start, Some(name));
                }
                self.at = end;
                Value::Named(Some(name), Body::Bare)
            }
        };
        Ok(Node::new(self.span_from(start), value))
    }

    /// `(..)` after an optional name. The values are fields if the bracket begins with a name and a
    /// colon.
    fn named(&mut self, start: usize, name: Option<Name>) -> Result<Node, Slip> {
        self.open_bracket('(')?;
        self.skip_blank()?;
        let body = if self.at_field()? {
            Body::Fields(self.fields()?)
        } else {
            Body::Tuple(self.items(')')?)
        };
        Ok(Node::new(self.span_from(start), Value::Named(name, body)))
    }

    fn list(&mut self) -> Result<Node, Slip> {
        let start = self.at;
        self.open_bracket('[')?;
        let items = self.items(']')?;
        Ok(Node::new(self.span_from(start), Value::List(items)))
    }

    /// Values up to `close`, separated by commas.
    fn items(&mut self, close: char) -> Result<Vec<Node>, Slip> {
        let mut items = Vec::new();
        loop {
            self.skip_blank()?;
            if self.close_bracket(close) {
                return Ok(items);
            }
            self.expect_inside()?;
            items.push(self.value()?);
            self.skip_blank()?;
            if !self.eat(",") && self.peek() != Some(close) {
                let named = matches!(self.peek(), Some(':' | '='));
                let message = match items.last().map(|item: &Node| item.describe(None)) {
                    Some(name) if named && close == ')' => format!(
                        "expected values with names throughout or without throughout, found the name \
                         {name} after values without; a name is a bare word"
                    ),
                    Some(name) if named => format!(
                        "the values of a list have no names, found the name {name}: names and their \
                         values stand in round brackets"
                    ),
                    _ => return Err(self.unclosed()),
                };
                return Err(self.stop(message));
            }
        }
    }

    /// Whether a name and a colon are next (or `=`, which `fields` reports as a mistake).
    fn at_field(&mut self) -> Result<bool, Slip> {
        let start = self.at;
        if !self.peek().is_some_and(starts_name) || self.at_raw_string() {
            return Ok(false);
        }
        self.name();
        self.skip_blank()?;
        let found = matches!(self.peek(), Some(':' | '='));
        self.at = start;
        Ok(found)
    }

    fn fields(&mut self) -> Result<Vec<Field>, Slip> {
        let mut fields = Vec::new();
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            self.skip_blank()?;
            if self.close_bracket(')') {
                return Ok(fields);
            }
            self.expect_inside()?;
            if !self.peek().is_some_and(starts_name) {
                let after = fields
                    .last()
                    .map(|field: &Field| shortened(&field.name.text, 40));
                return Err(match after {
                    Some(name) if self.peek().is_some() => self.expected(format_args!(
                        "a field name, as there is one before ({name}): values have names throughout or \
                         not at all"
                    )),
                    _ => self.expected("a field name"),
                });
            }
            let start = self.at;
            let name = self.name();
            self.skip_blank()?;
            if self.peek() == Some('=') {
                let name = shortened(&name.text, 40);
                let message = format!("expected `:` after the field name {name}, found `=`");
                self.slip(self.span_here(), message)?;
                self.at += 1;
            } else if !self.eat(":") {
                let name = shortened(&name.text, 40);
                let before = fields
                    .last()
                    .map(|field: &Field| shortened(&field.name.text, 40));
                return Err(match before.filter(|_| matches!(self.peek(), Some('(' | ',' | ')'))) {
                    // This looks like a value without a name among values with names.
                    Some(before) => self.expected(format_args!(
                        "`:` after {name}, as after {before} before it: values have names throughout \
                         or not at all"
                    )),
                    None => self.expected(format_args!("`:` after the field name {name}")),
                });
            }
            self.skip_blank()?;
            let value = self.value()?;
            match first.get(&name.text) {
                Some(earlier) => {
                    let message = format!(
                        "the field {} is given twice, first at {}; keep one",
                        shortened(&name.text, 40),
                        self.place(*earlier)
                    );
                    self.slip(name.span, message)?;
                    // It is not known which of the two values is meant, so neither is read.
                    let same = |field: &&mut Field| field.name.text == name.text;
                    if let Some(field) = fields.iter_mut().find(same) {
                        field.value.removed = true;
                    }
                }
                None => {
                    first.insert(name.text.clone(), start);
                    fields.push(Field {
                        name,
                        value,
                        lifted: false,
                    });
                }
            }
            let end = self.at;
            self.skip_blank()?;
            if self.eat(",") || self.peek() == Some(')') {
                continue;
            }
            // Another field follows, so only the comma is missing.
            if !self.at_field()? {
                return Err(self.unclosed());
            }
            let next = self.found();
            let span = Span {
                source: self.source,
                start: end as u32,
                end: end as u32,
            };
            self.slip(span, format!("expected `,` before {next}"))?;
        }
    }

    fn map(&mut self) -> Result<Node, Slip> {
        let start = self.at;
        self.open_bracket('{')?;
        let mut entries = Vec::new();
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            self.skip_blank()?;
            if self.close_bracket('}') {
                return Ok(Node::new(self.span_from(start), Value::Map(entries)));
            }
            self.expect_inside()?;
            let at = self.at;
            let key = self.value()?;
            let key_text = scalar_key(&key.value);
            self.skip_blank()?;
            if !self.eat(":") {
                return Err(self.expected("`:` between key and value"));
            }
            self.skip_blank()?;
            let value = self.value()?;
            match key_text.as_ref().and_then(|text| first.get(text)) {
                Some(earlier) => {
                    let message = format!(
                        "this key is given twice, first at {}; keep one",
                        self.place(*earlier)
                    );
                    self.slip(key.span, message)?;
                }
                None => {
                    if let Some(text) = key_text {
                        first.insert(text, at);
                    }
                    entries.push((key, value));
                }
            }
            self.skip_blank()?;
            if !self.eat(",") && self.peek() != Some('}') {
                return Err(self.unclosed());
            }
        }
    }
}

/// The name in `known` that `typed` most likely means. `None` for a text that is too long to be a slip,
/// which would also take long to compare.
pub(super) fn near<'n>(typed: &str, known: &[&'n str]) -> Option<&'n str> {
    (typed.len() <= 100)
        .then(|| nearest(typed, known.iter().copied()))
        .flatten()
}

/// The suggestion "; did you mean x?", or an empty text.
pub(super) fn did_you_mean(name: Option<&str>) -> String {
    name.map_or(String::new(), |name| format!("; did you mean {name}?"))
}

/// A text that is equal for equal keys, for the kinds of key that people use.
fn scalar_key(key: &Value) -> Option<String> {
    match key {
        Value::Text(text) => Some(format!("{text:?}")),
        Value::Int(n) => Some(n.to_string()),
        Value::Char(c) => Some(format!("{c:?}")),
        Value::Bool(b) => Some(b.to_string()),
        Value::Named(Some(name), Body::Bare) => Some(name.text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
