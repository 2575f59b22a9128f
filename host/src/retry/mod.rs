//! Decides what follows an attempt: delivered, again later, dead, or hold the whole target.
//!
//! Pure: time and randomness are arguments, so every case is a row in a table.
//! - A delivery gets at least one attempt, and is never given up by time before its policy's
//!   `give_up_after` has passed since its first attempt; the last attempt is made at that limit.
//! - No wait is longer than `backoff_max`, unless the destination asked for more (at most
//!   [`AFTER_MAX`]).
//! - [`Breaker`] holds a target that fails as a whole, so that its backlog costs no attempts.

mod breaker;
mod decide;
mod policy;
#[cfg(test)]
mod tests;

pub use breaker::{Breaker, Cause, Change, FAILURES_TO_OPEN, PROBE_MAX, PROBE_MIN, Permit, Sign};
pub use decide::{AFTER_MAX, Decision, decide};
pub use policy::{BACKOFF_MIN, InvalidPolicy, MaybeSent, Policy, SCHEDULE_WAITS_MAX, schedule};
