//! What a file says about itself, read without running any of its code.
//!
//! A plugin has the section `.dispatcher`: `dispatcher-plugin`, then `key=value` texts, each ended by a
//! NUL, the last by two. However large the file is, only headers and that section are read.

use dispatcher_plugin_api::abi;
use object::elf::PT_LOAD;
use object::read::ReadRef;
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Architecture, Endianness, FileKind, Object, ObjectSection};

/// Longest section that is read.
const SECTION_BYTES_MAX: u64 = 4096;
/// Longest name or version.
const WORD_BYTES_MAX: usize = 64;

/// The name and version in the section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) version: String,
}

/// Why a file is not a plugin that can be loaded here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InspectError {
    #[error("not a shared library (not an ELF file)")]
    NotElf,
    #[error("not a dispatcher plugin (no {} section); is `export_target!` missing?", abi::SECTION)]
    NotAPlugin,
    #[error("damaged or truncated: copy it again")]
    Damaged,
    #[error(
        "built for {theirs}, but this machine is {}: build it for this machine",
        std::env::consts::ARCH
    )]
    Architecture { theirs: String },
    #[error(
        "built for version {theirs} of the plugin interface, but this dispatcher has version {}: rebuild \
         the plugin with the dispatcher-plugin-api of this dispatcher",
        abi::API_VERSION
    )]
    Interface { theirs: String },
    #[error(
        "built with panic = \"abort\", so any panic in it would end the daemon: build it with \
         panic = \"unwind\""
    )]
    PanicAborts,
}

/// Reads the facts of a file of `length` bytes.
pub(super) fn inspect<'a, R: ReadRef<'a>>(data: R, length: u64) -> Result<Facts, InspectError> {
    match FileKind::parse(data) {
        Ok(FileKind::Elf64) => (),
        Ok(FileKind::Elf32) => {
            return Err(InspectError::Architecture { theirs: "a 32-bit machine".to_owned() });
        }
        _ => return Err(InspectError::NotElf),
    }
    let file = ElfFile64::<Endianness, R>::parse(data).map_err(|_| InspectError::Damaged)?;
    let endian = file.endian();
    // Using a mapped page behind the end of the file kills the process with SIGBUS.
    let whole = file.elf_program_headers().iter().all(|header| {
        header.p_type(endian) != PT_LOAD
            || header
                .p_offset(endian)
                .checked_add(header.p_filesz(endian))
                .is_some_and(|end| end <= length)
    });
    if !whole {
        return Err(InspectError::Damaged);
    }
    let section = file.section_by_name(abi::SECTION).ok_or(InspectError::NotAPlugin)?;
    if section.size() > SECTION_BYTES_MAX {
        return Err(InspectError::Damaged);
    }
    let text = section.data().map_err(|_| InspectError::Damaged)?;
    let theirs = file.architecture();
    if architecture(theirs) != std::env::consts::ARCH {
        return Err(InspectError::Architecture { theirs: architecture(theirs) });
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

fn facts(section: &[u8]) -> Result<Facts, InspectError> {
    let text = std::str::from_utf8(section).map_err(|_| InspectError::Damaged)?;
    let mut texts = text.split('\0');
    if texts.next() != Some(abi::SECTION_MAGIC) {
        return Err(InspectError::NotAPlugin);
    }
    let pairs: Vec<_> =
        texts.take_while(|text| !text.is_empty()).filter_map(|text| text.split_once('=')).collect();
    let value = |key: &str| {
        let pair = pairs.iter().find(|(found, _)| *found == key);
        pair.map(|(_, value)| *value).ok_or(InspectError::Damaged)
    };
    let api = value("api")?;
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(api) != major(abi::API_VERSION) {
        return Err(InspectError::Interface { theirs: api.chars().take(WORD_BYTES_MAX).collect() });
    }
    if value("panic")? != "unwind" {
        return Err(InspectError::PanicAborts);
    }
    let (name, version) = (value("name")?, value("version")?);
    let is_word = |text: &str, more: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && text.len() <= WORD_BYTES_MAX && text.chars().all(known)
    };
    // The name becomes part of a file's name.
    if !is_word(name, "-") || !is_word(version, "-.+_") {
        return Err(InspectError::Damaged);
    }
    Ok(Facts { name: name.to_owned(), version: version.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_that_lacks_a_fact_is_an_error() {
        let good = "dispatcher-plugin\0api=1.0\0name=a-b\0version=1.2.3\0panic=unwind\0rustc=x\0\0";
        let expected = Facts { name: "a-b".to_owned(), version: "1.2.3".to_owned() };
        assert_eq!(facts(good.as_bytes()), Ok(expected.clone()));
        assert_eq!(facts(good.replace("1.0", "1.7").as_bytes()), Ok(expected));
        let two = InspectError::Interface { theirs: "2.0".to_owned() };
        for (from, to, expected) in [
            ("dispatcher-plugin", "dispatcher-plugins", InspectError::NotAPlugin),
            ("api=1.0", "api=2.0", two),
            ("unwind", "abort", InspectError::PanicAborts),
            ("a-b", "../x", InspectError::Damaged),
            ("a-b", "", InspectError::Damaged),
            ("name=", "nome=", InspectError::Damaged),
            ("version=1.2.3", "version=\u{1b}[1m", InspectError::Damaged),
        ] {
            assert_eq!(facts(good.replace(from, to).as_bytes()), Err(expected), "{to}");
        }
        assert_eq!(facts(b"dispatcher-plugin\0\xff\0\0"), Err(InspectError::Damaged));
        assert_eq!(facts(b""), Err(InspectError::NotAPlugin));
    }
}
