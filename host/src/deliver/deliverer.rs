//! [`Deliverer`]: starts, replaces and stops targets.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::backend::Backend;
use super::call_slots::CallSlots;
use super::clock::Clock;
use super::earlier;
use super::settings::Settings;
use super::target::{STOP_MARGIN, Target, Wiring};
use super::target_task::TargetTask;
use crate::model::TargetNumber;
use crate::store::Queue;
use crate::telemetry::Feed;

/// [`worker_threads`] counts at most this many cores.
const CORES_MAX: usize = 16;

/// Threads of the delivery runtime: one per core, at least two, and two more for calls that block.
#[must_use]
pub fn worker_threads(cores: usize) -> usize {
    cores.clamp(2, CORES_MAX) + 2
}

/// The running targets. If dropped without [`stop`](Self::stop), their calls are dropped too.
pub struct Deliverer {
    runtime: Handle,
    queue: Arc<dyn Queue>,
    feed: Feed,
    clock: Clock,
    slots: CallSlots,
    /// `None` after a stop.
    targets: Mutex<Option<HashMap<TargetNumber, TargetTask>>>,
}

impl fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = self.lock().as_ref().map_or(0, HashMap::len);
        f.debug_struct("Deliverer").field("targets", &targets).finish_non_exhaustive()
    }
}

impl Deliverer {
    /// Starts one task for each target on `runtime`.
    #[must_use]
    pub fn start(
        runtime: &Handle,
        queue: Arc<dyn Queue>,
        targets: Vec<(Settings, Arc<dyn Backend>)>,
        feed: Feed,
    ) -> Self {
        Self::start_with(runtime, queue, targets, &feed, Clock::system())
    }

    pub(super) fn start_with(
        runtime: &Handle,
        queue: Arc<dyn Queue>,
        targets: Vec<(Settings, Arc<dyn Backend>)>,
        feed: &Feed,
        clock: Clock,
    ) -> Self {
        let running = Mutex::new(Some(HashMap::new()));
        let slots = CallSlots::new(runtime);
        let (runtime, feed) = (runtime.clone(), feed.clone());
        let deliverer = Self { runtime, queue, feed, clock, slots, targets: running };
        deliverer.change(&[], targets, Duration::ZERO);
        deliverer
    }

    /// Ends the targets with these numbers and starts others. Targets in neither list are not touched. A target
    /// that ends claims nothing more, has up to `grace` for its running calls, and releases what is then left. A
    /// target that starts under the number of a running one waits for its end, so that the two never work at the
    /// same time. Returns at once. Does nothing after a stop.
    pub fn change(
        &self,
        ended: &[TargetNumber],
        started: Vec<(Settings, Arc<dyn Backend>)>,
        grace: Duration,
    ) {
        let mut targets = self.lock();
        let Some(targets) = targets.as_mut() else { return };
        targets.retain(|_, task| !task.has_ended());
        let until = Instant::now() + grace;
        for number in ended {
            if let Some(task) = targets.get(number) {
                task.stop(until);
            }
        }
        let names = started.iter().map(|(of, _)| (of.number, Arc::clone(&of.name))).collect();
        let (queue, feed) = (Arc::clone(&self.queue), self.feed.clone());
        self.runtime.spawn(earlier::show_errors(queue, names, feed));
        for (settings, backend) in started {
            let before = targets.remove(&settings.number);
            if let Some(before) = &before {
                before.stop(until);
            }
            let number = settings.number;
            let called = Arc::clone(&backend);
            let wiring = Wiring {
                settings,
                backend,
                queue: Arc::clone(&self.queue),
                feed: self.feed.clone(),
                clock: self.clock,
                slots: self.slots.for_target(),
            };
            let target = move |resume| Target::new(wiring.clone(), resume);
            targets.insert(number, TargetTask::start(&self.runtime, called, target, before));
        }
    }

    /// A person resumed a target that the store does not hold: its next delivery is attempted now.
    pub fn resume(&self, number: TargetNumber) {
        let targets = self.lock();
        if let Some(task) = targets.as_ref().and_then(|targets| targets.get(&number)) {
            task.resume();
        }
    }

    /// What the plugin of a running target counts, by name.
    #[must_use]
    pub fn counters(&self, number: TargetNumber) -> BTreeMap<String, u64> {
        let targets = self.lock();
        let running = targets.as_ref().and_then(|targets| targets.get(&number));
        running.map(|task| task.backend().counters()).unwrap_or_default()
    }

    /// Claims nothing more, waits up to `grace` for running calls, releases what is then left, and returns when
    /// every outcome is durable, at the latest a few seconds after `grace`.
    ///
    /// A call that blocks its thread is abandoned. So call this on another runtime than that of the targets, whose
    /// threads may all be blocked, and shut that one down without waiting for it.
    pub async fn stop(&self, grace: Duration) {
        let mut targets = self.lock().take().unwrap_or_default();
        let until = Instant::now() + grace;
        targets.values().for_each(|task| task.stop(until));
        let ended = async {
            for task in targets.values_mut() {
                task.ended().await;
            }
        };
        if timeout(grace + STOP_MARGIN, ended).await.is_err() {
            let left = targets.values().filter(|task| !task.has_ended()).count();
            tracing::error!(
                left,
                "targets did not stop in time; their claimed deliveries will be attempted again"
            );
        }
        match timeout(STOP_MARGIN, self.queue.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the last outcomes are not on disk; their deliveries will be attempted again");
            }
            Err(_) => {
                tracing::error!(
                    "the disk took too long for the last outcomes; their deliveries may be attempted again"
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<TargetNumber, TargetTask>>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
