//! The public identifier of an event: a ULID that contains the event's place in the log.
//!
//! 48 bits time of receipt (ms), 16 bits store (random at its creation), 64 bits event number, in
//! Crockford's base 32: 26 characters that sort by time. Because the number is the place in the
//! log, no index row is needed to find an event by its id.

use std::fmt;
use std::str::FromStr;

use super::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 26;

/// See the module's description.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(u128);

impl EventId {
    /// `received_at` beyond 48 bits of milliseconds (the year 10889) wraps.
    #[must_use]
    pub const fn new(received_at: Timestamp, store: u16, number: u64) -> Self {
        let millis = (received_at.as_millis() as u128) & 0xFFFF_FFFF_FFFF;
        Self((millis << 80) | ((store as u128) << 64) | number as u128)
    }

    #[must_use]
    pub const fn received_at(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> 80) as u64)
    }

    /// The store that assigned the id.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the field has 16 bits")]
    pub const fn store(self) -> u16 {
        (self.0 >> 64) as u16
    }

    /// The event's number in that store.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the field has 64 bits")]
    pub const fn number(self) -> u64 {
        self.0 as u64
    }

    fn text(self) -> [u8; LENGTH] {
        let mut text = [0u8; LENGTH];
        let mut rest = self.0;
        for digit in text.iter_mut().rev() {
            *digit = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        text
    }

    /// Appends the id as text.
    pub fn push_to(self, text: &mut String) {
        text.push_str(std::str::from_utf8(&self.text()).unwrap_or_default());
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a valid event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a valid event id: it must have 26 characters, digits and letters without I, L, O and U"
)]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        // 26 digits of 5 bits are 130 bits: the first digit holds only 3.
        if text.len() != LENGTH || !(b'0'..=b'7').contains(&text.as_bytes()[0]) {
            return Err(InvalidEventId);
        }
        text.bytes()
            .try_fold(0u128, |id, byte| {
                let byte = byte.to_ascii_uppercase();
                let digit = ALPHABET.iter().position(|c| *c == byte).ok_or(InvalidEventId)?;
                Ok((id << 5) | digit as u128)
            })
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_fields_survive_the_round_trip(millis in 0u64..1 << 48, store: u16, number: u64) {
            let id = EventId::new(Timestamp::from_millis(millis), store, number);
            prop_assert_eq!(id.to_string().parse::<EventId>(), Ok(id));
            prop_assert_eq!((id.received_at().as_millis(), id.store(), id.number()), (millis, store, number));
        }

        #[test]
        fn ids_sort_by_time_then_number(a: (u32, u64), b: (u32, u64)) {
            let id = |(ms, number): (u32, u64)| EventId::new(Timestamp::from_millis(ms.into()), 7, number);
            prop_assert_eq!(id(a).to_string().cmp(&id(b).to_string()), a.cmp(&b));
        }
    }

    #[test]
    fn invalid_ids_are_errors() {
        for text in [
            "",
            "01JD",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "01ARZ3NDEKTSV4RRFFQ69G5FÄ",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(InvalidEventId), "{text}");
        }
    }
}
