//! Views a body as a JSON document: the body itself, or a document made from a form, for reading only.
//!
//! A body that begins like JSON is JSON, whatever its content type: many tools declare everything a form.
//! Each field of a form becomes a key with a text; a field `payload` that holds JSON is the document itself
//! (GitHub, Slack). Of a file in a multipart body, only name, type and size are used. Limits:
//! [`FORM_FIELDS_MAX`].

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::malformed::{FORM_FIELDS_MAX, Malformed};

/// The field of a form that may hold the document.
const PAYLOAD: &str = "payload";
/// Longest boundary that multipart bodies may have, in bytes (RFC 2046).
const BOUNDARY_BYTES_MAX: usize = 70;

/// How a body is read.
pub(super) enum View<'a> {
    /// The body itself; its events are slices of it.
    Json(&'a str),
    /// Made from a form; the whole body is one event.
    Form(String),
    /// Bytes in another format.
    Opaque,
}

pub(super) fn view<'a>(
    headers: &http::HeaderMap,
    body: &'a [u8],
    any_body: bool,
) -> Result<View<'a>, Malformed> {
    let begins = body.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    if !matches!(begins, Some(b'{' | b'[')) {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let (kind, parameters) = split_once(content_type.unwrap_or_default(), ';');
        if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") && !body.is_empty() {
            return form(form_urlencoded::parse(body)).map(View::Form);
        }
        if kind.eq_ignore_ascii_case("multipart/form-data") {
            return multipart(parameters, body).map(View::Form);
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

fn split_once(text: &str, at: char) -> (&str, &str) {
    let (before, after) = text.split_once(at).unwrap_or((text, ""));
    (before.trim(), after.trim())
}

fn form<'a>(
    fields: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
) -> Result<String, Malformed> {
    let mut object = Map::new();
    for (count, (name, value)) in fields.enumerate() {
        if count == FORM_FIELDS_MAX {
            return Err(Malformed::TooManyFields);
        }
        if name == PAYLOAD && value.trim_start().starts_with(['{', '[']) {
            return Ok(value.into_owned());
        }
        object.insert(name.into_owned(), Value::String(value.into_owned()));
    }
    Ok(Value::Object(object).to_string())
}

fn multipart(parameters: &str, body: &[u8]) -> Result<String, Malformed> {
    let boundary = parameter(parameters, "boundary").filter(|b| b.len() <= BOUNDARY_BYTES_MAX);
    let boundary = boundary.filter(|b| !b.is_empty()).ok_or(Malformed::NoBoundary)?;
    let delimiter = format!("--{boundary}");
    let (mut object, mut rest) = (Map::new(), body);
    rest = after(rest, delimiter.as_bytes()).ok_or(Malformed::Truncated)?.1;
    let end = format!("\r\n{delimiter}");
    while !rest.starts_with(b"--") {
        if object.len() == FORM_FIELDS_MAX {
            return Err(Malformed::TooManyFields);
        }
        // A part may have no headers.
        let (head, content) = after(rest, b"\r\n\r\n").ok_or(Malformed::Truncated)?;
        let (content, next) = after(content, end.as_bytes()).ok_or(Malformed::Truncated)?;
        let head = String::from_utf8_lossy(head);
        let name = part_header(&head, "content-disposition")
            .and_then(|disposition| Some((parameter(disposition, "name")?, disposition)));
        if let Some((name, disposition)) = name {
            let value = match parameter(disposition, "filename") {
                Some(file) => serde_json::json!({
                    "filename": file,
                    "content_type": part_header(&head, "content-type"),
                    "bytes": content.len(),
                }),
                None => Value::String(String::from_utf8_lossy(content).into_owned()),
            };
            if let (PAYLOAD, Value::String(text)) = (name, &value)
                && text.trim_start().starts_with(['{', '['])
            {
                return Ok(text.clone());
            }
            object.insert(name.to_owned(), value);
        }
        rest = next;
    }
    Ok(Value::Object(object).to_string())
}

/// The bytes before and after the first `mark`.
fn after<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

fn part_header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// The value of a parameter, as in `form-data; name="a"`.
fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(content_type: &str, body: &str, any_body: bool) -> Result<String, Malformed> {
        let mut headers = http::HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        Ok(match view(&headers, body.as_bytes(), any_body)? {
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

    proptest! {
        #[test]
        fn never_panics(body in "(--x|\r\n|name=|;|:|\"|[a-z&=%]){0,30}", form in any::<bool>()) {
            let _ = seen(if form { FORM } else { "multipart/form-data; boundary=x" }, &body, form);
        }
    }
}
