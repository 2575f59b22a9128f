//! What the tests of `ingest` share: a source, two targets, a queue in memory, and unusual bodies.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::UnboundedReceiver;

use super::super::*;
use crate::config::vendors;
use crate::model::{
    Delivery, EventId, RepetitionSeed, Secret, Severity, StoredEvent, TargetNumber, Timestamp,
};
use crate::net;
use crate::route::{Router, Rule, TargetRoute};
use crate::store::{
    AppendError, BoxFuture, DeadLetter, Depth, Durable, NewRequest, Queue, Settlement, StoreError,
};
use crate::telemetry::Feed;
use crate::verify::{self, Verifier};

pub(super) const SECRET: &str = "test-secret-of-the-source";
pub(super) const BODY_BYTES_MAX: usize = 20_000;
pub(super) const EVENTS_MAX: usize = 2_500;
pub(super) const BYTES_IN_FLIGHT_MAX: usize = 20_000;

pub(super) struct Kit {
    pub(super) ingest: Ingest,
    pub(super) queue: Arc<Memory>,
    pub(super) feed: Feed,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) json: serde_json::Value,
}

impl Kit {
    pub(super) fn new() -> Self {
        Self::with_secrets(&["an older one", SECRET])
    }

    /// A source at `/sqreen`; target `log` gets every event, `pager` errors.
    pub(super) fn with_secrets(secrets: &[&str]) -> Self {
        let (settings, router) = rules(secrets, 77);
        let (queue, feed) = (Arc::new(Memory::default()), Feed::default());
        let stored: Arc<dyn Queue> = queue.clone();
        let ingest = Ingest::new(settings, stored, router, feed.clone());
        Self { ingest, queue, feed }
    }

    pub(super) async fn send<B>(&self, request: http::Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: fmt::Display,
    {
        let peer = SocketAddr::from(([192, 0, 2, 1], 4000));
        self.send_from(peer.into(), request).await
    }

    pub(super) async fn send_from<B>(&self, peer: net::Peer, request: http::Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: fmt::Display,
    {
        let seat = net::Seat::alone(peer.nearest());
        let (head, body) = self.ingest.handle(request, peer, &seat).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&body).unwrap();
        Answer { status: head.status, headers: head.headers, json }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.ingest.budget.reserved()
    }

    /// How many requests wait for the rest of their body.
    pub(super) fn waiting(&self) -> usize {
        self.ingest.budget.waiting()
    }
}

/// What [`Kit::with_secrets`] starts with.
pub(super) fn rules(secrets: &[&str], config: u64) -> (Settings, Arc<Router>) {
    let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    let source = SourceSettings {
        name: Arc::from("sqreen"),
        path: "/sqreen".to_owned(),
        verifier: Verifier::new(vendors::scheme("sqreen").unwrap(), &secrets, None).unwrap(),
        sender: Arc::new(vendors::sender("sqreen").unwrap().with_events_max(EVENTS_MAX)),
        handshake: true,
        empty_answer: false,
        body_bytes_max: BODY_BYTES_MAX,
        silent_after: None,
        keys_allow: Arc::default(),
        unusable: None,
        allow: Arc::default(),
        rates: Arc::default(),
        repeat: Repeat::Skip { window: crate::store::REPEAT_WINDOW_DEFAULT },
    };
    let settings = Settings {
        sources: vec![source],
        bytes_in_flight_max: BYTES_IN_FLIGHT_MAX,
        health: Some("/healthz".to_owned()),
        body_time: BodyTime::default(),
        config,
    };
    let errors = Rule { severity: Some(Severity::Error), ..Rule::default() };
    let target = |name: &str, rules| TargetRoute { name: Arc::from(name), enabled: true, rules };
    let router = Router::new(vec![
        (target("log", vec![]), TargetNumber(1)),
        (target("pager", vec![errors]), TargetNumber(2)),
    ]);
    (settings, Arc::new(router))
}

/// The body of a built-in sample.
pub(super) fn sample(name: &str) -> &'static str {
    &vendors::sample(name).unwrap().1.body
}

pub(super) fn with_signature(path: &str, secret: &str, body: &[u8]) -> http::Request<()> {
    let scheme = vendors::scheme("sqreen").unwrap();
    let (name, value) = verify::sign_body(scheme, &Secret::new(secret), body);
    http::Request::builder().method(Method::POST).uri(path).header(name, value).body(()).unwrap()
}

pub(super) fn signed(path: &str, body: &str) -> http::Request<Full<Bytes>> {
    let body = Bytes::copy_from_slice(body.as_bytes());
    with_signature(path, SECRET, &body).map(|()| Full::new(body))
}

/// A body that comes in chunks and does not always end.
pub(super) struct Chunks {
    chunks: VecDeque<Bytes>,
    end: End,
    announced: Option<u64>,
}

enum End {
    Proper,
    Never,
    /// Asking it at all is a failure of the test.
    Untouchable,
}

impl Chunks {
    pub(super) fn of(chunks: Vec<Bytes>) -> Self {
        Self { chunks: chunks.into(), end: End::Proper, announced: None }
    }

    /// Nothing comes after the chunks, not even the end.
    pub(super) fn stuck(chunks: Vec<Bytes>) -> Self {
        Self { chunks: chunks.into(), end: End::Never, announced: None }
    }

    /// Must not be read; `bytes` is the length that its sender announced.
    pub(super) const fn unreadable(bytes: Option<u64>) -> Self {
        Self { chunks: VecDeque::new(), end: End::Untouchable, announced: bytes }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (self.chunks.pop_front(), &self.end) {
            (_, End::Untouchable) => panic!("the body was read"),
            (Some(chunk), _) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            (None, End::Proper) => Poll::Ready(None),
            (None, End::Never) => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map(SizeHint::with_exact).unwrap_or_default()
    }
}

/// A body whose sender is slow. It ends when the sender is dropped.
pub(super) struct Slow(pub(super) UnboundedReceiver<Bytes>);

impl Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// A queue that only stores requests, and answers as configured.
#[derive(Default)]
pub(super) struct Memory {
    requests: Mutex<Vec<NewRequest>>,
    answer: Mutex<Option<Result<Durable, AppendError>>>,
    /// Sources whose requests are never stored.
    stalled: Mutex<Vec<&'static str>>,
    full: AtomicBool,
    /// Runs before the next request is stored.
    before_append: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Memory {
    pub(super) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    pub(super) fn fail(&self, error: AppendError) {
        *self.answer.lock().unwrap() = Some(Err(error));
    }

    pub(super) fn answer(&self, ids: Vec<EventId>, duplicates: usize) {
        *self.answer.lock().unwrap() = Some(Ok(Durable::claimed(ids, duplicates)));
    }

    /// From now on requests of these sources, and no others, wait for ever.
    pub(super) fn stall(&self, sources: &[&'static str]) {
        *self.stalled.lock().unwrap() = sources.to_vec();
    }

    /// What happens while the next request is stored.
    pub(super) fn before_append(&self, act: impl FnOnce() + Send + 'static) {
        *self.before_append.lock().unwrap() = Some(Box::new(act));
    }

    /// How many events each request has.
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.requests.lock().unwrap().iter().map(|request| request.events.len()).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// By which configuration each request was received.
    pub(super) fn configs(&self) -> Vec<u64> {
        self.requests.lock().unwrap().iter().map(|request| request.config).collect()
    }

    pub(super) fn only(&self) -> NewRequest {
        let requests = self.requests.lock().unwrap();
        assert_eq!(requests.len(), 1);
        requests[0].clone()
    }
}

impl Queue for Memory {
    fn full(&self) -> Option<crate::store::Full> {
        let full = || crate::store::Full {
            reason: "the disk is full".to_owned(),
            refused: 0,
            lacks_room: true,
        };
        self.full.load(Ordering::Relaxed).then(full)
    }

    fn repetition_seed(&self) -> RepetitionSeed {
        RepetitionSeed::default()
    }

    fn now(&self) -> Timestamp {
        unreachable!("nothing waits here")
    }

    fn append(&self, request: NewRequest) -> BoxFuture<'_, Result<Durable, AppendError>> {
        Box::pin(async move {
            if self.stalled.lock().unwrap().contains(&&*request.source) {
                std::future::pending::<()>().await;
            }
            if let Some(act) = self.before_append.lock().unwrap().take() {
                act();
            }
            if let Some(answer) = self.answer.lock().unwrap().clone() {
                return answer;
            }
            let first = 1000 * self.count() as u64;
            let numbers = (first..).take(request.events.len());
            let ids = numbers.map(|number| EventId::new(request.received_at, 1, number)).collect();
            self.requests.lock().unwrap().push(request);
            Ok(Durable::claimed(ids, 0))
        })
    }

    fn register(&self, _: Vec<Arc<str>>) -> BoxFuture<'_, Result<Vec<TargetNumber>, StoreError>> {
        unimplemented_here()
    }

    fn claim(
        &self,
        _: TargetNumber,
        _: usize,
        _: Duration,
    ) -> BoxFuture<'_, Result<Vec<Delivery>, StoreError>> {
        unimplemented_here()
    }

    fn settle(&self, _: TargetNumber, _: Vec<Settlement>) -> BoxFuture<'_, Result<(), StoreError>> {
        unimplemented_here()
    }

    fn extend(&self, _: TargetNumber, _: Vec<EventId>, _: Duration) {}

    fn expire(
        &self,
        _: TargetNumber,
        _: Timestamp,
        _: String,
    ) -> BoxFuture<'_, Result<u64, StoreError>> {
        unimplemented_here()
    }

    fn depth(&self, _: TargetNumber) -> Depth {
        Depth::default()
    }

    fn dead_letters(
        &self,
        _: TargetNumber,
        _: Option<EventId>,
        _: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>> {
        unimplemented_here()
    }

    fn event(&self, _: EventId) -> BoxFuture<'_, Result<Option<Arc<StoredEvent>>, StoreError>> {
        unimplemented_here()
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        unimplemented_here()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        unimplemented_here()
    }
}

fn unimplemented_here<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T, StoreError>> {
    Box::pin(async { Err(StoreError::Unsupported) })
}
