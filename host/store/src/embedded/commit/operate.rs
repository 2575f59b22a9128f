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
use crate::embedded::format::frame::Kind;
use crate::embedded::format::record::{
    self, Act, ActKind, Settled, Settlements, TargetSettlements,
};
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
