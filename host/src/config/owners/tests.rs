//! Who may change which part of a configuration: every part, with modes and owners.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

use tempfile::TempDir;

use super::*;
use crate::config::{Environment, load};

/// Neither root nor anyone who runs the tests.
const STRANGER: u32 = 54_321;

/// A configuration with every part, that no one else may change, in `home`.
fn parts_of_a_configuration() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().canonicalize().unwrap().join("home");
    for inner in ["", "conf.d", "elsewhere", "shared"] {
        fs::create_dir(home.join(inner)).unwrap();
        set_mode(&home.join(inner), 0o755);
    }
    for (name, text, mode) in [
        ("dispatcher.toml", "", 0o644),
        ("dispatcher.env", "A=1\n", 0o600),
        ("conf.d/a.toml", "", 0o644),
        ("elsewhere/b.toml", "", 0o644),
    ] {
        fs::write(home.join(name), text).unwrap();
        set_mode(&home.join(name), mode);
    }
    symlink("../elsewhere/b.toml", home.join("conf.d/b.toml")).unwrap();
    (folder, home)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn found(home: &Path, own: Identity) -> Vec<Problem> {
    problems_for(&home.join("dispatcher.toml"), own)
}

/// What was found, which is one problem that names the part and the command that repairs it.
fn only(home: &Path, part: &Path, help: &str) -> Problem {
    let found = found(home, Identity::own());
    let [only] = &found[..] else { panic!("{}: {found:?}", part.display()) };
    assert!(only.title.contains(&part.display().to_string()), "{only:?}");
    let end = format!("{help} {}", part.display());
    assert!(only.help[0].ends_with(&end), "{only:?} instead of {end}");
    only.clone()
}

/// The same, which is an error, and so nothing is read.
fn refused(home: &Path, part: &Path, help: &str) {
    let only = only(home, part, help);
    assert!(only.is_error(), "{only:?}");
    let problems = load(&home.join("dispatcher.toml"), &Environment::of_process()).unwrap_err();
    assert_eq!(problems.list(), [only]);
}

const FOLDERS: [&str; 3] = ["", "conf.d", "elsewhere"];
const FILES: [&str; 4] = ["dispatcher.toml", "dispatcher.env", "conf.d/a.toml", "elsewhere/b.toml"];

#[test]
fn what_every_user_may_change_is_refused() {
    let (_folder, home) = parts_of_a_configuration();
    let own = Identity::own();
    assert_eq!(found(&home, own), []);
    let other_group = own.is_root().then_some(STRANGER);
    for part in FOLDERS.into_iter().chain(FILES) {
        let is_folder = FOLDERS.contains(&part);
        let part: PathBuf = home.join(part).components().collect();
        let before = fs::metadata(&part).unwrap();
        for (mode, group, help) in [
            (0o664, None, None),
            (0o775, None, None),
            (0o666, None, Some("chmod o-w")),
            (0o646, None, Some("chmod o-w")),
            (0o777, None, Some("chmod o-w")),
            // Another user cannot replace what is in it. Means nothing on a file.
            (0o1777, None, (!is_folder).then_some("chmod o-w")),
            (0o644, other_group, None),
            (0o664, other_group, None),
        ] {
            // A folder without x cannot be looked into.
            set_mode(&part, if is_folder { mode | 0o111 } else { mode });
            if group.is_some() {
                chown(&part, None, group).unwrap();
            }
            if let Some(help) = help {
                refused(&home, &part, help);
            } else if group.is_some() && mode == 0o664 {
                assert!(!only(&home, &part, "chmod g-w").is_error());
            } else {
                let found = found(&home, own);
                assert_eq!(found, [], "{} {mode:o}", part.display());
            }
            if group.is_some() {
                chown(&part, None, Some(before.gid())).unwrap();
            }
        }
        set_mode(&part, before.mode() & 0o7777);
    }
}

#[test]
fn another_owner_is_a_warning_unless_every_user_can_put_files_there() {
    let own = Identity::own();
    if !own.is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let (_folder, home) = parts_of_a_configuration();
    for part in FOLDERS.into_iter().chain(FILES).chain(["conf.d/b.toml"]) {
        let part: PathBuf = home.join(part).components().collect();
        std::os::unix::fs::lchown(&part, Some(STRANGER), None).unwrap();
        assert!(!only(&home, &part, "chown -h 0").is_error());
        let holder = part.parent().unwrap();
        let mode = fs::metadata(holder).unwrap().mode() & 0o7777;
        set_mode(holder, 0o1777);
        refused(&home, &part, "chown -h 0");
        set_mode(holder, mode);
        // The user of the daemon is trusted, and root with it.
        let metadata = fs::symlink_metadata(&part).unwrap();
        let stranger = Identity::owner_of(&metadata);
        assert_eq!(found(&home, stranger), [], "{}", part.display());
        std::os::unix::fs::lchown(&part, Some(0), None).unwrap();
    }
}

#[test]
fn all_is_reported_at_once() {
    let (_folder, home) = parts_of_a_configuration();
    for part in FOLDERS {
        set_mode(&home.join(part), 0o777);
    }
    for part in FILES {
        set_mode(&home.join(part), 0o666);
    }
    let found = found(&home, Identity::own());
    assert_eq!(found.len(), FOLDERS.len() + FILES.len(), "{found:?}");
}

#[test]
fn no_one_else_may_replace_a_secret() {
    let (_folder, home) = parts_of_a_configuration();
    let file = home.join("dispatcher.toml");
    fs::write(&file, "[sources.sqreen]\nsecrets = \"file:shared/secret\"\n").unwrap();
    let secret = home.join("shared/secret");
    fs::write(&secret, "swordfish-swordfish").unwrap();
    set_mode(&secret, 0o600);
    for (folder, mode, expected) in [
        (0o755, 0o600, Ok(())),
        (0o1777, 0o600, Ok(())),
        (0o775, 0o660, Ok(())),
        (0o777, 0o600, Err("chmod o-w")),
        (0o755, 0o606, Err("chmod o-w")),
    ] {
        set_mode(&home.join("shared"), folder);
        set_mode(&secret, mode);
        let loaded = load(&file, &Environment::of_process());
        match expected {
            Ok(()) => assert!(loaded.is_ok(), "{folder:o} {mode:o}: {:?}", loaded.err()),
            Err(help) => {
                let problems = loaded.unwrap_err();
                assert_eq!(problems.errors(), 1, "{folder:o} {mode:o}: {problems}");
                assert!(problems.to_string().contains(help), "{problems}");
            }
        }
    }
}
