//! The types that every layer shares: events, identifiers, severities, verdicts.
//!
//! Plain data without I/O, clock or randomness. Depends on no other crate of the workspace.

pub mod base64;
mod cidr;
mod counted;
mod coverage;
mod event;
mod id;
mod masker;
mod printable;
mod repetition;
mod secret;
mod severity;
mod size;
mod time;
mod verdict;

/// The source of the daemon's own events. No configured source may have this name.
pub const OWN_SOURCE: &str = "dispatcher";

pub use cidr::{Cidr, InvalidCidr};
pub use counted::{count, counted};
pub use coverage::{Coverage, SignedBody, SignedParts};
pub use event::{
    Attributes, Delivery, Digest, Event, HEADER_BYTES_MAX, HEADERS_MAX, Headers, Planned, Request,
    Shape, StoredEvent, TargetNumber, Unrouted,
};
pub use id::{EventId, InvalidEventId};
pub use masker::{Masker, PART_BYTES};
pub use printable::printable;
pub use repetition::{KeyHasher, RepetitionKey, RepetitionSeed};
pub use secret::{Secret, sounds_secret};
pub use severity::Severity;
pub use size::about_bytes;
pub use time::Timestamp;
pub use verdict::{Failure, FailureKind, PROGRESS_BYTES_MAX, REASON_BYTES_MAX, Receipt, Verdict};
