//! The bench runs, shows its tables and leaves no files behind. No test depends on what it measures.
//!
//! It starts the daemon's own program, which only a build of the whole workspace puts beside it:
//! `cargo test --workspace`, or `cargo build --workspace` first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const PLUGINS: [&str; 2] = ["libdispatcher_file_log.so", "libdispatcher_http.so"];

/// The programs and plugins as a release has them: side by side in one folder.
fn installed() -> TempDir {
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    let folder = folder.expect("the folder for tests can be written");
    let bench = Path::new(env!("CARGO_BIN_EXE_dispatcher-bench"));
    let (daemon, plugins) = (bench.with_file_name("dispatcher"), bench.with_file_name("deps"));
    let files = [bench.to_owned(), daemon].into_iter();
    for from in files.chain(PLUGINS.map(|name| plugins.join(name))) {
        let to: PathBuf = folder.path().join(from.file_name().expect("it is a file"));
        fs::hard_link(&from, &to)
            .or_else(|_| fs::copy(&from, &to).map(drop))
            .unwrap_or_else(|error| panic!("{}: {error}; build the workspace", from.display()));
    }
    folder
}

fn bench(installed: &TempDir, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(installed.path().join("dispatcher-bench"));
    command
        .env_clear()
        .args(arguments)
        .arg("--directory")
        .arg(folder)
        .output()
        .expect("the bench starts")
}

#[test]
fn a_short_bench_shows_every_table_and_each_goal_with_its_figure() {
    let (installed, folder) = (installed(), tempfile::tempdir().unwrap());
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
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "files are left behind");
}

#[test]
fn a_part_runs_alone() {
    let (installed, folder) = (installed(), tempfile::tempdir().unwrap());
    let output =
        bench(&installed, folder.path(), &["--only", "idle", "--seconds", "0.05", "--rounds", "1"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("\nFresh and idle\n") && !shown.contains("Verified 200s"), "{shown}");
}

#[test]
fn a_disk_with_too_little_space_is_refused_before_anything_is_written() {
    let (installed, folder) = (installed(), tempfile::tempdir().unwrap());
    // 100,000,000 events in two stores, and 1,000 rounds of 600 s.
    let much = ["--backlog", "100000000", "--rounds", "1000", "--seconds", "600"];
    let output = bench(&installed, folder.path(), &much);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("GB free: name another folder with --directory"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
