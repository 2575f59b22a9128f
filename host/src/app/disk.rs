//! Whether the store's file system has too little free space, and when a person is told.
//!
//! It is told once; again only after a tenth more than the floor was free in between, so that space that
//! goes up and down around the floor is one event.

use crate::model::about_bytes;

/// What is free below the floor: told or not.
#[derive(Debug, Default)]
pub(super) struct Floor {
    told: bool,
}

impl Floor {
    /// Why to tell a person now, if so. A floor of zero is none.
    pub(super) fn look(&mut self, free_bytes: u64, floor_bytes: u64) -> Option<String> {
        if free_bytes >= floor_bytes {
            let over = floor_bytes.saturating_add(floor_bytes / 10);
            self.told &= floor_bytes > 0 && free_bytes < over;
            return None;
        }
        let told = std::mem::replace(&mut self.told, true);
        let (free, floor) = (about_bytes(free_bytes), about_bytes(floor_bytes));
        (!told).then(|| {
            format!("{free} free, less than store.free_low ({floor}); a full disk refuses requests")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_until_a_tenth_more_than_the_floor_is_free() {
        let mut floor = Floor::default();
        let told = [
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
        for (step, (free, tell)) in told.into_iter().enumerate() {
            assert_eq!(floor.look(free, 1000).is_some(), tell, "step {step}: {free}");
        }
    }

    #[test]
    fn no_floor_tells_nothing_and_forgets_what_was_told() {
        let mut floor = Floor::default();
        assert!(floor.look(5, 10).is_some());
        assert_eq!(floor.look(0, 0), None);
        assert!(floor.look(5, 10).is_some());
        assert!(Floor::default().look(0, u64::MAX).is_some());
        assert_eq!(Floor::default().look(u64::MAX, u64::MAX), None);
    }

    #[test]
    fn it_says_how_much_is_left_as_people_read_it() {
        let said = Floor::default().look(1_503_238_553, 2 << 30).unwrap();
        assert!(said.starts_with("1.3GiB free, less than store.free_low (2GiB)"), "{said}");
    }
}
