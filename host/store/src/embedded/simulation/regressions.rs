//! Crashes that once lost something, step by step.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::contract::{HOUR, dead, keyed, planned, request, texts};
use crate::embedded::core::machine::Machine;
use crate::embedded::format::segment_header::{Identity, SegmentHeader, base_of, file_name};
use crate::embedded::platform::disk::Disk as _;
use crate::embedded::platform::locks::read_lock;
use crate::embedded::{Embedded, Settings};
use crate::{AppendError, Durable, Fate, Outcome, Queue, Settlement};
use dispatcher_model::{Delivery, Planned, Receipt, TargetNumber};

use super::hardware::disk::SimDisk;
use super::hardware::memory_index::MemoryHome;
use super::hardware::time::Time;
use super::walk::running::Running;

const HOUR_MS: u64 = 3_600_000;

/// A store on a simulated disk, for one story.
struct Story {
    disk: SimDisk,
    time: Arc<Time>,
    machine: Machine,
    settings: Settings,
    running: Option<Running>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let mut settings = Settings::new(PathBuf::from("/simulated"));
        settings.segment_bytes = 32 << 10;
        let time = Arc::new(Time::new());
        let index = MemoryHome::beside(&disk, settings.log_folder());
        let machine = Machine {
            disk: Arc::new(disk.clone()),
            clock: time.clone(),
            index: Arc::new(index),
            identity: Some(Identity { store: 1, uuid: seed }),
            read_at_open_bytes_max: u64::MAX,
            alone: true,
        };
        let mut story = Self { disk, time, machine, settings, running: None };
        story.open();
        let store = story.store();
        let numbers = story.ask(store.register(vec!["a".into()]));
        assert_eq!(numbers.unwrap(), [TargetNumber(0)]);
        story
    }

    fn open(&mut self) {
        self.running = Some(Running::open(&self.settings, &self.machine).unwrap());
    }

    /// The process is killed, and started again.
    fn kill(&mut self) {
        self.running = None;
        self.disk.restart();
        self.open();
    }

    fn cut_power(&mut self) {
        self.running = None;
        self.disk.cut_power();
        // It is rebuilt.
        self.machine.index.remove().unwrap();
        self.open();
    }

    fn store(&self) -> Arc<Embedded> {
        self.running.as_ref().unwrap().store.clone()
    }

    fn ask<T>(&mut self, asked: impl Future<Output = T>) -> T {
        self.running.as_mut().unwrap().ask(asked).unwrap()
    }

    fn append(&mut self, text: &str) -> Result<Durable, AppendError> {
        self.append_one(planned(text, &[TargetNumber(0)]))
    }

    fn append_keyed(&mut self, key: &str) -> Result<Durable, AppendError> {
        self.append_one(keyed(key, 1, &[TargetNumber(0)]))
    }

    fn append_one(&mut self, planned: Planned) -> Result<Durable, AppendError> {
        let store = self.store();
        let mut request = request(vec![planned]);
        request.received_at = self.time.wall();
        self.ask(store.append(request))
    }

    /// The one that is due.
    fn claim(&mut self) -> Delivery {
        let store = self.store();
        let mut given = self.ask(store.claim(TargetNumber(0), 2, HOUR)).unwrap();
        assert_eq!(given.len(), 1);
        given.remove(0)
    }

    /// The first of those that are due.
    fn first(&mut self) -> Delivery {
        let store = self.store();
        self.ask(store.claim(TargetNumber(0), 1, HOUR)).unwrap().remove(0)
    }

    fn settle(&mut self, delivery: &Delivery, outcome: Outcome) {
        let (store, event) = (self.store(), delivery.event.id);
        self.ask(store.settle(TargetNumber(0), vec![Settlement { event, outcome }])).unwrap();
    }

    fn all(&mut self) -> Vec<String> {
        let (store, mut all) = (self.store(), Vec::new());
        let running = self.running.as_mut().unwrap();
        while let Some(given) = running.ask(store.claim(TargetNumber(0), 99, HOUR)) {
            all.extend(texts(&given.unwrap()));
        }
        all
    }

    /// The newest segment's file.
    fn newest(&self) -> PathBuf {
        let folder = self.settings.log_folder();
        let names = self.disk.names(&folder);
        let newest = names.iter().filter_map(|name| base_of(name)).max().unwrap();
        folder.join(file_name(newest))
    }

    /// The newest segment's bytes.
    fn bytes(&self) -> Vec<u8> {
        let file = self.disk.open(&self.newest()).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// Where the newest segment ends so far.
    fn end(&self) -> usize {
        let tail = read_lock(&self.store().shared.reader.segments).tail;
        usize::try_from(tail % self.settings.segment_bytes).unwrap()
    }

    /// Puts bytes on the medium.
    fn put(&self, bytes: &[u8], at: usize) {
        let file = self.disk.open(&self.newest()).unwrap();
        file.write_all_at(bytes, at as u64).unwrap();
        file.sync().unwrap();
    }
}

#[test]
fn frames_that_a_failed_sync_left_in_memory_are_not_trusted_after_a_restart() {
    for seed in 0..60 {
        let mut story = Story::new(seed);
        story.append("before").unwrap();
        story.disk.plan(|faults| faults.bad_syncs = 1);
        story.append("refused").unwrap_err();
        story.kill();
        // Frames behind the refused one, in the same segment.
        story.append("after").unwrap();
        story.cut_power();
        let all = story.all();
        assert!(all == ["before", "after"] || all == ["before", "refused", "after"], "{all:?}");
    }
}

/// Enough to fill a segment.
const LARGE_ONES: usize = 12;

#[test]
fn a_segment_whose_name_was_not_durable_keeps_its_acknowledged_events() {
    let mut named_in_memory_only = 0;
    for seed in 0..8 {
        // The process ends at the n-th call to the disk, for every n.
        for calls in 0.. {
            let mut story = Story::new(seed);
            let before = story.newest();
            story.disk.plan(|faults| faults.fuse = Some(calls));
            let large = "x".repeat(4_000);
            let all = (0..LARGE_ONES).all(|_| story.append(&large).is_ok());
            if all && !story.disk.faults().off {
                assert_ne!(story.newest(), before, "no segment was begun");
                break;
            }
            let newest = story.newest();
            named_in_memory_only += u32::from(!story.disk.is_durable(&newest, 0));
            story.kill();
            story.append("last").unwrap();
            story.cut_power();
            let last = story.all().pop();
            assert_eq!(last.as_deref(), Some("last"), "seed {seed}, call {calls}");
        }
    }
    assert!(named_in_memory_only > 0, "no process ended between a name and its sync");
}

#[test]
fn a_torn_header_is_not_completed_by_the_start_of_the_next_one() {
    let mut story = Story::new(1);
    // A file that is reused, or was written in advance, is not cut off at the log's end.
    while !SegmentHeader::from_bytes(&story.bytes()).unwrap().flags.prewritten {
        story.append(&"x".repeat(1_000)).unwrap();
    }
    // The header is to have its first eight bytes in one sector, and the others in the next.
    let (sector, header_start) = (512, 8);
    let from = story.end();
    story.append(&"x".repeat(1_000)).unwrap();
    let (step, end) = (story.end() - from, story.end());
    let more = (2 * sector - header_start - (end + step) % sector) % sector;
    // The frame has the text twice.
    story.append(&"x".repeat(1_000 + more / 2)).unwrap();
    let at = story.end();
    assert_eq!(at % sector, sector - header_start);
    // Of one write the power cut keeps all but the first sector …
    story.append("torn").unwrap();
    story.put(&[0; 8], at);
    story.cut_power();
    // … and of the next one the first alone.
    let mut bytes = story.bytes()[at..].to_vec();
    story.append("after").unwrap();
    bytes[..header_start].copy_from_slice(&story.bytes()[at..at + header_start]);
    story.put(&bytes, at);
    story.cut_power();
    let all = story.all();
    assert!(all.iter().all(|text| text.starts_with('x')), "{:?}", all.last());
}

#[test]
fn releasing_a_delivery_after_the_clock_was_set_back_keeps_its_progress() {
    let mut story = Story::new(1);
    story.append("slow").unwrap();
    let first = story.claim();
    let at = story.time.wall().plus(HOUR);
    let progress = vec![7, 8];
    story.settle(&first, Outcome::Retry { at, reason: "later".into(), progress });
    story.time.pass(HOUR_MS);
    let second = story.claim();
    story.time.jump(-2 * HOUR_MS.cast_signed());
    story.settle(&second, Outcome::Release);
    for _ in 0..2 {
        story.time.pass(2 * HOUR_MS);
        let again = story.claim();
        assert_eq!((again.attempt, &*again.progress), (2, &[7, 8][..]));
        story.kill();
    }
}

#[test]
fn the_fate_of_an_event_is_its_last_record_whatever_the_clock_said() {
    let mut story = Story::new(1);
    let id = story.append("twice").unwrap().ids()[0];
    let (target, store) = (TargetNumber(0), story.store());
    let drop_it = |story: &mut Story| {
        let one = story.claim();
        story.settle(&one, dead("no"));
        story.ask(store.flush()).unwrap();
        assert_eq!(story.ask(store.drop_dead(target, vec![id])).unwrap(), 1);
    };
    let replay = |story: &mut Story| {
        story.time.jump(-24 * HOUR_MS.cast_signed());
        assert_eq!(story.ask(store.replay(target, vec![id])).unwrap(), 1);
    };
    let fate = |story: &mut Story| {
        story.ask(store.flush()).unwrap();
        story.ask(store.fate(id)).unwrap().unwrap().fates.remove(0).1
    };
    drop_it(&mut story);
    replay(&mut story);
    let one = story.claim();
    let receipt = Receipt { id: Some("r-1".into()), fields: Vec::new() };
    story.settle(&one, Outcome::Delivered { receipt });
    let known = fate(&mut story);
    assert!(matches!(&known, Fate::Delivered { receipt, .. } if receipt.id.is_some()), "{known:?}");
    replay(&mut story);
    drop_it(&mut story);
    let known = fate(&mut story);
    assert!(matches!(known, Fate::Dead { dropped: true, .. }), "{known:?}");
}

#[test]
fn deliveries_given_up_in_memory_do_not_hide_later_ones() {
    let mut story = Story::new(1);
    story.append("row").unwrap();
    let row = story.claim();
    let at = story.time.wall().plus(HOUR);
    story.settle(&row, Outcome::Retry { at, reason: "later".into(), progress: Vec::new() });
    story.append("old").unwrap();
    story.time.pass(1_000);
    let between = story.time.wall();
    story.append("new").unwrap();
    // Only the log has them now.
    story.kill();
    let old = story.first();
    assert_eq!(texts(std::slice::from_ref(&old)), ["old"]);
    story.settle(&old, Outcome::Release);
    story.time.pass(HOUR_MS);
    // Claiming it loads the other one as well.
    assert_eq!(texts(&[story.first()]), ["row"]);
    let store = story.store();
    let died = story.ask(store.expire(TargetNumber(0), between, "too old".into()));
    assert_eq!(died.unwrap(), 1);
    assert_eq!(texts(&[story.first()]), ["new"]);
}

#[test]
fn dropped_dead_letters_stay_dropped_when_the_first_of_them_is_replayed() {
    for again in [true, false] {
        let mut story = Story::new(1);
        let ids: Vec<_> = ["a", "b"].map(|text| story.append(text).unwrap().ids()[0]).to_vec();
        story.time.pass(1_000);
        let (target, store, now) = (TargetNumber(0), story.store(), story.time.wall());
        assert_eq!(story.ask(store.expire(target, now, "old".into())).unwrap(), 2);
        story.ask(store.flush()).unwrap();
        assert_eq!(story.ask(store.drop_dead(target, vec![ids[0]])).unwrap(), 2);
        assert_eq!(story.ask(store.replay(target, vec![ids[0]])).unwrap(), 1);
        let first = story.first();
        story.settle(&first, dead("no"));
        story.ask(store.flush()).unwrap();
        let act = if again {
            store.replay(target, vec![ids[0]])
        } else {
            store.drop_dead(target, vec![ids[0]])
        };
        assert_eq!(story.ask(act).unwrap(), 1);
        let fate = story.ask(store.fate(ids[1])).unwrap().unwrap().fates.remove(0).1;
        assert!(matches!(fate, Fate::Dead { dropped: true, .. }), "{fate:?}");
    }
}

#[test]
fn a_new_store_keeps_its_folders_and_its_first_event_through_a_power_cut() {
    let mut story = Story::new(7);
    let id = story.append("1").unwrap().ids()[0];
    story.cut_power();
    assert_eq!(story.claim().event.id, id);
}

const DAY_MS: i64 = 86_400_000;

/// An hour, a day and a year in both directions, from 1970 and into 2200.
fn jumps_ms() -> [i64; 10] {
    let hour_ms = DAY_MS / 24;
    let two_centuries = 200 * 365 * DAY_MS;
    let to_1970 = -100 * 365 * DAY_MS;
    let one = [hour_ms, 2 * hour_ms, DAY_MS, 365 * DAY_MS];
    let [a, b, c, d] = one;
    [a, b, c, d, -a, -b, -c, -d, two_centuries, to_1970]
}

#[test]
fn a_retry_waits_no_longer_than_its_backoff_wherever_the_clock_is_set() {
    for (jump_ms, restarts) in jumps_ms().into_iter().flat_map(|ms| [(ms, false), (ms, true)]) {
        let mut story = Story::new(11);
        let target = TargetNumber(0);
        story.store().wait_at_most(target, HOUR);
        for (i, wait_s) in [(0, 5), (1, 600), (2, 3_600)] {
            story.append(&i.to_string()).unwrap();
            let given = story.claim();
            let at = story.store().now().plus(Duration::from_secs(wait_s));
            let outcome = Outcome::Retry { at, reason: "no".into(), progress: vec![i] };
            story.settle(&given, outcome);
        }
        story.time.jump(jump_ms);
        if restarts {
            story.kill();
            story.store().wait_at_most(target, HOUR);
        }
        let (mut passed_s, mut due_s) = (0, Vec::new());
        while due_s.len() < 3 {
            let store = story.store();
            let given = story.running.as_mut().unwrap().ask(store.claim(target, 3, HOUR * 24));
            due_s.extend(given.iter().flatten().flatten().map(|_| passed_s));
            story.time.pass(60_000);
            passed_s += 60;
            assert!(passed_s <= 3_720, "{jump_ms} {restarts}: waits since {due_s:?}");
        }
        if !restarts {
            assert_eq!(due_s, [60, 600, 3_600], "{jump_ms}: neither early nor late");
        }
    }
}

#[test]
fn a_clock_that_jumps_makes_no_repeated_event_new() {
    for (jump_ms, restarts) in jumps_ms().into_iter().flat_map(|ms| [(ms, false), (ms, true)]) {
        let mut story = Story::new(12);
        let id = story.append_keyed("1").unwrap().ids()[0];
        story.time.jump(jump_ms);
        if restarts {
            story.kill();
        }
        for _ in 0..3 {
            story.time.pass(60_000);
            // The index follows the log, and drops what it holds to be too old.
            let other = story.time.steady_ms().to_string();
            story.append_keyed(&other).unwrap();
            let again = story.append_keyed("1").unwrap();
            // It may be that no daemon ran for so long. But the keys are kept in case the clock goes back.
            if !restarts || jump_ms < 24 * HOUR_MS.cast_signed() {
                assert_eq!((again.ids()[0], again.duplicates()), (id, 1), "{jump_ms} {restarts}");
            }
        }
        story.time.jump(-jump_ms);
        assert_eq!(story.append_keyed("1").unwrap().duplicates(), 1, "{jump_ms} {restarts}");
    }
}
