//! A target that answers with the secret that it got: no part of it is shown or kept anywhere.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Daemon, SECRET, body, events, wait_for};

const TOKEN: &str = "q7Xz-41TokenOfTheHook_93";
/// In the request it follows the word `Bearer`; this is base64 of `user:TOKEN`, as a proxy may show it.
const ENCODED: &str = "dXNlcjpxN1h6LTQxVG9rZW5PZlRoZUhvb2tfOTM=";
/// The hexadecimal form of that.
const HEX: &str = "64584e6c636a70784e3168364c54517856473972\
    5a5735505a6c526f5a556876623274664f544d3d";
/// So many bytes in a row must not be seen.
const PART_BYTES: usize = 8;

/// Whether the bytes have a part of the token in any of its three forms, in any case.
fn leaks(bytes: &[u8]) -> bool {
    let (token, encoded) = (TOKEN.to_ascii_lowercase(), ENCODED[8..].to_ascii_lowercase());
    let forms = [token.as_bytes(), encoded.as_bytes(), &HEX.as_bytes()[16..]];
    let parts = forms.into_iter().flat_map(|form| form.windows(PART_BYTES));
    // Most of a segment is zero, at its end.
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let bytes = bytes[..end].to_ascii_lowercase();
    let parts: std::collections::HashSet<&[u8]> = parts.collect();
    bytes.windows(PART_BYTES).any(|part| part[0] != 0 && parts.contains(part))
}

/// What a server answers that repeats the token: the head after the version, and the body.
const ANSWERS: [(&str, &str, &str); 10] = [
    ("in-hexadecimal", "418 X", "got HEX"),
    ("in-the-body", "418 X", "invalid token TOKEN, ENCODED, PART"),
    (
        "in-html",
        "418 X",
        "<pre>q7Xz&#x2D;41TokenOfTheHook&lowbar;93 q7Xz\\05541TokenOfTheHook_93</pre>",
    ),
    ("in-a-query", "418 X", "?token=q7Xz%2D41TokenOfTheHook%255F93"),
    ("in-lower-case", "418 X", "q7xz-41tokenofthehook_93"),
    ("in-the-location", "302 Found\r\nlocation: /login?token=TOKEN", ""),
    ("in-a-header", "418 X\r\nwww-authenticate: Bearer error=TOKEN\r\nretry-after: TOKEN", ""),
    ("in-the-phrase", "418 invalid TOKEN", ""),
    ("in-a-throttle", "429 TOKEN\r\nretry-after: TOKEN", "slower, TOKEN"),
    ("in-no-http", "TOKEN\r\nTOKEN: TOKEN", "TOKEN"),
];

/// What a plugin does that repeats it, by the `act` of the plugin for tests.
const ACTS: [&str; 8] = [
    "secret-in-reason",
    "secret-everywhere",
    "secret-progress",
    "panic-at-once",
    "panic-in-create",
    "refuse-settings",
    "log",
    "post",
];

/// Answers every request as its path says.
fn answer_with_the_token(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let Some((_, head, body)) = ANSWERS.iter().find(|(name, ..)| path[1..] == **name)
            else {
                continue;
            };
            let fill = |text: &str| {
                let text =
                    text.replace("TOKEN", TOKEN).replace("ENCODED", ENCODED).replace("HEX", HEX);
                text.replace("PART", &TOKEN[..TOKEN.len() - 3])
            };
            let (head, body) = (fill(head), fill(body));
            let text = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(text.as_bytes());
        }
    });
}

/// Every file below the folder, except the one with the secrets and plugins.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let files = entries.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false if path.extension().is_some_and(|extension| extension == "so") => Vec::new(),
        false if path.is_file() && !path.ends_with("dispatcher.env") => vec![path],
        false => Vec::new(),
    });
    files.collect()
}

/// A daemon with a target for each answer and each act.
fn daemon_with_the_token() -> Daemon {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    answer_with_the_token(listener);
    let mut setup = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .alarms()
        .variable("HOOK", &format!("\"Bearer {TOKEN}\""))
        .variable("TOKEN", TOKEN)
        .variable("TOKEN_URL", &format!("http://{address}/in-the-body?{TOKEN}"))
        .plugin("each")
        .plugin("batch");
    for (name, ..) in ANSWERS {
        let lines = format!(
            "allow = [\"127.0.0.1/32\"]\nretry.attempts_max = 1\n\
             settings.url = \"http://{address}/{name}\"\nsettings.headers.authorization = \"env:HOOK\""
        );
        setup = setup.target_of(name, "http", &lines);
    }
    for act in ACTS {
        let lines = format!(
            "allow = [\"127.0.0.1/32\"]\nretry.attempts_max = 1\nsettings.act = \"{act}\"\n\
             settings.token = \"env:TOKEN\"\nsettings.url = \"env:TOKEN_URL\""
        );
        setup = setup.target_of(act, "test-each", &lines);
    }
    let thread = "retry.attempts_max = 1\nsettings.act = \"panic-on-own-thread\"\nsettings.token = \"env:TOKEN\"";
    setup = setup.target_of("thread", "test-batch", thread);
    // The target that is created last knows no token.
    setup.target_of("zz-last", "test-batch", "settings.act = \"each\"").start()
}

/// Waits until each target has done what it does.
fn wait_settled(daemon: &Daemon) {
    for name in ANSWERS.iter().map(|(name, ..)| *name).chain(ACTS).chain(["thread"]) {
        wait_for(name, || {
            let output = daemon.command(&["status", "--json"]).output().unwrap();
            let status: Value = serde_json::from_slice(&output.stdout).unwrap();
            let row = status["targets"].as_array().unwrap().iter().find(|row| row["name"] == name);
            row.is_some_and(|row| row["pending"] == 0 || row["kind"] == "failing").then_some(())
        });
    }
}

#[test]
fn a_token_that_a_target_or_plugin_repeats_in_any_place_is_nowhere() {
    let mut daemon = daemon_with_the_token();
    let mut tail = daemon.command(&["tail", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = tail.stdout.take().unwrap();
    assert_eq!(daemon.post(&body(&events("leak", 1))).status, 200);
    let mut seen = vec![0];
    shown.read_exact(&mut seen).expect("an event that tail shows");
    let ids = events("more", 2);
    let answer = daemon.post(&body(&ids));
    assert_eq!(answer.status, 200);
    let id = answer.json()["ids"][0].as_str().unwrap().to_owned();
    wait_settled(&daemon);
    wait_for("an alarm", || daemon.own_events("dead_letter").pop());
    let run = |arguments: &[&str]| {
        let output = daemon.command(arguments).output().unwrap();
        let shown = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&shown).into_owned();
        assert!(!leaks(&shown), "{arguments:?}: {text}");
        text
    };
    let listed = run(&["dead", "list"]);
    assert!(listed.contains("418"), "{listed}");
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["explain", &id],
        &["explain", &id, "--json"],
        &["refused"],
        &["check"],
        &["check", "--json"],
        &["reload"],
        &["plugin", "list"],
    ] {
        run(arguments);
    }
    for name in ["in-the-body", "panic-at-once", "refuse-settings", "thread"] {
        run(&["try", name]);
        run(&["try", name, "--connect"]);
    }
    assert!(daemon.log().contains("418"), "the log does not show the answer");
    assert!(daemon.log().contains("a thread of the plugin panicked"), "{}", daemon.log());
    assert!(daemon.terminate().success());
    shown.read_to_end(&mut seen).unwrap();
    tail.wait().unwrap();
    assert!(String::from_utf8_lossy(&seen).contains("in-the-location"));
    assert!(!leaks(&seen), "{}", String::from_utf8_lossy(&seen));
    for file in files(daemon.home()) {
        let bytes = fs::read(&file).unwrap();
        assert!(!leaks(&bytes), "{}", file.display());
    }
    let dump = daemon.command(&["store", "dump"]).output().unwrap();
    assert!(!leaks(&dump.stdout), "{}", String::from_utf8_lossy(&dump.stdout));
}

#[test]
fn a_token_that_stands_in_the_file_as_it_is_is_shown_nowhere_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/in-the-body", listener.local_addr().unwrap());
    answer_with_the_token(listener);
    let lines = format!(
        "allow = [\"127.0.0.1/32\"]\nretry.attempts_max = 1\nsettings.url = \"{url}\"\n\
         settings.headers.x-api-key = \"{TOKEN}\""
    );
    let setup = Daemon::new().source("sqreen", SECRET).alarms();
    let daemon = setup.target_of("hook", "http", &lines).start();
    let answer = daemon.post(&body(&events("leak", 1)));
    let id = answer.json()["ids"][0].as_str().unwrap().to_owned();
    let alarm = wait_for("the alarm", || daemon.own_events("dead_letter").pop());
    assert!(!leaks(alarm.to_string().as_bytes()) && !leaks(daemon.log().as_bytes()), "{alarm}");
    for arguments in [&["explain", &id][..], &["dead", "list"], &["try", "hook"], &["status"]] {
        let output = daemon.command(arguments).output().unwrap();
        let shown = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&shown);
        assert!(!leaks(&shown) && (arguments[0] == "status" || text.contains("418")), "{text}");
    }
}
