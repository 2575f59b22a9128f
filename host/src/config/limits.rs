//! Limits of sources, address ranges and rates: who may send, how much, how often, and which proxies are trusted.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::problem::Problem;
use super::reader::{Entry, Notes, Table};
use super::units::show_bytes;
use crate::ingest::{self, RATES_MAX, Rate};
use crate::model::Cidr;
use crate::{net, normalize};

/// Limits of the number in a rate.
const RATE_COUNTS: RangeInclusive<u64> = 1..=1_000_000;
/// A body takes at most this fraction of a segment: one in four.
pub(super) const BODY_SHARE_OF_SEGMENT: u64 = 4;
/// Smallest `body_max`, in bytes: a lower limit would reject ordinary events.
const BODY_BYTES_MIN: u64 = 1024;
/// Largest `body_max`, in bytes.
const BODY_BYTES_LIMIT: u64 = 64 << 20;

/// Reads one address range or a list of them.
pub(super) fn ranges(entry: &Entry<'_>, notes: &Notes) -> Vec<Cidr> {
    let read = |entry: &Entry<'_>| {
        let range = entry.string(notes)?.parse::<Cidr>();
        let title = format!("`{}` is not a valid address range", entry.path);
        range.map_err(|error| entry.refuse(notes, &title, &error.to_string(), "")).ok()
    };
    entry.one_or_more(notes).iter().filter_map(read).collect()
}

/// Whether the range contains a loopback address.
fn is_local(range: Cidr) -> bool {
    range.contains(Ipv4Addr::LOCALHOST.into()) || range.contains(Ipv6Addr::LOCALHOST.into())
}

/// Whether every connection comes from this machine and no trusted proxy on it names the real client.
pub(super) fn only_this_machine(server: &net::Settings) -> bool {
    server.listen.ip().is_loopback() && !server.trusted_proxies.iter().any(|r| is_local(*r))
}

/// `allow` of a source. For `only_this_machine` see the function of that name.
pub(super) fn allow(table: &mut Table<'_>, only_this_machine: bool, notes: &Notes) -> Arc<[Cidr]> {
    let Some(entry) = table.entry("allow") else { return Arc::default() };
    let ranges = ranges(&entry, notes);
    if only_this_machine && !ranges.iter().all(|range| is_local(*range)) {
        let title = format!("`{}` cannot distinguish senders", entry.path);
        let label =
            "the daemon listens on a loopback address, so every request comes from this machine";
        let problem = Problem::warning(title).at(entry.key, label);
        notes.add(problem.help(
            "if a proxy on this machine forwards requests, write server.trusted_proxies = \"127.0.0.1\" \
             to trust its X-Forwarded-For",
        ));
    }
    ranges.into()
}

/// `rate` of a source.
pub(super) fn rates(table: &mut Table<'_>, notes: &Notes) -> Arc<[Rate]> {
    let Some(entry) = table.entry("rate") else { return Arc::default() };
    let entries = entry.one_or_more(notes);
    if entries.len() > RATES_MAX {
        let title = format!("`{}` has too many rates", entry.path);
        entry.refuse(notes, &title, &format!("at most {RATES_MAX}"), "");
    }
    let mut rates: Vec<Rate> = Vec::new();
    for entry in entries.iter().take(RATES_MAX) {
        let Some((count, per)) = entry.rate(&RATE_COUNTS, notes) else { continue };
        if rates.iter().any(|rate| rate.per == per) {
            let title = format!("`{}` repeats a period", entry.path);
            entry.refuse(notes, &title, "remove the larger of the two rates", "");
            continue;
        }
        rates.push(Rate { count: u32::try_from(count).unwrap_or(u32::MAX), per });
    }
    rates.into()
}

/// `body_max` of a source, which the store's segments limit.
pub(super) fn body_bytes_max(
    table: &mut Table<'_>,
    (limit, in_flight): (u64, u64),
    notes: &Notes,
) -> usize {
    let default = limit.min(in_flight).min(ingest::BODY_BYTES_MAX as u64);
    let entry = table.entry("body_max");
    let read =
        entry.as_ref().and_then(|entry| entry.bytes(&(BODY_BYTES_MIN..=BODY_BYTES_LIMIT), notes));
    let written = entry.as_ref().filter(|_| read.is_some_and(|bytes| bytes > in_flight));
    if let Some(entry) = written {
        let title = format!("`{}` is larger than `server.in_flight_max`", entry.path);
        let label = format!("a body of more than {} never has room", show_bytes(in_flight));
        entry.refuse(
            notes,
            &title,
            &label,
            "make in_flight_max in [server] several times as large",
        );
    } else if let (Some(entry), Some(bytes)) = (&entry, read.filter(|bytes| *bytes > limit)) {
        let title = format!("`{}` is too large for the store", entry.path);
        let label = format!("at most {}, a quarter of a segment", show_bytes(limit));
        let segment = show_bytes(bytes.saturating_mul(BODY_SHARE_OF_SEGMENT));
        let help = format!("write segment = \"{segment}\" in [store], and restart");
        entry.refuse(notes, &title, &label, &help);
    }
    usize::try_from(read.unwrap_or(default)).unwrap_or(usize::MAX)
}

/// `events_max` of a source, if it is written.
pub(super) fn events_max(table: &mut Table<'_>, notes: &Notes) -> Option<usize> {
    let limits = 1..=normalize::EVENTS_LIMIT as u64;
    let read = table.entry("events_max")?.integer(&limits, notes)?;
    usize::try_from(read).ok()
}

/// `trusted_proxies` and `proxy_protocol` of the server.
pub(super) struct Proxies {
    pub(super) trusted: Arc<[Cidr]>,
    pub(super) protocol: bool,
}

pub(super) fn proxies(table: &mut Table<'_>, notes: &Notes) -> Proxies {
    let entry = table.entry("trusted_proxies");
    let trusted = entry.as_ref().map(|entry| ranges(entry, notes)).unwrap_or_default();
    if let Some(entry) = entry.filter(|_| trusted.iter().any(|range| range.is_everything())) {
        let title = format!("`{}` trusts every address", entry.path);
        let problem = Problem::warning(title).at(entry.span, "any sender can claim any address");
        notes.add(problem.help("list only the addresses of your own proxies"));
    }
    let entry = table.entry("proxy_protocol");
    let protocol = entry.as_ref().and_then(|entry| entry.boolean(notes)).unwrap_or(false);
    if let Some(entry) = entry.filter(|_| protocol && trusted.is_empty()) {
        let title = format!("`{}` needs `server.trusted_proxies`", entry.path);
        let help = "the PROXY header is read only from trusted proxies: write trusted_proxies = \"10.0.0.0/8\"";
        entry.refuse(notes, &title, "`trusted_proxies` is missing", help);
    }
    Proxies { trusted: trusted.into(), protocol }
}
