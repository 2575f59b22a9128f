//! Copies events that are still needed to the end of the log, under the same number, before their segment
//! is removed.
//!
//! The copy contains every row of the event, so that an index rebuilt from the remaining log is the same
//! as before. No row may change between reading the index and writing the copy: the caller holds the
//! reading locks of all targets, and the committer leaves out events with a claimed delivery.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::StoreError;
use crate::embedded::core::inbox::Copy;
use crate::embedded::format::entry::Effects;
use crate::embedded::format::event_number::{lsn_of, number};
use crate::embedded::format::frame::Kind;
use crate::embedded::format::record::{self, Moved, MovedRow, MovedRows, Request, decode};
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::rows::{Index, IndexError, RetryRow, place};
use crate::embedded::log::reader::Reader;
use crate::embedded::log::scanner::{CHUNK_BYTES, Scanner, Step};
use crate::embedded::log::segment_file;
use crate::embedded::platform::locks::read_lock;

/// Most exceptions that are gathered at once.
pub(crate) const GATHERED_MAX: usize = 8_192;

const PAGE_ROWS: usize = 1_024;

/// A delivery that still needs its event: it waits for a retry, or is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exception {
    pub number: u64,
    pub target: u16,
    /// When its row is due; `None` for a dead letter.
    pub due_ms: Option<u64>,
}

fn log_error(reader: &Reader, error: &io::Error) -> StoreError {
    StoreError::ReadLog { folder: reader.folder.clone(), reason: error.to_string() }
}

/// The deliveries that still need events before `end`; at most [`GATHERED_MAX`].
pub(crate) fn gather(
    index: &dyn Index,
    targets: u16,
    end: u64,
) -> Result<BTreeSet<Exception>, IndexError> {
    let mut found = BTreeSet::new();
    let lies_before = |at: u64| {
        Ok::<_, IndexError>(lsn_of(at) < end && place(index, at)?.is_none_or(|copy| copy < end))
    };
    for target in 0..targets {
        let mut failed = None;
        let mut visit = |due_ms, number, _: RetryRow| {
            match lies_before(number) {
                Ok(true) => {
                    found.insert(Exception { number, target, due_ms: Some(due_ms) });
                }
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
            let enough = failed.is_some() || found.len() >= GATHERED_MAX;
            if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        index.retries(target, 0, &mut visit)?;
        if let Some(error) = failed {
            return Err(error);
        }
        let mut after = None;
        while found.len() < GATHERED_MAX {
            let page = index.dead(target, after, PAGE_ROWS)?;
            let old = page.iter().take_while(|(first, _)| lsn_of(*first) < end);
            for (first, row) in old {
                if row.to == 0 && lies_before(*first)? {
                    found.insert(Exception { number: *first, target, due_ms: None });
                }
            }
            after = page.last().map(|(first, _)| *first);
            if page.len() < PAGE_ROWS || after.is_none_or(|last| lsn_of(last) >= end) {
                break;
            }
        }
        if found.len() >= GATHERED_MAX {
            break;
        }
    }
    Ok(found)
}

/// Copies of these events, up to about `bytes_max` but at least one, and the numbers of those that cannot be read.
/// Leaves out what has changed since it was gathered.
pub(crate) fn copies(
    reader: &Reader,
    index: &dyn Index,
    exceptions: &BTreeSet<Exception>,
    (targets, at_ms): (u16, u64),
    bytes_max: u64,
) -> Result<(Vec<Copy>, BTreeSet<u64>), StoreError> {
    let mut wanted: BTreeMap<u64, Vec<&Exception>> = BTreeMap::new();
    for exception in exceptions {
        wanted.entry(exception.number).or_default().push(exception);
    }
    let (mut copies, mut bytes, mut unreadable) = (Vec::new(), 0, BTreeSet::new());
    for (number, of_it) in wanted {
        if bytes >= bytes_max {
            break;
        }
        let Some(mut rows) = rows(index, number, &of_it)? else { continue };
        let at = place(index, number)?.unwrap_or(lsn_of(number));
        let retrying = of_it.iter().filter(|e| e.due_ms.is_some()).map(|e| e.target).collect();
        let copied = with_request(reader, number, at, |request| {
            others(index, targets, number, &mut rows)?;
            let about = MovedRows { at_ms, number, rows: std::mem::take(&mut rows) };
            let hint = request.events.first().map_or(0, |event| event.data.len()) + 1_024;
            let moved = Moved { about, request };
            let frame = record::frame(Kind::Moved, &moved, hint);
            Ok(frame.map(|frame| (frame, Effects::Moved(Arc::new(moved.about)))))
        })?;
        if let Some((frame, effects)) = copied {
            bytes += frame.size();
            copies.push(Copy { number, retrying, frame, effects });
        } else {
            unreadable.insert(number);
        }
    }
    Ok((copies, unreadable))
}

/// The current rows of these exceptions; `None` if one of them is gone.
fn rows(
    index: &dyn Index,
    number: u64,
    exceptions: &[&Exception],
) -> Result<Option<Vec<(u16, MovedRow)>>, IndexError> {
    let mut rows = Vec::new();
    for Exception { target, due_ms, .. } in exceptions {
        let row = match due_ms {
            None => index.dead_at(*target, number, false)?.map(MovedRow::Dead),
            Some(due_ms) => retry_row(index, *target, *due_ms, number)?.map(|row| {
                let RetryRow { attempts, first_attempt_ms, reason, progress } = row;
                MovedRow::Retry { due_ms: *due_ms, attempts, first_attempt_ms, reason, progress }
            }),
        };
        let Some(row) = row else { return Ok(None) };
        rows.push((*target, row));
    }
    Ok(Some(rows))
}

/// The row of a delivery with that due time.
pub(crate) fn retry_row(
    index: &dyn Index,
    target: u16,
    due_ms: u64,
    number: u64,
) -> Result<Option<RetryRow>, IndexError> {
    use ControlFlow::{Break, Continue};
    let mut found = None;
    let mut visit = |due, other, row| {
        if (due, other) == (due_ms, number) {
            found = Some(row);
        }
        if due == due_ms && other < number { Continue(()) } else { Break(()) }
    };
    index.retries(target, due_ms, &mut visit)?;
    Ok(found)
}

/// Adds the rows of ended deliveries: `explain` shows them as long as the event exists.
fn others(
    index: &dyn Index,
    targets: u16,
    number: u64,
    rows: &mut Vec<(u16, MovedRow)>,
) -> Result<(), IndexError> {
    for target in 0..targets {
        let dropped = index.dead_at(target, number, true)?.filter(|row| row.to == 0);
        rows.extend(dropped.map(|row| (target, MovedRow::Dropped(row))));
        if let Some(row) = index.outcome(target, number)? {
            let (attempts, at_ms) = (row.attempts, row.at_ms);
            let (receipt, fields) = (row.receipt, row.fields);
            rows.push((target, MovedRow::Delivered { attempts, at_ms, receipt, fields }));
        }
    }
    Ok(())
}

/// Passes the stored request, with only the event of that number, to `make`.
fn with_request<T>(
    reader: &Reader,
    wanted: u64,
    lsn: u64,
    make: impl FnOnce(Request<'_>) -> Result<Option<T>, StoreError>,
) -> Result<Option<T>, StoreError> {
    let held = read_lock(&reader.segments).wanted(lsn, |_| true);
    let Some((stretch, _read)) = held.filter(|(stretch, _)| stretch.from == lsn) else {
        return Ok(None);
    };
    let file = segment_file::open(&*reader.disk, &reader.path(&stretch))
        .map_err(|error| log_error(reader, &error))?;
    let mut scanner = Scanner::new(&*file, stretch, CHUNK_BYTES.min(64 << 10));
    let Step::Frame(header, payload) = scanner.step().map_err(|error| log_error(reader, &error))?
    else {
        return Ok(None);
    };
    let request = match Kind::from_byte(header.kind) {
        Some(Kind::Moved) => decode::<Moved<'_>>(payload).ok().map(|moved| moved.request),
        Some(Kind::Request) => decode::<Request<'_>>(payload).ok().and_then(|mut request| {
            let place = usize::try_from(wanted - number(lsn_of(wanted), 0)).ok()?;
            if place >= request.events.len() {
                return None;
            }
            let event = request.events.swap_remove(place);
            request.targets.clone_from(&event.targets);
            request.events = vec![event];
            Some(request)
        }),
        _ => None,
    };
    request.map_or(Ok(None), make)
}
