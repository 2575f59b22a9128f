//! Malformed and unusual requests as raw bytes, and the status that each one gets (RFC 9112, RFC 9110).

use crate::harness::{Client, Daemon, SECRET, body, events, signature};

/// What is changed in a request that is accepted, and the status then.
const CASES: &[(&str, &str, u16)] = &[
    // RFC 9112, 3: the request line.
    ("POST /sqreen HTTP/1.1", "POST http://h/sqreen HTTP/1.1", 200),
    ("POST /sqreen HTTP/1.1", "POST  /sqreen HTTP/1.1", 400),
    ("POST /sqreen HTTP/1.1", "POST /sq reen HTTP/1.1", 400),
    ("POST /sqreen HTTP/1.1", "POST * HTTP/1.1", 404),
    ("POST /sqreen HTTP/1.1", "POST /sqreen HTTP/2.0", 400),
    ("POST /sqreen HTTP/1.1", "post /sqreen HTTP/1.1", 405),
    ("POST /sqreen HTTP/1.1", "POST /sqreen", 400),
    ("POST /sqreen HTTP/1.1", "\r\nPOST /sqreen HTTP/1.1", 200),
    // 3.2: the host.
    ("host: h", "host:", 200),
    ("host: h", "host: h:7070", 200),
    ("host: h", "host: [::1]:7070", 200),
    ("host: h", "host: hooks.example.org", 200),
    ("host: h", "host: 127.0.0.1:7070", 200),
    ("host: h", "host: [2001:db8::1]", 200),
    ("host: h", "host: h:", 200),
    ("host: h", "host: [::1", 400),
    ("host: h", "host: ::1", 400),
    ("host: h", "host: [::1]x", 400),
    ("host: h", "host: h:x", 400),
    ("host: h", "host: h:7:7", 400),
    ("host: h", "host: h]", 400),
    ("host: h", "host: a b", 400),
    ("host: h", "host: a,b", 400),
    ("host: h", "host: u@h/", 400),
    ("host: h", "host: h/x", 400),
    ("host: h", "host: h?x", 400),
    ("host: h", "host: h\\x", 400),
    ("host: h", "host: \"h\"", 400),
    ("host: h", "host: h\r\nhost: h", 400),
    ("host: h", "x: y", 400),
    // 5: fields.
    ("host: h", "host: h\r\nx : y", 400),
    ("host: h", "host: h\r\n x: y", 400),
    ("host: h", "host: h\r\nx: y\r\n z", 400),
    ("host: h", "host: h\r\nx: a\rb: c", 400),
    ("host: h", "host: h\r\nx: a\0b", 400),
    ("host: h", "host: h\r\nx(y): z", 400),
    ("host: h", "host: h\r\nx y", 400),
    ("host: h", "host: h\r\n: y", 400),
    // 2.2: a recipient may take a line feed alone as the end of a line.
    ("host: h\r\n", "host: h\n", 200),
    // 6.3 and RFC 9110, 8.6: equal lengths may be taken or refused.
    ("content-length: {n}", "content-length: {n}, {n}", 400),
    ("content-length: {n}", "content-length: {n}\r\ncontent-length: {n}", 400),
    ("content-length: {n}", "content-length: {n}\r\ncontent-length: 1", 400),
    ("content-length: {n}", "content-length: +{n}", 400),
    ("content-length: {n}", "content-length: -1", 400),
    ("content-length: {n}", "content-length: 0x10", 400),
    ("content-length: {n}", "content-length:", 400),
    ("content-length: {n}", "content-length: 0{n}", 200),
    ("content-length: {n}", "content-length: 4194305", 413),
    ("content-length: {n}", "content-length: 9223372036854775808", 413),
    ("content-length: {n}", "content-length: 18446744073709551613", 413),
    ("content-length: {n}", "content-length: 18446744073709551614", 413),
    ("content-length: {n}", "content-length: 18446744073709551615", 413),
    ("content-length: {n}", "content-length: 18446744073709551616", 400),
    ("content-length: {n}", "content-length: 99999999999999999999999", 400),
    ("content-length: {n}", "content-length: {n}\r\ntransfer-encoding: chunked", 400),
    ("content-length: {n}", "content-length: {n}\r\ntransfer-encoding: identity", 400),
    // RFC 9110, 10.1.1.
    ("host: h", "host: h\r\nexpect: 100-continue", 200),
    ("host: h", "host: h\r\nexpect: 100-continue\r\nexpect: 100-continue", 200),
    ("host: h", "host: h\r\nexpect: something-else", 200),
    // RFC 9110, 7.8: what is not supported is ignored.
    ("host: h", "host: h\r\nconnection: upgrade\r\nupgrade: h2c", 200),
];

/// The same for a request whose body comes in chunks.
const CHUNKED: &[(&str, &str, u16)] = &[
    ("chunked", "Chunked", 200),
    ("chunked", "xchunked", 400),
    ("chunked", "gzip, chunked", 400),
    ("chunked", "chunked, chunked", 400),
    ("chunked", "\x0bchunked", 400),
    ("HTTP/1.1", "HTTP/1.0", 400),
    ("{n:x}\r\n", "{n:x};name=value\r\n", 200),
    ("{n:x}\r\n", "{n:x} \r\n", 200),
    ("{n:x}\r\n", "000{n:x}\r\n", 200),
    ("{n:x}\r\n", "0x{n:x}\r\n", 400),
    ("{n:x}\r\n", "-{n:x}\r\n", 400),
    ("{n:x}\r\n", "fffffffffffffffff\r\n", 400),
    ("\r\n0\r\n\r\n", "\r\n0\r\ntrailer: x\r\n\r\n", 200),
    ("\r\n0\r\n\r\n", "x0\r\n\r\n", 400),
];

#[test]
fn each_malformed_request_gets_the_status_that_the_standard_requires() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let sent = String::from_utf8(body(&events("raw", 1))).unwrap();
    let signature = signature(SECRET, sent.as_bytes());
    let head = format!("POST /sqreen HTTP/1.1\r\nhost: h\r\nx-sqreen-integrity: {signature}\r\n");
    let whole = format!("{head}content-length: {{n}}\r\n\r\n{sent}");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{{n:x}}\r\n{sent}\r\n0\r\n\r\n");
    let mut wrong = Vec::new();
    for (template, cases) in [(whole, CASES), (chunked, CHUNKED)] {
        for (from, to, status) in cases {
            assert!(template.contains(from), "{from}");
            let (length, hex) = (sent.len().to_string(), format!("{:x}", sent.len()));
            let raw = template.replacen(from, to, 1).replace("{n}", &length).replace("{n:x}", &hex);
            let mut client = Client::connect(daemon.address()).unwrap();
            client.write(raw.as_bytes()).unwrap();
            let mut found = client.answer().map_or(0, |answer| answer.status);
            if found == 100 {
                found = client.answer().map_or(0, |answer| answer.status);
            }
            if found != *status {
                wrong.push(format!("{from:?} -> {to:?}: {found}, not {status}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    daemon.wait_delivered("audit-log", &events("raw", 1));
}
