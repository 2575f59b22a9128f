//! Views a body as a JSON document: the body itself, or a document made from a form, for reading only.
//!
//! A body that begins like JSON is JSON, whatever its content type: many tools declare everything a form. If
//! the signature covers the body, its bytes alone decide what else it is ([`Reading`]): its content type is not
//! signed, so anyone could send a captured request again with another one.

use http::header::CONTENT_TYPE;

use super::form;
use super::malformed::Malformed;
use super::sender::Sender;
use super::split::{SPACE, split};
use crate::model::SignedBody;

/// How a body is read.
pub(super) enum View<'a> {
    /// The body itself; its events are slices of it.
    Json(&'a str),
    /// Made from a form; the whole body is one event.
    Form(String),
    /// Bytes in another format.
    Opaque,
}

/// What decides how a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The headers may: no signature covers the body.
    Headers,
    /// Its bytes alone, compression included.
    Bytes,
    /// Nothing: it is a form, whose fields are signed in sorted order.
    SortedForm,
}

impl Sender {
    /// How the body of a request with this query is read.
    #[must_use]
    pub fn reading(&self, query: Option<&str>) -> Reading {
        match &self.signed_body {
            None => Reading::Headers,
            Some(SignedBody::Bytes | SignedBody::Values(_)) => Reading::Bytes,
            Some(SignedBody::SortedForm) => {
                let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
                let has_hash = pairs.any(|(name, _)| name == "bodySHA256");
                if has_hash { Reading::Bytes } else { Reading::SortedForm }
            }
        }
    }
}

/// Whether the bytes alone show that this is JSON or a form.
#[must_use]
pub fn is_readable(body: &[u8]) -> bool {
    let body = unmarked(body);
    if begins_like_json(body) {
        let text = std::str::from_utf8(body);
        return text.is_ok_and(|text| split(text.trim_matches(SPACE)).is_ok());
    }
    matches!(form::recognized(body), Some(Ok(_)))
}

/// Some programs write it in front of UTF-8, and it says nothing.
const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

pub(super) fn unmarked(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

pub(super) fn begins_like_json(body: &[u8]) -> bool {
    let begins = body.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    matches!(begins, Some(b'{' | b'['))
}

pub(super) fn view<'a>(
    reading: Reading,
    headers: &http::HeaderMap,
    body: &'a [u8],
    any_body: bool,
) -> Result<View<'a>, Malformed> {
    let body = unmarked(body);
    if !begins_like_json(body) {
        let form = match reading {
            Reading::Headers => declared(headers, body),
            Reading::Bytes | Reading::SortedForm => form::recognized(body),
        };
        match form {
            // Any text may begin like a form in parts.
            Some(Err(Malformed::Truncated)) if any_body && reading != Reading::Headers => {}
            Some(form) => return form.map(View::Form),
            None => {}
        }
        if any_body {
            return Ok(View::Opaque);
        }
    }
    match std::str::from_utf8(body) {
        Ok(text) => Ok(View::Json(text)),
        Err(_) if any_body => Ok(View::Opaque),
        Err(error) => Err(Malformed::NotUtf8 { at: error.valid_up_to() }),
    }
}

/// The form that the content type declares.
fn declared(headers: &http::HeaderMap, body: &[u8]) -> Option<Result<String, Malformed>> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok())?;
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let kind = kind.trim();
    if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") && !body.is_empty() {
        return Some(form::fields(body));
    }
    kind.eq_ignore_ascii_case("multipart/form-data").then(|| form::declared(parameters, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::malformed::FORM_FIELDS_MAX;
    use proptest::prelude::*;

    fn seen(content_type: &str, body: &str, any_body: bool) -> Result<String, Malformed> {
        let mut headers = http::HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        shown(view(Reading::Headers, &headers, body.as_bytes(), any_body))
    }

    fn shown(view: Result<View<'_>, Malformed>) -> Result<String, Malformed> {
        Ok(match view? {
            View::Json(text) => format!("json {text}"),
            View::Form(text) => format!("form {text}"),
            View::Opaque => "opaque".to_owned(),
        })
    }

    const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

    #[test]
    fn a_body_is_read_by_its_first_byte_and_then_by_its_content_type() {
        for (content_type, body, any_body, expected) in [
            ("application/json", "{}", false, "json {}"),
            ("application/json", "\u{FEFF}[{}]", false, "json [{}]"),
            (FORM, "\u{FEFF}a=1", false, r#"form {"a":"1"}"#),
            (FORM, " {\"a\":1}", false, "json  {\"a\":1}"),
            (FORM, "a=1&b=x%20y+z&a=2", false, r#"form {"a":"2","b":"x y z"}"#),
            (FORM, "payload=%7B%22a%22%3A1%7D", false, r#"form {"a":1}"#),
            (FORM, "payload=text", false, r#"form {"payload":"text"}"#),
            ("text/plain", "hello", false, "json hello"),
            ("text/plain", "hello", true, "opaque"),
            ("text/plain", "", true, "opaque"),
        ] {
            assert_eq!(seen(content_type, body, any_body).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn a_multipart_body_gives_fields_as_texts_and_files_by_name() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\ntwo\r\n\
                    --x\r\ncontent-disposition: form-data; name=\"f\"; filename=\"p.png\"\r\n\
                    Content-Type: image/png\r\n\r\n1234\r\n--x--\r\n";
        assert_eq!(
            seen("multipart/form-data; boundary=\"x\"", body, false).unwrap(),
            r#"form {"a":"one\r\ntwo","f":{"bytes":4,"content_type":"image/png","filename":"p.png"}}"#
        );
        let json = body.replace("image/png", "application/json; charset=utf-8");
        for (name, content, expected) in [
            ("f", "{\"b\": [1]}", r#"form {"a":"one\r\ntwo","f":{"b":[1]}}"#),
            ("f", "{\"b\": [1", r#"form {"a":"one\r\ntwo","f":"{\"b\": [1"}"#),
            ("payload", "{\"b\": [1]}", r#"form {"b": [1]}"#),
        ] {
            let json = json.replace("\"f\"", &format!("\"{name}\"")).replace("1234", content);
            let seen = seen("multipart/form-data; boundary=x", &json, false);
            assert_eq!(seen.unwrap(), expected, "{json}");
        }
        // Said to be JSON, but not even a text.
        let (start, end) = json.split_once("1234").unwrap();
        let bytes = [start.as_bytes(), b"\xff", end.as_bytes()].concat();
        let mut headers = http::HeaderMap::new();
        headers.insert(CONTENT_TYPE, "multipart/form-data; boundary=x".parse().unwrap());
        let seen_bytes = shown(view(Reading::Headers, &headers, &bytes, false)).unwrap();
        assert!(seen_bytes.contains(r#""bytes":1"#), "{seen_bytes}");
        for (content_type, body, expected) in [
            ("multipart/form-data", body, Malformed::NoBoundary),
            ("multipart/form-data; boundary=y", body, Malformed::Truncated),
            ("multipart/form-data; boundary=x", &body[..90], Malformed::Truncated),
        ] {
            assert_eq!(seen(content_type, body, false), Err(expected), "{content_type}");
        }
    }

    #[test]
    fn a_form_has_at_most_a_thousand_fields() {
        let fields = |count| vec!["a=1"; count].join("&");
        assert!(seen(FORM, &fields(FORM_FIELDS_MAX), false).is_ok());
        assert_eq!(seen(FORM, &fields(FORM_FIELDS_MAX + 1), false), Err(Malformed::TooManyFields));
    }

    fn by_bytes(body: &[u8], any_body: bool) -> Result<String, Malformed> {
        shown(view(Reading::Bytes, &http::HeaderMap::new(), body, any_body))
    }

    #[test]
    fn a_signed_body_is_read_by_its_bytes() {
        let parts = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n";
        let not_json = Malformed::NotJson { line: 1, column: 1 };
        for (body, expected, any) in [
            (" {\"a\":1}", Ok("json  {\"a\":1}"), "json  {\"a\":1}"),
            (
                "a=1&b=x%20y+z&a=2",
                Ok(r#"form {"a":"2","b":"x y z"}"#),
                r#"form {"a":"2","b":"x y z"}"#,
            ),
            ("payload=%7B%22a%22%3A1%7D", Ok(r#"form {"a":1}"#), r#"form {"a":1}"#),
            ("a[0]=https://x.example/?b=c", Ok(r#"form {"a[0]":"https://x.example/?b=c"}"#), ""),
            ("a=", Ok(r#"form {"a":""}"#), ""),
            (parts, Ok(r#"form {"a":"1"}"#), r#"form {"a":"1"}"#),
            // Texts that are nearly a form.
            ("a", Err(not_json), "opaque"),
            ("=a", Err(not_json), "opaque"),
            ("a=1&b", Err(not_json), "opaque"),
            ("a=1&&b=2", Err(not_json), "opaque"),
            ("cpu = 90%", Err(not_json), "opaque"),
            ("load=90% now", Err(not_json), "opaque"),
            ("a=%zz", Err(not_json), "opaque"),
            ("a=\"b\"", Err(not_json), "opaque"),
            ("a=1\n", Err(not_json), "opaque"),
            ("--x", Err(not_json), "opaque"),
            ("--bb--", Err(not_json), "opaque"),
            ("--x\r\n", Err(Malformed::Truncated), "opaque"),
            ("--x\r\nhello\r\n\r\nworld", Err(Malformed::Truncated), "opaque"),
        ] {
            let read = by_bytes(body.as_bytes(), false);
            let is_json = matches!(read, Ok(ref view) if view == &format!("json {body}"));
            // A text that is not JSON is refused when it is split.
            let read = if is_json { split(body).map(|_| read.unwrap()) } else { read };
            let is_refused = matches!(read, Err(Malformed::NotJson { .. } | Malformed::Truncated));
            match expected {
                Ok(expected) => assert_eq!(read.as_deref(), Ok(expected), "{body}"),
                Err(_) => assert!(is_refused, "{body}: {read:?}"),
            }
            if !any.is_empty() {
                assert_eq!(by_bytes(body.as_bytes(), true).as_deref(), Ok(any), "{body}");
            }
        }
    }

    proptest! {
        /// Whatever the headers say, the bytes decide.
        #[test]
        fn no_header_changes_how_a_signed_body_is_read(
            body in "(--x|\r\n|name=|;|:|\"|[{\\[a-z&=% ]){0,30}", any_body in any::<bool>(),
            content_type in "application/x-www-form-urlencoded|multipart/form-data; boundary=x|text/plain|[ -~]{0,20}",
        ) {
            let mut headers = http::HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            let read = shown(view(Reading::Bytes, &headers, body.as_bytes(), any_body));
            prop_assert_eq!(read, by_bytes(body.as_bytes(), any_body));
        }

        #[test]
        fn never_panics(body in "(--x|\r\n|name=|;|:|\"|[a-z&=%]){0,30}", form in any::<bool>()) {
            let _ = seen(if form { FORM } else { "multipart/form-data; boundary=x" }, &body, form);
        }
    }
}
