//! The tree into which a RON text is read: values, each with its place.

use super::diagnostic::{clean, Diagnostic, Excerpt, Place};
use std::path::PathBuf;

/// A part of the scenario file or of an override, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// 0 for the file, n for the n-th override.
    pub(super) source: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// One value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub span: Span,
    /// Whether the value was reported as a mistake, and counts as absent.
    pub removed: bool,
    /// Repairs that were made to the fields of this struct.
    pub repairs: Option<Box<Repairs>>,
    pub value: Value,
}

/// Fields that a struct was given, or need not have, because of a mistake that was already reported.
#[derive(Debug, Clone, Default)]
pub(super) struct Repairs {
    /// Missing fields for which a placeholder stands.
    pub holes: Vec<String>,
    /// Fields that a misspelt one was probably meant as.
    pub meant: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Bool(bool),
    Char(char),
    Text(String),
    Int(i128),
    Float(f64),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// A word, a tuple or a struct: `FedAvg`, `(1, 2)`, `Uniform(0, 1)`, `(count: 3)`.
    Named(Option<Name>, Body),
}

#[derive(Debug, Clone)]
pub(super) struct Name {
    pub text: String,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    /// No parentheses; there is always a name.
    Bare,
    /// Values by position, possibly none.
    Tuple(Vec<Node>),
    /// Values by name, at least one when read from a text.
    Fields(Vec<Field>),
}

impl Body {
    /// Whether there are no values.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Bare => true,
            Self::Tuple(items) => items.is_empty(),
            Self::Fields(fields) => fields.is_empty(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub name: Name,
    pub value: Node,
    /// Whether an override added a field to what was a text alone.
    pub lifted: bool,
}

/// One step from a value to a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The value of the nth field.
    Field(usize),
    /// The name of the nth field.
    FieldName(usize),
    /// The nth element of a list or tuple.
    Item(usize),
    /// The key of the nth map entry.
    Key(usize),
    /// The value of the nth map entry.
    Entry(usize),
}

impl Node {
    pub(super) fn new(span: Span, value: Value) -> Self {
        Self {
            span,
            removed: false,
            repairs: None,
            value,
        }
    }

    /// The part of this value to which `step` leads. The name of a field leads to the field's value.
    pub(super) fn child(&self, step: Step) -> Option<&Node> {
        match (step, &self.value) {
            (Step::Field(i) | Step::FieldName(i), Value::Named(_, Body::Fields(fields))) => {
                fields.get(i).map(|field| &field.value)
            }
            (Step::Item(i), Value::List(items) | Value::Named(_, Body::Tuple(items))) => {
                items.get(i)
            }
            (Step::Key(i), Value::Map(entries)) => entries.get(i).map(|(key, _)| key),
            (Step::Entry(i), Value::Map(entries)) => entries.get(i).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Like [`Node::child`], for a part that is to be changed.
    pub(super) fn child_mut(&mut self, step: Step) -> Option<&mut Node> {
        match (step, &mut self.value) {
            (Step::Field(i) | Step::FieldName(i), Value::Named(_, Body::Fields(fields))) => {
                fields.get_mut(i).map(|field| &mut field.value)
            }
            (Step::Item(i), Value::List(items) | Value::Named(_, Body::Tuple(items))) => {
                items.get_mut(i)
            }
            (Step::Key(i), Value::Map(entries)) => entries.get_mut(i).map(|(key, _)| key),
            (Step::Entry(i), Value::Map(entries)) => entries.get_mut(i).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value at the end of `route`.
    pub(super) fn at(&self, route: &[Step]) -> Option<&Node> {
        route.iter().try_fold(self, |node, step| node.child(*step))
    }

    /// Like [`Node::at`], for a value that is to be changed.
    pub(super) fn at_mut(&mut self, route: &[Step]) -> Option<&mut Node> {
        route
            .iter()
            .try_fold(self, |node, step| node.child_mut(*step))
    }

    /// The depth of the tree below this value, this value included.
    pub(super) fn depth(&self) -> usize {
        1 + match &self.value {
            Value::List(items) | Value::Named(_, Body::Tuple(items)) => {
                items.iter().map(Node::depth).max()
            }
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| key.depth().max(value.depth()))
                .max(),
            Value::Named(_, Body::Fields(fields)) => fields.iter().map(|f| f.value.depth()).max(),
            _ => None,
        }
        .unwrap_or(0)
    }

    /// Whether this value, or any value in it, was repaired.
    pub(super) fn touched(&self) -> bool {
        self.removed
            || self.repairs.is_some()
            || match &self.value {
                Value::List(items) | Value::Named(_, Body::Tuple(items)) => {
                    items.iter().any(Node::touched)
                }
                Value::Map(entries) => entries.iter().any(|(k, v)| k.touched() || v.touched()),
                Value::Named(_, Body::Fields(fields)) => fields.iter().any(|f| f.value.touched()),
                _ => false,
            }
    }

    /// The path for `route`, as a user would write it. Variants and `Some` are not steps of a path:
    /// they hold one value and have no name for it.
    pub(super) fn spell(&self, route: &[Step]) -> String {
        let mut path = String::new();
        let mut node = self;
        for step in route {
            match (step, &node.value) {
                (Step::Field(i) | Step::FieldName(i), Value::Named(_, Body::Fields(fields))) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    let name = fields.get(*i).map_or("", |field| &field.name.text);
                    path.push_str(&shortened(name, 40));
                }
                (Step::Item(_), Value::Named(_, Body::Tuple(items))) if items.len() == 1 => {}
                (Step::Item(i), _) => path.push_str(&format!("[{i}]")),
                (Step::Key(i) | Step::Entry(i), _) => {
                    let key = node.child(Step::Key(*i)).map(|key| &key.value);
                    match key {
                        Some(Value::Text(text)) => {
                            path.push_str(&format!("[{:?}]", shortened(text, 40)));
                        }
                        Some(Value::Int(n)) => path.push_str(&format!("[{n}]")),
                        _ => path.push_str(&format!("[entry {i}]")),
                    }
                }
                _ => {}
            }
            match node.child(*step) {
                Some(child) => node = child,
                None => break,
            }
        }
        path
    }

    /// The routes to all values that are marked as removed; only the outermost ones.
    pub(super) fn removed(&self) -> Vec<Vec<Step>> {
        let mut found = Vec::new();
        self.look_for_removed(&mut Vec::new(), &mut found);
        found
    }

    fn look_for_removed(&self, route: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
        if self.removed {
            found.push(route.clone());
            return;
        }
        let mut visit = |step: Step, part: &Node| {
            route.push(step);
            part.look_for_removed(route, found);
            route.pop();
        };
        match &self.value {
            Value::List(items) | Value::Named(_, Body::Tuple(items)) => {
                for (i, item) in items.iter().enumerate() {
                    visit(Step::Item(i), item);
                }
            }
            Value::Map(entries) => {
                for (i, (key, value)) in entries.iter().enumerate() {
                    visit(Step::Key(i), key);
                    visit(Step::Entry(i), value);
                }
            }
            Value::Named(_, Body::Fields(fields)) => {
                for (i, field) in fields.iter().enumerate() {
                    visit(Step::Field(i), &field.value);
                }
            }
            _ => {}
        }
    }

    /// The kind of this value in a word or two, for "found ...".
    pub(super) fn describe(&self, source: Option<&Source>) -> String {
        match &self.value {
            Value::Text(text) => format!("{:?}", shortened(text, 40)),
            Value::Char(c) => format!("the character {c:?}"),
            // The number as it was typed: `0x10` and `1_000` are easier to find in a file than 16 and
            // 1000.
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                shortened(source.map_or("a number", |s| s.slice(self.span)), 40)
            }
            Value::List(_) => "a list [..]".into(),
            Value::Map(_) => "a map {..}".into(),
            Value::Named(Some(name), Body::Bare) => shortened(&name.text, 40),
            Value::Named(Some(name), _) => format!("{}(..)", shortened(&name.text, 40)),
            Value::Named(None, Body::Fields(_)) => "fields (name: value, ..)".into(),
            Value::Named(None, Body::Tuple(items)) if items.is_empty() => "()".into(),
            Value::Named(None, _) => "a tuple (..)".into(),
        }
    }
}

/// At most `limit` characters of `text`.
pub(super) fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// A text that values came from: the file or one override.
#[derive(Debug, Clone)]
pub(super) struct Source {
    label: Label,
    text: String,
}

#[derive(Debug, Clone)]
enum Label {
    File(PathBuf),
    Override(String),
}

impl Source {
    pub(super) fn file(name: PathBuf, text: String) -> Self {
        Self {
            label: Label::File(name),
            text,
        }
    }

    /// The value `text` of the override `assignment`.
    pub(super) fn assignment(assignment: &str, text: String) -> Self {
        Self {
            label: Label::Override(assignment.to_string()),
            text,
        }
    }

    /// The text that `span` covers.
    pub(super) fn slice(&self, span: Span) -> &str {
        self.text
            .get(span.start as usize..span.end as usize)
            .unwrap_or("")
    }

    /// The whole value of an override; `None` for a file.
    pub(super) fn override_text(&self) -> Option<&str> {
        matches!(self.label, Label::Override(_)).then(|| self.text.trim())
    }

    pub(super) fn diagnostic(&self, span: Span, path: String, message: String) -> Diagnostic {
        let (place, excerpt) = match &self.label {
            Label::File(file) => {
                let position = Position::of(&self.text, span.start as usize);
                let place = Place::At {
                    file: file.clone(),
                    line: position.line,
                    column: position.column,
                };
                (place, Some(position.excerpt(self.slice(span))))
            }
            Label::Override(assignment) => {
                (Place::Override(clean(&shortened(assignment, 200))), None)
            }
        };
        Diagnostic::new(place, (span.source, span.start), path, message, excerpt)
    }
}

/// A byte offset as people count it: line and character, both from one.
pub(super) struct Position<'a> {
    pub line: usize,
    pub column: usize,
    text: &'a str,
}

impl<'a> Position<'a> {
    pub(super) fn of(text: &'a str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = text.get(start..).unwrap_or("");
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or("").chars().count() + 1,
            text: rest.lines().next().unwrap_or(""),
        }
    }

    /// This line, or the part of it around the column when it is long, with `marked` under a caret.
    fn excerpt(&self, marked: &str) -> Excerpt {
        const WIDTH: usize = 100;
        let skipped = (self.column - 1).saturating_sub(WIDTH / 2);
        let line: String = self.text.chars().skip(skipped).take(WIDTH).collect();
        let offset = self.column - 1 - skipped;
        let room = line.chars().count().saturating_sub(offset).max(1);
        let on_this_line = marked.lines().next().map_or(0, |l| l.chars().count());
        // A bracketed value over several lines is marked at its opening only.
        let width = if marked.contains('\n') {
            1
        } else {
            on_this_line.clamp(1, room)
        };
        Excerpt {
            line: clean(&line),
            offset,
            width,
        }
    }
}
