//! The limits of one source: addresses, rates and bytes; and which proxies are trusted. Rates are per day, so that time
//! does not matter.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};

use crate::harness::{Answer, Client, Daemon, SECRET, Setup, body, events, signature, wait_for};

fn daemon(server: &str, source: &str) -> Daemon {
    setup(server, source).start()
}

fn setup(server: &str, source: &str) -> Setup {
    Daemon::new().source_with("sqreen", SECRET, source).log("audit-log").server(server)
}

const TRUSTED: &str = "trusted_proxies = \"127.0.0.0/8\"";
const ALLOW: &str = "allow = [\"203.0.113.0/24\", \"2001:db8::/32\"]\n";

/// Posts one event, signed correctly, with more headers, on a connection that begins with `first`.
#[track_caller]
fn post_after(
    daemon: &Daemon,
    path: &str,
    first: &[u8],
    headers: &[(&str, &[u8])],
    id: &str,
) -> Answer {
    let body = body(&[id]);
    let signature = signature(SECRET, &body);
    let mut all = vec![("x-sqreen-integrity", signature.as_bytes())];
    all.extend_from_slice(headers);
    let mut client: Client = daemon.client();
    client.write(first).unwrap();
    client.send("POST", path, &all, &body).unwrap()
}

#[track_caller]
fn post_with(daemon: &Daemon, headers: &[(&str, &[u8])], id: &str) -> Answer {
    post_after(daemon, "/sqreen", b"", headers, id)
}

/// What `refused` shows.
fn refused(daemon: &Daemon) -> String {
    let output = daemon.command(&["refused"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn addresses_from_a_trusted_proxy_are_checked_against_the_allow_list() {
    let daemon = daemon(TRUSTED, ALLOW);
    for (index, (name, value, status)) in [
        ("x-forwarded-for", "203.0.113.7", 200),
        ("x-forwarded-for", "1.1.1.1, 203.0.113.7:4711, 127.0.0.9", 200),
        ("x-forwarded-for", "[2001:db8::7]:443", 200),
        ("forwarded", "for=\"[2001:db8::7]:443\";proto=https", 200),
        ("x-forwarded-for", "198.51.100.7", 403),
        ("x-forwarded-for", "203.0.113.7, 198.51.100.7", 403),
        ("x-forwarded-for", "203.0.113.7, unknown", 403),
        ("forwarded", "for=203.0.113.7, for=_hidden", 403),
        ("x-other", "203.0.113.7", 403),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = post_with(&daemon, &[(name, value.as_bytes())], &format!("e{index}"));
        assert_eq!(answer.status, status, "{name}: {value}: {answer:?}");
    }
    let both: [(&str, &[u8]); 2] =
        [("x-forwarded-for", b"203.0.113.7"), ("forwarded", b"for=203.0.113.8")];
    assert_eq!(post_with(&daemon, &both, "both").status, 403);
    let listed = refused(&daemon);
    assert!(listed.contains("198.51.100.7 is not in the source's `allow`"), "{listed}");
    assert!(listed.contains("198.51.100.7 via 127.0.0.1:"), "{listed}");
    assert!(listed.contains("unknown via 127.0.0.1:"), "{listed}");
    wait_for("the log", || daemon.log().contains("198.51.100.7 via 127.0.0.1:").then_some(()));
}

#[test]
fn an_untrusted_peer_cannot_claim_another_address() {
    for server in ["", "trusted_proxies = [\"10.0.0.0/8\", \"::1\"]"] {
        let daemon = daemon(server, ALLOW);
        for header in ["x-forwarded-for", "forwarded"] {
            let value: &[u8] =
                if header == "forwarded" { b"for=203.0.113.7" } else { b"203.0.113.7" };
            let answer = post_with(&daemon, &[(header, value)], "spoof");
            assert_eq!(answer.status, 403);
            assert_eq!(answer.json()["error"], "this address is not allowed");
        }
        let listed = refused(&daemon);
        assert!(listed.contains("127.0.0.1 is not in the source's `allow`"), "{listed}");
        assert!(!listed.contains("203.0.113.7"), "{listed}");
    }
}

#[test]
fn the_allow_list_is_checked_before_the_body_is_sent() {
    let daemon = daemon("", ALLOW);
    let mut client = daemon.client();
    client
        .write(b"POST /sqreen HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n")
        .unwrap();
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (403, Some("close")));
}

const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n";
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xcb\0\x71\x07\x7f\0\0\x01\x12\x67\0\x50\x04\0\0";
const SIX: &[u8] = b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n";
const OTHER: &[u8] = b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 80\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[test]
fn both_versions_of_the_proxy_protocol_name_the_sender() {
    let daemon = daemon(&format!("{TRUSTED}\nproxy_protocol = true"), ALLOW);
    let firsts = [(LINE, 200), (BINARY, 200), (SIX, 200), (OTHER, 403), (LOCAL, 403)];
    for ((first, status), id) in firsts.into_iter().zip(events("first", 5)) {
        let answer = post_after(&daemon, "/sqreen", first, &[], &id);
        assert_eq!(answer.status, status, "{}: {answer:?}", first.escape_ascii());
    }
    // The address in the PROXY header is not a trusted proxy, so its X-Forwarded-For is ignored.
    let claim: (&str, &[u8]) = ("x-forwarded-for", b"203.0.113.7");
    assert_eq!(post_after(&daemon, "/sqreen", OTHER, &[claim], "claim").status, 403);
    // One PROXY header covers all requests of its connection.
    let mut client = daemon.client();
    client.write(LINE).unwrap();
    for id in events("kept", 3) {
        let body = body(&[id]);
        let signature = signature(SECRET, &body);
        let headers = [("x-sqreen-integrity", signature.as_bytes())];
        assert_eq!(client.send("POST", "/sqreen", &headers, &body).unwrap().status, 200);
    }
    let mut client = daemon.client();
    client.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    assert_eq!(client.answer().unwrap().status, 400);
    let expected = "the connection does not begin with a PROXY header; server.proxy_protocol";
    wait_for("the log", || daemon.log().contains(expected).then_some(()));
}

#[test]
fn a_proxy_header_from_elsewhere_is_refused() {
    for server in ["trusted_proxies = \"10.0.0.0/8\"\nproxy_protocol = true", TRUSTED] {
        let daemon = daemon(server, "");
        for first in [LINE, BINARY] {
            let mut client = daemon.client();
            client.write(first).unwrap();
            client.write(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
            assert_eq!(client.answer().unwrap().status, 400, "{}", first.escape_ascii());
        }
        assert_eq!(daemon.post(&body(&events("plain", 1))).status, 200);
    }
}

#[test]
fn a_429_says_when_to_retry_and_forgeries_do_not_count_towards_the_rate() {
    let mut daemon = setup(TRUSTED, "rate = [\"1000/s\", \"3/day\"]\n")
        .source_with("other", SECRET, "rate = \"3/day\"\n")
        .start();
    let from = |address: &'static [u8]| [("x-forwarded-for", address)];
    let forge = |address| {
        let mut headers = vec![("x-sqreen-integrity", "0".repeat(64).into_bytes())];
        headers.push(("x-forwarded-for", Vec::from(address)));
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(n, v)| (*n, &v[..])).collect();
        daemon.client().send("POST", "/sqreen", &headers, b"[]").unwrap()
    };
    for id in events("accepted", 3) {
        // From the same address: a stranger's webhook at the same vendor.
        let forged: Vec<u16> = (0..10).map(|_| forge(&b"203.0.113.7"[..]).status).collect();
        assert_eq!(forged, [401; 10]);
        assert_eq!(post_with(&daemon, &from(b"203.0.113.7"), &id).status, 200);
    }
    let late = post_with(&daemon, &from(b"203.0.113.7"), "late");
    assert_eq!(late.status, 429, "{late:?}");
    let wait: u64 = late.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=28_800).contains(&wait), "a third of a day at most: {wait}");
    assert!(late.json()["error"].as_str().is_some_and(|error| error.contains("later")));
    assert_eq!(post_after(&daemon, "/other", b"", &from(b"203.0.113.7"), "other").status, 200);
    let listed = refused(&daemon);
    assert!(listed.contains("above the source's rate limit; accepted again in "), "{listed}");
    let status = daemon.command(&["status", "--json"]).output().unwrap();
    assert!(status.status.success(), "a limit that was set needs no attention");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["overload"], serde_json::json!({ "rate": 1 }), "{status}");
    assert_eq!(status["last_overload"][1], "rate", "{status}");
    let words =
        "; refused for lack of room since the start: the rate limit of a source: 1; the last at ";
    assert!(status["state"].as_str().unwrap().contains(words), "{status}");
    // A refused request is accepted when it is sent again: here because the rate was raised.
    daemon.reload(|setup| setup.source_with("sqreen", SECRET, "rate = \"100/s\"\n"));
    assert_eq!(post_with(&daemon, &from(b"203.0.113.7"), "late").status, 200);
    daemon.wait_delivered("audit-log", &["late".to_owned()]);
}

#[test]
fn check_shows_the_limits_of_each_source() {
    let daemon = daemon(TRUSTED, &format!("{ALLOW}rate = \"20/s\"\nsilent_after = \"1h\"\n"));
    let output = daemon.command(&["check"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let limits = "limits: sqreen from 203.0.113.0/24, 2001:db8::/32 only; at most 20/s; alarm after 1h of silence";
    assert!(shown.contains(limits), "{shown}");
    assert!(shown.contains("proxies: 127.0.0.0/8 by X-Forwarded-For or Forwarded"), "{shown}");
}

#[test]
fn a_flood_at_one_source_does_not_block_another() {
    let small = "body_max = \"64KiB\"\n";
    let daemon = setup("in_flight_max = \"1MiB\"\nbody_timeout = \"5m\"", small)
        .source_with("other", SECRET, small)
        .start();
    // More bytes than all sources may have in flight; none of these requests ever ends.
    let head = format!(
        "POST /sqreen HTTP/1.1\r\nhost: h\r\nx-sqreen-integrity: {}\r\ncontent-length: 65000\r\n\r\n",
        "0".repeat(64)
    );
    let part = [head.as_bytes(), &[b' '; 60_000]].concat();
    let flood: Vec<Client> = (0..30)
        .map(|_| {
            let mut client = daemon.client();
            client.write(&part).unwrap();
            client
        })
        .collect();
    wait_for("the flood", || {
        let log = daemon.log();
        // They fill the bytes that the source may have, so some of them give way to others, or are refused.
        let full = ["its room was needed for others", "the source has used up its own part"];
        full.iter().any(|text| log.contains(text)).then_some(())
    });
    let ids = events("beside", 20);
    for id in &ids {
        assert_eq!(post_after(&daemon, "/other", b"", &[], id).status, 200);
    }
    daemon.wait_delivered("audit-log", &ids);
    drop(flood);
}

/// Nothing else listens on this address, so a port that was free stays free.
const HERE: &str = "127.0.0.99";

/// HAProxy in front of the daemon, called by curl from another address: the headers of a real proxy are understood.
#[test]
fn haproxy_headers_are_understood_in_every_mode() {
    for program in ["haproxy", "curl"] {
        if Command::new(program).arg("--version").output().is_err() {
            return println!("skipped: {program} is not installed");
        }
    }
    let allow = "allow = \"127.0.0.7\"\n";
    for (mode, option, server) in
        [("http", "option forwardfor", ""), ("tcp", "", "send-proxy"), ("tcp", "", "send-proxy-v2")]
    {
        let protocol = server.starts_with("send-proxy");
        let lines = format!("trusted_proxies = \"127.0.0.1\"\nproxy_protocol = {protocol}");
        let daemon = daemon(&lines, allow);
        let port = TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap().port();
        let config = format!(
            "defaults\n mode {mode}\n timeout client 60s\n timeout server 60s\n timeout connect 60s\n {option}\n\
             listen it\n bind {HERE}:{port}\n server it {} {server}\n",
            daemon.address()
        );
        let file = daemon.home().join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        let mut haproxy = Ended(Command::new("haproxy").arg("-f").arg(&file).spawn().unwrap());
        wait_for("haproxy", || {
            assert_eq!(haproxy.0.try_wait().unwrap(), None, "haproxy ended");
            TcpStream::connect((HERE, port)).ok()
        });
        let body = body(&["by haproxy"]);
        let signature = format!("x-sqreen-integrity: {}", signature(SECRET, &body));
        let status = |interface: &str| {
            let mut curl = Command::new("curl");
            // A forged header of the sender has no effect.
            curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", &signature]);
            curl.args(["-H", "x-forwarded-for: 127.0.0.7", "--interface", interface]);
            curl.arg("--data-binary").arg(std::str::from_utf8(&body).unwrap());
            let output = curl.arg(format!("http://{HERE}:{port}/sqreen")).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(status("127.0.0.7"), "200", "{mode} {option} {server}");
        assert_eq!(status("127.0.0.8"), "403", "{mode} {option} {server}");
    }
}

/// A program that is killed when its test ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
