//! Captured requests that are sent again with other unsigned headers.

use super::any_sender::signed;
use crate::harness::{Answer, Daemon, wait_for};

const PUSH: &str = r#"{"ref":"refs/heads/main","repository":{"full_name":"example/shop"}}"#;
const ORDER: &str = r#"{"specversion":"1.0","id":"1","source":"/shop","type":"order.paid","severity":"info","title":"paid"}"#;

#[test]
fn a_captured_request_with_other_unsigned_headers_is_the_same_event() {
    let daemon = Daemon::new()
        .source_with("hub", "of-github", "scheme = \"github\"")
        .source_with("ce", "of-events", "scheme = \"github\"\nsender = \"cloudevents\"")
        .log("audit-log")
        .start();
    let send = |source: &str, body: &str, headers: &[(&str, &str)]| -> Answer {
        let (name, value) = signed(&daemon, source, body);
        let mut all = vec![(&*name, value.as_bytes()), ("content-type", b"application/json")];
        all.extend(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
        daemon.client().send("POST", &format!("/{source}"), &all, body.as_bytes()).unwrap()
    };
    for (source, body, first, others) in [
        (
            "hub",
            PUSH,
            &[("x-github-delivery", "1"), ("x-github-event", "push")][..],
            &[
                &[("x-github-delivery", "2"), ("x-github-event", "push")][..],
                &[("x-github-delivery", "3"), ("x-github-event", "secret_scanning_alert")],
                &[("x-github-event", "call +1-900-555-0199"), ("content-encoding", "gzip")],
                &[("ce-severity", "critical"), ("x-http-method-override", "PUT")],
            ][..],
        ),
        (
            "ce",
            ORDER,
            &[("ce-id", "1"), ("ce-source", "/shop")],
            &[
                &[("ce-id", "2"), ("ce-source", "/shop"), ("ce-severity", "critical")],
                &[("ce-title", "call +1-900-555-0199"), ("ce-type", "fire")],
                &[],
            ],
        ),
    ] {
        let answer = send(source, body, first);
        assert_eq!(
            (answer.status, answer.json()["accepted"].as_u64()),
            (200, Some(1)),
            "{answer:?}"
        );
        for headers in others {
            let answer = send(source, body, headers);
            let duplicates = answer.json()["duplicates"].as_u64();
            assert_eq!(
                (answer.status, duplicates),
                (200, Some(1)),
                "{source} {headers:?}: {answer:?}"
            );
        }
    }
    // A new event is read from its body, whatever its headers say.
    let news = ORDER.replace("\"id\":\"1\"", "\"id\":\"2\"");
    let answer = send("ce", &news, &[("ce-severity", "critical"), ("ce-title", "call +1-900")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = || daemon.log_lines("audit-log");
    wait_for("three events", || (lines().len() >= 3).then_some(()));
    let mut found: Vec<String> = lines()
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            [text("type"), text("severity"), text("title")].join(" | ")
        })
        .collect();
    found.sort();
    let paid = "order.paid | info | paid";
    assert_eq!(found, [paid, paid, "push | info | push on example/shop"]);
}

#[test]
fn explain_says_what_is_covered() {
    let daemon = Daemon::new().source_with("hub", "of-github", "scheme = \"github\"").start();
    let (name, value) = signed(&daemon, "hub", PUSH);
    let header = format!("{name}: {value}");
    let mut command =
        daemon.command(&["verify", "--source", "hub", "--header", &header, "--explain"]);
    let file = std::fs::File::open(daemon.home().join("body.json")).unwrap();
    let output = command.stdin(file).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("covered       body; anyone can change the rest\n"), "{shown}");
}
