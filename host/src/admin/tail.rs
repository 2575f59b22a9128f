//! Streams events and refusals as they happen, one JSON object per line.
//!
//! Notes are taken from the feed as they come, so that no reader keeps them there. What a reader has not read yet
//! waits in a queue of its own, of at most [`TAIL_BYTES_MAX`]. When that is full, further lines are skipped and
//! counted until the reader has read what waits; the count follows at the place of the gap.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::view::Inner;
use super::wire::{EventLine, Refusal, TailLine};
use super::{LAST_MAX, TAIL_BYTES_MAX, events, refused};
use crate::model::Timestamp;
use crate::telemetry::{NO_SOURCE, Note, StoredNote};

/// Longest search for the last lines: notes are not read meanwhile, and another search may run first.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(2);

/// The lines of one reader, until it is dropped or the daemon stops.
pub(super) struct Lines {
    queue: Arc<Mutex<LineQueue>>,
    filling: AbortHandle,
}

/// What one reader has not read yet.
#[derive(Default)]
struct LineQueue {
    lines: VecDeque<Bytes>,
    /// Bytes of `lines`.
    bytes: usize,
    /// Lines that found no room since.
    skipped: u64,
    is_closed: bool,
    reader: Option<Waker>,
}

/// Earlier lines come first: the newest events of the store, and the refusals that are remembered.
pub(super) async fn lines(inner: &Arc<Inner>, last: usize) -> Lines {
    let queue = Arc::<Mutex<LineQueue>>::default();
    // Listens first, so that nothing is missing in between.
    let notes = inner.feed.listen();
    let before = if last > 0 { before(inner, last.min(LAST_MAX)).await } else { Vec::new() };
    before.iter().for_each(|line| lock(&queue).push(line));
    let shown = before.into_iter().filter_map(key).collect();
    let filling = tokio::spawn(fill(notes, Arc::downgrade(inner), shown, Arc::clone(&queue)));
    Lines { queue, filling: filling.abort_handle() }
}

/// What happened last, oldest first. If the store cannot be searched now, or not in time, only its events are missing; the
/// first line says so.
async fn before(inner: &Inner, last: usize) -> Vec<TailLine> {
    let (found, missing) = match in_time(events::newest(inner, last)).await {
        Ok((found, unread)) if unread.is_nothing() => (found, None),
        Ok((found, unread)) => (found, Some(unread.to_string())),
        Err(why) => (Vec::new(), Some(why)),
    };
    let refusals = refused::list(inner, None).unwrap_or_default().into_iter();
    let mut lines: Vec<_> = refusals.map(of_refusal).collect();
    lines.extend(found.into_iter().rev().map(of_stored));
    // Of the same millisecond, refusals come first.
    lines.sort_by(|a, b| a.time().cmp(b.time()));
    let lines = lines.split_off(lines.len().saturating_sub(last));
    let time = lines.first().map_or_else(now, |line| line.time().to_owned());
    let missing = missing.map(|reason| TailLine::Incomplete { time, reason });
    missing.into_iter().chain(lines).collect()
}

/// What is found, or why not.
async fn in_time<T, E: Display>(search: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match timeout(SEARCH_TIME_MAX, search).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the search took longer than {} s", SEARCH_TIME_MAX.as_secs())),
    }
}

fn of_refusal(refusal: Refusal) -> TailLine {
    TailLine::Refused {
        time: refusal.time,
        request: refusal.request,
        source: Some(refusal.source).filter(|source| source != NO_SOURCE),
        status: refusal.status,
        reason: refusal.reason,
    }
}

fn of_stored(event: EventLine) -> TailLine {
    TailLine::Event {
        time: event.received,
        request: String::new(),
        source: event.source,
        event: event.id,
        severity: event.severity,
        title: event.title,
        targets: event.targets,
        duplicate: false,
    }
}

/// What a line is recognized by, if it may come twice: as one of before, and as it happens.
fn key(line: TailLine) -> Option<String> {
    match line {
        TailLine::Event { event, duplicate: false, .. } => Some(event),
        TailLine::Refused { request, .. } => Some(request),
        TailLine::Event { .. }
        | TailLine::Delivered { .. }
        | TailLine::Failed { .. }
        | TailLine::Missed { .. }
        | TailLine::Incomplete { .. } => None,
    }
}

/// Does not keep `inner`, which has the feed: it closes when the daemon stops.
async fn fill(
    mut notes: Receiver<Note>,
    inner: Weak<Inner>,
    shown: BTreeSet<String>,
    queue: Arc<Mutex<LineQueue>>,
) {
    let is_new = |line: &TailLine| {
        shown.is_empty() || key(line.clone()).is_none_or(|key| !shown.contains(&key))
    };
    loop {
        let received = notes.recv().await;
        let now = now();
        match received {
            Ok(note) => {
                let lines = match note {
                    Note::StoredUnheard { request, events } => {
                        let (lines, unknown) = of_unheard(&inner, &now, &request, events).await;
                        lock(&queue).skip(unknown);
                        lines
                    }
                    note => of_note(&now, note),
                };
                lines.iter().filter(|line| is_new(line)).for_each(|line| lock(&queue).push(line));
            }
            Err(RecvError::Lagged(count)) => lock(&queue).skip(count),
            Err(RecvError::Closed) => return lock(&queue).close(),
        }
    }
}

/// Looks up the events of a request; also returns how many could not be found.
async fn of_unheard(
    inner: &Weak<Inner>,
    now: &str,
    request: &str,
    events: Vec<(String, bool)>,
) -> (Vec<TailLine>, u64) {
    let count = events.len() as u64;
    let Some(inner) = inner.upgrade() else { return (Vec::new(), count) };
    let ids = events.iter().filter_map(|(id, _)| id.parse().ok()).collect();
    let found = in_time(events::of_ids(&inner, ids)).await.unwrap_or_default();
    let found: BTreeMap<_, _> = found.into_iter().map(|event| (event.id.clone(), event)).collect();
    let mut lines = Vec::new();
    for (id, is_duplicate) in events {
        // The same event may be in a request twice.
        let Some(event) = found.get(&id).cloned() else { continue };
        let mut line = of_stored(event);
        if let TailLine::Event { time, request: shown, duplicate, .. } = &mut line {
            now.clone_into(time);
            request.clone_into(shown);
            *duplicate = is_duplicate;
        }
        lines.push(line);
    }
    let unknown = count - lines.len() as u64;
    (lines, unknown)
}

fn lock(queue: &Mutex<LineQueue>) -> MutexGuard<'_, LineQueue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> String {
    Timestamp::from(SystemTime::now()).to_string()
}

impl Lines {
    pub(super) fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut queue = lock(&self.queue);
        match queue.pop() {
            Some(line) => Poll::Ready(Some(line)),
            None if queue.is_closed => Poll::Ready(None),
            None => {
                queue.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.filling.abort();
    }
}

impl LineQueue {
    fn push(&mut self, line: &TailLine) {
        if self.skipped > 0 {
            // Kept out until the reader has seen the count, so that it stands where lines are missing.
            return self.skip(1);
        }
        let bytes = text(line);
        if self.bytes + bytes.len() > TAIL_BYTES_MAX {
            return self.skip(1);
        }
        self.bytes += bytes.len();
        self.lines.push_back(bytes);
        self.wake();
    }

    fn skip(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        self.skipped += count;
        self.wake();
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.wake();
    }

    fn pop(&mut self) -> Option<Bytes> {
        if let Some(line) = self.lines.pop_front() {
            self.bytes -= line.len();
            return Some(line);
        }
        let count = std::mem::take(&mut self.skipped);
        (count > 0).then(|| text(&TailLine::Missed { time: now(), count }))
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

fn text(line: &TailLine) -> Bytes {
    // Texts and numbers can always be written.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
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
                duplicate: event.duplicate,
            };
            events.into_iter().map(line).collect()
        }
        // It is looked up.
        Note::StoredUnheard { .. } => Vec::new(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::error::RequestError;

    fn line(number: u32) -> TailLine {
        let reason = "x".repeat(1000);
        let (time, target, event) = (String::new(), "t".to_owned(), "e".to_owned());
        TailLine::Failed { time, target, event, attempt: number, reason }
    }

    fn read(queue: &mut LineQueue) -> Vec<TailLine> {
        let lines = std::iter::from_fn(|| queue.pop());
        lines.map(|line| serde_json::from_slice(&line).unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_that_waits_behind_another_one_does_not_keep_the_notes_waiting() {
        let waits = std::future::pending::<Result<(), RequestError>>();
        assert_eq!(in_time(waits).await, Err("the search took longer than 2 s".to_owned()));
    }

    #[test]
    fn sixty_readers_that_do_not_read_hold_a_bounded_number_of_bytes_and_learn_what_they_missed() {
        let mut queues: Vec<LineQueue> = (0..60).map(|_| LineQueue::default()).collect();
        for number in 0..1000 {
            queues.iter_mut().for_each(|queue| queue.push(&line(number)));
        }
        for queue in &mut queues {
            let held: usize = queue.lines.iter().map(Bytes::len).sum();
            assert!(held == queue.bytes && held <= TAIL_BYTES_MAX, "{held} {}", queue.bytes);
            let kept = u32::try_from(queue.lines.len()).unwrap();
            assert!(kept > 32 && queue.skipped == u64::from(1000 - kept));
            let mut seen = read(queue);
            let missed = seen.pop().unwrap();
            assert!(
                matches!(missed, TailLine::Missed { count, .. } if count == u64::from(1000 - kept))
            );
            assert_eq!(seen, (0..kept).map(line).collect::<Vec<_>>());
            assert_eq!(queue.bytes, 0);
            queue.push(&line(1000));
            assert_eq!(read(queue), [line(1000)], "it goes on after the gap");
        }
    }

    #[test]
    fn a_line_that_is_longer_than_the_queue_and_notes_that_the_feed_lost_are_counted() {
        let mut queue = LineQueue::default();
        let (time, target, event) = (String::new(), "t".to_owned(), "e".to_owned());
        let reason = "x".repeat(TAIL_BYTES_MAX);
        queue.push(&TailLine::Failed { time, target, event, attempt: 1, reason });
        queue.skip(4);
        assert_eq!(queue.bytes, 0);
        let seen = read(&mut queue);
        assert!(matches!(seen.as_slice(), [TailLine::Missed { count: 5, .. }]), "{seen:?}");
        assert!(queue.pop().is_none());
    }
}
