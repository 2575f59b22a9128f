//! Commands that only read: they need no valid configuration, change no byte of the store, and send nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::harness::{Daemon, Installed, SECRET, body, events, wait_for};

fn text(output: &Output) -> String {
    let [out, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{error}")
}

/// Runs a command that must exit with that code; returns what it printed.
#[track_caller]
fn exits(command: &mut Command, code: i32) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {}", text(&output));
    text(&output)
}

/// Posts one event; returns its id.
#[track_caller]
fn post(daemon: &Daemon, name: &str) -> String {
    let ids = events(name, 1);
    let answer = daemon.post(&body(&ids));
    assert_eq!(answer.status, 200);
    answer.json()["ids"][0].as_str().unwrap().to_owned()
}

#[test]
fn commands_that_read_work_while_the_configuration_is_invalid() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let id = post(&daemon, "seen");
    daemon.wait_delivered("audit-log", &events("seen", 1));
    let config = daemon.home().join("dispatcher.toml");
    fs::write(&config, "home = \".\"\n[sever]\nlisten = 7\n[targets.a\nthis is not TOML\n")
        .unwrap();
    fs::remove_file(daemon.home().join("dispatcher.env")).unwrap();
    let (installed, socket) = (Installed::new(), daemon.home().join("admin.sock"));
    let by_file = [Path::new("--config"), &config];
    let by_socket = [Path::new("--socket"), &socket];
    for place in [by_file, by_socket] {
        let command = |arguments: &[&str]| {
            let mut command = installed.command();
            command.args(arguments).args(place).current_dir("/");
            command
        };
        wait_for("the state of the target", || {
            // A resume takes nothing away from what is known of it.
            exits(&mut command(&["status"]), 0).starts_with("the target works; ").then_some(())
        });
        assert!(exits(&mut command(&["explain", &id]), 0).contains("→ audit-log  delivered"));
        exits(&mut command(&["refused", "sqreen"]), 0);
        assert_eq!(exits(&mut command(&["dead", "list"]), 0), "no dead letters\n");
        exits(&mut command(&["pause", "audit-log"]), 0);
        exits(&mut command(&["resume", "audit-log"]), 0);
        let mut tail = command(&["tail", "--count", "1", "--json"]);
        let tail = tail.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let tail = std::thread::spawn(move || tail.wait_with_output().unwrap());
        wait_for("a line of tail", || {
            daemon.post_signed(b"{}", &"0".repeat(64));
            tail.is_finished().then_some(())
        });
        let line: Value = serde_json::from_slice(&tail.join().unwrap().stdout).unwrap();
        assert_eq!(line["what"], "refused");
    }
    let gone = daemon.home().join("gone.toml");
    let mut status = installed.command();
    let error = exits(status.arg("status").arg("--config").arg(gone), 1);
    assert!(error.contains("cannot read ") && error.contains("--socket PATH"), "{error}");
}

/// Every file and folder below `folder`, with its size, time of change and content.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::metadata(&path).unwrap();
            let content = if meta.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
            folders.extend(meta.is_dir().then(|| path.clone()));
            found.insert(path, (meta.len(), meta.modified().unwrap(), content));
        }
    }
    found
}

/// The names of the files that differ.
fn differences(before: &Path, old: &BTreeMap<PathBuf, (u64, SystemTime, Vec<u8>)>) -> Vec<PathBuf> {
    let new = snapshot(before);
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    names.filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
}

#[test]
fn commands_that_read_change_nothing_in_the_data_folder() {
    let mut daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .target("frail", "settings.path = \"logs/closed/frail.jsonl\"\nretry.attempts_max = 1")
        .start();
    daemon.close_folder();
    let id = post(&daemon, "kept");
    daemon.wait_delivered("audit-log", &events("kept", 1));
    let data = daemon.home().join("data");
    // Outcomes are written within a second, and the index after them.
    let idle = || {
        let before = snapshot(&data);
        std::thread::sleep(Duration::from_millis(1_500));
        differences(&data, &before).is_empty().then_some(before)
    };
    let before = wait_for("an idle daemon", idle);
    for (arguments, code) in [
        (&["status"][..], 1),
        (&["explain", &id], 0),
        (&["refused"], 0),
        (&["dead", "list"], 0),
        (&["dead", "show", &id], 0),
        (&["store", "check"], 0),
        (&["store", "dump", "--json", "--bodies"], 0),
        (&["try", "audit-log", "--connect"], 0),
    ] {
        exits(&mut daemon.command(arguments), code);
        assert_eq!(differences(&data, &before), [] as [PathBuf; 0], "{arguments:?}");
    }
    assert!(daemon.terminate().success());
    let before = snapshot(&data);
    for arguments in
        [&["store", "check"][..], &["store", "dump"], &["store", "repair", "--dry-run"]]
    {
        exits(&mut daemon.command(arguments), 0);
        assert_eq!(differences(&data, &before), [] as [PathBuf; 0], "{arguments:?}");
    }
}

#[test]
fn try_connect_reports_what_the_plugin_finds_out_without_a_delivery() {
    let plugin =
        |act: &str| format!("settings.act = \"{act}\"\nsettings.token = \"literal:swordfish\"");
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .plugin("each")
        .log("audit-log")
        .target_of("open", "test-each", &plugin("receipt"))
        .target_of("locked", "test-each", &plugin("secret-in-reason"))
        .target_of("silent", "test-each", &plugin("describe"))
        .start();
    for (target, code, part) in [
        ("open", 0, "deliveries would be accepted; nothing was sent\nanswer   open"),
        ("audit-log", 0, "deliveries would be accepted; nothing was sent"),
        ("locked", 1, "deliveries would fail (broken): "),
        ("silent", 1, "unknown: this plugin cannot check without sending"),
    ] {
        let shown = exits(&mut daemon.command(&["try", target, "--connect"]), code);
        assert!(shown.contains(&format!("connect  {part}")), "{target}: {shown}");
        assert!(!shown.contains("swordfish"), "{target}: {shown}");
    }
    assert!(!daemon.log_path("audit-log").exists(), "nothing was written");
    let mut unknown = daemon.command(&["try", "audit-lug", "--connect"]);
    let error = exits(&mut unknown, 2);
    assert!(error.contains("unknown target `audit-lug`; did you mean `audit-log`?"), "{error}");
}

#[test]
fn status_shows_the_counters_of_a_plugin() {
    let daemon = Daemon::new()
        .source("sqreen", SECRET)
        .plugin("each")
        .target_of("counts", "test-each", "settings.act = \"count\"")
        .log("audit-log")
        .start();
    post(&daemon, "counted");
    let status = wait_for("the counters", || {
        let output = daemon.command(&["status", "--json"]).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let counters = status["targets"][0]["counters"].as_object()?;
        (counters.len() == 32).then_some(status)
    });
    assert_eq!(status["targets"][0]["counters"]["counter_0"], 6, "{status}");
    assert!(status["targets"][1].get("counters").is_none(), "file-log counts nothing: {status}");
    let shown = exits(&mut daemon.command(&["status"]), 0);
    assert!(shown.contains("counts  counter_0   6"), "{shown}");
}

#[test]
fn status_counts_every_refused_request() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let refused = || {
        let output = daemon.command(&["status", "--json"]).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        status["sources"][0]["refused"].as_u64().unwrap()
    };
    assert_eq!(refused(), 0);
    // More than are remembered one by one.
    for _ in 0..103 {
        assert_eq!(daemon.post_signed(b"{}", "00").status, 401);
    }
    assert_eq!(refused(), 103);
    let listed = exits(&mut daemon.command(&["refused", "sqreen", "--json"]), 0);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&listed).unwrap().len(), 100);
}
