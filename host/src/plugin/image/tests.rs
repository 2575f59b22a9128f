//! Files that were built are sound, and damage in the tables is found.

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _};
use proptest::prelude::*;

use super::check;

fn plugin(name: &str) -> Vec<u8> {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    std::fs::read(folder.join(format!("libdispatcher_{name}.so"))).unwrap()
}

/// Whether the file is accepted.
fn sound(file: &[u8]) -> bool {
    check(file, file.len() as u64).is_ok()
}

/// Where a section is in the file.
fn section(file: &[u8], name: &str) -> std::ops::Range<usize> {
    let parsed = ElfFile64::<Endianness>::parse(file).unwrap();
    let (at, size) = parsed.section_by_name(name).unwrap().file_range().unwrap();
    usize::try_from(at).unwrap()..usize::try_from(at + size).unwrap()
}

#[test]
fn plugins_that_were_built_are_sound() {
    for name in ["file_log", "http", "twilio_sms", "test_each", "test_batch", "test_together"] {
        let file = plugin(name);
        assert_eq!(check(&*file, file.len() as u64), Ok(()), "{name}");
    }
}

#[test]
fn a_wrong_entry_of_each_table_is_found() {
    let good = plugin("test_each");
    // A byte within an entry, and what is flipped in it.
    for (table, entry_bytes, byte, bits) in [
        // The place of a relocation, far away, and in the middle of another one.
        (".rela.dyn", 24, 5, 0xff),
        (".rela.dyn", 24, 0, 0x04),
        // Its kind, its symbol, and the address that it writes.
        (".rela.dyn", 24, 8, 0xff),
        (".rela.dyn", 24, 15, 0x80),
        (".rela.plt", 24, 6, 0xff),
        (".dynsym", 24, 3, 0x80),
        (".gnu.version", 2, 1, 0x7f),
        (".gnu.version_r", 16, 15, 0x80),
        (".dynamic", 16, 15, 0x80),
        (".eh_frame_hdr", 8, 7, 0x70),
    ] {
        let entries = section(&good, table);
        let count = entries.len() / entry_bytes;
        let place = |entry: usize| {
            let at = entries.start + entry * entry_bytes;
            u64::from_le_bytes(good[at..at + 8].try_into().unwrap())
        };
        for entry in [2, count / 2, count - 2] {
            // Only there is the middle of another one.
            let has_next = |entry: &usize| place(entry + 1) == place(*entry) + 8;
            let entry = match (table, byte) {
                (".rela.dyn", 0) => (0..=entry).rev().find(has_next).unwrap(),
                _ => entry,
            };
            let mut file = good.clone();
            file[entries.start + entry * entry_bytes + byte] ^= bits;
            assert!(!sound(&file), "{table} {entry} {byte}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_file_makes_the_check_panic(
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..40),
    ) {
        let mut file = plugin("test_batch");
        let headers = section(&file, ".rela.dyn").end;
        for (at, byte, early) in flips {
            let end = if early { headers } else { file.len() };
            file[at.index(end)] = byte;
        }
        sound(&file);
        file.truncate(cut.index(file.len()));
        sound(&file);
    }
}
