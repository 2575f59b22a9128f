//! The life of a target as `status` shows it, and every way to fail everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;

use super::receiver::Receiver;
use crate::harness::{Daemon, SECRET, body, events, wait_for};

const ROUTE: &str = "route = { sources = [\"sqreen\"] }\n";

/// The row of a target, and the exit code of `status`.
fn status(daemon: &Daemon, target: &str) -> (Value, Option<i32>) {
    let output = daemon.command(&["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut targets = status["targets"].as_array().unwrap().iter();
    let row = targets.find(|row| row["name"] == target).unwrap().clone();
    (row, output.status.code())
}

/// Waits until the target is shown as `kind`, with that exit code; returns its state for people.
#[track_caller]
fn shows(daemon: &Daemon, kind: &str, code: i32) -> String {
    wait_for(&format!("the target to be {kind}"), || {
        let (row, exit) = status(daemon, "hook");
        (row["kind"] == kind).then(|| {
            assert_eq!(exit, Some(code), "{row}");
            let shown = daemon.command(&["status"]).output().unwrap();
            println!("{kind}:\n{}", String::from_utf8_lossy(&shown.stdout));
            row["state"].as_str().unwrap().to_owned()
        })
    })
}

/// A target whose name is changed while deliveries wait: they stay under the old name until a person moves them.
fn is_renamed(daemon: &mut Daemon, receiver: &Receiver, now: &AtomicU16) {
    now.store(500, Ordering::Relaxed);
    assert_eq!(daemon.post(&body(&events("kept", 2))).status, 200);
    shows(daemon, "failing", 1);
    daemon.reload(|setup| receiver.target(setup.without_target("hook"), "new", ROUTE));
    let state = shows(daemon, "removed", 1);
    assert!(state.contains("stays until you move or drop it"), "{state}");
    now.store(200, Ordering::Relaxed);
    let moved =
        daemon.command(&["move", "--from", "hook", "--to", "new", "--yes"]).output().unwrap();
    assert!(moved.status.success(), "{moved:?}");
    wait_for("the new name to have delivered them", || {
        let (row, code) = status(daemon, "new");
        (row["kind"] == "works" && row["pending"] == 0 && code == Some(0)).then_some(())
    });
}

#[test]
fn the_life_of_a_target() {
    let now = Arc::new(AtomicU16::new(200));
    let seen = Arc::clone(&now);
    let receiver = Receiver::answering(move |_| seen.load(Ordering::Relaxed));
    let setup = Daemon::new().source("sqreen", SECRET).log("audit-log").alarms();
    let mut daemon = receiver.target(setup, "hook", ROUTE).start();
    let post = |daemon: &Daemon, name: &str| {
        assert_eq!(daemon.post(&body(&events(name, 1))).status, 200);
    };
    let run = |daemon: &Daemon, arguments: &[&str]| {
        let output = daemon.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };

    assert_eq!(shows(&daemon, "unknown", 0), "unknown: no attempt since it started");
    post(&daemon, "first");
    assert_eq!(shows(&daemon, "works", 0), "works");

    // One event fails: its retries are all that shows it.
    now.store(500, Ordering::Relaxed);
    post(&daemon, "second");
    let state = shows(&daemon, "not_proven", 0);
    assert_eq!(state, "not proven: 1 retrying, last error: answered 500");
    let state = shows(&daemon, "failing", 1);
    assert!(state.contains("last error: answered 500"), "{state}");
    let down = wait_for("the event", || daemon.own_events("target.down").pop());
    assert_eq!((&down["subject"], &down["severity"]), (&"hook".into(), &"error".into()));
    assert_eq!(status(&daemon, "hook").0["last_error"], "answered 500");

    // Over a restart nothing is known but what waits.
    assert!(daemon.terminate().success());
    daemon.start();
    let (row, _) = status(&daemon, "hook");
    let state = row["state"].as_str().unwrap();
    assert!(state.starts_with("not proven") || state.starts_with("failing"), "{state}");

    // So many new events in a row make it down.
    assert_eq!(daemon.post(&body(&events("third", 6))).status, 200);
    wait_for("the target to be down", || {
        let state = shows(&daemon, "failing", 1);
        state.starts_with("down, probing: answered 500; failing since 20").then_some(())
    });
    wait_for("the event", || (daemon.own_events("target.down").len() == 2).then_some(()));
    now.store(200, Ordering::Relaxed);
    post(&daemon, "fourth");
    shows(&daemon, "works", 0);
    let back = wait_for("the event", || daemon.own_events("target.recovered").pop());
    assert_eq!(back["subject"], "hook");

    run(&daemon, &["pause", "hook", "--reason", "moving house"]);
    let state = shows(&daemon, "paused", 1);
    assert!(state.contains("moving house"), "{state}");
    run(&daemon, &["resume", "hook", "--held"]);
    shows(&daemon, "works", 0);

    // Refused: held until a person resumes it.
    now.store(401, Ordering::Relaxed);
    assert_eq!(daemon.post(&body(&events("refused", 20))).status, 200);
    let state = shows(&daemon, "broken", 1);
    assert!(state.contains("answered 401") && state.contains("then resume"), "{state}");
    now.store(200, Ordering::Relaxed);
    run(&daemon, &["resume", "hook", "--held"]);
    shows(&daemon, "works", 0);
    wait_for("all of them", || (status(&daemon, "hook").0["pending"] == 0).then_some(()));
    is_renamed(&mut daemon, &receiver, &now);
}

#[test]
fn what_was_known_of_a_target_stays_shown_until_its_next_attempt() {
    let now = Arc::new(AtomicU16::new(500));
    let seen = Arc::clone(&now);
    let receiver = Receiver::answering(move |_| seen.load(Ordering::Relaxed));
    let setup = Daemon::new().source("sqreen", SECRET).log("audit-log");
    // Nothing is tried again while this runs.
    let retry = format!("retry.backoff_min = \"1h\"\n{ROUTE}");
    let setup = receiver.target(setup, "hook", &retry);
    let mut daemon = setup.target_of("lost", "no-such-plugin", "route.types = \"none\"").start();
    let resume = |daemon: &Daemon, target: &str| {
        daemon.command(&["resume", target, "--held"]).output().unwrap().status.code()
    };
    assert_eq!(daemon.post(&body(&events("down", 5))).status, 200);
    let down = shows(&daemon, "failing", 1);
    assert!(down.contains("down, probing: answered 500; failing since 20"), "{down}");

    assert_eq!(resume(&daemon, "hook"), Some(0));
    // The other target is unusable, which no resume changes.
    let state = shows(&daemon, "not_proven", 1);
    let known = [
        "not proven: resumed by hand at 20",
        "not tried since; 5 retrying",
        "before: down, probing: answered 500; failing since 20",
    ];
    assert!(known.iter().all(|words| state.contains(words)), "{state}");
    assert_eq!(resume(&daemon, "hook"), Some(2), "it is not held");

    assert_eq!(resume(&daemon, "lost"), Some(2));
    let (row, _) = status(&daemon, "lost");
    let state = row["state"].as_str().unwrap();
    assert!(row["kind"] == "failing" && state.starts_with("cannot be used: "), "{row}");

    daemon.reload(|setup| {
        let setup = setup.without_target("hook").without_target("lost");
        receiver.target(setup, "hook", &format!("timeout = \"7s\"\n{retry}"))
    });
    // A reload that replaces a target makes its retries due.
    let fails = shows(&daemon, "failing", 1);
    assert!(fails.contains("answered 500; failing since 20"), "{fails}");

    // What answers but takes nothing was tried, and does not work.
    now.store(400, Ordering::Relaxed);
    daemon.reload(|setup| receiver.target(setup, "fresh", ROUTE));
    assert_eq!(daemon.post(&body(&events("bad", 1))).status, 200);
    wait_for("the rejection", || {
        let state = status(&daemon, "fresh").0["state"].as_str().unwrap().to_owned();
        (state == "not proven, it rejected what it got last: last error: answered 400")
            .then_some(())
    });
}

#[test]
fn after_a_restart_the_last_error_stays_shown_although_nothing_is_tried_yet() {
    let receiver = Receiver::answering(|body| if body.contains("bad") { 500 } else { 200 });
    let setup = Daemon::new().source("sqreen", SECRET).log("audit-log");
    let setup = receiver.target(setup, "hook", &format!("retry.backoff_min = \"1h\"\n{ROUTE}"));
    let mut daemon = setup.start();
    assert_eq!(daemon.post(&body(&events("bad", 2))).status, 200);
    shows(&daemon, "not_proven", 0);
    wait_for("its retries", || (status(&daemon, "hook").0["retrying"] == 2).then_some(()));
    let expected = "not proven since it started: 2 retrying, last error: answered 500";
    assert!(daemon.terminate().success());
    for _ in 0..2 {
        daemon.start();
        let row = wait_for("the last error", || {
            Some(status(&daemon, "hook").0).filter(|row| row["last_error"].is_string())
        });
        assert_eq!((&row["state"], &row["last_error"]), (&expected.into(), &"answered 500".into()));
        daemon.kill_9();
    }
    daemon.start();
    wait_for("the last error", || {
        status(&daemon, "hook").0["last_error"].is_string().then_some(())
    });
    assert_eq!(receiver.bodies().len(), 2, "nothing was tried again");
    assert_eq!(daemon.post(&body(&events("good", 1))).status, 200);
    let state = shows(&daemon, "works", 0);
    assert_eq!(state, "works; 2 retrying, last error: answered 500");
}

#[test]
fn a_target_that_fails_everything_is_failing_whatever_it_fails_with() {
    let down = Receiver::answering(|_| 500);
    let setup = Daemon::new().source("sqreen", SECRET).plugin("each").log("audit-log").alarms();
    let setup = down.target(setup, "answers-500", ROUTE);
    let denied = format!("settings.url = \"{}/hook\"\n{ROUTE}", down.url());
    let daemon = setup
        .target("no-permission", &format!("settings.path = \"logs/closed/x.jsonl\"\n{ROUTE}"))
        .target_of("not-allowed", "http", &denied)
        .target_of("panics", "test-each", &format!("settings.act = \"panic-at-once\"\n{ROUTE}"))
        .start();
    daemon.close_folder();
    // Fewer than open the circuit breaker.
    let ids = events("three", 3);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    daemon.wait_delivered("audit-log", &ids);
    for (target, words) in [
        ("answers-500", "answered 500"),
        ("no-permission", "closed"),
        ("not-allowed", "may not reach"),
        ("panics", "bomb at once"),
    ] {
        let row = wait_for(&format!("{target} to be failing"), || {
            Some(status(&daemon, target).0).filter(|row| row["kind"] == "failing")
        });
        for key in ["state", "last_error"] {
            assert!(row[key].as_str().unwrap().contains(words), "{row}");
        }
        wait_for("its event", || {
            let events = daemon.own_events("target.down");
            events.iter().any(|event| event["subject"] == target).then_some(())
        });
    }
    let (row, code) = status(&daemon, "audit-log");
    assert_eq!((&row["kind"], code), (&"works".into(), Some(1)), "{row}");
    let shown = daemon.command(&["status"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.starts_with("4 targets need attention; 12 deliveries wait"), "{shown}");
}
