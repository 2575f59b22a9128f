//! Writes the files of `init`, or adds to them. Never changes what a file has.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::super::exit::Failure;
use super::plan::Plan;
use super::shown;
use crate::config::{self, ENV_FILE, Environment};

pub(super) const CONFIG_FILE: &str = "dispatcher.toml";
const CONFIG: &str = include_str!("template.toml");
const ENVIRONMENT: &str = include_str!("template.env");
const IGNORE_FILE: &str = ".gitignore";
/// Lines of a `.gitignore` that exclude dispatcher.env.
const IGNORED: [&str; 4] = [ENV_FILE, "/dispatcher.env", "*.env", "*"];

/// What was written.
pub(super) struct Written {
    /// What was done, a line for people.
    pub(super) done: String,
    /// Variables for which dispatcher.env had a line, which was kept.
    pub(super) kept: Vec<String>,
}

/// A file that was made or extended, so that this can be undone.
struct Change {
    path: PathBuf,
    /// Its length before; `None`: it did not exist.
    length: Option<u64>,
}

/// Writes all files of an empty folder, or adds the sources to those that are there.
pub(super) fn write(folder: &Path, plans: &[Plan]) -> Result<Written, Failure> {
    let exists = |name| folder.join(name).symlink_metadata().is_ok();
    let is_new = !exists(CONFIG_FILE);
    if is_new && exists(ENV_FILE) {
        return Err(in_the_way(&folder.join(ENV_FILE)));
    }
    if is_new && let Some(more) = config::configuration_files(&folder.join(CONFIG_FILE)).get(1) {
        return Err(Failure::new(format!(
            "{} is there without a {CONFIG_FILE} beside {}: make an empty {CONFIG_FILE}, then repeat this",
            shown(more),
            config::MORE_FOLDER
        )));
    }
    let config = if is_new { first(plans) } else { further(folder, plans)? };
    let mut environment = Environment::default();
    if let Some(problem) = environment.read_file(folder).iter().find(|it| it.is_error()) {
        return Err(Failure::new(format!("{}: correct this first", problem.title)));
    }
    let mut there = environment.names_from_file().to_vec();
    let (mut lines, mut kept) = (String::new(), Vec::new());
    let with_secret = || plans.iter().filter(|plan| plan.has_secret());
    for plan in with_secret() {
        let variable = plan.variable().to_owned();
        if there.contains(&variable) {
            kept.push(variable);
        } else {
            lines.push_str(&format!("\n{}", plan.line()));
            there.push(variable);
        }
    }
    let has_env = exists(ENV_FILE);
    let env = if is_new { ENVIRONMENT.replace("@SOURCES@", lines.trim()) } else { lines };
    let mut changes = Vec::new();
    let ignored = write_all(folder, &env, &config, &mut changes)
        .inspect_err(|_| changes.iter().rev().for_each(undo))?;
    let tables: Vec<String> =
        plans.iter().map(|plan| format!("[sources.{}]", plan.name())).collect();
    let variables =
        with_secret().map(Plan::variable).filter(|it| !kept.iter().any(|old| old == it));
    let mut done = Vec::new();
    if is_new {
        done.push(format!("wrote {}", shown(&folder.join(CONFIG_FILE))));
        done.push(format!("wrote {}", shown(&folder.join(ENV_FILE))));
    } else {
        done.push(format!("added {} to {}", tables.join(", "), shown(&folder.join(CONFIG_FILE))));
        let names: Vec<&str> = variables.collect();
        let verb = if has_env { "added" } else { "wrote" };
        if !names.is_empty() {
            let file = shown(&folder.join(ENV_FILE));
            done.push(format!("{verb} {} to {file}", names.join(", ")));
        }
    }
    done.extend(ignored);
    Ok(Written { done: done.join("\n"), kept })
}

/// Appends to the files, or makes them; says what was done to `.gitignore`. `changes` has what must be undone after a
/// failure.
fn write_all(
    folder: &Path,
    env: &str,
    config: &str,
    changes: &mut Vec<Change>,
) -> Result<Option<String>, Failure> {
    let ignored = ignore(folder, changes)?;
    // The secret comes before the configuration, which is useless without it.
    if !env.is_empty() {
        changes.push(add(&folder.join(ENV_FILE), env, 0o600)?);
    }
    changes.push(add(&folder.join(CONFIG_FILE), config, 0o644)?);
    Ok(ignored)
}

/// The first configuration.
fn first(plans: &[Plan]) -> String {
    let tables: Vec<String> = plans.iter().map(Plan::table).collect();
    let names: Vec<String> = plans.iter().map(|plan| format!("\"{}\"", plan.name())).collect();
    let text = CONFIG.replace("@SOURCES@", tables.join("\n").trim_end());
    text.replace("@NAMES@", &names.join(", "))
}

/// What is added to the configuration that is there.
fn further(folder: &Path, plans: &[Plan]) -> Result<String, Failure> {
    let file = folder.join(CONFIG_FILE);
    // Without the environment: a secret may be set later.
    let config = config::load(&file, &Environment::skipped()).map_err(|problems| {
        let problems = problems.to_string();
        // They name their files.
        Failure::new(format!(
            "the configuration has errors: correct them first\n{}",
            problems.trim_end()
        ))
    })?;
    let sources = &config.ingest.sources;
    for plan in plans {
        let name = plan.name();
        if sources.iter().any(|source| &*source.name == name) {
            return Err(Failure::new(format!(
                "{} has a source `{name}`, which is not overwritten; nothing was changed",
                shown(&config::file_with(&file, &["sources", name]))
            )));
        }
        let path = format!("/{name}");
        if let Some(other) = sources.iter().find(|it| it.path.trim_end_matches('/') == path) {
            let (other, file) = (&*other.name, config::file_with(&file, &["sources", &other.name]));
            return Err(Failure::new(format!(
                "source `{other}` in {} has the path {path} already: give it another one, or add \
                 [sources.{name}] with a `path` yourself; nothing was changed",
                shown(&file)
            )));
        }
        if plan.signs_address() && config.public_url.is_none() {
            return Err(Failure::new(format!(
                "{} signs the address that it sends to: set server.public_url in {}, then repeat this",
                plan.vendor.short_name(),
                shown(&config::file_with(&file, &["server"]))
            )));
        }
    }
    let old = fs::read_to_string(&file).map_err(|error| cannot("read", &file, &error))?;
    let added: Vec<(&str, String)> = plans.iter().map(|plan| (plan.name(), plan.table())).collect();
    config::addition(&old, &added).map_err(|error| {
        let tables: Vec<&str> = added.iter().map(|(_, table)| table.as_str()).collect();
        Failure::new(format!(
            "cannot add to {}: {error}; add this yourself\n\n{}",
            shown(&file),
            tables.join("\n").trim_end()
        ))
    })
}

/// Keeps dispatcher.env out of version control; says what was done.
fn ignore(folder: &Path, changes: &mut Vec<Change>) -> Result<Option<String>, Failure> {
    let path = folder.join(IGNORE_FILE);
    // Reading a pipe would wait for its writer, and a device may never end.
    if path.metadata().is_ok_and(|it| !it.is_file()) {
        return Err(Failure::new(format!(
            "{} is not a regular file; move it away, then repeat this; nothing was changed",
            shown(&path)
        )));
    }
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            changes.push(add(&path, &format!("{ENV_FILE}\n"), 0o644)?);
            return Ok(Some(format!("wrote {}, so that Git ignores {ENV_FILE}", shown(&path))));
        }
        Err(error) => return Err(cannot("read", &path, &error)),
    };
    // The last line that matches decides, and one with `!` includes the file again.
    let last = text
        .lines()
        .map(str::trim_end)
        .rfind(|line| IGNORED.contains(&line.strip_prefix('!').unwrap_or(line)));
    if last.is_some_and(|line| !line.starts_with('!')) {
        return Ok(None);
    }
    let start = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    changes.push(add(&path, &format!("{start}{ENV_FILE}\n"), 0o644)?);
    Ok(Some(format!("added {ENV_FILE} to {}", shown(&path))))
}

/// Appends to a file, or makes it. Undone if not all of it could be written.
fn add(path: &Path, text: &str, mode: u32) -> Result<Change, Failure> {
    let length = fs::metadata(path).ok().map(|metadata| metadata.len());
    let opened = match length {
        Some(_) => OpenOptions::new().append(true).open(path),
        None => OpenOptions::new().write(true).create_new(true).mode(mode).open(path),
    };
    let mut file = opened.map_err(|error| cannot("write", path, &error))?;
    let change = Change { path: path.to_owned(), length };
    match file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
        Ok(()) => Ok(change),
        Err(error) => {
            undo(&change);
            Err(cannot("write", path, &error))
        }
    }
}

fn undo(change: &Change) {
    // The error that led here is the one to report.
    let _ = match change.length {
        None => fs::remove_file(&change.path),
        Some(length) => {
            File::options().write(true).open(&change.path).and_then(|file| file.set_len(length))
        }
    };
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {what} {}: {error}", shown(path)))
}

fn in_the_way(path: &Path) -> Failure {
    Failure::new(format!(
        "{} exists and is not overwritten; move it away, or choose another folder with \
         --directory DIR",
        shown(path)
    ))
}
