//! Finds one text in a JSON body without building the rest.
//!
//! Linear, without recursion over the input. A name that appears twice on the path gives nothing, because
//! it is unclear which one the vendor meant and which one later readers will use.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The string or number at a pointer such as `/signature/token`, through objects only.
pub(super) fn text_at<'b>(body: &'b [u8], pointer: &str) -> Option<Cow<'b, str>> {
    let mut value = std::str::from_utf8(body).ok()?;
    for name in pointer.strip_prefix('/')?.split('/') {
        let mut json = serde_json::Deserializer::from_str(value);
        let found = json.deserialize_map(Member(name)).ok()??;
        json.end().ok()?;
        value = found.get();
    }
    if value.starts_with('"') {
        return match serde_json::from_str::<Borrowed<'_>>(value) {
            Ok(Borrowed(text)) => Some(Cow::Borrowed(text)),
            Err(_) => serde_json::from_str(value).ok().map(Cow::Owned),
        };
    }
    value.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then_some(Cow::Borrowed(value))
}

/// A string without escapes.
#[derive(serde::Deserialize)]
struct Borrowed<'b>(&'b str);

/// The value of one member of an object.
struct Member<'n>(&'n str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_meant) = map.next_key_seed(NameIs(self.0))? {
            if !is_meant {
                map.next_value::<IgnoredAny>()?;
            } else if found.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom("appears twice"));
            }
        }
        Ok(found)
    }
}

struct NameIs<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for NameIs<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, name: D) -> Result<bool, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for NameIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_one_text_or_number_and_nothing_ambiguous() {
        for (body, pointer, text) in [
            (r#"{"a": "x", "b": 1}"#, "/a", Some("x")),
            (r#"{"a": "x", "b": 17}"#, "/b", Some("17")),
            (r#"{"a": {"b": "\u0041\n"}}"#, "/a/b", Some("A\n")),
            (r#"{"\u0061": "x"}"#, "/a", Some("x")),
            (r#"{"a": "x", "a": "y"}"#, "/a", None),
            (r#"{"a": "x", "\u0061": "y"}"#, "/a", None),
            (r#"{"a": null}"#, "/a", None),
            (r#"{"a": ["x"]}"#, "/a/0", None),
            (r#"{"b": "x"}"#, "/a", None),
            (r#"["a"]"#, "/a", None),
            (r#"{"a": "x"} {}"#, "/a", None),
            ("", "/a", None),
        ] {
            assert_eq!(text_at(body.as_bytes(), pointer).as_deref(), text, "{body}");
        }
        assert_eq!(text_at(b"{\"a\": \"\xff\"}", "/a"), None);
        let deep =
            format!("{{\"b\": {}{}, \"a\": \"x\"}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(text_at(deep.as_bytes(), "/a").as_deref(), Some("x"));
    }
}
