//! Runs the commands of a person against a daemon.

use std::process::Output;

use serde_json::Value;

use super::Daemon;

/// What the command printed, however it ended.
#[track_caller]
pub(crate) fn output(daemon: &Daemon, arguments: &[&str]) -> Output {
    daemon.command(arguments).output().unwrap()
}

/// Runs a command that must succeed; returns what it printed.
#[track_caller]
pub(crate) fn stdout(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = output(daemon, arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}{error}");
    text
}

/// Runs a command that must exit with that code; returns what it printed, also as errors.
#[track_caller]
pub(crate) fn exits(daemon: &Daemon, arguments: &[&str], code: i32) -> String {
    let Output { status, stdout, stderr } = output(daemon, arguments);
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert_eq!(status.code(), Some(code), "{arguments:?}: {text}");
    text
}

/// `status --json`, whether or not all is well.
#[track_caller]
pub(crate) fn status(daemon: &Daemon) -> Value {
    serde_json::from_slice(&output(daemon, &["status", "--json"]).stdout).unwrap()
}

/// Posts a body; returns the ids of its events.
#[track_caller]
pub(crate) fn post(daemon: &Daemon, body: &[u8]) -> Vec<String> {
    let answer = daemon.post(body);
    assert_eq!(answer.status, 200);
    let ids = answer.json()["ids"].as_array().unwrap().clone();
    ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}
