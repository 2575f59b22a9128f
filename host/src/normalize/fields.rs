//! Reads chosen keys of a JSON object, whatever stands in them.
//!
//! A value is kept as the text it was sent as and is understood only when asked, so that a key of
//! another type, a number beyond any range or a key that is there twice (the last counts) never
//! makes an event unreadable.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The value of a key; nothing when the key is missing or null.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field<'a>(Option<&'a str>);

impl<'a> Field<'a> {
    pub(super) fn new(json: &'a str) -> Self {
        Self(Some(json).filter(|json| *json != "null"))
    }

    /// As it was sent.
    pub(super) const fn raw(self) -> Option<&'a str> {
        self.0
    }

    pub(super) fn object(self) -> Option<&'a str> {
        self.0.filter(|json| json.starts_with('{'))
    }

    /// A string, or a number as written; nothing when it is empty or of another type.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let json = self.0?;
        let text = match json.as_bytes().first()? {
            b'"' => unquoted(json),
            b'-' | b'0'..=b'9' => Cow::Borrowed(json),
            _ => return None,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// A number; one beyond the range of `f64` is infinite.
    pub(super) fn number(self) -> Option<f64> {
        let json = self.0?;
        json.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
            .then(|| json.parse().ok())?
    }

    pub(super) fn is_true(self) -> bool {
        self.0 == Some("true")
    }

    /// This one, or `other` where this one is missing.
    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }
}

/// What a JSON string says. Halves of surrogate pairs, which no text can hold, become U+FFFD.
fn unquoted(json: &str) -> Cow<'_, str> {
    match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        _ => {
            let bytes: serde_bytes::ByteBuf = serde_json::from_str(json).unwrap_or_default();
            Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
        }
    }
}

/// Calls `take` with every key of an object and its value; with nothing when `json` is no object.
pub(super) fn read<'a>(json: &'a str, take: &mut dyn FnMut(&str, Field<'a>)) {
    // An error can only be a key that is no text: what was read before it stays.
    let _ = serde_json::Deserializer::from_str(json).deserialize_map(Object { take });
}

/// Calls `take` with the elements of an array up to the place `last`.
pub(super) fn read_list<'a>(json: &'a str, last: usize, take: &mut dyn FnMut(usize, Field<'a>)) {
    // An error can only be the end after `last`: what was read before it stays.
    let _ = serde_json::Deserializer::from_str(json).deserialize_seq(List { last, take });
}

/// Declares a struct with a [`Field`] for each key of that name, read by `of`. A key that Rust does
/// not take as a name is written beside it: `type_ = "type"`.
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

struct List<'a, 'f> {
    last: usize,
    take: &'f mut dyn FnMut(usize, Field<'a>),
}

impl<'de> Visitor<'de> for List<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        for place in 0..=self.last {
            let Some(value) = array.next_element::<&RawValue>()? else { break };
            (self.take)(place, Field::new(value.get()));
        }
        Ok(())
    }
}

struct Object<'a, 'f> {
    take: &'f mut dyn FnMut(&str, Field<'a>),
}

impl<'de> Visitor<'de> for Object<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some((Key(key), value)) = object.next_entry::<Key<'de>, &RawValue>()? {
            (self.take)(&key, Field::new(value.get()));
        }
        Ok(())
    }
}

/// A key, copied only where it holds escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        input.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fields! {
        struct Sample { a, b, type_ = "type" }
    }

    #[test]
    fn reads_what_is_there_and_skips_the_rest() {
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
    fn a_key_that_is_no_text_ends_the_reading_but_keeps_what_was_read() {
        let sample = Sample::of(r#"{"a": 1, "\ud800": 2, "b": 3}"#);
        assert_eq!(sample.a.raw(), Some("1"));
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
    fn a_number_is_no_string_and_may_be_of_any_size() {
        assert_eq!(Field::new("50").number(), Some(50.0));
        assert_eq!(Field::new("-2.5e1").number(), Some(-25.0));
        assert_eq!(Field::new("1e400").number(), Some(f64::INFINITY));
        for json in ["\"50\"", "null", "true", "[1]", "{}"] {
            assert_eq!(Field::new(json).number(), None, "{json}");
        }
    }
}
