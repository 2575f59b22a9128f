//! Plugins that do what they must not, in the real daemon: only their own deliveries suffer.

use serde_json::Value;

use crate::harness::{Daemon, SECRET, body, events, wait_for};

/// Longest reason that is kept, as it stands in a line of the log.
const REASON_BYTES_MAX: usize = 1024;
/// Most lines of one target in the log in ten seconds.
const LOG_LINES_MAX: usize = 100;

/// What a target is told to do, further lines of its table, and words of the reason that must be given.
const FAILING: [(&str, &str, &str); 9] = [
    ("panic-at-once", "", "the plugin panicked: bomb at once, ***"),
    ("panic-after-await", "", "the plugin panicked: bomb after an await"),
    ("panic-in-blocking", "", "bomb in blocking"),
    ("panic-in-future-drop", "timeout = \"200ms\"", "no answer before the time"),
    ("sleep-for-ever", "timeout = \"200ms\"", "no answer before the time"),
    ("endless-loop", "timeout = \"200ms\"\nconcurrency = 1", "the attempt was cut"),
    ("huge-reason", "", "a\\u{0}b\\nc\\r\\n"),
    ("secret-in-reason", "", "*** was refused"),
    ("nasty-reason", "", "a\\u{0}b\\nc"),
];

/// These fail nobody, but do not behave either.
const DELIVERING: [&str; 4] = ["block-the-thread", "panic-in-drop", "chatter", "hidden-chatter"];

/// Lines of the log with that message about that target.
fn told(daemon: &Daemon, message: &str, target: &str) -> Vec<Value> {
    let log = daemon.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let about = lines.filter(|line| line["to"] == target);
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
    let gave = ("too-few", "", "verdicts for");
    for (target, _, words) in FAILING.into_iter().chain([gave]) {
        let line = wait_for(&format!("the failure of {target}"), || {
            told(&daemon, "delivery failed", target).into_iter().next()
        });
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{target}: {reason}");
        assert!(reason.len() <= REASON_BYTES_MAX, "{target}: {} bytes", reason.len());
        assert!(!reason.contains(['\n', '\r', '\0', '\u{1b}', '\u{202e}']), "{target}: {reason:?}");
    }
    let refused = told(&daemon, "bomb in create, ***; what is routed", "panic-in-create");
    assert_eq!(refused.len(), 1, "{}", daemon.log());
    wait_for("the thread that is blocked to be told", || {
        let told = told(&daemon, "blocks a thread", "block-the-thread");
        (!told.is_empty()).then_some(())
    });
    let chatter = told(&daemon, "line ", "chatter").len();
    assert!((1..=LOG_LINES_MAX).contains(&chatter), "{chatter} lines of one target");
    wait_for("the line that is not hidden", || {
        let told = told(&daemon, "worth a place", "hidden-chatter");
        (told.len() >= first.len()).then_some(())
    });

    // With a thread gone for ever, receiving and the other target go on.
    for round in 0..5 {
        let ids = events(&format!("later-{round}"), 10);
        assert_eq!(daemon.post(&body(&ids)).status, 200);
        daemon.wait_delivered("audit-log", &ids);
    }
    assert!(daemon.delivered("audit-log").values().all(|count| *count == 1));
    assert!(daemon.terminate().success());
    let dropped = told(&daemon, "bomb in a drop", "panic-in-drop");
    assert_eq!(dropped.len(), 1, "the drop of the target");
    let cancelled = told(&daemon, "bomb in a drop", "panic-in-future-drop");
    assert!(!cancelled.is_empty(), "the drop of a cancelled future");
    assert!(!daemon.log().contains(SECRET));
}
