//! Which connections are open, and which of them are closed to make room for a new one.
//!
//! [`Standing`] says which kind is closed first; within a kind it is the address that holds most, see
//! [`order`]. So neither idle connections nor slow heads and bodies, however many, keep out a sender
//! that has something to send. Several are closed at a time, so that a flood rarely causes a scan of all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::activity::{Activity, Standing};
use super::displaced::Displaced;
use super::room::{Holding, Owner, order};

/// One in this many open connections is closed at a time.
const PART: usize = 64;
/// One in this many open connections, and at least [`SHARE_MIN`], is the share of an address: beyond it, the address
/// that holds most gives way first.
const PART_OF_SHARE: usize = 8;
const SHARE_MIN: usize = 4;

/// The open connections.
#[derive(Default)]
pub(super) struct OpenConnections {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    next: u64,
    by_number: HashMap<u64, Connection>,
    displaced: Displaced,
}

struct Connection {
    activity: Arc<Activity>,
    /// `None` for the moment before the task starts.
    task: Option<AbortHandle>,
}

/// For whose first turn a newcomer waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newcomer {
    /// For those of addresses that hold and lost no more than its own, or hold no more than their share.
    Of(Owner),
    /// It is of a trusted proxy, so its sender is not known.
    WaitsForAll,
    WaitsForNone,
}

/// Whether there is room for a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// So many connections are being closed.
    Made(usize),
    /// Those that could be closed are as new as the newcomer would be.
    Later,
    /// All are in use.
    None,
}

impl Room {
    pub(super) const fn closed(self) -> usize {
        if let Self::Made(closed) = self { closed } else { 0 }
    }
}

/// The entry of one connection; removed when dropped.
pub(super) struct Entry {
    open: Arc<OpenConnections>,
    number: u64,
}

impl OpenConnections {
    pub(super) fn add(self: &Arc<Self>, activity: Arc<Activity>) -> Entry {
        let mut entries = self.lock();
        let number = entries.next;
        entries.next += 1;
        entries.by_number.insert(number, Connection { activity, task: None });
        Entry { open: Arc::clone(self), number }
    }

    /// Sets the task to abort when the connection is to be closed. A task that has ended has no entry any more.
    pub(super) fn served_by(&self, number: u64, task: AbortHandle) {
        if let Some(connection) = self.lock().by_number.get_mut(&number) {
            connection.task = Some(task);
        }
    }

    /// Closes some connections that are not in use, but not those whose first turn the newcomer must wait for. So those
    /// that come back at once wait, and each turn is long enough to send a request.
    pub(super) fn make_room(&self, newcomer: Newcomer, now: Instant) -> Room {
        let mut entries = self.lock();
        let Entries { by_number, displaced, .. } = &mut *entries;
        let open = by_number.len();
        let share = (open / PART_OF_SHARE).max(SHARE_MIN);
        let (mut first, mut candidates, mut holdings) = (Standing::Stuck, Vec::new(), Vec::new());
        let held = held(by_number);
        for (connection, standing) in standings(by_number, &held, share, now) {
            if standing > first {
                continue;
            }
            if standing < first {
                first = standing;
                candidates.clear();
                holdings.clear();
            }
            let Connection { activity, .. } = connection;
            let (owner, behind_ms) = (activity.owner(), activity.seat_behind_ms(now));
            holdings.push(Holding { owner, amount: 1, behind_ms, steady: activity.is_steady(now) });
            candidates.push(connection);
        }
        let (count, share) = ((open / PART).max(1), share as u64);
        let lost = |owner| displaced.weight(owner, share, now);
        let has_turn = |&Holding { owner, .. }: &Holding, activity: &Activity| {
            let of = |owner| held.get(&owner).copied().unwrap_or(0) as u64;
            let waits = match newcomer {
                Newcomer::WaitsForNone => false,
                Newcomer::WaitsForAll => true,
                Newcomer::Of(newcomer) => {
                    of(owner) <= share.max(of(newcomer) + 1) && lost(owner) <= lost(newcomer)
                }
            };
            waits && activity.is_new(now)
        };
        let mut closing = Vec::with_capacity(count);
        let (mut noted, mut waits) = (Vec::new(), false);
        for place in order(&holdings, share, lost) {
            let Connection { activity, task: Some(task) } = candidates[place] else { continue };
            if closing.len() == count {
                break;
            }
            if has_turn(&holdings[place], activity) {
                waits = true;
            } else if activity.close(now) {
                closing.push(task.clone());
                // The address of a steady body is not one that takes seats without using them.
                if !holdings[place].steady {
                    noted.push(holdings[place].owner);
                }
            }
        }
        for owner in noted {
            displaced.note(owner, now);
        }
        drop(entries);
        for task in &closing {
            task.abort();
        }
        match closing.len() {
            0 if waits => Room::Later,
            0 => Room::None,
            closed => Room::Made(closed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many connections each address holds.
fn held(by_number: &HashMap<u64, Connection>) -> HashMap<Owner, usize> {
    let mut held = HashMap::new();
    for connection in by_number.values() {
        *held.entry(connection.activity.owner()).or_default() += 1;
    }
    held
}

/// The connections that may be closed, and how they stand. Bodies at a good pace speak for their connections only
/// within the share of their address.
fn standings<'a>(
    by_number: &'a HashMap<u64, Connection>,
    held: &'a HashMap<Owner, usize>,
    share: usize,
    now: Instant,
) -> impl Iterator<Item = (&'a Connection, Standing)> {
    by_number.values().filter(|connection| connection.task.is_some()).filter_map(
        move |connection| {
            let activity = &connection.activity;
            let standing = activity.standing(now)?;
            let beyond = held.get(&activity.owner()).is_some_and(|held| *held > share);
            let demoted = beyond && standing == Standing::Proven && activity.is_receiving();
            Some((connection, if demoted { Standing::Unproven } else { standing }))
        },
    )
}

impl Entry {
    pub(super) const fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.open.lock().by_number.remove(&self.number);
    }
}
