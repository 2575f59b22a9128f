//! Which of the times that requests are refused get a line of the log.

use std::time::{Duration, Instant};

use crate::embedded::platform::repeated::Repeated;

/// A reason that did not come for so long is new.
const QUIET: Duration = Duration::from_secs(600);

/// After so long requests are not refused for a moment only. It is longer than the pause before a full disk is tried again.
const LASTS: Duration = Duration::from_secs(60);

/// A reason that comes and goes, as on a disk of which every other write fails.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shown {
    times: Repeated,
    last: Option<Instant>,
}

impl Shown {
    /// How often it came, if that is worth a line. After a quiet time it is a first one.
    pub(crate) fn again(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_none_or(|last| now.duration_since(last) > QUIET) {
            self.times.end();
        }
        self.last = Some(now);
        self.times.again()
    }
}

/// A time that requests are refused, for whatever reasons: the log says that it ended only if it said that it began.
#[derive(Default)]
pub(crate) struct Outage {
    since: Option<Instant>,
    pub has_line: bool,
}

impl Outage {
    /// Another reason was added, with a line or without one.
    pub(crate) fn goes_on(&mut self, now: Instant, has_line: bool) {
        self.since.get_or_insert(now);
        self.has_line |= has_line;
    }

    /// Whether it needs a line now because it lasts; it has one then.
    pub(crate) fn needs_line(&mut self, now: Instant) -> bool {
        let lasts = self.since.is_some_and(|since| now.duration_since(since) >= LASTS);
        lasts && !std::mem::replace(&mut self.has_line, true)
    }

    /// No reason is left. Whether that is worth a line.
    pub(crate) fn end(&mut self) -> bool {
        std::mem::take(self).has_line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Reasons come and go; the log is looked at each second.
        #[test]
        fn the_log_says_that_requests_are_refused_when_they_are_for_a_minute_and_its_end_exactly_then(
            steps in prop::collection::vec((0usize..3, 0u64..200), 1..200),
        ) {
            let start = Instant::now();
            let (mut shown, mut outage) = ([Shown::default(); 3], Outage::default());
            let (mut reasons, mut says_refused) = ([false; 3], false);
            let (mut seconds, mut since) = (0, None);
            for (why, wait) in steps {
                let now = start + Duration::from_secs(seconds);
                reasons[why] = !reasons[why];
                if reasons[why] {
                    let has_line = shown[why].again(now).is_some();
                    says_refused |= has_line;
                    outage.goes_on(now, has_line);
                    since.get_or_insert(seconds);
                } else if reasons == [false; 3] {
                    let said = outage.end();
                    prop_assert_eq!(said, says_refused, "after a line of refusal, and only then");
                    (says_refused, since) = (false, None);
                }
                for _ in 0..wait {
                    seconds += 1;
                    if outage.needs_line(start + Duration::from_secs(seconds)) {
                        prop_assert!(!says_refused && reasons != [false; 3]);
                        says_refused = true;
                    }
                    let lasts = since.is_some_and(|since| seconds - since >= LASTS.as_secs());
                    prop_assert!(says_refused || !lasts);
                }
            }
        }
    }
}
