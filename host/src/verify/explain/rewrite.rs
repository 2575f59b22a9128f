//! Re-serializes a JSON body as frameworks do that parse it and write it again.
//!
//! Works on the text, so the order of names and the form of numbers stay. Linear. Invalid JSON stays
//! invalid.

/// How a framework may have serialized a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// For people.
    pub(super) name: &'static str,
    between: &'static str,
    behind_name: &'static str,
    /// Spaces for each level; each element is on a line of its own.
    indent: Option<usize>,
}

pub(super) const STYLES: [Style; 4] = [
    Style { name: "without spaces", between: ",", behind_name: ":", indent: None },
    Style {
        name: "with a space after each comma and colon",
        between: ", ",
        behind_name: ": ",
        indent: None,
    },
    Style { name: "indented by 2", between: ",", behind_name: ": ", indent: Some(2) },
    Style { name: "indented by 4", between: ",", behind_name: ": ", indent: Some(4) },
];

/// Deepest level that is still indented.
const INDENT_LEVELS_MAX: usize = 64;

/// The text in that style.
pub(super) fn restyle(text: &str, style: &Style) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut rest = text.trim().chars().peekable();
    let mut level = 0usize;
    let line = |out: &mut String, level: usize| {
        if let Some(indent) = style.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * level.min(INDENT_LEVELS_MAX)));
        }
    };
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                out.push('"');
                while let Some(c) = rest.next() {
                    out.push(c);
                    match c {
                        '\\' => out.extend(rest.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                match rest.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        level += 1;
                        line(&mut out, level);
                    }
                }
            }
            '}' | ']' => {
                level = level.saturating_sub(1);
                line(&mut out, level);
                out.push(c);
            }
            ',' => {
                out.push_str(style.between);
                line(&mut out, level);
            }
            ':' => out.push_str(style.behind_name),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// With `\uXXXX` for every character that is not ASCII.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_style_matches_what_frameworks_write() {
        let text = r#" {"a" : [1,2.50,{"b":"x, \" y: z"}],"e":{ },"u":"é"}"#;
        let expected = [
            r#"{"a":[1,2.50,{"b":"x, \" y: z"}],"e":{},"u":"é"}"#,
            r#"{"a": [1, 2.50, {"b": "x, \" y: z"}], "e": {}, "u": "é"}"#,
            "{\n  \"a\": [\n    1,\n    2.50,\n    {\n      \"b\": \"x, \\\" y: z\"\n    }\n  ],\n  \"e\": {},\n  \"u\": \"é\"\n}",
        ];
        for (style, expected) in STYLES.iter().zip(expected) {
            assert_eq!(restyle(text, style), expected);
        }
        assert_eq!(escaped("é🙂a"), "\\u00e9\\ud83d\\ude42a");
    }

    proptest! {
        #[test]
        fn any_text_is_restyled_without_a_panic_and_in_bounded_space(text in "[\\[\\]{}\",: a\\\\\u{e9}]{0,200}") {
            for style in STYLES {
                prop_assert!(restyle(&text, &style).len() < 300 * 256 + 1000);
            }
        }
    }
}
