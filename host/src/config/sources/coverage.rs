//! Limits the sender of a source to what its scheme signs, and says what is ignored because of that.

use std::ops::Range;
use std::sync::Arc;

use super::super::problem::Problem;
use super::super::reader::Notes;
use super::super::vendors;
use crate::normalize::{Sender, Unsigned};
use crate::verify::Scheme;

/// The sender for requests that this scheme verifies.
pub(super) fn limited(
    scheme: &Scheme,
    sender: &Arc<Sender>,
    place: Range<usize>,
    notes: &Notes,
) -> Arc<Sender> {
    let coverage = scheme.coverage();
    // The file of a vendor was written for its scheme.
    let is_vendors_pair =
        vendors::sender(&scheme.name).is_some_and(|usual| usual.name == sender.name);
    if !is_vendors_pair {
        warn(scheme, sender, &sender.unsigned(&coverage), place, notes);
    }
    Arc::new(sender.limited(&coverage))
}

/// One warning for the parts that are ignored, and one for those that need a list.
fn warn(
    scheme: &Scheme,
    sender: &Sender,
    unsigned: &[Unsigned],
    place: Range<usize>,
    notes: &Notes,
) {
    let (listed, ignored): (Vec<_>, Vec<_>) = unsigned.iter().partition(|part| part.is_listed);
    let (scheme, name) = (&scheme.name, &sender.name);
    let all = |parts: &[&Unsigned]| {
        let parts = parts.iter().map(|part| format!("`{}` from {}", part.attribute, part.part));
        parts.collect::<Vec<_>>().join(", ")
    };
    let title = format!("sender `{name}` reads parts that scheme `{scheme}` does not sign");
    if !ignored.is_empty() {
        let problem = Problem::warning(title.clone());
        let problem = problem.at(place.clone(), format!("ignored: {}", all(&ignored)));
        let problem =
            problem.help("anyone who has seen one request could send it again with other values");
        let has_type = ignored.iter().any(|part| part.attribute == "type");
        notes.add(match has_type {
            true => problem.help("a sender may list the types that count: `unsigned_types`"),
            false => problem,
        });
    }
    if !listed.is_empty() {
        let label = format!("only types in `unsigned_types` count: {}", all(&listed));
        notes.add(Problem::warning(title).at(place, label));
    }
}
