//! The log against a real file system.

use super::*;
use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const ALWAYS_ONE: Rotation = Rotation { bytes_max: None, daily: false, keep: 1 };
/// Set in the child process of a test.
const CHILD: &str = "FILE_LOG_TEST_FOLDER";

fn by_size(bytes_max: u64, keep: u32) -> Rotation {
    Rotation { bytes_max: Some(bytes_max), daily: false, keep }
}

fn log(folder: &TempDir, rotation: Rotation) -> Log {
    Log::new(folder.path().join("log"), rotation, false)
}

fn now() -> SystemTime {
    SystemTime::now()
}

fn put(log: &mut Log, lines: &str) {
    log.append(lines.as_bytes(), now()).unwrap();
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

fn names(folder: &TempDir) -> BTreeSet<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    fs::read_dir(folder.path()).unwrap().map(name).collect()
}

fn check_problem(outcome: Result<(), Problem>, part: &str) {
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains(part) && !text.contains('\n'), "{text}");
}

#[test]
fn lines_are_appended_and_nothing_is_opened_earlier() {
    let folder = TempDir::new().unwrap();
    let mut log = log(&folder, ALWAYS_ONE);
    log.append(b"", now()).unwrap();
    assert!(names(&folder).is_empty());
    put(&mut log, "1\n2\n");
    put(&mut log, "3\n");
    assert_eq!(read(&folder, "log"), "1\n2\n3\n");
}

#[test]
fn folders_are_created_and_others_can_read_neither_them_nor_the_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a/b/log");
    Log::new(path.clone(), ALWAYS_ONE, true).append(b"1\n", now()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    // The umask may take the group's rights away, never the owner's.
    assert_eq!(mode(&path) | 0o040, 0o640);
    assert_eq!(mode(&folder.path().join("a/b")) | 0o050, 0o750);
    assert_eq!(mode(&folder.path().join("a")) | 0o050, 0o750);
}

#[test]
fn a_file_is_rotated_before_it_is_too_long_and_only_keep_files_stay() {
    let folder = TempDir::new().unwrap();
    let mut log = log(&folder, by_size(4, 2));
    for lines in ["1\n", "2\n", "3\n", "4\n", "5\n"] {
        put(&mut log, lines);
    }
    let found = ["log", "log.1", "log.2"].map(|name| read(&folder, name));
    assert_eq!(found, ["5\n", "3\n4\n", "1\n2\n"]);
    put(&mut log, "longer than a file may be\n");
    put(&mut log, "7\n");
    let found = ["log", "log.1", "log.2"].map(|name| read(&folder, name));
    assert_eq!(found, ["7\n", "longer than a file may be\n", "5\n"]);
    assert_eq!(names(&folder).len(), 3);
}

#[test]
fn a_gap_in_the_numbers_is_filled_before_a_file_is_deleted() {
    let folder = TempDir::new().unwrap();
    for name in ["log", "log.1", "log.3"] {
        fs::write(folder.path().join(name), format!("{name}\n")).unwrap();
    }
    put(&mut log(&folder, by_size(4, 3)), "new\n");
    let found = ["log", "log.1", "log.2", "log.3"].map(|name| read(&folder, name));
    assert_eq!(found, ["new\n", "log\n", "log.1\n", "log.3\n"]);
}

#[test]
fn files_beyond_a_lowered_keep_are_deleted() {
    let folder = TempDir::new().unwrap();
    for name in ["log", "log.1", "log.2", "log.3", "log.4"] {
        fs::write(folder.path().join(name), format!("{name}\n")).unwrap();
    }
    put(&mut log(&folder, by_size(4, 2)), "new\n");
    assert_eq!(names(&folder), ["log", "log.1", "log.2"].map(str::to_owned).into());
    assert_eq!(read(&folder, "log.2"), "log.1\n");
}

#[test]
fn no_line_is_lost_or_joined_over_many_rotations() {
    let folder = TempDir::new().unwrap();
    let mut log = log(&folder, by_size(100, 1000));
    for n in 0..1000 {
        put(&mut log, &format!("{n}\n"));
    }
    let mut found: Vec<u32> = Vec::new();
    for name in names(&folder) {
        assert!(fs::metadata(folder.path().join(&name)).unwrap().len() <= 100);
        found.extend(read(&folder, &name).lines().map(|line| line.parse::<u32>().unwrap()));
    }
    found.sort_unstable();
    assert_eq!(found, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_new_day_starts_a_new_file_and_a_clock_set_back_does_not() {
    let folder = TempDir::new().unwrap();
    let mut log = log(&folder, Rotation { bytes_max: None, daily: true, keep: 9 });
    let day = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n * DAY_SECONDS);
    let second = Duration::from_secs(1);
    log.append(b"1\n", day(20_001) - second).unwrap();
    log.append(b"2\n", day(20_001)).unwrap();
    log.append(b"3\n", day(20_001) - second).unwrap();
    log.append(b"4\n", day(20_002) - second).unwrap();
    log.append(b"5\n", day(20_010)).unwrap();
    let found = ["log", "log.1", "log.2"].map(|name| read(&folder, name));
    assert_eq!(found, ["5\n", "2\n3\n4\n", "1\n"]);
    assert_eq!(names(&folder).len(), 3);
}

#[test]
fn a_file_from_an_earlier_day_is_rotated_at_the_first_append() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("log"), "old\n").unwrap();
    let file = File::options().append(true).open(folder.path().join("log")).unwrap();
    file.set_modified(now() - Duration::from_secs(2 * DAY_SECONDS)).unwrap();
    put(&mut log(&folder, Rotation { bytes_max: None, daily: true, keep: 9 }), "new\n");
    assert_eq!((read(&folder, "log.1"), read(&folder, "log")), ("old\n".into(), "new\n".into()));
    put(&mut log(&folder, Rotation { bytes_max: None, daily: true, keep: 9 }), "more\n");
    assert_eq!(read(&folder, "log"), "new\nmore\n", "a restart on the same day appends");
}

#[test]
fn after_a_rename_deletion_or_replacement_the_path_is_opened_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    let mut log = log(&folder, ALWAYS_ONE);
    put(&mut log, "1\n");
    fs::rename(&path, folder.path().join("moved")).unwrap();
    put(&mut log, "2\n");
    assert_eq!((read(&folder, "moved"), read(&folder, "log")), ("1\n".into(), "2\n".into()));
    fs::remove_file(&path).unwrap();
    put(&mut log, "3\n");
    assert_eq!(read(&folder, "log"), "3\n");
    fs::write(folder.path().join("other"), "other\n").unwrap();
    fs::rename(folder.path().join("other"), &path).unwrap();
    put(&mut log, "4\n");
    assert_eq!(read(&folder, "log"), "other\n4\n");
    fs::remove_dir_all(folder.path()).unwrap();
    put(&mut log, "5\n");
    assert_eq!(read(&folder, "log"), "5\n");
    // Truncated in place, as by `copytruncate`.
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    put(&mut log, "6\n");
    assert_eq!(read(&folder, "log"), "6\n");
}

#[test]
fn an_incomplete_line_in_the_file_is_ended_first() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("log"), "whole\nhal").unwrap();
    put(&mut log(&folder, ALWAYS_ONE), "new\n");
    assert_eq!(read(&folder, "log"), "whole\nhal\nnew\n");
}

#[test]
fn a_path_that_is_not_a_regular_file_is_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    let append = || log(&folder, by_size(1, 1)).append(b"1\n", now());
    fs::create_dir(&path).unwrap();
    check_problem(append(), "is not a regular file");
    fs::remove_dir(&path).unwrap();
    symlink("/dev/full", &path).unwrap();
    check_problem(append(), "is not a regular file");
    fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    check_problem(append(), "is not a regular file");
    assert_eq!(names(&folder).len(), 1);
}

#[test]
fn a_file_where_a_folder_must_be_is_an_error() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("log"), "").unwrap();
    let mut below = Log::new(folder.path().join("log/deeper/x"), ALWAYS_ONE, false);
    check_problem(below.append(b"1\n", now()), "a part of the path is a file");
    check_problem(below.probe(), "log/deeper");
}

#[test]
fn a_probe_creates_and_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let missing = Log::new(folder.path().join("a/b/log"), ALWAYS_ONE, false);
    missing.probe().unwrap();
    assert!(names(&folder).is_empty());
    let mut log = log(&folder, ALWAYS_ONE);
    log.probe().unwrap();
    assert!(names(&folder).is_empty());
    put(&mut log, "1\n");
    log.probe().unwrap();
    assert_eq!(read(&folder, "log"), "1\n");
}

#[test]
fn a_probe_names_what_prevents_an_append() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("log")).unwrap();
    check_problem(log(&folder, ALWAYS_ONE).probe(), "regular file");
    fs::write(folder.path().join("file"), "").unwrap();
    let below = Log::new(folder.path().join("file/a/log"), ALWAYS_ONE, false);
    check_problem(below.probe(), "a part of the path is a file where a folder must be");
}

#[test]
fn a_failed_rotation_is_an_error_and_keeps_every_line() {
    let folder = TempDir::new().unwrap();
    let mut log = log(&folder, by_size(2, 1));
    put(&mut log, "1\n");
    fs::create_dir(folder.path().join("log.1")).unwrap();
    check_problem(log.append(b"2\n", now()), "cannot rotate");
    assert_eq!(read(&folder, "log"), "1\n");
    fs::remove_dir(folder.path().join("log.1")).unwrap();
    put(&mut log, "2\n");
    assert_eq!((read(&folder, "log.1"), read(&folder, "log")), ("1\n".into(), "2\n".into()));
}

#[test]
fn a_file_locked_by_another_writer_is_busy_until_it_is_free() {
    let folder = TempDir::new().unwrap();
    let mut log = log(&folder, ALWAYS_ONE);
    put(&mut log, "1\n");
    let other = File::open(folder.path().join("log")).unwrap();
    other.lock().unwrap();
    check_problem(log.append(b"2\n", now()), "being written by another");
    drop(other);
    put(&mut log, "2\n");
    assert_eq!(read(&folder, "log"), "1\n2\n");
}

#[test]
fn writers_of_one_file_neither_lose_nor_join_lines_during_rotation() {
    let folder = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let mut log = log(&folder, by_size(1000, 1000));
            scope.spawn(move || {
                for n in 0..200 {
                    let line = format!("{writer} {n}\n");
                    while let Err(problem) = log.append(line.as_bytes(), now()) {
                        assert!(matches!(problem, Problem::Busy(_)), "{problem}");
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    let mut found = BTreeSet::new();
    for name in names(&folder) {
        found.extend(read(&folder, &name).lines().map(str::to_owned));
    }
    let all = (0..4).flat_map(|writer| (0..200).map(move |n| format!("{writer} {n}")));
    assert_eq!(found, all.collect());
}

/// A real short write: the shell limits the size of files, and the kernel takes what still fits.
#[test]
fn a_part_that_a_full_disk_accepted_is_removed() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return fill(&Path::new(&folder).join("log"));
    }
    let folder = TempDir::new().unwrap();
    let script = "ulimit -f 8 && trap '' XFSZ && exec \"$0\" --exact \"$1\" --nocapture";
    let name = "file::tests::a_part_that_a_full_disk_accepted_is_removed";
    let child = Command::new("sh")
        .args(["-c", script])
        .args([std::env::current_exe().unwrap().to_str().unwrap(), name])
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success() && stdout.contains("1 passed"), "{stdout}");
    assert_eq!(read(&folder, "log").lines().last(), Some("small"), "the child wrote");
}

fn fill(path: &Path) {
    let mut log = Log::new(path.to_owned(), ALWAYS_ONE, false);
    let line = format!("{}\n", "x".repeat(2999));
    let problem = loop {
        if let Err(problem) = log.append(line.as_bytes(), now()) {
            break problem;
        }
    };
    assert!(problem.to_string().contains("of 3000 bytes"), "{problem}");
    let length = fs::metadata(path).unwrap().len();
    assert_eq!(length % 3000, 0, "no part of a line is left");
    log.append(b"small\n", now()).unwrap();
    assert_eq!(fs::metadata(path).unwrap().len(), length + 6);
}
