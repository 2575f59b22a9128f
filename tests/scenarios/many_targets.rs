//! Many targets: the threads of the daemon do not grow with them.

use std::fs;

use crate::harness::{Daemon, SECRET, body, events, wait_for};

const TARGETS: usize = 300;
/// Of the runtimes and the blocking work, for each core; at least four cores are counted.
const THREADS_PER_CORE: usize = 10;
const CORES_MIN: usize = 4;
/// Of the store, the log, the signals and what waits for calls that block.
const OTHER_THREADS_MAX: usize = 24;

#[test]
fn three_hundred_targets_are_served_by_few_threads() {
    let names: Vec<String> = (0..TARGETS).map(|number| format!("log-{number}")).collect();
    let setup =
        names.iter().fold(Daemon::new().source("sqreen", SECRET), |setup, name| setup.log(name));
    let daemon = setup.start();
    let mut most = 0;
    let mut sent = Vec::new();
    for round in 0..5 {
        let ids = events(&format!("round-{round}"), 20);
        assert_eq!(daemon.post(&body(&ids)).status, 200);
        sent.extend(ids);
        for name in &names {
            most = most.max(daemon.threads());
            wait_for("the deliveries", || {
                most = most.max(daemon.threads());
                let log = fs::read(daemon.log_path(name)).unwrap_or_default();
                let lines = log.iter().filter(|byte| **byte == b'\n').count();
                (lines >= sent.len()).then_some(())
            });
        }
    }
    let cores = std::thread::available_parallelism().unwrap().get().max(CORES_MIN);
    let max = OTHER_THREADS_MAX + cores * THREADS_PER_CORE;
    assert!(most <= max, "{most} threads, at most {max}");
    daemon.wait_delivered("log-299", &sent);
}
