//! Bugs that the simulation must find, put in on purpose: proof that it can fail.
//!
//! They are part of test builds only, and off unless a test plants one.

use std::cell::Cell;

use crate::embedded::format::entry::Entry;
use crate::embedded::format::record::{RecordedOutcome, TargetSettlements};
use crate::embedded::log::segments::Stretch;
use crate::embedded::target::live::Live;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::embedded) enum Planted {
    /// A settlement's record has the reader's place as cursor, not that of the oldest open delivery.
    CursorAtClaimed,
    /// A delivery that failed is recorded as settled, but without its row.
    RetryLost,
    /// Senders are answered before the disk has their events.
    AckBeforeSync,
    /// The index is told of settlements that are not on disk.
    IndexAhead,
    /// The outcomes of a digest are spread over records of their own.
    DigestInParts,
    /// A start believes frames that are perhaps in the kernel's memory only.
    RewriteSkipped,
    /// An event moves out of a segment that goes, but what is known of its deliveries does not.
    MovedBare,
}

pub(super) const ALL: [Planted; 7] = [
    Planted::CursorAtClaimed,
    Planted::RetryLost,
    Planted::AckBeforeSync,
    Planted::IndexAhead,
    Planted::DigestInParts,
    Planted::RewriteSkipped,
    Planted::MovedBare,
];

thread_local! {
    // A seed has one thread for itself.
    static PLANTED: Cell<Option<Planted>> = const { Cell::new(None) };
    static SENT: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn plant(bug: Option<Planted>) {
    PLANTED.set(bug);
    SENT.set(0);
}

/// Frames that the index was not told of before.
pub(in crate::embedded) fn not_sent(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.retain(|entry| entry.end > SENT.get());
    if let Some(last) = entries.last() {
        SENT.set(last.end);
    }
    entries
}

pub(in crate::embedded) fn is_planted(bug: Planted) -> bool {
    PLANTED.get() == Some(bug)
}

/// Where a settlement's record is made.
pub(in crate::embedded) fn spoil(record: &mut TargetSettlements, live: &Live) {
    match PLANTED.get() {
        Some(Planted::CursorAtClaimed) => record.cursor = live.next,
        Some(Planted::RetryLost) => {
            record.others.retain(|settled| !matches!(settled.what, RecordedOutcome::Retry { .. }));
        }
        _ => {}
    }
}

/// What a start writes again.
pub(in crate::embedded) fn nothing_of(stretch: Stretch) -> Stretch {
    let to = if is_planted(Planted::RewriteSkipped) { stretch.from } else { stretch.to };
    Stretch { to, ..stretch }
}
