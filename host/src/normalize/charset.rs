//! Turns JSON and forms in other character sets into UTF-8: UTF-16 and windows-1252 (ISO 8859-1 included).
//!
//! Only tried for a body that cannot be read as UTF-8. Each body has at most one reading, whatever the headers say: UTF-16
//! is recognized by its byte order mark or by the zero beside its first bracket, and windows-1252 is taken only if the content
//! type names it. So a signed body with another header is refused or gives the same events. UTF-8 may take up to three
//! times the bytes of windows-1252, so its length is known before there is room for it.

use bytes::Bytes;
use http::header::CONTENT_TYPE;

use super::malformed::Malformed;

/// The characters of windows-1252 from 0x80 to 0x9f; those that it does not have stay as they are.
const HIGH: [u16; 32] = [
    0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039,
    0x0152, 0x8d, 0x017d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
    0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
];
/// Names of windows-1252 and of sets that it contains.
const WINDOWS_1252: [&str; 7] =
    ["windows-1252", "cp1252", "x-cp1252", "iso-8859-1", "iso8859-1", "latin1", "us-ascii"];

/// The body in UTF-8; `None` if it is in no other known set.
///
/// # Errors
/// It would be longer than `bytes_max`.
pub(super) fn in_utf8(
    headers: &http::HeaderMap,
    body: &[u8],
    bytes_max: usize,
) -> Result<Option<Bytes>, Malformed> {
    let units = |body, unit| utf_16(body, unit).map_or(Ok(None), |text| collect(text, bytes_max));
    match body {
        [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => units(rest, u16::from_be_bytes),
        [b'{' | b'[', 0, ..] => units(body, u16::from_le_bytes),
        [0, b'{' | b'[', ..] => units(body, u16::from_be_bytes),
        _ if std::str::from_utf8(body).is_err() && names_windows_1252(headers) => {
            collect(body.iter().map(|byte| Some(windows_1252(*byte))), bytes_max)
        }
        _ => Ok(None),
    }
}

/// The text; `None` if one of its characters is missing.
fn collect(
    text: impl Iterator<Item = Option<char>> + Clone,
    bytes_max: usize,
) -> Result<Option<Bytes>, Malformed> {
    let lengths = text.clone().map(|character| character.map(char::len_utf8));
    let Some(bytes) = lengths.sum::<Option<usize>>() else { return Ok(None) };
    if bytes > bytes_max {
        return Err(Malformed::TooLongInUtf8 { bytes_max });
    }
    let mut collected = String::with_capacity(bytes);
    collected.extend(text.flatten());
    Ok(Some(Bytes::from(collected)))
}

fn utf_16(
    body: &[u8],
    unit: fn([u8; 2]) -> u16,
) -> Option<impl Iterator<Item = Option<char>> + Clone> {
    let (pairs, []) = body.as_chunks::<2>() else { return None };
    let units = pairs.iter().map(move |pair| unit(*pair));
    Some(char::decode_utf16(units).map(Result::ok))
}

/// A content type that names a set, for content that is in UTF-8 now.
pub(super) fn relabelled(content_type: &str) -> String {
    let is_charset = |parameter: &&str| {
        let name = parameter.split_once('=').map_or("", |(name, _)| name.trim());
        name.eq_ignore_ascii_case("charset")
    };
    let mut parts = content_type.split(';');
    let kind = parts.next().unwrap_or_default().trim_end();
    if !parts.clone().any(|parameter| is_charset(&parameter)) {
        return content_type.to_owned();
    }
    let others = parts.filter(|parameter| !is_charset(parameter));
    let others: String = others.map(|parameter| format!("; {}", parameter.trim())).collect();
    format!("{kind}{others}; charset=utf-8")
}

fn windows_1252(byte: u8) -> char {
    let high = byte.checked_sub(0x80).and_then(|at| HIGH.get(usize::from(at)));
    high.and_then(|code| char::from_u32(u32::from(*code))).unwrap_or(char::from(byte))
}

fn names_windows_1252(headers: &http::HeaderMap) -> bool {
    let parameter = |value: &http::HeaderValue| {
        let value = value.to_str().ok()?.to_ascii_lowercase();
        let charset = value.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            (name.trim() == "charset").then(|| value.trim().trim_matches('"').to_owned())
        })?;
        Some(WINDOWS_1252.contains(&&*charset))
    };
    headers.get(CONTENT_TYPE).and_then(parameter).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &[u8]) -> Option<String> {
        let mut headers = http::HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        in_utf8(&headers, body, usize::MAX)
            .unwrap()
            .map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn each_body_has_at_most_one_reading() {
        let text = "{\"a\":\"Jörg €\"}";
        for content_type in ["application/json", "a/b; charset=utf-16le", "a/b; charset=utf-8"] {
            for unit in [u16::to_le_bytes, u16::to_be_bytes] {
                let body = utf_16(text, unit);
                assert_eq!(read(content_type, &body).as_deref(), Some(text));
                let marked = [&unit(0xfeff)[..], &body].concat();
                assert_eq!(read(content_type, &marked).as_deref(), Some(text));
                assert_eq!(read(content_type, &body[..body.len() - 1]), None);
            }
        }
        let latin = b"{\"a\":\"J\xf6rg \x80\"}";
        for name in ["windows-1252", "Windows-1252", "\"iso-8859-1\""] {
            let content_type = format!("application/json; a=b; charset={name}");
            assert_eq!(read(&content_type, latin).as_deref(), Some(text));
            assert_eq!(read(&content_type, text.as_bytes()), None, "it is UTF-8 already");
        }
        for other in ["application/json", "a/b; charset=koi8-r", "charset=windows-1252"] {
            assert_eq!(read(other, latin), None, "{other}");
        }
        assert_eq!(read("a/b", &[0xff, 0xfe, 0x00, 0xd8]), None, "half of a pair");
    }

    #[test]
    fn a_text_that_is_too_long_in_utf_8_is_refused() {
        let mut headers = http::HeaderMap::new();
        headers.insert(CONTENT_TYPE, "a/b; charset=windows-1252".parse().unwrap());
        let too_long = |bytes_max| Err(Malformed::TooLongInUtf8 { bytes_max });
        for (body, bytes) in [
            (b"[\x80\x80]".to_vec(), 8),
            (utf_16("[\"\u{20ac}\"]", u16::to_le_bytes), 7),
            (utf_16("\u{feff}\u{20ac}", u16::to_be_bytes), 3),
        ] {
            let text = in_utf8(&headers, &body, bytes).unwrap().unwrap();
            assert_eq!(text.len(), bytes);
            assert_eq!(in_utf8(&headers, &body, bytes - 1), too_long(bytes - 1));
        }
    }

    #[test]
    fn a_content_type_names_utf_8_if_it_named_another_set() {
        for (before, after) in [
            ("application/json; charset=utf-16", "application/json; charset=utf-8"),
            ("text/xml;Charset=\"UTF-16LE\" ; a=b", "text/xml; a=b; charset=utf-8"),
            ("a/b; charset=latin1; charset=x", "a/b; charset=utf-8"),
            ("a/b; boundary=x", "a/b; boundary=x"),
            ("application/json", "application/json"),
        ] {
            assert_eq!(relabelled(before), after);
        }
    }
}
