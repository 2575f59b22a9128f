//! When something does not arrive: the commands that look at the running daemon and change it.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{
    Daemon, SECRET, Setup, body, events, output, post, signature, stdout, wait_for,
};

/// One target that gives up after one attempt while its folder is closed.
fn fragile() -> Setup {
    Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .target("frail", "route = { sources = [\"sqreen\"] }\nsettings.path = \"logs/closed/frail.jsonl\"\nretry.attempts_max = 1")
}

#[track_caller]
fn json(daemon: &Daemon, arguments: &[&str]) -> Value {
    serde_json::from_slice(&output(daemon, arguments).stdout).unwrap()
}

#[track_caller]
fn wait_dead(daemon: &Daemon, count: u64) -> Value {
    wait_for("the dead letters", || {
        let page = json(daemon, &["dead", "list", "--json"]);
        (page["total"].as_u64() == Some(count)).then_some(page)
    })
}

#[test]
fn dead_letters_are_listed_shown_replayed_and_dropped() {
    let daemon = fragile().start();
    daemon.close_folder();
    let names = events("lost", 4);
    let ids = post(&daemon, &body(&names));
    let page = wait_dead(&daemon, 4);
    assert_eq!(page["letters"][0]["target"], "frail");
    let listed = stdout(&daemon, &["dead", "list"]);
    assert!(ids.iter().all(|id| listed.contains(id)), "{listed}");
    let shown = stdout(&daemon, &["dead", "show", &ids[0]]);
    for part in ["frail  given up at", "attempt 1 at", "audit-log  delivered", "lost-00000"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(stdout(&daemon, &["dead", "drop", &ids[3]]), "dropped: 1\n");
    let explained = json(&daemon, &["explain", &ids[3], "--json"]);
    let fates = &explained["event"]["targets"];
    assert!(fates.as_array().unwrap().iter().any(|target| target["fate"] == "dropped"));
    // Replaying many needs a confirmation.
    let unasked = output(&daemon, &["dead", "replay", "--all"]);
    assert_eq!(unasked.status.code(), Some(2));
    let error = String::from_utf8(unasked.stderr).unwrap();
    assert!(error.contains("replay 3 dead letters") && error.contains("--yes"), "{error}");
    // A replay that was not tried yet.
    stdout(&daemon, &["pause", "frail"]);
    assert_eq!(stdout(&daemon, &["dead", "replay", &ids[1]]), "replayed: 1\n");
    let waits = stdout(&daemon, &["explain", &ids[1]]);
    let since = "frail  queued again by hand at 20";
    let due = "; waits for its first attempt after that, due since 20";
    assert!([since, due, "target: paused"].iter().all(|part| waits.contains(part)), "{waits}");
    daemon.open_folder();
    stdout(&daemon, &["resume", "frail", "--held"]);
    assert_eq!(stdout(&daemon, &["dead", "replay", "--all", "--yes"]), "replayed: 2\n");
    daemon.wait_delivered("closed/frail", &names[..3]);
    assert_eq!(stdout(&daemon, &["dead", "list"]), "no dead letters\n");
    assert_eq!(daemon.log_lines("closed/frail").len(), 3);
}

#[test]
fn a_pause_outlives_a_restart() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").log("other").start();
    let paused = stdout(&daemon, &["pause", "other", "--reason", "moving house"]);
    assert!(paused.starts_with("other is paused; no deliveries wait"), "{paused}");
    let ids = events("held", 5);
    let held = post(&daemon, &body(&ids));
    daemon.wait_delivered("audit-log", &ids);
    daemon.kill_9();
    daemon.start();
    let later = events("later", 2);
    post(&daemon, &body(&later));
    daemon.wait_delivered("audit-log", &later);
    assert_eq!(daemon.log_lines("other").len(), 0);
    let waiting = stdout(&daemon, &["explain", &held[0]]);
    assert!(waiting.contains("→ other  waits for its first attempt; target: paused"), "{waiting}");
    let status = output(&daemon, &["status"]);
    let shown = String::from_utf8(status.stdout).unwrap();
    assert_eq!(status.status.code(), Some(1), "{shown}");
    assert!(
        shown.starts_with("target other needs attention (paused); 7 deliveries wait\n"),
        "{shown}"
    );
    assert!(shown.contains("paused by hand since") && shown.contains("moving house"), "{shown}");
    let unasked = output(&daemon, &["resume", "other"]);
    assert_eq!(String::from_utf8(unasked.stdout).unwrap(), "7 deliveries wait\n");
    assert_eq!(unasked.status.code(), Some(2));
    let resumed = stdout(&daemon, &["resume", "other", "--held"]);
    assert_eq!(resumed, "7 deliveries wait\nother is resumed; sending 7\n");
    daemon.wait_delivered("other", &[ids.as_slice(), &later].concat());
    assert_eq!(output(&daemon, &["resume", "other"]).status.code(), Some(2), "it is not paused");
}

#[test]
fn a_resume_can_skip_old_deliveries() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    stdout(&daemon, &["pause", "audit-log"]);
    let old = post(&daemon, &body(&events("old", 3)));
    let explained = json(&daemon, &["explain", &old[2], "--json"]);
    let received = explained["event"]["received"].as_str().unwrap().to_owned();
    // Wait until the clock that stamps events has moved on by a millisecond.
    let since = wait_for("the clock to advance", || {
        let later = later_than(&daemon);
        (later > received).then_some(later)
    });
    let new = events("new", 2);
    post(&daemon, &body(&new));
    let resumed = stdout(&daemon, &["resume", "audit-log", "--since", &since]);
    let expected = "5 deliveries wait\naudit-log is resumed; sending 2; 3 became dead letters\n";
    assert_eq!(resumed, expected);
    daemon.wait_delivered("audit-log", &new);
    assert_eq!(daemon.log_lines("audit-log").len(), 2);
    wait_dead(&daemon, 3);
    stdout(&daemon, &["dead", "replay", "--all", "--yes"]);
    daemon.wait_delivered("audit-log", &events("old", 3));
}

/// The time at which the daemon refuses a request now. Times in this form sort as texts.
fn later_than(daemon: &Daemon) -> String {
    daemon.post_signed(b"{}", &"0".repeat(64));
    let refused = json(daemon, &["refused", "--json"]);
    refused.as_array().unwrap().last().unwrap()["time"].as_str().unwrap().to_owned()
}

#[test]
fn every_event_and_every_refused_request_can_be_explained() {
    let daemon = fragile()
        .log_with("only-errors", "route = { severity = \"critical\" }")
        .source_with("quiet_one", SECRET, "")
        .target("audit-log", "settings.path = \"logs/audit-log.jsonl\"\nroute.sources = [\"sqreen\"]")
        .target("frail", "settings.path = \"logs/closed/frail.jsonl\"\nretry.attempts_max = 1\nroute.sources = [\"sqreen\"]")
        .start();
    daemon.close_folder();
    let ids = post(&daemon, &body(&events("lone", 1)));
    wait_dead(&daemon, 1);
    let explained = stdout(&daemon, &["explain", &ids[0]]);
    for part in [
        "from sqreen",
        "by scheme sqreen, secret 1",
        "Attack lone-00000",
        "→ audit-log  delivered, attempt 1",
        "→ frail  given up at",
        "attempt 1 at",
        "→ only-errors  not routed: ",
    ] {
        assert!(explained.contains(part), "{part}: {explained}");
    }
    // An event without a target.
    let content = body(&events("unwanted", 1));
    let signed = signature(SECRET, &content);
    let headers = [("x-sqreen-integrity", signed.as_bytes())];
    let answer = daemon.client().send("POST", "/quiet_one", &headers, &content).unwrap();
    let id = answer.json()["ids"][0].as_str().unwrap().to_owned();
    let explained = stdout(&daemon, &["explain", &id]);
    assert!(explained.contains("routed to no target"), "{explained}");
    assert!(explained.contains("→ audit-log  not routed: "), "{explained}");
    // A request that was refused.
    let refused = daemon.post_signed(&content, &"0".repeat(64));
    assert_eq!(refused.status, 401);
    let request = refused.header("x-request-id").unwrap().to_owned();
    let explained = stdout(&daemon, &["explain", &request]);
    assert!(explained.contains("to source sqreen was refused with 401"), "{explained}");
    let listed = stdout(&daemon, &["refused", "sqreen"]);
    assert!(listed.contains(&request) && listed.lines().count() == 2, "{listed}");
    assert_eq!(
        stdout(&daemon, &["refused", "quiet_one"]),
        "no request was refused since the start\n"
    );
    assert_eq!(output(&daemon, &["explain", "0123456789abcdef"]).status.code(), Some(1));
    assert_eq!(output(&daemon, &["explain", "nonsense"]).status.code(), Some(2));
    assert_eq!(output(&daemon, &["refused", "no-such"]).status.code(), Some(1));
}

#[test]
fn tail_shows_events_and_deliveries_and_ends_after_a_count() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let follow = |arguments: &[&str]| {
        let mut tail = daemon.command(arguments);
        let mut tail = tail.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
        let first = std::thread::spawn(move || (lines.next().unwrap().unwrap(), lines));
        // Once it shows one of these events, it is connected.
        wait_for("the first line", || {
            daemon.post_signed(b"{}", &"0".repeat(64));
            first.is_finished().then_some(())
        });
        let (first, lines) = first.join().unwrap();
        (tail, first, lines)
    };
    let (mut tail, first, lines) = follow(&["tail"]);
    assert!(first.contains(" refused ") && first.contains(" sqreen 401 "), "{first}");
    let id = post(&daemon, &body(&events("seen", 1))).remove(0);
    let mut about = lines.map(Result::unwrap).filter(|line| line.contains(&id));
    // The delivery may be reported before the event.
    let mut explained: Vec<String> = about.by_ref().take(2).collect();
    explained.sort_by_key(|line| line.contains(" delivered "));
    let [event, delivered] = explained.as_slice() else { panic!("{explained:?}") };
    assert!(event.contains("sqreen → audit-log  ") && event.contains("Attack seen"), "{event}");
    assert!(delivered.contains(" delivered ") && delivered.contains("attempt 1"), "{delivered}");
    // It ends when its output is closed.
    drop(about);
    wait_for("the end of tail", || {
        daemon.post_signed(b"{}", &"0".repeat(64));
        tail.try_wait().unwrap()
    });
    let (mut tail, first, mut lines) = follow(&["tail", "--count", "1", "--json"]);
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&first["what"], &first["status"]), (&"refused".into(), &401.into()));
    assert!(lines.next().is_none());
    assert!(tail.wait().unwrap().success());
}

#[test]
fn status_succeeds_when_nothing_needs_attention() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let ids = events("well", 1);
    post(&daemon, &body(&ids));
    daemon.wait_delivered("audit-log", &ids);
    wait_for("the delivery to be settled", || {
        let shown = stdout(&daemon, &["status"]);
        shown.starts_with("the target works; no deliveries wait\n").then_some(())
    });
    let status = json(&daemon, &["status", "--json"]);
    let address = format!("http://{}/sqreen", daemon.address());
    assert_eq!(status["sources"][0]["address"], address.as_str());
    assert!(status["sources"][0]["last_event"].is_string(), "{status}");
    assert!(status["targets"][0]["last_delivery"].is_string(), "{status}");
    // The socket of a killed daemon is replaced; a daemon that stops removes its own.
    let socket = daemon.home().join("admin.sock");
    daemon.kill_9();
    assert!(socket.exists());
    no_daemon_answers(&daemon);
    daemon.start();
    stdout(&daemon, &["status"]);
    assert!(daemon.terminate().success());
    assert!(!socket.exists());
    no_daemon_answers(&daemon);
}

#[track_caller]
fn no_daemon_answers(daemon: &Daemon) {
    let output = output(daemon, &["status"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    let line = format!(
        "error: no daemon answers at {}; start it with `dispatcher run`, or give its socket: --socket PATH\n",
        daemon.home().join("admin.sock").display()
    );
    assert_eq!(error, line);
}

/// Connections to the admin socket, each with the beginning of a request.
fn connections(daemon: &Daemon, count: usize, request: &str) -> Vec<UnixStream> {
    let connect = |_| {
        let mut stream = UnixStream::connect(daemon.home().join("admin.sock")).unwrap();
        // The daemon may have closed it already.
        let _ = stream.write_all(request.as_bytes());
        stream.set_nonblocking(true).unwrap();
        stream
    };
    (0..count).map(connect).collect()
}

fn count_open(streams: &mut [UnixStream]) -> usize {
    let is_open = |stream: &mut UnixStream| match stream.read(&mut [0; 4096]) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    streams.iter_mut().map(is_open).filter(|open| *open).count()
}

#[test]
fn status_is_answered_while_others_hold_the_admin_socket() {
    const PER_PROCESS_MAX: usize = 64;
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let body = "POST /pause HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{";
    for (count, request) in [
        (200, ""),
        (64, "GET /status HTTP/1.1\r\nhost:"),
        (200, "GET /status HTTP/1.1\r\nhost:"),
        (200, body),
        (200, "GET /tail HTTP/1.1\r\nhost: a\r\n\r\n"),
    ] {
        // The daemon soon closes them, on a busy machine perhaps before this answer arrives: then ask again.
        wait_for("an answer while the others are open", || {
            let mut others = connections(&daemon, count, request);
            assert!(stdout(&daemon, &["status"]).starts_with("1 target, not proven yet"));
            // Each evicted connection is closed by its own task, perhaps a moment after the answer.
            let open = wait_for("the others to make room", || {
                Some(count_open(&mut others)).filter(|open| *open <= PER_PROCESS_MAX)
            });
            (open == PER_PROCESS_MAX).then_some(())
        });
    }
}

#[test]
fn sixty_readers_of_tail_that_do_not_read_miss_lines_and_learn_how_many() {
    const READERS: usize = 60;
    /// More than the kernel and the daemon buffer for one reader.
    const HELD_BYTES_MAX: usize = 384 * 1024;
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let mut readers = connections(&daemon, READERS, "GET /tail HTTP/1.1\r\nhost: a\r\n\r\n");
    // Each has the head of its answer, so it is connected.
    for reader in &mut readers {
        wait_for("the answer's head", || reader.read(&mut [0; 4096]).ok());
    }
    for round in 0..4 {
        post(&daemon, &body(&events(&format!("unread-{round}"), 900)));
    }
    let sent: Vec<_> = (0..4).flat_map(|round| events(&format!("unread-{round}"), 900)).collect();
    daemon.wait_delivered("audit-log", &sent);
    for reader in readers {
        reader.set_nonblocking(false).unwrap();
        let mut bytes = 0;
        let missed = BufReader::new(reader).lines().map(Result::unwrap).find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok().filter(Value::is_object)?;
            bytes += line.to_string().len();
            (line["what"] == "missed").then(|| line["count"].as_u64().unwrap())
        });
        assert!(missed > Some(0), "{missed:?}");
        assert!(bytes < HELD_BYTES_MAX, "{bytes} bytes were held for one reader");
    }
    let shown = stdout(&daemon, &["status"]);
    assert!(shown.starts_with("the target works"), "{shown}");
}
