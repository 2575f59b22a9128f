//! `home`, `[server]`, `[store]` and `[plugins]`: settings of the daemon as a whole.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::limits;
use super::reader::{Entry, Notes, Table};
use crate::model::about_bytes;
use crate::store::embedded::{self, RETENTION_SEGMENTS_MIN, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::{ingest, net, plugin};

const CONNECTIONS_MAX: u64 = 65_536;
/// Limits of every `*_timeout`.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10 * 60);
/// Limits of `in_flight_max`, in bytes.
const IN_FLIGHT_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;
/// Limits of `body_grace`.
const BODY_GRACE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(10 * 60);
/// Limits of `body_rate_min`, in bytes per second.
const BODY_RATE: RangeInclusive<u64> = 0..=1 << 30;
/// Default of `free_low`, in bytes.
const FREE_LOW_BYTES: u64 = 1 << 30;
/// Largest `free_low` and `free_min`, in bytes.
const FREE_BYTES_MAX: u64 = 1 << 60;
/// Limits of `retention.age`. A repetition is recognized for a day, for which its segment is needed.
const RETENTION_AGE: RangeInclusive<Duration> =
    Duration::from_secs(24 * 3_600)..=Duration::from_secs(100 * 365 * 24 * 3_600);
const RETENTION_BYTES_MAX: u64 = 1 << 60;
/// Longest `health`, in bytes.
const HEALTH_BYTES_MAX: usize = 512;
/// Longest `public_url`, in bytes.
const PUBLIC_URL_BYTES_MAX: usize = 512;

/// `[server]`.
pub(super) struct Server {
    pub(super) net: net::Settings,
    pub(super) public_url: Option<String>,
    pub(super) bytes_in_flight_max: usize,
    pub(super) body_time: ingest::BodyTime,
    pub(super) health: Option<String>,
}

pub(super) fn read(table: Option<Table<'_>>, notes: &Notes) -> Server {
    let default = net::Settings::default();
    let mut server = Server {
        net: default,
        public_url: None,
        bytes_in_flight_max: ingest::BYTES_IN_FLIGHT_MAX,
        body_time: ingest::BodyTime::default(),
        health: Some(ingest::HEALTH_PATH.to_owned()),
    };
    let Some(mut table) = table else { return server };
    let listen = table.entry("listen").and_then(|entry| listen(&entry, notes));
    let net = &mut server.net;
    net.listen = listen.unwrap_or(net.listen);
    for (key, value) in [
        ("header_timeout", &mut net.header_timeout),
        ("idle_timeout", &mut net.idle_timeout),
        ("drain_timeout", &mut net.drain_timeout),
        ("body_timeout", &mut server.body_time.timeout),
    ] {
        *value = table.duration(key, TIMEOUT, notes).unwrap_or(*value);
    }
    let time = &mut server.body_time;
    time.grace = table.duration("body_grace", BODY_GRACE, notes).unwrap_or(time.grace);
    time.rate_min = table.bytes("body_rate_min", BODY_RATE, notes).unwrap_or(time.rate_min);
    if let Some(max) = table.integer("connections_max", 1..=CONNECTIONS_MAX, notes) {
        net.connections_max = usize::try_from(max).unwrap_or(usize::MAX);
    }
    let proxies = limits::proxies(&mut table, notes);
    (net.trusted_proxies, net.proxy_protocol) = (proxies.trusted, proxies.protocol);
    if let Some(bytes) = table.bytes("in_flight_max", IN_FLIGHT_BYTES, notes) {
        server.bytes_in_flight_max = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(entry) = table.entry("health") {
        server.health = health(&entry, notes);
    }
    server.public_url = table.entry("public_url").and_then(|entry| public_url(&entry, notes));
    table.finish(notes, |key| match key {
        "home" => Some("`home` belongs above the first [table]".to_owned()),
        "port" | "address" | "host" => Some("write listen = \"127.0.0.1:7070\"".to_owned()),
        _ => None,
    });
    server
}

fn listen(entry: &Entry<'_>, notes: &Notes) -> Option<SocketAddr> {
    let text = entry.string(notes)?;
    let address = text.parse().ok();
    if address.is_none() {
        let title = format!("`{}` must be IP:PORT", entry.path);
        let likely = text.replace("localhost", "127.0.0.1");
        let likely = if likely.starts_with(':') { format!("0.0.0.0{likely}") } else { likely };
        let likely =
            likely.parse::<SocketAddr>().map_or("127.0.0.1:7070".to_owned(), |a| a.to_string());
        let help =
            "host names are not resolved; 0.0.0.0 is every IPv4 address, [::] is every address";
        entry.refuse(notes, &title, &format!("write \"{likely}\""), help);
    }
    address
}

/// The path that says whether requests are accepted; `None` if it is turned off.
fn health(entry: &Entry<'_>, notes: &Notes) -> Option<String> {
    let text = entry.string(notes)?;
    let is_path = text.starts_with('/')
        && text.len() <= HEALTH_BYTES_MAX
        && text.parse::<http::uri::PathAndQuery>().is_ok_and(|path| path.path() == text);
    if !is_path && !text.is_empty() {
        let title = format!("`{}` is not a valid path", entry.path);
        let help = "a load balancer asks it whether requests are accepted; \"\" turns it off";
        entry.refuse(notes, &title, "begin it with /, without ? and #", help);
    }
    is_path.then(|| text.to_owned())
}

/// The URL without a trailing slash, so that a source's path can follow.
fn public_url(entry: &Entry<'_>, notes: &Notes) -> Option<String> {
    let text = entry.string(notes)?;
    let url = text.parse::<http::Uri>().ok().filter(|url| {
        text.len() <= PUBLIC_URL_BYTES_MAX
            && matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && url.query().is_none()
            && !text.contains('#')
    });
    if url.is_none() {
        let title = format!("`{}` is not a valid URL", entry.path);
        let label = "write https://HOST or https://HOST/PATH, without ? and #";
        let help = "senders use this address; `check` prints it for each source";
        entry.refuse(notes, &title, label, help);
    }
    url.map(|_| text.trim_end_matches('/').to_owned())
}

/// `[store]`.
pub(super) struct Store {
    pub(super) queue: embedded::Settings,
    /// Zero: free space is not watched.
    pub(super) free_low_bytes: u64,
}

pub(super) fn store(table: Option<Table<'_>>, home: &Path, notes: &Notes) -> Store {
    let queue = embedded::Settings::new(home.join("data"));
    let mut store = Store { queue, free_low_bytes: FREE_LOW_BYTES };
    let Some(mut table) = table else { return store };
    let directory = table.entry("directory").and_then(|entry| path(&entry, home, notes));
    let queue = &mut store.queue;
    queue.directory = directory.unwrap_or(std::mem::take(&mut queue.directory));
    let segment = table.bytes("segment", SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX, notes);
    queue.segment_bytes = segment.unwrap_or(queue.segment_bytes);
    let free_low = table.bytes("free_low", 0..=FREE_BYTES_MAX, notes);
    store.free_low_bytes = free_low.unwrap_or(store.free_low_bytes);
    let free_min = table.entry("free_min");
    let limits = 0..=FREE_BYTES_MAX;
    queue.free_min_bytes = free_min.as_ref().and_then(|entry| entry.bytes(&limits, notes));
    if let (Some(entry), Some(min)) = (free_min, queue.free_min_bytes)
        && store.free_low_bytes > 0
        && min > store.free_low_bytes
    {
        let low = about_bytes(store.free_low_bytes);
        let label = format!("`free_low` is {low}: write at most that, or raise `free_low`");
        let help = "below `free_low` the daemon warns; below `free_min` it refuses requests";
        entry.refuse(notes, "`store.free_min` is larger than `store.free_low`", &label, help);
    }
    if let Some(retention) = table.table("retention", notes) {
        read_retention(retention, queue, notes);
    }
    table.finish(notes, |key| match key {
        "age" | "size" => Some(format!("write retention.{key}")),
        _ => None,
    });
    store
}

/// `[store.retention]`.
fn read_retention(mut table: Table<'_>, queue: &mut embedded::Settings, notes: &Notes) {
    if let Some(age) = table.duration("age", RETENTION_AGE, notes) {
        queue.retention_age_ms = u64::try_from(age.as_millis()).ok();
    }
    let bytes_min = queue.segment_bytes.saturating_mul(RETENTION_SEGMENTS_MIN);
    if let Some(entry) = table.entry("size")
        && let Some(bytes) = entry.bytes(&(0..=RETENTION_BYTES_MAX), notes)
    {
        queue.retention_bytes = Some(bytes);
        if bytes < bytes_min {
            let segment = about_bytes(queue.segment_bytes);
            let label = format!("write at least {}", about_bytes(bytes_min));
            let help = format!(
                "the log needs {RETENTION_SEGMENTS_MIN} segments of {segment}; a smaller `store.segment` lowers this limit"
            );
            let title = "`store.retention.size` is too small";
            entry.refuse(notes, title, &label, &help);
        }
    }
    table.finish(notes, |_| None);
}

/// The plugin folders of a home folder without a configuration.
#[must_use]
pub fn default_plugins(home: &Path) -> plugin::Settings {
    plugins(None, home, &Notes::default())
}

/// `[plugins]`. Plugins that come with the daemon are beside its executable or in the folder of its package;
/// those added later are in `directory`.
pub(super) fn plugins(table: Option<Table<'_>>, home: &Path, notes: &Notes) -> plugin::Settings {
    let (mut own, mut strict) = (home.join("plugins.d"), false);
    if let Some(mut table) = table {
        let directory = table.entry("directory").and_then(|entry| path(&entry, home, notes));
        own = directory.unwrap_or(own);
        strict = table.boolean("strict", strict, notes);
        table.finish(notes, |_| None);
    }
    let executable = std::env::current_exe().ok();
    let beside = executable.as_deref().and_then(Path::parent);
    let packaged =
        beside.and_then(Path::parent).map(|prefix| prefix.join("lib/dispatcher/plugins"));
    let directories = beside.map(Path::to_owned).into_iter().chain(packaged).chain([own]).collect();
    plugin::Settings { directories, cache: home.join("plugin-cache"), strict }
}

/// `home`: an existing folder. A relative path starts from the folder of the configuration.
pub(super) fn home(entry: &Entry<'_>, folder: &Path, notes: &Notes) -> Option<PathBuf> {
    // Drops the dot of "./x", which would look odd in messages.
    let home: PathBuf = path(entry, folder, notes)?.components().collect();
    if home.is_dir() {
        return Some(home);
    }
    let label = if home.exists() { "not a folder" } else { "this folder does not exist" };
    let help = format!("relative paths start from `home`; create it: mkdir -p {}", home.display());
    entry.refuse(notes, "`home` cannot be used", label, &help);
    None
}

/// A path. A relative one starts from `home`.
pub(super) fn path(entry: &Entry<'_>, home: &Path, notes: &Notes) -> Option<PathBuf> {
    let text = entry.string(notes)?;
    if text.is_empty() || text.contains('\0') {
        let title = format!("`{}` is not a valid path", entry.path);
        let label = "must not be empty or contain a NUL character";
        entry.refuse(notes, &title, label, "relative paths start from `home`");
        return None;
    }
    if text.starts_with('~') {
        let title = format!("`~` is not expanded in `{}`", entry.path);
        entry.refuse(notes, &title, "write the full path", "relative paths start from `home`");
        return None;
    }
    Some(home.join(text))
}
