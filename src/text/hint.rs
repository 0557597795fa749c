//! What those who know what a document is about can say of a mistake in it.

/// Says what would be right instead, for what a reader who only knows the types cannot guess.
pub type Hints = fn(&Misread<'_>) -> Option<String>;

/// What could not be read.
#[derive(Debug, Clone, Copy)]
pub struct Misread<'a> {
    /// Where, such as `population[0].cuont`.
    pub path: &'a str,
    /// What stands there instead.
    pub found: Misreading<'a>,
}

/// What stands where something else was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misreading<'a> {
    /// A field that the bracket does not have.
    Field {
        /// Its name.
        name: &'a str,
        /// The nearest name that the bracket has.
        near: Option<&'a str>,
    },
    /// A bare word.
    Word(&'a str),
    /// A name and brackets.
    Named(&'a str),
    /// A text in quotes.
    Text(&'a str),
    /// Fields in brackets, without a name.
    Fields,
    /// A number.
    Number,
    /// Anything else.
    Other,
}

/// Of a document of which nothing is known.
pub(super) fn none(_: &Misread<'_>) -> Option<String> {
    None
}
