use super::*;

fn value(text: &str) -> Value {
    let parsed = parse(text, 0);
    assert!(parsed.slips.is_empty(), "{text}: {:?}", parsed.slips);
    parsed.root.unwrap().value
}

/// Where the reading of `text` stopped and why.
fn stop(text: &str) -> (u32, String) {
    let slip = parse(text, 0).root.unwrap_err();
    (slip.span.start, slip.message)
}

fn slips(text: &str) -> Vec<(u32, String)> {
    let parsed = parse(text, 0);
    parsed.root.unwrap();
    let slips = parsed.slips.into_iter();
    slips.map(|slip| (slip.span.start, slip.message)).collect()
}

#[test]
fn texts_read_with_their_escapes() {
    for (text, expected) in [
        (r#""a\n\t\r\0\\\"\'""#, "a\n\t\r\0\\\"'"),
        (r#""\x41\u{e9}\u{1F600}""#, "Aé😀"),
        ("\"two\nlines\"", "two\nlines"),
        (r###"r#"a"b\n"#"###, "a\"b\\n"),
        ("r\"\"", ""),
    ] {
        assert!(
            matches!(value(text), Value::Text(t) if t == expected),
            "{text}"
        );
    }
    assert!(matches!(value(r"'\''"), Value::Char('\'')));
    assert!(matches!(value("'é'"), Value::Char('é')));
    assert!(matches!(value("'''"), Value::Char('\'')));
}

#[test]
fn comments_nest_and_extensions_are_accepted() {
    let text = "\u{feff}#![enable(implicit_some, unwrap_newtypes,)] // a\n/* b /* c */ d */ 5 // e";
    assert!(matches!(value(text), Value::Int(5)));
    assert_eq!(
        slips("#![enable(implicit_sum)] 5"),
        [(10, "expected one of implicit_some, unwrap_newtypes, unwrap_variant_newtypes, explicit_struct_names, found implicit_sum; did you mean implicit_some?".into())]
    );
}

#[test]
fn a_cut_off_text_says_which_brackets_are_open() {
    assert_eq!(
        stop("(\n  a: [1, {2: (3"),
        (
            17,
            "the text ends here, but `(` opened at 2:14 is not closed, nor is `{` at 2:10 or `[` at 2:6 or `(` at 1:1".into()
        )
    );
    assert_eq!(
        stop("(a: \"x").1,
        "this text is never closed: expected `\"`"
    );
    assert_eq!(stop("(a: \"x").0, 4);
    assert_eq!(
        stop("5 /* /* */").1,
        "this comment is never closed: expected `*/`"
    );
    assert_eq!(
        stop("r#\"x\"").1,
        "this text is never closed: expected `\"#`"
    );
    for text in ["(a:", "(a", "(a: 1,", "(a: 1\n  \n", "(", "(a: 1 // b"] {
        let (at, message) = stop(text);
        assert_eq!(at as usize, text.trim_end().len());
        assert_eq!(
            message,
            "the text ends here, but `(` opened at 1:1 is not closed"
        );
    }
    assert_eq!(
        stop(" ").1,
        "expected a value such as (name: value, ..), found nothing"
    );
}

#[test]
fn brackets_must_match() {
    assert_eq!(
        stop("(a: [1, 2)"),
        (
            9,
            "expected `,` or the `]` that closes `[` opened at 1:5, found `)`".into()
        )
    );
    assert_eq!(
        stop("(a: 1))"),
        (6, "`)` closes nothing that was opened".into())
    );
    assert_eq!(
        stop("(a: 1) x").1,
        "expected the end of the text, found `x`"
    );
    assert_eq!(stop("[1 2]").0, 3);
    assert_eq!(
        stop("(1, b: 2)").1,
        "expected values with names throughout or without throughout, found the name b after \
         values without; a name is a bare word"
    );
    assert_eq!(
        stop("(a: 1, 2)").1,
        "expected a field name, as there is one before (a): values have names throughout or not at \
         all, found `2`"
    );
    assert_eq!(
        stop("[a: 1]").1,
        "the values of a list have no names, found the name a: names and their values stand in round \
         brackets"
    );
    assert_eq!(stop("(,)").1, "expected a value, found `,`");
}

#[test]
fn deep_nesting_is_refused_where_it_becomes_too_deep() {
    let sound = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(parse(&sound, 0).root.is_ok());
    for bomb in ["(", "[", "Some(", "a(b:", "{0:", "{["] {
        let text = bomb.repeat((1 << 20) / bomb.len());
        let (_, message) = stop(&text);
        assert_eq!(
            message,
            "expected at most 64 brackets inside one another, found more"
        );
    }
}

#[test]
fn too_many_values_are_refused() {
    let (_, message) = stop(&format!("[{}]", "1,".repeat(MAX_VALUES)));
    assert_eq!(message, "expected at most 262144 values, found more");
}

#[test]
fn slips_do_not_end_the_reading() {
    assert_eq!(
        slips("(a: 1 b = 20 ms, a: 10Mbit/s)"),
        [
            (5, "expected `,` before `b`".into()),
            (8, "expected `:` after the field name b, found `=`".into()),
            (10, "expected a number, found 20 ms; a quantity with its unit goes in quotes: \"20 ms\"".into()),
            (20, "expected a number, found 10Mbit/s; a quantity with its unit goes in quotes: \"10Mbit/s\"".into()),
            (17, "the field a is given twice, first at 1:2; keep one".into()),
        ]
    );
    assert_eq!(
        slips("{1: 2, 1: 3}"),
        [(7, "this key is given twice, first at 1:2; keep one".into())]
    );
    assert_eq!(slips(r#"["\q", "\x80", "\u{110000}", 'a']"#).len(), 3);
    assert_eq!(
        slips("[1e999]"),
        [(1, "1e999 is too large for a number".into())]
    );
}

#[test]
fn an_endless_row_of_slips_ends() {
    let text = format!("[{}]", "1x,".repeat(MAX_SLIPS + 1));
    let parsed = parse(&text, 0);
    assert_eq!(parsed.slips.len(), MAX_SLIPS);
    assert_eq!(
        parsed.root.unwrap_err().message,
        "stopped after 100 mistakes"
    );
}

#[test]
fn empty_parentheses_and_bare_words_and_raw_names_read() {
    assert!(matches!(value("()"), Value::Named(None, Body::Tuple(items)) if items.is_empty()));
    assert!(
        matches!(value("A ( )"), Value::Named(Some(_), Body::Tuple(items)) if items.is_empty())
    );
    assert!(matches!(value("A"), Value::Named(Some(name), Body::Bare) if name.text == "A"));
    let Value::Named(None, Body::Fields(fields)) = value("(r#type: r, r#a-b: 2)") else {
        panic!("not fields");
    };
    assert_eq!(fields[0].name.text, "type");
    assert_eq!(fields[1].name.text, "a-b");
}
