//! A sender: how its bodies are read, and how it retries.

use std::sync::Arc;
use std::time::Duration;

use super::malformed::EVENTS_MAX;
use super::record::{Around, Fields, InvalidRecord, Record};
use super::repetition::Identity;
use super::sqreen;
use crate::model::{Attributes, SignedBody};

/// How the bodies of one sender are read.
#[derive(Clone, Debug)]
pub struct Sender {
    /// As written in the configuration.
    pub name: String,
    pub habit: RetryHabit,
    /// Bodies that are neither JSON nor a form are events too.
    pub(super) any_body: bool,
    /// Most events in one request.
    pub(super) events_max: usize,
    /// How the body is signed; `None` if it is not.
    pub(super) signed_body: Option<SignedBody>,
    pub(super) read: Read,
    /// The same for the other sets of headers that the scheme knows.
    pub(super) other_sets: Vec<Self>,
}

/// How a vendor sends and retries, as far as its documentation says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryHabit {
    /// How long the vendor waits for a response.
    pub deadline: Option<Duration>,
    /// Whether and how long it retries, such as `for 3 days`; empty if unknown.
    pub retries: String,
}

#[derive(Clone, Debug)]
pub(super) enum Read {
    Sqreen,
    Fields(Arc<Fields>),
}

impl Sender {
    /// A sender whose record says where the attributes are.
    ///
    /// # Errors
    /// A template is not valid; the first one is reported.
    pub fn new(name: &str, record: &Record<'_>) -> Result<Self, InvalidRecord> {
        let read = Read::Fields(Arc::new(Fields::new(record)?));
        Ok(Self { any_body: record.any_body, read, ..Self::sqreen(name) })
    }

    /// A sender for both versions of Sqreen's bodies, which a record cannot describe.
    #[must_use]
    pub fn sqreen(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            habit: RetryHabit::default(),
            any_body: false,
            events_max: EVENTS_MAX,
            signed_body: None,
            read: Read::Sqreen,
            other_sets: Vec::new(),
        }
    }

    #[must_use]
    pub fn with_habit(self, habit: RetryHabit) -> Self {
        Self { habit, ..self }
    }

    /// The same, but a request may bring this many events, at most [`EVENTS_LIMIT`](super::EVENTS_LIMIT).
    #[must_use]
    pub fn with_events_max(&self, events_max: usize) -> Self {
        Self { events_max, ..self.clone() }
    }

    /// The same, but the first of these templates that is complete is the id of an event, and it alone counts.
    /// `None` if no templates say where its ids are.
    ///
    /// # Errors
    /// A template is not valid; the first one is reported.
    pub fn with_id_alone(&self, id: &[&str]) -> Result<Option<Self>, InvalidRecord> {
        let Read::Fields(fields) = &self.read else { return Ok(None) };
        let read = Read::Fields(Arc::new(fields.with_id_alone(id)?));
        Ok(Some(Self { read, ..self.clone() }))
    }

    /// Whether two equal events without an id may be two events.
    #[must_use]
    pub fn may_repeat(&self) -> bool {
        match &self.read {
            Read::Sqreen => true,
            Read::Fields(fields) => fields.may_repeat,
        }
    }

    /// Whether bodies that are neither JSON nor a form are events too.
    #[must_use]
    pub const fn takes_any_body(&self) -> bool {
        self.any_body
    }

    pub(super) fn read(&self, element: &str, around: &Around<'_>) -> (Attributes, Identity) {
        match &self.read {
            Read::Sqreen => sqreen::read(element, around.seed),
            Read::Fields(fields) => fields.read(element, around),
        }
    }
}
