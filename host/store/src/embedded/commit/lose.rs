//! Records retries and dead letters whose rows are lost with a part of the log as dead letters.

use std::sync::Arc;

use super::committer::Committer;
use super::group::Unwritten;
use crate::embedded::core::inbox::LostRows;
use crate::embedded::core::shared::Target;
use crate::embedded::format::entry::Effects;
use crate::embedded::format::event_number;
use crate::embedded::format::frame::Kind;
use crate::embedded::format::record::{self, Act, ActKind, DeadLetterChange, DeadRange, DeadRow};
use crate::embedded::format::segment_header::SEGMENT_HEADER_BYTES;
use crate::embedded::platform::locks::lock;

const RETRIES_LOST: &str =
    "a part of the log is lost, and with it which events were to be tried again";

const LETTERS_LOST: &str = "a part of the log is lost, and with it which events these dead letters were of: there were \
                            at most so many";

impl Committer {
    pub(super) fn lose_rows(&mut self, lost: LostRows) {
        let LostRows { target, retries, letters } = lost;
        let Some(target) = self.shared.target(target.0) else { return };
        if letters > 0 {
            self.list_again(&target, letters);
        }
        if retries > 0 {
            self.give_up_retries(&target, retries);
        }
    }

    /// Dead letters that are counted, and that no row lists.
    fn list_again(&mut self, target: &Target, count: u64) {
        self.shared.log_unreadable(&target.name, LETTERS_LOST);
        let at_ms = self.shared.clock.wall_ms();
        let at = lost_rows_number(self.shared.reader.start(), at_ms, true);
        let reason = LETTERS_LOST.to_owned();
        let (attempts, to, spared) = (0, at, Vec::new());
        let row = DeadRow { received_ms: at_ms, count, attempts, at_ms, reason, to, spared };
        let change = DeadLetterChange { left: Some((at, row)), ..DeadLetterChange::default() };
        let what = ActKind::DeadLetters(change);
        let record = Arc::new(Act { target: target.number, at_ms, what });
        if let Some(frame) = record::frame(Kind::Act, &*record, 256) {
            self.place_or_queue(Unwritten { frame, effects: Effects::Act(record) });
        }
    }

    fn give_up_retries(&mut self, target: &Target, count: u64) {
        let reason = RETRIES_LOST.to_owned();
        self.shared.log_unreadable(&target.name, &reason);
        let at_ms = self.shared.clock.wall_ms();
        let at = lost_rows_number(self.shared.reader.start(), at_ms, false);
        let mut live = lock(&target.live);
        live.counts.lost_rows(count);
        let record = Arc::new(DeadRange {
            target: target.number,
            from: at,
            to: at,
            kept: Vec::new(),
            count,
            first: at,
            first_received_ms: at_ms,
            at_ms,
            reason,
            cursor: live.cursor(),
            settled: Vec::new(),
        });
        drop(live);
        if let Some(frame) = record::frame(Kind::DeadRange, &*record, 256) {
            self.place_or_queue(Unwritten { frame, effects: Effects::DeadRange(record) });
        }
    }
}

/// A number that no event has, because the header of a segment is there. Letters of both kinds have their own, and so has
/// each loss, because one is found in more than a second.
const fn lost_rows_number(start: u64, at_ms: u64, letters: bool) -> u64 {
    let (first, end) =
        (event_number::number(start, 1), event_number::number(start + SEGMENT_HEADER_BYTES, 0));
    let half = (end - first) / 2;
    first + (at_ms / 1_000) % half + if letters { half } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_has_a_number_of_its_own_that_no_event_has() {
        let start = 3 << 20;
        let numbers: std::collections::BTreeSet<u64> = (0..1_000)
            .flat_map(|second| [true, false].map(|letters| (second, letters)))
            .map(|(second, letters)| {
                lost_rows_number(start, 1_790_000_000_000 + second * 1_000, letters)
            })
            .collect();
        assert_eq!(numbers.len(), 2_000);
        let places = numbers.iter().map(|number| event_number::lsn_of(*number));
        assert!(places.into_iter().all(|lsn| (start..start + SEGMENT_HEADER_BYTES).contains(&lsn)));
    }
}
