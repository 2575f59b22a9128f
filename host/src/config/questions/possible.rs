//! Refuses questions that no request can ask, and those that every event asks.

use http::Method;

use super::super::reader::{Entry, Notes};
use super::{PLACES, has_no_body};
use crate::verify::{
    Asked, Place, QUESTION_BYTES_MAX, Question, Scheme, Sign, Spot, is_repeatable,
};

/// Refuses questions of a source that do not fit its scheme.
pub(in crate::config) fn refuse_misfits(
    source: &str,
    asked: &[(Entry<'_>, Question)],
    scheme: &Scheme,
    notes: &Notes,
) {
    refuse_hidden(asked, scheme, notes);
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

/// Refuses questions that an earlier one always answers.
fn refuse_hidden(asked: &[(Entry<'_>, Question)], scheme: &Scheme, notes: &Notes) {
    for (number, (entry, question)) in asked.iter().enumerate() {
        let hides = |earlier: &Question| {
            // The same question has been refused already.
            (earlier.has != question.has || earlier.repeat != question.repeat)
                && answers_all_of(earlier, question, scheme)
        };
        if let Some((before, _)) = asked[..number].iter().find(|(_, earlier)| hides(earlier)) {
            let title = format!("`{}` is never answered", entry.path);
            let label = format!("`{}` answers it, because it asks for less", before.path);
            entry.refuse(notes, &title, &label, "put the question that has more before it");
        }
    }
}

/// Whether each request that is the later question is the earlier one, too.
fn answers_all_of(earlier: &Question, later: &Question, scheme: &Scheme) -> bool {
    let at = |place: &Asked| later.has.iter().find(|sign| sign.place == *place);
    let is_repeated = |place: &Asked| later.repeat.as_ref() == Some(place);
    let has = |sign: &Sign| match at(&sign.place) {
        Some(_) if sign.values.is_empty() => true,
        Some(other) => {
            !other.values.is_empty() && other.values.iter().all(|one| sign.values.contains(one))
        }
        None => sign.values.is_empty() && is_repeated(&sign.place),
    };
    let repeats = |place: &Asked| {
        let values = at(place).map(|sign| &sign.values).filter(|values| !values.is_empty());
        is_repeated(place)
            || values.is_some_and(|values| values.iter().all(|value| is_repeatable(value)))
    };
    // What could be an event is a question only if it has nothing more than that.
    let places = |question: &Question| -> Vec<Asked> {
        let signs = question.has.iter().map(|sign| sign.place.clone());
        let places = signs.chain(question.repeat.clone());
        places.filter(|place| matches!(place, Asked::Inside(_))).collect()
    };
    let known = places(earlier);
    earlier.method == later.method
        && (earlier.unsigned || !later.unsigned)
        && earlier.has.iter().all(has)
        && earlier.repeat.as_ref().is_none_or(repeats)
        && (!scheme.methods.contains(&later.method)
            || places(later).iter().all(|place| known.contains(place)))
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
        } else if is_repeat && has.iter().any(|(_, sign)| is_never_repeated(sign, place)) {
            let label = "no value that `has` gives for this place is ever repeated";
            (
                label.to_owned(),
                "a text to repeat has 1 to 512 plain characters, and none of <>&\"'`\\",
            )
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
    let is_header = matches!(place, Asked::Header(_));
    let is_odd = |value: &&str| http::HeaderValue::from_bytes(value.as_bytes()).is_err();
    let label = if values.contains(&"") {
        "a value is empty"
    } else if (1..values.len()).any(|at| values[..at].contains(&values[at])) {
        "a value is there twice"
    } else if is_header && values.iter().any(is_padded) {
        "a header's value has no spaces around it"
    } else if is_header && values.iter().any(is_odd) {
        "a header's value has no control characters"
    } else if in_body(place) && values.iter().any(|value| value.len() > QUESTION_BYTES_MAX) {
        "a value is longer than the body of a question may be"
    } else {
        return true;
    };
    let help = format!("{PLACES}, or one with values, \"query:mode=subscribe|unsubscribe\"");
    entry.refuse(notes, &format!("`{}` is not a condition", entry.path), label, &help);
    false
}

/// The place has one of a few values, and none is answered.
fn is_never_repeated(sign: &Sign, repeat: &Asked) -> bool {
    sign.place == *repeat
        && !sign.values.is_empty()
        && !sign.values.iter().any(|value| is_repeatable(value))
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
