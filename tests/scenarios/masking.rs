//! A target that answers with the secret that it got: no part of it is shown or kept anywhere.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use crate::harness::{Daemon, SECRET, body, events, wait_for};

const TOKEN: &str = "q7Xz-41TokenOfTheHook_93";
/// In the request it follows the word `Bearer`; this is base64 of `user:TOKEN`, as a proxy may show it.
const ENCODED: &str = "dXNlcjpxN1h6LTQxVG9rZW5PZlRoZUhvb2tfOTM=";
/// So many bytes in a row must not be seen.
const PART_BYTES: usize = 8;

/// Whether the bytes have a part of the token in any of its two forms.
fn leaks(bytes: &[u8]) -> bool {
    let encoded = &ENCODED.as_bytes()[8..];
    let parts = TOKEN.as_bytes().windows(PART_BYTES).chain(encoded.windows(PART_BYTES));
    let parts: std::collections::HashSet<&[u8]> = parts.collect();
    // Most of a segment is zero.
    bytes.windows(PART_BYTES).any(|part| part[0] != 0 && parts.contains(part))
}

/// Answers every request with a refusal that repeats the token.
fn answer_with_the_token(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let text = format!("invalid token {TOKEN}, {ENCODED}, {}", &TOKEN[..TOKEN.len() - 3]);
            let head = format!("HTTP/1.1 418 X\r\ncontent-length: {}\r\n\r\n", text.len());
            let _ = stream.write_all((head + &text).as_bytes());
        }
    });
}

/// Every file below the folder, except the one with the secrets.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let files = entries.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false if path.is_file() && !path.ends_with("dispatcher.env") => vec![path],
        false => Vec::new(),
    });
    files.collect()
}

#[test]
fn a_token_that_a_target_repeats_is_nowhere() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    answer_with_the_token(listener);
    let hook = format!(
        "allow = [\"127.0.0.1/32\"]\nretry.attempts_max = 1\nsettings.url = \"{url}\"\n\
         settings.headers.authorization = \"env:HOOK\""
    );
    let mut daemon = Daemon::new()
        .source("sqreen", SECRET)
        .log("audit-log")
        .alarms()
        .variable("HOOK", &format!("\"Bearer {TOKEN}\""))
        .target_of("hook", "http", &hook)
        .start();
    let ids = events("leak", 3);
    assert_eq!(daemon.post(&body(&ids)).status, 200);
    let dead = || wait_for("dead letters", || daemon.own_events("dead_letter").pop());
    assert!(dead()["data"].to_string().contains("418"), "{}", dead());
    let run = |arguments: &[&str]| {
        let output = daemon.command(arguments).output().unwrap();
        let shown = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&shown).into_owned();
        assert!(!leaks(&shown), "{arguments:?}: {text}");
        text
    };
    let id = dead()["data"]["event"].as_str().unwrap_or_default().to_owned();
    let listed = run(&["dead", "list"]);
    assert!(listed.contains("418"), "{listed}");
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["explain", &id],
        &["refused"],
        &["check"],
        &["try", "hook"],
        &["plugin", "list"],
    ] {
        run(arguments);
    }
    assert!(daemon.log().contains("418"), "the log does not show the answer");
    assert!(daemon.terminate().success());
    for file in files(daemon.home()) {
        assert!(!leaks(&fs::read(&file).unwrap()), "{}", file.display());
    }
    let dump = daemon.command(&["store", "dump"]).output().unwrap();
    assert!(!leaks(&dump.stdout), "{}", String::from_utf8_lossy(&dump.stdout));
}
