//! Reads the requests of the log from its end to its beginning, a block at a time.
//!
//! Frames can only be read forwards. So a block begins at the first frame behind a place that is far enough before its
//! end, and the block before it ends there.

use std::io;

use super::reader::Reader;
use super::scanner::{CHUNK_BYTES, Scanner, Step, Stretch};
use crate::embedded::format::event_number::{lsn_of, number};
use crate::embedded::format::frame::{ALIGN, Kind};
use crate::embedded::format::stored_request::{Listed, Read};
use crate::embedded::platform::locks::read_lock;

/// Least bytes of a block, unless a segment has less.
const BLOCK_BYTES: u64 = 1 << 20;

/// The requests of a part of the log.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Its events, oldest first.
    pub events: Vec<Listed>,
    /// What was not read lies before this place.
    pub begin: u64,
    /// How much was read for it.
    pub bytes: u64,
    /// Places in it that cannot be read, as the numbers that events there would have.
    pub unreadable: Vec<u64>,
    /// Why nothing of its segment before it can be read.
    pub missing: Option<String>,
}

impl Reader {
    /// The events before that number, as far as one block has them, and those that `wants` accepts; `None` at the
    /// beginning of the log. A segment that cannot be read is a block without events.
    pub(crate) fn block_before(
        &self,
        before: u64,
        wants: &mut dyn FnMut(&Listed) -> bool,
    ) -> Option<Block> {
        let mut wants = |event: &Listed| event.event.id.number() < before && wants(event);
        let lsn = lsn_of(before);
        let missing = |stretch: &Stretch, error: io::Error| Block {
            begin: stretch.from,
            missing: Some(error.to_string()),
            ..Block::default()
        };
        if before > number(lsn, 0) {
            // Only the first events of the request at this place.
            let found = read_lock(&self.segments).wanted(lsn, |_| true);
            if let Some((stretch, _read)) = found.filter(|(stretch, _)| stretch.from == lsn) {
                let block = self.of_one(stretch, &mut wants);
                return Some(block.unwrap_or_else(|error| missing(&stretch, error)));
            }
        }
        let (stretch, _read) = read_lock(&self.segments).before(lsn)?;
        let block = self.last_of(stretch, &mut wants);
        Some(block.unwrap_or_else(|error| missing(&stretch, error)))
    }

    fn last_of(
        &self,
        stretch: Stretch,
        wants: &mut dyn FnMut(&Listed) -> bool,
    ) -> io::Result<Block> {
        let file = self.open(&stretch)?;
        let (mut bytes_wanted, mut bytes) = (BLOCK_BYTES, 0);
        loop {
            let left = stretch.to - stretch.from;
            let skipped = left.saturating_sub(bytes_wanted) / ALIGN * ALIGN;
            let part = Stretch { from: stretch.from + skipped, ..stretch };
            bytes += part.to - part.from;
            // A place in the middle of the segment is seldom that of a frame.
            let found = of_part(&mut Scanner::new(&*file, part, CHUNK_BYTES), wants)?;
            match found {
                Some(block) => return Ok(Block { bytes, ..block }),
                None if skipped == 0 => {
                    let begin = stretch.from;
                    let unreadable = vec![number(begin, 0)];
                    return Ok(Block { begin, bytes, unreadable, ..Block::default() });
                }
                // Longer than the block.
                None => bytes_wanted *= 2,
            }
        }
    }

    fn of_one(
        &self,
        stretch: Stretch,
        wants: &mut dyn FnMut(&Listed) -> bool,
    ) -> io::Result<Block> {
        let file = self.open(&stretch)?;
        let mut scanner = Scanner::new(&*file, stretch, 4_096);
        let mut block = Block { begin: stretch.from, ..Block::default() };
        match scanner.step()? {
            Step::Frame(header, payload) => {
                block.bytes = header.end() - header.lsn;
                block.add(
                    (stretch.segment.identity.store, header.lsn),
                    header.kind,
                    payload,
                    wants,
                );
            }
            Step::Bad(lsn) => block.unreadable.push(number(lsn, 0)),
            Step::End => {}
        }
        Ok(block)
    }
}

/// What can be read in a part of a segment; `None` without a frame. It begins with the first whole frame in it.
fn of_part(
    scanner: &mut Scanner<'_>,
    wants: &mut dyn FnMut(&Listed) -> bool,
) -> io::Result<Option<Block>> {
    let store = scanner.store();
    let (mut block, mut is_bad) = (None::<Block>, false);
    loop {
        match scanner.step()? {
            Step::Frame(header, payload) => {
                let block =
                    block.get_or_insert_with(|| Block { begin: header.lsn, ..Block::default() });
                is_bad = false;
                block.add((store, header.lsn), header.kind, payload, wants);
            }
            Step::Bad(lsn) => {
                if let Some(block) = block.as_mut().filter(|_| !is_bad) {
                    block.unreadable.push(number(lsn, 0));
                }
                is_bad = true;
                if scanner.at() == lsn {
                    scanner.resync()?;
                }
            }
            Step::End => return Ok(block),
        }
    }
}

impl Block {
    fn add(
        &mut self,
        (store, lsn): (u16, u64),
        kind: u8,
        payload: &[u8],
        wants: &mut dyn FnMut(&Listed) -> bool,
    ) {
        if kind != Kind::Request as u8 {
            return;
        }
        match Read::new(lsn, payload) {
            Ok(request) => self.events.extend(request.listed(store).filter(|event| wants(event))),
            Err(_) => self.unreadable.push(number(lsn, 0)),
        }
    }
}
