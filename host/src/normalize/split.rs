//! Splits a document into its events without changing or copying any of it.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde_json::Deserializer;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::malformed::{DEPTH_MAX, EVENTS_LIMIT, Malformed};

/// White space of JSON.
pub(super) const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// The elements of an array, or the objects on the lines of a document, usually one; each without the white space around it.
///
/// Checks that the whole document is JSON. Values are skipped in a loop and not built, so neither depth
/// nor the size of a number matters.
pub(super) fn split(text: &str) -> Result<Vec<&str>, Malformed> {
    let first = text.trim_start_matches(SPACE).bytes().next();
    let mut document = Deserializer::from_str(text);
    let (elements, depth_max) = match first {
        None => return Err(Malformed::Empty),
        Some(b'[') => {
            let mut too_many = false;
            let elements = Elements { too_many: &mut too_many }.deserialize(&mut document);
            if too_many {
                return Err(Malformed::TooMany { events_max: EVENTS_LIMIT });
            }
            (elements, DEPTH_MAX - 1)
        }
        Some(b'{') => return lines(text),
        _ => (<&RawValue>::deserialize(&mut document).map(|raw| vec![raw.get()]), DEPTH_MAX),
    };
    let elements = elements.map_err(|error| syntax(&error))?;
    document
        .end()
        .map_err(|error| Malformed::Trailing { line: error.line(), column: error.column() })?;
    if first != Some(b'[') {
        return Err(Malformed::Scalar);
    }
    if elements.iter().any(|element| is_deeper(element.as_bytes(), depth_max)) {
        return Err(Malformed::TooDeep);
    }
    Ok(elements)
}

/// Checks that a text is one document, an array or an object.
pub(super) fn one(text: &str) -> Result<(), Malformed> {
    let elements = split(text)?;
    let [_, second, ..] = elements[..] else { return Ok(()) };
    if !text.trim_start_matches(SPACE).starts_with('{') {
        return Ok(());
    }
    let at = second.as_ptr().addr() - text.as_ptr().addr();
    Err(Malformed::Trailing { line: 1, column: 1 }.behind(&text[..at]))
}

/// The objects of a document: one, or one on each line (NDJSON).
fn lines(text: &str) -> Result<Vec<&str>, Malformed> {
    let (mut elements, mut rest) = (Vec::with_capacity(1), text);
    loop {
        let at = text.len() - rest.len();
        let place = |error: Malformed| error.behind(&text[..at]);
        let mut document = Deserializer::from_str(rest);
        let object = <&RawValue>::deserialize(&mut document);
        let object = object.map_err(|error| place(syntax(&error)))?.get();
        if is_deeper(object.as_bytes(), DEPTH_MAX) {
            return Err(Malformed::TooDeep);
        }
        if elements.len() == EVENTS_LIMIT {
            return Err(Malformed::TooMany { events_max: EVENTS_LIMIT });
        }
        elements.push(object);
        let behind = &rest[rest.find('{').unwrap_or_default() + object.len()..];
        rest = behind.trim_start_matches(SPACE);
        if rest.is_empty() {
            return Ok(elements);
        }
        let between = &behind[..behind.len() - rest.len()];
        if !between.contains('\n') || !rest.starts_with('{') {
            let trailing = Malformed::Trailing { line: 1, column: 1 };
            return Err(trailing.behind(&text[..text.len() - rest.len()]));
        }
    }
}

fn syntax(error: &serde_json::Error) -> Malformed {
    match error.classify() {
        Category::Eof => Malformed::Truncated,
        _ => Malformed::NotJson { line: error.line(), column: error.column() },
    }
}

/// Whether a JSON value is nested deeper than `depth_max`. Most values have fewer brackets than that in
/// total, which are counted many bytes at a time; only the others are walked.
fn is_deeper(json: &[u8], depth_max: usize) -> bool {
    // `[` and `{` differ only in the bit 0x20.
    let openers = |part: &[u8]| part.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    if json.chunks(255).map(|part| usize::from(openers(part))).sum::<usize>() <= depth_max {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > depth_max {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Reads an array as the texts of its elements, and stops after [`EVENTS_LIMIT`].
struct Elements<'f> {
    too_many: &'f mut bool,
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = Vec<&'de str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = array.next_element::<&RawValue>()? {
            if elements.len() == EVENTS_LIMIT {
                *self.too_many = true;
                return Err(serde::de::Error::custom("too many elements"));
            }
            elements.push(element.get());
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_element_keeps_its_bytes() {
        for (document, expected) in [
            ("[]", vec![]),
            (" \r\n\t[ ]\n", vec![]),
            ("{}\n{\"a\": 1}\r\n\n {}\n", vec!["{}", "{\"a\": 1}", "{}"]),
            (r#"{"a": 1.0}"#, vec![r#"{"a": 1.0}"#]),
            ("\n {}\n ", vec!["{}"]),
            (
                r#"[{"a" :1e400, "a":0.10},  {"\u00e9":"é]"} ]"#,
                vec![r#"{"a" :1e400, "a":0.10}"#, r#"{"\u00e9":"é]"}"#],
            ),
            (r#"[1, "x", null, [true] , {}]"#, vec!["1", "\"x\"", "null", "[true]", "{}"]),
        ] {
            assert_eq!(split(document), Ok(expected), "{document}");
        }
    }

    #[test]
    fn refuses_other_documents_with_the_reason() {
        let trailing = |column| Malformed::Trailing { line: 1, column };
        let not_json = |column| Malformed::NotJson { line: 1, column };
        for (document, expected) in [
            ("", Malformed::Empty),
            (" \n", Malformed::Empty),
            ("4567", Malformed::Scalar),
            ("null", Malformed::Scalar),
            ("\"text\"", Malformed::Scalar),
            ("The quick brown fox", not_json(1)),
            ("[{\"message_id\": ", Malformed::Truncated),
            ("[", Malformed::Truncated),
            ("[{},]", not_json(5)),
            ("[{\"a\":tru}]", not_json(10)),
            ("[{'a':1}]", not_json(3)),
            ("[] []", trailing(4)),
            ("{}{}", trailing(3)),
            ("{} {}", trailing(4)),
            ("{} x", trailing(4)),
            ("{}\n{}\n []", Malformed::Trailing { line: 3, column: 2 }),
            ("{}\n{\"a\":1}\n{\"a\":tru}", Malformed::NotJson { line: 3, column: 9 }),
            ("{}\n {\"a\":tru}", Malformed::NotJson { line: 2, column: 10 }),
            ("{}\n{\"a\"", Malformed::Truncated),
        ] {
            assert_eq!(split(document), Err(expected), "{document}");
        }
    }

    #[test]
    fn depth_is_limited_everywhere() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let object = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(split(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(split(&nested(DEPTH_MAX + 1)), Err(Malformed::TooDeep));
        assert!(split(&object(DEPTH_MAX)).is_ok());
        assert_eq!(split(&object(DEPTH_MAX + 1)), Err(Malformed::TooDeep));
        assert_eq!(split(&nested(100_000)), Err(Malformed::TooDeep));
        // Brackets in strings and brackets side by side do not add depth.
        let flat = format!("[{{\"a\\\"{}\":[{}[]]}}]", "[".repeat(200), "[],".repeat(200));
        assert!(split(&flat).is_ok(), "{flat}");
    }

    #[test]
    fn a_document_has_a_limited_number_of_elements() {
        let many = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        assert_eq!(split(&many(EVENTS_LIMIT)).map(|elements| elements.len()), Ok(EVENTS_LIMIT));
        let too_many = Malformed::TooMany { events_max: EVENTS_LIMIT };
        assert_eq!(split(&many(EVENTS_LIMIT + 1)), Err(too_many));
        let lines = "{}\n".repeat(EVENTS_LIMIT + 1);
        assert_eq!(split(&lines), Err(too_many));
        assert_eq!(split(&lines[3..]).map(|elements| elements.len()), Ok(EVENTS_LIMIT));
        let deep = format!("{{}}\n{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
        assert_eq!(split(&deep), Err(Malformed::TooDeep));
    }

    proptest! {
        #[test]
        fn a_serialized_array_splits_into_its_elements(
            elements in proptest::collection::vec(
                prop_oneof![
                    Just("{}".to_owned()),
                    Just("-0.0e1".to_owned()),
                    ".{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
                    ".{0,20}".prop_map(|text| serde_json::json!({ text: [1] }).to_string()),
                ],
                0..20,
            ),
            space in "[ \t\r\n]{0,3}",
        ) {
            let written = format!("{space}[{space}{}{space}]{space}", elements.join(&format!("{space},{space}")));
            prop_assert_eq!(split(&written).unwrap(), elements);
        }

        #[test]
        fn never_panics(text in "[\\[\\]{}\",:\\\\a1 \u{FEFF}]{0,40}") {
            let _ = split(&text);
        }
    }
}
