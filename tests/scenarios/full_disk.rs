//! A full disk: requests are refused with `Retry-After`, nothing acknowledged is lost, and requests are
//! accepted again as soon as there is room.
//!
//! A limit of file sizes needs no privilege. A small file system needs root; without it, or where mounting
//! is refused, the test says that it is skipped.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Answer, Daemon, SECRET, body, events, wait_for};

const SEGMENT: &str = "store.segment = \"1MiB\"\n";
/// A limit of file sizes that no log of these tests fits into.
const FILE_BYTES_MAX: u64 = 200 << 10;
const PER_REQUEST: usize = 20;
/// More than any of the disks below can hold.
const REQUESTS_MAX: usize = 20_000;
/// More lines than this would mean a line for each request.
const REFUSAL_LINES_MAX: usize = 3;

/// Posts until a request is refused; returns the acknowledged ids and the refusal.
#[track_caller]
fn post_until_refused(daemon: &Daemon, name: &str) -> (Vec<String>, Answer) {
    let mut acknowledged = Vec::new();
    for count in 0..REQUESTS_MAX {
        let ids = events(&format!("{name}-{count}"), PER_REQUEST);
        let answer = daemon.post(&body(&ids));
        if answer.status != 200 {
            return (acknowledged, answer);
        }
        acknowledged.extend(ids);
    }
    panic!("the disk never gets full");
}

#[track_caller]
fn asks_to_retry_later(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert_eq!(answer.json()["error"], "cannot store the request at the moment; try again later");
}

/// Posts a request of its own until it is accepted.
#[track_caller]
fn wait_until_accepted(daemon: &Daemon, name: &str) -> Vec<String> {
    let ids = events(name, 1);
    wait_for("requests to be accepted again", || {
        (daemon.post(&body(&ids)).status == 200).then_some(())
    });
    ids
}

/// Waits until that file contains each of the ids.
#[track_caller]
fn wait_for_lines(log: &Path, ids: &[String]) {
    wait_for(&format!("{} events in {}", ids.len(), log.display()), || {
        let text = fs::read_to_string(log).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let lines = whole.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let id = |line: Value| Some(line["data"]["message_id"].as_str()?.to_owned());
        let there: HashSet<String> = lines.filter_map(id).collect();
        ids.iter().all(|id| there.contains(id)).then_some(())
    });
}

#[track_caller]
fn few_clear_lines(daemon: &Daemon) {
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert!(lines("requests are refused: ") >= 1, "{log}");
    assert!(lines("refused: cannot be stored") <= REFUSAL_LINES_MAX, "{log}");
    assert!(lines("requests are accepted again") >= 1, "{log}");
}

#[test]
fn requests_refused_by_a_limit_of_file_sizes_are_accepted_when_it_is_lifted() {
    let lines = "retry.backoff_min = \"100ms\"\nretry.backoff_max = \"200ms\"";
    let mut daemon =
        Daemon::new().store(SEGMENT).source("sqreen", SECRET).log_with("audit-log", lines).start();
    daemon.limit_file_sizes(Some(FILE_BYTES_MAX));
    let (mut acknowledged, refused) = post_until_refused(&daemon, "before");
    asks_to_retry_later(&refused);
    assert!(!acknowledged.is_empty());
    for _ in 0..200 {
        asks_to_retry_later(&daemon.post(&body(&events("refused", 1))));
    }
    daemon.limit_file_sizes(None);
    acknowledged.extend(wait_until_accepted(&daemon, "after"));
    daemon.wait_delivered("audit-log", &acknowledged);
    few_clear_lines(&daemon);
    // What was stored while the disk was full survives a crash.
    daemon.kill_9();
    daemon.start();
    let last = wait_until_accepted(&daemon, "last");
    daemon.wait_delivered("audit-log", &last);
}

/// A small file system, unmounted when the test ends.
struct Small {
    folder: TempDir,
    path: PathBuf,
}

impl Small {
    /// Fails with the reason where it cannot be mounted.
    fn mount(kind: &str, mebibytes: u32) -> Result<Self, String> {
        let folder =
            tempfile::Builder::new().prefix("small-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.unwrap();
        let path = folder.path().join("disk");
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        if kind == "tmpfs" {
            mount.args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "none"]);
        } else {
            let image = folder.path().join("image");
            File::create(&image).unwrap().set_len(u64::from(mebibytes) << 20).unwrap();
            succeeds(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
            mount.args(["-o", "loop"]).arg(&image);
        }
        succeeds(mount.arg(&path))?;
        Ok(Self { folder, path })
    }
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazy: a file may still be open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
        let _ = self.folder.path();
    }
}

/// Writes zeros into a new file of that disk until `left` bytes are free.
fn fill(disk: &Path, left: u64) -> PathBuf {
    let path = disk.join("filler");
    // A full disk may have no room even for the name.
    let Ok(mut file) = File::create(&path) else { return path };
    let free = || {
        let system = rustix::fs::statvfs(disk).unwrap();
        system.f_bavail * system.f_frsize
    };
    while free() > left && file.write_all(&[0; 4096]).is_ok() {}
    path
}

/// The store and a target's file on one small disk, with this `store.free_min`.
fn small_disk(kind: &str, floor: &str) {
    let small = match Small::mount(kind, 40) {
        Ok(small) => small,
        Err(reason) => return println!("skipped: a small disk ({kind}): {reason}"),
    };
    let (data, log) = (small.path.join("data"), small.path.join("logs/all.jsonl"));
    let target = format!(
        "settings.path = {log:?}\nretry.backoff_min = \"100ms\"\nretry.backoff_max = \"1s\""
    );
    let store = format!("{SEGMENT}store.directory = {data:?}\n{floor}");
    let mut daemon =
        Daemon::new().store(&store).source("sqreen", SECRET).target("all", &target).start();
    let more = small.path.join("more");
    fs::create_dir(&more).unwrap();
    let filler = fill(&small.path, 6 << 20);
    let (mut acknowledged, refused) = post_until_refused(&daemon, "before");
    asks_to_retry_later(&refused);
    assert!(!acknowledged.is_empty());
    // Use up the rest: only the reserve can still be written.
    fill(&more, 0);
    for count in 0..100 {
        // A target that removes a partly written line may leave room for one more request.
        let ids = events(&format!("meanwhile-{count}"), 1);
        let answer = daemon.post(&body(&ids));
        if answer.status == 200 {
            acknowledged.extend(ids);
        } else {
            asks_to_retry_later(&answer);
        }
    }
    fs::remove_dir_all(&more).unwrap();
    fs::remove_file(filler).unwrap();
    acknowledged.extend(wait_until_accepted(&daemon, "after"));
    wait_for_lines(&log, &acknowledged);
    few_clear_lines(&daemon);
    // After a crash everything acknowledged is there, and requests are accepted.
    daemon.kill_9();
    daemon.start();
    acknowledged.extend(wait_until_accepted(&daemon, "last"));
    wait_for_lines(&log, &acknowledged);
}

#[test]
fn a_small_tmpfs_full_to_the_last_byte() {
    small_disk("tmpfs", "store.free_min = \"0B\"\n");
}

#[test]
fn a_small_ext4_full_to_the_last_byte() {
    small_disk("ext4", "store.free_min = \"0B\"\n");
}

#[test]
fn a_small_ext4_that_reaches_free_min() {
    small_disk("ext4", "store.free_min = \"3MiB\"\n");
}
