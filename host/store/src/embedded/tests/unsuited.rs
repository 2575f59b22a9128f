//! What a tool says before anything fails: files that the start may not open, something in place of the index, files that a
//! backup lacks, and names that a backup cannot have.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use crate::Queue;
use crate::embedded::Embedded;
use crate::embedded::tests::support::{Folder, copy_tree, flip, make_fifo};
use crate::embedded::tools::{self, Report, Start, ToolError, Work};

use crate::embedded::tests::gone_beginning::stored;

fn checked(folder: &Folder) -> Report {
    tools::check(&folder.settings().directory, &mut |_, _| {}).unwrap()
}

fn repaired(folder: &Folder, dry_run: bool) -> tools::Repaired {
    let work = Work { dry_run, ..Work::default() };
    tools::repair(&folder.settings().directory, &work, &mut |_, _| {}).unwrap()
}

/// Gives everything to another user, whose number that is.
fn give_away(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path(), user));
    }
}

#[tokio::test]
async fn files_that_the_start_may_not_open_are_named() {
    let (whole, _) = stored(2).await;
    let is_root = rustix::process::geteuid().is_root();
    let at = |folder: &Folder| -> Vec<std::path::PathBuf> {
        let settings = folder.settings();
        let index = settings.index_folder();
        let segments = folder.segments();
        vec![settings.lock_file(), segments[0].clone(), segments[1].clone(), index]
    };
    for place in 0..at(&whole).len() {
        let folder = whole.copy();
        let (directory, path) = (folder.settings().directory, at(&folder)[place].clone());
        // Root may open everything, the owner of the folder may not.
        if is_root {
            give_away(&directory, 65_534);
            chown(&path, Some(0), Some(0)).unwrap();
        }
        let mode = if path.is_dir() { 0o500 } else { 0o400 };
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let report = checked(&folder);
        assert!(!report.is_clean(), "{}", path.display());
        let start = match &report.start {
            Start::Fails(why) => Some(why.clone()),
            _ => None,
        };
        let said = start.or(report.denied).or(report.index).unwrap();
        assert!(
            said.contains("permission denied") && said.contains(&*path.to_string_lossy()),
            "{said}"
        );
        std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    }
}

/// A command that root ran may have left a file that the owner of the folder cannot read: the index itself is right.
#[tokio::test]
async fn a_repair_leaves_an_index_of_which_a_file_may_not_be_opened() {
    let (whole, _) = stored(2).await;
    let is_root = rustix::process::geteuid().is_root();
    for is_damaged in [false, true] {
        let folder = whole.copy();
        let (settings, segments) = (folder.settings(), folder.segments());
        if is_damaged {
            flip(&segments[0], 4_200);
        }
        let path = settings.index_folder().join("lock");
        if is_root {
            give_away(&settings.directory, 65_534);
            chown(&path, Some(0), Some(0)).unwrap();
        }
        let mode = if is_root { 0o600 } else { 0o000 };
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        for dry_run in [true, false] {
            let done = repaired(&folder, dry_run);
            assert!(!done.index_removed && path.exists(), "{is_damaged} {dry_run}");
            for report in std::iter::once(done.before).chain(done.after) {
                let said = report.index.unwrap();
                let path = path.to_string_lossy();
                assert!(said.contains("permission denied") && said.contains(&*path), "{said}");
                assert!(report.index_denied);
            }
        }
        // Once it is given back, it is the index that it was.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        if is_root {
            give_away(&settings.directory, 0);
        }
        assert!(checked(&folder).is_clean());
        let store = Embedded::open(settings).unwrap();
        assert!(store.rebuilding().is_none() && store.damage().is_none(), "{is_damaged}");
    }
}

#[tokio::test]
async fn what_a_person_put_in_place_of_the_index_is_not_promised_away() {
    let (whole, _) = stored(1).await;
    whole.delete_index();
    for kind in ["a file", "a pipe", "a link to nothing"] {
        let folder = whole.copy();
        let index = folder.settings().index_folder();
        match kind {
            "a file" => std::fs::write(&index, "no").unwrap(),
            "a pipe" => make_fifo(&index),
            _ => symlink("nowhere", &index).unwrap(),
        }
        let report = checked(&folder);
        assert!(report.index_in_way && !report.is_clean(), "{kind}: {report:?}");
        assert!(!repaired(&folder, true).index_removed, "{kind}");
        let after = repaired(&folder, false);
        assert!(!after.index_removed && index.symlink_metadata().is_ok(), "{kind}");
        drop(Embedded::open(folder.settings()).unwrap());
        assert!(index.symlink_metadata().is_ok(), "{kind}: a start leaves it");
    }
}

#[tokio::test]
async fn every_event_of_an_empty_segment_may_have_been_there() {
    let (folder, ids) = stored(3).await;
    let segment = folder.segments()[1].clone();
    std::fs::File::options().write(true).open(&segment).unwrap().set_len(0).unwrap();
    let report = checked(&folder);
    let damage = report.damages.iter().find(|damage| damage.segment == segment).unwrap();
    let (from, to) = damage.numbers();
    let there = |id: &&dispatcher_model::EventId| (from..to).contains(&id.number());
    assert!(ids.iter().any(|id| there(&id)), "{from} to {to}");
    let named = report.damages.iter().filter(|damage| damage.segment == segment);
    assert!(named.clone().all(|damage| damage.bytes == 0), "{report:?}");
}

#[tokio::test]
async fn a_backup_names_the_files_that_the_log_lacks() {
    let (whole, _) = stored(5).await;
    for gone in [&[][..], &[0], &[2], &[0, 2], &[1, 2]] {
        let folder = whole.copy();
        let segments = folder.segments();
        gone.iter().for_each(|place: &usize| std::fs::remove_file(&segments[*place]).unwrap());
        let to = folder.dir.path().join("backup");
        let done = tools::backup(&folder.settings().directory, &to, &mut |_, _| {}).unwrap();
        let gaps = match gone {
            [] => 0,
            [0, 2] => 2,
            _ => 1,
        };
        assert_eq!(done.missing.len(), gaps, "{gone:?}: {:?}", done.missing);
    }
}

#[tokio::test]
async fn a_backup_refuses_a_name_that_it_cannot_have_before_it_copies() {
    let (folder, _) = stored(1).await;
    let (directory, dir) = (folder.settings().directory, folder.dir.path());
    copy_tree(&directory, &dir.join("other"));
    std::fs::create_dir(dir.join("empty")).unwrap();
    for (name, to) in [("link", "empty"), ("to-nothing", "nowhere")] {
        symlink(to, dir.join(name)).unwrap();
    }
    std::fs::write(dir.join("file"), "").unwrap();
    symlink(&directory, dir.join("alias")).unwrap();
    for (from, to) in [
        ("data", "link"),
        ("data", "link/"),
        ("data", "to-nothing"),
        ("data", "file"),
        ("data", "data.before"),
        ("data", "data.before/monday"),
        ("data", "other/../data.before"),
        ("alias", "alias.before"),
    ] {
        let to = dir.join(to);
        let done = tools::backup(&dir.join(from), &to, &mut |_, _| {});
        let error = done.expect_err(&to.to_string_lossy());
        assert!(matches!(error, ToolError::Unsuited { .. }), "{}: {error}", to.display());
        let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("partial")));
    }
    tools::backup(&directory, &dir.join("empty/"), &mut |_, _| {}).unwrap();
}
