//! What the plugin `http` sends beside the body: what the event is, and a signature that other programs can check.

use std::io::Write as _;
use std::process::Stdio;

use super::any_sender::signed;
use super::receiver::{Heard, Receiver};
use crate::harness::{Daemon, SECRET, body, events, wait_for};

/// Base64 of 24 and of 32 bytes.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn to(url: &str, key: &str) -> String {
    format!(
        "allow = [\"127.0.0.0/8\"]\nsettings.url = \"{url}\"\nsettings.signing_secret = \"env:{key}\""
    )
}

#[test]
fn another_dispatcher_verifies_what_this_one_signs() {
    let next = Daemon::new()
        .source_with("first", KEY, "scheme = \"standard-webhooks\"")
        .log("audit-log")
        .start();
    let url = format!("http://{}/first", next.address());
    let first = Daemon::new()
        .source("sqreen", SECRET)
        .variable("KEY", KEY)
        .variable("OTHER_KEY", OTHER_KEY)
        .target_of("right", "http", &to(&url, "KEY"))
        .target_of("wrong", "http", &to(&url, "OTHER_KEY"))
        .start();
    let ids = events("onward", 3);
    assert_eq!(first.post(&body(&ids)).status, 200);
    next.wait_delivered("audit-log", &ids);
    wait_for("a refusal of the other key", || {
        let shown = next.command(&["refused", "first"]).stdin(Stdio::null()).output().unwrap();
        String::from_utf8(shown.stdout).unwrap().contains("401").then_some(())
    });
    assert_eq!(next.delivered("audit-log").values().sum::<usize>(), 3);
}

/// Whether `dispatcher verify` accepts the request with that body.
fn is_verified(daemon: &Daemon, request: &Heard, body: &str) -> bool {
    let mut command = daemon.command(&["verify", "--scheme", "standard-webhooks", "--secret", KEY]);
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        command.args(["--header", &format!("{name}: {}", request.header(name).unwrap())]);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn what_an_event_is_stands_in_the_header_beside_the_body_as_it_was_sent() {
    const BODY: &str = r#"{"specversion":"1.0", "id":"1","source":"/shop","type":"order.paid","severity":"critical","subject":"order 7","time":"2026-01-15T03:20:00Z","title":"Zürich: 100%","n":1.00}"#;
    let receiver = Receiver::answering(|_| 200);
    let daemon = Daemon::new()
        .source_with("ce", "of-events", "scheme = \"github\"\nsender = \"cloudevents\"")
        .variable("KEY", KEY)
        .target_of("hook", "http", &to(&receiver.url(), "KEY"))
        .start();
    let (name, value) = signed(&daemon, "ce", BODY);
    let headers = [(&*name, value.as_bytes()), ("content-type", b"application/json")];
    let answer = daemon.client().send("POST", "/ce", &headers, BODY.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.json()["ids"][0].as_str().unwrap().to_owned();
    let request = wait_for("the request", || receiver.heard().pop());
    assert_eq!(request.body, BODY);
    for (name, value) in [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", &*id),
        ("ce-source", "ce"),
        ("ce-type", "order.paid"),
        ("ce-time", "2026-01-15T03:20:00Z"),
        ("ce-subject", "order%207"),
        ("ce-severity", "critical"),
        ("ce-title", "Z%C3%BCrich:%20100%25"),
        ("webhook-id", &*id),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}: {request:?}");
    }
    assert!(is_verified(&daemon, &request, BODY));
    assert!(!is_verified(&daemon, &request, &BODY.replace("1.00", "1.0")));
    assert!(!format!("{request:?}").contains(&KEY["whsec_".len()..]));
}
