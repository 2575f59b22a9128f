//! Writes text into JSON strings so that no character can forge a line or reverse one.
//!
//! Besides the characters that JSON requires, these are written as `\uXXXX`, which is the same JSON value and
//! visible: those that some readers take for a line end (NEL, LS, PS), the other controls beyond ASCII (terminals
//! interpret them), and the marks that change the direction of text.

/// All of them lie below U+10000, so one `\uXXXX` is enough.
const fn deceives(c: char) -> bool {
    matches!(
        c,
        '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// The first bytes of the characters in [`deceives`], so that other text is checked quickly.
const fn suspicious(byte: u8) -> bool {
    matches!(byte, 0x7f | 0xc2 | 0xd8 | 0xe2)
}

/// The inside of a valid JSON string: escapes stay unchanged.
pub(crate) fn push_inside(out: &mut Vec<u8>, inside: &str) {
    let mut rest = inside;
    while let Some(at) = rest.bytes().position(suspicious) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut chars = tail.chars();
        match chars.next() {
            Some(c) if deceives(c) => push_code(out, u32::from(c)),
            Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {}
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Any text as a JSON string, with its quotes.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    while let Some(at) = rest.bytes().position(special) {
        let (plain, tail) = rest.split_at(at);
        push_inside(out, plain);
        match tail.as_bytes()[0] {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            byte => push_code(out, u32::from(byte)),
        }
        rest = &tail[1..];
    }
    push_inside(out, rest);
    out.push(b'"');
}

fn push_code(out: &mut Vec<u8>, code: u32) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        let digit = (code >> shift & 0xf) as usize;
        out.push(b"0123456789abcdef"[digit]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quoted(text: &str) -> String {
        let mut out = Vec::new();
        push_text(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn deceptive_characters_are_escaped_and_the_rest_stays_readable() {
        for (text, written) in [
            ("Café — 東京 🔥", "\"Café — 東京 🔥\""),
            ("a\"b\\c\n\r\t", r#""a\"b\\c\n\r\t""#),
            ("\0\u{1b}[31m", r#""\u0000\u001b[31m""#),
            ("\u{7f}\u{85}\u{9f}\u{a0}", "\"\\u007f\\u0085\\u009f\u{a0}\""),
            ("\u{2027}\u{2028}\u{2029}", "\"\u{2027}\\u2028\\u2029\""),
            ("\u{202e}gnp.exe\u{202c}\u{202f}", "\"\\u202egnp.exe\\u202c\u{202f}\""),
            ("\u{61c}\u{200e}\u{200f}\u{2066}\u{2069}", r#""\u061c\u200e\u200f\u2066\u2069""#),
            ("👩\u{200d}🚒", "\"👩\u{200d}🚒\""),
        ] {
            assert_eq!(quoted(text), written);
        }
    }

    #[test]
    fn every_deceptive_character_is_found_by_its_first_byte() {
        for c in ('\u{7f}'..=char::MAX).filter(|c| deceives(*c)) {
            assert!(suspicious(c.to_string().as_bytes()[0]), "{c:?}");
            assert_eq!(c.len_utf16(), 1);
        }
    }

    proptest! {
        #[test]
        fn any_text_reads_back_the_same(text: String) {
            let written = quoted(&text);
            prop_assert!(!written.chars().any(|c| c.is_control() || deceives(c)));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
