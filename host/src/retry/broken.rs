//! Whether a target is broken, or only refuses one event.
//!
//! A firewall before a target may answer 403 to the words of one event. So one such verdict is a failed attempt like
//! any other. The target counts as broken once [`BROKEN_EVENTS`] different events got that verdict and none was
//! delivered in between, or once a check without an event says so.

use crate::model::EventId;

/// This many different events in a row, without a success, show that the target is broken.
pub const BROKEN_EVENTS: usize = 5;

/// The events that got the verdict "broken" since the last success.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    events: Vec<EventId>,
}

impl Evidence {
    /// An event got this verdict; returns whether the target is now known to be broken.
    pub fn add(&mut self, event: EventId) -> bool {
        if !self.is_enough() && !self.events.contains(&event) {
            self.events.push(event);
        }
        self.is_enough()
    }

    /// An event was delivered, or a person resumed the target.
    pub fn clear(&mut self) {
        self.events.clear();
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    const fn is_enough(&self) -> bool {
        self.events.len() >= BROKEN_EVENTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn event(number: u64) -> EventId {
        EventId::new(Timestamp::from_millis(1), 1, number)
    }

    #[test]
    fn one_event_is_never_enough_however_often_it_fails() {
        let mut evidence = Evidence::default();
        assert!((0..1_000).all(|_| !evidence.add(event(7))));
    }

    #[test]
    fn different_events_in_a_row_are_enough_and_a_success_starts_the_count_again() {
        let mut evidence = Evidence::default();
        let last = BROKEN_EVENTS as u64;
        assert!((1..last).all(|number| !evidence.add(event(number))));
        assert!(evidence.add(event(last)) && evidence.add(event(1)), "it stays so");
        evidence.clear();
        assert!(evidence.is_empty());
        assert!((1..last).all(|number| !evidence.add(event(number))));
    }
}
