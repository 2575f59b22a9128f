//! What senders do: requests with new and repeated events, several at once; and what the answers must
//! be.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::contract::{planned, repetition_key};
use crate::embedded::format::event_number::lsn_of;
use crate::embedded::limits::millis;
use crate::{AppendError, Durable, NewRequest, Queue};
use dispatcher_model::{EventId, Planned, TargetNumber};

use super::model::{Event, Key, LABEL_BYTES, Label, Presence};
use super::walk::{Done, Walk};

/// Sources that use the same ids, and their windows of repetitions.
const SOURCES: [(&str, Duration); 4] = [
    ("day", Duration::from_secs(24 * 3_600)),
    ("hour", Duration::from_secs(3_600)),
    ("day", Duration::from_secs(24 * 3_600)),
    ("two days", WINDOW_LONGEST),
];
pub(super) const WINDOW_LONGEST: Duration = Duration::from_secs(48 * 3_600);

/// The source of a request.
fn source(request: u64) -> (&'static str, Duration) {
    SOURCES[usize::try_from(request % 4).unwrap_or_default()]
}

impl Walk {
    fn new_event(&mut self, request: u64) -> (Label, Planned) {
        let (source, window) = source(request);
        let label = self.model.events.len();
        let size = match self.random.u8(..40) {
            0 => 3_000,
            1..6 => self.random.usize(..1_500),
            _ => self.random.usize(..60),
        };
        let text = format!("{label:0LABEL_BYTES$}{}", ".".repeat(size));
        let mut targets = BTreeSet::new();
        for (_, target) in self.model.targets.clone() {
            // The newest target gets little.
            let rare = usize::from(target.0) + 1 == self.model.targets.len();
            if if rare { self.random.u8(..12) == 0 } else { self.random.bool() } {
                targets.insert(target.0);
            }
        }
        let list: Vec<TargetNumber> = targets.iter().map(|t| TargetNumber(*t)).collect();
        let mut planned = planned(text.clone(), &list);
        let mut key = None;
        if self.random.u8(..3) == 0 {
            let content = u64::from(self.random.u8(..8) == 0);
            key = Some(Key { source, id: self.random.u8(..16), content });
        }
        let hash = |key: &Key| repetition_key(&key.id.to_string(), key.content);
        planned.event.dedup = key.as_ref().map(hash);
        let (received_ms, steady_ms) = (self.wall_ms(), self.steady_ms());
        let (presence, id) = (Presence::Maybe, None);
        let window_ms = millis(window);
        let event =
            Event { text, targets, key, received_ms, steady_ms, window_ms, request, presence, id };
        self.model.events.push(event);
        (label, planned)
    }

    fn request(&mut self, number: u64) -> (Vec<Label>, NewRequest) {
        let count = if self.random.u8(..3) == 0 { self.random.usize(2..7) } else { 1 };
        let (labels, events) = (0..count).map(|_| self.new_event(number)).unzip();
        let mut request = crate::contract::request(events);
        request.received_at = self.time.wall();
        request.verified_at = request.received_at;
        let (source, window) = source(number);
        (request.source, request.repeat_window) = (source.into(), window);
        (labels, request)
    }

    /// One to three senders at once.
    pub(super) fn append(&mut self) -> Done {
        let count = if self.random.u8(..4) == 0 { self.random.u64(2..4) } else { 1 };
        let requests: Vec<_> = (0..count).map(|i| self.request(self.step * 4 + i)).collect();
        let (labels, requests): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        let store = self.store();
        let asked = requests.into_iter().map(|request| store.append(request) as _).collect();
        let running = self.running.as_mut().ok_or("no store is open")?;
        let answers: Vec<Option<Result<Durable, AppendError>>> = running.all(asked);
        for (labels, answer) in labels.into_iter().zip(answers) {
            match answer {
                Some(Ok(durable)) => self.appended(&labels, &durable)?,
                Some(Err(AppendError::Disk(_) | AppendError::Full { .. }))
                    if self.has_met_faults() || self.settings.retention_bytes.is_some() =>
                {
                    self.note(format!("append {labels:?} is refused"));
                }
                Some(Err(AppendError::TooLarge { .. })) => {
                    self.note(format!("append {labels:?} is too large"));
                    for label in labels {
                        self.model.events[label].presence = Presence::Absent;
                    }
                }
                Some(Err(error)) => return Err(format!("append {labels:?}: {error}")),
                None => return Err(format!("append {labels:?} is not answered")),
            }
        }
        Ok(())
    }

    fn appended(&mut self, labels: &[Label], durable: &Durable) -> Done {
        self.note(format!(
            "append {labels:?} -> {} repetitions {:?}",
            durable.duplicates(),
            durable.ids()
        ));
        if durable.ids().len() != labels.len() {
            return Err("the answer does not have one id for each event".into());
        }
        let mut again = 0;
        for (&label, &id) in labels.iter().zip(durable.ids()) {
            again += usize::from(self.one_appended(label, id)?);
        }
        if again != durable.duplicates() {
            return Err(format!(
                "{again} events are repetitions, but the answer says {}",
                durable.duplicates()
            ));
        }
        if again < labels.len() {
            self.model.all_durable();
        }
        Ok(())
    }

    /// Whether the event is a repetition.
    fn one_appended(&mut self, label: Label, id: EventId) -> Done<bool> {
        let new = self.model.events[label].clone();
        if let Some(first) = self.model.label(id) {
            let old = &self.model.events[first];
            let passed_ms = new.steady_ms - old.steady_ms;
            let opened_ms = self.model.opened_steady_ms;
            // Before a start the time may not have passed.
            let proven_ms = if old.steady_ms <= opened_ms { opened_ms } else { old.steady_ms };
            let in_time = passed_ms < new.window_ms
                || new.steady_ms - proven_ms < new.window_ms
                || new.received_ms < old.received_ms + new.window_ms;
            if new.key.is_none() || old.key != new.key || !in_time {
                return Err(format!("event {label} was taken for a repetition of event {first}"));
            }
            self.model.events[label].presence = Presence::Absent;
            return Ok(true);
        }
        if new.key.is_none() {
            self.model.store(label, id)?;
            return Ok(false);
        }
        let same = |event: &&Event| event.key == new.key;
        let before = self.model.events[..label].iter().filter(same);
        let before: Vec<&Event> =
            before.filter(|event| event.presence != Presence::Absent).collect();
        let newest = before.iter().max_by_key(|event| event.id.map(EventId::number));
        let latest_ms = before.iter().map(|event| event.received_ms).max();
        if let Some(newest) = newest
            && !self.is_without_index
            && before.iter().all(|event| event.presence == Presence::Stored)
            && Some(newest.received_ms) == latest_ms
            && newest.received_ms <= new.received_ms
            && self.model.wall_max_ms < newest.received_ms + new.window_ms
            // A rebuilt index does not know the keys of removed segments.
            && newest.id.is_some_and(|id| lsn_of(id.number()) >= self.start())
        {
            return Err(format!("event {label} repeats {:?}, but was stored as new", newest.id));
        }
        self.model.store(label, id)?;
        Ok(false)
    }
}
