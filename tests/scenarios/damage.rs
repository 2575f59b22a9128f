//! Bytes that change on the disk: how they are reported, what is lost, what a repair and a backup restore.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Daemon, SECRET, body, events, exits, post_all, wait_for};

/// A log in the folder that `close_folder` makes unwritable.
const DOWN: &str = "settings.path = \"logs/closed/down.jsonl\"";

fn run(daemon: &Daemon, arguments: &[&str]) -> Output {
    daemon.command(arguments).output().unwrap()
}

fn printed(output: &Output) -> String {
    let [out, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{error}")
}

/// Repairs the store and starts the daemon, which then has a dead letter with these words for what is lost.
#[track_caller]
fn repair_and_find(daemon: &mut Daemon, words: &str) {
    assert!(exits(daemon, &["store", "repair"], 0).contains("0 damaged places"));
    daemon.start();
    daemon.open_folder();
    wait_for("a dead letter for what is lost", || {
        exits(daemon, &["dead", "list", "--target", "down"], 0).contains(words).then_some(())
    });
}

/// The records of the daemon's log.
pub(super) fn records(daemon: &Daemon) -> Vec<Value> {
    let dumped = run(daemon, &["store", "dump", "--json", "--bodies"]);
    assert!(dumped.status.success(), "{}", printed(&dumped));
    let lines = String::from_utf8(dumped.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// File and offset of the record that holds an event.
pub(super) fn record_of(daemon: &Daemon, id: &str) -> (PathBuf, u64) {
    let holds = |record: &&Value| {
        let events = record["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        events.iter().any(|event| event["data"].as_str().is_some_and(|data| data.contains(id)))
    };
    let records = records(daemon);
    let record = records.iter().find(holds).unwrap_or_else(|| panic!("{id} is not stored"));
    let file = daemon.home().join("data/log").join(record["segment"].as_str().unwrap());
    (file, record["offset_bytes"].as_u64().unwrap())
}

pub(super) fn flip(file: &PathBuf, offset: u64, bits: u8) {
    let file = File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ bits], offset).unwrap();
}

/// A stopped daemon and the ids of its events: one target has received all of them, the other none.
fn stopped() -> (Daemon, Vec<String>) {
    let mut daemon =
        Daemon::new().source("sqreen", SECRET).log("audit-log").target("down", DOWN).start();
    daemon.close_folder();
    let ids = events("kept", 30);
    let posted = post_all(daemon.address(), &ids, 1, 1, &AtomicUsize::new(0));
    assert_eq!(posted.acknowledged.len(), ids.len());
    daemon.wait_delivered("audit-log", &ids);
    assert!(daemon.terminate().success());
    (daemon, ids)
}

#[test]
fn damage_found_at_the_start_can_be_repaired_and_everything_else_is_delivered_once() {
    let (mut daemon, ids) = stopped();
    std::fs::remove_dir_all(daemon.home().join("data/index")).unwrap();
    let (file, place) = record_of(&daemon, &ids[11]);
    flip(&file, place + 60, 1);
    flip(&file, place + 90, 1);
    let text = exits(&daemon, &["run"], 1);
    let named = format!("byte {place} of {}", file.display());
    for part in [&*named, "dispatcher store check", "dispatcher store repair"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    let text = exits(&daemon, &["store", "check"], 1);
    for part in
        [&*format!("{}, byte {place}: ", file.display()), "target closed/down", "refuses to start"]
    {
        let part = part.replace("closed/", "");
        assert!(text.contains(&part), "{part} is missing in: {text}");
    }
    assert!(!text.contains("target audit-log"), "audit-log has already read this place: {text}");
    assert!(text.trim_end().ends_with(", 1 damaged place"), "{text}");
    let before = std::fs::read(&file).unwrap();
    exits(&daemon, &["store", "repair", "--dry-run"], 0);
    assert!(std::fs::read(&file).unwrap() == before, "a dry run changes nothing");
    exits(&daemon, &["store", "repair"], 0);
    let stem = file.file_stem().unwrap().to_string_lossy();
    let kept = daemon.home().join(format!("data/damaged/{stem}-{place}.bin"));
    let kept = std::fs::read(kept).unwrap();
    let from = usize::try_from(place).unwrap();
    assert!(kept == before[from..from + kept.len()], "the damaged bytes are kept");
    assert!(exits(&daemon, &["store", "repair"], 0).contains("nothing to repair"));
    assert!(exits(&daemon, &["store", "check"], 0).trim_end().ends_with(", 0 damaged places"));

    daemon.start();
    daemon.open_folder();
    let mut rest = ids.clone();
    let lost = rest.remove(11);
    daemon.wait_delivered("closed/down", &rest);
    assert!(!daemon.delivered("closed/down").contains_key(&lost));
    let dead = exits(&daemon, &["dead", "list", "--json"], 0);
    let dead: Value = serde_json::from_str(&dead).unwrap();
    assert_eq!((&dead["total"], &dead["letters"][0]["target"]), (&1.into(), &"down".into()));
    let reason = dead["letters"][0]["reason"].as_str().unwrap();
    assert!(reason.contains(&named), "{reason}");
    assert_eq!(daemon.log_lines("audit-log").len(), ids.len(), "nothing is delivered again");
}

#[test]
fn one_flipped_bit_is_corrected_without_loss() {
    let (mut daemon, ids) = stopped();
    std::fs::remove_dir_all(daemon.home().join("data/index")).unwrap();
    let (file, place) = record_of(&daemon, &ids[7]);
    flip(&file, place + 77, 16);
    exits(&daemon, &["run"], 1);
    assert!(exits(&daemon, &["store", "check"], 1).contains("one bit"));
    exits(&daemon, &["store", "repair"], 0);
    daemon.start();
    daemon.open_folder();
    daemon.wait_delivered("closed/down", &ids);
    assert_eq!(daemon.log_lines("audit-log").len(), ids.len());
}

#[test]
fn damage_found_while_running_loses_one_record_and_is_reported() {
    let (mut daemon, ids) = stopped();
    let (file, place) = record_of(&daemon, &ids[20]);
    flip(&file, place + 60, 1);
    flip(&file, place + 90, 1);
    // The index has already read this place; only the target with a backlog will read it again.
    daemon.start();
    exits(&daemon, &["store", "check"], 1);
    daemon.open_folder();
    let mut rest = ids;
    let lost = rest.remove(20);
    daemon.wait_delivered("closed/down", &rest);
    assert!(!daemon.delivered("closed/down").contains_key(&lost));
    let named = format!("damaged at byte {place} of {}", file.display());
    let text = exits(&daemon, &["status"], 1);
    assert!(text.contains(&named), "{text}");
    assert!(exits(&daemon, &["dead", "list", "--target", "down"], 0).contains(&named));
    let text = exits(&daemon, &["store", "repair"], 1);
    assert!(text.contains("stop it first"), "{text}");
    let later = events("later", 3);
    assert_eq!(daemon.post(&body(&later)).status, 200);
    daemon.wait_delivered("audit-log", &later);
    daemon.wait_delivered("closed/down", &later);
}

#[test]
fn a_damaged_index_is_set_aside_and_made_again() {
    let (mut daemon, ids) = stopped();
    let index = daemon.home().join("data/index");
    for entry in std::fs::read_dir(&index).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            File::options().write(true).open(&path).unwrap().write_all_at(&[0xa5; 64], 0).unwrap();
        }
    }
    let text = exits(&daemon, &["store", "check"], 1);
    assert!(text.contains("the next start rebuilds it from the log"), "{text}");
    daemon.start();
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    let later = events("later", 3);
    assert_eq!(daemon.post(&body(&later)).status, 200);
    daemon.wait_delivered("audit-log", &later);
    let text = exits(&daemon, &["status"], 1);
    assert!(text.contains("the index was damaged"), "{text}");
    assert!(daemon.home().join("data/damaged/index-1").is_dir());
    daemon.open_folder();
    daemon.wait_delivered("closed/down", &ids);
    assert!(daemon.terminate().success());
    let text = exits(&daemon, &["store", "check"], 0);
    assert!(text.contains("data/damaged/index-1"), "{text}");
    daemon.start();
    assert!(!printed(&run(&daemon, &["status"])).contains("the index was damaged"));
}

/// The engine panics at some of these bytes, in its checks of debug builds.
#[test]
fn a_damaged_journal_of_the_index_is_one_line_of_the_log_without_a_panic() {
    let (mut daemon, ids) = stopped();
    let index = daemon.home().join("data/index");
    let is_journal = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "jnl");
    let paths = std::fs::read_dir(&index).unwrap().map(|entry| entry.unwrap().path());
    let journals: Vec<PathBuf> = paths.filter(is_journal).collect();
    for (place, journal) in journals.iter().flat_map(|path| [30, 33, 36].map(|at| (at, path))) {
        flip(journal, place, 1);
    }
    let text = exits(&daemon, &["store", "check"], 1);
    assert!(!text.contains("panicked"), "{text}");
    daemon.start();
    let later = events("later", 3);
    assert_eq!(daemon.post(&body(&later)).status, 200);
    daemon.wait_delivered("audit-log", &later);
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(log.matches("the index was damaged").count(), 1, "{log}");
    daemon.open_folder();
    daemon.wait_delivered("closed/down", &ids);
}

#[test]
fn a_damaged_header_is_written_again_and_everything_that_is_said_of_it_agrees() {
    let (mut daemon, ids) = stopped();
    let log = daemon.home().join("data/log");
    let segments = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
    let segment = segments.filter(|path| path.extension().is_some_and(|ext| ext == "log")).min();
    flip(&segment.unwrap(), 20, 1);
    for entry in std::fs::read_dir(daemon.home().join("data/index")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            File::options().write(true).open(&path).unwrap().write_all_at(&[0xa5; 64], 0).unwrap();
        }
    }
    let checked = exits(&daemon, &["store", "check"], 1);
    let places = |text: &str| {
        let at = text.find(" damaged place").unwrap_or_else(|| panic!("{text}"));
        text[..at].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap().to_owned()
    };
    let dry = exits(&daemon, &["store", "repair", "--dry-run"], 0);
    assert_eq!(places(&checked), places(&dry), "{checked}{dry}");
    let done = exits(&daemon, &["store", "repair"], 0);
    for text in [&dry, &done] {
        assert!(text.contains("nothing is lost") && text.contains("written again"), "{text}");
        assert!(!text.contains("marked as lost"), "{text}");
    }
    daemon.start();
    daemon.open_folder();
    daemon.wait_delivered("closed/down", &ids);
}

#[test]
fn a_newest_segment_that_was_cut_is_refused_and_a_repair_counts_what_is_lost() {
    let (mut daemon, ids) = stopped();
    let (file, at) = record_of(&daemon, &ids[1]);
    File::options().write(true).open(&file).unwrap().set_len(at + 20).unwrap();
    for _ in 0..2 {
        let text = exits(&daemon, &["run"], 1);
        assert!(text.contains("acknowledged events are lost"), "{text}");
    }
    let text = exits(&daemon, &["store", "check"], 1);
    for part in ["the daemon does not start", "the index knows of", "dispatcher store repair"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    repair_and_find(&mut daemon, "what was there is lost");
    let later = events("later", 3);
    assert_eq!(daemon.post(&body(&later)).status, 200);
    daemon.wait_delivered("closed/down", &later);
}

/// What the index had not read is lost without a trace, but for the length of the file.
#[test]
fn the_newest_file_of_a_killed_daemon_that_was_cut_by_a_few_bytes_is_refused() {
    let (mut daemon, _) = stopped();
    daemon.start();
    let last = events("last", 2);
    assert_eq!(daemon.post(&body(&last)).status, 200);
    daemon.kill_9();
    std::fs::remove_dir_all(daemon.home().join("data/index")).unwrap();
    let (file, at) = record_of(&daemon, &last[1]);
    File::options().write(true).open(&file).unwrap().set_len(at + 200).unwrap();
    let text = exits(&daemon, &["run"], 1);
    assert!(text.contains("was cut") && text.contains("dispatcher store repair"), "{text}");
    let text = exits(&daemon, &["store", "check"], 1);
    assert!(text.contains("the daemon does not start"), "{text}");
    repair_and_find(&mut daemon, "what was there is lost");
}

/// A daemon with a backlog, and its segments.
fn backlog() -> (Daemon, Vec<PathBuf>) {
    let daemon = Daemon::new()
        .head("store.segment = \"1MiB\"")
        .source("sqreen", SECRET)
        .target("down", DOWN)
        .start();
    daemon.close_folder();
    let ids = events("backlog", 6_000);
    let done = post_all(daemon.address(), &ids, 10, 4, &AtomicUsize::new(0)).acknowledged;
    assert_eq!(done.len(), ids.len());
    let log = daemon.home().join("data/log");
    let names = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        names.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    segments.sort();
    assert!(segments.len() > 2, "{segments:?}");
    (daemon, segments)
}

#[test]
fn oldest_segments_that_were_removed_by_hand_are_refused_and_a_repair_counts_what_is_lost() {
    let (mut daemon, segments) = backlog();
    daemon.kill_9();
    std::fs::remove_file(&segments[0]).unwrap();
    let text = exits(&daemon, &["run"], 1);
    assert!(text.contains("the log does not begin with"), "{text}");
    let text = exits(&daemon, &["store", "check"], 1);
    for part in ["the file is missing", "1 damaged place", "the daemon does not start"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    assert!(exits(&daemon, &["store", "repair"], 0).contains("0 damaged places"));
    daemon.start();
    daemon.open_folder();
    let status = || -> Value {
        let output = run(&daemon, &["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    wait_for("nothing to wait for", || {
        let target = status()["targets"][0].clone();
        (target["pending"] == 0 && target["dead"].as_u64() > Some(100)).then_some(())
    });
}

#[test]
fn the_newest_segment_that_was_removed_with_the_index_is_refused_and_a_repair_counts_it() {
    let (mut daemon, segments) = backlog();
    daemon.kill_9();
    let [.., before, newest] = &segments[..] else { panic!("{segments:?}") };
    std::fs::remove_file(newest).unwrap();
    std::fs::remove_dir_all(daemon.home().join("data/index")).unwrap();
    let text = exits(&daemon, &["run"], 1);
    let named = format!("the log does not end with {}", before.display());
    assert!(text.contains(&named), "{text}");
    let text = exits(&daemon, &["store", "check"], 1);
    for part in ["the file is missing", "1 damaged place", "the daemon does not start"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    repair_and_find(&mut daemon, "how many deliveries that were is not known");
}

#[test]
fn an_older_segment_that_is_removed_while_the_daemon_runs_is_noticed_until_it_is_back() {
    let (daemon, segments) = backlog();
    let (path, away) = (&segments[1], daemon.home().join("away"));
    std::fs::rename(path, &away).unwrap();
    let named = format!("{} is gone: put it back", path.display());
    wait_for("it is noticed", || {
        let status = printed(&run(&daemon, &["status"]));
        status.contains(&named).then_some(())
    });
    assert_eq!(daemon.post(&body(&events("refused", 1))).status, 503);
    let found = exits(&daemon, &["events", "--max", "9999"], 0);
    let name = path.file_name().unwrap().to_str().unwrap();
    let words = format!("1 place of the log cannot be read: {name} is gone: put it back, or stop ");
    assert!(found.contains(&words) && found.lines().count() > 9, "{found}");
    std::fs::rename(&away, path).unwrap();
    let later = body(&events("later", 1));
    wait_for("requests are accepted", || (daemon.post(&later).status == 200).then_some(()));
}

#[test]
fn a_drop_names_the_events_that_it_cannot_read() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    exits(&daemon, &["pause", "audit-log"], 0);
    let ids = events("waits", 4);
    let posted = post_all(daemon.address(), &ids, 1, 1, &AtomicUsize::new(0));
    assert_eq!(posted.acknowledged.len(), ids.len());
    assert!(daemon.terminate().success());
    let (file, place) = record_of(&daemon, &ids[2]);
    let requests = records(&daemon).into_iter().filter(|record| record["kind"] == "request");
    let stored = requests.map(|record| record["events"][0]["event"].as_str().unwrap().to_owned());
    let stored: Vec<String> = stored.collect();
    flip(&file, place + 60, 1);
    flip(&file, place + 90, 1);
    daemon.start();
    let stored: Vec<&str> = stored.iter().map(String::as_str).collect();
    let drop = [&["drop", "--target", "audit-log", "--yes"], &stored[..]].concat();
    let text = exits(&daemon, &drop, 1);
    assert!(text.contains("3 deliveries were dropped; these events cannot be read"), "{text}");
    assert!(text.contains(stored[2]) && !text.contains(stored[1]), "{text}");
    let text = ["explain", "show"].map(|command| exits(&daemon, &[command, stored[2]], 1)).concat();
    assert_eq!(text.matches("cannot be read: the log is damaged at byte ").count(), 2, "{text}");
    exits(&daemon, &["resume", "audit-log", "--held"], 0);
    wait_for("a dead letter for what is lost", || {
        let dead = exits(&daemon, &["dead", "list"], 0);
        dead.contains("what was there is lost").then_some(())
    });
}

/// Nothing is logged that does not happen, and no line contradicts another one.
#[test]
fn a_check_of_a_damaged_index_names_no_other_folder() {
    let (daemon, ids) = stopped();
    let (file, at) = record_of(&daemon, &ids[1]);
    File::options().write(true).open(&file).unwrap().set_len(at + 20).unwrap();
    for entry in std::fs::read_dir(daemon.home().join("data/index")).unwrap().flatten() {
        if entry.path().is_file() {
            std::fs::write(entry.path(), "nonsense").unwrap();
        }
    }
    let text = exits(&daemon, &["store", "check"], 1);
    for part in ["dispatcher-index-", "is made from the log again", "is kept in", "the next start"]
    {
        assert!(!text.contains(part), "{part} is in: {text}");
    }
    assert!(text.contains("once the daemon can start"), "{text}");
}

#[test]
fn a_pipe_in_the_data_folder_is_named_and_nothing_waits_for_it() {
    let (daemon, ids) = stopped();
    let segment = record_of(&daemon, &ids[0]).0;
    for path in [daemon.home().join("data/lock"), segment] {
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        for (arguments, code) in [(&["store", "check"][..], 1), (&["run"], 1)] {
            let text = exits(&daemon, arguments, code);
            assert!(text.contains("it is a pipe (FIFO), not a file"), "{arguments:?}: {text}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_backup_under_load_restores_everything_acknowledged_before_it_began() {
    let mut daemon = Daemon::new()
        .head("store.segment = \"1MiB\"")
        .source("sqreen", SECRET)
        .log("audit-log")
        .target("down", DOWN)
        .start();
    daemon.close_folder();
    let ids = events("load", 12_000);
    let first = post_all(daemon.address(), &ids[..4_000], 10, 4, &AtomicUsize::new(0)).acknowledged;
    assert_eq!(first.len(), 4_000);
    let to = daemon.home().join("backup");
    let (progress, address) = (AtomicUsize::new(0), daemon.address());
    let text = std::thread::scope(|scope| {
        let posting = scope.spawn(|| post_all(address, &ids[4_000..], 10, 4, &progress));
        wait_for("load", || (progress.load(Ordering::Relaxed) > 100).then_some(()));
        let text = exits(&daemon, &["store", "backup", to.to_str().unwrap()], 0);
        assert!(!posting.is_finished(), "the load should still run");
        posting.join().unwrap();
        text
    });
    assert!(text.contains("events up to "), "{text}");
    let mode = |path: &PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&to), 0o700);
    let files = std::fs::read_dir(to.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.collect();
    assert!(files.len() > 1 && files.iter().all(|file| mode(file) == 0o600), "{files:?}");
    assert!(exits(&daemon, &["store", "backup", to.to_str().unwrap()], 2).contains("not empty"));
    assert!(
        exits(&daemon, &["store", "check", "--directory", to.to_str().unwrap()], 0)
            .contains("0 damaged places")
    );

    daemon.kill_9();
    // The two commands that it printed, run unchanged.
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("  ")).collect();
    let typed = Command::new("sh").arg("-ec").arg(lines.join("\n")).status().unwrap();
    assert!(typed.success() && lines.len() == 2, "{text}");
    daemon.start();
    daemon.open_folder();
    daemon.wait_delivered("closed/down", &first);
    daemon.wait_delivered("audit-log", &first);
}

#[test]
fn a_dump_of_a_running_store_ends_quietly_when_its_output_is_closed() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let ids = events("dumped", 2_000);
    post_all(daemon.address(), &ids, 1, 8, &AtomicUsize::new(0));
    let mut dumping = daemon
        .command(&["store", "dump"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(dumping.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("seg-0000000000000000.log") && line.contains("registry"), "{line}");
    drop(out);
    let ended = dumping.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", printed(&ended));
    let records = records(&daemon);
    let stored = records.iter().filter(|record| record["kind"] == "request").count();
    assert_eq!(stored, ids.len());
    assert!(exits(&daemon, &["store", "check"], 0).contains("2000 events"));
}
