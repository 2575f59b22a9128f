//! How much space is kept free, and how much of it is reserved for outcomes.

/// The reserve is a quarter of a segment, at most this.
const RESERVE_BYTES_MAX: u64 = 4 << 20;

/// The floor unless it is configured: two segments or this, whichever is more …
const FLOOR_BYTES: u64 = 256 << 20;

/// … but at most this part of the file system.
const FLOOR_PART: u64 = 20;

pub(super) fn reserve_bytes(segment_bytes: u64) -> u64 {
    (segment_bytes / 4).min(RESERVE_BYTES_MAX)
}

/// Requests are refused when fewer bytes than this are free.
pub(super) fn floor_bytes(chosen: Option<u64>, segment_bytes: u64, total_bytes: u64) -> u64 {
    chosen.unwrap_or_else(|| {
        segment_bytes.saturating_mul(2).max(FLOOR_BYTES).min(total_bytes / FLOOR_PART)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_floor_fits_the_disk_unless_it_was_chosen() {
        for (segment, total, floor) in [
            (64 * MIB, u64::MAX, 256 * MIB),
            (512 * MIB, u64::MAX, 1024 * MIB),
            (64 * MIB, 1000 * MIB, 50 * MIB),
            (MIB, 0, 0),
        ] {
            assert_eq!(floor_bytes(None, segment, total), floor, "{segment} {total}");
            assert_eq!(floor_bytes(Some(7), segment, total), 7);
        }
    }
}
