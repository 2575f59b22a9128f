//! For how long a delivery has been tried, stored before the progress of its plugin.
//!
//! Only time that the daemon has seen counts, wherever the clock is set: all of it within one run; after a
//! restart what was counted before, and the time since the start.

use std::time::Duration;

use super::clock::Clock;
use crate::model::{Delivery, Timestamp};

/// A mark, the run of the daemon, the moment in it, and how long it was until then.
const BYTES: usize = 1 + 3 * WORD;
const MARK: u8 = 0xd2;
const WORD: usize = 8;

/// The progress to store with a delivery whose first attempt was that long ago.
pub(super) fn wrap(clock: &Clock, tried_for: Duration, progress: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(BYTES + progress.len());
    stored.push(MARK);
    for word in [clock.run, millis(clock.elapsed()), millis(tried_for)] {
        stored.extend(word.to_le_bytes());
    }
    stored.extend_from_slice(progress);
    stored
}

/// Takes out what [`wrap`] put in, and sets the time of the first attempt by it.
pub(super) fn unwrap(clock: &Clock, now: Timestamp, delivery: &mut Delivery) {
    if delivery.attempt <= 1 {
        return;
    }
    let elapsed = clock.elapsed();
    let (tried_for, progress) = match open(&delivery.progress) {
        Some(([run, at, tried_for], progress)) => {
            let at = if run == clock.run { Duration::from_millis(at) } else { Duration::ZERO };
            let since = elapsed.saturating_sub(at);
            (Duration::from_millis(tried_for).saturating_add(since), progress.to_vec())
        }
        // Stored by a version that compared times of day.
        None => (elapsed, std::mem::take(&mut delivery.progress)),
    };
    let first_ms = now.as_millis().saturating_sub(millis(tried_for));
    delivery.first_attempt_at = Some(Timestamp::from_millis(first_ms));
    delivery.progress = progress;
}

fn open(stored: &[u8]) -> Option<([u64; 3], &[u8])> {
    let (head, progress) = stored.split_at_checked(BYTES)?;
    let (words, []) = head.strip_prefix(&[MARK])?.as_chunks::<WORD>() else { return None };
    let &[run, at, tried_for] = words else { return None };
    Some(([run, at, tried_for].map(u64::from_le_bytes), progress))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::tests::queue::delivery;
    use crate::model::EventId;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// For how long the delivery has been tried, by that clock.
    fn tried_for(clock: &Clock, stored: &[u8]) -> Duration {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let mut delivery = delivery(EventId::new(now, 1, 1), now);
        (delivery.attempt, delivery.progress) = (2, stored.to_vec());
        unwrap(clock, now, &mut delivery);
        assert_eq!(delivery.progress, b"half", "the plugin gets its own progress");
        now.since(delivery.first_attempt_at.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn only_time_that_was_seen_counts() {
        let clock = Clock::system();
        tokio::time::advance(HOUR * 2).await;
        let stored = wrap(&clock, HOUR, b"half");
        assert_eq!(tried_for(&clock, &stored), HOUR);
        tokio::time::advance(HOUR * 3).await;
        assert_eq!(tried_for(&clock, &stored), HOUR * 4, "all of one run");
        let restarted = Clock::system();
        assert_eq!(tried_for(&restarted, &stored), HOUR, "nothing of what was between");
        tokio::time::advance(HOUR).await;
        assert_eq!(tried_for(&restarted, &stored), HOUR * 2);
        assert_eq!(tried_for(&restarted, b"half"), HOUR, "an earlier version stored nothing");
    }
}
