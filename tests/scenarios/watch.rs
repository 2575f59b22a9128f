//! Problems that no request and no delivery reveals: a silent source, a disk with little space.

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use crate::harness::{Daemon, SECRET, body, events, wait_for};

#[test]
fn a_source_that_falls_silent_is_reported_once_until_something_comes_and_a_reload_decides_which() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").alarms().start();
    let first = events("first", 1);
    assert_eq!(daemon.post(&body(&first)).status, 200);
    daemon.wait_delivered("audit-log", &first);
    assert!(!daemon.log().contains("source.silent"), "not configured yet");
    let logged = daemon.reload(|setup| {
        setup.source_with("sqreen", SECRET, "silent_after = \"1s\"\n").free_low("1000TiB")
    });
    assert_eq!(logged["message"], "reloaded");
    assert!(!daemon.log().contains("needs a restart"));
    let silent = wait_for("the silence", || daemon.own_events("source.silent").pop());
    assert_eq!((&silent["subject"], &silent["severity"]), (&"sqreen".into(), &"warning".into()));
    let reason = silent["data"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("no accepted request for 1s, the last came at 2"), "{reason}");
    // The checks go on. An accepted request ends a silence; a refused one does not.
    let silences = || daemon.log().matches("source.silent: ").count();
    assert_eq!(daemon.post_signed(b"[]", &"0".repeat(64)).status, 401);
    assert_eq!(silences(), 1);
    assert_eq!(daemon.post(&body(&events("second", 1))).status, 200);
    wait_for("the next silence", || (silences() == 2).then_some(()));
    // The same reload applied `free_low`; all these checks reported it only once.
    assert_eq!(daemon.log().matches("disk.low: ").count(), 1);
}

#[test]
fn a_restart_neither_restarts_a_silence_nor_reports_it_twice() {
    let mut daemon = Daemon::new()
        .source_with("sqreen", SECRET, "silent_after = \"1s\"\n")
        .source_with("rare", SECRET, "silent_after = \"20d\"\n")
        .log("audit-log")
        .alarms()
        .start();
    let logged = |daemon: &Daemon, source: &str| {
        let events = daemon.own_events("source.silent");
        events.iter().filter(|event| event["subject"] == source).count()
    };
    wait_for("the silence", || (logged(&daemon, "sqreen") == 1).then_some(()));
    assert!(daemon.terminate().success());
    // Pretend that the daemon has run for twenty days since then.
    let file = daemon.home().join("data/silence.json");
    let mut kept: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for source in kept.iter_mut().filter(|source| source["source"] == "rare") {
        assert_eq!(source["alarmed"], false);
        source["silent_ms"] = Value::from(20 * 86_400_000_u64);
    }
    std::fs::write(&file, serde_json::to_vec(&kept).unwrap()).unwrap();
    daemon.configure(|setup| setup.source_with("fresh", SECRET, "silent_after = \"1s\"\n"));
    daemon.start();
    wait_for("the long silence", || (logged(&daemon, "rare") == 1).then_some(()));
    // If the restart had restarted the first silence, it would have been reported by now.
    wait_for("a new silence", || (logged(&daemon, "fresh") == 1).then_some(()));
    assert_eq!(logged(&daemon, "sqreen"), 1);
    assert_eq!(daemon.post(&body(&events("back", 1))).status, 200);
    wait_for("the next silence", || (logged(&daemon, "sqreen") == 2).then_some(()));
}

#[test]
fn little_space_for_the_store_is_reported_once_at_the_start() {
    let setup = Daemon::new().source_with("sqreen", SECRET, "silent_after = \"2s\"\n");
    let daemon = setup.log("audit-log").alarms().free_low("1000TiB").start();
    let low = wait_for("the event", || daemon.own_events("disk.low").pop());
    assert_eq!(low["subject"], daemon.home().join("data").to_str().unwrap());
    assert_eq!((&low["severity"], &low["data"]["count"]), (&"critical".into(), &1.into()));
    let reason = low["data"]["reason"].as_str().unwrap();
    assert!(reason.contains("B free, less than store.free_low (1000TiB)"), "{reason}");
    // A later check of the same timer reports the silence.
    wait_for("the silence", || daemon.own_events("source.silent").pop());
    assert_eq!(daemon.log().matches("disk.low: ").count(), 1);
    // A target without a route gets what senders send.
    let ids = events("last", 1);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    daemon.wait_delivered("audit-log", &ids);
    let log = std::fs::read_to_string(daemon.log_path("audit-log")).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn a_pipe_in_place_of_what_is_saved_of_sources_delays_neither_a_start_nor_a_stop() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let ids = events("once", 1);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    for name in ["silence.json", "silence.new"] {
        assert!(daemon.terminate().success());
        let path = daemon.home().join("data").join(name);
        let _ = std::fs::remove_file(&path);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        daemon.start();
        assert_eq!(daemon.post(&body(&ids)).json()["duplicates"], 1, "{name}");
    }
    assert!(daemon.terminate().success());
    assert!(daemon.log().contains("silence.json: it is not a regular file"), "{}", daemon.log());
}
