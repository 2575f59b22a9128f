//! Which JSON Web Tokens prove that a request is authentic: `keys_url`, `issuer`, `audience` and `claims` of a scheme or a
//! source.

use std::borrow::Cow;
use std::net::IpAddr;

use super::reader::{Entry, Notes, Table};
use crate::egress;
use crate::model::Cidr;
use crate::verify::{CLAIMS_MAX, ClaimValue, Jwt, WantedClaim};

/// Keys that a user must fill in, each with what to write.
pub(super) type Fill<'a> = &'a [(String, String)];

/// Reads the keys of a scheme; `None` if it does not use such tokens, which `keys_url` shows.
pub(super) fn of_scheme(table: &mut Table<'_>, notes: &Notes) -> Option<Jwt> {
    let url = table.entry("keys_url")?;
    let mut jwt = Jwt::default();
    read(&mut jwt, Some(&url), table, &[], &[], notes);
    let entries = table.entry("source_claims").map_or_else(Vec::new, |it| it.one_or_more(notes));
    jwt.source_claims.extend(entries.iter().filter_map(|it| text(it, &[], notes)));
    Some(jwt)
}

/// What is written replaces what the scheme has, except for claims, which must all hold.
pub(super) fn read(
    jwt: &mut Jwt,
    url: Option<&Entry<'_>>,
    table: &mut Table<'_>,
    allow: &[Cidr],
    fill: Fill<'_>,
    notes: &Notes,
) {
    if let Some(entry) = url {
        jwt.keys_url = keys_url(entry, allow, notes).map(Into::into);
    }
    for (key, list) in [("issuer", &mut jwt.issuer), ("audience", &mut jwt.audience)] {
        if let Some(entry) = table.entry(key) {
            *list =
                entry.one_or_more(notes).iter().filter_map(|it| text(it, fill, notes)).collect();
        }
    }
    let Some(entry) = table.entry("claims") else { return };
    let Some(claims) = entry.table(notes) else { return };
    jwt.claims
        .extend(claims.all().iter().filter_map(|(name, entry)| claim(name, entry, fill, notes)));
    if jwt.claims.len() > CLAIMS_MAX {
        let title = format!("`{}` has too many claims", entry.path);
        entry.refuse(notes, &title, &format!("at most {CLAIMS_MAX}"), "");
    }
}

/// A text that is not empty.
fn text(entry: &Entry<'_>, fill: Fill<'_>, notes: &Notes) -> Option<Cow<'static, str>> {
    let text = entry.string(notes)?;
    if text.is_empty() {
        let title = format!("`{}` is empty", entry.path);
        let key = |key: &str| entry.path.strip_suffix(key).is_some_and(|it| it.ends_with('.'));
        let meaning = fill.iter().find(|(filled, _)| key(filled));
        let meaning = meaning.map_or("write what the sender's tokens have", |(_, meaning)| meaning);
        entry.refuse(notes, &title, "fill it in", meaning);
        return None;
    }
    Some(text.to_owned().into())
}

fn claim(name: &str, entry: &Entry<'_>, fill: Fill<'_>, notes: &Notes) -> Option<WantedClaim> {
    if matches!(name, "iss" | "aud" | "exp" | "nbf" | "iat") {
        let title = format!("`{}` is not needed", entry.path);
        let help = "`issuer` and `audience` are keys of their own; the times are always checked";
        entry.refuse(notes, &title, "remove it", help);
        return None;
    }
    let value = |entry: &Entry<'_>| {
        if entry.value.is_bool() {
            return entry.boolean(notes).map(ClaimValue::Truth);
        }
        text(entry, fill, notes).map(ClaimValue::Text)
    };
    let names = name.split('|').map(|name| name.to_owned().into()).collect();
    let values: Vec<_> = entry.one_or_more(notes).iter().filter_map(value).collect();
    (!values.is_empty()).then_some(WantedClaim { names, values })
}

/// The address of the keys: https, or http to this machine.
fn keys_url(entry: &Entry<'_>, allow: &[Cidr], notes: &Notes) -> Option<String> {
    let written = entry.string(notes)?;
    let refuse = |title: &str, label: &str, help: &str| {
        entry.refuse(notes, &format!("`{}` {title}", entry.path), label, help);
        None
    };
    let url: Option<http::Uri> = written.parse().ok();
    let parts = url.as_ref().and_then(|url| Some((url.scheme_str()?, url.authority()?)));
    let Some((scheme, authority)) = parts.filter(|(_, it)| !it.host().is_empty()) else {
        return refuse("is not a valid address", "write \"https://…\"", "");
    };
    if authority.as_str().contains('@') {
        return refuse("has a user or a password", "published keys need none", "");
    }
    match scheme {
        "https" => {}
        "http" if is_this_machine(authority.host()) => {}
        "http" => {
            let help = "who can change what is fetched could sign as the sender; only an address of this machine may be http";
            return refuse("must begin with https://", "not http", help);
        }
        _ => return refuse("is not a valid address", "write \"https://…\"", ""),
    }
    if let Some(egress::Denied { address, kind, range }) = egress::denied(written, allow) {
        let label = format!("{address} is a {kind} address");
        let help = format!("if that is right, write keys_allow = \"{range}\" in the source");
        return refuse("is not an address of the Internet", &label, &help);
    }
    Some(written.to_owned())
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
