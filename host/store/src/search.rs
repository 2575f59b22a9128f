//! What a person asks about stored events: a search for them, and what became of each.

use std::fmt;
use std::sync::Arc;

use dispatcher_model::{Attributes, EventId, Receipt, StoredEvent, TargetNumber, Timestamp};

/// Whether a search wants an event that was routed to these targets.
pub type Wanted = Box<dyn Fn(&StoredEvent, &[TargetNumber]) -> bool + Send + Sync>;

/// Which events are looked for.
pub struct Search {
    /// Only what was stored before that event.
    pub before: Option<EventId>,
    /// Only what was received then or later.
    pub since: Option<Timestamp>,
    pub wanted: Wanted,
    /// Most events of the page.
    pub max: usize,
    /// Most bytes of the log that are read for the page; at least one block is.
    pub bytes_max: u64,
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, since, max, bytes_max, .. } = self;
        let mut shown = f.debug_struct("Search");
        shown.field("before", before).field("since", since);
        shown.field("max", max).field("bytes_max", bytes_max).finish_non_exhaustive()
    }
}

/// An event as a list shows it.
#[derive(Clone, Debug)]
pub struct FoundEvent {
    pub id: EventId,
    pub source: Arc<str>,
    pub attributes: Attributes,
    /// Those that it was routed to.
    pub targets: Vec<TargetNumber>,
}

/// An event with what became of it, at targets.
pub type FoundFates = (FoundEvent, Vec<(TargetNumber, Fate)>);

/// What a search found.
#[derive(Debug, Default)]
pub struct SearchPage {
    /// The newest first.
    pub events: Vec<FoundEvent>,
    /// The next page is of what was stored before that. `None`: nothing is left.
    pub next: Option<EventId>,
    /// The bound on what is read for it ended the page.
    pub is_cut: bool,
    /// When the oldest event that was looked at was received.
    pub back_to: Option<Timestamp>,
    /// Places of the log that cannot be read, as the numbers that events there would have. Those before `next` are read
    /// again for the next page.
    pub unreadable: Vec<u64>,
    /// Why the files of some of these places cannot be read.
    pub files: Vec<(u64, String)>,
    /// Why relocated events are left out, if they are.
    pub left_out: Option<String>,
}

/// Which retries of a target are meant.
#[derive(Clone, Debug)]
pub enum Retries {
    All,
    /// Those of these events.
    Of(Vec<EventId>),
    /// Those of these events, and of all that were in one message with them: for a target that combines events.
    OfMessagesWith(Vec<EventId>),
}

/// What waits for its time at a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Later {
    /// Deliveries that failed and are due later.
    pub retries: u64,
    /// Deliveries that were not attempted and wait for the next message.
    pub for_digest: u64,
}

/// What became of an event at one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not attempted yet, or in its first attempt.
    Waiting,
    /// A person replayed it, or moved it to this target, at `since`. It was not attempted after that.
    Again { since: Timestamp, due: Timestamp },
    /// Failed, to be retried at `at`.
    Retrying { attempts: u32, at: Timestamp, reason: String },
    /// `at` is unknown for a first attempt without a receipt.
    Delivered { receipt: Receipt, attempts: u32, at: Option<Timestamp> },
    /// `dropped`: a person dropped it.
    Dead { attempts: u32, at: Timestamp, reason: String, dropped: bool },
    /// Has a reason if no target got the event; else it is empty.
    NotRouted { reason: String },
}

/// An event, its request, and its fate at every target that ever existed.
#[derive(Clone, Debug)]
pub struct EventFate {
    pub event: Arc<StoredEvent>,
    pub verified_at: Timestamp,
    /// Name of the scheme that verified it.
    pub scheme: String,
    /// Which of the source's secrets matched, from 0.
    pub key: u16,
    /// Hash of the configuration that routed it.
    pub config: u64,
    pub fates: Vec<(TargetNumber, Fate)>,
}
