//! Which requests are accepted and which are refused, and what the response says.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use serde_json::Value;

use crate::harness::{Answer, Client, Daemon, SECRET, body, event, events, signature};

fn daemon() -> Daemon {
    Daemon::new().source("sqreen", SECRET).log("audit-log").start()
}

/// Asserts that exactly these events were delivered. A log gets its deliveries in order, so once one more event has
/// arrived, nothing else is under way.
#[track_caller]
fn only(daemon: &Daemon, ids: &[String]) -> Vec<Value> {
    let last = vec!["the last one".to_owned()];
    assert_eq!(daemon.post(&body(&last)).status, 200);
    daemon.wait_delivered("audit-log", &[ids, &last].concat());
    let lines = daemon.log_lines("audit-log");
    assert_eq!(lines.len(), ids.len() + 1, "{lines:#?}");
    lines
}

#[track_caller]
fn refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    let json = answer.json();
    assert!(json["error"].as_str().is_some_and(|error| !error.is_empty()), "{json}");
    assert!(json["request"].as_str().is_some_and(|id| !id.is_empty()), "{json}");
}

#[test]
fn a_signed_event_becomes_one_line_with_all_its_attributes() {
    let daemon = daemon();
    let ids = events("waf", 1);
    let answer = daemon.post(&body(&ids));
    assert_eq!(answer.status, 200, "{answer:?}");
    let response = answer.json();
    assert_eq!(response["accepted"], 1, "{response}");
    let line = &only(&daemon, &ids)[0];
    assert_eq!(line["specversion"], "1.0");
    assert_eq!(line["source"], "sqreen");
    assert_eq!(line["type"], "security_event");
    assert_eq!(line["id"], response["ids"][0]);
    assert!(
        line["time"].as_str().is_some_and(|time| time.starts_with("2021-02-08T12:4")),
        "{line}"
    );
    assert!(line["receivedat"].is_string(), "{line}");
    assert!(line["title"].as_str().is_some_and(|title| title.contains("Attack")), "{line}");
    let sent: Value = serde_json::from_str(&event(&ids[0])).unwrap();
    assert_eq!(line["data"], sent);
}

/// An event with little more than its id.
fn short(id: &str) -> String {
    format!(r#"{{"message_id":"{id}","api_version":"2","message_type":"security_event"}}"#)
}

#[test]
fn a_request_may_have_ten_thousand_events_and_no_more() {
    let daemon = daemon();
    let ids = events("many", 10_000);
    let many = format!("[{}]", ids.iter().map(|id| short(id)).collect::<Vec<_>>().join(","));
    let answer = daemon.post(many.as_bytes());
    assert_eq!(answer.json()["accepted"], 10_000);
    assert_eq!(answer.json()["ids"].as_array().map(Vec::len), Some(10_000));
    let again = daemon.post(many.as_bytes());
    assert_eq!(again.json()["duplicates"], 10_000);
    assert_eq!(again.json()["ids"], answer.json()["ids"]);
    let more = format!("{},{}]", &many[..many.len() - 1], short("one-more"));
    refused(&daemon.post(more.as_bytes()), 413);
    only(&daemon, &ids);
}

#[test]
fn a_load_balancer_has_an_address_that_says_200_and_http_2_is_refused_with_words() {
    let daemon = daemon();
    let health = daemon.client().send("GET", "/healthz", &[], b"").unwrap();
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")));
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 505 ") && answer.contains("HTTP/1.1\"}"), "{answer}");
}

#[test]
fn a_forged_missing_empty_or_duplicate_signature_is_refused_and_nothing_is_stored() {
    let daemon = daemon();
    let body = body(&events("forged", 1));
    let right = signature(SECRET, &body);
    let wrong = signature("another secret", &body);
    refused(&daemon.post_signed(&body, &wrong), 401);
    refused(&daemon.post_signed(&body, &right[..63]), 401);
    refused(&daemon.post_signed(&body, ""), 401);
    refused(&daemon.client().send("POST", "/sqreen", &[], &body).unwrap(), 401);
    let header = ("x-sqreen-integrity", right.as_bytes());
    let duplicate = daemon.client().send("POST", "/sqreen", &[header, header], &body).unwrap();
    refused(&duplicate, 401);
    only(&daemon, &[]);
}

#[test]
fn a_repeated_request_is_acknowledged_with_the_same_ids_and_delivered_once() {
    let daemon = daemon();
    let ids = events("again", 3);
    let first = daemon.post(&body(&ids)).json();
    for _ in 0..3 {
        let again = daemon.post(&body(&ids));
        assert_eq!(again.status, 200);
        assert_eq!(again.json()["ids"], first["ids"]);
        assert_eq!(again.json()["duplicates"], 3);
    }
    only(&daemon, &ids);
}

#[test]
fn a_signed_body_without_events_is_refused_and_an_empty_list_is_accepted() {
    let daemon = daemon();
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    for bad in ["", "4567", "\"text\"", "{\"a\":", "[{}] [{}]", "nul", &deep] {
        refused(&daemon.post(bad.as_bytes()), 400);
    }
    refused(&daemon.post(b"[{\"message_type\":\"caf\xe9\"}]"), 400);
    let empty = daemon.post(b"[]");
    assert_eq!((empty.status, &empty.json()["accepted"]), (200, &Value::from(0)));
    only(&daemon, &[]);
}

#[test]
fn a_wrong_path_or_method_is_named_and_a_trailing_slash_is_ignored() {
    let daemon = daemon();
    let ids = events("slash", 1);
    let body = body(&ids);
    let signature = signature(SECRET, &body);
    let headers = [("x-sqreen-integrity", signature.as_bytes())];
    let send = |method: &str, path: &str, body: &[u8]| {
        daemon.client().send(method, path, &headers, body).unwrap()
    };
    refused(&send("POST", "/sqren", &body), 404);
    refused(&send("POST", "/", &body), 404);
    for method in ["GET", "PUT", "DELETE"] {
        let answer = send(method, "/sqreen", b"");
        refused(&answer, 405);
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    assert_eq!(send("POST", "/sqreen/", &body).status, 200);
    only(&daemon, &ids);
}

/// The head of a request with a wrong signature: it cannot be refused before its body has arrived.
fn head(length: &str) -> String {
    let signature = "0".repeat(64);
    format!(
        "POST /sqreen HTTP/1.1\r\nhost: x\r\nx-sqreen-integrity: {signature}\r\n{length}\r\n\r\n"
    )
}

#[test]
fn a_body_over_the_limit_is_refused_with_and_without_a_length() {
    let daemon =
        Daemon::new().source_with("sqreen", SECRET, "body_max = \"2KiB\"").log("audit-log").start();
    let mut client = daemon.client();
    // Refused for its head alone: the body is never sent.
    client.write(head("content-length: 2049").as_bytes()).unwrap();
    refused(&client.answer().unwrap(), 413);
    let mut client = daemon.client();
    client.write(head("transfer-encoding: chunked").as_bytes()).unwrap();
    for _ in 0..5 {
        client.write(format!("200\r\n{}\r\n", "x".repeat(0x200)).as_bytes()).unwrap();
    }
    refused(&client.answer().unwrap(), 413);
    let fits = body(&events("fits", 1));
    assert!(fits.len() <= 2048);
    let signature = signature(SECRET, &fits);
    let head = format!(
        "POST /sqreen HTTP/1.1\r\nhost: x\r\nx-sqreen-integrity: {signature}\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n",
        fits.len()
    );
    let mut client = daemon.client();
    client.write(&[head.as_bytes(), &fits, b"\r\n0\r\n\r\n"].concat()).unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
    only(&daemon, &events("fits", 1));
}

#[test]
fn a_slow_head_or_body_gets_a_408_and_delays_no_other_request() {
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .server("header_timeout = \"300ms\"\nbody_timeout = \"300ms\"")
        .start();
    let mut slow_head = daemon.client();
    slow_head.write(b"POST /sqreen HTTP/1.1\r\nhost: ").unwrap();
    let mut slow_body = daemon.client();
    slow_body.write((head("content-length: 100") + "[").as_bytes()).unwrap();
    assert_eq!(daemon.post(&body(&events("quick", 1))).status, 200);
    refused(&slow_body.answer().unwrap(), 408);
    assert_eq!(slow_head.answer().unwrap().status, 408);
}

/// A connection that sent the bytes and closed its sending side.
#[track_caller]
fn half_closed(daemon: &Daemon, bytes: &[u8]) -> Client {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    Client::from(stream)
}

/// A correctly signed request with these lines in its head.
fn request(first: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let signature = signature(SECRET, body);
    let head = format!("{first}\r\nx-sqreen-integrity: {signature}\r\n{lines}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[test]
fn a_sender_that_closes_its_side_after_the_request_gets_its_answer() {
    let daemon = daemon();
    let ids = events("half", 20);
    for (index, id) in ids.iter().enumerate() {
        let body = body(&[id]);
        let first = ["POST /sqreen HTTP/1.1\r\nhost: h", "POST /sqreen HTTP/1.0"][index % 2];
        let length = format!("content-length: {}", body.len());
        let mut client = half_closed(&daemon, &request(first, &length, &body));
        assert_eq!(client.answer().unwrap().status, 200, "{first}");
        assert!(client.answer().is_err(), "the connection ends");
    }
    // An incomplete request is refused, and that is answered too.
    let cut = request("POST /sqreen HTTP/1.1\r\nhost: h", "content-length: 9", b"[");
    refused(&half_closed(&daemon, &cut).answer().unwrap(), 400);
    only(&daemon, &ids);
}

#[test]
fn a_request_whose_host_or_end_is_ambiguous_is_refused() {
    let daemon = daemon();
    let sent = body(&events("ambiguous", 1));
    let length = format!("content-length: {}", sent.len());
    let chunks = [format!("{:x}\r\n", sent.len()).as_bytes(), &sent, b"\r\n0\r\n\r\n"].concat();
    let chunked = |lines: &str| {
        let signature = signature(SECRET, &sent);
        let head =
            format!("POST /sqreen HTTP/1.1\r\nx-sqreen-integrity: {signature}\r\n{lines}\r\n\r\n");
        [head.as_bytes(), &chunks].concat()
    };
    let new = "POST /sqreen HTTP/1.1";
    for (bytes, error) in [
        (request(new, &length, &sent), "the Host header is missing"),
        (request("POST http://h/sqreen HTTP/1.1", &length, &sent), "the Host header is missing"),
        (
            request(new, &format!("host: a\r\n{length}\r\nHost: b"), &sent),
            "there is more than one Host header",
        ),
        (
            request("POST /sqreen HTTP/1.0", &format!("host: a\r\n{length}\r\nhost: a"), &sent),
            "there is more than one Host header",
        ),
        (
            chunked("host: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked"),
            "Content-Length and Transfer-Encoding exclude each other",
        ),
        (
            chunked("host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5"),
            "Content-Length and Transfer-Encoding exclude each other",
        ),
        (
            chunked("host: h\r\ntransfer-encoding: x, chunked"),
            "the only Transfer-Encoding that is supported is chunked",
        ),
        (
            chunked("host: h\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked"),
            "the only Transfer-Encoding that is supported is chunked",
        ),
    ] {
        let mut client = daemon.client();
        client.write(&bytes).unwrap();
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 400, "{}", bytes.escape_ascii());
        assert_eq!(answer.json()["error"], error);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(client.answer().is_err(), "the connection ends");
    }
    let fine = chunked("host: h\r\ntransfer-encoding: Chunked");
    let mut client = daemon.client();
    client.write(&fine).unwrap();
    assert_eq!(client.answer().unwrap().status, 200);
    only(&daemon, &events("ambiguous", 1));
}

#[test]
fn handshakes_that_anyone_can_ask_for_do_not_fill_the_log() {
    let daemon = Daemon::new().source_with("x", SECRET, "scheme = \"x\"").log("audit-log").start();
    let mut client = daemon.client();
    for number in 0..100 {
        let path = format!("/x?crc_token={number}");
        let answer = client.send("GET", &path, &[], b"").unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.json()["response_token"].is_string());
    }
    let lines = daemon.log().matches("answered the vendor's handshake").count();
    assert!((1..=5).contains(&lines), "{lines} lines");
}

#[test]
fn both_secrets_are_accepted_during_a_rotation() {
    let two = "secrets = [\"literal:the old secret\", \"literal:the new secret\"]";
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .source_table("rotating", two)
        .log("audit-log")
        .start();
    for (index, secret) in ["the old secret", "the new secret"].into_iter().enumerate() {
        let body = body(&[format!("by {index}")]);
        let signature = signature(secret, &body);
        let headers = [("x-sqreen-integrity", signature.as_bytes())];
        let answer = daemon.client().send("POST", "/rotating", &headers, &body).unwrap();
        assert_eq!(answer.status, 200, "{secret}");
    }
    only(&daemon, &["by 0".to_owned(), "by 1".to_owned()]);
}
