//! A data folder that is removed, moved or mounted over while the daemon runs, one that cannot be written, and an
//! admin socket that is removed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Daemon, PowerDisk, SECRET, body, events, wait_for};

/// More than any test needs to see a refusal.
const REQUESTS_MAX: usize = 20_000;

/// A limit of file sizes that no segment of these tests fits into.
const FILE_BYTES_MAX: u64 = 200 << 10;

fn start() -> Daemon {
    let store = "store.segment = \"1MiB\"\n";
    Daemon::new().store(store).source("sqreen", SECRET).log("audit-log").alarms().start()
}

/// The first line of `status`, and whether it exits with 0.
fn status(daemon: &Daemon) -> (String, bool) {
    let output = daemon.command(&["status"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    (shown.lines().next().unwrap_or_default().to_owned(), output.status.success())
}

/// Posts until a request is refused; returns the acknowledged ids.
#[track_caller]
fn post_until_refused(daemon: &Daemon) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for count in 0..REQUESTS_MAX {
        let ids = events(&format!("until-refused-{count}"), 20);
        let answer = daemon.post(&body(&ids));
        if answer.status != 200 {
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            return acknowledged;
        }
        acknowledged.extend(ids);
    }
    panic!("requests are answered as if nothing had happened");
}

/// `status` begins with the reason, and the log has a line about it.
#[track_caller]
fn shows_refused(daemon: &Daemon, words: &str) {
    let (state, well) = status(daemon);
    assert!(state.starts_with("requests are refused (") && state.contains(words), "{state}");
    assert!(!well, "{state}");
    let health = daemon.client().send("GET", "/healthz", &[], b"").unwrap();
    assert_eq!(health.status, 503, "{health:?}");
    // The log is written by a thread of its own.
    wait_for("a line of the log", || daemon.log().contains("requests are refused: ").then_some(()));
    let log = daemon.log();
    assert!(log.matches("requests are refused: ").count() <= 3, "{log}");
}

#[track_caller]
fn wait_for_works(daemon: &Daemon) {
    wait_for("status to say that it works", || {
        let (state, well) = status(daemon);
        (well && !state.contains("refused")).then_some(())
    });
}

#[track_caller]
fn wait_for_alarm(daemon: &Daemon, words: &str) {
    let alarm = wait_for("the event", || daemon.own_events("store.down").pop());
    assert_eq!(alarm["severity"], "critical");
    let title = alarm["title"].as_str().unwrap();
    assert!(title.starts_with("requests are refused: ") && title.contains(words), "{title}");
}

#[test]
fn a_data_folder_that_is_removed_is_noticed_and_reported() {
    let mut daemon = start();
    let data = daemon.home().join("data");
    let first = events("first", 3);
    assert_eq!(daemon.post(&body(&first)).status, 200);
    daemon.wait_delivered("audit-log", &first);
    // The daemon may write a file meanwhile.
    wait_for("the folder to be gone", || {
        let _ = fs::remove_dir_all(&data);
        (!data.exists()).then_some(())
    });
    let acknowledged = post_until_refused(&daemon);
    shows_refused(&daemon, "is gone: the data folder was removed, moved or mounted over");
    // Targets still get what was acknowledged, and the alarm.
    daemon.wait_delivered("audit-log", &acknowledged);
    wait_for_alarm(&daemon, "lock is gone");
    // It is not accepted again by itself: the files will not come back.
    assert_eq!(daemon.post(&body(&events("refused", 1))).status, 503);
    daemon.terminate();
    let _ = fs::remove_dir_all(&data);
    daemon.start();
    assert_eq!(daemon.post(&body(&events("again", 1))).status, 200);
    wait_for_works(&daemon);
}

#[test]
fn a_data_folder_that_is_removed_while_nothing_comes_is_noticed_without_a_request() {
    let daemon = start();
    let data = daemon.home().join("data");
    wait_for("the folder to be gone", || {
        let _ = fs::remove_dir_all(&data);
        (!data.exists()).then_some(())
    });
    wait_for("status to say it", || {
        status(&daemon).0.starts_with("requests are refused (0 so far)").then_some(())
    });
    assert_eq!(daemon.post(&body(&events("first", 1))).status, 503);
    shows_refused(&daemon, "is gone: the data folder was removed, moved or mounted over");
    wait_for_alarm(&daemon, "is gone");
}

#[test]
fn a_data_folder_that_is_moved_away_and_back_loses_nothing() {
    let mut daemon = start();
    let (data, away) = (daemon.home().join("data"), daemon.home().join("away"));
    fs::rename(&data, &away).unwrap();
    let mut acknowledged = post_until_refused(&daemon);
    shows_refused(&daemon, "lock is gone");
    fs::rename(&away, &data).unwrap();
    wait_for_works(&daemon);
    let more = events("more", 5);
    assert_eq!(daemon.post(&body(&more)).status, 200);
    acknowledged.extend(more);
    daemon.wait_delivered("audit-log", &acknowledged);
    wait_for_alarm(&daemon, "lock is gone");
    daemon.kill_9();
    daemon.start();
    let last = daemon.post(&body(&acknowledged[..1])).json();
    assert_eq!(last["duplicates"], 1, "{last}");
}

fn succeeds(program: &str, arguments: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(path).output();
    let output = output.map_err(|error| error.to_string())?;
    let error = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(error()) }
}

#[test]
fn a_data_folder_that_is_mounted_over_is_not_written() {
    let daemon = start();
    let data = daemon.home().join("data");
    if let Err(reason) = succeeds("mount", &["-t", "tmpfs", "-o", "size=4m", "none"], &data) {
        return println!("skipped: a mounted file system: {reason}");
    }
    post_until_refused(&daemon);
    shows_refused(&daemon, "lock is gone");
    let there = fs::read_dir(&data).unwrap().count();
    succeeds("umount", &["--lazy"], &data).unwrap();
    assert_eq!(there, 0);
    wait_for_works(&daemon);
    assert_eq!(daemon.post(&body(&events("back", 1))).status, 200);
}

#[test]
fn a_folder_that_cannot_be_written_is_shown_until_it_can() {
    let daemon = start();
    let log = daemon.home().join("data/log");
    // Where the next segment is made. The newest one is still written.
    let in_the_way = ["next.tmp", "spare.tmp", "probe.tmp"].map(|name| log.join(name));
    for path in &in_the_way {
        fs::create_dir(path).unwrap();
    }
    let acknowledged = post_until_refused(&daemon);
    shows_refused(&daemon, "next.tmp: it is a folder, not a file");
    daemon.wait_delivered("audit-log", &acknowledged);
    for path in &in_the_way {
        fs::remove_dir(path).unwrap();
    }
    wait_for_works(&daemon);
    assert_eq!(daemon.post(&body(&events("after", 1))).status, 200);
    wait_for_alarm(&daemon, "next.tmp: it is a folder, not a file");
}

#[test]
fn a_disk_that_takes_nothing_is_shown_until_it_does() {
    let daemon = start();
    daemon.limit_file_sizes(Some(FILE_BYTES_MAX));
    post_until_refused(&daemon);
    shows_refused(&daemon, "free some space, or raise the quota or limit");
    daemon.limit_file_sizes(None);
    wait_for_works(&daemon);
    assert_eq!(daemon.post(&body(&events("after", 1))).status, 200);
}

#[test]
fn a_file_system_that_turns_read_only_is_shown_and_reported() {
    let disk = match PowerDisk::new() {
        Ok(disk) => disk,
        Err(reason) => return println!("skipped: a read-only file system: {reason}"),
    };
    let store =
        format!("store.directory = {:?}\nstore.segment = \"1MiB\"", disk.path().join("data"));
    let daemon =
        Daemon::new().head(&store).source("sqreen", SECRET).log("audit-log").alarms().start();
    let first = events("first", 3);
    assert_eq!(daemon.post(&body(&first)).status, 200);
    if let Err(reason) = disk.turn_read_only() {
        return println!("skipped: a read-only file system: {reason}");
    }
    let acknowledged = post_until_refused(&daemon);
    shows_refused(&daemon, "Read-only file system");
    daemon.wait_delivered("audit-log", &[first, acknowledged].concat());
    let (state, _) = status(&daemon);
    assert!(!state.starts_with("requests are refused (0 so far)"), "{state}");
    drop(daemon);
}

#[test]
fn an_index_that_is_removed_is_made_again_while_requests_are_accepted() {
    let daemon = start();
    let index = daemon.home().join("data/index");
    let mut ids = events("before", 5);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    fs::rename(&index, daemon.home().join("moved")).unwrap();
    wait_for("status to say it", || {
        let more = events(&format!("while-{}", ids.len()), 1);
        assert_eq!(daemon.post(&body(&more)).status, 200);
        ids.extend(more);
        let (state, well) = status(&daemon);
        let made_again = state.contains("made from the log again");
        (!well && made_again && !state.contains("being rebuilt")).then_some(())
    });
    assert!(index.join("lock").exists());
    daemon.wait_delivered("audit-log", &ids);
    let again = daemon.post(&body(&ids[..5])).json();
    assert_eq!(again["duplicates"], 5, "{again}");
}

#[test]
fn a_link_to_itself_in_place_of_the_index_ends_with_requests_that_are_served() {
    let daemon = start();
    let index = daemon.home().join("data/index");
    let mut ids = events("before", 5);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    daemon.wait_delivered("audit-log", &ids);
    fs::rename(&index, daemon.home().join("moved")).unwrap();
    std::os::unix::fs::symlink("index", &index).unwrap();
    wait_for("status to say it", || {
        let more = events(&format!("while-{}", ids.len()), 1);
        assert_eq!(daemon.post(&body(&more)).status, 200);
        ids.extend(more);
        let (state, well) = status(&daemon);
        (!well && state.contains("index")).then_some(())
    });
    let _ = fs::remove_file(&index);
    wait_for("an index", || index.join("lock").exists().then_some(()));
    wait_for("the end of its making", || {
        (!status(&daemon).0.contains("being rebuilt")).then_some(())
    });
    daemon.wait_delivered("audit-log", &ids);
    let again = daemon.post(&body(&ids[..5])).json();
    assert_eq!(again["duplicates"], 5, "{again}");
}

#[test]
fn an_admin_socket_that_is_removed_is_made_again() {
    let daemon = start();
    let socket = daemon.home().join("admin.sock");
    for round in 1..=2 {
        fs::remove_file(&socket).unwrap();
        wait_for_works(&daemon);
        let log = daemon.log();
        assert_eq!(log.matches("made the admin socket again").count(), round, "{log}");
    }
    // A file that is in the way is kept until it is moved away.
    let other = daemon.home().join("other");
    fs::write(&other, "kept").unwrap();
    fs::rename(&other, &socket).unwrap();
    wait_for("the reason", || daemon.log().contains("is not a socket").then_some(()));
    assert_eq!(fs::read_to_string(&socket).unwrap(), "kept");
    fs::rename(&socket, &other).unwrap();
    wait_for_works(&daemon);
}
