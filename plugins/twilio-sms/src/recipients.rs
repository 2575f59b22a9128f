//! The recipients: the setting `to`, and which of them already have a message.
//!
//! The daemon gives each number its own deliveries, so a call usually has one number. If it has several, the
//! progress of an attempt is a list of 8-byte fingerprints of those that have the message: that stores no
//! phone numbers and stays within the limit of a progress.

use std::borrow::Cow;
use std::fmt;

use dispatcher_plugin_api::prelude::*;
use dispatcher_plugin_api::schemars::{Schema, SchemaGenerator, json_schema};
use dispatcher_plugin_api::serde::de::{SeqAccess, Visitor};
use dispatcher_plugin_api::serde::{Deserialize, Deserializer};

/// Most numbers of a target.
pub(crate) const RECIPIENTS_MAX: usize = 100;
/// Bytes per number in the progress.
const FINGERPRINT_BYTES: usize = 8;

/// One number or a list of them, as written.
#[derive(Debug)]
pub(crate) struct To {
    numbers: Vec<String>,
    is_list: bool,
}

impl To {
    /// The numbers; adds those that are not valid to the mistakes.
    pub(crate) fn checked(self, from: Option<&str>, mistakes: &mut Mistakes) -> Vec<String> {
        let Self { numbers, is_list } = self;
        let place = |at| if is_list { format!("to[{at}]") } else { "to".to_owned() };
        if numbers.is_empty() || numbers.len() > RECIPIENTS_MAX {
            let reason = format!("must have 1 to {RECIPIENTS_MAX} phone numbers");
            mistakes.add(Invalid::at("to", reason));
        }
        for (at, number) in numbers.iter().enumerate() {
            if !is_e164(number) {
                mistakes.add(Invalid::at(place(at), not_e164(number)));
            } else if from == Some(number) {
                let reason = "is the number in `from`: Twilio does not send to the sender";
                mistakes.add(Invalid::at(place(at), reason));
            } else if let Some(twin) = numbers[..at].iter().position(|other| other == number) {
                mistakes.add(Invalid::at(place(at), format!("the same number as to[{twin}]")));
            }
        }
        numbers
    }
}

/// `+`, then 7 to 15 digits of which the first is not 0.
pub(crate) fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// What to write instead.
pub(crate) fn not_e164(text: &str) -> String {
    let digits =
        text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}'));
    let meant: String = digits.collect();
    let meant = meant.strip_prefix("00").map_or(meant.clone(), |rest| format!("+{rest}"));
    let example = if is_e164(&meant) { &meant } else { "+33612345678" };
    format!(
        "not a phone number with its country code: write + and digits without spaces, such as \
         \"{example}\""
    )
}

impl<'de> Deserialize<'de> for To {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;

        impl<'de> Visitor<'de> for Numbers {
            type Value = To;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a phone number as text, such as \"+33612345678\", or a list of them")
            }

            fn visit_str<E>(self, number: &str) -> Result<To, E> {
                Ok(To { numbers: vec![number.to_owned()], is_list: false })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<To, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = list.next_element::<String>()? {
                    // One more than allowed is enough to report it.
                    if numbers.len() <= RECIPIENTS_MAX {
                        numbers.push(number);
                    }
                }
                Ok(To { numbers, is_list: true })
            }
        }

        deserializer.deserialize_any(Numbers)
    }
}

impl JsonSchema for To {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "To".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number = json!({ "type": "string", "pattern": "^\\+[1-9][0-9]{6,14}$" });
        json_schema!({
            "anyOf": [
                number,
                {
                    "type": "array",
                    "items": number,
                    "minItems": 1,
                    "maxItems": RECIPIENTS_MAX,
                    "uniqueItems": true,
                },
            ]
        })
    }
}

/// The numbers that already have the message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Done(Vec<[u8; FINGERPRINT_BYTES]>);

impl Done {
    /// Reads what [`bytes`](Self::bytes) returned at the last attempt; anything else reads as empty.
    pub(crate) fn read(progress: &[u8]) -> Self {
        let chunks = progress.chunks_exact(FINGERPRINT_BYTES);
        if !chunks.remainder().is_empty() {
            return Self::default();
        }
        Self(chunks.filter_map(|chunk| chunk.try_into().ok()).take(RECIPIENTS_MAX).collect())
    }

    pub(crate) fn has(&self, number: &str) -> bool {
        self.0.contains(&fingerprint(number))
    }

    pub(crate) fn add(&mut self, number: &str) {
        self.0.push(fingerprint(number));
    }

    /// Only current recipients, so that the list stays bounded.
    pub(crate) fn bytes(&self, recipients: &[String]) -> Vec<u8> {
        let done = recipients.iter().map(|number| fingerprint(number));
        done.filter(|fingerprint| self.0.contains(fingerprint)).flatten().collect()
    }
}

/// FNV-1a: the same in every build, because an older build may have written the progress.
fn fingerprint(number: &str) -> [u8; FINGERPRINT_BYTES] {
    let hash = number.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use dispatcher_plugin_api::{PROGRESS_BYTES_MAX, serde_json};

    use super::*;

    fn checked(to: &serde_json::Value) -> Result<Vec<String>, String> {
        let to: To = serde_json::from_value(to.clone()).map_err(|error| error.to_string())?;
        let mut mistakes = Mistakes::default();
        let numbers = to.checked(Some("+15005550006"), &mut mistakes);
        mistakes.finish(Some(numbers)).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn one_number_or_a_list_is_accepted() {
        assert_eq!(checked(&json!("+33612345678")).unwrap(), ["+33612345678"]);
        let list = ["+33612345678", "+6834000", "+886912345678901"];
        assert_eq!(checked(&json!(list)).unwrap(), list);
        let many: Vec<_> = (0..RECIPIENTS_MAX).map(|n| format!("+3361234{n:04}")).collect();
        assert_eq!(checked(&json!(many)).unwrap(), many);
    }

    #[test]
    fn an_invalid_number_is_refused_with_its_place() {
        let many: Vec<_> = (0..=RECIPIENTS_MAX).map(|n| format!("+3361234{n:04}")).collect();
        for (to, part) in [
            (json!("33612345678"), "to: not a phone number with its country code"),
            (json!("+33 6 12-34.56 78"), "such as \"+33612345678\""),
            (json!("0033 (6) 98765432"), "such as \"+33698765432\""),
            (json!("0612345678"), "such as \"+33612345678\""),
            (json!(""), "to: not a phone number"),
            (json!("+012345678"), "to: not a phone number"),
            (json!("+123456"), "to: not a phone number"),
            (json!("+1234567890123456"), "to: not a phone number"),
            (json!("+3361234567é"), "to: not a phone number"),
            (json!(["+33612345678", "x"]), "to[1]: not a phone number"),
            (json!(["+33612345678", "+33612345678"]), "to[1]: the same number as to[0]"),
            (json!("+15005550006"), "to: is the number in `from`"),
            (json!([]), "to: must have 1 to 100"),
            (json!(many), "to: must have 1 to 100"),
            (json!(33_612_345_678_u64), "expected a phone number as text"),
            (json!([33_612_345_678_u64]), "expected a string"),
        ] {
            let error = checked(&to).unwrap_err();
            assert!(error.contains(part), "{to}: {error}");
        }
    }

    #[test]
    fn the_progress_of_all_numbers_fits_its_limit() {
        let numbers: Vec<_> = (0..RECIPIENTS_MAX).map(|n| format!("+3361234{n:04}")).collect();
        let mut done = Done::default();
        numbers.iter().for_each(|number| done.add(number));
        let bytes = done.bytes(&numbers);
        assert!(bytes.len() <= PROGRESS_BYTES_MAX);
        let read = Done::read(&bytes);
        assert_eq!(read, done);
        assert!(numbers.iter().all(|number| read.has(number)) && !read.has("+33600000000"));
        assert_eq!(Done::read(&read.bytes(&numbers[3..4])).0.len(), 1);
        for nonsense in [&b""[..], b"1234567", b"123456789"] {
            assert_eq!(Done::read(nonsense), Done::default());
        }
    }
}
