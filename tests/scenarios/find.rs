//! Where an id comes from, what an event said, and what waits for its time: `events`, `show`, `tail`, `retry`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use super::twilio::{TAKEN, Twilio, events_in};
use crate::harness::{
    Daemon, SECRET, body, events, output, post, post_all, status, stdout, wait_for,
};

#[track_caller]
fn refused(daemon: &Daemon, arguments: &[&str], code: i32) -> String {
    let output = output(daemon, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The ids that `events` finds.
#[track_caller]
fn found(daemon: &Daemon, arguments: &[&str]) -> Vec<String> {
    let text = stdout(daemon, &[&["events", "--json"], arguments].concat());
    let ids = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    ids.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn events_are_found_newest_first_by_what_they_are_and_by_what_became_of_them() {
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .target(
            "frail",
            "route.types = \"security_event\"\nsettings.path = \"logs/closed/frail.jsonl\"",
        )
        .start();
    daemon.close_folder();
    let attacks = post(&daemon, &body(&events("attack", 3)));
    let test = post(
        &daemon,
        r#"[{"message_type":"test","message_id":"a test","x": "Zürich"}]"#.as_bytes(),
    );
    daemon.wait_delivered("audit-log", &events("attack", 3));
    let newest: Vec<_> = attacks.iter().chain(&test).rev().cloned().collect();
    // The daemon's own events, such as that a target is down, come when they come.
    let sent = ["--source", "sqreen"];
    assert_eq!(found(&daemon, &sent), newest);
    assert_eq!(found(&daemon, &["--max", "2", "--source", "sqreen"]), newest[..2]);
    for (arguments, expected) in [
        (&["--source", "sqreen", "--since", "1h"][..], &newest[..]),
        (&["--source", "sqreen", "--since", "7d"], &newest[..]),
        (&["--type", "test"], &test[..]),
        (&["--type", "!sec*", "--source", "sqreen"], &test[..]),
        (&["--text", "zÜRICH"], &test[..]),
        (&["--text", "attack attack-00001"], &attacks[1..2]),
        (&["--target", "audit-log"], &newest[..]),
        (&["--target", "frail", "--state", "not-routed"], &test[..]),
        (&["--severity", "critical", "--type", "test"], &[]),
        (&["--source", "other", "--severity", "critical"], &[]),
    ] {
        assert_eq!(found(&daemon, arguments), expected, "{arguments:?}");
    }
    let failed: Vec<_> = attacks.iter().rev().cloned().collect();
    assert_eq!(found(&daemon, &["--target", "frail"]), failed);
    wait_for("a retry", || {
        let waits = ["waiting", "retrying"].map(|state| found(&daemon, &["--state", state]));
        let all: BTreeSet<_> = waits.concat().into_iter().collect();
        (!waits[1].is_empty() && all.len() == 3).then_some(())
    });
    wait_for("the deliveries", || {
        let delivered = found(&daemon, &["--target", "audit-log", "--state", "delivered"]);
        (delivered == newest).then_some(())
    });
    // For people: columns, in a pipe with the whole time.
    let shown = stdout(&daemon, &["events", "--source", "sqreen"]);
    let mut lines = shown.lines();
    assert!(lines.next().unwrap().starts_with("ID  "), "{shown}");
    let first = lines.next().unwrap();
    assert!(
        first.starts_with(&format!("{}  20", newest[0])) && first.contains("  test "),
        "{first}"
    );
    assert_eq!(stdout(&daemon, &["events", "--text", "nothing has this"]), "no such events\n");
}

#[test]
fn what_cannot_be_asked_is_refused_with_its_reason() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    for (arguments, code, part) in [
        (&["events", "--source", "sqren"][..], 1, "configured: sqreen"),
        (&["events", "--target", "fril"], 1, "unknown target"),
        (&["events", "--state", "lost"], 2, "not-routed"),
        (&["events", "--severity", "bad"], 2, "critical"),
        (&["events", "--type", "!!x"], 2, "at most one !"),
        (&["events", "--since", "yesterday"], 2, "2h"),
        (&["events", "--max", "0"], 2, "--max"),
        (&["events", "--max", "10001"], 2, "at most 10000 without --json"),
        (&["events", "--source", ""], 2, "--source"),
        (&["events", "--type", ""], 2, "--type"),
        (&["refused", ""], 2, "[SOURCE]"),
        (&["dead", "list", "--target", ""], 2, "--target"),
        (&["tail", "--last", "101"], 2, "--last"),
        (&["tail", "--count", "0", "--last", "5"], 2, "--count"),
        (&["sign"], 2, "give --source NAME, or --scheme NAME --secret SECRET"),
        (&["verify"], 2, "give --source NAME, or --scheme NAME --secret SECRET, or --list"),
    ] {
        let error = refused(&daemon, arguments, code);
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
}

#[test]
fn show_prints_the_data_as_it_was_sent() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let data =
        r#"{ "message_type": "test","message_id":"spaces  stay", "n": 1.000000000000000000001}"#;
    let id = post(&daemon, format!("[{data}]").as_bytes()).remove(0);
    assert_eq!(stdout(&daemon, &["show", &id]), data);
    assert_eq!(stdout(&daemon, &["show", "--raw", &id]), data);
    let error = refused(&daemon, &["show", "01KB5XG3ZJ0003N0000000400A"], 1);
    assert!(error.contains("is not stored"), "{error}");
    assert!(refused(&daemon, &["show", "x"], 2).contains("not a valid event id"));
}

#[test]
fn tail_begins_with_what_happened_last() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    daemon.post_signed(b"{}", &"0".repeat(64));
    let ids = post(&daemon, &body(&events("before", 12)));
    daemon.wait_delivered("audit-log", &events("before", 12));
    let mut tail = daemon.command(&["tail", "--count", "1"]);
    let mut tail = tail.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines().map(Result::unwrap);
    let before: Vec<String> = lines.by_ref().take(10).collect();
    for (line, id) in before.iter().zip(&ids[2..]) {
        assert!(line.contains(&format!(" event     {id} sqreen → audit-log  ")), "{line}");
    }
    daemon.post_signed(b"{}", &"0".repeat(64));
    // A line of what happens from here on ends it.
    assert_eq!(lines.count(), 1);
    assert!(tail.wait().unwrap().success());
}

#[test]
fn tail_loses_no_event_between_those_of_before_and_what_happens() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let is_followed = AtomicBool::new(false);
    post(&daemon, &body(&events("before", 60)));
    let (seen, marker) = std::thread::scope(|scope| {
        let senders = scope.spawn(|| {
            let batches = (0..).take_while(|_| !is_followed.load(Ordering::Relaxed));
            for batch in batches {
                let ids = events(&format!("flow-{batch}"), 40);
                post_all(daemon.address(), &ids, 1, 4, &AtomicUsize::new(0));
            }
        });
        let mut tail = daemon.command(&["tail", "--json", "--last", "60"]);
        let mut tail = tail.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(tail.stdout.take().unwrap()).lines().map(Result::unwrap);
        let lines = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let mut lines = lines.filter(|line| line["what"] == "event" && line["source"] == "sqreen");
        let mut seen: Vec<Value> = lines.by_ref().take(80).collect();
        is_followed.store(true, Ordering::Relaxed);
        senders.join().unwrap();
        // Comes after all others.
        let marker = post(&daemon, &body(&events("marker", 1))).remove(0);
        seen.extend(lines.take_while(|line| line["event"] != *marker));
        tail.kill().unwrap();
        tail.wait().unwrap();
        (seen, marker)
    });
    let seen: Vec<&str> = seen.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let stored = found(&daemon, &["--source", "sqreen", "--max", "100000"]);
    let mut stored: Vec<&str> = stored.iter().map(String::as_str).collect();
    stored.reverse();
    let from = stored.iter().position(|id| seen.contains(id)).unwrap();
    let expected: BTreeSet<&str> = stored[from..].iter().copied().collect();
    let all: BTreeSet<&str> = seen.iter().copied().chain([marker.as_str()]).collect();
    assert_eq!(all, expected);
    assert_eq!(seen.len() + 1, all.len(), "each is shown once");
}

/// A target that failed and waits an hour for its next attempt.
fn waiting(count: usize) -> (Daemon, Vec<String>) {
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .target(
            "frail",
            "settings.path = \"logs/closed/frail.jsonl\"\nretry.backoff_min = \"1h\"\nretry.backoff_max = \"2h\"",
        )
        .start();
    daemon.close_folder();
    let ids = post(&daemon, &body(&events("late", count)));
    wait_for("the retries", || {
        let status = status(&daemon);
        (status["targets"][0]["retrying"] == count).then_some(())
    });
    (daemon, ids)
}

#[test]
fn a_retry_attempts_now_what_waits_for_its_time() {
    let (daemon, ids) = waiting(3);
    let error = refused(&daemon, &["resume", "frail"], 2);
    assert!(error.contains("`dispatcher retry frail`"), "{error}");
    daemon.open_folder();
    let unasked = output(&daemon, &["retry", "frail"]);
    assert_eq!(unasked.status.code(), Some(2));
    let asked = String::from_utf8(unasked.stdout).unwrap();
    assert_eq!(asked, "3 deliveries wait for their next attempt at frail\n");
    let one = stdout(&daemon, &["retry", &ids[1]]);
    assert_eq!(one, "1 delivery waits for its next attempt\ndue now: 1\n");
    daemon.wait_delivered("closed/frail", &events("late", 3)[1..2]);
    let others = stdout(&daemon, &["retry", "frail", "--yes"]);
    assert!(others.ends_with("due now: 2\n"), "{others}");
    daemon.wait_delivered("closed/frail", &events("late", 3));
    let explained = stdout(&daemon, &["explain", &ids[0]]);
    assert!(explained.contains("attempt 2"), "{explained}");
    wait_for("nothing to wait", || {
        let none = stdout(&daemon, &["retry", "--all"]);
        (none == "nothing waits for its next attempt\n").then_some(())
    });
    assert!(refused(&daemon, &["retry", &ids[0]], 1).contains("`dispatcher explain ID`"));
    assert!(refused(&daemon, &["retry", "fril"], 1).contains("unknown target"));
    let error = refused(&daemon, &["retry", "01KB5XG3ZJ0003N0000000400A"], 1);
    assert!(error.contains("is not stored"), "{error}");
}

#[test]
fn a_retry_leaves_a_pause_alone() {
    let (daemon, ids) = waiting(2);
    daemon.open_folder();
    stdout(&daemon, &["pause", "frail"]);
    for what in ["frail", &ids[0]] {
        let error = refused(&daemon, &["retry", what, "--yes"], 2);
        assert!(
            error.contains("target frail is paused; `dispatcher resume TARGET` ends that"),
            "{error}"
        );
    }
    let all = stdout(&daemon, &["retry", "--all", "--yes"]);
    let stay = "2 deliveries stay at targets that cannot deliver: ";
    assert!(
        all.starts_with(stay) && all.ends_with("\nnothing waits for its next attempt\n"),
        "{all}"
    );
    let held = &status(&daemon)["targets"][0];
    assert_eq!((&held["pending"], &held["retrying"]), (&2.into(), &2.into()));
    stdout(&daemon, &["resume", "frail", "--held"]);
    assert_eq!(stdout(&daemon, &["retry", "frail", "--yes"]).lines().last(), Some("due now: 2"));
    daemon.wait_delivered("closed/frail", &events("late", 2));
}

#[test]
fn a_retry_sends_a_message_whole_and_leaves_what_waits_for_the_next_one() {
    let twilio = Twilio::playing(|number, to| match (number, to) {
        (0, to) if !to.is_empty() => (503, "", ""),
        _ => TAKEN,
    });
    let lines = "route = { sources = [\"sqreen\"] }\ndigest.every = \"1h\"\n\
                 retry.backoff_min = \"1h\"\nretry.backoff_max = \"2h\"";
    let setup = Daemon::new().source("sqreen", SECRET);
    let daemon = twilio.target(setup, &["+33600000001"], lines).start();
    let ids = post(&daemon, &body(&events("early", 3)));
    let rows = |count: usize| {
        wait_for("the rows", || (status(&daemon)["targets"][0]["retrying"] == count).then_some(()));
    };
    rows(3);
    let next = post(&daemon, &body(&events("next", 2)));
    rows(5);
    for what in [&next[0], &next[1]] {
        assert!(refused(&daemon, &["retry", what], 1).contains("`dispatcher explain ID`"));
    }
    let one = stdout(&daemon, &["retry", &ids[1], "--yes"]);
    assert_eq!(one, "3 deliveries wait for their next attempt\ndue now: 3\n");
    let taken = wait_for("the message", || twilio.taken().pop());
    assert_eq!(events_in(&taken), 3, "{taken:?}");
    rows(2);
    assert_eq!(stdout(&daemon, &["retry", "--all"]), "nothing waits for its next attempt\n");
    assert_eq!(twilio.asked().len(), 2);
}

#[test]
fn a_reload_that_replaces_a_target_attempts_now_what_waits_for_it() {
    let (mut daemon, _) = waiting(2);
    daemon.open_folder();
    let retry = "retry.backoff_min = \"50m\"\nretry.backoff_max = \"2h\"";
    let lines = format!("settings.path = \"logs/closed/frail.jsonl\"\n{retry}");
    let reloaded = daemon.reload(|setup| setup.target("frail", &lines));
    assert_eq!(reloaded["replaced"], "frail");
    daemon.wait_delivered("closed/frail", &events("late", 2));
}

#[test]
fn a_status_that_is_watched_prints_only_json_also_while_the_daemon_is_away() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let mut watch = daemon.command(&["status", "--watch", "1", "--json"]);
    let watch = watch.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    daemon.kill_9();
    let mut said = String::new();
    BufReader::new(watch.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("daemon"), "{said}");
    watch.kill().unwrap();
    watch.wait().unwrap();
    for line in [first].into_iter().chain(lines) {
        assert!(serde_json::from_str::<Value>(&line).unwrap()["targets"].is_array(), "{line}");
    }
}
