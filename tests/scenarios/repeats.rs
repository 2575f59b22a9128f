//! What is a repetition: contents of one id, copies of signed bytes, and the settings of a source.

use std::collections::HashSet;

use super::any_sender::signed;
use crate::harness::{Answer, Daemon, Setup, wait_for};

fn send(daemon: &Daemon, source: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    daemon.client().send("POST", &format!("/{source}"), &headers, body.as_bytes()).unwrap()
}

/// Sends the body, signed, and returns how many of its events are repetitions.
fn repeated(daemon: &Daemon, source: &str, body: &str) -> u64 {
    let (name, value) = signed(daemon, source, body);
    duplicates(&send(daemon, source, &[(&name, &value)], body))
}

#[track_caller]
fn duplicates(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["duplicates"].as_u64().unwrap_or(0)
}

fn source(setup: Setup, name: &str, lines: &str) -> Setup {
    setup.source_table(name, &format!("secrets = \"literal:hush\"\nsender = \"json\"\n{lines}"))
}

#[test]
fn an_earlier_content_of_an_id_is_known_also_after_a_restart() {
    let setup = source(Daemon::new(), "hook", "scheme = \"github\"");
    let mut daemon = setup.log("audit-log").start();
    let content = |content: &str| format!(r#"{{"id": "1", "what": "{content}"}}"#);
    let [a, b] = ["a", "b"].map(content);
    let seen: Vec<u64> =
        [&a, &b, &a, &b, &a].into_iter().map(|body| repeated(&daemon, "hook", body)).collect();
    assert_eq!(seen, [0, 0, 1, 1, 1]);
    assert_eq!(repeated(&daemon, "hook", &format!("[{b}, {a}, {}]", content("c"))), 2);
    for _ in 0..2 {
        daemon.kill_9();
        daemon.start();
        assert_eq!(repeated(&daemon, "hook", &format!("[{a}, {b}, {a}]")), 3);
    }
    // A delivery that the kill interrupted is made again, with the same id.
    let ids = || -> HashSet<String> {
        daemon.log_lines("audit-log").iter().map(|line| line["id"].to_string()).collect()
    };
    wait_for("3 events", || (ids().len() >= 3).then_some(()));
    assert_eq!(ids().len(), 3);
}

#[test]
fn a_copy_within_the_time_limit_is_a_repetition() {
    let setup = source(Daemon::new(), "chat", "scheme = \"slack\"");
    let daemon = setup.log("audit-log").start();
    let body = r#"{"what": "no id"}"#;
    let mut command = daemon.command(&["sign", "--source", "chat"]);
    let file = daemon.home().join("body.json");
    std::fs::write(&file, body).unwrap();
    let output = command.stdin(std::fs::File::open(file).unwrap()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let headers: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.split_once(": ")).collect();
    assert!(headers.len() >= 2, "{text}");
    let mut seen = Vec::new();
    for extra in ["1", "2", "3"] {
        let mut headers = headers.clone();
        headers.push(("x-slack-retry-num", extra));
        seen.push(duplicates(&send(&daemon, "chat", &headers, body)));
    }
    assert_eq!(seen, [0, 1, 1]);
}

#[test]
fn a_source_says_what_happens_to_repetitions() {
    let github = "scheme = \"github\"\n";
    let setup = source(Daemon::new(), "skip", github);
    let setup = source(setup, "deliver", &format!("{github}repeat = \"deliver\""));
    let setup = source(setup, "keyed", &format!("{github}repeat_key = [\"{{order}}\"]"));
    let mut daemon = setup.log("audit-log").start();
    let body = r#"{"id": "1", "order": 7}"#;
    let other = r#"{"id": "2", "order": 7}"#;
    for (source, bodies, expected) in [
        ("skip", [body, body, other], [0, 1, 0]),
        ("deliver", [body, body, other], [0, 0, 0]),
        ("keyed", [body, body, other], [0, 1, 1]),
    ] {
        assert_eq!(bodies.map(|body| repeated(&daemon, source, body)), expected, "{source}");
    }
    // A reload applies them.
    daemon.reload(|_| {
        let setup = source(Daemon::new(), "skip", &format!("{github}repeat = \"deliver\""));
        let setup = source(setup, "deliver", &format!("{github}repeat_window = \"7d\""));
        source(setup, "keyed", github).log("audit-log")
    });
    for (source, expected) in [("skip", [0, 0]), ("deliver", [0, 1]), ("keyed", [0, 1])] {
        let bodies = [other, other];
        assert_eq!(bodies.map(|body| repeated(&daemon, source, body)), expected, "{source}");
    }
}
