//! Plugins that misbehave in the real daemon: only their own deliveries are affected.

use serde_json::Value;

use crate::harness::{Daemon, SECRET, body, events, wait_for};

/// Longest reason in a log line.
const REASON_BYTES_MAX: usize = 1024;
/// Most lines of one target in the log in ten seconds.
const LOG_LINES_MAX: usize = 100;

/// The setting `act` of a target, more lines of its table, and words that its reason must contain.
const FAILING: [(&str, &str, &str); 9] = [
    ("panic-at-once", "", "the plugin panicked: bomb at once, ***"),
    ("panic-after-await", "", "the plugin panicked: bomb after an await"),
    ("panic-in-blocking", "", "bomb in blocking"),
    ("panic-in-future-drop", "timeout = \"200ms\"", "no answer before the attempt"),
    ("sleep-for-ever", "timeout = \"200ms\"", "no answer before the attempt"),
    ("endless-loop", "timeout = \"200ms\"\nconcurrency = 1", "the attempt was cut"),
    ("huge-reason", "", "a\\u{0}b\\nc\\r\\n"),
    ("secret-in-reason", "", "*** was refused"),
    ("nasty-reason", "", "a\\u{0}b\\nc"),
];

/// These misbehave, but every delivery succeeds.
const DELIVERING: [&str; 4] = ["block-the-thread", "panic-in-drop", "chatter", "hidden-chatter"];

/// Log lines with that message about that target.
fn logged(daemon: &Daemon, message: &str, target: &str) -> Vec<Value> {
    let log = daemon.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let about = lines.filter(|line| line["target"] == target);
    about.filter(|line| line["message"].as_str().is_some_and(|m| m.contains(message))).collect()
}

#[test]
fn a_plugin_that_misbehaves_costs_only_its_own_deliveries() {
    let token = "settings.token = \"env:SQREEN_SECRET\"";
    let acting = |act: &str| format!("settings.act = \"{act}\"\n{token}\n");
    let mut setup = Daemon::new().source("sqreen", SECRET).plugin("each").plugin("batch");
    setup = setup.log("audit-log");
    for (act, lines, _) in FAILING {
        setup = setup.target_of(act, "test-each", &(acting(act) + lines));
    }
    for act in DELIVERING.into_iter().chain(["panic-in-create"]) {
        setup = setup.target_of(act, "test-each", &acting(act));
    }
    setup = setup.target_of("too-few", "test-batch", "settings.act = \"too-few\"");
    let mut daemon = setup.start();

    let first = events("first", 20);
    assert_eq!(daemon.post(&body(&first)).status, 200);
    daemon.wait_delivered("audit-log", &first);
    let miscounting = ("too-few", "", "verdicts for");
    for (target, _, words) in FAILING.into_iter().chain([miscounting]) {
        let line = wait_for(&format!("the failure of {target}"), || {
            logged(&daemon, "delivery failed", target).into_iter().next()
        });
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{target}: {reason}");
        assert!(reason.len() <= REASON_BYTES_MAX, "{target}: {} bytes", reason.len());
        assert!(!reason.contains(['\n', '\r', '\0', '\u{1b}', '\u{202e}']), "{target}: {reason:?}");
    }
    let refused = logged(&daemon, "bomb in create, ***; what is routed", "panic-in-create");
    assert_eq!(refused.len(), 1, "{}", daemon.log());
    wait_for("the blocked thread to be logged", || {
        let lines = logged(&daemon, "blocks a thread", "block-the-thread");
        (!lines.is_empty()).then_some(())
    });
    let chatter = logged(&daemon, "line ", "chatter").len();
    assert!((1..=LOG_LINES_MAX).contains(&chatter), "{chatter} lines of one target");
    wait_for("the line that is not hidden", || {
        let lines = logged(&daemon, "worth a place", "hidden-chatter");
        (lines.len() >= first.len()).then_some(())
    });

    // With a lost thread, receiving and the other target continue.
    for round in 0..5 {
        let ids = events(&format!("later-{round}"), 10);
        assert_eq!(daemon.post(&body(&ids)).status, 200);
        daemon.wait_delivered("audit-log", &ids);
    }
    assert!(daemon.delivered("audit-log").values().all(|count| *count == 1));
    assert!(daemon.terminate().success());
    let dropped = logged(&daemon, "bomb in a drop", "panic-in-drop");
    assert_eq!(dropped.len(), 1, "the drop of the target");
    let cancelled = logged(&daemon, "bomb in a drop", "panic-in-future-drop");
    assert!(!cancelled.is_empty(), "the drop of a cancelled future");
    assert!(!daemon.log().contains(SECRET));
}

/// They hold their threads until the daemon ends.
const HOLDING: usize = 12;

#[test]
fn plugins_that_hold_their_threads_stop_neither_other_targets_nor_the_end() {
    let mut setup = Daemon::new().source("sqreen", SECRET).plugin("each").log("audit-log");
    setup = setup.target_of("quick", "test-each", "settings.act = \"sleep\"");
    for number in 0..HOLDING {
        let lines =
            format!("settings.act = \"hold-the-thread\"\nsettings.file = \"held-{number}\"");
        setup = setup.target_of(&format!("holding-{number}"), "test-each", &lines);
    }
    let mut daemon = setup.start();
    let first = events("first", 20);
    assert_eq!(daemon.post(&body(&first)).status, 200);
    let files: Vec<_> =
        (0..HOLDING).map(|number| daemon.home().join(format!("held-{number}"))).collect();
    let held = || files.iter().map(|file| std::fs::read_to_string(file).unwrap_or_default());
    wait_for("a held thread of each target", || {
        held().all(|text| text.contains("begin")).then_some(())
    });
    for round in 0..5 {
        let ids = events(&format!("later-{round}"), 10);
        let answer = daemon.post(&body(&ids));
        assert_eq!(answer.status, 200);
        daemon.wait_delivered("audit-log", &ids);
        for id in answer.json()["ids"].as_array().unwrap() {
            wait_for("the delivery of the quick target", || {
                let output = daemon.command(&["explain", id.as_str().unwrap()]).output().unwrap();
                let shown = String::from_utf8_lossy(&output.stdout).into_owned();
                shown.contains("→ quick  delivered").then_some(())
            });
        }
    }
    assert!(daemon.terminate().success());
    assert!(held().all(|text| !text.contains("end")), "a thread was given back");
}
