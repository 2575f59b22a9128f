//! Looks now and then at what no request and no delivery would show: too little space for the store, and
//! sources that bring nothing any more.
//!
//! One timer: [`PERIOD`], or less where a source's silence is shorter; none while there is nothing to
//! watch. A reload is looked at as soon as it is in force. That the disk is low is known until the end of
//! the process; silences are kept beside the store at most a minute late, and when the daemon stops.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::disk::Floor;
use super::kept::Keeper;
use super::silence::{Limit, Silence};
use crate::config::Config;
use crate::model::Timestamp;
use crate::store::Queue;
use crate::store::embedded::Embedded;
use crate::telemetry::{AlarmKind, Feed};

/// Longest time between two looks.
const PERIOD: Duration = Duration::from_secs(60);

/// What a configuration wants to be watched.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    free_low_bytes: u64,
    sources: Vec<Limit>,
}

impl Watched {
    pub(super) fn of(config: &Config) -> Self {
        let sources = config.ingest.sources.iter();
        let limit = |(name, after): (&Arc<str>, Option<Duration>)| Some((Arc::clone(name), after?));
        let sources = sources.map(|source| (&source.name, source.silent_after)).filter_map(limit);
        Self { free_low_bytes: config.free_low_bytes, sources: sources.collect() }
    }

    /// How long until the next look; none while there is nothing to look at.
    fn period(&self) -> Option<Duration> {
        let floor = (self.free_low_bytes > 0).then_some(PERIOD);
        let shortest = self.sources.iter().map(|(_, after)| (*after).min(PERIOD)).min();
        floor.into_iter().chain(shortest).min()
    }
}

/// Watches what is sent to it last, until `None` is sent or the sender is dropped.
pub(super) fn start(
    config: &Config,
    queue: Arc<Embedded>,
    feed: &Feed,
    runtime: &Handle,
) -> (watch::Sender<Option<Watched>>, JoinHandle<()>) {
    let (sender, receiver) = watch::channel(Some(Watched::of(config)));
    let directory = config.store.directory.display().to_string().into();
    let keeper = Keeper::new(&config.store.directory);
    let told = Told { directory, feed: feed.clone() };
    (sender, runtime.spawn(run(queue, told, keeper, receiver)))
}

async fn run(
    queue: Arc<Embedded>,
    told: Told,
    keeper: Keeper,
    mut watched: watch::Receiver<Option<Watched>>,
) {
    let feed = &told.feed;
    let mut floor = Floor::default();
    let mut silence = Silence::again(keeper.read(), Instant::now());
    let (mut kept_at, mut is_kept) = (Instant::now(), true);
    loop {
        let Some(now) = watched.borrow_and_update().clone() else {
            return keep(&keeper, &silence, &mut is_kept).await;
        };
        look_at_space(&queue, now.free_low_bytes, &mut floor, &told);
        let (clock, time) = (Instant::now(), Timestamp::from(SystemTime::now()));
        let last = |source: &str| feed.history().last_stored_ms(source).map(Timestamp::from_millis);
        for (source, reason) in silence.look(&now.sources, clock, time, last) {
            tracing::warn!(%source, "source.silent: {reason}");
            feed.alarms().raise(AlarmKind::SourceSilent, &source, 1, &reason);
        }
        if !now.sources.is_empty() && clock.saturating_duration_since(kept_at) >= PERIOD {
            keep(&keeper, &silence, &mut is_kept).await;
            kept_at = clock;
        }
        let timer = async {
            match now.period() {
                Some(period) => tokio::time::sleep(period).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timer => {}
            () = queue.room_changed() => {}
            changed = watched.changed() => if changed.is_err() { return },
        }
    }
}

/// Writes down how silent sources are; the log says it once when that fails, and again after it worked.
async fn keep(keeper: &Keeper, silence: &Silence, is_kept: &mut bool) {
    let (keeper, kept) = (keeper.clone(), silence.kept(Instant::now()));
    // A disk that hangs must not hold up those who receive.
    let written = tokio::task::spawn_blocking(move || keeper.write(&kept)).await;
    let failed = match written {
        Ok(written) => written.err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(reason) = failed.as_ref().filter(|_| *is_kept) {
        tracing::warn!("how long sources are silent is not kept over a restart: {reason}");
    }
    *is_kept = failed.is_none();
}

fn look_at_space(queue: &Embedded, floor_bytes: u64, floor: &mut Floor, told: &Told) {
    let full = queue.full();
    let low = queue.free_bytes().and_then(|free| floor.look(free, floor_bytes));
    // That it refuses requests is the worse news; the store has said it in the log.
    if let Some(full) = full {
        told.low(&format!("requests are refused: {}", full.reason));
    } else if let Some(reason) = low {
        tracing::error!(directory = %told.directory, "disk.low: {reason}");
        told.low(&reason);
    }
}

/// Whom to tell of what.
struct Told {
    directory: Arc<str>,
    feed: Feed,
}

impl Told {
    fn low(&self, reason: &str) {
        self.feed.alarms().raise(AlarmKind::DiskLow, &self.directory, 1, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_is_a_minute_or_the_shortest_silence_and_none_for_nothing() {
        let period = |free_low_bytes, seconds: &[u64]| {
            let sources = seconds.iter().map(|s| ("a".into(), Duration::from_secs(*s)));
            Watched { free_low_bytes, sources: sources.collect() }.period()
        };
        assert_eq!(period(0, &[]), None);
        assert_eq!(period(1, &[]), Some(PERIOD));
        assert_eq!(period(0, &[86_400]), Some(PERIOD));
        assert_eq!(period(1, &[86_400, 3, 9]), Some(Duration::from_secs(3)));
    }
}
