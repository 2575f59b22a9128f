//! Combines a target's deliveries into messages: the first at once, then at most one per period and group.
//!
//! Pure apart from its state: time is an argument. A message opens the window of its group. Deliveries claimed while
//! the window is open wait in the store until it ends. The first window begins when its first event was received,
//! and each further one at the end of the window before.
//! - A message that failed keeps its members: its key and group are stored before the plugin's progress.
//! - A refused message is sent again in two halves, so that in the end only events that are refused alone are given up. A
//!   target that refuses everything gets no halves.
//! - At most [`SAMPLE_MAX`] events of a message, with [`SAMPLE_BYTES_MAX`] of data, are in memory. Of the others, up
//!   to [`DIGEST_EVENTS_MAX`], only the ids are. Further events go into the next message.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::model::{Delivery, Digest, EventId, Receipt, StoredEvent, Timestamp};
use crate::store::{DIGEST_EVENTS_MAX, Outcome, Settlement, Window};

/// Most events of a message that the plugin gets.
pub const SAMPLE_MAX: usize = 20;
/// Most bytes of their data. The plugin always gets the first event, whatever its size.
pub const SAMPLE_BYTES_MAX: usize = 1 << 20;
/// Most groups with a window of their own. Further groups share one.
pub const GROUPS_MAX: usize = 1_000;
/// Every member of a message repeats at most this many bytes of a reason.
const SHARED_REASON_BYTES_MAX: usize = 40;

const KEY_BYTES: usize = 16;
/// Stored before the plugin's progress: a mark, the key of the message, its group, how often it was halved.
const ENVELOPE_BYTES: usize = 1 + KEY_BYTES + 8 + 1;
const ENVELOPE_MARK: u8 = 0xd3;
/// The same without the last byte, from earlier versions.
const ENVELOPE_MARK_1: u8 = 0xd1;
/// The group that all groups beyond [`GROUPS_MAX`] share.
const OTHERS: u64 = 0;

/// `digest` of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestSettings {
    /// Shortest time between two messages of a group.
    pub every: Duration,
    /// The attributes that the events of a group have in common. None: all events are one group.
    pub by: Vec<Attribute>,
}

/// An attribute that events are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    Source,
    Type,
    Severity,
    Title,
    Subject,
    Link,
}

impl Attribute {
    pub const ALL: [(&str, Self); 6] = [
        ("source", Self::Source),
        ("type", Self::Type),
        ("severity", Self::Severity),
        ("title", Self::Title),
        ("subject", Self::Subject),
        ("link", Self::Link),
    ];

    fn of(self, event: &StoredEvent) -> &str {
        let attributes = &event.attributes;
        match self {
            Self::Source => &event.source,
            Self::Type => &attributes.event_type,
            Self::Severity => attributes.severity.as_str(),
            Self::Title => &attributes.title,
            Self::Subject => attributes.subject.as_deref().unwrap_or_default(),
            Self::Link => attributes.link.as_deref().unwrap_or_default(),
        }
    }
}

/// One message and its deliveries.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) digest: Digest,
    /// All of them. The first one represents the others in the log and the store.
    pub(super) members: Vec<EventId>,
    pub(super) attempt: u32,
    /// How often it was halved; these attempts do not count.
    halved: u8,
    pub(super) first_attempt_at: Option<Timestamp>,
    pub(super) window: Window,
    /// The end of the group's window before this one.
    previous: Option<Timestamp>,
    key: [u8; KEY_BYTES],
    sample_bytes: usize,
}

/// Claimed deliveries, gathered into messages.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// By group.
    new: BTreeMap<u64, Message>,
    /// Messages that failed before, by their key.
    retried: BTreeMap<[u8; KEY_BYTES], Message>,
    /// Deliveries that wait for the end of a window.
    pub(super) waiting: Vec<Settlement>,
    /// All deliveries.
    pub(super) count: usize,
}

/// The windows of one target.
#[derive(Debug)]
pub(super) struct Digests {
    settings: DigestSettings,
    /// When the newest window of a group ends, or ended.
    windows: HashMap<u64, Timestamp>,
}

impl Digests {
    pub(super) fn new(settings: DigestSettings) -> Self {
        Self { settings, windows: HashMap::new() }
    }

    /// A window that ends later than a period from now was made by a wrong clock: it ends after a period.
    pub(super) fn restore(&mut self, windows: Vec<Window>, now: Timestamp) {
        let latest = now.plus(self.settings.every);
        let windows = windows.into_iter();
        self.windows.extend(windows.map(|window| (window.group, window.until.min(latest))));
    }

    /// Assigns each delivery to a message, or to those that wait.
    pub(super) fn gather(&mut self, to: &mut Gathered, deliveries: Vec<Delivery>, now: Timestamp) {
        to.count += deliveries.len();
        for mut delivery in deliveries {
            let event = delivery.event.id;
            if let Some(Envelope { key, group, halved, progress }) = open(&delivery.progress) {
                delivery.progress = progress.to_vec();
                let until = self.windows.get(&group).copied().unwrap_or(now);
                let window = Window { group, until };
                let message = to.retried.entry(key);
                let message = message.or_insert_with(|| Message::new(window, None, &delivery));
                (message.key, message.halved) = (key, halved);
                message.add(delivery);
                continue;
            }
            let group = self.group(&delivery.event, now);
            let until = match to.new.get_mut(&group) {
                Some(message) if message.members.len() < DIGEST_EVENTS_MAX => {
                    message.add(delivery);
                    continue;
                }
                Some(message) => message.window.until,
                None => match self.open_until(group, now) {
                    Some(until) => until,
                    None => {
                        let previous = self.windows.get(&group).copied();
                        let until = self.next_end(previous, delivery.event.received_at, now);
                        self.windows.insert(group, until);
                        let window = Window { group, until };
                        let mut message = Message::new(window, previous, &delivery);
                        message.add(delivery);
                        to.new.insert(group, message);
                        continue;
                    }
                },
            };
            to.waiting.push(Settlement { event, outcome: Outcome::Wait { until } });
        }
    }

    /// Undoes a message that was not attempted, or whose attempt does not count: releases its events and closes
    /// the window that it opened.
    pub(super) fn cancel(&mut self, message: &Message) -> Vec<Settlement> {
        let Window { group, until } = message.window;
        if message.attempt == 1 && self.windows.get(&group) == Some(&until) {
            match message.previous {
                Some(previous) => self.windows.insert(group, previous),
                None => self.windows.remove(&group),
            };
        }
        message.all(|_| Outcome::Release)
    }

    fn group(&mut self, event: &StoredEvent, now: Timestamp) -> u64 {
        let mut hash = Sha256::new();
        for attribute in &self.settings.by {
            let text = attribute.of(event);
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        let group = hash.finalize().iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte));
        if self.windows.len() >= GROUPS_MAX && !self.windows.contains_key(&group) {
            let every = self.settings.every;
            self.windows.retain(|_, until| until.plus(every) > now);
            if self.windows.len() >= GROUPS_MAX {
                return OTHERS;
            }
        }
        group
    }

    /// The end of the group's open window. One that ends later than possible is ignored: the clock was set back.
    fn open_until(&self, group: u64, now: Timestamp) -> Option<Timestamp> {
        let latest = now.plus(self.settings.every * 2);
        self.windows.get(&group).copied().filter(|until| *until > now && *until <= latest)
    }

    fn next_end(
        &self,
        previous: Option<Timestamp>,
        received: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        let every = self.settings.every;
        let end = previous.map_or(received, |previous| previous.max(received)).plus(every);
        let latest = now.plus(every);
        // If that is in the past, a new series of windows begins.
        if end > now { end.min(latest) } else { latest }
    }
}

impl Gathered {
    /// The complete messages: those that failed before first, then new ones.
    pub(super) fn into_messages(self) -> Vec<Message> {
        let new = self.new.into_values().map(Message::with_key);
        let mut messages: Vec<Message> = self.retried.into_values().chain(new).collect();
        for message in &mut messages {
            message.digest.count = message.members.len() as u64;
            message.digest.key = message.key.iter().map(|byte| format!("{byte:02x}")).collect();
        }
        messages
    }
}

impl Message {
    fn new(window: Window, previous: Option<Timestamp>, first: &Delivery) -> Self {
        let digest =
            Digest { sample: Vec::new(), count: 0, key: String::new(), progress: Vec::new() };
        Self {
            digest,
            members: Vec::new(),
            attempt: first.attempt,
            halved: 0,
            first_attempt_at: first.first_attempt_at,
            window,
            previous,
            key: [0; KEY_BYTES],
            sample_bytes: 0,
        }
    }

    fn add(&mut self, mut delivery: Delivery) {
        self.members.push(delivery.event.id);
        // Only one member has the plugin's progress.
        let progress = std::mem::take(&mut delivery.progress);
        if !progress.is_empty() {
            self.digest.progress = progress;
        }
        self.sample_bytes += delivery.event.data.len();
        let fits = self.digest.sample.len() < SAMPLE_MAX && self.sample_bytes <= SAMPLE_BYTES_MAX;
        if fits || self.digest.sample.is_empty() {
            self.digest.sample.push(delivery);
        }
    }

    /// Gives a new message its key, which is stored with its members.
    fn with_key(mut self) -> Self {
        self.members.sort_unstable();
        self.key = key(self.window.group, &self.members);
        self
    }

    /// The number of the attempt, without those after which the message was halved.
    pub(super) fn counted_attempt(&self) -> u32 {
        self.attempt.saturating_sub(u32::from(self.halved)).max(1)
    }

    /// Retries the members as two messages. What the plugin keeps is of the whole, so it is dropped.
    pub(super) fn halve(&self, at: Timestamp, reason: &str, tried: &[u8]) -> Vec<Settlement> {
        let (group, halved) = (self.window.group, self.halved.saturating_add(1));
        let (first, second) = self.members.split_at(self.members.len() / 2);
        let [first, second] =
            [first, second].map(|half| (half, envelope(tried, key(group, half), group, halved)));
        let shared = self.shared(reason);
        let outcome = |progress: &Vec<u8>, reason: &str| Outcome::Retry {
            at,
            reason: reason.to_owned(),
            progress: progress.clone(),
        };
        let settle = |(half, progress): &(&[EventId], Vec<u8>)| {
            let each = half.iter().enumerate().map(|(place, event)| {
                let reason = if place == 0 { reason } else { &shared };
                Settlement { event: *event, outcome: outcome(progress, reason) }
            });
            each.collect::<Vec<_>>()
        };
        [settle(&first), settle(&second)].concat()
    }

    /// An outcome for each member. `outcome` gets whether it is the first one.
    pub(super) fn all(&self, mut outcome: impl FnMut(bool) -> Outcome) -> Vec<Settlement> {
        let first = self.members.first().copied();
        let settle =
            |event: &EventId| Settlement { event: *event, outcome: outcome(Some(*event) == first) };
        self.members.iter().map(settle).collect()
    }

    pub(super) fn delivered(&self, receipt: &Receipt) -> Vec<Settlement> {
        let shared = Receipt { id: receipt.id.clone(), fields: Vec::new() };
        self.all(|first| Outcome::Delivered {
            receipt: if first { receipt.clone() } else { shared.clone() },
        })
    }

    pub(super) fn dead(&self, reason: &str) -> Vec<Settlement> {
        let shared = self.shared(reason);
        self.all(|first| Outcome::Dead {
            reason: if first { reason.to_owned() } else { shared.clone() },
        })
    }

    /// Retries all members at `at`, as the same message. `tried`: what is stored before each one's progress.
    pub(super) fn retry(
        &self,
        at: Timestamp,
        reason: &str,
        (tried, progress): (&[u8], &[u8]),
    ) -> Vec<Settlement> {
        let shared = self.shared(reason);
        let envelope = envelope(tried, self.key, self.window.group, self.halved);
        let whole = [&envelope, progress].concat();
        self.all(|first| Outcome::Retry {
            at,
            reason: if first { reason.to_owned() } else { shared.clone() },
            progress: if first { whole.clone() } else { envelope.clone() },
        })
    }

    /// The reason of the other members, which refers to the first one.
    fn shared(&self, reason: &str) -> String {
        let Some(first) = self.members.first() else { return String::new() };
        let mut end = SHARED_REASON_BYTES_MAX.min(reason.len());
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let dots = if end < reason.len() { "…" } else { "" };
        format!("in one message with {first}: {}{dots}", &reason[..end])
    }
}

fn key(group: u64, members: &[EventId]) -> [u8; KEY_BYTES] {
    let mut hash = Sha256::new();
    hash.update(group.to_le_bytes());
    for member in members {
        hash.update(member.to_string());
    }
    let mut key = [0; KEY_BYTES];
    for (to, from) in key.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    key
}

/// What is stored with a delivery that was part of a message before.
struct Envelope<'p> {
    key: [u8; KEY_BYTES],
    group: u64,
    halved: u8,
    /// Of the plugin.
    progress: &'p [u8],
}

/// The beginning of what is stored. `tried` is before it.
fn envelope(tried: &[u8], key: [u8; KEY_BYTES], group: u64, halved: u8) -> Vec<u8> {
    let mut envelope = Vec::with_capacity(tried.len() + ENVELOPE_BYTES);
    envelope.extend_from_slice(tried);
    envelope.push(ENVELOPE_MARK);
    envelope.extend(key);
    envelope.extend(group.to_le_bytes());
    envelope.push(halved);
    envelope
}

fn open(stored: &[u8]) -> Option<Envelope<'_>> {
    let (mark, rest) = stored.split_first()?;
    let (key, rest) = rest.split_first_chunk::<KEY_BYTES>()?;
    let (group, rest) = rest.split_first_chunk::<8>()?;
    let (halved, progress) = match *mark {
        ENVELOPE_MARK => rest.split_first().map(|(halved, progress)| (*halved, progress))?,
        ENVELOPE_MARK_1 => (0, rest),
        _ => return None,
    };
    Some(Envelope { key: *key, group: u64::from_le_bytes(*group), halved, progress })
}

#[cfg(test)]
mod tests;
