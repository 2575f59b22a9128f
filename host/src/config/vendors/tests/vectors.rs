//! Runs the test vectors of the vendors' files: each is accepted, and each changed one is refused.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use ring::rand::SystemRandom;
use toml::de::DeTable;

use super::super::all;
use super::super::catalog::FILES;
use super::super::file::texts;
use super::shown;
use crate::config::reader::{Entry, Notes, Table};
use crate::model::{Request, Secret, Timestamp};
use crate::verify::{
    KeyForm, Place, Proof, Scheme, Signer, StampIn, TokenIn, Unsigned, Verifier, VerifyRefusal,
};

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

/// The vectors of a file, or what is wrong with them.
fn vectors(name: &str, text: &str) -> Result<Vec<Vector>, String> {
    let notes = Notes::default();
    let parsed = DeTable::parse(text).unwrap();
    let mut table = Table::new(String::new(), 0..0, parsed.get_ref());
    let entries = table.entry("vectors").map_or_else(Vec::new, |entry| entry.items(&notes));
    let read: Result<Vec<_>, _> = entries.iter().map(|entry| vector(name, entry, &notes)).collect();
    let problems = notes.into_parts().0;
    if problems.is_empty() { read } else { Err(shown(name, text, problems).render(false)) }
}

/// Where the vectors of a file come from.
pub(super) fn origins(name: &str, text: &str) -> Vec<String> {
    let vectors = vectors(name, text).unwrap_or_default();
    vectors.into_iter().map(|vector| vector.origin).collect()
}

fn vector(name: &str, entry: &Entry<'_>, notes: &Notes) -> Result<Vector, String> {
    let mut table = entry.table(notes).ok_or("a vector is a table, [[vectors]]")?;
    let mut text = |key| table.entry(key).and_then(|entry| entry.string(notes).map(str::to_owned));
    let (origin, secret, url) = (text("origin"), text("secret"), text("url"));
    let (at, body) = (text("at"), text("body"));
    let headers = table.table("headers", notes).map(|headers| texts(&headers, notes));
    table.finish(notes, |_| None);
    let wrong_at = |at: &str| {
        format!("`at` of a vector is a time such as \"2026-01-02T03:04:05Z\", not {at:?}")
    };
    let at = match at {
        None => Timestamp::default(),
        Some(at) => {
            let time: jiff::Timestamp = at.parse().map_err(|_| wrong_at(&at))?;
            Timestamp::from_millis(u64::try_from(time.as_millisecond()).map_err(|_| wrong_at(&at))?)
        }
    };
    Ok(Vector {
        origin: origin
            .ok_or("a vector needs `origin`: \"made-here\", or where it was published")?,
        secret: secret.ok_or("a vector needs `secret`")?,
        url: url.unwrap_or_else(|| format!("https://hooks.example.org/{name}")),
        at,
        headers: headers.ok_or("a vector needs `headers`")?,
        body: body.unwrap_or_default(),
    })
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
                Place::Inside(_) => Vec::new(),
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

fn check(scheme: &Arc<Scheme>, vector: &Vector) -> Result<(), String> {
    let (verifier, request) = (vector.verifier(scheme, &vector.secret), vector.request());
    let ensure = |holds: bool, problem: &str| if holds { Ok(()) } else { Err(problem.to_owned()) };
    if let Err(refusal) = verifier.verify(request.clone()) {
        return Err(format!("the vector is refused: {refusal}{}", expected(scheme, vector)));
    }
    for header in required(scheme).iter().filter(|name| request.headers.contains_key(*name)) {
        let mut without = request.clone();
        without.headers.remove(header);
        let refused = verifier.verify(without).is_err();
        ensure(refused, &format!("the vector is also accepted without {header}"))?;
    }
    let with = |secret: &str| vector.verifier(scheme, secret).verify(request.clone());
    let Some(signature) = scheme.signature() else {
        return ensure(with("another").is_err(), "the vector is also accepted with another secret");
    };
    let public = signature.marks.iter().any(|mark| matches!(mark.key, KeyForm::Public { .. }));
    let hex = signature.marks.iter().any(|mark| mark.key == KeyForm::Hex);
    let other = if hex { "00ff" } else { "bm90LXRoZS1zZWNyZXQ=" };
    if !(public && signature.marks.len() == 1) {
        ensure(with(other).is_err(), "the vector is also accepted with another secret")?;
    }
    if signature.covers_content() {
        let mut changed = vector.body.clone().into_bytes();
        *changed.last_mut().ok_or("a vector needs a `body`")? ^= 1;
        let tampered = Request { body: Bytes::from(changed), ..request.clone() };
        ensure(
            verifier.verify(tampered).is_err(),
            "the vector is also accepted with another body",
        )?;
    }
    if let Some(stamp) = signature.stamp.as_ref().filter(|stamp| stamp.covered) {
        let late = vector.at.as_millis() + 1_000 * (u64::from(stamp.past_s) + 1);
        let late = Request { received_at: Timestamp::from_millis(late), ..request };
        let stale = matches!(verifier.verify(late), Err(VerifyRefusal::Stale { .. }));
        ensure(stale, "the vector is also accepted after the tolerance")?;
    }
    Ok(())
}

/// The headers that the scheme and the secret would give the vector's body; empty where only the vendor can sign.
fn expected(scheme: &Arc<Scheme>, vector: &Vector) -> String {
    let random = SystemRandom::new();
    let secret = Secret::new(vector.secret.clone());
    let request = vector.request();
    let unsigned = Unsigned {
        method: request.method,
        public_url: Some(&vector.url[..vector.url.len() - vector.path().len()]),
        path: vector.path(),
        headers: request.headers,
        body: vector.body.as_bytes(),
        now: vector.at,
        id: "made-here-1",
    };
    let signed = Signer::new(scheme, &secret, &random).and_then(|it| it.sign(unsigned, &random));
    let headers = signed.map(|signed| signed.headers).unwrap_or_default();
    let lines = headers.iter().map(|(name, value)| format!("\n    {name}: {value}"));
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("; this body would be signed so:{lines}") }
}

#[test]
fn each_vendors_vectors_are_accepted_and_changed_ones_refused() {
    let mut problems = Vec::new();
    for vendor in all() {
        let name = vendor.name;
        let text = FILES.iter().find(|file| file.name == name).unwrap().text;
        let vectors = match vectors(name, text) {
            Ok(vectors) => vectors,
            Err(problem) => {
                problems.push(format!("{name}: {problem}"));
                continue;
            }
        };
        match vendor.scheme() {
            None if !vectors.is_empty() => {
                problems
                    .push(format!("{name}: has vectors, but no valid [scheme] to check them with"));
            }
            // They expire, and no secret makes one: `verify` tests them with keys of its own.
            Some(scheme) if scheme.has_published_keys() && vectors.is_empty() => {}
            Some(_) if vectors.is_empty() => {
                problems.push(format!("{name}: needs at least one [[vectors]]"));
            }
            None => {}
            Some(scheme) => {
                let checked = vectors.iter().map(|vector| check(scheme, vector)).zip(1..);
                let wrong = checked.filter_map(|(result, number)| Some((result.err()?, number)));
                problems.extend(
                    wrong.map(|(problem, number)| format!("{name}, vector {number}: {problem}")),
                );
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
