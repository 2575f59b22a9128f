//! A log with a size limit: old events are removed, pending ones are not, and `explain` says so.

use std::path::Path;

use crate::harness::{Daemon, SECRET, body, events, wait_for};

const MIB: u64 = 1 << 20;
const REQUESTS: usize = 60;
const PER_REQUEST: usize = 200;

fn log_bytes(home: &Path) -> u64 {
    let files = std::fs::read_dir(home.join("data/log")).unwrap();
    // A file may be removed while they are counted.
    files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
}

#[test]
fn the_log_stays_within_its_size_and_nothing_undelivered_is_lost() {
    let small = "store.segment = \"1MiB\"\nstore.retention.size = \"5MiB\"\n";
    let setup = Daemon::new().source_with("sqreen", SECRET, "body_max = \"256KiB\"\n");
    let mut daemon = setup.store(small).log("audit-log").start();
    let first = daemon.post(&body(&events("first", 1))).json()["ids"][0].clone();
    let first = first.as_str().unwrap();
    let mut all = events("first", 1);
    for round in 0..REQUESTS {
        let ids = events(&format!("round-{round:02}"), PER_REQUEST);
        // While old events are still delivered there may be no room for a moment.
        wait_for("room", || match daemon.post(&body(&ids)).status {
            200 => Some(()),
            503 => None,
            other => panic!("{other}"),
        });
        all.extend(ids);
        // The log, its spare file, and the reserve for a full disk.
        assert!(log_bytes(daemon.home()) <= 7 * MIB);
        if round == REQUESTS / 2 {
            daemon.kill_9();
            daemon.start();
        }
    }
    daemon.wait_delivered("audit-log", &all);
    let error = wait_for("the first event to be removed", || {
        let output = daemon.command(&["explain", first]).output().unwrap();
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    });
    assert!(error.contains("is not stored") && error.contains("retention"), "{error}");
    assert!(daemon.log().contains("removed a log segment"));
}
