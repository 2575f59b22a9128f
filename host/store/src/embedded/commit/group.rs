//! What was placed in the log since it was last durable, and what to do once it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::AppendError;
use crate::embedded::core::inbox::{Placed, Reply};
use crate::embedded::core::shared::{Shared, Target};
use crate::embedded::format::entry::{Effects, Entry};
use crate::embedded::format::event_number::number;
use crate::embedded::format::frame::Frame;
use crate::embedded::index::recent::{Recent, Undo};
use crate::embedded::log::recent::TailFrame;
use crate::embedded::log::writer::DiskError;
use crate::embedded::platform::locks::lock;

struct Record {
    entry: Entry,
    /// To be written again if the disk refuses it; `None` for a record that is refused with it.
    frame: Option<Frame>,
}

/// A record that is written again until the disk takes it.
pub(crate) struct Unwritten {
    pub frame: Frame,
    pub effects: Effects,
}

/// An answer that waits for the disk.
pub(crate) enum Waiting {
    Append { reply: oneshot::Sender<Result<Placed, AppendError>>, placed: Placed },
    Expired { reply: Reply<Option<u64>>, count: u64 },
    Operated { reply: Reply<u64>, count: u64 },
}

#[derive(Default)]
pub(crate) struct Group {
    placed: Vec<Record>,
    tail: Vec<Arc<TailFrame>>,
    waiting: Vec<Waiting>,
    undo: Vec<Undo>,
    /// Bytes of frames without a caller that waits.
    pub lazy_bytes: usize,
}

impl Group {
    pub(crate) fn is_empty(&self) -> bool {
        self.placed.is_empty() && self.waiting.is_empty()
    }

    /// Whether a caller waits for a sync.
    pub(crate) fn urgent(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn registry(&mut self, entry: Entry) {
        self.placed.push(Record { entry, frame: None });
    }

    pub(crate) fn request(&mut self, entry: Entry, tail: Option<TailFrame>) {
        self.placed.push(Record { entry, frame: None });
        self.tail.extend(tail.map(Arc::new));
    }

    pub(crate) fn act(&mut self, entry: Entry, frame: Frame) {
        self.lazy_bytes += usize::try_from(frame.size()).unwrap_or(usize::MAX);
        self.placed.push(Record { entry, frame: Some(frame) });
    }

    pub(crate) fn wait(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
    }

    pub(crate) fn undo(&mut self, undo: Undo) {
        self.undo.push(undo);
    }

    /// Everything in the group is durable: shows it to readers, answers senders, then wakes targets.
    /// Returns the entries for the checkpoint and the index.
    pub(crate) fn durable(self, shared: &Shared, end: u64) -> Vec<Entry> {
        let entries: Vec<Entry> = self.placed.into_iter().map(|placed| placed.entry).collect();
        let gone =
            if self.tail.is_empty() { Vec::new() } else { shared.tail.push(self.tail.into_iter()) };
        shared.set_tail(end);
        let woken = publish(shared, &entries);
        for waiting in self.waiting {
            // The caller may no longer wait; that changes nothing.
            match waiting {
                Waiting::Append { reply, placed } => drop(reply.send(Ok(placed))),
                Waiting::Expired { reply, count } => drop(reply.send(Ok(Some(count)))),
                Waiting::Operated { reply, count } => drop(reply.send(Ok(count))),
            }
        }
        for target in woken {
            target.woken.notify_waiters();
        }
        drop(gone);
        entries
    }

    /// Nothing in the group is durable: requests are refused, acts are returned, to be written again.
    pub(crate) fn refuse(self, recent: &mut Recent, error: &DiskError) -> Vec<Unwritten> {
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
                Waiting::Expired { reply, .. } => {
                    drop(reply.send(Err(error.to_store())));
                }
            }
        }
        let unwritten = self.placed.into_iter().filter_map(|placed| {
            Some(Unwritten { frame: placed.frame?, effects: placed.entry.effects })
        });
        unwritten.collect()
    }
}

/// Adds what is new to each target. Once per target, since all of it became durable together.
fn publish(shared: &Shared, entries: &[Entry]) -> Vec<Arc<Target>> {
    /// Place of its first request, number of its last event, and how many there are.
    type New = (u64, u64, u64);
    let mut new: BTreeMap<u16, New> = BTreeMap::new();
    for entry in entries {
        let Effects::Request { routed, .. } = &entry.effects else { continue };
        for r in routed {
            let (_, last, count) = new.entry(r.target).or_insert((entry.lsn, 0, 0));
            *last = number(entry.lsn, r.last);
            *count += u64::from(r.count);
        }
    }
    let targets = new.into_iter().filter_map(|(target, (lsn, last, count))| {
        let target = shared.target(target)?;
        lock(&target.live).publish(lsn, last, count);
        Some(target)
    });
    targets.collect()
}
