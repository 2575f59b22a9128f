//! A segment that is open to be read: its errors name it, and say what to do.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::embedded::platform::disk::{Disk, DiskFile, FileId};

struct SegmentFile {
    file: Box<dyn DiskFile>,
    name: String,
}

/// An error of a segment.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct OfSegment {
    text: String,
    source: io::Error,
}

/// What to do about a segment that has no file.
pub(crate) fn gone(name: &dyn Display) -> String {
    format!(
        "{name} is gone: put it back, or stop the daemon, and `dispatcher store check` says what to do"
    )
}

fn named(name: &str, source: io::Error) -> io::Error {
    let text = match source.kind() {
        ErrorKind::NotFound => gone(&name),
        _ if is_of_process(&source) => format!("{name}: {source}"),
        _ => format!("{name}: {source}; `dispatcher store check` says what to do"),
    };
    io::Error::new(source.kind(), OfSegment { text, source })
}

/// Whether an error says nothing of what the file has: the process may open no more files, use no more memory, or not
/// read it.
pub(crate) fn is_of_process(error: &io::Error) -> bool {
    use rustix::io::Errno;
    const OF_PROCESS: [Errno; 7] = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::AGAIN,
        Errno::INTR,
        Errno::ACCESS,
        Errno::PERM,
    ];
    let of_segment = error.get_ref().and_then(|error| error.downcast_ref::<OfSegment>());
    let error = of_segment.map_or(error, |error| &error.source);
    Errno::from_io_error(error).is_some_and(|errno| OF_PROCESS.contains(&errno))
}

pub(crate) fn open(disk: &dyn Disk, path: &Path) -> io::Result<Box<dyn DiskFile>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match disk.open(path) {
        Ok(file) => Ok(Box::new(SegmentFile { file, name })),
        Err(error) => Err(named(&name, error)),
    }
}

impl DiskFile for SegmentFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(out, offset).map_err(|error| named(&self.name, error))
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        self.file.id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_file_count_against_what_it_has() {
        let of_process = |errno: rustix::io::Errno| is_of_process(&errno.into());
        assert!([23, 24, 12].map(rustix::io::Errno::from_raw_os_error).into_iter().all(of_process));
        assert!(![2, 5].map(rustix::io::Errno::from_raw_os_error).into_iter().any(of_process));
        assert!(!is_of_process(&io::Error::other("damaged")));
        for raw in [2, 5, 13, 24] {
            let error = io::Error::from_raw_os_error(raw);
            let is_of_process = is_of_process(&error);
            let named = named("seg-1.log", error);
            assert_eq!(super::is_of_process(&named), is_of_process);
            let text = named.to_string();
            assert!(text.starts_with("seg-1.log"), "{text}");
            assert_eq!(text.contains("`dispatcher store check` says what to do"), !is_of_process);
        }
    }
}
