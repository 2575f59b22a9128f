//! Says which parts of a request a scheme's signature covers.
//!
//! A part is covered if only the owner of the secret can change it in a request that is accepted. A
//! header is covered only if a request without it, or with it twice, is refused, and if its bytes cannot be
//! moved to or from the part beside it: the signed parts are joined without separators of their own.

use http::HeaderName;

use super::claim;
use super::scheme::{KeyForm, Part, Place, Scheme, Signature, StampIn, Text, Unit};
use super::sns;
use super::verifier::Verified;
use crate::model::{Coverage, SignedBody, SignedParts};

impl Scheme {
    /// What is covered, for each set of headers that a request may use: a vendor may send its id and its
    /// signature under several names, and only those that go with the verified signature are covered.
    #[must_use]
    pub fn coverage(&self) -> Vec<Coverage> {
        if self.sns().is_some() {
            let body = SignedBody::Values(sns::COVERED.into_iter().map(Box::from).collect());
            let (headers, same_as, query) = (Vec::new(), Vec::new(), false);
            return vec![Coverage::Signed(SignedParts { headers, same_as, query, body })];
        }
        let Some(signature) = self.signature() else { return vec![Coverage::Nothing] };
        let values = signature.covered_values();
        let content_is_query = self.content_is_query();
        if !signature.covers_content() && values.is_empty() && !content_is_query {
            return vec![Coverage::Nothing];
        }
        let sets = match &signature.place {
            Place::First(names) => names.len().max(1),
            Place::Each(_) | Place::Inside(_) => 1,
        };
        let body = if signature.signs_sorted_form() {
            SignedBody::SortedForm
        } else if signature.covers_content() || content_is_query {
            SignedBody::Bytes
        } else {
            SignedBody::Values(values.iter().map(|pointer| Box::from(&***pointer)).collect())
        };
        let covered = |set| {
            Coverage::Signed(SignedParts {
                headers: signature.headers(&self.id, set),
                same_as: signature.same_as(&self.id, set),
                query: signature.covers_query(),
                body: body.clone(),
            })
        };
        (0..sets).map(covered).collect()
    }
}

impl Scheme {
    /// What is covered, for people: `body, header webhook-id`.
    #[must_use]
    pub fn covered_shown(&self) -> String {
        let sets = self.coverage().into_iter().map(|coverage| match coverage {
            Coverage::Nothing => "nothing".to_owned(),
            Coverage::Signed(SignedParts { headers, query, body, .. }) => {
                let body = match body {
                    SignedBody::Bytes => "body".to_owned(),
                    SignedBody::SortedForm => {
                        "form fields, or the body if the address has its hash".to_owned()
                    }
                    SignedBody::Values(pointers) => format!("body at {}", pointers.join(", ")),
                };
                let query = query.then(|| "query".to_owned());
                let headers = headers.iter().map(|name| format!("header {name}"));
                let parts = std::iter::once(body).chain(query).chain(headers);
                parts.collect::<Vec<_>>().join(", ")
            }
        });
        let mut sets: Vec<String> = sets.collect();
        sets.dedup();
        sets.join(" or ")
    }
}

impl Verified {
    /// Which set of headers was verified: an index of [`Scheme::coverage`].
    #[must_use]
    pub fn header_set(&self) -> usize {
        match self.scheme.signature().map(|signature| &signature.place) {
            Some(Place::First(names)) if names.len() > 1 => {
                claim::set(names, &self.request.headers)
            }
            _ => 0,
        }
    }
}

impl Signature {
    /// The covered headers of a set.
    fn headers(&self, ids: &[HeaderName], set: usize) -> Vec<HeaderName> {
        let mut headers = Vec::new();
        for (place, part) in self.signed.iter().enumerate() {
            match part {
                Part::Id if self.is_apart(place) => headers.extend(ids.get(set).or(ids.last())),
                Part::Header(name) if self.is_apart(place) => headers.push(name),
                Part::Stamp | Part::StampIfSent(_) => headers.extend(self.stamp_header(set)),
                // The timestamp must be listed; nothing else must.
                Part::ListedHeaders(_) => headers.extend(self.stamp_header(0)),
                _ => {}
            }
        }
        if self.marks.iter().all(|mark| mark.key == KeyForm::StampThenText) {
            headers.extend(self.stamp_header(set));
        }
        headers.into_iter().cloned().collect()
    }

    /// The headers of id and time in other sets, each with the one of this set.
    fn same_as(&self, ids: &[HeaderName], set: usize) -> Vec<(HeaderName, HeaderName)> {
        let stamps = match self.stamp.as_ref().map(|stamp| &stamp.place) {
            Some(StampIn::Headers(names)) => &names[..],
            _ => &[],
        };
        let mut same = Vec::new();
        for names in [ids, stamps] {
            let Some(this) = names.get(set) else { continue };
            let others = names.iter().filter(|name| *name != this);
            same.extend(others.map(|other| (other.clone(), this.clone())));
        }
        same
    }

    fn stamp_header(&self, set: usize) -> Option<&HeaderName> {
        match &self.stamp.as_ref()?.place {
            StampIn::Headers(names) => names.get(set).or(names.last()),
            StampIn::Element(_) | StampIn::Inside(_) => None,
        }
    }

    /// The pointers of the values in the body that can be read in only one way.
    pub(super) fn covered_values(&self) -> Vec<&Text> {
        let value = |(place, part): (usize, &'_ Part)| match part {
            Part::Value { .. } if self.is_between(place) => Some(place),
            _ => None,
        };
        let places = self.signed.iter().enumerate().filter_map(value);
        places
            .filter_map(|place| match &self.signed[place] {
                Part::Value { pointer, .. } => Some(pointer),
                _ => None,
            })
            .collect()
    }

    /// Whether the value at this place of the signed parts can be read in only one way: it and every value
    /// before it end where they must end, or it and every value behind it begin where they must begin.
    fn is_apart(&self, place: usize) -> bool {
        (0..=place).all(|place| self.ends(place))
            || (place..self.signed.len()).all(|place| self.begins(place))
    }

    /// The same, but its beginning may follow from what is before it, and its end from what is behind it.
    fn is_between(&self, place: usize) -> bool {
        let behind = |from: usize| (from..self.signed.len()).all(|place| self.begins(place));
        let begins = (0..place).all(|place| self.ends(place)) || behind(place);
        begins && ((0..=place).all(|place| self.ends(place)) || behind(place + 1))
    }

    /// Whether the signed bytes show where the body begins and ends. If not, anyone could move bytes of a captured body
    /// into the part beside it, or back, unless the body shows it itself, as JSON does. A form whose fields are signed
    /// shows where it begins, see [`Part::SortedForm`].
    #[must_use]
    pub fn delimits_body(&self) -> bool {
        let is_body = |part: &Part| matches!(part, Part::Body | Part::SortedForm { .. });
        let Some(place) = self.signed.iter().position(is_body) else { return true };
        let is_form = self.signed[place] != Part::Body;
        let is_certain = |at: usize| {
            self.ends(at) || (is_form && at + 1 == place && self.signed[at].is_address())
        };
        (0..place).all(is_certain) && (place + 1..self.signed.len()).all(|place| self.begins(place))
    }

    /// Whether an id is signed whose bytes cannot be moved to or from the part beside it.
    #[must_use]
    pub(super) fn covers_id(&self) -> bool {
        let place = self.signed.iter().position(|part| *part == Part::Id);
        place.is_some_and(|place| self.is_apart(place))
    }

    /// Whether the address is signed, and its end cannot be moved to or from the part behind it.
    #[must_use]
    pub(super) fn covers_query(&self) -> bool {
        let Some(place) = self.signed.iter().position(Part::is_address) else { return false };
        // Bodies that do not show where they begin and end are refused.
        let is_body = |at: usize| self.signed[at] == Part::Body;
        let is_form =
            |at: usize| at == place + 1 && matches!(self.signed[at], Part::SortedForm { .. });
        let is_limited = match self.signed.get(place + 1) {
            Some(Part::Literal(text)) => is_never_in_address(text),
            next => next.is_none(),
        };
        (0..place).all(|at| self.ends(at) || is_body(at))
            && (is_limited
                || (place + 1..self.signed.len())
                    .all(|at| self.begins(at) || is_body(at) || is_form(at)))
    }

    /// Whether the part at this place ends where it must end, if it begins where it must.
    fn ends(&self, place: usize) -> bool {
        let part = |place: usize| self.signed.get(place);
        match (part(place), part(place + 1)) {
            (Some(Part::Literal(_) | Part::Method | Part::BodySha256Hex), _) | (_, None) => true,
            // A time has one form, and one that is shorter or longer is too old or too far ahead.
            (Some(Part::Stamp | Part::StampIfSent(_)), _) => true,
            (
                Some(Part::Url | Part::UrlAnyPort | Part::UrlDecoded | Part::Path),
                Some(Part::Literal(text)),
            ) => is_never_in_address(text),
            (Some(Part::ListedHeaders(_)), Some(Part::Literal(text))) => is_never_in_header(text),
            // An id that contains the text behind it is refused.
            (Some(Part::Id), Some(Part::Literal(text))) => !text.is_empty(),
            // A time of this form has a fixed beginning.
            (Some(Part::Id), Some(Part::Stamp)) => {
                self.stamp.as_ref().is_some_and(|stamp| stamp.unit == Unit::Rfc3339)
            }
            (Some(Part::Header(_)), Some(Part::Literal(text))) => is_never_in_header(text),
            (Some(Part::Value { open: false, .. }), Some(Part::Literal(text))) => text.len() == 1,
            _ => false,
        }
    }

    /// Whether the part at this place begins where it must begin, if it ends where it must.
    fn begins(&self, place: usize) -> bool {
        let part = |place: usize| self.signed.get(place);
        match (place.checked_sub(1).and_then(part), part(place)) {
            (_, Some(Part::Literal(_) | Part::Method | Part::BodySha256Hex | Part::Stamp))
            | (None, _) => true,
            (
                Some(Part::Literal(text)),
                Some(Part::Header(_) | Part::ListedHeaders(_) | Part::Id),
            ) => is_never_in_header(text),
            (Some(Part::Literal(text)), Some(Part::Value { open: false, .. })) => text.len() == 1,
            _ => false,
        }
    }
}

/// Whether the text contains a byte that no address contains.
fn is_never_in_address(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_control() || byte == b' ')
}

/// Whether the text contains a byte that no value of a header contains.
fn is_never_in_header(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::vendors;
    use crate::verify::StampIn;

    fn covered(name: &str) -> Vec<Vec<String>> {
        let headers = |coverage: Coverage| match coverage {
            Coverage::Nothing => Vec::new(),
            Coverage::Signed(parts) => parts.headers.iter().map(ToString::to_string).collect(),
        };
        vendors::scheme(name).unwrap().coverage().into_iter().map(headers).collect()
    }

    #[test]
    fn a_header_is_covered_only_by_a_signature_over_it() {
        for (name, expected) in [
            ("github", &[&[][..]][..]),
            ("sentry", &[&[]]),
            ("token", &[&[]]),
            ("mailgun", &[&[]]),
            ("slack", &[&["x-slack-request-timestamp"]]),
            ("gitguardian", &[&["timestamp"]]),
            ("grafana", &[&["x-grafana-alerting-timestamp"]]),
            ("contentful", &[&["x-contentful-timestamp"]]),
            ("twitch", &[&["twitch-eventsub-message-id", "twitch-eventsub-message-timestamp"]]),
            (
                "standard-webhooks",
                &[&["webhook-id", "webhook-timestamp"], &["svix-id", "svix-timestamp"]],
            ),
        ] {
            assert_eq!(covered(name), expected, "{name}");
        }
    }

    #[test]
    fn without_a_signature_over_the_content_nothing_is_covered_and_a_signed_address_has_its_query()
    {
        let coverage = |name: &str| vendors::scheme(name).unwrap().coverage();
        for name in ["token", "basic", "none", "okta", "mailgun"] {
            assert_eq!(coverage(name), [Coverage::Nothing], "{name}");
        }
        for (name, query, body) in [
            ("github", false, SignedBody::Bytes),
            ("square", true, SignedBody::Bytes),
            ("contentful", true, SignedBody::Bytes),
            ("hubspot-v3", true, SignedBody::Bytes),
            ("twilio", true, SignedBody::SortedForm),
        ] {
            let coverage = coverage(name);
            let [Coverage::Signed(parts)] = &coverage[..] else { panic!("{name}") };
            assert_eq!((parts.query, &parts.body), (query, &body), "{name}");
        }
    }

    /// One value may contain the text between values, if no other one does.
    #[test]
    fn a_value_of_the_body_is_covered_if_its_ends_are_known() {
        let value = |open, pointer: &'static str| Part::Value { pointer: pointer.into(), open };
        let (closed, open) = (|p| value(false, p), |p| value(true, p));
        let literal = |text: &'static str| Part::Literal(text.into());
        for (signed, expected) in [
            (vec![closed("/a")], &["/a"][..]),
            (vec![closed("/a"), literal(":"), closed("/b")], &["/a", "/b"]),
            (
                vec![closed("/a"), literal(":"), open("/b"), literal(":"), closed("/c")],
                &["/a", "/b", "/c"],
            ),
            (vec![open("/a"), literal(":"), closed("/b")], &["/a", "/b"]),
            (vec![open("/a"), literal(":"), open("/b"), literal(":"), closed("/c")], &["/c"]),
            (vec![closed("/a"), closed("/b")], &[]),
            (vec![closed("/a"), literal("::"), closed("/b")], &[]),
            (vec![closed("/a"), literal(":"), closed("/b"), Part::Text(Vec::new())], &["/a"]),
        ] {
            let mut scheme = (**vendors::scheme("sqreen").unwrap()).clone();
            let super::super::Proof::Signature(signature) = &mut scheme.proof else { panic!() };
            signature.signed = signed;
            assert_eq!(signature.covered_values(), expected, "{:?}", signature.signed);
        }
    }

    /// With such a scheme anyone could move bytes from one part into the next: the signed bytes are the same.
    #[test]
    fn a_header_that_nothing_delimits_is_not_covered() {
        let header = |name: &'static str| Part::Header(HeaderName::from_static(name));
        let literal = |text: &'static str| Part::Literal(text.into());
        for (signed, expected) in [
            (vec![header("a"), Part::Body], &[][..]),
            (vec![header("a"), literal("."), Part::Body], &[]),
            (vec![header("a"), literal("\n"), Part::Body], &["a"]),
            (vec![header("a"), literal("\n"), header("b"), literal("\n"), Part::Body], &["a", "b"]),
            (vec![header("a"), header("b"), literal("\n"), Part::Body], &[]),
            (vec![literal("v0:"), header("a"), literal("\r\n"), Part::Body], &["a"]),
            (vec![Part::Method, literal("\n"), header("a"), literal("\n"), Part::Body], &["a"]),
            (vec![Part::Body, literal("\n"), header("a")], &["a"]),
            (vec![Part::Body, literal(":"), header("a")], &[]),
            (vec![Part::Body, header("a")], &[]),
            (vec![Part::Url, header("a"), literal("\n"), Part::Body], &[]),
            (vec![Part::Id, Part::Body], &[]),
            (vec![Part::Id, literal("."), Part::Body], &["id"]),
            (vec![Part::Id, Part::Stamp, Part::Body], &["time"]),
            (vec![Part::Body, Part::ListedHeaders(HeaderName::from_static("list"))], &["time"]),
        ] {
            let mut scheme = (**vendors::scheme("slack").unwrap()).clone();
            scheme.id = vec![HeaderName::from_static("id")];
            let super::super::Proof::Signature(signature) = &mut scheme.proof else { panic!() };
            signature.signed = signed;
            let time = HeaderName::from_static("time");
            signature.stamp.as_mut().unwrap().place = StampIn::Headers(vec![time]);
            let coverage = scheme.coverage();
            let [Coverage::Signed(parts)] = &coverage[..] else { panic!() };
            assert_eq!(parts.headers, expected, "{:?}", scheme.signature().unwrap().signed);
        }
    }
}
