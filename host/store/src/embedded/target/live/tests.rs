//! A target in memory against a list that knows what became of every delivery, and against the state
//! that the records of its outcomes give.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::embedded::format::entry::{Effects, Entry, Routed};
use crate::embedded::format::record::{RecordedOutcome, Settled, TargetSettlements};
use crate::embedded::format::stored_request::TailEvent;
use crate::embedded::limits::SETTLED_AHEAD_MAX;
use crate::embedded::log::recent::TailFrame;
use crate::embedded::platform::clock::{SeenTime, SystemClock};
use crate::embedded::state::apply::State;
use crate::{Outcome, Settlement};
use dispatcher_model::{Attributes, EventId, Headers, Receipt, Severity};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Row,
    Ended,
}

#[derive(Clone, Debug)]
enum Op {
    /// A request with that many events, every other one for another target.
    Publish(u8),
    Skip,
    Take(u8),
    /// Settles the n-th claimed delivery in that way.
    Settle(u8, u8),
    EndLeases,
    LoadRows,
    LoadGivenBack,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (1u8..5).prop_map(Op::Publish),
        1 => Just(Op::Skip),
        4 => (1u8..6).prop_map(Op::Take),
        6 => (any::<u8>(), 0u8..5).prop_map(|(n, how)| Op::Settle(n, how)),
        1 => Just(Op::EndLeases),
        2 => Just(Op::LoadRows),
        2 => Just(Op::LoadGivenBack),
        1 => Just(Op::Restart),
    ]
}

struct World {
    live: Live,
    state: State,
    tail: Tail,
    lsn: u64,
    fate: BTreeMap<u64, Fate>,
    rows: BTreeMap<u64, (u64, RetryRow)>,
    claimed: Vec<u64>,
    now: Now,
}

fn event(number: u64) -> Arc<StoredEvent> {
    let received_at = Timestamp::from_millis(1);
    let attributes = Attributes {
        event_type: "t".into(),
        subject: None,
        time: None,
        title: "t".into(),
        severity: Severity::Info,
        link: None,
    };
    Arc::new(StoredEvent {
        id: EventId::new(received_at, 0, number),
        source: "s".into(),
        received_at,
        headers: Arc::new(Headers::default()),
        attributes,
        data: bytes::Bytes::new(),
    })
}

impl World {
    fn new() -> Self {
        let target = TargetState { name: "a".into(), ..TargetState::default() };
        Self {
            live: Live::new(0, &target),
            state: State { targets: vec![target] },
            tail: Tail::new(0),
            lsn: 4_096,
            fate: BTreeMap::new(),
            rows: BTreeMap::new(),
            claimed: Vec::new(),
            now: SeenTime::starting(&SystemClock, 0).now(&SystemClock),
        }
    }

    fn entry(&mut self, effects: Effects) -> Entry {
        let lsn = self.lsn;
        self.lsn += 64;
        Entry { lsn, end: self.lsn, epoch: 1, payload_crc: 0, effects }
    }

    fn publish(&mut self, count: u8) {
        let (lsn, places) = (self.lsn, u16::from(count) * 2 - 1);
        let ours = |place: &u16| place.is_multiple_of(2);
        let events = (0..places).map(|place| TailEvent {
            targets: vec![u16::from(!ours(&place))],
            event: event(number(lsn, place)),
        });
        let frame = TailFrame::of(lsn, lsn + 64, vec![0, 1], events.collect());
        self.fate.extend((0..places).filter(ours).map(|place| (number(lsn, place), Fate::Open)));
        self.tail.push(std::iter::once(Arc::new(frame)));
        let routed = Routed { target: 0, count: count.into(), first: 0, last: places - 1 };
        let effects =
            Effects::Request { received_ms: 1, events: 1, keys: Vec::new(), routed: vec![routed] };
        let entry = self.entry(effects);
        self.state.apply(&entry);
        self.live.publish(lsn, number(lsn, places - 1), count.into());
    }

    fn take(&mut self, max: u8) -> Result<(), TestCaseError> {
        self.live.fill(&self.tail, max.into(), false);
        let taken = self.live.take(max.into(), Duration::from_secs(10), self.now, false);
        for delivery in taken {
            let number = delivery.event.id.number();
            let fate = self.fate[&number];
            prop_assert!(fate != Fate::Ended, "{} was settled", number);
            prop_assert!(!self.claimed.contains(&number), "{} was claimed", number);
            prop_assert_eq!(delivery.attempt > 1, fate == Fate::Row);
            self.claimed.push(number);
        }
        Ok(())
    }

    fn settle(&mut self, n: u8, how: u8) {
        if self.claimed.is_empty() {
            return;
        }
        let number = self.claimed.remove(usize::from(n) % self.claimed.len());
        let receipt = Receipt { id: (how == 1).then(|| "r".into()), fields: Vec::new() };
        let outcome = match how {
            0 | 1 => Outcome::Delivered { receipt },
            2 => Outcome::Dead { reason: "no".into() },
            3 => Outcome::Retry {
                at: Timestamp::from_millis(u64::from(n)),
                reason: "later".into(),
                progress: Vec::new(),
            },
            _ => Outcome::Release,
        };
        let id = EventId::new(Timestamp::from_millis(1), 0, number);
        let mut list = VecDeque::from([Settlement { event: id, outcome }]);
        let record = self.live.settle(&mut list, 1_000, self.now).record;
        if let Some(record) = record {
            self.written(record);
        }
    }

    /// The log has the record, and the index has read it.
    fn written(&mut self, record: TargetSettlements) {
        let ended = crate::embedded::format::record::from_deltas(&record.delivered);
        self.fate.extend(ended.map(|number| (number, Fate::Ended)));
        let (mut gone, mut due) = (Vec::new(), None);
        for Settled { number, row_due_ms, attempts, first_attempt_ms, what, .. } in &record.others {
            if row_due_ms.is_some() {
                assert!(self.rows.remove(number).is_some(), "a row that is not there");
                gone.push(*number);
            }
            self.fate.insert(*number, Fate::Ended);
            if let RecordedOutcome::Retry { due_ms, reason, progress } = what {
                let row = RetryRow {
                    attempts: *attempts,
                    first_attempt_ms: *first_attempt_ms,
                    reason: reason.clone(),
                    progress: progress.clone(),
                };
                self.rows.insert(*number, (*due_ms, row));
                self.fate.insert(*number, Fate::Row);
                due = Some(*due_ms);
            }
        }
        let settlements =
            crate::embedded::format::record::Settlements { at_ms: 1, targets: vec![record] };
        let entry = self.entry(Effects::Settlements(Arc::new(settlements)));
        self.state.apply(&entry);
        self.live.applied(&gone, due);
    }

    fn load_rows(&mut self) {
        let need = self.live.need(&self.tail, 10, self.now, false);
        let Some(from) = need.rows_from_ms else { return };
        let held = self.live.held_rows();
        for (number, (due, row)) in &self.rows {
            if held.contains(number) {
                continue;
            }
            assert!(*due >= from, "a row below the low-water mark");
            let row = Some((*due, row.clone()));
            self.live.loaded.push_back(Loaded { number: *number, row, event: event(*number) });
        }
    }

    fn load_given_back(&mut self) {
        for number in self.live.given_back(100) {
            let event = event(number);
            self.live.loaded.push_back(Loaded { number, row: None, event });
        }
    }

    fn restart(&mut self) {
        self.live = Live::new(0, &self.state.targets[0]);
        self.claimed.clear();
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let state = &self.state.targets[0];
        let count = |fate| self.fate.values().filter(|f| **f == fate).count() as u64;
        for (number, fate) in &self.fate {
            let settled = *number < state.cursor || state.done.contains(*number);
            prop_assert_eq!(settled, *fate != Fate::Open, "{} in the state", number);
            let settled = *number < self.live.cursor() || self.live.done.contains(*number);
            prop_assert_eq!(settled, *fate != Fate::Open, "{} in memory", number);
        }
        let pending = count(Fate::Open) + count(Fate::Row);
        prop_assert_eq!((state.counts.pending, state.counts.retrying), (pending, count(Fate::Row)));
        prop_assert_eq!(
            (self.live.counts.pending, self.live.counts.retrying),
            (pending, count(Fate::Row))
        );
        prop_assert_eq!(self.live.counts.dead, state.counts.dead);
        prop_assert_eq!(self.live.in_flight(), self.claimed.len());
        Ok(())
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_nor_given_twice(ops in proptest::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        for op in ops {
            match op {
                Op::Publish(count) => world.publish(count),
                Op::Skip => world.lsn += 640,
                Op::Take(max) => world.take(max)?,
                Op::Settle(n, how) => world.settle(n, how),
                Op::EndLeases => {
                    world.now.steady += Duration::from_secs(11);
                    world.live.end_leases(world.now);
                    world.claimed.clear();
                }
                Op::LoadRows => world.load_rows(),
                Op::LoadGivenBack => world.load_given_back(),
                Op::Restart => world.restart(),
            }
            world.check()?;
        }
        // All that is not ended can be claimed in the end.
        world.now.steady += Duration::from_secs(11);
        world.live.end_leases(world.now);
        world.claimed.clear();
        for _ in 0..200 {
            world.load_rows();
            world.load_given_back();
            world.take(5)?;
        }
        let left = world.fate.values().filter(|fate| **fate != Fate::Ended).count();
        prop_assert_eq!(world.claimed.len(), left);
    }
}

/// Claims everything, then settles all but the first in steps.
fn straggling(count: u64) -> (Live, Vec<RecordedOutcome>) {
    let mut world = World::new();
    for _ in 0..count {
        world.publish(1);
        world.take(1).unwrap();
    }
    let ids = world.claimed[1..].iter().map(|n| EventId::new(Timestamp::default(), 0, *n));
    let delivered = || Outcome::Delivered { receipt: Receipt::default() };
    let mut list: VecDeque<Settlement> =
        ids.map(|event| Settlement { event, outcome: delivered() }).collect();
    let mut parked = Vec::new();
    while !list.is_empty() {
        let record = world.live.settle(&mut list, 1_000, world.now).record.unwrap();
        parked.extend(record.others.into_iter().map(|settled| settled.what));
    }
    (world.live, parked)
}

#[test]
fn a_straggler_holds_the_cursor_back_for_a_while_then_gets_a_row() {
    let enough = SETTLED_AHEAD_MAX as u64;
    let (live, parked) = straggling(enough + 1);
    assert_eq!((live.open.len(), parked.len()), (1, 0));
    let (live, parked) = straggling(enough + 2);
    assert!(matches!(parked[..], [RecordedOutcome::Parked { .. }]));
    assert_eq!((live.open.len(), live.done.len()), (0, 0));
    assert_eq!((live.rows.len(), live.in_flight(), live.counts.pending), (1, 1, 1));
}

#[test]
fn a_window_has_an_end() {
    let mut world = World::new();
    for _ in 0..WINDOW_MAX + 50 {
        world.publish(1);
        world.take(1).unwrap();
    }
    assert_eq!(world.claimed.len(), WINDOW_MAX);
    assert_eq!(world.live.counts.pending, WINDOW_MAX as u64 + 50);
}

#[test]
fn a_target_that_stands_still_keeps_nothing_in_memory() {
    let mut world = World::new();
    for _ in 0..500 {
        world.publish(4);
    }
    for _ in 0..3 {
        world.load_given_back();
        world.take(1).unwrap();
        world.settle(0, 4);
        assert_eq!((world.live.ready.len(), world.live.open.len()), (0, 1));
    }
    assert!(world.rows.is_empty());
    assert_eq!(world.live.counts.pending, 2_000);
}

#[test]
fn a_target_without_events_does_not_read_what_is_for_others() {
    let mut world = World::new();
    world.publish(1);
    world.take(1).unwrap();
    world.settle(0, 0);
    world.lsn += 1 << 30;
    assert!(!world.live.needs(&world.tail, world.now, false));
    world.publish(1);
    assert!(world.live.cursor() >= 1 << 40, "the cursor goes to where there is something again");
    world.take(1).unwrap();
    assert_eq!(world.claimed.len(), 1);
}

/// Found by the random walk above: the copy that was left in memory hid the row that it became.
#[test]
fn what_was_brought_into_memory_twice_does_not_hide_its_row() {
    let mut world = World::new();
    world.publish(1);
    world.take(1).unwrap();
    world.now.steady += Duration::from_secs(11);
    world.live.end_leases(world.now);
    world.claimed.clear();
    world.load_given_back();
    world.load_given_back();
    world.take(1).unwrap();
    world.settle(0, 3);
    world.load_rows();
    world.take(1).unwrap();
    assert_eq!(world.claimed.len(), 1);
}
