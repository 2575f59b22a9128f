//! The state of every target, as of a place in the log.
//!
//! [`State::apply`] is the only function that turns a frame into state. The same frames give the same
//! state, whether they were just written, replayed after a crash or read for a new index. The committer
//! has one (for checkpoints), the index thread another (for its rows), and recovery a third.

use super::counts::Counts;
use crate::embedded::format::entry::{Effects, Entry};
use crate::embedded::format::event_number::number;
use crate::embedded::format::frame::Kind;
use crate::embedded::format::record::{
    Act, ActKind, Checkpoint, DeadRange, HoldRow, RecordedOutcome, TargetRow, TargetSettlements,
    from_deltas,
};
use crate::embedded::format::runs::Runs;
use crate::embedded::limits::TARGETS_MAX;

/// Bytes of a checkpoint that a new name counts: a long name with its state.
const ROW_BYTES_RESERVED: usize = 128;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetState {
    pub name: String,
    /// Every delivery below is settled or has a row.
    pub cursor: u64,
    /// What is settled or has a row at the cursor or above.
    pub done: Runs,
    pub last_routed: Option<u64>,
    pub counts: Counts,
    /// Why the target gets no deliveries.
    pub hold: Option<HoldRow>,
}

impl TargetState {
    pub(crate) fn to_row(&self) -> TargetRow {
        TargetRow {
            name: self.name.clone(),
            cursor: self.cursor,
            done: self.done.to_deltas(self.cursor),
            last_routed: self.last_routed,
            pending: self.counts.pending,
            retrying: self.counts.retrying,
            dead: self.counts.dead,
            hold: self.hold.clone(),
        }
    }

    pub(crate) fn from_row(row: TargetRow) -> Self {
        let TargetRow { name, cursor, done, last_routed, pending, retrying, dead, hold } = row;
        let (done, counts) = (Runs::from_deltas(cursor, &done), Counts { pending, retrying, dead });
        Self { name, cursor, done, last_routed, counts, hold }
    }

    /// Whether nothing is left of it but its name.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.counts == Counts::default() && self.hold.is_none() && !self.name.starts_with(UNKNOWN)
    }

    /// Most bytes of it in a checkpoint, without what is settled above its cursor.
    pub(crate) fn row_bytes_max(&self) -> usize {
        let hold = self.hold.as_ref().map_or(0, |hold| hold.reason.len());
        self.name.len() + hold + ROW_BYTES_MAX
    }

    fn settle(&mut self, record: &TargetSettlements) {
        let from = record.cursor.max(self.cursor);
        for number in from_deltas(&record.delivered) {
            self.counts.delivered();
            if number >= from {
                self.done.insert(number, number + 1);
            }
        }
        for settled in &record.others {
            if let RecordedOutcome::Window { .. } = settled.what {
                continue;
            }
            self.counts.settled(settled);
            if settled.row_due_ms.is_none() && settled.number >= from {
                self.done.insert(settled.number, settled.number + 1);
            }
        }
        self.advance(record.cursor);
    }

    /// The caller counts them.
    fn end_range(&mut self, record: &DeadRange) {
        let mut from = record.from;
        for &open in &record.kept {
            self.done.insert(from, open);
            from = open + 1;
        }
        self.done.insert(from, record.to);
        self.advance(record.cursor);
    }

    /// A replayed number lies below the cursor or in a run already, or is of an event that was not
    /// planned for the target: `done` does not change.
    fn act(&mut self, record: &Act) {
        match &record.what {
            ActKind::Hold(hold) => self.hold.clone_from(hold),
            ActKind::DeadLetters(change) => self.counts.changed(change),
            ActKind::DropRange(range) => {
                self.end_range(range);
                self.counts.dropped(range.count);
            }
        }
    }

    /// Takes over from a checkpoint what lost records said; without a loss that changes nothing. A row whose outcome is
    /// lost is still there: its delivery is made again. What has no row is found once the index is made: retries and
    /// dead letters.
    fn adopt(&mut self, row: &TargetRow) {
        let Counts { retrying, dead, .. } = self.counts;
        let again = retrying.saturating_sub(row.retrying);
        self.counts = Counts {
            pending: row.pending.saturating_add(again),
            retrying: retrying.max(row.retrying),
            dead: dead.max(row.dead),
        };
        self.done.insert_all(&Runs::from_deltas(row.cursor, &row.done));
        self.last_routed = self.last_routed.max(row.last_routed);
        self.hold.clone_from(&row.hold);
        self.advance(row.cursor);
    }

    fn advance(&mut self, cursor: u64) {
        self.cursor = self.cursor.max(cursor);
        self.done.forget_below(self.cursor);
    }
}

/// How the name of a target begins whose own name is lost: no configured name does.
const UNKNOWN: &str = "(unknown ";

/// Most bytes of a target in a checkpoint besides its name, its hold's reason and what is settled above its cursor.
const ROW_BYTES_MAX: usize = 80;

fn unknown_name(place: usize) -> String {
    format!("{UNKNOWN}{place})")
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// By target number.
    pub targets: Vec<TargetState>,
}

impl State {
    /// How many names of targets may be known: half of the space of a checkpoint is kept for their state.
    pub(crate) fn names_max(&self, frame_bytes_max: u64) -> usize {
        let bytes: usize = self.targets.iter().map(TargetState::row_bytes_max).sum();
        let bytes_max = usize::try_from(frame_bytes_max / 4).unwrap_or(usize::MAX);
        let further = bytes_max.saturating_sub(bytes) / ROW_BYTES_RESERVED;
        (self.targets.len() + further).min(TARGETS_MAX)
    }

    pub(crate) fn apply(&mut self, entry: &Entry) {
        match &entry.effects {
            Effects::Request { routed, .. } => {
                self.keep_numbers(routed.iter().map(|r| r.target), number(entry.lsn, 0));
                for r in routed {
                    if let Some(target) = self.targets.get_mut(usize::from(r.target)) {
                        target.counts.routed(u64::from(r.count));
                        target.last_routed = Some(number(entry.lsn, r.last));
                    }
                }
            }
            Effects::Settlements(record) => {
                for settled in &record.targets {
                    self.keep_numbers([settled.target], settled.cursor);
                    if let Some(target) = self.targets.get_mut(usize::from(settled.target)) {
                        target.settle(settled);
                    }
                }
            }
            Effects::Registry(record) => {
                for (target, name) in &record.targets {
                    let (place, cursor) = (usize::from(*target), number(entry.end, 0));
                    let name = name.clone();
                    let new = TargetState { name, cursor, ..TargetState::default() };
                    let further = place == self.targets.len();
                    match self.targets.get_mut(place) {
                        // The number of a forgotten name is given again.
                        Some(known) if known.is_forgettable() => *known = new,
                        None if further => self.targets.push(new),
                        _ => {}
                    }
                }
            }
            Effects::DeadRange(record) => {
                if let Some(target) = self.targets.get_mut(usize::from(record.target)) {
                    target.end_range(record);
                    if record.is_of_lost_rows() {
                        target.counts.lost_rows(record.count);
                    } else {
                        target.counts.died(record.count);
                    }
                }
            }
            Effects::Act(record) => {
                if let Some(target) = self.targets.get_mut(usize::from(record.target)) {
                    target.act(record);
                }
            }
            Effects::Checkpoint(record) => self.read_checkpoint(record, entry.lsn),
            // A target that has not read past this place will find the copy there.
            Effects::Lost(record) => {
                let there = number(entry.lsn, 0);
                for target in &mut self.targets {
                    if !record.no_requests && target.cursor <= there {
                        target.last_routed = Some(there);
                    }
                }
            }
            Effects::Moved(_) | Effects::Summary => {}
        }
    }

    /// It repeats what the frames before it said, unless some of them are lost.
    fn read_checkpoint(&mut self, record: &Checkpoint, lsn: u64) {
        for (place, row) in record.targets.iter().enumerate() {
            match self.targets.get_mut(place) {
                Some(known) if known.name == row.name => known.adopt(row),
                // Another name: the record that gave the number again is lost.
                Some(known) => *known = TargetState::from_row(row.clone()),
                None => self.targets.push(TargetState::from_row(row.clone())),
            }
        }
        self.pass_by(number(lsn, 0));
    }

    /// Moves the cursors of targets with nothing left below that number up to it, so that they do not search
    /// the log before it.
    pub(crate) fn pass_by(&mut self, to: u64) {
        for target in &mut self.targets {
            if target.last_routed.is_none_or(|last| last < target.cursor) {
                target.advance(to);
            }
        }
    }

    /// Adds targets whose naming record may be lost. Their numbers are not reused, or another target would get
    /// their deliveries: these wait under a name that no target can have.
    fn keep_numbers(&mut self, numbers: impl IntoIterator<Item = u16>, cursor: u64) {
        for number in numbers {
            while self.targets.len() <= usize::from(number) {
                let name = unknown_name(self.targets.len());
                self.targets.push(TargetState { name, cursor, ..TargetState::default() });
            }
        }
    }

    /// The whole state, in at most `bytes_max`. If it is too large, the widest targets have only their
    /// cursor; what is left out would be delivered again if this segment became the first of the log and
    /// the index were lost as well. The kind says whether something is left out.
    pub(crate) fn checkpoint(&self, bytes_max: usize) -> (Kind, Checkpoint) {
        let mut checkpoint =
            Checkpoint { targets: self.targets.iter().map(TargetState::to_row).collect() };
        let size = |row: &TargetRow| {
            let hold = row.hold.as_ref().map_or(0, |hold| hold.reason.len());
            row.name.len() + row.done.len() * 10 + hold + ROW_BYTES_MAX
        };
        let mut bytes: usize = checkpoint.targets.iter().map(size).sum();
        let mut kind = Kind::Checkpoint;
        while bytes > bytes_max {
            let Some(widest) = checkpoint.targets.iter_mut().max_by_key(|row| row.done.len())
            else {
                break;
            };
            let done = std::mem::take(&mut widest.done);
            if done.is_empty() {
                break;
            }
            bytes -= done.len() * 10;
            kind = Kind::CheckpointPart;
        }
        (kind, checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_checkpoint_gives_the_state_back_and_gives_up_the_widest_window_first() {
        let mut state = State::default();
        for (name, runs) in [("wide", 40u64), ("narrow", 2)] {
            let mut done = Runs::default();
            for i in 0..runs {
                done.insert(100 + i * 4, 101 + i * 4);
            }
            state.targets.push(TargetState {
                name: name.into(),
                cursor: 50,
                done,
                counts: Counts { pending: 7, ..Counts::default() },
                hold: Some(HoldRow { broken: true, reason: "no".into(), since_ms: 9 }),
                ..TargetState::default()
            });
        }
        let entry = |record: Checkpoint| Entry {
            lsn: 0,
            end: 8,
            epoch: 0,
            payload_crc: 0,
            effects: Effects::Checkpoint(Arc::new(record)),
        };
        let mut back = State::default();
        let (kind, whole) = state.checkpoint(1 << 20);
        back.apply(&entry(whole));
        assert_eq!((back, kind), (state.clone(), Kind::Checkpoint));
        let (kind, small) = state.checkpoint(330);
        assert_eq!(kind, Kind::CheckpointPart);
        assert_eq!(small.targets.iter().map(|t| t.done.len()).collect::<Vec<_>>(), vec![0, 4]);
    }
}
