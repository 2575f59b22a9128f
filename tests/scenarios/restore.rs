//! The lines that `store backup` prints, run by a shell as a person would.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Daemon, SECRET, body, events, exits};

/// A name that a shell would read as something else.
const ODD: &str = "it's a \"data\" $(touch x) `y` \\ & ; * ~ ü";

/// Runs the lines in another folder than the store's.
fn run(lines: &str, folder: &Path) -> Output {
    Command::new("/bin/sh").args(["-c", lines]).current_dir(folder).output().unwrap()
}

#[test]
fn the_lines_that_a_backup_prints_restore_the_store() {
    for (data, copy) in [("data", "backup"), (ODD, "another 'copy' of \"$HOME\"")] {
        let closed = "settings.path = \"logs/closed/x.jsonl\"\nretry.backoff_min = \"100ms\"";
        let directory = format!("store.directory = {}", serde_json::to_string(data).unwrap());
        let setup = Daemon::new().source("sqreen", SECRET).log("audit-log").target("late", closed);
        let mut daemon = setup.store(&directory).start();
        daemon.close_folder();
        let before = events("before", 300);
        assert_eq!(daemon.post(&body(&before)).status, 200);
        daemon.wait_delivered("audit-log", &before);
        let to = daemon.home().join(copy);
        let printed = exits(&daemon, &["store", "backup", to.to_str().unwrap()], 0);
        let (_, lines) = printed.split_once("to restore it, stop the daemon and run:\n").unwrap();
        let lost = events("lost", 5);
        assert_eq!(daemon.post(&body(&lost)).status, 200);
        assert!(daemon.terminate().success());

        let elsewhere = tempfile::tempdir().unwrap();
        let output = run(lines, elsewhere.path());
        assert!(output.status.success(), "{lines}: {output:?}");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "{lines}");
        let kept: Vec<_> =
            fs::read_dir(daemon.home()).unwrap().map(|e| e.unwrap().path()).collect();
        let kept = kept.iter().filter(|path| path.to_string_lossy().contains(data)).count();
        assert_eq!(kept, 2, "the folder and what it was before");
        // Once more, they change nothing: what was there before would be lost.
        let again = run(lines, elsewhere.path());
        assert!(!again.status.success(), "{lines}: {again:?}");
        assert!(!daemon.home().join(data).join(copy).exists());

        exits(&daemon, &["store", "check"], 0);
        daemon.open_folder();
        daemon.start();
        daemon.wait_delivered("closed/x", &before);
        // Every repetition is known, and what came after the backup is not.
        assert_eq!(daemon.post(&body(&before)).status, 200);
        assert_eq!(daemon.post(&body(&lost)).status, 200);
        for target in ["closed/x", "audit-log"] {
            daemon.wait_delivered(target, &lost);
            let delivered = daemon.delivered(target);
            assert!(before.iter().all(|id| delivered[id] == 1), "{target}: {delivered:?}");
            assert_eq!(delivered.len(), before.len() + lost.len());
        }
    }
}
