//! Copies a store, also while a daemon uses it.
//!
//! The records of closed segments never change: they are hard-linked where possible and copied otherwise. A file with a
//! second link is never written to again, but for the marks that say that the log begins there or that it has ended. Of
//! the newest segment the whole records are copied. If a segment is removed or added meanwhile, the copy starts over,
//! because what was still needed of it is now further on in the log. The index is not copied; it can be rebuilt from the
//! log.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use dispatcher_model::{EventId, Timestamp};

use crate::embedded::format::entry::Effects;
use crate::embedded::format::segment_header::{Flags, SegmentHeader, USED, file_name};
use crate::embedded::log::ending;
use crate::embedded::platform::disk::{Disk as _, DiskFile, Files};
use crate::embedded::platform::regular;
use crate::embedded::settings::folder_of;
use crate::embedded::tools::check::newest;
use crate::embedded::tools::damage::Damage;
use crate::embedded::tools::files::{hand_over, new_file};
use crate::embedded::tools::holes;
use crate::embedded::tools::segments::{self, Segment, still_named};
use crate::embedded::tools::walk::{Seen, Visitor, Walk};
use crate::embedded::tools::{OpenError, Progress, ToolError, at};

/// What a restore adds to the name of the folder that it replaces.
pub const BEFORE: &str = ".before";

/// How often the copy starts over.
const ROUNDS_MAX: u32 = 20;

/// What was copied.
#[derive(Clone, Debug, Default)]
pub struct BackedUp {
    pub segments: u64,
    /// How many of these are links.
    pub linked: u64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// The newest event in the copy, and when it was received.
    pub newest_event: Option<(EventId, Timestamp)>,
    /// Places in the newest segment that cannot be read; they are copied unchanged.
    pub damages: u64,
    /// Files that the log lacks, and so does the copy: the first of each gap.
    pub missing: Vec<PathBuf>,
}

/// Copies the store in `directory` to the new folder `to`.
///
/// # Errors
///
/// `to` is not empty or is inside `directory`, or the disk refuses. An incomplete copy is named `to` with `.partial`.
pub fn backup(
    directory: &Path,
    to: &Path,
    progress: &mut Progress<'_>,
) -> Result<BackedUp, ToolError> {
    let log = segments::log_folder(directory);
    segments::stable_bases(&log)?;
    let to = &without_slash(to);
    may_be_made(directory, to)?;
    if is_inside(to, directory).map_err(at("find", to))? {
        let (folder, directory) = (to.to_path_buf(), directory.to_path_buf());
        return Err(ToolError::Inside { folder, directory });
    }
    match std::fs::read_dir(to).map(|mut names| names.next().is_some()) {
        Ok(true) => return Err(ToolError::NotEmpty { folder: to.to_path_buf() }),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at("read", to)(error)),
        _ => {}
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = to.with_file_name(name);
    let make = |path: &Path| -> Result<(), ToolError> {
        std::fs::DirBuilder::new().mode(0o700).create(path).map_err(|error| {
            match error.kind() {
                io::ErrorKind::AlreadyExists => ToolError::Leftover { folder: path.to_path_buf() },
                _ => at("make the folder", path)(error),
            }
        })?;
        let opened = File::open(path).map_err(at("open", path))?;
        hand_over(&opened, directory).map_err(at("give away", path))
    };
    make(&partial)?;
    let copy = Copy { directory, log, to: partial.join("log") };
    make(&copy.to)?;
    let mut done = copy.all(progress)?;
    done.newest_event = match done.newest_event {
        None => newest_of(&copy.to)?,
        some => some,
    };
    let finish = || {
        Files.sync_folder(&copy.to)?;
        Files.sync_folder(&partial)?;
        std::fs::rename(&partial, to)?;
        // The parent of a bare name is empty: the current folder.
        let parent = Some(folder_of(to)).filter(|parent| !parent.as_os_str().is_empty());
        Files.sync_folder(parent.unwrap_or(Path::new(".")))
    };
    finish().map_err(at("finish", to))?;
    Ok(done)
}

/// The name of the folder itself: with a slash behind it a link is what it leads to.
fn without_slash(to: &Path) -> PathBuf {
    to.components().collect()
}

/// Looks for what would stop the last step, which gives the copy its name, or a restore.
fn may_be_made(directory: &Path, to: &Path) -> Result<(), ToolError> {
    let refused = |why| ToolError::Unsuited { folder: to.to_path_buf(), why };
    let real = |path: &Path| -> io::Result<PathBuf> {
        let path = std::path::absolute(path)?;
        let parent = folder_of(&path).canonicalize().unwrap_or_else(|_| folder_of(&path).into());
        Ok(parent.join(path.file_name().unwrap_or_default()))
    };
    let mut before = real(directory).map_err(at("find", directory))?.into_os_string();
    before.push(BEFORE);
    if real(to).map_err(at("find", to))?.starts_with(&before) {
        return Err(refused("a restore gives that name to the folder that is there"));
    }
    match to.symlink_metadata() {
        Ok(there) if there.is_symlink() => Err(refused("it is a link")),
        Ok(there) if !there.is_dir() => Err(refused("it is not a folder")),
        Ok(there) => {
            let above = std::fs::metadata(real(to).map_err(at("find", to))?.join(".."));
            let is_mounted = above.is_ok_and(|above| above.dev() != there.dev());
            if is_mounted { Err(refused("something is mounted there")) } else { Ok(()) }
        }
        Err(_) => Ok(()),
    }
}

/// The first file of each gap in the log.
fn gaps(log: &Path, all: &[Segment]) -> Vec<PathBuf> {
    let before = holes::beginning(all).map(|hole| hole.header.base);
    let between = all.windows(2).filter_map(|two| {
        let limit = two[0].header?.limit();
        (two[1].base > limit).then_some(limit)
    });
    before.into_iter().chain(between).map(|base| log.join(file_name(base))).collect()
}

/// Whether `to`, which need not exist, is in the folder or is that folder, also by way of links.
fn is_inside(to: &Path, folder: &Path) -> io::Result<bool> {
    let (to, folder) = (std::path::absolute(to)?, folder.canonicalize()?);
    let there = to.ancestors().find_map(|above| above.canonicalize().ok());
    Ok(there.is_some_and(|there| there.starts_with(&folder)))
}

struct Copy<'a> {
    directory: &'a Path,
    log: PathBuf,
    to: PathBuf,
}

/// How the copy of one segment ended.
enum One {
    Linked,
    Copied(u64),
    /// It was removed meanwhile.
    Gone,
}

impl Copy<'_> {
    fn all(&self, progress: &mut Progress<'_>) -> Result<BackedUp, ToolError> {
        'again: for _ in 0..ROUNDS_MAX {
            self.empty()?;
            let all = segments::read(&self.log)?;
            let mut done = BackedUp::default();
            let total = all.iter().map(|segment| segment.len).sum();
            let mut read = 0;
            let Some((newest, closed)) = all.split_last() else { continue };
            for (segment, next) in closed.iter().zip(&all[1..]) {
                let end = next.header.map(|next| next.prev_end);
                match self.closed(segment, end)? {
                    One::Gone => continue 'again,
                    One::Linked => done.linked += 1,
                    One::Copied(bytes) => done.bytes += bytes,
                }
                done.segments += 1;
                read += segment.len;
                progress(read, total);
            }
            if !self.newest(newest, &mut done)? {
                continue;
            }
            done.missing = gaps(&self.log, &all);
            done.segments += 1;
            progress(total, total);
            return Ok(done);
        }
        Err(ToolError::TooFast { rounds: ROUNDS_MAX })
    }

    fn empty(&self) -> Result<(), ToolError> {
        let remove = || {
            for entry in std::fs::read_dir(&self.to)? {
                std::fs::remove_file(entry?.path())?;
            }
            Ok(())
        };
        remove().map_err(at("empty", &self.to))
    }

    fn target(&self, segment: &Segment) -> PathBuf {
        self.to.join(segment.path.file_name().unwrap_or_default())
    }

    fn closed(&self, segment: &Segment, end: Option<u64>) -> Result<One, ToolError> {
        if let Some(what) = segment.irregular {
            return Err(at("copy", &segment.path)(what.into()));
        }
        let to = self.target(segment);
        // The copy of a link leads elsewhere.
        let is_link = segment.path.symlink_metadata().is_ok_and(|there| there.is_symlink());
        let linked = match is_link {
            true => Err(io::ErrorKind::Unsupported.into()),
            false => std::fs::hard_link(&segment.path, &to),
        };
        match linked {
            Ok(()) => Ok(One::Linked),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(One::Gone),
            // It is another file system, or links are not supported or not allowed.
            Err(_) => {
                let end = end.map_or(segment.len, |end| end.saturating_sub(segment.base));
                let copied = self.copied(segment, end, |_| Ok(()))?;
                Ok(copied.map_or(One::Gone, One::Copied))
            }
        }
    }

    /// Copies the first `bytes` of a file; `None` if it lost its name meanwhile and may have been reused.
    fn copied(
        &self,
        segment: &Segment,
        bytes: u64,
        finish: impl Fn(&File) -> io::Result<()>,
    ) -> Result<Option<u64>, ToolError> {
        let to = self.target(segment);
        let from = match regular::open(&segment.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at("open", &segment.path)(error)),
        };
        let copy = || {
            let mut file = new_file(&to)?;
            hand_over(&file, self.directory)?;
            let copied = io::copy(&mut (&from).take(bytes), &mut file)?;
            finish(&file)?;
            file.sync_all()?;
            Ok(copied)
        };
        let copied = copy().map_err(at("write", &to))?;
        Ok(still_named(&segment.path, &from).then_some(copied))
    }

    /// Copies the newest segment up to its last whole record; `false` if it is gone.
    fn newest(&self, segment: &Segment, done: &mut BackedUp) -> Result<bool, ToolError> {
        if let Some(what) = segment.irregular {
            return Err(at("copy", &segment.path)(what.into()));
        }
        let Some(header) = segment.header else {
            return Err(OpenError::Corrupt {
                segment: segment.path.clone(),
                offset: 0,
                what: "its header cannot be read",
            }
            .into());
        };
        let mut end = End { end: header.first(), event: None, damages: 0 };
        if segment.ended.is_some() {
            if self.log.join(file_name(header.limit())).exists() {
                return Ok(false);
            }
            // What it says is missing is missing in the copy, too.
            end.damages += 1;
        }
        let one = std::slice::from_ref(segment);
        Walk::new(&self.log, &mut end, &mut |_, _| {}).over(one)?;
        // The copy is shorter, but nothing was cut.
        let flags = Flags { full_length: false, prewritten: false, ..header.flags };
        let finish = |copy: &File| {
            // The next one may have been made meanwhile.
            if segment.ended.is_none() {
                ending::clear(copy)?;
            }
            if segment.header_damaged {
                return Ok(());
            }
            let header = SegmentHeader { flags, ..header }.to_bytes();
            DiskFile::write_all_at(copy, &header[..USED], 0)
        };
        let copied = self.copied(segment, end.end - header.base, finish)?;
        let Some(bytes) = copied else { return Ok(false) };
        done.bytes += bytes;
        done.newest_event = end.event;
        done.damages = end.damages;
        Ok(true)
    }
}

/// The newest event of a log whose newest segment has none.
fn newest_of(log: &Path) -> Result<Option<(EventId, Timestamp)>, ToolError> {
    for segment in segments::read(log)?.iter().rev() {
        let mut end = End { end: 0, event: None, damages: 0 };
        Walk::new(log, &mut end, &mut |_, _| {}).over(std::slice::from_ref(segment))?;
        if end.event.is_some() {
            return Ok(end.event);
        }
    }
    Ok(None)
}

struct End {
    end: u64,
    event: Option<(EventId, Timestamp)>,
    damages: u64,
}

impl Visitor for End {
    fn frame(&mut self, seen: &Seen<'_>) -> ControlFlow<()> {
        self.end = seen.header.end();
        if let Effects::Request { .. } = seen.entry.effects {
            let segment: &SegmentHeader = seen.segment;
            self.event = newest(segment, seen.header.lsn, seen.payload).or(self.event);
        }
        ControlFlow::Continue(())
    }

    fn damage(&mut self, _damage: Damage) -> ControlFlow<()> {
        self.damages += 1;
        ControlFlow::Continue(())
    }
}
