//! The client of a request that arrived through proxies: `X-Forwarded-For` and `Forwarded` (RFC 7239).
//!
//! In both lists each proxy appends the address that called it, and a sender can forge any beginning. So they are read
//! from the right, entry by entry, as long as the writer of the entry is trusted. Nothing to the left of the first
//! untrusted address is used. An entry that is malformed or hides its address (`unknown`, `_name`) ends the walk; then
//! the hop that wrote it counts as the client.
//!
//! If a request has both lists, the proxies may have written only one of them, and the sender the other. It is unknown
//! which, so both must agree; otherwise the client is unknown. Pure.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName, header};

use crate::model::Cidr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request that arrived from `hop`. `None`: the two lists contradict each other.
#[must_use]
pub fn client(headers: &HeaderMap, hop: IpAddr, trusted: &[Cidr]) -> Option<IpAddr> {
    let hop = hop.to_canonical();
    if !trusts(trusted, hop) {
        return Some(hop);
    }
    let values = |name| headers.get_all(name).iter().rev();
    let simple = values(X_FORWARDED_FOR).flat_map(|value| value.as_bytes().rsplit(|b| *b == b','));
    let simple = walk(simple.map(plain_node), hop, trusted);
    let full = values(header::FORWARDED).flat_map(|value| Elements(Some(value.as_bytes())));
    let full = full.map(|element| element.map_or(Entry::Hidden, forwarded_for));
    let full = walk(full, hop, trusted);
    match (simple, full) {
        (None, None) => Some(hop),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (Some(simple), Some(full)) => (simple == full).then_some(simple),
    }
}

pub(super) fn trusts(trusted: &[Cidr], address: IpAddr) -> bool {
    trusted.iter().any(|range| range.contains(address))
}

/// One entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// Nothing between two commas; ignored.
    Empty,
    Address(IpAddr),
    /// Malformed, or the proxy hides the address.
    Hidden,
}

/// Walks the entries, the last one first, as long as the writer is trusted. The first writer is `hop`. `None`: there are
/// no entries.
fn walk(entries: impl Iterator<Item = Entry>, hop: IpAddr, trusted: &[Cidr]) -> Option<IpAddr> {
    let mut found = None;
    for entry in entries {
        match entry {
            Entry::Empty => {}
            Entry::Hidden => return found.or(Some(hop)),
            Entry::Address(address) => {
                found = Some(address);
                if !trusts(trusted, address) {
                    break;
                }
            }
        }
    }
    found
}

/// An entry of `X-Forwarded-For`: an address, possibly with a port or in brackets.
fn plain_node(entry: &[u8]) -> Entry {
    match std::str::from_utf8(entry).map(trimmed) {
        Ok("") => Entry::Empty,
        Ok(text) => text.parse::<Ipv6Addr>().map_or_else(
            |_| node(text),
            |address| Entry::Address(IpAddr::V6(address).to_canonical()),
        ),
        Err(_) => Entry::Hidden,
    }
}

/// The `for=` of an element of `Forwarded`, of which there must be only one.
fn forwarded_for(element: &[u8]) -> Entry {
    let Ok(element) = std::str::from_utf8(element) else { return Entry::Hidden };
    if trimmed(element).is_empty() {
        return Entry::Empty;
    }
    let (mut rest, mut found) = (element, None);
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else { return Entry::Hidden };
        let Some((value, after)) = value(after) else { return Entry::Hidden };
        rest = after;
        if trimmed(name).eq_ignore_ascii_case("for") && found.replace(node(value)).is_some() {
            return Entry::Hidden;
        }
    }
    found.unwrap_or(Entry::Hidden)
}

/// The value at the beginning of a text, without quotes, and the rest after its `;`.
fn value(text: &str) -> Option<(&str, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(';').unwrap_or((text, ""));
        return Some((trimmed(value), rest));
    };
    let mut escaped = false;
    let end = quoted.find(|c| {
        let end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        end
    })?;
    let rest = trimmed(&quoted[end + 1..]);
    let rest = if rest.is_empty() { rest } else { rest.strip_prefix(';')? };
    Some((&quoted[..end], rest))
}

/// `192.0.2.7`, `192.0.2.7:80`, `[2001:db8::7]` or `[2001:db8::7]:80`. By RFC 7239 a port may be a name.
fn node(text: &str) -> Entry {
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse().map(IpAddr::V6).ok(), port),
            None => return Entry::Hidden,
        },
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (text[..end].parse().map(IpAddr::V4).ok(), &text[end..])
        }
    };
    match address {
        Some(address) if is_port(port) => Entry::Address(address.to_canonical()),
        _ => Entry::Hidden,
    }
}

/// Nothing, `:80` or `:_name`.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return text.is_empty() };
    match port.strip_prefix('_') {
        Some(name) => {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }
        None => matches!(port.len(), 1..=5) && port.bytes().all(|b| b.is_ascii_digit()),
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The elements of a `Forwarded` field, the last one first. Split from the right, so that an unclosed quote cannot
/// swallow the elements to its right. `None`: a quote is not closed, so where its element begins is unknown.
struct Elements<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Elements<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        let text = self.0?;
        let mut quoted = false;
        for (at, byte) in text.iter().enumerate().rev() {
            match byte {
                b'"' if !quoted => quoted = true,
                b'"' => {
                    let escapes = text[..at].iter().rev().take_while(|b| **b == b'\\').count();
                    quoted = escapes % 2 == 1;
                }
                b',' if !quoted => {
                    self.0 = Some(&text[..at]);
                    return Some(Some(&text[at + 1..]));
                }
                _ => {}
            }
        }
        self.0 = None;
        Some((!quoted).then_some(text))
    }
}

#[cfg(test)]
mod tests;
