//! A disk whose power can be cut: an ext4 file system in an image file, mounted through a loop device.
//!
//! What a program writes stays in the page cache of the mounted file system until a sync, and only then is
//! it in the image. So a copy of the image is what a machine would find after a power cut; it becomes the
//! disk from then on. Only root can mount, and not everywhere. However the test ends, the disk is unmounted
//! and its files are removed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Size of the file system; its image is sparse.
const IMAGE_BYTES: u64 = 1 << 30;
/// The file system writes nothing by itself within this time.
const COMMIT_SECONDS: u32 = 3600;

pub(crate) struct PowerDisk {
    folder: TempDir,
    image: PathBuf,
    is_mounted: bool,
    pub(crate) cuts: usize,
}

impl PowerDisk {
    /// Fails with the reason where such a disk is not possible.
    pub(crate) fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can mount a file system".to_owned());
        }
        let folder =
            tempfile::Builder::new().prefix("power-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.unwrap();
        let image = folder.path().join("disk-0");
        File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
        // Everything is initialised now, so that nothing is written in the background later.
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
            .arg(&image))?;
        fs::create_dir(folder.path().join("mounted")).unwrap();
        let mut disk = Self { folder, image, is_mounted: false, cuts: 0 };
        disk.mount()?;
        Ok(disk)
    }

    /// Its mount point.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Loses everything that was not synced. No process may have a file on it open.
    #[track_caller]
    pub(crate) fn cut(&mut self) {
        self.cuts += 1;
        let next = self.folder.path().join(format!("disk-{}", self.cuts));
        let copied = run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&next));
        copied.unwrap();
        // Unmounting writes the cache, but to the old image.
        unmount(&self.path(), false).unwrap();
        self.is_mounted = false;
        fs::remove_file(&self.image).unwrap();
        self.image = next;
        self.mount().unwrap();
    }

    /// Makes the file system find an error and turn read-only, with all its files open.
    pub(crate) fn turn_read_only(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "remount,errors=remount-ro"]).arg(self.path()))?;
        let found = Command::new("findmnt").args(["-no", "SOURCE"]).arg(self.path()).output();
        let source = String::from_utf8(found.map_err(|error| error.to_string())?.stdout).unwrap();
        let device = source.trim().trim_start_matches("/dev/");
        let path = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&path, "a test").map_err(|error| format!("{path}: {error}"))
    }

    fn mount(&mut self) -> Result<(), String> {
        let options = format!("loop,noatime,commit={COMMIT_SECONDS}");
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", &options])
            .arg(&self.image)
            .arg(self.path()))?;
        self.is_mounted = true;
        Ok(())
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        if self.is_mounted {
            // If a process still has a file open there, the disk is unmounted when that process ends.
            let done = unmount(&self.path(), false).or_else(|_| unmount(&self.path(), true));
            if let Err(problem) = done {
                eprintln!("left mounted: {problem}");
            }
        }
    }
}

fn unmount(path: &Path, lazily: bool) -> Result<(), String> {
    run(Command::new("umount").args(lazily.then_some("-l")).arg(path))
}

/// Runs a program until it ends; if it fails, returns its error output.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
