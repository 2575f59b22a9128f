//! Which targets get an event, and why the others do not.
//!
//! Pure. A target without rules gets every event. Otherwise one of its rules must match, and a rule matches if all of
//! its conditions do. A disabled target gets nothing. The targets that a source can reach are computed once, so an
//! event costs only the rules that may match. Reasons are only written when they are read: if no target matched, or by
//! [`Router::explain`].

mod pattern;
mod router;
mod rule;

pub use pattern::{InvalidPattern, TypePattern};
pub use router::{Router, TargetRoute};
pub use rule::{Rule, own_severity};

#[cfg(test)]
mod tests;
