//! Delivers events from the queue to their targets.
//!
//! Each target has one task that claims deliveries, calls the backend, decides by the target's policy and settles.
//! Targets share only the threads, so a target that is slow, down, panics or hangs affects no other.
//! - At most `concurrency` calls of a target run at once, each with a deadline. A call that has not ended
//!   [`CUT_MARGIN`](settings::CUT_MARGIN) after its deadline is cut: its deliveries count as maybe sent, and it counts towards
//!   `concurrency` until its code really ends.
//! - A call that blocks its thread keeps that thread; the runtime starts another one in its place.
//! - Every claimed delivery is settled, or its lease ends and it is delivered again: at least once.
//! - A target that fails as a whole is probed with one delivery at a time, while its backlog waits. A failed probe
//!   is retried like any other delivery, so an event that always fails moves out of the way of the others.
//! - A target that is known to be broken is held in the store until a person resumes it; one event that is refused is
//!   retried like any other.
//! - A target has one task at a time. Its replacement claims nothing before the old task has ended, at most some
//!   seconds after the grace period. Only the code of a cut call that blocks its thread can outlive that.

mod backend;
mod call_slots;
mod calls;
mod clock;
mod deliverer;
mod digest;
mod earlier;
mod log_lines;
mod outcome_writer;
mod report;
mod sequence;
mod settings;
mod target;
mod target_task;
#[cfg(test)]
mod tests;
mod tried;

pub use backend::Backend;
pub use deliverer::{Deliverer, worker_threads};
pub use digest::{Attribute, DigestSettings};
pub use settings::Settings;
