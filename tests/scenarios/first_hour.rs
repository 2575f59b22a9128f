//! The first commands of somebody who begins in an empty folder.

use std::path::Path;
use std::process::Output;

use crate::harness::Installed;

/// An empty folder and the program, with nothing in its environment.
struct Stranger(tempfile::TempDir, Installed);

impl Stranger {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), Installed::new())
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn types(&self, arguments: &[&str]) -> Output {
        self.1.command().args(arguments).current_dir(self.folder()).output().unwrap()
    }

    /// Makes the installed folder one where only `audit-log` is configured.
    fn configure(&self, config: &str) {
        std::fs::write(self.folder().join("dispatcher.toml"), config).unwrap();
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn what_init_wrote_is_accepted_tried_and_never_overwritten() {
    let stranger = Stranger::new();
    let output = stranger.types(&["init", "sqreen"]);
    assert!(output.status.success(), "{}", err(&output));
    let env = std::fs::read_to_string(stranger.folder().join("dispatcher.env")).unwrap();
    let secret = env.lines().find_map(|line| line.strip_prefix("SQREEN_SECRET=")).unwrap();
    let told = out(&output);
    assert!(told.contains(&format!("secret   {secret}\n")), "{told}");
    assert!(told.contains("address  http://127.0.0.1:7070/sqreen\n"), "{told}");

    // The other plugin of that file does not lie beside this executable: a disabled target only warns.
    let output = stranger.types(&["check"]);
    assert!(output.status.success(), "{}{}", out(&output), err(&output));

    let output = stranger.types(&["try", "audit-log", "--sample", "http_scan"]);
    assert!(output.status.success(), "{}", err(&output));
    let told = out(&output);
    assert!(told.contains("\nverdict  delivered\n") && told.contains("\ntime "), "{told}");
    let log = std::fs::read_to_string(stranger.folder().join("logs/events.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(!stranger.folder().join("data").exists(), "nothing is stored");

    let output = stranger.types(&["init", "sqreen"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("dispatcher.toml is there already"), "{}", err(&output));
}

#[test]
fn try_ends_with_1_when_the_event_was_not_delivered_or_could_not_be_tried() {
    let stranger = Stranger::new();
    stranger.configure(
        "sources.sqreen.secrets = \"literal:a secret for tests\"\n\
         [targets.closed]\nplugin = \"file-log\"\nsettings.path = \"file/events.jsonl\"\n\
         [targets.off]\nenabled = false\nplugin = \"file-log\"\nsettings.path = \"env:UNSET\"\n\
         [targets.typo]\nenabled = false\nplugin = \"file-lag\"\n",
    );
    std::fs::write(stranger.folder().join("file"), "").unwrap();
    for (target, code, told, complained) in [
        ("closed", 1, "verdict  retry: ", ""),
        ("off", 1, "enabled = false", "targets.off.settings.path is not set"),
        ("typo", 1, "enabled = false", "did you mean `file-log`?"),
        ("clsed", 2, "", "did you mean `closed`?"),
    ] {
        let output = stranger.types(&["try", target]);
        assert_eq!(output.status.code(), Some(code), "{target}: {}", err(&output));
        assert!(out(&output).contains(told), "{target}: {}", out(&output));
        assert!(err(&output).contains(complained), "{target}: {}", err(&output));
    }
}
