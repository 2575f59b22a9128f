//! Which tokens of a published key prove that a request of a source is authentic.

use std::ops::Range;
use std::sync::Arc;

use super::super::limits::ranges;
use super::super::problem::Problem;
use super::super::reader::{Notes, Table};
use super::super::{tokens, vendors};
use crate::model::Cidr;
use crate::verify::{Proof, Scheme};

/// Reads the keys of a source, and gives the scheme with those, and the private ranges in which the keys may be.
pub(super) fn tokens(
    name: &str,
    scheme: Option<Arc<Scheme>>,
    table: &mut Table<'_>,
    notes: &Notes,
) -> (Option<Arc<Scheme>>, Arc<[Cidr]>) {
    let Some(jwt) = scheme.as_deref().and_then(Scheme::jwt) else {
        for key in ["keys_url", "issuer", "audience", "claims", "keys_allow"] {
            if let (Some(entry), Some(scheme)) = (table.entry(key), &scheme) {
                let title = format!("`{}` does not apply to scheme `{}`", entry.path, scheme.name);
                let help = "schemes with tokens of an issuer take it: `jwt` and those that `dispatcher verify --list` shows with \"JSON Web Token\"";
                entry.refuse(notes, &title, "this scheme has no such token", help);
            }
        }
        return (scheme, Arc::default());
    };
    let mut jwt = jwt.clone();
    let url = table.entry("keys_url");
    let allow = table.entry("keys_allow");
    let allow: Vec<Cidr> = allow.map_or_else(Vec::new, |entry| ranges(&entry, notes));
    let before = notes.errors();
    let vendor = scheme.as_deref().and_then(|scheme| vendors::vendor(&scheme.name));
    let fill = vendor.map_or(&[][..], |vendor| &vendor.setup.fill);
    tokens::read(&mut jwt, url.as_ref(), table, &allow, fill, notes);
    let is_read = notes.errors() == before;
    let scheme = scheme.map(|scheme| Scheme { proof: Proof::Jwt(jwt), ..(*scheme).clone() });
    if let Some(scheme) = scheme.as_ref().filter(|_| is_read) {
        refuse_incomplete(name, scheme, fill, &table.place, notes);
    }
    (scheme.map(Arc::new), allow.into())
}

/// Notes what is missing for a proof: without it, others could send.
fn refuse_incomplete(
    source: &str,
    scheme: &Scheme,
    fill: tokens::Fill<'_>,
    place: &Range<usize>,
    notes: &Notes,
) {
    let Some(jwt) = scheme.jwt() else { return };
    let refuse = |key: &str, why: &str| {
        let problem = Problem::error(format!("source `{source}` needs `{key}`"));
        let problem = problem.at(place.clone(), format!("`{key}` is missing"));
        let meaning = fill.iter().find(|(filled, _)| filled == key);
        let problem = match meaning {
            Some((_, meaning)) => problem.help(format!("write {key} = \"…\": {meaning}")),
            None => problem.help(format!("write {key} = \"…\"")),
        };
        notes.add(problem.help(why));
    };
    if jwt.keys_url.is_none() {
        refuse("keys_url", "it is the address where the issuer of the tokens publishes its keys");
    }
    if jwt.issuer.is_empty() {
        refuse("issuer", "tokens of any other issuer with the same keys would be accepted");
    }
    if jwt.audience.is_empty() {
        refuse("audience", "a token that was made for another receiver could be sent to this one");
    }
    for name in jwt.missing_claims() {
        let why = "the issuer gives tokens to others, too, for any audience: only this claim shows the sender";
        refuse(&format!("claims.{name}"), why);
    }
    if jwt.claims.is_empty() {
        let why = "`iss` and `aud` do not show who has the token: name the sender by another claim, such as its `sub`";
        refuse("claims.sub", why);
    }
}
