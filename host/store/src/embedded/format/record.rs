//! What the payloads of frames say, in postcard.
//!
//! A payload's layout never changes: another layout is another [`Kind`]. Numbers
//! of events are ascending differences where there may be many. Texts and bytes of a request are
//! borrowed from the payload while it is read.

use dispatcher_model::RepetitionKey;
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes as Raw;

use super::frame::{Frame, HEADER_BYTES, Kind};
use super::runs::Runs;

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Request<'a> {
    /// Every target that gets any of the events, ascending: first, so that a reader which looks for
    /// another one need not read on.
    pub targets: Vec<u16>,
    pub received_ms: u64,
    pub verified_ms: u64,
    #[serde(borrow)]
    pub source: &'a str,
    pub scheme: &'a str,
    pub key: u16,
    pub config: u64,
    pub headers: Vec<(&'a str, &'a Raw)>,
    pub events: Vec<Event<'a>>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Event<'a> {
    pub targets: Vec<u16>,
    #[serde(borrow)]
    pub event_type: &'a str,
    pub subject: Option<&'a str>,
    pub time: Option<&'a str>,
    pub title: &'a str,
    pub link: Option<&'a str>,
    /// Place in `Severity::ALL`.
    pub severity: u8,
    /// An element of a request that is not a JSON object.
    pub other_shape: bool,
    /// The repetition key, with the source in it.
    #[serde(with = "serde_bytes")]
    pub dedup: Option<RepetitionKey>,
    /// Target and reason, when no target gets it.
    pub unrouted: Vec<(&'a str, &'a str)>,
    pub data: &'a Raw,
}

/// An event moved out of a segment that is removed, with all that is known of its deliveries. It keeps
/// its number.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Moved<'a> {
    pub about: MovedRows,
    /// As it came, with this event alone.
    #[serde(borrow)]
    pub request: Request<'a>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct MovedRows {
    pub at_ms: u64,
    pub number: u64,
    /// By target.
    pub rows: Vec<(u16, MovedRow)>,
}

/// What is known of a delivery. A target without any had its delivery at the first attempt.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) enum MovedRow {
    Retry {
        due_ms: u64,
        attempts: u32,
        first_attempt_ms: u64,
        reason: String,
        #[serde(with = "serde_bytes")]
        progress: Vec<u8>,
    },
    Dead(DeadRow),
    Dropped(DeadRow),
    Delivered {
        attempts: u32,
        at_ms: u64,
        receipt: Option<String>,
        fields: Vec<(String, String)>,
    },
}

/// Outcomes of deliveries, of any number of targets.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub(crate) struct Settlements {
    pub at_ms: u64,
    pub targets: Vec<TargetSettlements>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct TargetSettlements {
    pub target: u16,
    /// Everything below is settled or has a row, this record included.
    pub cursor: u64,
    /// Delivered at the first attempt without a receipt: differences, the first from zero.
    pub delivered: Vec<u64>,
    pub others: Vec<Settled>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Settled {
    pub number: u64,
    pub received_ms: u64,
    /// When the row it had until now was due.
    pub row_due_ms: Option<u64>,
    /// Attempts made, this one included.
    pub attempts: u32,
    /// When the first of them was made.
    pub first_attempt_ms: u64,
    pub what: RecordedOutcome,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) enum RecordedOutcome {
    Delivered {
        receipt: Option<String>,
        fields: Vec<(String, String)>,
    },
    Retry {
        due_ms: u64,
        reason: String,
        #[serde(with = "serde_bytes")]
        progress: Vec<u8>,
    },
    Dead {
        reason: String,
    },
    /// Not settled, but the cursor goes on without it: due when its lease ends, or, when it was
    /// parked before and came back without an attempt, at once.
    Parked {
        due_ms: u64,
    },
    /// Nothing about the delivery: it is the first of a message that opened this window.
    Window {
        group: u64,
        until_ms: u64,
    },
    /// Dropped by a person while it waited. The row that says so: the delivery's own, or that of a dropped
    /// range which begins with it.
    Dropped(DeadRow),
}

impl RecordedOutcome {
    /// When the row it makes is due, if it makes one.
    pub(crate) const fn due_ms(&self) -> Option<u64> {
        match self {
            Self::Retry { due_ms, .. } | Self::Parked { due_ms } => Some(*due_ms),
            Self::Delivered { .. } | Self::Dead { .. } | Self::Window { .. } | Self::Dropped(_) => {
                None
            }
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Registry {
    /// New numbers and their names; never given again.
    pub targets: Vec<(u16, String)>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct DeadRange {
    pub target: u16,
    pub from: u64,
    pub to: u64,
    /// Numbers in between that are spared, ascending.
    pub kept: Vec<u64>,
    pub count: u64,
    /// The first that died.
    pub first: u64,
    pub first_received_ms: u64,
    pub at_ms: u64,
    pub reason: String,
    pub cursor: u64,
    /// What of the range was settled before: differences, from `from` on.
    pub settled: Vec<u64>,
}

impl DeadRange {
    /// Whether it has no range, but counts retries whose rows are lost: which events they were for is not known.
    pub(crate) const fn is_of_lost_rows(&self) -> bool {
        self.from == self.to
    }
}

/// An operator's act on one target; durable before it is answered.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Act {
    pub target: u16,
    pub at_ms: u64,
    pub what: ActKind,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) enum ActKind {
    /// `None` lifts it.
    Hold(Option<HoldRow>),
    DeadLetters(DeadLetterChange),
    /// Deliveries that were never tried are dropped together.
    DropRange(DeadRange),
}

impl ActKind {
    /// Whether it only lists dead letters whose rows are lost: which events they were of is not known.
    pub(crate) fn lists_lost_rows(&self) -> bool {
        let Self::DeadLetters(change) = self else { return false };
        change.left.as_ref().is_some_and(|(first, row)| row.to == *first)
    }
}

/// Why a target's deliveries wait.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct HoldRow {
    /// By a verdict, not by a person.
    pub broken: bool,
    pub reason: String,
    pub since_ms: u64,
}

/// Dead letters that were dropped or replayed, and events to be delivered again.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub(crate) struct DeadLetterChange {
    /// Keys of the dead letters' rows that are removed.
    pub gone: Vec<u64>,
    /// How many dead letters these are, without those of `left`.
    pub count: u64,
    /// What is left of a range.
    pub left: Option<(u64, DeadRow)>,
    /// Numbers that get a row, due at once with no attempt made: differences, the first from zero.
    pub replayed: Vec<u64>,
    /// Rows that were removed because their letters were dropped.
    pub dropped: Vec<(u64, DeadRow)>,
}

/// A dead letter, or a range of them that begins there.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct DeadRow {
    pub received_ms: u64,
    pub count: u64,
    pub attempts: u32,
    pub at_ms: u64,
    pub reason: String,
    /// Where the range ends; 0 for a single one.
    pub to: u64,
    /// Runs in the range that did not die, as distances from its first number.
    pub spared: Vec<u64>,
}

impl DeadRow {
    /// Whether that number, if it was planned for the target, is among those that died; `first` is the
    /// row's own.
    pub(crate) fn died(&self, first: u64, number: u64) -> bool {
        first == number
            || (first < number
                && number < self.to
                && !Runs::from_deltas(first, &self.spared).contains(number))
    }
}

/// The state of all targets where a segment starts.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub(crate) struct Checkpoint {
    pub targets: Vec<TargetRow>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub(crate) struct TargetRow {
    pub name: String,
    pub cursor: u64,
    /// Runs settled above the cursor, as distances.
    pub done: Vec<u64>,
    /// The newest delivery planned for it.
    pub last_routed: Option<u64>,
    pub pending: u64,
    pub retrying: u64,
    pub dead: u64,
    /// Why the target gets no deliveries.
    pub hold: Option<HoldRow>,
}

/// Put by a repair where nothing could be read: its frame fills that stretch, with zeros after the record.
/// A stretch too short for the record has zeros alone; a payload that cannot be read means the default.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Lost {
    /// When it was found.
    pub at_ms: u64,
    /// What lay there certainly brought no target anything.
    pub no_requests: bool,
}

impl Lost {
    pub(crate) fn read(payload: &[u8]) -> Self {
        decode(payload).unwrap_or_default()
    }

    /// A frame that takes that many bytes of the log; `None` when they are too few for any.
    pub(crate) fn frame(self, bytes: u64) -> Option<Frame> {
        let whole = usize::try_from(bytes).ok()?;
        let mut frame = vec![0; HEADER_BYTES];
        let payload = postcard::to_allocvec(&self).ok()?;
        if HEADER_BYTES + payload.len() <= whole {
            frame.extend_from_slice(&payload);
        }
        frame.resize(whole.max(HEADER_BYTES), 0);
        Frame::seal(Kind::Lost, frame).filter(|frame| frame.size() == bytes)
    }
}

/// A payload is not what its kind says, although its checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record cannot be read")]
pub(crate) struct Unreadable;

/// Encodes a record into a frame without its place. `None` above 4 GiB.
pub(crate) fn frame<T: Serialize>(kind: Kind, record: &T, bytes_hint: usize) -> Option<Frame> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + bytes_hint);
    bytes.resize(HEADER_BYTES, 0);
    Frame::seal(kind, postcard::to_extend(record, bytes).ok()?)
}

pub(crate) fn decode<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Unreadable> {
    postcard::from_bytes(payload).map_err(|_| Unreadable)
}

/// Only the targets of a request.
pub(crate) fn request_targets(payload: &[u8]) -> Result<Vec<u16>, Unreadable> {
    postcard::take_from_bytes(payload).map(|(targets, _)| targets).map_err(|_| Unreadable)
}

/// Ascending numbers from their differences.
pub(crate) fn from_deltas(deltas: &[u64]) -> impl Iterator<Item = u64> + '_ {
    deltas.iter().scan(0u64, |at, delta| {
        *at = at.wrapping_add(*delta);
        Some(*at)
    })
}

/// Differences of ascending numbers.
pub(crate) fn to_deltas(numbers: &[u64]) -> Vec<u64> {
    let mut at = 0;
    numbers
        .iter()
        .map(|number| {
            let delta = number.wrapping_sub(at);
            at = *number;
            delta
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settled() -> impl Strategy<Value = Settled> {
        let what = prop_oneof![
            (any::<Option<String>>(), any::<Vec<(String, String)>>())
                .prop_map(|(receipt, fields)| RecordedOutcome::Delivered { receipt, fields }),
            (any::<u64>(), ".{0,20}", any::<Vec<u8>>()).prop_map(|(due_ms, reason, progress)| {
                RecordedOutcome::Retry { due_ms, reason, progress }
            }),
            ".{0,20}".prop_map(|reason| RecordedOutcome::Dead { reason }),
            any::<u64>().prop_map(|due_ms| RecordedOutcome::Parked { due_ms }),
            any::<(u64, u64)>()
                .prop_map(|(group, until_ms)| RecordedOutcome::Window { group, until_ms }),
        ];
        (any::<u64>(), any::<u64>(), any::<Option<u64>>(), any::<u32>(), any::<u64>(), what)
            .prop_map(|(number, received_ms, row_due_ms, attempts, first_attempt_ms, what)| {
                Settled { number, received_ms, row_due_ms, attempts, first_attempt_ms, what }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn settlements_survive_the_round_trip(
            at_ms: u64, cursor: u64, target: u16,
            mut delivered: Vec<u64>,
            others in proptest::collection::vec(settled(), 0..5),
        ) {
            delivered.sort_unstable();
            let record = Settlements {
                at_ms,
                targets: vec![TargetSettlements { target, cursor, delivered: to_deltas(&delivered), others }],
            };
            let payload = postcard::to_allocvec(&record).unwrap();
            let back: Settlements = decode(&payload).unwrap();
            prop_assert_eq!(from_deltas(&back.targets[0].delivered).collect::<Vec<_>>(), delivered);
            prop_assert_eq!(back, record);
        }

        #[test]
        fn a_request_survives_and_its_targets_can_be_read_alone(
            targets: Vec<u16>, received_ms: u64, source: String, title: String,
            value: Vec<u8>, data: Vec<u8>, key: Option<[u8; 16]>, subject: Option<String>,
        ) {
            let record = Request {
                targets: targets.clone(), received_ms, verified_ms: 2, source: &source, scheme: "sqreen",
                key: 1, config: 3, headers: vec![("x-y", Raw::new(&value))],
                events: vec![Event {
                    targets: targets.clone(), event_type: "t", subject: subject.as_deref(), time: None,
                    title: &title, link: None, severity: 2, other_shape: true,
                    dedup: key, unrouted: vec![("a", "b")], data: Raw::new(&data),
                }],
            };
            let payload = postcard::to_allocvec(&record).unwrap();
            prop_assert_eq!(decode::<Request>(&payload).unwrap(), record);
            prop_assert_eq!(request_targets(&payload).unwrap(), targets);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = decode::<Request>(&bytes);
            let _ = decode::<Settlements>(&bytes);
            let _ = decode::<DeadRange>(&bytes);
            let _ = decode::<Act>(&bytes);
            let _ = decode::<Moved>(&bytes);
            let _ = decode::<Checkpoint>(&bytes);
            let _ = decode::<Registry>(&bytes);
        }
    }
}
