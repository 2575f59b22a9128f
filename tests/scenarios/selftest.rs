//! `dispatcher selftest`: it proves its promise and leaves nothing behind.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Installed, wait_for};

/// With this seed, the one round runs for nearly its full time.
const SEED: &str = "11";

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("selftest-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn after_four_rounds_of_kill_9_everything_acknowledged_is_delivered() {
    let (installed, folder) = (Installed::new(), folder());
    let mut command = installed.command();
    command.args(["selftest", "crash", "--rounds", "4", "--seconds-per-round", "0.4"]);
    // The environment of the user's own daemon must not matter.
    command.env("SQREEN_SECRET", "of another daemon");
    let output = command.arg("--directory").arg(folder.path()).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let problems = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}\n{problems}");
    let last = shown.lines().last().unwrap();
    let count = last.split(' ').next().unwrap();
    assert!(count.parse::<u64>().unwrap() > 0, "{shown}");
    assert_eq!(last, format!("{count} acknowledged, {count} delivered, 0 lost"));
    assert_eq!(shown.lines().filter(|line| line.starts_with("round ")).count(), 4, "{shown}");
    assert!(is_empty(folder.path()), "its folder is left behind");
}

#[test]
fn events_that_are_missing_in_a_log_are_named_and_the_folder_is_kept() {
    let (installed, folder) = (Installed::new(), folder());
    let mut command = installed.command();
    command.args([
        "selftest",
        "crash",
        "--rounds",
        "1",
        "--seconds-per-round",
        "3",
        "--seed",
        SEED,
    ]);
    command.args(["--connections", "1"]).arg("--directory").arg(folder.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let log = wait_for("lines in a log", || {
        let log = fs::read_dir(folder.path()).unwrap().flatten().next()?.path();
        let log = log.join("home/logs/fast.jsonl");
        fs::read(&log).is_ok_and(|text| text.contains(&b'\n')).then_some(log)
    });
    // These events count as delivered and are not delivered again.
    fs::remove_file(&log).unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let problems = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}\n{problems}");
    let last = shown.lines().last().unwrap();
    assert!(last.ends_with(" lost") && !last.ends_with(" 0 lost"), "{shown}");
    assert!(shown.contains("lost: event_id 0000"), "{shown}");
    assert!(shown.contains("is not in fast"), "{shown}");
    assert!(!shown.contains("is not in slow"), "{shown}");
    assert!(problems.contains("folder is kept"), "{problems}");
    assert!(log.exists(), "its folder was removed");
}

#[test]
fn an_interrupt_ends_its_daemon_and_removes_its_folder() {
    let (installed, folder) = (Installed::new(), folder());
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = installed.command();
    command.args(["selftest", "crash", "--rounds", "1", "--seconds-per-round", "600"]);
    command.arg("--directory").arg(folder.path());
    command.stdout(Stdio::null()).stderr(File::create(log.path()).unwrap());
    let mut child = command.spawn().unwrap();
    wait_for("its daemon", || {
        let socket = fs::read_dir(folder.path()).unwrap().flatten().next()?.path();
        socket.join("home/admin.sock").exists().then_some(())
    });
    assert_eq!(processes_that_name(folder.path()), 2, "it and its daemon");
    // Signal only the selftest, as a service manager does; a terminal would also signal its daemon.
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = wait_for("its end", || child.try_wait().unwrap());
    let problems = fs::read_to_string(log.path()).unwrap();
    assert_eq!(status.code(), Some(1), "{problems}");
    assert!(problems.contains("interrupted"), "{problems}");
    assert_eq!(processes_that_name(folder.path()), 0);
    assert!(is_empty(folder.path()), "its folder is left behind");
}

/// Counts the processes with the path on their command line.
fn processes_that_name(path: &Path) -> usize {
    let path = path.to_str().unwrap();
    let names = |entry: fs::DirEntry| {
        let mut line = String::new();
        // Some processes end meanwhile.
        let file = File::open(entry.path().join("cmdline"));
        let read = file.and_then(|mut file| file.read_to_string(&mut line));
        read.is_ok() && line.contains(path)
    };
    fs::read_dir("/proc").unwrap().flatten().map(names).filter(|named| *named).count()
}
