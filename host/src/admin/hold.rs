//! Holds targets and lets them go: `pause` and `resume`.

use super::error::RequestError;
use super::retry::{all_waiting, is_failing};
use super::status::now;
use super::view::{Inner, TargetView};
use super::wire::{Count, Pause, Resume};
use crate::model::{REASON_BYTES_MAX, Timestamp};
use crate::store::{Hold, HoldKind};
use crate::telemetry::Act;

pub(super) async fn pause(inner: &Inner, request: Pause) -> Result<Count, RequestError> {
    let targets = inner.selected(Some(&request.target))?;
    if request.reason.len() > REASON_BYTES_MAX {
        return Err(RequestError::ReasonTooLong);
    }
    let hold = Hold { kind: HoldKind::Paused, reason: request.reason, since: now() };
    let mut count = 0;
    for target in targets {
        tracing::info!(to = %target.name, reason = hold.reason, "target paused by hand");
        inner.queue.hold(target.number, Some(hold.clone())).await?;
        count += inner.queue.depth(target.number).pending;
    }
    Ok(Count { count, ..Count::default() })
}

pub(super) async fn resume(inner: &Inner, request: Resume) -> Result<Count, RequestError> {
    let mut targets = inner.selected(Some(&request.target))?;
    let is_stopped = |target: &TargetView| {
        inner.queue.held(target.number).is_some() || is_failing(inner, target)
    };
    if !targets.iter().any(is_stopped) {
        let target = request.target;
        return Err(match all_waiting(inner, &targets).await {
            0 => RequestError::NotHeld { target },
            count => RequestError::OnlyWaits { target, count },
        });
    }
    targets.retain(is_stopped);
    let mut all = Count::default();
    for target in targets {
        let mut skipped = 0;
        if let Some(since_ms) = request.since_ms.filter(|_| !request.dry) {
            let since = Timestamp::from_millis(since_ms);
            let reason = format!("skipped when the target was resumed: received before {since}");
            skipped = inner.queue.skip(target.number, since, reason).await?;
        }
        let count = inner.queue.depth(target.number).pending;
        if !request.dry {
            // The next attempt shows whether it works now.
            inner.feed.history().untried(&target.name, Act::Resumed, now().as_millis());
            if inner.queue.held(target.number).is_some() {
                inner.queue.hold(target.number, None).await?;
            }
            // Also after a hold: what a probe that runs now finds is of before.
            inner.host.resume(target.number);
            tracing::info!(to = %target.name, count, skipped, "target resumed by hand");
        }
        all = Count { count: all.count + count, skipped: all.skipped + skipped, ..all };
    }
    Ok(all)
}
