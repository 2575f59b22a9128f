//! The list of tables, with their places and sizes.

use std::collections::BTreeMap;

use object::elf::{
    DT_FINI, DT_FINI_ARRAY, DT_FINI_ARRAYSZ, DT_GNU_HASH, DT_HASH, DT_INIT, DT_INIT_ARRAY,
    DT_INIT_ARRAYSZ, DT_JMPREL, DT_NEEDED, DT_NULL, DT_PLTGOT, DT_PLTREL, DT_PLTRELSZ, DT_REL,
    DT_RELA, DT_RELAENT, DT_RELASZ, DT_RELR, DT_RELRENT, DT_RELRSZ, DT_RPATH, DT_RUNPATH,
    DT_SONAME, DT_STRSZ, DT_STRTAB, DT_SYMENT, DT_SYMTAB, DT_VERDEF, DT_VERDEFNUM, DT_VERNEED,
    DT_VERNEEDNUM, DynamicTag,
};
use object::read::ReadRef;

use super::memory::{Damage, Memory, Numbers as _};

pub(super) const DAMAGE: Damage = Damage("its list of tables is wrong");
/// Bytes of an entry of the list.
const ENTRY_BYTES: usize = 16;
/// Bytes of one relocation, and of one symbol.
pub(super) const RELA_BYTES: u64 = 24;
pub(super) const SYMBOL_BYTES: u64 = 24;
/// The tags that belong together: all of a row, or none.
const TOGETHER: [&[DynamicTag]; 7] = [
    &[DT_RELA, DT_RELASZ, DT_RELAENT],
    &[DT_JMPREL, DT_PLTRELSZ, DT_PLTREL],
    &[DT_RELR, DT_RELRSZ, DT_RELRENT],
    &[DT_INIT_ARRAY, DT_INIT_ARRAYSZ],
    &[DT_FINI_ARRAY, DT_FINI_ARRAYSZ],
    &[DT_VERNEED, DT_VERNEEDNUM],
    &[DT_VERDEF, DT_VERDEFNUM],
];
/// The only values that they may have.
const FIXED: [(DynamicTag, u64); 4] = [
    (DT_RELAENT, RELA_BYTES),
    (DT_RELRENT, 8),
    (DT_SYMENT, SYMBOL_BYTES),
    (DT_PLTREL, DT_RELA.0.cast_unsigned()),
];

/// The entries by their tags.
#[derive(Debug)]
pub(super) struct Dynamic<'a> {
    values: BTreeMap<DynamicTag, u64>,
    needed: Vec<u64>,
    /// Where the list is in memory.
    pub(super) place: (u64, u64),
    strings: &'a [u8],
}

impl<'a> Dynamic<'a> {
    pub(super) fn read<R: ReadRef<'a>>(
        memory: &Memory<R>,
        place: (u64, u64),
    ) -> Result<Self, Damage> {
        let (at, length) = place;
        // The loader replaces offsets by addresses there.
        if !memory.is_writable(at, length) {
            return Err(DAMAGE);
        }
        let bytes = memory.read(at, length, DAMAGE)?;
        let (mut values, mut needed, mut ended) = (BTreeMap::new(), Vec::new(), false);
        for entry in bytes.chunks_exact(ENTRY_BYTES) {
            let (Some(tag), Some(value)) = (entry.u64_at(0), entry.u64_at(8)) else { break };
            let tag = DynamicTag(tag.cast_signed());
            if tag == DT_NULL {
                ended = true;
                break;
            }
            if tag == DT_NEEDED {
                needed.push(value);
            } else if values.insert(tag, value).is_some() {
                return Err(DAMAGE);
            }
        }
        let mut dynamic = Self { values, needed, place, strings: &[] };
        let required = [DT_STRTAB, DT_STRSZ, DT_SYMTAB, DT_SYMENT];
        if !ended || required.iter().any(|tag| dynamic.get(*tag).is_none()) {
            return Err(DAMAGE);
        }
        dynamic.strings = dynamic.table(memory, DT_STRTAB, DT_STRSZ)?;
        dynamic.check(memory).map(|()| dynamic)
    }

    fn check<R: ReadRef<'a>>(&self, memory: &Memory<R>) -> Result<(), Damage> {
        let has = |tag: &DynamicTag| self.get(*tag).is_some();
        let complete = TOGETHER.iter().all(|row| row.iter().all(has) || !row.iter().any(has));
        let fixed = FIXED.iter().all(|(tag, only)| self.get(*tag).is_none_or(|is| is == *only));
        let is_code = |tag| self.get(tag).is_none_or(|at| memory.is_code(at));
        let sound = complete
            && fixed
            && self.get(DT_REL).is_none()
            && (has(&DT_HASH) || has(&DT_GNU_HASH))
            && is_code(DT_INIT)
            && is_code(DT_FINI)
            && self.get(DT_PLTGOT).is_none_or(|at| memory.is_writable(at, 8));
        if !sound || self.strings.last() != Some(&0) {
            return Err(DAMAGE);
        }
        let names = [DT_SONAME, DT_RPATH, DT_RUNPATH].into_iter().filter_map(|tag| self.get(tag));
        names.chain(self.needed.iter().copied()).try_for_each(|at| self.name(at).map(|_| ()))
    }

    pub(super) fn get(&self, tag: DynamicTag) -> Option<u64> {
        self.values.get(&tag).copied()
    }

    /// The table at one tag, with the size of another; empty if there is none.
    pub(super) fn table<R: ReadRef<'a>>(
        &self,
        memory: &Memory<R>,
        at: DynamicTag,
        size: DynamicTag,
    ) -> Result<&'a [u8], Damage> {
        match (self.get(at), self.get(size)) {
            (Some(at), Some(size)) => memory.read(at, size, DAMAGE),
            _ => Ok(&[]),
        }
    }

    /// A name, without its NUL.
    pub(super) fn name(&self, at: u64) -> Result<&'a [u8], Damage> {
        let from = usize::try_from(at).ok().and_then(|at| self.strings.get(at..));
        from.and_then(|text| text.split(|byte| *byte == 0).next()).ok_or(DAMAGE)
    }

    /// Whether another library of that name is loaded with it.
    pub(super) fn needs(&self, name: &[u8]) -> bool {
        self.needed.iter().any(|at| self.name(*at) == Ok(name))
    }
}
