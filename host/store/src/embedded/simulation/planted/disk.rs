//! A disk that changes records on their way, or answers a sync without doing it.
//!
//! A changed record keeps its length and gets a right checksum: for the store it is what was written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::embedded::format::frame::{HEADER_BYTES, Header, Kind, frame_bytes};
use crate::embedded::format::record::{
    Moved, RecordedOutcome, Settled, Settlements, TargetSettlements, decode, from_deltas,
};
use crate::embedded::platform::disk::{Disk, DiskFile};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskFault {
    SyncLies,
    /// Only while nothing but settlements was written since the last sync.
    SyncLiesAboutSettlements,
    /// A write of bytes that are there already does nothing.
    SkipsSameBytes,
    CursorAhead,
    RetryLost,
    DigestInParts,
    CopiedBare,
}

pub(super) struct PlantedDisk {
    pub disk: Arc<dyn Disk>,
    pub fault: DiskFault,
    /// Of the log's checksums.
    pub salt: u32,
}

struct PlantedFile {
    file: Box<dyn DiskFile>,
    fault: DiskFault,
    salt: u32,
    /// Something besides settlements was written since the last sync.
    others: AtomicBool,
}

impl DiskFault {
    fn settlements(self, target: &mut TargetSettlements) {
        let is_window = |settled: &Settled| matches!(settled.what, RecordedOutcome::Window { .. });
        match self {
            Self::CursorAhead => {
                let delivered = from_deltas(&target.delivered).last();
                let others = target.others.iter().map(|settled| settled.number).max();
                let last = delivered.max(others).unwrap_or_default();
                target.cursor = target.cursor.max(last + 1);
            }
            Self::RetryLost => {
                target
                    .others
                    .retain(|settled| !matches!(settled.what, RecordedOutcome::Retry { .. }));
            }
            Self::DigestInParts if target.others.iter().any(is_window) => {
                target.delivered.truncate(target.delivered.len() / 2);
                let mut left = target.others.len() / 2;
                target.others.retain(|settled| {
                    let keeps = left > 0 || is_window(settled);
                    left = left.saturating_sub(1);
                    keeps
                });
            }
            _ => {}
        }
    }

    /// The record as this disk has it, if it changes it.
    fn change(self, kind: u8, payload: &[u8]) -> Option<Vec<u8>> {
        if kind == Kind::Settlements as u8 {
            let mut record: Settlements = decode(payload).ok()?;
            record.targets.iter_mut().for_each(|target| self.settlements(target));
            encoded(&record, payload)
        } else if kind == Kind::Moved as u8 && self == Self::CopiedBare {
            let mut record: Moved<'_> = decode(payload).ok()?;
            record.about.rows.clear();
            encoded(&record, payload)
        } else {
            None
        }
    }
}

/// The bytes of a changed record, at least as many as before; `None` if its frame would grow.
fn encoded<T: Serialize>(record: &T, before: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = postcard::to_allocvec(record).ok()?;
    // A record may be followed by zeros.
    bytes.resize(bytes.len().max(before.len()), 0);
    (frame_bytes(bytes.len()) == frame_bytes(before.len()) && bytes != before).then_some(bytes)
}

impl PlantedFile {
    /// Calls `visit` with each whole frame.
    fn frames(&self, bytes: &mut [u8], mut visit: impl FnMut(Header, &mut [u8])) {
        let mut at = 0;
        while let Some(header) = Header::read(self.salt, &bytes[at..]) {
            let end = at + usize::try_from(frame_bytes(header.len as usize)).unwrap();
            let Some(frame) = bytes.get_mut(at..end) else { return };
            visit(header, frame);
            at = end;
        }
    }

    fn changed(&self, bytes: &[u8]) -> Vec<u8> {
        let mut changed = bytes.to_vec();
        self.frames(&mut changed, |header, frame| {
            let payload = &frame[HEADER_BYTES..HEADER_BYTES + header.len as usize];
            let Some(payload) = self.fault.change(header.kind, payload) else { return };
            let (len, payload_crc) = (payload.len(), crc32fast::hash(&payload));
            frame[HEADER_BYTES..HEADER_BYTES + len].copy_from_slice(&payload);
            let len = u32::try_from(len).unwrap();
            Header { len, payload_crc, ..header }.write(self.salt, frame);
        });
        changed
    }

    fn has(&self, bytes: &[u8], offset: u64) -> io::Result<bool> {
        let mut there = vec![0; bytes.len()];
        Ok(self.file.read_at(&mut there, offset)? == bytes.len() && there == bytes)
    }

    fn lies(&self) -> bool {
        match self.fault {
            DiskFault::SyncLies => true,
            DiskFault::SyncLiesAboutSettlements => !self.others.swap(false, Ordering::SeqCst),
            _ => false,
        }
    }
}

impl DiskFile for PlantedFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(out, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.fault == DiskFault::SkipsSameBytes && self.has(bytes, offset)? {
            return Ok(());
        }
        let mut only_settlements = false;
        self.frames(&mut bytes.to_vec(), |header, _| {
            only_settlements = header.kind == Kind::Settlements as u8;
            if !only_settlements {
                self.others.store(true, Ordering::SeqCst);
            }
        });
        if !only_settlements {
            self.others.store(true, Ordering::SeqCst);
        }
        self.file.write_all_at(&self.changed(bytes), offset)
    }

    fn sync(&self) -> io::Result<()> {
        if self.lies() { Ok(()) } else { self.file.sync() }
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.others.store(true, Ordering::SeqCst);
        self.file.truncate(len)
    }
}

impl PlantedDisk {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let (fault, salt) = (self.fault, self.salt);
        Box::new(PlantedFile { file, fault, salt, others: AtomicBool::new(true) })
    }
}

impl Disk for PlantedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.disk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.disk.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn make_folder(&self, path: &Path) -> io::Result<bool> {
        self.disk.make_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        if self.fault == DiskFault::SyncLies { Ok(()) } else { self.disk.sync_folder(path) }
    }
}
