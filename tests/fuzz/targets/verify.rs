//! Verifies any headers and any body with every built-in scheme: nothing panics, nothing is accepted, every
//! refusal can be explained, and what the scheme signs is accepted.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use dispatcher::model::{RepetitionSeed, Request, Secret, Timestamp};
use dispatcher::verify::{self, Place, Proof, Scheme, Signer, StampIn, Unsigned, Verifier};
use http::{HeaderName, Method};
use libfuzzer_sys::fuzz_target;
use ring::rand::SystemRandom;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const URL: &str = "https://hooks.example.org";
/// Hexadecimal digits are also base64, and a password follows the colon.
const SECRETS: [&str; 2] = ["00ff00ff", "user:00ff00ff"];

struct Row {
    scheme: &'static Arc<Scheme>,
    secret: Secret,
    verifier: Verifier,
    signer: Option<Signer>,
    known: Vec<HeaderName>,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| dispatcher::config::vendors::schemes().iter().map(row).collect());

fn row(scheme: &'static Arc<Scheme>) -> Row {
    let random = SystemRandom::new();
    let plain = SECRETS[usize::from(scheme.proof == Proof::Basic)];
    let symmetric = |text: &str| Verifier::new(scheme, &[Secret::new(text)], Some(URL)).ok();
    let (private, public) = match symmetric(plain) {
        Some(_) => (Secret::new(plain), plain.to_owned()),
        None => verify::trial_keys(scheme, &random).expect("it is signed with a pair of keys"),
    };
    let secret = Secret::new(public);
    let verifier = Verifier::new(scheme, std::slice::from_ref(&secret), Some(URL)).expect("fits");
    let signer = Signer::new(scheme, &private, &random).ok();
    let mut known = scheme.id.clone();
    if let Some(signature) = scheme.signature() {
        if let Place::First(names) | Place::Each(names) = &signature.place {
            known.extend(names.iter().cloned());
        }
        if let Some(StampIn::Headers(names)) = signature.stamp.as_ref().map(|stamp| &stamp.place) {
            known.extend(names.iter().cloned());
        }
    }
    Row { scheme, secret, verifier, signer, known }
}

fuzz_target!(|input: &[u8]| {
    let Some((number, rest)) = dispatcher_fuzz::choice(input) else { return };
    let row = &ROWS[number % ROWS.len()];
    let (headers, body) = dispatcher_fuzz::request(rest, &row.known);
    let request = |headers, body, path: &str| Request {
        source: Arc::from("fuzz"),
        method: Method::POST,
        uri: path.parse().unwrap_or_default(),
        headers,
        body,
        received_at: NOW,
    };
    let given = request(headers.clone(), Bytes::copy_from_slice(body), "/hook?a=1");
    let _ = row.verifier.precheck(&given.headers, given.uri.query(), NOW);
    let _ = row.verifier.answer_unsigned(&given.uri);
    let _ = row.verifier.token_to_confirm(&given.headers, &given.body);
    let _ = verify::answer_zoom(&row.verifier, &given.body);
    let verified = row.verifier.verify(given.clone());
    if row.scheme.signature().is_some() {
        assert!(verified.is_err(), "{}: a guess was accepted", row.scheme.name);
    }
    let _ = verify::describe(row.scheme, Some(URL), &given);
    let _ = verify::explain(row.scheme, std::slice::from_ref(&row.secret), Some(URL), &given, &[]);

    let Some(signer) = &row.signer else { return };
    let path = "/hook?a=1";
    let unsigned = Unsigned {
        method: Method::POST,
        public_url: Some(URL),
        path,
        headers: headers.clone(),
        body,
        now: NOW,
        id: "7d444840",
    };
    let Ok(signed) = signer.sign(unsigned, &SystemRandom::new()) else { return };
    let mut own = headers;
    for (name, value) in &signed.headers {
        if let Ok(value) = value.parse() {
            own.insert(name.clone(), value);
        }
    }
    let body = signed.body.map_or_else(|| Bytes::copy_from_slice(body), Bytes::from);
    let path = signed.path.as_deref().unwrap_or(path);
    if let Ok(verified) = row.verifier.verify(request(own, body, path)) {
        assert_eq!(verified.repetition_key(RepetitionSeed::default()), verified.repetition_key(RepetitionSeed::default()));
        let _ = row.verifier.answer(&verified);
    }
});
