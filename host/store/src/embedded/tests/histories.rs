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

/// The index is made twice while the store works, and the counts agree each time.
async fn made_meanwhile(folder: &Folder, targets: &[TargetNumber], what: &str) {
    let (store, gate) = gated(folder);
    pass(&gate, &store).await;
    let mut found = Vec::new();
    for round in 1..3 {
        for target in targets {
            found.push(counted(&store, *target, &format!("{what}, made {round}")).await);
        }
        if round == 1 {
            let failed = store.shared.try_index(|_| Err::<(), _>(IndexError::Unreadable));
            assert!(matches!(failed, Some(Err(_))));
            whole(&store).await;
        }
    }
    assert_eq!(found[..targets.len()], found[targets.len()..], "{what}");
    store.close().await.unwrap();
}

#[tokio::test]
async fn after_the_loss_of_any_segment_the_list_has_as_many_dead_letters_as_are_counted() {
    let only = std::env::var("DISPATCHER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..HISTORIES, |seed: u64| seed..seed + 1);
    for seed in seeds {
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
                    made_meanwhile(&folder, &targets, &what).await;
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
