//! Checks what each sample gives. `docs/reference/senders.md` shows what people see of it.

use bytes::Bytes;

use super::super::all;
use crate::model::{Event, Shape, Timestamp};
use crate::normalize::{Input, Repetition, Sender, normalize};

pub(super) fn events<'a>(
    sender: &Sender,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &str,
) -> Vec<Event> {
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let (headers, body) = (headers.collect(), Bytes::copy_from_slice(body.as_bytes()));
    let repetition = Repetition::Unknown;
    normalize(sender, Input { headers: &headers, query: None, body: &body, repetition }).unwrap()
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
            let (name, sender) = (&sample.name, vendor.sender().unwrap());
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
                if let (Some(old), Some(new)) = (&old.dedup, &new.dedup) {
                    assert_ne!(old, new, "{name}");
                }
            }
        }
    }
}
