//! Old segments are removed and what is still needed of them stays: by size, by age, across crashes and
//! with an index that is rebuilt.

mod age;
mod clock_matrix;
mod clocks;
mod crashes;
mod size;
mod starts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::contract::*;
use crate::embedded::core::machine::Machine;
use crate::embedded::index::rows::Space;
use crate::embedded::platform::locks::read_lock;
use crate::embedded::simulation::hardware::time::Time;
use crate::embedded::{Embedded, Settings};
use crate::{AppendError, Hold, HoldKind, Queue};
use dispatcher_model::{EventId, TargetNumber};

use crate::embedded::tests::support::{Folder, large};

const MIB: u64 = 1 << 20;
const DAY_MS: u64 = 86_400_000;

/// A log of small segments that may have a few of them.
struct Small {
    folder: Folder,
    bytes_max: Option<u64>,
    age_ms: Option<u64>,
    time: Arc<Time>,
}

type Rows = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

impl Small {
    fn new(bytes_max: Option<u64>, age_ms: Option<u64>) -> Self {
        Self { folder: Folder::new(), bytes_max, age_ms, time: Arc::new(Time::new()) }
    }

    fn settings(&self) -> Settings {
        let mut settings = self.folder.settings();
        settings.retention_bytes = self.bytes_max;
        settings.retention_age_ms = self.age_ms;
        settings.free_min_bytes = Some(0);
        settings
    }

    fn machine(&self) -> Machine {
        Machine { clock: self.time.clone(), ..self.folder.machine() }
    }

    fn store(&self) -> Arc<Embedded> {
        Embedded::open_on(&self.settings(), &self.machine()).unwrap()
    }

    /// A request received now, by the clock of the store.
    async fn append(
        &self,
        store: &Embedded,
        texts: &[String],
        targets: &[TargetNumber],
    ) -> Vec<EventId> {
        let events = texts.iter().map(|text| planned(text.clone(), targets)).collect();
        let mut request = request(events);
        request.received_at = self.time.wall();
        request.verified_at = self.time.wall();
        store.append(request).await.unwrap().ids().to_vec()
    }

    async fn pause(&self, store: &Embedded, target: TargetNumber) {
        let (kind, since) = (HoldKind::Paused, self.time.wall());
        store.hold(target, Some(Hold { kind, reason: "a pause".into(), since })).await.unwrap();
    }

    async fn append_when_there_is_room(&self, store: &Embedded, texts: &[String], a: TargetNumber) {
        loop {
            let events = texts.iter().map(|text| planned(text.clone(), &[a])).collect();
            let mut request = request(events);
            request.received_at = self.time.wall();
            match store.append(request).await {
                Ok(_) => return,
                Err(AppendError::Full { .. }) => {
                    store.flush().await.unwrap();
                    settled(store).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// So many requests of 200 KB that are delivered at once.
    async fn traffic(&self, store: &Embedded, target: TargetNumber, requests: usize) {
        for i in 0..requests {
            let texts: Vec<String> = (0..50).map(|j| large(&format!("{i}.{j}"))).collect();
            self.append_when_there_is_room(store, &texts, target).await;
            let mut left = 50;
            while left > 0 {
                let some = within(store.claim(target, left, HOUR)).await.unwrap();
                left -= some.len();
                settle(store, target, &some, delivered()).await;
            }
        }
        store.flush().await.unwrap();
    }

    /// The rows of a new index made from the log alone, and of the kept one; keys of repeated events
    /// are known for a day only while their segments are there.
    async fn both(&self, store: Arc<Embedded>) -> (Rows, Rows) {
        store.close().await.unwrap();
        drop(store);
        let rows = |small: &Self| {
            let store = small.store();
            let mut rows = crate::embedded::tests::support::dump(&store);
            rows.retain(|(space, _), _| !matches!(space, Space::Seen(_)));
            rows
        };
        // Nothing more may be removed while they are compared.
        let copy = || Self {
            folder: self.folder.copy(),
            time: self.time.clone(),
            ..Self::new(None, None)
        };
        let (made, kept) = (copy(), copy());
        made.folder.delete_index();
        (rows(&made), rows(&kept))
    }

    async fn same_after_rebuild(&self, store: Arc<Embedded>) {
        let (made, kept) = self.both(store).await;
        let of = |rows: &Rows, space| rows.keys().filter(|(s, _)| *s == space).count();
        for space in [Space::Retry, Space::Dead, Space::Dropped, Space::Range, Space::Outcome] {
            assert_eq!(of(&made, space), of(&kept, space), "{space:?}");
        }
        assert_eq!(made, kept);
    }
}

fn first_base(store: &Embedded) -> u64 {
    store.shared.reader.start()
}

/// Wakes the removal of old segments until it is true.
async fn until(store: &Embedded, done: impl Fn(&Embedded) -> bool) {
    let looked = async {
        while !done(store) {
            store.shared.retention.ring();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looked).await.expect("waited too long");
}

/// Waits until nothing is left to do.
async fn settled(store: &Embedded) {
    let wants = |store: &Embedded| {
        let segments = read_lock(&store.shared.reader.segments);
        store.shared.retention.wants_room(&segments, store.shared.spare.capacity)
    };
    until(store, |store| !wants(store)).await;
}
