//! Events as a plugin sees them: borrowed from the host until the call ends.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::abi::{RCall, REvent};
use crate::{Failure, Verdict, Verdicts, time};

/// The media type of JSON.
const JSON: &str = "application/json";

/// Whether a media type is one of JSON.
fn names_json(media: &str) -> bool {
    let kind = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == JSON || kind.ends_with("+json")
}

/// How serious an event is, on one scale for all senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// No action needed.
    Info,
    /// Worth a look when there is time.
    Warning,
    /// Something is wrong.
    Error,
    /// Worth waking a person.
    Critical,
}

impl Severity {
    /// `info`, `warning`, `error` or `critical`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One event and the state of its delivery. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Event<'a>(&'a REvent<'a>);

impl<'a> Event<'a> {
    /// Unique, 26 characters that sort by time; the same for each attempt, so a good idempotency key.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.0.id.as_str()
    }

    /// Name of the source in the configuration.
    #[must_use]
    pub fn source(&self) -> &'a str {
        self.0.source.as_str()
    }

    /// The sender's name for this kind of event; never empty.
    #[must_use]
    pub fn event_type(&self) -> &'a str {
        self.0.event_type.as_str()
    }

    /// What the event is about, in the sender's terms.
    #[must_use]
    pub fn subject(&self) -> Option<&'a str> {
        present(self.0.subject.as_str())
    }

    /// How serious it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self.0.severity {
            0 => Severity::Info,
            1 => Severity::Warning,
            2 => Severity::Error,
            _ => Severity::Critical,
        }
    }

    /// One line for people; never empty. Written by the sender: escape it for what you write to.
    #[must_use]
    pub fn title(&self) -> &'a str {
        self.0.title.as_str()
    }

    /// An `http` or `https` address for people.
    #[must_use]
    pub fn link(&self) -> Option<&'a str> {
        present(self.0.link.as_str())
    }

    /// When it happened, RFC 3339 as the sender wrote it.
    #[must_use]
    pub fn time(&self) -> Option<&'a str> {
        present(self.0.time.as_str())
    }

    /// When the daemon received it, to the millisecond.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0.received_at_ms)
    }

    /// [`received_at`](Self::received_at) as text: `2021-02-08T12:45:00.363Z`.
    #[must_use]
    pub fn received_at_rfc3339(&self) -> String {
        time::rfc3339(self.0.received_at_ms)
    }

    /// 1 for the first attempt.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// A header field of the request that contained the event, by its name in any case. `None` if it is absent
    /// or not UTF-8. The daemon stores at most 64 fields of together 16 KiB.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let headers = self.0.headers.as_slice();
        let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value.as_slice()).ok()
    }

    /// The target's `message`, rendered by the host; never empty.
    #[must_use]
    pub fn message(&self) -> &'a str {
        self.0.message.as_str()
    }

    /// The media type of [`data`](Self::data), as a value of `Content-Type`. It is `application/json` for a JSON object
    /// or list, and not for a text that only begins like one. Otherwise it is what the daemon stored with the request:
    /// what the bytes are if the sender signs them, else what the sender declared; without that,
    /// `application/octet-stream`.
    #[must_use]
    pub fn content_type(&self) -> &'a str {
        let fits = |text: &&str| {
            text.contains('/') && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        };
        let stored = self.header("content-type").filter(fits);
        let begins = self.data().iter().find(|byte| !byte.is_ascii_whitespace());
        let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(self.data()).is_ok();
        // Some senders declare JSON as a text or a form.
        if matches!(begins, Some(b'{' | b'[')) && (stored.is_none_or(names_json) || is_json()) {
            return JSON;
        }
        stored.unwrap_or("application/octet-stream")
    }

    /// The event's own bytes, exactly as sent: mostly a JSON object, see [`content_type`](Self::content_type).
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.0.data.as_slice()
    }

    /// [`data`](Self::data) read as `T`. Numbers beyond 64 bits lose digits unless `T` keeps them.
    ///
    /// # Errors
    /// [`Failure::reject`], because the event never changes: use `?`.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T, Failure> {
        serde_json::from_slice(self.data()).map_err(|error| {
            Failure::reject(format_args!("the event is not the expected JSON: {error}"))
        })
    }

    /// The [`Failure::progress`] of the last attempt; empty at the first.
    #[must_use]
    pub fn progress(&self) -> &'a [u8] {
        self.0.progress.as_slice()
    }

    /// A fact that newer hosts provide and for which this version has no method.
    #[must_use]
    pub fn meta(&self, key: &str) -> Option<&'a str> {
        let meta = self.0.meta.as_slice();
        meta.iter().find(|pair| pair.key.as_str() == key).map(|pair| pair.value.as_str())
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("id", &self.id()).field("type", &self.event_type()).finish()
    }
}

fn present(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// The events of one call; at least one.
#[derive(Clone, Copy)]
pub struct Events<'a>(&'a [REvent<'a>]);

impl<'a> Events<'a> {
    pub(crate) fn of(call: RCall<'a>) -> Self {
        Self(call.events.as_slice())
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Always false in a call by the host.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The events in the order in which their verdicts are expected.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event<'a>> + use<'a> {
        self.0.iter().map(Event)
    }

    /// The same verdict for all.
    #[must_use]
    pub fn all(&self, verdict: Verdict) -> Verdicts {
        Verdicts::for_all(verdict)
    }

    /// A verdict for each. For verdicts that need an `await`, collect a `Vec<Verdict>` instead.
    pub fn each(&self, verdict: impl FnMut(Event<'a>) -> Verdict) -> Verdicts {
        self.iter().map(verdict).collect()
    }
}

impl<'a> IntoIterator for Events<'a> {
    type Item = Event<'a>;
    type IntoIter =
        std::iter::Map<std::slice::Iter<'a, REvent<'a>>, fn(&'a REvent<'a>) -> Event<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(Event)
    }
}

impl fmt::Debug for Events<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Many events that become one message.
#[derive(Clone, Copy)]
pub struct Digest<'a>(RCall<'a>);

impl<'a> Digest<'a> {
    pub(crate) const fn of(call: RCall<'a>) -> Self {
        Self(call)
    }

    /// The target's `message` for all of them, rendered by the host; never empty.
    #[must_use]
    pub fn message(&self) -> &'a str {
        self.0.message.as_str()
    }

    /// How many events the message is for.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.0.count
    }

    /// The events: at least one, and when [`count`](Self::count) is greater, the first of them: at most 20, and none
    /// after 1 MiB of data.
    #[must_use]
    pub fn events(&self) -> Events<'a> {
        Events::of(self.0)
    }

    /// The same for each attempt at this set of events: an idempotency key.
    #[must_use]
    pub fn key(&self) -> &'a str {
        self.0.key.as_str()
    }

    /// The [`Failure::progress`] of the last attempt at this set; empty at the first.
    #[must_use]
    pub fn progress(&self) -> &'a [u8] {
        self.0.progress.as_slice()
    }
}

impl fmt::Debug for Digest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest").field("key", &self.key()).field("count", &self.count()).finish()
    }
}
