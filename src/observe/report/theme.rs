//! The colours of the report, each in a light and a dark form.
//!
//! Pictures have the light colours in their attributes. The style sheet of the page finds them there
//! and replaces them by the colours for the reader's setting. The series follow Okabe and Ito (2008),
//! whose colours people with any form of colour vision can distinguish; only their yellow, too faint on
//! white, was replaced by an olive.

use plotters::style::RGBColor;
use std::fmt::Write;

/// A colour with a role in the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ink {
    /// The name of its variable in the style sheet.
    pub name: &'static str,
    light: u32,
    dark: u32,
}

const fn ink(name: &'static str, light: u32, dark: u32) -> Ink {
    Ink { name, light, dark }
}

pub(super) const TEXT: Ink = ink("text", 0x1b2430, 0xe6eaf0);
pub(super) const MUTED: Ink = ink("muted", 0x5c6675, 0x9aa5b4);
pub(super) const GRID: Ink = ink("grid", 0xe4e8ee, 0x2b333f);
pub(super) const AXIS: Ink = ink("axis", 0xb3bcc8, 0x4d5868);
/// The colour of waiting, and of everything that has no colour of its own.
pub(super) const IDLE: Ink = ink("idle", 0xc5ccd6, 0x566173);
pub(super) const BLUE: Ink = ink("blue", 0x0072b2, 0x58b0e8);
pub(super) const ORANGE: Ink = ink("orange", 0xe69f00, 0xf3b63f);
pub(super) const GREEN: Ink = ink("green", 0x009e73, 0x3cc79f);
pub(super) const RED: Ink = ink("red", 0xd55e00, 0xff8b4a);
pub(super) const PURPLE: Ink = ink("purple", 0xb8639a, 0xe39bc8);
pub(super) const SKY: Ink = ink("sky", 0x56b4e9, 0x9ad6fa);
pub(super) const OLIVE: Ink = ink("olive", 0x7d7300, 0xd6c84a);

/// The colours of a series, in the order in which they are used.
pub(super) const SERIES: [Ink; 7] = [BLUE, ORANGE, GREEN, RED, PURPLE, SKY, OLIVE];

const ALL: [Ink; 12] = [
    TEXT, MUTED, GRID, AXIS, IDLE, BLUE, ORANGE, GREEN, RED, PURPLE, SKY, OLIVE,
];

impl Ink {
    /// The colour in the form that the plotting library takes.
    pub fn rgb(self) -> RGBColor {
        let [_, r, g, b] = self.light.to_be_bytes();
        RGBColor(r, g, b)
    }
}

/// The variables for both settings, and the rules that replace a picture's colours by them.
pub(super) fn css() -> String {
    let mut css = String::new();
    let variables = |css: &mut String, pick: fn(&Ink) -> u32| {
        for ink in &ALL {
            // Writing to a string cannot fail.
            let _ = write!(css, "--{}:#{:06x};", ink.name, pick(ink));
        }
    };
    css.push_str(":root{");
    variables(&mut css, |ink| ink.light);
    css.push_str("}\n@media (prefers-color-scheme:dark){:root{");
    variables(&mut css, |ink| ink.dark);
    css.push_str("}}\n");
    for ink in &ALL {
        for part in ["fill", "stroke"] {
            let _ = writeln!(
                css,
                "svg [{part}=\"#{:06X}\"]{{{part}:var(--{})}}",
                ink.light, ink.name
            );
        }
    }
    css
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_roles_share_a_light_colour_or_a_name() {
        for (i, a) in ALL.iter().enumerate() {
            for b in &ALL[..i] {
                assert!(a.light != b.light && a.name != b.name, "{a:?} {b:?}");
            }
        }
        for ink in SERIES {
            assert!(ALL.contains(&ink));
        }
    }
}
