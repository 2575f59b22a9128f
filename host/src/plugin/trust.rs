//! Who could have put a file where it is: owner and mode of the file and its folder.
//!
//! A plugin runs with all rights of the daemon, so only root or the daemon's own user may be able to
//! change it. Members of the daemon's own group are trusted too (a umask of 002 makes every build
//! group-writable), and a folder that others write to is accepted when it is sticky, unless `strict`.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// The user and group that the daemon runs as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Identity {
    pub(super) fn own() -> Self {
        Self {
            user: rustix::process::geteuid().as_raw(),
            group: rustix::process::getegid().as_raw(),
        }
    }
}

/// What of an inode decides.
#[derive(Clone, Copy, Debug)]
struct Inode {
    user: u32,
    group: u32,
    mode: u32,
}

impl From<&Metadata> for Inode {
    fn from(metadata: &Metadata) -> Self {
        Self { user: metadata.uid(), group: metadata.gid(), mode: metadata.mode() }
    }
}

/// Whether the file itself may be trusted; the error says what to do.
pub(super) fn file(metadata: &Metadata, own: Identity, strict: bool) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("it is no regular file; put the file itself there".to_owned());
    }
    check(Inode::from(metadata), own, strict, false)
        .map_err(|(reason, cure)| format!("{reason}; {cure}"))
}

/// Whether its folder may be trusted; with `strict` the folders above as well.
pub(super) fn folder(path: &Path, own: Identity, strict: bool) -> Result<(), String> {
    let place = |error: io::Error| format!("cannot look at folder {}: {error}", path.display());
    let path = path.canonicalize().map_err(place)?;
    let levels = if strict { usize::MAX } else { 1 };
    for folder in path.ancestors().take(levels) {
        let metadata = std::fs::metadata(folder).map_err(place)?;
        check(Inode::from(&metadata), own, strict, true).map_err(|(reason, cure)| {
            format!("its folder {} is not safe: {reason}; {cure}", folder.display())
        })?;
    }
    Ok(())
}

type Refusal = (String, &'static str);

fn check(inode: Inode, own: Identity, strict: bool, is_folder: bool) -> Result<(), Refusal> {
    if inode.user != 0 && inode.user != own.user {
        let reason = format!("it belongs to user {}, who could change it", inode.user);
        return Err((reason, "make it root's or the daemon's own (chown)"));
    }
    let sticky = is_folder && inode.mode & STICKY != 0 && !strict;
    if sticky {
        return Ok(());
    }
    if inode.mode & OTHERS_WRITE != 0 {
        return Err(("everybody may change it".to_owned(), "take that right away (chmod o-w)"));
    }
    if inode.mode & GROUP_WRITES != 0 && (strict || inode.group != own.group) {
        let reason = format!("group {} may change it", inode.group);
        return Err((reason, "take that right away (chmod g-w)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Identity = Identity { user: 1000, group: 100 };

    fn safe(user: u32, group: u32, mode: u32, strict: bool, is_folder: bool) -> bool {
        check(Inode { user, group, mode }, OWN, strict, is_folder).is_ok()
    }

    #[test]
    fn owner_and_mode_decide() {
        for (user, group, mode, is_folder, lenient, strict) in [
            (1000, 100, 0o644, false, true, true),
            (0, 0, 0o755, false, true, true),
            (1001, 100, 0o644, false, false, false),
            (1000, 100, 0o664, false, true, false),
            (1000, 101, 0o664, false, false, false),
            (0, 0, 0o664, false, false, false),
            (1000, 100, 0o666, false, false, false),
            // Sticky means nothing on a file.
            (1000, 100, 0o1666, false, false, false),
            (0, 0, 0o1777, true, true, false),
            (0, 0, 0o777, true, false, false),
            (1001, 0, 0o1777, true, false, false),
            (1000, 100, 0o775, true, true, false),
        ] {
            let case = format!("{user} {group} {mode:o} {is_folder}");
            assert_eq!(safe(user, group, mode, false, is_folder), lenient, "{case}");
            assert_eq!(safe(user, group, mode, true, is_folder), strict, "{case} strict");
        }
    }
}
