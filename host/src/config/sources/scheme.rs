//! `scheme` of a source and, for scheme `token`, where the token is.

use std::ops::Range;
use std::sync::Arc;

use http::Method;

use super::super::names::near;
use super::super::problem::Problem;
use super::super::reader::{Entry, Notes, Table};
use super::super::schemes::{self, TOLERANCE};
use super::super::vendors;
use super::topics::topics;
use crate::verify::{self, Part, Place, Proof, Scheme, Spot, StampIn, TokenIn};

const LIST_OF_SCHEMES: &str = "`dispatcher verify --list` names every built-in scheme; your own schemes are tables [schemes.NAME]";

/// The scheme of source `name`: the one that `scheme` names, or else the one with the name of the source.
pub(super) fn scheme(
    name: &str,
    table: &mut Table<'_>,
    own: &[Arc<Scheme>],
    notes: &Notes,
) -> Option<Arc<Scheme>> {
    // All vendor files are read only to find a similar name.
    let all = || own.iter().chain(vendors::schemes());
    let known = |name: &str| {
        let own = own.iter().find(|scheme| &*scheme.name == name);
        own.or_else(|| vendors::scheme(name)).cloned()
    };
    let Some(entry) = table.entry("scheme") else {
        let scheme = known(name);
        if scheme.is_none() {
            let title = format!("source `{name}` needs `scheme`: how its requests are signed");
            let problem = Problem::error(title).at(table.place.clone(), "`scheme` is missing");
            let problem = problem.absence("scheme");
            let problem = match unsigned(name) {
                Some(help) => problem.help(help),
                None => match near(name, all().map(|scheme| &*scheme.name)) {
                    Some(near) => problem.help(format!("did you mean scheme = \"{near}\"?")),
                    None => problem.help("write scheme = \"NAME\""),
                },
            };
            notes.add(problem.help(LIST_OF_SCHEMES));
        }
        return scheme;
    };
    let written = entry.string(notes)?;
    let scheme = known(written);
    if scheme.is_none() {
        let label = match near(written, all().map(|scheme| &*scheme.name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "unknown scheme".to_owned(),
        };
        let title = format!("unknown scheme `{written}`");
        let help = unsigned(written).unwrap_or_else(|| LIST_OF_SCHEMES.to_owned());
        entry.refuse(notes, &title, &label, &help);
    }
    warn_of_scheme(name, scheme.as_deref(), &entry, notes);
    scheme
}

/// The help for a vendor that does not sign its requests.
fn unsigned(name: &str) -> Option<String> {
    let scheme = vendors::unsigned(name)?;
    Some(format!("{name} does not sign: write scheme = \"{scheme}\""))
}

fn warn_of_scheme(name: &str, scheme: Option<&Scheme>, entry: &Entry<'_>, notes: &Notes) {
    if scheme.is_some_and(|scheme| scheme.proof == Proof::None) {
        let title = format!("source `{name}` accepts requests from anyone");
        let problem = Problem::warning(title).at(entry.span.clone(), "nothing is verified");
        notes.add(problem.help("if the sender can send a secret in a header: scheme = \"token\""));
    }
}

/// Reads the keys of a source that change its scheme, and gives it with those.
pub(super) fn changed(
    name: &str,
    scheme: Option<Arc<Scheme>>,
    table: &mut Table<'_>,
    notes: &Notes,
) -> Option<Arc<Scheme>> {
    let scheme = token_in(scheme, table, notes);
    let scheme = tolerance(scheme, table, notes);
    let scheme = methods(scheme, table, notes);
    topics(name, scheme, table, notes)
}

/// Reads `tolerance` and gives the scheme with that one.
fn tolerance(
    scheme: Option<Arc<Scheme>>,
    table: &mut Table<'_>,
    notes: &Notes,
) -> Option<Arc<Scheme>> {
    let Some(entry) = table.entry("tolerance") else { return scheme };
    let tolerance = entry.duration(&TOLERANCE, notes)?;
    let mut scheme = (*scheme?).clone();
    let name = Arc::clone(&scheme.name);
    let stamp = match &mut scheme.proof {
        Proof::Signature(signature) if signature.covers_stamp() => signature.stamp.as_mut(),
        _ => None,
    };
    let Some(stamp) = stamp else {
        let problem = Problem::warning(format!("`{}` has no effect", entry.path));
        notes.add(problem.at(entry.span, format!("scheme `{name}` signs no time")));
        return Some(Arc::new(scheme));
    };
    stamp.past_s = u32::try_from(tolerance.as_secs()).unwrap_or(u32::MAX);
    Some(Arc::new(scheme))
}

/// Reads `methods` and gives the scheme with those.
fn methods(
    scheme: Option<Arc<Scheme>>,
    table: &mut Table<'_>,
    notes: &Notes,
) -> Option<Arc<Scheme>> {
    let Some(methods) = schemes::methods(table, notes) else { return scheme };
    Some(Arc::new(Scheme { methods, ..(*scheme?).clone() }))
}

/// Refuses what would refuse every request of a source of that name and path.
pub(super) fn refuse_misfits(
    (source, path): (&str, &str),
    scheme: &Scheme,
    at: &Range<usize>,
    notes: &Notes,
) {
    refuse_bodyless(source, scheme, at, notes);
    refuse_field_in_path((source, path), scheme, at, notes);
}

/// Refuses a scheme that needs something of a body when events come by GET only.
fn refuse_bodyless(source: &str, scheme: &Scheme, at: &Range<usize>, notes: &Notes) {
    let Some(signature) = scheme.signature() else { return };
    let in_body = |spots: &[Spot]| !spots.iter().any(|spot| matches!(spot, Spot::Query(_)));
    let place = match &signature.place {
        Place::Inside(spots) => in_body(spots),
        Place::First(_) | Place::Each(_) => false,
    };
    let time = signature.stamp.as_ref().is_some_and(|stamp| match &stamp.place {
        StampIn::Inside(spots) => stamp.covered && !stamp.optional && in_body(spots),
        StampIn::Headers(_) | StampIn::Element(_) => false,
    });
    let signed = |part: &Part| matches!(part, Part::Text(spots) if in_body(spots));
    let needs_body = place || time || signature.signed.iter().any(signed);
    if needs_body && scheme.methods.iter().all(|method| *method == Method::GET) {
        let title = format!("source `{source}` takes GET only, which has no body");
        let label = format!("scheme `{}` verifies parts of the body", scheme.name);
        let problem = Problem::error(title).at(at.clone(), label);
        notes.add(problem.help("add another method to `methods`, or read it from \"query:NAME\""));
    }
}

/// Refuses a path that has the name of the field by which a form is known from an address.
fn refuse_field_in_path(
    (source, path): (&str, &str),
    scheme: &Scheme,
    at: &Range<usize>,
    notes: &Notes,
) {
    let parts = scheme.signature().map(|signature| &signature.signed);
    let fields = parts.into_iter().flatten().filter_map(|part| match part {
        Part::SortedForm { always } => Some(&**always),
        _ => None,
    });
    for field in fields.filter(|field| path.contains(field)) {
        let title = format!("source `{source}` would refuse every request: {path} has `{field}`");
        let label = format!("scheme `{}` signs the address with a form after it", scheme.name);
        let help = "in an address that could be the form's field: give the source another `path`";
        notes.add(Problem::error(title).at(at.clone(), label).help(help));
    }
}

/// Reads `token_in` and gives the scheme with that place. Only scheme `token` has one.
fn token_in(
    scheme: Option<Arc<Scheme>>,
    table: &mut Table<'_>,
    notes: &Notes,
) -> Option<Arc<Scheme>> {
    let Some(entry) = table.entry("token_in") else { return scheme };
    let written = entry.string(notes)?;
    let scheme = scheme?;
    if &*scheme.name != "token" {
        let title = format!("`{}` does not apply to scheme `{}`", entry.path, scheme.name);
        let label = "this scheme defines where its secret is";
        entry.refuse(notes, &title, label, "only scheme = \"token\" takes `token_in`");
        return None;
    }
    match verify::token_in(written) {
        Some(place) => {
            if let TokenIn::Query(_) = place {
                let title = format!("`{}` puts a secret into the URL", entry.path);
                let problem = Problem::warning(title);
                let problem =
                    problem.at(entry.span.clone(), "proxies write addresses to their logs");
                notes.add(problem.help("if the sender can set a header, write \"header:NAME\""));
            }
            Some(Arc::new(verify::token(place)))
        }
        None => {
            let title = format!("`{}` is not a valid place for a token", entry.path);
            entry.refuse(notes, &title, "write \"header:NAME\" or \"query:NAME\"", "");
            None
        }
    }
}
