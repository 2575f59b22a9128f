//! Why an event did or did not reach each target, and why a request was refused.

use std::sync::Arc;

use super::condition::condition;
use super::error::RequestError;
use super::status::time;
use super::view::{Inner, Standing, TargetView, View};
use super::waiting::{DROPPED, MOVED};
use super::wire::{AttemptStory, Condition, EventStory, Explained, FateKind, TargetStory};
use super::{DATA_BYTES_MAX, refused};
use crate::model::{Event, EventId, Shape, StoredEvent, TargetNumber, Timestamp};
use crate::store::Fate;
use crate::telemetry::Attempt;

/// Length of a request's id.
const REQUEST_ID_CHARS: usize = 16;

pub(super) async fn explain(
    inner: &Inner,
    id: &str,
    data: bool,
) -> Result<Explained, RequestError> {
    if id.len() == REQUEST_ID_CHARS && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return refused::find(inner, id).map(Explained::Refusal);
    }
    let id = id.parse::<EventId>().map_err(|_| RequestError::InvalidId)?;
    let known = inner.queue.fate(id).await?;
    let known = known.ok_or_else(|| RequestError::UnknownEvent { id: id.to_string() })?;
    let (view, event) = (inner.view(), known.event);
    let (unrouted, targets) = (unrouted(&view, &event), inner.all());
    let fates = known.fates;
    // Targets with recipients that got the event before their recipients were known.
    let whole: Vec<&TargetView> = view
        .unrouted
        .iter()
        .filter(|target| {
            fates.iter().any(|(number, fate)| *number == target.number && is_routed(fate))
        })
        .collect();
    let mut stories = Vec::new();
    for (number, fate) in fates {
        let target = targets.iter().find(|target| target.number == number);
        let is_silent = target.is_none_or(|target| {
            matches!(target.standing, Standing::Removed | Standing::Unasked)
                // Its recipients have the deliveries, unless it has them for all of them.
                || view.unrouted.iter().any(|unrouted| unrouted.number == number)
                || whole.iter().any(|whole| target.is_meant(&whole.name))
        });
        if is_silent && !is_routed(&fate) {
            continue;
        }
        stories.push(story(inner, target, number, &event, fate, &unrouted));
    }
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
        targets: stories,
        data: data.then(|| String::from_utf8_lossy(shown).into_owned()),
    })))
}

/// Why the routes in force would not send the event to each target.
fn unrouted(view: &View, event: &StoredEvent) -> Vec<(Arc<str>, String)> {
    let attributes = event.attributes.clone();
    let data = event.data.clone();
    let event_now = Event { attributes, shape: Shape::Object, dedup: None, data };
    let unrouted = view.router.explain(&event.source, &event_now).into_iter();
    unrouted.map(|unrouted| (unrouted.target, unrouted.reason)).collect()
}

fn story(
    inner: &Inner,
    target: Option<&TargetView>,
    number: TargetNumber,
    event: &StoredEvent,
    fate: Fate,
    unrouted: &[(Arc<str>, String)],
) -> TargetStory {
    let name =
        target.map_or_else(|| format!("removed target #{}", number.0), |t| t.name.to_string());
    let attempts = inner.feed.history().attempts(&name, &event.id.to_string());
    let attempts = attempt_stories(attempts, &fate);
    let state = target.map(|target| condition(inner, target));
    let tried = attempts.iter().any(|attempt| attempt.uncounted);
    let text = text(&fate, tried, (state, inner.queue.now()), || {
        let today = unrouted.iter().find(|(target, _)| **target == *name);
        today.map(|(_, reason)| reason.clone())
    });
    let kind = kind(&fate);
    let receipt = if let Fate::Delivered { receipt, .. } = fate { Some(receipt) } else { None };
    let (receipt, receipt_fields) =
        receipt.map_or((None, Vec::new()), |receipt| (receipt.id, receipt.fields));
    TargetStory { target: name, fate: kind, text, attempts, receipt, receipt_fields }
}

/// The failed attempts that are remembered, and the one that delivered the event after them.
fn attempt_stories(failed: Vec<Attempt>, fate: &Fate) -> Vec<AttemptStory> {
    let failed = failed.into_iter().map(|attempt| AttemptStory {
        number: attempt.attempt,
        time: time(attempt.at_ms),
        verdict: attempt.verdict.to_owned(),
        reason: attempt.reason,
        uncounted: !attempt.counted,
        replayed: false,
    });
    let mut stories: Vec<_> = failed.collect();
    if let Fate::Delivered { attempts, at: Some(at), .. } = fate
        && !stories.is_empty()
    {
        stories.push(AttemptStory {
            number: *attempts,
            time: at.to_string(),
            verdict: "delivered".to_owned(),
            reason: String::new(),
            uncounted: false,
            replayed: false,
        });
    }
    let mut counted = 0;
    for story in &mut stories {
        // Only a replay makes the count start again.
        story.replayed = story.number <= counted;
        counted = story.number - u32::from(story.uncounted).min(story.number);
    }
    stories
}

const fn is_routed(fate: &Fate) -> bool {
    !matches!(fate, Fate::NotRouted { .. })
}

pub(super) const fn kind(fate: &Fate) -> FateKind {
    match fate {
        Fate::Waiting | Fate::Again { .. } => FateKind::Waiting,
        Fate::Retrying { .. } => FateKind::Retrying,
        Fate::Delivered { .. } => FateKind::Delivered,
        Fate::Dead { dropped: false, .. } => FateKind::Dead,
        Fate::Dead { dropped: true, .. } => FateKind::Dropped,
        Fate::NotRouted { .. } => FateKind::NotRouted,
    }
}

/// The fate in words. `tried`: by an attempt that does not count. `state` is the target's `now`; `not_routed_now` says
/// why the current routes would not deliver the event either.
fn text(
    fate: &Fate,
    tried_uncounted: bool,
    (state, now): (Option<(Condition, String)>, Timestamp),
    not_routed_now: impl FnOnce() -> Option<String>,
) -> String {
    match fate {
        Fate::Waiting => {
            let state = state.map_or_else(String::new, |(_, state)| format!("; target: {state}"));
            let next = if tried_uncounted { "next attempt" } else { "first attempt" };
            format!("waits for its {next}{state}")
        }
        Fate::Again { since, due } => {
            let state = state.map_or_else(String::new, |(_, state)| format!("; target: {state}"));
            let when = if *due > now { "due at" } else { "due since" };
            format!(
                "queued again by hand at {since}; waits for its first attempt after that, {when} {due}{state}"
            )
        }
        Fate::Retrying { attempts, at, reason } => {
            let tried = tried(*attempts);
            let when =
                if *at > now { "next attempt at" } else { "next attempt in its turn, due since" };
            match state {
                // A target that does not work is tried with one delivery at a time, or with none.
                Some((kind, state)) if !kind.takes_what_is_due() => {
                    let due = if *at > now { "due at" } else { "due since" };
                    format!("{tried}: {reason}; {due} {at}, and waits for the target: {state}")
                }
                _ => format!("{tried}; {when} {at}: {reason}"),
            }
        }
        Fate::Delivered { attempts, at, .. } => {
            let at = at.map_or_else(String::new, |at| format!(" at {at}"));
            format!("delivered{at}, attempt {attempts}")
        }
        Fate::Dead { attempts, at, reason, dropped } => {
            // Where there was no attempt, the reason says so.
            let tried =
                if *attempts == 0 { String::new() } else { format!(", {}", tried(*attempts)) };
            match *dropped {
                false => format!("given up at {at}{tried}: {reason}"),
                true if reason.starts_with(MOVED) || reason == DROPPED => {
                    format!("{reason}, by hand at {at}{tried}")
                }
                true => format!("given up at {at}{tried}: {reason}; dropped by hand"),
            }
        }
        Fate::NotRouted { reason } if !reason.is_empty() => reason.clone(),
        Fate::NotRouted { .. } => not_routed_now().unwrap_or_else(|| {
            "not routed when it was received; the current routes would deliver it".to_owned()
        }),
    }
}

fn tried(attempts: u32) -> String {
    match attempts {
        1 => "tried once".to_owned(),
        n => format!("tried {n} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Receipt, Timestamp};

    #[test]
    fn the_attempts_before_and_after_a_replay_are_told_apart_and_the_last_one_is_shown() {
        let failed = |attempt, counted| Attempt {
            at_ms: 0,
            events: Vec::new(),
            attempt,
            verdict: "retry",
            reason: String::new(),
            counted,
        };
        let at = Some(Timestamp::from_millis(1_000));
        let delivered = |attempts| Fate::Delivered { receipt: Receipt::default(), attempts, at };
        let shown = |failed: Vec<Attempt>, fate: &Fate| -> String {
            let stories = attempt_stories(failed, fate);
            let marks = stories.iter().map(|story| {
                let replayed = if story.replayed { "replayed " } else { "" };
                let uncounted = if story.uncounted { "?" } else { "" };
                format!("{replayed}{}{uncounted} {}", story.number, story.verdict)
            });
            marks.collect::<Vec<_>>().join(", ")
        };
        for (attempts, fate, expected) in [
            (vec![], delivered(1), ""),
            (vec![(1, true)], delivered(2), "1 retry, 2 delivered"),
            (vec![(1, true), (2, true)], delivered(1), "1 retry, 2 retry, replayed 1 delivered"),
            (vec![(1, true), (1, true)], Fate::Waiting, "1 retry, replayed 1 retry"),
            (
                vec![(1, false), (1, false), (1, true)],
                delivered(2),
                "1? retry, 1? retry, 1 retry, 2 delivered",
            ),
        ] {
            let list = attempts.into_iter().map(|(number, counted)| failed(number, counted));
            assert_eq!(shown(list.collect(), &fate), expected);
        }
    }

    #[test]
    fn every_fate_has_its_kind_and_its_text() {
        let at = Timestamp::from_millis(1_000);
        let reason = || "no answer".to_owned();
        let dead = |attempts, dropped| Fate::Dead { attempts, at, reason: reason(), dropped };
        let by_hand =
            |reason: &str| Fate::Dead { attempts: 0, at, reason: reason.to_owned(), dropped: true };
        let (receipt, none) = (Receipt::default(), String::new());
        for (fate, expected, text_part) in [
            (Fate::Waiting, FateKind::Waiting, "first attempt; target: works"),
            (
                Fate::Again { since: at, due: at },
                FateKind::Waiting,
                "queued again by hand at 1970-01-01T00:00:01.000Z; waits for its first attempt after that, due at 1970",
            ),
            (by_hand(DROPPED), FateKind::Dropped, "dropped before it was delivered, by hand at "),
            (by_hand("moved to target b"), FateKind::Dropped, "moved to target b, by hand at "),
            (
                Fate::Retrying { attempts: 1, at, reason: reason() },
                FateKind::Retrying,
                "tried once; next",
            ),
            (
                Fate::Delivered { receipt, attempts: 2, at: None },
                FateKind::Delivered,
                "delivered, attempt 2",
            ),
            (dead(3, false), FateKind::Dead, ", tried 3 times: no answer"),
            (dead(0, true), FateKind::Dropped, "Z: no answer; dropped by hand"),
            (Fate::NotRouted { reason: reason() }, FateKind::NotRouted, "no answer"),
            (
                Fate::NotRouted { reason: none },
                FateKind::NotRouted,
                "the current routes would deliver it",
            ),
        ] {
            assert_eq!(kind(&fate), expected);
            let works = Some((Condition::Works, "works".to_owned()));
            let text = text(&fate, false, (works, Timestamp::from_millis(999)), || None);
            assert!(text.contains(text_part), "{text_part}: {text}");
        }
        let throttled = Some((Condition::Failing, "throttled".to_owned()));
        let throttled = text(&Fate::Waiting, true, (throttled, at), || None);
        assert_eq!(throttled, "waits for its next attempt; target: throttled");
    }

    #[test]
    fn a_retry_that_is_due_says_what_it_waits_for() {
        let at = Timestamp::from_millis(1_000);
        let fate = Fate::Retrying { attempts: 2, at, reason: "403".to_owned() };
        for (kind, now_ms, expected) in [
            (Condition::Works, 999, format!("tried 2 times; next attempt at {at}: 403")),
            (
                Condition::NotProven,
                1_000,
                format!("tried 2 times; next attempt in its turn, due since {at}: 403"),
            ),
            (
                Condition::Failing,
                1_000,
                format!("tried 2 times: 403; due since {at}, and waits for the target: STATE"),
            ),
            (
                Condition::Paused,
                999,
                format!("tried 2 times: 403; due at {at}, and waits for the target: STATE"),
            ),
        ] {
            let state = Some((kind, "STATE".to_owned()));
            let shown = text(&fate, false, (state, Timestamp::from_millis(now_ms)), || None);
            assert_eq!(shown, expected);
        }
    }
}
