//! What callers, committer and index thread share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::Notify;

use super::clock::Clock;
use super::inbox::{Act, Inbox, closed};
use super::index::Index;
use super::live::Live;
use super::lock_file::Lock;
use super::reader::Reader;
use super::room::Room;
use super::segment::Identity;
use super::settings::Settings;
use super::spare::Spare;
use super::state::TargetState;
use super::tail::Tail;
use super::{StoreError, lock, read_lock, write_lock};

pub(super) struct Target {
    pub number: u16,
    pub name: Arc<str>,
    pub live: Mutex<Live>,
    /// There may be something to claim.
    pub woken: Notify,
    /// Held by the one that reads for the target.
    pub loading: Arc<tokio::sync::Mutex<()>>,
}

impl Target {
    pub(super) fn new(number: u16, state: &TargetState) -> Self {
        Self {
            number,
            name: state.name.as_str().into(),
            live: Mutex::new(Live::new(number, state)),
            woken: Notify::new(),
            loading: Arc::default(),
        }
    }
}

pub(super) struct Shared {
    pub directory: PathBuf,
    pub clock: Clock,
    pub identity: Identity,
    pub reader: Reader,
    pub tail: Tail,
    pub inbox: Inbox,
    pub room: Arc<Room>,
    pub spare: Arc<Spare>,
    /// By number.
    pub targets: RwLock<Vec<Arc<Target>>>,
    /// `None` once closed, and while it is being mended.
    pub index: RwLock<Option<Box<dyn Index>>>,
    /// The index has read the log up to here.
    pub indexed: AtomicU64,
    /// Generations of recent keys dropped.
    pub keys_dropped: AtomicU64,
    /// Repeated keys with other content.
    pub keys_reused: AtomicU64,
    lock: Mutex<Option<Lock>>,
}

impl Shared {
    pub(super) fn new(
        (settings, clock): (&Settings, Clock),
        identity: Identity,
        reader: Reader,
        index: Box<dyn Index>,
        states: &[TargetState],
        lock: Lock,
    ) -> Self {
        let end = read_lock(&reader.segments).tail;
        let targets = (0u16..).zip(states).map(|(n, state)| Arc::new(Target::new(n, state)));
        let spare = Spare::new(&*reader.disk, &reader.folder, settings.segment_bytes);
        Self {
            directory: settings.directory.clone(),
            room: Arc::new(Room::new(settings)),
            spare: Arc::new(spare),
            clock,
            identity,
            reader,
            tail: Tail::new(end),
            inbox: Inbox::default(),
            targets: RwLock::new(targets.collect()),
            index: RwLock::new(Some(index)),
            indexed: AtomicU64::new(end),
            keys_dropped: AtomicU64::new(0),
            keys_reused: AtomicU64::new(0),
            lock: Mutex::new(Some(lock)),
        }
    }

    pub(super) fn target(&self, number: u16) -> Option<Arc<Target>> {
        read_lock(&self.targets).get(usize::from(number)).cloned()
    }

    /// What to say to whoever needs the index while there is none.
    pub(super) fn no_index(&self) -> StoreError {
        if self.inbox.stopped() {
            return closed();
        }
        StoreError("the index is being mended: ask again later".into())
    }

    pub(super) fn wake_all(&self) {
        for target in read_lock(&self.targets).iter() {
            target.woken.notify_waiters();
        }
    }

    /// Lets go of index and folder; both threads have ended.
    pub(super) fn let_go(&self) {
        *write_lock(&self.index) = None;
        *lock(&self.lock) = None;
    }

    /// Hands an act to the committer without waiting for it. A closed store needs none.
    pub(super) fn post(&self, act: Act) {
        let _ = self.inbox.act(act);
    }

    pub(super) fn set_tail(&self, lsn: u64) {
        write_lock(&self.reader.segments).tail = lsn;
    }

    pub(super) fn publish_keys_dropped(&self, count: u64) {
        self.keys_dropped.store(count, Ordering::Release);
    }
}
