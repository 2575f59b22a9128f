//! From a file to a [`Config`], or to every problem in it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use toml::de::DeTable;

use super::document::Document;
use super::environment::Environment;
use super::files::{Text, Unreadable};
use super::problem::{Place, Problem, Problems};
use super::reader::{Notes, Table};
use super::reference::Resolver;
use super::{Config, limits, masks, schemes, senders, server, sources, targets};
use crate::model::OWN_SOURCE;
use crate::verify::Scheme;
use crate::{egress, ingest, plugin};

/// A body takes at most this part of a segment.
const BODY_SHARE_OF_SEGMENT: u64 = 4;

/// Reads a configuration, with `conf.d/*.toml` and `dispatcher.env` beside it.
///
/// # Errors
/// Every problem, warnings included, as soon as one of them is an error.
pub fn load(file: &Path, environment: &Environment) -> Result<Config, Problems> {
    load_with(file, environment, |_| Vec::new())
}

/// As [`load`], and asks `further` for what only others know, such as plugins, so that a person sees
/// everything at once. It is asked of a file with errors too, where the wrong values read as defaults
/// and what is unusable is left out, but not of one that is no TOML.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    file: &Path,
    environment: &Environment,
    further: impl FnOnce(&Config) -> Vec<Problem>,
) -> Result<Config, Problems> {
    load_from(file, environment, None, further)
}

/// As [`load_with`], for a daemon that runs: relative paths still start at its own `home`, because
/// what is open cannot move there. [`Config::home_in_file`] says what a start would take.
///
/// # Errors
/// As [`load`].
pub fn load_again(
    file: &Path,
    environment: &Environment,
    home: &Path,
    further: impl FnOnce(&Config) -> Vec<Problem>,
) -> Result<Config, Problems> {
    load_from(file, environment, Some(home), further)
}

fn load_from(
    file: &Path,
    environment: &Environment,
    home: Option<&Path>,
    further: impl FnOnce(&Config) -> Vec<Problem>,
) -> Result<Config, Problems> {
    let text = Text::read(file).map_err(|Unreadable { file, reason }| {
        let title = format!("cannot read {}: {reason}", file.display());
        let document = Document::without_text(&file);
        Problems::new(Arc::new(document), vec![Problem::error(title)])
    })?;
    let folder = folder(file);
    let mut environment = environment.clone();
    let notes = Notes::default();
    for problem in environment.read_file(&folder) {
        notes.add(problem);
    }
    let (tables, syntax) = text.parse();
    let table = text.merge(tables, &notes);
    let mut masks = Vec::new();
    masks::of_table(&table, &mut masks);
    let contents = read(&table, &folder, home, &environment, &notes);
    notes.add_skipped();
    let (mut problems, literal) = notes.into_parts();
    masks.extend(literal);
    if !syntax.is_empty() {
        problems = with_syntax(&text.text, &syntax, problems, &mut masks);
    }
    let is_toml = syntax.is_empty();
    drop((table, syntax));
    let config = contents.into_config(file, text, masks);
    if is_toml {
        problems.extend(further(&config));
    }
    if problems.iter().any(Problem::is_error) {
        return Err(Problems::new(config.document, problems));
    }
    Ok(Config { warnings: problems, ..config })
}

/// The folder of a file, absolute.
#[must_use]
pub fn folder(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // Fails only where there is no current folder; the path as it is serves then.
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// What stands in the file, as far as it could be read.
struct Contents {
    home: PathBuf,
    home_in_file: PathBuf,
    server: server::Server,
    store: server::Store,
    plugins: plugin::Settings,
    schemes: Vec<Arc<Scheme>>,
    sources: Vec<sources::Source>,
    targets: Vec<super::TargetConfig>,
}

impl Contents {
    fn into_config(self, file: &Path, text: Text, masks: Vec<Range<usize>>) -> Config {
        let (sources, signing) = self.sources.into_iter().unzip();
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
                body_timeout: self.server.body_timeout,
                config: hash,
            },
            store: self.store.queue,
            free_low_bytes: self.store.free_low_bytes,
            plugins: self.plugins,
            egress: egress::Settings::default(),
            targets: self.targets,
            warnings: Vec::new(),
            signing,
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
    let resolver = Resolver { environment, home: &home };
    let server = server::read(root.table("server", notes), notes);
    let source_table = root.table("sources", notes);
    let names: Vec<&str> = source_table.iter().flat_map(Table::all).map(|(name, _)| name).collect();
    let store = server::store(root.table("store", notes), &home, notes);
    let plugins = server::plugins(root.table("plugins", notes), &home, notes);
    let body_bytes_max = store.queue.segment_bytes / BODY_SHARE_OF_SEGMENT;
    let schemes = root.table("schemes", notes).map(|table| schemes::read(&table, notes));
    let senders = root.table("senders", notes).map(|table| senders::read(&table, notes));
    let schemes = schemes.unwrap_or_default();
    let around = sources::Around {
        body_bytes_limit: body_bytes_max,
        public_url: server.public_url.as_deref(),
        schemes: &schemes,
        senders: &senders.unwrap_or_default(),
        resolver: &resolver,
        only_this_machine: limits::only_this_machine(&server.net),
    };
    let sources = source_table.map(|table| sources::read(&table, &around, notes));
    // Its own events can be routed by name.
    let known: Vec<&str> = names.iter().copied().chain([OWN_SOURCE]).collect();
    let target_table = root.table("targets", notes);
    let targets = target_table.map(|table| targets::read(&table, &known, &resolver, notes));
    root.finish(notes, |key| match key {
        "listen" | "public_url" => Some(format!("it belongs to [server]: write server.{key}")),
        "source" | "target" | "scheme" | "sender" => Some(format!("write [{key}s.NAME]")),
        _ => None,
    });
    let (sources, targets) = (sources.unwrap_or_default(), targets.unwrap_or_default());
    if names.is_empty() {
        let help = "the smallest is: [sources.sqreen] and below it secrets = \"env:SQREEN_SECRET\"";
        notes.add(
            Problem::warning("no source is configured: nothing can come in").help(help).absence(),
        );
    }
    if targets.is_empty() {
        let help = "events are kept, and routed nowhere; add a [targets.NAME]";
        notes.add(
            Problem::warning("no target is configured: nothing goes out").help(help).absence(),
        );
    }
    Contents { home, home_in_file, server, store, plugins, schemes, sources, targets }
}

/// Adds what is no TOML. What was found in the rest is kept where it can be trusted: not on a line that
/// could not be read, and not what seems to be missing, because it may stand on such a line.
fn with_syntax(
    text: &str,
    syntax: &[(Range<usize>, toml::de::Error)],
    found: Vec<Problem>,
    masks: &mut Vec<Range<usize>>,
) -> Vec<Problem> {
    // Every line may be broken: none of what follows looks at the whole text for one of them.
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line = |at: usize| ends.partition_point(|end| *end < at);
    let above = masks::keys_above(text);
    let mut lines = std::collections::HashSet::new();
    let mut problems = Vec::new();
    for (span, error) in syntax {
        // A line's first error explains it; those behind it mostly follow from it.
        let number = line(span.start);
        if !lines.insert(number) {
            continue;
        }
        let above = above.get(number).copied().unwrap_or_default();
        masks.extend(masks::of_broken_line(text, span, above));
        problems.push(Problem::error("this is no TOML").at(span.clone(), error.message()));
    }
    problems.extend(found.into_iter().filter(|problem| match &problem.place {
        Place::Span(span) => !problem.absence && !lines.contains(&line(span.start)),
        Place::Nowhere => !problem.absence,
        Place::Line(..) => true,
    }));
    problems
}

fn hash(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}
