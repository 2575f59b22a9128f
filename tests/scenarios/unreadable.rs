//! A part of the log that cannot be read: each command that looks at what is stored says so, instead of that there is
//! nothing.

use std::sync::atomic::AtomicUsize;

use serde_json::Value;

use super::damage::{flip, record_of, records};
use crate::harness::{Daemon, SECRET, events, exits, output, post_all};

const ONE: &str = "1 place of the log cannot be read; `dispatcher store check` says more";

/// A daemon with three events, and the ids of all in the store. The second one is damaged.
fn damaged() -> (Daemon, Vec<String>) {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let names = events("kept", 3);
    let posted = post_all(daemon.address(), &names, 1, 1, &AtomicUsize::new(0));
    assert_eq!(posted.acknowledged.len(), names.len());
    daemon.wait_delivered("audit-log", &names);
    assert!(daemon.terminate().success());
    let (file, place) = record_of(&daemon, &names[1]);
    let requests = records(&daemon).into_iter().filter(|record| record["kind"] == "request");
    let ids = requests.map(|record| record["events"][0]["event"].as_str().unwrap().to_owned());
    let ids = ids.collect();
    for offset in [60, 90] {
        flip(&file, place + offset, 1);
    }
    daemon.start();
    (daemon, ids)
}

/// The lines of `tail` about what was before it.
fn history(daemon: &Daemon, arguments: &[&str]) -> Vec<String> {
    let mut tail = daemon.command(&[&["tail", "--last", "9"], arguments].concat());
    let mut tail = tail.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(tail.stdout.take().unwrap());
    let lines = std::io::BufRead::lines(lines).take(3).map(Result::unwrap).collect();
    tail.kill().unwrap();
    tail.wait().unwrap();
    lines
}

#[test]
fn a_command_that_looks_for_something_says_that_a_part_cannot_be_read() {
    let (daemon, ids) = damaged();
    let unknown = exits(&daemon, &["events", "--source", "old"], 1);
    let words = format!("of source \"old\", as far as the log can be read ({ONE}); configured: ");
    assert!(unknown.contains(&words), "{unknown}");
    let none = exits(&daemon, &["events", "--text", "nothing has this"], 0);
    assert_eq!(none, format!("no such events in what can be read\n{ONE}\n"));
    let all = exits(&daemon, &["events"], 0);
    assert!(all.contains(&ids[0]) && all.contains(&ids[2]) && all.ends_with(&format!("\n{ONE}\n")));
    let json = output(&daemon, &["events", "--json"]);
    assert_eq!(String::from_utf8(json.stdout).unwrap().lines().count(), 2);
    assert_eq!(String::from_utf8(json.stderr).unwrap(), format!("{ONE}\n"));
    // A page that does not reach so far says nothing about it.
    let newest = output(&daemon, &["events", "--json", "--max", "1"]);
    assert!(newest.stderr.is_empty(), "{newest:?}");

    let lines = history(&daemon, &[]);
    assert!(lines[0].ends_with(&format!(" … earlier events may be missing: {ONE}")), "{lines:?}");
    let lines = history(&daemon, &["--json"]);
    let first: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&first["what"], &first["reason"]), (&"incomplete".into(), &ONE.into()));
    assert!(lines[1].contains(&ids[0]) && lines[2].contains(&ids[2]), "{lines:?}");

    for command in [
        &["show"][..],
        &["explain"],
        &["dead", "show"],
        &["dead", "replay", "--target", "audit-log"],
        &["retry"],
    ] {
        let text = exits(&daemon, &[command, &[ids[1].as_str()]].concat(), 1);
        let words = format!("{} cannot be read: the log is damaged at byte ", ids[1]);
        assert!(text.contains(&words), "{command:?}: {text}");
    }
    let dead = exits(&daemon, &["dead", "list"], 0);
    let words = "dead letters may be missing here: the log is damaged at byte ";
    assert!(dead.starts_with("no dead letters\n") && dead.contains(words), "{dead}");
    let json: Value =
        serde_json::from_slice(&output(&daemon, &["dead", "list", "--json"]).stdout).unwrap();
    assert!(json["damage"].as_str().unwrap().starts_with("the log is damaged at byte "), "{json}");
    assert!(exits(&daemon, &["status"], 1).contains("the log is damaged at byte "));
}
