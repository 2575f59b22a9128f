//! Starts without a segment that cannot be repaired: an explicit act. The file is kept, and one record in its
//! place says that all of it is lost.

use std::path::{Path, PathBuf};

use crate::embedded::format::frame::HEADER_BYTES;
use crate::embedded::format::segment_header::{Identity, SegmentHeader};
use crate::embedded::platform::disk::{Disk as _, DiskFile, Files};
use crate::embedded::tools::files::{damaged_folder, fill, hand_over, new_file};
use crate::embedded::tools::segments::{self, Segment};
use crate::embedded::tools::walk::{Visitor, Walk};
use crate::embedded::tools::{ToolError, at};

/// Before it has its name.
const UNFINISHED: &str = "repair.tmp";

/// A segment that is given up, and the header of its replacement.
pub(super) struct Wanted {
    path: PathBuf,
    /// `None`: it lies where no segment belongs; it is only taken away.
    header: Option<SegmentHeader>,
    /// Where the next one says that it ends.
    end: Option<u64>,
}

/// The segments of these names.
pub(super) fn find(log: &Path, names: &[String]) -> Result<Vec<Wanted>, ToolError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let all = segments::read(log)?;
    let given_up = |segment: &Segment| {
        let name = segment.path.file_name().unwrap_or_default();
        names.iter().any(|wanted| **wanted == *name)
    };
    if let Some(name) = names.iter().find(|name| !all.iter().any(|s| s.path.ends_with(name))) {
        return Err(ToolError::NoSegment { name: name.clone(), folder: log.to_path_buf() });
    }
    let others: Vec<&Segment> = all.iter().filter(|segment| !given_up(segment)).collect();
    all.iter().filter(|segment| given_up(segment)).map(|one| wanted(log, one, &others)).collect()
}

fn wanted(log: &Path, one: &Segment, others: &[&Segment]) -> Result<Wanted, ToolError> {
    let headers = others.iter().filter_map(|segment| segment.header);
    let Some(identity) = most_common(headers.clone().map(|header| header.identity)) else {
        let name = one.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(ToolError::Alone { name });
    };
    let ours = headers.filter(|header| header.identity == identity);
    let before = ours.clone().rfind(|header| header.base < one.base);
    let after = ours.clone().find(|header| header.base > one.base);
    let own = one.header.filter(|header| header.identity == identity);
    let path = one.path.clone();
    if before.is_some_and(|before| before.limit() > one.base) {
        return Ok(Wanted { path, header: None, end: None });
    }
    let capacity = own.or(before).or(after).map_or(one.len, |header| header.capacity);
    let capacity = after.map_or(capacity, |after| capacity.min(after.base - one.base));
    let prev_end = match before {
        Some(before) => end_of(log, before, others)?,
        None => one.base,
    };
    let epoch = before.or(after).map_or(1, |header| header.epoch);
    let created_ms = before.or(after).map_or(0, |header| header.created_ms);
    let header = SegmentHeader { identity, base: one.base, capacity, prev_end, epoch, created_ms };
    let end = after.filter(|after| after.base == header.limit()).map(|after| after.prev_end);
    Ok(Wanted { path, header: Some(header), end })
}

fn most_common(all: impl Iterator<Item = Identity> + Clone) -> Option<Identity> {
    let count = |identity: &Identity| all.clone().filter(|other| other == identity).count();
    all.clone().max_by_key(count)
}

struct Nothing;

impl Visitor for Nothing {}

/// Where the segment before really ends.
fn end_of(log: &Path, before: SegmentHeader, others: &[&Segment]) -> Result<u64, ToolError> {
    let Some(segment) = others.iter().find(|segment| segment.base == before.base) else {
        return Ok(before.first());
    };
    let walked =
        Walk::new(log, &mut Nothing, &mut |_, _| {}).over(std::slice::from_ref(*segment))?;
    Ok(walked.end.max(before.first()))
}

/// Keeps the file among what was damaged, and puts a segment in its place that says that all is lost.
/// `read_to`: how far the index has read. Returns the file, and where it is kept.
pub(super) fn give_up(
    directory: &Path,
    wanted: &Wanted,
    read_to: u64,
) -> Result<(PathBuf, PathBuf), ToolError> {
    let path = &wanted.path;
    let log = crate::embedded::settings::folder_of(path);
    let folder = damaged_folder(directory)?;
    let name = path.file_name().unwrap_or_default();
    let kept = (0u32..)
        .map(|n| folder.join(format!("{}.{n}", name.to_string_lossy())))
        .find(|kept| !kept.exists())
        .unwrap_or_else(|| folder.join(name));
    std::fs::hard_link(path, &kept).map_err(at("keep a copy of the segment in", &kept))?;
    Files.sync_folder(&folder).map_err(at("sync", &folder))?;
    let replace = || {
        let Some(header) = wanted.header else { return std::fs::remove_file(path) };
        let unfinished = log.join(UNFINISHED);
        let _ = std::fs::remove_file(&unfinished);
        let file = new_file(&unfinished)?;
        hand_over(&file, directory)?;
        DiskFile::write_all_at(&file, &header.to_bytes(), 0)?;
        let least = header.first() + HEADER_BYTES as u64;
        let to = wanted.end.unwrap_or(read_to.min(header.limit())).max(least);
        let place = (header.first(), to, header.epoch);
        fill(&file, (header.base, header.identity.salt()), place, false)?;
        file.sync_all()?;
        Files.rename(&unfinished, path)
    };
    replace().and_then(|()| Files.sync_folder(log)).map_err(at("replace", path))?;
    Ok((path.clone(), kept))
}
