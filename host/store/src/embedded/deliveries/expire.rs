//! Expires deliveries that are too old: one record makes dead letters of many.

use std::sync::Arc;

use dispatcher_model::{TargetNumber, Timestamp};

use crate::StoreError;
use crate::embedded::core::blocking::blocking;
use crate::embedded::core::events::log_error;
use crate::embedded::core::inbox::{Command, unknown};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::deliveries::unreadable::lost_range;
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
    let (mut ended, mut tries) = (0, 0);
    loop {
        let (looking, on, why) = (shared.clone(), target.clone(), reason.clone());
        let found = blocking(move || look(&looking, &on, (before, 0), why)).await?;
        let Some(Looked { range, before, more }) = found else { return Ok(ended) };
        let expire = |reply| Command::Expire { target: number, range, before, reply };
        match shared.ask(expire).await? {
            Some(count) if !more => return Ok(ended + count),
            Some(count) => (ended, tries) = (ended + count, 0),
            None if tries >= TRIES_MAX => {
                return Err(StoreError::Busy { target: target.name.clone() });
            }
            None => tries += 1,
        }
    }
}

/// What a look at the log found to expire.
pub(crate) struct Looked {
    pub range: ExpireRange,
    /// Released deliveries received before then expire with it.
    pub before: Timestamp,
    /// There may be more behind it.
    pub more: bool,
}

/// The range of deliveries that were received before that time and never tried. What cannot be read there is a
/// range of its own; it is as old if it lies before the place `aged_to`. The caller holds the reading lock.
pub(crate) fn look(
    shared: &Shared,
    target: &Target,
    (before, aged_to): (Timestamp, u64),
    reason: String,
) -> Result<Option<Looked>, StoreError> {
    let (from, done, given_back) = {
        let live = lock(&target.live);
        (live.next, live.done.clone(), !live.free.is_empty())
    };
    let old = shared.reader.old(target.number, from, (before, aged_to), &done);
    let old = old.map_err(|error| log_error(shared, &error))?;
    if let Some(damaged) = old.damaged.filter(|_| old.count == 0) {
        let (range, before) = lost_range(shared, target, from, &damaged)?;
        return Ok(Some(Looked { range, before, more: true }));
    }
    if old.count == 0 && !given_back {
        return Ok(None);
    }
    // Without an old delivery the target stays where it is.
    let to = if old.count == 0 { from } else { old.to };
    let at = shared.clock.wall();
    let (count, first) = (old.count, old.first);
    let range = ExpireRange { from, to, count, first, at, reason, drops: false };
    Ok(Some(Looked { range, before, more: old.damaged.is_some() }))
}
