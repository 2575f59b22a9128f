//! Counts failures of one kind, one after another, so that a failure which repeats does not fill the log: the first is
//! logged at once, later ones ever more rarely with their count.

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Repeated {
    count: u64,
}

impl Repeated {
    /// It failed again. How often in a row, if that is worth a line.
    pub(crate) fn again(&mut self) -> Option<u64> {
        self.count = self.count.saturating_add(1);
        self.count.is_power_of_two().then_some(self.count)
    }

    /// It succeeded: the next failure is a first one.
    pub(crate) const fn end(&mut self) {
        self.count = 0;
    }

    pub(crate) const fn count(self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_logged_and_then_ever_fewer() {
        let mut failed = Repeated::default();
        let lines = (0..5_000).filter_map(|_| failed.again()).collect::<Vec<_>>();
        assert_eq!(lines[..4], [1, 2, 4, 8]);
        assert_eq!(lines.len(), 13);
        failed.end();
        assert_eq!(failed.again(), Some(1));
    }
}
