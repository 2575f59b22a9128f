//! Runs the test vectors of the vendors' files: each is accepted, and each changed one is refused.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use toml::de::DeTable;

use super::super::all;
use super::super::catalog::FILES;
use super::super::file::texts;
use crate::config::reader::{Entry, Notes, Table};
use crate::model::{Request, Secret, Timestamp};
use crate::verify::{KeyForm, Place, Proof, Scheme, StampIn, TokenIn, Verifier, VerifyRefusal};

/// One test vector of a vendor.
struct Vector {
    /// `made-here`, or where it was published.
    origin: String,
    secret: String,
    /// The address that the sender was given.
    url: String,
    /// When the request is received.
    at: Timestamp,
    headers: Vec<(String, String)>,
    body: String,
}

fn vectors(name: &str, text: &str) -> Vec<Vector> {
    let notes = Notes::default();
    let parsed = DeTable::parse(text).unwrap();
    let mut table = Table::new(String::new(), 0..0, parsed.get_ref());
    let entries = table.entry("vectors").map_or_else(Vec::new, |entry| entry.items(&notes));
    let vectors = entries.iter().map(|entry| vector(name, entry, &notes)).collect();
    let problems = notes.into_parts().0;
    assert!(problems.is_empty(), "{name}: {problems:?}");
    vectors
}

fn vector(name: &str, entry: &Entry<'_>, notes: &Notes) -> Vector {
    let mut table = entry.table(notes).unwrap();
    let mut text = |key| table.entry(key).and_then(|entry| entry.string(notes).map(str::to_owned));
    let (origin, secret, url) = (text("origin"), text("secret"), text("url"));
    let (at, body) = (text("at"), text("body"));
    let headers = texts(&table.table("headers", notes).unwrap(), notes);
    table.finish(notes, |_| None);
    let at = at.map_or(Timestamp::default(), |at| {
        let at: jiff::Timestamp = at.parse().unwrap();
        Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap())
    });
    Vector {
        origin: origin.expect("a vector has an `origin`"),
        secret: secret.expect("a vector has a `secret`"),
        url: url.unwrap_or_else(|| format!("https://hooks.example.org/{name}")),
        at,
        headers,
        body: body.unwrap_or_default(),
    }
}

impl Vector {
    fn verifier(&self, scheme: &Arc<Scheme>, secret: &str) -> Verifier {
        let base = &self.url[..self.url.len() - self.path().len()];
        Verifier::new(scheme, &[Secret::new(secret)], Some(base)).unwrap()
    }

    fn path(&self) -> &str {
        let host = self.url.find("://").unwrap() + 3;
        &self.url[host + self.url[host..].find('/').unwrap()..]
    }

    fn request(&self) -> Request {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        Request {
            source: Arc::from("vector"),
            method: Method::POST,
            uri: self.path().parse::<Uri>().unwrap(),
            headers,
            body: Bytes::copy_from_slice(self.body.as_bytes()),
            received_at: self.at,
        }
    }
}

/// Headers without which a request is refused.
fn required(scheme: &Scheme) -> Vec<HeaderName> {
    match &scheme.proof {
        Proof::Token(TokenIn::Header(name)) => vec![name.clone()],
        Proof::Signature(signature) => {
            let mut names = match &signature.place {
                Place::First(names) | Place::Each(names) => names.clone(),
                Place::Body(_) => Vec::new(),
            };
            if let Some(stamp) = &signature.stamp
                && let (StampIn::Headers(stamps), true) = (&stamp.place, stamp.covered)
            {
                names.extend(stamps.iter().cloned());
            }
            names
        }
        _ => Vec::new(),
    }
}

fn check(scheme: &Arc<Scheme>, vector: &Vector) {
    let name = &scheme.name;
    let (verifier, request) = (vector.verifier(scheme, &vector.secret), vector.request());
    let accepted = verifier.verify(request.clone()).map(|verified| verified.key());
    assert_eq!(accepted, Ok(0), "{name}: {}", vector.origin);
    for header in required(scheme).iter().filter(|name| request.headers.contains_key(*name)) {
        let mut without = request.clone();
        without.headers.remove(header);
        assert!(verifier.verify(without).is_err(), "{name}: accepted without {header}");
    }
    let Some(signature) = scheme.signature() else {
        assert!(vector.verifier(scheme, "another").verify(request).is_err(), "{name}");
        return;
    };
    let public = signature.marks.iter().any(|mark| matches!(mark.key, KeyForm::Public { .. }));
    let hex = signature.marks.iter().any(|mark| mark.key == KeyForm::Hex);
    let other = if hex { "00ff" } else { "bm90LXRoZS1zZWNyZXQ=" };
    if !(public && signature.marks.len() == 1) {
        assert!(vector.verifier(scheme, other).verify(request.clone()).is_err(), "{name}: secret");
    }
    if signature.covers_content() {
        let mut changed = vector.body.clone().into_bytes();
        *changed.last_mut().expect("a body of a vector is not empty") ^= 1;
        let tampered = Request { body: Bytes::from(changed), ..request.clone() };
        assert!(verifier.verify(tampered).is_err(), "{name}: accepted with another body");
    }
    if let Some(stamp) = signature.stamp.as_ref().filter(|stamp| stamp.covered) {
        let late = vector.at.as_millis() + 1_000 * (u64::from(stamp.past_s) + 1);
        let late = Request { received_at: Timestamp::from_millis(late), ..request };
        let refused = verifier.verify(late).unwrap_err();
        assert!(matches!(refused, VerifyRefusal::Stale { .. }), "{name}: {refused}");
    }
}

#[test]
fn each_vendors_vectors_are_accepted_and_changed_ones_refused() {
    for vendor in all() {
        let text = FILES.iter().find(|file| file.name == vendor.name).unwrap().text;
        let vectors = vectors(vendor.name, text);
        let scheme = vendor.scheme();
        assert_eq!(scheme.is_some(), !vectors.is_empty(), "{}: vectors", vendor.name);
        for (scheme, vector) in scheme.iter().flat_map(|s| vectors.iter().map(move |v| (s, v))) {
            check(scheme, vector);
        }
    }
}
