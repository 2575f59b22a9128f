//! What was placed in the log since it was last durable, and what to do once it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::store::{AppendError, Durable};

use super::dedup::{Recent, Undo};
use super::frame::Frame;
use super::inbox::Reply;
use super::lock;
use super::log::DiskError;
use super::shared::Shared;
use super::state::{Effects, Entry, number};
use super::tail::TailFrame;

/// A frame that must reach the log even if the disk refuses it now.
pub(super) struct Kept {
    pub frame: Frame,
    pub effects: Effects,
}

struct Placed {
    entry: Entry,
    /// To be written again if this does not become durable; `None`: given up then.
    kept: Option<Frame>,
}

/// An answer that waits for the disk.
pub(super) enum Waiting {
    Append { reply: oneshot::Sender<Result<Durable, AppendError>>, durable: Durable },
    Killed { reply: Reply<Option<u64>>, count: u64 },
    Operated { reply: Reply<u64>, count: u64 },
}

#[derive(Default)]
pub(super) struct Group {
    placed: Vec<Placed>,
    tail: Vec<Arc<TailFrame>>,
    waiting: Vec<Waiting>,
    undo: Vec<Undo>,
    /// Bytes of frames that nobody waits for.
    pub lazy_bytes: usize,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.placed.is_empty() && self.waiting.is_empty()
    }

    /// Whether somebody waits for a sync.
    pub(super) fn urgent(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn registry(&mut self, entry: Entry) {
        self.placed.push(Placed { entry, kept: None });
    }

    pub(super) fn request(&mut self, entry: Entry, tail: TailFrame) {
        self.placed.push(Placed { entry, kept: None });
        // What no target gets would only push out what one may still want.
        if !tail.targets.is_empty() {
            self.tail.push(Arc::new(tail));
        }
    }

    pub(super) fn act(&mut self, entry: Entry, frame: Frame) {
        self.lazy_bytes += usize::try_from(frame.size()).unwrap_or(usize::MAX);
        self.placed.push(Placed { entry, kept: Some(frame) });
    }

    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
    }

    pub(super) fn undo(&mut self, undo: Undo) {
        self.undo.push(undo);
    }

    /// Everything in it is durable: readers see it, senders are answered, then targets are woken.
    /// Gives the frames for checkpoint and index.
    pub(super) fn durable(self, shared: &Shared, end: u64) -> Vec<Entry> {
        let entries: Vec<Entry> = self.placed.into_iter().map(|placed| placed.entry).collect();
        let gone = shared.tail.push(self.tail.into_iter());
        shared.set_tail(end);
        let mut woken: BTreeMap<u16, _> = BTreeMap::new();
        for entry in &entries {
            let Effects::Request { routed, .. } = &entry.effects else { continue };
            for r in routed {
                if let Some(target) = shared.target(r.target) {
                    let last = number(entry.lsn, r.last);
                    lock(&target.live).publish(entry.lsn, last, u64::from(r.count));
                    woken.insert(r.target, target);
                }
            }
        }
        for waiting in self.waiting {
            // Whoever asked may have gone away: that changes nothing.
            match waiting {
                Waiting::Append { reply, durable } => drop(reply.send(Ok(durable))),
                Waiting::Killed { reply, count } => drop(reply.send(Ok(Some(count)))),
                Waiting::Operated { reply, count } => drop(reply.send(Ok(count))),
            }
        }
        for target in woken.into_values() {
            target.woken.notify_waiters();
        }
        drop(gone);
        entries
    }

    /// Nothing of it is durable: requests are refused, acts are kept to be written again.
    pub(super) fn refuse(self, recent: &mut Recent, error: &DiskError) -> Vec<Kept> {
        for undo in self.undo.into_iter().rev() {
            recent.undo(undo);
        }
        for waiting in self.waiting {
            match waiting {
                Waiting::Append { reply, .. } => {
                    drop(reply.send(Err(error.to_append())));
                }
                Waiting::Operated { reply, .. } => {
                    drop(reply.send(Err(error.to_store())));
                }
                Waiting::Killed { reply, .. } => {
                    drop(reply.send(Err(error.to_store())));
                }
            }
        }
        let kept = self
            .placed
            .into_iter()
            .filter_map(|placed| Some(Kept { frame: placed.kept?, effects: placed.entry.effects }));
        kept.collect()
    }
}
