//! What waits for the committer: requests, bounded by number and bytes, and acts on targets.
//!
//! Acts need no bound of their own: each has a caller that waits for its answer. The committer takes
//! everything at once; a caller wakes it only when it sleeps.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dispatcher_model::{TargetNumber, Timestamp};
use tokio::sync::oneshot;

use super::prepared::Prepared;
use crate::embedded::format::entry::Effects;
use crate::embedded::format::frame::Frame;
use crate::embedded::format::record::{ActKind, Settled};
use crate::embedded::limits::{
    GROUP_BYTES_MAX, GROUP_REQUESTS_MAX, WAITING_BYTES_MAX, WAITING_REQUESTS_MAX,
};
use crate::embedded::platform::locks::lock;
use crate::embedded::target::expire_range::ExpireRange;
use crate::{AppendError, Settlement, StoreError, Window};

pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// How many retries and dead letters of a target have no row, because the part of the log that recorded them is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LostRows {
    pub target: TargetNumber,
    pub retries: u64,
    pub letters: u64,
}

/// The answer to a command that was sent.
pub(crate) struct Answer<T>(pub oneshot::Receiver<Result<T, StoreError>>);

impl<T> Answer<T> {
    pub(crate) async fn wait(self) -> Result<T, StoreError> {
        self.0.await.unwrap_or_else(|_| Err(closed()))
    }

    /// The answer if it is there. Ask no more after that.
    pub(crate) fn now(&mut self) -> Option<Result<T, StoreError>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(closed())),
        }
    }
}

pub(crate) struct Append {
    pub request: Prepared,
    /// Of the daemon itself.
    pub own: bool,
    pub reply: oneshot::Sender<Result<Placed, AppendError>>,
}

/// A durable request, returned so that the thread that made it frees it.
#[derive(Debug)]
pub(crate) struct Placed {
    pub request: Prepared,
    /// Where its new events lie in the log.
    pub lsn: u64,
}

pub(crate) enum Command {
    Register {
        names: Vec<Arc<str>>,
        reply: Reply<Vec<TargetNumber>>,
    },
    Settle {
        target: TargetNumber,
        outcomes: Vec<Settlement>,
        /// The deliveries of one message, which opened this window.
        window: Option<Window>,
        reply: Option<Reply<()>>,
    },
    /// The reply is `None` when the target read on meanwhile: look at the log again.
    Expire {
        target: TargetNumber,
        range: ExpireRange,
        before: Timestamp,
        reply: Reply<Option<u64>>,
    },
    Flush {
        reply: Reply<()>,
    },
    /// Replies when everything before is durable and in the index. Does not cause a sync.
    CatchUp {
        reply: Reply<()>,
    },
    /// An act on a target, by a person or a verdict. Replies how many deliveries it concerns.
    Operate {
        target: TargetNumber,
        what: ActKind,
        reply: Reply<u64>,
    },
    /// Ends the hold of a target, unless a person paused it.
    LetGo {
        target: TargetNumber,
        reply: Reply<u64>,
    },
    /// Copies events to the head of the log. Replies how many.
    Relocate {
        copies: Vec<Copy>,
        reply: Reply<u64>,
    },
    /// Ends the newest segment if it has a request that was received before then. Replies whether it did.
    EndSegment {
        before: Timestamp,
        reply: Reply<bool>,
    },
    /// Gives up retries that are not claimed, or makes them due at another time. Replies how many.
    GiveUp {
        target: TargetNumber,
        rows: Vec<Settled>,
        reply: Reply<u64>,
    },
    /// Makes dead letters of retries, and of dead letters, whose rows are lost.
    LoseRows(Vec<LostRows>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Write what waits, then stop.
    Close,
    /// Stop at once, as if the process had been killed.
    Abandon,
}

#[derive(Default)]
struct State {
    appends: VecDeque<Append>,
    bytes: usize,
    acts: VecDeque<Command>,
    stop: Option<Stop>,
    sleeping: bool,
}

#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    filled: Condvar,
}

/// What the committer took.
pub(crate) struct Taken {
    pub appends: Vec<Append>,
    pub acts: VecDeque<Command>,
    pub stop: Option<Stop>,
}

impl Inbox {
    pub(crate) fn append(&self, append: Append) -> Result<(), AppendError> {
        let bytes = append.request.size();
        let mut state = lock(&self.state);
        if state.stop.is_some() {
            return Err(AppendError::Closed);
        }
        let full = state.appends.len() >= WAITING_REQUESTS_MAX;
        if full || (state.bytes + bytes > WAITING_BYTES_MAX && !state.appends.is_empty()) {
            return Err(AppendError::Overloaded);
        }
        state.bytes += bytes;
        state.appends.push_back(append);
        self.wake(&mut state);
        Ok(())
    }

    pub(crate) fn act(&self, act: Command) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        if state.stop.is_some() {
            return Err(closed());
        }
        state.acts.push_back(act);
        self.wake(&mut state);
        Ok(())
    }

    /// `notify_one` is a system call: one is enough until the committer has woken.
    fn wake(&self, state: &mut State) {
        if std::mem::take(&mut state.sleeping) {
            self.filled.notify_one();
        }
    }

    /// Accepts nothing more. `Abandon` overrides `Close`.
    pub(crate) fn stop(&self, stop: Stop) {
        let mut state = lock(&self.state);
        if state.stop != Some(Stop::Abandon) {
            state.stop = Some(stop);
        }
        self.filled.notify_one();
    }

    /// The committer has ended. Dropping what still waits answers its callers.
    pub(crate) fn end(&self) {
        *lock(&self.state) = State { stop: Some(Stop::Abandon), ..State::default() };
    }

    pub(crate) fn stopped(&self) -> bool {
        lock(&self.state).stop.is_some()
    }

    /// Sleeps until something waits, at most for `rest`; takes at most one group of requests.
    pub(crate) fn take(&self, rest: Option<Duration>) -> Taken {
        let deadline = rest.map(|rest| Instant::now() + rest);
        let mut state = lock(&self.state);
        while state.appends.is_empty() && state.acts.is_empty() && state.stop.is_none() {
            state.sleeping = true;
            state = match deadline {
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.sleeping = false;
        let (mut count, mut bytes) = (0, 0);
        while count < GROUP_REQUESTS_MAX && bytes < GROUP_BYTES_MAX && count < state.appends.len() {
            bytes += state.appends[count].request.size();
            count += 1;
        }
        state.bytes -= bytes;
        let appends = state.appends.drain(..count).collect();
        // A stop takes effect after everything that came before it.
        let stop = state.stop.filter(|stop| *stop == Stop::Abandon || state.appends.is_empty());
        Taken { appends, acts: std::mem::take(&mut state.acts), stop }
    }
}

pub(crate) fn closed() -> StoreError {
    StoreError::Closed
}

pub(crate) fn unknown(target: TargetNumber) -> StoreError {
    StoreError::UnknownTarget(target.0)
}

/// A copy that is ready to be written.
pub(crate) struct Copy {
    pub number: u64,
    pub retrying: Vec<u16>,
    pub frame: Frame,
    pub effects: Effects,
}

impl Copy {
    pub(crate) const fn bytes(&self) -> u64 {
        self.frame.size()
    }
}
