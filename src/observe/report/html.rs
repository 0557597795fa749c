//! The parts of the page, with all text escaped.

use super::super::text;
use super::Figure;

/// Text as HTML that shows it: without markup, control characters or changes of direction.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if text::is_harmless(c) => out.push(c),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    out
}

/// A figure with its legend and its notes.
pub(super) fn figure(figure: &Figure) -> String {
    let class = if figure.wide { "card wide" } else { "card" };
    let mut legend = String::new();
    for (ink, label) in &figure.legend {
        legend += &format!(
            "<li><i style=\"background:var(--{})\"></i>{}</li>",
            ink.name,
            escape(label)
        );
    }
    format!(
        "<figure class=\"{class}\"><figcaption><h2>{title}</h2><ul class=\"legend\">{legend}</ul>\
         </figcaption><div class=\"plot\" role=\"img\" aria-label=\"{title}\">{svg}</div>{notes}</figure>\n",
        title = escape(figure.title),
        svg = figure.svg,
        notes = notes(&figure.notes),
    )
}

fn notes(notes: &[String]) -> String {
    match notes.is_empty() {
        true => String::new(),
        false => format!("<p class=\"note\">{}</p>", escape(&notes.join(" "))),
    }
}

/// A tile that shows one number.
pub(super) fn tile(label: &str, value: &str, more: &str) -> String {
    // A hash in the size of a number would break over two lines.
    let class = match value.chars().count() > 12 {
        true => "tile long",
        false => "tile",
    };
    format!(
        "<div class=\"{class}\"><span>{}</span><b>{}</b><small>{}</small></div>\n",
        escape(label),
        escape(value),
        escape(more)
    )
}

/// A table whose first column has names and whose other columns have figures.
pub(super) fn table(
    title: &str,
    headings: &[&str],
    rows: &[Vec<String>],
    more: &[String],
) -> String {
    let cells = |tag: &str, row: &mut dyn Iterator<Item = &str>| {
        let cells: String = row
            .map(|c| format!("<{tag}>{}</{tag}>", escape(c)))
            .collect();
        format!("<tr>{cells}</tr>")
    };
    let head = cells("th", &mut headings.iter().copied());
    let body: String = rows
        .iter()
        .map(|row| cells("td", &mut row.iter().map(String::as_str)))
        .collect();
    format!(
        "<section class=\"card wide\"><h2>{}</h2><div class=\"scroll\"><table><thead>{head}</thead>\
         <tbody>{body}</tbody></table></div>{}</section>\n",
        escape(title),
        notes(more)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escape("<img src=x onerror='a(\"b\")'>&amp;"),
            "&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt;&amp;amp;"
        );
        assert_eq!(escape("a\0b\u{202e}c\nd"), "a\u{fffd}b\u{fffd}c\nd");
    }
}
