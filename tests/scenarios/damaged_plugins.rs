//! Plugin files with flipped bytes, which no check of the file finds, end no daemon and no command.

use std::fs;
use std::process::Output;

use crate::harness::{Daemon, SECRET, body, events, plugin_file, wait_for};

/// How many files are tried; `DISPATCHER_FLIPS=200` tries that many.
const FILES: u64 = 32;
/// How many bytes of each are flipped.
const FLIPS: usize = 24;

fn files() -> u64 {
    std::env::var("DISPATCHER_FLIPS").ok().and_then(|count| count.parse().ok()).unwrap_or(FILES)
}

/// Bytes flipped at places that the seed decides: in the headers and tables that the dynamic loader reads, or in the
/// code.
fn flipped(mut file: Vec<u8>, seed: u64) -> Vec<u8> {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let end = if seed.is_multiple_of(2) { file.len() / 50 } else { file.len() / 3 };
    for _ in 0..FLIPS {
        // The ELF header itself is checked.
        let at = 64 + usize::try_from(next()).unwrap() % (end - 64);
        file[at] ^= u8::try_from(next() % 255).unwrap() + 1;
    }
    file
}

/// Ended by itself, with at most one sentence about the file.
fn assert_survived(seed: u64, output: &Output) {
    let code = output.status.code();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(matches!(code, Some(0 | 1)), "seed {seed}: {:?}\n{shown}", output.status);
    if code == Some(1) {
        let lines = shown.lines().filter(|line| line.starts_with("not usable: ")).count();
        assert_eq!(lines, 1, "seed {seed}: {shown}");
    }
}

#[test]
fn flipped_bytes_do_not_end_the_check_of_a_file() {
    let good = fs::read(plugin_file("each")).unwrap();
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    daemon.add_plugin("each", |file| file);
    daemon.reload(|setup| setup.target_of("each", "test-each", "settings.act = \"receipt\""));
    let path = daemon.home().join("plugins.d/plugin.so");
    let (mut refused, mut damaged) = (0, 0);
    for seed in 0..files() {
        daemon.add_plugin("each", |_| flipped(good.clone(), seed));
        let check = daemon.command(&["plugin", "check", path.to_str().unwrap()]).output().unwrap();
        assert_survived(seed, &check);
        refused += u64::from(check.status.code() == Some(1));
        if !String::from_utf8_lossy(&check.stdout).contains("it is damaged: ") {
            continue;
        }
        damaged += 1;
        // Every other command that loads it.
        for arguments in [&["plugin", "list"][..], &["check"], &["try", "each"]] {
            let output = daemon.command(arguments).output().unwrap();
            let shown = [output.stdout, output.stderr].concat();
            let shown = String::from_utf8_lossy(&shown);
            assert_eq!(output.status.code(), Some(1), "seed {seed}: {arguments:?}: {shown}");
            assert_eq!(shown.matches("it is damaged: ").count(), 1, "seed {seed}: {shown}");
        }
    }
    println!("{refused} of {} files were refused, {damaged} of them as damaged", files());
    assert!(refused > files() / 4 && damaged > 0, "{refused} refused, {damaged} of them damaged");
}

/// The daemon loads files on threads, whose memory is elsewhere and was used before.
#[test]
fn a_file_that_crashes_only_on_a_thread_ends_its_trial_and_not_the_daemon() {
    let setup = Daemon::new().source("sqreen", SECRET).plugin("each").log("audit-log");
    let mut daemon = setup.start();
    let lines = "settings.act = \"abort-on-a-thread\"";
    let result = daemon.reload(|setup| setup.target_of("each", "test-each", lines)).to_string();
    assert!(
        result.contains("it is damaged: the process that tried it ended by signal 6"),
        "{result}"
    );
    receives(&daemon, "after");
}

#[test]
fn flipped_bytes_end_neither_a_reload_nor_a_start() {
    reload_and_start(FILES, 8);
}

/// Most files that are tried.
const FILES_MAX: u64 = 64;

#[test]
fn the_old_plugin_delivers_while_a_damaged_file_is_in_its_place() {
    let good = fs::read(plugin_file("each")).unwrap();
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    daemon.add_plugin("each", |file| file);
    let lines = "settings.act = \"receipt\"";
    daemon.reload(|setup| setup.target_of("each", "test-each", lines));
    let mut damaged = 0;
    for seed in 0..FILES_MAX {
        daemon.add_plugin("each", |_| flipped(good.clone(), seed));
        let result = daemon.reload_what_is_there().to_string();
        if !result.contains("it is damaged: ") {
            // Damage where it delivers is found by no trial.
            daemon.add_plugin("each", |file| file);
            daemon.reload_what_is_there();
            continue;
        }
        assert!(result.contains("reload refused"), "{result}");
        let answer = daemon.post(&body(&events(&format!("seed-{seed}"), 1)));
        let id = answer.json()["ids"][0].as_str().unwrap().to_owned();
        wait_for("the delivery by the old plugin", || {
            let story = daemon.command(&["explain", &id]).output().unwrap().stdout;
            String::from_utf8_lossy(&story).contains("→ each  delivered").then_some(())
        });
        damaged += 1;
        if damaged == 3 {
            return;
        }
    }
    panic!("of {FILES_MAX} files only {damaged} were found to be damaged");
}

/// What the test above does, with more files.
#[test]
#[ignore = "takes minutes"]
fn flipped_bytes_of_200_files_end_neither_a_reload_nor_a_start() {
    reload_and_start(200, 1);
}

/// Starts with each file of `every`, reloads with all of them.
fn reload_and_start(files: u64, every: usize) {
    let good = fs::read(plugin_file("each")).unwrap();
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    daemon.add_plugin("each", |file| file);
    // It gets no event: code that is damaged where it delivers is found by no trial.
    let lines = "route = { types = \"never\" }\nsettings.act = \"receipt\"";
    assert_eq!(
        daemon.reload(|setup| setup.target_of("each", "test-each", lines))["started"],
        "each"
    );
    let mut refused = 0;
    for seed in 0..files {
        daemon.add_plugin("each", |_| flipped(good.clone(), seed));
        let result = daemon.reload_what_is_there().to_string();
        if result.contains("reload refused") {
            refused += 1;
            assert_eq!(result.matches("plugin.so").count(), 1, "seed {seed}: {result}");
        }
        receives(&daemon, &format!("seed-{seed}"));
    }
    assert!(refused > files / 4, "{refused} were refused");
    let mut unusable = 0;
    for seed in (0..files).step_by(every) {
        assert!(daemon.terminate().success());
        daemon.add_plugin("each", |_| flipped(good.clone(), seed));
        let before = daemon.log().len();
        daemon.start();
        receives(&daemon, &format!("start-{seed}"));
        let log = daemon.log().split_off(before);
        let lines = log.lines().filter(|line| line.contains("plugin.so")).count();
        assert!(lines <= 1, "seed {seed}: {log}");
        unusable += lines;
    }
    println!(
        "{refused} of {files} reloads were refused, {unusable} starts found the file unusable"
    );
}

fn receives(daemon: &Daemon, name: &str) {
    let ids = events(name, 1);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    daemon.wait_delivered("audit-log", &ids);
}
