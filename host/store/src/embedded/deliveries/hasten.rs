//! Makes retries due now, because a person asked for it or their target was replaced.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use dispatcher_model::{EventId, TargetNumber};

use super::backlog::CHUNK_MAX;
use crate::StoreError;
use crate::embedded::core::blocking::blocking;
use crate::embedded::core::events::event;
use crate::embedded::core::inbox::{Command, unknown};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::format::record::{RecordedOutcome, Settled};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::RetryRow;
use crate::embedded::limits::SETTLEMENT_BYTES_MAX;
use crate::embedded::platform::locks::lock;

/// About what a row takes in a record besides its texts.
const ROW_BYTES: usize = 64;

/// Rows to record again, and the place of the last one looked at if there may be more.
struct Later {
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
    // The index must first have the rows of everything settled so far.
    flush(shared).await?;
    let chosen = events.map(|events| events.into_iter().map(EventId::number).collect());
    let chosen: Option<Arc<BTreeSet<u64>>> = chosen.map(Arc::new);
    // A row that fails again meanwhile is due later than this, and is hastened once at most.
    let mut from = (shared.now().seen.as_millis(), u64::MAX);
    let mut count = 0;
    loop {
        let (on, of, chosen) = (shared.clone(), known.clone(), chosen.clone());
        let Later { rows, next } =
            blocking(move || later(&on, &of, from, chosen.as_deref())).await?;
        if !rows.is_empty() {
            count += shared.ask(|reply| Command::GiveUp { target, rows, reply }).await?;
        }
        let Some(next) = next else { break };
        from = next;
    }
    flush(shared).await?;
    known.woken.notify_waiters();
    Ok(count)
}

async fn flush(shared: &Shared) -> Result<(), StoreError> {
    shared.ask(|reply| Command::Flush { reply }).await
}

/// The next rows behind `from`, as many as one record takes.
fn later(
    shared: &Shared,
    target: &Target,
    from: (u64, u64),
    chosen: Option<&BTreeSet<u64>>,
) -> Result<Later, StoreError> {
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
        let is_chosen = chosen.is_none_or(|chosen| chosen.contains(&number));
        if row.attempts > 0 && is_chosen && held.binary_search(&number).is_err() {
            bytes += ROW_BYTES + row.reason.len() + row.progress.len();
            found.push((number, due_ms, row));
            next = Some((due_ms, number));
        }
        ControlFlow::Continue(())
    };
    shared.with_index(|index| index.retries(target.number, from.0, &mut visit))?;
    let is_full = found.len() >= CHUNK_MAX || bytes >= SETTLEMENT_BYTES_MAX;
    let rows = found.into_iter().map(|found| due_now(shared, found, now_ms));
    Ok(Later { rows: rows.collect::<Result<_, _>>()?, next: next.filter(|_| is_full) })
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
