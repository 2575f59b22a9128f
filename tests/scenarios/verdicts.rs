//! What the answers of a destination do to its events: refused, not found for a while, or cut off.

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use serde_json::Value;

use super::receiver::{Receiver, answer};
use crate::harness::{Daemon, SECRET, Setup, body, events, wait_for};

/// Only what this source sends.
const ROUTE: &str = "route = { sources = [\"sqreen\"] }\n";
/// Words that a firewall before the target does not let through.
const POISON: &str = "union select";
const TAKEN: &str = r#"{"sid": "SM0123456789abcdef0123456789abcdef", "status": "queued"}"#;

fn setup() -> Setup {
    Daemon::new().source("sqreen", SECRET).log("audit-log").alarms()
}

fn status(daemon: &Daemon, target: &str) -> Value {
    let output = daemon.command(&["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut targets = status["targets"].as_array().unwrap().iter();
    let is_wanted =
        |row: &&Value| row["name"].as_str().is_some_and(|name| name.starts_with(target));
    targets.find(is_wanted).unwrap().clone()
}

/// How many of these ids are in a request that the destination accepted.
fn arrived(receiver: &Receiver, ids: &[String]) -> usize {
    let bodies = receiver.bodies();
    ids.iter().filter(|id| bodies.iter().any(|body| body.contains(id.as_str()))).count()
}

#[test]
fn an_event_that_a_firewall_refuses_is_retried_and_given_up_and_all_others_are_delivered() {
    for code in [401, 403, 410] {
        let receiver =
            Receiver::answering(move |body| if body.contains(POISON) { code } else { 200 });
        let lines = format!("{ROUTE}retry.backoff_min = \"100ms\"\nretry.give_up_after = \"2s\"");
        let daemon = receiver.target(setup(), "hook", &lines).start();
        assert_eq!(daemon.post(&body(&[POISON])).status, 200);
        for round in 0..5 {
            let ids = events(&format!("other-{round}"), 4);
            assert_eq!(daemon.post(&body(&ids)).status, 200);
            wait_for("the others", || (arrived(&receiver, &ids) == ids.len()).then_some(()));
        }
        let dead = wait_for("the end of the one", || daemon.own_events("dead_letter").pop());
        let reason = dead["data"]["reason"].as_str().unwrap();
        assert!(reason.starts_with("given up after 2s (") && reason.contains(&code.to_string()));
        assert!(!reason.contains("(1 attempt"), "{reason}");
        assert_eq!(daemon.own_events("target.broken").len(), 0);
        let last = events("last", 1);
        assert_eq!(daemon.post(&body(&last)).status, 200);
        wait_for("the last", || (arrived(&receiver, &last) == 1).then_some(()));
    }
}

#[test]
fn a_run_of_refused_events_holds_no_others() {
    const RUN: usize = 12;
    for code in [401, 403, 410] {
        let receiver =
            Receiver::answering(move |body| if body.contains(POISON) { code } else { 200 });
        let daemon = receiver.target(setup(), "hook", ROUTE).start();
        let poison: Vec<String> = (0..RUN).map(|number| format!("{POISON} {number}")).collect();
        assert_eq!(daemon.post(&body(&poison)).status, 200);
        let ids = events("other", 30);
        assert_eq!(daemon.post(&body(&ids)).status, 200);
        wait_for("the others", || (arrived(&receiver, &ids) == ids.len()).then_some(()));
        let row = status(&daemon, "hook");
        assert_ne!(row["kind"], "broken");
        assert_eq!((&row["pending"], &row["dead"]), (&RUN.into(), &0.into()), "{code}");
        assert_eq!(daemon.own_events("target.broken").len(), 0);
    }
}

#[test]
fn a_throttle_has_an_end_that_status_shows_and_a_resume_ends_it() {
    for after in ["999999999", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let open = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&open);
        let receiver = Receiver::playing(move |_, _, stream| {
            if seen.load(Ordering::Relaxed) {
                return answer(stream, 200, "");
            }
            let _ = stream.write_all(
                format!("HTTP/1.1 429 X\r\nretry-after: {after}\r\ncontent-length: 0\r\n\r\n")
                    .as_bytes(),
            );
        });
        let daemon = receiver.target(setup(), "hook", ROUTE).start();
        let answered = daemon.post(&body(&events("one", 1)));
        let id = answered.json()["ids"][0].as_str().unwrap().to_owned();
        let row = wait_for("the throttle", || {
            Some(status(&daemon, "hook")).filter(|row| row["kind"] == "failing")
        });
        let state = row["state"].as_str().unwrap();
        assert!(state.starts_with("throttled until 20") && state.contains("429"), "{state}");
        let explained = daemon.command(&["explain", &id]).output().unwrap();
        let explained = String::from_utf8(explained.stdout).unwrap();
        assert!(explained.contains("waits for its next attempt; target: throttled"), "{explained}");
        open.store(true, Ordering::Relaxed);
        assert!(daemon.command(&["resume", "hook", "--held"]).output().unwrap().status.success());
        wait_for("the delivery", || {
            Some(status(&daemon, "hook"))
                .filter(|row| row["pending"] == 0 && row["kind"] == "works")
        });
    }
}

#[test]
fn a_target_that_refuses_every_event_is_broken_and_a_resume_does_not_fall_back_for_one_of_them() {
    let fixed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&fixed);
    let receiver = Receiver::answering(move |body| {
        let passes = seen.load(Ordering::Relaxed) && !body.contains(POISON);
        if passes { 200 } else { 401 }
    });
    let daemon = receiver.target(setup(), "hook", ROUTE).start();
    assert_eq!(daemon.post(&body(&[POISON])).status, 200);
    let others = events("other", 11);
    assert_eq!(daemon.post(&body(&others)).status, 200);
    let broken = wait_for("the alarm", || daemon.own_events("target.broken").pop());
    assert_eq!(broken["subject"], "hook");
    wait_for("the hold", || (status(&daemon, "hook")["kind"] == "broken").then_some(()));
    let shown = daemon.command(&["status"]).output().unwrap();
    assert_eq!(shown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("answered 401"));
    assert_eq!(status(&daemon, "hook")["dead"], 0);
    fixed.store(true, Ordering::Relaxed);
    let before = receiver.bodies().len();
    assert!(daemon.command(&["resume", "hook", "--held"]).output().unwrap().status.success());
    wait_for("the others", || {
        let bodies = receiver.bodies().split_off(before);
        let passed = |id: &&String| bodies.iter().any(|body| body.contains(id.as_str()));
        (others.iter().filter(passed).count() == others.len()).then_some(())
    });
    // The one that is still refused is tried again, alone.
    let refused = || receiver.bodies().iter().filter(|body| body.contains(POISON)).count();
    let times = refused();
    wait_for("its next attempts", || (refused() >= times + 2).then_some(()));
    assert_ne!(status(&daemon, "hook")["kind"], "broken");
    assert_eq!(daemon.own_events("target.broken").len(), 1);
    assert_eq!(status(&daemon, "hook")["pending"], 1);
}

#[test]
fn an_event_that_its_target_refuses_is_dropped_while_it_is_retried_and_while_it_holds_the_target() {
    let refuses_all = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&refuses_all);
    let receiver = Receiver::answering(move |body| {
        let refused = seen.load(Ordering::Relaxed) || body.contains(POISON);
        if refused { 403 } else { 200 }
    });
    let lines = format!("{ROUTE}retry.backoff_min = \"1h\"");
    let daemon = receiver.target(setup(), "hook", &lines).start();
    let post = |ids: &[String]| {
        let answer = daemon.post(&body(ids));
        assert_eq!(answer.status, 200);
        answer.json()["ids"][0].as_str().unwrap().to_owned()
    };
    let run = |arguments: &[&str]| {
        let output = daemon.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // Nothing waits for the target but the one event, which is never attempted again.
    let attempts = || receiver.bodies().iter().filter(|body| body.contains(POISON)).count();
    let drops = |id: &str, waits: u64| {
        let row = || Some(status(&daemon, "hook"));
        wait_for("the end of the attempts", || row().filter(|row| row["retrying"] == waits));
        let before = attempts();
        assert_eq!(run(&["drop", id, "--target", "hook"]), "dropped: 1\n");
        let story = run(&["explain", id]);
        assert!(story.contains("dropped before it was delivered"), "{story}");
        before
    };
    let first = post(&[POISON.to_owned()]);
    let before = drops(&first, 1);
    assert_eq!(status(&daemon, "hook")["pending"], 0);
    let others = events("other", 20);
    post(&others);
    wait_for("the others", || (arrived(&receiver, &others) == others.len()).then_some(()));
    assert_eq!(attempts(), before);

    refuses_all.store(true, Ordering::Relaxed);
    let second = post(&[format!("{POISON} again")]);
    let held = events("held", 20);
    post(&held);
    wait_for("the hold", || (status(&daemon, "hook")["kind"] == "broken").then_some(()));
    wait_for("the end of its attempt", || {
        let story = run(&["explain", &second]);
        story.contains("answered 403").then_some(())
    });
    assert_eq!(run(&["drop", &second, "--target", "hook"]), "dropped: 1\n");
    let before = attempts();
    refuses_all.store(false, Ordering::Relaxed);
    run(&["resume", "hook", "--held"]);
    run(&["retry", "hook", "--yes"]);
    let row =
        wait_for("the others", || Some(status(&daemon, "hook")).filter(|row| row["pending"] == 0));
    assert_eq!((&row["kind"], &row["dead"], attempts()), (&"works".into(), &0.into(), before));
}

#[test]
fn a_backlog_waits_out_a_time_of_not_found_and_becomes_no_dead_letter() {
    for (name, code) in [("hook", 404), ("hook", 302), ("hook", 405), ("sms", 404), ("sms", 302)] {
        let now = Arc::new(AtomicU16::new(code));
        let seen = Arc::clone(&now);
        let receiver = Receiver::playing(move |_, _, stream| match seen.load(Ordering::Relaxed) {
            200 => answer(stream, 201, TAKEN),
            code => answer(stream, code, "<html>deploying</html>"),
        });
        let daemon = match name {
            "hook" => receiver.target(setup(), "hook", ROUTE),
            _ => receiver.twilio(setup(), ROUTE),
        };
        let daemon = daemon.start();
        let ids = events("waiting", 200);
        assert_eq!(daemon.post(&body(&ids)).status, 200);
        wait_for("the target to count as failing", || {
            (status(&daemon, name)["kind"] == "failing").then_some(())
        });
        now.store(200, Ordering::Relaxed);
        let row = wait_for("all of them", || {
            Some(status(&daemon, name)).filter(|row| row["pending"] == 0)
        });
        assert_eq!((&row["dead"], &row["kind"]), (&0.into(), &"works".into()), "{name} {code}");
        assert_eq!(daemon.own_events("dead_letter").len(), 0, "{name} {code}");
    }
}

#[test]
fn a_run_of_rejections_costs_a_few_events_and_not_the_backlog() {
    /// Those of the run, and what was under way when it was noticed.
    const DEAD_MAX: u64 = 60;
    let rejects = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&rejects);
    let receiver =
        Receiver::answering(move |_| if seen.load(Ordering::Relaxed) { 400 } else { 200 });
    let daemon = receiver.target(setup(), "hook", ROUTE).start();
    assert_eq!(daemon.post(&body(&events("many", 500))).status, 200);
    wait_for("the target to be down", || daemon.own_events("target.down").pop());
    rejects.store(false, Ordering::Relaxed);
    let row =
        wait_for("the rest", || Some(status(&daemon, "hook")).filter(|row| row["pending"] == 0));
    assert!((1..=DEAD_MAX).contains(&row["dead"].as_u64().unwrap()), "{row}");
}

#[test]
fn a_success_counts_whatever_becomes_of_the_rest_of_the_answer() {
    type Play = fn(&mut std::net::TcpStream);
    let plays: [(Play, &str); 6] = [
        (
            |stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{");
                while stream.write_all(b" ").is_ok() {
                    std::thread::sleep(std::time::Duration::from_millis(200));
                }
            },
            "its body did not end in time",
        ),
        (
            |stream| {
                let long = " ".repeat(1024 * 1024 + 1);
                answer(stream, 200, &long);
            },
            "only the first 1048576 bytes of its body were read",
        ),
        (
            |stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
                let _ = stream.shutdown(Shutdown::Both);
            },
            "the connection was lost within its body",
        ),
        (
            |stream| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                while stream.write_all(b"1\r\n \r\n").is_ok() {
                    std::thread::sleep(std::time::Duration::from_millis(200));
                }
            },
            "its body did not end in time",
        ),
        (
            |stream| {
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nno\r\n",
                );
            },
            "the connection was lost within its body",
        ),
        (
            |stream| {
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                );
                let _ = stream.shutdown(Shutdown::Both);
            },
            "the connection was lost within its body",
        ),
    ];
    for (play, words) in plays {
        let hook = Receiver::playing(move |_, _, stream| play(stream));
        let sms = Receiver::playing(move |_, _, stream| play(stream));
        let daemon = sms.twilio(hook.target(setup(), "hook", ROUTE), ROUTE).start();
        let answered = daemon.post(&body(&events("once", 1)));
        let id = answered.json()["ids"][0].as_str().unwrap().to_owned();
        for target in ["hook", "sms"] {
            wait_for("the delivery", || {
                let row = status(&daemon, target);
                (row["pending"] == 0 && row["kind"] == "works").then_some(())
            });
            assert_eq!(status(&daemon, target)["dead"], 0);
        }
        let explained = daemon.command(&["explain", &id, "--json"]).output().unwrap();
        let explained = String::from_utf8(explained.stdout).unwrap();
        assert_eq!(explained.matches(words).count(), 2, "{explained}");
        assert_eq!((hook.bodies().len(), sms.bodies().len()), (1, 1), "sent once");
    }
}

#[test]
fn of_a_digest_only_the_event_that_is_refused_becomes_a_dead_letter() {
    let lines = "digest.every = \"1h\"\nsettings.reject = \"-00005\"\nretry.attempts_max = 1";
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .plugin("together")
        .target_of("chat", "test-together", lines)
        .start();
    let answer = daemon.post(&body(&events("digest", 12)));
    assert_eq!(answer.status, 200);
    let ids = answer.json()["ids"].clone();
    wait_for("all of them", || {
        let output = daemon.command(&["status", "--json"]).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let row = &status["targets"][0];
        (row["pending"] == 0 && row["dead"] == 1).then_some(())
    });
    for (place, id) in ids.as_array().unwrap().iter().enumerate() {
        let output = daemon.command(&["explain", id.as_str().unwrap()]).output().unwrap();
        let story = String::from_utf8(output.stdout).unwrap();
        let fate = if place == 5 { "→ chat  given up at " } else { "→ chat  delivered" };
        assert!(story.contains(fate), "{story}");
        assert!(story.contains("an event of it is refused"), "{story}");
    }
}
