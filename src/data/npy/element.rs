//! One element of an array: a number, or a text of fixed length.

/// The longest text of an element, in bytes; the name of a class or a user is shorter.
const LONGEST_TEXT: usize = 1 << 14;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::data) struct Element {
    pub kind: Kind,
    /// The size in bytes.
    pub size: usize,
    pub big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::data) enum Kind {
    Unsigned,
    Signed,
    Float,
    /// `S`: bytes, padded with zeros.
    Bytes,
    /// `U`: code points of four bytes, padded with zeros.
    Text,
}

/// The value of an element that names a class or a user.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) enum Cell {
    Whole(i64),
    /// A number that is not whole, or too large to be distinguished from its neighbours.
    Other(f64),
    Text(String),
    /// Bytes that are not valid text.
    Garbled,
}

impl Element {
    /// From a type string such as `<f4`, `|u1`, `>i8`, `<U12`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let big_endian = match chars.next()? {
            '>' => true,
            '<' | '|' => false,
            // '=' means the byte order of the machine, which makes no sense in a file.
            _ => return None,
        };
        let (kind, size) = match chars.as_str() {
            "b1" | "u1" => (Kind::Unsigned, 1),
            "u2" => (Kind::Unsigned, 2),
            "u4" => (Kind::Unsigned, 4),
            "u8" => (Kind::Unsigned, 8),
            "i1" => (Kind::Signed, 1),
            "i2" => (Kind::Signed, 2),
            "i4" => (Kind::Signed, 4),
            "i8" => (Kind::Signed, 8),
            "f2" => (Kind::Float, 2),
            "f4" => (Kind::Float, 4),
            "f8" => (Kind::Float, 8),
            other => {
                let (kind, width) = match other.split_at_checked(1)? {
                    ("S", _) => (Kind::Bytes, 1),
                    ("U", _) => (Kind::Text, 4),
                    _ => return None,
                };
                let length: usize = other.get(1..)?.parse().ok()?;
                let size = length.checked_mul(width)?;
                (kind, Some(size).filter(|s| (1..=LONGEST_TEXT).contains(s))?)
            }
        };
        Some(Self {
            kind,
            size,
            big_endian,
        })
    }

    /// Whether it is text.
    pub fn is_text(self) -> bool {
        matches!(self.kind, Kind::Bytes | Kind::Text)
    }

    /// The eight low bytes of one element, most significant first, zero-padded in front.
    fn word(self, bytes: &[u8]) -> u64 {
        let push = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
        match self.big_endian {
            true => bytes.iter().fold(0, push),
            false => bytes.iter().rev().fold(0, push),
        }
    }

    fn signed(self, bytes: &[u8]) -> i64 {
        let unused = 64 - 8 * self.size as u32;
        ((self.word(bytes) << unused) as i64) >> unused
    }

    fn float(self, bytes: &[u8]) -> f64 {
        match self.size {
            2 => half(self.word(bytes) as u16),
            4 => f64::from(f32::from_bits(self.word(bytes) as u32)),
            _ => f64::from_bits(self.word(bytes)),
        }
    }

    /// The element as a feature; not finite where it is text, or beyond single precision.
    pub fn feature(self, bytes: &[u8]) -> f32 {
        match self.kind {
            Kind::Unsigned => self.word(bytes) as f32,
            Kind::Signed => self.signed(bytes) as f32,
            Kind::Float => self.float(bytes) as f32,
            Kind::Bytes | Kind::Text => f32::NAN,
        }
    }

    /// The element as the name of a class or a user.
    pub fn cell(self, bytes: &[u8]) -> Cell {
        match self.kind {
            Kind::Unsigned => {
                let word = self.word(bytes);
                i64::try_from(word).map_or(Cell::Other(word as f64), Cell::Whole)
            }
            Kind::Signed => Cell::Whole(self.signed(bytes)),
            Kind::Float => {
                let x = self.float(bytes);
                // Beyond 2^53, a double cannot distinguish neighbouring integers.
                match libm::trunc(x) == x && libm::fabs(x) <= 9_007_199_254_740_992.0 {
                    true => Cell::Whole(x as i64),
                    false => Cell::Other(x),
                }
            }
            Kind::Bytes => {
                let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
                let text = bytes.get(..end).map(std::str::from_utf8);
                match text {
                    Some(Ok(text)) => Cell::Text(text.to_string()),
                    _ => Cell::Garbled,
                }
            }
            Kind::Text => {
                let points = bytes.chunks_exact(4).map(|point| self.word(point) as u32);
                let text: Option<String> = points.map(char::from_u32).collect();
                text.map_or(Cell::Garbled, |text| {
                    Cell::Text(text.trim_end_matches('\0').to_string())
                })
            }
        }
    }
}

/// The value of a number of half precision (IEEE 754 binary16), exactly.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let exponent = i32::from((bits >> 10) & 0x1f);
    let size = match exponent {
        0 => libm::ldexp(fraction, -24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => libm::ldexp(1024.0 + fraction, exponent - 25),
    };
    match bits >> 15 {
        0 => size,
        _ => -size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_read_exactly() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_625e-5),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x3555, 0.333_251_953_125),
            (0x7c00, f64::INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:#06x}");
        }
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn texts_are_read_without_their_padding() {
        let element = Element::parse("<U3").unwrap();
        let bytes: Vec<u8> = "hé\0"
            .chars()
            .flat_map(|c| (c as u32).to_le_bytes())
            .collect();
        assert_eq!(element.cell(&bytes), Cell::Text("hé".into()));
        let element = Element::parse(">U1").unwrap();
        assert_eq!(element.cell(&[0, 0, 0, b'x']), Cell::Text("x".into()));
        assert_eq!(element.cell(&[0, 0, 0xd8, 0]), Cell::Garbled);
        let element = Element::parse("|S4").unwrap();
        assert_eq!(element.cell(b"ann\0"), Cell::Text("ann".into()));
        assert_eq!(element.cell(b"\xff\xfe\0\0"), Cell::Garbled);
        for none in [
            "<U0",
            "|S0",
            "<U",
            "|S999999",
            "<U18446744073709551615",
            "<Ux",
        ] {
            assert_eq!(Element::parse(none), None, "{none}");
        }
    }
}
