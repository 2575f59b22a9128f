//! Dead letters whose events are removed with the oldest segment: old ones are removed too, the others
//! stay listed without their events.

use super::relocate::Exception;
use super::retire::{Meanwhile, Oldest, PAGE_ROWS, Retention, ask};
use crate::StoreError;
use crate::embedded::core::inbox::Command;
use crate::embedded::core::shared::Target;
use crate::embedded::deliveries::gone::{Rows, folded, row_bytes, unlist};
use crate::embedded::format::event_number::number;
use crate::embedded::format::record::{ActKind, DeadLetterChange};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{Index, IndexError, Space, dead_key, word};
use crate::embedded::limits::SETTLEMENT_BYTES_MAX;
use dispatcher_model::TargetNumber;

impl Retention {
    /// Removes dead letters that are too old, and lists the others as one. Returns whether there were any.
    pub(crate) fn fold(
        &self,
        oldest: &Oldest,
        target: &Target,
        dead: &[Exception],
        wait: Meanwhile<'_>,
    ) -> Result<bool, StoreError> {
        let (mut change, mut left, mut bytes) = (DeadLetterChange::default(), Vec::new(), 0);
        for Exception { number, .. } in dead {
            if bytes >= SETTLEMENT_BYTES_MAX {
                break;
            }
            let row =
                self.shared.with_index(|index| index.dead_at(target.number, *number, false))?;
            let Some(row) = row.filter(|row| row.to == 0) else { continue };
            bytes += row_bytes(&row);
            let drops = oldest.aged && self.is_old(row.at_ms, oldest.now_ms);
            if drops {
                change.count += 1;
            } else {
                left.push((*number, row.clone()));
            }
            let letter = (*number, row);
            self.shared
                .with_index(|index| unlist(&mut change, index, target.number, letter, drops))?;
        }
        if change.gone.is_empty() {
            return Ok(false);
        }
        let (gone, listed) = (change.count, left.len());
        change.left = folded(left);
        self.change(target.number, change, wait)?;
        tracing::info!(to = %target.name, gone, listed,
            "removed dead letters with the oldest segment, or listed them without their events");
        Ok(true)
    }

    fn change(
        &self,
        target: u16,
        change: DeadLetterChange,
        wait: Meanwhile<'_>,
    ) -> Result<u64, StoreError> {
        let (target, what) = (TargetNumber(target), ActKind::DeadLetters(change));
        ask(&self.shared, |reply| Command::Operate { target, what, reply }, wait)
    }

    fn is_old(&self, at_ms: u64, now_ms: u64) -> bool {
        self.shared.retention.age_ms.is_some_and(|age| at_ms.saturating_add(age) < now_ms)
    }

    /// Handles ranges of dead letters that end within the segment: removes old ones, and writes the others
    /// again if only this segment has them. Returns whether there were any.
    pub(crate) fn ranges(
        &self,
        oldest: &Oldest,
        targets: u16,
        wait: Meanwhile<'_>,
    ) -> Result<bool, StoreError> {
        let mut done = false;
        for target in 0..targets {
            let (old, kept) =
                self.shared.with_index(|index| self.ended_ranges(index, oldest, target))?;
            let count = old.iter().map(|(_, row)| row.count).sum();
            if !old.is_empty() {
                let gone = old.iter().map(|(first, _)| *first).collect();
                let change =
                    DeadLetterChange { gone, count, dropped: old, ..DeadLetterChange::default() };
                self.change(target, change, wait)?;
                let to = self.shared.target(target).map(|target| target.name.clone());
                tracing::info!(
                    to = to.as_deref(),
                    count,
                    "removed dead letters: older than retention.age"
                );
                done = true;
            }
            for row in kept {
                let change = DeadLetterChange { left: Some(row), ..DeadLetterChange::default() };
                self.change(target, change, wait)?;
                done = true;
            }
        }
        Ok(done)
    }

    fn ended_ranges(
        &self,
        index: &dyn Index,
        oldest: &Oldest,
        target: u16,
    ) -> Result<(Rows, Rows), IndexError> {
        let (mut old, mut kept, mut from) = (Vec::new(), Vec::new(), dead_key(target, 0));
        let mut bytes = 0;
        let trusted = self.shared.retention.is_clock_trusted(self.shared.now());
        loop {
            let page = index.scan(Space::Range, &from, PAGE_ROWS)?;
            for (key, lsn) in &page {
                let ours = key.starts_with(&target.to_be_bytes());
                let Some(first) = word(key, 2).filter(|n| ours && *n < number(oldest.end, 0))
                else {
                    return Ok((old, kept));
                };
                let row = index.dead_at(target, first, false)?;
                // A letter of the first event alone is not a range, though a dropped range with its mark may begin there.
                let ended = 1..=number(oldest.end, 0);
                let Some(row) = row.filter(|row| ended.contains(&row.to)) else { continue };
                if bytes >= SETTLEMENT_BYTES_MAX {
                    return Ok((old, kept));
                }
                bytes += row_bytes(&row);
                if trusted && self.is_old(row.at_ms, oldest.now_ms) {
                    old.push((first, row));
                } else if word(lsn, 0).is_none_or(|lsn| lsn < oldest.end) {
                    kept.push((first, row));
                }
            }
            let Some((last, _)) = page.last().filter(|_| page.len() == PAGE_ROWS) else {
                return Ok((old, kept));
            };
            from.clone_from(last);
            from.push(0);
        }
    }
}
