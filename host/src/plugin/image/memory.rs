//! The segments of a file as they will be in memory, and reading from them.

use object::Endianness;
use object::elf::{PF_W, PF_X, PT_LOAD};
use object::read::ReadRef;
use object::read::elf::{ElfFile64, ProgramHeader};

/// Most memory that a plugin may take when it is loaded.
const MEMORY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Segments begin at multiples of it.
const PAGE_BYTES: u64 = 4096;

/// What in a file cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged ({0}): copy it again")]
pub(in crate::plugin) struct Damage(pub(super) &'static str);

/// Part of a file, at an address relative to where the file is loaded.
#[derive(Clone, Copy, Debug)]
struct Segment {
    start: u64,
    size: u64,
    file_start: u64,
    file_size: u64,
    writable: bool,
    executable: bool,
}

/// All of them, by address; none overlap.
#[derive(Clone, Debug)]
pub(super) struct Memory<R> {
    data: R,
    segments: Vec<Segment>,
}

impl<'a, R: ReadRef<'a>> Memory<R> {
    /// `length` of the file, in bytes.
    pub(super) fn new(
        file: &ElfFile64<'a, Endianness, R>,
        data: R,
        length: u64,
    ) -> Result<Self, Damage> {
        const DAMAGE: Damage = Damage("its segments contradict one another");
        let endian = file.endian();
        let mut segments: Vec<Segment> = Vec::new();
        for header in file.elf_program_headers() {
            if header.p_type(endian) != PT_LOAD {
                continue;
            }
            let (start, size) = (header.p_vaddr(endian), header.p_memsz(endian));
            let (file_start, file_size) = (header.p_offset(endian), header.p_filesz(endian));
            let (align, flags) = (header.p_align(endian), header.p_flags(endian));
            let writable = flags.0 & PF_W.0 != 0;
            let before = segments.last().map_or(0, |last| last.start + last.size);
            let sound = align.is_power_of_two()
                && align >= PAGE_BYTES
                && start % align == file_start % align
                && start >= before
                && start.checked_add(size).is_some_and(|end| end <= MEMORY_BYTES_MAX)
                && file_start.checked_add(file_size).is_some_and(|end| end <= length)
                // What the file does not fill is set to zero.
                && (file_size == size || file_size < size && writable);
            if !sound {
                return Err(DAMAGE);
            }
            let executable = flags.0 & PF_X.0 != 0;
            segments.push(Segment { start, size, file_start, file_size, writable, executable });
        }
        if segments.is_empty() { Err(DAMAGE) } else { Ok(Self { data, segments }) }
    }

    /// Bytes that the file fills, of one segment.
    pub(super) fn read(&self, at: u64, length: u64, damage: Damage) -> Result<&'a [u8], Damage> {
        let segment = self.segment(at, length).ok_or(damage)?;
        let from = at - segment.start;
        if from + length > segment.file_size {
            return Err(damage);
        }
        self.data.read_bytes_at(segment.file_start + from, length).map_err(|()| damage)
    }

    /// The segment that has all of it.
    fn segment(&self, at: u64, length: u64) -> Option<&Segment> {
        let end = at.checked_add(length)?;
        let after = self.segments.partition_point(|segment| segment.start <= at);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        (end <= segment.start + segment.size).then_some(segment)
    }

    pub(super) fn is_writable(&self, at: u64, length: u64) -> bool {
        self.segment(at, length).is_some_and(|segment| segment.writable)
    }

    /// Whether a function may begin there.
    pub(super) fn is_code(&self, at: u64) -> bool {
        self.segment(at, 1).is_some_and(|segment| segment.executable)
    }

    /// Whether a pointer may have this value: any byte of the file's memory, or the end of something.
    pub(super) fn is_address(&self, at: u64) -> bool {
        self.segments.last().is_some_and(|last| at <= last.start + last.size)
    }
}

/// Numbers as both supported processors write them.
pub(super) trait Numbers {
    fn u16_at(&self, at: usize) -> Option<u16>;
    fn u32_at(&self, at: usize) -> Option<u32>;
    fn u64_at(&self, at: usize) -> Option<u64>;
}

impl Numbers for [u8] {
    fn u16_at(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.get(at..)?.first_chunk()?))
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.get(at..)?.first_chunk()?))
    }

    fn u64_at(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(*self.get(at..)?.first_chunk()?))
    }
}
