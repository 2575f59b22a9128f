//! Whether the store's file system has too little free space, and when to raise the alarm.
//!
//! The alarm is raised once. It can be raised again after a tenth more than the floor was free, so that
//! space that moves up and down around the floor is one alarm.

use crate::model::about_bytes;

/// Whether the alarm for low space was raised.
#[derive(Debug, Default)]
pub(super) struct LowSpace {
    raised: bool,
}

impl LowSpace {
    /// The reason if the alarm is to be raised now. With a floor of zero it never is.
    pub(super) fn check(&mut self, free_bytes: u64, floor_bytes: u64) -> Option<String> {
        if free_bytes >= floor_bytes {
            let enough = floor_bytes.saturating_add(floor_bytes / 10);
            self.raised &= floor_bytes > 0 && free_bytes < enough;
            return None;
        }
        let raised = std::mem::replace(&mut self.raised, true);
        let (free, floor) = (about_bytes(free_bytes), about_bytes(floor_bytes));
        (!raised).then(|| {
            format!("{free} free, less than store.free_low ({floor}); a full disk refuses requests")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_is_raised_once_until_a_tenth_more_than_the_floor_is_free() {
        let mut low_space = LowSpace::default();
        let checks = [
            (1000, false),
            (999, true),
            (10, false),
            (1000, false),
            (1099, false),
            (999, false),
            (1100, false),
            (999, true),
            (0, false),
        ];
        for (step, (free, raised)) in checks.into_iter().enumerate() {
            assert_eq!(low_space.check(free, 1000).is_some(), raised, "step {step}: {free}");
        }
    }

    #[test]
    fn a_floor_of_zero_raises_nothing_and_ends_an_alarm() {
        let mut low_space = LowSpace::default();
        assert!(low_space.check(5, 10).is_some());
        assert_eq!(low_space.check(0, 0), None);
        assert!(low_space.check(5, 10).is_some());
        assert!(LowSpace::default().check(0, u64::MAX).is_some());
        assert_eq!(LowSpace::default().check(u64::MAX, u64::MAX), None);
    }

    #[test]
    fn sizes_are_shown_as_people_read_them() {
        let reason = LowSpace::default().check(1_503_238_553, 2 << 30).unwrap();
        assert!(reason.starts_with("1.3GiB free, less than store.free_low (2GiB)"), "{reason}");
    }
}
