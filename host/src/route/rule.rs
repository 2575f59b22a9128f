//! One rule of a route, and why an event does not match it.

use std::sync::Arc;

use super::pattern::TypePattern;
use crate::model::{Attributes, OWN_SOURCE, Severity};
use crate::telemetry::AlarmKind;

/// One rule of a target's `route`. All of its conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Exact names of sources. Empty: any source.
    pub sources: Vec<Arc<str>>,
    /// The event's type must match one of the including patterns, if there are any, and no excluding one.
    pub types: Vec<TypePattern>,
    /// The event must be at least this severe.
    pub severity: Option<Severity>,
}

/// The first condition of a rule that an event does not meet.
enum Mismatch<'a> {
    Excluded(&'a TypePattern),
    NotIncluded,
    Below(Severity),
}

impl Rule {
    /// Whether the rule may match events of this source. The daemon's own events match only rules that name it.
    #[must_use]
    pub fn is_for(&self, source: Option<&str>) -> bool {
        (self.sources.is_empty() && source != Some(OWN_SOURCE))
            || source.is_some_and(|source| self.sources.iter().any(|name| **name == *source))
    }

    /// Whether it gets some of the daemon's own events.
    #[must_use]
    pub fn gets_alarms(&self) -> bool {
        let is_wanted =
            |kind: AlarmKind| self.may_match(Some(kind.as_str()), Some(own_severity(kind)));
        self.is_for(Some(OWN_SOURCE)) && AlarmKind::ALL.into_iter().any(is_wanted)
    }

    /// Whether events may match that have this type and this severity, as far as they are known before.
    #[must_use]
    pub fn may_match(&self, event_type: Option<&str>, severity: Option<Severity>) -> bool {
        event_type.is_none_or(|event_type| self.mismatch_of_type(event_type).is_none())
            && severity.is_none_or(|severity| self.severity.is_none_or(|least| severity >= least))
    }

    fn mismatch_of_type(&self, event_type: &str) -> Option<Mismatch<'_>> {
        let mut includes = self.types.iter().filter(|pattern| !pattern.excludes()).peekable();
        if includes.peek().is_some() && !includes.any(|p| p.matches(event_type)) {
            return Some(Mismatch::NotIncluded);
        }
        let mut excludes = self.types.iter().filter(|pattern| pattern.excludes());
        excludes.find(|p| p.matches(event_type)).map(Mismatch::Excluded)
    }

    fn mismatch(&self, event: &Attributes) -> Option<Mismatch<'_>> {
        self.mismatch_of_type(&event.event_type)
            .or_else(|| self.severity.filter(|least| event.severity < *least).map(Mismatch::Below))
    }

    /// Whether an event of a source that the rule is for matches.
    pub(super) fn matches(&self, event: &Attributes) -> bool {
        self.mismatch(event).is_none()
    }

    /// Why an event does not match, for people; `None` if it matches.
    pub(super) fn reason(&self, source: &str, event: &Attributes) -> Option<String> {
        if !self.is_for(Some(source)) {
            return Some(format!("source {source} is not in sources"));
        }
        let event_type = &event.event_type;
        self.mismatch(event).map(|mismatch| match mismatch {
            Mismatch::NotIncluded => format!("type {event_type} is not in types"),
            Mismatch::Excluded(by) => format!("type {event_type} is excluded by {by}"),
            Mismatch::Below(least) => format!("severity {} is below {least}", event.severity),
        })
    }
}

/// How severe an alarm is as an event.
#[must_use]
pub const fn own_severity(kind: AlarmKind) -> Severity {
    match kind {
        AlarmKind::TargetRecovered => Severity::Info,
        AlarmKind::SourceRejecting | AlarmKind::SourceSilent => Severity::Warning,
        AlarmKind::DeadLetter | AlarmKind::TargetDown | AlarmKind::ConfigRejected => {
            Severity::Error
        }
        AlarmKind::TargetBroken
        | AlarmKind::SourceUnusable
        | AlarmKind::DiskLow
        | AlarmKind::StoreDown => Severity::Critical,
    }
}
