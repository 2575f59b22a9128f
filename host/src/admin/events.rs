//! Looks for stored events, and gives the data of one.
//!
//! A page reads at most [`SEARCH_BYTES_MAX`] of the log, and one search runs at a time, so that searches never slow receiving.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::error::RequestError;
use super::explain::kind;
use super::refused::configured;
use super::view::Inner;
use super::wire::{EventLine, EventPage, FateKind, Unread};
use super::{PAGE_MAX, SEARCH_BYTES_MAX, TEXT_BYTES_MAX};
use crate::model::{EventId, Severity, StoredEvent, TargetNumber, Timestamp};
use crate::route::TypePattern;
use crate::store::{FoundEvent, Search, SearchPage};

/// Most bytes of the texts of one page. As JSON they are at most six times as long, which a command reads as one answer.
const PAGE_BYTES_MAX: usize = 2 << 20;
/// About what an event takes besides its texts.
const LINE_BYTES: usize = 200;

/// Which events are asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    source: Option<String>,
    pattern: Option<TypePattern>,
    severity: Option<Severity>,
    target: Option<String>,
    state: Option<FateKind>,
    since: Option<Timestamp>,
    /// In lower case.
    text: Option<String>,
    before: Option<EventId>,
    max: usize,
}

impl Asked {
    /// Reads the query: `get` gives the value of a name.
    pub(super) fn read<'q>(
        get: impl Fn(&str) -> Option<Cow<'q, str>>,
    ) -> Result<Self, RequestError> {
        let own = |name: &str| get(name).map(Cow::into_owned);
        let pattern = own("type").map(|text| text.parse()).transpose();
        let severity = own("severity")
            .map(|word| Severity::from_word(&word).ok_or(RequestError::UnknownSeverity { word }));
        let state = own("state")
            .map(|word| FateKind::from_word(&word).ok_or(RequestError::UnknownState { word }));
        let since = own("since_ms").map(|text| text.parse().map(Timestamp::from_millis));
        let text = own("text").map(|text| text.to_lowercase());
        if text.as_ref().is_some_and(|text| text.len() > TEXT_BYTES_MAX) {
            return Err(RequestError::TextTooLong);
        }
        let max = own("max").map_or(Ok(PAGE_MAX), |max| max.parse());
        Ok(Self {
            source: own("source"),
            pattern: pattern.map_err(RequestError::InvalidPattern)?,
            severity: severity.transpose()?,
            target: own("target"),
            state: state.transpose()?,
            since: since.transpose().map_err(|_| RequestError::InvalidSince)?,
            text,
            before: own("before").map(|id| id.parse()).transpose()?,
            max: max.map_err(|_| RequestError::InvalidMax)?.clamp(1, PAGE_MAX),
        })
    }

    fn wants(&self, event: &StoredEvent) -> bool {
        let attributes = &event.attributes;
        let is_of_type =
            |pattern: &TypePattern| pattern.matches(&attributes.event_type) != pattern.excludes();
        self.source.as_ref().is_none_or(|source| **source == *event.source)
            && self.severity.is_none_or(|least| attributes.severity >= least)
            && self.pattern.as_ref().is_none_or(is_of_type)
            && self.text.as_ref().is_none_or(|text| has_text(event, text))
    }

    /// The source, if only its events are asked for, from the newest on.
    fn only_source(&self) -> Option<&str> {
        let Self { source, pattern, severity, target, state, since, text, before, max: _ } = self;
        let is_narrower = pattern.is_some()
            || severity.is_some()
            || target.is_some()
            || state.is_some()
            || since.is_some()
            || text.is_some()
            || before.is_some();
        source.as_deref().filter(|_| !is_narrower)
    }

    /// Whether only what became of an event shows if it is wanted.
    const fn needs_fates(&self) -> bool {
        self.target.is_some() || self.state.is_some()
    }
}

/// In the data as it was sent, and in the attributes, which may show it without escapes.
fn has_text(event: &StoredEvent, text: &str) -> bool {
    let attributes = &event.attributes;
    let subject = attributes.subject.as_deref().unwrap_or_default();
    let parts = [&attributes.title, &attributes.event_type, subject];
    parts.iter().any(|part| part.to_lowercase().contains(text))
        || String::from_utf8_lossy(&event.data).to_lowercase().contains(text)
}

pub(super) async fn events(inner: &Inner, asked: Asked) -> Result<EventPage, RequestError> {
    let mut targets = Vec::new();
    if let Some(name) = asked.target.as_deref() {
        targets.extend(inner.selected(Some(name))?.into_iter().map(|target| target.number));
    }
    let asked = Arc::new(asked);
    let wanting = Arc::clone(&asked);
    let search = Search {
        before: asked.before,
        since: asked.since,
        wanted: Box::new(move |event, _| wanting.wants(event)),
        max: if asked.needs_fates() { PAGE_MAX } else { asked.max },
        bytes_max: SEARCH_BYTES_MAX,
    };
    let mut page = inner.queue.search(search).await?;
    if asked.needs_fates() {
        page = of_fates(inner, &asked, targets, page).await?;
    }
    let is_configured = |name: &str| inner.view().sources.iter().any(|s| *s.name == *name);
    if let Some(name) = asked.only_source().filter(|name| !is_configured(name))
        && page.events.is_empty()
        && page.next.is_none()
    {
        let (name, configured) = (name.to_owned(), configured(inner));
        let unread = Box::new(unread(&page, None));
        return Err(RequestError::NoEventsOf { name, configured, unread });
    }
    let ids: Vec<EventId> = page.events.iter().map(|event| event.id).collect();
    let mut events = lines(inner, std::mem::take(&mut page.events));
    let fits = fitting(&events);
    let (next, is_cut) = match events.len() > fits {
        true => (ids.get(fits - 1).copied(), false),
        false => (page.next, page.is_cut),
    };
    events.truncate(fits);
    Ok(EventPage {
        events,
        next: next.map(|id| id.to_string()),
        is_cut,
        back_to: page.back_to.map(|at| at.to_string()),
        unread: unread(&page, next),
    })
}

/// What cannot be read before the next page begins, which counts its own.
fn unread(page: &SearchPage, next: Option<EventId>) -> Unread {
    let is_of_this = |place: u64| next.is_none_or(|next| place >= next.number());
    let files = page.files.iter().filter(|(place, _)| is_of_this(*place));
    Unread {
        places: page.unreadable.iter().filter(|place| is_of_this(**place)).count() as u64,
        files: files.map(|(_, why)| why.clone()).collect(),
        left_out: page.left_out.clone(),
    }
}

/// How many of the events, at least one, fit into an answer: each has the names of its targets.
fn fitting(events: &[EventLine]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take_while(|event| {
        let texts = [&event.source, &event.event_type, &event.title];
        bytes +=
            LINE_BYTES + texts.into_iter().chain(&event.targets).map(String::len).sum::<usize>();
        bytes <= PAGE_BYTES_MAX
    });
    fits.count().max(1)
}

/// The newest events that one page finds, and what among them cannot be read.
pub(super) async fn newest(
    inner: &Inner,
    max: usize,
) -> Result<(Vec<EventLine>, Unread), RequestError> {
    let wanted = Box::new(|_: &_, _: &_| true);
    let search = Search { before: None, since: None, wanted, max, bytes_max: SEARCH_BYTES_MAX };
    let page = inner.queue.search(search).await?;
    let unread = unread(&page, page.next);
    Ok((lines(inner, page.events), unread))
}

/// Those of the events that are stored.
pub(super) async fn of_ids(
    inner: &Inner,
    ids: Vec<EventId>,
) -> Result<Vec<EventLine>, RequestError> {
    let found = inner.queue.find(ids).await?;
    Ok(lines(inner, found.into_iter().flatten().collect()))
}

fn lines(inner: &Inner, events: Vec<FoundEvent>) -> Vec<EventLine> {
    let names = inner.all().into_iter().map(|target| (target.number, target.name));
    let names: BTreeMap<_, _> = names.collect();
    events.into_iter().map(|event| line(event, &names)).collect()
}

/// Those events of a page that have the state, at the targets if some are named.
async fn of_fates(
    inner: &Inner,
    asked: &Asked,
    targets: Vec<TargetNumber>,
    page: SearchPage,
) -> Result<SearchPage, RequestError> {
    let known = inner.queue.fates(page.events, targets.clone()).await?;
    let is_named = |target: &TargetNumber| targets.is_empty() || targets.contains(target);
    let mut events: Vec<_> = known
        .into_iter()
        .filter(|(_, fates)| {
            let mut here = fates.iter().filter(|(target, _)| is_named(target));
            match asked.state {
                Some(FateKind::NotRouted) => here.next().is_none(),
                Some(state) => here.any(|(_, fate)| kind(fate) == state),
                None => here.next().is_some(),
            }
        })
        .map(|(event, _)| event)
        .collect();
    if events.len() > asked.max {
        events.truncate(asked.max);
        let next = events.last().map(|event| event.id);
        return Ok(SearchPage { events, next, is_cut: false, ..page });
    }
    Ok(SearchPage { events, ..page })
}

fn line(event: FoundEvent, names: &BTreeMap<TargetNumber, Arc<str>>) -> EventLine {
    let name = |target: TargetNumber| {
        names
            .get(&target)
            .map_or_else(|| format!("removed target #{}", target.0), |n| n.to_string())
    };
    EventLine {
        id: event.id.to_string(),
        received: event.id.received_at().to_string(),
        source: event.source.to_string(),
        severity: event.attributes.severity.as_str().to_owned(),
        event_type: event.attributes.event_type,
        title: event.attributes.title,
        targets: event.targets.into_iter().map(name).collect(),
    }
}

/// The data of an event, as it was sent.
pub(super) async fn data(inner: &Inner, id: &str) -> Result<Bytes, RequestError> {
    let id = id.parse::<EventId>()?;
    let event = inner.queue.event(id).await?;
    let event = event.ok_or_else(|| RequestError::UnknownEvent { id: id.to_string() })?;
    Ok(event.data.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nothing_of_a_source_is_stored_is_known_only_without_other_conditions() {
        let asked = |query: &[(&str, &'static str)]| {
            let get = |name: &str| {
                let value = query.iter().find(|(given, _)| *given == name);
                value.map(|(_, value)| Cow::Borrowed(*value))
            };
            Asked::read(get).unwrap().only_source().is_some()
        };
        let source = ("source", "old");
        assert!(asked(&[source]) && asked(&[source, ("max", "3")]));
        for other in [
            ("type", "push"),
            ("severity", "critical"),
            ("target", "a"),
            ("state", "dead"),
            ("since_ms", "1"),
            ("text", "x"),
            ("before", "01KB5XG3ZJ0003N0000000400A"),
        ] {
            assert!(!asked(&[source, other]), "{other:?}");
        }
        assert!(!asked(&[]));
    }

    #[test]
    fn a_page_has_as_many_events_as_an_answer_takes() {
        let event = |targets: usize| EventLine {
            id: String::new(),
            received: String::new(),
            source: "s".repeat(40),
            severity: String::new(),
            event_type: String::new(),
            title: String::new(),
            targets: vec!["t".repeat(80); targets],
        };
        for (targets, events, fits) in [(0, PAGE_MAX, PAGE_MAX), (1_000, 30, 26), (30_000, 2, 1)] {
            assert_eq!(fitting(&vec![event(targets); events]), fits);
        }
        assert_eq!(fitting(&[]), 1);
    }
}
