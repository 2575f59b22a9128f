//! Finds one text of a request outside its headers: in its JSON, in a field of its form, or in its query.
//!
//! A text that is there twice counts as missing, because it is unclear which one the vendor meant. The first bytes of
//! the body decide what it is: JSON, parts with a boundary, or a form. Linear in the request.

use std::borrow::Cow;

use super::scheme::Spot;
use super::{codec, json, url};
use crate::model::Request;

/// Longest boundary of a body in parts, in bytes (RFC 2046).
const BOUNDARY_BYTES_MAX: usize = 70;

impl Spot {
    /// For people: `the body at /token`.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Json(pointer) => format!("the body at {pointer}"),
            Self::Form(name) => format!("form field {name}"),
            Self::Query(name) => format!("query parameter {name}"),
        }
    }

    /// As it is written in a configuration.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Json(pointer) => format!("body:{pointer}"),
            Self::Form(name) => format!("form:{name}"),
            Self::Query(name) => format!("query:{name}"),
        }
    }

    fn text<'r>(&self, request: &'r Request) -> Option<Cow<'r, str>> {
        match self {
            Self::Json(pointer) => json::text_at(&request.body, pointer),
            Self::Form(name) => field(&request.body, name),
            Self::Query(name) => {
                let values = url::parameter(request.uri.query().unwrap_or_default(), name);
                single(values).and_then(|value| String::from_utf8(value).ok()).map(Cow::Owned)
            }
        }
    }
}

/// The text in the first of these spots that has one.
pub(super) fn text<'r>(spots: &[Spot], request: &'r Request) -> Option<Cow<'r, str>> {
    spots.iter().find_map(|spot| spot.text(request))
}

/// All of them, for people.
pub(super) fn shown(spots: &[Spot]) -> String {
    spots.iter().map(Spot::shown).collect::<Vec<_>>().join(" or ")
}

/// Whether the body consists of parts, each with its own headers.
pub(super) fn is_multipart(body: &[u8]) -> bool {
    delimiter(body).is_some()
}

/// The value of a field that a form has once.
fn field<'b>(body: &'b [u8], name: &str) -> Option<Cow<'b, str>> {
    if let Some(delimiter) = delimiter(body) {
        return single(parts(body, delimiter).filter_map(|part| value_of(part, name)))
            .and_then(|value| std::str::from_utf8(value).ok())
            .map(Cow::Borrowed);
    }
    if matches!(body.first(), Some(b'{' | b'[')) {
        return None;
    }
    let value = |field: &[u8]| {
        let end = field.iter().position(|byte| *byte == b'=')?;
        let is_meant = codec::unescape(&field[..end], true) == name.as_bytes();
        is_meant.then(|| codec::unescape(&field[end + 1..], true))
    };
    let found = single(body.split(|byte| *byte == b'&').filter_map(value))?;
    String::from_utf8(found).ok().map(Cow::Owned)
}

/// The only one; `None` if there are none or several.
fn single<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

/// The first line of a body in parts: `--BOUNDARY`.
fn delimiter(body: &[u8]) -> Option<&[u8]> {
    let line = body.get(..body.len().min(BOUNDARY_BYTES_MAX + 4))?;
    let end = line.windows(2).position(|end| end == b"\r\n")?;
    Some(&line[..end]).filter(|line| line.len() > 2 && line.starts_with(b"--"))
}

/// The parts between the delimiters, each with its headers.
fn parts<'b>(body: &'b [u8], delimiter: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
    let between = [b"\r\n", delimiter].concat();
    let mut rest = body.get(delimiter.len()..).unwrap_or_default();
    std::iter::from_fn(move || {
        let part = rest.strip_prefix(b"\r\n")?;
        let end = memchr::memmem::find(part, &between)?;
        rest = &part[end + between.len()..];
        Some(&part[..end])
    })
}

/// The content of a part that is a field with this name and no file.
fn value_of<'b>(part: &'b [u8], name: &str) -> Option<&'b [u8]> {
    let end = memchr::memmem::find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let disposition = head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let parameter = |wanted: &str| {
        disposition.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
        })
    };
    let is_meant = parameter("name") == Some(name) && parameter("filename").is_none();
    is_meant.then(|| &part[end + 4..])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::Method;

    use super::*;
    use crate::model::Timestamp;

    fn found(spots: &[Spot], query: &str, body: &str) -> Option<String> {
        let request = Request {
            source: Arc::from("a"),
            method: Method::POST,
            uri: format!("/a?{query}").parse().unwrap(),
            headers: http::HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            received_at: Timestamp::default(),
        };
        text(spots, &request).map(Cow::into_owned)
    }

    #[test]
    fn a_text_is_found_where_it_is_once() {
        let form = [Spot::Form("token".into())];
        let parts = "--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nx y\r\n--b\r\n\
                     content-disposition: form-data; name=\"f\"; filename=\"token\"\r\n\r\n1\r\n--b--\r\n";
        for (body, expected) in [
            ("a=1&token=x%20y+z", Some("x y z")),
            ("%74oken=x", Some("x")),
            ("token=", Some("")),
            ("token=x&token=x", None),
            ("token", None),
            ("{\"token\":\"x\"}", None),
            ("{&token=x", None),
            (parts, Some("x y")),
            (&parts.replace("\"f\"; filename=\"token\"", "\"token\""), None),
            (&parts.replace("name=\"token\"\r", "name=\"token\"; filename=\"a\"\r"), None),
            (
                &parts.replace("--b\r\ncontent", "--c\r\ncontent"),
                Some(
                    "x y\r\n--c\r\ncontent-disposition: form-data; name=\"f\"; filename=\"token\"\r\n\r\n1",
                ),
            ),
            (&parts[..60], None),
            ("", None),
        ] {
            assert_eq!(found(&form, "", body).as_deref(), expected, "{body}");
        }
        let all = [Spot::Json("/a/b".into()), Spot::Form("b".into()), Spot::Query("b".into())];
        assert_eq!(found(&all, "b=q", "{\"a\":{\"b\":7}}").as_deref(), Some("7"));
        assert_eq!(found(&all, "b=q", "b=f").as_deref(), Some("f"));
        assert_eq!(found(&all, "b=q%2F", "").as_deref(), Some("q/"));
        assert_eq!(found(&all, "b=q&b=q", ""), None);
        assert_eq!(shown(&all), "the body at /a/b or form field b or query parameter b");
    }
}
