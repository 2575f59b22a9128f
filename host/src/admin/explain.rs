//! Why an event did or did not arrive, and why a request was refused.

use std::sync::Arc;

use super::answer::Refused;
use super::status::{self, time};
use super::wire::{AttemptStory, EventStory, Explained, Refusal, TargetStory};
use super::{DATA_BYTES_MAX, Inner, TargetView, View};
use crate::model::{Event, EventId, Shape, StoredEvent, TargetNumber};
use crate::store::Fate;
use crate::telemetry::{self, NO_SOURCE, REFUSALS_MAX};

/// Length of a request's id.
const REQUEST_ID_CHARS: usize = 16;

pub(super) fn refusals(inner: &Inner, source: Option<&str>) -> Result<Vec<Refusal>, Refused> {
    let view = inner.view();
    let known = |name: &str| name == NO_SOURCE || view.sources.iter().any(|s| *s.name == *name);
    if let Some(name) = source.filter(|name| !known(name)) {
        let names: Vec<_> = view.sources.iter().map(|source| &*source.name).collect();
        let names = names.join(", ");
        return Err(Refused::unknown(format!(
            "there is no source {name:?}; there are {names}, and {NO_SOURCE} for unknown paths"
        )));
    }
    let all = inner.feed.history().refusals(source);
    Ok(all.into_iter().map(|(source, refusal)| refused(&source, refusal)).collect())
}

fn refused(source: &str, refusal: telemetry::Refusal) -> Refusal {
    Refusal {
        time: time(refusal.at_ms),
        source: source.to_owned(),
        from: refusal.from,
        status: refusal.status,
        reason: refusal.reason,
        request: refusal.request.to_string(),
    }
}

pub(super) async fn explain(inner: &Inner, id: &str, data: bool) -> Result<Explained, Refused> {
    if id.len() == REQUEST_ID_CHARS && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let all = inner.feed.history().refusals(None).into_iter();
        let found = all.rev().find(|(_, refusal)| refusal.request.eq_ignore_ascii_case(id));
        return match found {
            Some((source, refusal)) => Ok(Explained::Refusal(refused(&source, refusal))),
            None => Err(Refused::unknown(format!(
                "no refused request {id} is remembered: the last {REFUSALS_MAX} a source are, since \
                 the start; a request that was accepted is known by the ids of its events"
            ))),
        };
    }
    let Ok(id) = id.parse::<EventId>() else {
        return Err(Refused::wrong(
            "this is neither the id of an event (26 characters) nor of a refused request \
             (16 hexadecimal digits)",
        ));
    };
    let Some(known) = inner.queue.fate(id).await? else {
        return Err(Refused::unknown(format!(
            "event {id} is not kept here: it is of another store, or went by [store] retention"
        )));
    };
    let (view, event) = (inner.view(), known.event);
    let unrouted = unrouted(&view, &event);
    let targets = known.fates.into_iter().filter_map(|(number, fate)| {
        let target = view.targets.iter().find(|target| target.number == number);
        story(inner, target, number, &event, fate, &unrouted)
    });
    let shown = &event.data[..event.data.len().min(DATA_BYTES_MAX)];
    Ok(Explained::Event(Box::new(EventStory {
        id: id.to_string(),
        received: event.received_at.to_string(),
        source: event.source.to_string(),
        event_type: event.attributes.event_type.clone(),
        severity: event.attributes.severity.as_str().to_owned(),
        title: event.attributes.title.clone(),
        verified: known.verified_at.to_string(),
        scheme: known.scheme,
        secret: u32::from(known.key) + 1,
        targets: targets.collect(),
        data: data.then(|| String::from_utf8_lossy(shown).into_owned()),
    })))
}

/// Why each target would not get the event by the routes in force.
fn unrouted(view: &View, event: &StoredEvent) -> Vec<(Arc<str>, String)> {
    let attributes = event.attributes.clone();
    let data = event.data.clone();
    let event_now = Event { attributes, shape: Shape::Object, dedup: None, data };
    let unrouted = view.router.explain(&event.source, &event_now).into_iter();
    unrouted.map(|unrouted| (unrouted.target, unrouted.reason)).collect()
}

/// `None` for a target that is no more and had nothing to do with the event.
fn story(
    inner: &Inner,
    target: Option<&TargetView>,
    number: TargetNumber,
    event: &StoredEvent,
    fate: Fate,
    unrouted: &[(Arc<str>, String)],
) -> Option<TargetStory> {
    if target.is_none() && matches!(fate, Fate::NotRouted { .. }) {
        return None;
    }
    let name =
        target.map_or_else(|| format!("removed target {}", number.0), |t| t.name.to_string());
    let attempts = inner.feed.history().attempts(&name, &event.id.to_string());
    let attempts: Vec<_> = attempts
        .into_iter()
        .map(|attempt| AttemptStory {
            number: attempt.attempt,
            time: time(attempt.at_ms),
            verdict: attempt.verdict.to_owned(),
            reason: attempt.reason,
        })
        .collect();
    let (mut receipt, mut receipt_fields) = (None, Vec::new());
    let (word, text) = match fate {
        Fate::Waiting => {
            let state = target.map_or_else(String::new, |target| status::state(inner, target).1);
            ("waiting", format!("waits to be delivered; the target: {state}"))
        }
        Fate::Retrying { attempts, at, reason } => {
            ("retrying", format!("{}; again at {at}: {reason}", tried(attempts)))
        }
        Fate::Delivered { receipt: got, attempts, at } => {
            receipt = got.id;
            receipt_fields = got.fields;
            let at = at.map_or_else(String::new, |at| format!(" at {at}"));
            ("delivered", format!("delivered{at}, attempt {attempts}"))
        }
        Fate::Dead { attempts, at, reason, dropped } => {
            let (word, end) = if dropped { ("dropped", "; dropped by hand") } else { ("dead", "") };
            // The reason says it of those that were never tried.
            let tried =
                if attempts == 0 { String::new() } else { format!(", {}", tried(attempts)) };
            (word, format!("given up at {at}{tried}: {reason}{end}"))
        }
        Fate::NotRouted { reason } if !reason.is_empty() => ("not-routed", reason),
        Fate::NotRouted { .. } => {
            let today = unrouted.iter().find(|(target, _)| **target == *name);
            let text = today.map_or_else(
                || "not routed when it came; by the routes of now it would be".to_owned(),
                |(_, reason)| reason.clone(),
            );
            ("not-routed", text)
        }
    };
    let fate = word.to_owned();
    Some(TargetStory { target: name, fate, text, attempts, receipt, receipt_fields })
}

fn tried(attempts: u32) -> String {
    match attempts {
        1 => "tried once".to_owned(),
        n => format!("tried {n} times"),
    }
}
