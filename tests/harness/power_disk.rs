//! A disk whose power can be cut: an ext4 file system in an image file, mounted through a loop device.
//!
//! What a program wrote stays in the page cache of the mounted file system until something asks for it
//! to be written, and only then it is in the image. A copy of the image is therefore what a machine
//! would find after a power cut; it becomes the disk from there on. Only root can mount, and not
//! everywhere. Whatever happens to the test, the disk is unmounted and its files are removed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Size of the file system; its image takes only what is written.
const IMAGE_BYTES: u64 = 1 << 30;
/// The file system writes nothing of its own accord within this time.
const COMMIT_SECONDS: u32 = 3600;

pub(crate) struct PowerDisk {
    folder: TempDir,
    image: PathBuf,
    is_mounted: bool,
    pub(crate) cuts: usize,
}

impl PowerDisk {
    /// Or why there can be none here.
    pub(crate) fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can mount a file system".to_owned());
        }
        let folder =
            tempfile::Builder::new().prefix("power-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.unwrap();
        let image = folder.path().join("disk-0");
        File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
        // All of it now: nothing may write in the background later.
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
            .arg(&image))?;
        fs::create_dir(folder.path().join("mounted")).unwrap();
        let mut disk = Self { folder, image, is_mounted: false, cuts: 0 };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// What was not synced is gone. No process may have a file of it open.
    #[track_caller]
    pub(crate) fn cut(&mut self) {
        self.cuts += 1;
        let next = self.folder.path().join(format!("disk-{}", self.cuts));
        let copied = run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&next));
        copied.unwrap();
        // This writes the rest, but to the old image.
        unmount(&self.path(), false).unwrap();
        self.is_mounted = false;
        fs::remove_file(&self.image).unwrap();
        self.image = next;
        self.mount().unwrap();
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
            // When a process still has a file open there, the disk goes with that process.
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

/// Runs a program to its end; what it said when it failed.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
