//! Makes text from a plugin safe to log, store and show: secrets masked, one line, bounded.

use serde_json::Value;

use crate::model::{Masker, Secret, sounds_secret};

/// Longest text in which secrets are searched for, in bytes: far more than any line shows. What follows is left out,
/// because a search through megabytes would take seconds of a delivery thread.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Stands for what is left out.
const CUT: &str = "…";

/// Masks the secrets of one target.
#[derive(Debug)]
pub(super) struct Sanitizer(Masker);

impl Sanitizer {
    pub(super) fn new(secrets: &[Secret]) -> Self {
        Self(Masker::new(secrets))
    }

    /// Masks these, and the values of settings whose names sound like secrets: such as a header with a token that is
    /// written in the file as it is.
    pub(super) fn of_target(secrets: &[Secret], settings: &Value) -> Self {
        let mut all = secrets.to_vec();
        collect(settings, false, &mut all);
        Self::new(&all)
    }

    /// Masks before it escapes and cuts: an escaped or cut secret would not be found.
    pub(super) fn line(&self, text: &str, bytes_max: usize) -> String {
        let most = TEXT_BYTES_MAX.min(text.len());
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        let mut shown = self.0.hide(&text[..end]);
        if end < text.len() {
            shown.to_mut().push_str(CUT);
        }
        one_line(&shown, bytes_max)
    }

    /// Whether the bytes contain a secret.
    pub(super) fn finds_secret(&self, bytes: &[u8]) -> bool {
        self.0.finds(bytes)
    }
}

/// Adds the texts under such names.
fn collect(value: &Value, sounds: bool, secrets: &mut Vec<Secret>) {
    match value {
        Value::String(text) if sounds => secrets.push(Secret::new(text.as_str())),
        Value::Array(items) => items.iter().for_each(|item| collect(item, sounds, secrets)),
        Value::Object(entries) => {
            for (name, value) in entries {
                collect(value, sounds || sounds_secret(name), secrets);
            }
        }
        _ => {}
    }
}

/// The text on one line of at most `bytes_max` bytes. Control characters and those that change the
/// direction of writing are escaped.
pub(super) fn one_line(text: &str, bytes_max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(bytes_max));
    for character in text.chars() {
        let before = line.len();
        if is_harmless(character) {
            line.push(character);
        } else {
            line.extend(character.escape_default());
        }
        if line.len() > bytes_max {
            line.truncate(before);
            while line.len() + CUT.len() > bytes_max && line.pop().is_some() {}
            line.push_str(CUT);
            break;
        }
    }
    line
}

fn is_harmless(character: char) -> bool {
    !(character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_masked_everywhere_in_a_line() {
        let secrets = ["hunter22", "hunter22-and-more", "short", "multi\nline"].map(Secret::new);
        let sanitizer = Sanitizer::new(&secrets);
        for (text, expected) in [
            ("token hunter22 refused", "token *** refused"),
            ("hunter22hunter22", "******"),
            ("x=hunter22-and-more", "x=***"),
            ("short is kept", "short is kept"),
            ("multi\nline", "***"),
            ("multi\nother", "multi\\nother"),
            ("hunter2", "hunter2"),
        ] {
            assert_eq!(sanitizer.line(text, 100), expected);
        }
        assert!(sanitizer.finds_secret(b"\xff hunter22") && !sanitizer.finds_secret(b"hunter2 "));
    }

    #[test]
    fn settings_that_sound_like_secrets_are_masked_too() {
        let settings = serde_json::json!({
            "headers": { "X-Api-Key": "plain-one", "authorization": "Bearer plain-two", "x-host": "a-plain-host" },
            "proxy": { "passwords": ["plain-three", 7] },
        });
        let sanitizer = Sanitizer::of_target(&[Secret::new("resolved")], &settings);
        let text = "plain-one, plain-two, plain-three, resolved, a-plain-host, Bearer";
        assert_eq!(sanitizer.line(text, 100), "***, ***, ***, ***, a-plain-host, Bearer");
    }

    #[test]
    fn a_cut_never_leaves_a_piece_of_a_secret() {
        let sanitizer = Sanitizer::new(&[Secret::new("0123456789")]);
        for bytes_max in 4..20 {
            let line = sanitizer.line("abcd0123456789efgh", bytes_max);
            assert!(!line.contains('0'), "{line}");
        }
    }

    /// What is masked makes room for what follows it, and the end of what is searched is not the end of a secret.
    #[test]
    fn of_a_long_text_the_beginning_is_searched_and_the_rest_is_left_out() {
        let secret = "0123456789abcdef";
        let sanitizer = Sanitizer::new(&[Secret::new(secret)]);
        for before in TEXT_BYTES_MAX - 20..TEXT_BYTES_MAX + 4 {
            let text = format!("{}{secret}{}", "0123456789".repeat(before / 10), "é".repeat(9_999));
            let line = sanitizer.line(&text, 64);
            assert!(line.ends_with(CUT) && !line.contains("01234567"), "{line}");
        }
        let megabytes = secret.repeat(1 << 17);
        assert_eq!(sanitizer.line(&megabytes, 2 * TEXT_BYTES_MAX).matches("***").count(), 1024);
    }

    proptest! {
        #[test]
        fn a_line_is_one_line_and_within_its_limit(text in "\\PC*|[\u{0}-\u{20}é\u{2028}\u{202e}\"\\\\]*", bytes_max in 3usize..64) {
            let line = one_line(&text, bytes_max);
            prop_assert!(line.len() <= bytes_max, "{} > {}", line.len(), bytes_max);
            prop_assert!(line.chars().all(is_harmless));
        }

        #[test]
        fn harmless_short_text_is_unchanged(text in "[a-zA-Z0-9 é…\"']{0,40}") {
            prop_assert_eq!(one_line(&text, 1024), text);
        }
    }
}
