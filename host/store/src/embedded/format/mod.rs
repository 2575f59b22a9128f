//! The bytes of the log: frames, records, segment headers, and the numbers of events. No I/O.

pub(super) mod clock_list;
pub(super) mod entry;
pub(super) mod event_number;
pub(super) mod frame;
pub(super) mod lineage;
pub(super) mod record;
pub(super) mod repetition_key;
pub(super) mod runs;
pub(super) mod segment_header;
pub(super) mod stored_request;
