//! What one configuration says about requests: which are admitted, and what is stored of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;

use super::limits::{Gate, Shares};
use super::refusal::RequestRefusal;
use super::settings::{BodyTime, InForce, Repeat, Settings, SourceSettings, without_slash};
use crate::model::{HEADER_BYTES_MAX, HEADERS_MAX, Headers, Planned, RepetitionSeed, Timestamp};
use crate::net::Peer;
use crate::normalize::{self, Content, Input, Normalized, Repetition, Sender};
use crate::route::Router;
use crate::store::{self, NewRequest};
use crate::telemetry::StoredNote;
use crate::verify::{Proof, Scheme, TokenIn, Verified};

/// Header fields that are never stored, because they may be credentials. Neither is the source's token.
const HEADERS_SECRET: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A source and its counters.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) settings: SourceSettings,
    pub(super) gate: Gate,
}

/// The rules of one configuration. A request uses the same rules from start to end, so that it never sees half of
/// one configuration and half of the next.
#[derive(Debug)]
pub(super) struct Rules {
    /// By path without the trailing slash.
    pub(super) sources: HashMap<String, Source>,
    pub(super) shares: Shares,
    pub(super) body_time: BodyTime,
    health: Option<String>,
    pub(super) in_force: InForce,
    pub(super) router: Arc<Router>,
}

/// What the head of a request says.
pub(super) struct Head<'h> {
    pub(super) parts: &'h Parts,
    pub(super) peer: &'h Peer,
    /// The length of the body, if it was announced.
    pub(super) body_bytes: Option<u64>,
    pub(super) received_at: Timestamp,
}

impl Rules {
    /// Sources keep the counters that they have in `before`, by name.
    pub(super) fn new(settings: Settings, router: Arc<Router>, before: Option<&Self>) -> Self {
        let longest = settings.sources.iter().map(|s| s.body_bytes_max).max().unwrap_or(0);
        let shares = Shares::of(settings.bytes_in_flight_max, settings.sources.len(), longest);
        let in_force = InForce {
            config: settings.config,
            generation: before.map_or(0, |before| before.in_force.generation + 1),
            since: Timestamp::from(SystemTime::now()),
        };
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
            body_time: settings.body_time,
            health: settings.health,
            in_force,
            router,
        }
    }

    /// The source that `path` belongs to.
    pub(super) fn source(&self, path: &str) -> Option<&Source> {
        self.sources.get(without_slash(path))
    }

    /// Whether a request for no source asks whether requests are accepted.
    pub(super) fn asks_for_health(&self, head: &Parts) -> bool {
        self.health.as_deref() == Some(head.uri.path())
            && matches!(head.method, http::Method::GET | http::Method::HEAD)
    }

    /// Checks everything that can be checked before the body is read.
    pub(super) fn admit<'a>(
        &self,
        head: &Head<'_>,
        found: Option<&'a Source>,
    ) -> Result<&'a Source, RequestRefusal> {
        let Some(found) = found else {
            let known = self.sources.keys();
            return Err(RequestRefusal::unknown_path(head.parts.uri.path(), known));
        };
        let Source { settings: source, gate } = found;
        gate.admit(head.peer, Instant::now)?;
        if let Some(reason) = &source.unusable {
            return Err(RequestRefusal::Unusable { reason: Arc::clone(reason) });
        }
        let methods = &source.verifier.scheme().methods;
        if !methods.contains(&head.parts.method) && !source.may_be_unsigned_handshake(head.parts) {
            return Err(RequestRefusal::Method { allowed: methods.clone() });
        }
        let bytes_max = source.body_bytes_max;
        if head.body_bytes.is_some_and(|bytes| bytes > bytes_max as u64) {
            return Err(RequestRefusal::TooLong { bytes_max });
        }
        if !source.may_be_unsigned_handshake(head.parts) {
            let (headers, query) = (&head.parts.headers, head.parts.uri.query());
            let checked = source.verifier.precheck(headers, query, head.received_at);
            checked.map_err(RequestRefusal::Unverified)?;
        }
        Ok(found)
    }

    /// The events of a verified request with their targets, and its body in UTF-8 if it was in another character set.
    /// `body` is its body, decompressed; in UTF-8 it may have at most `bytes_max`.
    pub(super) fn plan(
        &self,
        sender: &Sender,
        repeat: Repeat,
        verified: &Verified,
        body: &Bytes,
        bytes_max: usize,
        seed: RepetitionSeed,
    ) -> Result<(Vec<Planned>, Option<Bytes>, Content), RequestRefusal> {
        let request = verified.request();
        let (headers, query) = (&request.headers, request.uri.query());
        let repetition_key = || verified.repetition_key(seed);
        let repetition = if repeat == Repeat::Deliver {
            Repetition::Never
        } else if verified.is_known_by_signature_alone() {
            Repetition::KeyAlone(&repetition_key)
        } else if sender.may_repeat() && verified.is_dated() {
            Repetition::Dated(&repetition_key)
        } else {
            Repetition::Key(&repetition_key)
        };
        let form = if body.is_empty() { verified.form_in_query() } else { None };
        let is_query = form.is_some();
        let body = form.as_ref().unwrap_or(body);
        let input = Input { headers, query, body, is_query, repetition, seed };
        let sender = sender.of_set(verified.header_set());
        let Normalized { events, in_utf8, is_other } =
            normalize::normalize_up_to(sender, input, bytes_max)
                .map_err(RequestRefusal::Malformed)?;
        let planned = events.into_iter().map(|event| self.router.plan(&request.source, event));
        let content = match is_query {
            true => Content::Query,
            false if is_other => Content::Other,
            false => Content::Plain,
        };
        Ok((planned.collect(), in_utf8, content))
    }

    /// What is stored of a verified request, in one part unless it brings more events than a record takes. `media` is
    /// the media type of a body whose content type as sent may be wrong.
    pub(super) fn new_requests(
        &self,
        source: &SourceSettings,
        verified: &Verified,
        media: Option<&str>,
        mut events: Vec<Planned>,
    ) -> (NewRequest, Vec<NewRequest>) {
        let mut others = Vec::new();
        while events.len() > store::REQUEST_EVENTS_MAX {
            let part = (events.len() - 1) / store::REQUEST_EVENTS_MAX * store::REQUEST_EVENTS_MAX;
            others.push(self.new_request(source, verified, media, events.split_off(part)));
        }
        others.reverse();
        (self.new_request(source, verified, media, events), others)
    }

    fn new_request(
        &self,
        source: &SourceSettings,
        verified: &Verified,
        media: Option<&str>,
        events: Vec<Planned>,
    ) -> NewRequest {
        let request = verified.request();
        NewRequest {
            source: Arc::clone(&request.source),
            received_at: request.received_at,
            verified_at: Timestamp::from(SystemTime::now()),
            scheme: Arc::clone(&verified.scheme().name),
            key: verified.key(),
            config: self.in_force.config,
            headers: stored_headers(&request.headers, media, verified.scheme()),
            repeat_window: source.repeat.window().unwrap_or(store::REPEAT_WINDOW_DEFAULT),
            events,
        }
    }

    /// A note for the feed about each event, still without its id.
    pub(super) fn notes(&self, source: &str, planned: &[Planned]) -> Vec<StoredNote> {
        let note = |planned: &Planned| StoredNote {
            duplicate: false,
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

/// The header fields to store, as far as they fit, with this content type in place of the one that was sent.
fn stored_headers(headers: &http::HeaderMap, media: Option<&str>, scheme: &Scheme) -> Headers {
    let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let Some(media) = media else { return fitting(fields, scheme) };
    let media = (CONTENT_TYPE.as_str(), media.as_bytes());
    let has_one = headers.contains_key(CONTENT_TYPE);
    let mut is_first = true;
    let replaced = fields.filter_map(|field| match field.0 {
        name if name != media.0 => Some(field),
        _ => std::mem::take(&mut is_first).then_some(media),
    });
    fitting(replaced.chain((!has_one).then_some(media)), scheme)
}

/// The first of these fields, without secret ones.
fn fitting<'h>(fields: impl Iterator<Item = (&'h str, &'h [u8])>, scheme: &Scheme) -> Headers {
    let token = match &scheme.proof {
        Proof::Token(TokenIn::Header(name)) => Some(name.as_str()),
        _ => None,
    };
    let mut bytes = 0;
    fields
        .filter(|(name, _)| !HEADERS_SECRET.contains(name) && Some(*name) != token)
        .take(HEADERS_MAX)
        .take_while(|(name, value)| {
            bytes += name.len() + value.len();
            bytes <= HEADER_BYTES_MAX
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(name: &str) -> &'static Scheme {
        crate::config::vendors::scheme(name).unwrap()
    }

    #[test]
    fn stored_headers_are_bounded() {
        let mut headers = http::HeaderMap::new();
        for number in 0..100 {
            let name: http::HeaderName = format!("x-{number}").parse().unwrap();
            headers.insert(name, "v".parse().unwrap());
        }
        assert_eq!(stored_headers(&headers, None, scheme("sqreen")).len(), HEADERS_MAX);
        headers.clear();
        headers.insert("x-long", "v".repeat(HEADER_BYTES_MAX).parse().unwrap());
        assert_eq!(stored_headers(&headers, None, scheme("sqreen")).len(), 0);
    }

    #[test]
    fn the_header_with_the_token_is_not_stored() {
        let mut headers = http::HeaderMap::new();
        headers.append("x-gitlab-token", http::HeaderValue::from_static("hush"));
        headers.append("x-gitlab-event", http::HeaderValue::from_static("Push Hook"));
        let stored = stored_headers(&headers, None, scheme("gitlab-token"));
        let names: Vec<&str> = stored.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["x-gitlab-event"]);
        assert_eq!(stored_headers(&headers, None, scheme("github")).len(), 2);
    }

    #[test]
    fn a_media_type_takes_the_place_of_the_content_type() {
        let stored = |names: &[&'static str]| -> Vec<(String, String)> {
            let mut headers = http::HeaderMap::new();
            for name in names {
                headers.append(*name, http::HeaderValue::from_static("sent"));
            }
            let stored = stored_headers(&headers, Some("a/b"), scheme("github"));
            let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
            stored.iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
        };
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [field("content-type", "a/b"), field("x", "sent")];
        for names in [&["content-type", "x"][..], &["content-type", "content-type", "x"], &["x"]] {
            let mut stored = stored(names);
            stored.sort();
            assert_eq!(stored, expected, "{names:?}");
        }
    }
}
