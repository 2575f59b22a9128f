//! Power cuts on a real file system: an acknowledged event is never lost, however often the power fails.
//!
//! The store is on a disk of its own whose power is cut under load; the targets' logs are on another disk, to compare
//! with. One target delivers at once. The other is down most of the time, so its events have to survive several
//! cuts. A negative control shows that the test would notice a daemon that does not sync: with every sync stubbed
//! out it must lose events in its first round.
//!
//! Needs root and a system that can mount file systems; otherwise the tests print that they are skipped. Three
//! rounds, or `DISPATCHER_POWER_ROUNDS` of them. These tests do not show what the cache of a disk loses, or in which
//! order a disk writes.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Daemon, PowerDisk, SECRET, events, post_all, preload, wait_for};

/// Default of `DISPATCHER_POWER_ROUNDS`.
const ROUNDS: usize = 3;
/// The second target is up once in this many rounds.
const UP_EVERY: usize = 3;
/// Most events posted in a round.
const EVENTS: usize = 20_000;
/// The power is cut after a random number of acknowledged events from this range.
const CUT_AFTER: std::ops::Range<usize> = 100..2_500;
/// How often the control is repeated if it lost nothing, because something else synced the disk.
const CONTROLS_MAX: usize = 3;

#[test]
fn every_acknowledged_event_survives_power_cuts_under_load() {
    let rounds = std::env::var("DISPATCHER_POWER_ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds")).max(1);
    let Some(disk) = disk() else { return };
    let mut story = Story::new(disk, None);
    for round in 1..=rounds {
        let up = round % UP_EVERY == 0 || round == rounds;
        let lost = story.round(up);
        assert!(lost.is_empty(), "round {round}: lost {} events: {lost:?}", lost.len());
        if up {
            // Two cuts in a row can lose only settlements, so deliveries are repeated and nothing else changes.
            story.cut_at_rest();
            story.cut_at_rest();
        }
    }
    let Story { disk, acknowledged, .. } = &story;
    eprintln!("{rounds} rounds, {} power cuts, {acknowledged} acknowledged, 0 lost", disk.cuts);
}

#[test]
fn a_daemon_that_does_not_sync_loses_events_in_the_first_round() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let Some(library) = preload("no_sync.c", folder.path(), &[]) else { return };
    for _ in 0..CONTROLS_MAX {
        let Some(disk) = disk() else { return };
        let mut story = Story::new(disk, Some(library.clone()));
        let lost = story.round(true);
        eprintln!("without syncs: {} acknowledged, {} lost", story.acknowledged, lost.len());
        if !lost.is_empty() {
            return;
        }
    }
    panic!("no event was lost: the test would not notice a daemon that does not sync");
}

/// A disk, or `None` after printing why there is none.
fn disk() -> Option<PowerDisk> {
    PowerDisk::new().map_err(|reason| eprintln!("skipped: power cuts: {reason}")).ok()
}

/// A daemon on a disk that loses its power. The daemon ends before the disk is unmounted.
struct Story {
    daemon: Daemon,
    disk: PowerDisk,
    rounds: usize,
    /// Events acknowledged in all rounds.
    acknowledged: usize,
    /// Acknowledged events not yet seen in the log of `up`, and in that of `down`.
    owed: [HashSet<String>; 2],
}

impl Story {
    fn new(disk: PowerDisk, preload: Option<PathBuf>) -> Self {
        // The smallest segments, so that each round begins new ones.
        let store =
            format!("store.directory = {:?}\nstore.segment = \"1MiB\"", disk.path().join("data"));
        let down = "settings.path = \"logs/closed/down.jsonl\"\nretry.backoff_max = \"1s\"";
        let mut setup = Daemon::new()
            .source_with("sqreen", SECRET, "body_max = \"256KiB\"")
            .head(&store)
            .log("up")
            .target("down", down);
        if let Some(library) = preload {
            setup = setup.preload(library);
        }
        let daemon = setup.start();
        daemon.close_folder();
        Self { daemon, disk, rounds: 0, acknowledged: 0, owed: Default::default() }
    }

    /// Loads the daemon, cuts its power and starts it again. Returns the events that were not delivered, those of
    /// the second target only if it is `up` in this round.
    fn round(&mut self, up: bool) -> BTreeSet<String> {
        self.rounds += 1;
        let ids = events(&format!("round-{}", self.rounds), EVENTS);
        let stop_at = fastrand::usize(CUT_AFTER);
        let progress = AtomicUsize::new(0);
        let address = self.daemon.address();
        let posted = std::thread::scope(|scope| {
            let posting = scope.spawn(|| post_all(address, &ids, 3, 8, &progress));
            wait_for("a part of the events", || {
                let done = posting.is_finished();
                (done || progress.load(Ordering::Relaxed) >= stop_at).then_some(())
            });
            self.daemon.kill_9();
            self.disk.cut();
            posting.join().unwrap()
        });
        assert!(posted.refused.is_empty(), "{:?}", posted.refused);
        self.acknowledged += posted.acknowledged.len();
        for owed in &mut self.owed {
            owed.extend(posted.acknowledged.iter().cloned());
        }
        if up {
            self.daemon.open_folder();
        }
        self.daemon.start();
        let mut lost = self.lost("up", 0, "up");
        if up {
            lost.extend(self.lost("down", 1, "closed/down"));
            self.close_again();
        }
        lost
    }

    /// Cuts the power while no request is received.
    fn cut_at_rest(&mut self) {
        self.daemon.kill_9();
        self.disk.cut();
        self.daemon.start();
    }

    /// Waits until the target has no backlog. Acknowledged events that its log then lacks are lost.
    fn lost(&mut self, target: &str, at: usize, log: &str) -> BTreeSet<String> {
        wait_for(&format!("{target} to have everything"), || {
            (pending(&self.daemon, target) == 0).then_some(())
        });
        let delivered = self.daemon.delivered(log);
        let owed = std::mem::take(&mut self.owed[at]);
        owed.into_iter().filter(|id| !delivered.contains_key(id)).collect()
    }

    /// Takes the second target down again, and puts its log aside.
    fn close_again(&self) {
        let logs = self.daemon.home().join("logs");
        if logs.join("closed").exists() {
            fs::rename(logs.join("closed"), logs.join(format!("until-{}", self.rounds))).unwrap();
        }
        self.daemon.close_folder();
    }
}

/// How many deliveries wait for a target.
fn pending(daemon: &Daemon, target: &str) -> u64 {
    let output = daemon.command(&["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let targets = status["targets"].as_array().unwrap();
    targets.iter().find(|row| row["name"] == target).unwrap()["pending"].as_u64().unwrap()
}
