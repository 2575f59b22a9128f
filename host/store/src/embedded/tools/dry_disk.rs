//! A disk that reads files and keeps every change in memory: what a start would do can be tried without
//! changing anything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use crate::embedded::platform::disk::{Disk, DiskFile, PAGE_BYTES};
use crate::embedded::platform::locks::lock;
use crate::embedded::platform::regular;

const PAGE: u64 = PAGE_BYTES as u64;

#[derive(Default)]
struct Content {
    /// `None` for a new file.
    file: Option<File>,
    /// Changed pages.
    pages: BTreeMap<u64, Vec<u8>>,
    len: u64,
}

impl Content {
    fn page(&self, page: u64) -> io::Result<Vec<u8>> {
        if let Some(changed) = self.pages.get(&page) {
            return Ok(changed.clone());
        }
        let mut bytes = vec![0; PAGE_BYTES];
        if let Some(file) = &self.file {
            DiskFile::read_at(file, &mut bytes, page * PAGE)?;
        }
        Ok(bytes)
    }
}

#[derive(Clone)]
struct DryFile(Arc<Mutex<Content>>);

/// The page of a place, and the place in it.
fn split(at: u64) -> (u64, usize) {
    (at / PAGE, usize::try_from(at % PAGE).unwrap_or(0))
}

impl DiskFile for DryFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.0);
        let left = usize::try_from(content.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = out.len().min(left);
        match &content.file {
            Some(file) if content.pages.is_empty() => {
                DiskFile::read_at(file, &mut out[..len], offset)
            }
            _ => {
                let mut done = 0;
                while done < len {
                    let (page, from) = split(offset + done as u64);
                    let bytes = content.page(page)?;
                    let part = (PAGE_BYTES - from).min(len - done);
                    out[done..done + part].copy_from_slice(&bytes[from..from + part]);
                    done += part;
                }
                Ok(len)
            }
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = lock(&self.0);
        let mut done = 0;
        while done < bytes.len() {
            let (page, from) = split(offset + done as u64);
            let mut changed = content.page(page)?;
            let part = (PAGE_BYTES - from).min(bytes.len() - done);
            changed[from..from + part].copy_from_slice(&bytes[done..done + part]);
            content.pages.insert(page, changed);
            done += part;
        }
        content.len = content.len.max(offset + bytes.len() as u64);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        lock(&self.0).len = len;
        Ok(())
    }
}

/// Files that were opened, created or renamed; `None` for a name that is gone.
#[derive(Default)]
pub(super) struct DryDisk(Mutex<BTreeMap<PathBuf, Option<DryFile>>>);

impl DryDisk {
    fn knows(&self, path: &Path) -> bool {
        lock(&self.0).contains_key(path)
    }

    fn get(&self, path: &Path) -> io::Result<DryFile> {
        let mut files = lock(&self.0);
        match files.get(path) {
            Some(Some(file)) => return Ok(file.clone()),
            Some(None) => return Err(io::ErrorKind::NotFound.into()),
            None => {}
        }
        let file = regular::open(path)?;
        let len = DiskFile::len(&file)?;
        let content = Content { file: Some(file), len, ..Content::default() };
        let file = DryFile(Arc::new(Mutex::new(content)));
        files.insert(path.to_path_buf(), Some(file.clone()));
        Ok(file)
    }
}

impl Disk for DryDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if !self.knows(path) {
            regular::file_or_nothing(path)?;
        }
        let file = DryFile(Arc::default());
        lock(&self.0).insert(path.to_path_buf(), Some(file.clone()));
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.get(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.get(from)?;
        let mut files = lock(&self.0);
        files.insert(from.to_path_buf(), None);
        files.insert(to.to_path_buf(), Some(file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.knows(path) {
            regular::not_a_folder(path)?;
        }
        lock(&self.0).insert(path.to_path_buf(), None);
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let there = match std::fs::read_dir(folder) {
            // It was made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            there => Some(there?),
        };
        for entry in there.into_iter().flatten() {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        for (path, file) in &*lock(&self.0) {
            let Some(name) = path.file_name().filter(|_| path.parent() == Some(folder)) else {
                continue;
            };
            let name = name.to_string_lossy().into_owned();
            names.retain(|other| *other != name);
            names.extend(file.is_some().then_some(name));
        }
        Ok(names)
    }

    fn make_folder(&self, path: &Path) -> io::Result<bool> {
        // A link to nothing is in the way, too.
        let is_free = path.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        if is_free || path.is_dir() { Ok(false) } else { Err(Errno::EXIST.into()) }
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_back_and_never_reach_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let whole: Vec<u8> = (0..10_000u32).map(|n| n.to_le_bytes()[0]).collect();
        std::fs::write(&a, &whole).unwrap();
        let disk = DryDisk::default();
        let file = disk.open(&a).unwrap();
        let mut expected = whole.clone();
        expected[4_090..4_110].fill(7);
        file.write_all_at(&[7; 20], 4_090).unwrap();
        let mut read = vec![0; 20_000];
        let len = file.read_at(&mut read, 0).unwrap();
        assert!(read[..len] == expected);
        file.truncate(5).unwrap();
        assert_eq!((file.read_at(&mut read, 3).unwrap(), file.len().unwrap()), (2, 5));
        disk.create(&b).unwrap().write_all_at(b"new", 0).unwrap();
        disk.rename(&a, &folder.path().join("c")).unwrap();
        let mut names = disk.list(folder.path()).unwrap();
        names.sort();
        assert_eq!(names, ["b", "c"]);
        assert!(disk.open(&a).is_err());
        std::fs::create_dir(folder.path().join("d")).unwrap();
        assert!(disk.remove(&folder.path().join("d")).is_err());
        assert!(disk.create(&folder.path().join("d")).is_err());
        assert!(std::fs::read(&a).unwrap() == whole && !b.exists());
    }
}
