//! Repairs a damaged log, so that it opens again and loses nothing more.
//!
//! First, what cannot be read is copied to `damaged/`. Then a repaired segment is written beside the old
//! one and takes its name: hard links to the old file, such as those of a backup, do not change, and a
//! crash leaves one of the two files. One record fills a place that cannot be read and says so; all other
//! records keep their places. A target that reads that record gets one dead letter.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::embedded::format::segment_header::USED;
use crate::embedded::index::set_aside::set_aside;
use crate::embedded::log::beginning;
use crate::embedded::platform::disk::{Disk as _, DiskFile, Files};
use crate::embedded::platform::lock_file::Lock;
use crate::embedded::platform::regular;
use crate::embedded::settings::Settings;
use crate::embedded::tools::check::{Survey, survey, unread};
use crate::embedded::tools::damage::{Damage, Lay};
use crate::embedded::tools::files::{damaged_folder, fill, hand_over, new_file};
use crate::embedded::tools::give_up::{self, GivenUp};
use crate::embedded::tools::heal::heal;
use crate::embedded::tools::segments;
use crate::embedded::tools::{DAMAGES_MAX, OpenError, Progress, Report, ToolError, at};

/// If a crash leaves it, the next start removes it.
const REPAIRED: &str = "repair.tmp";

/// What a repair is asked to do.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Change nothing.
    pub dry_run: bool,
    /// Names of segments to start without, although something in them may be whole.
    pub give_up: Vec<String>,
}

/// What a repair did, or would do.
#[derive(Debug)]
pub struct Repaired {
    /// What was found before the repair.
    pub before: Report,
    /// Where the bytes of each place of damage are kept, in the order of the report; `None` for a missing
    /// file.
    pub kept: Vec<Option<PathBuf>>,
    /// The index was set aside or removed; the next start rebuilds it.
    pub index_removed: bool,
    pub given_up: Vec<GivenUp>,
    /// What a check finds after the repair; `None`: nothing was changed.
    pub after: Option<Report>,
}

/// Repairs the store in that folder.
///
/// # Errors
///
/// A daemon uses the folder, or the disk refuses.
pub fn repair(
    directory: &Path,
    work: &Work,
    progress: &mut Progress<'_>,
) -> Result<Repaired, ToolError> {
    let Work { dry_run, ref give_up } = *work;
    let settings = Settings::new(directory);
    if let Err(error) = segments::stable_bases(&settings.log_folder()) {
        let (before, kept, given_up) = (unread(directory, error)?, Vec::new(), Vec::new());
        return Ok(Repaired { before, kept, index_removed: false, given_up, after: None });
    }
    let _lock = if dry_run {
        None
    } else {
        Some(Lock::take(&settings.lock_file()).map_err(|error| match error {
            OpenError::Locked { directory } => ToolError::Running { directory },
            other => other.into(),
        })?)
    };
    let log = settings.log_folder();
    let mut given_up = Vec::new();
    if !dry_run {
        for wanted in give_up::find(&log, give_up)? {
            given_up.push(give_up::give_up(directory, &wanted)?);
        }
    }
    let found = match survey(directory, !dry_run, progress) {
        Ok(found) => found,
        Err(error) => Survey { report: unread(directory, error)?, index_is_wrong: false },
    };
    let kept = found.report.damages.iter().map(|damage| evidence_path(directory, damage)).collect();
    if dry_run || found.report.is_clean() || found.report.segments == 0 {
        let index_removed = found.index_is_wrong && !found.report.index_in_way;
        let after = (!given_up.is_empty()).then(|| found.report.clone());
        return Ok(Repaired { before: found.report, kept, index_removed, given_up, after });
    }
    if found.report.damages_count > DAMAGES_MAX as u64 {
        return Err(ToolError::TooMuch { folder: directory.to_path_buf() });
    }
    let repairer = Repairer { directory, folder: settings.log_folder() };
    for damage in &found.report.damages {
        repairer.keep(damage)?;
    }
    for damages in found.report.damages.chunk_by(|one, other| one.segment == other.segment) {
        repairer.repair(damages)?;
    }
    let index = settings.index_folder();
    // What else lies in its place stays, and the report says so. The index also stays while a file has to be given up,
    // because it says which store this is.
    let all_repaired = found.report.damages.iter().all(|damage| damage.repairable);
    let index_removed = found.index_is_wrong && index.is_dir() && all_repaired;
    if index_removed {
        set_aside(&index, &damaged_folder(directory)?).map_err(at("set aside", &index))?;
    }
    let mut after = survey(directory, true, progress)?.report;
    let again = |damage: &Damage| given_up.iter().any(|one| one.segment == damage.segment);
    if after.damages.iter().filter(|damage| !damage.repairable).any(again) {
        // The same advice would change nothing again.
        after.can_give_up = false;
    }
    Ok(Repaired { before: found.report, kept, index_removed, given_up, after: Some(after) })
}

fn evidence_path(directory: &Path, damage: &Damage) -> Option<PathBuf> {
    let stem = damage.segment.file_stem()?.to_string_lossy();
    let name = format!("{stem}-{}.bin", damage.offset);
    let is_there = !matches!(damage.lay, Lay::Segment | Lay::Irregular);
    is_there.then(|| Settings::new(directory).damaged_folder().join(name))
}

struct Repairer<'a> {
    directory: &'a Path,
    folder: PathBuf,
}

impl Repairer<'_> {
    /// Copies the bytes of a place. Never overwrites the copy of an earlier repair.
    fn keep(&self, damage: &Damage) -> Result<(), ToolError> {
        let Some(path) = evidence_path(self.directory, damage) else { return Ok(()) };
        let folder = damaged_folder(self.directory)?;
        let unfinished = path.with_extension("tmp");
        let copy = || {
            let mut from = regular::open(&damage.segment)?;
            from.seek(SeekFrom::Start(damage.offset))?;
            // Left from an interrupted repair.
            let _ = std::fs::remove_file(&unfinished);
            let mut to = new_file(&unfinished)?;
            hand_over(&to, self.directory)?;
            std::io::copy(&mut from.take(damage.bytes), &mut to)?;
            to.sync_all()?;
            // A link fails if the file exists, but a rename would replace it.
            match std::fs::hard_link(&unfinished, &path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
                _ => std::fs::remove_file(&unfinished),
            }?;
            Files.sync_folder(&folder)?;
            Files.sync_folder(self.directory)
        };
        copy().map_err(at("keep a copy of the damage in", &path))
    }

    /// Replaces a file with one in which these places are repaired.
    fn repair(&self, damages: &[Damage]) -> Result<(), ToolError> {
        let [first, ..] = damages else { return Ok(()) };
        let repairable: Vec<_> = damages.iter().filter(|damage| damage.repairable).collect();
        let Some(header) = repairable.first().and_then(|damage| damage.header) else {
            return Ok(());
        };
        let (path, repaired) = (&first.segment, self.folder.join(REPAIRED));
        let missing = first.lay == Lay::Segment;
        let write = || {
            let _ = std::fs::remove_file(&repaired);
            let mut file = new_file(&repaired)?;
            hand_over(&file, self.directory)?;
            if !missing {
                std::io::copy(&mut regular::open(path)?, &mut file)?;
            }
            if missing || repairable.iter().any(|damage| damage.lay == Lay::Header) {
                DiskFile::write_all_at(&file, &header.to_bytes()[..USED], 0)?;
            }
            if repairable.iter().any(|damage| damage.begins_log) {
                beginning::write(&file, &header)?;
            }
            for damage in repairable.iter().filter(|damage| damage.lay != Lay::Header) {
                bridge(&file, header.base, header.identity.salt(), damage)?;
            }
            file.sync_all()?;
            Files.rename(&repaired, path)?;
            Files.sync_folder(&self.folder)
        };
        write().map_err(at("repair", path))
    }
}

/// Corrects a record, or fills its place with the record that says that nothing can be read there.
fn bridge(file: &File, base: u64, salt: u32, damage: &Damage) -> std::io::Result<()> {
    if let Lay::OneBit { .. } = damage.lay {
        let mut bytes = vec![0; usize::try_from(damage.bytes).unwrap_or_default()];
        let read = DiskFile::read_at(file, &mut bytes, damage.offset)?;
        let healed = heal(salt, damage.from, &bytes[..read]);
        let healed = healed.ok_or_else(|| std::io::Error::other("it changed meanwhile"))?;
        return DiskFile::write_all_at(file, &healed, damage.offset);
    }
    let place = (damage.from, damage.to, damage.epoch);
    fill(file, (base, salt), place, !damage.may_hold_requests())
}
