//! Claims deliveries: waits for some, and loads them into memory.
//!
//! Taking leases has no await in it, so a claim that is dropped while it waits has taken nothing. One
//! reader for each target reads the index and the log, on a blocking thread. What it loads stays in the
//! target for the next claim.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use dispatcher_model::{Delivery, EventId, TargetNumber};
use tokio::time::Instant;

use crate::embedded::core::blocking::blocking;
use crate::embedded::core::events::event;
use crate::embedded::core::events::log_error;
use crate::embedded::core::inbox::{Answer, Command, closed, unknown};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::deliveries::unreadable::{lost_event, lost_range};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::RetryRow;
use crate::embedded::limits::{CLAIM_BYTES_MAX, WINDOW_MAX};
use crate::embedded::platform::locks::lock;
use crate::embedded::space::guard::Why;
use crate::embedded::target::live::{Live, Loaded};
use crate::{Outcome, Settlement, StoreError};

/// Pause before rows are read again that cannot be read now.
const REST_MS: u64 = 1_000;

/// Times in a row that an event cannot be read before its delivery is given up.
const READS_FAILED_MAX: u32 = 10;

/// Lease of a delivery until it is recorded as a dead letter.
const GIVE_UP_LEASE: Duration = Duration::from_secs(60);

enum Next {
    Take(Vec<Delivery>),
    Load,
    Wait(Option<Instant>),
}

pub(crate) async fn claim(
    shared: &Arc<Shared>,
    target: TargetNumber,
    max: usize,
    lease: Duration,
    untried: bool,
) -> Result<Vec<Delivery>, StoreError> {
    let target = shared.target(target.0).ok_or_else(|| unknown(target))?;
    let max = max.clamp(1, WINDOW_MAX);
    loop {
        let mut woken = std::pin::pin!(target.woken.notified());
        woken.as_mut().enable();
        if shared.inbox.stopped() {
            return Err(closed());
        }
        match next(shared, &target, max, lease, untried) {
            Next::Take(deliveries) => return Ok(deliveries),
            Next::Load => load(shared, &target, max, untried).await?,
            Next::Wait(None) => woken.await,
            Next::Wait(Some(at)) => tokio::select! {
                () = woken => {}
                () = shared.clock.sleep_until(at) => {}
            },
        }
    }
}

/// `untried`: ignores retries.
fn next(shared: &Shared, target: &Target, max: usize, lease: Duration, untried: bool) -> Next {
    let now = shared.now();
    // The committer needs the target's lock, so slow work is done before it is taken.
    let wanted = lock(&target.live).wants(max, untried);
    if let Some(from) = wanted {
        shared.tail.take_out(target.number, from, max);
    }
    let mut live = lock(&target.live);
    live.end_leases(now);
    if live.is_closed(untried) {
        return Next::Wait(None);
    }
    live.fill(&shared.tail, max, untried);
    let must_load = |live: &Live| {
        let nothing = live.loaded.iter().all(|loaded| untried && loaded.row.is_some());
        nothing && live.needs(&shared.tail, now, untried)
    };
    // Due and released deliveries come before new ones.
    if must_load(&live) {
        return Next::Load;
    }
    let taken = live.take(max, lease, now, untried);
    if live.hold.is_some() {
        live.unload();
    }
    if !taken.is_empty() {
        return Next::Take(taken);
    }
    // If all deliveries in memory have expired, later ones can be read now.
    if must_load(&live) { Next::Load } else { Next::Wait(live.next_change(now, untried)) }
}

async fn load(
    shared: &Arc<Shared>,
    target: &Arc<Target>,
    max: usize,
    untried: bool,
) -> Result<(), StoreError> {
    let alone = target.loading.clone().lock_owned().await;
    let (shared, target) = (shared.clone(), target.clone());
    let damage = blocking(move || {
        let _alone = alone;
        let loaded = load_now(&shared, &target, max, untried);
        // The claim that began this may be gone, and another one may wait for the result.
        target.woken.notify_waiters();
        loaded
    })
    .await?;
    match damage {
        Some(given_up) => given_up.wait().await.map(drop),
        None => Ok(()),
    }
}

/// The answer to a command that makes a dead letter of what cannot be read.
type GivenUp = Answer<Option<u64>>;

fn load_now(
    shared: &Shared,
    target: &Target,
    max: usize,
    untried: bool,
) -> Result<Option<GivenUp>, StoreError> {
    let need = lock(&target.live).need(&shared.tail, max, shared.now(), untried);
    let mut loaded = Vec::new();
    if let Some(from_ms) = need.rows_from_ms {
        loaded = due_rows(shared, target, (from_ms, need.far_from_ms), max);
    }
    for number in need.given_back {
        loaded.extend(load_event(shared, target, number, None));
    }
    if !loaded.is_empty() {
        lock(&target.live).loaded.extend(loaded);
        return Ok(None);
    }
    // What was never tried does not wait for what cannot be read.
    need.log_from.map_or(Ok(None), |from| read_log(shared, target, from, max))
}

/// Loads a delivery. One whose event cannot be read is given up; if the disk fails, it rests and is tried again
/// some times first. The others go on meanwhile.
fn load_event(
    shared: &Shared,
    target: &Target,
    number: u64,
    row: Option<(u64, RetryRow)>,
) -> Option<Loaded> {
    let error = match event(shared, number) {
        Ok(Some(event)) => {
            lock(&target.live).was_read(number);
            return Some(Loaded { number, row, event });
        }
        Ok(None) => None,
        Err(error) => Some(error),
    };
    if let Some(error) = &error {
        let now = shared.now();
        let until = now.after(Duration::from_millis(REST_MS));
        let mut live = lock(&target.live);
        live.keep_back((number, row.as_ref()), until, now);
        let of_log = matches!(error, StoreError::ReadLog { .. });
        let failures = if of_log { live.read_failed(number) } else { 0 };
        let disk_is_away = shared.room.is_closed(Why::Gone) || shared.room.is_closed(Why::Failed);
        if failures < READS_FAILED_MAX || disk_is_away {
            return None;
        }
    }
    give_up(shared, target, (number, row.as_ref()), error.as_ref());
    None
}

/// Rows that are due and not claimed, with their events: from `from_ms` on, and those that are due too far away. Those
/// that cannot be read now are left for later.
fn due_rows(
    shared: &Shared,
    target: &Target,
    (from_ms, far_from_ms): (u64, Option<u64>),
    max: usize,
) -> Vec<Loaded> {
    let now_ms = shared.now().seen.as_millis();
    let later_ms = now_ms + REST_MS;
    let held = lock(&target.live).held_rows();
    let (mut found, mut next_ms) = (Vec::<(u64, u64, RetryRow)>::new(), u64::MAX);
    let mut more_far = false;
    let far = far_from_ms.map(|from_ms| (from_ms, u64::MAX));
    let asked = shared.try_index(|index| {
        for (from_ms, to_ms) in [Some((from_ms, now_ms)), far].into_iter().flatten() {
            let mut visit = |due_ms, number, row| {
                if due_ms > to_ms || found.len() >= max {
                    next_ms = next_ms.min(due_ms);
                    more_far |= due_ms <= to_ms && due_ms > now_ms;
                    return ControlFlow::Break(());
                }
                if held.binary_search(&number).is_err() {
                    found.push((due_ms, number, row));
                }
                ControlFlow::Continue(())
            };
            index.retries(target.number, from_ms, &mut visit)?;
        }
        Ok(())
    });
    if !matches!(asked, Some(Ok(()))) {
        // Retries wait while the index is rebuilt; new deliveries continue.
        let mut live = lock(&target.live);
        if far_from_ms.is_some() {
            live.look_far();
        }
        // A rebuilt index is put in place before it wakes the targets.
        live.low_water_ms = match shared.index.is_open() {
            true => live.low_water_ms.min(later_ms),
            false => u64::MAX,
        };
        return Vec::new();
    }
    let (mut loaded, mut bytes) = (Vec::new(), 0);
    for (due_ms, number, row) in found {
        if bytes >= CLAIM_BYTES_MAX {
            next_ms = next_ms.min(due_ms);
            more_far |= due_ms > now_ms;
            break;
        }
        if let Some(row) = load_event(shared, target, number, Some((due_ms, row))) {
            bytes += row.event.data.len();
            loaded.push(row);
        }
    }
    let mut live = lock(&target.live);
    live.low_water_ms = live.low_water_ms.min(next_ms);
    if more_far {
        live.look_far();
    }
    loaded
}

fn read_log(
    shared: &Shared,
    target: &Target,
    from: u64,
    max: usize,
) -> Result<Option<GivenUp>, StoreError> {
    let found = shared.reader.deliveries(target.number, from, max);
    let found = found.map_err(|error| log_error(shared, &error));
    shared.note_read(target.number, found.as_ref().err());
    let found = found?;
    let Some(damaged) = found.damaged else {
        lock(&target.live).fill_from_log(from, found.to, found.events.into_iter());
        return Ok(None);
    };
    let (range, before) = lost_range(shared, target, from, &damaged)?;
    let target = TargetNumber(target.number);
    shared.send(|reply| Command::Expire { target, range, before, reply }).map(Some)
}

/// Makes a dead letter of a delivery whose event cannot be read.
fn give_up(
    shared: &Shared,
    target: &Target,
    (number, row): (u64, Option<&(u64, RetryRow)>),
    error: Option<&StoreError>,
) {
    let now = shared.now();
    let until = now.after(GIVE_UP_LEASE);
    let mut reason = lost_event(shared, target, number);
    if let Some(error) = error {
        reason.push_str(&format!(": {error}"));
    }
    let mut live = lock(&target.live);
    live.was_read(number);
    live.keep_back((number, row), until, now);
    drop(live);
    let event = EventId::new(now.wall, shared.identity.store, number);
    let outcomes = vec![Settlement { event, outcome: Outcome::Dead { reason } }];
    shared.post(Command::Settle {
        target: TargetNumber(target.number),
        outcomes,
        window: None,
        reply: None,
    });
}
