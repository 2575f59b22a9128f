//! Standard output and standard error that take nothing: a full device, a closed pipe, a reader that stopped.

use std::fs::{self, File};
use std::io::{PipeReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Daemon, Installed, SECRET, body, events, post_all, wait_for};

/// A daemon whose output goes where the test says.
struct Running(Child);

impl Running {
    fn start(daemon: &Daemon, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Self {
        Self(daemon.command(&["run"]).stdout(stdout).stderr(stderr).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    #[track_caller]
    fn terminate(mut self, what: &str) {
        self.signal(Signal::TERM);
        let status = wait_for("the daemon to end", || self.0.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{what}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

fn closed() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// A pipe that is full, and its reader, which does not read.
fn stopped() -> (Stdio, Stdio, PipeReader) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    (writer.try_clone().unwrap().into(), writer.into(), reader)
}

/// Waits until the daemon answers.
#[track_caller]
fn status(daemon: &Daemon) -> Value {
    let installed = Installed::new();
    wait_for("the daemon to answer", || {
        // Not by `daemon.command`, which would write the configuration while the daemon reads it.
        let mut command = installed.command();
        command.args(["status", "--json", "--socket"]).arg(daemon.home().join("admin.sock"));
        let output = command.output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        // The socket answers shortly before the configuration is in force.
        status["sources"][0].is_object().then_some(status)
    })
}

fn address(status: &Value) -> SocketAddr {
    let url = status["sources"][0]["address"].as_str().unwrap();
    url.trim_start_matches("http://").split('/').next().unwrap().parse().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_log_that_takes_nothing_neither_blocks_nor_ends_the_daemon() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    assert!(daemon.terminate().success());
    let (stopped_out, stopped_err, _reader) = stopped();
    for (what, loses, stdout, stderr) in [
        ("full", true, full(), full()),
        ("closed", true, closed(), closed()),
        ("stopped", false, stopped_out, stopped_err),
    ] {
        let running = Running::start(&daemon, stdout, stderr);
        let address = address(&status(&daemon));
        let ids = events(what, 600);
        let posted = post_all(address, &ids, 1, 4, &AtomicUsize::new(0));
        assert_eq!(posted.acknowledged.len(), ids.len(), "{what}: {posted:?}");
        daemon.wait_delivered("audit-log", &ids);
        running.signal(Signal::HUP);
        if loses {
            let status = wait_for("the loss to be shown", || {
                let status = status(&daemon);
                (status["log_lines_dropped"].as_u64()? > 0).then_some(status)
            });
            let state = status["state"].as_str().unwrap();
            assert!(state.contains(" log lines were dropped: standard error"), "{what}: {state}");
            assert_eq!(status["well"], false, "{what}");
        }
        running.terminate(what);
    }
}

#[test]
fn the_next_line_that_gets_through_says_how_many_were_dropped() {
    let mut daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    assert!(daemon.terminate().success());
    let path = daemon.home().join("log-pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let reader = File::options().read(true).write(true).open(&path).unwrap();
    let writer = File::options().write(true).open(&path).unwrap();
    let running = Running::start(&daemon, Stdio::null(), writer);
    status(&daemon);
    drop(reader);
    let dropped = wait_for("lost lines", || {
        running.signal(Signal::HUP);
        let dropped = status(&daemon)["log_lines_dropped"].as_u64().unwrap();
        (dropped > 2).then_some(dropped)
    });
    let mut reader = File::options().read(true).write(true).open(&path).unwrap();
    fcntl_setfl(&reader, fcntl_getfl(&reader).unwrap() | OFlags::NONBLOCK).unwrap();
    let mut seen = Vec::new();
    let notice: Value = wait_for("the notice", || {
        running.signal(Signal::HUP);
        // Ends with an error when the pipe is empty.
        let _ = reader.read_to_end(&mut seen);
        let lines = String::from_utf8_lossy(&seen).into_owned();
        let line = lines.lines().find(|line| line.contains("log lines were dropped"))?;
        Some(serde_json::from_str(line).unwrap())
    });
    let message = notice["message"].as_str().unwrap();
    let count: u64 = message.split(' ').next().unwrap().parse().unwrap();
    assert!(count >= dropped, "{message}");
    assert_eq!(notice["level"], "WARN");
    let status = status(&daemon);
    assert_eq!(status["well"], true, "the loss is reported: {status}");
    running.terminate("reads again");
}

/// Every command by its `--help`, and with its own output those that can run here again and again.
#[test]
fn every_command_notices_that_its_output_was_not_written() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let answer = daemon.post(&body(&events("seen", 1)));
    let id = answer.json()["ids"][0].as_str().unwrap().to_owned();
    let names = listed(&daemon);
    let helps = names
        .iter()
        .map(|name| name.split_whitespace().chain(["--help"]).map(str::to_owned).collect());
    let mut commands: Vec<Vec<String>> = helps.collect();
    assert!(commands.len() > 20, "{names:?}");
    let plugin = daemon.command(&[]).get_program().to_owned();
    let plugin = Path::new(&plugin).with_file_name("libdispatcher_file_log.so");
    for command in [
        "--version",
        "status",
        "status --json",
        "status --watch 1",
        "status --watch 1 --json",
        "events",
        "events --json",
        "show ID",
        "explain ID",
        "refused sqreen",
        "dead list --json",
        "dead list",
        "reload",
        "reload --json",
        "check",
        "plugin list",
        "plugin check FILE",
        "store check",
        "store dump",
        "store dump --json",
        "send sqreen --curl",
        "try audit-log",
        "pause audit-log",
        "tail --json",
    ] {
        let words = command.split(' ').map(|word| match word {
            "ID" => id.clone(),
            "FILE" => plugin.display().to_string(),
            word => word.to_owned(),
        });
        commands.push(words.collect());
    }
    let (ended, mut wrong) = (AtomicBool::new(false), Vec::new());
    std::thread::scope(|scope| {
        // `tail` shows only what happens while it runs.
        scope.spawn(|| {
            let mut count = 0;
            while !ended.load(Ordering::Relaxed) {
                count += 1;
                daemon.post(&body(&events(&format!("again-{count}"), 1)));
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        for words in &commands {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let output = |stdout: Stdio| {
                daemon.command(&words).stdout(stdout).stderr(Stdio::piped()).output().unwrap()
            };
            let (lost, left) = (output(full()), output(closed()));
            let is_noticed = text(&lost).contains("cannot write to standard output")
                && lost.status.code() == Some(1);
            if !is_noticed || left.status.code() != Some(0) {
                wrong.push(format!("{words:?}: full: {lost:?}, closed: {left:?}"));
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// With arguments that give the same result again and again.
const COMMANDS: [&str; 37] = [
    "init nope",
    "demo --help",
    "run --help",
    "check",
    "try audit-log",
    "try nope",
    "send sqreen",
    "send nope",
    "sign sqreen",
    "verify --list",
    "status",
    "tail --count 0",
    "events",
    "show ID",
    "show nope",
    "explain ID",
    "refused nope",
    "dead list",
    "dead show ID",
    "dead replay ID",
    "dead drop --all --yes",
    "drop --all --target audit-log --yes",
    "move --from a --to b",
    "pause audit-log",
    "resume nope",
    "retry --all --yes",
    "reload",
    "plugin list",
    "plugin check nope",
    "store check",
    "store repair",
    "store dump",
    "store backup nope/nope",
    "selftest crash --help",
    "completions bash",
    "man --help",
    "nope",
];

/// The commands that `--help` lists.
fn listed(daemon: &Daemon) -> Vec<String> {
    let help = daemon.command(&["--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (begin, end) = (help.find("\n\n").unwrap(), help.find("Options:").unwrap());
    let names = help[begin..end].lines().filter_map(|line| line.strip_prefix("  "));
    let name = |line: &str| line.split_at_checked(15).map_or(line, |(name, _)| name).trim().into();
    names.map(name).collect()
}

#[test]
fn no_command_panics_or_ends_otherwise_if_an_output_takes_nothing() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let answer = daemon.post(&body(&events("seen", 1)));
    let id = answer.json()["ids"][0].as_str().unwrap().to_owned();
    for name in listed(&daemon).iter().filter(|name| !name.is_empty()) {
        let is_of = |command: &&str| format!("{command} ").starts_with(&format!("{name} "));
        assert!(COMMANDS.iter().any(is_of), "{name} is not in the table");
    }
    let mut wrong = Vec::new();
    for command in COMMANDS {
        let words: Vec<&str> =
            command.split(' ').map(|word| if word == "ID" { &*id } else { word }).collect();
        let run = |stdout: Stdio, stderr: Stdio| {
            let mut command = daemon.command(&words);
            command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).output().unwrap()
        };
        let expected = run(Stdio::piped(), Stdio::piped());
        let (code, prints) = (expected.status.code(), !expected.stdout.is_empty());
        let lost = if code == Some(0) && prints { Some(1) } else { code };
        for (what, expected, output) in [
            ("output full", lost, run(full(), Stdio::piped())),
            ("output closed", code, run(closed(), Stdio::piped())),
            ("error full", code, run(Stdio::piped(), full())),
            ("error closed", code, run(Stdio::piped(), closed())),
            ("both full", lost, run(full(), full())),
            ("both closed", code, run(closed(), closed())),
        ] {
            let is_ended = matches!(output.status.code(), Some(0..=2));
            let panicked = text(&output).contains("panicked");
            if output.status.code() != expected || !is_ended || panicked {
                wrong.push(format!("{command}, {what}: {expected:?} {output:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_backup_into_the_data_folder_is_refused() {
    let daemon = Daemon::new().source("sqreen", SECRET).log("audit-log").start();
    let inside = daemon.home().join("data/backup");
    let output = daemon.command(&["store", "backup", inside.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("is inside the store's own folder"), "{}", text(&output));
    assert!(!inside.exists() && !daemon.home().join("data/backup.partial").exists());
}

#[test]
fn a_spare_segment_that_cannot_be_written_is_logged_a_few_times() {
    let setup = Daemon::new().source("sqreen", SECRET).store("store.segment = \"1MiB\"");
    let mut daemon = setup.log("audit-log").start();
    assert!(daemon.terminate().success());
    let spare = daemon.home().join("data/log/spare.tmp");
    // The last one may have been kept.
    let _ = fs::remove_file(&spare);
    fs::create_dir(&spare).unwrap();
    daemon.start();
    // Beyond half a segment each commit asks for the next one.
    for n in 0..80 {
        assert_eq!(daemon.post(&body(&events(&format!("spare-{n}"), 10))).status, 200);
    }
    let log = daemon.log();
    let lines = log.matches("cannot write the next segment in advance").count();
    assert!((1..=5).contains(&lines), "{lines} lines");
}
