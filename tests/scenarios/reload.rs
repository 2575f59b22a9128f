//! A new configuration while the daemon runs takes effect as a whole or not at all, and no request is lost.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::harness::{Client, Daemon, SECRET, body, events, signature, wait_for};

/// Connections that post at once.
const CONNECTIONS: usize = 4;

const HERE: &str = "route = { sources = [\"sqreen\"] }";
const ELSEWHERE: &str = "route = { sources = [\"other\"] }";

/// Posts over keep-alive connections, one event a request, for as long as `story` takes; returns the ids of
/// each connection in their order. Every request must be answered with 200, and no connection be closed.
fn under_load(daemon: &mut Daemon, story: impl FnOnce(&mut Daemon)) -> Vec<Vec<String>> {
    let (address, over, posted) = (daemon.address(), AtomicBool::new(false), AtomicUsize::new(0));
    let more = || {
        let now = posted.load(Ordering::Relaxed);
        wait_for("requests", || (posted.load(Ordering::Relaxed) > now + 50).then_some(()));
    };
    let post = |connection: usize| {
        let mut client = Client::connect(address).unwrap();
        let mut ids = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let id = format!("{connection}-{:06}", ids.len());
            let body = body(std::slice::from_ref(&id));
            let signature = signature(SECRET, &body);
            let headers = [("x-sqreen-integrity", signature.as_bytes())];
            let answer = client.send("POST", "/sqreen", &headers, &body).unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            posted.fetch_add(1, Ordering::Relaxed);
            ids.push(id);
        }
        ids
    };
    std::thread::scope(|scope| {
        let post = &post;
        let posting: Vec<_> = (0..CONNECTIONS).map(|c| scope.spawn(move || post(c))).collect();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            more();
            story(daemon);
            more();
        }));
        // Otherwise a story that fails would never end.
        over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
        posting.into_iter().map(|posting| posting.join().unwrap()).collect()
    })
}

#[test]
fn a_route_changed_under_load_loses_nothing_and_sends_each_event_to_one_target() {
    let setup = Daemon::new().source("sqreen", SECRET).source("other", SECRET);
    let mut daemon = setup.log_with("first", HERE).log_with("second", ELSEWHERE).start();
    let before = events("before", 20);
    assert_eq!(daemon.post(&body(&before)).status, 200);
    let after = events("after", 20);
    let connections = under_load(&mut daemon, |daemon| {
        let outcome =
            daemon.reload(|setup| setup.log_with("first", ELSEWHERE).log_with("second", HERE));
        assert_eq!(outcome["message"], "reloaded");
        let is_route_only = outcome["replaced"].is_null() && outcome["ended"].is_null();
        assert!(is_route_only, "{outcome}");
        assert_eq!(daemon.post(&body(&after)).status, 200);
    });
    let mut expected = [before, Vec::new()];
    for ids in &connections {
        // One connection's events are received in order, so they change to the new target once.
        daemon.wait_delivered("second", &ids[ids.len() - 1..]);
        let second = daemon.delivered("second");
        let change = ids.iter().position(|id| second.contains_key(id)).unwrap();
        assert!(change > 0, "none came before the reload");
        expected[0].extend_from_slice(&ids[..change]);
        expected[1].extend_from_slice(&ids[change..]);
    }
    expected[1].extend(after);
    for (target, ids) in ["first", "second"].into_iter().zip(&expected) {
        daemon.wait_delivered(target, ids);
        let delivered = daemon.delivered(target);
        assert_eq!(delivered.len(), ids.len(), "{target} got other events");
        assert!(delivered.values().all(|count| *count == 1), "{target} got events twice");
    }
}

#[test]
fn a_wrong_file_under_load_changes_nothing_loses_nothing_and_every_problem_is_in_the_log() {
    let setup = Daemon::new().source("sqreen", SECRET).source("other", SECRET);
    let mut daemon = setup.log_with("first", HERE).log_with("second", ELSEWHERE).start();
    let connections = under_load(&mut daemon, |daemon| {
        let outcome = daemon.reload(|setup| {
            let setup = setup.log_with("first", ELSEWHERE).log_with("second", HERE);
            let setup = setup.server("lisen = 1").source_with(
                "third",
                "hush-hush-hush-hush",
                "body_max = 7",
            );
            setup.target_of("typo", "file-logs", "").log_with("odd", "settings.colour = 1")
        });
        let message = outcome["message"].as_str().unwrap();
        assert!(
            message.starts_with("reload refused: 4 errors; nothing was changed\n"),
            "{message}"
        );
        for part in ["lisen", "body_max", "did you mean `file-log`?", "unknown field `colour`"] {
            assert!(message.contains(part), "{part} is missing in:\n{message}");
        }
        assert!(message.contains("dispatcher.toml:") && message.contains("^^^"), "{message}");
        assert!(!message.contains("hush-hush-hush-hush") && !message.contains(SECRET), "{message}");
        // A file that is not TOML, and a missing file.
        let file = daemon.home().join("dispatcher.toml");
        fs::write(&file, "[server\n").unwrap();
        let outcome = daemon.reload_what_is_there();
        assert!(outcome["message"].as_str().unwrap().contains("not valid TOML"), "{outcome}");
        fs::remove_file(&file).unwrap();
        let outcome = daemon.reload_what_is_there();
        assert!(outcome["message"].as_str().unwrap().contains("cannot read"), "{outcome}");
    });
    let ids = connections.concat();
    daemon.wait_delivered("first", &ids);
    assert_eq!(daemon.delivered("first").len(), ids.len());
    assert_eq!(daemon.log_lines("second").len(), 0);
    // Fixed, it is accepted.
    let outcome = daemon
        .reload(|_| Daemon::new().source("sqreen", SECRET).log("first").log("second").log("third"));
    assert_eq!((&outcome["message"], &outcome["started"]), (&"reloaded".into(), &"third".into()));
    let later = events("later", 3);
    assert_eq!(daemon.post(&body(&later)).status, 200);
    for target in ["first", "second", "third"] {
        daemon.wait_delivered(target, &later);
    }
}

#[test]
fn a_sender_that_calls_while_a_reload_still_reads_should_try_again() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let body = body(&events("late", 1));
    let signature = signature(SECRET, &body);
    let headers = [("x-sqreen-integrity", signature.as_bytes())];
    let post = || daemon.client().send("POST", "/late", &headers, &body).unwrap();
    assert_eq!(post().status, 404);
    let with_source = Daemon::new().source("sqreen", SECRET).source("late", SECRET);
    let file = with_source.log("audit-log").write(daemon.home());
    let is_over = AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        // A file that is being saved all the time holds the reload open for a while.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let file = fs::File::options().append(true).open(&file).unwrap();
                file.set_modified(std::time::SystemTime::now()).unwrap();
            }
        });
        scope.spawn(|| daemon.reload_what_is_there());
        let mut answers = Vec::new();
        wait_for("the new source", || {
            let answer = post();
            let again = answer.header("retry-after").is_some();
            answers.push((answer.status, again));
            (answer.status == 200 || answers.len() > 100_000).then_some(())
        });
        is_over.store(true, Ordering::Relaxed);
        answers
    });
    // Until the signal has arrived, and then until the new configuration is in force.
    let unknown = answers.iter().take_while(|answer| **answer == (404, false)).count();
    let reading = answers[unknown..].iter().take_while(|answer| **answer == (503, true)).count();
    assert!(reading > 0, "{answers:?}");
    assert_eq!(answers[unknown + reading..], [(200, false)]);
}

#[test]
fn a_secret_is_rotated_without_a_request_refused() {
    let two = "secrets = [\"file:old\", \"env:NEW\"]\npath = \"/sqreen\"";
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let post = |daemon: &Daemon, secret: &str| {
        let body = body(&events(secret, 1));
        daemon.post_signed(&body, &signature(secret, &body)).status
    };
    let hold = |daemon: &Daemon| (post(daemon, SECRET), post(daemon, "the new one"));
    assert_eq!(hold(&daemon), (200, 401));
    fs::write(daemon.home().join("old"), SECRET).unwrap();
    // NEW is only in `dispatcher.env`, where it was added after the daemon had started.
    let both = |setup: crate::harness::Setup| {
        setup.source_table("sqreen", two).variable("NEW", "the new one")
    };
    let both = daemon.reload(both);
    assert_eq!(both["message"], "reloaded");
    assert_eq!(hold(&daemon), (200, 200));
    // The configuration is unchanged; only the file that it names has changed.
    fs::write(daemon.home().join("old"), "another secret").unwrap();
    let again = daemon.reload(|setup| setup);
    assert_eq!((&again["message"], &again["config"]), (&both["message"], &both["config"]));
    assert_eq!(hold(&daemon), (401, 200));
    fs::remove_file(daemon.home().join("old")).unwrap();
    let outcome = daemon.reload(|setup| setup);
    assert!(outcome["message"].as_str().unwrap().contains("no such file"), "{outcome}");
    assert_eq!(hold(&daemon), (401, 200));
}

#[test]
fn the_backlog_of_a_renamed_or_disabled_target_is_kept_until_it_is_back() {
    let closed = "settings.path = \"logs/closed/x.jsonl\"\nretry.backoff_min = \"100ms\"";
    let mut daemon = Daemon::new().source("sqreen", SECRET).target("old", closed).start();
    daemon.close_folder();
    let waiting = events("waiting", 300);
    assert_eq!(daemon.post(&body(&waiting)).status, 200);
    wait_for("a failure", || daemon.log().contains("target is down").then_some(()));
    let outcome = daemon.reload(|setup| setup.without_target("old").log("new"));
    assert_eq!((&outcome["started"], &outcome["ended"]), (&"new".into(), &"old".into()));
    daemon.open_folder();
    let meanwhile = events("meanwhile", 5);
    assert_eq!(daemon.post(&body(&meanwhile)).status, 200);
    daemon.wait_delivered("new", &meanwhile);
    assert_eq!(daemon.log_lines("new").len(), 5, "a new name gets no earlier events");
    assert_eq!(daemon.log_lines("closed/x").len(), 0);
    let outcome = daemon.reload(|setup| setup.without_target("new").target("old", closed));
    assert_eq!((&outcome["started"], &outcome["ended"]), (&"old".into(), &"new".into()));
    daemon.wait_delivered("closed/x", &waiting);
    let outcome = daemon
        .reload(|setup| setup.target("old", &format!("enabled = false\n{closed}")).log("new"));
    assert_eq!((&outcome["started"], &outcome["ended"]), (&"new".into(), &"old".into()));
    let later = events("later", 5);
    assert_eq!(daemon.post(&body(&later)).status, 200);
    daemon.wait_delivered("new", &later);
    let outcome = daemon.reload(|setup| setup.target("old", closed));
    assert_eq!(outcome["started"], "old");
    let last = events("last", 1);
    assert_eq!(daemon.post(&body(&last)).status, 200);
    daemon.wait_delivered("closed/x", &last);
    let delivered = daemon.delivered("closed/x");
    assert_eq!(delivered.len(), waiting.len() + last.len(), "events that were not routed to it");
    assert!(delivered.values().all(|count| *count == 1), "{delivered:?}");
}

#[test]
fn a_changed_file_is_written_from_the_reload_on_and_other_targets_are_left_alone() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").log("same").start();
    let connections = under_load(&mut daemon, |daemon| {
        let moved = "settings.path = \"logs/moved.jsonl\"";
        let outcome = daemon.reload(|setup| setup.target("audit-log", moved));
        assert_eq!(outcome["replaced"], "audit-log");
    });
    let ids = connections.concat();
    daemon.wait_delivered("same", &ids);
    wait_for("every event in one of the files", || {
        let files = ["audit-log", "moved"].map(|file| daemon.delivered(file));
        let there = |id: &String| files.iter().any(|file| file.contains_key(id));
        ids.iter().all(there).then_some(())
    });
    let (old, new) = (daemon.log_lines("audit-log").len(), daemon.log_lines("moved").len());
    assert_eq!(old + new, ids.len(), "an event is in both, or twice in one");
    assert!(old > 0 && new > 0, "{old} and {new}");
}

#[test]
fn the_old_instance_finishes_its_calls_before_the_new_one_gets_any() {
    let target = |label: &str| {
        format!("settings.act = \"trace\"\nsettings.file = \"trace\"\nsettings.label = \"{label}\"")
    };
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    daemon.add_plugin("each", |file| file);
    let traced = |daemon: &Daemon| {
        let text = fs::read_to_string(daemon.home().join("trace")).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let outcome = daemon.reload(|setup| setup.target_of("slow", "test-each", &target("old")));
    assert_eq!(outcome["started"], "slow");
    assert_eq!(daemon.post(&body(&events("first", 1))).status, 200);
    wait_for("the old one to begin", || (!traced(&daemon).is_empty()).then_some(()));
    let outcome = daemon.reload(|setup| setup.target_of("slow", "test-each", &target("new")));
    assert_eq!(outcome["replaced"], "slow");
    // Three more wait for it. Another target has received them, so this one could have claimed them.
    let more = events("more", 3);
    assert_eq!(daemon.post(&body(&more)).status, 200);
    daemon.wait_delivered("audit-log", &more);
    assert_eq!(traced(&daemon), ["begin old"]);
    fs::write(daemon.home().join("trace.open"), "").unwrap();
    wait_for("all to end", || (traced(&daemon).len() >= 8).then_some(()));
    let lines = traced(&daemon);
    assert_eq!(lines[..2], ["begin old", "end old"], "{lines:?}");
    assert_eq!(lines[2..].iter().filter(|line| *line == "begin new").count(), 3, "{lines:?}");
    assert_eq!(lines.len(), 8, "a delivery was made twice: {lines:?}");
}

#[test]
fn a_plugin_file_replaced_under_its_name_is_loaded_as_new_code() {
    let other_text = |mut file: Vec<u8>| {
        let old = b"no such account";
        let places = (0..file.len() - old.len()).filter(|at| file[*at..].starts_with(old));
        let places: Vec<_> = places.collect();
        assert!(!places.is_empty(), "the text is not in the plugin");
        for at in places {
            file[at..at + old.len()].copy_from_slice(b"an other build!");
        }
        file
    };
    let setup = Daemon::new().source("sqreen", SECRET).log("audit-log");
    let mut daemon = setup.start();
    daemon.add_plugin("each", |file| file);
    let lines = "settings.act = \"broken\"";
    let outcome = daemon.reload(|setup| setup.target_of("each", "test-each", lines));
    assert_eq!(outcome["started"], "each");
    // As many as show that the target is broken, and not one event.
    assert_eq!(daemon.post(&body(&events("first", 9))).status, 200);
    wait_for("the first build", || daemon.log().contains("no such account").then_some(()));
    wait_for("the hold", || {
        let shown = daemon.command(&["status"]).output().unwrap();
        String::from_utf8_lossy(&shown.stdout).contains("broken since").then_some(())
    });
    assert!(!daemon.log().contains("an other build!"));
    daemon.add_plugin("each", other_text);
    let outcome = daemon.reload(|setup| setup);
    assert_eq!(outcome["replaced"], "each", "only its file changed");
    // The old build was broken, so the target is on hold until a person resumes it.
    assert!(daemon.command(&["resume", "each", "--held"]).status().unwrap().success());
    wait_for("the second build", || daemon.log().contains("an other build!").then_some(()));
    let again = daemon.reload(|setup| setup);
    assert!(again["replaced"].is_null(), "{again}");
    let other = daemon.reload(|setup| setup.log("second"));
    assert_ne!(other["config"], again["config"]);
}

#[test]
fn keys_that_need_a_restart_are_named_and_the_rest_is_in_force() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    fs::create_dir(daemon.home().join("elsewhere")).unwrap();
    let outcome = daemon.reload(|setup| {
        let setup = setup.head("home = \"elsewhere\"\nstore.directory = \"other-data\"");
        setup.server("connections_max = 7\nbody_timeout = \"9s\"").log("second")
    });
    assert_eq!((&outcome["message"], &outcome["started"]), (&"reloaded".into(), &"second".into()));
    for key in ["home", "store.directory", "server.connections_max"] {
        assert!(
            daemon.log().contains(&format!("{key} was changed, which needs a restart")),
            "{key}"
        );
    }
    assert_eq!(daemon.log().matches("needs a restart").count(), 3);
    let ids = events("after", 3);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    // Relative paths still start at the old home.
    daemon.wait_delivered("second", &ids);
    assert!(!daemon.home().join("elsewhere/logs").exists());
}

#[test]
fn the_command_shows_the_outcome_and_status_remembers_it() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let run = |daemon: &Daemon, command: &str| {
        let output = daemon.command(&[command]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    daemon.configure(|setup| setup.server("connections_max = 9").log("second"));
    let (code, shown) = run(&daemon, "reload");
    assert_eq!(code, Some(0), "{shown}");
    for part in ["reloaded at ", "started    second", "server.connections_max needs a restart"] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
    let (code, shown) = run(&daemon, "status");
    assert!(code == Some(0) && shown.contains("2 targets, none proven yet"), "{shown}");
    daemon.configure(|setup| setup.server("conections_max = 9").log("third"));
    let (code, shown) = run(&daemon, "reload");
    assert_eq!(code, Some(1), "{shown}");
    for part in ["unknown key `server.conections_max`", "^^^", "1 error; nothing was changed"] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
    let (code, shown) = run(&daemon, "status");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("the last reload was refused") && shown.contains("^^^"), "{shown}");
    assert!(!shown.contains("third"), "{shown}");
    daemon.configure(|setup| setup.server(""));
    assert_eq!(run(&daemon, "reload").0, Some(0));
    let (code, shown) = run(&daemon, "status");
    assert!(code == Some(0) && shown.contains("3 targets, none proven yet"), "{shown}");
}
