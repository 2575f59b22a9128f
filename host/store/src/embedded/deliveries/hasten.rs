//! Makes retries due now, because a person asked for it or their target was replaced.
//!
//! Claims stop meanwhile. So no retry that was just delivered is recorded again, and no message is sent before all of its
//! events are due.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use dispatcher_model::{EventId, TargetNumber};
use tokio::runtime::Handle;

use super::backlog::CHUNK_MAX;
use super::waiting::Still;
use crate::embedded::core::blocking::blocking;
use crate::embedded::core::inbox::{Command, unknown};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::format::record::{RecordedOutcome, Settled};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::RetryRow;
use crate::embedded::limits::{DIGEST_BYTES_MAX, SETTLEMENT_BYTES_MAX};
use crate::embedded::platform::locks::lock;
use crate::{DIGEST_EVENTS_MAX, Later, Retries, StoreError};

/// About what a row takes in a record besides its texts.
const ROW_BYTES: usize = 48;
/// A record takes no further row above this, also of those that are due at the same time as the last one.
const ROWS_MAX: usize = CHUNK_MAX + DIGEST_EVENTS_MAX;
const ROWS_BYTES_MAX: usize = SETTLEMENT_BYTES_MAX + DIGEST_BYTES_MAX;

/// Which retries of a target are meant.
enum Chosen {
    All,
    Some {
        events: BTreeSet<u64>,
        /// When the messages that these events were part of are due: all events of a message stay together.
        messages_due_ms: BTreeSet<u64>,
    },
}

impl Chosen {
    fn new(shared: &Shared, target: &Target, which: Retries) -> Result<Self, StoreError> {
        let (events, are_whole) = match which {
            Retries::All => return Ok(Self::All),
            Retries::Of(events) => (events, false),
            Retries::OfMessagesWith(events) => (events, true),
        };
        let events: BTreeSet<u64> = events.into_iter().map(EventId::number).collect();
        let mut messages_due_ms = BTreeSet::new();
        if are_whole {
            let mut visit = |due_ms, number, row: RetryRow| {
                if row.attempts > 0 && events.contains(&number) {
                    messages_due_ms.insert(due_ms);
                }
                ControlFlow::Continue(())
            };
            shared.with_index(|index| index.retries(target.number, 0, &mut visit))?;
        }
        Ok(Self::Some { events, messages_due_ms })
    }

    fn has(&self, due_ms: u64, number: u64, row: &RetryRow) -> bool {
        match self {
            Self::All => true,
            Self::Some { events, messages_due_ms } => {
                events.contains(&number) || (row.attempts > 0 && messages_due_ms.contains(&due_ms))
            }
        }
    }
}

/// How many retries are due later, and deliveries that wait for a digest.
pub(crate) async fn later(
    shared: &Arc<Shared>,
    target: TargetNumber,
    which: Retries,
) -> Result<Later, StoreError> {
    let known = shared.target(target.0).ok_or_else(|| unknown(target))?;
    shared.ask(|reply| Command::CatchUp { reply }).await?;
    let shared = shared.clone();
    blocking(move || {
        let chosen = Chosen::new(&shared, &known, which)?;
        let now_ms = shared.now().seen.as_millis();
        let held = lock(&known.live).held_rows();
        let mut later = Later::default();
        let mut visit = |due_ms, number, row: RetryRow| {
            let waits = due_ms > now_ms && held.binary_search(&number).is_err();
            if waits && chosen.has(due_ms, number, &row) {
                let count =
                    if row.attempts > 0 { &mut later.retries } else { &mut later.for_digest };
                *count += 1;
            }
            ControlFlow::Continue(())
        };
        shared.with_index(|index| index.retries(known.number, now_ms, &mut visit))?;
        Ok(later)
    })
    .await
}

/// Rows to record again, for one record. It ends between two times at which rows are due, because the events of a message
/// are due together, unless more are due at one time than a message has.
#[derive(Default)]
struct Page {
    rows: Vec<Settled>,
    bytes: usize,
    /// The place of the last row.
    last: Option<(u64, u64)>,
    /// There may be more behind it.
    is_cut: bool,
}

impl Page {
    fn takes(&self, due_ms: u64) -> bool {
        let is_full = self.rows.len() >= CHUNK_MAX || self.bytes >= SETTLEMENT_BYTES_MAX;
        let is_between = self.last.is_some_and(|(last_ms, _)| last_ms != due_ms);
        let is_over = self.rows.len() >= ROWS_MAX || self.bytes >= ROWS_BYTES_MAX;
        !(is_over || (is_full && is_between))
    }

    fn add(&mut self, (number, due_ms, row): (u64, u64, RetryRow), now_ms: u64) {
        self.bytes += ROW_BYTES + row.reason.len() + row.progress.len();
        self.rows.push(due_now((number, due_ms, row), now_ms));
        self.last = Some((due_ms, number));
    }
}

/// Makes these retries due now. A retry that is being attempted is left alone, and so is a delivery that waits for a digest.
/// Returns how many; durable then. It is done whole, also if the caller does not wait for it.
pub(crate) async fn hasten(
    shared: &Arc<Shared>,
    target: TargetNumber,
    which: Retries,
) -> Result<u64, StoreError> {
    let known = shared.target(target.0).ok_or_else(|| unknown(target))?;
    let work = hasten_all(shared.clone(), known, which);
    match Handle::try_current() {
        Ok(runtime) => runtime
            .spawn(work)
            .await
            .unwrap_or_else(|error| Err(StoreError::Interrupted { reason: error.to_string() })),
        Err(_) => work.await,
    }
}

async fn hasten_all(
    shared: Arc<Shared>,
    known: Arc<Target>,
    which: Retries,
) -> Result<u64, StoreError> {
    let target = TargetNumber(known.number);
    let _alone = known.loading.clone().lock_owned().await;
    let _still = Still::new(&known);
    // The index must first have the rows of everything settled so far.
    flush(&shared).await?;
    let (on, of) = (shared.clone(), known.clone());
    let chosen = Arc::new(blocking(move || Chosen::new(&on, &of, which)).await?);
    // A row whose attempt ends meanwhile is hastened once at most: it is due later than this.
    let mut from = (shared.now().seen.as_millis(), u64::MAX);
    let mut count = 0;
    loop {
        let (on, of, chosen) = (shared.clone(), known.clone(), chosen.clone());
        let Page { rows, last, is_cut, .. } =
            blocking(move || page(&on, &of, from, &chosen)).await?;
        if !rows.is_empty() {
            count += shared.ask(|reply| Command::GiveUp { target, rows, reply }).await?;
        }
        let Some(last) = last.filter(|_| is_cut) else { break };
        from = last;
    }
    flush(&shared).await?;
    Ok(count)
}

async fn flush(shared: &Shared) -> Result<(), StoreError> {
    shared.ask(|reply| Command::Flush { reply }).await
}

/// The next rows behind `from`.
fn page(
    shared: &Shared,
    target: &Target,
    from: (u64, u64),
    chosen: &Chosen,
) -> Result<Page, StoreError> {
    let now_ms = shared.now().seen.as_millis();
    let held = lock(&target.live).held_rows();
    let mut page = Page::default();
    let mut visit = |due_ms, number, row: RetryRow| {
        // Also those that this made due now.
        if (due_ms, number) <= from || due_ms <= now_ms {
            return ControlFlow::Continue(());
        }
        if !page.takes(due_ms) {
            page.is_cut = true;
            return ControlFlow::Break(());
        }
        let is_free = row.attempts > 0 && held.binary_search(&number).is_err();
        if is_free && chosen.has(due_ms, number, &row) {
            page.add((number, due_ms, row), now_ms);
        }
        ControlFlow::Continue(())
    };
    shared.with_index(|index| index.retries(target.number, from.0, &mut visit))?;
    Ok(page)
}

/// The same row, due now. When its event was received matters only for a dead letter, so the event is not read.
fn due_now((number, due_ms, row): (u64, u64, RetryRow), now_ms: u64) -> Settled {
    let RetryRow { attempts, first_attempt_ms, reason, progress } = row;
    let what = RecordedOutcome::Retry { due_ms: now_ms, reason, progress };
    let (received_ms, row_due_ms) = (first_attempt_ms, Some(due_ms));
    Settled { number, received_ms, row_due_ms, attempts, first_attempt_ms, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many rows each record has if that many are due at 1, at 2, and so on.
    fn records(due: &[usize], reason_bytes: usize) -> Vec<usize> {
        let (mut page, mut pages) = (Page::default(), Vec::new());
        let rows = (1u64..).zip(due).flat_map(|(due_ms, count)| vec![due_ms; *count]);
        for (number, due_ms) in (0u64..).zip(rows) {
            if !page.takes(due_ms) {
                pages.push(std::mem::take(&mut page).rows.len());
            }
            let reason = "x".repeat(reason_bytes);
            let row = RetryRow { attempts: 1, first_attempt_ms: 0, reason, progress: Vec::new() };
            page.add((number, due_ms, row), 0);
        }
        pages.push(page.rows.len());
        pages
    }

    #[test]
    fn a_record_ends_between_messages() {
        assert_eq!(records(&[999, DIGEST_EVENTS_MAX, 1], 0), [2_999, 1]);
        assert_eq!(records(&[DIGEST_EVENTS_MAX; 2], 100), [DIGEST_EVENTS_MAX; 2]);
        assert_eq!(records(&[100; 25], 0), [1_000, 1_000, 500]);
        // More than a message has are due at one time.
        assert_eq!(records(&[7_000], 0), [ROWS_MAX, ROWS_MAX, 1_000]);
        assert_eq!(records(&[1_000], 1_024), [505, 495]);
    }
}
