//! The contract that every engine keeps: the trait [`Queue`] and what goes in and out of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::search::{EventFate, FoundEvent, FoundFates, Later, Retries, Search, SearchPage};
use dispatcher_model::{
    Delivery, EventId, Headers, PROGRESS_BYTES_MAX, Planned, Receipt, RepetitionSeed, StoredEvent,
    TargetNumber, Timestamp,
};

use crate::error::{AppendError, StoreError};

/// A boxed future: the trait is used as `Arc<dyn Queue>`, and every call is a batch.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Most events in one record. A request with more is stored in parts.
pub const REQUEST_EVENTS_MAX: usize = 1_000;

/// An event is compared with those of this time, unless its source says otherwise.
pub const REPEAT_WINDOW_DEFAULT: Duration = Duration::from_secs(24 * 3_600);

/// Longest such time. The index keeps repetition keys by the hour, and looks through all hours of the window.
pub const REPEAT_WINDOW_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A verified request, with the targets of each event.
#[derive(Clone, Debug)]
pub struct NewRequest {
    pub source: Arc<str>,
    pub received_at: Timestamp,
    pub verified_at: Timestamp,
    /// Name of the scheme that verified it.
    pub scheme: Arc<str>,
    /// Which of the source's secrets matched: its place in the configured list, from 0.
    pub key: u16,
    /// Hash of the configuration whose routes made the plan.
    pub config: u64,
    pub headers: Headers,
    /// How long the repetition key of an event is recognized. At most [`REPEAT_WINDOW_MAX`].
    pub repeat_window: Duration,
    /// At most [`REQUEST_EVENTS_MAX`].
    pub events: Vec<Planned>,
}

/// Proof that a request is on disk. Only an engine makes one, and the 2xx is built from it.
#[derive(Clone, Debug)]
pub struct Durable {
    ids: Vec<EventId>,
    /// Their places, ascending.
    duplicates: Vec<u16>,
}

impl Durable {
    /// Only for engines: every id must be durable. `duplicates`: the places of repetitions, ascending.
    pub(crate) const fn new(ids: Vec<EventId>, duplicates: Vec<u16>) -> Self {
        Self { ids, duplicates }
    }

    /// For tests of an engine's callers: the first ones are repetitions.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn claimed(ids: Vec<EventId>, duplicates: usize) -> Self {
        Self { ids, duplicates: (0..).take(duplicates).collect() }
    }

    /// The proof for both parts of a request.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        let places = later.duplicates.into_iter().map(|place| usize::from(place) + self.ids.len());
        self.duplicates.extend(places.filter_map(|place| u16::try_from(place).ok()));
        self.ids.extend(later.ids);
        self
    }

    /// One id for each event, in the order of the request; a repetition has the id of its first event.
    #[must_use]
    pub fn ids(&self) -> &[EventId] {
        &self.ids
    }

    /// How many of them are repetitions.
    #[must_use]
    pub const fn duplicates(&self) -> usize {
        self.duplicates.len()
    }

    /// Whether the event at this place of the request is a repetition.
    #[must_use]
    pub fn is_duplicate(&self, place: usize) -> bool {
        u16::try_from(place).is_ok_and(|place| self.duplicates.binary_search(&place).is_ok())
    }
}

/// What became of a claimed delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Delivered {
        receipt: Receipt,
    },
    /// Failed, to be retried at `at`. The store keeps attempt, reason and progress.
    Retry {
        at: Timestamp,
        reason: String,
        progress: Vec<u8>,
    },
    /// Not attempted any more; kept as a dead letter with its reason.
    Dead {
        reason: String,
    },
    /// Not attempted before `until`: it waits for a digest. No attempt is counted.
    Wait {
        until: Timestamp,
    },
    /// Not attempted, or a probe of a target that is down: available again, without a counted attempt.
    Release,
}

#[derive(Clone, Debug)]
pub struct Settlement {
    pub event: EventId,
    pub outcome: Outcome,
}

/// Most deliveries that one digest settles.
pub const DIGEST_EVENTS_MAX: usize = 2_000;
/// Most bytes of progress of a delivery: the plugin's, and what the daemon adds.
pub const PROGRESS_STORED_BYTES_MAX: usize = PROGRESS_BYTES_MAX + 64;

/// Until when new events of a group wait for the next digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub group: u64,
    pub until: Timestamp,
}

/// Why requests are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    /// What, where and what to do.
    pub reason: String,
    /// Requests refused since the start.
    pub refused: u64,
    /// The disk or the log is full; `false`: the store cannot write at all.
    pub lacks_room: bool,
}

/// The index is being rebuilt: not all repetitions are recognised, and retries wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilding {
    /// What is done, how far it is, and the last failure.
    pub progress: String,
    /// Accepted events that may be repetitions.
    pub unchecked: u64,
}

/// How much waits for a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Not yet delivered nor dead, retries included.
    pub pending: u64,
    /// Of these: wait for a retry.
    pub retrying: u64,
    /// Of these: claimed and not settled.
    pub in_flight: u64,
    pub dead: u64,
}

/// A delivery that will not be attempted any more.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub target: TargetNumber,
    /// First event of the run; one event unless `count` says more.
    pub event: EventId,
    pub count: u64,
    pub attempts: u32,
    pub at: Timestamp,
    pub reason: String,
}

/// Who put a target on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldKind {
    /// A person.
    Paused,
    /// A verdict: the target cannot work as it is configured.
    Broken,
}

/// Why a target is on hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub kind: HoldKind,
    pub reason: String,
    pub since: Timestamp,
}

/// The durable queue. All methods may be called from any task. An engine that cannot do what people ask of it, from
/// [`hold`](Self::hold) to [`recent`](Self::recent), returns `Unsupported`.
pub trait Queue: Send + Sync + 'static {
    /// The secret with which the repetition keys of its events are made. It never changes, and no other store has it.
    fn repetition_seed(&self) -> RepetitionSeed;

    /// Numbers for the targets of these names, in their order; an unknown name is given a new number
    /// that starts at *now*. Durable when it returns.
    fn register(
        &self,
        targets: Vec<Arc<str>>,
    ) -> BoxFuture<'_, Result<Vec<TargetNumber>, StoreError>>;

    /// Stores a request whole or not at all. Returns when it is on disk, and for a repetition once its first
    /// event is. A request without events writes nothing.
    fn append(&self, request: NewRequest) -> BoxFuture<'_, Result<Durable, AppendError>>;

    /// Waits for work, then gives at least one and at most `max` deliveries, due retries first. Each
    /// must be settled or extended before `lease` ends, else it may be given again. Cancel safe.
    fn claim(
        &self,
        target: TargetNumber,
        max: usize,
        lease: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>>;

    /// Like [`claim`](Self::claim), but only what was never tried, so that events which always fail cannot keep the others
    /// from a target that is being probed; also while it is held as broken. An engine that cannot choose returns any.
    fn claim_untried(
        &self,
        target: TargetNumber,
        max: usize,
        lease: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        self.claim(target, max, lease)
    }

    /// Records outcomes; lazily durable (≤ 1 s). Settling what is not claimed changes nothing.
    fn settle(
        &self,
        target: TargetNumber,
        outcomes: Vec<Settlement>,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Like [`settle`](Self::settle) for the at most [`DIGEST_EVENTS_MAX`] deliveries of one message: all
    /// of them or none survive a crash, and with them the window that the message opened. An engine that
    /// keeps no windows may send the next message too early after a restart.
    fn settle_digest(
        &self,
        target: TargetNumber,
        outcomes: Vec<Settlement>,
        _window: Window,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.settle(target, outcomes)
    }

    /// The windows of a target that are open, and perhaps some that have ended.
    fn windows(&self, _target: TargetNumber) -> BoxFuture<'_, Result<Vec<Window>, StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The time in which `at` and `until` of outcomes and windows count: that of day at the start, and then what
    /// has passed since, however the clock is set meanwhile.
    fn now(&self) -> Timestamp;

    /// Sets the longest wait between two attempts: a retry that is due later than that is due now, because a
    /// wrong clock made it.
    fn wait_at_most(&self, _target: TargetNumber, _longest: Duration) {}

    /// Gives claimed deliveries a new lease.
    fn extend(&self, target: TargetNumber, events: Vec<EventId>, lease: Duration);

    /// Makes dead letters of all deliveries of the target that were received before `received_before`, never
    /// attempted and not claimed, with one record; returns how many.
    fn expire(
        &self,
        target: TargetNumber,
        received_before: Timestamp,
        reason: String,
    ) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Sets the targets whose oldest deliveries may become dead letters, without their events, when the log is
    /// full. Deliveries of other targets make it refuse requests instead.
    fn may_overflow(&self, _targets: Vec<TargetNumber>) {}

    /// Sets how long repetition keys are kept: the longest window of all sources.
    fn keep_keys(&self, _window: Duration) {}

    fn depth(&self, target: TargetNumber) -> Depth;

    /// Dead letters of a target, oldest first, after `after` if given; at most `max`.
    fn dead_letters(
        &self,
        target: TargetNumber,
        after: Option<EventId>,
        max: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>>;

    /// The event of that id; `None`: it is not stored. An error says where the log is damaged, if it was there.
    fn event(&self, id: EventId) -> BoxFuture<'_, Result<Option<Arc<StoredEvent>>, StoreError>>;

    /// Holds the target's deliveries, or releases them; durable when it returns. A paused target does not become broken.
    fn hold(
        &self,
        _target: TargetNumber,
        _hold: Option<Hold>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        cannot()
    }

    /// Ends the hold of a target that was held as broken. A pause stays, also one that was asked for just before.
    fn let_go(&self, _target: TargetNumber) -> BoxFuture<'_, Result<(), StoreError>> {
        cannot()
    }

    /// Why the target is on hold.
    fn held(&self, _target: TargetNumber) -> Option<Hold> {
        None
    }

    /// Makes new deliveries of dead letters, or of any events that are kept; attempts start again from one. A run
    /// of dead letters, named by its first event, is replayed whole. What still waits for the target
    /// is left as it is. Answers how many there are; durable then.
    fn replay(
        &self,
        _target: TargetNumber,
        _events: Vec<EventId>,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        cannot()
    }

    /// Drops dead letters, runs of them whole; returns how many. Durable when it returns.
    fn drop_dead(
        &self,
        _target: TargetNumber,
        _events: Vec<EventId>,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        cannot()
    }

    /// Like [`expire`](Self::expire), including deliveries that wait for a retry.
    fn skip(
        &self,
        _target: TargetNumber,
        _received_before: Timestamp,
        _reason: String,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        cannot()
    }

    /// Drops what waits for the target and is not claimed: the deliveries of these events, or all. They are
    /// dropped, not dead letters. Returns how many; durable then.
    fn drop_waiting(
        &self,
        _target: TargetNumber,
        _events: Option<Vec<EventId>>,
        _reason: String,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        cannot()
    }

    /// Drops all that waits for `from` and is not claimed, after it made deliveries of `to` of it. What `to` has or
    /// had is not delivered to it again. Returns how many; durable then. After a crash a part may wait for both.
    fn move_waiting(
        &self,
        _from: TargetNumber,
        _to: TargetNumber,
        _reason: String,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        cannot()
    }

    /// All targets that the store knows, including those that the configuration does not have any more.
    fn targets(&self) -> Vec<(TargetNumber, Arc<str>)> {
        Vec::new()
    }

    /// Looks for stored events, the newest first. One search runs at a time; it never keeps a thread that receives.
    fn search(&self, _search: Search) -> BoxFuture<'_, Result<SearchPage, StoreError>> {
        cannot()
    }

    /// These events, as a search finds them. `None`: it is not stored.
    fn find(
        &self,
        _ids: Vec<EventId>,
    ) -> BoxFuture<'_, Result<Vec<Option<FoundEvent>>, StoreError>> {
        cannot()
    }

    /// What became of each of these events, found before, at the targets that it was routed to
    /// and at those of `others` that got it otherwise.
    fn fates(
        &self,
        _events: Vec<FoundEvent>,
        _others: Vec<TargetNumber>,
    ) -> BoxFuture<'_, Result<Vec<FoundFates>, StoreError>> {
        cannot()
    }

    /// What [`hasten`](Self::hasten) would make due, and what it would leave waiting for a digest.
    fn later(
        &self,
        _target: TargetNumber,
        _which: Retries,
    ) -> BoxFuture<'_, Result<Later, StoreError>> {
        cannot()
    }

    /// Makes retries due now. Returns how many; durable then. Goes on if the future is dropped.
    fn hasten(
        &self,
        _target: TargetNumber,
        _which: Retries,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        cannot()
    }

    /// What became of the event; `None` when it is not stored.
    fn fate(&self, _id: EventId) -> BoxFuture<'_, Result<Option<EventFate>, StoreError>> {
        cannot()
    }

    /// Why requests are refused at the moment; `None` when they are accepted.
    fn full(&self) -> Option<Full> {
        None
    }

    /// The newest events, as far as they are in memory, the newest first.
    fn recent(&self, _max: usize) -> Vec<Arc<StoredEvent>> {
        Vec::new()
    }

    /// The damage found since the start, as text.
    fn damage(&self) -> Option<String> {
        None
    }

    /// The part of [`damage`](Self::damage) that a rebuild of the index does not repair.
    fn log_damage(&self) -> Option<String> {
        None
    }

    /// The progress of a rebuild of the index; `None` when it works.
    fn rebuilding(&self) -> Option<Rebuilding> {
        None
    }

    /// Returns when everything settled before can be read, within about a second. For callers that only read:
    /// unlike [`flush`](Self::flush) it causes no early write. An engine without delayed writes returns at once.
    fn caught_up(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    /// Makes everything settled before durable.
    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Flushes, stops the engine's threads and unlocks the folder; later calls fail with `Closed`.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

fn cannot<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, StoreError>> {
    Box::pin(async { Err(StoreError::Unsupported) })
}
