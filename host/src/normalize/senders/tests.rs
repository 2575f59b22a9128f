//! That every row can be used, and that its samples give events. What people see of each sample stands
//! in docs/reference/senders.md, which a test of `cli` holds to the table.

use std::collections::HashSet;

use bytes::Bytes;

use super::super::{Again, DEDUP_KEY_BYTES_MAX, Input, Sender, normalize, presets};
use super::all;
use crate::model::{Event, Shape, Timestamp};

fn events(sender: &Sender, headers: &[(&str, &str)], body: &str) -> Vec<Event> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect::<http::HeaderMap>();
    let body = Bytes::copy_from_slice(body.as_bytes());
    normalize(sender, Input { headers: &headers, query: None, body: &body, again: Again::Untold })
        .unwrap()
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
