//! Tests what people see of each kind of event, and that any body can be read.

use std::collections::HashMap;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::repetition::of_event;
use super::sender::Read;
use super::*;
use crate::config::vendors::{self, sample, sender, senders};
use crate::model::{Attributes, Event, RepetitionKey, RepetitionSeed, Severity, Shape};

fn read(sender_name: &str, body: &Bytes) -> Result<Vec<Event>, Malformed> {
    let headers = http::HeaderMap::new();
    normalize(sender(sender_name).unwrap(), Input::example(&headers, body))
}

fn events(sender_name: &str, body: &str) -> Vec<Event> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    read(sender_name, &body).unwrap()
}

fn only(sender: &str, body: &str) -> Event {
    let mut events = events(sender, body);
    assert_eq!(events.len(), 1, "{body}");
    events.remove(0)
}

/// The key of the ids in that text, separated by slashes, and of the content of that event.
fn key(sender: &Sender, ids: &str, data: &[u8]) -> RepetitionKey {
    let data = std::str::from_utf8(data).unwrap();
    match &sender.read {
        Read::Fields(fields) => {
            of_event(RepetitionSeed::default(), &[ids], if fields.id_alone { "" } else { data })
        }
        Read::Sqreen => {
            let ids: Vec<&str> = ids.split('/').collect();
            let parts: HashMap<String, &RawValue> = serde_json::from_str(data).unwrap();
            let content = match parts.get("message").map(|message| message.get()) {
                Some("null") => "",
                Some(message) => message,
                None if parts.contains_key("message_type") => "",
                None => data,
            };
            of_event(RepetitionSeed::default(), &ids, content)
        }
    }
}

/// Checks type, title, severity and the ids in the repetition key of the only event, in this order.
#[track_caller]
fn check(sender: &str, body: &str, expected: (&str, &str, Severity, Option<&str>)) {
    let Event { attributes, dedup, data, shape, .. } = only(sender, body);
    let found = (attributes.event_type.as_str(), attributes.title.as_str(), attributes.severity);
    let (event_type, title, severity, ids) = expected;
    assert_eq!(found, (event_type, title, severity), "{body}");
    let ids_key = ids.map(|ids| key(vendors::sender(sender).unwrap(), ids, &data));
    assert_eq!(dedup, ids_key, "{body}: {ids:?}");
    assert_eq!(shape, Shape::Object);
    assert!(body.contains(std::str::from_utf8(&data).unwrap()));
}

#[test]
fn samples_read_as_people_expect() {
    use Severity::{Critical, Error, Info, Warning};
    for (name, expected) in [
        ("sqreen/test", ("test", "Test message from Sqreen", Info, None)),
        (
            "sqreen/security_event",
            (
                "security_event",
                "SQL injection attempt from 203.0.113.7",
                Error,
                Some("/601d5133592a4d9000f88ec1"),
            ),
        ),
        (
            "sqreen/http_scan",
            (
                "http_scan",
                "http_scan incident created on 5fa41cdbb87595001cb7fd03",
                Warning,
                Some("//601d5133592a4d9000f88ec2/created/2021-02-08T12:45:02.101010+00:00"),
            ),
        ),
        (
            "sqreen/pulse",
            (
                "pulse",
                "Massive account takeover attempts on 14 accounts",
                Critical,
                Some("/601d5133592a4d9000f88ec3"),
            ),
        ),
        (
            "sqreen/security_response",
            (
                "security_response",
                "Playbook Block SQL injectors fired on shop",
                Warning,
                Some("7c9e6679-7425-40de-944b-e07fc1f90ae7/"),
            ),
        ),
        (
            "json/alert",
            (
                "disk.full",
                "Disk /data of db-1 is 98 % full",
                Critical,
                Some("c56a4180-65aa-42ec-a945-5fd21dec0538"),
            ),
        ),
        (
            "json/deploy",
            (
                "deploy.finished",
                "shop 4.2.0 is live in production",
                Info,
                Some("7d444840-9dc0-41d1-b245-5ffdce74fad2"),
            ),
        ),
    ] {
        let (sender, sample) = sample(name).unwrap();
        check(&sender.name, &sample.body, expected);
    }
}

#[test]
fn sqreen_falls_back_if_keys_are_missing_null_or_of_another_type() {
    use Severity::{Critical, Error, Info, Warning};
    for (body, expected) in [
        (r#"{}"#, ("unknown", "unknown", Warning, None)),
        (r#"{"id": "c0ffee"}"#, ("unknown", "unknown", Warning, Some("/c0ffee"))),
        (r#"{"sqreen_payload_type": "unknown"}"#, ("unknown", "unknown", Warning, None)),
        (
            r#"{"sqreen_payload_type": "security_event", "event_kind": "waf", "risk": 24}"#,
            ("security_event", "security_event: waf", Info, None),
        ),
        (
            r#"{"message_id": "m-2", "message_type": "security_event", "message": null}"#,
            ("security_event", "security_event", Warning, Some("m-2/")),
        ),
        (
            r#"{"message_id": "m-3", "api_version": "3", "message_type": "brand_new", "payload": {}}"#,
            ("brand_new", "brand_new", Warning, Some("m-3/")),
        ),
        (
            r#"{"message_type": "security_event", "message": {"risk": 123456789012345678901234567890, "x": 1e400, "id": 12}}"#,
            ("security_event", "security_event", Critical, Some("/12")),
        ),
        (
            r#"{"message_type": 7, "message": {"risk": "50", "id": {}, "event_id": null, "application": "shop"}}"#,
            ("7", "7", Warning, None),
        ),
        (
            r#"{"message_type": "", "message": {"humanized_description": ["no"], "humanized_title": " \n "}}"#,
            ("unknown", "unknown", Warning, None),
        ),
        (
            r#"{"message_type": "account_takeover", "message": {"incident_thread": "t-1", "incident_status": "updated", "date_last_updated": "x"}}"#,
            (
                "account_takeover",
                "account_takeover incident updated",
                Critical,
                Some("//t-1/updated/x"),
            ),
        ),
        (
            r#"{"message_type": "brand_new", "message": {"incident_thread": "t-1", "application_name": "shop"}}"#,
            ("brand_new", "brand_new on shop", Error, Some("//t-1//")),
        ),
        (
            r#"{"sqreen_payload_type": "pulse", "pulse_genre": "account_takeover", "blocked": true}"#,
            ("pulse", "pulse: account_takeover", Error, None),
        ),
        (
            r#"{"message_type": "test", "message_id": "m", "message": {"id": "i", "risk": 99}}"#,
            ("test", "Test message from Sqreen", Info, None),
        ),
        (
            r#"{"message_type": "a\nb\u0000", "message": {"humanized_description": "line1\nline2\r\n\u001b[31mred"}}"#,
            ("a b", "line1 line2 [31mred", Warning, None),
        ),
    ] {
        check("sqreen", body, expected);
    }
}

#[test]
fn risk_maps_to_severity_at_its_thresholds() {
    use Severity::{Critical, Error, Info, Warning};
    for (risk, expected) in [
        ("-1", Info),
        ("0", Info),
        ("24.9", Info),
        ("25", Warning),
        ("49", Warning),
        ("50", Error),
        ("74", Error),
        ("75", Critical),
        ("100", Critical),
        ("1e400", Critical),
        ("null", Warning),
        ("\"high\"", Warning),
    ] {
        for key in ["risk", "risk_coefficient"] {
            let version_1 =
                format!(r#"{{"sqreen_payload_type": "security_event", "{key}": {risk}}}"#);
            assert_eq!(only("sqreen", &version_1).attributes.severity, expected, "{version_1}");
        }
    }
}

/// Checks time, link and subject.
#[track_caller]
fn check_rest(sender: &str, body: &str, expected: (Option<&str>, Option<&str>, Option<&str>)) {
    let found = only(sender, body).attributes;
    let found = (found.time.as_deref(), found.link.as_deref(), found.subject.as_deref());
    assert_eq!(found, expected, "{body}");
}

#[test]
fn time_link_and_subject_are_valid_or_absent() {
    const NOON: &str = "2021-02-08T12:00:00.5+00:00";
    for key in ["date_occurred", "date_occured", "date_started", "date_created"] {
        let body = format!(r#"{{"message_type": "x", "message": {{"{key}": "{NOON}"}}}}"#);
        check_rest("sqreen", &body, (Some(NOON), None, None));
    }
    let later = format!(
        r#"{{"message_type": "x", "date_created": "{NOON}", "message": {{"date_occurred": "soon"}}}}"#
    );
    check_rest("sqreen", &later, (Some(NOON), None, None));
    for (body, expected) in [
        (
            r#"{"sqreen_payload_type": "x", "url": "https://example.org/1", "application_name": "shop", "environment": "production"}"#,
            (None, Some("https://example.org/1"), Some("shop/production")),
        ),
        (
            r#"{"message_type": "x", "message": {"event_url": "javascript:x", "url": "https://example.org/2", "environment": "production"}}"#,
            (None, Some("https://example.org/2"), Some("production")),
        ),
        (
            r#"{"message_type": "x", "message": {"application": {"name": "shop\n", "environment": "dev"}}}"#,
            (None, None, Some("shop/dev")),
        ),
        (
            r#"{"message_type": "test", "message": {"url": "http://test", "date_occurred": 1612785600}}"#,
            (None, None, None),
        ),
    ] {
        check_rest("sqreen", body, expected);
    }
    check_rest(
        "json",
        r#"{"time": "2026-01-15", "created_at": "2026-01-15T00:00:00Z", "url": "https://example.org", "subject": "db-1"}"#,
        (Some("2026-01-15T00:00:00Z"), Some("https://example.org"), Some("db-1")),
    );
}

#[test]
fn a_repetition_has_the_same_key_and_content_and_an_update_does_not() {
    let dedup = |body: &str| only("sqreen", body).dedup.unwrap();
    let version_2 = |retries: u32, message: &str| {
        format!(
            r#"{{"message_id": null, "date_created": "{retries}", "message_type": "security_event", "retry_count": {retries}, "message": {message}}}"#
        )
    };
    let first = dedup(&version_2(0, r#"{"event_id": "e-1", "risk": 1}"#));
    assert_eq!(first, dedup(&version_2(3, r#"{"event_id": "e-1", "risk": 1}"#)));
    let changed = dedup(&version_2(0, r#"{"event_id": "e-1", "risk": 2}"#));
    assert_ne!(first, changed);

    let incident = |status: &str| {
        format!(
            r#"{{"message_id": "m", "message_type": "http_scan", "message": {{"incident_thread": "t", "incident_status": "{status}"}}}}"#
        )
    };
    assert_eq!(dedup(&incident("created")), dedup(&incident("created")));
    assert_ne!(dedup(&incident("created")), dedup(&incident("updated")));

    let flat = r#"{"sqreen_payload_type": "security_event", "id": "e-1"}"#;
    assert_eq!(dedup(flat), of_event(RepetitionSeed::default(), &["", "e-1"], flat));
    assert_eq!(dedup(&format!("[{flat}]")), dedup(flat));
}

/// A recorded redelivery has `id` instead of `message_id`.
#[test]
fn both_forms_of_the_envelope_give_the_id_of_the_message() {
    let body = r#"[{"message_id": "m-1", "message_type": "x", "message": {"event_id": "e-1"}},
                   {"id": "m-2", "message_type": "x", "retry_count": 1, "message": {"event_id": "e-2"}}]"#;
    let keys: Vec<_> =
        events("sqreen", body).into_iter().map(|event| event.dedup.unwrap()).collect();
    let of = |message: &str, event: &str, content: &str| {
        of_event(RepetitionSeed::default(), &[message, event], content)
    };
    let expected =
        [of("m-1", "e-1", r#"{"event_id": "e-1"}"#), of("m-2", "e-2", r#"{"event_id": "e-2"}"#)];
    assert_eq!(keys, expected);
}

#[test]
fn long_ids_that_differ_at_the_end_have_different_keys() {
    let key = |id: &str| {
        let record = Record { id: &["{id}"], id_alone: true, ..Record::EMPTY };
        let body = Bytes::from(format!(r#"{{"id": "{id}"}}"#));
        let headers = http::HeaderMap::new();
        let input = Input::example(&headers, &body);
        normalize(&Sender::new("own", &record).unwrap(), input).unwrap().remove(0).dedup.unwrap()
    };
    assert_ne!(key(&("a".repeat(5000) + "1")), key(&("a".repeat(5000) + "2")));
    assert_eq!(key("7"), of_event(RepetitionSeed::default(), &["0", "7"], ""));
}

#[test]
fn json_uses_the_first_valid_name() {
    use Severity::{Critical, Error, Info, Warning};
    for (body, expected) in [
        (r#"{}"#, ("unknown", "unknown", Warning, None)),
        (
            r#"{"type": {}, "event": "push", "message": {"text": 1}, "description": "New\ncommit", "uuid": 7}"#,
            ("push", "New commit", Warning, Some("7")),
        ),
        (r#"{"kind": "a", "severity": 3, "level": "WARN"}"#, ("a", "a", Warning, None)),
        (r#"{"kind": "a", "severity": "Emergency"}"#, ("a", "a", Critical, None)),
        (r#"{"kind": "a", "priority": "high"}"#, ("a", "a", Error, None)),
        (r#"{"kind": "a", "level": " debug "}"#, ("a", "a", Info, None)),
    ] {
        check("json", body, expected);
    }
}

#[test]
fn elements_that_are_not_objects_are_kept_and_marked() {
    let body = r#"[1, "a\nb", null, [{"message_type": "test"}], {"message_type": "x"}]"#;
    let events = events("sqreen", body);
    let shapes: Vec<_> = events.iter().map(|event| event.shape == Shape::Object).collect();
    assert_eq!(shapes, [false, false, false, false, true]);
    assert_eq!(events[0].attributes.title, "not a JSON object: 1");
    assert_eq!(events[0].attributes.event_type, TYPE_UNKNOWN);
    assert_eq!(events[3].data, r#"[{"message_type": "test"}]"#);
}

#[test]
fn invalid_utf_8_is_refused_with_its_position() {
    let body = Bytes::from_static(b"[{\"a\": \"caf\xe9\"}]");
    let refused = read("sqreen", &body).unwrap_err();
    assert_eq!(refused, Malformed::NotUtf8 { at: 11 });
}

/// A user's own sender, whose events are in a list.
fn own(events: &str) -> Sender {
    let record = Record {
        events: Some(events),
        id: &["{root:batch}/{n}"],
        event_type: &["{header:x-kind}"],
        title: &["{what} at {root:site.name}"],
        severity: &["{level}"],
        words: &[("red*", Severity::Critical)],
        ..Record::EMPTY
    };
    Sender::new("door", &record).unwrap()
}

#[test]
fn events_in_a_list_share_the_document_around_them() {
    let sender = own("report.alarms");
    let mut headers = http::HeaderMap::new();
    headers.insert("x-kind", "door".parse().unwrap());
    let read = |body: &'static str| {
        let body = Bytes::from_static(body.as_bytes());
        normalize(&sender, Input::example(&headers, &body)).unwrap()
    };
    let events = read(
        " \n{\"batch\": 7, \"site\": {\"name\": \"Lyon\"}, \"report\": {\"alarms\": [
        {\"n\": 1, \"what\": \"open\", \"level\": \"red-2\"}, 5, {\"n\": 2}]}}\n",
    );
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.attributes.title.as_str(), event.attributes.severity, event.dedup))
        .collect();
    assert_eq!(
        seen,
        [
            ("open at Lyon", Severity::Critical, Some(key(&sender, "7/1", &events[0].data))),
            ("not a JSON object: 5", Severity::Warning, None),
            ("door", Severity::Info, Some(key(&sender, "7/2", &events[2].data))),
        ]
    );
    assert_eq!(events[2].data, "{\"n\": 2}");
    // Without the list, the object itself is the event.
    assert_eq!(read("{\"report\": 1}").len(), 1);
    assert_eq!(read("{\"report\": {\"alarms\": []}}").len(), 0);
}

proptest! {
    #[test]
    fn any_bytes_are_events_or_a_reason(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let body = Bytes::from(body);
        for sender in senders() {
            let _ = read(&sender.name, &body);
        }
    }

    #[test]
    fn any_form_is_events_or_a_reason(
        body in "(--x|\r\n|name=|;|:|\"|[a-z&=%0-9]|payload=|%7B|\\{|\\[){0,40}", which in 0usize..3,
    ) {
        let content_type =
            ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"];
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, content_type[which].parse().unwrap());
        let body = Bytes::from(body);
        let key = || Some([7; 16]);
        for sender in senders() {
            for repetition in [Repetition::Unknown, Repetition::Key(&key), Repetition::KeyAlone(&key)] {
                let input = Input { headers: &headers, query: Some("a=%2"), body: &body, is_query: false, repetition, seed: RepetitionSeed::default() };
                for event in normalize(sender, input).unwrap_or_default() {
                    prop_assert!(!event.attributes.title.trim().is_empty());
                }
            }
        }
    }

    #[test]
    fn any_template_can_be_used_on_any_event_or_is_refused(
        template in "([{}]|root:|header:|query:|@type|[a-z./0-9 ]){0,12}",
        body in "[\\[\\]{}\",:\\\\a1 ]{0,40}",
    ) {
        let texts = [&*template, "{a}"];
        let id = format!("{template}{{a}}");
        let record = Record {
            id: &[&id], title: &texts, time: &texts, severity: &texts, link: &texts, any_body: true,
            ..Record::EMPTY
        };
        if let Ok(sender) = Sender::new("own", &record) {
            let (headers, body) = (http::HeaderMap::new(), Bytes::from(body));
            let input = Input::example(&headers, &body);
            let _ = normalize(&sender, input);
        }
    }

    /// Known keys with values of every kind, so that each fallback sees each type.
    #[test]
    fn any_object_gives_one_event_with_a_title(
        pairs in proptest::collection::vec((
            prop_oneof![
                Just("message_type"), Just("sqreen_payload_type"), Just("message"), Just("id"),
                Just("message_id"), Just("incident_thread"), Just("humanized_description"),
                Just("risk"), Just("url"), Just("type"), Just("title"), Just("severity"), Just("time"),
                Just("\\ud800"),
            ],
            prop_oneof![
                Just("null".to_owned()), Just("true".to_owned()), Just("1e999".to_owned()),
                Just("[[]]".to_owned()), Just(r#"{"id": {}, "risk": [], "playbook": {"name": 1}}"#.to_owned()),
                Just(r#""\ud800\udfff\u0000""#.to_owned()),
                ".{0,30}".prop_map(|text| serde_json::to_string(&text).unwrap()),
            ],
        ), 0..8),
    ) {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        let element = format!("{{{}}}", pairs.join(", "));
        for sender in senders() {
            let event = only(&sender.name, &format!(" [ {element} ] "));
            prop_assert_eq!(&event.data, element.as_bytes());
            let Attributes { event_type, title, .. } = event.attributes;
            prop_assert!(!event_type.trim().is_empty() && !title.trim().is_empty());
            prop_assert!(!title.contains(char::is_control) && title.chars().count() <= 301);
        }
    }
}
