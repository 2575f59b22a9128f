//! Raises the alarms that no request and no delivery can raise: a store that takes no requests or has too little
//! space, and sources that have gone silent.
//!
//! One timer runs every [`PERIOD`], more often for a source with a shorter `silent_after`, and not at all while
//! there is nothing to watch. A reload takes effect at once. Low space is remembered until the end of the process; silences and
//! the time of each source's last event are saved beside the store every [`PERIOD`], and when the daemon stops.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::free_space::LowSpace;
use super::last_events::last_events;
use super::silence_file::SilenceFile;
use super::silent_sources::{SavedSilence, SilenceLimit, SilentSources};
use crate::config::Config;
use crate::model::Timestamp;
use crate::store::Queue;
use crate::store::embedded::Embedded;
use crate::telemetry::{AlarmKind, Feed};

/// Longest time between two checks.
const PERIOD: Duration = Duration::from_secs(60);
/// Longest wait for a file to be saved.
const SAVE_TIME_MAX: Duration = Duration::from_secs(5);

/// What a configuration has to watch.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    free_low_bytes: u64,
    sources: Vec<SilenceLimit>,
    /// All sources, also those whose silence is not watched.
    names: Vec<Arc<str>>,
}

impl Watched {
    pub(super) fn of(config: &Config) -> Self {
        let sources = config.ingest.sources.iter();
        let sources = sources.filter_map(|source| {
            let after = source.silent_after?;
            Some(SilenceLimit { source: Arc::clone(&source.name), after })
        });
        let names = config.ingest.sources.iter().map(|source| Arc::clone(&source.name));
        Self {
            free_low_bytes: config.free_low_bytes,
            sources: sources.collect(),
            names: names.collect(),
        }
    }

    /// Time until the next check; `None` if there is nothing to watch.
    fn period(&self) -> Option<Duration> {
        let floor = (self.free_low_bytes > 0).then_some(PERIOD);
        let shortest = self.sources.iter().map(|limit| limit.after.min(PERIOD)).min();
        floor.into_iter().chain(shortest).min()
    }
}

/// Watches what the last value asks for, until that is `None` or the sender is dropped.
pub(super) fn start(
    config: &Config,
    queue: Arc<Embedded>,
    feed: &Feed,
    runtime: &Handle,
) -> (watch::Sender<Option<Watched>>, JoinHandle<()>) {
    let (sender, receiver) = watch::channel(Some(Watched::of(config)));
    let file = SilenceFile::new(&config.store.directory);
    let saved = file.read();
    for saved in &saved {
        if let Some(last_ms) = saved.last_ms {
            feed.history().restore(saved.source.clone(), last_ms);
        }
    }
    let monitor = Monitor {
        directory: config.store.directory.display().to_string().into(),
        queue,
        feed: feed.clone(),
        low_space: LowSpace::default(),
        store_down: None,
        silences: SilentSources::restore(saved, Instant::now()),
        file,
        saved_at: Instant::now(),
        save_failed: false,
        saving: None,
        names: Vec::new(),
    };
    (sender, runtime.spawn(monitor.run(receiver)))
}

struct Monitor {
    /// Of the store.
    directory: Arc<str>,
    queue: Arc<Embedded>,
    feed: Feed,
    low_space: LowSpace,
    /// Why the store could not write when it was last looked at.
    store_down: Option<String>,
    silences: SilentSources,
    file: SilenceFile,
    saved_at: Instant,
    save_failed: bool,
    /// A save that hangs.
    saving: Option<JoinHandle<io::Result<()>>>,
    /// All sources.
    names: Vec<Arc<str>>,
}

impl Monitor {
    async fn run(mut self, mut watched: watch::Receiver<Option<Watched>>) {
        self.read_log(&mut watched).await;
        loop {
            let Some(now) = watched.borrow_and_update().clone() else {
                return self.save().await;
            };
            self.names.clone_from(&now.names);
            self.check_space(now.free_low_bytes);
            let clock = Instant::now();
            self.check_sources(&now.sources, clock);
            if clock.saturating_duration_since(self.saved_at) >= PERIOD {
                self.save().await;
                self.saved_at = clock;
            }
            let timer = async {
                match now.period() {
                    Some(period) => tokio::time::sleep(period).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                () = self.queue.room_changed() => {}
                changed = watched.changed() => if changed.is_err() { return },
            }
        }
    }

    /// What was heard after the last save, if the process was killed.
    async fn read_log(&mut self, watched: &mut watch::Receiver<Option<Watched>>) {
        let (history, clock) = (self.feed.history(), Instant::now());
        let found = tokio::select! {
            found = last_events(&*self.queue, self.file.saved_at()) => found,
            // A stop does not wait for the disk.
            _ = watched.wait_for(Option::is_none) => return,
        };
        for (source, last) in found {
            if history.last_event_ms(&source).is_none_or(|known| known < last.as_millis()) {
                history.restore(source.to_string(), last.as_millis());
                self.silences.heard_before(&source, last, clock);
            }
        }
    }

    fn check_space(&mut self, floor_bytes: u64) {
        let low = self.queue.free_bytes().and_then(|free| self.low_space.check(free, floor_bytes));
        let alarm = |reason: &str| {
            self.feed.alarms().raise(AlarmKind::DiskLow, &self.directory, 1, reason);
        };
        // The store has already logged the more serious problem, that requests are refused.
        let full = self.queue.full();
        let down = full.as_ref().filter(|full| !full.lacks_room).map(|full| full.reason.clone());
        match (full, low) {
            (Some(full), _) if full.lacks_room => {
                alarm(&format!("requests are refused: {}", full.reason));
            }
            (None, Some(reason)) => {
                tracing::error!(directory = %self.directory, "disk.low: {reason}");
                alarm(&reason);
            }
            _ => {}
        }
        self.report_down(down);
    }

    /// Once for each reason. What is not stored waits, so that the event arrives when the store is back.
    fn report_down(&mut self, reason: Option<String>) {
        if let Some(reason) = reason.as_ref().filter(|_| reason != self.store_down) {
            self.feed.alarms().raise(AlarmKind::StoreDown, &self.directory, 1, reason);
        }
        self.store_down = reason;
    }

    fn check_sources(&mut self, limits: &[SilenceLimit], clock: Instant) {
        let (feed, time) = (&self.feed, Timestamp::from(SystemTime::now()));
        let last = |source: &str| feed.history().last_stored_ms(source).map(Timestamp::from_millis);
        for (source, reason) in self.silences.check(limits, clock, time, last) {
            tracing::warn!(%source, "source.silent: {reason}");
            feed.alarms().raise(AlarmKind::SourceSilent, &source, 1, &reason);
        }
    }

    /// Writes the silences to their file. A failure is logged once, and again after a success.
    async fn save(&mut self) {
        let (file, mut saved) = (self.file.clone(), self.silences.saved(Instant::now()));
        for source in &self.names {
            let last_ms = self.feed.history().last_event_ms(source);
            let known = saved.iter().any(|saved| *saved.source == **source);
            if let (Some(last_ms), false) = (last_ms, known) {
                let source = source.to_string();
                let (silent_ms, last_ms) = (None, Some(last_ms));
                saved.push(SavedSilence { source, silent_ms, last_ms, alarmed: false });
            }
        }
        // A disk that hangs must not block a thread that receives, nor the end of the daemon; its thread is left behind.
        if self.saving.as_ref().is_some_and(|saving| !saving.is_finished()) {
            return;
        }
        let mut saving = tokio::task::spawn_blocking(move || file.write(&saved));
        let failed = match timeout(SAVE_TIME_MAX, &mut saving).await {
            Ok(Ok(written)) => written.err().map(|error| error.to_string()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => {
                self.saving = Some(saving);
                Some(format!("no answer within {} s", SAVE_TIME_MAX.as_secs()))
            }
        };
        if let Some(reason) = failed.as_ref().filter(|_| !self.save_failed) {
            tracing::warn!("a restart will count silences from zero: cannot write them: {reason}");
        }
        self.save_failed = failed.is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_is_a_minute_or_the_shortest_silence_and_off_with_nothing_to_watch() {
        let period = |free_low_bytes, seconds: &[u64]| {
            let sources = seconds.iter().map(|seconds| SilenceLimit {
                source: "a".into(),
                after: Duration::from_secs(*seconds),
            });
            Watched { free_low_bytes, sources: sources.collect(), names: Vec::new() }.period()
        };
        assert_eq!(period(0, &[]), None);
        assert_eq!(period(1, &[]), Some(PERIOD));
        assert_eq!(period(0, &[86_400]), Some(PERIOD));
        assert_eq!(period(1, &[86_400, 3, 9]), Some(Duration::from_secs(3)));
    }
}
