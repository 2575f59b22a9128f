//! What waits for a target that was renamed or removed is shown, and can be moved or dropped.

use super::receiver::Receiver;
use crate::harness::{Daemon, SECRET, body, events, exits, post, wait_for};

/// A daemon whose target `app` has 300 deliveries that wait, and is named `app2` in the file now.
fn renamed() -> (Daemon, Vec<String>, String) {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("app").log("other").start();
    exits(&daemon, &["pause", "app"], 0);
    let names = events("waiting", 300);
    let id = post(&daemon, &body(&names)).remove(7);
    daemon.wait_delivered("other", &names);
    daemon.configure(|setup| setup.without_target("app").log("app2"));
    (daemon, names, id)
}

#[test]
fn what_waits_for_a_renamed_target_is_shown_everywhere_and_is_moved_for_good() {
    let (mut daemon, names, id) = renamed();
    let left = "300 deliveries of target `app`, which is not configured any more";
    let checked = exits(&daemon, &["check"], 0);
    assert!(checked.contains(&format!("warning: {left}")), "{checked}");
    assert!(exits(&daemon, &["reload"], 0).contains(left));
    let status = exits(&daemon, &["status"], 1);
    assert!(status.starts_with("target app needs attention (removed); 300 deliveries"), "{status}");
    assert!(exits(&daemon, &["explain", &id], 0).contains("→ app  "));
    assert_eq!(exits(&daemon, &["dead", "list", "--target", "app"], 0), "no dead letters\n");
    let unknown = exits(&daemon, &["dead", "list", "--target", "apt"], 1);
    let known = "configured: other, app2; not configured any more: app";
    assert!(unknown.contains(known), "{unknown}");
    // The start says so too.
    daemon.kill_9();
    daemon.start();
    assert!(daemon.log().contains(left), "{}", daemon.log());

    for (arguments, part) in [
        (["move", "--from", "app", "--to", "apt"], "unknown target \"apt\""),
        (["move", "--from", "app2", "--to", "app2"], "a move needs two targets: both are app2"),
        (["move", "--from", "app", "--to", "app2"], "to move 300 deliveries from app to app2"),
    ] {
        let output = daemon.command(&arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(part), "{text}");
    }
    let moved = exits(&daemon, &["move", "--from", "app", "--to", "app2", "--yes"], 0);
    assert_eq!(moved, "moved from app to app2: 300\n");
    daemon.kill_9();
    daemon.start();
    daemon.wait_delivered("app2", &names);
    assert_eq!(daemon.delivered("app2").len(), 300);
    let story = exits(&daemon, &["explain", &id], 0);
    assert!(story.contains("moved to target app2, by hand at "), "{story}");
    exits(&daemon, &["status"], 0);
    assert!(!exits(&daemon, &["check"], 0).contains("warning"));
    let again = exits(&daemon, &["move", "--from", "app", "--to", "app2", "--yes"], 0);
    assert_eq!(again, "nothing waits for app\n");
}

#[test]
fn what_waits_for_a_removed_target_is_dropped_at_once_or_one_by_one() {
    let (daemon, _, id) = renamed();
    exits(&daemon, &["reload"], 0);
    assert_eq!(exits(&daemon, &["drop", &id, "--target", "app"], 0), "dropped: 1\n");
    let story = exits(&daemon, &["explain", &id], 0);
    assert!(story.contains("dropped before it was delivered"), "{story}");
    let again = exits(&daemon, &["drop", &id, "--target", "app"], 1);
    assert!(again.contains("no such event waits for app"), "{again}");
    assert!(exits(&daemon, &["status"], 1).contains("299 deliveries wait"));
    let all = exits(&daemon, &["drop", "--all", "--target", "app", "--yes"], 0);
    assert_eq!(all, "dropped: 299\n");
    exits(&daemon, &["status"], 0);
}

#[test]
fn an_event_that_its_target_refuses_is_dropped_alone_and_the_others_are_delivered() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("app").start();
    exits(&daemon, &["pause", "app"], 0);
    let names = events("one", 3);
    let ids = post(&daemon, &body(&names));
    assert_eq!(exits(&daemon, &["drop", &ids[1], "--target", "app"], 0), "dropped: 1\n");
    exits(&daemon, &["resume", "app", "--held"], 0);
    daemon.wait_delivered("app", &[names[0].clone(), names[2].clone()]);
    assert_eq!(daemon.delivered("app").len(), 2);
    let replayed = exits(&daemon, &["dead", "replay", &ids[1], "--target", "app"], 0);
    assert_eq!(replayed, "replayed: 1\n");
    daemon.wait_delivered("app", &names);
}

#[test]
fn what_waits_for_a_disabled_target_or_its_recipient_is_shown_and_can_be_dropped() {
    let receiver = Receiver::answering(|_| 500);
    let setup = Daemon::new().source("sqreen", SECRET).log("app");
    let mut daemon = receiver.twilio(setup, "").start();
    let recipient = "sms/+33600000001";
    for target in ["app", recipient] {
        exits(&daemon, &["pause", target], 0);
    }
    let id = post(&daemon, &body(&events("waiting", 2))).remove(0);
    let off = "enabled = false\n";
    daemon
        .configure(|setup| receiver.twilio(setup.without_target("sms").log_with("app", off), off));
    let checked = exits(&daemon, &["check"], 0);
    let reloaded = exits(&daemon, &["reload"], 0);
    for target in ["app", recipient] {
        let left = format!("2 deliveries of target `{target}`, which is disabled");
        assert!(checked.contains(&format!("warning: {left}\n")), "{checked}");
        assert!(reloaded.contains(&format!("{left}: they wait until it is enabled")), "{reloaded}");
    }
    let shown = exits(&daemon, &["status"], 1);
    assert!(shown.starts_with("2 targets need attention; 4 deliveries wait\n"), "{shown}");
    let stays = "disabled in the configuration: what waits for it stays until it is enabled";
    assert_eq!(shown.matches(stays).count(), 2, "{shown}");
    assert!(exits(&daemon, &["explain", &id], 0).contains(&format!("→ {recipient}  waits")));
    for target in ["app", "sms"] {
        let dropped = exits(&daemon, &["drop", "--all", "--target", target, "--yes"], 0);
        assert_eq!(dropped, "dropped: 2\n", "{target}");
    }
    exits(&daemon, &["status"], 0);
    assert!(!exits(&daemon, &["check"], 0).contains("which is disabled"));
}

#[test]
fn a_renamed_target_that_keeps_the_log_full_is_named_and_what_it_keeps_can_be_moved() {
    let small = "store.segment = \"1MiB\"\nstore.retention.size = \"5MiB\"\n";
    let setup = Daemon::new().source_with("sqreen", SECRET, "body_max = \"256KiB\"\n");
    let mut daemon = setup.store(small).log("app").start();
    exits(&daemon, &["pause", "app"], 0);
    post(&daemon, &body(&events("kept", 300)));
    daemon.configure(|setup| setup.without_target("app").log("app2"));
    exits(&daemon, &["reload"], 0);
    let mut rounds = 0..100;
    let refused = rounds.find_map(|round| {
        let answer = daemon.post(&body(&events(&format!("round-{round}"), 300)));
        (answer.status != 200).then_some(answer)
    });
    let refused = refused.expect("the log has a limit");
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    // What waits for app2 itself leaves room by and by; what waits for app does not.
    let state = wait_for("the reason", || {
        let text = exits(&daemon, &["status"], 1);
        text.contains(", and app still needs its oldest part: ").then_some(text)
    });
    assert!(state.starts_with("requests are refused ("), "{state}");
    for (arguments, code, part) in [
        (&["pause", "app"][..], 0, "300 deliveries wait"),
        (&["dead", "list", "--target", "app"], 0, "no dead letters"),
        (&["retry", "app"], 2, "target app is not configured any more; move or drop what waits"),
        (&["move", "--from", "app", "--to", "app2", "--yes"], 0, "moved from app to app2: 300"),
    ] {
        let text = exits(&daemon, arguments, code);
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
    wait_for("room", || (daemon.post(&body(&events("after", 1))).status == 200).then_some(()));
    daemon.wait_delivered("app2", &events("kept", 300));
}
