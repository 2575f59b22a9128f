//! The files that a repair or a backup makes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dispatcher_model::Timestamp;

use crate::embedded::format::record::Lost;
use crate::embedded::platform::disk::{Disk as _, DiskFile, Files};
use crate::embedded::settings::Settings;
use crate::embedded::tools::{ToolError, at};

/// The folder for what was damaged, made if it is missing.
pub(super) fn damaged_folder(directory: &Path) -> Result<PathBuf, ToolError> {
    let folder = Settings::new(directory).damaged_folder();
    if !folder.is_dir() {
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(at("make the folder", &folder))?;
        let opened = File::open(&folder).map_err(at("open", &folder))?;
        hand_over(&opened, directory).map_err(at("give away", &folder))?;
        Files.sync_folder(directory).map_err(at("sync", directory))?;
    }
    Ok(folder)
}

/// Gives a new file to the owner of the folder, because root may run a repair.
pub(super) fn hand_over(file: &File, like: &Path) -> std::io::Result<()> {
    let (like, own) = (std::fs::metadata(like)?, file.metadata()?);
    if (like.uid(), like.gid()) == (own.uid(), own.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(like.uid()), Some(like.gid()))
}

/// A new file that only its owner can read and write.
pub(super) fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Fills a place with the record that says that nothing can be read there.
pub(super) fn fill(
    file: &File,
    (base, salt): (u64, u32),
    (from, to, epoch): (u64, u64, u32),
    no_requests: bool,
) -> std::io::Result<()> {
    if from == to {
        return Ok(());
    }
    let at_ms = Timestamp::from(SystemTime::now()).as_millis();
    let frame = Lost { at_ms, no_requests }.frame(to.saturating_sub(from));
    let mut frame =
        frame.ok_or_else(|| std::io::Error::other("the place is too small for a record"))?;
    let bytes = frame.place(salt, from, from, epoch);
    DiskFile::write_all_at(file, bytes, from - base)
}
