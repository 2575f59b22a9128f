//! Whether a start may read and write the files of a store. Asked before anything else is said of the start: a check
//! writes nothing, so it would not notice.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::geteuid;

use crate::embedded::settings::Settings;

/// Who starts the daemon.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// The user of this process.
    Own,
    /// The owner of the folder, while root looks.
    Owner { user: u32, group: u32 },
}

/// Something that the start has to read and write, and may not.
#[derive(Debug)]
pub(super) struct Denied {
    pub text: String,
    /// It is denied to this process. Otherwise only to the owner of the folder.
    pub own: bool,
}

/// What a start cannot do without.
pub(super) fn denied_of_log(directory: &Path) -> Option<Denied> {
    let settings = Settings::new(directory);
    let log = settings.log_folder();
    let list = std::fs::read_dir(&log).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut segments: Vec<PathBuf> =
        list.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
    segments.sort();
    first(directory, [log, settings.lock_file()].into_iter().chain(segments))
}

/// What the index needs: the daemon starts without it.
pub(super) fn denied_of_index(directory: &Path) -> Option<Denied> {
    let mut found = Vec::new();
    let mut folders = vec![Settings::new(directory).index_folder()];
    while let Some(folder) = folders.pop() {
        let inside = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in inside {
            // A link to a folder may lead to any folder of the machine.
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder { &mut folders } else { &mut found }.push(entry.path());
        }
        found.push(folder);
    }
    found.sort();
    first(directory, found.into_iter())
}

fn first(directory: &Path, mut paths: impl Iterator<Item = PathBuf>) -> Option<Denied> {
    let owner = std::fs::metadata(directory).ok()?;
    let is_of_another = geteuid().is_root() && owner.uid() != 0;
    let who =
        if is_of_another { Who::Owner { user: owner.uid(), group: owner.gid() } } else { Who::Own };
    let (path, act) = paths.find_map(|path| who.lacks(&path).map(|act| (path, act)))?;
    let path = path.display();
    Some(match who {
        Who::Own => Denied {
            text: format!("cannot {act} {path}: permission denied; {}", run_as(directory)),
            own: true,
        },
        Who::Owner { user, .. } => Denied {
            text: format!(
                "the owner of {} (uid {user}) cannot {act} {path}: permission denied; give it back: `chown -R {user} {0}`",
                directory.display()
            ),
            own: false,
        },
    })
}

/// What to do about a file that may not be opened.
pub(super) fn run_as(path: &Path) -> String {
    let owner = path.ancestors().find_map(|above| std::fs::metadata(above).ok());
    match owner.map(|owner| owner.uid()) {
        Some(user) if user != geteuid().as_raw() => {
            format!("run as its owner (uid {user}) or root")
        }
        _ => "run as the user of the daemon or as root".to_owned(),
    }
}

impl Who {
    /// What it may not do there, of what a start does; `None` also if there is nothing.
    fn lacks(self, path: &Path) -> Option<&'static str> {
        let there = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Some("read"),
            there => there.ok()?,
        };
        let folder = if there.is_dir() { Access::EXEC_OK } else { Access::empty() };
        let may = |access| self.may(path, &there, access | folder);
        [(Access::READ_OK, "read"), (Access::WRITE_OK, "write to")]
            .into_iter()
            .find_map(|(access, act)| (!may(access)).then_some(act))
    }

    fn may(self, path: &Path, there: &Metadata, access: Access) -> bool {
        let Self::Owner { user, group } = self else {
            return accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
        };
        let shift = match (there.uid() == user, there.gid() == group) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        (there.mode() >> shift) & access.bits() == access.bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_a_user_may_not_read_or_write_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let own = std::fs::metadata(&file).unwrap();
        let owner = Who::Owner { user: own.uid(), group: own.gid() };
        let same_group = Who::Owner { user: own.uid() + 1, group: own.gid() };
        let other = Who::Owner { user: own.uid() + 1, group: own.gid() + 1 };
        let [read, write] = [Some("read"), Some("write to")];
        for (mode, expected) in [
            (0o600, [None, read, read]),
            (0o644, [None, write, write]),
            (0o660, [None, None, read]),
            (0o400, [write, read, read]),
            (0o000, [read, read, read]),
        ] {
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let found = [owner, same_group, other].map(|who| who.lacks(&file));
            assert_eq!(found, expected, "{mode:o}");
        }
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(other.lacks(folder.path()), write);
        assert_eq!(other.lacks(&folder.path().join("missing")), None);
    }
}
