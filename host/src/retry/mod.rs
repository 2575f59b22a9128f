//! Decides what follows an attempt: delivered, a retry, a dead letter, or a wait of the whole target.
//!
//! Pure: time and randomness are arguments, so every case is a row in a table.
//! - A delivery gets at least one attempt. Time gives it up only after `give_up_after` of its policy has passed since
//!   its first attempt. The last attempt is made at that limit.
//! - No wait is longer than `backoff_max`, unless the destination asked for more, up to [`AFTER_MAX`].
//! - [`Breaker`] is the circuit breaker: it stops deliveries to a target that fails as a whole, so that its backlog
//!   costs no attempts.
//! - [`Evidence`] decides when a target counts as broken, and [`Health`] what its attempts show of it.

mod breaker;
mod broken;
mod decide;
mod health;
mod policy;
#[cfg(test)]
mod tests;
pub mod verdicts;

#[cfg(test)]
pub(crate) use breaker::{
    BROKEN_PROBE_MAX, BROKEN_PROBE_MIN, FAILURES_TO_OPEN, PROBE_MAX, REJECTIONS_TO_OPEN,
};
pub use breaker::{Breaker, Cause, Change, Permit, Sign};
#[cfg(test)]
pub(crate) use broken::{BROKEN_AFTER, BROKEN_EVENTS, SUSPECTED_EVENTS};
pub use broken::{Evidence, Finding};
pub use decide::{AFTER_MAX, Decision, FinishedAttempt, decide};
#[cfg(test)]
pub(crate) use health::UNPROVEN_MAX;
pub use health::{Health, Standing};
pub use policy::{BACKOFF_MIN, MaybeSent, Policy, SCHEDULE_WAITS_MAX, schedule};
