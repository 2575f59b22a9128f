//! The limits of the engine that no setting changes.

/// A time in milliseconds.
pub(crate) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Cuts a text at a character's start.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Smallest size of a log segment that a setting may choose.
pub const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// Largest size of a log segment that a setting may choose.
pub const SEGMENT_BYTES_MAX: u64 = 2 << 30;

/// Most requests that wait for the disk; one more is refused.
pub(crate) const WAITING_REQUESTS_MAX: usize = 4_096;

/// Most bytes of requests that wait for the disk.
pub(crate) const WAITING_BYTES_MAX: usize = 128 << 20;

/// Most requests of one group commit.
pub(crate) const GROUP_REQUESTS_MAX: usize = 1_024;

/// A group commit takes no further request above this many bytes.
pub(crate) const GROUP_BYTES_MAX: usize = 4 << 20;

/// Most bytes of requests kept in memory for targets that keep up.
pub(crate) const TAIL_BYTES_MAX: usize = 8 << 20;

/// Most deliveries of a target between its cursor and its reader, and most claimed rows.
pub(crate) const WINDOW_MAX: usize = 4_096;

/// Above this many settled deliveries behind one that is still being attempted, that one gets a row.
pub(crate) const SETTLED_AHEAD_MAX: usize = WINDOW_MAX / 4;

/// Most deliveries behind a target's cursor that a person may drop one by one: a target that stands still reads
/// no further when its window is full.
pub(crate) const OUT_OF_ORDER_MAX: usize = WINDOW_MAX / 2;

/// A claim takes no further delivery above this many bytes of data.
pub(crate) const CLAIM_BYTES_MAX: usize = 8 << 20;

/// A settlement record takes no further outcome above this many bytes.
pub(crate) const SETTLEMENT_BYTES_MAX: usize = 128 << 10;

/// A record of a digest's outcomes is whole up to this many bytes.
pub(crate) const DIGEST_BYTES_MAX: usize = 400 << 10;

/// Outcomes written without a sync are synced after this time …
pub(crate) const LAZY_MS_MAX: u64 = 1_000;

/// … or above this many bytes of records, whichever is first.
pub(crate) const LAZY_BYTES_MAX: usize = 1 << 20;

/// While the disk refuses to write, outcomes above this many bytes of records are refused as well.
pub(crate) const LAZY_BYTES_REFUSED: usize = 16 << 20;

/// Bytes of receipt kept; a longer id is cut, further fields are left out.
pub(crate) const RECEIPT_BYTES_MAX: usize = 4_096;

/// Most names of targets that the store knows at once. Names of which nothing is left are forgotten when room for
/// others is needed.
pub const TARGETS_MAX: usize = 4_096;

/// How many of the last registrations have targets in use: a target that a reload ends may still run for a while.
pub(crate) const REGISTRATIONS_IN_USE: usize = 3;

/// Longest name of a target, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// The largest request frame that a segment of `capacity` bytes takes.
pub(crate) const fn request_bytes_max(capacity: u64) -> u64 {
    capacity / 2
}
