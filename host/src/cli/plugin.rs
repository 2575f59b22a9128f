//! `dispatcher plugin`: what lies in the plugin folders.

use std::path::Path;

use super::exit::Failure;
use super::{find, out};
use crate::app::{self, Listed};
use crate::config::{self, Environment};
use crate::model::printable;
use crate::plugin::{Mode, Settings};

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum PluginCommand {
    /// List the plugins that are found, and what is wrong with a file
    ///
    /// Looks beside the executable, in ../lib/dispatcher/plugins from there, and in
    /// `plugins.directory` of the configuration. Ends with 1 when a file cannot be used.
    List,
}

impl PluginCommand {
    /// Gives whether every file can be used.
    pub(super) fn run(&self, config: Option<&Path>) -> Result<bool, Failure> {
        let Self::List = self;
        let settings = settings(config)?;
        let listed = app::plugins(&settings)?;
        out::line(&render(&listed, &settings));
        Ok(listed.iter().all(|listed| listed.manifest.is_ok()))
    }
}

/// Folders matter here, not the rest: a configuration that is wrong or not there gives the defaults.
fn settings(option: Option<&Path>) -> Result<Settings, Failure> {
    let file = match find::file(option) {
        Ok(file) => file,
        Err(_) => return Ok(config::default_plugins(&std::env::current_dir()?)),
    };
    if let Ok(config) = config::load(&file, &Environment::of_process()) {
        return Ok(config.plugins);
    }
    out::error("warning: the configuration has problems (see `dispatcher check`); default folders");
    Ok(config::default_plugins(&config::folder(&file)))
}

/// A line a usable plugin, then a line a file that is not.
fn render(listed: &[Listed], settings: &Settings) -> String {
    let mut rows = vec![["NAME", "VERSION", "TAKES", "FILE"].map(str::to_owned)];
    let mut problems = Vec::new();
    for Listed { file, manifest } in listed {
        let path = printable(&file.path.display().to_string());
        match manifest {
            Ok(manifest) => {
                let takes = takes(manifest.mode).to_owned();
                rows.push([printable(&file.name), printable(&file.version), takes, path]);
            }
            Err(problem) if problem.contains(&path) => problems.push(printable(problem)),
            Err(problem) => problems.push(format!("{path}: {}", printable(problem))),
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
        lines.push(format!("no plugin found in {}", folders.join(", ")));
    }
    lines.extend(problems.iter().map(|problem| format!("not usable: {problem}")));
    lines.join("\n")
}

fn takes(mode: Mode) -> &'static str {
    match mode {
        Mode::Each => "one event",
        Mode::Together => "many as one",
        Mode::Batch => "many",
    }
}
