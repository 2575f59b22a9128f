//! Refuses questions that no request can ask, and those that every event asks.

use http::Method;

use super::super::reader::{Entry, Notes};
use super::{PLACES, has_no_body};
use crate::verify::{Asked, Place, Question, Scheme, Sign, Spot};

/// Refuses questions of a source that do not fit its scheme.
pub(in crate::config) fn refuse_misfits(
    source: &str,
    asked: &[(Entry<'_>, Question)],
    scheme: &Scheme,
    notes: &Notes,
) {
    let inside = scheme.signature().is_some_and(|one| matches!(one.place, Place::Inside(_)));
    let asks_by_get = scheme.handshake.is_some_and(crate::verify::Handshake::is_get);
    for (entry, question) in asked {
        let method = &question.method;
        let takes_events = scheme.methods.contains(method);
        if swallows(question, scheme) {
            let title = format!("source `{source}` takes events by {method}");
            let help = "say what the question has or repeats, or leave the method out of `methods`";
            entry.refuse(notes, &title, "this question is every request by that method", help);
        } else if !(takes_events || question.unsigned || asks_by_get && *method == Method::GET) {
            let title = format!("source `{source}` takes no requests by {method}");
            let help = "add the method to `methods`, or write unsigned = true";
            entry.refuse(notes, &title, "refused before it is verified", help);
        } else if question.unsigned && !has_no_body(method) && takes_events && inside {
            let title = format!("`{}` cannot be asked without a signature", entry.path);
            let label = format!("the signature of scheme `{}` is not in a header", scheme.name);
            entry.refuse(notes, &title, &label, "remove `unsigned`");
        }
    }
}

/// It would answer every event by its method, and none would be stored.
pub(in crate::config) fn swallows(question: &Question, scheme: &Scheme) -> bool {
    question.is_unconditional() && scheme.methods.contains(&question.method)
}

/// Refuses what no request has: parts of a body where there is none, and conditions that exclude one another.
pub(super) fn is_possible(
    method: &Method,
    has: &[(Entry<'_>, Sign)],
    repeat: Option<(&Entry<'_>, &Asked)>,
    notes: &Notes,
) -> bool {
    let has_places = has.iter().map(|(entry, sign)| (entry, &sign.place));
    let places: Vec<(&Entry<'_>, &Asked)> = has_places.chain(repeat).collect();
    for (number, (entry, place)) in places.iter().enumerate() {
        let before = || places[..number].iter().map(|(_, before)| *before);
        let is_repeat = number >= has.len();
        let (label, help) = if in_body(place) && has_no_body(method) {
            (format!("{method} has no body"), "write \"query:NAME\" or \"header:NAME\"")
        } else if !is_repeat && before().any(|before| before == *place) {
            ("its place is there twice".to_owned(), "name each place once, with all its values")
        } else if before()
            .any(|before| is_form(before) != is_form(place) && both_in_body(before, place))
        {
            let label = "a body is a form or JSON, not both";
            (label.to_owned(), "write two questions, one for each")
        } else if before().any(|before| excludes(before, place)) {
            let label = "the text at one place cannot have another place in it";
            (label.to_owned(), "keep the longer pointer")
        } else {
            continue;
        };
        let title = format!("`{}` is never true", entry.path);
        entry.refuse(notes, &title, &label, help);
        return false;
    }
    true
}

/// Refuses values that no place has.
pub(super) fn values_are_possible(
    entry: &Entry<'_>,
    place: &Asked,
    values: &[&str],
    notes: &Notes,
) -> bool {
    let is_padded = |value: &&str| value.trim().len() < value.len();
    let label = if values.contains(&"") {
        "a value is empty"
    } else if (1..values.len()).any(|at| values[..at].contains(&values[at])) {
        "a value is there twice"
    } else if matches!(place, Asked::Header(_)) && values.iter().any(is_padded) {
        "a header's value has no spaces around it"
    } else {
        return true;
    };
    let help = format!("{PLACES}, or one with values, \"query:mode=subscribe|unsubscribe\"");
    entry.refuse(notes, &format!("`{}` is not a condition", entry.path), label, &help);
    false
}

const fn in_body(place: &Asked) -> bool {
    matches!(place, Asked::Inside(Spot::Form(_) | Spot::Json(_)))
}

const fn is_form(place: &Asked) -> bool {
    matches!(place, Asked::Inside(Spot::Form(_)))
}

const fn both_in_body(one: &Asked, other: &Asked) -> bool {
    in_body(one) && in_body(other)
}

/// A text at one place leaves no room for the other one.
fn excludes(one: &Asked, other: &Asked) -> bool {
    let (Asked::Inside(Spot::Json(one)), Asked::Inside(Spot::Json(other))) = (one, other) else {
        return false;
    };
    let is_within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
    };
    is_within(one, other) || is_within(other, one)
}
