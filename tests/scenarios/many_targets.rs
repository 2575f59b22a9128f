//! Many targets: the threads of the daemon do not grow with them.

use std::fs;

use crate::harness::{Daemon, SECRET, Setup, body, events, wait_for};

const TARGETS: usize = 300;
/// On a busy machine work seems to hang, and then a few more threads are started step by step.
const THREADS_MAX: usize = TARGETS / 2;

#[test]
fn three_hundred_targets_are_served_by_few_threads() {
    let names: Vec<String> = (0..TARGETS).map(|number| format!("log-{number}")).collect();
    let setup =
        names.iter().fold(Daemon::new().source("sqreen", SECRET), |setup, name| setup.log(name));
    let daemon = setup.start();
    let mut most = 0;
    let mut sent = Vec::new();
    for round in 0..5 {
        let ids = events(&format!("round-{round}"), 20);
        assert_eq!(daemon.post(&body(&ids)).status, 200);
        sent.extend(ids);
        for name in &names {
            most = most.max(daemon.threads());
            wait_for("the deliveries", || {
                most = most.max(daemon.threads());
                let log = fs::read(daemon.log_path(name)).unwrap_or_default();
                let lines = log.iter().filter(|byte| **byte == b'\n').count();
                (lines >= sent.len()).then_some(())
            });
        }
    }
    println!("{most} threads serve {TARGETS} targets");
    assert!(most <= THREADS_MAX, "{most} threads, at most {THREADS_MAX}");
    daemon.wait_delivered("log-299", &sent);
}

/// With segments of 1 MiB a store knows fewer than 1,800 names.
const NAMES: usize = 900;

/// Targets with files in that folder, named by it, that get these types of events.
fn named(setup: Setup, folder: &str, types: &str) -> Setup {
    let target = |setup: Setup, number| {
        let lines =
            format!("settings.path = \"logs/{folder}/{number}.jsonl\"\nroute.types = \"{types}\"");
        setup.target(&format!("{folder}-{number}"), &lines)
    };
    (0..NAMES).fold(setup.log("audit-log"), target)
}

#[test]
fn more_names_than_the_store_takes_are_refused_by_check_and_reload_and_the_daemon_goes_on() {
    let new = || Daemon::new().head("store.segment = \"1MiB\"").source("sqreen", SECRET);
    let mut daemon = named(new(), "closed", "*").start();
    daemon.close_folder();
    let mut sent = events("before", 2);
    assert_eq!(daemon.post(&body(&sent)).status, 200);
    daemon.wait_delivered("audit-log", &sent);
    // What waits for the old names keeps them.
    daemon.configure(|_| named(new(), "new", "*"));
    for command in ["check", "reload"] {
        let output = daemon.command(&[command]).output().unwrap();
        let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}: {shown}");
        for part in ["the store knows 901 targets, and 900 new ones are too many", "drop or move"] {
            assert!(shown.contains(part), "{command}: {shown}");
        }
    }
    let ids = events("after", 3);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    sent.extend(ids);
    daemon.wait_delivered("audit-log", &sent);
    daemon.configure(|_| named(new(), "closed", "*"));
    daemon.kill_9();
    daemon.start();
    daemon.open_folder();
    sent.extend(events("restart", 3));
    assert_eq!(daemon.post(&body(&sent[5..])).status, 200);
    daemon.wait_delivered("audit-log", &sent);
    daemon.wait_delivered("closed/899", &sent[..2]);
}

/// More reloads with new names than the store could keep names of.
const RELOADS: usize = 6;

#[test]
fn names_that_come_and_go_by_reloads_fill_nothing() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let mut sent = Vec::new();
    for round in 0..RELOADS {
        let setup = |setup| named(setup, &format!("round-{round}"), "never");
        let reload = daemon.reload(|_| setup(Daemon::new().source("sqreen", SECRET)));
        assert_eq!(reload["started"].as_str().unwrap().split(", ").count(), NAMES, "{round}");
        let ids = events(&format!("round-{round}"), 1);
        assert_eq!(daemon.post(&body(&ids)).status, 200);
        sent.extend(ids);
        daemon.wait_delivered("audit-log", &sent);
    }
    daemon.kill_9();
    daemon.start();
    sent.extend(events("restart", 3));
    assert_eq!(daemon.post(&body(&sent[sent.len() - 3..])).status, 200);
    daemon.wait_delivered("audit-log", &sent);
}
