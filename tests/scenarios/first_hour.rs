//! The first commands of a user who begins in an empty folder.

use std::path::Path;
use std::process::Output;

use crate::harness::Installed;

/// An empty folder in which the program runs with an empty environment.
struct NewUser(tempfile::TempDir, Installed);

impl NewUser {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), Installed::new())
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn types(&self, arguments: &[&str]) -> Output {
        self.1.command().args(arguments).current_dir(self.folder()).output().unwrap()
    }

    /// Writes `dispatcher.toml`.
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
fn the_files_of_init_pass_check_and_try_and_are_never_overwritten() {
    let user = NewUser::new();
    let output = user.types(&["init", "sqreen"]);
    assert!(output.status.success(), "{}", err(&output));
    let env = std::fs::read_to_string(user.folder().join("dispatcher.env")).unwrap();
    let secret = env.lines().find_map(|line| line.strip_prefix("SQREEN_SECRET=")).unwrap();
    let shown = out(&output);
    assert!(shown.contains(&format!("secret   {secret}\n")), "{shown}");
    assert!(shown.contains("address  http://127.0.0.1:7070/sqreen\n"), "{shown}");

    // The disabled target's plugin is not beside this executable, which is only a warning.
    let output = user.types(&["check"]);
    assert!(output.status.success(), "{}{}", out(&output), err(&output));

    let output = user.types(&["try", "audit-log", "--sample", "http_scan"]);
    assert!(output.status.success(), "{}", err(&output));
    let shown = out(&output);
    assert!(shown.contains("\nverdict  delivered\n") && shown.contains("\ntime "), "{shown}");
    let log = std::fs::read_to_string(user.folder().join("logs/events.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(!user.folder().join("data").exists(), "something was stored");

    let output = user.types(&["init", "sqreen"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("dispatcher.toml has a source `sqreen`, which is not overwritten"),
        "{}",
        err(&output)
    );
}

#[test]
fn try_ends_with_1_when_the_event_was_not_delivered_or_could_not_be_tried() {
    let user = NewUser::new();
    user.configure(
        "sources.sqreen.secrets = \"literal:a secret for tests\"\n\
         [targets.closed]\nplugin = \"file-log\"\nsettings.path = \"file/events.jsonl\"\n\
         [targets.off]\nenabled = false\nplugin = \"file-log\"\nsettings.path = \"env:UNSET\"\n\
         [targets.typo]\nenabled = false\nplugin = \"file-lag\"\n",
    );
    std::fs::write(user.folder().join("file"), "").unwrap();
    for (target, code, shown, error) in [
        ("closed", 1, "verdict  retry: ", ""),
        ("off", 1, "disabled, so `run` sends nothing", "targets.off.settings.path is not set"),
        ("typo", 1, "disabled, so `run` sends nothing", "did you mean `file-log`?"),
        ("clsed", 2, "", "did you mean `closed`?"),
    ] {
        let output = user.types(&["try", target]);
        assert_eq!(output.status.code(), Some(code), "{target}: {}", err(&output));
        assert!(out(&output).contains(shown), "{target}: {}", out(&output));
        assert!(err(&output).contains(error), "{target}: {}", err(&output));
    }
}
