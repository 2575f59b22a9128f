//! Dead letters of events that are lost: they are found by the ids that the events had, and each command says why it does
//! nothing with one.

use std::sync::atomic::AtomicUsize;

use super::damage::{flip, record_of, records};
use crate::harness::{Daemon, SECRET, events, exits, post_all, wait_for};

#[test]
fn a_lost_event_is_dropped_by_its_id_and_a_replay_says_why_it_cannot_be_made() {
    for repaired in [false, true] {
        let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
        exits(&daemon, &["pause", "audit-log"], 0);
        let ids = events("waits", 3);
        let posted = post_all(daemon.address(), &ids, 1, 1, &AtomicUsize::new(0));
        assert_eq!(posted.acknowledged.len(), ids.len());
        assert!(daemon.terminate().success());
        let (file, place) = record_of(&daemon, &ids[1]);
        let requests = records(&daemon).into_iter().filter(|record| record["kind"] == "request");
        let stored: Vec<String> = requests
            .map(|record| record["events"][0]["event"].as_str().unwrap().to_owned())
            .collect();
        let lost = stored[1].as_str();
        flip(&file, place + 60, 1);
        flip(&file, place + 90, 1);
        if repaired {
            exits(&daemon, &["store", "repair"], 0);
        }
        daemon.start();
        exits(&daemon, &["resume", "audit-log", "--held"], 0);
        wait_for("a dead letter for what is lost", || {
            exits(&daemon, &["dead", "list"], 0).contains("what was there is lost").then_some(())
        });
        for target in [&[][..], &["--target", "audit-log"]] {
            let text = exits(&daemon, &[&["dead", "replay", lost], target].concat(), 1);
            assert!(text.contains(lost) && text.contains("cannot be read"), "{repaired}: {text}");
        }
        let dropped = exits(&daemon, &["dead", "drop", lost], 0);
        assert_eq!(dropped.trim(), "dropped: 1", "{repaired}");
        assert!(exits(&daemon, &["dead", "list"], 0).contains("no dead letters"), "{repaired}");
        let again = exits(&daemon, &["dead", "drop", &stored[0]], 1);
        assert!(again.contains(&format!("{}: no dead letter has this id", stored[0])), "{again}");
    }
}
