//! Tries to get a request accepted that its sender did not sign, with the help of the daemon's own answers.

use std::io::Write as _;
use std::process::Stdio;

use crate::harness::{Answer, Daemon, SECRET, signature};

const FORM: &str = "application/x-www-form-urlencoded";

/// What the handshake of X answers to anyone.
fn response_token(daemon: &Daemon, token: &str) -> String {
    let path = format!("/x?crc_token={token}");
    let answer = daemon.client().send("GET", &path, &[], b"").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["response_token"].as_str().unwrap().to_owned()
}

fn post(daemon: &Daemon, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    daemon.client().send("POST", path, &headers, body.as_bytes()).unwrap()
}

/// The output of a command, and whether it succeeded.
fn run(daemon: &Daemon, arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = daemon.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses its arguments does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn an_answer_to_a_handshake_signs_no_event() {
    let daemon = Daemon::new()
        .source_with("x", SECRET, "scheme = \"x\"")
        .source_with("twitter", SECRET, "scheme = \"twitter\"")
        .source_with("github", SECRET, "scheme = \"github\"")
        .log("audit-log")
        .start();
    for (body, kind) in [
        ("forged_event_1", FORM),
        ("--bb--", "multipart/form-data; boundary=bb"),
        ("1768469400", "application/json"),
        ("forged_event_2", "text/plain"),
    ] {
        let token = response_token(&daemon, body);
        for encoding in ["identity", "gzip", "deflate", "br", "zstd"] {
            for path in ["/x", "/twitter"] {
                let headers = [
                    ("x-twitter-webhooks-signature", &*token),
                    ("content-type", kind),
                    ("content-encoding", encoding),
                ];
                let answer = post(&daemon, path, &headers, body);
                assert_eq!(answer.status, 401, "{path} {body} {encoding}: {answer:?}");
            }
        }
        // The same MAC, as GitHub writes it: a source with the same secret.
        let signature = format!("sha256={}", signature(SECRET, body.as_bytes()));
        let headers = [("x-hub-signature-256", &*signature), ("content-type", kind)];
        let answer = post(&daemon, "/github", &headers, body);
        assert_eq!(answer.status, 401, "{body}: {answer:?}");
    }
    let (_, refused) = run(&daemon, &["refused", "x"], "");
    assert!(refused.contains("a handshake signs any such text"), "{refused}");

    let to = format!("http://{}", daemon.address());
    let (accepted, text) = run(&daemon, &["send", "x", "--to", &to], "");
    assert!(accepted && text.contains("200 "), "{text}");
    let answer = post(
        &daemon,
        "/github",
        &[("x-hub-signature-256", &format!("sha256={}", signature(SECRET, b"{\"a\":\"b\"}")))],
        "{\"a\":\"b\"}",
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.json()["ids"][0].as_str().unwrap().to_owned();
    crate::harness::wait_for("the honest events", || {
        let lines = daemon.log_lines("audit-log");
        lines.iter().any(|line| line["id"] == *id).then_some(())
    });
    let sources: Vec<_> = daemon.log_lines("audit-log");
    assert_eq!(sources.len(), 2, "{sources:#?}");
}

#[test]
fn the_commands_know_what_a_handshake_signs() {
    let daemon = Daemon::new()
        .source_with("x", SECRET, "scheme = \"x\"")
        .source_with("github", SECRET, "scheme = \"github\"")
        .log("audit-log")
        .start();
    let token = response_token(&daemon, "forged_event_1");
    let header = format!("x-twitter-webhooks-signature: {token}");
    for named in [&["--scheme", "x", "--secret", SECRET][..], &["--source", "x"]] {
        let arguments = [&["verify", "--explain", "--header", &header][..], named].concat();
        let (accepted, text) = run(&daemon, &arguments, "forged_event_1");
        assert!(!accepted, "{text}");
        assert!(text.contains("refused: the signed bytes are 1 to 128 characters"), "{text}");
        assert!(!text.contains("cause"), "{text}");
    }
    let file = daemon.home().join("token");
    std::fs::write(&file, "forged_event_1").unwrap();
    let (signed, text) = run(&daemon, &["send", "x", "--file", file.to_str().unwrap()], "");
    assert!(!signed && text.contains("cannot be signed"), "{text}");
    let (_, text) = run(&daemon, &["check"], "");
    assert!(text.contains("sources `x` and `github` share a secret"), "{text}");
}
