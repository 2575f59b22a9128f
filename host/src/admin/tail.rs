//! What happens, while it happens: a JSON object a line.

use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::view::Inner;
use super::wire::TailLine;
use crate::model::Timestamp;
use crate::telemetry::{Note, StoredNote};

/// Most lines buffered for a slow client; beyond that, notes are skipped and counted.
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
            let now = Timestamp::from(SystemTime::now()).to_string();
            let lines = match received {
                Ok(note) => of_note(&now, note),
                Err(RecvError::Lagged(count)) => vec![TailLine::Missed { time: now, count }],
                Err(RecvError::Closed) => return,
            };
            for line in lines {
                // Texts and numbers can always be written.
                let Ok(mut bytes) = serde_json::to_vec(&line) else { continue };
                bytes.push(b'\n');
                if sender.send(Bytes::from(bytes)).await.is_err() {
                    return;
                }
            }
        }
    });
    lines
}

fn of_note(now: &str, note: Note) -> Vec<TailLine> {
    let time = now.to_owned();
    match note {
        Note::Stored { request, source, events, .. } => {
            let line = |event: StoredNote| TailLine::Event {
                time: time.clone(),
                request: request.to_string(),
                source: source.to_string(),
                event: event.id,
                severity: event.severity.to_owned(),
                title: event.title,
                targets: event.targets.iter().map(ToString::to_string).collect(),
            };
            events.into_iter().map(line).collect()
        }
        Note::Refused { request, source, status, reason } => vec![TailLine::Refused {
            time,
            request: request.to_string(),
            source: source.map(|source| source.to_string()),
            status,
            reason,
        }],
        Note::Delivered { target, event, attempt, took } => vec![TailLine::Delivered {
            time,
            target: target.to_string(),
            event,
            attempt,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }],
        Note::Failed { target, event, attempt, reason } => {
            vec![TailLine::Failed { time, target: target.to_string(), event, attempt, reason }]
        }
    }
}
