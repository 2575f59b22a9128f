//! Which sources have been silent for too long, and when to raise the alarm.
//!
//! An alarm is raised once until the source is heard again. Pure: time is an argument. A silence is measured
//! with the monotonic clock, so that a wrong or corrected time of day makes no silence; only the moment of
//! the last request comes from the time of day. A restart continues a silence: the time without a daemon
//! does not count. Limit: one entry for each source that is watched.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config::show_duration;
use crate::model::Timestamp;

/// A source and the longest silence without an alarm.
#[derive(Clone, Debug)]
pub(super) struct SilenceLimit {
    pub(super) source: Arc<str>,
    pub(super) after: Duration,
}

/// What survives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedSilence {
    pub(super) source: String,
    /// `None`: its silence is not watched.
    pub(super) silent_ms: Option<u64>,
    /// Time of its last request, in ms since 1970.
    pub(super) last_ms: Option<u64>,
    /// Whether the alarm was raised.
    pub(super) alarmed: bool,
}

#[derive(Debug)]
struct Heard {
    /// Time of its last request since the start.
    last: Option<Timestamp>,
    /// Time of its last request before the start.
    earlier: Option<Timestamp>,
    /// When its silence began: at its last request, or when it was first watched.
    since: Instant,
    /// Whether the alarm was raised.
    alarmed: bool,
}

/// The sources that are watched.
#[derive(Debug, Default)]
pub(super) struct SilentSources {
    heard: HashMap<Arc<str>, Heard>,
    /// When they were last checked.
    checked: Option<Instant>,
}

impl SilentSources {
    /// Continues where the last run of the daemon ended.
    pub(super) fn restore(saved: Vec<SavedSilence>, clock: Instant) -> Self {
        let heard = |saved: SavedSilence| {
            let silent = Duration::from_millis(saved.silent_ms?);
            let since = clock.checked_sub(silent).unwrap_or(clock);
            let earlier = saved.last_ms.map(Timestamp::from_millis);
            let heard = Heard { last: None, earlier, since, alarmed: saved.alarmed };
            Some((saved.source.into(), heard))
        };
        Self { heard: saved.into_iter().filter_map(heard).collect(), checked: Some(clock) }
    }

    /// The log shows that a source was heard later than what was saved of it: its silence begins again.
    pub(super) fn heard_before(&mut self, source: &str, last: Timestamp, clock: Instant) {
        if let Some(heard) = self.heard.get_mut(source) {
            *heard = Heard { last: None, earlier: Some(last), since: clock, alarmed: false };
        }
    }

    /// What a restart needs.
    pub(super) fn saved(&self, clock: Instant) -> Vec<SavedSilence> {
        let saved = |(source, heard): (&Arc<str>, &Heard)| {
            let silent = clock.saturating_duration_since(heard.since).as_millis();
            SavedSilence {
                source: source.to_string(),
                silent_ms: Some(u64::try_from(silent).unwrap_or(u64::MAX)),
                last_ms: heard.last.or(heard.earlier).map(Timestamp::as_millis),
                alarmed: heard.alarmed,
            }
        };
        self.heard.iter().map(saved).collect()
    }

    /// The sources whose alarm is to be raised now, each with the reason. `last` gives the time of a source's
    /// last request; `clock` and `now` are the same moment.
    pub(super) fn check(
        &mut self,
        limits: &[SilenceLimit],
        clock: Instant,
        now: Timestamp,
        last: impl Fn(&str) -> Option<Timestamp>,
    ) -> Vec<(Arc<str>, String)> {
        self.heard.retain(|source, _| limits.iter().any(|limit| limit.source == *source));
        let mut silent = Vec::new();
        let checked = self.checked.replace(clock);
        for SilenceLimit { source, after } in limits {
            let last = last(source);
            let from_last = || {
                let age = last.map_or(Duration::ZERO, |last| now.since(last));
                let since = clock.checked_sub(age).unwrap_or(clock);
                Heard { last, earlier: None, since, alarmed: false }
            };
            let heard = self.heard.entry(Arc::clone(source)).or_insert_with(from_last);
            if heard.last != last {
                *heard = from_last();
                // It was heard after the last check, wherever the clock was set meanwhile.
                heard.since = heard.since.max(checked.unwrap_or(heard.since));
            }
            if !heard.alarmed && clock.saturating_duration_since(heard.since) >= *after {
                heard.alarmed = true;
                let since =
                    last.or(heard.earlier).map_or("none since it is watched".to_owned(), |last| {
                        format!("the last came at {last}")
                    });
                let after = show_duration(*after);
                silent.push((
                    Arc::clone(source),
                    format!("no accepted request for {after}, {since}"),
                ));
            }
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn limit() -> SilenceLimit {
        SilenceLimit { source: "a".into(), after: HOUR }
    }

    /// Checks `minutes` after the start; the last request came in minute `last`.
    fn check(silence: &mut SilentSources, start: Instant, minutes: u32, last: Option<u32>) -> bool {
        let at = |minutes: u32| Timestamp::from_millis(1_000_000).plus(HOUR / 60 * minutes);
        let limits = [limit()];
        let clock = start + HOUR / 60 * minutes;
        let silent = silence.check(&limits, clock, at(minutes), |_| last.map(at));
        assert!(silent.iter().all(|(source, _)| &**source == "a"));
        !silent.is_empty()
    }

    #[test]
    fn an_alarm_is_raised_once_until_the_source_is_heard() {
        let (mut silence, start) = (SilentSources::default(), Instant::now());
        for (minutes, last, raised) in [
            (0, None, false),
            (59, None, false),
            (60, None, true),
            (61, None, false),
            (600, None, false),
            (601, Some(600), false),
            (659, Some(600), false),
            (660, Some(600), true),
            (661, Some(600), false),
            (662, Some(662), false),
            (722, Some(662), true),
        ] {
            assert_eq!(check(&mut silence, start, minutes, last), raised, "minute {minutes}");
        }
    }

    #[test]
    fn a_source_that_is_watched_later_counts_from_its_last_request() {
        let (mut silence, start) = (SilentSources::default(), Instant::now());
        assert!(check(&mut silence, start, 90, Some(10)));
        let (mut silence, start) = (SilentSources::default(), Instant::now());
        assert!(!check(&mut silence, start, 90, Some(60)));
        assert!(check(&mut silence, start, 120, Some(60)));
    }

    #[test]
    fn a_clock_that_is_set_makes_no_silence() {
        let (mut silence, start) = (SilentSources::default(), Instant::now());
        let limits = [limit()];
        let now = |hours: u32| Timestamp::from_millis(0).plus(HOUR * hours);
        assert!(silence.check(&limits, start, now(0), |_| None).is_empty());
        assert!(silence.check(&limits, start + HOUR / 2, now(400_000), |_| None).is_empty());
        let silent = silence.check(&limits, start + HOUR, now(0), |_| None);
        assert_eq!(silent[0].1, "no accepted request for 1h, none since it is watched");
        let heard = |_: &str| Some(now(1));
        let later = start + HOUR + HOUR / 2;
        assert!(silence.check(&limits, later, now(400_000), heard).is_empty(), "heard and set");
    }

    #[test]
    fn a_restart_continues_a_silence_and_raises_no_alarm_twice() {
        let (mut silence, start) = (SilentSources::default(), Instant::now());
        assert!(!check(&mut silence, start, 50, Some(0)));
        let saved = silence.saved(start + HOUR / 60 * 50);
        assert_eq!((saved[0].silent_ms, saved[0].alarmed), (Some(50 * 60_000), false));
        // An hour later; the daemon was down meanwhile.
        let begun = start + HOUR / 60 * 110;
        let mut silence = SilentSources::restore(saved, begun);
        for (minutes, last, raised) in
            [(110, None, false), (119, None, false), (120, None, true), (121, None, false)]
        {
            assert_eq!(check(&mut silence, start, minutes, last), raised, "minute {minutes}");
        }
        let begun = start + HOUR / 60 * 130;
        let mut silence = SilentSources::restore(silence.saved(begun), begun);
        for (minutes, last, raised) in [
            (130, None, false),
            (900, None, false),
            (901, Some(900), false),
            (960, Some(900), true),
        ] {
            assert_eq!(check(&mut silence, start, minutes, last), raised, "minute {minutes}");
        }
    }

    #[test]
    fn a_source_that_the_log_heard_after_it_was_saved_begins_a_new_silence() {
        let (mut silence, start) = (SilentSources::default(), Instant::now());
        assert!(check(&mut silence, start, 90, Some(10)));
        let begun = start + HOUR / 60 * 100;
        let mut silence = SilentSources::restore(silence.saved(begun), begun);
        silence.heard_before("a", Timestamp::from_millis(9), begun);
        silence.heard_before("other", Timestamp::from_millis(9), begun);
        for (minutes, raised) in [(100, false), (159, false), (160, true), (161, false)] {
            assert_eq!(check(&mut silence, start, minutes, None), raised, "minute {minutes}");
        }
        assert_eq!(silence.saved(begun)[0].last_ms, Some(9));
    }

    #[test]
    fn a_source_that_is_no_longer_watched_is_forgotten() {
        let (mut silence, start) = (SilentSources::default(), Instant::now());
        assert!(check(&mut silence, start, 90, Some(10)));
        let clock = start + HOUR * 2;
        assert!(silence.check(&[], clock, Timestamp::default(), |_| None).is_empty());
        assert!(silence.heard.is_empty());
    }
}
