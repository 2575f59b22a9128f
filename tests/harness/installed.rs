//! The program as it is released: the executable with the plugins beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const PLUGINS: [&str; 3] =
    ["libdispatcher_file_log.so", "libdispatcher_http.so", "libdispatcher_twilio_sms.so"];

/// The file of the test plugin of a mode.
pub(crate) fn plugin_file(mode: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_dispatcher")).with_file_name("deps");
    folder.join(format!("libdispatcher_test_{mode}.so"))
}

/// A folder with the executable and the plugins. Tests do not run from the target folder, where they could find
/// plugins of an older build.
pub(crate) struct Installed(TempDir);

impl Installed {
    pub(crate) fn new() -> Self {
        let folder =
            tempfile::Builder::new().prefix("bin-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.unwrap();
        let executable = Path::new(env!("CARGO_BIN_EXE_dispatcher"));
        let plugins = executable.with_file_name("deps");
        let plugins = PLUGINS.map(|name| (plugins.join(name), name));
        for (from, name) in [(executable.to_owned(), "dispatcher")].into_iter().chain(plugins) {
            let to = folder.path().join(name);
            fs::hard_link(&from, &to)
                .or_else(|_| fs::copy(&from, &to).map(drop))
                .unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
        Self(folder)
    }

    /// The program alone, as someone copied it.
    pub(crate) fn without_plugins() -> Self {
        let installed = Self::new();
        for plugin in PLUGINS {
            fs::remove_file(installed.0.path().join(plugin)).unwrap();
        }
        installed
    }

    /// The program, with an empty environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.0.path().join("dispatcher"));
        command.env_clear();
        command
    }
}
