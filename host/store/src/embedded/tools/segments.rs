//! The files of a log, with damaged headers reconstructed from their neighbours.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::embedded::OpenError;
use crate::embedded::format::frame::{HEADER_BYTES, Header, Kind};
use crate::embedded::format::segment_header::{
    BadHeader, Flags, HEADER_LEN, Identity, SEGMENT_HEADER_BYTES, SegmentHeader, USED, VERSION,
    base_of, file_name,
};
use crate::embedded::platform::disk::DiskFile;
use crate::embedded::platform::regular::{self, Irregular};
use crate::embedded::settings;
use crate::embedded::tools::{ToolError, at};

/// How often a folder is listed again at most, until it does not change.
const LISTINGS_MAX: usize = 8;

/// A file of the log.
#[derive(Debug)]
pub(super) struct Segment {
    pub base: u64,
    pub path: PathBuf,
    /// The header, as read or reconstructed; `None` when it is unknown.
    pub header: Option<SegmentHeader>,
    /// The header was reconstructed.
    pub header_damaged: bool,
    /// The log may begin there.
    pub begins_log: bool,
    /// Where it ended, if it says that the next one was made.
    pub ended: Option<u64>,
    /// Something else lies in its place.
    pub irregular: Option<Irregular>,
    /// It is of another log than most of these files.
    pub foreign: bool,
    pub len: u64,
}

impl Segment {
    const fn irregular(base: u64, path: PathBuf, what: Irregular) -> Self {
        Self {
            base,
            path,
            header: None,
            header_damaged: true,
            begins_log: true,
            ended: None,
            irregular: Some(what),
            foreign: false,
            len: 0,
        }
    }
}

pub(super) fn log_folder(directory: &Path) -> PathBuf {
    settings::Settings::new(directory).log_folder()
}

fn bases(folder: &Path) -> io::Result<Vec<u64>> {
    let mut bases = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        bases.extend(base_of(&entry?.file_name().to_string_lossy()));
    }
    bases.sort_unstable();
    Ok(bases)
}

/// The bases of all segments, oldest first. A daemon may change the folder, and a single listing may miss
/// a file, so the folder is listed until two listings agree.
pub(super) fn stable_bases(folder: &Path) -> Result<Vec<u64>, ToolError> {
    let read = || match bases(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(at("read the folder", folder)),
    };
    let mut found = read()?;
    for _ in 0..LISTINGS_MAX {
        let again = read()?;
        if again == found {
            break;
        }
        found = again;
    }
    if found.is_empty() {
        let folder = settings::folder_of(folder).to_path_buf();
        return Err(ToolError::NoLog { folder });
    }
    Ok(found)
}

/// All segments, oldest first, without those that are removed meanwhile.
pub(super) fn read(folder: &Path) -> Result<Vec<Segment>, ToolError> {
    let (mut found, mut files, mut unknown) = (Vec::<Segment>::new(), Vec::new(), None);
    for base in stable_bases(folder)? {
        let path = folder.join(file_name(base));
        let file = match regular::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => match Irregular::why(&error) {
                Some(what) => {
                    found.push(Segment::irregular(base, path, what));
                    files.push(None);
                    continue;
                }
                None => return Err(at("open", &path)(error)),
            },
        };
        let mut bytes = [0u8; HEADER_LEN];
        let read = file.read_at(&mut bytes, 0).map_err(at("read", &path))?;
        let len = DiskFile::len(&file).map_err(at("read", &path))?;
        let header = match SegmentHeader::from_bytes(&bytes[..read]) {
            Ok(header) => Some(header),
            Err(BadHeader::Version(found)) if flipped(&bytes, base).is_none() => {
                unknown.get_or_insert((path.clone(), found));
                None
            }
            Err(_) => None,
        };
        let header = header.filter(|header| header.base == base);
        let header_damaged = header.is_none();
        let header = header.or_else(|| flipped(&bytes, base));
        let begins_log =
            header.map_or(found.is_empty(), |header| header.begins_log(&bytes[..read]));
        let ended = header.and_then(|header| header.ended_at(&bytes[..read]));
        let irregular = None;
        found.push(Segment {
            base,
            path,
            header,
            header_damaged,
            begins_log,
            ended,
            irregular,
            foreign: false,
            len,
        });
        files.push(Some(file));
    }
    // All segments of a log have one version: among others, a file of another version is damaged.
    if let Some((segment, found)) = unknown.filter(|_| found.iter().all(|s| s.header_damaged)) {
        let error = OpenError::VersionUnknown { segment, found, supported: VERSION };
        return Err(ToolError::Open(error));
    }
    set_foreign_apart(&mut found);
    for place in 0..found.len() {
        if let (None, Some(file)) = (found[place].header, &files[place]) {
            found[place].header = reasoned(&found, place, file);
        }
    }
    Ok(found)
}

/// Which log these headers are of: most of them, or as many and newer ones.
pub(super) fn most_common(all: impl Iterator<Item = Identity> + Clone) -> Option<Identity> {
    let count = |identity: &Identity| all.clone().filter(|other| other == identity).count();
    all.clone().max_by_key(count)
}

/// Nothing that a file of another log says counts: one of them may be the first.
fn set_foreign_apart(all: &mut [Segment]) {
    let headers: Vec<_> = all.iter().filter_map(|segment| segment.header).collect();
    let Some(identity) = most_common(headers.iter().map(|header| header.identity)) else { return };
    for segment in all {
        if segment.header.is_some_and(|header| header.identity != identity) {
            (segment.header, segment.header_damaged, segment.foreign) = (None, true, true);
            (segment.begins_log, segment.ended) = (true, None);
        }
    }
}

/// The header that these bytes become when one bit is flipped.
fn flipped(bytes: &[u8; HEADER_LEN], base: u64) -> Option<SegmentHeader> {
    let mut bytes = *bytes;
    for bit in 0..USED * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(header) = SegmentHeader::from_bytes(&bytes)
            && header.base == base
        {
            return Some(header);
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    None
}

/// The header that a file must have had. Its neighbours give identity and size. Its first frame says how
/// much was durable when it was written: that is the end of the previous segment.
fn reasoned(all: &[Segment], place: usize, file: &File) -> Option<SegmentHeader> {
    let base = all[place].base;
    let neighbour = all.iter().find_map(|segment| segment.header)?;
    let capacity = match all.get(place + 1) {
        Some(next) => next.base.checked_sub(base)?,
        None => neighbour.capacity.max(all[place].len),
    };
    let mut bytes = [0u8; HEADER_BYTES];
    file.read_at(&mut bytes, SEGMENT_HEADER_BYTES).ok()?;
    let first = Header::read(neighbour.identity.salt(), &bytes)?;
    let header = SegmentHeader {
        identity: neighbour.identity,
        base,
        capacity,
        prev_end: if base == 0 { 0 } else { first.durable_lsn },
        epoch: first.epoch,
        created_ms: neighbour.created_ms,
        clock: neighbour.clock,
        flags: Flags::default(),
    };
    let opens = base == 0
        || [Kind::Checkpoint, Kind::CheckpointPart].iter().any(|kind| first.kind == *kind as u8);
    (first.lsn == header.first() && opens && header.prev_end <= base).then_some(header)
}

/// Whether the name still belongs to that open file. A removed file may have been recycled.
pub(super) fn still_named(path: &Path, file: &File) -> bool {
    let (Ok(named), Ok(open)) = (std::fs::metadata(path), file.metadata()) else { return false };
    (named.dev(), named.ino()) == (open.dev(), open.ino())
}
