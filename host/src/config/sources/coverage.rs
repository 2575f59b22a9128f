//! Limits the sender of a source to what its scheme signs, and says what is ignored because of that.

use std::ops::Range;
use std::sync::Arc;

use super::super::problem::Problem;
use super::super::reader::{Entry, Notes};
use super::super::vendors;
use crate::normalize::{Instead, Sender, Unsigned, UnsignedTypes};
use crate::verify::Scheme;

/// The sender for requests that this scheme verifies.
pub(super) fn limited(
    scheme: &Scheme,
    sender: &Arc<Sender>,
    unsigned_types: Option<&Entry<'_>>,
    place: Range<usize>,
    notes: &Notes,
) -> Arc<Sender> {
    let types = unsigned_types_of(sender, unsigned_types, notes);
    let coverage = scheme.coverage();
    // The file of a vendor was written for its scheme.
    let is_vendors_pair =
        vendors::sender(&scheme.name).is_some_and(|usual| usual.name == sender.name);
    if !is_vendors_pair {
        warn(scheme, sender, &sender.unsigned(&coverage), place, notes);
    }
    Arc::new(sender.limited(&coverage, types))
}

/// Whether a header that is not signed may name the type: if the source says so, or a sender of the user's own lists
/// types for that.
fn unsigned_types_of(sender: &Sender, written: Option<&Entry<'_>>, notes: &Notes) -> UnsignedTypes {
    let is_own = vendors::sender(&sender.name).is_none();
    let Some(entry) = written else {
        return if is_own { UnsignedTypes::Listed } else { UnsignedTypes::Ignored };
    };
    let is_wanted = entry.boolean(notes) == Some(true);
    if is_wanted && !sender.lists_types() {
        let title = format!("`{}` has no effect", entry.path);
        let label = format!("sender `{}` lists no types", sender.name);
        let problem = Problem::warning(title).at(entry.span.clone(), label);
        notes.add(problem.help("every type is from the body already"));
    }
    if is_wanted { UnsignedTypes::Listed } else { UnsignedTypes::Ignored }
}

/// Warns about what is ignored, but not about types that the sender lists: its author knows that they are not signed.
fn warn(
    scheme: &Scheme,
    sender: &Sender,
    unsigned: &[Unsigned],
    place: Range<usize>,
    notes: &Notes,
) {
    let mut parts: Vec<(&str, Vec<&str>)> = Vec::new();
    for one in unsigned.iter().filter(|one| one.instead == Instead::Nothing) {
        match parts.iter_mut().find(|(part, _)| *part == one.part) {
            Some((_, attributes)) => attributes.push(one.attribute),
            None => parts.push((&one.part, vec![one.attribute])),
        }
    }
    if parts.is_empty() {
        return;
    }
    let has_type = parts.iter().any(|(_, attributes)| attributes.contains(&"type"));
    let part =
        |(part, attributes): (&str, Vec<&str>)| format!("{part} ({})", attributes.join(", "));
    let parts: Vec<String> = parts.into_iter().map(part).collect();
    let title =
        format!("sender `{}` reads what scheme `{}` does not sign", sender.name, scheme.name);
    let problem = Problem::warning(title).at(place, format!("ignored: {}", parts.join(", ")));
    let problem =
        problem.help("anyone who has seen one request could send it again with other values");
    notes.add(match has_type {
        true => problem.help(
            "a sender of your own can list the types that count: unsigned_types = [\"NAME\"]",
        ),
        false => problem,
    });
}
