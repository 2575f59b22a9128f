//! What people see of each sender's samples, and that every row can be used.

use std::collections::HashSet;

use bytes::Bytes;

use super::super::{DEDUP_KEY_BYTES_MAX, Input, Sender, normalize, presets};
use super::all;
use crate::model::{Event, Severity, Shape, Timestamp};

pub(super) fn events(sender: &Sender, headers: &[(&str, &str)], body: &str) -> Vec<Event> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect::<http::HeaderMap>();
    let body = Bytes::copy_from_slice(body.as_bytes());
    normalize(sender, Input { headers: &headers, query: None, body: &body }).unwrap()
}

#[test]
fn every_row_can_be_used_and_has_samples_of_its_name() {
    let mut names = HashSet::new();
    for preset in all() {
        assert!(names.insert(preset.name), "{} is there twice", preset.name);
        Sender::of(preset).unwrap_or_else(|error| panic!("{}: {error}", preset.name));
        assert!(preset.samples.len() >= 2, "{} has too few samples", preset.name);
        for sample in preset.samples {
            let prefix = sample.name.split_once('/').map(|(sender, _)| sender);
            assert_eq!(prefix, Some(preset.name));
        }
    }
    assert_eq!(presets().len(), names.len());
}

#[test]
fn each_sample_has_a_type_a_title_and_a_fresh_copy_that_is_no_repetition() {
    for sender in presets() {
        for sample in sender.samples {
            for old in sample.ids.iter().chain(sample.times) {
                let in_header = sample.headers.iter().any(|(_, value)| value.contains(old));
                assert!(in_header || sample.body.contains(old), "{}: no {old}", sample.name);
            }
            let old = events(sender, sample.headers, sample.body);
            let (mut next, now) = (0, Timestamp::from_millis(1_790_000_000_123));
            let fresh = || {
                next += 1;
                format!("{next:024x}")
            };
            let (headers, body) = sample.with_fresh_ids(fresh, now);
            let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let new = events(sender, &headers, &body);
            assert_eq!(old.len(), new.len(), "{}", sample.name);
            for (old, new) in old.iter().zip(&new) {
                let seen = &old.attributes;
                assert_eq!(old.shape, Shape::Object, "{}", sample.name);
                assert_ne!(seen.event_type, "unknown", "{}", sample.name);
                assert!(!seen.title.contains("{@"), "{}: {}", sample.name, seen.title);
                assert_eq!(seen.severity, new.attributes.severity, "{}", sample.name);
                assert_eq!(sample.times.is_empty(), seen.time.is_none(), "{}", sample.name);
                assert_eq!(old.dedup.is_some(), new.dedup.is_some(), "{}", sample.name);
                if let (Some(old), Some(new)) = (&old.dedup, &new.dedup) {
                    assert_ne!(old.key, new.key, "{}", sample.name);
                    assert!(old.key.len() <= DEDUP_KEY_BYTES_MAX);
                }
            }
        }
    }
}

/// Type, severity, title and time of the first event of each sample.
#[test]
fn samples_read_as_people_expect() {
    use Severity::{Critical, Error, Info, Warning};
    for (name, event_type, severity, title, time) in [
        (
            "alertmanager/firing",
            "DiskFull",
            Critical,
            "[firing] /data of db-1 is 98 % full",
            "2026-01-15T09:30:00.000Z",
        ),
        (
            "alertmanager/resolved",
            "DiskFull",
            Info,
            "[resolved] /data of db-1 is 98 % full",
            "2026-01-15T09:30:00.000Z",
        ),
        (
            "cloudevents/batch",
            "org.example.temperature.high",
            Info,
            "org.example.temperature.high: rack-4",
            "2026-01-15T03:20:00Z",
        ),
        (
            "cloudevents/binary",
            "org.example.door.opened",
            Info,
            "org.example.door.opened: server-room",
            "2026-01-15T03:10:00Z",
        ),
        (
            "cloudevents/structured",
            "org.example.backup.failed",
            Error,
            "org.example.backup.failed: db-1",
            "2026-01-15T03:00:00Z",
        ),
        (
            "datadog/triggered",
            "query_alert_monitor",
            Error,
            "[Triggered] CPU load is high on host:web-3",
            "2026-01-15T09:30:00.000Z",
        ),
        (
            "falco/etc_shadow",
            "Read sensitive file untrusted",
            Critical,
            "09:31:00.000000000: Critical Sensitive file opened for reading by non-trusted program (file=/etc/shadow proc=cat user=root)",
            "2026-01-15T09:31:00.000000000Z",
        ),
        (
            "github/dependabot_alert",
            "dependabot_alert.created",
            Error,
            "Path traversal in example-unzip in example/shop",
            "2026-01-15T09:30:00Z",
        ),
        ("github/ping", "ping", Info, "ping on example/shop: Keep it logically awesome.", ""),
        ("github/push", "push", Info, "Charge cards once only", "2026-01-15T10:30:00+01:00"),
        (
            "grafana/alerting",
            "High memory usage",
            Critical,
            "[firing] Memory of db-1 is 97 % used",
            "2026-01-15T09:30:00Z",
        ),
        (
            "json/alert",
            "disk.full",
            Critical,
            "Disk /data of db-1 is 98 % full",
            "2026-01-15T09:30:00Z",
        ),
        (
            "slack/app_mention",
            "app_mention",
            Info,
            "<@U0LAN0Z89> is the shop down?",
            "2026-01-15T09:30:00.000Z",
        ),
        ("slack/command", "/deploy", Info, "/deploy shop 4.2.0", ""),
        (
            "standard-webhooks/invoice_failed",
            "invoice.failed",
            Error,
            "Invoice 1042 could not be charged",
            "2026-01-15T09:31:00Z",
        ),
        (
            "stripe/charge_succeeded",
            "charge.succeeded",
            Info,
            "charge.succeeded: Order 1042",
            "2026-01-15T09:31:00.000Z",
        ),
        (
            "stripe/payment_failed",
            "payment_intent.payment_failed",
            Error,
            "payment_intent.payment_failed: Your card was declined.",
            "2026-01-15T09:30:00.000Z",
        ),
        (
            "standard-webhooks/user_created",
            "user.created",
            Info,
            "user.created user_29w83sxmDNGwOuEthce5gg56FcC",
            "2026-01-15T09:30:00Z",
        ),
        (
            "json/deploy",
            "deploy.finished",
            Info,
            "shop 4.2.0 is live in production",
            "2026-01-15T10:00:00Z",
        ),
        (
            "sqreen/test",
            "test",
            Info,
            "Test message from Sqreen",
            "2021-02-08T12:45:00.363819+00:00",
        ),
        (
            "falco/shell",
            "Terminal shell in container",
            Info,
            "09:30:00.000000000: Notice A shell was spawned in a container with an attached terminal (user=root container=web proc_cmdline=bash)",
            "2026-01-15T09:30:00.000000000Z",
        ),
        (
            "grafana/ok",
            "High memory usage",
            Info,
            "[resolved] Memory of db-1 is 97 % used",
            "2026-01-15T09:30:00Z",
        ),
        (
            "datadog/recovered",
            "query_alert_monitor",
            Info,
            "[Recovered] CPU load is high on host:web-3",
            "2026-01-15T09:40:00.000Z",
        ),
        (
            "alertmanager/firing#2",
            "DiskFull",
            Warning,
            "[firing] /data of db-2 is 91 % full",
            "2026-01-15T09:30:00.000Z",
        ),
    ] {
        let (name, place) = name.split_once('#').map_or((name, 0), |(name, _)| (name, 1));
        let (sender, sample) = super::super::sample(name).unwrap_or_else(|| panic!("{name}"));
        let event = events(sender, sample.headers, sample.body).remove(place);
        let seen = &event.attributes;
        assert_eq!(
            (&*seen.event_type, seen.severity, &*seen.title, seen.time.as_deref().unwrap_or("")),
            (event_type, severity, title, time),
            "{name}"
        );
    }
}
