//! Which connections are open, and which of them go when there is no seat for a new one.
//!
//! Whoever waits in vain for a request makes room first: connections that rest between requests, or whose
//! head has not come, the longest wait first; then those whose request does not get on. They go some at
//! a time, so that a flood costs a look at all of them only now and then. So connections that do nothing,
//! however many, cannot keep out a sender that has something to say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::connection::Activity;

/// The part of all seats that is cleared at once.
const PART: usize = 64;
/// A request that has not been answered after this long gives way: its body does not come, most likely.
const STUCK: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Seats {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    by: HashMap<u64, Sitter>,
}

struct Sitter {
    activity: Arc<Activity>,
    /// `None` for the moment between taking the seat and being served.
    task: Option<AbortHandle>,
}

/// A connection's seat; free again when dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
}

impl Seats {
    pub(super) fn take(self: &Arc<Self>, activity: Arc<Activity>) -> Seat {
        let mut taken = self.lock();
        let number = taken.next;
        taken.next += 1;
        taken.by.insert(number, Sitter { activity, task: None });
        Seat { seats: Arc::clone(self), number }
    }

    /// The task to end when the seat is needed; one that has ended already has left it.
    pub(super) fn served_by(&self, number: u64, task: AbortHandle) {
        if let Some(sitter) = self.lock().by.get_mut(&number) {
            sitter.task = Some(task);
        }
    }

    /// Ends some connections that wait in vain; answers how many.
    pub(super) fn clear_some(&self, now: Instant) -> usize {
        let taken = self.lock();
        let waiting = |stuck: Option<Duration>| {
            let since = |sitter: &Sitter| sitter.activity.waits_since(now, stuck);
            let sitters = taken.by.values();
            sitters.filter_map(|s| Some((since(s)?, s.task.clone()?))).collect::<Vec<_>>()
        };
        let mut going = waiting(None);
        if going.is_empty() {
            going = waiting(Some(STUCK));
        }
        let count = (taken.by.len() / PART).max(1).min(going.len());
        drop(taken);
        if count < going.len() {
            going.select_nth_unstable_by_key(count, |(since, _)| *since);
        }
        for (_, task) in &going[..count] {
            task.abort();
        }
        count
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(super) const fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().by.remove(&self.number);
    }
}
