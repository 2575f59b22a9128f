//! Acts on a target: holds, changes of dead letters, deliveries that are given up.
//!
//! Each act is a record that is durable before it is answered. Its caller looked up what it concerns, and
//! holds a lock so that it cannot change meanwhile.

use std::sync::Arc;

use dispatcher_model::{TargetNumber, Timestamp};

use super::committer::Committer;
use super::group::{Unwritten, Waiting};
use crate::StoreError;
use crate::embedded::core::inbox::{Reply, unknown};
use crate::embedded::format::entry::Effects;
use crate::embedded::format::event_number;
use crate::embedded::format::frame::Kind;
use crate::embedded::format::record::{
    self, Act, ActKind, DeadRange, Settled, Settlements, TargetSettlements,
};
use crate::embedded::format::segment_header::SEGMENT_HEADER_BYTES;
use crate::embedded::platform::locks::lock;
use crate::embedded::target::expire_range::ExpireRange;
use crate::embedded::target::live::RowLease;

impl Committer {
    pub(crate) fn operate(&mut self, number: TargetNumber, what: ActKind, reply: Reply<u64>) {
        let Some(target) = self.shared.target(number.0) else {
            return drop(reply.send(Err(unknown(number))));
        };
        // Both may have been on their way at once: what a person wants counts.
        if matches!(&what, ActKind::Hold(Some(hold)) if hold.broken) && self.is_paused(number) {
            return drop(reply.send(Ok(0)));
        }
        let now = self.shared.now();
        // A replayed delivery is due at the time of its record.
        let at_ms = now.wall.min(now.seen).as_millis();
        let record = Arc::new(Act { target: number.0, at_ms, what });
        let Some(frame) = record::frame(Kind::Act, &*record, 256) else {
            return drop(reply.send(Err(StoreError::TooLarge {
                what: "one record".into(),
                max: u32::MAX as usize,
            })));
        };
        let mut live = lock(&target.live);
        let count = match &record.what {
            ActKind::Hold(hold) => {
                live.hold.clone_from(hold);
                // A held target keeps no deliveries in memory.
                live.unload();
                0
            }
            ActKind::DeadLetters(change) => {
                live.counts.changed(change);
                (change.replayed.len() as u64).max(change.count)
            }
            // Made from what the target has in memory, see `expire`.
            ActKind::DropRange(_) => 0,
        };
        drop(live);
        target.woken.notify_waiters();
        self.place_or_queue(Unwritten { frame, effects: Effects::Act(record) });
        if let Some(reply) = self.unless_refused(reply) {
            self.group.wait(Waiting::Operated { reply, count });
        }
    }

    /// Ends a hold, unless a person paused the target: the pause may have come while this was on its way.
    pub(crate) fn let_go(&mut self, number: TargetNumber, reply: Reply<u64>) {
        if self.is_paused(number) {
            return drop(reply.send(Ok(0)));
        }
        self.operate(number, ActKind::Hold(None), reply);
    }

    fn is_paused(&self, number: TargetNumber) -> bool {
        let target = self.shared.target(number.0);
        target
            .is_some_and(|target| lock(&target.live).hold.as_ref().is_some_and(|hold| !hold.broken))
    }

    pub(crate) fn give_up(&mut self, number: TargetNumber, rows: Vec<Settled>, reply: Reply<u64>) {
        let Some(target) = self.shared.target(number.0) else {
            return drop(reply.send(Err(unknown(number))));
        };
        let now = self.shared.now();
        let mut live = lock(&target.live);
        let mut others = Vec::new();
        for row in rows {
            let Some(due_ms) = row.row_due_ms else {
                if live.give_up(row.number) {
                    live.counts.settled(&row);
                    others.push(row);
                }
                continue;
            };
            if live.rows.contains_key(&row.number) {
                continue;
            }
            live.loaded.retain(|loaded| loaded.number != row.number);
            // Until the index knows, it still shows the row.
            let lease = RowLease {
                due_ms,
                attempts: row.attempts,
                first_attempt: Timestamp::from_millis(row.first_attempt_ms),
                received: Timestamp::from_millis(row.received_ms),
                until: now.steady,
                settled: true,
            };
            live.rows.insert(row.number, lease);
            live.counts.settled(&row);
            others.push(row);
        }
        let (count, cursor) = (others.len() as u64, live.cursor());
        drop(live);
        let settled = TargetSettlements { target: number.0, cursor, delivered: Vec::new(), others };
        let mut record = Settlements { at_ms: now.wall.as_millis(), targets: vec![settled] };
        self.seal(&mut record);
        if let Some(reply) = self.unless_refused(reply) {
            self.group.wait(Waiting::Operated { reply, count });
        }
    }

    pub(super) fn lose_rows(&mut self, number: TargetNumber, count: u64) {
        let Some(target) = self.shared.target(number.0) else { return };
        let reason =
            "a part of the log is lost, and with it which events were to be tried again".to_owned();
        self.shared.log_unreadable(&target.name, &reason);
        let at_ms = self.shared.clock.wall_ms();
        // No event has that number, and no other letter: one loss is found in more than a second.
        let at = lost_rows_number(self.shared.reader.start(), at_ms);
        let mut live = lock(&target.live);
        live.counts.lost_rows(count);
        let record = Arc::new(DeadRange {
            target: number.0,
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

    pub(super) fn expire(
        &mut self,
        number: TargetNumber,
        range: ExpireRange,
        before: Timestamp,
        reply: Reply<Option<u64>>,
    ) {
        let Some(target) = self.shared.target(number.0) else {
            return drop(reply.send(Err(unknown(number))));
        };
        let (from, nothing, drops) = (range.from, range.count == 0, range.drops);
        let mut live = lock(&target.live);
        let went_on = live.next != from;
        let expired = live.expire(range, before);
        drop(live);
        let Some(record) = expired else {
            debug_assert!(went_on || nothing);
            return drop(reply.send(Ok((!went_on).then_some(0))));
        };
        let count = record.count;
        let (frame, effects) = if drops {
            let (at_ms, what) = (record.at_ms, ActKind::DropRange(record));
            let act = Arc::new(Act { target: number.0, at_ms, what });
            (record::frame(Kind::Act, &*act, 256), Effects::Act(act))
        } else {
            let record = Arc::new(record);
            (record::frame(Kind::DeadRange, &*record, 256), Effects::DeadRange(record))
        };
        if let Some(frame) = frame {
            self.place_or_queue(Unwritten { frame, effects });
        }
        if let Some(reply) = self.unless_refused(reply) {
            self.group.wait(Waiting::Expired { reply, count });
        }
    }
}

/// A number that no event has: the header of a segment is there.
const fn lost_rows_number(start: u64, at_ms: u64) -> u64 {
    let (first, end) =
        (event_number::number(start, 1), event_number::number(start + SEGMENT_HEADER_BYTES, 0));
    first + (at_ms / 1_000) % (end - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_has_a_number_of_its_own_that_no_event_has() {
        let start = 3 << 20;
        let numbers: std::collections::BTreeSet<u64> = (0..1_000)
            .map(|second| lost_rows_number(start, 1_790_000_000_000 + second * 1_000))
            .collect();
        assert_eq!(numbers.len(), 1_000);
        let places = numbers.iter().map(|number| event_number::lsn_of(*number));
        assert!(places.into_iter().all(|lsn| (start..start + SEGMENT_HEADER_BYTES).contains(&lsn)));
    }
}
