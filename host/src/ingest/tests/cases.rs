//! Requests as files, for those who have a folder of them: `DISPATCHER_CASES` names it.
//!
//! Each file says `method`, `headers`, `secret`, `body_base64` and `signature` (a text, a list of
//! them, or null for none), and in `expect` the `status` or `status_any_of`, statuses that are wrong
//! in any case (`never`), and how many `events` come out, of which `types`.

use std::path::Path;

use serde_json::Value;

use super::*;

/// The bytes of a base64 text.
fn unbase64(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0, 0u32);
    for c in text.trim_end_matches('=').chars() {
        held = (held << 6) | u32::try_from(ALPHABET.find(c).unwrap()).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits).to_le_bytes()[0]);
        }
    }
    bytes
}

fn request(case: &Value) -> http::Request<Full<Bytes>> {
    let mut request =
        http::Request::builder().method(case["method"].as_str().unwrap()).uri("/sqreen");
    for (name, value) in case["headers"].as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    let signatures = match &case["signature"] {
        Value::Array(all) => all.clone(),
        Value::Null => vec![],
        one => vec![one.clone()],
    };
    for signature in signatures {
        // A header's bytes are Latin-1.
        let bytes: Vec<u8> =
            signature.as_str().unwrap().chars().map(|c| u8::try_from(c).unwrap()).collect();
        let value = http::HeaderValue::from_bytes(&bytes).unwrap();
        request = request.header("X-Sqreen-Integrity", value);
    }
    let body = unbase64(case["body_base64"].as_str().unwrap_or_default());
    request.body(Full::new(Bytes::from(body))).unwrap()
}

fn statuses(expected: &Value) -> Vec<u64> {
    expected.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

async fn check(name: &str, case: &Value) {
    let kit = Kit::with_secrets(&[case["secret"].as_str().unwrap_or("none given")]);
    let answer = kit.send(request(case)).await;
    let status = u64::from(answer.status.as_u16());
    let expected = &case["expect"];
    let mut allowed = statuses(&expected["status_any_of"]);
    allowed.extend(expected["status"].as_u64());
    assert!(allowed.contains(&status), "{name}: {status}, not one of {allowed:?}: {answer:?}");
    assert!(!statuses(&expected["never"]).contains(&status), "{name}: {status}");
    if let Some(allow) = expected["allow_header"].as_str() {
        assert_eq!(answer.headers["allow"], allow, "{name}");
    }
    if status != 200 {
        assert_eq!(kit.queue.count(), 0, "{name}: refused and stored all the same");
        return;
    }
    let stored = kit.queue.only();
    if let Some(events) = expected["events"].as_u64() {
        assert_eq!(stored.events.len() as u64, events, "{name}");
    }
    if let Some(dispatched) = expected["dispatch"].as_u64() {
        let routed = stored.events.iter().filter(|event| !event.targets.is_empty()).count();
        assert_eq!(routed as u64, dispatched, "{name}");
    }
    let types = expected["types"].as_array().cloned().unwrap_or_default();
    for (planned, expected) in stored.events.iter().zip(types) {
        let attributes = &planned.event.attributes;
        assert_eq!(attributes.event_type, expected.as_str().unwrap_or("unknown"), "{name}");
        assert!(!attributes.title.trim().is_empty(), "{name}: no title");
    }
}

#[tokio::test]
async fn a_folder_of_requests_is_answered_as_it_expects() {
    let Some(folder) = std::env::var_os("DISPATCHER_CASES") else {
        println!("skipped: DISPATCHER_CASES names no folder of requests");
        return;
    };
    let mut files: Vec<_> =
        Path::new(&folder).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert!(!files.is_empty(), "no request in {}", Path::new(&folder).display());
    for path in &files {
        let case = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        check(&path.display().to_string(), &case).await;
    }
    println!("{} requests", files.len());
}

#[test]
fn base64_is_read() {
    for (text, expected) in [("", ""), ("NDU2Nw==", "4567"), ("W10=", "[]"), ("e30K", "{}\n")] {
        assert_eq!(unbase64(text), expected.as_bytes());
    }
}
