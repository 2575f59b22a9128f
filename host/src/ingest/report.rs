//! Reports what became of requests: to the log, the feed, the history and the alarms.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::answer::RequestId;
use super::refusal::RequestRefusal;
use super::settings::SourceSettings;
use crate::model::Timestamp;
use crate::net::Peer;
use crate::store::Durable;
use crate::telemetry::{self, AlarmKind, Feed, LogThrottle, Note, Shortage, StoredNote};

/// Most log lines about refused requests in each [`LINES_WINDOW`]; the others are counted.
const LINES_MAX: u32 = 50;
const LINES_WINDOW: Duration = Duration::from_secs(10);
/// One log line in each of these windows about requests refused for lack of room: all have the same cause.
const FULL_WINDOW: Duration = Duration::from_secs(60);
/// Most log lines about handshakes in each [`HANDSHAKE_WINDOW`]: anyone can ask for one.
const HANDSHAKE_LINES_MAX: u32 = 5;
const HANDSHAKE_WINDOW: Duration = Duration::from_secs(60);

/// A request that is on disk.
pub(super) struct Stored<'a> {
    pub(super) source: &'a SourceSettings,
    pub(super) durable: Durable,
    pub(super) received_at: Timestamp,
    /// How long verifying and storing took. Zero if the feed has no listener.
    pub(super) verify: Duration,
    pub(super) store: Duration,
    /// One for each event, without its id. None if the feed had no listener when the request was read.
    pub(super) notes: Vec<StoredNote>,
}

/// Reports about requests.
pub(super) struct Reporter {
    feed: Feed,
    refused_lines: LogThrottle,
    full_lines: LogThrottle,
    handshake_lines: LogThrottle,
}

impl Reporter {
    pub(super) const fn new(feed: Feed) -> Self {
        Self {
            feed,
            refused_lines: LogThrottle::new(LINES_MAX, LINES_WINDOW),
            full_lines: LogThrottle::new(1, FULL_WINDOW),
            handshake_lines: LogThrottle::new(HANDSHAKE_LINES_MAX, HANDSHAKE_WINDOW),
        }
    }

    /// Whether the feed has a listener.
    pub(super) fn has_listener(&self) -> bool {
        self.feed.is_heard()
    }

    pub(super) fn stored(&self, id: RequestId, stored: Stored<'_>) {
        let Stored { source, durable, received_at, verify, store, mut notes } = stored;
        tracing::debug!(
            request = %id,
            source = %source.name,
            events = durable.ids().len(),
            duplicates = durable.duplicates(),
            "stored"
        );
        self.feed.history().stored(&source.name, received_at.as_millis(), durable.duplicates());
        self.feed.send(|| {
            let request = id.to_string().into();
            if notes.is_empty() && !durable.ids().is_empty() {
                let ids = durable.ids().iter().enumerate();
                let ids = ids.map(|(place, id)| (id.to_string(), durable.is_duplicate(place)));
                return Note::StoredUnheard { request, events: ids.collect() };
            }
            for (place, (note, event)) in notes.iter_mut().zip(durable.ids()).enumerate() {
                note.id = event.to_string();
                note.duplicate = durable.is_duplicate(place);
            }
            let source = Arc::clone(&source.name);
            Note::Stored { request, source, verify, store, events: notes }
        });
    }

    pub(super) fn refused(
        &self,
        id: RequestId,
        source: Option<&Arc<str>>,
        peer: Peer,
        refusal: &RequestRefusal,
    ) {
        if let Some(shortage) = refusal.shortage() {
            self.overloaded(shortage);
        }
        // A full disk raises its own alarm.
        if let Some(source) = source.filter(|_| !refusal.is_full()) {
            let reason = refusal.to_string();
            self.feed.alarms().raise(AlarmKind::SourceRejecting, source, 1, &reason);
        }
        let lines = if refusal.is_full() { &self.full_lines } else { &self.refused_lines };
        if let Some(left_out) = lines.admit(Instant::now()) {
            let (status, source) = (refusal.status().as_u16(), source.map_or("-", |name| &**name));
            if refusal.is_ours() {
                tracing::error!(request = %id, source, %peer, status, left_out, "refused: {refusal}");
            } else {
                tracing::info!(request = %id, source, %peer, status, left_out, "refused: {refusal}");
            }
        }
        let recorded = telemetry::Refusal {
            at_ms: Timestamp::from(SystemTime::now()).as_millis(),
            request: id.to_string().into(),
            from: peer.to_string(),
            status: refusal.status().as_u16(),
            reason: refusal.to_string(),
        };
        self.feed.history().refused(source, recorded);
        self.feed.send(|| Note::Refused {
            request: id.to_string().into(),
            source: source.cloned(),
            status: refusal.status().as_u16(),
            reason: refusal.to_string(),
        });
    }

    /// A request or a connection was refused for lack of room.
    pub(super) fn overloaded(&self, shortage: Shortage) {
        let now = Timestamp::from(SystemTime::now()).as_millis();
        self.feed.overload().refused(shortage, now);
    }

    pub(super) fn handshake(&self, id: RequestId, source: &SourceSettings) {
        if let Some(left_out) = self.handshake_lines.admit(Instant::now()) {
            let source = &*source.name;
            tracing::info!(request = %id, source, left_out, "answered the vendor's handshake");
        }
    }

    /// Shows a person the token that confirms the address. It becomes the secret, so it is kept in memory, where
    /// only the owner's socket reads it, and never written to the log.
    pub(super) fn confirmation(
        &self,
        source: &SourceSettings,
        peer: Peer,
        token: &str,
        at: Timestamp,
    ) {
        if let Some(left_out) = self.handshake_lines.admit(Instant::now()) {
            tracing::warn!(
                source = %source.name,
                left_out,
                "the vendor wants the address confirmed; `dispatcher refused` shows the token"
            );
        }
        let reason = format!(
            "the vendor wants the address confirmed with the token {token}: enter it at the vendor, then \
             make it this source's secret and remove handshake = true"
        );
        let recorded = telemetry::Refusal {
            at_ms: at.as_millis(),
            request: "handshake".into(),
            from: peer.to_string(),
            status: 200,
            reason,
        };
        self.feed.history().refused(Some(&source.name), recorded);
    }
}
