//! What callers, committer and index thread share.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use dispatcher_model::count;

use super::inbox::{Answer, Command, Inbox, Reply, closed};
use super::index_slot::IndexSlot;
use super::key_sets::PublishedSets;
use super::rebuild::Rebuild;
use super::retention_limits::RetentionLimits;
use crate::embedded::format::segment_header::{Identity, SegmentHeader, base_of};
use crate::embedded::index::recent::{KeyWindow, NEVER_ASKED};
use crate::embedded::index::rows::{HOUR_MS, Index, IndexError, IndexHome, KeysKept, WindowRow};
use crate::embedded::limits::millis;
use crate::embedded::log::reader::Reader;
use crate::embedded::log::recent::Tail;
use crate::embedded::log::segment_file::gone;
use crate::embedded::log::spare::Spare;
use crate::embedded::platform::clock::{Clock, ClockSets, Now, OneSet, SeenTime};
use crate::embedded::platform::lock_file::Lock;
use crate::embedded::platform::locks::{lock, read_lock, write_lock};
use crate::embedded::platform::repeated::Repeated;
use crate::embedded::settings::{Settings, window_ms};
use crate::embedded::space::guard::{Room, Why};
use crate::embedded::space::opened_files::Opened;
use crate::embedded::state::apply::TargetState;
use crate::embedded::target::live::Live;
use crate::{AppendError, StoreError, Window};

/// Longest time in which requests are answered without a look at the files of the store.
const FILES_LOOK_MS: u64 = 1_000;

/// Most places of damage that are counted.
const DAMAGES_NOTED_MAX: usize = 1_000;

/// What was received longer ago than that has no key any more: also of the hour in which the window begins.
const fn keys_age(window_ms: u64) -> Duration {
    Duration::from_millis(window_ms.saturating_add(HOUR_MS))
}

pub(crate) struct Target {
    pub number: u16,
    pub name: Arc<str>,
    pub live: Mutex<Live>,
    /// Notified when there may be something to claim.
    pub woken: Notify,
    /// The reading lock: locked by the task that reads for the target.
    pub loading: Arc<tokio::sync::Mutex<()>>,
}

impl Target {
    pub(crate) fn new(number: u16, state: &TargetState) -> Self {
        // Rows are looked for once, also if none are counted: what counted them may be lost.
        let mut live = Live::new(number, state);
        live.low_water_ms = 0;
        Self {
            number,
            name: state.name.as_str().into(),
            live: Mutex::new(live),
            woken: Notify::new(),
            loading: Arc::default(),
        }
    }
}

pub(crate) struct Shared {
    pub directory: PathBuf,
    pub clock: Arc<dyn Clock>,
    seen: SeenTime,
    pub identity: Identity,
    pub reader: Reader,
    pub tail: Tail,
    pub inbox: Inbox,
    pub room: Arc<Room>,
    pub spare: Arc<Spare>,
    pub retention: RetentionLimits,
    /// By number.
    pub targets: RwLock<Vec<Arc<Target>>>,
    pub index: IndexSlot,
    pub rebuild: Rebuild,
    /// The index has read the log up to here. During a rebuild: claims know its rows up to here.
    pub indexed: AtomicU64,
    /// Generations of recent keys dropped.
    pub keys_dropped: AtomicU64,
    /// The longest window of repetitions: how long the index keeps keys.
    window_ms: AtomicU64,
    /// How far the wall clock is ahead of the time that passed since keys were stored.
    key_sets: PublishedSets,
    /// What was known of the clock at the start.
    sets: ClockSets,
    /// The first damage found, and how many places.
    damage: Mutex<Option<(String, BTreeSet<u64>)>>,
    /// Dead letters for what cannot be read.
    unreadable: Mutex<Repeated>,
    /// Targets for which the log could not be read the last time, and why.
    unread: Mutex<BTreeMap<u16, StoreError>>,
    /// What became of the last index that failed, and how many did.
    index_damage: Mutex<(Option<String>, Repeated)>,
    lock: Mutex<Option<Lock>>,
    /// When it was last looked whether the open files are those in the data folder.
    /// In ms since `began`, and one.
    files_seen_ms: AtomicU64,
    began: Instant,
}

impl Shared {
    pub(crate) fn new(
        (settings, clock): (&Settings, Arc<dyn Clock>),
        (last_seen_ms, last_wall_ms, epoch): (u64, u64, u32),
        (newest, known): (SegmentHeader, &[OneSet]),
        reader: Reader,
        index: Option<Box<dyn Index>>,
        states: &[TargetState],
        lock: Option<Lock>,
    ) -> Self {
        let began = clock.steady();
        let seen = SeenTime::starting(&*clock, last_seen_ms);
        let now = seen.now(&*clock);
        let retention = RetentionLimits::new(settings, now, (last_wall_ms, known), epoch);
        let key_sets = retention.keys(keys_age(settings.window_ms()), now);
        let (sets, _) = retention.clock_known(now);
        let end = read_lock(&reader.segments).tail;
        let targets = (0u16..).zip(states).map(|(n, state)| Arc::new(Target::new(n, state)));
        let spare = Spare::new(&*reader.disk, &reader.folder, settings.segment_bytes);
        Self {
            directory: settings.directory.clone(),
            room: Arc::new(Room::new(settings)),
            spare: Arc::new(spare),
            retention,
            clock,
            seen,
            identity: newest.identity,
            reader,
            tail: Tail::new(end),
            inbox: Inbox::default(),
            targets: RwLock::new(targets.collect()),
            rebuild: Rebuild::new(index.is_none()),
            index: IndexSlot::new(index),
            indexed: AtomicU64::new(end),
            keys_dropped: AtomicU64::new(NEVER_ASKED + 1),
            window_ms: AtomicU64::new(settings.window_ms()),
            key_sets: PublishedSets::new(key_sets),
            sets: ClockSets::new(&sets),
            damage: Mutex::new(None),
            unreadable: Mutex::default(),
            unread: Mutex::default(),
            index_damage: Mutex::default(),
            lock: Mutex::new(lock),
            files_seen_ms: AtomicU64::new(0),
            began,
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.seen.now(&*self.clock)
    }

    /// The windows of a target that are open.
    pub(crate) fn windows(&self, target: u16) -> Result<Vec<Window>, StoreError> {
        let now = self.now();
        let from_ms = now.seen.as_millis().saturating_sub(self.sets.ahead_ms());
        let rows = self.with_index(|index| index.windows(target, from_ms))?;
        let window = |(group, row): (u64, WindowRow)| {
            let until = self.sets.due((row.epoch, row.until_ms), now);
            Window { group, until }
        };
        Ok(rows.into_iter().map(window).collect())
    }

    pub(crate) fn target(&self, number: u16) -> Option<Arc<Target>> {
        read_lock(&self.targets).get(usize::from(number)).cloned()
    }

    /// The error for callers that need the index while it is rebuilt.
    pub(crate) fn no_index(&self) -> StoreError {
        if self.inbox.stopped() {
            return closed();
        }
        let progress = self.rebuild.status().map_or_else(String::new, |status| status.progress);
        StoreError::Rebuilding { progress }
    }

    /// Up to where the index has read the log; `None` while it is rebuilt.
    pub(crate) fn indexed(&self) -> Option<u64> {
        let indexed = self.indexed.load(Ordering::Acquire);
        (!self.rebuild.is_on()).then_some(indexed)
    }

    /// Describes a place of the log by its file; `None` when that file was removed.
    fn file_place(&self, lsn: u64) -> Option<String> {
        let stretch = read_lock(&self.reader.segments).stretch(lsn)?;
        let offset = lsn.checked_sub(stretch.segment.base)?;
        Some(format!("byte {offset} of {}", self.reader.path(&stretch).display()))
    }

    pub(crate) fn place(&self, lsn: u64) -> String {
        self.file_place(lsn).unwrap_or_else(|| format!("{lsn} of the log"))
    }

    /// Counts a place that cannot be read, for `status`.
    pub(crate) fn note_damage(&self, lsn: u64) {
        // A place that was removed or repaired is not damage.
        let Some(place) = self.file_place(lsn).filter(|_| !self.reader.is_repaired(lsn)) else {
            return;
        };
        let mut damage = lock(&self.damage);
        let (_, places) = damage.get_or_insert_with(|| (place, BTreeSet::new()));
        if places.len() < DAMAGES_NOTED_MAX {
            places.insert(lsn);
        }
    }

    /// Logs a dead letter for what cannot be read: the first, and then ever fewer of them.
    pub(crate) fn log_unreadable(&self, target: &str, reason: &str) {
        if let Some(count) = lock(&self.unreadable).again() {
            tracing::error!(to = target, count, "{reason}");
        }
    }

    /// Notes whether the log could be read for a target, for `status`: as long as it cannot, its deliveries wait.
    pub(crate) fn note_read(&self, target: u16, error: Option<&StoreError>) {
        let mut unread = lock(&self.unread);
        match error {
            Some(error) => drop(unread.insert(target, error.clone())),
            None => drop(unread.remove(&target)),
        }
    }

    /// Forgets that for targets that are not configured any more: nothing is read for them.
    pub(crate) fn keep_unread(&self, configured: &BTreeSet<u16>) {
        lock(&self.unread).retain(|target, _| configured.contains(target));
    }

    fn unread(&self) -> Option<String> {
        let unread = lock(&self.unread).clone();
        // A target that is paused is not read for.
        let reads = |target: &Arc<Target>| !lock(&target.live).is_closed(true);
        let mut waiting = unread
            .iter()
            .filter_map(|(number, error)| Some((self.target(*number).filter(reads)?, error)));
        let (first, error) = waiting.next()?;
        let more = match 1 + waiting.count() {
            1 => String::new(),
            n => format!(" and {}", count(n as u64 - 1, "more target")),
        };
        let name = &first.name;
        Some(format!("{error}; it is tried again, and deliveries to {name}{more} wait"))
    }

    /// Reports an index that failed and was replaced, for `status`.
    pub(crate) fn note_index_damage(&self, what: String) {
        let mut damage = lock(&self.index_damage);
        if let Some(failures) = damage.1.again() {
            tracing::warn!(failures, "{what}");
        }
        damage.0 = Some(what);
    }

    /// What of the log cannot be read, as far as it was found since the start, as text.
    pub(crate) fn log_damage(&self) -> Option<String> {
        let log = lock(&self.damage).as_ref().map(|(first, places)| match places.len() {
            0 | 1 => format!("the log is damaged at {first}"),
            n => format!("the log is damaged at {n} places, first met at {first}"),
        });
        let parts: Vec<String> = self.unread().into_iter().chain(log).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The same, and what is wrong with the index.
    pub(crate) fn damage(&self) -> Option<String> {
        let index = lock(&self.index_damage).0.clone();
        let parts: Vec<String> = self.log_damage().into_iter().chain(index).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// From here on the lock that it holds must have that name.
    pub(crate) fn watch_lock(&self, path: &Path) {
        let id = lock(&self.lock).as_ref().and_then(Lock::id);
        self.room.files.opened(Opened::Lock, path, id);
    }

    /// From here on the files of the index must have their names.
    pub(crate) fn watch_index(&self, home: &dyn IndexHome) {
        let Some(path) = home.watched() else { return };
        if let Ok(id) = self.reader.disk.id(&path) {
            self.room.files.opened(Opened::Index, &path, id);
        }
    }

    /// Looks whether the open files are those in the data folder. Requests are refused without the log; an
    /// index is made again.
    pub(crate) fn look_at_files(&self) {
        let disk = &*self.reader.disk;
        self.room.look_at_files(disk);
        if !self.index.is_open() || self.room.is_closed(Why::Gone) {
            return;
        }
        if let Some(why) = self.room.files.index_missing(disk) {
            self.index.give_up(&IndexError::Gone(why), &self.rebuild);
        }
    }

    /// Looks whether the closed segments still have their names: one listing of the folder.
    pub(crate) fn look_at_closed_segments(&self) {
        let Reader { disk, folder, .. } = &self.reader;
        let in_log = || -> Vec<SegmentHeader> {
            read_lock(&self.reader.segments).list.iter().map(|segment| segment.header).collect()
        };
        let before = in_log();
        // If it cannot be read, the look at the newest segment says why.
        let Ok(names) = disk.list(folder) else { return };
        let there: BTreeSet<u64> = names.iter().filter_map(|name| base_of(name)).collect();
        // One that was made or removed meanwhile may be in the listing or not.
        let after = in_log();
        let is_missing = |error: io::Error| error.kind() == ErrorKind::NotFound;
        let is_gone = |segment: &&SegmentHeader| {
            !there.contains(&segment.base)
                && after.iter().any(|other| other.base == segment.base)
                && disk.open(&segment.path(folder)).err().is_some_and(is_missing)
        };
        match before.iter().find(is_gone) {
            Some(segment) => self.room.close(Why::Part, gone(&segment.path(folder).display())),
            None if self.room.is_closed(Why::Part) => self.room.open(Why::Part),
            None => {}
        }
    }

    /// Why no request may be answered: the log that is written is not the one in the data folder. Looked at
    /// once a second, and after an idle time.
    pub(crate) fn gone(&self, steady: Instant) -> Option<String> {
        let now_ms = millis(steady.saturating_duration_since(self.began)) + 1;
        let seen_ms = self.files_seen_ms.load(Ordering::Relaxed);
        if seen_ms == 0 || now_ms >= seen_ms + FILES_LOOK_MS {
            self.files_seen_ms.store(now_ms, Ordering::Relaxed);
            self.look_at_files();
        }
        if self.room.is_closed(Why::Gone) { self.room.why() } else { None }
    }

    /// Whether an event that is stored may be answered: not while the log with it is gone.
    pub(crate) fn admit_repetition(&self) -> Result<(), AppendError> {
        let Some(reason) = self.gone(self.clock.steady()) else { return Ok(()) };
        self.room.count_refused();
        Err(AppendError::Full { reason })
    }

    /// Watches space and files until the store is closed.
    pub(crate) fn watch_room(&self) {
        self.room.run(&*self.reader.disk, &|| {
            self.look_at_files();
            if !self.room.is_closed(Why::Gone) {
                self.look_at_closed_segments();
            }
        });
    }

    pub(crate) fn wake_all(&self) {
        for target in read_lock(&self.targets).iter() {
            target.woken.notify_waiters();
        }
    }

    /// Closes the index and unlocks the folder, once both threads have ended.
    pub(crate) fn let_go(&self) {
        self.index.close();
        *lock(&self.lock) = None;
    }

    /// Sends a command to the committer and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        act: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, StoreError> {
        self.send(act)?.wait().await
    }

    /// Sends a command to the committer.
    pub(crate) fn send<T>(
        &self,
        act: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<Answer<T>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.inbox.act(act(reply))?;
        Ok(Answer(answer))
    }

    /// Sends a command without waiting for it. A closed store ignores it.
    pub(crate) fn post(&self, act: Command) {
        let _ = self.inbox.act(act);
    }

    pub(crate) fn set_window(&self, window: Duration) {
        self.window_ms.store(window_ms(window), Ordering::Relaxed);
    }

    /// The keys that the index keeps at the moment.
    pub(crate) fn keys_kept(&self) -> KeysKept {
        let (now, window_ms) = (self.now(), self.window_ms.load(Ordering::Relaxed));
        let sets = self.retention.keys(keys_age(window_ms), now);
        let now_ms = sets.earliest_ms(now.wall.as_millis());
        if self.key_sets.publish(sets) {
            // A new segment has to say so.
            self.retention.ring();
        }
        KeysKept { now_ms, window_ms }
    }

    /// What decides whether an event that was received at `now_ms` is a repetition.
    pub(crate) fn window(&self, now_ms: u64, window_ms: u64) -> KeyWindow {
        KeyWindow { now_ms, sets: self.key_sets.get(), window_ms }
    }

    pub(crate) fn set_tail(&self, lsn: u64) {
        write_lock(&self.reader.segments).tail = lsn;
    }

    pub(crate) fn publish_keys_dropped(&self, count: u64) {
        self.keys_dropped.store(count, Ordering::Release);
    }
}
