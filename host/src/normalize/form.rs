//! Reads forms, also those in parts, as JSON documents; recognizes them by their bytes.
//!
//! Each field becomes a key with a text; a field `payload` that holds JSON is the document itself (GitHub,
//! Slack). In a multipart body, a part that is JSON becomes a value; of other files only name, type and size are used. Limits: [`FORM_FIELDS_MAX`].

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::malformed::{FORM_FIELDS_MAX, Malformed};

/// The field of a form that may hold the document.
const PAYLOAD: &str = "payload";
/// Longest boundary that multipart bodies may have, in bytes (RFC 2046).
const BOUNDARY_BYTES_MAX: usize = 70;

/// The form that a body is by its bytes alone; `None` if it is none.
///
/// A body that begins with a line `--BOUNDARY` is in parts. A body is a form if it consists of fields
/// `NAME=VALUE` joined by `&` and of nothing but the bytes that encoders of forms and addresses write. So a text
/// with a space or a quote is not one.
pub(super) fn recognized(body: &[u8]) -> Option<Result<String, Malformed>> {
    if let Some(boundary) = boundary(body) {
        return Some(multipart(boundary, body));
    }
    is_encoded(body).then(|| fields(body))
}

/// A body in parts, whose boundary the content type declares.
pub(super) fn declared(parameters: &str, body: &[u8]) -> Result<String, Malformed> {
    let boundary = parameter(parameters, "boundary").filter(|b| b.len() <= BOUNDARY_BYTES_MAX);
    multipart(boundary.filter(|b| !b.is_empty()).ok_or(Malformed::NoBoundary)?, body)
}

pub(super) fn fields(body: &[u8]) -> Result<String, Malformed> {
    document(form_urlencoded::parse(body))
}

/// The boundary in the first line.
pub(super) fn boundary(body: &[u8]) -> Option<&str> {
    let line = body.strip_prefix(b"--")?;
    let line =
        &line[..line.windows(2).take(2 * BOUNDARY_BYTES_MAX).position(|end| end == b"\r\n")?];
    let boundary = std::str::from_utf8(line).ok()?.trim_end_matches([' ', '\t']);
    let fits = |c: char| c.is_ascii_alphanumeric() || "'()+_,-./:=? ".contains(c);
    let is_one = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) && boundary.chars().all(fits);
    is_one.then_some(boundary)
}

/// Whether a body is made of encoded fields.
pub(super) fn is_encoded(body: &[u8]) -> bool {
    let is_field =
        |field: &[u8]| field.iter().position(|byte| *byte == b'=').is_some_and(|at| at > 0);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$'()*+,;:@/?[]=&".contains(&byte);
    let mut rest = body;
    while let Some((first, behind)) = rest.split_first() {
        rest = match first {
            b'%' => match behind {
                [a, b, behind @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => behind,
                _ => return false,
            },
            byte if plain(*byte) => behind,
            _ => return false,
        };
    }
    !body.is_empty() && body.split(|byte| *byte == b'&').all(is_field)
}

/// The fields as an object, or the document that one of them holds.
pub(super) fn document<'a>(
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

fn multipart(boundary: &str, body: &[u8]) -> Result<String, Malformed> {
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
            let content_type = part_header(&head, "content-type");
            let text = content_type.filter(|kind| is_json(kind));
            let text = text.and_then(|_| std::str::from_utf8(content).ok());
            let value = match (text, parameter(disposition, "filename")) {
                (Some(text), _) => json(name, text),
                (None, Some(file)) => serde_json::json!({
                    "filename": file,
                    "content_type": content_type,
                    "bytes": content.len(),
                }),
                (None, None) => Value::String(String::from_utf8_lossy(content).into_owned()),
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

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// A part that is JSON: as a value, or as a text if it holds the document or is not valid.
fn json(name: &str, text: &str) -> Value {
    let whole = || Value::String(text.to_owned());
    if name == PAYLOAD || super::split::split(text).is_err() {
        return whole();
    }
    serde_json::from_str(text).unwrap_or_else(|_| whole())
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
