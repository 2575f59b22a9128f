//! Turns configuration files into a [`Config`], or into the list of every problem in them.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use toml::de::{DeTable, DeValue};

use super::configuration::Config;
use super::document::Document;
use super::environment::Environment;
use super::files::{InvalidToml, Text};
use super::names::near;
use super::problem::{Place, Problem, Stops};
use super::problems::Problems;
use super::reader::{Notes, Table};
use super::reference::Resolver;
use super::target::TargetConfig;
use super::{limits, masks, route, schemes, senders, server, sources, targets, vendors};
use crate::model::OWN_SOURCE;
use crate::verify::Scheme;
use crate::{egress, ingest, plugin};

/// The keys above the first table, and the tables.
const KEYS: [&str; 8] =
    ["home", "plugins", "schemes", "senders", "server", "sources", "store", "targets"];

/// Reads a configuration, with `conf.d/*.toml` and `dispatcher.env` beside it.
///
/// # Errors
/// All problems, including warnings, if at least one of them is an error.
pub fn load(file: &Path, environment: &Environment) -> Result<Config, Problems> {
    load_with(file, environment, |_| Vec::new())
}

/// Like [`load`], and adds the problems that `further` finds with knowledge from elsewhere, such as from
/// plugins, so that one run shows everything. `further` also sees a configuration with errors, in which
/// wrong values are replaced by defaults and unusable entries are missing. It is not called if a file is
/// not valid TOML.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    file: &Path,
    environment: &Environment,
    further: impl FnOnce(&Config) -> Vec<Problem>,
) -> Result<Config, Problems> {
    load_from(file, environment, (None, Wanted::Whole), further)
}

/// Like [`load_with`], for a running daemon: relative paths still start from its `home`, because open files
/// cannot move. [`Config::home_in_file`] has the folder that the next start will use.
///
/// # Errors
/// As [`load`].
pub fn load_again(
    file: &Path,
    environment: &Environment,
    home: &Path,
    further: impl FnOnce(&Config) -> Vec<Problem>,
) -> Result<Config, Problems> {
    load_from(file, environment, (Some(home), Wanted::Whole), further)
}

/// Like [`load_with`], for the start of the daemon: sources that cannot work are left [unusable] if another one works.
/// Why is among [`Config::warnings`].
///
/// # Errors
/// As [`load`].
///
/// [unusable]: crate::ingest::SourceSettings::unusable
pub fn load_to_start(
    file: &Path,
    environment: &Environment,
    further: impl FnOnce(&Config) -> Vec<Problem>,
) -> Result<Config, Problems> {
    load_from(file, environment, (None, Wanted::WhatStarts), further)
}

/// What a configuration must have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whole,
    WhatStarts,
}

fn load_from(
    file: &Path,
    environment: &Environment,
    (home, wanted): (Option<&Path>, Wanted),
    further: impl FnOnce(&Config) -> Vec<Problem>,
) -> Result<Config, Problems> {
    let text = Text::read(file).map_err(|unreadable| {
        let document = Document::without_text(&unreadable.file);
        Problems::new(Arc::new(document), vec![Problem::error(unreadable.to_string())])
    })?;
    let folder = folder(file);
    let mut environment = environment.clone();
    let notes = Notes::default();
    for problem in environment.read_file(&folder) {
        notes.add(problem);
    }
    let parsed = text.parse();
    let table = text.merge(parsed.tables, &notes);
    let invalid = parsed.invalid;
    let mut masks = Vec::new();
    masks::of_table(&table, &mut masks);
    masks::of_addresses(&text.text, &mut masks);
    let contents = read(&table, &folder, home, &environment, &notes);
    notes.add_skipped();
    let (mut problems, literal) = notes.into_parts();
    masks.extend(literal);
    if !invalid.is_empty() {
        problems = with_invalid_toml(&text.text, &invalid, problems, &mut masks);
    }
    let is_toml = invalid.is_empty();
    drop((table, invalid));
    let config = contents.into_config(file, text, masks);
    if is_toml {
        problems.extend(further(&config));
    }
    if config.ingest.sources.iter().all(|source| source.unusable.is_some()) {
        problems = problems.into_iter().map(Problem::of_all_sources).collect();
    }
    let stops = |problem: &Problem| match wanted {
        Wanted::Whole => problem.is_error(),
        Wanted::WhatStarts => problem.is_error() && problem.stops != Stops::Source,
    };
    if problems.iter().any(stops) {
        return Err(Problems::new(config.document, problems));
    }
    Ok(Config { warnings: problems, ..config })
}

/// The absolute path of a file's folder.
#[must_use]
pub fn folder(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // Fails only if there is no current folder. The path itself is the best answer then.
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// The contents of the files, as far as they could be read.
struct Contents {
    home: PathBuf,
    home_in_file: PathBuf,
    server: server::Server,
    store: server::Store,
    plugins: plugin::Settings,
    schemes: Vec<Arc<Scheme>>,
    sources: Vec<sources::Source>,
    targets: Vec<TargetConfig>,
    secret_files: Vec<PathBuf>,
}

impl Contents {
    fn into_config(self, file: &Path, text: Text, masks: Vec<Range<usize>>) -> Config {
        let mut store = self.store.queue;
        let windows = self.sources.iter().filter_map(|source| source.settings.repeat.window());
        store.repeat_window = windows.max().unwrap_or(store.repeat_window);
        let sources = self.sources.into_iter();
        let (sources, signing_secrets) =
            sources.map(|source| (source.settings, source.signing_secret)).unzip();
        let hash = hash(&text.text);
        Config {
            file: file.to_owned(),
            home: self.home,
            home_in_file: self.home_in_file,
            hash,
            public_url: self.server.public_url,
            schemes: self.schemes,
            server: self.server.net,
            ingest: ingest::Settings {
                sources,
                bytes_in_flight_max: self.server.bytes_in_flight_max,
                health: self.server.health,
                body_time: self.server.body_time,
                config: hash,
            },
            store,
            free_low_bytes: self.store.free_low_bytes,
            plugins: self.plugins,
            egress: egress::Settings::default(),
            targets: self.targets,
            warnings: Vec::new(),
            signing_secrets,
            secret_files: self.secret_files,
            document: Arc::new(Document::new(text.files, text.text, masks)),
        }
    }
}

fn read(
    root: &DeTable<'_>,
    folder: &Path,
    running_home: Option<&Path>,
    environment: &Environment,
    notes: &Notes,
) -> Contents {
    let mut root = Table::new(String::new(), 0..0, root);
    let home = root.entry("home").and_then(|entry| server::home(&entry, folder, notes));
    let home_in_file = home.unwrap_or_else(|| folder.to_owned());
    let home = running_home.unwrap_or(&home_in_file).to_owned();
    let resolver = Resolver::new(environment, &home);
    let server = server::read(meant(&mut root, "server", notes).pop(), notes);
    let source_tables = meant(&mut root, "sources", notes);
    let names: Vec<&str> =
        source_tables.iter().flat_map(Table::all).map(|(name, _)| name).collect();
    let store = server::store(meant(&mut root, "store", notes).pop(), &home, notes);
    let plugins = server::plugins(meant(&mut root, "plugins", notes).pop(), &home, notes);
    let body_bytes_max = store.queue.segment_bytes / limits::BODY_SHARE_OF_SEGMENT;
    let is_scheme = |name: &str| vendors::scheme(name).is_some();
    let is_sender = |name: &str| vendors::sender(name).is_some();
    let schemes = meant(&mut root, "schemes", notes);
    let placed: Vec<_> =
        schemes.iter().flat_map(|table| schemes::read(table, is_scheme, notes)).collect();
    let schemes: Vec<_> = placed.iter().map(|(scheme, _)| Arc::clone(scheme)).collect();
    let senders = meant(&mut root, "senders", notes);
    let senders: Vec<_> =
        senders.iter().flat_map(|table| senders::read(table, is_sender, notes)).collect();
    let context = sources::Context {
        body_bytes_limits: (body_bytes_max, server.bytes_in_flight_max as u64),
        public_url: server.public_url.as_deref(),
        schemes: &schemes,
        senders: &senders,
        resolver: &resolver,
        only_this_machine: limits::only_this_machine(&server.net),
        kept_for: store.queue.retention_age_ms.map(Duration::from_millis),
    };
    let sources: Vec<_> =
        source_tables.iter().flat_map(|table| sources::read(table, &context, notes)).collect();
    let used = sources.iter().map(|source| &**source.settings.verifier.scheme());
    schemes::warn_of_content(&placed, used, notes);
    // A route can name the daemon's own events.
    let fixed = |source: &'_ sources::Source| source.settings.sender.fixed();
    let routable = route::Routable {
        names: names.iter().copied().chain([OWN_SOURCE]).collect(),
        fixed: sources.iter().map(|source| (&*source.settings.name, fixed(source))).collect(),
    };
    let target_tables = meant(&mut root, "targets", notes);
    let targets = target_tables.iter();
    let targets: Vec<_> =
        targets.flat_map(|table| targets::read(table, &routable, &resolver, notes)).collect();
    root.finish(notes, |key| match key {
        "listen" | "public_url" => Some(format!("`{key}` belongs to [server]: write server.{key}")),
        "source" | "target" | "scheme" | "sender" => Some(format!("write [{key}s.NAME]")),
        _ => None,
    });
    if names.is_empty() {
        let title = "no source is configured: no event can be received";
        let help =
            "add, for example, [sources.sqreen] and below it secrets = \"env:SQREEN_SECRET\"";
        notes.add(Problem::warning(title).help(help).absence("sources"));
    }
    if targets.is_empty() {
        let title = "no target is configured: events are stored, but not delivered";
        notes.add(Problem::warning(title).help("add a [targets.NAME]").absence("targets"));
    }
    let secret_files = resolver.into_files();
    Contents { home, home_in_file, server, store, plugins, schemes, sources, targets, secret_files }
}

/// The tables that mean this key: those with a similar, unknown name, and last the one with its name. The unknown
/// name is a problem by itself; what the table defines is known all the same, so that no other error follows.
fn meant<'t>(root: &mut Table<'t>, key: &'static str, notes: &Notes) -> Vec<Table<'t>> {
    let misnamed = |name: &str| !KEYS.contains(&name) && near(name, KEYS) == Some(key);
    let mut tables: Vec<_> = root
        .all()
        .into_iter()
        .filter(|(name, entry)| misnamed(name) && matches!(entry.value, DeValue::Table(_)))
        .filter_map(|(_, entry)| entry.table(notes))
        .collect();
    tables.extend(root.table(key, notes));
    tables
}

/// Adds a problem for each line that is not valid TOML. Of the other problems, those on such a line are
/// dropped, and those about something missing, because it may be on such a line.
fn with_invalid_toml(
    text: &str,
    invalid: &[InvalidToml],
    found: Vec<Problem>,
    masks: &mut Vec<Range<usize>>,
) -> Vec<Problem> {
    // Every line may be invalid, so nothing below scans the whole text for each of them.
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line = |at: usize| ends.partition_point(|end| *end < at);
    let above = masks::keys_above(text);
    let mut lines = std::collections::HashSet::new();
    let mut problems = Vec::new();
    for InvalidToml { span, error } in invalid {
        // The first error of a line explains it; the others mostly follow from it.
        let number = line(span.start);
        if !lines.insert(number) {
            continue;
        }
        let above = above.get(number).copied().unwrap_or_default();
        masks.extend(masks::of_invalid_line(text, span, above));
        problems.push(Problem::error("not valid TOML").at(span.clone(), error.message()));
    }
    problems.extend(found.into_iter().filter(|problem| match &problem.place {
        Place::Span(span) => problem.absence.is_none() && !lines.contains(&line(span.start)),
        Place::Nowhere => problem.absence.is_none(),
        Place::Line(..) => true,
    }));
    problems
}

fn hash(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}
