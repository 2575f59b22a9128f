//! Rate limits such as `100/s`, by the generic cell rate algorithm. Pure: time is an argument.
//!
//! A rate of N per period admits a burst of N, and then one more for each Nth of the period that has passed. So no
//! period sees more than 2 N, and the average is N per period. Its state is one number.

use std::time::Duration;

/// Most rates of one source, such as one per second and one per day.
pub const RATES_MAX: usize = 4;

/// A number per period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub count: u32,
    pub per: Duration,
}

impl Rate {
    /// The time between two at the steady rate, in ns.
    fn interval_ns(self) -> u64 {
        let per_ns = u64::try_from(self.per.as_nanos()).unwrap_or(u64::MAX);
        (per_ns / u64::from(self.count.max(1))).max(1)
    }
}

/// How far several rates are used up: for each, the moment, in ns, at which it is completely free again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used([u64; RATES_MAX]);

impl Used {
    /// Whether one more may pass at `now_ns`, which counts from any fixed moment.
    ///
    /// # Errors
    /// How long to wait until one may.
    pub(super) fn check(&self, rates: &[Rate], now_ns: u64) -> Result<(), Duration> {
        self.with_one_more(rates, now_ns).map(|_| ())
    }

    /// Lets one more pass.
    ///
    /// # Errors
    /// Like [`check`](Self::check). Then nothing is used up.
    pub(super) fn take(&mut self, rates: &[Rate], now_ns: u64) -> Result<(), Duration> {
        *self = self.with_one_more(rates, now_ns)?;
        Ok(())
    }

    fn with_one_more(mut self, rates: &[Rate], now_ns: u64) -> Result<Self, Duration> {
        let mut wait_ns = 0;
        for (rate, free_at) in rates.iter().zip(&mut self.0) {
            let interval = rate.interval_ns();
            let whole = interval.saturating_mul(u64::from(rate.count.max(1)));
            *free_at = now_ns.max(*free_at).saturating_add(interval);
            wait_ns = wait_ns.max(free_at.saturating_sub(now_ns.saturating_add(whole)));
        }
        if wait_ns == 0 { Ok(self) } else { Err(Duration::from_nanos(wait_ns)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(count: u32, seconds: u64) -> Rate {
        Rate { count, per: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_burst_passes_at_once_and_then_one_each_interval() {
        let (rates, mut used) = ([rate(4, 1)], Used::default());
        for _ in 0..4 {
            assert_eq!(used.take(&rates, 7), Ok(()));
        }
        let before = used;
        assert_eq!(used.take(&rates, 7), Err(Duration::from_millis(250)));
        assert_eq!(used, before, "a refused one uses nothing");
        assert_eq!(used.check(&rates, 7 + SECOND / 4 - 1), Err(Duration::from_nanos(1)));
        assert_eq!(used.take(&rates, 7 + SECOND / 4), Ok(()));
        assert!(used.take(&rates, 7 + SECOND / 4).is_err());
        let burst = |mut used: Used, now| (0..8).filter(|_| used.take(&rates, now).is_ok()).count();
        let free_again = 7 + SECOND + SECOND / 4;
        assert_eq!((burst(used, free_again - 1), burst(used, free_again)), (3, 4));
    }

    #[test]
    fn every_rate_must_have_room_and_the_longest_wait_is_returned() {
        let (rates, mut used) = ([rate(2, 1), rate(3, 60)], Used::default());
        assert_eq!([used.take(&rates, 0), used.take(&rates, 0)], [Ok(()), Ok(())]);
        assert_eq!(used.take(&rates, 0), Err(Duration::from_millis(500)));
        assert_eq!(used.take(&rates, SECOND), Ok(()));
        assert_eq!(used.take(&rates, SECOND), Err(Duration::from_secs(19)));
        assert_eq!(used.take(&rates, 20 * SECOND), Ok(()));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut used = Used::default();
        assert_eq!([used.take(&[], 0), used.take(&[], 0)], [Ok(()), Ok(())]);
    }

    proptest! {
        /// Against a plain count of what passed in each window that ends with it.
        #[test]
        fn no_period_sees_more_than_twice_the_count_and_the_returned_wait_is_enough(
            count in 1u32..20, steps in prop::collection::vec(0u64..SECOND / 4, 1..200),
        ) {
            let (rates, mut used) = ([rate(count, 1)], Used::default());
            let (mut now, mut passed) = (0, Vec::new());
            for step in steps {
                now += step;
                match used.take(&rates, now) {
                    Ok(()) => passed.push(now),
                    Err(wait) => {
                        let wait = u64::try_from(wait.as_nanos()).unwrap();
                        prop_assert!(used.check(&rates, now + wait).is_ok());
                        prop_assert!(used.check(&rates, now + wait - 1).is_err());
                    }
                }
                let recent = passed.iter().filter(|at| now - **at < SECOND).count();
                prop_assert!(recent <= 2 * count as usize);
            }
            let allowed = u64::from(count) + now * u64::from(count) / SECOND + 1;
            prop_assert!(passed.len() as u64 <= allowed);
        }
    }
}
