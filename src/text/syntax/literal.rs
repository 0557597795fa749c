//! Numbers, texts and characters.

use super::{continues_name, starts_name, Parser, Slip};
use crate::text::tree::{shortened, Node, Value};

impl Parser<'_> {
    pub(super) fn number(&mut self) -> Result<Node, Slip> {
        let start = self.at;
        let mut previous = ' ';
        while let Some(c) = self.peek() {
            let sign =
                matches!(c, '+' | '-') && (self.at == start || matches!(previous, 'e' | 'E'));
            if !(continues_name(c) || c == '.' || c == '%' || sign) {
                break;
            }
            previous = c;
            self.at += c.len_utf8();
        }
        let text = self.text.get(start..self.at).unwrap_or("");
        let span = self.span_from(start);
        let value = read_number(text);
        if self.unit_follows()? {
            self.take_unit();
        }
        let whole = self.text.get(start..self.at).unwrap_or("");
        let problem = match value {
            Ok(value) if whole == text => return Ok(Node::new(span, value)),
            Err(Problem::TooLarge) => format!("{} is too large for a number", shortened(text, 40)),
            Err(Problem::NotANumber) if !text.contains(|c: char| c.is_ascii_digit()) => {
                return Err(Slip {
                    span,
                    message: format!("expected a value, found `{}`", shortened(text, 40)),
                })
            }
            _ => {
                let found = shortened(whole, 40);
                format!("expected a number, found {found}; a quantity with its unit goes in quotes: \"{found}\"")
            }
        };
        // The meaning of the number is in doubt, but its end is clear.
        let span = self.span_from(start);
        self.slip(span, problem)?;
        let mut node = Node::new(span, Value::Float(0.0));
        node.removed = true;
        Ok(node)
    }

    /// Whether a word that is no field's name follows the number on the same line, as in `20 ms`.
    fn unit_follows(&mut self) -> Result<bool, Slip> {
        let start = self.at;
        let blank = !self.take(|c| c == ' ').is_empty();
        let unit = blank && self.peek().is_some_and(starts_name) && !self.at_field()?;
        self.at = start;
        Ok(unit || self.at_rate())
    }

    /// Whether `/` and a word are next, as in `10Mbit/s`, and not a comment.
    fn at_rate(&self) -> bool {
        let after = self.rest().strip_prefix('/');
        after.is_some_and(|rest| rest.starts_with(starts_name))
    }

    fn take_unit(&mut self) {
        let end = self.at;
        self.take(|c| c == ' ');
        if self.take(continues_name).is_empty() {
            self.at = end;
        }
        if self.at_rate() {
            self.at += 1;
            self.take(continues_name);
        }
    }

    pub(super) fn string(&mut self) -> Result<Node, Slip> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        let mut sound = true;
        loop {
            text.push_str(self.take(|c| c != '"' && c != '\\'));
            if self.eat("\"") {
                let mut node = Node::new(self.span_from(start), Value::Text(text));
                node.removed = !sound;
                return Ok(node);
            }
            if self.peek().is_none() {
                return Err(self.never_closed(start, "text", "\""));
            }
            match self.escape()? {
                Some(c) => text.push(c),
                None => sound = false,
            }
        }
    }

    /// The error about a literal that was opened at `start` and runs to the end of the text.
    fn never_closed(&self, start: usize, what: &str, closer: &str) -> Slip {
        let mut span = self.span_from(start);
        span.end = span.start + 1;
        let message = format!("this {what} is never closed: expected `{closer}`");
        Slip { span, message }
    }

    /// The character for a backslash and what follows it; a recorded mistake if there is none.
    fn escape(&mut self) -> Result<Option<char>, Slip> {
        let start = self.at;
        self.at += 1;
        let kind = self.peek();
        self.at += kind.map_or(0, char::len_utf8);
        let c = match kind {
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('0') => Some('\0'),
            Some(c @ ('\\' | '"' | '\'')) => Some(c),
            Some('x') => {
                let digits = self
                    .rest()
                    .get(..2)
                    .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                self.at += digits.map_or(0, str::len);
                let code = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
                code.filter(u8::is_ascii).map(char::from)
            }
            Some('u') => self.unicode_escape(),
            _ => None,
        };
        if c.is_none() {
            let span = self.span_from(start);
            let found = self.text.get(start..self.at).unwrap_or("");
            let message = format!(
                "expected an escape such as \\n, \\\", \\\\, \\x41 or \\u{{e9}}, found {found}"
            );
            self.slip(span, message)?;
        }
        Ok(c)
    }

    /// Reads `{e9}` of `\u{e9}`.
    fn unicode_escape(&mut self) -> Option<char> {
        let inside = self.rest().strip_prefix('{')?;
        let (digits, _) = inside.split_once('}').filter(|(d, _)| d.len() <= 6)?;
        let code = u32::from_str_radix(digits, 16).ok()?;
        self.at += digits.len() + 2;
        char::from_u32(code)
    }

    /// Whether `r"` or `r#"` (with any number of `#`) is next.
    pub(super) fn at_raw_string(&self) -> bool {
        let after = self.rest().strip_prefix('r');
        after.is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
    }

    pub(super) fn raw_string(&mut self) -> Result<Node, Slip> {
        let start = self.at;
        self.at += 1;
        let fence = self.take(|c| c == '#');
        self.at += 1;
        let closer = format!("\"{fence}");
        let Some(length) = self.rest().find(&closer) else {
            return Err(self.never_closed(start, "text", &shortened(&closer, 10)));
        };
        let text = self.rest().get(..length).unwrap_or("").to_string();
        self.at += length + closer.len();
        Ok(Node::new(self.span_from(start), Value::Text(text)))
    }

    pub(super) fn character(&mut self) -> Result<Node, Slip> {
        let start = self.at;
        self.at += 1;
        let (c, sound) = match self.peek() {
            None => return Err(self.never_closed(start, "character", "'")),
            Some('\\') => match self.escape()? {
                Some(c) => (c, true),
                None => (' ', false),
            },
            Some(c) => {
                self.at += c.len_utf8();
                (c, true)
            }
        };
        if !self.eat("'") {
            let mut span = self.span_from(start);
            span.end = span.start + 1;
            let message =
                "expected one character between single quotes; a text goes in double quotes";
            return Err(Slip {
                span,
                message: message.into(),
            });
        }
        let mut node = Node::new(self.span_from(start), Value::Char(c));
        node.removed = !sound;
        Ok(node)
    }
}

#[derive(Debug, PartialEq)]
enum Problem {
    NotANumber,
    TooLarge,
}

/// Reads a whole or decimal number, with underscores, signs and radix prefixes as in Rust.
fn read_number(text: &str) -> Result<Value, Problem> {
    let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let digits = unsigned.replace('_', "");
    let sign = if negative { -1.0 } else { 1.0 };
    match digits.as_str() {
        _ if unsigned.starts_with('_') => return Err(Problem::NotANumber),
        "inf" => return Ok(Value::Float(sign * f64::INFINITY)),
        "NaN" => return Ok(Value::Float(f64::NAN)),
        _ => {}
    }
    let radix = match digits.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 10,
    };
    if radix != 10 || digits.bytes().all(|b| b.is_ascii_digit()) {
        let digits = if radix == 10 {
            digits.as_str()
        } else {
            digits.get(2..).unwrap_or("")
        };
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            return Err(Problem::NotANumber);
        }
        if let Ok(magnitude) = i128::from_str_radix(digits, radix) {
            return Ok(Value::Int(if negative { -magnitude } else { magnitude }));
        }
        if radix != 10 {
            return Err(Problem::TooLarge);
        }
    }
    let decimal = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    if !digits.bytes().all(decimal) {
        return Err(Problem::NotANumber);
    }
    match digits.parse::<f64>() {
        Ok(magnitude) if magnitude.is_finite() => Ok(Value::Float(sign * magnitude)),
        Ok(_) => Err(Problem::TooLarge),
        Err(_) => Err(Problem::NotANumber),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_read_in_every_radix() {
        for (text, value) in [
            ("0", 0),
            ("-7", -7),
            ("+1_000", 1000),
            ("0x_Ff", 255),
            ("-0b101", -5),
            ("0o17", 15),
        ] {
            assert!(
                matches!(read_number(text), Ok(Value::Int(n)) if n == value),
                "{text}"
            );
        }
    }

    #[test]
    fn decimal_numbers_read_with_their_sign_and_exponent() {
        for (text, value) in [
            (".5", 0.5),
            ("5.", 5.0),
            ("-1.5e-3", -0.0015),
            ("1_0.2_5", 10.25),
        ] {
            assert!(
                matches!(read_number(text), Ok(Value::Float(x)) if x == value),
                "{text}"
            );
        }
        assert!(matches!(read_number("-inf"), Ok(Value::Float(x)) if x == f64::NEG_INFINITY));
        assert!(
            matches!(read_number("-0.0"), Ok(Value::Float(x)) if x == 0.0 && x.is_sign_negative())
        );
    }

    #[test]
    fn a_whole_number_beyond_128_bits_reads_as_a_decimal_one() {
        let text = format!("1{}", "0".repeat(60));
        assert!(matches!(read_number(&text), Ok(Value::Float(x)) if x == 1e60));
    }

    #[test]
    fn what_is_no_number_is_said_to_be_none() {
        for text in [
            "", "-", ".", "_1", "0x", "0xg", "1e", "1.2.3", "1-2", "٣", "1e5e5", "infinity",
        ] {
            assert!(
                matches!(read_number(text), Err(Problem::NotANumber)),
                "{text}"
            );
        }
        assert!(matches!(read_number("1e999"), Err(Problem::TooLarge)));
        assert!(matches!(
            read_number(&format!("0x{}", "f".repeat(40))),
            Err(Problem::TooLarge)
        ));
    }
}
