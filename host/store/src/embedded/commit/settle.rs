//! Settles claimed deliveries: many outcomes share one record of the log.

use std::collections::VecDeque;
use std::sync::Arc;

use dispatcher_model::TargetNumber;

use super::committer::Committer;
use super::group::Unwritten;
use super::unwritten::disk_refuses;
use crate::embedded::core::inbox::unknown;
use crate::embedded::format::entry::Effects;
use crate::embedded::format::frame::Kind;
use crate::embedded::format::record::{self, Settlements};
use crate::embedded::limits::{DIGEST_BYTES_MAX, LAZY_BYTES_REFUSED, SETTLEMENT_BYTES_MAX};
use crate::embedded::platform::locks::lock;
use crate::embedded::target::settle::open_window;
use crate::{Settlement, StoreError, Window};

impl Committer {
    pub(super) fn settle(
        &mut self,
        (target, outcomes, mut window): (TargetNumber, Vec<Settlement>, Option<Window>),
        record: &mut Settlements,
        bytes: &mut usize,
    ) -> Result<(), StoreError> {
        let target = self.shared.target(target.0).ok_or_else(|| unknown(target))?;
        if self.unwritten_bytes >= LAZY_BYTES_REFUSED {
            return Err(disk_refuses());
        }
        let store = self.shared.identity.store;
        let mut list: VecDeque<Settlement> =
            outcomes.into_iter().filter(|settlement| settlement.event.store() == store).collect();
        let now = self.shared.now();
        let mut wake = false;
        let record_bytes_max = if window.is_some() {
            // All of a message or nothing: it does not share a record.
            self.seal(record);
            *bytes = 0;
            DIGEST_BYTES_MAX
        } else {
            SETTLEMENT_BYTES_MAX
        };
        while !list.is_empty() {
            let room = record_bytes_max.saturating_sub(*bytes);
            let step = lock(&target.live).settle(&mut list, room.max(1), now);
            wake |= step.wake;
            if let Some(mut settled) = step.record {
                if let Some(window) = window.take() {
                    open_window(&mut settled, window);
                }
                record.targets.push(settled);
                *bytes += step.bytes;
            }
            if *bytes >= SETTLEMENT_BYTES_MAX {
                self.seal(record);
                *bytes = 0;
            }
        }
        if wake {
            target.woken.notify_waiters();
        }
        Ok(())
    }

    /// Places the outcomes gathered so far.
    pub(crate) fn seal(&mut self, record: &mut Settlements) {
        if record.targets.is_empty() {
            return;
        }
        let targets = std::mem::take(&mut record.targets);
        let sealed = Arc::new(Settlements { at_ms: record.at_ms, targets });
        if let Some(frame) = record::frame(Kind::Settlements, &*sealed, 256) {
            self.place_or_queue(Unwritten { frame, effects: Effects::Settlements(sealed) });
        }
    }
}
