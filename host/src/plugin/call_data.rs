//! Deliveries in the form a plugin reads. Data is borrowed; only ids, keys and messages are built.

use std::sync::Arc;

use dispatcher_plugin_api::abi::{RCall, REvent, RHeader};
use sha2::{Digest, Sha256};

use crate::model::{self, Delivery, Headers};

/// Bytes of an event's id as text.
const ID_BYTES: usize = 26;

/// What a call of a plugin is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallScope<'a> {
    pub(super) deliveries: &'a [Delivery],
    /// The digest of which `deliveries` are a sample.
    pub(super) digest: Option<&'a model::Digest>,
    /// Whether the plugin makes one message of all deliveries.
    pub(super) is_one_message: bool,
}

/// What has to be built for a call and must live as long as the call.
#[derive(Debug)]
pub(super) struct CallData<'a> {
    scope: CallScope<'a>,
    ids: String,
    /// The message for all deliveries.
    message: String,
    /// The same for each attempt at these events, in any order.
    key: String,
    fields: Vec<RHeader<'a>>,
    /// For each delivery, its part of `fields`.
    ranges: Vec<std::ops::Range<usize>>,
}

impl<'a> CallData<'a> {
    pub(super) fn new(scope: CallScope<'a>) -> Self {
        let deliveries = scope.deliveries;
        let mut ids = String::with_capacity(deliveries.len() * ID_BYTES);
        deliveries.iter().for_each(|delivery| delivery.event.id.push_to(&mut ids));
        let (fields, ranges) = headers(deliveries);
        let (message, key) =
            if scope.is_one_message { message_and_key(scope) } else { Default::default() };
        Self { scope, ids, message, key, fields, ranges }
    }

    pub(super) fn events(&self) -> Vec<REvent<'_>> {
        let deliveries = self.scope.deliveries.iter().zip(&self.ranges).enumerate();
        deliveries
            .map(|(index, (delivery, range))| {
                let start = index * ID_BYTES;
                let id = self.ids.get(start..start + ID_BYTES).unwrap_or_default();
                event(delivery, id, self.fields.get(range.clone()).unwrap_or_default())
            })
            .collect()
    }

    /// `events`: what [`events`](Self::events) returned.
    pub(super) fn call<'c>(&'c self, events: &'c [REvent<'c>]) -> RCall<'c> {
        let (progress, count) = match self.scope.digest {
            Some(digest) => (digest.progress.as_slice(), digest.count),
            None => (shared_progress(self.scope.deliveries), events.len() as u64),
        };
        RCall {
            events: events.into(),
            message: self.message.as_str().into(),
            key: self.key.as_str().into(),
            progress: progress.into(),
            count,
            meta: [].as_slice().into(),
        }
    }
}

fn message_and_key(scope: CallScope<'_>) -> (String, String) {
    let title = scope.deliveries.first().map_or("", |first| &first.event.attributes.title);
    let count = scope.digest.map_or(scope.deliveries.len() as u64, |digest| digest.count);
    let message = match count {
        0 | 1 => title.to_owned(),
        more => format!("{title} (+{} more)", more - 1),
    };
    if let Some(digest) = scope.digest {
        return (message, digest.key.clone());
    }
    let mut ids: Vec<_> = scope.deliveries.iter().map(|delivery| delivery.event.id).collect();
    ids.sort_unstable();
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(id.to_string());
    }
    let key = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    (message, key)
}

/// The progress that all deliveries have in common. Another set of events is another message, which
/// starts from the beginning.
fn shared_progress(deliveries: &[Delivery]) -> &[u8] {
    let progress = deliveries.first().map_or(&[][..], |first| &first.progress);
    let is_same_set = deliveries.iter().all(|delivery| delivery.progress == progress);
    if is_same_set { progress } else { &[] }
}

/// The header fields of all requests in the call, and the range of each delivery in them. Events of one
/// request are neighbours, so each request appears once.
fn headers(deliveries: &[Delivery]) -> (Vec<RHeader<'_>>, Vec<std::ops::Range<usize>>) {
    let (mut fields, mut ranges) = (Vec::new(), Vec::with_capacity(deliveries.len()));
    let mut last: Option<&Arc<Headers>> = None;
    for delivery in deliveries {
        let headers = &delivery.event.headers;
        match (last, ranges.last().cloned()) {
            (Some(last), Some(range)) if Arc::ptr_eq(last, headers) => ranges.push(range),
            _ => {
                let start = fields.len();
                fields.extend(
                    headers
                        .iter()
                        .map(|(name, value)| RHeader { name: name.into(), value: value.into() }),
                );
                ranges.push(start..fields.len());
            }
        }
        last = Some(headers);
    }
    (fields, ranges)
}

fn event<'a>(delivery: &'a Delivery, id: &'a str, headers: &'a [RHeader<'a>]) -> REvent<'a> {
    let optional = |text: &'a Option<String>| text.as_deref().unwrap_or_default().into();
    let event = &*delivery.event;
    REvent {
        id: id.into(),
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
        headers: headers.into(),
        meta: [].as_slice().into(),
    }
}
