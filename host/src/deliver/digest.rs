//! Makes messages of a target's deliveries: the first at once, then at most one a period and group.
//!
//! Pure but for what it remembers: time comes as an argument. A message opens the window of its group;
//! what is claimed while it is open gathers in the store until it ends. The window runs from when the
//! first event was received, and the next one from the end of the one before.
//! - A message that failed keeps its members: their key and group stand before the plugin's progress.
//! - Of a message at most [`SAMPLE_MAX`] events with [`SAMPLE_BYTES_MAX`] of data are kept in memory; of the
//!   others, at most [`DIGEST_EVENTS_MAX`], only the ids. What is more goes into the next message.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::model::{Delivery, Digest, EventId, Receipt, StoredEvent, Timestamp};
use crate::store::{DIGEST_EVENTS_MAX, Outcome, Settlement, Window};

/// Most events of a message that its plugin is shown.
pub const SAMPLE_MAX: usize = 20;
/// Most bytes of data of these; the first is shown whatever its size.
pub const SAMPLE_BYTES_MAX: usize = 1 << 20;
/// Most groups with a window; further ones share one.
pub const GROUPS_MAX: usize = 1_000;
/// Most bytes of a reason that every member repeats.
const SHARED_REASON_BYTES_MAX: usize = 40;

const KEY_BYTES: usize = 16;
/// Before the plugin's progress: a mark, the message's key, its group.
const ENVELOPE_BYTES: usize = 1 + KEY_BYTES + 8;
const ENVELOPE_MARK: u8 = 0xd1;
/// The group of those that have no place of their own.
const OTHERS: u64 = 0;

/// A target's `digest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestSettings {
    /// Shortest time between two messages of a group.
    pub every: Duration,
    /// What the events of a group have in common; nothing: all are one group.
    pub by: Vec<Attribute>,
}

/// What events are grouped by.
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

/// The deliveries of one message.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) digest: Digest,
    /// All of them; the first stands for the others in log and store.
    pub(super) members: Vec<EventId>,
    pub(super) attempt: u32,
    pub(super) first_attempt_at: Option<Timestamp>,
    pub(super) window: Window,
    /// The group's window before this one.
    previous: Option<Timestamp>,
    key: [u8; KEY_BYTES],
    sample_bytes: usize,
}

/// What claimed deliveries become.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    new: BTreeMap<u64, Set>,
    again: BTreeMap<[u8; KEY_BYTES], Set>,
    pub(super) waiting: Vec<Settlement>,
    pub(super) count: usize,
}

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

    pub(super) fn restore(&mut self, windows: Vec<Window>) {
        self.windows.extend(windows.into_iter().map(|window| (window.group, window.until)));
    }

    /// Gives each delivery its message, or the time until which it waits.
    pub(super) fn gather(&mut self, to: &mut Gathered, deliveries: Vec<Delivery>, now: Timestamp) {
        to.count += deliveries.len();
        for mut delivery in deliveries {
            let event = delivery.event.id;
            if let Some((key, group, progress)) = open(&delivery.progress) {
                delivery.progress = progress.to_vec();
                let until = self.windows.get(&group).copied().unwrap_or(now);
                let window = Window { group, until };
                let set = to.again.entry(key).or_insert_with(|| Set::new(window, None, &delivery));
                set.key = key;
                set.add(delivery);
                continue;
            }
            let group = self.group(&delivery.event, now);
            let until = match to.new.get_mut(&group) {
                Some(set) if set.members.len() < DIGEST_EVENTS_MAX => {
                    set.add(delivery);
                    continue;
                }
                Some(set) => set.window.until,
                None => match self.open_until(group, now) {
                    Some(until) => until,
                    None => {
                        let previous = self.windows.get(&group).copied();
                        let until = self.next_end(previous, delivery.event.received_at, now);
                        self.windows.insert(group, until);
                        let mut set = Set::new(Window { group, until }, previous, &delivery);
                        set.add(delivery);
                        to.new.insert(group, set);
                        continue;
                    }
                },
            };
            to.waiting.push(Settlement { event, outcome: Outcome::Wait { until } });
        }
    }

    /// The message was not tried, or its target is held: its events are as they were before.
    pub(super) fn cancel(&mut self, set: &Set) -> Vec<Settlement> {
        let Window { group, until } = set.window;
        if set.attempt == 1 && self.windows.get(&group) == Some(&until) {
            match set.previous {
                Some(previous) => self.windows.insert(group, previous),
                None => self.windows.remove(&group),
            };
        }
        set.all(|_| Outcome::Release)
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

    /// A window that would end later than any can is of a clock that was set back meanwhile.
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
        // What waited longer than a period begins anew.
        if end > now { end.min(latest) } else { latest }
    }
}

impl Gathered {
    /// Earlier messages first, then new ones; each is complete now.
    pub(super) fn into_sets(self) -> Vec<Set> {
        let mut sets: Vec<Set> =
            self.again.into_values().chain(self.new.into_values().map(Set::named)).collect();
        for set in &mut sets {
            set.digest.count = set.members.len() as u64;
            set.digest.key = set.key.iter().map(|byte| format!("{byte:02x}")).collect();
        }
        sets
    }
}

impl Set {
    fn new(window: Window, previous: Option<Timestamp>, first: &Delivery) -> Self {
        let digest =
            Digest { sample: Vec::new(), count: 0, key: String::new(), progress: Vec::new() };
        Self {
            digest,
            members: Vec::new(),
            attempt: first.attempt,
            first_attempt_at: first.first_attempt_at,
            window,
            previous,
            key: [0; KEY_BYTES],
            sample_bytes: 0,
        }
    }

    fn add(&mut self, mut delivery: Delivery) {
        self.members.push(delivery.event.id);
        // Only one member carries it.
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

    /// Gives a new message its key, which stays with its members.
    fn named(mut self) -> Self {
        self.members.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(self.window.group.to_le_bytes());
        for member in &self.members {
            hash.update(member.to_string());
        }
        for (to, from) in self.key.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        self
    }

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

    /// All come again at `at`, as the same message.
    pub(super) fn again(&self, at: Timestamp, reason: &str, progress: &[u8]) -> Vec<Settlement> {
        let shared = self.shared(reason);
        let mut envelope = vec![ENVELOPE_MARK];
        envelope.extend(self.key);
        envelope.extend(self.window.group.to_le_bytes());
        let whole = [&envelope, progress].concat();
        self.all(|first| Outcome::Retry {
            at,
            reason: if first { reason.to_owned() } else { shared.clone() },
            progress: if first { whole.clone() } else { envelope.clone() },
        })
    }

    /// What the others say, whose reason stands with the first.
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

/// Key, group and the plugin's own progress of a delivery that was part of a message before.
fn open(progress: &[u8]) -> Option<([u8; KEY_BYTES], u64, &[u8])> {
    let (envelope, rest) = progress.split_at_checked(ENVELOPE_BYTES)?;
    let (mark, envelope) = envelope.split_first()?;
    let (key, group) = envelope.split_first_chunk::<KEY_BYTES>()?;
    let group = u64::from_le_bytes(group.try_into().ok()?);
    (*mark == ENVELOPE_MARK).then_some((*key, group, rest))
}

#[cfg(test)]
mod tests;
