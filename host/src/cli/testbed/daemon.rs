//! A daemon with a configuration of its own, in a folder of its own.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::child::{Launched, Server};
use crate::admin::wire::Status;
use crate::cli::ask;
use crate::config::{self, Environment};

/// The file with the secret. Not dispatcher.env, because the user's own environment takes precedence over
/// that.
const SECRET_FILE: &str = "secret";

/// The folder of a daemon: its configuration, its secret and its log.
#[derive(Clone, Debug)]
pub struct DaemonFolder {
    path: PathBuf,
}

impl DaemonFolder {
    /// Writes the configuration, and the secret that it names as `file:secret`. Makes the folder if it is missing.
    ///
    /// # Errors
    /// A file cannot be written, or there is a secret already.
    pub fn new(path: &Path, config: &str, secret: &str) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let folder = Self { path: path.to_owned() };
        folder.configure(config)?;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path.join(SECRET_FILE))?;
        file.write_all(secret.as_bytes())?;
        Ok(folder)
    }

    /// Fails at once where the daemon would start without all of its targets, such as without a plugin's file.
    pub(in crate::cli) fn check(&self) -> io::Result<()> {
        let environment = Environment::of_process();
        let found = config::load_with(&self.config(), &environment, crate::app::check);
        found.map(|_| ()).map_err(|problems| {
            let errors = problems.list().iter().filter(|problem| problem.is_error());
            let titles: Vec<_> = errors.map(|problem| problem.title.as_str()).collect();
            io::Error::other(titles.join("\n"))
        })
    }

    /// Replaces the configuration.
    pub(in crate::cli) fn configure(&self, config: &str) -> io::Result<()> {
        std::fs::write(self.config(), config)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::cli) fn config(&self) -> PathBuf {
        self.path.join("dispatcher.toml")
    }

    /// What the daemon logs.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join("log.txt")
    }

    /// The arguments of `dispatcher` that run this daemon.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let config = self.config().to_string_lossy().into_owned();
        ["run", "--end-with-input", "--config", &config].map(str::to_owned).into()
    }

    /// Starts the daemon with this program, and does not wait.
    pub(in crate::cli) fn launch(&self) -> io::Result<Launched> {
        Launched::new(&std::env::current_exe()?, &self.arguments(), &self.log())
    }

    /// Starts the daemon with this program, and waits until it listens.
    pub(in crate::cli) fn start(&self) -> io::Result<Server> {
        Server::start(&std::env::current_exe()?, &self.arguments(), &self.log())
    }

    /// What the running daemon reports of itself. Blocks: not for a task of a runtime.
    ///
    /// # Errors
    /// No daemon answers.
    pub fn status(&self) -> io::Result<Status> {
        let daemon = ask::Daemon::find(Some(&self.config()))
            .map_err(|failure| io::Error::other(failure.text))?;
        daemon.get("/status").map_err(|failure| io::Error::other(failure.text))
    }
}
