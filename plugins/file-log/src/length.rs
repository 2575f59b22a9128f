//! Whether the path of a log, with the names of its old files, is longer than a file system takes.

use std::path::{Component, Path};

use crate::file::Rotation;

/// Longest name of a file, and longest path, in bytes.
const NAME_BYTES_MAX: usize = 255;
const PATH_BYTES_MAX: usize = 4_095;

/// Why the path is too long.
pub(crate) fn too_long(path: &Path, rotation: Rotation) -> Option<String> {
    let rotates = rotation.bytes_max.is_some() || rotation.daily;
    let more = if rotates { format!(".{}", rotation.keep).len() } else { 0 };
    let of_old = if more > 0 { ", with the number of an old file" } else { "" };
    if path.as_os_str().len() + more > PATH_BYTES_MAX {
        return Some(format!(
            "has more than {PATH_BYTES_MAX} bytes{of_old}: choose a shorter path"
        ));
    }
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
    let longest = parts.map(|part| part.as_os_str().len()).max().unwrap_or_default();
    let name = path.file_name().map_or(0, |name| name.len() + more);
    (longest.max(name) > NAME_BYTES_MAX).then(|| {
        format!("has a name of more than {NAME_BYTES_MAX} bytes{of_old}: choose a shorter name")
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::SystemTime;

    use super::*;
    use crate::file::Log;

    /// With old files, up to `.10`.
    const ROTATED: Rotation = Rotation { bytes_max: Some(1), daily: false, keep: 10 };
    const WHOLE: Rotation = Rotation { bytes_max: None, daily: false, keep: 10 };

    /// What the path is refused for; appends must find the same.
    fn refused(path: &Path, rotation: Rotation) -> Option<String> {
        let found = too_long(path, rotation);
        let mut log = Log::new(path.to_owned(), rotation, false);
        let failed = (0..12).any(|_| log.append(b"1\n", SystemTime::now()).is_err());
        assert_eq!(found.is_some(), failed, "{}: {found:?}", path.display());
        found
    }

    #[test]
    fn a_name_or_path_that_no_file_system_takes_is_refused_with_the_names_of_old_files() {
        let home = tempfile::tempdir().unwrap();
        let named = |bytes: usize| home.path().join("x".repeat(bytes));
        for (bytes, rotation, fits) in [
            (NAME_BYTES_MAX, WHOLE, true),
            (NAME_BYTES_MAX + 1, WHOLE, false),
            (NAME_BYTES_MAX - ".10".len(), ROTATED, true),
            // It works until there are ten old files.
            (NAME_BYTES_MAX - ".9".len(), ROTATED, false),
        ] {
            let folder = tempfile::tempdir_in(home.path()).unwrap();
            let path = folder.path().join("x".repeat(bytes));
            assert_eq!(refused(&path, rotation).is_none(), fits, "{bytes} {rotation:?}");
        }
        let found = too_long(&named(NAME_BYTES_MAX - 2), ROTATED).unwrap();
        assert!(
            found.contains("of more than 255 bytes, with the number of an old file"),
            "{found}"
        );
        assert!(refused(&named(NAME_BYTES_MAX + 1).join("x"), WHOLE).is_some(), "a folder");
        let deep = |bytes: usize| {
            let mut path = home.path().as_os_str().to_owned();
            while path.len() + 102 < bytes {
                path.push(format!("/{}", "y".repeat(100)));
            }
            path.push(format!("/{}", "z".repeat(bytes - path.len() - 1)));
            PathBuf::from(path)
        };
        assert_eq!(refused(&deep(PATH_BYTES_MAX), WHOLE), None);
        let found = refused(&deep(PATH_BYTES_MAX + 1), WHOLE).unwrap();
        assert!(found.contains("more than 4095 bytes"), "{found}");
    }
}
