//! `[sources.NAME]`: who may send, how requests are verified, and how bodies are read.

mod coverage;
mod path;
mod repeat;
mod scheme;
mod secrets;
mod shared;
mod tokens;
mod topics;

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use super::limits;
use super::naming::{named, unknown};
use super::problem::Problem;
use super::questions;
use super::reader::{Entry, Notes, Table};
use super::reference::Resolver;
use super::vendors;
use crate::ingest;
use crate::model::{OWN_SOURCE, Secret};
use crate::normalize::Sender;
use crate::verify::{Handshake, Question, Scheme};

/// Most sources.
const SOURCES_MAX: usize = 1_000;
/// Limits of `silent_after`.
const SILENT_AFTER: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);

/// A source that was read.
pub(super) struct Source {
    pub(super) settings: ingest::SourceSettings,
    /// The first secret, which the sender signs with. Empty if the source needs none.
    pub(super) signing_secret: Secret,
    /// As the configuration has it: the verifier has another one if no secret is known.
    pub(super) scheme: Arc<Scheme>,
    /// The verifier has a secret that was looked up, or needs none.
    has_secret: bool,
}

/// What the reader of a source needs to know of the rest of the configuration.
pub(super) struct Context<'a> {
    /// Longest body that the store can take, and that has room in flight, in bytes.
    pub(super) body_bytes_limits: (u64, u64),
    /// The address that senders use.
    pub(super) public_url: Option<&'a str>,
    /// The schemes that the configuration defines.
    pub(super) schemes: &'a [Arc<Scheme>],
    /// The senders that the configuration defines.
    pub(super) senders: &'a [Arc<Sender>],
    pub(super) resolver: &'a Resolver<'a>,
    /// Every connection comes from this machine, and no trusted proxy on it names the real client.
    pub(super) only_this_machine: bool,
    /// How long the log is kept; `None`: as long as there is room.
    pub(super) kept_for: Option<Duration>,
}

/// Reads every source.
pub(super) fn read(table: &Table<'_>, context: &Context<'_>, notes: &Notes) -> Vec<Source> {
    let mut paths: HashMap<String, String> = HashMap::new();
    let mut sources: Vec<shared::Placed> = Vec::new();
    for (name, entry) in named(table, "source", SOURCES_MAX, notes) {
        if name == OWN_SOURCE {
            let title = format!("a source cannot be named `{OWN_SOURCE}`");
            let problem = Problem::error(title).at(entry.key.clone(), "reserved name");
            notes.add(problem.help("the daemon's own events have this source"));
        }
        if let Some(table) = entry.table(notes) {
            let place = table.place.clone();
            let source = source(name, table, &mut paths, context, notes);
            sources.extend(source.map(|source| (place, source)));
        }
    }
    shared::guard(&mut sources, notes);
    sources.into_iter().map(|(_, source)| source).collect()
}

/// `None` if no verifier could be made. The reason has been noted.
fn source(
    name: &str,
    mut table: Table<'_>,
    paths: &mut HashMap<String, String>,
    context: &Context<'_>,
    notes: &Notes,
) -> Option<Source> {
    let path = path::path(name, &mut table, paths, notes);
    let scheme = scheme::scheme(name, &mut table, context.schemes, notes);
    let scheme = scheme::changed(name, scheme, &mut table, notes);
    let (scheme, keys_allow) = tokens::tokens(name, scheme, &mut table, notes);
    let sender_entry = table.entry("sender");
    let sender = sender(scheme.as_deref(), context.senders, sender_entry.as_ref(), notes);
    let open = scheme.as_ref().is_some_and(|scheme| !scheme.has_secrets());
    let secrets = secrets::secrets(name, scheme.as_deref(), &mut table, context.resolver, notes);
    let body_bytes_max = limits::body_bytes_max(&mut table, context.body_bytes_limits, notes);
    let events_max = limits::events_max(&mut table, notes);
    let verify_token =
        secrets::verify_token(name, scheme.as_deref(), &mut table, context.resolver, notes);
    let handshake = table.entry("handshake").and_then(|entry| entry.boolean(notes));
    let asked = table.entry("questions");
    let asked = asked.map_or_else(Vec::new, |entry| questions::of_source(&entry, handshake, notes));
    let empty_answer = table.entry("empty_answer").and_then(|entry| entry.boolean(notes));
    let allow = limits::allow(&mut table, context.only_this_machine, notes);
    let rates = limits::rates(&mut table, notes);
    let repeat = repeat::read(&mut table, context.kept_for, notes);
    let unsigned_types = table.entry("unsigned_types");
    let silent_after = table.duration("silent_after", SILENT_AFTER, notes);
    let place = table.place.clone();
    table.finish(notes, |key| match key {
        "secret" | "token" | "key" => {
            Some("the key for a source's secrets is `secrets`".to_owned())
        }
        _ => None,
    });
    let (scheme, sender) = (scheme?, sender?);
    scheme::refuse_misfits((name, &path), &scheme, &place, notes);
    // If there is no secret, the reason has been noted already.
    let mut secrets = if open { secrets::Secrets::default() } else { secrets? };
    let verifier = (name, &scheme, context.public_url);
    let verifier = secrets::verifier(verifier, &mut secrets, verify_token, place.clone(), notes)?;
    refuse_any_body(&scheme, &sender, place.clone(), notes);
    let (repeat, sender) = repeat.of(&scheme, sender, place.clone(), notes);
    let sender = match events_max {
        Some(events_max) => Arc::new(sender.with_events_max(events_max)),
        None => sender,
    };
    let place = sender_entry.map_or(place, |entry| entry.span);
    let sender = coverage::limited(&scheme, &sender, unsigned_types.as_ref(), place, notes);
    let answered_by_default = scheme.handshake.is_none_or(Handshake::is_answered_unasked);
    questions::refuse_misfits(name, &asked, &scheme, notes);
    let mut questions: Vec<Question> = asked.into_iter().map(|(_, question)| question).collect();
    questions.extend(questions_of_vendors(&scheme, &sender));
    let settings = ingest::SourceSettings {
        name: Arc::from(name),
        path,
        verifier: verifier.with_questions(questions, sender.takes_any_body()),
        handshake: handshake.unwrap_or(answered_by_default),
        empty_answer: empty_answer
            .unwrap_or(vendors::vendor(&scheme.name).is_some_and(|vendor| vendor.empty_answer)),
        sender,
        body_bytes_max,
        keys_allow,
        allow,
        rates,
        repeat,
        silent_after,
        unusable: secrets.unreadable.map(Arc::from),
    };
    let signing_secret = secrets.values.into_iter().next().unwrap_or_else(|| Secret::new(""));
    Some(Source { settings, signing_secret, scheme, has_secret: secrets.has_value })
}

/// What the vendors of a source's scheme and sender ask.
fn questions_of_vendors(scheme: &Scheme, sender: &Sender) -> Vec<Question> {
    let vendor = vendors::vendor(&scheme.name);
    // Some vendors' senders are used with another scheme, such as CloudEvents with a token.
    let other = vendors::vendor(&sender.name)
        .filter(|other| vendor.is_none_or(|vendor| vendor.name != other.name));
    let questions = vendor.into_iter().chain(other).flat_map(|vendor| &vendor.questions);
    questions.filter(|question| !questions::swallows(question, scheme)).cloned().collect()
}

/// Notes a sender that takes any body next to a handshake that signs text of the asker's choice. Each body that is such
/// a text is refused, and those are the bodies that such a sender is for.
fn refuse_any_body(scheme: &Scheme, sender: &Sender, place: Range<usize>, notes: &Notes) {
    if scheme.handshake == Some(Handshake::XCrc) && sender.takes_any_body() {
        let title =
            format!("scheme `{}` cannot be used with sender `{}`", scheme.name, sender.name);
        let problem = Problem::error(title).at(place, "the sender takes bodies that are not JSON");
        notes.add(problem.help(
            "the handshake signs texts that anyone may choose, so bodies that are such a text are refused",
        ));
    }
}

fn sender(
    scheme: Option<&Scheme>,
    own: &[Arc<Sender>],
    entry: Option<&Entry<'_>>,
    notes: &Notes,
) -> Option<Arc<Sender>> {
    let named = |name: &str| {
        let own = own.iter().find(|sender| sender.name == name);
        own.or_else(|| vendors::sender(name)).cloned()
    };
    let Some(entry) = entry else {
        // A sender with a vendor's signature also has that vendor's bodies.
        let vendor = scheme.and_then(|scheme| named(&scheme.name));
        return vendor.or_else(|| named("json"));
    };
    let written = entry.string(notes)?;
    let sender = named(written);
    if sender.is_none() {
        let names = own.iter().chain(vendors::senders()).map(|sender| &*sender.name);
        unknown(entry, "sender", "senders", written, names, notes);
    }
    sender
}
