//! Reads any headers and any body (JSON, form, multipart or other) with every built-in sender, for a scheme that
//! signs the body and for one that does not. The result is events inside the body with all attributes set, or a
//! reason.
#![no_main]

use dispatcher::model::RepetitionSeed;
use bytes::Bytes;
use dispatcher::config::vendors;
use dispatcher::normalize::{self, Repetition, EVENTS_MAX, Input, UnsignedTypes};
use http::HeaderName;
use libfuzzer_sys::fuzz_target;

/// The headers for which digits stand: those that senders read most.
const KNOWN: [HeaderName; 6] = [
    http::header::CONTENT_TYPE,
    HeaderName::from_static("ce-id"),
    HeaderName::from_static("ce-type"),
    HeaderName::from_static("x-github-event"),
    HeaderName::from_static("webhook-id"),
    HeaderName::from_static("ce-source"),
];

fuzz_target!(|input: &[u8]| {
    let Some((number, rest)) = dispatcher_fuzz::choice(input) else { return };
    let senders = vendors::senders();
    let sender = &senders[number % senders.len()];
    let scheme = if number / senders.len() % 2 == 0 { "token" } else { "standard-webhooks" };
    let sender = sender.limited(&vendors::scheme(scheme).unwrap().coverage(), UnsignedTypes::Ignored);
    let sender = sender.of_set(number / senders.len() / 2 % 2);
    let (headers, body) = dispatcher_fuzz::request(rest, &KNOWN);
    let body = Bytes::copy_from_slice(body);
    let key = || Some([7; 16]);
    for repetition in [Repetition::Key(&key), Repetition::KeyAlone(&key)] {
        let input = Input { headers: &headers, query: Some("a=1&b"), body: &body, is_query: false, repetition, seed: RepetitionSeed::default() };
        let Ok(read) = normalize::normalize_up_to(sender, input, usize::MAX) else { continue };
        assert!(read.events.len() <= EVENTS_MAX);
        let within = read.in_utf8.as_ref().unwrap_or(&body).as_ptr_range();
        for event in read.events {
            assert!(event.data.is_empty() || within.contains(&event.data.as_ptr()));
            let seen = event.attributes;
            assert!(!seen.title.trim().is_empty() && !seen.event_type.trim().is_empty());
            assert!(!seen.title.contains(char::is_control));
        }
    }
});
