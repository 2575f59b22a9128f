//! Schemes and a sender that a user could write: each kind of part is signed by one of them, and the sender reads
//! every attribute from headers and the query first.

use super::requests::{headers_read, keyed, sign};
use super::*;
use crate::model::Severity;
use crate::normalize::Record;
use crate::verify::{Part, Place, Proof, Signature, Spot, Stamp, StampIn, Unit};

/// What takes the place of the vendor's name.
pub(super) const NAME: &str = "own";

pub(super) const SENDER: Record<'static> = Record {
    id: &["{header:x-id}/{query:id}", "{header:x-event-id}", "{id}"],
    event_type: &["{header:x-event}.{action}", "{query:event}", "{kind}"],
    unsigned_types: &["push", "issue"],
    subject: &["{header:x-subject}", "{subject}"],
    time: &["{header:x-time}", "{header:date}", "{time}"],
    title: &["{header:x-title}", "{query:title}", "{title}"],
    severity: &["{header:x-severity}", "{query:severity}", "{level}"],
    words: &[("push", Severity::Critical)],
    link: &["{header:x-link}", "{query:link}", "{link}"],
    ..Record::EMPTY
};

const BODY: &str =
    r#"{"id":"7","kind":"door","title":"The door is open","level":"error","action":"opened"}"#;

fn header(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// A scheme for each way to combine the parts.
fn schemes() -> Vec<Arc<Scheme>> {
    let literal = |text: &'static str| Part::Literal(text.into());
    let lists = vec![
        vec![Part::Body],
        vec![Part::BodySha256Hex],
        vec![Part::Stamp, Part::Body],
        vec![Part::Stamp, literal("."), Part::Body],
        vec![Part::Id, Part::Body],
        vec![Part::Id, literal("."), Part::Body],
        vec![Part::Id, literal("."), Part::Stamp, literal("."), Part::Body],
        vec![Part::Method, literal("\n"), Part::Body],
        vec![Part::Path, literal("\n"), Part::Body],
        vec![Part::Url, literal("\n"), Part::Body],
        vec![Part::UrlDecoded, literal("\n"), Part::Body],
        vec![Part::Header(header("x-event")), Part::Body],
        vec![Part::Header(header("x-event")), literal("\n"), Part::Body],
        vec![Part::Body, literal("\n"), Part::Header(header("x-title"))],
        vec![Part::StampIfSent(":".into()), Part::Body],
        vec![Part::ListedHeaders(header("x-listed")), literal("\n"), Part::Body],
        vec![Part::Text(vec![Spot::Json("/id".into())]), Part::Body],
    ];
    lists.into_iter().map(|signed| scheme(signed, Unit::Seconds)).collect()
}

/// A scheme that signs these parts, with a time of this unit.
pub(super) fn scheme(signed: Vec<Part>, unit: Unit) -> Arc<Scheme> {
    let is_stamp =
        |part: &Part| matches!(part, Part::Stamp | Part::StampIfSent(_) | Part::ListedHeaders(_));
    let stamp = signed.iter().any(is_stamp).then(|| Stamp {
        place: StampIn::Headers(vec![header("x-time")]),
        unit,
        past_s: 300,
        future_s: 300,
        covered: true,
        optional: signed.iter().any(|part| matches!(part, Part::StampIfSent(_))),
    });
    let mut scheme = (**vendors::scheme("github").unwrap()).clone();
    let Proof::Signature(github) = &scheme.proof else { panic!("GitHub signs") };
    let place = Place::First(vec![header("x-signature")]);
    scheme.proof = Proof::Signature(Signature { place, signed, stamp, ..github.clone() });
    scheme.id = vec![header("x-id")];
    scheme.methods = vec![Method::POST, Method::PUT];
    Arc::new(scheme)
}

pub(super) fn signed(random: &SystemRandom) -> Vec<Signed> {
    let sender = Sender::new(NAME, &SENDER).unwrap();
    let mut all = Vec::new();
    for scheme in schemes() {
        let (signer, verifier) = keyed(&scheme, random);
        for types in [UnsignedTypes::Ignored, UnsignedTypes::Listed] {
            let limited = sender.limited(&scheme.coverage(), types);
            let sent = [("x-event", "push"), ("x-title", "A title"), ("x-severity", "info")];
            let sent = sent.iter().map(|(n, v)| (header(n), HeaderValue::from_static(v)));
            let request = sign(&signer, sent.collect(), BODY.as_bytes(), random).unwrap();
            let name = format!("{:?}", scheme.signature().unwrap().signed);
            let events = events(&verifier, &limited, request.clone());
            all.push(Signed {
                vendor: NAME,
                events: events.unwrap_or_else(|| panic!("{name} is refused")),
                name,
                verifier: verifier.clone(),
                sender: limited,
                types,
                request,
                headers: headers_read(&sender),
            });
        }
    }
    all
}
