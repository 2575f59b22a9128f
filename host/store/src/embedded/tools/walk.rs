//! Walks a log from its oldest segment to its end and shows every frame and every place of damage.
//!
//! A daemon may write meanwhile. A place that cannot be read is damage only if a later frame proves that it
//! was durable, and it still cannot be read after that. A segment that is removed while it is read is
//! skipped.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use crate::embedded::format::entry::Entry;
use crate::embedded::format::frame::{HEADER_BYTES, Header, Kind};
use crate::embedded::format::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader, file_name};
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step, Stretch};
use crate::embedded::platform::disk::DiskFile;
use crate::embedded::platform::regular::{self, Irregular};
use crate::embedded::tools::damage::{
    Damage, Known, Lay, kind_name, request_without_header, salvage,
};
use crate::embedded::tools::heal::heal;
use crate::embedded::tools::holes::{self, Hole};
use crate::embedded::tools::segments::{Segment, still_named};
use crate::embedded::tools::{DAMAGES_MAX, Progress, ToolError, at};

/// Bytes between two reports of progress.
const REPORT_BYTES: u64 = 4 << 20;

/// A frame and where it lies.
pub(super) struct Seen<'a> {
    pub path: &'a Path,
    pub segment: &'a SegmentHeader,
    pub header: Header,
    pub payload: &'a [u8],
    pub entry: Entry,
}

/// Gets what the walk finds. Its answer may end the walk.
pub(super) trait Visitor {
    fn frame(&mut self, _seen: &Seen<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn damage(&mut self, _damage: Damage) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// What a walk covered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walked {
    /// End of the last whole frame.
    pub end: u64,
    /// Epoch there.
    pub epoch: u32,
    pub segments: u64,
}

pub(super) struct Walk<'w> {
    folder: &'w Path,
    visitor: &'w mut dyn Visitor,
    progress: &'w mut Progress<'w>,
    bytes_before: u64,
    bytes_all: u64,
    reported: u64,
    epoch: u32,
    walked: Walked,
    is_complete: bool,
    /// Of the segments, as far as one of them says it.
    capacity: Option<u64>,
    /// The log was durable up to here, as its index proves.
    proven: u64,
}

/// What a place without a frame is.
enum Gap {
    /// The end of the log: nothing proves that it was durable.
    End,
    /// Readable by now.
    Again,
    /// Damage. The next frame is at this place.
    Until(u64),
}

/// The file that is being walked, and what is known of its end.
struct Ground<'a> {
    file: &'a File,
    path: &'a Path,
    segment: SegmentHeader,
    to: u64,
    /// The next segment, or the mark of this one, says that it ends at `to`.
    sure: bool,
    /// The index, or the length that the file had, says that it does not end before this place.
    proven: u64,
}

impl<'w> Walk<'w> {
    pub(super) fn new(
        folder: &'w Path,
        visitor: &'w mut dyn Visitor,
        progress: &'w mut Progress<'w>,
    ) -> Self {
        let walked = Walked::default();
        Self {
            folder,
            visitor,
            progress,
            bytes_before: 0,
            bytes_all: 0,
            reported: 0,
            epoch: 0,
            walked,
            is_complete: false,
            capacity: None,
            proven: 0,
        }
    }

    /// The segments are all of the log: what is missing before them, or before that place, is damage.
    pub(super) fn complete(mut self, proven: u64) -> Self {
        (self.is_complete, self.proven) = (true, proven);
        self
    }

    /// Walks over these segments, which follow one another.
    pub(super) fn over(mut self, all: &[Segment]) -> Result<Walked, ToolError> {
        self.bytes_all = all.iter().map(|segment| segment.len).sum();
        self.capacity = all.iter().find_map(|segment| Some(segment.header?.capacity));
        if let Some(hole) = holes::beginning(all).filter(|_| self.is_complete) {
            let damage = Damage { begins_log: true, ..self.missing(&hole) };
            if self.visitor.damage(damage).is_break() {
                return Ok(self.walked);
            }
        }
        for (place, segment) in all.iter().enumerate() {
            let previous = place.checked_sub(1).map(|place| &all[place]);
            let next = all.get(place + 1);
            if self.follows(segment, previous).is_break() || self.one(segment, next)?.is_break() {
                break;
            }
            self.bytes_before += segment.len;
        }
        if let Some(last) = all.last()
            && let Some(header) = last.header
        {
            self.ended(last, header);
            self.missing_newest(header);
        }
        (self.progress)(self.bytes_all, self.bytes_all);
        self.walked.epoch = self.epoch;
        Ok(self.walked)
    }

    fn report(&mut self, within: u64) {
        let done = self.bytes_before + within;
        if done >= self.reported + REPORT_BYTES {
            self.reported = done;
            (self.progress)(done.min(self.bytes_all), self.bytes_all);
        }
    }

    /// The last file may say that another one follows it. While a daemon runs, that may be a newer one.
    fn ended(&mut self, last: &Segment, header: SegmentHeader) {
        let next = self.folder.join(file_name(header.limit()));
        if let Some(end) = last.ended
            && self.is_complete
            && next.symlink_metadata().is_err()
        {
            self.walked.end = self.walked.end.max(end);
            self.proven = self.proven.max(holes::followed(header));
        }
    }

    /// Shows the files that were behind the last one, as it says or as the index has read.
    fn missing_newest(&mut self, mut last: SegmentHeader) {
        for _ in 0..DAMAGES_MAX {
            let Some(hole) = holes::behind(last, self.walked.end, self.epoch, self.proven) else {
                return;
            };
            (last, self.walked.end) = (hole.header, hole.to);
            if self.visitor.damage(self.missing(&hole)).is_break() {
                return;
            }
        }
    }

    fn missing(&self, hole: &Hole) -> Damage {
        let Hole { header, to } = *hole;
        Damage {
            segment: self.folder.join(file_name(header.base)),
            offset: 0,
            bytes: header.capacity,
            what: "the file is missing",
            lay: Lay::Segment,
            concerned: Vec::new(),
            unsure: Vec::new(),
            known: Known::default(),
            meets: None,
            repairable: true,
            from: header.first(),
            to,
            epoch: header.epoch,
            header: Some(header),
            begins_log: false,
        }
    }

    /// Shows what is wrong between a segment and the one before it.
    fn follows(&mut self, segment: &Segment, previous: Option<&Segment>) -> ControlFlow<()> {
        let end = previous.and_then(|previous| previous.ended).unwrap_or(self.walked.end);
        let previous = previous.and_then(|previous| previous.header);
        let (Some(previous), Some(header)) = (previous, segment.header) else {
            return ControlFlow::Continue(());
        };
        let least = previous.limit() + SEGMENT_HEADER_BYTES + HEADER_BYTES as u64;
        if header.base > previous.limit() && (least..=header.base).contains(&header.prev_end) {
            for hole in holes::between(previous, header, end, self.epoch) {
                if self.visitor.damage(self.missing(&hole)).is_break() {
                    return ControlFlow::Break(());
                }
            }
            return ControlFlow::Continue(());
        }
        let inside = (previous.first()..=previous.limit()).contains(&header.prev_end);
        if header.base == previous.limit() && inside && header.epoch >= previous.epoch {
            return ControlFlow::Continue(());
        }
        self.visitor.damage(self.whole(segment, "it does not follow the file before it", false))
    }

    /// A file that cannot be used, or not from its beginning.
    fn whole(&self, segment: &Segment, what: &'static str, repairable: bool) -> Damage {
        let header = segment.header;
        let len = header.map_or(segment.len, |header| header.first() - segment.base);
        // An event may have been anywhere in a file of which nothing is known.
        let to = match (header, self.capacity) {
            (None, Some(capacity)) => segment.base + capacity.max(len),
            _ => segment.base + len,
        };
        Damage {
            segment: segment.path.clone(),
            offset: 0,
            bytes: len,
            what,
            lay: if repairable { Lay::Header } else { Lay::Unknown },
            concerned: Vec::new(),
            unsure: Vec::new(),
            known: Known::default(),
            meets: None,
            repairable,
            from: segment.base,
            to,
            epoch: self.epoch,
            header,
            begins_log: segment.begins_log,
        }
    }

    fn one(
        &mut self,
        segment: &Segment,
        next: Option<&Segment>,
    ) -> Result<ControlFlow<()>, ToolError> {
        let file = match regular::open(&segment.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(ControlFlow::Continue(()));
            }
            Err(error) => match Irregular::why(&error) {
                Some(Irregular(what)) => {
                    let damage = self.whole(segment, what, false);
                    return Ok(self.visitor.damage(Damage { lay: Lay::Irregular, ..damage }));
                }
                None => return Err(at("open", &segment.path)(error)),
            },
        };
        self.walked.segments += 1;
        if segment.header_damaged {
            let what = match segment.foreign {
                true => "it belongs to another store",
                false => "its header cannot be read",
            };
            if !still_named(&segment.path, &file) {
                return Ok(ControlFlow::Continue(()));
            }
            let damage = self.whole(segment, what, segment.header.is_some());
            if self.visitor.damage(damage).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let Some(header) = segment.header else { return Ok(ControlFlow::Continue(())) };
        let said = next.and_then(|next| next.header);
        let said =
            said.filter(|next| next.base == header.limit() && next.prev_end >= header.first());
        let said = said.map(|next| next.prev_end).or(segment.ended);
        let len = DiskFile::len(&file).map_err(at("read", &segment.path))?;
        // The end of the newest file may be missing.
        let was_cut = next.is_none() && header.was_cut(len);
        let ends_here = next.is_none() && (header.base..=header.limit()).contains(&self.proven);
        let proven = match (was_cut, ends_here) {
            (true, _) => header.limit(),
            (false, true) => self.proven,
            (false, false) => 0,
        };
        let found = (header.base + len.min(header.capacity)).max(proven);
        let ground = Ground {
            file: &file,
            path: &segment.path,
            segment: header,
            to: said.unwrap_or(found),
            sure: said.is_some(),
            proven,
        };
        self.epoch = self.epoch.max(header.epoch);
        self.frames(&ground)
    }

    fn frames(&mut self, ground: &Ground<'_>) -> Result<ControlFlow<()>, ToolError> {
        let segment = ground.segment;
        let mut from = segment.first();
        loop {
            let stretch = Stretch { segment, from, to: ground.to };
            let mut scanner = Scanner::new(ground.file, stretch, CHUNK_BYTES).since(self.epoch);
            let bad = loop {
                match scanner.step().map_err(at("read", ground.path))? {
                    Step::End => break None,
                    Step::Bad(lsn) => break Some((lsn, None)),
                    Step::Frame(header, payload) => {
                        let Ok(entry) = Entry::read(&header, payload) else {
                            break Some((header.lsn, Some(header)));
                        };
                        let path = ground.path;
                        let seen = Seen { path, segment: &segment, header, payload, entry };
                        self.epoch = header.epoch;
                        self.walked.end = header.end();
                        if self.visitor.frame(&seen).is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                        self.report(header.end() - segment.base);
                    }
                }
            };
            let (lsn, to) = match bad {
                None if ground.sure || segment.base == 0 || scanner.at() > segment.first() => {
                    return Ok(ControlFlow::Continue(()));
                }
                None => (scanner.at(), ground.to.max(scanner.at() + HEADER_BYTES as u64)),
                Some((lsn, Some(header))) => (lsn, header.end()),
                Some((lsn, None)) => match self.gap(ground, lsn)? {
                    Gap::End => return Ok(ControlFlow::Continue(())),
                    Gap::Again => {
                        from = lsn;
                        continue;
                    }
                    Gap::Until(to) => (lsn, to),
                },
            };
            if !still_named(ground.path, ground.file) {
                return Ok(ControlFlow::Continue(()));
            }
            let damage = self.hole(ground, lsn, to)?;
            if self.visitor.damage(damage).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            from = to;
            if from >= ground.to {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    /// Finds out what a place without a frame is.
    fn gap(&self, ground: &Ground<'_>, lsn: u64) -> Result<Gap, ToolError> {
        let failed = || at("read", ground.path);
        let rest = Stretch { segment: ground.segment, from: lsn, to: ground.to };
        let scanner = || Scanner::new(ground.file, rest, CHUNK_BYTES).since(self.epoch);
        // A segment gets its name once its first frame is durable; the first segment begins without one.
        let named = ground.segment.base > 0 && lsn == ground.segment.first();
        let limit = ground.segment.limit();
        let is_room = limit.saturating_sub(lsn) >= HEADER_BYTES as u64;
        let mut proven = ground.sure || named || (lsn < ground.proven && is_room);
        let mut next = None;
        if proven || !scanner().blank().map_err(failed())? {
            let mut behind = scanner();
            while let Some(header) = behind.resync().map_err(failed())? {
                next.get_or_insert(header.lsn);
                proven |= header.durable_lsn > lsn;
                if proven {
                    break;
                }
            }
        }
        if !proven {
            return Ok(Gap::End);
        }
        // What is proven durable does not change any more.
        if matches!(scanner().step().map_err(failed())?, Step::Frame(..)) {
            return Ok(Gap::Again);
        }
        // Nothing is known of what may lie behind the last place that was read, and no number may be given again.
        let end =
            if ground.sure || ground.proven <= lsn { ground.to } else { ground.segment.limit() };
        Ok(Gap::Until(next.unwrap_or(end)))
    }

    fn hole(&self, ground: &Ground<'_>, lsn: u64, to: u64) -> Result<Damage, ToolError> {
        let (segment, offset) = (ground.segment, lsn - ground.segment.base);
        let mut bytes = vec![0; usize::try_from(to - lsn).unwrap_or_default()];
        let read = ground.file.read_at(&mut bytes, offset).map_err(at("read", ground.path))?;
        let header = Header::read(segment.identity.salt(), &bytes[..read])
            .filter(|header| header.lsn == lsn && header.end() == to);
        let payload = header
            .and_then(|header| bytes[..read].get(HEADER_BYTES..HEADER_BYTES + header.len as usize));
        let newer = header.is_some_and(|header| {
            Kind::from_byte(header.kind).is_none()
                && payload.is_some_and(|p| crc32fast::hash(p) == header.payload_crc)
        });
        let healed = heal(segment.identity.salt(), lsn, &bytes[..read]);
        let kind = healed.as_ref().and_then(|healed| healed.get(4)).map_or("", |k| kind_name(*k));
        let (what, lay) = match (header, payload) {
            _ if newer => ("a record of a newer version: use the newer program", Lay::Unknown),
            _ if healed.is_some() => ("one bit of a record is wrong", Lay::OneBit { kind }),
            (Some(header), Some(payload)) => {
                let lay = salvage(&header, payload, segment.identity);
                ("a record has a wrong checksum, or cannot be read", lay)
            }
            (None, _) if let Some(lay) = request_without_header(&bytes[..read], lsn, segment) => {
                ("the header of a record is wrong", lay)
            }
            _ if (read as u64) < to - lsn => ("the file was cut short", Lay::Unknown),
            _ => ("no record begins there", Lay::Unknown),
        };
        Ok(Damage {
            segment: ground.path.to_path_buf(),
            offset,
            bytes: to - lsn,
            what,
            lay,
            concerned: Vec::new(),
            unsure: Vec::new(),
            known: Known::default(),
            meets: None,
            repairable: to - lsn >= HEADER_BYTES as u64 && !newer,
            from: lsn,
            to,
            epoch: self.epoch,
            header: Some(segment),
            begins_log: false,
        })
    }
}
