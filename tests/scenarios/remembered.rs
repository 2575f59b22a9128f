//! What `status`, `explain` and `tail` remember of attempts, repetitions and the last event.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::receiver::{Receiver, answer};
use crate::harness::{Daemon, SECRET, Setup, body, events, post, status, stdout, wait_for};

/// Only what this source sends.
const ROUTE: &str = "route = { sources = [\"sqreen\"] }\n";
/// The target of the one recipient.
const SMS: &str = "sms/+33600000001";
const TAKEN: &str = r#"{"sid": "SM0123456789abcdef0123456789abcdef", "status": "queued"}"#;

fn setup() -> Setup {
    Daemon::new().source("sqreen", SECRET).log("audit-log")
}

/// The lines of `explain` about one target, after its name.
fn story(daemon: &Daemon, id: &str, target: &str) -> Vec<String> {
    let text = stdout(daemon, &["explain", id]);
    let of_target = text.lines().skip_while(|line| !line.contains(&format!("→ {target} ")));
    of_target.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn every_event_of_a_digest_shows_its_failed_attempts_and_its_target_when_it_last_delivered() {
    let receiver = Receiver::playing(|number, _, stream| match number {
        0 => answer(stream, 503, ""),
        _ => answer(stream, 201, TAKEN),
    });
    let lines = format!("{ROUTE}digest.every = \"1s\"\nretry.backoff_min = \"100ms\"");
    let daemon = receiver.twilio(setup(), &lines).start();
    let ids = post(&daemon, &body(&events("member", 30)));
    let delivered = wait_for("the delivery", || {
        let status = status(&daemon);
        let mut targets = status["targets"].as_array().unwrap().iter();
        let row = targets.find(|row| row["name"] == SMS).unwrap().clone();
        (row["pending"] == 0 && receiver.bodies().len() > 1).then_some(row)
    });
    assert!(delivered["last_delivery"].is_string(), "{delivered}");
    for id in [&ids[0], &ids[29]] {
        let story = story(&daemon, id, SMS);
        assert!(story[1].starts_with("attempt 1 at ") && story[1].contains("503"), "{story:?}");
        assert!(story[2].starts_with("attempt 2 at ") && story[2].ends_with(": delivered"));
    }
}

#[test]
fn the_attempts_before_and_after_a_replay_are_told_apart() {
    let frail =
        format!("{ROUTE}settings.path = \"logs/closed/frail.jsonl\"\nretry.attempts_max = 1");
    let daemon = setup().target("frail", &frail).start();
    daemon.close_folder();
    let names = events("lost", 1);
    let id = post(&daemon, &body(&names)).remove(0);
    wait_for("the dead letter", || stdout(&daemon, &["dead", "list"]).contains(&id).then_some(()));
    daemon.open_folder();
    assert_eq!(stdout(&daemon, &["dead", "replay", &id]), "replayed: 1\n");
    daemon.wait_delivered("closed/frail", &names);
    let story = wait_for("the delivery", || {
        Some(story(&daemon, &id, "frail")).filter(|story| story[0].contains("delivered"))
    });
    assert!(story[0].contains("attempt 1"), "{story:?}");
    assert!(story[1].starts_with("attempt 1 at ") && !story[1].contains("delivered"), "{story:?}");
    assert_eq!(story[2], "replayed: attempts count from one again");
    assert!(
        story[3].starts_with("attempt 1 at ") && story[3].ends_with(": delivered"),
        "{story:?}"
    );
}

#[test]
fn a_duplicate_is_marked_in_tail_and_counted_in_status() {
    let daemon = setup().start();
    let mut tail = daemon.command(&["tail", "--json"]);
    let mut tail = tail.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let (sender, events_seen) = std::sync::mpsc::channel::<Value>();
    let reading = std::thread::spawn(move || {
        while let Some(Ok(line)) = lines.next() {
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["what"] == "event" && sender.send(line).is_err() {
                return;
            }
        }
    });
    // Until the first line shows that it listens.
    wait_for("tail", || {
        post(&daemon, &body(&events("first", 1)));
        events_seen.recv_timeout(std::time::Duration::from_millis(100)).ok()
    });
    while events_seen.recv_timeout(std::time::Duration::from_millis(300)).is_ok() {}
    let before = status(&daemon)["sources"][0]["duplicates"].as_u64().unwrap();
    let mixed = [events("first", 1), events("other", 1)].concat();
    let ids = post(&daemon, &body(&mixed));
    let marks: Vec<_> = (0..2)
        .map(|_| {
            let line = events_seen.recv().unwrap();
            (line["event"].as_str().unwrap().to_owned(), line["duplicate"] == true)
        })
        .collect();
    assert_eq!(marks, [(ids[0].clone(), true), (ids[1].clone(), false)]);
    assert_eq!(status(&daemon)["sources"][0]["duplicates"].as_u64(), Some(before + 1));
    tail.kill().unwrap();
    tail.wait().unwrap();
    reading.join().unwrap();
}

#[test]
fn the_time_of_the_last_event_outlives_a_restart() {
    let mut daemon = setup().source("never", SECRET).start();
    let last = |daemon: &Daemon, source: &str| {
        let status = status(daemon);
        let mut sources = status["sources"].as_array().unwrap().iter();
        sources.find(|row| row["name"] == source).unwrap()["last_event"].clone()
    };
    for round in 0..2 {
        let id = post(&daemon, &body(&events(&format!("only-{round}"), 1))).remove(0);
        assert!(last(&daemon, "sqreen").is_string());
        // It was not saved yet.
        daemon.kill_9();
        daemon.start();
        let story: Value =
            serde_json::from_str(&stdout(&daemon, &["explain", &id, "--json"])).unwrap();
        let received = &story["event"]["received"];
        wait_for("the log to be read", || (last(&daemon, "sqreen") == *received).then_some(()));
        assert!(daemon.terminate().success());
        daemon.start();
        assert_eq!((&last(&daemon, "sqreen"), last(&daemon, "never")), (received, Value::Null));
    }
}

#[test]
fn an_event_of_the_daemon_itself_is_not_said_to_be_verified() {
    let daemon = setup().alarms().start();
    std::fs::write(daemon.home().join("dispatcher.toml"), "").unwrap();
    daemon.reload_what_is_there();
    wait_for("the event", || daemon.own_events("config.rejected").pop());
    let found = stdout(&daemon, &["events", "--source", "dispatcher", "--json"]);
    let event: Value = serde_json::from_str(found.lines().next().unwrap()).unwrap();
    let story = stdout(&daemon, &["explain", event["id"].as_str().unwrap()]);
    assert!(story.contains("\n  verified  not needed: the daemon made it\n"), "{story}");
}
