//! `dispatcher demo` where something is in its way: no plugins beside it, and its sudden death.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Installed, wait_for};

#[test]
fn without_its_plugins_the_program_says_which_file_is_missing_and_where_it_looked() {
    let installed = Installed::without_plugins();
    for arguments in [&["demo", "--once"][..], &["selftest", "crash", "--rounds", "1"]] {
        let output = installed.command().args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_ne!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("libdispatcher_file_log.so is in none of /"), "{said}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("kill -9"), "it began");
    }
}

/// The processes whose command line has this text.
fn processes(text: &str) -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}

#[test]
fn a_killed_demo_leaves_no_process_behind() {
    let installed = Installed::new();
    let temporary = tempfile::Builder::new().prefix("demo-").tempdir().unwrap();
    let mut command = installed.command();
    command.arg("demo").env("TMPDIR", temporary.path()).stdout(Stdio::piped());
    let mut demo = command.spawn().unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    let killed = lines.into_iter().any(|line| line.contains("kill -9 while"));
    assert!(killed, "the demo ended before its last check");
    // Its child has this folder in its arguments.
    let folder = temporary.path().display().to_string();
    wait_for("its child", || (processes(&folder) > 0).then_some(()));
    kill_process(Pid::from_child(&demo), Signal::KILL).unwrap();
    demo.wait().unwrap();
    wait_for("the end of its child", || (processes(&folder) == 0).then_some(()));
}
