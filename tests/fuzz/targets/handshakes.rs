//! Asks every handshake about any token, and sends the answer back as the signature of that token. An answer contains
//! only the token and what the daemon adds, and no such request is accepted.
//!
//! The first byte chooses a scheme. Then come header lines, and then the body, which is also the token.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use dispatcher::model::{Request, Secret, Timestamp};
use dispatcher::verify::{self, Answer, Handshake, Part, Place, Proof, Scheme, Signer, Spot, Unsigned, Verifier};
use http::{HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use ring::rand::SystemRandom;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// Hexadecimal digits are also base64.
const SECRET: &str = "00ff00ff";
const VERIFY_TOKEN: &str = "chosen-by-us";
/// Most bytes of an answer besides its token and its MAC.
const ANSWER_BYTES_MAX: usize = 512;

struct Row {
    scheme: Arc<Scheme>,
    verifier: Verifier,
    signer: Signer,
    known: Vec<HeaderName>,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let schemes = dispatcher::config::vendors::schemes().iter();
    let asked = schemes.filter(|scheme| scheme.handshake.is_some()).map(Arc::clone);
    asked.chain(own()).filter_map(row).collect()
});

/// Schemes that a user could write, with the handshakes that sign.
fn own() -> Vec<Arc<Scheme>> {
    let x = dispatcher::config::vendors::scheme("x").expect("it is built in");
    let Proof::Signature(signature) = &x.proof else { return Vec::new() };
    let lists = [
        vec![Part::Body],
        vec![Part::BodySha256Hex],
        vec![Part::SortedForm { always: "a".into() }],
        vec![Part::Method, Part::Body],
        vec![Part::Text(vec![Spot::Json("/text".into())])],
    ];
    let one = |(signed, handshake): (Vec<Part>, Handshake)| {
        let mut signature = signature.clone();
        signature.signed = signed;
        let proof = Proof::Signature(signature);
        Arc::new(Scheme { proof, handshake: Some(handshake), ..(**x).clone() })
    };
    let kinds = [Handshake::XCrc, Handshake::ZoomUrlValidation];
    lists.into_iter().flat_map(|list| kinds.map(|kind| (list.clone(), kind))).map(one).collect()
}

fn row(scheme: Arc<Scheme>) -> Option<Row> {
    let secret = Secret::new(SECRET);
    // A scheme with a public key signs nothing here.
    let verifier = Verifier::new(&scheme, std::slice::from_ref(&secret), None).ok()?;
    let verifier = verifier.with_verify_token(Some(&Secret::new(VERIFY_TOKEN)));
    let signer = Signer::new(&scheme, &secret, &SystemRandom::new()).ok()?;
    let mut known = scheme.id.clone();
    known.push(HeaderName::from_static("twitch-eventsub-message-type"));
    known.push(HeaderName::from_static("x-okta-verification-challenge"));
    if let Some(Place::First(names)) = scheme.signature().map(|signature| &signature.place) {
        known.extend(names.iter().cloned());
    }
    Some(Row { scheme, verifier, signer, known })
}

fuzz_target!(|input: &[u8]| {
    let Some((number, rest)) = dispatcher_fuzz::choice(input) else { return };
    let row = &ROWS[number % ROWS.len()];
    let (headers, body) = dispatcher_fuzz::request(rest, &row.known);
    let request = |headers, body| Request {
        source: Arc::from("fuzz"),
        method: Method::POST,
        uri: "/hook".parse().expect("the path is valid"),
        headers,
        body,
        received_at: NOW,
    };

    if let Some((token, _)) = row.verifier.token_to_confirm(&headers, body) {
        assert!(is_token(&token));
    }
    if let Ok(answer) = verify::answer_zoom(&row.verifier, body) {
        check(&answer);
    }
    let escaped: String = body.iter().take(512).map(|byte| format!("%{byte:02X}")).collect();
    let query = format!("/hook?crc_token={escaped}&hub.challenge={escaped}&hub.verify_token={VERIFY_TOKEN}");
    let asked = query.parse().ok().and_then(|uri| row.verifier.answer_unsigned(&uri).ok().flatten());
    if let Some(answer) = asked {
        check(&answer);
        assert!(std::str::from_utf8(body).is_ok_and(is_token));
        for text in answer.body.split('"') {
            let mut forged = headers.clone();
            if let (Some(Place::First(names)), Ok(value)) =
                (row.scheme.signature().map(|signature| &signature.place), HeaderValue::from_str(text))
            {
                forged.insert(names[0].clone(), value);
            }
            let forged = request(forged, Bytes::copy_from_slice(body));
            let is_signed = row.scheme.signature().is_some();
            assert!(!is_signed || row.verifier.verify(forged).is_err(), "{}", row.scheme.name);
        }
    }

    let unsigned = Unsigned {
        method: Method::POST,
        public_url: None,
        path: "/hook",
        headers: headers.clone(),
        body,
        now: NOW,
        id: "7d444840",
    };
    let Ok(signed) = row.signer.sign(unsigned, &SystemRandom::new()) else { return };
    let mut own = headers;
    for (name, value) in &signed.headers {
        if let Ok(value) = value.parse() {
            own.insert(name.clone(), value);
        }
    }
    let body = signed.body.map_or_else(|| Bytes::copy_from_slice(body), Bytes::from);
    if let Ok(verified) = row.verifier.verify(request(own, body))
        && let Ok(Some(answer)) = row.verifier.answer(&verified)
    {
        check(&answer);
    }
});

fn check(answer: &Answer) {
    assert!(answer.body.len() <= ANSWER_BYTES_MAX, "{answer:?}");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-{}\":,=+/".contains(&byte);
    assert!(answer.body.bytes().all(plain), "{answer:?}");
}

fn is_token(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=verify::TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}
