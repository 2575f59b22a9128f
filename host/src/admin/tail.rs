//! What happens, as it happens: a JSON object a line.

use bytes::Bytes;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::Inner;
use crate::model::Timestamp;
use crate::telemetry::Note;

/// Lines that wait for a slow client; then notes are missed, and their number is told.
const LINES_MAX: usize = 256;

/// Lines until the receiver is dropped.
pub(super) fn lines(inner: &Inner) -> mpsc::Receiver<Bytes> {
    let mut notes = inner.feed.listen();
    let (sender, lines) = mpsc::channel(LINES_MAX);
    tokio::spawn(async move {
        loop {
            let received = tokio::select! {
                note = notes.recv() => note,
                () = sender.closed() => return,
            };
            let now = Timestamp::from(std::time::SystemTime::now()).to_string();
            let lines = match received {
                Ok(note) => told(&now, note),
                Err(RecvError::Lagged(missed)) => {
                    vec![json!({"time": now, "what": "missed", "count": missed})]
                }
                Err(RecvError::Closed) => return,
            };
            for line in lines {
                if sender.send(Bytes::from(format!("{line}\n"))).await.is_err() {
                    return;
                }
            }
        }
    });
    lines
}

fn told(now: &str, note: Note) -> Vec<serde_json::Value> {
    match note {
        Note::Stored { request, source, events, .. } => {
            let line = |event: crate::telemetry::StoredNote| {
                let targets: Vec<&str> = event.targets.iter().map(|name| &**name).collect();
                json!({
                    "time": now, "what": "event", "request": &*request, "source": &*source,
                    "event": event.id, "severity": event.severity, "title": event.title,
                    "targets": targets,
                })
            };
            events.into_iter().map(line).collect()
        }
        Note::Refused { request, source, status, reason } => vec![json!({
            "time": now, "what": "refused", "request": &*request, "source": source.as_deref(),
            "status": status, "reason": reason,
        })],
        Note::Delivered { target, event, attempt, took } => vec![json!({
            "time": now, "what": "delivered", "target": &*target, "event": event,
            "attempt": attempt, "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        })],
        Note::Failed { target, event, attempt, reason } => vec![json!({
            "time": now, "what": "failed", "target": &*target, "event": event,
            "attempt": attempt, "reason": reason,
        })],
    }
}
