//! Address ranges and rates: who may send, how often, and which proxies are trusted.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::problem::Problem;
use super::reader::{Entry, Notes, Table};
use crate::ingest::{RATES_MAX, Rate};
use crate::model::Cidr;
use crate::net;

/// Limits of the number in a rate.
const RATE_COUNTS: RangeInclusive<u64> = 1..=1_000_000;

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
