//! Whether requests are accepted, and if not, why.
//!
//! The one place that knows why the store takes no requests, and how much space it has. A request costs one load of an atomic; all else
//! happens on a separate thread, which looks every [`LOOK`] and after each new segment. Several reasons
//! may hold at once: the code that detects one sets it and lifts it, and requests are accepted again when
//! none is left.
//!
//! Outcomes are written even while requests are refused: into the space that the floor leaves free, and,
//! when the disk itself refuses, into the reserve, a small file written in advance that becomes the next
//! segment. Whether the reserve can be made again shows whether there is space: in this a full disk, a
//! quota and a limit of file sizes are alike.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use dispatcher_model::about_bytes;
use tokio::sync::Notify;

use super::shown::{Outage, Shown};
use crate::embedded::platform::disk::{Disk, DiskFile, PAGE_BYTES, Space};
use crate::embedded::platform::locks::lock;
use crate::embedded::platform::prewrite::{PAUSE, prewrite};
use crate::embedded::settings::Settings;
use crate::embedded::space::opened_files::OpenedFiles;
use crate::embedded::space::sizes::{floor_bytes, reserve_bytes};
use crate::{AppendError, Full};

/// Time between two looks at the free space …
const LOOK: Duration = Duration::from_secs(5);

/// … and while requests are refused, or at the files.
const LOOK_SOON: Duration = Duration::from_secs(1);

/// Pause before the disk is tried again after it refused. The pause doubles each time that the disk refuses again within
/// `HELD_MS`, because each try may leave a short segment behind.
const RETRY_MS_MIN: u64 = 1_000;

/// Longest pause.
const RETRY_MS_MAX: u64 = 30_000;

/// A disk that accepts writes for this long is tried again after the shortest pause.
const HELD_MS: u64 = 60_000;

/// Events of the daemon itself that may use the reserve while the disk is full.
const OWN_EVENTS_MAX: u32 = 16;

/// The file of the reserve. Recovery removes it, so that a start has that space.
const RESERVE: &str = "reserve.tmp";

/// Written to find out whether the disk accepts writes again while the reserve is unused.
const PROBE: &str = "probe.tmp";

/// Its size where the disk is not full, but failed.
const PROBE_BYTES: u64 = PAGE_BYTES as u64;

/// Why requests are refused. If several reasons hold, the first is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The store is closed, or the thread that writes the log has ended.
    Ended,
    /// The files that are open are not those in the data folder any more.
    Gone,
    /// A closed segment is not in the data folder any more.
    Part,
    /// A write failed, and not for lack of space. Each request tries again.
    Failed,
    /// The disk is full: it refused to write.
    Disk,
    /// Too little space is free.
    Floor,
    /// The log has reached its maximum size.
    Quota,
}

const WHYS: usize = 7;

/// Requests go on to where they are refused.
const NOT_BARRED: u8 = Why::Ended.bit() | Why::Failed.bit();

impl Why {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

#[derive(Default)]
struct State {
    reasons: [Option<String>; WHYS],
    shown: [Shown; WHYS],
    outage: Outage,
    reserve: Option<Box<dyn DiskFile>>,
    /// When to try the disk again, and the length of that pause.
    retry: Option<(Instant, u64)>,
    opened: Option<Instant>,
    look: bool,
}

/// Removes what is kept only to be looked at.
type ClearEvidence = Box<dyn Fn() -> std::io::Result<()> + Send + Sync>;

pub(crate) struct Room {
    folder: PathBuf,
    segment_bytes: u64,
    /// The configured floor; `None`: it follows from the size of the file system.
    floor_bytes: Option<u64>,
    /// One bit for each reason.
    closed: AtomicU8,
    /// The floor in force; set by the first look.
    floor: AtomicU64,
    /// As last measured; `u64::MAX` before that.
    free_bytes: AtomicU64,
    refused: AtomicU64,
    own_left: AtomicU32,
    stop: AtomicBool,
    pub(crate) files: OpenedFiles,
    /// Removes damaged indexes that are kept.
    evidence: OnceLock<ClearEvidence>,
    state: Mutex<State>,
    woken: Condvar,
    changed: Notify,
}

impl Room {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            folder: settings.log_folder(),
            segment_bytes: settings.segment_bytes,
            floor_bytes: settings.free_min_bytes,
            closed: AtomicU8::new(0),
            floor: AtomicU64::new(settings.free_min_bytes.unwrap_or(0)),
            free_bytes: AtomicU64::new(u64::MAX),
            refused: AtomicU64::new(0),
            own_left: AtomicU32::new(OWN_EVENTS_MAX),
            stop: AtomicBool::new(false),
            files: OpenedFiles::default(),
            evidence: OnceLock::new(),
            state: Mutex::default(),
            woken: Condvar::new(),
            changed: Notify::new(),
        }
    }

    /// Whether to accept a request. A few of the daemon's own events are accepted in any case.
    pub(crate) fn admit(&self, own: bool) -> Result<(), AppendError> {
        if !self.bars() {
            return Ok(());
        }
        let spends = |left: u32| left.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        if own && self.own_left.fetch_update(set, get, spends).is_ok() {
            return Ok(());
        }
        match self.why() {
            None => Ok(()),
            Some(reason) => {
                self.count_refused();
                Err(AppendError::Full { reason })
            }
        }
    }

    fn bars(&self) -> bool {
        self.closed.load(Ordering::Acquire) & !NOT_BARRED != 0
    }

    /// Counts a request that was refused behind [`admit`](Self::admit).
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Why requests are refused; `None` when they are accepted.
    pub(crate) fn full(&self) -> Option<Full> {
        let reason = self.why()?;
        let other = [Why::Ended, Why::Gone, Why::Part, Why::Failed];
        let other = other.into_iter().any(|why| self.is_closed(why));
        Some(Full { reason, refused: self.refused(), lacks_room: !other })
    }

    /// Why requests are refused, as text; `None` when they are accepted.
    pub(crate) fn why(&self) -> Option<String> {
        if self.closed.load(Ordering::Acquire) == 0 {
            return None;
        }
        lock(&self.state).reasons.iter().flatten().next().cloned()
    }

    pub(crate) fn is_closed(&self, why: Why) -> bool {
        self.closed.load(Ordering::Acquire) & why.bit() != 0
    }

    /// Requests refused since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Space that is free for this user, as last measured.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        Some(self.free_bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes != u64::MAX)
    }

    /// Whether there is space for a spare of that size, which only makes the log faster.
    pub(crate) fn spares(&self, bytes: u64) -> bool {
        let floor = self.floor.load(Ordering::Relaxed);
        !self.bars() && self.free_bytes().is_none_or(|free| free.saturating_sub(bytes) >= floor)
    }

    /// Waits until requests are refused or accepted again. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Refuses requests for that reason from here on. The text says what, where and what to do.
    pub(crate) fn close(&self, why: Why, reason: String) {
        self.set(&mut lock(&self.state), why, Some(reason));
    }

    /// Lifts that reason.
    pub(crate) fn open(&self, why: Why) {
        self.set(&mut lock(&self.state), why, None);
    }

    fn set(&self, state: &mut State, why: Why, reason: Option<String>) {
        let before = self.closed.load(Ordering::Acquire);
        let folder = self.folder.display();
        let after = match &reason {
            Some(_) => before | why.bit(),
            None => before & !why.bit(),
        };
        if let Some(reason) = &reason
            && after != before
        {
            let now = Instant::now();
            let times = state.shown[why as usize].again(now);
            state.outage.goes_on(now, times.is_some());
            if let Some(times) = times {
                tracing::error!(%folder, times, "requests are refused: {reason}");
            }
        }
        state.reasons[why as usize] = reason;
        self.closed.store(after, Ordering::Release);
        if before != 0 && after == 0 {
            self.own_left.store(OWN_EVENTS_MAX, Ordering::Relaxed);
            if state.outage.end() {
                tracing::info!(%folder, refused = self.refused(), "requests are accepted again");
            }
        }
        if after != before {
            // `notify_one` also reaches a task that waits only later.
            self.changed.notify_one();
            self.woken.notify_one();
        }
    }

    /// Logs that requests are refused if that lasts and was not logged.
    fn say_what_lasts(&self, now: Instant) {
        let mut state = lock(&self.state);
        if state.outage.needs_line(now)
            && let Some(reason) = state.reasons.iter().flatten().next()
        {
            let folder = self.folder.display();
            tracing::error!(%folder, "requests are refused for a minute now: {reason}");
        }
    }

    /// Refuses requests because the disk is full, until [`run`](Self::run) finds space. Returns the reason.
    pub(crate) fn disk_refused(&self, what: &str) -> String {
        let reason = format!("{what}; free some space, or raise the quota or limit");
        self.until_written(Why::Disk, &reason);
        reason
    }

    /// Notes that the disk failed, until something is written again.
    pub(crate) fn disk_failed(&self, what: &str) {
        let advice = "check the disk, and that the daemon may write there";
        self.until_written(Why::Failed, &format!("{what}; {advice}"));
    }

    /// The disk has written.
    pub(crate) fn disk_wrote(&self) {
        if self.is_closed(Why::Failed) {
            self.open(Why::Failed);
        }
    }

    fn until_written(&self, why: Why, reason: &str) {
        let mut state = lock(&self.state);
        if self.is_closed(why) {
            return;
        }
        let soon = state.opened.is_some_and(|at| at.elapsed() < Duration::from_millis(HELD_MS));
        let wait_ms = match state.retry {
            Some((_, wait_ms)) if soon => (wait_ms * 2).min(RETRY_MS_MAX),
            _ => RETRY_MS_MIN,
        };
        state.retry = Some((Instant::now() + Duration::from_millis(wait_ms), wait_ms));
        self.set(&mut state, why, Some(reason.to_owned()));
    }

    /// Refuses requests while the data folder does not have the files that are open.
    pub(crate) fn look_at_files(&self, disk: &dyn Disk) {
        match self.files.missing(disk) {
            Some(reason) => self.close(Why::Gone, reason),
            None if self.is_closed(Why::Gone) => self.open(Why::Gone),
            None => {}
        }
    }

    /// Makes the thread look at the free space soon.
    pub(crate) fn look_soon(&self) {
        lock(&self.state).look = true;
        self.woken.notify_one();
    }

    /// The reserve and its path, to become the next segment.
    pub(crate) fn take_reserve(&self) -> Option<(Box<dyn DiskFile>, PathBuf)> {
        Some((lock(&self.state).reserve.take()?, self.folder.join(RESERVE)))
    }

    #[cfg(test)]
    pub(crate) fn has_reserve(&self) -> bool {
        lock(&self.state).reserve.is_some()
    }

    /// Ends [`run`](Self::run).
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let mut state = lock(&self.state);
        state.reasons[Why::Ended as usize] = Some("the store is closed".to_owned());
        self.closed.fetch_or(Why::Ended.bit(), Ordering::Release);
        // Under the lock, so that the thread cannot miss it before it waits.
        state.look = true;
        drop(state);
        self.woken.notify_one();
    }

    /// Looks at files and disk regularly until it is stopped.
    pub(crate) fn run(&self, disk: &dyn Disk, look_at_files: &dyn Fn()) {
        let (mut asked, mut looked) = (true, Instant::now());
        loop {
            look_at_files();
            let refusing = self.closed.load(Ordering::Acquire) != 0;
            if asked || refusing || looked.elapsed() >= LOOK {
                self.look(disk);
                looked = Instant::now();
            }
            if refusing {
                self.say_what_lasts(looked);
            }
            let waits = |state: &mut State| !state.look;
            let (mut state, _) = self
                .woken
                .wait_timeout_while(lock(&self.state), LOOK_SOON, waits)
                .unwrap_or_else(PoisonError::into_inner);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            asked = std::mem::take(&mut state.look);
        }
    }

    /// Damaged indexes that are kept go before requests are refused for lack of space.
    pub(crate) fn clear_with(&self, clear: ClearEvidence) {
        let _ = self.evidence.set(clear);
    }

    fn clear_evidence(&self) {
        if let Some(Err(error)) = self.evidence.get().map(|clear| clear()) {
            tracing::debug!(%error, "cannot remove the damaged indexes that are kept");
        }
    }

    /// Measures the free space and applies the floor. If the disk cannot report it, its refused writes still
    /// show when it is full.
    pub(crate) fn measure(&self, disk: &dyn Disk) {
        let space = disk.space(&self.folder).and_then(|space| {
            if space.free_bytes >= self.floor_of(space) {
                return Ok(space);
            }
            self.clear_evidence();
            disk.space(&self.folder)
        });
        match space {
            Ok(space) => {
                self.free_bytes.store(space.free_bytes, Ordering::Relaxed);
                self.look_at_floor(space);
            }
            Err(error) => {
                let folder = self.folder.display();
                tracing::debug!(%folder, %error, "cannot measure the free space");
            }
        }
    }

    /// Looks once at the disk, after the look at the files: the floor, then whether the disk writes again, then the reserve.
    pub(crate) fn look(&self, disk: &dyn Disk) {
        let reserve_bytes = reserve_bytes(self.segment_bytes);
        if self.is_closed(Why::Gone) {
            // Nothing may be written to the folder of another.
            return;
        }
        self.measure(disk);
        self.probe_failed(disk);
        let retry = {
            let state = lock(&self.state);
            if state.reserve.is_some() && !self.is_closed(Why::Disk) {
                return;
            }
            state.retry
        };
        if self.is_closed(Why::Disk) {
            self.clear_evidence();
            let due = retry.is_none_or(|(at, _)| Instant::now() >= at);
            if !due || self.free_bytes().is_some_and(|free| free < 2 * reserve_bytes) {
                return;
            }
        } else if !self.spares(reserve_bytes) {
            return;
        }
        self.make_reserve(disk, reserve_bytes);
    }

    /// Whether a disk that failed writes again, when it is time to try that.
    fn probe_failed(&self, disk: &dyn Disk) {
        let retry = lock(&self.state).retry;
        let due = retry.is_none_or(|(at, _)| Instant::now() >= at);
        if !self.is_closed(Why::Failed) || !due {
            return;
        }
        let path = self.folder.join(PROBE);
        let written = prewrite(disk, &path, PROBE_BYTES, &self.stop, Duration::ZERO);
        if let Ok(Some(_)) = written {
            // If this fails, the next start removes it.
            let _ = disk.remove(&path);
            lock(&self.state).opened = Some(Instant::now());
            self.open(Why::Failed);
        }
    }

    fn floor_of(&self, space: Space) -> u64 {
        floor_bytes(self.floor_bytes, self.segment_bytes, space.total_bytes)
    }

    fn look_at_floor(&self, space: Space) {
        let floor = self.floor_of(space);
        self.floor.store(floor, Ordering::Relaxed);
        let enough = floor.saturating_add(floor / 10);
        match self.is_closed(Why::Floor) {
            false if space.free_bytes < floor => {
                let (free, floor) = (about_bytes(space.free_bytes), about_bytes(floor));
                let folder = self.folder.display();
                self.close(
                    Why::Floor,
                    format!(
                        "{free} free for {folder}, less than store.free_min ({floor}); free some space"
                    ),
                );
            }
            true if space.free_bytes >= enough => self.open(Why::Floor),
            _ => {}
        }
    }

    /// Writes without holding the lock, because it takes as long as the disk does.
    fn make_reserve(&self, disk: &dyn Disk, bytes: u64) {
        let had = lock(&self.state).reserve.is_some();
        let path = self.folder.join(if had { PROBE } else { RESERVE });
        let made = prewrite(disk, &path, bytes, &self.stop, PAUSE);
        if had {
            // If this fails, the next start removes it.
            let _ = disk.remove(&path);
        }
        let mut state = lock(&self.state);
        match made {
            Ok(Some(file)) => {
                state.reserve.get_or_insert(file);
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "no space for the reserve yet");
                if let Some((at, wait_ms)) = &mut state.retry {
                    *wait_ms = (*wait_ms * 2).min(RETRY_MS_MAX);
                    *at = Instant::now() + Duration::from_millis(*wait_ms);
                }
                return;
            }
        }
        if self.is_closed(Why::Disk) {
            state.opened = Some(Instant::now());
            self.set(&mut state, Why::Disk, None);
        }
    }
}

#[cfg(test)]
mod tests;
