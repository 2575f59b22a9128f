//! The checks in their order, from the segments to what is written into them.

use object::Endianness;
use object::elf::{ET_DYN, PT_DYNAMIC, PT_GNU_EH_FRAME, PT_GNU_RELRO, PT_TLS};
use object::read::ReadRef;
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader};

use super::dynamic::{self, Dynamic};
use super::memory::{Damage, Memory};
use super::{relocations, symbols, unwinding};

const THREADS: Damage = Damage("its variables of threads are wrong");
const PROTECTED: Damage = Damage("its protected part is wrong");
/// Most memory that a plugin may take for each thread.
const THREAD_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Strictest alignment of that memory.
const THREAD_ALIGN_MAX: u64 = 4096;

/// Checks a file of `length` bytes.
pub(in crate::plugin) fn check<'a, R: ReadRef<'a>>(data: R, length: u64) -> Result<(), Damage> {
    let file = ElfFile64::<Endianness, R>::parse(data).map_err(|_| dynamic::DAMAGE)?;
    let endian = file.endian();
    if file.elf_header().e_type(endian) != ET_DYN || endian != Endianness::Little {
        return Err(dynamic::DAMAGE);
    }
    let memory = Memory::new(&file, data, length)?;
    let only = |kind| {
        let mut found = file.elf_program_headers().iter().filter(|h| h.p_type(endian) == kind);
        (found.next(), found.next().is_none())
    };
    let (Some(list), true) = only(PT_DYNAMIC) else { return Err(dynamic::DAMAGE) };
    let place = (list.p_vaddr(endian), list.p_memsz(endian));
    let dynamic = Dynamic::read(&memory, place)?;
    let thread_bytes = match only(PT_TLS) {
        (None, _) => 0,
        (Some(header), true) => {
            let (size, align) = (header.p_memsz(endian), header.p_align(endian));
            memory.read(header.p_vaddr(endian), header.p_filesz(endian), THREADS)?;
            let aligned = align == 0 || align.is_power_of_two() && align <= THREAD_ALIGN_MAX;
            if !aligned || size > THREAD_BYTES_MAX || header.p_filesz(endian) > size {
                return Err(THREADS);
            }
            size
        }
        (Some(_), false) => return Err(THREADS),
    };
    if let (Some(header), alone) = only(PT_GNU_RELRO)
        && !(alone && memory.is_writable(header.p_vaddr(endian), header.p_memsz(endian)))
    {
        return Err(PROTECTED);
    }
    if let (Some(header), _) = only(PT_GNU_EH_FRAME) {
        unwinding::check(&memory, header.p_vaddr(endian), header.p_memsz(endian))?;
    }
    let symbols = symbols::read(&memory, &dynamic, thread_bytes)?;
    relocations::check(&memory, &dynamic, &symbols)
}
