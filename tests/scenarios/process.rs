//! Starting, stopping, and refusing to start.

use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Daemon, SECRET, body, events, post_all, wait_for};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn sigterm_finishes_running_requests_and_exits_with_0() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let ids = events("draining", 20_000);
    let progress = AtomicUsize::new(0);
    let address = daemon.address();
    let posted = std::thread::scope(|scope| {
        let posting = scope.spawn(|| post_all(address, &ids, 1, 8, &progress));
        wait_for("some requests", || (progress.load(Ordering::Relaxed) > 200).then_some(()));
        let status = daemon.terminate();
        assert_eq!(status.code(), Some(0), "{}", daemon.log());
        posting.join().unwrap()
    });
    assert!(!posted.unanswered.is_empty(), "it ended after the last request");
    assert_eq!(posted.refused.keys().filter(|status| **status != 503).count(), 0, "{posted:?}");
    let text = std::fs::read_to_string(daemon.log_path("audit-log")).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line was written");
    daemon.start();
    daemon.wait_delivered("audit-log", &posted.acknowledged);
    let twice = daemon.delivered("audit-log").into_values().filter(|count| *count > 1).count();
    assert_eq!(twice, 0, "settled deliveries came again");
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused_and_the_first_keeps_working() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let second = daemon.command(&["run"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let error = text(&second);
    assert!(error.contains("in use by another process"), "{error}");
    assert!(error.contains(&*daemon.home().join("data").to_string_lossy()), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    let ids = events("first", 3);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    daemon.wait_delivered("audit-log", &ids);
}

#[test]
fn a_wrong_configuration_is_refused_with_every_problem_at_once() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    assert!(daemon.terminate().success());
    daemon.configure(|setup| {
        setup
            .server("lisen = 1")
            .source_with("other", SECRET, "body_max = \"many\"")
            .target("audit-log", "concurrency = 0\nsettings.path = \"x\"")
            .target("second", "timeout = \"soon\"\nsettings.path = \"y\"")
    });
    let output = daemon.command(&["run"]).output().unwrap();
    let error = text(&output);
    assert_eq!(output.status.code(), Some(78), "{error}");
    for part in ["lisen", "body_max", "concurrency", "timeout"] {
        assert!(error.contains(part), "{part} is missing in:\n{error}");
    }
}

#[test]
fn without_any_secret_the_daemon_does_not_start() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    assert!(daemon.terminate().success());
    for secrets in ["env:NOT_SET", "literal:", "file:missing"] {
        let table = format!("secrets = \"{secrets}\"");
        daemon.configure(|setup| setup.source_table("sqreen", &table));
        let output = daemon.command(&["run"]).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{secrets}: {}", text(&output));
        assert!(text(&output).contains("sqreen"), "{}", text(&output));
    }
}

#[test]
fn no_secret_is_ever_logged() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let ids = events("quiet", 3);
    daemon.post(&body(&ids));
    daemon.post_signed(&body(&ids), "0000");
    daemon.wait_delivered("audit-log", &ids);
    assert!(daemon.terminate().success());
    assert!(!daemon.log().is_empty(), "the log is empty");
    assert!(!daemon.log().contains(SECRET), "{}", daemon.log());
}
