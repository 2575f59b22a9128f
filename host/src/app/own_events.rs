//! The daemon's own events: each alarm becomes an event of source `dispatcher`, stored and routed like any
//! other.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::json;

use crate::ingest::Ingest;
use crate::model::{Attributes, Event, Headers, OWN_SOURCE, Shape, Timestamp, printable};
use crate::route::own_severity;
use crate::store::{AppendError, NewRequest, Queue};
use crate::telemetry::{Alarm, AlarmKind, Feed, LogThrottle};

/// Recorded in place of the scheme that verified a request.
const SCHEME: &str = "own";
/// How long to wait while requests are refused.
const FULL_PAUSE: Duration = Duration::from_secs(2);
/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 300;
/// One line about events that cannot be stored in this time; others are counted.
const LINES_WINDOW: Duration = Duration::from_secs(60);

/// Stores alarms as events until it is dropped. While requests are refused it waits; alarms of the same kind are
/// counted meanwhile. If the store fails for another reason, the alarm is only logged.
pub(super) async fn run(feed: Feed, queue: Arc<dyn Queue>, ingest: Arc<Ingest>) {
    let lines = LogThrottle::new(1, LINES_WINDOW);
    loop {
        let now = || Timestamp::from(SystemTime::now());
        let events = feed.alarms().next().await;
        let (router, config) = ingest.routes();
        let planned = events.iter().map(|alarm| {
            let mut planned = router.plan(OWN_SOURCE, event(alarm, now()));
            // Not to the failing target itself: it would only fail again.
            if alarm.kind.is_of_a_target() {
                planned.targets.retain(|number| router.name(*number) != Some(&alarm.subject));
            }
            planned
        });
        let request = NewRequest {
            source: OWN_SOURCE.into(),
            received_at: now(),
            verified_at: now(),
            scheme: SCHEME.into(),
            key: 0,
            config,
            headers: Headers::default(),
            repeat_window: crate::store::REPEAT_WINDOW_DEFAULT,
            events: planned.take(crate::store::REQUEST_EVENTS_MAX).collect(),
        };
        store(&*queue, request, &lines).await;
    }
}

async fn store(queue: &dyn Queue, request: NewRequest, lines: &LogThrottle) {
    loop {
        match queue.append(request.clone()).await {
            Ok(_) => return,
            Err(error) if !is_closed(&error) && queue.full().is_some() => {
                tokio::time::sleep(FULL_PAUSE).await;
            }
            Err(error) => {
                if let Some(left_out) = lines.admit(std::time::Instant::now()) {
                    tracing::warn!(%error, left_out, "cannot store events of source dispatcher");
                }
                return;
            }
        }
    }
}

const fn is_closed(error: &AppendError) -> bool {
    matches!(error, AppendError::Closed)
}

fn event(alarm: &Alarm, now: Timestamp) -> Event {
    let Alarm { kind, subject, count, reason } = alarm;
    let time = now.to_string();
    let data = json!({
        "type": kind.as_str(), "subject": &**subject, "count": count, "reason": reason, "time": time,
    });
    Event {
        attributes: Attributes {
            event_type: kind.as_str().to_owned(),
            subject: Some(subject.to_string()),
            time: Some(time),
            title: title(alarm),
            severity: own_severity(*kind),
            link: None,
        },
        shape: Shape::Object,
        dedup: None,
        data: Bytes::from(data.to_string()),
    }
}

fn title(alarm: &Alarm) -> String {
    let Alarm { kind, subject, count, reason } = alarm;
    let text = match (kind, count) {
        (AlarmKind::DeadLetter, 1) => format!("dead letter of target {subject}: {reason}"),
        (AlarmKind::DeadLetter, _) => {
            format!("{count} dead letters of target {subject}, the last: {reason}")
        }
        (AlarmKind::TargetDown, _) => {
            format!("target {subject} is down, its deliveries wait: {reason}")
        }
        (AlarmKind::TargetRecovered, _) => format!("target {subject} works again {reason}"),
        (AlarmKind::TargetBroken, _) => {
            format!(
                "target {subject} cannot work as it is configured, its deliveries wait: {reason}"
            )
        }
        (AlarmKind::SourceRejecting, _) => {
            format!("{count} requests to source {subject} were refused, the last: {reason}")
        }
        (AlarmKind::SourceSilent, _) => format!("source {subject} is silent: {reason}"),
        (AlarmKind::SourceUnusable, _) => {
            format!("source {subject} refuses every request: {reason}")
        }
        (AlarmKind::DiskLow, _) => format!("little space is left for {subject}: {reason}"),
        (AlarmKind::StoreDown, _) => format!("requests are refused: {reason}"),
        (AlarmKind::ConfigRejected, _) => {
            format!("the configuration {subject} was refused: {reason}")
        }
    };
    printable(&text).chars().take(TITLE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;

    #[test]
    fn a_title_says_what_and_how_often_and_the_data_is_json() {
        let alarm =
            |kind, count| Alarm { kind, subject: "sms".into(), count, reason: "no\nanswer".into() };
        let one = event(&alarm(AlarmKind::DeadLetter, 1), Timestamp::default());
        assert!(one.attributes.title.starts_with("dead letter of target sms: no"));
        assert!(!one.attributes.title.contains('\n'));
        let many = event(&alarm(AlarmKind::DeadLetter, 7), Timestamp::default());
        assert!(many.attributes.title.starts_with("7 dead letters"));
        let data: serde_json::Value = serde_json::from_slice(&many.data).unwrap();
        assert_eq!((&data["type"], &data["count"]), (&json!("dead_letter"), &json!(7)));
        let broken = event(&alarm(AlarmKind::TargetBroken, 1), Timestamp::default());
        assert_eq!(broken.attributes.severity, Severity::Critical);
        let low = event(&alarm(AlarmKind::DiskLow, 1), Timestamp::default()).attributes;
        assert_eq!((low.event_type.as_str(), low.severity), ("disk.low", Severity::Critical));
        let down = event(&alarm(AlarmKind::StoreDown, 1), Timestamp::default()).attributes;
        assert_eq!((down.event_type.as_str(), down.severity), ("store.down", Severity::Critical));
        assert!(down.title.starts_with("requests are refused: no"), "{}", down.title);
        let silent = event(&alarm(AlarmKind::SourceSilent, 1), Timestamp::default()).attributes;
        assert_eq!(silent.severity, Severity::Warning);
        assert!(silent.title.starts_with("source sms is silent: no"), "{}", silent.title);
    }
}
