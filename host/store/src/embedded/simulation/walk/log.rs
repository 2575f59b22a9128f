//! The log as it is on the disk, against the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::embedded::format::event_number::lsn_of;
use crate::embedded::format::frame::Kind;
use crate::embedded::format::record::{Moved, decode};
use crate::embedded::format::stored_request::Read;
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step};
use crate::embedded::platform::locks::read_lock;
use dispatcher_model::StoredEvent;

use super::model::{Model, Presence};
use super::walk::{Done, Walk};

/// An event in the log, and the targets it was planned for.
pub(super) struct Logged {
    pub event: Arc<StoredEvent>,
    pub targets: Vec<u16>,
    /// A copy, made when its segment was to be removed.
    pub moved: bool,
}

impl Walk {
    /// Every event in the log, in its order.
    pub(super) fn scan(&self) -> Done<Vec<Logged>> {
        let shared = &self.running().store.shared;
        let segments = read_lock(&shared.reader.segments).clone();
        let (mut all, mut at) = (Vec::new(), 0);
        let failed = |error: std::io::Error| format!("the log cannot be read: {error}");
        while let Some(stretch) = segments.stretch(at) {
            let file = shared.reader.disk.open(&shared.reader.path(&stretch)).map_err(failed)?;
            let mut scanner = Scanner::new(&*file, stretch, CHUNK_BYTES.min(64 << 10));
            loop {
                match scanner.step().map_err(failed)? {
                    Step::Frame(header, payload) if header.kind == Kind::Request as u8 => {
                        let read = Read::new(header.lsn, payload).map_err(|e| e.to_string())?;
                        let origins =
                            (0..).map_while(|place| read.origin(self.identity.store, place));
                        all.extend(origins.map(|origin| Logged {
                            event: Arc::new(origin.event),
                            targets: origin.targets,
                            moved: false,
                        }));
                    }
                    Step::Frame(header, payload) if header.kind == Kind::Moved as u8 => {
                        let moved: Moved<'_> = decode(payload).map_err(|e| e.to_string())?;
                        let origin = shared.reader.origin(moved.about.number, header.lsn);
                        let origin = origin.map_err(failed)?.ok_or("a copy cannot be read")?;
                        let (event, targets) = (Arc::new(origin.event), origin.targets);
                        all.push(Logged { event, targets, moved: true });
                    }
                    Step::Frame(..) => {}
                    Step::Bad(lsn) => return Err(format!("the log is damaged at {lsn}")),
                    Step::End => break,
                }
            }
            at = stretch.to.max(at + 1);
        }
        Ok(all)
    }

    /// An acknowledged event is in the log, once. A request without an answer may be there or not.
    pub(super) fn check_log(&mut self) -> Done {
        let mut found = BTreeSet::new();
        let mut requests: BTreeMap<u64, bool> = BTreeMap::new();
        let start = self.start();
        for Logged { event, targets, moved } in self.scan()? {
            let label =
                Model::label_of(&event.data).ok_or("the log has an event without a label")?;
            let known = self
                .model
                .events
                .get(label)
                .ok_or("the log has an event that was never appended")?;
            let same = *event.data == *known.text.as_bytes() && known.targets.iter().eq(&targets);
            if !same || known.presence == Presence::Absent {
                return Err(format!(
                    "event {label} is in the log with other content, as {:?}",
                    event.id
                ));
            }
            if known.presence == Presence::Gone {
                continue;
            }
            if !found.insert(label) && !moved {
                return Err(format!("event {label} is in the log twice"));
            }
            if known.presence == Presence::Maybe {
                requests.insert(known.request, true);
            }
            self.model.store(label, event.id)?;
        }
        for label in 0..self.model.events.len() {
            let event = &mut self.model.events[label];
            match event.presence {
                Presence::Stored if found.contains(&label) => {}
                Presence::Stored if event.id.is_some_and(|id| lsn_of(id.number()) < start) => {
                    self.is_gone(label)?;
                }
                Presence::Stored => {
                    return Err(format!("event {label} was acknowledged but is lost"));
                }
                Presence::Maybe => event.presence = Presence::Absent,
                _ => {}
            }
        }
        Ok(())
    }
}
