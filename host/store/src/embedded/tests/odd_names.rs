//! Every name that a start or a tool opens in the data folder, with something else in its place: what `check` says of the
//! start is what the start does, and each tool ends with one clear line.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::Queue;
use crate::contract::*;
use crate::embedded::Embedded;
use crate::embedded::tools::{self, DumpOptions, Start, Work};

use crate::embedded::tests::support::{Folder, large, make_fifo};

const KINDS: [&str; 6] =
    ["a file", "a folder", "a pipe", "a socket", "a link to nothing", "a link to itself"];

fn put(kind: &str, path: &Path) {
    match kind {
        "a file" => std::fs::write(path, "no").unwrap(),
        "a folder" => std::fs::create_dir(path).unwrap(),
        "a pipe" => make_fifo(path),
        "a socket" => {
            // Its name may be at most 107 bytes long.
            let socket = tempfile::tempdir().unwrap();
            drop(UnixListener::bind(socket.path().join("s")).unwrap());
            std::fs::rename(socket.path().join("s"), path).unwrap();
        }
        "a link to nothing" => symlink("nowhere", path).unwrap(),
        _ => symlink(path.file_name().unwrap(), path).unwrap(),
    }
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(there) if there.is_dir() => std::fs::remove_dir_all(path).unwrap(),
        Ok(_) => std::fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// A closed store with three segments and an index.
async fn stored() -> Folder {
    let folder = Folder::new();
    let store = folder.store();
    let a = register(&*store, &["a"]).await[0];
    while folder.segments().len() < 3 {
        append(&*store, (0..20).map(|i| keyed(&large(&i.to_string()), 1, &[a])).collect()).await;
        append(&*store, (0..20).map(|i| planned(large(&i.to_string()), &[a])).collect()).await;
    }
    store.close().await.unwrap();
    folder
}

fn names(folder: &Folder) -> Vec<PathBuf> {
    let (settings, segments) = (folder.settings(), folder.segments());
    let log = settings.log_folder();
    let in_index = std::fs::read_dir(settings.index_folder()).unwrap().flatten();
    let file = in_index.map(|entry| entry.path()).find(|path| path.is_file()).unwrap();
    let mut names = vec![
        settings.lock_file(),
        log.clone(),
        settings.index_folder(),
        settings.index_folder().join("added"),
        settings.index_folder().join("keyspaces").join("added"),
        file,
        settings.damaged_folder(),
    ];
    names.extend(segments);
    let files = ["spare.tmp", "reserve.tmp", "next.tmp", "probe.tmp", "repair.tmp"];
    names.extend(files.map(|name| log.join(name)));
    names
}

/// What a tool or a start says: one line, or nothing.
fn said<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> Option<String> {
    let text = result.err()?.to_string();
    assert!(!text.is_empty() && text.lines().count() == 1, "{what}: {text}");
    Some(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_has_a_name_in_the_data_folder_no_tool_hangs_and_check_tells_what_a_start_does() {
    let whole = stored().await;
    for place in 0..names(&whole).len() {
        for kind in KINDS {
            let folder = whole.copy();
            let path = names(&folder)[place].clone();
            let what = format!("{kind} as {}", path.display());
            let is_segment = folder.segments().contains(&path);
            remove(&path);
            put(kind, &path);
            one(&folder, (&path, is_segment), &what);
        }
    }
}

fn one(folder: &Folder, (path, is_segment): (&Path, bool), what: &str) {
    let (settings, directory) = (folder.settings(), folder.settings().directory);
    let checked = tools::check(&directory, &mut |_, _| {});
    let dumped = tools::dump(&directory, &DumpOptions::default(), &mut |_, _| {}, &mut |_| true);
    said(dumped, what);
    let to = folder.dir.path().join("backup");
    let backed_up = said(tools::backup(&directory, &to, &mut |_, _| {}), what);
    let dry = Work { dry_run: true, ..Work::default() };
    said(tools::repair(&directory, &dry, &mut |_, _| {}), what);
    // A start may take away what is in its way, so the others came first.
    let started = said(Embedded::open(settings.clone()), what);
    match checked {
        Ok(report) => {
            let works = matches!(report.start, Start::Works);
            assert_eq!(works, started.is_none(), "{what}: {report:?} {started:?}");
        }
        Err(error) => {
            assert!(started.is_some(), "{what}: check says {error}, and the daemon starts");
            said::<(), _>(Err(error), what);
        }
    }
    if is_segment && started.is_some() {
        assert!(backed_up.is_some() || path.is_file(), "{what}: a backup without that file");
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let work = Work { dry_run: false, give_up: vec![name] };
        said(tools::repair(&directory, &work, &mut |_, _| {}), what);
    } else {
        said(tools::repair(&directory, &Work::default(), &mut |_, _| {}), what);
        return;
    }
    drop(Embedded::open(settings).unwrap_or_else(|error| panic!("{what}: given up, but {error}")));
}
