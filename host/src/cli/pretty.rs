//! Indents JSON without reading its values: keys keep their order, numbers all of their digits.

use serde::de::IgnoredAny;

/// The text of a JSON value over several lines; `None` if it is not JSON.
pub(super) fn pretty(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut shown = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut is_escaped) = (0usize, false, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if in_string {
            shown.push(c);
            in_string = is_escaped || c != '"';
            is_escaped = c == '\\' && !is_escaped;
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                shown.push(c);
            }
            '{' | '[' => {
                shown.push(c);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = characters.next_if(|c| matches!(c, '}' | ']')) {
                    shown.push(end);
                } else {
                    depth += 1;
                    line_break(&mut shown, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line_break(&mut shown, depth);
                shown.push(c);
            }
            ',' => {
                shown.push(c);
                line_break(&mut shown, depth);
            }
            ':' => shown.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => shown.push(c),
        }
    }
    Some(shown)
}

/// Levels that are indented further: beyond, a hostile text would make lines of spaces.
const DEPTH_MAX: usize = 40;

fn line_break(shown: &mut String, depth: usize) {
    shown.push('\n');
    shown.extend(std::iter::repeat_n("  ", depth.min(DEPTH_MAX)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_indented_and_unchanged() {
        let text = r#"{ "b" : [1, {"c":123456789012345678901234567890, "d":"x: {\"[,"}], "a":{} , "e": [ ]}"#;
        let shown = r#"{
  "b": [
    1,
    {
      "c": 123456789012345678901234567890,
      "d": "x: {\"[,"
    }
  ],
  "a": {},
  "e": []
}"#;
        assert_eq!(pretty(text).unwrap(), shown);
        assert_eq!(pretty("7").unwrap(), "7");
        assert!(pretty("{").is_none() && pretty("a=b").is_none());
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(pretty(&deep).unwrap().len() < 20_000);
    }

    proptest! {
        #[test]
        fn the_value_stays_the_same(key: String, value: String, number: i64) {
            let json = serde_json::json!({ key: [value, number], "x": {} });
            let shown = pretty(&json.to_string()).unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json);
        }
    }
}
