//! Which connections are open, and which of them are closed to make room for a new one.
//!
//! Idle connections are closed first, those that waited longest before others: they wait between requests, or for
//! the rest of a head. If there are none, connections whose request makes no progress are closed. Several are closed
//! at a time, so that a flood rarely causes a scan of all of them. So idle connections, however many, cannot keep out
//! a sender that has something to send.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::activity::Activity;

/// One in this many open connections is closed at a time.
const PART: usize = 64;
/// A request that has not been answered after this time is considered stuck: most likely its body does not arrive.
const STUCK: Duration = Duration::from_secs(10);

/// The open connections.
#[derive(Default)]
pub(super) struct OpenConnections {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    next: u64,
    by_number: HashMap<u64, Connection>,
}

struct Connection {
    activity: Arc<Activity>,
    /// `None` for the moment before the task starts.
    task: Option<AbortHandle>,
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

    /// Closes some idle or stuck connections, and returns how many.
    pub(super) fn close_idle(&self, now: Instant) -> usize {
        let entries = self.lock();
        let waiting = |stuck: Option<Duration>| {
            let since = |connection: &Connection| connection.activity.waits_since(now, stuck);
            let all = entries.by_number.values();
            all.filter_map(|c| Some((since(c)?, c.task.clone()?))).collect::<Vec<_>>()
        };
        let mut closing = waiting(None);
        if closing.is_empty() {
            closing = waiting(Some(STUCK));
        }
        let count = (entries.by_number.len() / PART).max(1).min(closing.len());
        drop(entries);
        if count < closing.len() {
            closing.select_nth_unstable_by_key(count, |(since, _)| *since);
        }
        for (_, task) in &closing[..count] {
            task.abort();
        }
        count
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
