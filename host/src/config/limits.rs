//! Ranges of addresses and rates: who may come, how often, and which proxies are believed.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::problem::Problem;
use super::reader::{Entry, Notes, Table};
use super::sources::Around;
use crate::ingest::{RATES_MAX, Rate};
use crate::model::Cidr;
use crate::net;

/// Limits of the number before the period of a rate.
const RATE_COUNTS: RangeInclusive<u64> = 1..=1_000_000;

/// One range of addresses or a list of them.
pub(super) fn ranges(entry: &Entry<'_>, notes: &Notes) -> Vec<Cidr> {
    let read = |entry: &Entry<'_>| {
        let range = entry.string(notes)?.parse::<Cidr>();
        let title = format!("`{}` is no range of addresses", entry.path);
        range.map_err(|error| entry.refuse(notes, &title, &error.to_string(), "")).ok()
    };
    entry.one_or_more(notes).iter().filter_map(read).collect()
}

/// Whether this machine's own address lies in it.
fn is_local(range: Cidr) -> bool {
    range.contains(Ipv4Addr::LOCALHOST.into()) || range.contains(Ipv6Addr::LOCALHOST.into())
}

/// Whether only this machine can connect, and is not believed whom it speaks for.
pub(super) fn only_this_machine(server: &net::Settings) -> bool {
    server.listen.ip().is_loopback() && !server.trusted_proxies.iter().any(|r| is_local(*r))
}

/// `allow` of a source.
pub(super) fn allow(table: &mut Table<'_>, around: &Around<'_>, notes: &Notes) -> Arc<[Cidr]> {
    let Some(entry) = table.entry("allow") else { return Arc::default() };
    let ranges = ranges(&entry, notes);
    if around.only_this_machine && !ranges.iter().all(|range| is_local(*range)) {
        let title = format!("`{}` cannot tell senders apart", entry.path);
        let label = "only this machine can connect, so that every address is its own";
        let problem = Problem::warning(title).at(entry.key, label);
        notes.add(problem.help(
            "where a proxy on this machine passes requests on, write server.trusted_proxies = \
             \"127.0.0.1\": it is believed then whom it speaks for",
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
            let title = format!("`{}` has a period that stands there already", entry.path);
            entry.refuse(notes, &title, "leave out the larger of the two", "");
            continue;
        }
        rates.push(Rate { count: u32::try_from(count).unwrap_or(u32::MAX), per });
    }
    rates.into()
}

/// `trusted_proxies` and `proxy_protocol` of the server.
pub(super) fn proxies(table: &mut Table<'_>, notes: &Notes) -> (Arc<[Cidr]>, bool) {
    let entry = table.entry("trusted_proxies");
    let trusted = entry.as_ref().map(|entry| ranges(entry, notes)).unwrap_or_default();
    if let Some(entry) = entry.filter(|_| trusted.iter().any(|range| range.is_everything())) {
        let title = format!("`{}` trusts everybody", entry.path);
        let problem = Problem::warning(title).at(entry.span, "whoever sends may claim any address");
        notes.add(problem.help("write the addresses of your own proxies alone"));
    }
    let entry = table.entry("proxy_protocol");
    let protocol = entry.as_ref().and_then(|entry| entry.boolean(notes)).unwrap_or(false);
    if let Some(entry) = entry.filter(|_| protocol && trusted.is_empty()) {
        let title = format!("`{}` has nobody to believe", entry.path);
        let help = "it is taken from trusted hops only: write trusted_proxies = \"10.0.0.0/8\"";
        entry.refuse(notes, &title, "no `trusted_proxies`", help);
    }
    (trusted.into(), protocol)
}
