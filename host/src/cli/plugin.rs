//! `dispatcher plugin`: lists the plugin files that are found, and checks one file.

mod schema;

use std::path::{Path, PathBuf};

use super::exit::Failure;
use super::{find, out};
use crate::app::{self, Listed};
use crate::config::{self, Environment};
use crate::model::printable;
use crate::plugin::{self, LoadError, Mode, Settings};

/// The command [`PluginCommand::TryFile`], by this very program even if its file was replaced.
pub(super) const TRY_FILE: &[&str] = &["/proc/self/exe", "plugin", "try-file"];

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum PluginCommand {
    /// List the plugins that are found, and files that cannot be used
    ///
    /// Searches the folder of the executable, ../lib/dispatcher/plugins from there, and
    /// `plugins.directory` of the configuration. Exits with 1 when a file cannot be used.
    List,
    /// Show the settings of a plugin file, or why it cannot be used
    ///
    /// Prints the same reason as the daemon would log. Exits with 1 when the file
    /// cannot be used.
    ///
    ///   dispatcher plugin check plugins.d/libslack.so
    #[command(verbatim_doc_comment)]
    Check {
        /// The file, in a plugin folder or anywhere else.
        file: PathBuf,
    },
    /// What a process of its own does with a file before the daemon loads it
    #[command(hide = true)]
    TryFile { file: PathBuf },
}

impl PluginCommand {
    /// Returns whether every file can be used.
    pub(super) fn run(&self, config: Option<&Path>) -> Result<bool, Failure> {
        match self {
            Self::List => {
                let settings = settings(config)?;
                let listed = app::plugins(&settings).map_err(Failure::new)?;
                out::line(&render(&listed, &settings));
                Ok(listed.iter().all(|listed| listed.manifest.is_ok()))
            }
            Self::Check { file } => {
                let settings = settings(config)?;
                let listed = app::plugin_file(file, &settings).map_err(Failure::new)?;
                out::line(&match &listed.manifest {
                    Ok(manifest) => schema::render(manifest, &listed.file.path),
                    Err(_) => problem(&listed),
                });
                Ok(listed.manifest.is_ok())
            }
            Self::TryFile { file } => {
                Ok(plugin::try_file(file, std::io::stdin(), &mut std::io::stdout().lock())?)
            }
        }
    }
}

/// Only the folders are needed: without a valid configuration the defaults are used.
fn settings(option: Option<&Path>) -> Result<Settings, Failure> {
    let file = match find::file(option) {
        Ok(file) => file,
        Err(_) => return Ok(config::default_plugins(&std::env::current_dir()?)),
    };
    if let Ok(config) = config::load(&file, &Environment::of_process()) {
        return Ok(config.plugins);
    }
    out::error(
        "warning: the configuration has problems (see `dispatcher check`); using the default folders",
    );
    Ok(config::default_plugins(&config::folder(&file)))
}

/// One line for each plugin, then one for each file that cannot be used.
fn render(listed: &[Listed], settings: &Settings) -> String {
    let mut rows = vec![["NAME", "VERSION", "TAKES", "FILE"].map(str::to_owned)];
    let mut problems = Vec::new();
    for listed in listed {
        let file = &listed.file;
        match &listed.manifest {
            Ok(manifest) => {
                let path = printable(&file.path.display().to_string());
                let takes = takes(manifest.mode).to_owned();
                rows.push([printable(&file.name), printable(&file.version), takes, path]);
            }
            Err(_) => problems.push(problem(listed)),
        }
    }
    let mut lines = Vec::new();
    if rows.len() > 1 {
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let [name, version, takes] = [0, 1, 2].map(|column| width(column).unwrap_or(0));
        lines.extend(
            rows.iter()
                .map(|[a, b, c, file]| format!("{a:<name$}  {b:<version$}  {c:<takes$}  {file}")),
        );
    } else {
        let folders: Vec<_> =
            settings.directories.iter().map(|d| d.display().to_string()).collect();
        lines.push(format!("no plugins found in {}", folders.join(", ")));
    }
    lines.extend(problems);
    lines.join("\n")
}

/// The line about a file that cannot be used; it names the file once.
fn problem(Listed { file, manifest }: &Listed) -> String {
    let path = printable(&file.path.display().to_string());
    let reason = match manifest {
        Ok(_) => String::new(),
        Err(LoadError::File { problem, .. }) => problem.to_string(),
        Err(error) => error.to_string(),
    };
    format!("not usable: {path}: {}", printable(&reason))
}

pub(super) fn takes(mode: Mode) -> &'static str {
    match mode {
        Mode::Each => "one event",
        Mode::Together => "many as one",
        Mode::Batch => "many",
    }
}

#[cfg(test)]
mod tests;
