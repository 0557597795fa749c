//! Hints about mistakes in a document, from code that knows what the document is about.

/// A function that says what would be right, where the types alone do not suggest it.
pub type Hints = fn(&Misread<'_>) -> Option<String>;

/// A value that could not be read.
#[derive(Debug, Clone, Copy)]
pub struct Misread<'a> {
    /// The path of the value, such as `population[0].cuont`.
    pub path: &'a str,
    /// What was found there.
    pub found: Misreading<'a>,
}

/// What was found where something else was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misreading<'a> {
    /// A field that does not exist in this bracket.
    Field {
        /// The name of the field.
        name: &'a str,
        /// The nearest name that exists in this bracket.
        near: Option<&'a str>,
    },
    /// A bare word.
    Word(&'a str),
    /// A name with brackets.
    Named(&'a str),
    /// A text in quotes.
    Text(&'a str),
    /// Fields in brackets, without a name.
    Fields,
    /// A number.
    Number,
    /// Any other value.
    Other,
}

/// The hints for a document about which nothing is known: none.
pub(super) fn none(_: &Misread<'_>) -> Option<String> {
    None
}
