//! The symbols, the hash table that finds them, and their versions.

use std::collections::BTreeSet;

use object::elf::{
    DT_GNU_HASH, DT_HASH, DT_SYMTAB, DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM, DT_VERSYM,
    SHN_ABS, SHN_UNDEF, STT_GNU_IFUNC, STT_TLS, SymbolSection, SymbolType, gnu_hash,
};
use object::read::ReadRef;

use super::dynamic::{Dynamic, SYMBOL_BYTES};
use super::memory::{Damage, Memory, Numbers as _};

const SYMBOLS: Damage = Damage("its table of symbols is wrong");
const HASHES: Damage = Damage("its hash table of symbols is wrong");
const VERSIONS: Damage = Damage("its versions of symbols are wrong");
/// Of the hash table.
const HEADER_BYTES: u64 = 16;
/// Bits of the number of a version; the others are flags.
const VERSION_BITS: u16 = 0x7fff;
/// Versions that need no entry: of symbols that are local, and of those that have none.
const NO_VERSIONS: [u16; 2] = [0, 1];

/// One symbol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol {
    name: u32,
    kind: SymbolType,
    section: SymbolSection,
    /// Its address, if it is in this file and not of a thread.
    pub(super) address: Option<u64>,
    value: u64,
}

/// Every symbol, checked.
pub(super) fn read<'a, R: ReadRef<'a>>(
    memory: &Memory<R>,
    dynamic: &Dynamic<'a>,
    thread_bytes: u64,
) -> Result<Vec<Symbol>, Damage> {
    let table = dynamic.get(DT_SYMTAB).ok_or(SYMBOLS)?;
    let count = match dynamic.get(DT_GNU_HASH) {
        Some(at) => count_by_gnu_hash(memory, at)?,
        None => u64::from(word(memory, dynamic.get(DT_HASH).ok_or(HASHES)? + 4, HASHES)?),
    };
    let length = count.checked_mul(SYMBOL_BYTES).ok_or(SYMBOLS)?;
    let bytes = memory.read(table, length, SYMBOLS)?;
    let symbols: Vec<Symbol> = bytes.chunks_exact(24).filter_map(symbol).collect();
    for symbol in &symbols {
        dynamic.name(symbol.name.into())?;
        let sound = match (symbol.section, symbol.kind) {
            (SHN_UNDEF | SHN_ABS, _) => true,
            (_, STT_TLS) => symbol.value <= thread_bytes,
            (_, STT_GNU_IFUNC) => memory.is_code(symbol.value),
            _ => memory.is_address(symbol.value),
        };
        if !sound {
            return Err(SYMBOLS);
        }
    }
    if let Some(at) = dynamic.get(DT_GNU_HASH) {
        check_names(memory, dynamic, at, &symbols)?;
    }
    check_versions(memory, dynamic, count)?;
    Ok(symbols)
}

fn symbol(bytes: &[u8]) -> Option<Symbol> {
    let (kind, section, value) =
        (SymbolType(bytes.get(4)? & 15), SymbolSection(bytes.u16_at(6)?), bytes.u64_at(8)?);
    let here = section != SHN_UNDEF && section != SHN_ABS && kind != STT_TLS;
    Some(Symbol { name: bytes.u32_at(0)?, kind, section, value, address: here.then_some(value) })
}

fn word<'a, R: ReadRef<'a>>(memory: &Memory<R>, at: u64, damage: Damage) -> Result<u32, Damage> {
    memory.read(at, 4, damage)?.u32_at(0).ok_or(damage)
}

/// Where the parts of the table are.
struct GnuHash {
    buckets: u64,
    bucket_count: u32,
    first: u32,
    chains: u64,
}

fn gnu_hash_table<'a, R: ReadRef<'a>>(memory: &Memory<R>, at: u64) -> Result<GnuHash, Damage> {
    let header = memory.read(at, HEADER_BYTES, HASHES)?;
    let number = |at| header.u32_at(at).ok_or(HASHES);
    let (bucket_count, first, filter, shift) = (number(0)?, number(4)?, number(8)?, number(12)?);
    if bucket_count == 0 || !filter.is_power_of_two() || shift >= 64 {
        return Err(HASHES);
    }
    let buckets = at + HEADER_BYTES + u64::from(filter) * 8;
    let chains = buckets + u64::from(bucket_count) * 4;
    Ok(GnuHash { buckets, bucket_count, first, chains })
}

impl GnuHash {
    /// The first symbol of each bucket that has one.
    fn starts<'a, R: ReadRef<'a>>(&self, memory: &Memory<R>) -> Result<Vec<u32>, Damage> {
        let bytes = memory.read(self.buckets, u64::from(self.bucket_count) * 4, HASHES)?;
        let starts = bytes.chunks_exact(4).filter_map(|start| start.u32_at(0));
        let starts: Vec<u32> = starts.filter(|start| *start != 0).collect();
        let sound = starts.iter().all(|start| *start >= self.first);
        if sound { Ok(starts) } else { Err(HASHES) }
    }

    fn hash<'a, R: ReadRef<'a>>(&self, memory: &Memory<R>, symbol: u32) -> Result<u32, Damage> {
        word(memory, self.chains + u64::from(symbol - self.first) * 4, HASHES)
    }
}

/// The table does not say how many symbols there are: the last one ends the last chain.
fn count_by_gnu_hash<'a, R: ReadRef<'a>>(memory: &Memory<R>, at: u64) -> Result<u64, Damage> {
    let table = gnu_hash_table(memory, at)?;
    let Some(mut last) = table.starts(memory)?.into_iter().max() else {
        return Ok(table.first.into());
    };
    // The memory ends at the latest.
    while table.hash(memory, last)? & 1 == 0 {
        last = last.checked_add(1).ok_or(HASHES)?;
    }
    Ok(u64::from(last) + 1)
}

/// Each exported name has the hash that the table gives it.
fn check_names<'a, R: ReadRef<'a>>(
    memory: &Memory<R>,
    dynamic: &Dynamic<'a>,
    at: u64,
    symbols: &[Symbol],
) -> Result<(), Damage> {
    let table = gnu_hash_table(memory, at)?;
    let first = usize::try_from(table.first).map_err(|_| HASHES)?;
    for (symbol, number) in symbols.iter().skip(first).zip(table.first..) {
        let hash = gnu_hash(dynamic.name(symbol.name.into())?);
        if hash | 1 != table.hash(memory, number)? | 1 {
            return Err(HASHES);
        }
    }
    Ok(())
}

/// Each symbol has a version that a library is asked for, or that this file defines.
fn check_versions<'a, R: ReadRef<'a>>(
    memory: &Memory<R>,
    dynamic: &Dynamic<'a>,
    count: u64,
) -> Result<(), Damage> {
    let mut known: BTreeSet<u16> = NO_VERSIONS.into();
    needed_versions(memory, dynamic, &mut known)?;
    defined_versions(memory, dynamic, &mut known)?;
    let Some(at) = dynamic.get(DT_VERSYM) else { return Ok(()) };
    let bytes = memory.read(at, count * 2, VERSIONS)?;
    let mut numbers = bytes.chunks_exact(2).filter_map(|number| number.u16_at(0));
    let sound = numbers.all(|number| known.contains(&(number & VERSION_BITS)));
    if sound { Ok(()) } else { Err(VERSIONS) }
}

fn needed_versions<'a, R: ReadRef<'a>>(
    memory: &Memory<R>,
    dynamic: &Dynamic<'a>,
    known: &mut BTreeSet<u16>,
) -> Result<(), Damage> {
    let Some(mut at) = dynamic.get(DT_VERNEED) else { return Ok(()) };
    for entry in chain(dynamic.get(DT_VERNEEDNUM)) {
        let bytes = memory.read(at, 16, VERSIONS)?;
        let number = |at| bytes.u32_at(at).ok_or(VERSIONS);
        let (version, count) = (bytes.u16_at(0), bytes.u16_at(2));
        // The loader ends the process where no such library is loaded.
        if version != Some(1) || !dynamic.needs(dynamic.name(number(4)?.into())?) {
            return Err(VERSIONS);
        }
        let mut part = at + u64::from(number(8)?);
        for entry in chain(count.map(u64::from)) {
            let bytes = memory.read(part, 16, VERSIONS)?;
            let number = |at| bytes.u32_at(at).ok_or(VERSIONS);
            dynamic.name(number(8)?.into())?;
            known.insert(bytes.u16_at(6).ok_or(VERSIONS)? & VERSION_BITS);
            part += u64::from(number(12)?);
            ends_where_it_should(entry, number(12)?)?;
        }
        at += u64::from(number(12)?);
        ends_where_it_should(entry, number(12)?)?;
    }
    Ok(())
}

fn defined_versions<'a, R: ReadRef<'a>>(
    memory: &Memory<R>,
    dynamic: &Dynamic<'a>,
    known: &mut BTreeSet<u16>,
) -> Result<(), Damage> {
    let Some(mut at) = dynamic.get(DT_VERDEF) else { return Ok(()) };
    for entry in chain(dynamic.get(DT_VERDEFNUM)) {
        let bytes = memory.read(at, 20, VERSIONS)?;
        let number = |at| bytes.u32_at(at).ok_or(VERSIONS);
        if bytes.u16_at(0) != Some(1) {
            return Err(VERSIONS);
        }
        known.insert(bytes.u16_at(4).ok_or(VERSIONS)? & VERSION_BITS);
        let name = memory.read(at + u64::from(number(12)?), 8, VERSIONS)?;
        dynamic.name(name.u32_at(0).ok_or(VERSIONS)?.into())?;
        at += u64::from(number(16)?);
        ends_where_it_should(entry, number(16)?)?;
    }
    Ok(())
}

/// Whether each entry of a list of that length is the last one.
fn chain(count: Option<u64>) -> impl Iterator<Item = bool> {
    let count = count.unwrap_or(0);
    (0..count).map(move |entry| entry + 1 == count)
}

/// The step to the next entry is zero in the last one, and only there.
fn ends_where_it_should(is_last: bool, step: u32) -> Result<(), Damage> {
    if is_last == (step == 0) { Ok(()) } else { Err(VERSIONS) }
}
