//! Requests that are sent, settings that are refused, and the meaning of responses.

use dispatcher_plugin_api::serde_json::Value;
use dispatcher_plugin_api::testing::{self, SentRequest, TestEvent, TestHost};

use super::*;

const URL: &str = "https://example.org/hook?team=a";

fn target(host: &TestHost, settings: Value) -> Result<Http, Invalid> {
    host.create(settings)
}

fn field<'a>(request: &'a SentRequest, name: &str) -> Option<&'a str> {
    let mut fields = request.headers.iter().filter(|(key, _)| key == name);
    let value = fields.next().map(|(_, value)| value.as_str());
    assert!(fields.next().is_none(), "{name} occurs twice");
    value
}

#[test]
fn the_data_is_sent_unchanged_with_the_same_id_each_time() {
    let host = TestHost::new();
    host.answer(503, "busy");
    host.answer(204, "");
    let http = target(&host, json!({ "url": URL, "headers": { "X-Team": "ops" } })).unwrap();
    // Spaces, a repeated key and a number beyond 64 bits: none of it is rewritten.
    let data = r#"{ "a" : 1, "a": 123456789012345678901234567890 }"#;
    let event = TestEvent::new(data).id("01J0000000000000000000000A");
    assert_eq!(testing::each(&http, &event), Err(Failure::retry("answered 503: busy")));
    assert_eq!(testing::each(&http, &event.attempt(2, "")), Ok(Receipt::none()));
    for request in host.requests() {
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", URL));
        assert_eq!(request.body, data.as_bytes());
        for (name, value) in [
            ("content-type", "application/json"),
            ("webhook-id", "01J0000000000000000000000A"),
            ("idempotency-key", "01J0000000000000000000000A"),
            ("X-Team", "ops"),
        ] {
            assert_eq!(field(&request, name), Some(value));
        }
        let sent_at_s: u64 = field(&request, "webhook-timestamp").unwrap().parse().unwrap();
        assert!(sent_at_s > 1_700_000_000, "{sent_at_s}");
    }
}

#[test]
fn what_the_event_is_stands_in_the_header_and_a_signature_covers_the_body() {
    let host = TestHost::new();
    host.answer(200, "");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let http = target(&host, json!({ "url": URL, "signing_secret": secret })).unwrap();
    let event = TestEvent::new("{}").id("01J0000000000000000000000A").title("Zürich: 100%");
    testing::each(&http, &event).unwrap();
    let request = host.requests().remove(0);
    let field = |name: &str| field(&request, name).unwrap_or_default().to_owned();
    assert_eq!(field("ce-specversion"), "1.0");
    assert_eq!(field("ce-id"), "01J0000000000000000000000A");
    assert_eq!(field("ce-title"), "Z%C3%BCrich:%20100%25");
    for name in ["ce-source", "ce-type", "ce-time", "ce-severity"] {
        assert!(!field(name).is_empty(), "{name}");
    }
    let seconds = field("webhook-timestamp").parse().unwrap();
    let key = signature::Key::new(&secret.into()).unwrap();
    let expected = key.sign("01J0000000000000000000000A", seconds, b"{}").unwrap();
    assert_eq!(field("webhook-signature"), expected);
    assert!(!format!("{http:?}").contains("MfKQ"));
}

#[test]
fn the_content_type_is_that_of_the_data() {
    let host = TestHost::new();
    let http = target(&host, json!({ "url": URL })).unwrap();
    for (declared, data, expected) in [
        (Some("text/xml"), "<a/>", "text/xml"),
        (Some("multipart/form-data; boundary=b"), "--b--", "multipart/form-data; boundary=b"),
        (Some("text/xml"), " [1]", "application/json"),
        (Some("application/json"), "7", "application/json"),
        (Some("text/plain; charset=utf-8"), "[URGENT] disk is full", "text/plain; charset=utf-8"),
        (Some("text/plain"), "{\"a\":1}", "application/json"),
        (Some("application/vnd.a+json; charset=utf-8"), "{", "application/json"),
        (Some("no type"), "a", "application/octet-stream"),
        (None, "a", "application/octet-stream"),
        (None, "{}", "application/json"),
    ] {
        host.answer(200, "");
        let event = TestEvent::new(data);
        let event = match declared {
            Some(declared) => event.header("Content-Type", declared),
            None => event,
        };
        testing::each(&http, &event).unwrap();
        let requests = host.requests();
        let found = requests.last().and_then(|request| field(request, "content-type"));
        assert_eq!(found, Some(expected), "{data}");
    }
}

#[test]
fn put_can_be_set() {
    let host = TestHost::new();
    host.answer(200, "");
    let http = target(&host, json!({ "url": URL, "method": "PUT" })).unwrap();
    testing::each(&http, &TestEvent::new("{}")).unwrap();
    assert_eq!(host.requests()[0].method, "PUT");
}

#[test]
fn a_request_that_may_have_arrived_is_marked() {
    let host = TestHost::new();
    let http = target(&host, json!({ "url": URL })).unwrap();
    host.fail(HttpError::NotSent("refused".to_owned()));
    host.fail(HttpError::Ambiguous("cut".to_owned()));
    let event = TestEvent::new("{}");
    assert_eq!(testing::each(&http, &event), Err(Failure::retry("refused")));
    assert_eq!(testing::each(&http, &event), Err(Failure::retry("cut").maybe_sent()));
}

/// Fields of the most bytes that are allowed, and so many more.
fn large(more: usize) -> BTreeMap<String, String> {
    let half = HEADERS_BYTES_MAX / 2;
    let fields = [("a".to_owned(), half - 1), ("b".to_owned(), half - 1 + more)];
    fields.into_iter().map(|(name, bytes)| (name, "y".repeat(bytes))).collect()
}

#[test]
fn the_longest_fields_of_an_event_are_sent_beside_the_longest_of_the_settings() {
    let host = TestHost::new();
    host.answer(200, "");
    let settings = json!({
        "url": URL, "headers": large(0), "signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    });
    // As long as the daemon makes them, of characters that take 12 bytes.
    let [title, name] = [300, 200].map(|chars| "😀".repeat(chars));
    let event = TestEvent::new("a").id("01J0000000000000000000000A").title(&title);
    let event = event.event_type(&name).subject(&name).source(&"s".repeat(64));
    let media_type = format!("text/{}", "x".repeat(251));
    testing::each(&target(&host, settings).unwrap(), &event.header("content-type", &media_type))
        .unwrap();
    let request = host.requests().remove(0);
    let bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(bytes > 15_000 && bytes <= 16 * 1024, "{bytes}");
}

#[test]
fn invalid_settings_are_refused_with_their_key() {
    let many: BTreeMap<String, &str> = (0..33).map(|n| (format!("x-{n}"), "y")).collect();
    for (settings, said) in [
        (json!({}), "missing field `url`"),
        (json!({ "url": "example.org" }), "url: an address must start with https://"),
        (json!({ "url": URL, "method": "GET" }), "method: unknown variant `GET`"),
        (json!({ "url": URL, "body": "x" }), "unknown field `body`"),
        (json!({ "url": URL, "headers": { "a b": "x" } }), "headers.a b: not a valid name"),
        (json!({ "url": URL, "headers": { "": "x" } }), "headers.: not a valid name"),
        (json!({ "url": URL, "headers": { "Webhook-Id": "x" } }), "headers.Webhook-Id: is set"),
        (json!({ "url": URL, "headers": { "HOST": "x" } }), "headers.HOST: is set"),
        (json!({ "url": URL, "headers": { "Ce-Type": "x" } }), "headers.Ce-Type: is set"),
        (
            json!({ "url": URL, "signing_secret": "secret" }),
            "signing_secret: not a secret of Standard",
        ),
        (json!({ "url": URL, "headers": { "x": "a\r\nb: c" } }), "headers.x: its value must"),
        (
            json!({ "url": URL, "headers": { "x-a": "1", "X-A": "2" } }),
            "headers.x-a: is there twice",
        ),
        (json!({ "url": URL, "headers": { "x": "é" } }), "headers.x: its value must"),
        (json!({ "url": URL, "headers": { "x": "y".repeat(4097) } }), "longer than 4096"),
        (json!({ "url": URL, "headers": many }), "headers: more than 32"),
        (json!({ "url": URL, "headers": large(1) }), "headers: more than 6144 bytes"),
    ] {
        let invalid = target(&TestHost::new(), settings.clone()).err();
        let shown = invalid.map(|invalid| invalid.to_string()).unwrap_or_default();
        assert!(shown.contains(said), "{settings}: {shown:?} lacks {said:?}");
    }
}

#[test]
fn debug_shows_no_header_value() {
    let settings = json!({ "url": URL, "headers": { "authorization": "Bearer hunter2" } });
    let http = target(&TestHost::new(), settings).unwrap();
    let shown = format!("{http:?}");
    assert!(shown.contains("authorization") && !shown.contains("hunter2"), "{shown}");
}
