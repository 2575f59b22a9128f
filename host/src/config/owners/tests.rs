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

fn found(home: &Path, reader: Reader, own: Identity) -> Vec<Problem> {
    problems_for(&home.join("dispatcher.toml"), reader, own)
}

/// What was found, which is one error that names the part and the command that repairs it.
fn refused(home: &Path, part: &Path, help: &str) {
    let found = found(home, Reader::Daemon, Identity::own());
    let [only] = &found[..] else { panic!("{}: {found:?}", part.display()) };
    assert!(only.is_error() && only.title.contains(&part.display().to_string()), "{only:?}");
    let end = format!("{help} {}", part.display());
    assert!(only.help[0].ends_with(&end), "{only:?} instead of {end}");
    // And so nothing is read.
    let problems = load(&home.join("dispatcher.toml"), &Environment::of_daemon()).unwrap_err();
    assert_eq!(problems.list(), found);
}

const FOLDERS: [&str; 3] = ["", "conf.d", "elsewhere"];
const FILES: [&str; 4] = ["dispatcher.toml", "dispatcher.env", "conf.d/a.toml", "elsewhere/b.toml"];

#[test]
fn every_part_is_changed_by_its_owner_and_group_alone() {
    let (_folder, home) = parts_of_a_configuration();
    let own = Identity::own();
    assert_eq!(found(&home, Reader::Daemon, own), []);
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
            (0o664, other_group, other_group.and(Some("chmod g-w"))),
            (0o644, other_group, None),
        ] {
            // A folder without x cannot be looked into.
            set_mode(&part, if is_folder { mode | 0o111 } else { mode });
            if group.is_some() {
                chown(&part, None, group).unwrap();
            }
            if let Some(help) = help {
                refused(&home, &part, help);
            } else {
                let found = found(&home, Reader::Daemon, own);
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
fn every_part_belongs_to_root_or_to_the_user_of_the_daemon() {
    let own = Identity::own();
    if !own.is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let (_folder, home) = parts_of_a_configuration();
    for part in FOLDERS.into_iter().chain(FILES).chain(["conf.d/b.toml"]) {
        let part: PathBuf = home.join(part).components().collect();
        std::os::unix::fs::lchown(&part, Some(STRANGER), None).unwrap();
        refused(&home, &part, "chown -h 0");
        // The user of the daemon is trusted, and root with it.
        let metadata = fs::symlink_metadata(&part).unwrap();
        let stranger = Identity::owner_of(&metadata);
        assert_eq!(found(&home, Reader::Daemon, stranger), [], "{}", part.display());
        std::os::unix::fs::lchown(&part, Some(0), None).unwrap();
    }
}

#[test]
fn a_person_may_look_at_the_configuration_of_another_user() {
    let own = Identity::own();
    if !own.is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let (_folder, home) = parts_of_a_configuration();
    for part in FOLDERS.into_iter().chain(FILES) {
        chown(home.join(part), Some(STRANGER), None).unwrap();
    }
    assert!(found(&home, Reader::Daemon, own).iter().all(Problem::is_error));
    let warned = found(&home, Reader::Command, own);
    assert!(warned.len() == 1 && !warned[0].is_error() && warned[0].title.contains("54321"));
    assert_eq!(found(&home, Reader::Unknown, own), []);
    // Of everybody else it is as unsafe as for the daemon.
    chown(home.join("conf.d/a.toml"), Some(STRANGER + 1), None).unwrap();
    assert_eq!(found(&home, Reader::Unknown, own).len(), 1);
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
    let found = found(&home, Reader::Daemon, Identity::own());
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
        let loaded = load(&file, &Environment::of_daemon());
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
