//! A store in a temporary folder, or with its log on a simulated disk, and ways to look at it and to
//! damage it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::Queue;
use crate::contract::{HOUR, Opener, append, delivered, planned, settle, within};
use crate::embedded::core::machine::Machine;
use crate::embedded::format::segment_header::{Flags, SegmentHeader};
use crate::embedded::log::beginning::mark;
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step, Stretch};
use crate::embedded::platform::disk::{DiskFile, Files};
use crate::embedded::simulation::hardware::disk::SimDisk;
use crate::embedded::simulation::hardware::memory_index::Rows;
use crate::embedded::{Embedded, Settings};
use dispatcher_model::{EventId, TargetNumber};

pub(super) struct Folder {
    pub dir: TempDir,
    /// The disk of the log, if it is not the real one.
    disk: Option<SimDisk>,
}

impl Folder {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), disk: None }
    }

    /// With its log on a disk that can have faults.
    pub(super) fn simulated() -> (Self, SimDisk) {
        let disk = SimDisk::new(1);
        let folder = Self { disk: Some(disk.clone()), ..Self::new() };
        std::fs::create_dir(folder.settings().directory).unwrap();
        (folder, disk)
    }

    /// A copy of everything, in another folder.
    pub(super) fn copy(&self) -> Self {
        let mut copy = Self::new();
        let (from, to) = (self.settings().directory, copy.settings().directory);
        copy_tree(&from, &to);
        copy.disk = self.disk.as_ref().map(|disk| disk.copy_to(&from, &to));
        copy
    }

    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.dir.path().join("data"));
        settings.segment_bytes = 1 << 20;
        settings
    }

    pub(super) fn machine(&self) -> Machine {
        let real = Machine::real(&self.settings());
        match &self.disk {
            Some(disk) => Machine { disk: Arc::new(disk.clone()), ..real },
            None => real,
        }
    }

    pub(super) fn store(&self) -> Arc<Embedded> {
        Embedded::open_on(&self.settings(), &self.machine()).unwrap()
    }

    /// Files of the log, oldest first.
    pub(super) fn segments(&self) -> Vec<PathBuf> {
        let folder = self.settings().log_folder();
        let names = self.machine().disk.list(&folder).unwrap();
        let mut files: Vec<PathBuf> = names
            .iter()
            .map(|name| folder.join(name))
            .filter(|path| path.extension().is_some_and(|e| e == "log"))
            .collect();
        files.sort();
        files
    }

    fn header(path: &Path) -> SegmentHeader {
        SegmentHeader::from_bytes(&std::fs::read(path).unwrap()).unwrap()
    }

    /// Where the last record of the newest file ends in it.
    pub(super) fn end(&self) -> u64 {
        let path = self.segments().pop().unwrap();
        let (header, file) = (Self::header(&path), File::open(&path).unwrap());
        let all = Stretch { segment: header, from: header.first(), to: header.limit() };
        let mut scanner = Scanner::new(&file, all, CHUNK_BYTES);
        while let Step::Frame(..) = scanner.step().unwrap() {}
        scanner.at() - header.base
    }

    /// Lets the newest file end with its last record, as if it had never been longer: on a file system without holes, or
    /// made by an earlier program.
    pub(super) fn shorten(&self) {
        let path = self.segments().pop().unwrap();
        let header = Self::header(&path);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        file.set_len(self.end()).unwrap();
        let flags = Flags { full_length: false, ..header.flags };
        let header = SegmentHeader { flags, ..header }.to_bytes();
        DiskFile::write_all_at(&file, &header, 0).unwrap();
    }

    /// Removes the oldest segments as retention does.
    pub(super) fn remove_oldest(&self, count: usize) {
        let segments = self.segments();
        mark(&Files, &self.settings().log_folder(), &Self::header(&segments[count])).unwrap();
        segments[..count].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }

    pub(super) fn delete_index(&self) {
        std::fs::remove_dir_all(self.settings().index_folder()).unwrap();
    }
}

impl Opener for Folder {
    fn open(&self) -> Arc<dyn Queue> {
        self.store()
    }
}

/// Waits until it is true.
pub(super) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let asked = std::time::Instant::now();
    while !so() {
        assert!(asked.elapsed() < Duration::from_secs(60), "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// All rows of the index.
pub(super) fn dump(store: &Embedded) -> Rows {
    store.shared.with_index(|index| Ok(index.dump())).unwrap()
}

/// Delivers everything that waits for the target; returns how many deliveries that were.
pub(super) async fn deliver_all(store: &Embedded, target: TargetNumber) -> u64 {
    append(store, vec![planned("the end", &[target])]).await;
    let mut count = 0;
    loop {
        let some = within(store.claim(target, 500, HOUR)).await.unwrap();
        count += some.len() as u64;
        settle(store, target, &some, delivered()).await;
        if some.iter().any(|delivery| delivery.event.data == "the end") {
            store.flush().await.unwrap();
            return count - 1;
        }
    }
}

/// So many events, each in a request of its own.
pub(super) async fn one_by_one(
    store: &Embedded,
    count: usize,
    targets: &[TargetNumber],
) -> Vec<EventId> {
    let mut ids = Vec::new();
    for i in 0..count {
        ids.extend(append(store, vec![planned(i.to_string(), targets)]).await);
    }
    ids
}

/// A copy of a folder with all that is in it.
pub(super) fn copy_tree(from: &Path, to: &Path) {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_tree(&entry.path(), &target);
        } else if kind.is_fifo() {
            make_fifo(&target);
        } else if !entry.path().is_file() {
            make_device(&target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(super) fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// A device, or a link to one if this user may not make any.
pub(super) fn make_device(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let (kind, mode) = (FileType::CharacterDevice, Mode::RUSR | Mode::WUSR);
    if mknodat(CWD, path, kind, mode, makedev(1, 3)).is_err() {
        std::os::unix::fs::symlink("/dev/null", path).unwrap();
    }
}

/// Flips a bit of a byte.
pub(super) fn flip(file: &std::path::Path, offset: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    FileExt::read_exact_at(&file, &mut byte, offset).unwrap();
    FileExt::write_all_at(&file, &[byte[0] ^ 4], offset).unwrap();
}

/// Where the frame of an event lies in a log of one segment.
pub(super) fn offset_of(event: EventId) -> u64 {
    crate::embedded::format::event_number::lsn_of(event.number())
}

/// Events large enough that a few hundred fill a segment.
pub(super) fn large(name: &str) -> String {
    format!("{name}{}", ".".repeat(4_000))
}
