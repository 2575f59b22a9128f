//! The media type of a body that is not JSON: what is stored with its event, and sent on to targets.
//!
//! If a signature covers the body, its bytes decide, because the content type is not signed: a multipart body by its first
//! line, a form, XML by its first character, UTF-8 text, or bytes. Otherwise the sender's content type counts.

use http::header::CONTENT_TYPE;

use super::body::Reading;
use super::sender::Sender;
use super::{charset, form};

/// Longest content type that is kept, in bytes.
const MEDIA_TYPE_BYTES_MAX: usize = 256;
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// What is known of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Its first bytes show whether it is JSON.
    Plain,
    /// It is not JSON, though it may begin like it.
    Other,
    /// The form in the address.
    Query,
}

/// The media type; `None` for JSON, and for an empty body of which no signature says that it is empty.
#[must_use]
pub fn media_type(
    sender: &Sender,
    headers: &http::HeaderMap,
    query: Option<&str>,
    body: &[u8],
    content: Content,
) -> Option<String> {
    if content == Content::Query {
        return Some(FORM.to_owned());
    }
    let body = super::body::unmarked(body);
    if content == Content::Plain && super::body::begins_like_json(body) {
        return None;
    }
    match sender.reading(query) {
        Reading::Headers if body.is_empty() => None,
        Reading::Headers => Some(declared(headers).unwrap_or_else(|| of_bytes(body))),
        Reading::Bytes => Some(of_bytes(body)),
        Reading::SortedForm => Some(FORM.to_owned()),
    }
}

/// The media type of a body that was sent in another character set, JSON included, for its text in UTF-8; `None` for
/// JSON whose content type is missing.
#[must_use]
pub fn media_type_in_utf8(
    sender: &Sender,
    headers: &http::HeaderMap,
    query: Option<&str>,
    body: &[u8],
    content: Content,
) -> Option<String> {
    let json = || {
        let is_named = headers.contains_key(CONTENT_TYPE);
        is_named.then(|| declared(headers).unwrap_or_else(|| JSON.to_owned()))
    };
    let media = media_type(sender, headers, query, body, content).or_else(json)?;
    Some(charset::relabelled(&media))
}

/// The content type as sent, if it is one line of plain text.
fn declared(headers: &http::HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?.trim();
    let fits = text.contains('/') && text.len() <= MEDIA_TYPE_BYTES_MAX;
    (fits && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))).then(|| text.to_owned())
}

fn of_bytes(body: &[u8]) -> String {
    if let Some(boundary) = form::boundary(body) {
        return format!("multipart/form-data; boundary=\"{boundary}\"");
    }
    if form::is_encoded(body) {
        return FORM.to_owned();
    }
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match (std::str::from_utf8(body), first) {
        (Ok(_), Some(b'<')) => "application/xml".to_owned(),
        (Ok(_), _) => "text/plain; charset=utf-8".to_owned(),
        (Err(_), _) => "application/octet-stream".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::vendors;
    use crate::normalize::UnsignedTypes;

    fn found(scheme: &str, content_type: Option<&str>, body: &str) -> Option<String> {
        let coverage = vendors::scheme(scheme).unwrap().coverage();
        let sender = vendors::sender("json").unwrap().limited(&coverage, UnsignedTypes::Ignored);
        let mut headers = http::HeaderMap::new();
        headers.extend(content_type.map(|value| (CONTENT_TYPE, value.parse().unwrap())));
        media_type(&sender, &headers, None, body.as_bytes(), Content::Plain)
    }

    #[test]
    fn a_signed_body_is_what_its_bytes_are_and_another_what_its_sender_says() {
        let text = Some("text/html; charset=windows-1252");
        for (body, by_bytes) in [
            ("{\"a\":1}", None),
            ("\u{FEFF} [1]", None),
            ("a=1&b=%20", Some("application/x-www-form-urlencoded")),
            ("--x y\r\n\r\n", Some("multipart/form-data; boundary=\"x y\"")),
            (" <a/>", Some("application/xml")),
            ("hello, world", Some("text/plain; charset=utf-8")),
        ] {
            assert_eq!(found("github", text, body).as_deref(), by_bytes, "{body}");
            assert_eq!(found("token", None, body).as_deref(), by_bytes, "{body}");
            let declared = by_bytes.and(text);
            assert_eq!(found("token", text, body).as_deref(), declared, "{body}");
        }
        // An empty body is signed, too, and its header is not.
        assert_eq!(found("github", text, "").as_deref(), Some("text/plain; charset=utf-8"));
        assert_eq!(found("token", text, ""), None);
        let long = format!("text/{}", "a".repeat(MEDIA_TYPE_BYTES_MAX));
        for odd in ["", "text", &long] {
            assert_eq!(found("token", Some(odd), "a=1").as_deref(), Some(FORM), "{odd}");
        }
    }

    #[test]
    fn content_in_the_address_is_a_form() {
        let (sender, headers) = (vendors::sender("json").unwrap(), http::HeaderMap::new());
        assert_eq!(
            media_type(sender, &headers, None, b"a=1", Content::Query).as_deref(),
            Some(FORM)
        );
        for (body, expected) in [
            (&b"[URGENT] full"[..], "text/plain; charset=utf-8"),
            (b"{\"a\":\"\xff\"}", "application/octet-stream"),
        ] {
            let other = media_type(sender, &headers, None, body, Content::Other);
            assert_eq!(other.as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_body_that_is_in_utf_8_now_says_so() {
        let found = |scheme: &str, content_type: Option<&str>, body: &str| {
            let coverage = vendors::scheme(scheme).unwrap().coverage();
            let sender =
                vendors::sender("json").unwrap().limited(&coverage, UnsignedTypes::Ignored);
            let mut headers = http::HeaderMap::new();
            headers.extend(content_type.map(|value| (CONTENT_TYPE, value.parse().unwrap())));
            media_type_in_utf8(&sender, &headers, None, body.as_bytes(), Content::Plain)
        };
        let xml = Some("text/xml; charset=utf-8");
        for charset in ["utf-16", "\"UTF-16LE\"", "windows-1252", "iso-8859-1"] {
            let named = |kind: &str| Some(format!("{kind}; charset={charset}"));
            for (kind, body, if_signed, if_not) in [
                (
                    "a/x+json",
                    "[1,2]",
                    Some("a/x+json; charset=utf-8"),
                    Some("a/x+json; charset=utf-8"),
                ),
                ("text/xml", "<a/>", Some("application/xml"), xml),
                ("text/xml", "a=1", Some(FORM), xml),
                ("text/xml", "hello, world", Some("text/plain; charset=utf-8"), xml),
            ] {
                let sent = named(kind);
                assert_eq!(found("github", sent.as_deref(), body).as_deref(), if_signed, "{body}");
                assert_eq!(found("token", sent.as_deref(), body).as_deref(), if_not, "{body}");
            }
        }
        assert_eq!(found("github", None, "[1,2]"), None);
        assert_eq!(found("github", Some("odd"), "[1,2]").as_deref(), Some(JSON));
    }
}
