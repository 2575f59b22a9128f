//! Many targets: the threads of the daemon do not grow with them.

use std::fs;

use crate::harness::{Daemon, SECRET, body, events, wait_for};

const TARGETS: usize = 300;
/// On a busy machine work seems to hang, and then a few more threads are started step by step.
const THREADS_MAX: usize = TARGETS / 2;

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
    assert!(most <= THREADS_MAX, "{most} threads, at most {THREADS_MAX}");
    daemon.wait_delivered("log-299", &sent);
}
