//! A disk in memory that loses what a real one may lose: the only fake disk of the store's tests.
//!
//! A write is visible at once and reaches the medium with the next sync of its file (`sectors`). A name
//! reaches the medium with the next sync of its folder. A power cut keeps any part of the rest. A test
//! plans other faults with [`Faults`]. Reads are never short.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::embedded::platform::disk::{Disk, DiskFile, Space};
use crate::embedded::platform::locks::lock;

use super::sectors::Sectors;

/// EIO.
const BROKEN: i32 = 5;

/// ENOSPC.
pub(crate) const NO_SPACE: i32 = 28;

#[derive(Clone, Debug)]
enum NameOp {
    Made(PathBuf, usize),
    Renamed(PathBuf, PathBuf, usize),
    Removed(PathBuf),
}

/// What goes wrong next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// The machine loses power after that many calls that change something.
    pub fuse: Option<u32>,
    pub off: bool,
    /// The process ends after that many renames, removals and creations: no call changes anything from
    /// then on. Reads continue.
    pub changes_left: Option<u32>,
    /// No file can grow: writes that need it get this error.
    pub full: Option<i32>,
    /// What the disk reports as free; `None`: no end.
    pub free_bytes: Option<u64>,
    /// How many of the next calls of a kind fail.
    pub bad_reads: u32,
    pub bad_writes: u32,
    pub bad_syncs: u32,
    pub bad_names: u32,
    pub bad_creates: u32,
    /// How many of the next renames take effect, but report an error.
    pub late_renames: u32,
}

#[derive(Clone, Debug)]
struct World {
    random: fastrand::Rng,
    files: Vec<Sectors>,
    names: BTreeMap<PathBuf, usize>,
    on_medium: BTreeMap<PathBuf, usize>,
    pending: Vec<NameOp>,
    /// Folders that were made, and whether their names are on the medium.
    folders: BTreeMap<PathBuf, bool>,
    faults: Faults,
    /// How many calls failed.
    failed: u64,
    read_bytes: u64,
    /// Up to where each file is known to be durable.
    checked: BTreeMap<usize, usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct SimDisk(Arc<Mutex<World>>);

fn broken() -> io::Error {
    io::Error::from_raw_os_error(BROKEN)
}

/// Whether the calling thread prepares files for the log. Chance decides whether it or the log calls
/// first, so a counted fault is never its own.
fn prepares() -> bool {
    matches!(std::thread::current().name(), Some("store-prewrite" | "store-room"))
}

/// Whether this call fails; counts it.
fn is_due(left: &mut u32) -> bool {
    let due = *left > 0 && !prepares();
    *left -= u32::from(due);
    due
}

impl World {
    /// Counts a call that changes something. `true`: the machine loses power during this call, which may
    /// be done in part.
    fn call(&mut self) -> io::Result<bool> {
        if self.faults.off || self.faults.changes_left == Some(0) {
            return Err(broken());
        }
        let Some(left) = self.faults.fuse else { return Ok(false) };
        self.faults.fuse = left.checked_sub(1);
        self.faults.off = left == 0;
        Ok(self.faults.off)
    }

    fn name_call(&mut self) -> io::Result<()> {
        let last = self.call()?;
        if is_due(&mut self.faults.bad_names) || (last && self.random.bool()) {
            self.failed += 1;
            return Err(broken());
        }
        Ok(())
    }

    /// A call that creates, renames or removes a file.
    fn change(&mut self) -> io::Result<()> {
        self.name_call()?;
        self.faults.changes_left = self.faults.changes_left.map(|left| left - 1);
        Ok(())
    }

    fn write(&mut self, file: usize, bytes: &[u8], at: usize) -> io::Result<()> {
        let last = self.call()?;
        let mut len = bytes.len();
        let mut error = None;
        if let Some(full) = self.faults.full
            && at + len > self.files[file].allocated
        {
            len = self.files[file].allocated.saturating_sub(at).min(len);
            error = Some(io::Error::from_raw_os_error(full));
        }
        if is_due(&mut self.faults.bad_writes) || last {
            len = self.random.usize(..=len);
            error = Some(broken());
        }
        self.files[file].write(&bytes[..len], at);
        self.failed += u64::from(error.is_some());
        error.map_or(Ok(()), Err)
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        let last = self.call()?;
        let fails = is_due(&mut self.faults.bad_syncs);
        if fails {
            let mut random = self.random.fork();
            self.files[file].fail_sync(&mut random);
        }
        if fails || last {
            self.failed += 1;
            return Err(broken());
        }
        self.files[file].sync();
        Ok(())
    }

    /// A folder whose name is not on the medium is gone with all that is in it.
    fn lose_folders(&mut self) {
        let lost: Vec<PathBuf> = self
            .folders
            .iter()
            .filter(|(_, synced)| !**synced)
            .map(|(path, _)| path.clone())
            .collect();
        for folder in lost {
            self.folders.retain(|path, _| !path.starts_with(&folder));
            self.on_medium.retain(|path, _| !path.starts_with(&folder));
        }
    }

    fn settle_names(&mut self, kept: impl Fn(usize) -> bool) {
        for (i, op) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            if !kept(i) {
                continue;
            }
            match op {
                NameOp::Made(path, file) => drop(self.on_medium.insert(path, file)),
                NameOp::Renamed(from, to, file) => {
                    if self.on_medium.get(&from) == Some(&file) {
                        self.on_medium.remove(&from);
                    }
                    self.on_medium.insert(to, file);
                }
                NameOp::Removed(path) => drop(self.on_medium.remove(&path)),
            }
        }
    }
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        let world = World {
            random: fastrand::Rng::with_seed(seed ^ 0xd15c),
            files: Vec::new(),
            names: BTreeMap::new(),
            on_medium: BTreeMap::new(),
            pending: Vec::new(),
            folders: BTreeMap::new(),
            faults: Faults::default(),
            failed: 0,
            read_bytes: 0,
            checked: BTreeMap::new(),
        };
        Self(Arc::new(Mutex::new(world)))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.0)
    }

    /// Another disk with the same content.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.world().clone())))
    }

    /// Another disk with the same content, in another folder.
    pub(crate) fn copy_to(&self, from: &Path, to: &Path) -> Self {
        let copy = self.copy();
        let mut world = copy.world();
        world.settle_names(|_| true);
        let moved =
            |path: PathBuf| path.strip_prefix(from).map_or(path.clone(), |end| to.join(end));
        let names = std::mem::take(&mut world.names);
        world.names = names.into_iter().map(|(path, file)| (moved(path), file)).collect();
        world.on_medium = world.names.clone();
        drop(world);
        copy
    }

    pub(crate) fn plan(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.world().faults);
    }

    pub(crate) fn faults(&self) -> Faults {
        self.world().faults.clone()
    }

    /// How many calls failed so far.
    pub(crate) fn failures(&self) -> u64 {
        self.world().failed
    }

    /// How many bytes were read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.world().read_bytes
    }

    /// A new process on the same kernel, which still has everything in its memory. Ends all faults.
    pub(crate) fn restart(&self) {
        self.world().faults = Faults::default();
    }

    /// The power is cut and comes back.
    pub(crate) fn cut_power(&self) {
        self.restart();
        let mut world = self.world();
        let mut random = world.random.fork();
        for file in &mut world.files {
            file.cut_power(&mut random);
        }
        let (count, mode) = (world.pending.len(), random.u8(..3));
        let first = random.usize(..=count);
        let any: Vec<bool> = (0..count).map(|_| random.bool()).collect();
        world.settle_names(|i| match mode {
            // The first few, as a journal keeps them.
            0 | 1 => i < first,
            _ => any[i],
        });
        world.lose_folders();
        world.names = world.on_medium.clone();
        world.checked.clear();
    }

    /// Whether the file's name and that many of its bytes are on the medium.
    pub(crate) fn is_durable(&self, path: &Path, len: usize) -> bool {
        self.is_durable_but(path, len, 0..0)
    }

    /// The same, whatever is at these places.
    pub(crate) fn is_durable_but(&self, path: &Path, len: usize, but: Range<usize>) -> bool {
        let mut world = self.world();
        let Some(&file) = world.names.get(path) else { return false };
        let from = world.checked.get(&file).copied().unwrap_or(0).min(len);
        let data = &world.files[file];
        let whole = data.medium.len() >= len && data.cache.len() >= len;
        let is_same = |part: Range<usize>| {
            let part = part.start.max(from)..part.end.min(len);
            part.is_empty() || data.cache[part.clone()] == data.medium[part]
        };
        let same = whole && is_same(0..but.start) && is_same(but.end..len);
        let named = world.on_medium.get(path) == Some(&file);
        world.checked.insert(file, len);
        same && named
    }

    /// Names in a folder.
    pub(crate) fn names(&self, folder: &Path) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
        let world = self.world();
        world.names.keys().filter(|p| p.parent() == Some(folder)).filter_map(name).collect()
    }

    /// Flips a bit of the medium. A second call flips it back.
    pub(crate) fn flip(&self, path: &Path, at: usize, bit: u8) {
        let mut world = self.world();
        let Some(&file) = world.names.get(path) else { return };
        world.files[file].flip(at, bit);
    }
}

struct SimFile(SimDisk, usize);

impl DiskFile for SimFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.0.world();
        if world.faults.off || is_due(&mut world.faults.bad_reads) {
            return Err(broken());
        }
        let cache = &world.files[self.1].cache;
        let at = usize::try_from(offset).unwrap().min(cache.len());
        let len = out.len().min(cache.len() - at);
        out[..len].copy_from_slice(&cache[at..at + len]);
        world.read_bytes += len as u64;
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.world().write(self.1, bytes, usize::try_from(offset).unwrap())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.world().sync(self.1)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.world().files[self.1].cache.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut world = self.0.world();
        if world.call()? {
            return Err(broken());
        }
        world.files[self.1].truncate(usize::try_from(len).unwrap());
        Ok(())
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.change()?;
        if let Some(full) = world.faults.full
            && world.random.bool()
        {
            world.failed += 1;
            return Err(io::Error::from_raw_os_error(full));
        }
        if is_due(&mut world.faults.bad_creates) {
            world.failed += 1;
            return Err(broken());
        }
        let file = world.files.len();
        world.files.push(Sectors::default());
        world.names.insert(path.to_path_buf(), file);
        world.pending.push(NameOp::Made(path.to_path_buf(), file));
        Ok(Box::new(SimFile(self.clone(), file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let world = self.world();
        if world.faults.off {
            return Err(broken());
        }
        let file = *world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile(self.clone(), file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.change()?;
        let file = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_path_buf(), file);
        world.checked.remove(&file);
        world.pending.push(NameOp::Renamed(from.to_path_buf(), to.to_path_buf(), file));
        if is_due(&mut world.faults.late_renames) {
            world.failed += 1;
            return Err(broken());
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.change()?;
        world.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        world.pending.push(NameOp::Removed(path.to_path_buf()));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        Ok(self.names(folder))
    }

    fn make_folder(&self, path: &Path) -> io::Result<bool> {
        let mut world = self.world();
        let is_root = |parent: &Path| parent.parent().is_none();
        if !path.parent().is_none_or(|p| is_root(p) || world.folders.contains_key(p)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let is_new = !world.folders.contains_key(path);
        world.folders.entry(path.to_path_buf()).or_insert(false);
        Ok(is_new)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.name_call()?;
        world.settle_names(|_| true);
        let inside = world.folders.iter_mut().filter(|(path, _)| path.parent() == Some(folder));
        inside.for_each(|(_, synced)| *synced = true);
        Ok(())
    }
    fn space(&self, _: &Path) -> io::Result<Space> {
        let free_bytes = self.world().faults.free_bytes.unwrap_or(u64::MAX - 1);
        Ok(Space { free_bytes, total_bytes: u64::MAX })
    }
}
