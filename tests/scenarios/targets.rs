//! A failing target affects only itself.

use std::sync::atomic::AtomicUsize;

use crate::harness::{Daemon, SECRET, body, events, post_all, wait_for};

#[test]
fn a_dead_target_delays_no_other_and_gets_everything_once_it_works() {
    let mut daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .target("dead", "settings.path = \"logs/closed/dead.jsonl\"")
        .target("dead-too", "settings.path = \"logs/closed/dead-too.jsonl\"")
        .start();
    daemon.close_folder();
    let ids = events("waiting", 500);
    let posted = post_all(daemon.address(), &ids, 5, 4, &AtomicUsize::new(0));
    assert_eq!(posted.acknowledged.len(), ids.len(), "{posted:?}");
    daemon.wait_delivered("audit-log", &ids);
    wait_for("the log to say that the target is down", || {
        daemon.log().contains("target is down").then_some(())
    });
    // The backlog survives a restart.
    assert!(daemon.terminate().success());
    daemon.start();
    let later = events("later", 10);
    assert_eq!(daemon.post(&body(&later)).status, 200);
    daemon.wait_delivered("audit-log", &later);
    daemon.open_folder();
    for target in ["closed/dead", "closed/dead-too"] {
        daemon.wait_delivered(target, &[ids.as_slice(), &later].concat());
    }
    let twice = daemon.delivered("audit-log").into_values().filter(|count| *count > 1).count();
    assert_eq!(twice, 0, "nothing was written twice to the target that worked");
}

#[test]
fn a_delivery_that_always_fails_is_given_up_after_its_time() {
    let retry = "retry.give_up_after = \"1s\"\nretry.backoff_min = \"100ms\"";
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .target("dead", &format!("settings.path = \"logs/closed/dead.jsonl\"\n{retry}"))
        .start();
    daemon.close_folder();
    assert_eq!(daemon.post(&body(&events("lost", 1))).status, 200);
    wait_for("the dead letter", || daemon.log().contains("dead letter").then_some(()));
    // When the target is fixed, a dead letter is not sent again; later events are.
    daemon.open_folder();
    let later = events("later", 3);
    assert_eq!(daemon.post(&body(&later)).status, 200);
    daemon.wait_delivered("closed/dead", &later);
    assert_eq!(daemon.log_lines("closed/dead").len(), later.len());
}

#[test]
fn a_target_whose_file_is_one_of_the_daemons_does_not_start() {
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .target("own", "settings.path = \"dispatcher.toml\"")
        .start();
    let file = daemon.home().join("dispatcher.toml");
    let before = std::fs::read(&file).unwrap();
    let ids = events("both", 3);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    daemon.wait_delivered("audit-log", &ids);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert!(daemon.log().contains("would write to the configuration"));
    for arguments in [&["check"][..], &["try", "own"], &["reload"]] {
        let output = daemon.command(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn a_path_that_cannot_work_is_reported_and_the_target_works_once_that_is_corrected() {
    let mut daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .target("late", "settings.path = \"logs/closed/late.jsonl\"\nretry.backoff_min = \"100ms\"")
        .start();
    daemon.kill_9();
    daemon.close_folder();
    daemon.start();
    let words = "target `late` has no file to write to";
    assert!(daemon.log().contains(words), "{}", daemon.log());
    for arguments in ["check", "reload"] {
        let output = daemon.command(&[arguments]).output().unwrap();
        let shown = [output.stdout, output.stderr].concat();
        let shown = String::from_utf8_lossy(&shown);
        assert!(!output.status.success() && shown.contains(words), "{shown}");
        assert!(shown.contains("logs/closed is a file, not a folder"), "{shown}");
    }
    let ids = events("late", 3);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    wait_for("status to say why", || {
        let output = daemon.command(&["status"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("logs/closed").then_some(())
    });
    daemon.open_folder();
    daemon.wait_delivered("closed/late", &ids);
}

#[test]
fn a_target_gets_only_the_events_of_its_route() {
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .source("other", SECRET)
        .log("audit-log")
        .log_with("only-other", "route = { sources = [\"other\"] }")
        .log_with("only-tests", "route = [{ types = [\"test\"] }]")
        .log_with("off", "enabled = false")
        .start();
    let ids = events("routed", 3);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    let body = br#"[{"message_type":"test","message_id":"a test"}]"#;
    assert_eq!(daemon.post(body).status, 200);
    let test = ["a test".to_owned()];
    daemon.wait_delivered("audit-log", &[ids.as_slice(), &test].concat());
    daemon.wait_delivered("only-tests", &test);
    assert_eq!(daemon.log_lines("only-tests").len(), 1);
    assert_eq!(daemon.log_lines("only-other").len(), 0);
    assert_eq!(daemon.log_lines("off").len(), 0);
}

#[test]
fn a_target_with_the_file_of_another_one_does_not_start_and_keeps_its_events() {
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .target("one", "settings.path = \"logs/one.jsonl\"")
        .target("old", "settings.path = \"logs/one.jsonl.1\"")
        .start();
    let ids = events("shared", 3);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    daemon.wait_delivered("one", &ids);
    let output = daemon.command(&["status"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("cannot be used: targets `one` and `old` have the same file"),
        "{shown}"
    );
    assert!(!daemon.home().join("logs/one.jsonl.1").exists());
}
