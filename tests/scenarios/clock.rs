//! The time of day is set, at a restart and while the daemon runs: nothing waits longer than its policy, and nothing
//! is given up early.

use std::os::unix::fs::FileExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::receiver::{Receiver, answer};
use crate::harness::{Daemon, SECRET, body, events, preload, wait_for};

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;
/// Daemons that run at once.
const AT_ONCE: usize = 4;
const TAKEN: &str = r#"{"sid": "SM0123456789abcdef0123456789abcdef", "status": "queued"}"#;
/// One that works, one that fails, one with a digest.
const TARGETS: u64 = 3;
const ROUTE: &str = "route = { sources = [\"sqreen\"] }\n";

#[derive(Clone, Copy, Debug)]
enum Moment {
    Restart,
    Running,
}

fn targets(daemon: &Daemon) -> Vec<Value> {
    let output = daemon.command(&["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["targets"].as_array().unwrap().clone()
}

fn count(daemon: &Daemon, target: &str, what: &str) -> u64 {
    let all = targets(daemon);
    let row = all.iter().find(|row| row["name"].as_str().unwrap().starts_with(target));
    row.unwrap()[what].as_u64().unwrap()
}

/// Sets the clock of a daemon with waiting retries and an open digest by so many seconds. Returns how many deliveries there
/// were, and how many of them were given up; `None` if the clock cannot be set here.
fn set(by: i64, moment: Moment) -> Option<(u64, u64)> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("offset");
    std::fs::write(&path, 0i64.to_ne_bytes()).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let option = format!("-DOFFSET=\"{}\"", path.display());
    let library = preload("clock.c", folder.path(), &[option])?;
    let receiver = Receiver::playing(|_, _, stream| answer(stream, 201, TAKEN));
    let retry = "retry.backoff_min = \"500ms\"\nretry.backoff_max = \"2s\"";
    let frail = format!("{ROUTE}settings.path = \"logs/closed/frail.jsonl\"\n{retry}");
    let setup = Daemon::new().source("sqreen", SECRET).log("plain").target("frail", &frail);
    let setup = receiver.twilio(setup, &format!("{ROUTE}digest.every = \"3s\""));
    let mut daemon = setup.preload(library).start();
    daemon.close_folder();
    let mut ids = events("before", 3);
    for id in &ids {
        assert_eq!(daemon.post(&body(std::slice::from_ref(id))).status, 200);
    }
    wait_for("retries", || (count(&daemon, "frail", "retrying") == 3).then_some(()));
    match moment {
        Moment::Running => file.write_all_at(&by.to_ne_bytes(), 0).unwrap(),
        Moment::Restart => {
            assert!(daemon.terminate().success());
            file.write_all_at(&by.to_ne_bytes(), 0).unwrap();
            daemon.start();
        }
    }
    let again = daemon.post(&body(&ids));
    assert_eq!(again.json()["duplicates"], 3, "{again:?}");
    let after = events("after", 2);
    assert_eq!(daemon.post(&body(&after)).status, 200);
    ids.extend(after);
    daemon.wait_delivered("plain", &ids);
    daemon.open_folder();
    daemon.wait_delivered("closed/frail", &ids);
    wait_for("the digest", || (count(&daemon, "sms", "pending") == 0).then_some(()));
    let dead = targets(&daemon).iter().map(|row| row["dead"].as_u64().unwrap()).sum();
    let sent = receiver.bodies().join(" ");
    assert!(receiver.bodies().len() <= ids.len(), "{sent}");
    if by > 100 * YEAR {
        assert!(daemon.log().contains("\"2200-"), "the clock was not set");
    }
    Some((TARGETS * ids.len() as u64, dead))
}

#[test]
fn a_clock_that_is_set_delays_nothing_and_gives_up_nothing() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let (in_1970, in_2200) = (DAY - now, 7_258_204_800 - now);
    let shifts = [3_600, -3_600, DAY, -DAY, YEAR, -YEAR, in_1970, in_2200];
    let all: Vec<_> =
        shifts.into_iter().flat_map(|by| [(by, Moment::Restart), (by, Moment::Running)]).collect();
    let (mut combinations, mut deliveries, mut late, mut early) = (0, 0, Vec::new(), 0);
    for some in all.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|&(by, moment)| (by, moment, scope.spawn(move || set(by, moment))))
                .collect();
            for (by, moment, story) in running {
                match story.join() {
                    Ok(Some((here, dead))) => {
                        combinations += TARGETS;
                        deliveries += here;
                        early += dead;
                    }
                    Ok(None) => {}
                    Err(_) => late.push(format!("set by {by} s, {moment:?}")),
                }
            }
        });
    }
    println!(
        "clocks of the daemon: {combinations} combinations, {deliveries} deliveries, {} late, {early} given up early",
        late.len()
    );
    assert!(late.is_empty() && early == 0, "{late:?}");
}
