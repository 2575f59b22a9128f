//! From a request's bytes to its answer: source by path, limits, signature, events, plan, disk.
//!
//! A 2xx is built from the proof that the events are durable, and the events only from a request that
//! was verified. What is refused costs no disk and no more memory than its limit; a refusal tells the
//! sender what to change, but never which part of a signature's check failed, and nothing of the
//! inside. Limits: a body by its source, all bodies together ([`Settings::bytes_in_flight_max`],
//! counted as their bytes arrive, so that a promise of many bytes holds nothing), and a body's time.
//!
//! | answer | when |
//! |---|---|
//! | 200 | on disk; repeated events too, once their first is; or the vendor's question is answered |
//! | 400 | signed, but no JSON object or array, or nested too deep |
//! | 401 | signature missing, malformed or wrong; before the body is read where the header shows it |
//! | 403 | the source has an allow-list, and the sender's address is not on it; before the body is read |
//! | 404, 405 | no source has this path; the scheme does not use this method |
//! | 408 | the body took too long |
//! | 413 | the body is too long, also when decompressed, has too many events or fits no segment of the store |
//! | 415 | the body is compressed in a way that is not known here |
//! | 429 | more often than the source's rate; with `Retry-After` |
//! | 503 | too many bytes in flight, or it cannot be stored now; with `Retry-After` |

mod answer;
mod body;
mod decode;
mod handshake;
mod limits;
mod rate;
mod refusal;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;
use hyper::body::{Body, Incoming};

use crate::model::{Cidr, HEADER_BYTES_MAX, HEADERS_MAX, Headers, Planned, Request, Timestamp};
use crate::normalize::{self, Input, Repetition, Sender};
use crate::route::Router;
use crate::store::{Durable, NewRequest, Queue};
use crate::telemetry::{AlarmKind, Feed, Note, Rarely, StoredNote};
use crate::verify::{Answer, Proof, Replay, Scheme, TokenIn, Verified, Verifier};
use crate::{net, store, telemetry};

use answer::RequestId;
use body::{Budget, Held};
use limits::{Gate, Shares};
pub use rate::{RATES_MAX, Rate};
use refusal::Refusal;

pub use decode::{Undecoded, decoded};

/// Log lines about refused requests in each [`LINES_WINDOW`]; the others are counted.
const LINES_MAX: u32 = 50;
const LINES_WINDOW: Duration = Duration::from_secs(10);
/// Of requests for which there is no room one line in each of these windows: all have the same cause.
const FULL_WINDOW: Duration = Duration::from_secs(60);

/// Longest body that a source takes unless it says otherwise.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most bytes in flight unless configured otherwise.
pub const BYTES_IN_FLIGHT_MAX: usize = 64 * 1024 * 1024;
/// Time for a body unless configured otherwise.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Headers that are never kept, as is the one with a source's token: they can let somebody in.
const HEADERS_SECRET: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

const _: () = assert!(
    normalize::EVENTS_MAX == store::REQUEST_EVENTS_MAX,
    "what is admitted must be what the store takes"
);

/// One configured sender.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    pub name: Arc<str>,
    /// Begins with `/`; with or without a slash at its end it is the same, see [`same_path`].
    pub path: String,
    pub verifier: Verifier,
    /// What the vendor asks before it sends events is answered.
    pub handshake: bool,
    pub sender: Arc<Sender>,
    /// Longest body in bytes.
    pub body_bytes_max: usize,
    /// From where requests may come; empty: from everywhere.
    pub allow: Arc<[Cidr]>,
    /// How often verified requests are taken; each of at most [`RATES_MAX`] counts.
    pub rates: Arc<[Rate]>,
    /// After so long without an accepted request a person is told; `None`: never.
    pub silent_after: Option<Duration>,
}

/// How requests are received.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of sources with the same path the last counts.
    pub sources: Vec<SourceSettings>,
    /// Most bytes of bodies held at once, over all requests.
    pub bytes_in_flight_max: usize,
    /// From the request's head to the last byte of its body; then 408.
    pub body_timeout: Duration,
    /// Hash of the configuration, kept with each request.
    pub config: u64,
}

/// Whether two paths lead to the same source.
#[must_use]
pub fn same_path(one: &str, other: &str) -> bool {
    without_slash(one) == without_slash(other)
}

/// Receives requests for all sources.
pub struct Ingest {
    rules: RwLock<Arc<Rules>>,
    budget: Budget,
    queue: Arc<dyn Queue>,
    feed: Feed,
    lines: Rarely,
    full_lines: Rarely,
}

/// A source and what was counted of it.
#[derive(Debug)]
struct Source {
    settings: SourceSettings,
    gate: Gate,
}

/// What a configuration says of requests. Each request reads it once and keeps it to its end, so that
/// no request is received by half of one configuration and half of the next.
#[derive(Debug)]
struct Rules {
    /// By path without the slash at its end.
    sources: HashMap<String, Source>,
    shares: Shares,
    body_timeout: Duration,
    config: u64,
    router: Arc<Router>,
}

impl Rules {
    /// What was counted goes on from `before`, by the names of the sources.
    fn new(settings: Settings, router: Arc<Router>, before: Option<&Self>) -> Self {
        let longest = settings.sources.iter().map(|s| s.body_bytes_max).max().unwrap_or(0);
        let shares = Shares::of(settings.bytes_in_flight_max, settings.sources.len(), longest);
        let before: HashMap<&str, &Gate> = before
            .into_iter()
            .flat_map(|before| before.sources.values())
            .map(|source| (&*source.settings.name, &source.gate))
            .collect();
        let source = |settings: SourceSettings| {
            let before = before.get(&*settings.name).copied();
            let gate = Gate::new(Arc::clone(&settings.allow), &settings.rates, before);
            (without_slash(&settings.path).to_owned(), Source { settings, gate })
        };
        Self {
            sources: settings.sources.into_iter().map(source).collect(),
            shares,
            body_timeout: settings.body_timeout,
            config: settings.config,
            router,
        }
    }

    /// What can be decided before the body is read.
    fn admit<'a>(
        &self,
        head: &Parts,
        found: Option<&'a Source>,
        peer: &net::Peer,
        body_bytes: Option<u64>,
        received_at: Timestamp,
    ) -> Result<&'a Source, Refusal> {
        let Some(found) = found else {
            return Err(Refusal::unknown_path(head.uri.path(), self.sources.keys()));
        };
        let Source { settings: source, gate } = found;
        gate.admit(peer, Instant::now)?;
        let methods = &source.verifier.scheme().methods;
        if !methods.contains(&head.method) && !source.may_ask(&head.method) {
            return Err(Refusal::Method { allowed: methods.clone() });
        }
        let bytes_max = source.body_bytes_max;
        if body_bytes.is_some_and(|bytes| bytes > bytes_max as u64) {
            return Err(Refusal::TooLong { bytes_max });
        }
        if !source.may_ask_unsigned(head) {
            source.verifier.precheck(&head.headers, received_at).map_err(Refusal::Unverified)?;
        }
        Ok(found)
    }

    /// The events of a verified request with their targets; `body` is its body, decompressed.
    fn plan(
        &self,
        sender: &Sender,
        verified: &Verified,
        body: &Bytes,
    ) -> Result<Vec<Planned>, Refusal> {
        let request = verified.request();
        let (headers, query) = (&request.headers, request.uri.query());
        let key = || verified.repetition_key();
        let repetition = match verified.scheme().replay() {
            Replay::Id | Replay::SignedBytes => Repetition::Key(&key),
            Replay::OriginOnly => Repetition::KeyAlone(&key),
            Replay::Window | Replay::Open => Repetition::Unknown,
        };
        let input = Input { headers, query, body, repetition };
        let events = normalize::normalize(sender, input).map_err(Refusal::Malformed)?;
        Ok(events.into_iter().map(|event| self.router.plan(&request.source, event)).collect())
    }

    fn new_request(&self, verified: &Verified, events: Vec<Planned>) -> NewRequest {
        let request = verified.request();
        NewRequest {
            source: Arc::clone(&request.source),
            received_at: request.received_at,
            verified_at: Timestamp::from(SystemTime::now()),
            scheme: Arc::clone(&verified.scheme().name),
            key: verified.key(),
            config: self.config,
            headers: kept(&request.headers, verified.scheme()),
            events,
        }
    }

    fn notes(&self, source: &str, planned: &[Planned]) -> Vec<StoredNote> {
        let note = |planned: &Planned| StoredNote {
            id: String::new(),
            title: planned.event.attributes.title.clone(),
            severity: planned.event.attributes.severity.as_str(),
            targets: planned
                .targets
                .iter()
                .filter_map(|number| self.router.name(*number).cloned())
                .collect(),
            unrouted: self
                .router
                .explain(source, &planned.event)
                .into_iter()
                .map(|unrouted| (unrouted.target, unrouted.reason))
                .collect(),
        };
        planned.iter().map(note).collect()
    }
}

/// What became of a request that was not refused.
enum Taken<'a> {
    Stored(Stored<'a>),
    /// It brought no events, but a question.
    Asked(&'a SourceSettings, Answer),
}

/// A request that is on disk.
struct Stored<'a> {
    source: &'a SourceSettings,
    durable: Durable,
    received_at: Timestamp,
    /// Both are zero when nobody listens.
    verify: Duration,
    store: Duration,
    /// One an event, without its id; none when nobody listens.
    notes: Vec<StoredNote>,
}

impl Ingest {
    #[must_use]
    pub fn new(settings: Settings, queue: Arc<dyn Queue>, router: Arc<Router>, feed: Feed) -> Self {
        Self {
            rules: RwLock::new(Arc::new(Rules::new(settings, router, None))),
            budget: Budget::default(),
            queue,
            feed,
            lines: Rarely::new(LINES_MAX, LINES_WINDOW),
            full_lines: Rarely::new(1, FULL_WINDOW),
        }
    }

    /// Receives by other settings and routes from the next request on; those under way end as they
    /// began.
    pub fn change(&self, settings: Settings, router: Arc<Router>) {
        let rules = Arc::new(Rules::new(settings, router, Some(&self.rules())));
        let mut current = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, rules);
        drop(current);
        // Not while requests wait for the lock.
        drop(before);
    }

    /// The routes in force and the hash of their configuration: for events that no request brought.
    #[must_use]
    pub fn routes(&self) -> (Arc<Router>, u64) {
        let rules = self.rules();
        (Arc::clone(&rules.router), rules.config)
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Answers a request. Dropped half-way it stores nothing, or all of it without an answer.
    pub async fn handle<B>(
        &self,
        request: http::Request<B>,
        peer: net::Peer,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: fmt::Display,
    {
        let id = RequestId::random();
        let received_at = Timestamp::from(SystemTime::now());
        let (head, body) = request.into_parts();
        let rules = self.rules();
        let found = rules.sources.get(without_slash(head.uri.path()));
        let (outcome, ending) =
            match rules.admit(&head, found, &peer, body.size_hint().exact(), received_at) {
                Ok(source) => self.receive(&rules, source, peer, head, body, received_at).await,
                Err(refusal) => {
                    let waits = head.headers.contains_key(http::header::EXPECT);
                    (Err(refusal), body::let_go(body, waits))
                }
            };
        match outcome {
            Ok(Taken::Stored(stored)) => {
                let answer = answer::accepted(id, &stored.durable);
                self.tell_stored(id, stored);
                answer
            }
            Ok(Taken::Asked(source, answer)) => {
                tracing::info!(request = %id, source = %source.name, "the sender's handshake is answered");
                answer::handshake(id, answer)
            }
            Err(refusal) => {
                if let (Some(found), Refusal::Unverified(_)) = (found, &refusal) {
                    found.gate.unverified(&peer, Instant::now());
                }
                let source = found.map(|found| &found.settings.name);
                self.tell_refused(id, source, peer, &refusal);
                answer::refused(id, &refusal, ending)
            }
        }
    }

    async fn receive<'a, B>(
        &self,
        rules: &Rules,
        source: &'a Source,
        peer: net::Peer,
        head: Parts,
        body: B,
        received_at: Timestamp,
    ) -> (Result<Taken<'a>, Refusal>, Ending)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: fmt::Display,
    {
        let body_bytes_max = source.settings.body_bytes_max;
        let held = self.budget.hold(&source.gate.own_bytes, rules.shares, body_bytes_max);
        let read = body::read(body, body_bytes_max, held, rules.body_timeout);
        match read.await {
            // It counts the bytes until they are stored.
            Ok((body, mut held)) => {
                let from = (peer, received_at);
                let stored = self.store(rules, source, from, head, body, &mut held);
                (stored.await, Ending::KeepOpen)
            }
            Err(refusal) => (Err(refusal), Ending::Close),
        }
    }

    /// From the whole request to the disk.
    async fn store<'a>(
        &self,
        rules: &Rules,
        Source { settings: source, gate }: &'a Source,
        (peer, received_at): (net::Peer, Timestamp),
        head: Parts,
        body: Bytes,
        held: &mut Held<'_>,
    ) -> Result<Taken<'a>, Refusal> {
        let request = {
            // The rest of the head ends here: see below.
            let head = head;
            let source = Arc::clone(&source.name);
            let (method, uri, headers) = (head.method, head.uri, head.headers);
            Request { source, method, uri, headers, body, received_at }
        };
        // Each look at the clock costs: what nobody hears of is not timed.
        let heard = self.feed.is_heard();
        let now = || heard.then(Instant::now);
        if source.handshake
            && let Some(answer) = self.asked_unsigned(source, peer, &request)?
        {
            return Ok(Taken::Asked(source, answer));
        }
        let began = now();
        let verified = source.verifier.verify(request).map_err(Refusal::Unverified)?;
        let verify = began.map(|began| began.elapsed()).unwrap_or_default();
        gate.verified(Instant::now)?;
        if source.handshake
            && let Some(answer) = source.verifier.answer(&verified).map_err(Refusal::Unverified)?
        {
            return Ok(Taken::Asked(source, answer));
        }
        let (headers, body) = (&verified.request().headers, verified.request().body.clone());
        let body = decode::decoded(headers, body, source.body_bytes_max)
            .map_err(|undecoded| Refusal::undecoded(undecoded, source.body_bytes_max))?;
        if body.as_ptr() != verified.request().body.as_ptr() {
            held.grow(body.len())?;
        }
        let planned = rules.plan(&source.sender, &verified, &body)?;
        let notes = if heard { rules.notes(&source.name, &planned) } else { Vec::new() };
        let request = rules.new_request(&verified, planned);
        // Its head lies in what the connection reads into. While it is kept, the connection, which
        // reads on to see the sender leave, would have to make new room.
        drop(verified);
        let began = now();
        let durable = self.queue.append(request).await.map_err(Refusal::Store)?;
        let store = began.map(|began| began.elapsed()).unwrap_or_default();
        Ok(Taken::Stored(Stored { source, durable, received_at, verify, store, notes }))
    }

    fn tell_stored(&self, id: RequestId, stored: Stored<'_>) {
        let Stored { source, durable, received_at, verify, store, mut notes } = stored;
        tracing::debug!(
            request = %id,
            source = %source.name,
            events = durable.ids().len(),
            duplicates = durable.duplicates(),
            "stored"
        );
        self.feed.history().stored(&source.name, received_at.as_millis());
        self.feed.send(|| {
            for (note, event) in notes.iter_mut().zip(durable.ids()) {
                note.id = event.to_string();
            }
            let source = Arc::clone(&source.name);
            Note::Stored { request: id.to_string().into(), source, verify, store, events: notes }
        });
    }

    fn tell_refused(
        &self,
        id: RequestId,
        source: Option<&Arc<str>>,
        peer: net::Peer,
        refusal: &Refusal,
    ) {
        // Of a lack of room the disk's own event tells.
        if let Some(source) = source.filter(|_| !refusal.is_full()) {
            let reason = refusal.to_string();
            self.feed.alarms().raise(AlarmKind::SourceRejecting, source, 1, &reason);
        }
        let lines = if refusal.is_full() { &self.full_lines } else { &self.lines };
        if let Some(left_out) = lines.admit(Instant::now()) {
            let (status, source) = (refusal.status().as_u16(), source.map_or("-", |name| &**name));
            if refusal.is_ours() {
                tracing::error!(request = %id, source, %peer, status, left_out, "refused: {refusal}");
            } else {
                tracing::info!(request = %id, source, %peer, status, left_out, "refused: {refusal}");
            }
        }
        let told = telemetry::Refusal {
            at_ms: Timestamp::from(SystemTime::now()).as_millis(),
            request: id.to_string().into(),
            from: peer.to_string(),
            status: refusal.status().as_u16(),
            reason: refusal.to_string(),
        };
        self.feed.history().refused(source, told);
        self.feed.send(|| Note::Refused {
            request: id.to_string().into(),
            source: source.cloned(),
            status: refusal.status().as_u16(),
            reason: refusal.to_string(),
        });
    }
}

impl net::Handler for Ingest {
    async fn handle(
        &self,
        request: http::Request<Incoming>,
        peer: net::Peer,
    ) -> Response<Full<Bytes>> {
        Self::handle(self, request, peer).await
    }
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingest").field("sources", &self.rules().sources).finish_non_exhaustive()
    }
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    KeepOpen,
    /// The rest of the request is not wanted, so that no other request can follow it.
    Close,
}

fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// The header fields to be kept, as far as they fit.
fn kept(headers: &http::HeaderMap, scheme: &Scheme) -> Headers {
    let token = match &scheme.proof {
        Proof::Token(TokenIn::Header(name)) => Some(name),
        _ => None,
    };
    let mut bytes = 0;
    headers
        .iter()
        .filter(|(name, _)| !HEADERS_SECRET.contains(&name.as_str()) && Some(*name) != token)
        .take(HEADERS_MAX)
        .take_while(|(name, value)| {
            bytes += name.as_str().len() + value.len();
            bytes <= HEADER_BYTES_MAX
        })
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}

#[cfg(test)]
mod tests;
