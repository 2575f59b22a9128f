//! An SMS target: Twilio's responses, and a thousand attacks as two messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::twilio::{CUT, TAKEN, Twilio, after, events_in};
use crate::harness::{Daemon, SECRET, Setup, body, events, post_all, wait_for};

const ALICE: &str = "+33600000001";
const BOB: &str = "+33600000002";
const CAROL: &str = "+33600000003";
/// Only what this source sends.
const ROUTE: &str = "route = { sources = [\"sqreen\"] }\n";
const INVALID: &str =
    r#"{"code": 21211, "message": "The 'To' number is not valid.", "status": 400}"#;
const WHO: &str = r#"{"code": 20003, "message": "Authenticate", "status": 401}"#;

fn setup() -> Setup {
    Daemon::new().source("sqreen", SECRET).log("audit-log").alarms()
}

#[test]
fn throttled_then_failing_then_accepted_is_one_message_at_the_right_times() {
    let twilio = Twilio::playing(|number, _| match number {
        0 => (429, "retry-after: 2\r\n", r#"{"code": 20429}"#),
        1 | 2 => (500, "", ""),
        _ => TAKEN,
    });
    let daemon = twilio.target(setup(), &[ALICE], ROUTE).start();
    assert_eq!(daemon.post(&body(&events("late", 1))).status, 200);
    let asked = twilio.wait_asked(4);
    assert_eq!(twilio.taken().len(), 1);
    // Not sooner than requested, and not sooner than the shortest backoff with its jitter.
    assert!(after(&asked, 1) >= Duration::from_secs(2), "{asked:?}");
    assert!(after(&asked, 2) >= after(&asked, 1) + Duration::from_millis(790), "{asked:?}");
    assert!(after(&asked, 3) >= after(&asked, 2) + Duration::from_millis(1_590), "{asked:?}");
    assert!(asked.iter().all(|sms| sms.text == asked[0].text));
    assert_eq!(daemon.own_events("target.down").len(), 0);
}

#[test]
fn a_wrong_number_is_a_dead_letter_at_once_and_the_others_get_one_message_each() {
    let twilio = Twilio::playing(|_, to| if to == BOB { (400, "", INVALID) } else { TAKEN });
    let daemon = twilio.target(setup(), &[ALICE, BOB, CAROL], ROUTE).start();
    assert_eq!(daemon.post(&body(&events("three", 1))).status, 200);
    twilio.wait_asked(3);
    wait_for("the dead letter", || daemon.log().contains("dead letter").then_some(()));
    let log = daemon.log();
    let dead = log.lines().find(|line| line.contains("dead letter")).unwrap();
    assert!(dead.contains(&format!("sms/{BOB}")) && dead.contains("21211"), "{dead}");
    // At the next event Bob's number is tried again, and no number gets the first event twice.
    assert_eq!(daemon.post(&body(&events("more", 1))).status, 200);
    twilio.wait_asked(6);
    for number in [ALICE, BOB, CAROL] {
        let count = twilio.asked().iter().filter(|sms| sms.to == number).count();
        assert_eq!(count, 2, "{number}: {:?}", twilio.asked());
    }
}

#[test]
fn explain_shows_the_deliveries_of_the_recipients_and_no_others() {
    let twilio = Twilio::playing(|_, _| TAKEN);
    let setup = Daemon::new().source("sqreen", SECRET).log("audit-log");
    // As `init` writes it: the store knows the target before its recipients.
    let disabled = format!("enabled = false\n{ROUTE}");
    let mut daemon = twilio.target(setup, &[ALICE, BOB], &disabled).start();
    daemon.reload(|setup| twilio.target(setup, &[ALICE, BOB], ROUTE));
    let ids = daemon.post(&body(&events("both", 1))).json()["ids"].clone();
    let id = ids[0].as_str().unwrap();
    let shown = wait_for("the deliveries", || {
        let output = daemon.command(&["explain", id]).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(!shown.contains("not routed"), "{shown}");
        let are_delivered = shown.matches("  delivered").count() == 3;
        are_delivered.then_some(shown)
    });
    for number in [ALICE, BOB] {
        assert!(shown.contains(&format!("→ sms/{number}  delivered")), "{shown}");
    }
}

#[test]
fn a_thousand_attacks_are_two_messages_that_count_them_with_a_crash_in_between() {
    let twilio = Twilio::playing(|_, _| TAKEN);
    let mut daemon =
        twilio.target(setup(), &[ALICE], &format!("{ROUTE}digest.every = \"20s\"")).start();
    let first = daemon.post(&body(&events("attack", 1)));
    assert_eq!(first.status, 200);
    let asked = twilio.wait_asked(1);
    // The receipt is on disk within a second; before that, a crash sends the message again.
    std::thread::sleep(Duration::from_millis(1_500));
    let ids = events("more-attacks", 999);
    let posted = post_all(daemon.address(), &ids[..500], 5, 4, &AtomicUsize::new(0));
    assert_eq!(posted.acknowledged.len(), 500, "{posted:?}");
    daemon.kill_9();
    daemon.start();
    let posted = post_all(daemon.address(), &ids[500..], 5, 4, &AtomicUsize::new(0));
    assert_eq!(posted.acknowledged.len(), 499, "{posted:?}");
    assert!(asked[0].at.elapsed() < Duration::from_secs(19), "the window is over already");
    assert_eq!(twilio.asked().len(), 1, "{:?}", twilio.asked());
    let asked = twilio.wait_asked(2);
    daemon.wait_delivered("audit-log", &ids);
    assert_eq!((events_in(&asked[0]), events_in(&asked[1])), (1, 999));
    let apart = after(&asked, 1);
    assert!(apart >= Duration::from_secs(19), "{apart:?}");
}

#[test]
fn a_wrong_account_holds_the_target_and_loses_nothing_across_a_restart() {
    let fixed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&fixed);
    let answer = move |_: usize, _: &str| match seen.load(Ordering::Relaxed) {
        true => TAKEN,
        false => (401, "", WHO),
    };
    let twilio = Twilio::playing(answer);
    // It would get its own alarms, if they were not kept from it.
    let all = "route = [{ types = \"*\" }, { sources = \"dispatcher\" }]";
    let mut daemon = twilio.target(setup(), &[ALICE], all).start();
    assert_eq!(daemon.post(&body(&events("first", 1))).status, 200);
    let broken = wait_for("the event in the log", || daemon.own_events("target.broken").pop());
    assert_eq!(broken["subject"], format!("sms/{ALICE}"), "{broken}");
    assert_eq!(broken["severity"], "critical");
    assert!(broken["data"]["reason"].as_str().unwrap().contains("20003"), "{broken}");
    wait_for("the hold", || daemon.log().contains("dispatcher resume").then_some(()));
    let later = events("later", 5);
    assert_eq!(daemon.post(&body(&later)).status, 200);
    daemon.wait_delivered("audit-log", &later);
    assert!(daemon.terminate().success());
    daemon.start();
    let last = events("last", 1);
    assert_eq!(daemon.post(&body(&last)).status, 200);
    daemon.wait_delivered("audit-log", &last);
    // The event about the target was not routed to the target itself.
    assert_eq!(twilio.asked().len(), 1, "{:?}", twilio.asked());
    assert_eq!(daemon.own_events("target.broken").len(), 1);
    assert_eq!(daemon.own_events("dead_letter").len(), 0);
    fixed.store(true, Ordering::Relaxed);
    // The target's name stands for all of its recipients.
    let resumed = daemon.command(&["resume", "sms", "--held"]).output().unwrap();
    assert!(resumed.status.success(), "{resumed:?}");
    let count = || twilio.taken().iter().map(events_in).sum::<u64>();
    wait_for("all seven", || (count() >= 7).then_some(()));
    assert_eq!(count(), 7, "{:?}", twilio.taken());
}

#[test]
fn a_dead_letter_and_a_source_that_is_refused_again_and_again_are_events_too() {
    let twilio = Twilio::playing(|_, _| (400, "", INVALID));
    let daemon = twilio.target(setup(), &[BOB], ROUTE).start();
    assert_eq!(daemon.post(&body(&events("dead", 1))).status, 200);
    let event = wait_for("the dead letter", || daemon.own_events("dead_letter").pop());
    assert_eq!(
        (&event["subject"], &event["data"]["count"]),
        (&format!("sms/{BOB}").into(), &1.into())
    );
    for _ in 0..30 {
        assert_eq!(daemon.post_signed(b"[]", &"0".repeat(64)).status, 401);
    }
    let event = wait_for("the refusals", || daemon.own_events("source.rejecting").pop());
    assert_eq!(event["subject"], "sqreen");
    assert_eq!(twilio.asked().len(), 1, "not routed to the phone");
}

#[test]
fn after_a_cut_connection_retry_maybe_sent_decides_whether_to_send_again() {
    for (setting, count) in [("retry", 2), ("dead-letter", 1)] {
        let twilio = Twilio::playing(|number, _| if number == 0 { CUT } else { TAKEN });
        let lines = format!("{ROUTE}retry.maybe_sent = \"{setting}\"");
        let daemon = twilio.target(setup(), &[ALICE], &lines).start();
        assert_eq!(daemon.post(&body(&events("cut", 1))).status, 200);
        if count == 2 {
            twilio.wait_asked(2);
        } else {
            let event = wait_for("the dead letter", || daemon.own_events("dead_letter").pop());
            let reason = event["data"]["reason"].as_str().unwrap();
            assert!(reason.starts_with("may have arrived"), "{reason}");
        }
        assert_eq!(twilio.asked().len(), count);
    }
}
