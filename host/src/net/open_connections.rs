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
        let of = |owner| held.get(&owner).copied().unwrap_or(0) as u64;
        let waits_for = |owner| match newcomer {
            Newcomer::WaitsForNone => false,
            Newcomer::WaitsForAll => true,
            Newcomer::Of(own) => of(owner) <= share.max(of(own) + 1) && lost(owner) <= lost(own),
        };
        let mut closing = Vec::with_capacity(count);
        let (mut noted, mut waits) = (Vec::new(), None);
        for place in order(&holdings, share, lost) {
            let Connection { activity, task: Some(task) } = candidates[place] else { continue };
            let Holding { owner, steady, .. } = holdings[place];
            let (flood, lost) = (of(owner) > share, lost(owner));
            // A newcomer that waits for a flood, or for one that comes back often, takes no other's place meanwhile.
            let spared = waits
                .is_some_and(|(floods, most)| floods && !flood || lost.saturating_mul(2) < most);
            if closing.len() == count || spared {
                break;
            }
            if activity.is_new(now) && waits_for(owner) {
                let (floods, most) = waits.unwrap_or_default();
                waits = Some((floods || flood, lost.max(most)));
            } else if activity.close(now) {
                closing.push(task.clone());
                // The address of a steady body is not one that takes seats without using them.
                if !steady {
                    noted.push(owner);
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
            0 if waits.is_some() => Room::Later,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::activity::Phase;
    use std::time::Duration;
    use tokio::time::advance;

    /// As long as a first turn.
    const TURN: Duration = Duration::from_millis(300);

    fn owner(bits: u64) -> Owner {
        Owner::from_bits(bits)
    }

    type Connections = Vec<(Arc<Activity>, Entry)>;

    /// Opens connections of these addresses.
    fn add(open: &Arc<OpenConnections>, owners: &[u64]) -> Connections {
        let add = |&bits| {
            let activity = Arc::new(Activity::new(owner(bits)));
            let entry = open.add(Arc::clone(&activity));
            let task = tokio::spawn(std::future::pending::<()>());
            open.served_by(entry.number(), task.abort_handle());
            (activity, entry)
        };
        owners.iter().map(add).collect()
    }

    fn open(owners: &[u64]) -> (Arc<OpenConnections>, Connections) {
        let open = Arc::new(OpenConnections::default());
        let connections = add(&open, owners);
        (open, connections)
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_waits_for_the_first_turn_of_those_like_it() {
        let made = Room::Made(1);
        for (what, owners, newcomer, at_once) in [
            ("of the same address, within its share", &[1; 4][..], Newcomer::Of(owner(1)), false),
            ("of the same address, beyond its share", &[1; 40], Newcomer::Of(owner(1)), false),
            ("of another address within its share", &[1; 4], Newcomer::Of(owner(2)), false),
            ("not for a flood", &[1; 40], Newcomer::Of(owner(2)), true),
            ("of an unknown client", &[1; 40], Newcomer::WaitsForAll, false),
            ("for no other", &[1; 4], Newcomer::WaitsForNone, true),
        ] {
            let (open, _connections) = open(owners);
            let expected = if at_once { made } else { Room::Later };
            assert_eq!(open.make_room(newcomer, Instant::now()), expected, "{what}");
            advance(TURN - Duration::from_millis(1)).await;
            assert_eq!(open.make_room(newcomer, Instant::now()), expected, "{what}, later");
            advance(Duration::from_millis(1)).await;
            assert_eq!(open.make_room(newcomer, Instant::now()), made, "{what}, after its turn");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_come_back_most_give_way_at_once_and_wait_themselves() {
        let (open, _connections) = open(&[1, 2, 3, 4]);
        open.lock().displaced.note(owner(1), Instant::now());
        assert_eq!(open.make_room(Newcomer::Of(owner(1)), Instant::now()), Room::Later);
        assert_eq!(open.make_room(Newcomer::Of(owner(9)), Instant::now()), Room::Made(1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_flood_or_for_one_that_comes_back_takes_no_other_seat_meanwhile() {
        for attackers in [&[8; 40][..], &[8]] {
            let (open, _sender) = open(&[9]);
            advance(2 * TURN).await;
            let _attackers = add(&open, attackers);
            open.lock().displaced.note(owner(8), Instant::now());
            let room = || open.make_room(Newcomer::Of(owner(8)), Instant::now());
            assert_eq!(room(), Room::Later);
            advance(TURN).await;
            assert_eq!(room(), Room::Made(1));
            let sender_lost = open.lock().displaced.weight(owner(9), 1, Instant::now());
            assert_eq!(sender_lost, 0, "{} attackers", attackers.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_of_one_head_and_one_body() {
        let (open, connections) = open(&[1]);
        let activity = &connections[0].0;
        let room = || open.make_room(Newcomer::Of(owner(1)), Instant::now());
        advance(TURN / 2).await;
        activity.enter(Phase::Answering);
        assert_eq!(room(), Room::None);
        activity.receive();
        advance(TURN / 2).await;
        assert_eq!(room(), Room::Later, "the body has a turn of its own");
        activity.receive();
        advance(TURN - Duration::from_millis(1)).await;
        assert_eq!(room(), Room::Later);
        activity.set(Phase::Reading);
        advance(Duration::from_millis(1)).await;
        assert_eq!(room(), Room::Made(1), "the connection is not new any more");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_has_no_turn() {
        let (open, connections) = open(&[1]);
        connections[0].0.set(Phase::Idle);
        assert_eq!(open.make_room(Newcomer::Of(owner(1)), Instant::now()), Room::Made(1));
    }
}
