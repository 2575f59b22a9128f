//! Plugin files with flipped bytes, which no check of the file finds, end no daemon and no command.

use std::fs;
use std::process::Output;

use crate::harness::{Daemon, SECRET, body, events, plugin_file};

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
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let path = daemon.home().join("plugins.d/plugin.so");
    let (mut refused, mut damaged) = (0, 0);
    for seed in 0..files() {
        daemon.add_plugin("each", |_| flipped(good.clone(), seed));
        let check = daemon.command(&["plugin", "check", path.to_str().unwrap()]).output().unwrap();
        assert_survived(seed, &check);
        refused += u64::from(check.status.code() == Some(1));
        damaged += u64::from(String::from_utf8_lossy(&check.stdout).contains("it is damaged: "));
    }
    assert!(refused > files() / 4 && damaged > 0, "{refused} refused, {damaged} of them damaged");
}

#[test]
#[ignore = "a damaged file may pass its trial by luck and still end the daemon"]
fn flipped_bytes_end_neither_a_reload_nor_a_start() {
    let good = fs::read(plugin_file("each")).unwrap();
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    daemon.add_plugin("each", |file| file);
    // It gets no event: code that is damaged where it delivers is found by no trial.
    let lines = "route = { types = \"never\" }\nsettings.act = \"receipt\"";
    assert_eq!(
        daemon.reload(|setup| setup.target_of("each", "test-each", lines))["started"],
        "each"
    );
    for seed in 0..files() {
        daemon.add_plugin("each", |_| flipped(good.clone(), seed));
        daemon.reload_what_is_there();
        let ids = events(&format!("seed-{seed}"), 1);
        assert_eq!(daemon.post(&body(&ids)).status, 200);
        daemon.wait_delivered("audit-log", &ids);
    }
    for seed in 0..4 {
        assert!(daemon.terminate().success());
        daemon.add_plugin("each", |_| flipped(good.clone(), seed));
        daemon.start();
        let ids = events(&format!("start-{seed}"), 1);
        assert_eq!(daemon.post(&body(&ids)).status, 200);
        daemon.wait_delivered("audit-log", &ids);
    }
}
