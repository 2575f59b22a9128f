//! Which sources have brought nothing for too long, and when a person is told.
//!
//! It is told once until something comes. Pure: time is an argument. How long is counted by a clock that
//! nobody sets, so that a wrong or corrected time of day makes no silence; only the moment of what came
//! since the last look is known by the time of day. Over a restart it goes on where it was: the time in
//! which nothing could come in is no silence. Limit: one entry for each source that is watched.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config::show_duration;
use crate::model::Timestamp;

/// A source that must not be silent for longer.
pub(super) type Limit = (Arc<str>, Duration);

/// What outlives a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) source: String,
    pub(super) silent_ms: u64,
    /// When it last brought something, in ms since 1970.
    pub(super) last_ms: Option<u64>,
    pub(super) told: bool,
}

#[derive(Debug)]
struct Heard {
    /// Since the start.
    last: Option<Timestamp>,
    /// Before that.
    earlier: Option<Timestamp>,
    /// When that was, or when watching began.
    at: Instant,
    told: bool,
}

/// What was heard of each source that is watched.
#[derive(Debug, Default)]
pub(super) struct Silence {
    heard: HashMap<Arc<str>, Heard>,
}

impl Silence {
    /// Goes on where another run ended.
    pub(super) fn again(kept: Vec<Kept>, clock: Instant) -> Self {
        let heard = |kept: Kept| {
            let silent = Duration::from_millis(kept.silent_ms);
            let at = clock.checked_sub(silent).unwrap_or(clock);
            let earlier = kept.last_ms.map(Timestamp::from_millis);
            (kept.source.into(), Heard { last: None, earlier, at, told: kept.told })
        };
        Self { heard: kept.into_iter().map(heard).collect() }
    }

    pub(super) fn kept(&self, clock: Instant) -> Vec<Kept> {
        let kept = |(source, heard): (&Arc<str>, &Heard)| {
            let silent = clock.saturating_duration_since(heard.at).as_millis();
            Kept {
                source: source.to_string(),
                silent_ms: u64::try_from(silent).unwrap_or(u64::MAX),
                last_ms: heard.last.or(heard.earlier).map(Timestamp::as_millis),
                told: heard.told,
            }
        };
        self.heard.iter().map(kept).collect()
    }

    /// The sources to tell of now, each with the reason. `last` answers when a source last brought
    /// something; `clock` and `now` are the same moment.
    pub(super) fn look(
        &mut self,
        limits: &[Limit],
        clock: Instant,
        now: Timestamp,
        last: impl Fn(&str) -> Option<Timestamp>,
    ) -> Vec<(Arc<str>, String)> {
        self.heard.retain(|source, _| limits.iter().any(|(limited, _)| limited == source));
        let mut silent = Vec::new();
        for (source, after) in limits {
            let last = last(source);
            let news = || {
                let age = last.map_or(Duration::ZERO, |last| now.since(last));
                let at = clock.checked_sub(age).unwrap_or(clock);
                Heard { last, earlier: None, at, told: false }
            };
            let heard = self.heard.entry(Arc::clone(source)).or_insert_with(news);
            if heard.last != last {
                *heard = news();
            }
            if !heard.told && clock.saturating_duration_since(heard.at) >= *after {
                heard.told = true;
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

    /// Looks `minutes` after the start, where the source last came at minute `last`.
    fn look(silence: &mut Silence, start: Instant, minutes: u32, last: Option<u32>) -> bool {
        let at = |minutes: u32| Timestamp::from_millis(1_000_000).plus(HOUR / 60 * minutes);
        let limits = [(Arc::from("a"), HOUR)];
        let clock = start + HOUR / 60 * minutes;
        let told = silence.look(&limits, clock, at(minutes), |_| last.map(at));
        assert!(told.iter().all(|(source, _)| &**source == "a"));
        !told.is_empty()
    }

    #[test]
    fn silence_is_told_once_until_something_comes() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        for (minutes, last, tell) in [
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
            assert_eq!(look(&mut silence, start, minutes, last), tell, "minute {minutes}");
        }
    }

    #[test]
    fn a_source_that_is_watched_later_counts_from_its_last_request() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert!(look(&mut silence, start, 90, Some(10)));
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert!(!look(&mut silence, start, 90, Some(60)));
        assert!(look(&mut silence, start, 120, Some(60)));
    }

    #[test]
    fn a_clock_that_is_set_makes_no_silence() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let limits = [(Arc::from("a"), HOUR)];
        let now = |hours: u32| Timestamp::from_millis(0).plus(HOUR * hours);
        assert!(silence.look(&limits, start, now(0), |_| None).is_empty());
        assert!(silence.look(&limits, start + HOUR / 2, now(400_000), |_| None).is_empty());
        let told = silence.look(&limits, start + HOUR, now(0), |_| None);
        assert_eq!(told[0].1, "no accepted request for 1h, none since it is watched");
    }

    #[test]
    fn a_restart_begins_no_silence_anew_and_tells_of_none_twice() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert!(!look(&mut silence, start, 50, Some(0)));
        let kept = silence.kept(start + HOUR / 60 * 50);
        assert_eq!((kept[0].silent_ms, kept[0].told), (50 * 60_000, false));
        // An hour later, in which nothing could come.
        let begun = start + HOUR / 60 * 110;
        let mut silence = Silence::again(kept, begun);
        for (minutes, last, tell) in
            [(110, None, false), (119, None, false), (120, None, true), (121, None, false)]
        {
            assert_eq!(look(&mut silence, start, minutes, last), tell, "minute {minutes}");
        }
        let begun = start + HOUR / 60 * 130;
        let mut silence = Silence::again(silence.kept(begun), begun);
        for (minutes, last, tell) in [
            (130, None, false),
            (900, None, false),
            (901, Some(900), false),
            (960, Some(900), true),
        ] {
            assert_eq!(look(&mut silence, start, minutes, last), tell, "minute {minutes}");
        }
    }

    #[test]
    fn a_source_that_is_watched_no_more_is_forgotten() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        assert!(look(&mut silence, start, 90, Some(10)));
        let clock = start + HOUR * 2;
        assert!(silence.look(&[], clock, Timestamp::default(), |_| None).is_empty());
        assert!(silence.heard.is_empty());
    }
}
