//! Short ways to make requests and outcomes, and to call a queue, in a test.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{NewRequest, Outcome, Queue, REPEAT_WINDOW_DEFAULT, Settlement};
use dispatcher_model::{
    Attributes, Delivery, Event, EventId, Headers, Planned, Receipt, RepetitionKey, Severity,
    Shape, TargetNumber, Timestamp,
};

/// Opens the same queue each time. The one opened before is closed or dropped by then.
pub trait Opener {
    fn open(&self) -> Arc<dyn Queue>;
}

pub const HOUR: Duration = Duration::from_secs(3_600);

pub fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

pub fn planned(data: impl Into<String>, targets: &[TargetNumber]) -> Planned {
    let data = data.into();
    let attributes = Attributes {
        event_type: "test".into(),
        subject: Some("s".into()),
        time: Some("2024-01-01T00:00:00Z".into()),
        title: format!("title of {data}"),
        severity: Severity::Warning,
        link: None,
    };
    let data = Bytes::from(data);
    let event = Event { attributes, shape: Shape::Object, dedup: None, data };
    Planned { event, targets: targets.to_vec(), unrouted: Vec::new() }
}

/// An event with the repetition key of an id and a content.
pub fn keyed(key: &str, content: u64, targets: &[TargetNumber]) -> Planned {
    let mut planned = planned(format!("{key}-{content}"), targets);
    planned.event.dedup = Some(repetition_key(key, content));
    planned
}

/// The key of an id and a content, as different as those of real events are.
pub fn repetition_key(id: &str, content: u64) -> RepetitionKey {
    let mut key = RepetitionKey::default();
    key.copy_from_slice(&Sha256::digest(format!("{content} {id}"))[..16]);
    key
}

pub fn request(events: Vec<Planned>) -> NewRequest {
    NewRequest {
        source: "sqreen".into(),
        received_at: now(),
        verified_at: now(),
        scheme: "sqreen".into(),
        key: 0,
        config: 7,
        headers: Headers::from_iter([("x-id", &b"\xff1"[..])]),
        repeat_window: REPEAT_WINDOW_DEFAULT,
        events,
    }
}

pub fn delivered() -> Outcome {
    Outcome::Delivered { receipt: Receipt::default() }
}

pub fn retry(at: Timestamp) -> Outcome {
    Outcome::Retry { at, reason: "later".into(), progress: b"half".to_vec() }
}

pub fn dead(reason: &str) -> Outcome {
    Outcome::Dead { reason: reason.into() }
}

pub fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|d| String::from_utf8_lossy(&d.event.data).into_owned()).collect()
}

pub async fn register(queue: &dyn Queue, names: &[&str]) -> Vec<TargetNumber> {
    queue.register(names.iter().map(|name| Arc::from(*name)).collect()).await.unwrap()
}

pub async fn append(queue: &dyn Queue, events: Vec<Planned>) -> Vec<EventId> {
    queue.append(request(events)).await.unwrap().ids().to_vec()
}

pub async fn settle(queue: &dyn Queue, target: TargetNumber, list: &[Delivery], outcome: Outcome) {
    let outcomes = list
        .iter()
        .map(|delivery| Settlement { event: delivery.event.id, outcome: outcome.clone() })
        .collect();
    queue.settle(target, outcomes).await.unwrap();
}

/// Panics instead of waiting forever.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("waits forever")
}

/// Claims until `count` deliveries have come.
pub async fn claim(queue: &dyn Queue, target: TargetNumber, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(within(queue.claim(target, count - all.len(), HOUR)).await.unwrap());
    }
    all
}

/// The bodies of all that can be claimed now. Appends an event to see where they end.
pub async fn claimable(queue: &dyn Queue, target: TargetNumber) -> Vec<String> {
    append(queue, vec![planned("the end", &[target])]).await;
    let mut all = Vec::new();
    loop {
        let got = within(queue.claim(target, 10, HOUR)).await.unwrap();
        all.extend(texts(&got));
        if let Some(end) = all.iter().position(|text| text == "the end") {
            all.remove(end);
            return all;
        }
    }
}

pub(super) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
