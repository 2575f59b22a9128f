//! Reads the attributes of an event by a record that says where they are.
//!
//! Each attribute is a list of templates (see `template`). The first one that is complete and valid counts:
//! a time must be a time, a link an address, a severity a known word. Finding nothing is not an error: the
//! type is then `unknown`, the title is the type, and the severity is the record's default. `coverage` limits
//! a record to what a signature covers.

use std::borrow::Cow;
use std::sync::Arc;

use super::fields::Field;
use super::paths::{Paths, unescaped};
use super::repetition::{Identity, of_event};
use super::template::{InvalidTemplate, Places, SignedSlots, Slot, Template};
use super::text::{NAME_CHARS_MAX, TITLE_CHARS_MAX, is_link, one_line, time};
use super::type_by_keys::TypeByKeys;
use super::words::{self, Word};
use crate::model::{Attributes, RepetitionKey, RepetitionSeed, Severity};

/// Most templates of one attribute, and most severity words of a record.
pub const TEMPLATES_MAX: usize = 32;
/// Most types that may come from an unsigned part of a request.
pub const UNSIGNED_TYPES_MAX: usize = 500;
/// Longest of them, in bytes.
pub const UNSIGNED_TYPE_BYTES_MAX: usize = 100;
/// The type of an event that names none.
pub const TYPE_UNKNOWN: &str = "unknown";

/// How a sender's requests are read, as written in a vendor's file or by a user.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Path of the list of events in an object; without it the object is the event.
    pub events: Option<&'a str>,
    /// Bodies that are neither JSON nor a form are events too, empty ones included.
    pub any_body: bool,
    /// The id that distinguishes a repetition from a new event: unique within the source.
    pub id: &'a [&'a str],
    /// Only the id counts: the rest may differ when the sender sends an event again.
    pub id_alone: bool,
    /// Equal events without an id are several events, unless the signature covers a time or an id, which shows a copy.
    pub may_repeat: bool,
    pub event_type: &'a [&'a str],
    /// The values that a header or the query may give to `event_type` if the signature does not cover them.
    pub unsigned_types: &'a [&'a str],
    /// Types and the conditions for each, in order: what such a header or parameter is replaced by if the
    /// signature does not cover it.
    pub type_by_keys: &'a [(&'a str, Vec<&'a str>)],
    pub subject: &'a [&'a str],
    pub time: &'a [&'a str],
    pub title: &'a [&'a str],
    pub severity: &'a [&'a str],
    pub link: &'a [&'a str],
    /// The sender's words for severities; `*` at one end of a word matches anything.
    pub words: &'a [(&'a str, Severity)],
    /// The severity if no word was found.
    pub otherwise: Severity,
}

impl Record<'static> {
    /// A record that finds nothing.
    pub const EMPTY: Self = Self {
        events: None,
        any_body: false,
        id: &[],
        id_alone: false,
        may_repeat: false,
        event_type: &[],
        unsigned_types: &[],
        type_by_keys: &[],
        subject: &[],
        time: &[],
        title: &[],
        severity: &[],
        link: &[],
        words: &[],
        otherwise: Severity::Info,
    };
}

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {why}")]
pub struct InvalidRecord {
    /// The attribute's name in the configuration.
    pub attribute: &'static str,
    pub text: String,
    pub why: InvalidTemplate,
}

/// A record prepared for use.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    /// The path of the list of events: one slot, or none.
    list: Paths,
    event: Paths,
    root: Paths,
    pub(super) id: Vec<Template>,
    pub(super) id_alone: bool,
    pub(super) may_repeat: bool,
    pub(super) event_type: Vec<Template>,
    /// For events without a type by `event_type`: they name one of `unsigned_types`. Empty until the record
    /// is limited.
    pub(super) listed_type: Vec<Template>,
    /// Sorted.
    pub(super) unsigned_types: Arc<[Box<str>]>,
    pub(super) type_by_keys: TypeByKeys,
    pub(super) subject: Vec<Template>,
    pub(super) time: Vec<Template>,
    pub(super) title: Vec<Template>,
    pub(super) severity: Vec<Template>,
    pub(super) link: Vec<Template>,
    pub(super) words: Vec<(Word, Severity)>,
    pub(super) otherwise: Severity,
}

impl Fields {
    pub(super) fn new(record: &Record<'_>) -> Result<Self, InvalidRecord> {
        let (mut event, mut root, mut list) = (Paths::new(), Paths::new(), Paths::new());
        if let Some(path) = record.events {
            let invalid = |why| {
                let why = InvalidTemplate::Path { path: path.to_owned(), why };
                InvalidRecord { attribute: "events", text: path.to_owned(), why }
            };
            list.slot(path).map_err(invalid)?;
        }
        let mut all = |attribute: &'static str, texts: &[&str]| {
            let template = |text: &&str| {
                let invalid = |why| InvalidRecord { attribute, text: (*text).to_owned(), why };
                let template = Template::new(text, &mut event, &mut root);
                template.and_then(|template| fitting(attribute, template)).map_err(invalid)
            };
            texts.iter().take(TEMPLATES_MAX).map(template).collect::<Result<Vec<_>, _>>()
        };
        let (id, event_type) = (all("id", record.id)?, all("type", record.event_type)?);
        let (subject, time) = (all("subject", record.subject)?, all("time", record.time)?);
        let (title, link) = (all("title", record.title)?, all("link", record.link)?);
        let severity = all("severity", record.severity)?;
        let type_by_keys = TypeByKeys::new(record.type_by_keys, &mut event)
            .map_err(|(text, why)| InvalidRecord { attribute: "type_by_keys", text, why })?;
        let mut unsigned_types: Vec<Box<str>> =
            record.unsigned_types.iter().map(|text| (*text).into()).collect();
        unsigned_types.sort_unstable();
        let words = record.words.iter().map(|(word, severity)| (Word::new(word), *severity));
        Ok(Self {
            id,
            id_alone: record.id_alone,
            may_repeat: record.may_repeat,
            event_type,
            listed_type: Vec::new(),
            unsigned_types: unsigned_types.into(),
            type_by_keys,
            subject,
            time,
            title,
            severity,
            link,
            words: words.collect(),
            otherwise: record.otherwise,
            list,
            event,
            root,
        })
    }

    /// The same with other ids, which alone count.
    pub(super) fn with_id_alone(&self, id: &[&str]) -> Result<Self, InvalidRecord> {
        let mut fields = Self { id_alone: true, ..self.clone() };
        let template = |text: &&str| {
            let invalid = |why| InvalidRecord { attribute: "id", text: (*text).to_owned(), why };
            let template = Template::new(text, &mut fields.event, &mut fields.root);
            template.and_then(|template| fitting("id", template)).map_err(invalid)
        };
        fields.id = id.iter().map(template).collect::<Result<_, _>>()?;
        Ok(fields)
    }

    /// Which slots are one of the values at these JSON pointers of the body.
    pub(super) fn signed_slots(&self, pointers: &[Box<str>]) -> SignedSlots {
        let pointers: Vec<Vec<String>> = pointers
            .iter()
            .map(|pointer| pointer.split('/').skip(1).map(unescaped).collect())
            .collect();
        // A signed list has one element.
        let list: Vec<&str> =
            self.list.steps().into_iter().flat_map(|s| [s, vec!["0"]].concat()).collect();
        let signed = |steps: Vec<&str>| {
            let is = |pointer: &Vec<String>| pointer.iter().eq(steps.iter().copied());
            pointers.iter().any(is)
        };
        SignedSlots {
            event: self
                .event
                .steps()
                .into_iter()
                .map(|s| signed([&list[..], &s].concat()))
                .collect(),
            root: self.root.steps().into_iter().map(signed).collect(),
        }
    }

    /// The path of a slot, as it may be written in a template.
    pub(super) fn path_of(&self, slot: Slot) -> String {
        match slot {
            Slot::Event(slot) => self.event.steps()[slot].join("."),
            Slot::Root(slot) => format!("root:{}", self.root.steps()[slot].join(".")),
        }
    }

    /// The first keys of the paths that are read in an event.
    pub(super) fn event_keys(&self) -> impl Iterator<Item = &str> {
        self.event.first_keys()
    }

    /// The list of events in a document, as sent.
    pub(super) fn list<'a>(&self, document: &'a str) -> Option<&'a str> {
        let list = self.list.read(document).first()?.raw()?;
        list.starts_with('[').then_some(list)
    }

    /// The values that all events of a document share.
    pub(super) fn root<'a>(&self, document: &'a str) -> Vec<Field<'a>> {
        self.root.read(document)
    }

    /// The attributes and the identity of one event.
    pub(super) fn read(&self, element: &str, around: &Around<'_>) -> (Attributes, Identity) {
        let mut places = Places {
            event: self.event.read(element),
            root: around.root.clone(),
            headers: around.headers,
            query: around.query,
            event_type: None,
            type_by_keys: None,
        };
        places.type_by_keys = self.type_by_keys.of(&places.event);
        let line = |max: usize| move |text: &str| one_line(text, max).map(Cow::into_owned);
        let event_type = first(&self.event_type, &places, line(NAME_CHARS_MAX));
        let is_signed = event_type.is_some();
        let event_type = event_type
            .or_else(|| first(&self.listed_type, &places, line(NAME_CHARS_MAX)))
            .unwrap_or_else(|| TYPE_UNKNOWN.to_owned());
        let subject = first(&self.subject, &places, line(NAME_CHARS_MAX));
        let id = if self.id_alone {
            self.key_of_id(&places, around.seed)
        } else {
            first(&self.id, &places, |text| Some(of_event(around.seed, &[text], element)))
        };
        let time = first(&self.time, &places, time);
        let link = first(&self.link, &places, |text| is_link(text).then(|| text.to_owned()));
        // Only severity and title may contain the type, and the severity only a signed one.
        places.event_type = Some(if is_signed { &event_type } else { TYPE_UNKNOWN });
        let severity = first(&self.severity, &places, |text| words::severity(text, &self.words))
            .unwrap_or(self.otherwise);
        places.event_type = Some(&event_type);
        let title = first(&self.title, &places, line(TITLE_CHARS_MAX))
            .unwrap_or_else(|| event_type.clone());
        let attributes =
            Attributes { subject, time, title, severity, link, event_type: event_type.clone() };
        let identity = match id {
            None if self.may_repeat => Identity::MayRepeat,
            id => id.into(),
        };
        (attributes, identity)
    }

    /// The key that does not depend on the content. Values of other templates, or with other borders, are other ids.
    fn key_of_id(&self, places: &Places<'_>, seed: RepetitionSeed) -> Option<RepetitionKey> {
        let values = |template: &Template| template.values(places);
        let (place, values) =
            self.id.iter().enumerate().find_map(|(place, one)| Some((place, values(one)?)))?;
        let place = place.to_string();
        let id: Vec<&str> = std::iter::once(&*place).chain(values.iter().map(|v| &**v)).collect();
        Some(of_event(seed, &id, ""))
    }
}

/// The template, if the attribute can have it: an id differs from event to event, and not all know the type yet.
fn fitting(attribute: &str, template: Template) -> Result<Template, InvalidTemplate> {
    if template.has_type() && !matches!(attribute, "title" | "severity") {
        return Err(InvalidTemplate::TypeUnknown);
    }
    if attribute == "id" && template.is_constant() {
        return Err(InvalidTemplate::NoPlace);
    }
    Ok(template)
}

/// What surrounds an event.
pub(super) struct Around<'a> {
    pub root: Vec<Field<'a>>,
    pub headers: &'a http::HeaderMap,
    pub query: Option<&'a str>,
    pub seed: RepetitionSeed,
}

/// The first value that `read` gives for a template.
fn first<T>(
    templates: &[Template],
    places: &Places<'_>,
    read: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    templates.iter().filter_map(|template| template.fill(places)).find_map(|text| read(&text))
}
