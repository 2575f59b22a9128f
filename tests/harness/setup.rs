//! Describes what a daemon is started with: its configuration, its secrets, its plugins.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Daemon, plugin_file};

/// The secret of a source, unless the test sets another.
pub(crate) const SECRET: &str = "a secret for tests, long enough";

/// The target of the daemon's own events, for tests that wait for one.
pub(super) const ALARMS: &str = "alarms";

/// A source that signs as Sqreen does.
#[derive(Clone, Debug)]
struct Source {
    name: String,
    /// Lines of its table.
    lines: String,
    /// The variable that the lines name, and its value.
    secret: Option<(String, String)>,
}

/// One target.
#[derive(Clone, Debug)]
struct Target {
    name: String,
    plugin: String,
    /// Lines of its table.
    lines: String,
}

/// Builds a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// Lines above the first table.
    head: String,
    /// `store.free_low`; 0B by default, so that no test depends on the free space of its machine.
    free_low: Option<&'static str>,
    /// Lines of `[store]`; `free_min` is 0B unless they set it.
    store: String,
    /// Lines of `[server]` besides `listen`.
    server: String,
    sources: Vec<Source>,
    targets: Vec<Target>,
    /// Further lines of `dispatcher.env`.
    variables: String,
    /// The modes of the test plugins to install.
    plugins: Vec<&'static str>,
    /// A library to preload.
    preload: Option<PathBuf>,
    /// A file in place of `/etc/resolv.conf`.
    resolver: Option<PathBuf>,
}

impl Setup {
    pub(crate) fn source(self, name: &str, secret: &str) -> Self {
        self.source_with(name, secret, "")
    }

    /// Adds further lines to its table.
    pub(crate) fn source_with(mut self, name: &str, secret: &str, lines: &str) -> Self {
        let variable = format!("{}_SECRET", name.to_ascii_uppercase().replace('-', "_"));
        let lines = format!("secrets = \"env:{variable}\"\n{lines}");
        self = self.source_table(name, &lines);
        let source = self.sources.last_mut().expect("it was just added");
        source.secret = Some((variable, secret.into()));
        self
    }

    /// Uses only these lines, which include the secrets.
    pub(crate) fn source_table(mut self, name: &str, lines: &str) -> Self {
        self.sources.retain(|source| source.name != name);
        self.sources.push(Source { name: name.into(), lines: lines.into(), secret: None });
        self
    }

    /// Adds a target that writes `logs/NAME.jsonl`.
    pub(crate) fn log(self, name: &str) -> Self {
        self.log_with(name, "")
    }

    /// Adds further lines to its table.
    pub(crate) fn log_with(self, name: &str, lines: &str) -> Self {
        self.target(name, &format!("settings.path = \"logs/{name}.jsonl\"\n{lines}"))
    }

    /// Adds a target that gets the daemon's own events; see [`Daemon::own_events`].
    pub(crate) fn alarms(self) -> Self {
        self.log_with(ALARMS, "route.sources = \"dispatcher\"")
    }

    /// Adds a target of plugin `file-log` with these lines in its table.
    pub(crate) fn target(self, name: &str, lines: &str) -> Self {
        self.target_of(name, "file-log", lines)
    }

    /// Adds a target of any plugin.
    pub(crate) fn target_of(mut self, name: &str, plugin: &str, lines: &str) -> Self {
        self.targets.retain(|target| target.name != name);
        self.targets.push(Target { name: name.into(), plugin: plugin.into(), lines: lines.into() });
        self
    }

    pub(crate) fn without_target(mut self, name: &str) -> Self {
        self.targets.retain(|target| target.name != name);
        self
    }

    /// Sets a variable in `dispatcher.env`.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        let _ = writeln!(self.variables, "{name}={value}");
        self
    }

    /// Lines above the first table.
    pub(crate) fn head(mut self, lines: &str) -> Self {
        self.head = lines.into();
        self
    }

    pub(crate) fn free_low(mut self, size: &'static str) -> Self {
        self.free_low = Some(size);
        self
    }

    /// Lines for `[store]`, each with its key from the top: `store.segment = "1MiB"`.
    pub(crate) fn store(mut self, lines: &str) -> Self {
        self.store = lines.into();
        self
    }

    /// Installs the plugin `test-MODE` in the home.
    pub(crate) fn plugin(mut self, mode: &'static str) -> Self {
        self.plugins.push(mode);
        self
    }

    pub(crate) fn preload(mut self, library: PathBuf) -> Self {
        self.preload = Some(library);
        self
    }

    /// The daemon sees this file in place of `/etc/resolv.conf`. Only for root.
    pub(crate) fn resolver(mut self, file: PathBuf) -> Self {
        self.resolver = Some(file);
        self
    }

    /// The command, in a mount namespace of its own if that is needed.
    pub(super) fn in_namespace(&self, command: Command) -> Command {
        const SCRIPT: &str = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        let Some(file) = &self.resolver else { return command };
        let mut outer = Command::new("/usr/bin/unshare");
        outer.args(["--mount", "/bin/sh", "-c", SCRIPT]).arg(file);
        outer.arg(command.get_program()).args(command.get_args());
        outer.stdin(Stdio::null());
        outer
    }

    /// The environment variable of the daemon and its commands.
    pub(super) fn environment(&self) -> Option<(&'static str, &Path)> {
        self.preload.as_deref().map(|library| ("LD_PRELOAD", library))
    }

    pub(crate) fn server(mut self, lines: &str) -> Self {
        self.server = lines.into();
        self
    }

    /// Starts the daemon in a new home and waits until it listens.
    #[track_caller]
    pub(crate) fn start(self) -> Daemon {
        Daemon::start_new(self)
    }

    /// Writes the configuration and its secrets; returns the path of the configuration.
    pub(crate) fn write(&self, home: &Path) -> PathBuf {
        let (head, server) = (&self.head, &self.server);
        let free_low = self.free_low.unwrap_or("0B");
        let mut head = format!("{head}\nstore.free_low = \"{free_low}\"\n{}\n", self.store);
        if !self.store.contains("free_min") {
            head.push_str("store.free_min = \"0B\"\n");
        }
        let mut config = format!("{head}[server]\nlisten = \"127.0.0.1:0\"\n{server}\n");
        // For targets that need one.
        let mut secrets = format!("TWILIO_TOKEN=\"t0ken-of-tests\"\n{}", self.variables);
        for Source { name, lines, secret } in &self.sources {
            let own = lines.contains("scheme = ");
            let scheme = if own { "" } else { "scheme = \"sqreen\"\n" };
            let _ = writeln!(config, "[sources.{name}]\n{scheme}{lines}\n");
            if let Some((variable, secret)) = secret {
                let _ = writeln!(secrets, "{variable}=\"{secret}\"");
            }
        }
        for Target { name, plugin, lines } in &self.targets {
            let _ = writeln!(config, "[targets.{name}]\nplugin = \"{plugin}\"\n{lines}\n");
        }
        for mode in &self.plugins {
            let folder = home.join("plugins.d");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::copy(plugin_file(mode), folder.join(format!("{mode}.so"))).unwrap();
        }
        std::fs::write(home.join("dispatcher.env"), secrets).unwrap();
        private(&home.join("dispatcher.env"));
        let path = home.join("dispatcher.toml");
        std::fs::write(&path, config).unwrap();
        path
    }
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
