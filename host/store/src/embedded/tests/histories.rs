//! Random histories of which one segment is lost: what `dead list` shows is what `status` counts, and nothing waits that
//! cannot be claimed.

use std::sync::Arc;

use fastrand::Rng;

use crate::contract::*;
use crate::embedded::Embedded;
use crate::{Depth, Queue};
use dispatcher_model::{EventId, TargetNumber};

use crate::embedded::index::rows::IndexError;
use crate::embedded::tests::gate::{gated, pass, whole};
use crate::embedded::tests::gone_beginning::repair;
use crate::embedded::tests::support::{Folder, large};

const HISTORIES: u64 = 3;
const SEGMENTS: usize = 5;

struct History {
    folder: Folder,
    store: Arc<Embedded>,
    targets: Vec<TargetNumber>,
    random: Rng,
}

impl History {
    async fn new(seed: u64) -> Self {
        let folder = Folder::new();
        let store = folder.store();
        let targets = register(&*store, &["a", "b"]).await;
        Self { folder, store, targets, random: Rng::with_seed(seed) }
    }

    async fn letters(&self, target: TargetNumber) -> Vec<EventId> {
        self.store.caught_up().await.unwrap();
        let letters = self.store.dead_letters(target, None, 1_000).await.unwrap();
        letters.iter().map(|letter| letter.event).collect()
    }

    /// Some of the dead letters.
    async fn some_letters(&mut self, target: TargetNumber) -> Vec<EventId> {
        let mut letters = self.letters(target).await;
        self.random.shuffle(&mut letters);
        letters.truncate(self.random.usize(1..6));
        letters
    }

    async fn step(&mut self) {
        let target = self.targets[self.random.usize(..self.targets.len())];
        match self.random.u8(..10) {
            0..4 => {
                let events = (0..self.random.usize(1..12)).map(|i| {
                    let text = if self.random.bool() { large("x") } else { i.to_string() };
                    planned(text, &self.targets)
                });
                append(&*self.store, events.collect()).await;
            }
            4..7 if self.store.depth(target).pending > 0 => {
                let max = self.random.usize(1..20);
                let claimed =
                    tokio::time::timeout(HOUR / 72_000, self.store.claim(target, max, HOUR));
                let some = claimed.await.map(Result::unwrap).unwrap_or_default();
                let outcomes = [delivered(), dead("no"), retry(now()), retry(now().plus(HOUR))];
                for delivery in some {
                    let outcome = self.random.choice(&outcomes).unwrap().clone();
                    settle(&*self.store, target, &[delivery], outcome).await;
                }
            }
            7 => {
                let letters = self.some_letters(target).await;
                self.store.drop_dead(target, letters).await.unwrap();
            }
            8 => {
                let letters = self.some_letters(target).await;
                self.store.replay(target, letters).await.unwrap();
            }
            9 if self.random.u8(..3) == 0 => {
                self.store.expire(target, now().plus(HOUR), "old".into()).await.unwrap();
            }
            _ => {}
        }
    }
}

/// What waits and what is dead; the list has as many dead letters.
async fn counted(store: &Embedded, target: TargetNumber, what: &str) -> Depth {
    store.caught_up().await.unwrap();
    store.flush().await.unwrap();
    let depth = store.depth(target);
    let letters = store.dead_letters(target, None, 10_000).await.unwrap();
    let listed: u64 = letters.iter().map(|letter| letter.count).sum();
    assert_eq!(listed, depth.dead, "{what}: {letters:#?}");
    depth
}

/// The index is made while the store works: what is counted agrees from the next start.
async fn made_meanwhile(folder: &Folder) {
    let (store, gate) = gated(folder);
    pass(&gate, &store).await;
    store.caught_up().await.unwrap();
    store.close().await.unwrap();
}

fn seeds() -> std::ops::Range<u64> {
    let only = std::env::var("DISPATCHER_SEED").ok().and_then(|seed| seed.parse().ok());
    only.map_or(0..HISTORIES, |seed: u64| seed..seed + 1)
}

impl History {
    async fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step().await;
        }
    }

    async fn restart(&mut self) {
        self.store.close().await.unwrap();
        self.store = self.folder.store();
    }

    async fn counted(&self, what: &str) -> Vec<Depth> {
        let mut found = Vec::new();
        for target in &self.targets {
            found.push(counted(&self.store, *target, what).await);
        }
        found
    }
}

/// An index whose disk was full is opened again as it is, a damaged one is made from the log: after traffic since the start,
/// both count what was counted before, also after the next start.
#[tokio::test]
async fn an_index_that_fails_while_the_store_works_changes_no_count() {
    for seed in seeds() {
        let mut history = History::new(seed).await;
        history.steps(20).await;
        for error in [IndexError::Full("no space".into()), IndexError::Unreadable] {
            let what = format!("seed {seed}, {error}");
            history.restart().await;
            history.steps(30).await;
            let before = history.counted(&what).await;
            let failed = history.store.shared.try_index(|_| Err::<(), _>(error.clone()));
            assert!(matches!(failed, Some(Err(_))));
            whole(&history.store).await;
            assert_eq!(history.counted(&what).await, before, "{what}");
            history.restart().await;
            assert_eq!(history.counted(&what).await, before, "{what}, the next start");
        }
        history.store.close().await.unwrap();
    }
}

#[tokio::test]
async fn after_the_loss_of_any_segment_the_list_has_as_many_dead_letters_as_are_counted() {
    for seed in seeds() {
        let mut history = History::new(seed).await;
        while history.folder.segments().len() < SEGMENTS {
            history.step().await;
        }
        let History { folder: whole, store, targets, .. } = history;
        store.close().await.unwrap();
        drop(store);
        for gone in 1..SEGMENTS - 1 {
            for index in ["kept", "lost", "made meanwhile"] {
                let what = format!("seed {seed}, segment {gone} is gone, the index is {index}");
                let folder = whole.copy();
                std::fs::remove_file(&folder.segments()[gone]).unwrap();
                if index != "kept" {
                    folder.delete_index();
                }
                assert!(repair(&folder, Vec::new()).after.unwrap().is_clean(), "{what}");
                if index == "made meanwhile" {
                    made_meanwhile(&folder).await;
                }
                for start in 1..3 {
                    let store = folder.store();
                    for target in &targets {
                        counted(&store, *target, &format!("{what}, start {start}")).await;
                    }
                    store.close().await.unwrap();
                }
            }
        }
    }
}
