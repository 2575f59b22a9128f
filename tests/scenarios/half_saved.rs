//! Configurations that are empty, half saved, or not files: they neither come into force nor block a command.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::harness::{Daemon, SECRET, body, events};

/// Makes a file what a test needs.
type Change<'a> = &'a dyn Fn(&Path);

/// Exit code and both outputs of a command.
fn run(daemon: &Daemon, arguments: &[&str]) -> (Option<i32>, String) {
    run_after(daemon, arguments, |_| {})
}

/// Like [`run`], with the files as `change` leaves them.
fn run_after(
    daemon: &Daemon,
    arguments: &[&str],
    change: impl FnOnce(&Path),
) -> (Option<i32>, String) {
    // Prepared first, because that writes the configuration.
    let mut command = daemon.command(arguments);
    change(daemon.home());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn an_emptied_configuration_does_not_come_into_force() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let empty = |home: &Path| fs::write(home.join("dispatcher.toml"), "").unwrap();
    let without_targets = |home: &Path| {
        let file = home.join("dispatcher.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.split("[targets.").next().unwrap()).unwrap();
    };
    let without_variables = |home: &Path| fs::write(home.join("dispatcher.env"), "").unwrap();
    let changes: [(Change<'_>, &str); 3] = [
        (&empty, "the configuration has no source (1 now)"),
        (&without_targets, "the configuration has no target (1 now)"),
        (&without_variables, "is not set"),
    ];
    for (at, (change, why)) in changes.into_iter().enumerate() {
        let (code, text) = run_after(&daemon, &["reload"], change);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(why), "{text}");
        let ids = events(&format!("after-{at}"), 1);
        assert_eq!(daemon.post(&body(&ids)).status, 200);
        daemon.wait_delivered("audit-log", &ids);
        let answer = daemon.client().send("POST", "/other", &[], b"{}").unwrap();
        assert_eq!(answer.status, 503, "the next reload may bring the source");
    }
    let (code, text) = run_after(&daemon, &["reload", "--allow-empty"], empty);
    assert_eq!(code, Some(0), "{text}");
    let answer = daemon.post(&body(&events("nowhere", 1)));
    assert_eq!(answer.status, 503, "just after a change a sender should try again");
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn only_regular_files_that_not_everyone_may_change_are_read() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let secret = daemon.home().join("secret");
    let whole = || fs::write(&secret, SECRET).unwrap();
    whole();
    daemon.configure(|setup| setup.source_table("filed", "secrets = \"file:secret\""));
    let fifo = |path: &Path| {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    let socket = |path: &Path| drop(UnixListener::bind(path).unwrap());
    let folder = |path: &Path| fs::create_dir(path).unwrap();
    let endless = |path: &Path| symlink("/dev/zero", path).unwrap();
    let open = |path: &Path| {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    };
    let dangling = |path: &Path| symlink("nowhere", path).unwrap();
    let kinds: [(Change<'_>, &str); 6] = [
        (&dangling, "it is a link to something that does not exist; repair the link, or remove it"),
        (&fifo, "it is a pipe (FIFO); put a regular file there, or a link to one"),
        (&socket, "it is a socket; put a regular file there, or a link to one"),
        (&folder, "it is a folder; put a regular file there, or a link to one"),
        (&endless, "it is a device; put a regular file there, or a link to one"),
        (&open, "any user may change it; remove that permission (chmod o-w)"),
    ];
    fs::create_dir(daemon.home().join("conf.d")).unwrap();
    for (make, why) in kinds {
        for name in ["dispatcher.toml", "dispatcher.env", "conf.d/more.toml", "secret"] {
            let path = daemon.home().join(name);
            let remove = || match fs::remove_dir(&path) {
                Err(_) => fs::remove_file(&path),
                removed => removed,
            };
            // Another source works, so a secret stops only its own.
            let started = if name == "secret" { None } else { Some(("run", 78)) };
            for (command, expected) in [("check", 1), ("reload", 1)].into_iter().chain(started) {
                let (code, text) = run_after(&daemon, &[command], |_| {
                    let _ = remove();
                    make(&path);
                });
                // `reload` finds the daemon by `home` in that file.
                assert_eq!(code, Some(expected), "{command} {name}: {text}");
                let line = format!("cannot read {}: {why}", path.display());
                // The log has one line for each problem, in JSON.
                assert!(text.contains(&line), "{command} {name}: {text}");
                remove().unwrap();
            }
            whole();
        }
    }
    let (code, text) = run(&daemon, &["reload"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("reloaded at"), "{text}");
}
