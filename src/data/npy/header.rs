//! The header of a `.npy` file: a Python dictionary, which is read without Python.

use super::{Element, Header};
use crate::quantity::shown;

const MAX_DIMENSIONS: usize = 8;

/// What was expected, and what was found.
type Mismatch = (&'static str, String);

/// Reads the Python literal `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
pub(super) fn parse(text: &str) -> Result<Header, Mismatch> {
    let mut rest = Literal(text.trim());
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    rest.token("{")?;
    while !rest.takes("}") {
        match rest.string()? {
            "descr" => {
                rest.token(":")?;
                if rest.0.starts_with('[') {
                    return Err(("one plain number type", "a structured type".into()));
                }
                descr = Some(rest.string()?);
            }
            "fortran_order" => {
                rest.token(":")?;
                fortran = Some(match (rest.takes("True"), rest.takes("False")) {
                    (true, _) => true,
                    (_, true) => false,
                    _ => return Err(("True or False", rest.head())),
                });
            }
            "shape" => {
                rest.token(":")?;
                shape = Some(rest.tuple()?);
            }
            other => return Err(("descr, fortran_order or shape", shown(other, 40))),
        }
        if !rest.takes(",") && !rest.0.starts_with('}') {
            return Err(("\",\" or \"}\" in the header", rest.head()));
        }
    }
    if !rest.0.is_empty() {
        return Err(("the header's end after \"}\"", rest.head()));
    }
    let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
        return Err((
            "descr, fortran_order and shape",
            "a header that lacks one".into(),
        ));
    };
    let Some(element) = Element::parse(descr) else {
        return Err((
            "type b1, u1 to u8, i1 to i8, f2 to f8, U or S with its byte order",
            shown(descr, 40),
        ));
    };
    let product = |shape: &[usize]| shape.iter().try_fold(1usize, |p, d| p.checked_mul(*d));
    match product(&shape) {
        Some(count) if count > 0 && !shape.is_empty() => Ok(Header {
            shape,
            element,
            fortran,
            count,
        }),
        _ => Err((
            "an array of one to eight dimensions, none of them 0",
            format!("shape {shape:?}"),
        )),
    }
}

/// The part of a Python literal that is still to be read.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn head(&self) -> String {
        format!("{:?}", shown(self.0, 20))
    }

    fn takes(&mut self, token: &str) -> bool {
        match self.0.strip_prefix(token) {
            Some(rest) => {
                self.0 = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn token(&mut self, token: &'static str) -> Result<(), Mismatch> {
        match self.takes(token) {
            true => Ok(()),
            false => Err(("the header's Python dictionary", self.head())),
        }
    }

    fn string(&mut self) -> Result<&'a str, Mismatch> {
        let quoted = ['\'', '"']
            .into_iter()
            .find_map(|quote| self.0.strip_prefix(quote)?.split_once(quote));
        match quoted {
            Some((text, rest)) => {
                self.0 = rest.trim_start();
                Ok(text)
            }
            None => Err(("a quoted name", self.head())),
        }
    }

    fn tuple(&mut self) -> Result<Vec<usize>, Mismatch> {
        self.token("(")?;
        let mut out = Vec::new();
        while !self.takes(")") {
            let end = self
                .0
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(self.0.len());
            let (digits, rest) = self.0.split_at(end);
            let Ok(number) = digits.parse() else {
                return Err(("a dimension", self.head()));
            };
            out.push(number);
            if out.len() > MAX_DIMENSIONS {
                return Err(("at most eight dimensions", "more".into()));
            }
            self.0 = rest.trim_start();
            if !self.takes(",") && !self.0.starts_with(')') {
                return Err(("\",\" or \")\" in the shape", self.head()));
            }
        }
        Ok(out)
    }
}
