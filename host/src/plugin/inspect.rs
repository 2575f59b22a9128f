//! What a file says of itself, read without running any code of it.
//!
//! A plugin carries the section `.dispatcher`: `dispatcher-plugin`, then `key=value` texts, each ended by
//! a NUL, the last by two. Reads headers and that section only, however large the file is.

use dispatcher_plugin_api::abi;
use object::elf::PT_LOAD;
use object::read::ReadRef;
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Architecture, Endianness, FileKind, Object, ObjectSection};

/// Longest section that is read.
const SECTION_BYTES_MAX: u64 = 4096;
/// Longest name or version.
const WORD_BYTES_MAX: usize = 64;

/// What the section says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) version: String,
}

/// Why a file is no plugin that can be loaded here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("not a shared library (no ELF file)")]
    NotElf,
    #[error("not a dispatcher plugin (no {} section)", abi::SECTION)]
    NotAPlugin,
    #[error("a damaged or cut off file: copy it again")]
    Damaged,
    #[error(
        "built for {theirs}, this machine is {}: build it for this one",
        std::env::consts::ARCH
    )]
    Architecture { theirs: String },
    #[error(
        "speaks version {theirs} of the plugin interface, this dispatcher speaks {}: rebuild the plugin \
         with its dispatcher-plugin-api",
        abi::API_VERSION
    )]
    Interface { theirs: String },
    #[error(
        "built with panic = \"abort\", so that any panic of it would end the daemon: build it with \
         panic = \"unwind\""
    )]
    PanicAborts,
}

/// Reads what a file of `length` bytes says of itself.
pub(super) fn inspect<'a, R: ReadRef<'a>>(data: R, length: u64) -> Result<Facts, Refusal> {
    match FileKind::parse(data) {
        Ok(FileKind::Elf64) => (),
        Ok(FileKind::Elf32) => {
            return Err(Refusal::Architecture { theirs: "a 32-bit machine".to_owned() });
        }
        _ => return Err(Refusal::NotElf),
    }
    let file = ElfFile64::<Endianness, R>::parse(data).map_err(|_| Refusal::Damaged)?;
    let endian = file.endian();
    // A mapped page behind the end of the file kills the process with SIGBUS at its first use.
    let whole = file.elf_program_headers().iter().all(|header| {
        header.p_type(endian) != PT_LOAD
            || header
                .p_offset(endian)
                .checked_add(header.p_filesz(endian))
                .is_some_and(|end| end <= length)
    });
    if !whole {
        return Err(Refusal::Damaged);
    }
    let section = file.section_by_name(abi::SECTION).ok_or(Refusal::NotAPlugin)?;
    if section.size() > SECTION_BYTES_MAX {
        return Err(Refusal::Damaged);
    }
    let text = section.data().map_err(|_| Refusal::Damaged)?;
    let theirs = file.architecture();
    if architecture(theirs) != std::env::consts::ARCH {
        return Err(Refusal::Architecture { theirs: architecture(theirs) });
    }
    facts(text)
}

fn architecture(architecture: Architecture) -> String {
    match architecture {
        Architecture::X86_64 => "x86_64".to_owned(),
        Architecture::Aarch64 => "aarch64".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn facts(section: &[u8]) -> Result<Facts, Refusal> {
    let text = std::str::from_utf8(section).map_err(|_| Refusal::Damaged)?;
    let mut texts = text.split('\0');
    if texts.next() != Some(abi::SECTION_MAGIC) {
        return Err(Refusal::NotAPlugin);
    }
    let pairs: Vec<_> =
        texts.take_while(|text| !text.is_empty()).filter_map(|text| text.split_once('=')).collect();
    let value = |key: &str| {
        let pair = pairs.iter().find(|(found, _)| *found == key);
        pair.map(|(_, value)| *value).ok_or(Refusal::Damaged)
    };
    let api = value("api")?;
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(api) != major(abi::API_VERSION) {
        return Err(Refusal::Interface { theirs: api.chars().take(WORD_BYTES_MAX).collect() });
    }
    if value("panic")? != "unwind" {
        return Err(Refusal::PanicAborts);
    }
    let (name, version) = (value("name")?, value("version")?);
    let is_word = |text: &str, more: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && text.len() <= WORD_BYTES_MAX && text.chars().all(known)
    };
    // The name becomes part of a file's name.
    if !is_word(name, "-") || !is_word(version, "-.+_") {
        return Err(Refusal::Damaged);
    }
    Ok(Facts { name: name.to_owned(), version: version.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_must_say_all_that_is_needed() {
        let good = "dispatcher-plugin\0api=1.0\0name=a-b\0version=1.2.3\0panic=unwind\0rustc=x\0\0";
        let expected = Facts { name: "a-b".to_owned(), version: "1.2.3".to_owned() };
        assert_eq!(facts(good.as_bytes()), Ok(expected.clone()));
        assert_eq!(facts(good.replace("1.0", "1.7").as_bytes()), Ok(expected));
        let two = Refusal::Interface { theirs: "2.0".to_owned() };
        for (from, to, refusal) in [
            ("dispatcher-plugin", "dispatcher-plugins", Refusal::NotAPlugin),
            ("api=1.0", "api=2.0", two),
            ("unwind", "abort", Refusal::PanicAborts),
            ("a-b", "../x", Refusal::Damaged),
            ("a-b", "", Refusal::Damaged),
            ("name=", "nome=", Refusal::Damaged),
            ("version=1.2.3", "version=\u{1b}[1m", Refusal::Damaged),
        ] {
            assert_eq!(facts(good.replace(from, to).as_bytes()), Err(refusal), "{to}");
        }
        assert_eq!(facts(b"dispatcher-plugin\0\xff\0\0"), Err(Refusal::Damaged));
        assert_eq!(facts(b""), Err(Refusal::NotAPlugin));
    }
}
