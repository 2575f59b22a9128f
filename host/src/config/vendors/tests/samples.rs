//! Checks what each sample gives. `docs/reference/senders.md` shows what people see of it.

use bytes::Bytes;

use super::super::{Vendor, all};
use crate::model::{Coverage, Event, Shape, Timestamp};
use crate::normalize::{Input, Instead, Sender, UnsignedTypes, normalize};
use crate::verify::Replay;

pub(super) fn events<'a>(
    sender: &Sender,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &str,
) -> Vec<Event> {
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let (headers, body) = (headers.collect(), Bytes::copy_from_slice(body.as_bytes()));
    normalize(sender, Input::example(&headers, &body)).unwrap()
}

/// Whether the body alone identifies a request.
fn signs_only_body(vendor: &Vendor) -> bool {
    vendor.scheme().is_some_and(|scheme| scheme.replay() == Replay::SignedBytes)
}

#[test]
fn each_sender_has_samples() {
    for vendor in all().filter(|vendor| vendor.sender().is_some()) {
        assert!(vendor.samples.len() >= 2, "{} needs at least two [[samples]]", vendor.name);
    }
}

#[test]
fn each_sample_has_a_type_a_title_and_a_fresh_copy_that_is_not_a_repetition() {
    for vendor in all() {
        for sample in &vendor.samples {
            // As it is read with the vendor's own scheme.
            let coverage = vendor.scheme().map_or(vec![Coverage::Nothing], |s| s.coverage());
            let (name, sender) = (
                &sample.name,
                &vendor.sender().unwrap().limited(&coverage, UnsignedTypes::Ignored),
            );
            for old in sample.ids.iter().chain(&sample.times) {
                let in_header = sample.headers.iter().any(|(_, value)| value.contains(old));
                assert!(in_header || sample.body.contains(old), "{name}: no {old}");
            }
            let headers = sample.headers.iter().map(|(name, value)| (&**name, &**value));
            let old = events(sender, headers, &sample.body);
            let (mut next, now) = (0, Timestamp::from_millis(1_790_000_000_123));
            let fresh = || {
                next += 1;
                format!("{next:024x}")
            };
            let (headers, body) = sample.with_fresh_ids(fresh, now);
            let new = events(sender, headers.iter().map(|(name, value)| (*name, &**value)), &body);
            assert!(!old.is_empty() && old.len() == new.len(), "{name}");
            for (old, new) in old.iter().zip(&new) {
                let seen = &old.attributes;
                assert_eq!(old.shape, Shape::Object, "{name}");
                assert_ne!(seen.event_type, "unknown", "{name}");
                assert!(!seen.title.trim().is_empty(), "{name}");
                assert!(!seen.title.contains("{@"), "{name}: {}", seen.title);
                assert_eq!(seen.severity, new.attributes.severity, "{name}");
                assert_eq!(sample.times.is_empty(), seen.time.is_none(), "{name}");
                assert_eq!(old.dedup.is_some(), new.dedup.is_some(), "{name}");
                match (&old.dedup, &new.dedup) {
                    (Some(old), Some(new)) => assert_ne!(old, new, "{name}"),
                    _ if sample.ids.is_empty() && sample.times.is_empty() => {}
                    _ => assert!(
                        sample.body != body || !signs_only_body(vendor),
                        "{name}: no id or time in the body"
                    ),
                }
            }
        }
    }
}

/// A vendor's file should read only what its scheme signs. These read more, for a reason.
#[test]
fn only_these_vendors_read_what_their_scheme_does_not_sign() {
    let mut found = Vec::new();
    for vendor in all() {
        let (Some(scheme), Some(sender)) = (vendor.scheme(), super::sender(vendor.name)) else {
            continue;
        };
        for one in sender.unsigned(&scheme.coverage()) {
            let listed = if one.instead == Instead::Listed { " (listed)" } else { "" };
            found.push(format!("{}: {} from {}{listed}", vendor.name, one.attribute, one.part));
        }
    }
    let expected = [
        "bitbucket: type from header x-event-key (listed)",
        "contentful: type from header x-contentful-topic (listed)",
        "forgejo: type from header x-gitea-event (listed)",
        "gitea: type from header x-gitea-event (listed)",
        "github: type from header x-github-event (listed)",
        // For gitlab-token, whose requests have no signed id.
        "gitlab: id from header idempotency-key",
        // For a source that reads them with a token.
        "hcp-radar: id from header x-hcp-radar-message-id",
        "hcp-radar: time from header x-hcp-radar-timestamp",
        "sentry: type from header sentry-hook-resource (listed)",
        "shopify: type from header x-shopify-topic (listed)",
        "snyk: type from header x-snyk-event (listed)",
        "woocommerce: type from header x-wc-webhook-topic (listed)",
    ];
    assert_eq!(found, expected);
}
