//! A source whose secret has no value: at a start it alone refuses requests, and a reload does not bring it into force.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::harness::{Daemon, SECRET, body, events, wait_for};

#[test]
fn a_source_without_its_secret_gets_503_while_the_others_work() {
    let setup = Daemon::new().source("sqreen", SECRET).log("audit-log").alarms();
    let mut daemon = setup.start();
    assert!(daemon.terminate().success());
    for (round, (secrets, token, why)) in [
        ("\"env:NOT_SET\"", "", "is not set"),
        ("\"file:missing\"", "", "cannot be read"),
        ("[\"env:SQREEN_SECRET\", \"file:missing\"]", "", "cannot be read"),
        ("\"file:empty\"", "", "is empty"),
        ("\"file:pipe\"", "", "cannot be read"),
        ("\"file:text\"", "scheme = \"standard-webhooks\"", "secret 1 is"),
        (
            "\"env:SQREEN_SECRET\"",
            "scheme = \"meta\"\nverify_token = \"file:missing\"",
            "cannot be read",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(daemon.home().join("empty"), "").unwrap();
        if round == 0 {
            let pipe = daemon.home().join("pipe");
            mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        }
        fs::write(daemon.home().join("text"), "whsec_*not base64*").unwrap();
        let scheme = if token.is_empty() { "scheme = \"github\"" } else { token };
        let table = format!("secrets = {secrets}\n{scheme}");
        daemon.configure(|setup| setup.source_table("other", &table));
        let checked = daemon.command(&["check"]).output().unwrap();
        let text = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert_eq!(checked.status.code(), Some(1), "{text}");
        assert!(text.contains("The daemon starts in spite of this"), "{text}");
        daemon.start();
        let ids = events(&format!("round-{round}"), 1);
        assert_eq!(daemon.post(&body(&ids)).status, 200, "{secrets}");
        daemon.wait_delivered("audit-log", &ids);
        for method in ["POST", "GET"] {
            let answer = daemon.client().send(method, "/other", &[], b"{}").unwrap();
            assert_eq!(answer.status, 503, "{secrets}: {answer:?}");
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
        }
        let alarms = wait_for("the alarm", || {
            Some(daemon.own_events("source.unusable")).filter(|alarms| alarms.len() > round)
        });
        let alarm = &alarms[round];
        assert!(alarm["title"].as_str().unwrap().contains(why), "{alarm}");
        assert_eq!((&alarm["subject"], &alarm["severity"]), (&"other".into(), &"critical".into()));
        let status = daemon.command(&["status"]).output().unwrap();
        let shown = String::from_utf8_lossy(&status.stdout).into_owned();
        assert_eq!(status.status.code(), Some(1), "{shown}");
        let first = shown.lines().next().unwrap();
        assert!(first.starts_with("source other refuses every request: "), "{first}");
        assert!(first.contains(why), "{first}");
        // The same configuration is not good enough for a reload.
        let reload = daemon.command(&["reload"]).output().unwrap();
        assert_eq!(reload.status.code(), Some(1));
        assert!(daemon.terminate().success());
    }
    assert!(daemon.log().contains("the secret of source `other` is not set"));
}

#[test]
fn a_secret_that_is_there_again_works_from_the_next_reload() {
    let setup = Daemon::new().source("sqreen", SECRET).log("audit-log");
    let mut daemon = setup.start();
    assert!(daemon.terminate().success());
    daemon.configure(|setup| {
        setup.source_table("other", "scheme = \"sqreen\"\nsecrets = \"file:late\"")
    });
    daemon.start();
    let health = || daemon.client().send("GET", "/healthz", &[], b"").unwrap().json();
    let before = health();
    assert_eq!((before["status"].as_str(), before["generation"].as_u64()), (Some("ok"), Some(1)));
    fs::write(daemon.home().join("late"), SECRET).unwrap();
    let reload = daemon.command(&["reload", "--wait", "--json"]).output().unwrap();
    assert_eq!(reload.status.code(), Some(0), "{}", String::from_utf8_lossy(&reload.stdout));
    let reload: serde_json::Value = serde_json::from_slice(&reload.stdout).unwrap();
    let after = health();
    assert_eq!(after["generation"], 2);
    assert_eq!(after["config"], before["config"], "the text is the same");
    for (shown, name) in [("hash", "config"), ("generation", "generation"), ("since", "since")] {
        assert_eq!(reload["config"][shown], after[name]);
    }
    let answer = daemon.client().send("POST", "/other", &[], b"{}").unwrap();
    assert_eq!(answer.status, 401);
}
