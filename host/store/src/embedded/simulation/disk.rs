//! A disk in memory that loses what a real one may lose.
//!
//! What was written is in the file's `cache` at once and on the `medium` once it was synced, sector by
//! sector; names are on the medium once their folder was synced. A power cut keeps any part of the
//! rest. A failed sync leaves what Linux leaves: sectors that look clean, some of them only in memory.
//! Other faults: a write that ends in the middle, a disk that is full for a while, calls that fail, a
//! machine that goes off at its n-th call from now, and a flipped bit. A read is never short.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::embedded::platform::disk::{Disk, DiskFile};
use crate::embedded::platform::locks::lock;

/// What a disk writes whole.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
struct Data {
    medium: Vec<u8>,
    cache: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
enum NameOp {
    Made(PathBuf, usize),
    Renamed(PathBuf, PathBuf, usize),
    Removed(PathBuf),
}

/// What goes wrong next.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// The machine goes off at that call that changes something.
    pub fuse: Option<u32>,
    pub off: bool,
    pub full: bool,
    pub bad_writes: u32,
    pub bad_syncs: u32,
    pub bad_names: u32,
    /// A planted bug: syncs answer at once.
    pub lying: bool,
}

#[derive(Clone, Debug)]
struct World {
    random: fastrand::Rng,
    files: Vec<Data>,
    names: BTreeMap<PathBuf, usize>,
    on_medium: BTreeMap<PathBuf, usize>,
    pending: Vec<NameOp>,
    faults: Faults,
    /// How often something went wrong.
    met: u64,
    /// Up to where a file was seen to be durable.
    checked: BTreeMap<usize, usize>,
}

#[derive(Clone, Debug)]
pub(super) struct SimDisk(Arc<Mutex<World>>);

fn broken() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn full() -> io::Error {
    io::Error::from_raw_os_error(28)
}

impl Data {
    fn put(&mut self, bytes: &[u8], at: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        if self.cache.len() < end {
            // The hole before it, and the rest of its last sector, are new as well.
            self.dirty.extend(self.cache.len() / SECTOR..at / SECTOR);
            self.cache.resize(end, 0);
        }
        self.cache[at..end].copy_from_slice(bytes);
        self.dirty.extend(at / SECTOR..=(end - 1) / SECTOR);
    }

    fn sector(&self, sector: usize) -> std::ops::Range<usize> {
        sector * SECTOR..((sector + 1) * SECTOR).min(self.cache.len())
    }

    /// Brings a sector onto the medium.
    fn bring(&mut self, sector: usize) {
        let range = self.sector(sector);
        if range.start >= range.end {
            return;
        }
        if self.medium.len() < range.end {
            self.medium.resize(range.end, 0);
        }
        self.medium[range.clone()].copy_from_slice(&self.cache[range]);
    }

    fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.bring(sector);
        }
        self.medium.resize(self.cache.len(), 0);
    }

    /// The medium took a part; all of it counts as clean from here on.
    fn fail_sync(&mut self, random: &mut fastrand::Rng) {
        for sector in std::mem::take(&mut self.dirty) {
            match random.u8(..3) {
                0 => self.bring(sector),
                // Only in memory from now on …
                1 => {}
                // … or not even there.
                _ => {
                    let range = self.sector(sector);
                    for at in range {
                        self.cache[at] = self.medium.get(at).copied().unwrap_or(0);
                    }
                }
            }
        }
        if random.bool() {
            self.medium.resize(self.cache.len(), 0);
        }
    }

    fn cut_power(&mut self, random: &mut fastrand::Rng) {
        let old = self.medium.len();
        let len = match random.u8(..4) {
            0 => old,
            1 => random.usize(old.min(self.cache.len())..=old.max(self.cache.len())),
            _ => self.cache.len(),
        };
        let dirty: Vec<usize> = std::mem::take(&mut self.dirty).into_iter().collect();
        let mode = random.u8(..5);
        let first = random.usize(..=dirty.len());
        for (i, sector) in dirty.into_iter().enumerate() {
            let kept = match mode {
                0 => false,
                1 => true,
                2 => i < first,
                3 => i >= first,
                _ => random.bool(),
            };
            if kept {
                self.bring(sector);
            }
        }
        self.medium.resize(len, 0);
        self.cache.clone_from(&self.medium);
    }
}

impl World {
    /// Counts a call that changes something; whether the machine is still on, and whether this is
    /// the last call that it does, in part.
    fn call(&mut self) -> io::Result<bool> {
        if self.faults.off {
            return Err(broken());
        }
        let Some(left) = self.faults.fuse else { return Ok(false) };
        self.faults.fuse = left.checked_sub(1);
        self.faults.off = left == 0;
        Ok(self.faults.off)
    }

    fn name_call(&mut self) -> io::Result<()> {
        let last = self.call()?;
        let fails = self.faults.bad_names > 0;
        self.faults.bad_names = self.faults.bad_names.saturating_sub(1);
        if fails || (last && self.random.bool()) {
            self.met += 1;
            return Err(broken());
        }
        Ok(())
    }

    fn write(&mut self, file: usize, bytes: &[u8], at: usize) -> io::Result<()> {
        let last = self.call()?;
        let mut len = bytes.len();
        let mut failed = None;
        if self.faults.full && at + len > self.files[file].cache.len() {
            len = self.files[file].cache.len().saturating_sub(at).min(len);
            failed = Some(full());
        }
        let fails = self.faults.bad_writes > 0;
        self.faults.bad_writes = self.faults.bad_writes.saturating_sub(1);
        if last || fails {
            len = self.random.usize(..=len);
            failed = Some(broken());
        }
        self.files[file].put(&bytes[..len], at);
        self.met += u64::from(failed.is_some());
        failed.map_or(Ok(()), Err)
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        let last = self.call()?;
        if self.faults.lying {
            return Ok(());
        }
        let fails = self.faults.bad_syncs > 0;
        self.faults.bad_syncs = self.faults.bad_syncs.saturating_sub(1);
        if fails {
            let mut random = self.random.fork();
            self.files[file].fail_sync(&mut random);
        }
        if fails || last {
            self.met += 1;
            return Err(broken());
        }
        self.files[file].sync();
        Ok(())
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
    pub(super) fn new(seed: u64) -> Self {
        let world = World {
            random: fastrand::Rng::with_seed(seed ^ 0xd15c),
            files: Vec::new(),
            names: BTreeMap::new(),
            on_medium: BTreeMap::new(),
            pending: Vec::new(),
            faults: Faults::default(),
            met: 0,
            checked: BTreeMap::new(),
        };
        Self(Arc::new(Mutex::new(world)))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.0)
    }

    /// The same disk for somebody else.
    pub(super) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.world().clone())))
    }

    pub(super) fn plan(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.world().faults);
    }

    pub(super) fn faults(&self) -> Faults {
        self.world().faults.clone()
    }

    pub(super) fn faults_met(&self) -> u64 {
        self.world().met
    }

    /// A new process, on the same kernel: what is in its memory is still there.
    pub(super) fn restart(&self) {
        let mut world = self.world();
        let lying = world.faults.lying;
        world.faults = Faults { lying, ..Faults::default() };
    }

    /// The power is cut and comes back.
    pub(super) fn cut_power(&self) {
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
            // As a journal keeps them: in their order.
            0 | 1 => i < first,
            _ => any[i],
        });
        world.names = world.on_medium.clone();
        world.checked.clear();
    }

    /// Whether that many bytes of the file are on the medium, and its name.
    pub(super) fn is_durable(&self, path: &Path, len: usize) -> bool {
        let mut world = self.world();
        let Some(&file) = world.names.get(path) else { return false };
        let from = world.checked.get(&file).copied().unwrap_or(0).min(len);
        let data = &world.files[file];
        let whole = data.medium.len() >= len && data.cache.len() >= len;
        let same = whole && data.cache[from..len] == data.medium[from..len];
        let named = world.on_medium.get(path) == Some(&file);
        world.checked.insert(file, len);
        same && named
    }

    /// Names in a folder.
    pub(super) fn names(&self, folder: &Path) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
        let world = self.world();
        world.names.keys().filter(|p| p.parent() == Some(folder)).filter_map(name).collect()
    }

    /// A bit of the medium turns over; again to take that back.
    pub(super) fn flip(&self, path: &Path, at: usize, bit: u8) {
        let mut world = self.world();
        let Some(&file) = world.names.get(path) else { return };
        let data = &mut world.files[file];
        for bytes in [&mut data.medium, &mut data.cache] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
    }
}

struct SimFile(SimDisk, usize);

impl DiskFile for SimFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.0.world();
        if world.faults.off {
            return Err(broken());
        }
        let cache = &world.files[self.1].cache;
        let at = usize::try_from(offset).unwrap().min(cache.len());
        let len = out.len().min(cache.len() - at);
        out[..len].copy_from_slice(&cache[at..at + len]);
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
        let (data, len) = (&mut world.files[self.1], usize::try_from(len).unwrap());
        data.cache.resize(len, 0);
        data.dirty = data.dirty.range(..len.div_ceil(SECTOR)).copied().collect();
        Ok(())
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.name_call()?;
        if world.faults.full && world.random.bool() {
            world.met += 1;
            return Err(full());
        }
        let file = world.files.len();
        world.files.push(Data::default());
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
        world.name_call()?;
        let file = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_path_buf(), file);
        world.checked.remove(&file);
        world.pending.push(NameOp::Renamed(from.to_path_buf(), to.to_path_buf(), file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.name_call()?;
        world.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        world.pending.push(NameOp::Removed(path.to_path_buf()));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        Ok(self.names(folder))
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.name_call()?;
        if !world.faults.lying {
            world.settle_names(|_| true);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::embedded::simulation::disk::*;

    fn read(disk: &SimDisk, path: &Path) -> Option<Vec<u8>> {
        let file = disk.open(path).ok()?;
        let mut out = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_at(&mut out, 0).unwrap();
        Some(out)
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_any_part_of_the_rest() {
        let path = Path::new("/d/f");
        let mut ends = BTreeSet::new();
        for seed in 0..200 {
            let disk = SimDisk::new(seed);
            let file = disk.create(path).unwrap();
            file.write_all_at(&[1; 1_024], 0).unwrap();
            file.sync().unwrap();
            disk.sync_folder(Path::new("/d")).unwrap();
            file.write_all_at(&[2; 1_024], 512).unwrap();
            assert!(disk.is_durable(path, 512) && !disk.is_durable(path, 513));
            disk.cut_power();
            let left = read(&disk, path).unwrap();
            assert!(left.len() >= 1_024 && left[..512] == [1; 512], "seed {seed}");
            ends.insert((left.len() > 1_024, left[512], left.last().copied()));
        }
        assert!(ends.len() > 4, "{ends:?}");
    }

    #[test]
    fn a_name_that_was_not_synced_may_be_lost_and_a_rename_is_whole() {
        let (a, b) = (Path::new("/d/a"), Path::new("/d/b"));
        let mut ends = BTreeSet::new();
        for seed in 0..100 {
            let disk = SimDisk::new(seed);
            disk.create(a).unwrap().sync().unwrap();
            disk.sync_folder(Path::new("/d")).unwrap();
            disk.rename(a, b).unwrap();
            disk.cut_power();
            ends.insert((read(&disk, a).is_some(), read(&disk, b).is_some()));
        }
        assert_eq!(ends, BTreeSet::from([(true, false), (false, true)]));
    }

    #[test]
    fn after_a_failed_sync_the_next_one_says_nothing_of_what_was_lost() {
        let path = Path::new("/d/f");
        let mut lost = 0;
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            let file = disk.create(path).unwrap();
            disk.sync_folder(Path::new("/d")).unwrap();
            disk.plan(|faults| faults.bad_syncs = 1);
            file.write_all_at(&[3; 512], 0).unwrap();
            assert!(file.sync().is_err() && file.sync().is_ok());
            lost += usize::from(!disk.is_durable(path, 512));
        }
        assert!(lost > 10, "{lost}");
    }
}
