//! Commands that need no running daemon, and their exit codes.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::harness::Installed;

const SECRET: &str = "6fd4a9e2-not-to-be-shown";

/// A folder with a configuration. Commands run there with one secret in their environment.
struct Folder(tempfile::TempDir, Installed);

impl Folder {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("dispatcher.toml"), config).unwrap();
        Self(folder, Installed::new())
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .1
            .command()
            .args(arguments)
            .current_dir(self.0.path())
            .env("SQREEN_SECRET", SECRET)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Fails when the command has ended without reading its input.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn golden(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/golden/config").join(name)).unwrap()
}

#[test]
fn check_shows_six_mistakes_at_once_and_exits_with_1() {
    let folder = Folder::new(&golden("six-mistakes.toml"));
    let output = folder.run(&["check"], b"");
    let shown = out(&output);
    assert_eq!(output.status.code(), Some(1), "{shown}{}", err(&output));
    for line in ["2:10", "5:11", "6:12", "10:1", "11:22", "11:43"] {
        assert!(shown.contains(&format!(" --> dispatcher.toml:{line}\n")), "{line}: {shown}");
    }
    assert_eq!(shown.matches("error: ").count(), 6, "{shown}");
    assert!(shown.ends_with("6 errors; nothing was changed\n"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours where there is no terminal: {shown}");
}

#[test]
fn check_of_a_valid_configuration_shows_the_addresses_and_writes_nothing() {
    let shipped = std::fs::read_to_string(root().join("dispatcher.toml")).unwrap();
    let folder = Folder::new(&shipped);
    let output = folder.run(&["check"], b"");
    let shown = out(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}{}", err(&output));
    assert!(shown.contains("http://127.0.0.1:7070/sqreen"), "{shown}");
    assert!(shown.contains("gives up after 24h"), "{shown}");
    let left: Vec<_> = std::fs::read_dir(folder.0.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn run_with_an_invalid_or_missing_configuration_exits_with_78() {
    let folder = Folder::new(&golden("six-mistakes.toml"));
    let output = folder.run(&["run"], b"");
    assert_eq!(output.status.code(), Some(78), "{}", err(&output));
    assert_eq!(err(&output).matches("error: ").count(), 6, "{}", err(&output));
    let output = folder.run(&["run", "--config", "no-such.toml"], b"");
    assert_eq!(output.status.code(), Some(78), "{}", err(&output));
    assert!(err(&output).contains("cannot read no-such.toml"), "{}", err(&output));
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    let folder = Folder::new("");
    for arguments in [&["fly"][..], &[], &["sign"], &["send"], &["run", "--log-level", "loud"]] {
        let output = folder.run(arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
    }
    for arguments in [&["--help"][..], &["--version"], &["send", "--help"], &["plugin", "--help"]] {
        assert_eq!(folder.run(arguments, b"").status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn completions_and_man_pages_are_made_from_the_command_line() {
    let folder = Folder::new("");
    let script = folder.run(&["completions", "bash"], b"");
    assert!(out(&script).contains("--allow-empty"), "{}", err(&script));
    let path = folder.0.path().join("completions");
    std::fs::write(&path, &script.stdout).unwrap();
    assert!(Command::new("bash").arg("-n").arg(&path).status().unwrap().success());

    let pages = folder.0.path().join("man");
    let output = folder.run(&["man", pages.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    for (page, text) in [
        ("dispatcher.1", "writes them to disk before it says"),
        ("dispatcher-reload.1", "read its configuration again"),
        ("dispatcher-store-repair.1", "so that the daemon starts again"),
    ] {
        let page = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(page.contains(".TH") && page.contains(text), "{page}");
    }
    assert!(!pages.join("dispatcher-plugin-try-file.1").exists());

    let output = folder.run(&["man", path.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).starts_with("error: cannot write "), "{}", err(&output));
}

#[test]
fn sign_prints_the_published_signature() {
    let folder = Folder::new("");
    let secret = ["sign", "--scheme", "sqreen", "--secret", "literal:1234"];
    let output = folder.run(&secret, b"4567");
    let expected = "x-sqreen-integrity: \
                    9d101d2bf630748679226b767d2031634c520390ff0e926afc09bc65a05bfdb2\n";
    assert_eq!(out(&output), expected, "{}", err(&output));
    // The text itself is a secret, too, as for `verify`.
    let output = folder.run(&["sign", "--scheme", "sqreen", "--secret", "1234"], b"4567");
    assert_eq!(out(&output), expected, "{}", err(&output));
    // A secret that the scheme cannot use is not printed.
    for wrong in ["whsec_!no base64!", "literal:whsec_!no base64!"] {
        let output = folder.run(&["sign", "--scheme", "standard-webhooks", "--secret", wrong], b"");
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        assert!(!err(&output).contains("!no base64!"), "{}", err(&output));
    }
    // Nor is what stands where the name of a variable belongs, if it cannot be one.
    let wrong = format!("env:{SECRET}");
    let output = folder.run(&["sign", "--scheme", "sqreen", "--secret", &wrong], b"4567");
    assert_eq!(output.status.code(), Some(2));
    assert!(!err(&output).contains(SECRET), "{}", err(&output));
}

#[test]
fn send_reports_that_nothing_listens() {
    // The local port of a connection: no program can bind it or listens there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let port = held.local_addr().unwrap().port();
    let config = format!(
        "server.listen = \"127.0.0.1:{port}\"\nsources.sqreen.secrets = \"env:SQREEN_SECRET\"\n"
    );
    let output = Folder::new(&config).run(&["send", "sqreen"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("nothing listens there"), "{}", err(&output));
    let output = Folder::new(&config).run(&["send", "sqren"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("did you mean `sqreen`?"), "{}", err(&output));
}

#[test]
fn plugin_list_shows_the_plugins_in_the_configured_folder() {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let config = golden("right-smallest.toml");
    let folder = Folder::new(&format!("{config}[plugins]\ndirectory = {deps:?}\n"));
    let output = folder.run(&["plugin", "list"], b"");
    let shown = out(&output);
    let row = shown.lines().find(|line| line.starts_with("file-log ")).unwrap_or_default();
    assert!(row.contains(" many ") && row.ends_with(".so"), "{shown}{}", err(&output));
    let shown = folder.run(&["plugin", "list", "--config", "no-such.toml"], b"");
    assert!(err(&shown).contains("default folders"), "{}", err(&shown));
}
