//! Makes retries due now, because a person asked for it or their target was replaced.
//!
//! Claims stop meanwhile. So no retry that was just delivered is recorded again, and no message is sent before all of its
//! events are due.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use dispatcher_model::{EventId, TargetNumber};

use super::backlog::CHUNK_MAX;
use super::waiting::Still;
use crate::embedded::core::blocking::blocking;
use crate::embedded::core::events::event;
use crate::embedded::core::inbox::{Command, unknown};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::format::record::{RecordedOutcome, Settled};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::RetryRow;
use crate::embedded::limits::SETTLEMENT_BYTES_MAX;
use crate::embedded::platform::locks::lock;
use crate::{Later, StoreError};

/// About what a row takes in a record besides its texts.
const ROW_BYTES: usize = 64;

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
    /// As asked for. A target has windows if it combines deliveries into messages.
    fn new(
        shared: &Shared,
        target: &Target,
        events: Option<Vec<EventId>>,
    ) -> Result<Self, StoreError> {
        let Some(events) = events else { return Ok(Self::All) };
        let events: BTreeSet<u64> = events.into_iter().map(EventId::number).collect();
        let mut messages_due_ms = BTreeSet::new();
        if !shared.windows(target.number)?.is_empty() {
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
    events: Option<Vec<EventId>>,
) -> Result<Later, StoreError> {
    let known = shared.target(target.0).ok_or_else(|| unknown(target))?;
    shared.ask(|reply| Command::CatchUp { reply }).await?;
    let shared = shared.clone();
    blocking(move || {
        let chosen = Chosen::new(&shared, &known, events)?;
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

/// Rows to record again, and the place of the last one if there may be more.
struct Page {
    rows: Vec<Settled>,
    next: Option<(u64, u64)>,
}

/// Makes the retries of these events due now, or all that are due later. A retry that is being attempted is left alone, and so
/// is a delivery that waits for a digest. Returns how many; durable then.
pub(crate) async fn hasten(
    shared: &Arc<Shared>,
    target: TargetNumber,
    events: Option<Vec<EventId>>,
) -> Result<u64, StoreError> {
    let known = shared.target(target.0).ok_or_else(|| unknown(target))?;
    let _alone = known.loading.clone().lock_owned().await;
    let _still = Still::new(&known);
    // The index must first have the rows of everything settled so far.
    flush(shared).await?;
    let (on, of) = (shared.clone(), known.clone());
    let chosen = Arc::new(blocking(move || Chosen::new(&on, &of, events)).await?);
    // A row whose attempt ends meanwhile is hastened once at most: it is due later than this.
    let mut from = (shared.now().seen.as_millis(), u64::MAX);
    let mut count = 0;
    loop {
        let (on, of, chosen) = (shared.clone(), known.clone(), chosen.clone());
        let Page { rows, next } = blocking(move || page(&on, &of, from, &chosen)).await?;
        if !rows.is_empty() {
            count += shared.ask(|reply| Command::GiveUp { target, rows, reply }).await?;
        }
        let Some(next) = next else { break };
        from = next;
    }
    flush(shared).await?;
    Ok(count)
}

async fn flush(shared: &Shared) -> Result<(), StoreError> {
    shared.ask(|reply| Command::Flush { reply }).await
}

/// The next rows behind `from`, as many as one record takes.
fn page(
    shared: &Shared,
    target: &Target,
    from: (u64, u64),
    chosen: &Chosen,
) -> Result<Page, StoreError> {
    let now_ms = shared.now().seen.as_millis();
    let held = lock(&target.live).held_rows();
    let (mut found, mut next, mut bytes) = (Vec::new(), None, 0);
    let mut visit = |due_ms, number, row: RetryRow| {
        // Also those that this made due now.
        if (due_ms, number) <= from || due_ms <= now_ms {
            return ControlFlow::Continue(());
        }
        if found.len() >= CHUNK_MAX || bytes >= SETTLEMENT_BYTES_MAX {
            return ControlFlow::Break(());
        }
        let is_free = row.attempts > 0 && held.binary_search(&number).is_err();
        if is_free && chosen.has(due_ms, number, &row) {
            bytes += ROW_BYTES + row.reason.len() + row.progress.len();
            found.push((number, due_ms, row));
            next = Some((due_ms, number));
        }
        ControlFlow::Continue(())
    };
    shared.with_index(|index| index.retries(target.number, from.0, &mut visit))?;
    let is_full = found.len() >= CHUNK_MAX || bytes >= SETTLEMENT_BYTES_MAX;
    let rows = found.into_iter().map(|found| due_now(shared, found, now_ms));
    Ok(Page { rows: rows.collect::<Result<_, _>>()?, next: next.filter(|_| is_full) })
}

/// The same row, due now. If its event cannot be read, the attempt finds that out.
fn due_now(
    shared: &Shared,
    (number, due_ms, row): (u64, u64, RetryRow),
    now_ms: u64,
) -> Result<Settled, StoreError> {
    let RetryRow { attempts, first_attempt_ms, reason, progress } = row;
    let event = event(shared, number)?;
    let received_ms = event.map_or(first_attempt_ms, |event| event.received_at.as_millis());
    let what = RecordedOutcome::Retry { due_ms: now_ms, reason, progress };
    let row_due_ms = Some(due_ms);
    Ok(Settled { number, received_ms, row_due_ms, attempts, first_attempt_ms, what })
}
