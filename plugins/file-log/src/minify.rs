//! Copies one JSON value without the white space between its tokens, and validates it.
//!
//! Numbers, escapes, the order of keys and repeated keys stay byte for byte, because nothing is parsed into
//! values: `1e400` and thirty digits survive. Strings change only where [`escape`](crate::escape) escapes a
//! character. A level of nesting costs one byte of memory and no stack, so nesting needs no limit besides that
//! of the body.

use crate::escape::push_inside;

/// The bytes are not one whole JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// Appends the value in `data` to `out`; leaves `out` unchanged if `data` is not exactly one value.
pub(crate) fn minify(data: &[u8], out: &mut Vec<u8>) -> Result<(), NotJson> {
    let before = out.len();
    let text = std::str::from_utf8(data).map_err(|_| NotJson)?;
    if (Reader { text, at: 0 }).value(out).is_none() {
        out.truncate(before);
        return Err(NotJson);
    }
    Ok(())
}

/// Its methods return `None` if the text is not valid JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Copies `byte` if it is the next one.
    fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> Option<()> {
        (self.peek()? == byte).then(|| {
            self.at += 1;
            out.push(byte);
        })
    }

    /// The whole text.
    fn value(&mut self, out: &mut Vec<u8>) -> Option<()> {
        // The closing bytes of what is open.
        let mut open = Vec::new();
        loop {
            self.skip_blank();
            let closing = match self.peek()? {
                b'{' => Some(b'}'),
                b'[' => Some(b']'),
                _ => None,
            };
            if let Some(closing) = closing {
                self.take(closing - 2, out)?;
                self.skip_blank();
                if self.take(closing, out).is_none() {
                    open.push(closing);
                    self.key_if_object(closing, out)?;
                    continue;
                }
            } else {
                self.scalar(out)?;
            }
            // A value has ended: close what ends with it.
            loop {
                self.skip_blank();
                let Some(closing) = open.last().copied() else {
                    return self.peek().is_none().then_some(());
                };
                if self.take(closing, out).is_none() {
                    self.take(b',', out)?;
                    self.key_if_object(closing, out)?;
                    break;
                }
                open.pop();
            }
        }
    }

    fn key_if_object(&mut self, closing: u8, out: &mut Vec<u8>) -> Option<()> {
        if closing == b'}' {
            self.skip_blank();
            self.string(out)?;
            self.skip_blank();
            self.take(b':', out)?;
        }
        Some(())
    }

    fn scalar(&mut self, out: &mut Vec<u8>) -> Option<()> {
        match self.peek()? {
            b'"' => self.string(out),
            b'-' | b'0'..=b'9' => self.number(out),
            _ => {
                let rest = &self.text[self.at..];
                let word = ["true", "false", "null"].into_iter().find(|w| rest.starts_with(w))?;
                self.at += word.len();
                out.extend_from_slice(word.as_bytes());
                Some(())
            }
        }
    }

    fn string(&mut self, out: &mut Vec<u8>) -> Option<()> {
        self.take(b'"', out)?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.escape()?,
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        // Both ends lie at ASCII bytes, so the slice cannot cut a character.
        push_inside(out, &self.text[start..self.at]);
        self.take(b'"', out)
    }

    /// Steps over a backslash and what belongs to it.
    fn escape(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        let digits = match bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
            b'u' => 4,
            _ => return None,
        };
        let end = self.at + 2 + digits;
        let hex = bytes.get(self.at + 2..end)?;
        self.at = end;
        hex.iter().all(u8::is_ascii_hexdigit).then_some(())
    }

    fn number(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let start = self.at;
        self.at += usize::from(self.peek()? == b'-');
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek()?, b'+' | b'-'));
            self.digits()?;
        }
        out.extend_from_slice(&self.text.as_bytes()[start..self.at]);
        Some(())
    }

    /// At least one.
    fn digits(&mut self) -> Option<&str> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then(|| &self.text[start..self.at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn minified(text: &[u8]) -> Option<String> {
        let mut out = b"before".to_vec();
        match minify(text, &mut out) {
            Ok(()) => Some(String::from_utf8(out.split_off(6)).unwrap()),
            Err(NotJson) => {
                assert_eq!(out, b"before", "out is unchanged");
                None
            }
        }
    }

    #[test]
    fn only_the_space_between_tokens_is_removed() {
        for (text, expected) in [
            ("{}", "{}"),
            (" [ ] ", "[]"),
            ("\r\n{\t\"a\" : 1 , \"b\": [ 1 , 2 ] }\n", "{\"a\":1,\"b\":[1,2]}"),
            ("{\"a b\": \"c  d\\n\"}", "{\"a b\":\"c  d\\n\"}"),
            ("{\"a\":1, \"a\":2}", "{\"a\":1,\"a\":2}"),
            (
                "[123456789012345678901234567890, 1e400, -0.0, 0.1E+09]",
                "[123456789012345678901234567890,1e400,-0.0,0.1E+09]",
            ),
            ("\"\\u00e9\\/\\ud83d\\ude00\\ud800\"", "\"\\u00e9\\/\\ud83d\\ude00\\ud800\""),
            ("[true, false, null]", "[true,false,null]"),
            ("{\"\u{2028}k\": \"\u{202e}v\u{85}\"}", "{\"\\u2028k\":\"\\u202ev\\u0085\"}"),
            ("[[[{\"a\":[{}]}],[]],{}]", "[[[{\"a\":[{}]}],[]],{}]"),
        ] {
            assert_eq!(minified(text.as_bytes()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn invalid_json_is_an_error() {
        let bad: &[&[u8]] = &[
            b"",
            b" ",
            b"{",
            b"}",
            b"[1,]",
            b"{\"a\":1,}",
            b"{\"a\"}",
            b"{1:2}",
            b"[1 2]",
            b"01",
            b"-",
            b"1.",
            b".5",
            b"1e",
            b"+1",
            b"0x1",
            b"NaN",
            b"tru",
            b"truefalse",
            b"'a'",
            b"\"a",
            b"\"\\x\"",
            b"\"\\u12g4\"",
            b"\"\\u12",
            b"\"a\nb\"",
            b"\"\x1b\"",
            b"{} {}",
            b"[1]]",
            b"[}",
            b"{]",
            b"\xef\xbb\xbf{}",
            b"\"caf\xe9\"",
            b"\"\xed\xa0\x80\"",
            b"{\"a\":1}x",
            b"/**/1",
            b"\x0b1",
        ];
        for text in bad {
            assert_eq!(minified(text), None, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let deep = [vec![b'['; 1_000_000], vec![b']'; 1_000_000]].concat();
        assert_eq!(minified(&deep).unwrap().len(), deep.len());
    }

    /// JSON as tokens, so that white space may be put between any two.
    fn tokens() -> impl Strategy<Value = Vec<String>> {
        let string = r#"([a-z0-9é東 {}:,\[\]]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,8}"#
            .prop_map(|inside| format!("\"{inside}\""));
        let scalar = prop_oneof![
            Just("true".to_owned()),
            Just("null".to_owned()),
            "-?(0|[1-9][0-9]{0,40})([.][0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
            string.clone(),
        ];
        let between = |items: Vec<Vec<String>>| items.join(&",".to_owned());
        scalar.prop_map(|token| vec![token]).prop_recursive(6, 64, 6, move |inner| {
            let wrap = |open: &str, inside: Vec<String>, close: &str| {
                [vec![open.to_owned()], inside, vec![close.to_owned()]].concat()
            };
            let member = (string.clone(), inner.clone())
                .prop_map(|(key, value)| [vec![key, ":".to_owned()], value].concat());
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(move |v| wrap("[", between(v), "]")),
                prop::collection::vec(member, 0..6).prop_map(move |v| wrap("{", between(v), "}")),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_token_stays_byte_for_byte(tokens in tokens(), spaces in "[ \t\r\n]{0,3}") {
            let compact = tokens.concat();
            let spaced = format!("{spaces}{}{spaces}", tokens.join(&spaces));
            prop_assert_eq!(minified(spaced.as_bytes()), Some(compact.clone()));
            prop_assert_eq!(minified(compact.as_bytes()), Some(compact));
        }

        #[test]
        fn accepts_exactly_what_another_parser_accepts(text in r#"[\[\]{}",:\\ tfrue0-9.eEun\n-]{0,12}"#) {
            let other = serde_json::from_str::<Box<RawValue>>(&text).is_ok();
            prop_assert_eq!(minified(text.as_bytes()).is_some(), other);
        }

        #[test]
        fn a_changed_byte_is_accepted_exactly_when_another_parser_accepts_it(
            tokens in tokens(), at: prop::sample::Index, byte: u8,
        ) {
            let mut text = tokens.concat().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            let other = serde_json::from_slice::<Box<RawValue>>(&text).is_ok();
            prop_assert_eq!(minified(&text).is_some(), other);
        }
    }
}
