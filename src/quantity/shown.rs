//! Text from outside, made safe for a message.

/// `text` as a message may contain it: control characters, and characters that turn the direction of
/// the text, become a replacement mark. Text of more than `longest` characters is cut, with `…` in
/// place of the rest.
///
/// All text that comes from a file goes through this function before it becomes part of a message, so
/// that a file cannot make a message long or unreadable.
pub fn shown(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == longest {
            out.push('…');
            break;
        }
        out.push(match is_harmless(c) {
            true => c,
            false => char::REPLACEMENT_CHARACTER,
        });
    }
    out
}

/// The first few of `names` as a message lists them, each cut if it is long, and how many more there
/// are of `of` names in all.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>, of: usize) -> String {
    const FEW: usize = 20;
    let few: Vec<String> = names.take(FEW).map(|name| shown(name, 40)).collect();
    match of.saturating_sub(few.len()) {
        0 => few.join(", "),
        more => format!("{} and {more} more", few.join(", ")),
    }
}

/// Whether a character is shown as itself and does not affect the text around it.
pub(crate) fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_and_what_garbles_a_line_is_marked() {
        assert_eq!(shown("name", 4), "name");
        assert_eq!(shown("names", 4), "name…");
        assert_eq!(shown("a\nb\u{202e}c", 9), "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn a_list_says_how_many_it_leaves_out() {
        let names: Vec<String> = (0..25).map(|n| n.to_string()).collect();
        let said = listed(names.iter().map(String::as_str), 25);
        assert!(said.ends_with("18, 19 and 5 more"), "{said}");
        assert_eq!(listed(["a", "b"].into_iter(), 2), "a, b");
    }
}
