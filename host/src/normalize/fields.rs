//! Reads chosen keys of a JSON object, whatever their values are.
//!
//! A value is kept as the text that was sent and parsed only on demand, so a value of an unexpected type, a
//! number out of range or a key that appears twice (the last counts) never makes an event unreadable.

use std::borrow::Cow;

use memchr::memchr2;

/// The value of a key; null counts as nothing, as if the key were missing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field<'a>(Option<&'a str>);

impl<'a> Field<'a> {
    pub(super) fn new(json: &'a str) -> Self {
        Self(Some(json))
    }

    /// The text as sent.
    pub(super) fn raw(self) -> Option<&'a str> {
        self.0.filter(|json| *json != "null")
    }

    /// Whether the key is there, even with the value null.
    pub(super) const fn is_there(self) -> bool {
        self.0.is_some()
    }

    pub(super) fn object(self) -> Option<&'a str> {
        self.0.filter(|json| json.starts_with('{'))
    }

    /// A string, or a number as written; nothing if it is empty or has another type.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let json = self.0?;
        let text = match json.as_bytes().first()? {
            b'"' => unquoted(json),
            b'-' | b'0'..=b'9' => Cow::Borrowed(json),
            _ => return None,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// A number; infinite if it is out of the range of `f64`.
    pub(super) fn number(self) -> Option<f64> {
        let json = self.0?;
        json.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
            .then(|| json.parse().ok())?
    }

    pub(super) fn is_true(self) -> bool {
        self.0 == Some("true")
    }

    /// This field, or `other` if this one is missing.
    pub(super) fn or(self, other: Self) -> Self {
        if self.raw().is_some() { self } else { other }
    }
}

/// The text of a JSON string. Halves of surrogate pairs, which text cannot hold, become U+FFFD.
fn unquoted(json: &str) -> Cow<'_, str> {
    match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        _ => {
            let bytes: serde_bytes::ByteBuf = serde_json::from_str(json).unwrap_or_default();
            Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
        }
    }
}

/// Calls `take` with every key of an object and its value; does nothing if `json` is not an object. The
/// body was checked to be JSON when it was split, so here it is enough to find where each value ends.
pub(super) fn read<'a>(json: &'a str, take: &mut dyn FnMut(&str, Field<'a>)) {
    if !json.starts_with('{') {
        return;
    }
    let mut at = 1;
    while let Some((key, value, end)) = member(json, at) {
        let Some(key) = text_of_key(key) else { return };
        take(&key, Field::new(value));
        at = end;
    }
}

/// Calls `take` with the elements of an array up to index `last`.
pub(super) fn read_list<'a>(json: &'a str, last: usize, take: &mut dyn FnMut(usize, Field<'a>)) {
    let bytes = json.as_bytes();
    let mut at = 1;
    for place in 0..=last {
        let from = space_end(bytes, at);
        let end = value_end(bytes, from);
        let Some(value) = json.get(from..end).filter(|v| !matches!(*v, "" | "]")) else { return };
        take(place, Field::new(value));
        // After it comes a comma, or the array ends.
        at = space_end(bytes, end);
        if bytes.get(at) != Some(&b',') {
            return;
        }
        at += 1;
    }
}

/// The next member: its key without quotes, its value, and the position after it.
fn member(json: &str, from: usize) -> Option<(&str, &str, usize)> {
    let bytes = json.as_bytes();
    let mut start = space_end(bytes, from);
    if bytes.get(start) == Some(&b',') {
        start = space_end(bytes, start + 1);
    }
    if bytes.get(start) != Some(&b'"') {
        return None;
    }
    let key_end = text_end(bytes, start + 1);
    // A colon is between the two.
    let value = space_end(bytes, space_end(bytes, key_end) + 1);
    let end = value_end(bytes, value);
    Some((json.get(start + 1..key_end - 1)?, json.get(value..end)?, end))
}

/// `None` for a key that text cannot hold, because it contains half of a surrogate pair.
fn text_of_key(key: &str) -> Option<Cow<'_, str>> {
    if !key.contains('\\') {
        return Some(Cow::Borrowed(key));
    }
    serde_json::from_str(&format!("\"{key}\"")).ok().map(Cow::Owned)
}

fn space_end(json: &[u8], from: usize) -> usize {
    let rest = json.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// The position after the value that starts at `from`.
fn value_end(json: &[u8], from: usize) -> usize {
    let mut depth = 0usize;
    let mut at = from;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => at = text_end(json, at),
            b'{' | b'[' => {
                depth += 1;
                continue;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ if depth > 0 => continue,
            _ => {
                let rest = json.get(at..).unwrap_or_default();
                let ends =
                    |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                return at + rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The position after a string's closing quote; `from` is after the opening one.
fn text_end(json: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(rest) = json.get(at..)
        && let Some(place) = memchr2(b'"', b'\\', rest)
    {
        if rest[place] == b'"' {
            return at + place + 1;
        }
        // Skip the escaped character, which may be a quote.
        at += place + 2;
    }
    json.len()
}

/// Declares a struct with a [`Field`] for each key, read by `of`. A key that is not a valid name in Rust
/// is written beside it: `type_ = "type"`.
macro_rules! fields {
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    ($(#[$meta:meta])* struct $name:ident { $($field:ident $(= $key:literal)?),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Default)]
        struct $name<'a> { $($field: $crate::normalize::fields::Field<'a>),+ }

        impl<'a> $name<'a> {
            fn of(json: &'a str) -> Self {
                let mut fields = Self::default();
                $crate::normalize::fields::read(json, &mut |key, value| match key {
                    $($crate::normalize::fields::fields!(@key $field $($key)?) => fields.$field = value,)+
                    _ => {}
                });
                fields
            }
        }
    };
}
pub(super) use fields;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fields! {
        struct Sample { a, b, type_ = "type" }
    }

    #[test]
    fn reads_the_declared_keys_and_skips_the_rest() {
        let sample =
            Sample::of(r#"{"x": [1e400], "a": "one", "b": {"a": 2}, "a": "t\u0077o", "type": 3}"#);
        assert_eq!(sample.a.text().as_deref(), Some("two"));
        assert_eq!(sample.b.object(), Some(r#"{"a": 2}"#));
        assert_eq!(sample.type_.raw(), Some("3"));
        for no_object in ["[]", "1", "null", "\"a\""] {
            assert_eq!(Sample::of(no_object).a.raw(), None);
        }
    }

    #[test]
    fn an_unreadable_key_ends_the_reading_and_keeps_what_was_read() {
        let sample = Sample::of(r#"{"a": 1, "\ud800": 2, "b": 3}"#);
        assert_eq!(sample.a.raw(), Some("1"));
    }

    proptest! {
        #[test]
        fn finds_the_same_members_as_a_parser(
            members in proptest::collection::vec((".{0,24}", json()), 0..6),
            space in "[ \\t\\r\\n]{0,2}",
        ) {
            let written: Vec<_> = members.iter().map(|(key, value)| {
                let key = serde_json::to_string(key).unwrap();
                format!("{space}{key}{space}:{space}{value}{space}")
            }).collect();
            let mut found = Vec::new();
            read(&format!("{{{}}}", written.join(",")), &mut |key, value| {
                found.push((key.to_owned(), value.0.unwrap_or("null").to_owned()));
            });
            prop_assert_eq!(found, members);
        }

        #[test]
        fn invalid_json_is_read_without_a_panic(text in "[{}\\[\\]\",:\\\\ a1é]{0,40}") {
            read(&text, &mut |_, _| {});
            read(&format!("{{{text}"), &mut |_, _| {});
        }
    }

    /// Any value as text, compact or with white space.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just(serde_json::json!(null)),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,40}".prop_map(Into::into),
            "[\"\\\\{}\\[\\],:]{0,20}".prop_map(Into::into),
        ];
        let value = leaf.prop_recursive(4, 16, 4, |inner| {
            let key = "[a\"\\\\{\\]]{0,4}";
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                proptest::collection::btree_map(key, inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        });
        (value, any::<bool>()).prop_map(|(value, pretty)| match pretty {
            true => format!("{value:#}"),
            false => value.to_string(),
        })
    }

    #[test]
    fn text_is_a_string_or_a_number() {
        for (json, expected) in [
            (r#""plain""#, Some("plain")),
            (r#""a\"b\\""#, Some("a\"b\\")),
            (r#""\ud83d\ude00""#, Some("😀")),
            (r#""half \ud800""#, Some("half \u{FFFD}")),
            ("12345678901234567890123", Some("12345678901234567890123")),
            ("-0.0", Some("-0.0")),
            (r#""""#, None),
            ("null", None),
            ("true", None),
            ("[\"a\"]", None),
            ("{}", None),
        ] {
            let text = Field::new(json).text();
            // A broken half may become one or several replacement characters.
            let text = text.map(|t| t.trim_end_matches('\u{FFFD}').to_owned());
            let expected = expected.map(|t| t.trim_end_matches('\u{FFFD}').to_owned());
            assert_eq!(text, expected, "{json}");
        }
    }

    #[test]
    fn a_number_may_have_any_size_and_a_string_is_not_one() {
        assert_eq!(Field::new("50").number(), Some(50.0));
        assert_eq!(Field::new("-2.5e1").number(), Some(-25.0));
        assert_eq!(Field::new("1e400").number(), Some(f64::INFINITY));
        for json in ["\"50\"", "null", "true", "[1]", "{}"] {
            assert_eq!(Field::new(json).number(), None, "{json}");
        }
    }
}
