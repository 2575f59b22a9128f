//! One event as one line: a CloudEvents 1.0 object in JSON and a line feed.
//!
//! Invariant: whatever the sender wrote, only the last byte of a line is below 0x20, and the line has no other
//! character that a reader may take for a line end.

use crate::escape::push_text;
use crate::minify::minify;
use crate::time::is_rfc3339;

/// The lines of one append.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    pub(crate) events: usize,
}

impl Piece {
    /// Adds a line. If it does not fit, it starts a new piece and the previous one is returned. A line longer
    /// than `bytes_max` becomes a piece by itself.
    pub(crate) fn push(&mut self, line: &Line<'_>, bytes_max: usize) -> Option<Self> {
        let before = self.bytes.len();
        line.push(&mut self.bytes);
        if before == 0 || self.bytes.len() <= bytes_max {
            self.events += 1;
            return None;
        }
        let next = Self { bytes: self.bytes.split_off(before), events: 1 };
        Some(std::mem::replace(self, next))
    }
}

/// The content of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) id: &'a str,
    pub(crate) source: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) subject: Option<&'a str>,
    /// As written by the sender; used if it is an RFC 3339 time.
    pub(crate) time: Option<&'a str>,
    /// RFC 3339.
    pub(crate) received_at: &'a str,
    pub(crate) severity: &'a str,
    pub(crate) title: &'a str,
    pub(crate) link: Option<&'a str>,
    pub(crate) data: &'a [u8],
    /// The media type of the data.
    pub(crate) content_type: &'a str,
}

impl Line<'_> {
    /// Appends the line to `out`.
    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"specversion\":\"1.0\"");
        attribute(out, "id", self.id);
        attribute(out, "source", &reference(self.source));
        attribute(out, "type", self.event_type);
        if let Some(subject) = self.subject {
            attribute(out, "subject", subject);
        }
        let time = self.time.filter(|time| is_rfc3339(time)).unwrap_or(self.received_at);
        attribute(out, "time", time);
        attribute(out, "receivedat", self.received_at);
        attribute(out, "severity", self.severity);
        attribute(out, "title", self.title);
        if let Some(link) = self.link {
            attribute(out, "link", link);
        }
        if let Some(text) = self.text() {
            attribute(out, "datacontenttype", self.content_type);
            attribute(out, "data", text);
            out.extend_from_slice(b"}\n");
            return;
        }
        let before = out.len();
        out.extend_from_slice(b",\"data\":");
        if minify(self.data, out).is_err() {
            out.truncate(before);
            let is_json = self.content_type.starts_with("application/json");
            let kind = if is_json { "application/octet-stream" } else { self.content_type };
            attribute(out, "datacontenttype", kind);
            out.extend_from_slice(b",\"data_base64\":\"");
            push_base64(out, self.data);
            out.push(b'"');
        }
        out.extend_from_slice(b"}\n");
    }
}

impl<'a> Line<'a> {
    /// The data, if it is not JSON, but text.
    fn text(&self) -> Option<&'a str> {
        const FORM: &str = "application/x-www-form-urlencoded";
        let kind = self.content_type.split(';').next().unwrap_or_default().trim().to_lowercase();
        let is_text = kind.starts_with("text/")
            || kind.starts_with("multipart/")
            || kind.ends_with("/xml")
            || kind.ends_with("+xml")
            || kind == FORM;
        std::str::from_utf8(self.data).ok().filter(|_| is_text)
    }
}

fn attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    push_text(out, value);
}

/// The name as a URI reference: a relative path with `%XX` for forbidden characters. A colon is encoded too,
/// because the text before it would be read as a URI scheme.
fn reference(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=@/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 0xf] {
                out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    out
}

fn push_base64(out: &mut Vec<u8>, data: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in data.chunks(3) {
        let bytes = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let bits = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        for place in 0..4 {
            // A chunk of n bytes fills n + 1 digits.
            let digit = DIGITS[(bits >> (18 - 6 * place) & 0x3f) as usize];
            out.push(if place <= chunk.len() { digit } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use std::collections::HashMap;

    const PLAIN: Line<'static> = Line {
        id: "01JD0000000000000000000000",
        source: "sqreen",
        event_type: "security_event",
        subject: None,
        time: None,
        received_at: "2021-02-08T12:45:00.363Z",
        severity: "warning",
        title: "Tor",
        link: None,
        data: b"{\"a\": 1}",
        content_type: "application/json",
    };

    fn text(line: &Line<'_>) -> String {
        let mut out = Vec::new();
        line.push(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn fields(line: &str) -> HashMap<String, Box<RawValue>> {
        serde_json::from_str(line).unwrap()
    }

    fn field(line: &str, name: &str) -> Option<String> {
        fields(line).get(name).map(|value| serde_json::from_str(value.get()).unwrap())
    }

    #[test]
    fn a_line_is_a_cloud_event_with_its_data_as_sent() {
        assert_eq!(
            text(&PLAIN),
            "{\"specversion\":\"1.0\",\"id\":\"01JD0000000000000000000000\",\"source\":\"sqreen\",\
             \"type\":\"security_event\",\"time\":\"2021-02-08T12:45:00.363Z\",\
             \"receivedat\":\"2021-02-08T12:45:00.363Z\",\"severity\":\"warning\",\"title\":\"Tor\",\
             \"data\":{\"a\":1}}\n"
        );
    }

    #[test]
    fn subject_and_link_are_written_if_present() {
        let line =
            text(&Line { subject: Some("app/1"), link: Some("https://x.example/1"), ..PLAIN });
        assert_eq!(field(&line, "subject").as_deref(), Some("app/1"));
        assert_eq!(field(&line, "link").as_deref(), Some("https://x.example/1"));
    }

    #[test]
    fn the_senders_time_is_used_only_if_valid() {
        let sent = "2016-12-21T07:22:32.732000+00:00";
        let line = text(&Line { time: Some(sent), ..PLAIN });
        assert_eq!(field(&line, "time").as_deref(), Some(sent));
        for time in ["yesterday", "", "1612788300", "2016-12-21 07:22:32"] {
            let line = text(&Line { time: Some(time), ..PLAIN });
            assert_eq!(field(&line, "time").as_deref(), Some(PLAIN.received_at), "{time}");
        }
    }

    #[test]
    fn a_source_is_a_uri_reference_whatever_its_name() {
        for (name, written) in [
            ("sqreen", "sqreen"),
            ("my source", "my%20source"),
            ("a:b", "a%3Ab"),
            ("é#?%\n", "%C3%A9%23%3F%25%0A"),
        ] {
            assert_eq!(field(&text(&Line { source: name, ..PLAIN }), "source").unwrap(), written);
        }
    }

    #[test]
    fn invalid_json_is_written_as_base64() {
        for (data, expected) in [
            (&b"caf\xe9"[..], "Y2Fm6Q=="),
            (b"{\"a\":", "eyJhIjo="),
            (b"{} {", "e30gew=="),
            (b"\xef\xbb\xbf{}", "77u/e30="),
            (b"", ""),
        ] {
            let line = text(&Line { data, ..PLAIN });
            assert_eq!(field(&line, "data_base64").as_deref(), Some(expected));
            assert_eq!(
                field(&line, "datacontenttype").as_deref(),
                Some("application/octet-stream")
            );
            assert!(!fields(&line).contains_key("data"));
        }
    }

    #[test]
    fn text_is_written_as_text_with_its_type() {
        for (content_type, data) in [
            ("application/x-www-form-urlencoded", "a=1&b=%20"),
            ("multipart/form-data; boundary=\"b\"", "--b\r\n\r\n\r\n--b--\r\n"),
            ("text/plain; charset=utf-8", "line 1\nline \u{2028}2"),
            ("text/plain; charset=utf-8", "[URGENT] disk is full"),
            ("text/plain; charset=utf-8", "{\"cut\":"),
            ("application/xml", "<a>é</a>"),
            ("image/svg+xml", "<svg/>"),
        ] {
            let line = text(&Line { data: data.as_bytes(), content_type, ..PLAIN });
            assert_eq!(field(&line, "datacontenttype").as_deref(), Some(content_type));
            assert_eq!(field(&line, "data").as_deref(), Some(data), "{line}");
            assert_eq!(line.lines().count(), 1);
        }
        for (content_type, data) in
            [("text/plain; charset=windows-1252", &b"caf\xe9"[..]), ("image/png", b"\x89PNG")]
        {
            let line = text(&Line { data, content_type, ..PLAIN });
            assert_eq!(field(&line, "datacontenttype").as_deref(), Some(content_type));
            assert!(fields(&line).contains_key("data_base64"), "{line}");
        }
    }

    #[test]
    fn numbers_escapes_and_repeated_keys_stay_unchanged() {
        let data =
            b"{ \"risk\": 123456789012345678901234567890, \"x\": 1e400,\n \"x\": \"\\u00e9\\/\" }";
        let line = text(&Line { data, ..PLAIN });
        assert_eq!(
            fields(&line)["data"].get(),
            "{\"risk\":123456789012345678901234567890,\"x\":1e400,\"x\":\"\\u00e9\\/\"}"
        );
    }

    #[test]
    fn hostile_text_stays_within_its_line() {
        let data = "{\"a\":\"line1\u{2028}{\\\"id\\\":1}\u{85}\\nline2\u{202e}\"}";
        let title = "line1\nline2\r\n2020-01-01 FAKE LOG LINE\0\u{1b}[31mred\u{2029}\u{85}";
        let line = text(&Line { data: data.as_bytes(), title, ..PLAIN });
        assert_eq!(line.lines().count(), 1);
        assert_eq!(field(&line, "title").as_deref(), Some(title));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(fields(&line)["data"].get()).unwrap(),
            serde_json::from_str::<serde_json::Value>(data).unwrap(),
        );
    }

    #[test]
    fn a_piece_has_as_many_complete_lines_as_fit() {
        let one = text(&PLAIN);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(9 * one.len()));
        let mut piece = Piece::default();
        let mut pieces = Vec::new();
        for data in [PLAIN.data, PLAIN.data, PLAIN.data, long.as_bytes(), PLAIN.data] {
            pieces.extend(piece.push(&Line { data, ..PLAIN }, 2 * one.len()));
        }
        pieces.push(piece);
        let events: Vec<_> = pieces.iter().map(|piece| piece.events).collect();
        assert_eq!(events, [2, 1, 1, 1]);
        for piece in &pieces {
            let lines = String::from_utf8(piece.bytes.clone()).unwrap();
            assert_eq!(lines.lines().count(), piece.events);
            assert!(lines.ends_with('\n'));
        }
    }

    fn check(line: &Line<'_>) -> Result<(), TestCaseError> {
        let written = text(line);
        let (last, body) = written.as_bytes().split_last().unwrap();
        prop_assert_eq!(*last, b'\n');
        prop_assert!(body.iter().all(|byte| *byte >= 0x20));
        let forges = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        prop_assert!(!written[..body.len()].contains(forges));
        let title_read = field(&written, "title");
        prop_assert_eq!(title_read.as_deref(), Some(line.title));
        let type_read = field(&written, "type");
        prop_assert_eq!(type_read.as_deref(), Some(line.event_type));
        let subject_read = field(&written, "subject");
        prop_assert_eq!(subject_read.as_deref(), line.subject);
        let link_read = field(&written, "link");
        prop_assert_eq!(link_read.as_deref(), line.link);
        let fields = fields(&written);
        prop_assert!(fields.contains_key("data") != fields.contains_key("data_base64"));
        Ok(())
    }

    proptest! {
        #[test]
        fn any_attributes_and_any_bytes_make_exactly_one_line(
            source: String, event_type: String, subject: Option<String>, time: Option<String>,
            title: String, link: Option<String>, data: Vec<u8>,
        ) {
            check(&Line {
                source: &source, event_type: &event_type, subject: subject.as_deref(),
                time: time.as_deref(), title: &title, link: link.as_deref(), data: &data, ..PLAIN
            })?;
        }

        #[test]
        fn any_text_within_the_data_makes_exactly_one_line(inside: String, space in "[ \r\n\t]{0,4}") {
            let text_of = serde_json::to_string(&inside).unwrap();
            let data = format!("{{{space}{text_of}:{space}[{text_of}{space}]}}");
            let line = Line { data: data.as_bytes(), ..PLAIN };
            check(&line)?;
            let written = text(&line);
            let value: HashMap<String, Vec<String>> =
                serde_json::from_str(fields(&written)["data"].get()).unwrap();
            prop_assert_eq!(&value[&inside], std::slice::from_ref(&inside));
        }
    }
}
