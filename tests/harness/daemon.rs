//! One daemon: a child process of the real binary in a home of its own, killed when the test ends.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use serde_json::value::RawValue;
use tempfile::TempDir;

use super::setup::ALARMS;
use super::{Answer, Client, Installed, SECRET, Setup, plugin_file, signature, wait_for};

/// A daemon's home and, while it runs, its process. Prints the daemon's log if the test fails.
pub(crate) struct Daemon {
    home: TempDir,
    installed: Installed,
    setup: Setup,
    running: Option<Running>,
    kills: usize,
}

struct Running {
    child: Child,
    address: SocketAddr,
}

impl Daemon {
    #[expect(clippy::new_ret_no_self, reason = "a scenario begins with the setup of its daemon")]
    pub(crate) fn new() -> Setup {
        Setup::default()
    }

    #[track_caller]
    pub(super) fn start_new(setup: Setup) -> Self {
        // On the disk of the build, not in a temporary file system in memory: fsync must be real.
        let home = tempfile::Builder::new().prefix("home-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let (home, installed) = (home.unwrap(), Installed::new());
        let mut daemon = Self { home, installed, setup, running: None, kills: 0 };
        daemon.start();
        daemon
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Prepares `dispatcher ARGUMENTS` with this home's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.installed.command();
        command.args(arguments).arg("--config").arg(self.setup.write(self.home()));
        command.envs(self.setup.environment()).stdin(Stdio::null());
        command
    }

    /// Starts the daemon again and waits until it listens.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        assert!(self.running.is_none(), "the daemon already runs");
        let stdout = self.home().join("stdout.log");
        let log = File::options().create(true).append(true).open(self.home().join("daemon.log"));
        let mut command = self.setup.in_namespace(self.command(&["run"]));
        command.stdout(File::create(&stdout).unwrap()).stderr(log.unwrap());
        let logged = self.log().len();
        let mut child = command.spawn().unwrap();
        let address = wait_for("the daemon to listen", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the daemon ended with {status}\n{}", self.log());
            }
            listening(&fs::read_to_string(&stdout).unwrap())
        });
        self.running = Some(Running { child, address });
        // Lines are written by a thread of their own; this is the last one of a start.
        wait_for("the log of the start", || {
            let log = self.log();
            log.get(logged..)?.contains(r#""message":"ready""#).then_some(())
        });
    }

    /// Changes the configuration for the next start.
    pub(crate) fn configure(&mut self, change: impl FnOnce(Setup) -> Setup) {
        self.setup = change(std::mem::take(&mut self.setup));
    }

    /// Makes the running daemon read the changed configuration; returns the line of the log with the
    /// result.
    #[track_caller]
    pub(crate) fn reload(&mut self, change: impl FnOnce(Setup) -> Setup) -> Value {
        self.configure(change);
        self.setup.write(self.home());
        self.reload_what_is_there()
    }

    /// Like [`reload`](Self::reload), with the files as the test left them.
    #[track_caller]
    pub(crate) fn reload_what_is_there(&self) -> Value {
        let results = || {
            let lines = self.log();
            let whole = &lines[..lines.rfind('\n').unwrap_or(0)];
            let lines = whole.lines().filter(|line| line.contains(r#""message":"reload"#));
            lines.map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
        };
        let before = results().len();
        let running = self.running.as_ref().expect("the daemon runs");
        kill_process(Pid::from_child(&running.child), Signal::HUP).unwrap();
        wait_for("the reload", || results().get(before).cloned())
    }

    /// Puts the test plugin of that mode into the home's plugin folder; `rewrite` may change its bytes.
    pub(crate) fn add_plugin(&self, mode: &str, rewrite: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let built = plugin_file(mode);
        let bytes = fs::read(&built).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
        let folder = self.home().join("plugins.d");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("incoming"), rewrite(bytes)).unwrap();
        fs::rename(folder.join("incoming"), folder.join("plugin.so")).unwrap();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.as_ref().expect("the daemon runs").address
    }

    /// Ends it as a power cut would, except that the kernel still writes its cache to disk.
    pub(crate) fn kill_9(&mut self) {
        let mut running = self.running.take().expect("the daemon runs");
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        self.kills += 1;
    }

    /// Sends SIGTERM and waits until it has ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let running = self.running.as_ref().expect("the daemon runs");
        let pid = Pid::from_child(&running.child);
        kill_process(pid, Signal::TERM).unwrap();
        self.ended()
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let running = self.running.as_mut().expect("the daemon runs");
        let status = wait_for("the daemon to end", || running.child.try_wait().unwrap());
        self.running = None;
        status
    }

    fn proc(&self, name: &str) -> PathBuf {
        let running = self.running.as_ref().expect("the daemon runs");
        PathBuf::from(format!("/proc/{}/{name}", running.child.id()))
    }

    /// Its resident memory.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Limits the size of the files it may write; `None` removes the limit.
    pub(crate) fn limit_file_sizes(&self, bytes_max: Option<u64>) {
        let running = self.running.as_ref().expect("the daemon runs");
        let limit = Rlimit { current: bytes_max, maximum: None };
        prlimit(Some(Pid::from_child(&running.child)), Resource::Fsize, limit).unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address()).unwrap()
    }

    /// Posts a body to source `sqreen`, with a valid signature.
    #[track_caller]
    pub(crate) fn post(&self, body: &[u8]) -> Answer {
        self.post_signed(body, &signature(SECRET, body))
    }

    #[track_caller]
    pub(crate) fn post_signed(&self, body: &[u8], signature: &str) -> Answer {
        let headers = [("x-sqreen-integrity", signature.as_bytes())];
        self.client().send("POST", "/sqreen", &headers, body).unwrap()
    }

    /// How many threads the daemon has.
    pub(crate) fn threads(&self) -> usize {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let count = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
        count.trim().parse().unwrap()
    }

    /// The file that the target writes.
    pub(crate) fn log_path(&self, target: &str) -> PathBuf {
        self.home().join(format!("logs/{target}.jsonl"))
    }

    /// Makes every target that writes into `logs/closed` fail: a file is where a folder must be.
    pub(crate) fn close_folder(&self) {
        fs::create_dir_all(self.home().join("logs")).unwrap();
        fs::write(self.home().join("logs/closed"), "").unwrap();
    }

    pub(crate) fn open_folder(&self) {
        fs::remove_file(self.home().join("logs/closed")).unwrap();
    }

    /// The complete lines in the target's log, without the daemon's own events.
    #[track_caller]
    pub(crate) fn log_lines(&self, target: &str) -> Vec<Value> {
        let mut lines = self.all_lines(target);
        lines.retain(|line| line["source"] != "dispatcher");
        lines
    }

    /// The daemon's own events of a type that target `alarms` got.
    #[track_caller]
    pub(crate) fn own_events(&self, kind: &str) -> Vec<Value> {
        let mut lines = self.all_lines(ALARMS);
        lines.retain(|line| line["source"] == "dispatcher" && line["type"] == kind);
        lines
    }

    /// The complete lines in the target's log. Every line must be a JSON object, except that each
    /// `kill -9` may have cut one off, whose events are delivered again.
    #[track_caller]
    fn all_lines(&self, target: &str) -> Vec<Value> {
        let text = match fs::read_to_string(self.log_path(target)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            text => text.unwrap(),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let (mut lines, mut torn) = (Vec::new(), 0);
        for line in whole.lines() {
            match serde_json::from_str::<BTreeMap<String, &RawValue>>(line) {
                Ok(parts) => {
                    lines.push(parts.into_iter().map(|(key, part)| (key, value(part))).collect());
                }
                Err(error) => {
                    torn += 1;
                    assert!(torn <= self.kills, "{target}: {error} in line {line:?}");
                }
            }
        }
        lines
    }

    /// How often each `message_id` occurs in the target's log.
    #[track_caller]
    pub(crate) fn delivered(&self, target: &str) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for line in self.log_lines(target) {
            let id = line["data"]["message_id"].as_str().unwrap_or_default().to_owned();
            *counts.entry(id).or_default() += 1;
        }
        counts
    }

    /// Waits until the target's log has all of the ids.
    #[track_caller]
    pub(crate) fn wait_delivered(&self, target: &str, ids: &[String]) {
        wait_for(&format!("{} events in {target}", ids.len()), || {
            // Counts lines first: parsing a long log repeatedly would slow down the daemon.
            let text = fs::read(self.log_path(target)).unwrap_or_default();
            if text.iter().filter(|byte| **byte == b'\n').count() < ids.len() {
                return None;
            }
            let delivered = self.delivered(target);
            ids.iter().all(|id| delivered.contains_key(id)).then_some(())
        });
    }

    /// The daemon's log since its first start.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home().join("daemon.log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may have ended already.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the daemon\n{}", self.log());
        }
    }
}

/// A part of a JSON document. If it has a number that does not fit an `f64`, this returns its text, without
/// white space.
pub(crate) fn value(part: &RawValue) -> Value {
    serde_json::from_str(part.get()).unwrap_or_else(|_| {
        let (mut within, mut escaped) = (false, false);
        let keep = |c: &char| {
            within ^= *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            within || !c.is_ascii_whitespace()
        };
        Value::String(part.get().chars().filter(keep).collect())
    })
}

/// The address in the line that says where the daemon listens, once that line is complete.
fn listening(stdout: &str) -> Option<SocketAddr> {
    let whole = &stdout[..stdout.rfind('\n')?];
    whole.lines().find_map(|line| line.strip_prefix("listening on http://")?.parse().ok())
}
