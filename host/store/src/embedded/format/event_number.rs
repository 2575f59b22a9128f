//! The number of an event: the place of its request in the log, and its place in the request.

/// Bits of an event's number below the LSN of its frame: its place in the request.
pub(crate) const NUMBER_BITS: u32 = 10;

/// The number of the event at `place` of the request at `lsn`.
pub(crate) const fn number(lsn: u64, place: u16) -> u64 {
    (lsn << NUMBER_BITS) | place as u64
}

/// The frame that a number's event is in.
pub(crate) const fn lsn_of(number: u64) -> u64 {
    number >> NUMBER_BITS
}
