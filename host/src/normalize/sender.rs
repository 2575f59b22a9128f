//! A sender: how the bodies of one kind are read, and how often they come.

use std::time::Duration;

use super::record::{Around, Fields, InvalidRecord, Record};
use super::repetition::Identity;
use super::sqreen;
use crate::model::Attributes;

/// How the bodies of one kind of sender are read.
#[derive(Debug)]
pub struct Sender {
    /// As written in the configuration.
    pub name: String,
    pub habit: RetryHabit,
    /// Bodies that are neither JSON nor a form are events too.
    pub(super) any_body: bool,
    pub(super) read: Read,
}

/// How a vendor sends, as far as its documentation says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryHabit {
    /// How long the vendor waits for an answer.
    pub deadline: Option<Duration>,
    /// Whether and how long it retries: `for 3 days`; empty where it is not known.
    pub retries: String,
}

#[derive(Debug)]
pub(super) enum Read {
    Sqreen,
    Fields(Box<Fields>),
}

impl Sender {
    /// A sender whose record says where the attributes stand.
    ///
    /// # Errors
    /// The first template that cannot be used.
    pub fn new(name: &str, record: &Record<'_>) -> Result<Self, InvalidRecord> {
        Ok(Self {
            name: name.to_owned(),
            habit: RetryHabit::default(),
            any_body: record.any_body,
            read: Read::Fields(Box::new(Fields::new(record)?)),
        })
    }

    /// A sender of both versions of Sqreen's bodies, which no record can describe.
    #[must_use]
    pub fn sqreen(name: &str) -> Self {
        let (name, habit) = (name.to_owned(), RetryHabit::default());
        Self { name, habit, any_body: false, read: Read::Sqreen }
    }

    #[must_use]
    pub fn with_habit(self, habit: RetryHabit) -> Self {
        Self { habit, ..self }
    }

    /// Whether bodies that are neither JSON nor a form are events too.
    #[must_use]
    pub const fn takes_any_body(&self) -> bool {
        self.any_body
    }

    pub(super) fn read(&self, element: &str, around: &Around<'_>) -> (Attributes, Identity) {
        match &self.read {
            Read::Sqreen => sqreen::read(element),
            Read::Fields(fields) => fields.read(element, around),
        }
    }
}
