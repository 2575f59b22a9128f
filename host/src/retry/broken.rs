//! Whether a target is broken, or only refuses some events.
//!
//! A firewall before a target may answer 403 to the words of an event, and an attack brings many such events in a row.
//! So the verdict "broken" of an event is a failed attempt like any other, and evidence against the target only if no
//! event is delivered.
//! - Suspected: [`SUSPECTED_EVENTS`] different events got that verdict in a row. Now only probes are attempted, one event
//!   at a time, and events that were never tried come first.
//! - Broken: [`BROKEN_PROBES`] such probes got it too, and [`BROKEN_EVENTS`] different events in all; or the target has
//!   been suspected for [`BROKEN_AFTER`]. A check without an event shows it at once.
//! - A success proves the target: what was refused before it is the fault of those events and never evidence again. For
//!   [`PROVEN_FOR`] each such proof doubles the number of events that make the target suspected, up to
//!   [`SUSPECTED_EVENTS_MAX`]: the rest of an attack passes at full speed.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::EventId;

/// This many different events in a row, without a success, make a target suspected.
pub const SUSPECTED_EVENTS: usize = 5;
/// The same for a target that has proved itself again and again.
pub const SUSPECTED_EVENTS_MAX: usize = 320;
/// How long such a proof counts.
pub const PROVEN_FOR: Duration = Duration::from_secs(60 * 60);
/// This many probes of a suspected target are needed to show that it is broken.
pub const BROKEN_PROBES: usize = 4;
/// And this many different events.
pub const BROKEN_EVENTS: usize = SUSPECTED_EVENTS + BROKEN_PROBES;
/// A target that has been suspected for so long is broken at the next probe that is refused, even if there are too few
/// different events.
pub const BROKEN_AFTER: Duration = Duration::from_secs(10 * 60);
/// Most refused events that are remembered as bad.
const BAD_EVENTS_MAX: usize = 512;

/// What the evidence shows of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The events may be at fault.
    Nothing,
    Suspected,
    Broken,
}

/// The events that got the verdict "broken".
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Since the last success.
    events: Vec<EventId>,
    suspected_since: Option<Duration>,
    /// Refused since then.
    probes: usize,
    is_broken: bool,
    /// Refused before a success.
    bad: VecDeque<EventId>,
    /// How many events make it suspected, and since when; `None`: [`SUSPECTED_EVENTS`].
    proven: Option<(usize, Duration)>,
}

impl Evidence {
    /// An event got this verdict at `now`, a time since any fixed moment. `probe`: it was attempted alone.
    pub fn add(&mut self, event: EventId, probe: bool, now: Duration) -> Finding {
        let is_new = !self.events.contains(&event) && !self.bad.contains(&event);
        let limit = self.limit(now);
        if is_new && self.events.len() < limit.max(BROKEN_EVENTS) {
            self.events.push(event);
        }
        if let Some(since) = self.suspected_since.filter(|_| probe) {
            self.probes += 1;
            let enough = self.probes >= BROKEN_PROBES && self.events.len() >= BROKEN_EVENTS;
            self.is_broken |= enough || now.saturating_sub(since) >= BROKEN_AFTER;
        }
        if self.events.len() >= limit {
            self.suspected_since.get_or_insert(now);
        }
        if self.is_broken {
            self.proven = None;
        }
        self.finding()
    }

    /// How many different events make the target suspected.
    fn limit(&self, now: Duration) -> usize {
        let proven = self.proven.filter(|(_, at)| now.saturating_sub(*at) < PROVEN_FOR);
        proven.map_or(SUSPECTED_EVENTS, |(limit, _)| limit)
    }

    #[must_use]
    pub const fn finding(&self) -> Finding {
        match self.suspected_since {
            None => Finding::Nothing,
            Some(_) if self.is_broken => Finding::Broken,
            Some(_) => Finding::Suspected,
        }
    }

    /// An event was delivered.
    pub fn succeeded(&mut self, now: Duration) {
        if self.suspected_since.is_some() {
            self.proven = Some(((self.limit(now) * 2).min(SUSPECTED_EVENTS_MAX), now));
        }
        let refused = std::mem::take(&mut self.events);
        self.bad.extend(refused);
        self.bad.drain(..self.bad.len().saturating_sub(BAD_EVENTS_MAX));
        self.forget();
    }

    /// A person resumed the target: the evidence against it counts no more.
    pub fn forget(&mut self) {
        self.events.clear();
        self.suspected_since = None;
        self.probes = 0;
        self.is_broken = false;
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    const SUSPECTED: u64 = SUSPECTED_EVENTS as u64;
    const BROKEN: u64 = BROKEN_EVENTS as u64;

    fn event(number: u64) -> EventId {
        EventId::new(Timestamp::from_millis(1), 1, number)
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Adds events of these numbers at that time; the last finding.
    fn add(
        evidence: &mut Evidence,
        events: std::ops::Range<u64>,
        probe: bool,
        at_s: u64,
    ) -> Finding {
        let findings = events.map(|number| evidence.add(event(number), probe, secs(at_s)));
        findings.last().unwrap()
    }

    #[test]
    fn one_event_is_never_enough_however_often_it_fails() {
        let mut evidence = Evidence::default();
        for second in 0..10_000 {
            assert_eq!(evidence.add(event(7), true, secs(second)), Finding::Nothing);
        }
    }

    #[test]
    fn events_in_a_row_make_a_target_suspected_and_only_probes_make_it_broken() {
        let mut evidence = Evidence::default();
        assert_eq!(add(&mut evidence, 1..SUSPECTED, false, 0), Finding::Nothing);
        assert_eq!(add(&mut evidence, SUSPECTED..500, false, 0), Finding::Suspected, "at once");
        let last = BROKEN_PROBES as u64;
        assert_eq!(add(&mut evidence, 1..last, true, 9), Finding::Suspected);
        assert_eq!(add(&mut evidence, last..last + 1, true, 9), Finding::Broken);
        assert_eq!(add(&mut evidence, 1..2, false, 9), Finding::Broken, "it stays so");
        evidence.forget();
        assert!(evidence.is_empty());
        assert_eq!(evidence.finding(), Finding::Nothing);
        // Too few different events, however many probes.
        add(&mut evidence, 0..SUSPECTED, false, 0);
        for _ in 0..100 {
            assert_eq!(add(&mut evidence, 0..BROKEN - 1, true, 9), Finding::Suspected);
        }
        assert_eq!(add(&mut evidence, BROKEN..BROKEN + 1, true, 9), Finding::Broken);
    }

    #[test]
    fn a_target_that_gets_few_events_is_broken_after_some_time() {
        let mut evidence = Evidence::default();
        add(&mut evidence, 0..SUSPECTED, false, 100);
        let end = 100 + BROKEN_AFTER.as_secs();
        assert_eq!(add(&mut evidence, 0..1, true, end - 1), Finding::Suspected);
        assert_eq!(add(&mut evidence, 0..1, false, end), Finding::Suspected, "not a probe");
        assert_eq!(add(&mut evidence, 0..1, true, end), Finding::Broken);
    }

    #[test]
    fn what_was_refused_before_a_success_is_never_evidence_again() {
        let mut evidence = Evidence::default();
        add(&mut evidence, 0..SUSPECTED, false, 0);
        evidence.succeeded(secs(1));
        assert_eq!(add(&mut evidence, 0..SUSPECTED, false, 1), Finding::Nothing);
        assert_eq!(add(&mut evidence, 100..100 + SUSPECTED * 2, false, 1), Finding::Suspected);
        for round in 2..1_000 {
            evidence.succeeded(secs(1));
            add(&mut evidence, round * 100..round * 100 + SUSPECTED, false, 1);
        }
        assert!(evidence.bad.len() <= BAD_EVENTS_MAX);
    }

    #[test]
    fn each_proof_doubles_what_a_target_may_refuse_for_an_hour() {
        let mut evidence = Evidence::default();
        let (mut next, mut limit) = (0, SUSPECTED);
        for _ in 0..10 {
            assert_eq!(add(&mut evidence, next..next + limit - 1, false, 0), Finding::Nothing);
            next += limit;
            assert_eq!(add(&mut evidence, next - 1..next, false, 0), Finding::Suspected);
            evidence.succeeded(secs(0));
            limit = (limit * 2).min(SUSPECTED_EVENTS_MAX as u64);
        }
        let later = PROVEN_FOR.as_secs();
        assert_eq!(add(&mut evidence, next..next + SUSPECTED, false, later), Finding::Suspected);
    }
}
