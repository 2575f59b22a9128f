//! The table that finds the description of a function when a panic unwinds.

use object::read::ReadRef;

use super::memory::{Damage, Memory, Numbers as _};

const DAMAGE: Damage = Damage("its table for panics is wrong");
/// Version; then how three things are written: the address of the descriptions, the count, the entries.
const USUAL: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
/// Before the entries.
const HEADER_BYTES: u64 = 12;
const ENTRY_BYTES: u64 = 8;

/// Checks that it is sorted by function, and that each function and description is in the file. A table that is not
/// written the usual way is not checked.
pub(super) fn check<'a, R: ReadRef<'a>>(
    memory: &Memory<R>,
    at: u64,
    length: u64,
) -> Result<(), Damage> {
    let bytes = memory.read(at, length, DAMAGE)?;
    if !bytes.starts_with(&USUAL) {
        return if bytes.first() == Some(&USUAL[0]) { Ok(()) } else { Err(DAMAGE) };
    }
    let count = u64::from(bytes.u32_at(8).ok_or(DAMAGE)?);
    let entries = usize::try_from(HEADER_BYTES).ok().and_then(|header| bytes.get(header..));
    let entries = entries.ok_or(DAMAGE)?;
    if count * ENTRY_BYTES > entries.len() as u64 {
        return Err(DAMAGE);
    }
    let mut last = 0;
    for (entry, _) in entries.chunks_exact(8).zip(0..count) {
        let relative = |from: usize| {
            let distance = entry.u32_at(from).map(u32::cast_signed).ok_or(DAMAGE)?;
            at.checked_add_signed(distance.into()).ok_or(DAMAGE)
        };
        let (function, description) = (relative(0)?, relative(4)?);
        if function < last || !memory.is_code(function) {
            return Err(DAMAGE);
        }
        memory.read(description, ENTRY_BYTES, DAMAGE)?;
        last = function;
    }
    Ok(())
}
