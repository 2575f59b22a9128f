//! Deliveries as a plugin sees them: borrowed, nothing copied but the text of the ids.

use std::sync::Arc;

use dispatcher_plugin_api::abi::{RCall, REvent, RHeader};
use sha2::{Digest, Sha256};

use crate::model::{self, Delivery, Headers};

/// Bytes of an event's id as text.
const ID_BYTES: usize = 26;

/// What has to be made for a call and lives as long as it.
#[derive(Debug)]
pub(super) struct Ids {
    text: String,
    /// The message for all of them.
    message: String,
    /// The same for each attempt at these events, in any order.
    key: String,
}

impl Ids {
    /// `digest`: the whole of which `deliveries` are a sample.
    pub(super) fn new(
        deliveries: &[Delivery],
        one_message: bool,
        digest: Option<&model::Digest>,
    ) -> Self {
        let mut ids: Vec<_> = deliveries.iter().map(|delivery| delivery.event.id).collect();
        let mut text = String::with_capacity(ids.len() * ID_BYTES);
        ids.iter().for_each(|id| id.push_to(&mut text));
        if !one_message {
            return Self { text, message: String::new(), key: String::new() };
        }
        let title = deliveries.first().map_or("", |delivery| &delivery.event.attributes.title);
        let count = digest.map_or(deliveries.len() as u64, |digest| digest.count);
        let message = match count {
            0 | 1 => title.to_owned(),
            more => format!("{title} (+{} more)", more - 1),
        };
        if let Some(digest) = digest {
            return Self { text, message, key: digest.key.clone() };
        }
        ids.sort_unstable();
        let mut hash = Sha256::new();
        for id in ids {
            hash.update(id.to_string());
        }
        let key = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { text, message, key }
    }

    fn get(&self, index: usize) -> &str {
        let start = index * ID_BYTES;
        self.text.get(start..start + ID_BYTES).unwrap_or_default()
    }
}

/// The header fields of all requests in the call. Events of one request stand side by side, so that
/// each request is written down once.
pub(super) fn headers(deliveries: &[Delivery]) -> (Vec<RHeader<'_>>, Vec<(usize, usize)>) {
    let (mut fields, mut ranges) = (Vec::new(), Vec::with_capacity(deliveries.len()));
    let mut last: Option<&Arc<Headers>> = None;
    for delivery in deliveries {
        let headers = &delivery.event.headers;
        match (last, ranges.last().copied()) {
            (Some(last), Some(range)) if Arc::ptr_eq(last, headers) => ranges.push(range),
            _ => {
                let start = fields.len();
                fields.extend(
                    headers
                        .iter()
                        .map(|(name, value)| RHeader { name: name.into(), value: value.into() }),
                );
                ranges.push((start, fields.len()));
            }
        }
        last = Some(headers);
    }
    (fields, ranges)
}

pub(super) fn events<'a>(
    deliveries: &'a [Delivery],
    ids: &'a Ids,
    fields: &'a [RHeader<'a>],
    ranges: &[(usize, usize)],
) -> Vec<REvent<'a>> {
    let optional = |text: &'a Option<String>| text.as_deref().unwrap_or_default().into();
    deliveries
        .iter()
        .zip(ranges)
        .enumerate()
        .map(|(index, (delivery, range))| {
            let event = &*delivery.event;
            REvent {
                id: ids.get(index).into(),
                source: (&*event.source).into(),
                event_type: event.attributes.event_type.as_str().into(),
                subject: optional(&event.attributes.subject),
                time: optional(&event.attributes.time),
                title: event.attributes.title.as_str().into(),
                message: event.attributes.title.as_str().into(),
                link: optional(&event.attributes.link),
                severity: event.attributes.severity as u32,
                attempt: delivery.attempt,
                received_at_ms: event.received_at.as_millis(),
                data: (&*event.data).into(),
                progress: delivery.progress.as_slice().into(),
                headers: fields.get(range.0..range.1).unwrap_or_default().into(),
                meta: [].as_slice().into(),
            }
        })
        .collect()
}

pub(super) fn call<'a>(
    deliveries: &'a [Delivery],
    ids: &'a Ids,
    events: &'a [REvent<'a>],
    digest: Option<&'a model::Digest>,
) -> RCall<'a> {
    if let Some(digest) = digest {
        return RCall {
            events: events.into(),
            message: ids.message.as_str().into(),
            key: ids.key.as_str().into(),
            progress: digest.progress.as_slice().into(),
            count: digest.count,
            meta: [].as_slice().into(),
        };
    }
    let progress = deliveries.first().map_or(&[][..], |first| &first.progress);
    // Another set of events is another message: it starts anew.
    let one_set = deliveries.iter().all(|delivery| delivery.progress == progress);
    RCall {
        events: events.into(),
        message: ids.message.as_str().into(),
        key: ids.key.as_str().into(),
        progress: if one_set { progress } else { &[] }.into(),
        count: events.len() as u64,
        meta: [].as_slice().into(),
    }
}
