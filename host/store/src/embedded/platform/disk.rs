//! The few things the log asks of a file system, so that tests can stand between it and the disk.
//!
//! Everything the log writes, syncs, names or removes goes through [`Disk`]; what a power cut would
//! leave behind can be computed from these calls alone. Files are made 0600, folders 0700.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::regular::{open_with, remove};

/// What the system's cache holds of a file at once.
pub(crate) const PAGE_BYTES: usize = 4_096;

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(file: &std::fs::Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino() }
    }
}

/// An open file; all methods name their place, so that readers and the writer can share one.
pub(crate) trait DiskFile: Send + Sync {
    /// Reads up to `out.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns once data and size are on the medium.
    fn sync(&self) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// `None` on a disk that gives its files no ids.
    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(None)
    }
    /// Whether writes go past the system's cache from here on. Then their place, length and memory
    /// must lie at multiples of [`PAGE_BYTES`].
    fn bypass_cache(&self, bypass: bool) -> bool {
        let _ = bypass;
        false
    }
}

/// Space of the file system of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// What this user may still write.
    pub free_bytes: u64,
    pub total_bytes: u64,
}

pub(crate) trait Disk: Send + Sync + 'static {
    /// A new empty file; one that is there is emptied.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// How many names the file has.
    fn links(&self, _path: &Path) -> io::Result<u64> {
        Ok(1)
    }
    /// Which file has that name; `None` on a disk that gives its files no ids.
    fn id(&self, _path: &Path) -> io::Result<Option<FileId>> {
        Ok(None)
    }
    /// Names in a folder, without order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Makes a folder in one that is there; `false` if it is there already.
    fn make_folder(&self, path: &Path) -> io::Result<bool>;
    /// Returns once all names of the folder are on the medium.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// May block as long as the file system does. A disk without an end has room for everything.
    fn space(&self, folder: &Path) -> io::Result<Space> {
        let _ = folder;
        Ok(Space { free_bytes: u64::MAX - 1, total_bytes: u64::MAX })
    }
}

/// Makes a folder with its parents, and syncs each new one's name: a power cut could remove the folder with
/// everything that was synced in it.
pub(crate) fn make_folders(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    // The parent of a bare name is empty: the current folder, which is there.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let made = match disk.make_folder(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folders(disk, parent.ok_or(error)?)?;
            disk.make_folder(path)
        }
        made => made,
    };
    if made? { disk.sync_folder(parent.unwrap_or(Path::new("."))) } else { Ok(()) }
}

/// The file system of the machine.
#[derive(Debug)]
pub(crate) struct Files;

impl DiskFile for File {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match FileExt::read_at(self, &mut out[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn bypass_cache(&self, bypass: bool) -> bool {
        let set = fcntl_getfl(self).and_then(|flags| {
            fcntl_setfl(self, if bypass { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT })
        });
        // Some file systems cannot do without the cache.
        bypass && set.is_ok()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(Some(FileId::of(&self.metadata()?)))
    }
}

impl Disk for Files {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Box::new(open_with(&mut options, path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(open_with(OpenOptions::new().read(true).write(true), path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        remove(path)
    }

    fn links(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.nlink())
    }

    fn id(&self, path: &Path) -> io::Result<Option<FileId>> {
        Ok(Some(FileId::of(&std::fs::metadata(path)?)))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn make_folder(&self, path: &Path) -> io::Result<bool> {
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn space(&self, folder: &Path) -> io::Result<Space> {
        let system = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
        Ok(Space { free_bytes: bytes(system.f_bavail), total_bytes: bytes(system.f_blocks) })
    }
}

/// Whether the disk is full: no space, a quota, or a limit of file sizes.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
