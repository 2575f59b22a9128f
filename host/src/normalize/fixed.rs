//! What is known of the events of a sender before any of them is read.

use std::borrow::Cow;

use super::record::{Fields, TYPE_UNKNOWN};
use super::sender::{Read, Sender};
use super::text::{NAME_CHARS_MAX, one_line};
use super::words;
use crate::model::Severity;

/// Attributes that all events of a sender have in common, but for elements of a list that are not JSON objects; `None`
/// if they differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    pub event_type: Option<String>,
    pub severity: Option<Severity>,
}

impl Sender {
    /// What all events have in common, whichever set of headers was verified.
    #[must_use]
    pub fn fixed(&self) -> Fixed {
        let Read::Fields(fields) = &self.read else { return Fixed::default() };
        let mut fixed =
            Fixed { event_type: fields.fixed_type(), severity: fields.fixed_severity() };
        for other in self.other_sets.iter().map(Self::fixed) {
            fixed.event_type =
                fixed.event_type.filter(|one| Some(one) == other.event_type.as_ref());
            fixed.severity = fixed.severity.filter(|one| Some(*one) == other.severity);
        }
        fixed
    }

    /// Whether the first template of its ids reads nothing but such headers and parameters of the address.
    #[must_use]
    pub fn id_reads_only(
        &self,
        header: impl Fn(&http::HeaderName) -> bool,
        query: impl Fn(&str) -> bool,
    ) -> bool {
        let Read::Fields(fields) = &self.read else { return false };
        fields.id.first().is_some_and(|template| template.reads_only(&header, &query))
    }
}

impl Fields {
    fn fixed_type(&self) -> Option<String> {
        let mut templates = self.event_type.iter().chain(&self.listed_type);
        match templates.next() {
            None => Some(TYPE_UNKNOWN.to_owned()),
            Some(first) => one_line(first.constant()?, NAME_CHARS_MAX).map(Cow::into_owned),
        }
    }

    fn fixed_severity(&self) -> Option<Severity> {
        match self.severity.first() {
            None => Some(self.otherwise),
            Some(first) => words::severity(first.constant()?, &self.words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::Record;

    #[test]
    fn only_what_is_the_same_for_all_events_is_fixed() {
        use Severity::{Error, Info};
        let fixed = |record: &Record<'_>| Sender::new("s", record).unwrap().fixed();
        let known = |event_type: Option<&str>, severity| Fixed {
            event_type: event_type.map(str::to_owned),
            severity,
        };
        let record = Record::EMPTY;
        assert_eq!(fixed(&record), known(Some("unknown"), Some(Info)));
        for (types, severities, expected) in [
            (&["push", "{kind}"][..], &["high"][..], known(Some("push"), Some(Error))),
            (&["{kind}", "push"], &["{level}"], known(None, None)),
            (&["a-{kind}"], &["nonsense"], known(None, None)),
        ] {
            let record = Record { event_type: types, severity: severities, ..record };
            assert_eq!(fixed(&record), expected, "{types:?}");
        }
        assert_eq!(Sender::sqreen("sqreen").fixed(), Fixed::default());
    }
}
