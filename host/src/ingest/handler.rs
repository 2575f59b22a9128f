//! [`Ingest`]: takes each request from its head to the answer.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;
use hyper::body::{Body, Incoming};

use super::answer::{self, AfterAnswer, RequestId};
use super::body;
use super::budget::{Budget, Reservation};
use super::change::{ChangeUnderWay, Changes};
use super::refusal::RequestRefusal;
use super::report::{Reporter, Stored};
use super::rules::{Head, Rules, Source};
use super::settings::{InForce, Settings, SourceSettings};
use super::{decode, handshake};
use crate::egress::{Asker, KeyMissing, PublishedKeys};
use crate::model::{Request, Timestamp};
use crate::net::{self, Peer, Seat};
use crate::normalize::{self, Content, Sender};
use crate::route::Router;
use crate::store::Queue;
use crate::telemetry::{Feed, Shortage};
use crate::verify::{Answer, KeySet, Verified};

/// One in this many common bytes may be held by requests that wait for the keys with which they are verified.
const PART_FOR_KEYS: usize = 8;

/// Receives requests for all sources.
pub struct Ingest {
    rules: RwLock<Arc<Rules>>,
    changes: Changes,
    pub(super) budget: Budget,
    queue: Arc<dyn Queue>,
    reporter: Reporter,
    pub(super) keys: Arc<PublishedKeys>,
}

/// What became of a request that was not refused.
enum Handled<'a> {
    Stored(Stored<'a>),
    /// It brought no events, but the vendor's handshake.
    Handshake(&'a SourceSettings, Answer),
}

/// A request whose head was admitted.
#[derive(Clone, Copy)]
struct Admitted<'a> {
    rules: &'a Rules,
    source: &'a Source,
    peer: Peer,
    seat: &'a Seat,
    received_at: Timestamp,
}

impl Ingest {
    #[must_use]
    pub fn new(settings: Settings, queue: Arc<dyn Queue>, router: Arc<Router>, feed: Feed) -> Self {
        Self {
            rules: RwLock::new(Arc::new(Rules::new(settings, router, None))),
            changes: Changes::default(),
            budget: Budget::default(),
            queue,
            reporter: Reporter::new(feed),
            keys: Arc::default(),
        }
    }

    /// The configuration is being changed until the answer is dropped. Meanwhile, and for a grace after it, requests
    /// for unknown paths should be tried again.
    pub fn begin_change(&self) -> ChangeUnderWay<'_> {
        self.changes.begin()
    }

    /// Applies other settings and routes from the next request on. Requests under way end with those that they
    /// began with.
    pub fn change(&self, settings: Settings, router: Arc<Router>) {
        let rules = Arc::new(Rules::new(settings, router, Some(&self.rules())));
        let mut current = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, rules);
        drop(current);
        // Freed only now, so that no request waits for the lock meanwhile.
        drop(before);
    }

    /// The current routes and the hash of their configuration, for events that no request brought.
    #[must_use]
    pub fn routes(&self) -> (Arc<Router>, u64) {
        let rules = self.rules();
        (Arc::clone(&rules.router), rules.in_force.config)
    }

    /// Which configuration is in force.
    #[must_use]
    pub fn in_force(&self) -> InForce {
        self.rules().in_force
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers a request. If it is dropped half-way, nothing, everything or its first parts are stored without an answer.
    pub async fn handle<B>(
        &self,
        request: http::Request<B>,
        peer: Peer,
        seat: &Seat,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: fmt::Display,
    {
        let id = RequestId::random();
        let received_at = Timestamp::from(SystemTime::now());
        let (parts, body) = request.into_parts();
        let rules = self.rules();
        let found = rules.source(parts.uri.path());
        let body_bytes = body.size_hint().exact();
        let head = Head { parts: &parts, peer: &peer, body_bytes, received_at };
        let (outcome, after) = match rules.admit(&head, found) {
            Ok(source) => {
                let admitted = Admitted { rules: &rules, source, peer, seat, received_at };
                self.receive(admitted, parts, body).await
            }
            Err(_) if found.is_none() && rules.asks_for_health(&parts) => {
                return answer::health(id, self.queue.full().is_none(), rules.in_force);
            }
            Err(refusal) => {
                let recent = found.is_none() && self.changes.is_recent(Instant::now());
                let refusal = if recent { refusal.while_changing() } else { refusal };
                let waits = parts.headers.contains_key(http::header::EXPECT);
                (Err(refusal), body::abandon(body, waits))
            }
        };
        match outcome {
            Ok(Handled::Stored(stored)) => {
                seat.proved();
                let answer = if stored.source.empty_answer {
                    answer::accepted_without_body(id, &stored.durable)
                } else {
                    answer::accepted(id, &stored.durable)
                };
                self.reporter.stored(id, stored);
                answer
            }
            Ok(Handled::Handshake(source, answer)) => {
                self.reporter.handshake(id, source);
                answer::handshake(id, answer, after)
            }
            Err(refusal) => {
                let source = found.map(|found| &found.settings.name);
                self.reporter.refused(id, source, peer, &refusal);
                answer::refused(id, &refusal, after)
            }
        }
    }

    /// Reads the body and stores the request.
    async fn receive<'a, B>(
        &self,
        admitted: Admitted<'a>,
        head: Parts,
        body: B,
    ) -> (Result<Handled<'a>, RequestRefusal>, AfterAnswer)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: fmt::Display,
    {
        let Admitted { rules, source, seat, .. } = admitted;
        if let Some(outcome) = handshake::answer_head(&source.settings, &head).transpose() {
            let waits = head.headers.contains_key(http::header::EXPECT);
            let handled = outcome.map(|answer| Handled::Handshake(&source.settings, answer));
            return (handled, body::abandon(body, waits));
        }
        let body_bytes_max = source.settings.body_bytes_max;
        let own_bytes = &source.gate.own_bytes;
        let reservation = self.budget.reserve(own_bytes, rules.shares, body_bytes_max);
        let read = body::read(body, body_bytes_max, reservation, rules.body_time, seat);
        match read.await {
            // The reservation lasts until the events are stored.
            Ok((body, mut reservation)) => {
                let stored = self.store(admitted, head, body, &mut reservation);
                (stored.await, AfterAnswer::KeepOpen)
            }
            Err(refusal) => (Err(refusal), AfterAnswer::Close),
        }
    }

    /// Verifies a complete request, reads its events and stores them.
    async fn store<'a>(
        &self,
        admitted: Admitted<'a>,
        head: Parts,
        body: Bytes,
        reservation: &mut Reservation<'_>,
    ) -> Result<Handled<'a>, RequestRefusal> {
        let Admitted {
            rules, source: Source { settings: source, gate }, peer, received_at, ..
        } = admitted;
        let request = {
            // Drops the rest of the head here: see below.
            let head = head;
            let source = Arc::clone(&source.name);
            let (method, uri, headers) = (head.method, head.uri, head.headers);
            Request { source, method, uri, headers, body, received_at }
        };
        // Reading the clock costs time, so nothing is measured that no listener hears about.
        let heard = self.reporter.has_listener();
        let now = || heard.then(Instant::now);
        if source.handshake
            && let Some(answer) = handshake::answer_unsigned(source, &request, peer, &self.reporter)
        {
            return Ok(Handled::Handshake(source, answer));
        }
        let began = now();
        let keys = match source.verifier.needs_published_keys() {
            true => {
                let keys = self.published_keys(admitted, &request, reservation.bytes());
                Box::pin(keys).await?
            }
            false => None,
        };
        let verified = source.verifier.verify_with(request, keys.as_deref());
        let verified = verified.map_err(RequestRefusal::Unverified)?;
        let verify = began.map(|began| began.elapsed()).unwrap_or_default();
        gate.verified(Instant::now)?;
        if source.handshake
            && let Some(address) = verified.subscription()
        {
            return Ok(Handled::Handshake(source, self.confirm(source, &address).await?));
        }
        if source.handshake
            && let Some(answer) =
                source.verifier.answer(&verified).map_err(RequestRefusal::Unverified)?
        {
            return Ok(Handled::Handshake(source, answer));
        }
        let body = decode::decoded(&source.sender, verified.request(), source.body_bytes_max)
            .map_err(|error| RequestRefusal::undecoded(error, source.body_bytes_max))?;
        if body.as_ptr() != verified.request().body.as_ptr() {
            reservation.grow(body.len())?;
        }
        let seed = self.queue.repetition_seed();
        let (planned, in_utf8, content) = rules.plan(
            &source.sender,
            source.repeat,
            &verified,
            &body,
            source.body_bytes_max,
            seed,
        )?;
        if let Some(body) = &in_utf8 {
            reservation.grow(body.len())?;
        }
        let notes = if heard { rules.notes(&source.name, &planned) } else { Vec::new() };
        let media = media_type(&source.sender, &verified, &body, in_utf8.as_deref(), content);
        let (first, others) = rules.new_requests(source, &verified, media.as_deref(), planned);
        // Its head is a part of the connection's read buffer. If it were alive when the connection reads the next
        // request, another buffer would have to be allocated.
        drop(verified);
        let began = now();
        let mut durable = self.queue.append(first).await.map_err(RequestRefusal::Store)?;
        // If one of them fails, the sender repeats the request. What is stored already is then a repetition, if its
        // events can be recognized.
        for other in others {
            let later = self.queue.append(other).await.map_err(RequestRefusal::Store)?;
            durable = durable.and(later);
        }
        let store = began.map(|began| began.elapsed()).unwrap_or_default();
        Ok(Handled::Stored(Stored { source, durable, received_at, verify, store, notes }))
    }
}

impl Ingest {
    /// The keys with which its sender verifies this request.
    async fn published_keys(
        &self,
        admitted: Admitted<'_>,
        request: &Request,
        bytes: usize,
    ) -> Result<Option<Arc<KeySet>>, RequestRefusal> {
        let source = &admitted.source.settings;
        let wanted = source.verifier.wanted_key(request).map_err(RequestRefusal::Unverified)?;
        let Some(wanted) = wanted else { return Ok(None) };
        let bytes_max = admitted.rules.shares.common_bytes_max / PART_FOR_KEYS;
        let asker = Asker { address: admitted.peer.nearest(), bytes, bytes_max };
        let keys = self.keys.get(&wanted, &source.keys_allow, asker).await;
        keys.map(Some).map_err(RequestRefusal::KeyMissing)
    }
}

impl Ingest {
    /// Confirms a subscription at the address that the sender has signed.
    async fn confirm(
        &self,
        source: &SourceSettings,
        address: &str,
    ) -> Result<Answer, RequestRefusal> {
        let confirmed = Box::pin(self.keys.visit(address)).await;
        confirmed.map_err(|KeyMissing { reason, wait, is_failure }| {
            let reason = format!("the subscription could not be confirmed: {reason}");
            RequestRefusal::KeyMissing(KeyMissing { reason, wait, is_failure })
        })?;
        tracing::info!(source = %source.name, "confirmed the subscription of a topic");
        let body = "{\"confirmed\":true}".to_owned();
        Ok(Answer { content_type: "application/json", body, ..Answer::nothing() })
    }
}

/// The media type of a body that is not JSON, or that is in UTF-8 now.
fn media_type(
    sender: &Sender,
    verified: &Verified,
    body: &[u8],
    in_utf8: Option<&[u8]>,
    content: Content,
) -> Option<String> {
    let Request { headers, uri, .. } = verified.request();
    if let Some(body) = in_utf8 {
        return normalize::media_type_in_utf8(sender, headers, uri.query(), body, content);
    }
    if content == Content::Plain && matches!(body.first(), Some(b'{' | b'[')) {
        return None;
    }
    normalize::media_type(sender, headers, uri.query(), body, content)
}

impl net::Handler for Ingest {
    fn turned_away(&self) {
        self.reporter.overloaded(Shortage::Connections);
    }

    async fn handle(
        &self,
        request: http::Request<Incoming>,
        peer: Peer,
        seat: &Seat,
    ) -> Response<Full<Bytes>> {
        Self::handle(self, request, peer, seat).await
    }
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingest").field("sources", &self.rules().sources).finish_non_exhaustive()
    }
}
