//! A name server that never answers: the targets whose names it should know wait, and nothing else.
//!
//! Needs root for a mount namespace; otherwise the test prints that it is skipped.

use std::net::UdpSocket;

use crate::harness::{Daemon, PATIENCE, SECRET, body, events, wait_for};

/// More than the lookups that may run at once.
const NAMES: usize = 60;
/// Not the address that the machine's own name server may have.
const SERVER: &str = "127.77.0.1";

#[test]
fn a_name_server_that_never_answers_holds_up_no_other_target() {
    let Ok(server) = UdpSocket::bind((SERVER, 53)) else {
        return eprintln!("skipped: no name server can be played, which only root may");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    std::fs::write(&file, format!("nameserver {SERVER}\noptions timeout:30 attempts:5\n")).unwrap();
    let unshared =
        std::process::Command::new("/usr/bin/unshare").args(["--mount", "true"]).status();
    if !unshared.is_ok_and(|status| status.success()) {
        return eprintln!("skipped: this system gives no mount namespace");
    }
    let mut setup = Daemon::new().source("sqreen", SECRET).log("audit-log").resolver(file);
    for number in 0..NAMES {
        let url = format!("settings.url = \"http://host-{number}.example.org/hook\"");
        setup = setup.target_of(&format!("hook-{number}"), "http", &url);
    }
    let daemon = setup.start();
    let first = events("first", 5);
    assert_eq!(daemon.post(&body(&first)).status, 200);
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server.recv(&mut [0; 512]).expect("a lookup");
    daemon.wait_delivered("audit-log", &first);
    for round in 0..10 {
        let ids = events(&format!("round-{round}"), 5);
        assert_eq!(daemon.post(&body(&ids)).status, 200);
        daemon.wait_delivered("audit-log", &ids);
        assert!(daemon.command(&["status", "--json"]).output().unwrap().stdout.starts_with(b"{"));
    }
    wait_for("the reason of a target that waits", || {
        let shown = daemon.command(&["status"]).output().unwrap();
        String::from_utf8_lossy(&shown.stdout)
            .contains("check the DNS of this machine")
            .then_some(())
    });
}
