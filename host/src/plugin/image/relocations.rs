//! What the loader writes into the memory of a file, and the functions that it calls then.

use std::collections::BTreeMap;

use object::elf::{
    DT_FINI_ARRAY, DT_FINI_ARRAYSZ, DT_INIT_ARRAY, DT_INIT_ARRAYSZ, DT_JMPREL, DT_PLTRELSZ,
    DT_RELA, DT_RELACOUNT, DT_RELASZ, DT_RELR, DT_RELRSZ, DynamicTag, R_AARCH64_ABS64,
    R_AARCH64_GLOB_DAT, R_AARCH64_IRELATIVE, R_AARCH64_JUMP_SLOT, R_AARCH64_RELATIVE,
    R_AARCH64_TLS_DTPMOD, R_AARCH64_TLS_DTPREL, R_AARCH64_TLS_TPREL, R_AARCH64_TLSDESC,
    R_X86_64_64, R_X86_64_DTPMOD64, R_X86_64_DTPOFF64, R_X86_64_GLOB_DAT, R_X86_64_IRELATIVE,
    R_X86_64_JUMP_SLOT, R_X86_64_RELATIVE, R_X86_64_TLSDESC, R_X86_64_TPOFF64, RelocationType,
};
use object::read::ReadRef;

use super::dynamic::{Dynamic, RELA_BYTES};
use super::memory::{Damage, Memory, Numbers as _};
use super::symbols::Symbol;

const DAMAGE: Damage = Damage("its relocations are wrong");
const CALLS: Damage = Damage("its functions that run at the start are wrong");
/// Bytes of an address.
const WORD_BYTES: u64 = 8;

/// What is written at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An address of this file.
    Relative,
    /// What a function of this file returns.
    Called,
    /// The address of a symbol.
    Symbol,
    /// Facts about a variable of a thread: so many bytes.
    Thread(u64),
}

fn kind(number: RelocationType) -> Option<Kind> {
    let x86 = cfg!(target_arch = "x86_64");
    Some(match number {
        R_X86_64_RELATIVE if x86 => Kind::Relative,
        R_X86_64_IRELATIVE if x86 => Kind::Called,
        R_X86_64_64 | R_X86_64_GLOB_DAT | R_X86_64_JUMP_SLOT if x86 => Kind::Symbol,
        R_X86_64_DTPMOD64 | R_X86_64_DTPOFF64 | R_X86_64_TPOFF64 if x86 => Kind::Thread(8),
        R_X86_64_TLSDESC if x86 => Kind::Thread(16),
        R_AARCH64_RELATIVE if !x86 => Kind::Relative,
        R_AARCH64_IRELATIVE if !x86 => Kind::Called,
        R_AARCH64_ABS64 | R_AARCH64_GLOB_DAT | R_AARCH64_JUMP_SLOT if !x86 => Kind::Symbol,
        R_AARCH64_TLS_DTPMOD | R_AARCH64_TLS_DTPREL | R_AARCH64_TLS_TPREL if !x86 => {
            Kind::Thread(8)
        }
        R_AARCH64_TLSDESC if !x86 => Kind::Thread(16),
        _ => return None,
    })
}

/// Places that are written, with their length and the address that is written, if that is known.
type Written = BTreeMap<u64, (u64, Option<u64>)>;

/// Checks all of them, and the functions that are called.
pub(super) fn check<'a, R: ReadRef<'a>>(
    memory: &Memory<R>,
    dynamic: &Dynamic<'a>,
    symbols: &[Symbol],
) -> Result<(), Damage> {
    let mut written = Written::new();
    let (all, calls) = (
        dynamic.table(memory, DT_RELA, DT_RELASZ)?,
        dynamic.table(memory, DT_JMPREL, DT_PLTRELSZ)?,
    );
    let relative = dynamic.get(DT_RELACOUNT).unwrap_or(0);
    if relative > all.len() as u64 / RELA_BYTES {
        return Err(DAMAGE);
    }
    // The loader does not look at the kind of the first ones.
    for (entry, number) in all.chunks(24).zip(0..) {
        let kind = add(memory, symbols, entry, &mut written)?;
        if number < relative && kind != Kind::Relative {
            return Err(DAMAGE);
        }
    }
    for entry in calls.chunks(24) {
        add(memory, symbols, entry, &mut written)?;
    }
    add_packed(memory, dynamic.table(memory, DT_RELR, DT_RELRSZ)?, &mut written)?;
    check_places(memory, dynamic, &written)?;
    check_calls(memory, dynamic, &written, (DT_INIT_ARRAY, DT_INIT_ARRAYSZ))?;
    check_calls(memory, dynamic, &written, (DT_FINI_ARRAY, DT_FINI_ARRAYSZ))
}

/// Adds one relocation.
fn add<'a, R: ReadRef<'a>>(
    memory: &Memory<R>,
    symbols: &[Symbol],
    entry: &[u8],
    written: &mut Written,
) -> Result<Kind, Damage> {
    let number = |at| entry.u64_at(at).ok_or(DAMAGE);
    let (place, addend) = (number(0)?, number(16)?);
    let (which, symbol) = (entry.u32_at(8).ok_or(DAMAGE)?, entry.u32_at(12).ok_or(DAMAGE)?);
    let kind = kind(RelocationType(which)).ok_or(DAMAGE)?;
    let symbol = symbols.get(usize::try_from(symbol).map_err(|_| DAMAGE)?);
    let own = |symbol: &Symbol| symbol.address.map(|address| address.wrapping_add(addend));
    let (length, value) = match kind {
        Kind::Relative => (WORD_BYTES, Some(addend)),
        Kind::Called if memory.is_code(addend) => (WORD_BYTES, None),
        Kind::Called => return Err(DAMAGE),
        Kind::Symbol => (WORD_BYTES, symbol.and_then(own)),
        Kind::Thread(length) => (length, None),
    };
    let sound = symbol.is_some() && value.is_none_or(|value| memory.is_address(value));
    if !sound || written.insert(place, (length, value)).is_some() {
        return Err(DAMAGE);
    }
    Ok(kind)
}

/// Addresses of this file in their short form: a place, then bits for the 63 words after it, and so on.
fn add_packed<'a, R: ReadRef<'a>>(
    memory: &Memory<R>,
    table: &[u8],
    written: &mut Written,
) -> Result<(), Damage> {
    let mut next: u64 = 0;
    for entry in table.chunks(8) {
        let entry = entry.u64_at(0).ok_or(DAMAGE)?;
        let places: Vec<u64> = if entry & 1 == 0 {
            next = entry.checked_add(WORD_BYTES).ok_or(DAMAGE)?;
            vec![entry]
        } else {
            let from = next;
            next = next.checked_add(63 * WORD_BYTES).ok_or(DAMAGE)?;
            let set = (0..63).filter(|bit| entry >> (bit + 1) & 1 == 1);
            set.map(|bit| from + bit * WORD_BYTES).collect()
        };
        for place in places {
            let value = memory.read(place, WORD_BYTES, DAMAGE)?.u64_at(0).ok_or(DAMAGE)?;
            if !memory.is_address(value)
                || written.insert(place, (WORD_BYTES, Some(value))).is_some()
            {
                return Err(DAMAGE);
            }
        }
    }
    Ok(())
}

/// Each place is writable, none is written twice, and the list of tables is not written.
fn check_places<'a, R: ReadRef<'a>>(
    memory: &Memory<R>,
    dynamic: &Dynamic<'_>,
    written: &Written,
) -> Result<(), Damage> {
    let (list, list_length) = dynamic.place;
    let mut free = 0;
    for (place, (length, _)) in written {
        let end = place.checked_add(*length).ok_or(DAMAGE)?;
        let in_list = *place < list + list_length && end > list;
        if *place < free || in_list || !memory.is_writable(*place, *length) {
            return Err(DAMAGE);
        }
        free = end;
    }
    Ok(())
}

/// Each entry of a list of functions is one.
fn check_calls<'a, R: ReadRef<'a>>(
    memory: &Memory<R>,
    dynamic: &Dynamic<'a>,
    written: &Written,
    (at, size): (DynamicTag, DynamicTag),
) -> Result<(), Damage> {
    let (Some(at), Some(size)) = (dynamic.get(at), dynamic.get(size)) else { return Ok(()) };
    let end = at.checked_add(size).ok_or(CALLS)?;
    if size % WORD_BYTES != 0 || !memory.is_writable(at, size) {
        return Err(CALLS);
    }
    for place in (at..end).step_by(8) {
        let sound = match written.get(&place) {
            Some((_, Some(function))) => memory.is_code(*function),
            // A symbol of another library.
            Some((_, None)) => true,
            None => false,
        };
        if !sound {
            return Err(CALLS);
        }
    }
    Ok(())
}
