//! The engine: the threads of an open store, and the queue that callers see.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use dispatcher_model::{
    Delivery, EventId, OWN_SOURCE, REASON_BYTES_MAX, RepetitionSeed, StoredEvent, TargetNumber,
    Timestamp,
};
use tokio::sync::oneshot;

use crate::embedded::commit::committer::Committer;
use crate::embedded::core::blocking::blocking;
use crate::embedded::core::inbox::{Append, Command, Stop, closed};
use crate::embedded::core::machine::Machine;
use crate::embedded::core::prepared::{Prepared, Slot};
use crate::embedded::core::shared::Shared;
use crate::embedded::deliveries::dead_letters::{DeadLetters, list};
use crate::embedded::deliveries::expire::expire;
use crate::embedded::deliveries::search::{by_ids, search};
use crate::embedded::deliveries::unreadable::stored_event;
use crate::embedded::deliveries::waiting::Waiting;
use crate::embedded::error::OpenError;
use crate::embedded::format::record::{ActKind, HoldRow};
use crate::embedded::indexing::indexer::{Indexer, Job};
use crate::embedded::limits::millis;
use crate::embedded::platform::locks::{lock, read_lock, write_lock};
use crate::embedded::retention::retire::Retention;
use crate::embedded::settings::Settings;
use crate::{
    AppendError, BoxFuture, DIGEST_EVENTS_MAX, DeadLetter, Depth, Durable, EventFate, FoundEvent,
    FoundFates, Full, Hold, HoldKind, Later, NewRequest, Queue, REQUEST_EVENTS_MAX, Rebuilding,
    Retries, Search, SearchPage, Settlement, StoreError, Window,
};

/// An open store. Dropping it without [`close`](Queue::close) is like a crash: nothing acknowledged is lost.
pub struct Embedded {
    pub(crate) shared: Arc<Shared>,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
}

/// An open store whose threads do not run yet.
pub(crate) struct Parts {
    pub shared: Arc<Shared>,
    pub committer: Committer,
    pub indexer: Indexer,
    pub jobs: Receiver<Job>,
    pub retention: Retention,
}

impl Parts {
    pub(crate) fn open(settings: &Settings, machine: &Machine) -> Result<Self, OpenError> {
        let opened = crate::embedded::recovery::open::open(settings, machine)?;
        let shared = Arc::new(opened.shared);
        shared.keys_kept(); // Looks how far the clock is from the log.
        let (to_index, jobs) = crate::embedded::indexing::indexer::channel();
        let indexer = Indexer::new(shared.clone(), machine.clone(), opened.state.clone());
        let committer =
            Committer::new(shared.clone(), opened.log, opened.state, opened.known, to_index);
        let retention = Retention::new(shared.clone());
        let home = machine.index.clone();
        shared.room.clear_with(Box::new(move || home.clear_evidence()));
        Ok(Self { shared, committer, indexer, jobs, retention })
    }

    /// Starts all threads but the one that removes old segments.
    pub(crate) fn start(self) -> Result<(Arc<Embedded>, Retention), OpenError> {
        let Self { shared, committer, indexer, jobs, retention } = self;
        // If the queue is full, the thread that keeps the index is about to take a job anyway.
        let index_jobs = committer.index_jobs();
        shared.index.wake_with(Some(Box::new(move || drop(index_jobs.try_send(Job::Failed)))));
        let index = thread("store-index", move || indexer.run(&jobs))?;
        shared.room.measure(&*shared.reader.disk);
        let watched = shared.clone();
        let room = thread("store-room", move || watched.watch_room())?;
        let log = thread("store-log", move || committer.run())?;
        let threads = Mutex::new(vec![log, index, room]);
        Ok((Arc::new(Embedded { shared, threads }), retention))
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(OpenError::Thread)
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded")
            .field("directory", &self.shared.directory)
            .finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store in that folder, or makes one. Blocks while the end of the log is read. A lost index
    /// is rebuilt afterwards, see [`Queue::rebuilding`].
    ///
    /// # Errors
    ///
    /// Another process uses the folder, the log is damaged, or the disk refuses.
    pub fn open(settings: Settings) -> Result<Arc<Self>, OpenError> {
        settings.check()?;
        Self::open_on(&settings, &Machine::real(&settings))
    }

    pub(crate) fn open_on(settings: &Settings, machine: &Machine) -> Result<Arc<Self>, OpenError> {
        let (store, retention) = Parts::open(settings, machine)?.start()?;
        lock(&store.threads).push(thread("store-retention", move || retention.run())?);
        Ok(store)
    }

    /// The free space of the store's disk, as last measured.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        self.shared.room.free_bytes()
    }

    /// Waits until requests are refused or accepted again; see [`Queue::full`]. Cancel safe.
    pub async fn room_changed(&self) {
        self.shared.room.changed().await;
    }

    async fn append_now(&self, request: NewRequest) -> Result<Durable, AppendError> {
        if request.events.is_empty() {
            return Ok(Durable::new(Vec::new(), Vec::new()));
        }
        if request.events.len() > REQUEST_EVENTS_MAX {
            let count = request.events.len();
            return Err(AppendError::Disk(format!(
                "a request of {count} events is too long: {REQUEST_EVENTS_MAX} fit"
            )));
        }
        let own = &*request.source == OWN_SOURCE;
        self.shared.room.admit(own)?;
        let keys = crate::embedded::core::prepared::keys(&request);
        let (slots, asked_at) = crate::embedded::commit::append::known(
            &self.shared,
            &keys,
            request.received_at.as_millis(),
            millis(request.repeat_window),
        );
        let known: Option<Vec<EventId>> = slots
            .iter()
            .map(|slot| if let Slot::Known(id) = slot { Some(*id) } else { None })
            .collect();
        // The index knows only what is durable.
        if let Some(ids) = known {
            self.shared.admit_repetition()?;
            let duplicates = (0u16..).take(ids.len()).collect();
            return Ok(Durable::new(ids, duplicates));
        }
        let too_large = AppendError::TooLarge { bytes: usize::MAX, bytes_max: u32::MAX as usize };
        let request = Prepared::new(request, &keys, slots, asked_at).ok_or(too_large)?;
        let (reply, answer) = oneshot::channel();
        self.shared.inbox.append(Append { request, own, reply })?;
        let placed = answer.await.unwrap_or(Err(AppendError::Closed));
        let placed = placed.inspect_err(|_| self.shared.room.count_refused())?;
        Ok(placed.request.durable(self.shared.identity.store, placed.lsn))
    }

    fn settle_all(
        &self,
        target: TargetNumber,
        outcomes: Vec<Settlement>,
        window: Option<Window>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.shared.ask(move |reply| {
            let reply = Some(reply);
            Command::Settle { target, outcomes, window, reply }
        }))
    }

    pub(crate) fn stop(&self, stop: Stop) -> Vec<JoinHandle<()>> {
        self.shared.inbox.stop(stop);
        self.shared.room.stop();
        self.shared.retention.stop();
        self.shared.wake_all();
        std::mem::take(&mut *lock(&self.threads))
    }
}

impl Queue for Embedded {
    fn repetition_seed(&self) -> RepetitionSeed {
        RepetitionSeed::new(self.shared.identity.uuid)
    }

    fn register(
        &self,
        targets: Vec<Arc<str>>,
    ) -> BoxFuture<'_, Result<Vec<TargetNumber>, StoreError>> {
        Box::pin(self.shared.ask(|reply| Command::Register { names: targets, reply }))
    }

    fn append(&self, request: NewRequest) -> BoxFuture<'_, Result<Durable, AppendError>> {
        Box::pin(self.append_now(request))
    }

    fn claim(
        &self,
        target: TargetNumber,
        max: usize,
        lease: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        Box::pin(crate::embedded::deliveries::claim::claim(&self.shared, target, max, lease, false))
    }

    fn claim_untried(
        &self,
        target: TargetNumber,
        max: usize,
        lease: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        Box::pin(crate::embedded::deliveries::claim::claim(&self.shared, target, max, lease, true))
    }

    fn settle(
        &self,
        target: TargetNumber,
        outcomes: Vec<Settlement>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.settle_all(target, outcomes, None)
    }

    fn settle_digest(
        &self,
        target: TargetNumber,
        outcomes: Vec<Settlement>,
        window: Window,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let count = outcomes.len();
        if count > DIGEST_EVENTS_MAX {
            let what = format!("a digest of {count} deliveries");
            return Box::pin(async { Err(StoreError::TooLarge { what, max: DIGEST_EVENTS_MAX }) });
        }
        self.settle_all(target, outcomes, Some(window))
    }

    fn windows(&self, target: TargetNumber) -> BoxFuture<'_, Result<Vec<Window>, StoreError>> {
        let shared = self.shared.clone();
        Box::pin(blocking(move || shared.windows(target.0)))
    }

    fn now(&self) -> Timestamp {
        self.shared.now().seen
    }

    fn wait_at_most(&self, target: TargetNumber, longest: Duration) {
        if let Some(target) = self.shared.target(target.0) {
            lock(&target.live).wait_at_most(longest);
            target.woken.notify_waiters();
        }
    }

    fn extend(&self, target: TargetNumber, events: Vec<EventId>, lease: Duration) {
        let Some(target) = self.shared.target(target.0) else { return };
        let until = self.shared.now().after(lease);
        let store = self.shared.identity.store;
        let ours = events.into_iter().filter(|event| event.store() == store);
        lock(&target.live).extend(ours.map(EventId::number), until);
    }

    fn expire(
        &self,
        target: TargetNumber,
        received_before: Timestamp,
        reason: String,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            // After a jump of the clock everything may seem too old.
            let now = self.shared.now();
            let age = now.wall.since(received_before);
            if !lock(&self.shared.retention.wall).is_trusted_over(age, now) {
                return Ok(0);
            }
            expire(&self.shared, target, received_before, reason).await
        })
    }

    fn keep_keys(&self, window: Duration) {
        self.shared.set_window(window);
    }

    fn may_overflow(&self, targets: Vec<TargetNumber>) {
        let targets = targets.into_iter().map(|target| target.0).collect();
        *write_lock(&self.shared.retention.overflow) = targets;
        self.shared.retention.ring();
    }

    fn depth(&self, target: TargetNumber) -> Depth {
        let Some(target) = self.shared.target(target.0) else { return Depth::default() };
        let live = lock(&target.live);
        Depth {
            pending: live.counts.pending,
            retrying: live.waiting_rows(),
            in_flight: live.in_flight() as u64,
            dead: live.counts.dead,
        }
    }

    fn dead_letters(
        &self,
        target: TargetNumber,
        after: Option<EventId>,
        max: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>> {
        let shared = self.shared.clone();
        // A slow disk must not block a thread that receives.
        Box::pin(blocking(move || list(&shared, target, after, max)))
    }

    fn event(&self, id: EventId) -> BoxFuture<'_, Result<Option<Arc<StoredEvent>>, StoreError>> {
        Box::pin(async move {
            if self.shared.inbox.stopped() {
                return Err(closed());
            }
            let shared = self.shared.clone();
            blocking(move || stored_event(&shared, id)).await
        })
    }

    fn hold(
        &self,
        target: TargetNumber,
        hold: Option<Hold>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let what = ActKind::Hold(hold.map(|hold| HoldRow {
                broken: hold.kind == HoldKind::Broken,
                reason: crate::embedded::limits::cut(hold.reason, REASON_BYTES_MAX),
                since_ms: hold.since.as_millis(),
            }));
            self.shared.ask(|reply| Command::Operate { target, what, reply }).await.map(drop)
        })
    }

    fn let_go(&self, target: TargetNumber) -> BoxFuture<'_, Result<(), StoreError>> {
        let asked = self.shared.ask(move |reply| Command::LetGo { target, reply });
        Box::pin(async { asked.await.map(drop) })
    }

    fn held(&self, target: TargetNumber) -> Option<Hold> {
        let target = self.shared.target(target.0)?;
        let row = lock(&target.live).hold.clone()?;
        Some(Hold {
            kind: if row.broken { HoldKind::Broken } else { HoldKind::Paused },
            reason: row.reason,
            since: Timestamp::from_millis(row.since_ms),
        })
    }

    fn replay(
        &self,
        target: TargetNumber,
        events: Vec<EventId>,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { DeadLetters(&self.shared).replay(target, events).await })
    }

    fn drop_dead(
        &self,
        target: TargetNumber,
        events: Vec<EventId>,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { DeadLetters(&self.shared).drop(target, events).await })
    }

    fn skip(
        &self,
        target: TargetNumber,
        received_before: Timestamp,
        reason: String,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { Waiting(&self.shared).skip(target, received_before, reason).await })
    }

    fn drop_waiting(
        &self,
        target: TargetNumber,
        events: Option<Vec<EventId>>,
        reason: String,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            match events {
                Some(events) => Waiting(&self.shared).drop(target, events, reason).await,
                None => Waiting(&self.shared).empty(target, None, reason).await,
            }
        })
    }

    fn move_waiting(
        &self,
        from: TargetNumber,
        to: TargetNumber,
        reason: String,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { Waiting(&self.shared).empty(from, Some(to), reason).await })
    }

    fn targets(&self) -> Vec<(TargetNumber, Arc<str>)> {
        let targets = read_lock(&self.shared.targets);
        targets.iter().map(|target| (TargetNumber(target.number), target.name.clone())).collect()
    }

    fn search(&self, wanted: Search) -> BoxFuture<'_, Result<SearchPage, StoreError>> {
        Box::pin(search(&self.shared, wanted))
    }

    fn find(
        &self,
        ids: Vec<EventId>,
    ) -> BoxFuture<'_, Result<Vec<Option<FoundEvent>>, StoreError>> {
        let shared = self.shared.clone();
        Box::pin(blocking(move || by_ids(&shared, ids)))
    }

    fn fates(
        &self,
        events: Vec<FoundEvent>,
        others: Vec<TargetNumber>,
    ) -> BoxFuture<'_, Result<Vec<FoundFates>, StoreError>> {
        Box::pin(crate::embedded::deliveries::fates::fates(&self.shared, events, others))
    }

    fn later(
        &self,
        target: TargetNumber,
        which: Retries,
    ) -> BoxFuture<'_, Result<Later, StoreError>> {
        Box::pin(crate::embedded::deliveries::hasten::later(&self.shared, target, which))
    }

    fn hasten(
        &self,
        target: TargetNumber,
        which: Retries,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(crate::embedded::deliveries::hasten::hasten(&self.shared, target, which))
    }

    fn fate(&self, id: EventId) -> BoxFuture<'_, Result<Option<EventFate>, StoreError>> {
        Box::pin(async move {
            self.caught_up().await?;
            let shared = self.shared.clone();
            blocking(move || crate::embedded::deliveries::fate::fate(&shared, id)).await
        })
    }

    fn full(&self) -> Option<Full> {
        self.shared.room.full()
    }

    fn recent(&self, max: usize) -> Vec<Arc<StoredEvent>> {
        self.shared.tail.newest(max)
    }

    fn damage(&self) -> Option<String> {
        self.shared.damage()
    }

    fn log_damage(&self) -> Option<String> {
        self.shared.log_damage()
    }

    fn rebuilding(&self) -> Option<Rebuilding> {
        self.shared.rebuild.status()
    }

    fn caught_up(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.shared.ask(|reply| Command::CatchUp { reply }))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.shared.ask(|reply| Command::Flush { reply }))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let flushed = self.flush().await;
            let threads = self.stop(Stop::Close);
            let shared = self.shared.clone();
            blocking(move || {
                // A panic of a thread is already reported; the folder is unlocked in any case.
                threads.into_iter().for_each(|thread| drop(thread.join()));
                shared.let_go();
                Ok(())
            })
            .await?;
            flushed
        })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop(Stop::Abandon).into_iter().for_each(|thread| drop(thread.join()));
        self.shared.let_go();
    }
}
