//! Alarms of the daemon itself. Each kind and subject is reported at most once per [`ALARM_PERIOD`],
//! with the number of times it happened; the first is reported at once.
//!
//! Limit: [`ALARM_SUBJECTS_MAX`] kinds and subjects at a time; alarms beyond that are dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Shortest time between two reports of one kind and subject.
pub const ALARM_PERIOD: Duration = Duration::from_secs(60);
/// Most kinds and subjects that are counted at once.
pub const ALARM_SUBJECTS_MAX: usize = 1_000;
/// Fewest refused requests of a source in a period that raise an alarm.
pub const REFUSALS_MIN: u64 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmKind {
    DeadLetter,
    TargetDown,
    TargetRecovered,
    TargetBroken,
    SourceRejecting,
    SourceSilent,
    SourceUnusable,
    ConfigRejected,
    DiskLow,
    StoreDown,
}

impl AlarmKind {
    pub const ALL: [Self; 10] = [
        Self::DeadLetter,
        Self::TargetDown,
        Self::TargetRecovered,
        Self::TargetBroken,
        Self::SourceRejecting,
        Self::SourceSilent,
        Self::SourceUnusable,
        Self::ConfigRejected,
        Self::DiskLow,
        Self::StoreDown,
    ];

    /// The type of its event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letter",
            Self::TargetDown => "target.down",
            Self::TargetRecovered => "target.recovered",
            Self::TargetBroken => "target.broken",
            Self::SourceRejecting => "source.rejecting",
            Self::SourceSilent => "source.silent",
            Self::SourceUnusable => "source.unusable",
            Self::ConfigRejected => "config.rejected",
            Self::DiskLow => "disk.low",
            Self::StoreDown => "store.down",
        }
    }

    /// Whether its subject is a target: a source may have the same name.
    #[must_use]
    pub const fn is_of_a_target(self) -> bool {
        match self {
            Self::DeadLetter | Self::TargetDown | Self::TargetRecovered | Self::TargetBroken => {
                true
            }
            Self::SourceRejecting
            | Self::SourceSilent
            | Self::SourceUnusable
            | Self::ConfigRejected
            | Self::DiskLow
            | Self::StoreDown => false,
        }
    }

    const fn count_min(self) -> u64 {
        match self {
            Self::SourceRejecting => REFUSALS_MIN,
            _ => 1,
        }
    }
}

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub kind: AlarmKind,
    /// Target, source, file or folder.
    pub subject: Arc<str>,
    /// How often it happened since the last report.
    pub count: u64,
    /// Of the latest one.
    pub reason: String,
}

#[derive(Debug)]
struct Entry {
    counted_since: Instant,
    /// Not reported before this.
    quiet_until: Instant,
    count: u64,
    reason: String,
}

/// What is to be reported.
#[derive(Debug, Default)]
pub struct Alarms {
    entries: Mutex<HashMap<(AlarmKind, Arc<str>), Entry>>,
    raised: Notify,
}

impl Alarms {
    /// Records that something happened `count` times.
    pub fn raise(&self, kind: AlarmKind, subject: &Arc<str>, count: u64, reason: &str) {
        let now = Instant::now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind, Arc::clone(subject));
        if entries.len() >= ALARM_SUBJECTS_MAX && !entries.contains_key(&key) {
            return;
        }
        let entry = entries.entry(key).or_insert_with(|| Entry {
            counted_since: now,
            quiet_until: now,
            count: 0,
            reason: String::new(),
        });
        entry.count += count;
        entry.reason = reason.to_owned();
        drop(entries);
        self.raised.notify_one();
    }

    /// Waits for the next reports. Cancel safe.
    pub async fn next(&self) -> Vec<Alarm> {
        loop {
            let raised = self.raised.notified();
            let (due, next) = self.due(Instant::now());
            if !due.is_empty() {
                return due;
            }
            let next = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = raised => {}
                () = next => {}
            }
        }
    }

    /// What to report now, and when to look again.
    fn due(&self, now: Instant) -> (Vec<Alarm>, Option<Instant>) {
        let mut due = Vec::new();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(kind, subject), entry| {
            let is_due = now >= entry.quiet_until;
            if is_due && entry.count >= kind.count_min() {
                let (kind, subject) = (*kind, Arc::clone(subject));
                let count = std::mem::take(&mut entry.count);
                let reason = std::mem::take(&mut entry.reason);
                due.push(Alarm { kind, subject, count, reason });
                (entry.counted_since, entry.quiet_until) = (now, now + ALARM_PERIOD);
                return true;
            }
            // Removed after a period with too few to report.
            !is_due || now < entry.counted_since + ALARM_PERIOD
        });
        let next = entries.values().map(|entry| entry.counted_since + ALARM_PERIOD).min();
        (due, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_reported_at_once_and_the_others_together_a_period_later() {
        let (alarms, sms) = (Alarms::default(), Arc::from("sms"));
        let began = Instant::now();
        alarms.raise(AlarmKind::DeadLetter, &sms, 1, "one");
        let first = alarms.next().await;
        assert_eq!((first.len(), first[0].count, began.elapsed()), (1, 1, Duration::ZERO));
        for reason in ["two", "three"] {
            alarms.raise(AlarmKind::DeadLetter, &sms, 5, reason);
        }
        alarms.raise(AlarmKind::TargetDown, &sms, 1, "no answer");
        assert_eq!(
            alarms.next().await[0].kind,
            AlarmKind::TargetDown,
            "another kind does not wait"
        );
        let more = alarms.next().await;
        assert_eq!((more[0].count, more[0].reason.as_str()), (10, "three"));
        assert_eq!(began.elapsed(), ALARM_PERIOD);
    }

    #[tokio::test(start_paused = true)]
    async fn only_many_refusals_in_a_period_raise_an_alarm() {
        let (alarms, source) = (Alarms::default(), Arc::from("sqreen"));
        let raise = |count| alarms.raise(AlarmKind::SourceRejecting, &source, count, "signature");
        raise(REFUSALS_MIN - 1);
        let none = tokio::time::timeout(ALARM_PERIOD * 2, alarms.next()).await;
        assert!(none.is_err());
        raise(1);
        assert!(tokio::time::timeout(ALARM_PERIOD / 2, alarms.next()).await.is_err());
        raise(REFUSALS_MIN);
        assert_eq!(alarms.next().await[0].count, REFUSALS_MIN + 1);
    }

    #[test]
    fn subjects_are_bounded() {
        let alarms = Alarms::default();
        for subject in 0..ALARM_SUBJECTS_MAX + 5 {
            alarms.raise(AlarmKind::TargetDown, &subject.to_string().into(), 1, "");
        }
        assert_eq!(alarms.due(Instant::now()).0.len(), ALARM_SUBJECTS_MAX);
    }
}
