//! The events of the selftest: each follows from its number, so that none has to be remembered.
//!
//! The same seed and number always give the same bytes: compact JSON in ASCII, which a file-log writes
//! unchanged, so that its lines can be compared byte for byte.

/// Longest padding of an event.
const FILLING_BYTES_MAX: usize = 1200;
const ID_KEY: &str = r#""event_id":""#;
const ID_DIGITS: usize = 24;
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz 0123456789";

/// The event with that number, as it is sent.
pub(super) fn element(seed: u64, number: u64) -> String {
    // Consecutive seeds would give similar events.
    let mut random = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let length = random.usize(..FILLING_BYTES_MAX);
    let filling: String =
        (0..length).map(|_| char::from(LETTERS[random.usize(..LETTERS.len())])).collect();
    format!(
        r#"{{"message_type":"security_event","message":{{{ID_KEY}{number:0ID_DIGITS$x}","risk_coefficient":{},"humanized_description":"event {number}","note":"\"{filling}\""}}}}"#,
        random.u8(..=100),
    )
}

/// A request's body: one event as an object, several as an array.
pub(super) fn body(seed: u64, first: u64, count: u64) -> String {
    if count == 1 {
        return element(seed, first);
    }
    let elements: Vec<String> = (first..first + count).map(|n| element(seed, n)).collect();
    format!("[{}]", elements.join(","))
}

/// An event's id, for people and for `grep`.
pub(super) fn id(number: u64) -> String {
    format!("{number:0ID_DIGITS$x}")
}

/// The number of the event; `None` if `data` is not exactly an event of that seed.
pub(super) fn number(seed: u64, data: &str) -> Option<u64> {
    let at = data.find(ID_KEY)? + ID_KEY.len();
    let number = u64::from_str_radix(data.get(at..at + ID_DIGITS)?, 16).ok()?;
    (element(seed, number) == data).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_recognised_only_if_every_byte_is_right() {
        for n in [0, 1, 999, 1 << 25] {
            let sent = element(7, n);
            assert_eq!(number(7, &sent), Some(n));
            assert!(serde_json::from_str::<serde_json::Value>(&sent).is_ok(), "{sent}");
            assert_eq!(number(8, &sent), None, "of another seed");
            assert_eq!(number(7, &sent.replace("event ", "Event ")), None);
            assert_eq!(number(7, &sent[..sent.len() - 1]), None);
        }
        assert_eq!(number(7, r#"{"event_id":"zz"}"#), None);
    }

    #[test]
    fn several_events_are_an_array() {
        let array: Vec<Box<serde_json::value::RawValue>> =
            serde_json::from_str(&body(7, 5, 3)).unwrap();
        let numbers: Vec<_> = array.iter().map(|element| number(7, element.get())).collect();
        assert_eq!(numbers, [Some(5), Some(6), Some(7)]);
        assert_eq!(body(7, 5, 1), element(7, 5));
    }
}
