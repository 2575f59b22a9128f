//! Random walks over everything a caller can do and everything that can happen to the process.
//!
//! What must hold at each start: an acknowledged delivery is settled, dead, or can be claimed; what was
//! durably settled is not delivered again; and the live index equals a rebuilt one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::Queue;
use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::index::rows::Space;
use dispatcher_model::{Delivery, EventId, TargetNumber, Timestamp};

use crate::embedded::tests::gate::gated;
use crate::embedded::tests::support::Folder;

const SEEDS: u64 = 6;
const STEPS: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pending,
    /// Settled, but not known to be durable: may be delivered again after a crash.
    Settled,
    Durable,
    Dead,
    Dropped,
}

struct Walk {
    folder: Folder,
    store: Option<Arc<Embedded>>,
    random: fastrand::Rng,
    targets: Vec<TargetNumber>,
    /// By target and text.
    fate: BTreeMap<(TargetNumber, String), Fate>,
    held: BTreeMap<TargetNumber, Vec<Delivery>>,
    ids: BTreeMap<String, EventId>,
    next: usize,
}

pub(super) fn dump(store: &Embedded) -> BTreeMap<(Space, Vec<u8>), Vec<u8>> {
    store.shared.index.read().unwrap().as_ref().unwrap().dump()
}

impl Walk {
    async fn new(seed: u64, log_bytes: Option<u64>) -> Self {
        let folder = Folder { log_bytes, ..Folder::new() };
        let store = folder.store();
        let targets = register(&*store, &["a", "b", "c"]).await;
        Self {
            folder,
            store: Some(store),
            random: fastrand::Rng::with_seed(seed),
            targets,
            fate: BTreeMap::new(),
            held: BTreeMap::new(),
            ids: BTreeMap::new(),
            next: 0,
        }
    }

    const fn is_small(&self) -> bool {
        self.folder.log_bytes.is_some()
    }

    fn store(&self) -> Arc<Embedded> {
        self.store.clone().unwrap()
    }

    async fn append(&mut self) {
        let events: Vec<_> = (0..self.random.usize(1..5))
            .map(|_| {
                let targets: Vec<_> =
                    self.targets.iter().copied().filter(|_| self.random.bool()).collect();
                self.next += 1;
                // A small log gets many events, so that its oldest segments are removed.
                let large = if self.is_small() { 4 } else { 1 };
                let size = if self.random.u8(..8) < large { 60_000 } else { 10 };
                (format!("{:06}{}", self.next, ".".repeat(size)), targets)
            })
            .collect();
        let planned = events.iter().map(|(text, targets)| {
            if self.next.is_multiple_of(3) {
                keyed(text, 1, targets)
            } else {
                planned(text.clone(), targets)
            }
        });
        let planned = planned.collect();
        let ids = match self.store().append(request(planned)).await {
            Ok(durable) => durable.ids().to_vec(),
            Err(crate::AppendError::Full { .. }) if self.is_small() => return,
            Err(error) => panic!("{error}"),
        };
        for ((text, targets), id) in events.into_iter().zip(ids) {
            self.ids.insert(text[..6].to_owned(), id);
            for target in targets {
                self.fate.insert((target, text[..6].to_owned()), Fate::Pending);
            }
        }
    }

    fn text(delivery: &Delivery) -> String {
        String::from_utf8_lossy(&delivery.event.data[..6]).into_owned()
    }

    fn given(&mut self, target: TargetNumber, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let fate = self.fate[&(target, Self::text(&delivery))];
            assert_eq!(fate, Fate::Pending, "{:?} {}", target, Self::text(&delivery));
            let held = self.held.entry(target).or_default();
            assert!(held.iter().all(|other| other.event.id != delivery.event.id), "given twice");
            held.push(delivery);
        }
    }

    /// Claims only when there must be something.
    async fn claim(&mut self, target: TargetNumber) {
        let depth = self.store().depth(target);
        if depth.pending > depth.in_flight + depth.retrying {
            let max = self.random.usize(1..8);
            let some = self.store().claim(target, max, HOUR).await.unwrap();
            self.given(target, some);
        }
    }

    async fn settle(&mut self, target: TargetNumber) {
        let Some(held) = self.held.get_mut(&target).filter(|held| !held.is_empty()) else { return };
        self.random.shuffle(held);
        let some = held.split_off(self.random.usize(..held.len()));
        let (outcome, fate) = match self.random.u8(..8) {
            0 => (dead("no"), Fate::Dead),
            1 | 2 => (retry(Timestamp::from_millis(self.random.u64(1..1_000))), Fate::Pending),
            3 => (crate::Outcome::Release, Fate::Pending),
            _ => (delivered(), Fate::Settled),
        };
        settle(&*self.store(), target, &some, outcome).await;
        for delivery in &some {
            self.fate.insert((target, Self::text(delivery)), fate);
        }
    }

    async fn flush(&mut self) {
        self.store().flush().await.unwrap();
        self.all_durable();
    }

    fn all_durable(&mut self) {
        for fate in self.fate.values_mut().filter(|fate| **fate == Fate::Settled) {
            *fate = Fate::Durable;
        }
    }

    async fn restart(&mut self) {
        if self.random.bool() {
            self.store().close().await.unwrap();
            self.all_durable();
        }
        self.store = None;
        if self.random.u8(..3) == 0 {
            self.folder.delete_index();
        }
        let gate = if self.random.u8(..3) == 0 {
            let (store, gate) = gated(&self.folder);
            self.store = Some(store);
            Some(gate)
        } else {
            self.store = Some(self.folder.store());
            None
        };
        self.held.clear();
        // What was lost with the process may come again: here nothing was, but it is allowed to.
        for fate in self.fate.values_mut().filter(|fate| **fate == Fate::Settled) {
            *fate = Fate::Durable;
        }
        self.check_depths();
        let Some(gate) = gate else { return };
        for _ in 0..self.random.usize(..10) {
            let target = self.targets[self.random.usize(..self.targets.len())];
            self.append().await;
            if self.store().held(target).is_none() {
                self.claim(target).await;
            }
            self.settle(target).await;
        }
        gate.pass(&self.store()).await;
    }

    fn check_depths(&self) {
        for target in &self.targets {
            let of = |fate| {
                self.fate.iter().filter(|((t, _), f)| t == target && **f == fate).count() as u64
            };
            let depth = self.store().depth(*target);
            assert_eq!((depth.pending, depth.dead), (of(Fate::Pending), of(Fate::Dead)));
        }
    }

    async fn expire(&mut self, target: TargetNumber) {
        let count = self.store().expire(target, now().plus(HOUR), "old".into()).await.unwrap();
        let held: BTreeSet<String> =
            self.held.get(&target).into_iter().flatten().map(Self::text).collect();
        let depth = self.store().depth(target);
        assert_eq!(depth.pending, depth.in_flight + depth.retrying);
        // Only the store knows which of the pending ones had a row; the rest expired.
        let pending = self.fate.iter().filter(|((t, text), fate)| {
            *t == target && **fate == Fate::Pending && !held.contains(text)
        });
        let pending: Vec<_> = pending.map(|(key, _)| key.clone()).collect();
        assert_eq!(pending.len() as u64, count + depth.retrying);
        self.flush().await;
        let mut rows = BTreeSet::new();
        for _ in 0..depth.retrying {
            if rows.len() as u64 == depth.retrying {
                break;
            }
            let some = self.store().claim(target, 100, HOUR).await.unwrap();
            rows.extend(some.iter().map(Self::text));
            self.given(target, some);
        }
        for key in pending.into_iter().filter(|(_, text)| !rows.contains(text)) {
            self.fate.insert(key, Fate::Dead);
        }
    }

    /// Gives up every delivery that is not claimed, rows included.
    async fn skip(&mut self, target: TargetNumber) {
        let before = self.store().depth(target);
        let held: BTreeSet<String> =
            self.held.get(&target).into_iter().flatten().map(Self::text).collect();
        let count = self.store().skip(target, now().plus(HOUR), "old".into()).await.unwrap();
        let after = self.store().depth(target);
        assert_eq!((after.pending, after.in_flight), (before.in_flight, before.in_flight));
        assert_eq!(count, before.pending - before.in_flight);
        for ((of, text), fate) in &mut self.fate {
            if *of == target && *fate == Fate::Pending && !held.contains(text) {
                *fate = Fate::Dead;
            }
        }
    }

    /// Replays some dead letters and drops others.
    async fn replay_and_drop(&mut self, target: TargetNumber) {
        self.flush().await;
        let before = self.store().depth(target);
        let letters = self.store().dead_letters(target, None, 20).await.unwrap();
        let some: Vec<_> = letters.iter().filter(|_| self.random.bool()).collect();
        let ids: Vec<_> = some.iter().map(|letter| letter.event).collect();
        let count: u64 = some.iter().map(|letter| letter.count).sum();
        if self.random.u8(..4) == 0 {
            assert_eq!(self.store().drop_dead(target, ids.clone()).await.unwrap(), count);
            let after = self.store().depth(target);
            assert_eq!((after.dead, after.pending), (before.dead - count, before.pending));
            let chosen = ids.into_iter().collect();
            self.forget_dropped(target, &chosen).await;
            return;
        }
        assert_eq!(self.store().replay(target, ids).await.unwrap(), count);
        let after = self.store().depth(target);
        assert_eq!((after.dead, after.pending), (before.dead - count, before.pending + count));
        let mut found = 0;
        while found < count {
            let some = self.store().claim(target, 100, HOUR).await.unwrap();
            for delivery in &some {
                let fate = self.fate.insert((target, Self::text(delivery)), Fate::Pending);
                found += u64::from(fate == Some(Fate::Dead));
            }
            self.given(target, some);
        }
    }

    /// Dead letters that are no longer listed were dropped: nothing else may remove one. The event of a
    /// dropped one may have been removed with its segment.
    async fn forget_dropped(&mut self, target: TargetNumber, chosen: &BTreeSet<EventId>) {
        for (text, id) in self.ids.clone() {
            let key = (target, text);
            if self.fate.get(&key) != Some(&Fate::Dead) {
                continue;
            }
            let Some(known) = self.store().fate(id).await.unwrap() else {
                assert!(self.is_small() && chosen.contains(&id), "{} is gone", key.1);
                self.fate.insert(key, Fate::Dropped);
                continue;
            };
            let (_, fate) = &known.fates[usize::from(target.0)];
            let crate::Fate::Dead { dropped, .. } = fate else { panic!("{fate:?}") };
            if *dropped {
                self.fate.insert(key, Fate::Dropped);
            }
        }
    }

    /// Nothing can be claimed while the target is held, whatever happens to the process.
    async fn hold(&mut self, target: TargetNumber) {
        let kind = crate::HoldKind::Paused;
        let hold = crate::Hold { kind, reason: "a pause".into(), since: now() };
        self.store().hold(target, Some(hold.clone())).await.unwrap();
        self.append().await;
        if self.random.bool() {
            self.restart().await;
        }
        assert_eq!(self.store().held(target), Some(hold));
        let claim = self.store();
        let claim = claim.claim(target, 5, HOUR);
        assert!(tokio::time::timeout(Duration::ZERO, claim).await.is_err());
        self.store().hold(target, None).await.unwrap();
    }

    async fn step(&mut self) {
        let target = self.targets[self.random.usize(..self.targets.len())];
        if self.is_small() {
            // It would look again in a second or ten.
            self.store().shared.retention.ring();
        }
        match self.random.u8(..43) {
            0..12 => self.append().await,
            12..24 => self.claim(target).await,
            24..35 => self.settle(target).await,
            35 | 36 => self.flush().await,
            // Events that expired together are removed with their segments.
            37 | 40 if self.is_small() => self.append().await,
            37 => self.expire(target).await,
            38 => self.replay_and_drop(target).await,
            39 => self.hold(target).await,
            40 => self.skip(target).await,
            _ => self.restart().await,
        }
    }

    /// Everything that is pending can be claimed, and a new index equals the old one. Returns whether a
    /// segment was removed.
    async fn finish(mut self) -> bool {
        self.store().close().await.unwrap();
        self.store = Some(self.folder.store());
        self.held.clear();
        self.check_depths();
        let went = self.store().shared.reader.start() > 0;
        self.store = None;
        let log_bytes = self.folder.log_bytes.take();
        let kept = dump(&self.folder.store());
        let copy = self.folder.copy();
        copy.delete_index();
        // Keys of events that are gone are known for their day, or until the index is lost.
        let known = |mut rows: BTreeMap<(Space, Vec<u8>), Vec<u8>>| {
            rows.retain(|(space, _), _| log_bytes.is_none() || !matches!(space, Space::Seen(_)));
            rows
        };
        assert_eq!(known(dump(&copy.store())), known(kept));
        self.store = Some(self.folder.store());
        for target in self.targets.clone() {
            while self.store().depth(target).pending > self.store().depth(target).in_flight {
                let some = self.store().claim(target, 100, HOUR).await.unwrap();
                self.given(target, some);
            }
            let held = self.held.remove(&target).unwrap_or_default();
            settle(&*self.store(), target, &held, delivered()).await;
            for delivery in &held {
                self.fate.insert((target, Self::text(delivery)), Fate::Settled);
            }
        }
        assert!(self.fate.values().all(|fate| *fate != Fate::Pending));
        went
    }
}

/// Returns in how many walks a segment was removed.
async fn walk_all(seeds: u64, steps: usize, log_bytes: Option<u64>) -> usize {
    let walks: Vec<_> = (0..seeds)
        .map(|seed| {
            tokio::spawn(async move {
                let mut walk = Walk::new(seed, log_bytes).await;
                for step in 0..steps {
                    let stuck = tokio::time::timeout(Duration::from_secs(30), walk.step()).await;
                    assert!(stuck.is_ok(), "seed {seed} hangs in step {step}");
                }
                walk.finish().await
            })
        })
        .collect();
    let mut went = 0;
    for (seed, walk) in walks.into_iter().enumerate() {
        let ended = walk.await;
        went += usize::from(ended.unwrap_or_else(|error| panic!("seed {seed}: {error}")));
    }
    went
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_random_walk_loses_and_repeats_nothing() {
    assert_eq!(walk_all(SEEDS, STEPS, None).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_random_walk_in_a_small_log_loses_and_repeats_nothing() {
    let went = walk_all(SEEDS, STEPS * 3, Some(4 << 20)).await;
    assert!(went > 0, "no segment went");
}
