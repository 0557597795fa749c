//! Finds every mistake in one go: read the tree, record the mistake, repair the tree, read again.
//!
//! A repair takes the value at fault out of the tree, so that its default applies. An error that such a
//! repair causes is not the user's mistake and is not reported: a field that is missing because it was
//! taken out (or was misspelt) gets a placeholder, and a value that contains a repaired one and still
//! cannot be read is taken out silently.
//!
//! The loop ends, because each repetition takes out a value, gives a missing field its one placeholder,
//! drops a wrong struct name or reads an override as text, and none of these can happen twice.

use super::diagnostic::{Diagnostic, Diagnostics};
use super::fault::{typed_name, Fault, Kind};
use super::hint::{Hints, Misread, Misreading};
use super::mended::{Mended, Spoilt};
use super::reader::Reader;
use super::syntax::near;
use super::tree::{Body, Name, Node, Source, Span, Step, Value};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// The largest number of mistakes that are looked for.
const MAX_FOUND: usize = 100;
/// The largest number of readings; most mistakes cost one or two.
const MAX_ROUNDS: usize = 500;

/// A tree under repair.
pub(super) struct Repair<'a> {
    sources: &'a [Source],
    root: Node,
    found: Diagnostics,
    hints: Hints,
    /// The parts that are not as they were written, so far.
    spoilt: Vec<Spoilt>,
    /// Overrides that are being tried as text, with what was wrong with them as RON.
    tried: BTreeMap<u32, Diagnostic>,
}

impl<'a> Repair<'a> {
    pub(super) fn new(
        sources: &'a [Source],
        root: Node,
        slips: Vec<Diagnostic>,
        hints: Hints,
    ) -> Self {
        // The values whose syntax was wrong.
        let removed = root.removed();
        let spoilt = removed.iter().map(|route| Spoilt::Value(root.spell(route)));
        Self {
            sources,
            spoilt: spoilt.collect(),
            hints,
            root,
            found: slips.into_iter().collect(),
            tried: BTreeMap::new(),
        }
    }

    /// Reads the tree: the value of the repaired tree, if there is one, and all mistakes.
    pub(super) fn read<T: DeserializeOwned>(mut self) -> Mended<T> {
        let value = self.value();
        Mended {
            value,
            mistakes: self.found,
            spoilt: self.spoilt,
        }
    }

    fn value<T: DeserializeOwned>(&mut self) -> Option<T> {
        if self.root.removed {
            return None;
        }
        for _ in 0..MAX_ROUNDS {
            let fault = match T::deserialize(Reader::new(&self.root)) {
                Ok(value) => return Some(value),
                Err(fault) => fault,
            };
            if self.found.len() >= MAX_FOUND {
                break;
            }
            if !self.mend(fault) {
                return None;
            }
        }
        self.found.stop_early();
        None
    }

    /// Records the mistake, if it is one of the user, and repairs the tree; returns whether another
    /// reading can find more.
    fn mend(&mut self, fault: Fault) -> bool {
        let mut route = fault.route;
        route.reverse();
        // Routes are made of steps that were taken, so a value is at the end of each.
        let Some(node) = self.root.at(&route) else {
            self.note(&[], self.root.span, &fault.kind);
            return false;
        };
        match &fault.kind {
            Kind::Hole => self.take_out(&route),
            Kind::Missing(field) => self.fill_in(&route, field, &fault.kind),
            Kind::UnknownField(typed, known)
                if matches!(route.last(), Some(Step::FieldName(_))) =>
            {
                self.note(&route, self.field_name_span(&route), &fault.kind);
                let meant = near(typed, known).map(String::from);
                let parent = route.split_last().map_or(&[][..], |(_, parent)| parent);
                let bracket = self.root.spell(parent);
                self.spoilt.push(match &meant {
                    Some(meant) => Spoilt::Value(member(&bracket, meant)),
                    None => Spoilt::Absent(bracket),
                });
                if let Some(parent) = self.root.at_mut(parent) {
                    parent.repairs.get_or_insert_default().meant.extend(meant);
                }
                self.remove(&route)
            }
            Kind::StructName(_) => {
                // The name of something else that belongs in the bracket: its fields belong there too.
                let another = self.hint(node, &self.root.spell(&route), &fault.kind);
                self.note(&route, name_span(node), &fault.kind);
                if another.is_some() {
                    return self.take_out(&route);
                }
                if let Some(Value::Named(name, _)) = self.root.at_mut(&route).map(|n| &mut n.value)
                {
                    *name = None;
                }
                true
            }
            Kind::Duplicate(_) => {
                self.note(&route, self.field_name_span(&route), &fault.kind);
                self.take_out(&route)
            }
            Kind::Custom(_)
            | Kind::Expected(_)
            | Kind::Length { .. }
            | Kind::UnknownField(..)
            | Kind::UnknownVariant(_) => {
                let (source, echo) = (node.span.source, node.touched());
                let span = match &fault.kind {
                    Kind::UnknownVariant(_) => name_span(node),
                    _ => node.span,
                };
                if self.try_as_text(&route, &fault.kind) {
                    return true;
                }
                match self.tried.remove(&source) {
                    Some(first) => self.found.push(first),
                    None if echo => {}
                    None if self.was_text(&route) => {}
                    None => self.note(&route, span, &fault.kind),
                }
                self.take_out(&route)
            }
        }
    }

    fn diagnostic(&self, route: &[Step], span: Span, kind: &Kind) -> Option<Diagnostic> {
        let node = self.root.at(route)?;
        let source = self.sources.get(node.span.source as usize);
        let path = self.root.spell(route);
        let hint = self.hint(node, &path, kind);
        let message = kind.message(Some((node, source)), hint.as_deref());
        Some(super::diagnose(self.sources, span, path, message))
    }

    /// The hint about the mistake from code that knows the document.
    fn hint(&self, node: &Node, path: &str, kind: &Kind) -> Option<String> {
        let found = match kind {
            Kind::UnknownField(name, known) => Misreading::Field {
                name,
                near: near(name, known),
            },
            Kind::Expected(_) | Kind::UnknownVariant(_) | Kind::StructName(_) => misreading(node),
            _ => return None,
        };
        (self.hints)(&Misread { path, found })
    }

    fn note(&mut self, route: &[Step], span: Span, kind: &Kind) {
        self.found.extend(self.diagnostic(route, span, kind));
    }

    /// The place of the name of the field at the end of `route`.
    fn field_name_span(&self, route: &[Step]) -> Span {
        let field = route.split_last().and_then(|(last, parent)| {
            match (last, &self.root.at(parent)?.value) {
                (Step::FieldName(i), Value::Named(_, Body::Fields(fields))) => fields.get(*i),
                _ => None,
            }
        });
        match field {
            Some(field) => field.name.span,
            None => self.root.at(route).unwrap_or(&self.root).span,
        }
    }

    /// Marks the value at `route` as removed, so that a stand-in is read in its place; returns whether
    /// anything is left to read.
    fn take_out(&mut self, route: &[Step]) -> bool {
        self.spoilt.push(Spoilt::Value(self.root.spell(route)));
        self.remove(route)
    }

    fn remove(&mut self, route: &[Step]) -> bool {
        if route.is_empty() {
            return false;
        }
        let Some(node) = self.root.at_mut(route) else {
            return false;
        };
        // A value once removed is never visited again, so it cannot be at fault again.
        !std::mem::replace(&mut node.removed, true)
    }

    /// Gives the struct at `route` a placeholder for its missing `field`.
    fn fill_in(&mut self, route: &[Step], field: &'static str, kind: &Kind) -> bool {
        let Some(node) = self.root.at(route) else {
            return false;
        };
        let taken_out = |name: &Name, value: &Node| name.text == field && value.removed;
        let excused = match &node.value {
            Value::Named(_, Body::Fields(fields)) => {
                fields.iter().any(|f| taken_out(&f.name, &f.value))
            }
            Value::Named(..) => false,
            // The syntax is not that of a struct, so there is no place for a placeholder.
            _ => {
                self.note(route, node.span, kind);
                return self.take_out(route);
            }
        };
        let repairs = node.repairs.as_deref();
        if repairs.is_some_and(|r| r.holes.iter().any(|name| name == field)) {
            return self.take_out(route);
        }
        if !excused && !repairs.is_some_and(|r| r.meant.iter().any(|name| name == field)) {
            self.note(route, node.span, kind);
        }
        let path = member(&self.root.spell(route), field);
        self.spoilt.push(Spoilt::Value(path));
        if let Some(node) = self.root.at_mut(route) {
            let repairs = node.repairs.get_or_insert_default();
            repairs.holes.push(field.to_string());
        }
        true
    }

    /// Whether an override has put a field into the text at `route`, which cannot be read with a field.
    /// If so, records that the text has no such field.
    fn was_text(&mut self, route: &[Step]) -> bool {
        let Some(Value::Named(None, Body::Fields(fields))) =
            self.root.at(route).map(|node| &node.value)
        else {
            return false;
        };
        let (Some(text), Some(first)) = (
            fields.iter().find(|field| field.lifted),
            fields.iter().find(|field| !field.lifted),
        ) else {
            return false;
        };
        let found = text.value.describe(None);
        let name = super::tree::shortened(&first.name.text, 40);
        let path = self.root.spell(route);
        let message = format!("{path} is {found}, which has no field {name}");
        let diagnostic = super::diagnose(self.sources, first.name.span, String::new(), message);
        self.found.push(diagnostic);
        true
    }

    /// Tries the value at `route` as text, since an override need not quote its text (`--set link=4g`);
    /// returns whether the value may be text and now is.
    fn try_as_text(&mut self, route: &[Step], kind: &Kind) -> bool {
        let Some(node) = self.root.at(route) else {
            return false;
        };
        let source = node.span.source;
        let typed = self.sources.get(source as usize);
        let typed =
            typed.and_then(|s| s.override_text().filter(|text| *text == s.slice(node.span)));
        let plain = matches!(
            node.value,
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Named(Some(_), Body::Bare)
        );
        let (Some(typed), true) = (typed, plain) else {
            return false;
        };
        if self.tried.contains_key(&source) {
            return false;
        }
        let (span, text) = (node.span, typed.to_string());
        let Some(first) = self.diagnostic(route, span, kind) else {
            return false;
        };
        self.tried.insert(source, first);
        if let Some(node) = self.root.at_mut(route) {
            node.value = Value::Text(text);
        }
        true
    }
}

/// The kind of value that `node` is.
fn misreading(node: &Node) -> Misreading<'_> {
    match (&node.value, typed_name(node)) {
        (Value::Text(text), _) => Misreading::Text(text),
        (Value::Named(_, Body::Bare), Some((word, _))) => Misreading::Word(word),
        (Value::Named(..), Some((name, _))) => Misreading::Named(name),
        (Value::Named(None, Body::Fields(_)), _) => Misreading::Fields,
        (Value::Int(_) | Value::Float(_), _) => Misreading::Number,
        _ => Misreading::Other,
    }
}

/// The path of the field `name` of the bracket at `path`.
fn member(path: &str, name: &str) -> String {
    match path {
        "" => name.to_string(),
        path => format!("{path}.{name}"),
    }
}

/// The place of the name of a variant or struct, or of the whole value if it has no name.
fn name_span(node: &Node) -> Span {
    match &node.value {
        Value::Named(Some(name), _) => name.span,
        _ => node.span,
    }
}
