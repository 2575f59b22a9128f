//! What no request and no delivery would show: a source that is silent, a disk with little space.

use crate::harness::{Daemon, SECRET, body, events, wait_for};

#[test]
fn a_source_that_falls_silent_is_told_once_until_something_comes_and_a_reload_decides_which() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let first = events("first", 1);
    assert_eq!(daemon.post(&body(&first)).status, 200);
    daemon.wait_delivered("audit-log", &first);
    assert!(!daemon.log().contains("source.silent"), "nobody asked for it");
    let told = daemon.reload(|setup| {
        setup.source_with("sqreen", SECRET, "silent_after = \"1s\"\n").free_low("1000TiB")
    });
    assert_eq!(told["message"], "reloaded");
    assert!(!daemon.log().contains("needs a restart"));
    let silent = wait_for("the silence", || daemon.own_events("audit-log", "source.silent").pop());
    assert_eq!((&silent["subject"], &silent["severity"]), (&"sqreen".into(), &"warning".into()));
    let reason = silent["data"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("no accepted request for 1s, the last came at 2"), "{reason}");
    // The looks go on; what ends a silence is a request that is accepted, and not one that is refused.
    let looks = || daemon.log().matches("source.silent: ").count();
    assert_eq!(daemon.post_signed(b"[]", &"0".repeat(64)).status, 401);
    assert_eq!(looks(), 1);
    assert_eq!(daemon.post(&body(&events("second", 1))).status, 200);
    wait_for("the next silence", || (looks() == 2).then_some(()));
    // The floor came into force with the same reload, and was told once at all these looks.
    assert_eq!(daemon.log().matches("disk.low: ").count(), 1);
}

#[test]
fn little_space_for_the_store_is_told_at_the_start_and_once() {
    let setup = Daemon::new().source_with("sqreen", SECRET, "silent_after = \"2s\"\n");
    let daemon = setup.log("audit-log").free_low("1000TiB").start();
    let low = wait_for("the event", || daemon.own_events("audit-log", "disk.low").pop());
    assert_eq!(low["subject"], daemon.home().join("data").to_str().unwrap());
    assert_eq!((&low["severity"], &low["data"]["count"]), (&"critical".into(), &1.into()));
    let reason = low["data"]["reason"].as_str().unwrap();
    assert!(reason.contains("B free, less than store.free_low (1000TiB)"), "{reason}");
    // Told by a later look of the same timer.
    wait_for("the silence", || daemon.own_events("audit-log", "source.silent").pop());
    assert_eq!(daemon.log().matches("disk.low: ").count(), 1);
}
