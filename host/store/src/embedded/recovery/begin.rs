//! Chooses what a store starts from: its index if that covers nearly all of the log, otherwise the log
//! alone.
//!
//! Every segment begins with the state of all targets, so the end of the log is enough to accept requests
//! and to make new deliveries. The index is then rebuilt in the background, see `reindex`.

use super::replay::Recovery;
use crate::embedded::core::inbox::LostRows;
use crate::embedded::error::{OpenError, at};
use crate::embedded::format::entry::{Effects, Entry};
use crate::embedded::format::event_number::number;
use crate::embedded::format::frame::Kind;
use crate::embedded::format::segment_header::SegmentHeader;
use crate::embedded::index::queries::Queries as _;
use crate::embedded::index::recent::Recent;
use crate::embedded::index::rows::{Batch, Index, IndexError, KeysKept, Seen};
use crate::embedded::index::sweep::sweep;
use crate::embedded::indexing::indexer::Replay;
use crate::embedded::indexing::lookup::{Found, Usable, replace};
use crate::embedded::indexing::lost_rows;
use crate::embedded::log::scanner::{Scanner, Step, Stretch};
use crate::embedded::platform::clock::{KeySets, OneSet};
use crate::embedded::settings::Settings;
use crate::embedded::state::apply::State;

/// Bytes read at once when looking for a checkpoint.
const CHECKPOINT_CHUNK_BYTES: usize = 64 << 10;

/// What a store starts with.
pub(crate) struct Begun {
    /// `None`: it must be rebuilt.
    pub index: Option<Box<dyn Index>>,
    /// What became of a damaged index.
    pub damaged: Option<String>,
    /// Retries that the index lacks.
    pub lost: Vec<LostRows>,
    pub state: State,
    /// Repetition keys that the index may not have.
    pub recent: Recent,
    /// Where the log ends.
    pub tail: u64,
}

impl Recovery<'_> {
    /// `known`: what the newest segment says of the clock.
    pub(crate) fn begin(
        &mut self,
        settings: &Settings,
        known: &[OneSet],
    ) -> Result<Begun, OpenError> {
        let mut damaged = None;
        if let Some(found) = self.index_at_open() {
            match self.with_index(found, settings.window_ms(), known)? {
                Ok(begun) => return Ok(begun),
                Err(error) if error.is_damage() => match replace(&*self.machine.index, &error) {
                    Ok(what) => damaged = Some(what),
                    Err(error) => self.rebuilt_for = Some(error.to_string()),
                },
                Err(error) => self.rebuilt_for = Some(error.to_string()),
            }
        }
        let mut recent = Recent::new(self.machine.clock.steady());
        let from = self.checkpoint()?.map(|segment| (segment.first(), segment.epoch));
        let (mut state, now) = (State::default(), self.machine.clock.steady());
        let tail = self.replay(from.unwrap_or_default(), &mut |entry| {
            state.apply(entry);
            remember(&mut recent, entry);
            recent.turn(None, now);
            Ok(())
        })?;
        Ok(Begun { index: None, damaged, lost: Vec::new(), state, recent, tail })
    }

    /// Reads what the index lacks of the log. The inner `Err` is one of the index: the log alone will do.
    fn with_index(
        &mut self,
        found: Found,
        window_ms: u64,
        known: &[OneSet],
    ) -> Result<Result<Begun, IndexError>, OpenError> {
        let Found { index, mut state, stamp, damaged, .. } = found;
        let Some(oldest) = self.list.first().copied() else { return Ok(Err(IndexError::Closing)) };
        // A clock that is wrong at the start removes no keys, and neither does one that was set before.
        let created_ms = self.list.last().map_or(0, |newest| newest.created_ms);
        let now_ms = self.machine.clock.wall_ms().min(created_ms);
        let now_ms = KeySets(known.to_vec()).earliest_ms(now_ms);
        let kept = KeysKept { now_ms, window_ms };
        let mut replay = Replay::new(&*index, oldest.identity.uuid, kept, u64::MAX);
        let from = stamp.map_or((oldest.first(), oldest.epoch), |stamp| (stamp.end, stamp.epoch));
        let (mut failed, mut has_lost) = (Ok(()), false);
        let tail = self.replay(from, &mut |entry| {
            has_lost |= matches!(entry.effects, Effects::Lost(_));
            if failed.is_ok() {
                failed = replay.read(&mut state, entry);
            }
            Ok(())
        })?;
        let targets = u16::try_from(state.targets.len()).unwrap_or(u16::MAX);
        let swept = failed
            .and_then(|()| replay.commit(&state))
            .and_then(|()| sweep(&*index, targets, oldest.base))
            // What was lost may have had rows.
            .and_then(|()| if has_lost { index.commit(Batch::mark(true)) } else { Ok(()) })
            .and_then(|()| lost_rows::finish(&*index, &mut state));
        let recent = Recent::new(self.machine.clock.steady());
        Ok(swept.map(|lost| Begun { index: Some(index), damaged, lost, state, recent, tail }))
    }

    /// The index, if it lacks so little of the log that this can be read now.
    fn index_at_open(&mut self) -> Option<Found> {
        let (oldest, newest) = (self.list.first().copied()?, self.list.last().copied()?);
        let is_near = |place: u64| {
            newest.limit().saturating_sub(place) <= self.machine.read_at_open_bytes_max
        };
        let opened = self.machine.index.open().and_then(|index| Ok((index.stamp()?, index)));
        // An index that cannot be read proves nothing.
        let stamp = opened.as_ref().ok().and_then(|(stamp, _)| *stamp);
        let ours = stamp.filter(|stamp| stamp.uuid == oldest.identity.uuid);
        self.proven = ours.map_or(0, |stamp| stamp.end);
        let lookup = self.lookup();
        let found = match opened.and_then(|(_, index)| lookup.usable(index)) {
            // If it is ahead of the log, it is the proof of a loss.
            Ok(Usable::Other(why)) if self.proven > 0 || !is_near(oldest.first()) => {
                self.rebuilt_for = Some(why.to_owned());
                return None;
            }
            other if is_near(oldest.first()) => lookup.or_empty(other),
            Ok(Usable::Found(found)) => Ok(found),
            Ok(Usable::Other(_)) => return None,
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => {
                self.rebuilt_for = found.other.map(str::to_owned);
                let place = found.stamp.map_or(oldest.first(), |stamp| stamp.end);
                (is_near(place) || place > newest.first()).then_some(found)
            }
            Err(error) => {
                self.rebuilt_for = Some(format!("it cannot be opened: {error}"));
                None
            }
        }
    }

    /// The newest segment that begins with the whole state; otherwise the oldest one, because the whole log
    /// gives the state too. If it cannot be read, the replay that starts there fails.
    fn checkpoint(&self) -> Result<Option<SegmentHeader>, OpenError> {
        for segment in self.list.iter().skip(1).rev() {
            let path = segment.path(&self.folder);
            let file = self.machine.disk.open(&path).map_err(at("open", &path))?;
            let to = segment.base + file.len().map_err(at("read", &path))?;
            let all = Stretch { segment: *segment, from: segment.first(), to };
            let mut scanner = Scanner::new(&*file, all, CHECKPOINT_CHUNK_BYTES);
            match scanner.step().map_err(at("read", &path))? {
                Step::Frame(header, _) if header.kind != Kind::Checkpoint as u8 => {}
                _ => return Ok(Some(*segment)),
            }
        }
        Ok(self.list.first().copied())
    }
}

fn remember(recent: &mut Recent, entry: &Entry) {
    let Effects::Request { received_ms, keys, .. } = &entry.effects else { return };
    for &(place, key) in keys {
        let (number, received_ms) = (number(entry.lsn, place), *received_ms);
        recent.put(key, Seen { number, received_ms }, entry.end);
    }
}
