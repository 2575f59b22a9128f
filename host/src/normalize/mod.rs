//! Reads events and their attributes from a body, in one form for all senders.
//!
//! Pure. A body is a JSON array of events, or one object, which may hold the array. It is split without
//! being changed: each event keeps exactly its own bytes, as a slice of the body. Inside an event any key
//! may be missing, null or of another type, and a number may have any size: that is never an error, only a
//! reason to fall back. A body is refused only if it is not such a document, is nested deeper than
//! [`DEPTH_MAX`] or has more events than the source allows ([`EVENTS_MAX`]). A form is kept whole and read as if it were an
//! object (`body`). Where attributes are is data: a [`Record`] for each sender, which `config` reads from
//! the vendors' files or from the configuration. What no signature covers decides nothing: see [`Unsigned`] and
//! [`Reading`]. Nothing here recurses over the input.

mod body;
mod charset;
mod coverage;
mod event;
mod fields;
mod fixed;
mod form;
mod malformed;
mod media;
mod paths;
mod record;
mod repetition;
mod sample;
mod sender;
mod sorted_form;
mod split;
mod sqreen;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod type_by_keys;
mod words;

pub use body::{Reading, is_readable};
pub use coverage::{Instead, Unsigned, UnsignedTypes};
pub use event::{Input, NOT_AN_OBJECT, Normalized, normalize, normalize_up_to};
pub use fixed::Fixed;
pub use malformed::{DEPTH_MAX, EVENTS_LIMIT, EVENTS_MAX, FORM_FIELDS_MAX, Malformed};
pub use media::{Content, media_type, media_type_in_utf8};
pub use paths::{InvalidPath, has_valid_escapes};
pub use record::{
    InvalidRecord, Record, TEMPLATES_MAX, TYPE_UNKNOWN, UNSIGNED_TYPE_BYTES_MAX, UNSIGNED_TYPES_MAX,
};
pub use repetition::Repetition;
pub use sample::Sample;
pub use sender::{RetryHabit, Sender};
pub use template::{InvalidTemplate, TEMPLATE_BYTES_MAX};
pub use type_by_keys::{ONLY, TYPE_CONDITIONS_MAX, TYPES_BY_KEYS_MAX};
