//! Keeps the folder of a damaged index as evidence, and no more of them than a fixed number.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// How many are kept: the newest.
pub(crate) const SET_ASIDE_MAX: usize = 2;

const PREFIX: &str = "index-";

/// Moves the folder of an index to a new name in `aside`, and removes what was set aside before the last
/// few. `None`: the folder is missing.
pub(crate) fn set_aside(index: &Path, aside: &Path) -> io::Result<Option<PathBuf>> {
    if index.symlink_metadata().is_err() {
        return Ok(None);
    }
    // Something that a person put there stays until a person takes it away.
    if !index.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    match fs::DirBuilder::new().mode(0o700).create(aside) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut kept = numbers(aside)?;
    let next = kept.last().map_or(1, |last| last + 1);
    let path = place(aside, next);
    fs::rename(index, &path)?;
    kept.push(next);
    // It is set aside now, whatever becomes of the older ones: the next time tries again.
    for old in &kept[..kept.len().saturating_sub(SET_ASIDE_MAX)] {
        let old = place(aside, *old);
        if let Err(error) = fs::remove_dir_all(&old) {
            tracing::warn!(path = %old.display(), %error, "cannot remove an older damaged index");
        }
    }
    if let Err(error) = File::open(aside).and_then(|aside| aside.sync_all()) {
        tracing::warn!(path = %path.display(), %error, "a crash may lose the damaged index that is kept");
    }
    Ok(Some(path))
}

/// The indexes that were set aside, oldest first.
pub(crate) fn set_aside_before(aside: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(numbers(aside)?.into_iter().map(|number| place(aside, number)).collect())
}

fn place(aside: &Path, number: u32) -> PathBuf {
    aside.join(format!("{PREFIX}{number}"))
}

fn numbers(aside: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    let names = match fs::read_dir(aside) {
        // Something that is not a folder has none of them.
        Err(_) if !aside.is_dir() => return Ok(numbers),
        names => names?,
    };
    for name in names {
        let name = name?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_nothing_else_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let [index, aside] = ["index", "damaged"].map(|name| folder.path().join(name));
        assert_eq!(set_aside(&index, &aside).unwrap(), None);
        assert!(!aside.exists());
        for round in 1..=4 {
            fs::create_dir(&index).unwrap();
            fs::write(index.join("n"), round.to_string()).unwrap();
            let path = set_aside(&index, &aside).unwrap().unwrap();
            assert_eq!(path, aside.join(format!("index-{round}")));
            fs::write(aside.join("seg-0.bin"), "").unwrap();
            assert!(!index.exists());
        }
        // A file is in the way of the removal of an older one.
        fs::create_dir(&index).unwrap();
        fs::write(aside.join("index-2"), "").unwrap();
        assert_eq!(set_aside(&index, &aside).unwrap().unwrap(), aside.join("index-5"));
        fs::remove_file(aside.join("index-2")).unwrap();
        fs::remove_dir(aside.join("index-5")).unwrap();
        fs::create_dir(aside.join("index-3")).unwrap();
        let kept = set_aside_before(&aside).unwrap();
        assert_eq!(kept, [aside.join("index-3"), aside.join("index-4")]);
        assert_eq!(fs::read_to_string(kept[1].join("n")).unwrap(), "4");
        assert!(aside.join("seg-0.bin").exists());
    }
}
