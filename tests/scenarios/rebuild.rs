//! A daemon that starts without the index of its store works at once, and in the end nothing is lost or
//! delivered twice.

use std::sync::atomic::AtomicUsize;

use crate::harness::{Daemon, SECRET, body, events, post_all, wait_for};

const DOWN: &str = "settings.path = \"logs/closed/down.jsonl\"";
const EVENTS: usize = 4_000;
const PER_REQUEST: usize = 200;

fn printed(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.command(arguments).output().unwrap();
    let [out, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{error}")
}

#[test]
fn without_its_index_it_accepts_requests_at_once_and_delivers_everything_once() {
    let setup = Daemon::new().source_with("sqreen", SECRET, "body_max = \"256KiB\"\n");
    let small = setup.store("store.segment = \"1MiB\"\n");
    let mut daemon = small.log("audit-log").target("down", DOWN).start();
    daemon.close_folder();
    let mut all = events("before", EVENTS);
    let posted = post_all(daemon.address(), &all, PER_REQUEST, 2, &AtomicUsize::new(0));
    assert_eq!(posted.acknowledged.len(), EVENTS);
    daemon.wait_delivered("audit-log", &all);
    assert!(daemon.terminate().success());
    // A file where the folder should be: the index cannot be created until it is removed.
    let index = daemon.home().join("data/index");
    std::fs::remove_dir_all(&index).unwrap();
    std::fs::write(&index, b"in the way").unwrap();

    daemon.start();
    let new = events("meanwhile", 3);
    let answer = daemon.post(&body(&new));
    assert_eq!(answer.status, 200);
    let id = answer.json()["ids"][0].as_str().unwrap().to_owned();
    all.extend(new);
    daemon.wait_delivered("audit-log", &all);
    for command in [&["status"][..], &["explain", &id], &["dead", "list"]] {
        let text = printed(&daemon, command);
        assert!(text.contains("the index is being rebuilt"), "{command:?}: {text}");
    }

    std::fs::remove_file(&index).unwrap();
    wait_for("the index", || {
        (!printed(&daemon, &["status"]).contains("being rebuilt")).then_some(())
    });
    assert!(printed(&daemon, &["explain", &id]).contains("audit-log"));
    daemon.open_folder();
    daemon.wait_delivered("closed/down", &all);
    for log in ["audit-log", "closed/down"] {
        assert_eq!(daemon.log_lines(log).len(), all.len(), "{log}");
    }
}

/// The index proves the loss, so nothing is made from what is left.
#[test]
fn a_start_that_is_refused_does_not_say_that_the_index_is_rebuilt() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let ids = events("before", 9);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    daemon.wait_delivered("audit-log", &ids);
    assert!(daemon.terminate().success());
    let segment = std::fs::read_dir(daemon.home().join("data/log")).unwrap();
    let mut segments = segment.map(|entry| entry.unwrap().path());
    let segment = segments.find(|path| path.extension().is_some_and(|end| end == "log")).unwrap();
    std::fs::File::options().write(true).open(segment).unwrap().set_len(5_000).unwrap();
    let text = printed(&daemon, &["run"]);
    assert!(text.contains("acknowledged events are lost"), "{text}");
    assert!(!text.contains("the index is rebuilt"), "{text}");
}
