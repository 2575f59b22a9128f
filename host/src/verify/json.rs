//! Finds one text in a JSON body without building the rest.
//!
//! Linear, without recursion over the input. A name that appears twice on the path gives nothing, because
//! it is unclear which one the vendor meant and which one later readers will use.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The string or number at a pointer such as `/signature/token`, through objects, and through lists of one element.
pub(super) fn text_at<'b>(body: &'b [u8], pointer: &str) -> Option<Cow<'b, str>> {
    value_at(body, pointer).ok()?
}

/// The truth value at a pointer.
pub(super) fn truth_at(body: &[u8], pointer: &str) -> Option<bool> {
    raw_at(body, pointer).ok()??.parse().ok()
}

/// There is something else where a text or a number should be, or a name or an element more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear;

/// The string or number at a pointer; `None` if there is nothing, or null.
pub(super) fn value_at<'b>(body: &'b [u8], pointer: &str) -> Result<Option<Cow<'b, str>>, Unclear> {
    let Some(value) = raw_at(body, pointer)? else { return Ok(None) };
    match value.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<Borrowed<'_>>(value) {
            Ok(Borrowed(text)) => Ok(Some(Cow::Borrowed(text))),
            Err(_) => {
                serde_json::from_str(value).map(|text| Some(Cow::Owned(text))).map_err(|_| Unclear)
            }
        },
        Some(b'-' | b'0'..=b'9') => Ok(Some(Cow::Borrowed(value))),
        Some(b'n') => Ok(None),
        _ => Err(Unclear),
    }
}

/// The JSON at a pointer.
fn raw_at<'b>(body: &'b [u8], pointer: &str) -> Result<Option<&'b str>, Unclear> {
    let mut value = std::str::from_utf8(body).map_err(|_| Unclear)?;
    for name in pointer.strip_prefix('/').ok_or(Unclear)?.split('/') {
        if value == "null" {
            return Ok(None);
        }
        let found = if value.starts_with('[') { only(value, name)? } else { member(value, name)? };
        let Some(found) = found else { return Ok(None) };
        value = found;
    }
    Ok(Some(value))
}

/// The value of a member of an object; `None` if the object does not have it.
fn member<'b>(value: &'b str, name: &str) -> Result<Option<&'b str>, Unclear> {
    let mut json = serde_json::Deserializer::from_str(value);
    let found = json.deserialize_map(Member(name)).map_err(|_| Unclear)?;
    json.end().map_err(|_| Unclear)?;
    Ok(found.map(RawValue::get))
}

/// The element of a list that has no other.
fn only<'b>(value: &'b str, place: &str) -> Result<Option<&'b str>, Unclear> {
    if place != "0" {
        return Err(Unclear);
    }
    let [element]: [&RawValue; 1] = serde_json::from_str(value).map_err(|_| Unclear)?;
    Ok(Some(element.get()))
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
            (r#"{"a": ["x"]}"#, "/a/0", Some("x")),
            (r#"{"a": [{"b": 1}]}"#, "/a/0/b", Some("1")),
            (r#"{"a": ["x", "y"]}"#, "/a/0", None),
            (r#"{"a": ["x"]}"#, "/a/1", None),
            (r#"{"a": ["x"]}"#, "/a/00", None),
            (r#"{"a": []}"#, "/a/0", None),
            (r#"{"a": {"0": "x"}}"#, "/a/0", Some("x")),
            (r#"{"a": true}"#, "/a", None),
            (r#"{"b": "x"}"#, "/a", None),
            (r#"["a"]"#, "/a", None),
            (r#"{"a": "x"} {}"#, "/a", None),
            ("", "/a", None),
        ] {
            assert_eq!(text_at(body.as_bytes(), pointer).as_deref(), text, "{body}");
        }
        assert_eq!(text_at(b"{\"a\": \"\xff\"}", "/a"), None);
        for (body, value) in [
            (r#"{"a": true}"#, Err(Unclear)),
            (r#"{"a": "false"}"#, Ok(Some("false"))),
            (r#"{"a": -1.0}"#, Ok(Some("-1.0"))),
            (r#"{"a": ""}"#, Ok(Some(""))),
            (r#"{"a": null}"#, Ok(None)),
            ("null", Ok(None)),
            ("{}", Ok(None)),
            (r#"{"a": {}}"#, Err(Unclear)),
            (r#"{"a": []}"#, Err(Unclear)),
            (r#"{"a": 1, "a": 1}"#, Err(Unclear)),
            (r#"{"a": tru}"#, Err(Unclear)),
            (r#"{"a": nul}"#, Err(Unclear)),
            ("", Err(Unclear)),
        ] {
            let found = value_at(body.as_bytes(), "/a");
            assert_eq!(
                found.as_ref().map(|value| value.as_deref()),
                value.as_ref().map(|v| *v),
                "{body}"
            );
        }
        let deep =
            format!("{{\"b\": {}{}, \"a\": \"x\"}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(text_at(deep.as_bytes(), "/a").as_deref(), Some("x"));
    }
}
