//! Starts without segments that cannot be repaired: an explicit act. The files are kept, and one record in the place of
//! each says that all of it is lost.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::embedded::format::frame::HEADER_BYTES;
use crate::embedded::format::lineage::Stray;
use crate::embedded::format::segment_header::SegmentHeader;
use crate::embedded::log::beginning;
use crate::embedded::platform::disk::{Disk as _, DiskFile, Files};
use crate::embedded::settings::{Settings, folder_of};
use crate::embedded::tools::damage::Damage;
use crate::embedded::tools::files::{damaged_folder, fill, hand_over, new_file};
use crate::embedded::tools::holes::{self, Hole, LOST_BYTES};
use crate::embedded::tools::index_view::Shadow;
use crate::embedded::tools::segments::{self, Segment};
use crate::embedded::tools::trial::trial;
use crate::embedded::tools::walk::{Visitor, Walk};
use crate::embedded::tools::{ToolError, at};

/// Before it has its name.
const UNFINISHED: &str = "repair.tmp";

/// A segment that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    pub segment: PathBuf,
    /// Where the file is kept.
    pub kept: PathBuf,
    /// It lay in the log: a record in its place says that all of it is lost.
    pub was_in_log: bool,
}

/// A segment to give up, and what takes its place.
pub(super) struct Wanted {
    path: PathBuf,
    /// `None`: it lies where no segment belongs, and is only taken away.
    hole: Option<Hole>,
    begins_log: bool,
}

/// Up to where the log is known, without what is given up.
struct Known {
    last: SegmentHeader,
    /// Where that one really ends, and the epoch there.
    end: u64,
    epoch: u32,
}

/// The segments of these names, oldest first.
pub(super) fn find(log: &Path, names: &[String]) -> Result<Vec<Wanted>, ToolError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    refuse_whole(log, names)?;
    let all = segments::read_without(log, names)?;
    let given_up = |segment: &Segment| {
        let name = segment.path.file_name().unwrap_or_default();
        names.iter().any(|wanted| **wanted == *name)
    };
    if let Some(name) = names.iter().find(|name| !all.iter().any(|s| s.path.ends_with(name))) {
        return Err(ToolError::NoSegment { name: name.clone(), folder: log.to_path_buf() });
    }
    if !all.iter().any(|segment| !given_up(segment) && segment.header.is_some()) {
        return Err(ToolError::Alone { name: names.join(", ") });
    }
    let (mut found, mut known) = (Vec::new(), None);
    for (place, one) in all.iter().enumerate() {
        if !given_up(one) {
            if let Some(last) = one.header {
                let (end, epoch) = end_of(log, one, last)?;
                known = Some(Known { last, end, epoch });
            }
            continue;
        }
        let behind = &all[place + 1..];
        let after = behind
            .iter()
            .filter(|segment| !given_up(segment))
            .find(|segment| segment.header.is_some());
        let goes_on = |limit| behind.iter().any(|s| s.header.is_some() || s.base == limit);
        let hole = hole(one.base, one.header, known.as_ref(), after, goes_on);
        let begins_log = known.is_none();
        if let Some(Hole { header: last, to: end }) = hole {
            known = Some(Known { last, end, epoch: last.epoch });
        }
        found.push(Wanted { path: one.path.clone(), hole, begins_log });
    }
    Ok(found)
}

/// What takes the place of the segment at `base`, which says `own` of itself. `goes_on`: whether the log has a further
/// segment, also one that is given up, if this one ends there.
fn hole(
    base: u64,
    own: Option<SegmentHeader>,
    before: Option<&Known>,
    after: Option<&Segment>,
    goes_on: impl Fn(u64) -> bool,
) -> Option<Hole> {
    let next = after.and_then(|after| after.header);
    match (before, after) {
        // The log begins behind it.
        (None, Some(after)) if after.begins_log => return None,
        (Some(before), _) if before.last.limit() > base => return None,
        // What is missing before it, if anything, is found and filled later.
        (Some(before), _) if before.last.limit() < base && own.is_none() => return None,
        _ => {}
    }
    let like = own.or(before.map(|before| before.last)).or(next)?;
    let room = next.map_or(u64::MAX, |next| next.base - base);
    let header = SegmentHeader {
        base,
        capacity: like.capacity.min(room),
        prev_end: before.map_or(base, |before| before.end),
        epoch: before.map_or(next.map_or(like.epoch, |next| next.epoch), |before| before.epoch),
        flags: holes::flags(before.map_or(next.unwrap_or(like), |before| before.last)),
        ..like
    };
    let least = header.first() + HEADER_BYTES as u64;
    let said = next.filter(|next| next.base == header.limit()).map(|next| next.prev_end);
    let to = match said.filter(|end| (least..=header.limit()).contains(end)) {
        Some(end) => end,
        None if goes_on(header.limit()) => header.first() + LOST_BYTES,
        // It was the newest: its numbers may not be given again.
        None => header.limit(),
    };
    (least <= header.limit()).then_some(Hole { header, to })
}

/// Counts what is wrong with one segment.
struct Wrong<'a> {
    path: &'a Path,
    places: u64,
}

impl Visitor for Wrong<'_> {
    fn damage(&mut self, damage: Damage) -> ControlFlow<()> {
        self.places += u64::from(damage.segment == self.path);
        ControlFlow::Continue(())
    }
}

/// To give up a segment of this log in which nothing is damaged would lose what is in it, and repair nothing.
fn refuse_whole(log: &Path, names: &[String]) -> Result<(), ToolError> {
    let all = segments::read(log)?;
    // Then it is for a person to say which store it is.
    if all.iter().any(|segment| segment.stray == Some(Stray::OneOfTwoStores)) {
        return Ok(());
    }
    for (place, one) in all.iter().enumerate() {
        let is_named = names.iter().any(|name| one.path.ends_with(name));
        if !is_named || one.header_damaged {
            continue;
        }
        // The next one says where this one ends.
        let walked = &all[place..all.len().min(place + 2)];
        let mut wrong = Wrong { path: &one.path, places: 0 };
        Walk::new(log, &mut wrong, &mut |_, _| {}).over(walked)?;
        if wrong.places == 0 && !a_start_refuses(folder_of(log), &one.path) {
            let name = one.path.file_name().unwrap_or_default().to_string_lossy();
            return Err(ToolError::Whole { name: name.into_owned() });
        }
    }
    Ok(())
}

/// Whether the start refuses that file, although no damage is found in it.
fn a_start_refuses(directory: &Path, path: &Path) -> bool {
    let shadow = Shadow::of(&Settings::new(directory).index_folder());
    let refused = shadow.ok().and_then(|shadow| trial(directory, &shadow).err());
    refused.is_some_and(|error| error.segment() == Some(path))
}

struct Nothing;

impl Visitor for Nothing {}

/// Where that segment really ends, and the epoch there.
fn end_of(log: &Path, one: &Segment, header: SegmentHeader) -> Result<(u64, u32), ToolError> {
    let walked = Walk::new(log, &mut Nothing, &mut |_, _| {}).over(std::slice::from_ref(one))?;
    let end = one.ended.unwrap_or(walked.end);
    Ok((end.max(header.first()), walked.epoch.max(header.epoch)))
}

/// Keeps the file among what was damaged, and puts a segment in its place that says that all is lost.
pub(super) fn give_up(directory: &Path, wanted: &Wanted) -> Result<GivenUp, ToolError> {
    let path = &wanted.path;
    let (log, folder) = (folder_of(path), damaged_folder(directory)?);
    let name = path.file_name().unwrap_or_default();
    let kept = (0u32..)
        .map(|n| folder.join(format!("{}.{n}", name.to_string_lossy())))
        .find(|kept| kept.symlink_metadata().is_err())
        .unwrap_or_else(|| folder.join(name));
    let keep = || {
        // A file keeps its name until the new one has it: a crash leaves one of the two.
        if wanted.hole.is_some() && path.is_file() {
            std::fs::hard_link(path, &kept)?;
        } else {
            std::fs::rename(path, &kept)?;
        }
        Files.sync_folder(&folder)
    };
    keep().map_err(at("keep a copy of the segment in", &kept))?;
    let replace = || {
        let Some(Hole { header, to }) = wanted.hole else { return Ok(()) };
        let unfinished = log.join(UNFINISHED);
        let _ = std::fs::remove_file(&unfinished);
        let file = new_file(&unfinished)?;
        hand_over(&file, directory)?;
        DiskFile::write_all_at(&file, &header.to_bytes(), 0)?;
        if wanted.begins_log {
            beginning::write(&file, &header)?;
        }
        let place = (header.first(), to, header.epoch);
        fill(&file, (header.base, header.identity.salt()), place, false)?;
        file.sync_all()?;
        Files.rename(&unfinished, path)
    };
    replace().and_then(|()| Files.sync_folder(log)).map_err(at("replace", path))?;
    Ok(GivenUp { segment: path.clone(), kept, was_in_log: wanted.hole.is_some() })
}
