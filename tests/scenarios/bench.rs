//! The bench runs, shows its tables, and leaves nothing behind. What it measures is no test's business.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::Installed;

fn bench(installed: &Installed, folder: &Path, arguments: &[&str]) -> Output {
    let mut command: Command = installed.command();
    command.arg("bench").args(arguments).arg("--directory").arg(folder).output().unwrap()
}

#[test]
fn a_short_bench_shows_every_table_and_each_goal_beside_its_figure() {
    let (installed, folder) = (Installed::new(), tempfile::tempdir().unwrap());
    let short =
        ["--seconds", "0.05", "--rounds", "1", "--connections", "1,64", "--backlog", "4000"];
    let output = bench(&installed, folder.path(), &[&short[..], &["--markdown"]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let shown = String::from_utf8(output.stdout).unwrap();
    for table in [
        "### Verified 200s of one event of 1 KB",
        "### 1,000 events a request, 1 KB each",
        "### One POST an event to a loopback HTTP sink",
        "### 4,000 events wait for a dead target",
        "### Fresh and idle",
        "### Goals",
    ] {
        assert!(shown.contains(table), "{table} is not in {shown}");
    }
    let goals = shown.split("### Goals").nth(1).unwrap();
    let rows = goals
        .lines()
        .filter(|line| line.ends_with("| holds |") || line.ends_with("| falls short |"));
    assert_eq!(rows.count(), 13, "{goals}");
    assert!(!shown.contains("were not answered with 200"), "{shown}");
    assert!(error.contains("needs up to"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_part_runs_alone() {
    let (installed, folder) = (Installed::new(), tempfile::tempdir().unwrap());
    let output =
        bench(&installed, folder.path(), &["--only", "idle", "--seconds", "0.05", "--rounds", "1"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("\nFresh and idle\n") && !shown.contains("Verified 200s"), "{shown}");
}

#[test]
fn a_disk_without_the_room_is_refused_before_anything_is_written() {
    let (installed, folder) = (Installed::new(), tempfile::tempdir().unwrap());
    // 100,000,000 events in two stores, and 1,000 rounds of 600 s.
    let much = ["--backlog", "100000000", "--rounds", "1000", "--seconds", "600"];
    let output = bench(&installed, folder.path(), &much);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("GB free: name another folder with --directory"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
