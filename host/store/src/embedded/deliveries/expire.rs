//! Expires deliveries that are too old: one record makes dead letters of many.

use std::sync::Arc;

use dispatcher_model::{TargetNumber, Timestamp};

use crate::StoreError;
use crate::embedded::core::blocking::blocking;
use crate::embedded::core::events::log_error;
use crate::embedded::core::inbox::{Command, unknown};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::platform::locks::lock;
use crate::embedded::target::expire_range::ExpireRange;

/// How often the log is read again because the target read on meanwhile.
const TRIES_MAX: usize = 8;

/// Stops claims of new deliveries of a target while it exists.
pub(crate) struct Frozen(Arc<Target>);

impl Frozen {
    pub(crate) fn new(target: &Arc<Target>) -> Self {
        lock(&target.live).frozen = true;
        Self(target.clone())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        lock(&self.0.live).frozen = false;
        self.0.woken.notify_waiters();
    }
}

pub(crate) async fn expire(
    shared: &Arc<Shared>,
    number: TargetNumber,
    before: Timestamp,
    reason: String,
) -> Result<u64, StoreError> {
    let target = shared.target(number.0).ok_or_else(|| unknown(number))?;
    let _alone = target.loading.clone().lock_owned().await;
    let _frozen = Frozen::new(&target);
    for _ in 0..TRIES_MAX {
        let (looking, on, why) = (shared.clone(), target.clone(), reason.clone());
        let found = blocking(move || look(&looking, &on, before, why)).await?;
        let Some(range) = found else { return Ok(0) };
        let expire = |reply| Command::Expire { target: number, range, before, reply };
        if let Some(count) = shared.ask(expire).await? {
            return Ok(count);
        }
    }
    Err(StoreError::Busy { target: target.name.clone() })
}

/// The range of deliveries that were received before that time and never tried. The caller holds the
/// reading lock.
pub(crate) fn look(
    shared: &Shared,
    target: &Target,
    before: Timestamp,
    reason: String,
) -> Result<Option<ExpireRange>, StoreError> {
    let (from, done, given_back) = {
        let live = lock(&target.live);
        (live.next, live.done.clone(), !live.free.is_empty())
    };
    let old = shared.reader.old(target.number, from, before, &done);
    let old = old.map_err(|error| log_error(shared, &error))?;
    if old.count == 0 && !given_back {
        return Ok(None);
    }
    // Without an old delivery the target stays where it is.
    let to = if old.count == 0 { from } else { old.to };
    let at = shared.clock.wall();
    let (count, first) = (old.count, old.first);
    Ok(Some(ExpireRange { from, to, count, first, at, reason, drops: false }))
}
