//! Tests known vectors, every form of a wrong signature, and random guesses.

mod copies;
mod rules;

use super::*;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use ring::rand::SystemRandom;

use crate::config::vendors::{scheme, schemes};
use crate::model::{RepetitionSeed, Request, Secret, Timestamp};

const BODY: &[u8] = br#"[{"message_type": "test"}]"#;
const HEADER: &str = "x-sqreen-integrity";

fn sqreen() -> &'static Arc<Scheme> {
    scheme("sqreen").unwrap()
}

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().map(|text| Secret::new(*text)).collect()
}

fn verifier(texts: &[&str]) -> Verifier {
    Verifier::new(sqreen(), &secrets(texts), None).unwrap()
}

fn named(header: &str) -> HeaderName {
    HeaderName::from_bytes(header.as_bytes()).unwrap()
}

fn request(values: &[&[u8]], body: &[u8]) -> Request {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
    }
    Request {
        source: Arc::from("sqreen"),
        method: http::Method::POST,
        uri: http::Uri::default(),
        headers,
        body: Bytes::copy_from_slice(body),
        received_at: Timestamp::from_millis(0),
    }
}

fn signature(secret: &str, body: &[u8]) -> String {
    sign_body(sqreen(), &Secret::new(secret), body).1
}

/// Vectors that any other implementation of HMAC gives.
#[test]
fn signs_like_known_vectors() {
    for (secret, body, expected) in [
        ("1234", "4567", "9d101d2bf630748679226b767d2031634c520390ff0e926afc09bc65a05bfdb2"),
        (
            "key",
            "The quick brown fox jumps over the lazy dog",
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
        ),
        // A key longer than the hash's block is hashed first.
        (&"k".repeat(100), "", "d46761768ee3c864fc76c08b3d73c8092853ae3fefa01b990963dfa2d56e7334"),
    ] {
        assert_eq!(
            sign_body(sqreen(), &Secret::new(secret), body.as_bytes()),
            (named(HEADER), expected.to_owned())
        );
        let verified =
            verifier(&[secret]).verify(request(&[expected.as_bytes()], body.as_bytes())).unwrap();
        assert_eq!((&*verified.scheme().name, verified.key()), ("sqreen", 0));
    }
}

#[test]
fn names_the_secret_that_matched() {
    let verifier = verifier(&["old", "new", "newest"]);
    for (key, secret) in ["old", "new", "newest"].into_iter().enumerate() {
        let verified =
            verifier.verify(request(&[signature(secret, BODY).as_bytes()], BODY)).unwrap();
        assert_eq!(usize::from(verified.key()), key);
        assert_eq!(verified.request().body, BODY);
    }
}

#[test]
fn takes_upper_case_digits() {
    let upper = signature("s", BODY).to_ascii_uppercase();
    assert!(verifier(&["s"]).verify(request(&[upper.as_bytes()], BODY)).is_ok());
}

#[test]
fn refuses_every_other_form_with_its_reason() {
    let good = signature("s", BODY);
    let flipped = good.replace(&good[..1], if good.starts_with('0') { "1" } else { "0" });
    let cut = &good[..43];
    let longer = format!("{good}0");
    let prefixed = format!("sha256={good}");
    let spaced = format!("{}  ", &good[..62]);
    let header = named(HEADER);
    let mut latin1 = good.clone().into_bytes();
    latin1[63] = 0xE9;
    let mut letter = good.clone().into_bytes();
    letter[0] = b'g';
    let place = format!("header {HEADER}");
    let malformed =
        || VerifyRefusal::Malformed { place: place.clone(), expected: "a hexadecimal number" };
    let length = |found| VerifyRefusal::Length { header: header.clone(), found, expected: 64 };
    let doubled = |times| VerifyRefusal::Doubled { header: header.clone(), times };
    let table: Vec<(Vec<&[u8]>, VerifyRefusal)> = vec![
        (vec![], VerifyRefusal::Missing { header: header.clone() }),
        (vec![b""], VerifyRefusal::Empty { header: header.clone() }),
        (vec![good.as_bytes(), good.as_bytes()], doubled(2)),
        (vec![b"", good.as_bytes(), b""], doubled(3)),
        (vec![cut.as_bytes()], length(43)),
        (vec![longer.as_bytes()], length(65)),
        (vec![prefixed.as_bytes()], length(71)),
        (vec![b"HMU9gGsZNFXIa5JmdDLKIU8Pt3KIomW+sQapKABLRgA="], length(44)),
        (vec![spaced.as_bytes()], malformed()),
        (vec![&latin1], malformed()),
        (vec![&letter], malformed()),
        (vec![flipped.as_bytes()], VerifyRefusal::Mismatch),
    ];
    for (values, expected) in table {
        let verifier = verifier(&["s"]);
        let request = request(&values, BODY);
        let prechecked = verifier.precheck(&request.headers, None, Timestamp::default());
        assert_eq!(
            prechecked.err(),
            Some(expected.clone()).filter(|r| *r != VerifyRefusal::Mismatch)
        );
        assert_eq!(verifier.verify(request).unwrap_err(), expected, "{values:?}");
    }
}

#[test]
fn a_changed_body_is_refused() {
    let good = signature("s", BODY);
    for body in [&b"[{\"message_type\":\"test\"}]"[..], b"[{\"message_type\": \"test\"}]\n", b""] {
        let refused = verifier(&["s"]).verify(request(&[good.as_bytes()], body)).unwrap_err();
        assert_eq!(refused, VerifyRefusal::Mismatch);
    }
}

#[test]
fn cannot_be_built_without_a_usable_secret() {
    let build = |texts: &[&str]| Verifier::new(sqreen(), &secrets(texts), None).unwrap_err();
    assert_eq!(build(&[]), InvalidSecrets::None);
    assert_eq!(build(&["a", ""]), InvalidSecrets::Empty { number: 2 });
    assert_eq!(build(&["a"; 9]), InvalidSecrets::TooMany { given: 9 });
    assert_eq!(signature("", BODY), "");
}

#[test]
fn shows_no_secret() {
    let shown = format!("{:?}", verifier(&["hush-hush"]));
    assert_eq!(shown, r#"Verifier { scheme: "sqreen", keys: 1 }"#);
}

/// A signer and a verifier of a built-in scheme, whatever its keys are.
fn both(scheme: &Arc<Scheme>, random: &SystemRandom) -> (Signer, Verifier) {
    let text = match &scheme.proof {
        Proof::Signature(signature) => match signature.marks[0].key {
            KeyForm::Hex => "00ff11ee",
            KeyForm::Base64 { .. } => "whsec_dGVzdHRlc3Q=",
            _ => "a secret",
        },
        _ => "user:a secret",
    };
    let (private, public) =
        trial_keys(scheme, random).unwrap_or((Secret::new(text), text.to_owned()));
    let signer = Signer::new(scheme, &private, random).unwrap();
    let other = Secret::new(public.replace("secret", "other"));
    let verifier = Verifier::new(scheme, &[other, Secret::new(public)], Some(PUBLIC_URL));
    (signer, verifier.unwrap())
}

const PUBLIC_URL: &str = "https://hooks.example.org/in";
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The request that a signer makes of a body.
fn signed(signer: &Signer, body: &[u8], path: &str, random: &SystemRandom) -> Request {
    let unsigned = Unsigned {
        method: http::Method::POST,
        public_url: Some(PUBLIC_URL),
        path,
        headers: HeaderMap::new(),
        body,
        now: NOW,
        id: "id-1",
    };
    let made = signer.sign(unsigned, random).unwrap();
    let mut request = request(&[], &made.body.unwrap_or_else(|| body.to_vec()));
    request.uri = made.path.as_deref().unwrap_or(path).parse().unwrap();
    request.received_at = NOW;
    for (name, value) in made.headers {
        request.headers.append(name, HeaderValue::from_str(&value).unwrap());
    }
    request
}

#[test]
fn each_scheme_accepts_what_it_signs_and_refuses_any_changed_bit() {
    let random = SystemRandom::new();
    for scheme in schemes().iter().filter(|scheme| scheme.has_secrets()) {
        let (name, (signer, verifier)) = (&scheme.name, both(scheme, &random));
        for body in [&br#"{"a": 1, "b": ["x"]}"#[..], b"{}"] {
            let request = signed(&signer, body, "/hook?x=1", &random);
            let accepted = verifier.verify(request.clone());
            assert!(accepted.is_ok(), "{name}: {} {request:?}", accepted.unwrap_err());
            let prechecked = verifier.precheck(&request.headers, request.uri.query(), NOW);
            assert_eq!(prechecked, Ok(()), "{name}");
            let Some(signature) = scheme.signature() else { continue };
            each_bit_of_the_body(name, &verifier, &request, signature.covers_content());
            each_bit_of_the_headers(name, &verifier, &request, signature);
        }
    }
}

fn each_bit_of_the_body(name: &str, verifier: &Verifier, request: &Request, covered: bool) {
    for bit in 0..8 * request.body.len() {
        let mut body = request.body.to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        let changed = Request { body: body.into(), ..request.clone() };
        let accepted = verifier.verify(changed.clone()).is_ok();
        // The same form fields can be escaped in several ways; JSON cannot.
        assert!(!(accepted && covered), "{name}: bit {bit} of {changed:?}");
    }
}

fn each_bit_of_the_headers(
    name: &str,
    verifier: &Verifier,
    request: &Request,
    signature: &Signature,
) {
    let covered = signature.stamp.as_ref().is_none_or(|stamp| stamp.covered);
    for (header, value) in &request.headers {
        let at = |names: &[HeaderName]| names.contains(header);
        let signs = match &signature.place {
            Place::First(names) | Place::Each(names) => at(names),
            Place::Inside(_) => false,
        };
        let stamps = matches!(
            signature.stamp.as_ref().map(|stamp| &stamp.place), Some(StampIn::Headers(n)) if at(n)
        );
        let id = signature.signed.contains(&Part::Id) && verifier.scheme().id.contains(header);
        if !(signs || (stamps && covered) || id) {
            continue;
        }
        for bit in 0..8 * value.len() {
            let mut bytes = value.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The case of hexadecimal letters does not matter.
            let digit = signature.encoding == Encoding::Hex && bytes[bit / 8].is_ascii_hexdigit();
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { continue };
            let mut changed = request.clone();
            changed.headers.insert(header, value);
            let accepted = verifier.verify(changed.clone()).is_ok();
            assert!(!accepted || (bit % 8 == 5 && digit && signs), "{name}: {header} {changed:?}");
        }
        let mut doubled = request.clone();
        doubled.headers.append(header, value.clone());
        assert!(verifier.verify(doubled).is_err(), "{name}: {header} twice");
        let mut missing = request.clone();
        missing.headers.remove(header);
        assert!(verifier.verify(missing).is_err(), "{name}: {header} missing");
    }
}

#[test]
fn a_signed_time_limits_how_long_a_copy_is_valid() {
    let random = SystemRandom::new();
    for scheme in schemes() {
        let Some(signature) = scheme.signature() else { continue };
        let (signer, verifier) = both(scheme, &random);
        let request = signed(&signer, b"{\"a\": 1}", "/hook", &random);
        let covered = signature.stamp.as_ref().filter(|stamp| stamp.covered);
        for ms in [1_000 + 1_000 * 700, 1_000 * 86_400 * 365] {
            for at in [NOW.as_millis() + ms, NOW.as_millis() - ms] {
                let mut late = request.clone();
                late.received_at = Timestamp::from_millis(at);
                let refused = verifier.verify(late).err();
                let is_refused = matches!(
                    refused,
                    Some(VerifyRefusal::Stale { .. } | VerifyRefusal::Future { .. })
                );
                assert_eq!(is_refused, covered.is_some(), "{}: {refused:?}", scheme.name);
            }
        }
        let replay = scheme.replay();
        assert_eq!(
            matches!(replay, Replay::Window | Replay::Id),
            covered.is_some_and(|stamp| !stamp.optional) && signature.covers_content(),
            "{}: {replay:?}",
            scheme.name
        );
        let key = |request: Request| {
            verifier.verify(request).unwrap().repetition_key(RepetitionSeed::default())
        };
        assert!(key(request.clone()).is_some() && key(request.clone()) == key(request));
    }
}

#[test]
fn the_built_in_schemes_are_consistent() {
    for row in schemes() {
        assert!(Arc::ptr_eq(scheme(&row.name).unwrap(), row), "two schemes named {}", row.name);
        assert!(!row.methods.is_empty(), "{}", row.name);
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(row.name.chars().all(kebab), "{}", row.name);
        let Some(signature) = row.signature() else { continue };
        assert!(!signature.marks.is_empty() && !signature.signed.is_empty(), "{}", row.name);
        let covered = signature.stamp.as_ref().is_some_and(|stamp| stamp.covered);
        assert_eq!(covered, signature.covers_stamp(), "{}", row.name);
        assert!(signature.covers_content() || !row.remark.is_empty(), "{}", row.name);
    }
    assert!(schemes().len() >= 70 && scheme("Sqreen").is_none() && scheme("crowdstrike").is_none());
}

/// Header values like those of senders, and arbitrary ones.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let near = "(v1,|v1a,|v1=|v0=|t=|ts=|sha256=|[0-9a-f]{2}|[,; =.:]|17000000[0-9]{2}){0,60}";
    prop_oneof![
        near.prop_map(String::into_bytes),
        proptest::collection::vec(prop_oneof![0x20u8..0x7F, 0x80u8..=0xFF], 0..300),
    ]
}

/// Bodies that look like forms or JSON, and arbitrary ones.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let near = "([{}\\[\\]\",:&=%+ ]|signature|timestamp|token|webhookTimestamp|[0-9]{1,12}|\\\\u00){0,60}";
    prop_oneof![near.prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..300),]
}

proptest! {
    /// Picks one built-in scheme per case.
    #[test]
    fn no_scheme_panics_or_accepts_arbitrary_headers_and_bodies(
        values in proptest::collection::vec(value(), 6), body in body(), which in 0usize..1000,
    ) {
        let table: Vec<_> = schemes().iter().filter(|scheme| scheme.has_secrets()).collect();
        let scheme = table[which % table.len()];
        let verifier = both(scheme, &SystemRandom::new()).1;
        let mut request = request(&[], &body);
        request.received_at = NOW;
        request.uri = http::Uri::from_static("/x?bodySHA256=00&key=1&q=%27");
        let mut names: Vec<HeaderName> = scheme.id.clone();
        names.push(http::header::AUTHORIZATION);
        if let Proof::Token(TokenIn::Header(name)) = &scheme.proof {
            names.push(name.clone());
        }
        if let Some(signature) = scheme.signature() {
            if let Place::First(list) | Place::Each(list) = &signature.place {
                names.extend(list.iter().take(1).cloned());
            }
            if let Some(StampIn::Headers(list)) = signature.stamp.as_ref().map(|s| &s.place) {
                names.extend(list.iter().take(1).cloned());
            }
        }
        names.push(named("x-contentful-signed-headers"));
        for (name, value) in names.into_iter().zip(&values) {
            request.headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        prop_assert!(verifier.verify(request.clone()).is_err());
        let secrets = [Secret::new("whsec_dGVzdHRlc3Q=")];
        let _ = explain(scheme, &secrets, Some(PUBLIC_URL), &request, schemes());
    }

    #[test]
    fn never_panics_and_never_accepts_a_guess(
        value in proptest::collection::vec(prop_oneof![0x20u8..0x7F, 0x80u8..=0xFF], 0..80),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        prop_assert!(verifier(&["s", "t"]).verify(request(&[&value], &body)).is_err());
    }

    #[test]
    fn what_is_signed_verifies(secret in ".{1,100}", body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let good = signature(&secret, &body);
        prop_assert!(verifier(&["other", &secret]).verify(request(&[good.as_bytes()], &body)).is_ok());
    }
}
