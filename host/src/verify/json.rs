//! Finds texts in a JSON body without building the rest.
//!
//! One pass gives the values at any number of pointers. Linear, without recursion over the input: only a pointer leads
//! deeper. A name that appears twice on the path gives nothing, because it is unclear which one the vendor meant and
//! which one later readers will use.

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Whether the body is one JSON object or array, after a byte order mark and white space or not. No proper part of such
/// a body that ends where it ends is one.
pub(super) fn is_document(body: &[u8]) -> bool {
    let body = body.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(body);
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
        && serde_json::from_slice::<&RawValue>(body).is_ok()
}

/// The string or number at a pointer such as `/signature/token`, through objects, and through lists of one element.
pub(super) fn text_at<'b>(body: &'b [u8], pointer: &str) -> Option<Cow<'b, str>> {
    text_of(likely_at(body, pointer)?).ok()?
}

/// The same; true and false are texts, too.
pub(super) fn text_or_truth_at<'b>(body: &'b [u8], pointer: &str) -> Option<Cow<'b, str>> {
    match likely_at(body, pointer)? {
        truth @ ("true" | "false") => Some(Cow::Borrowed(truth)),
        value => text_of(value).ok()?,
    }
}

/// The place of the first element of a list, in a pointer.
pub(super) const FIRST: &str = "0";

/// There is something else where a text or a number should be, or a name or an element more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear;

/// The strings or numbers at these pointers, in order, by one pass; `None` if there is nothing, or null.
pub(super) fn values_at<'b>(
    body: &'b [u8],
    pointers: &[&str],
) -> Vec<Result<Option<Cow<'b, str>>, Unclear>> {
    let value = |found: Found<'b>| found?.map_or(Ok(None), text_of);
    all_at(body, pointers).into_iter().map(value).collect()
}

/// A JSON value as text: a string, or a number as it is written; `None` for null.
fn text_of(value: &str) -> Result<Option<Cow<'_, str>>, Unclear> {
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

/// The JSON at a pointer. A body that cannot have it, the usual case, is not parsed.
fn likely_at<'b>(body: &'b [u8], pointer: &str) -> Option<&'b str> {
    let names = || pointer.split('/').skip(1).filter(|name| *name != FIRST);
    if !names().all(|name| may_name(body, name)) {
        return None;
    }
    all_at(body, &[pointer]).pop()?.ok()?
}

/// Whether there may be a member of this name: it is there in quotes, or an escape that could be a part of it.
fn may_name(body: &[u8], name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"/\\".contains(&byte);
    let is_quoted = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| body.get(at));
        before == Some(&b'"') && body.get(at + name.len()) == Some(&b'"')
    };
    let is_graphic = |at: usize| matches!(body.get(at + 4), Some(b'2'..=b'7'));
    name.is_empty()
        || name.contains('~')
        || !name.bytes().all(plain)
        || memmem::find_iter(body, name).any(is_quoted)
        || memmem::find_iter(body, br"\u00").any(is_graphic)
}

/// The JSON at a pointer; `None` if there is none.
type Found<'b> = Result<Option<&'b str>, Unclear>;

/// A name of a pointer, in which `~1` stands for a slash and `~0` for a tilde.
pub(super) fn unescaped(written: &str) -> String {
    written.replace("~1", "/").replace("~0", "~")
}

/// Whether a name of a pointer is that name.
pub(super) fn is_named(written: &str, name: &str) -> bool {
    if written.contains('~') { unescaped(written) == name } else { written == name }
}

/// The JSON at each of these pointers, in order.
fn all_at<'b>(body: &'b [u8], pointers: &[&str]) -> Vec<Found<'b>> {
    #[cfg(test)]
    PASSES.set(PASSES.get() + 1);
    let unclear = || vec![Err(Unclear); pointers.len()];
    let mut found = vec![Ok(None); pointers.len()];
    let mut paths = Vec::with_capacity(pointers.len());
    for (number, pointer) in pointers.iter().enumerate() {
        match pointer.strip_prefix('/') {
            Some(rest) => paths.push(Path { number, rest: Some(rest) }),
            None => found[number] = Err(Unclear),
        }
    }
    let Ok(text) = std::str::from_utf8(body) else { return unclear() };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Values { paths, found: &mut found }.deserialize(&mut json).and_then(|()| json.end());
    if read.is_err() { unclear() } else { found }
}

#[cfg(test)]
thread_local! {
    /// How many times this thread has parsed a body.
    pub(super) static PASSES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A string without escapes.
#[derive(serde::Deserialize)]
struct Borrowed<'b>(&'b str);

/// What of a pointer is still ahead.
#[derive(Clone, Copy)]
struct Path<'p> {
    /// Its place among the results.
    number: usize,
    /// `None` if it leads no further.
    rest: Option<&'p str>,
}

impl<'p> Path<'p> {
    /// The next name.
    fn name(self) -> Option<&'p str> {
        self.rest.map(|rest| rest.split_once('/').map_or(rest, |(name, _)| name))
    }

    /// Whether that is the next name.
    fn is_next(self, name: &str) -> bool {
        self.name().is_some_and(|next| is_named(next, name))
    }

    /// The path behind the next name.
    fn step(self) -> Self {
        let behind = self.rest.and_then(|rest| rest.split_once('/'));
        Self { rest: behind.map(|(_, behind)| behind), ..self }
    }
}

/// Finds the values at these paths inside one value.
struct Values<'f, 'p, 'b> {
    paths: Vec<Path<'p>>,
    found: &'f mut [Found<'b>],
}

impl Values<'_, '_, '_> {
    /// Removes the paths that are not wanted, and marks them as unclear.
    fn keep(&mut self, wanted: impl Fn(Path<'_>) -> bool) {
        let found = &mut *self.found;
        self.paths.retain(|path| {
            let is_wanted = wanted(*path);
            if !is_wanted {
                found[path.number] = Err(Unclear);
            }
            is_wanted
        });
    }

    fn unclear(mut self) {
        self.keep(|_| false);
    }
}

impl<'de> DeserializeSeed<'de> for Values<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(mut self, value: D) -> Result<(), D::Error> {
        if self.paths.iter().all(|path| path.rest.is_some()) {
            return value.deserialize_any(self);
        }
        let value = <&RawValue>::deserialize(value)?.get();
        for path in self.paths.iter().filter(|path| path.rest.is_none()) {
            self.found[path.number] = Ok(Some(value));
        }
        // A value is wanted as a text, so no other path leads through it.
        self.keep(|path| path.rest.is_none() || value == "null");
        Ok(())
    }
}

impl<'de> Visitor<'de> for Values<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        // A sender takes its events from a list only, so the member "0" of an object is not the first of them.
        self.keep(|path| path.name() != Some(FIRST));
        let mut seen = vec![false; self.paths.len()];
        while let Some(meant) = map.next_key_seed(Meant(&self.paths))? {
            let paths: Vec<_> = meant.iter().map(|at| self.paths[*at].step()).collect();
            // They all have this name, so all of them were seen before, or none.
            let is_again = meant.iter().any(|at| std::mem::replace(&mut seen[*at], true));
            let inner = Values { paths, found: &mut *self.found };
            if is_again {
                inner.unclear();
                map.next_value::<IgnoredAny>()?;
            } else if inner.paths.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(inner)?;
            }
        }
        Ok(())
    }

    /// A list must have one element.
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.keep(|path| path.name() == Some(FIRST));
        let paths = self.paths.iter().map(|path| path.step()).collect();
        let first = list.next_element_seed(Values { paths, found: &mut *self.found })?;
        let mut is_only = first.is_some();
        while list.next_element::<IgnoredAny>()?.is_some() {
            is_only = false;
        }
        if !is_only {
            self.unclear();
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.unclear();
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.unclear();
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.unclear();
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.unclear();
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.unclear();
        Ok(())
    }
}

/// Reads a name: the places of the paths that it is the next name of.
struct Meant<'f, 'p>(&'f [Path<'p>]);

impl<'de> DeserializeSeed<'de> for Meant<'_, '_> {
    type Value = Vec<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, name: D) -> Result<Vec<usize>, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Meant<'_, '_> {
    type Value = Vec<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Vec<usize>, E> {
        let meant = |(at, path): (usize, &Path<'_>)| path.is_next(name).then_some(at);
        Ok(self.0.iter().enumerate().filter_map(meant).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(body: &str, pointers: &[&str]) -> Vec<Result<Option<String>, Unclear>> {
        let owned =
            |value: Result<Option<Cow<'_, str>>, _>| value.map(|text| text.map(Cow::into_owned));
        values_at(body.as_bytes(), pointers).into_iter().map(owned).collect()
    }

    #[test]
    fn finds_one_text_or_number_and_nothing_ambiguous() {
        for (body, pointer, text) in [
            (r#"{"a": "x", "b": 1}"#, "/a", Some("x")),
            (r#"{"a": "x", "b": 17}"#, "/b", Some("17")),
            (r#"{"a": {"b": "\u0041\n"}}"#, "/a/b", Some("A\n")),
            (r#"{"\u0061": "x"}"#, "/a", Some("x")),
            (r#"{"a/b~": {"c": "x"}}"#, "/a~1b~0/c", Some("x")),
            (r#"{"~1": "x", "/": "y"}"#, "/~01", Some("x")),
            (r#"{"a~1b": "x"}"#, "/a~1b", None),
            (r#"{"a": "x", "a": "y"}"#, "/a", None),
            (r#"{"a": "x", "\u0061": "y"}"#, "/a", None),
            (r#"{"a": null}"#, "/a", None),
            (r#"{"a": ["x"]}"#, "/a/0", Some("x")),
            (r#"{"a": [{"b": 1}]}"#, "/a/0/b", Some("1")),
            (r#"{"a": ["x", "y"]}"#, "/a/0", None),
            (r#"{"a": ["x"]}"#, "/a/1", None),
            (r#"{"a": ["x"]}"#, "/a/00", None),
            (r#"{"a": []}"#, "/a/0", None),
            (r#"{"a": {"0": "x"}}"#, "/a/0", None),
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
            assert_eq!(
                values(body, &["/a"]),
                [value.map(|text| text.map(str::to_owned))],
                "{body}"
            );
        }
        let deep =
            format!("{{\"b\": {}{}, \"a\": \"x\"}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(text_at(deep.as_bytes(), "/a").as_deref(), Some("x"));
    }

    #[test]
    fn one_pass_finds_all_values() {
        let body = r#"{"l":[{"i":{"a":"x","b":{"c":1,"d":null},"e":"1","e":"2"}}],"z":true}"#;
        let pointers =
            ["/l/0/i/b/c", "/l/0/i/a", "/l/0/i/b/d", "/l/0/i/e", "/z", "/y", "/l/0/i/a", "l"];
        PASSES.set(0);
        let text = |text: &str| Ok(Some(text.to_owned()));
        let expected = [
            text("1"),
            text("x"),
            Ok(None),
            Err(Unclear),
            Err(Unclear),
            Ok(None),
            text("x"),
            Err(Unclear),
        ];
        assert_eq!(values(body, &pointers), expected);
        assert_eq!(PASSES.get(), 1);
    }

    #[test]
    fn a_body_without_the_names_is_not_parsed() {
        for (body, pointer, found, passes) in [
            (r#"{"a":"test","latest":1,"c":"\u00e9 \u0019\n"}"#, "/b/0/x", None, 0),
            (r#"{"latest":1,"tests":2}"#, "/test", None, 0),
            (r#"{"test":1}"#, "/test/x", None, 0),
            (r#"{"test":1}"#, "/test", Some("1"), 1),
            (r#"{"test":true}"#, "/test", Some("true"), 1),
            (r#"{"te\u0073t":1}"#, "/test", Some("1"), 1),
            (r#"{"test":{"x":"y"}}"#, "/test/x", Some("y"), 1),
        ] {
            PASSES.set(0);
            assert_eq!(text_or_truth_at(body.as_bytes(), pointer).as_deref(), found, "{body}");
            assert_eq!(PASSES.get(), passes, "{body}");
        }
    }

    proptest! {
        /// Together the pointers find what each of them finds alone, and no check by bytes hides a value.
        #[test]
        fn pointers_do_not_disturb_each_other(
            body in r#"([{}\[\],:]|"a"|"b"|"0"|"\\u0061"|null|1|true|\{"a":|\{"b":|\[\{"a":| ){0,12}[}\]]{0,4}"#,
            pointers in proptest::collection::vec("(/a|/b|/0){1,3}", 1..5),
        ) {
            let pointers: Vec<&str> = pointers.iter().map(|pointer| &**pointer).collect();
            let together: Result<Vec<_>, _> = values(&body, &pointers).into_iter().collect();
            let alone: Result<Vec<_>, _> =
                pointers.iter().map(|pointer| values(&body, &[pointer]).remove(0)).collect();
            prop_assert_eq!(together, alone);
            for pointer in pointers {
                let found = text_at(body.as_bytes(), pointer).map(Cow::into_owned);
                prop_assert_eq!(found, values(&body, &[pointer]).remove(0).ok().flatten());
            }
        }
    }
}
