//! `kill -9` at the worst moments: an acknowledged event is never lost.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Daemon, SECRET, body, events, post_all, wait_for};

/// A log that writes one event per call and syncs each time.
const SLOW: &str = "batch.max = 1\nconcurrency = 1\nsettings.sync = true";
/// A log in the folder that `close_folder` makes unwritable.
const DOWN: &str = "settings.path = \"logs/closed/down.jsonl\"";

#[test]
fn every_acknowledged_event_of_ten_thousand_arrives_despite_kill_9() {
    let mut daemon =
        Daemon::new().source("sqreen", SECRET).log_with("slow", SLOW).target("down", DOWN).start();
    daemon.close_folder();
    let mut left = events("crash", 10_000);
    let mut acknowledged = Vec::new();
    // Killed after about a third of the events and after two thirds; the last run is not killed.
    for stop_at in [3_000, 3_000, usize::MAX] {
        let progress = AtomicUsize::new(0);
        let address = daemon.address();
        let posted = std::thread::scope(|scope| {
            let posting = scope.spawn(|| post_all(address, &left, 5, 8, &progress));
            wait_for("a part of the events", || {
                let done = posting.is_finished();
                (done || progress.load(Ordering::Relaxed) >= stop_at).then_some(())
            });
            if stop_at < usize::MAX {
                daemon.kill_9();
            }
            posting.join().unwrap()
        });
        assert!(posted.refused.is_empty(), "{:?}", posted.refused);
        acknowledged.extend(posted.acknowledged);
        left = posted.unanswered;
        if stop_at < usize::MAX {
            assert!(!left.is_empty(), "the kill came after the last event");
            daemon.start();
        }
    }
    assert_eq!((acknowledged.len(), left.len()), (10_000, 0));
    // Killed again with a backlog, which is then delivered at full speed.
    daemon.kill_9();
    daemon.configure(|setup| setup.log("slow"));
    daemon.open_folder();
    daemon.start();
    daemon.wait_delivered("slow", &acknowledged);
    daemon.wait_delivered("closed/down", &acknowledged);
}

#[test]
fn a_request_of_a_thousand_events_is_stored_whole_or_not_at_all() {
    const ROUNDS: usize = 8;
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let began = Instant::now();
    assert_eq!(daemon.post(&body(&events("undisturbed", 1_000))).status, 200);
    let usual = began.elapsed();
    let mut answered = Vec::new();
    for round in 0..ROUNDS {
        let ids = events(&format!("round-{round}"), 1_000);
        let address = daemon.address();
        let posted = std::thread::scope(|scope| {
            let posting =
                scope.spawn(|| post_all(address, &ids, ids.len(), 1, &AtomicUsize::new(0)));
            // A random moment between the start of the request and shortly after its response.
            std::thread::sleep(usual.mul_f64(1.3 * fastrand::f64()) + Duration::from_micros(1));
            daemon.kill_9();
            posting.join().unwrap()
        });
        answered.push(!posted.acknowledged.is_empty());
        daemon.start();
    }
    // Deliveries are in order: once the last event is there, all events of the rounds are.
    let last = ["the last one".to_owned()];
    assert_eq!(daemon.post(&body(&last)).status, 200);
    daemon.wait_delivered("audit-log", &last);
    let delivered = daemon.delivered("audit-log");
    for (round, answered) in answered.into_iter().enumerate() {
        let ids = events(&format!("round-{round}"), 1_000);
        let count = ids.iter().filter(|id| delivered.contains_key(*id)).count();
        let allowed = if answered { &[1_000][..] } else { &[0, 1_000] };
        assert!(allowed.contains(&count), "round {round}: {count} of 1,000 (answered: {answered})");
    }
}

#[test]
fn a_restart_without_the_index_loses_nothing_and_repeats_nothing() {
    let mut daemon =
        Daemon::new().source("sqreen", SECRET).log("audit-log").target("down", DOWN).start();
    daemon.close_folder();
    let ids = events("kept", 600);
    let posted = post_all(daemon.address(), &ids, 3, 4, &AtomicUsize::new(0));
    assert_eq!(posted.acknowledged.len(), ids.len());
    daemon.wait_delivered("audit-log", &ids);
    assert!(daemon.terminate().success());
    fs::remove_dir_all(daemon.home().join("data/index")).unwrap();
    daemon.start();
    // Repetitions are still recognized.
    let again = daemon.post(&body(&ids[..3]));
    assert_eq!((again.status, &again.json()["duplicates"]), (200, &3.into()));
    let later = events("later", 10);
    assert_eq!(daemon.post(&body(&later)).status, 200);
    daemon.wait_delivered("audit-log", &later);
    assert_eq!(daemon.log_lines("audit-log").len(), ids.len() + later.len());
    daemon.open_folder();
    daemon.wait_delivered("closed/down", &[ids, later].concat());
}
