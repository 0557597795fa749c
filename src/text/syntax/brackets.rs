//! Matches brackets, and describes a bracket that does not match.

use super::{Parser, Slip, MAX_DEPTH};

/// A bracket not yet closed.
pub(super) struct Open {
    bracket: char,
    at: usize,
}

impl Open {
    fn closer(&self) -> char {
        match self.bracket {
            '(' => ')',
            '[' => ']',
            _ => '}',
        }
    }
}

impl Parser<'_> {
    /// Steps over `bracket`, which is next.
    pub(super) fn open_bracket(&mut self, bracket: char) -> Result<(), Slip> {
        if self.open.len() == MAX_DEPTH {
            return Err(self.stop(format!(
                "expected at most {MAX_DEPTH} brackets inside one another, found more"
            )));
        }
        self.open.push(Open {
            bracket,
            at: self.at,
        });
        self.at += bracket.len_utf8();
        Ok(())
    }

    /// Steps over `close` if it is next.
    pub(super) fn close_bracket(&mut self, close: char) -> bool {
        let found = self.peek() == Some(close);
        if found {
            self.at += close.len_utf8();
            self.open.pop();
        }
        found
    }

    /// Returns an error if the text ends here or another kind of bracket closes.
    pub(super) fn expect_inside(&self) -> Result<(), Slip> {
        match self.peek() {
            None | Some(')' | ']' | '}') => Err(self.unclosed()),
            Some(_) => Ok(()),
        }
    }

    /// The error about what is next where a comma or the closing bracket should be.
    pub(super) fn unclosed(&self) -> Slip {
        let Some(open) = self.open.last() else {
            return self.stop(format!("expected a value, found {}", self.found()));
        };
        let (bracket, place) = (open.bracket, self.place(open.at));
        let message = match self.peek() {
            None => {
                let around: Vec<String> = self
                    .open
                    .iter()
                    .rev()
                    .skip(1)
                    .take(3)
                    .map(|o| format!("`{}` at {}", o.bracket, self.place(o.at)))
                    .collect();
                let around = match around.is_empty() {
                    true => String::new(),
                    false => format!(", nor is {}", around.join(" or ")),
                };
                format!(
                    "the text ends here, but `{bracket}` opened at {place} is not closed{around}"
                )
            }
            Some(_) => format!(
                "expected `,` or the `{}` that closes `{bracket}` opened at {place}, found {}",
                open.closer(),
                self.found()
            ),
        };
        self.stop(message)
    }
}
