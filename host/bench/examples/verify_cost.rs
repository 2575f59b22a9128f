//! What a preset costs beside a check written by hand, in instructions a request.
//!
//! ```text
//! cargo build --release -p dispatcher-bench --example verify_cost
//! for how in empty hand preset; do
//!   valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/verify_cost $how 2000
//! done
//! target/release/examples/verify_cost rate
//! ```
//!
//! `empty` makes the requests and checks nothing: subtract its instructions from those of the others. `rate`
//! prints how many signatures of each algorithm one core verifies in a second.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dispatcher::config::vendors::scheme;
use dispatcher::model::{Request, Secret, Timestamp};
use dispatcher::verify::{Signer, Unsigned, Verifier, sign_body, trial_keys};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, Method, Uri};
use ring::rand::SystemRandom;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

const SECRET: &str = "6f1ed002ab5595859014ebf0951522d9a1f3c0de";
const HEADER: &str = "x-sqreen-integrity";
const BODY_BYTES: usize = 1024;
/// Signatures verified for one rate.
const ROUNDS: u32 = 20_000;

fn request(headers: HeaderMap, body: &Bytes) -> Request {
    Request {
        source: Arc::from("sqreen"),
        method: Method::POST,
        uri: Uri::from_static("/sqreen"),
        headers,
        body: body.clone(),
        received_at: Timestamp::from_millis(1_700_000_000_000),
    }
}

/// A check written for Sqreen alone.
fn by_hand(keyed: &Hmac<Sha256>, request: &Request) -> Option<()> {
    let mut values = request.headers.get_all(HEADER).iter();
    let text = values.next()?.as_bytes();
    if values.next().is_some() || text.len() != 64 {
        return None;
    }
    let mut claimed = [0u8; 32];
    for (byte, pair) in claimed.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    let mut hash = keyed.clone();
    hash.update(&request.body);
    bool::from(hash.finalize().into_bytes().as_slice().ct_eq(&claimed)).then_some(())
}

fn rates() -> Option<()> {
    let random = SystemRandom::new();
    for name in ["sqreen", "vercel", "tfe", "discord", "sendgrid"] {
        let scheme = scheme(name)?;
        let (private, public) =
            trial_keys(scheme, &random).unwrap_or_else(|| (Secret::new(SECRET), SECRET.to_owned()));
        let verifier = Verifier::new(scheme, &[Secret::new(public)], None).ok()?;
        let body = Bytes::from(vec![b'x'; BODY_BYTES]);
        let unsigned = Unsigned {
            method: Method::POST,
            public_url: None,
            path: "/",
            headers: HeaderMap::new(),
            body: &body,
            now: Timestamp::from_millis(1_700_000_000_000),
            id: "1",
        };
        let signer = Signer::new(scheme, &private, &random).ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in signer.sign(unsigned, &random).ok()?.headers {
            headers.append(name, HeaderValue::from_str(&value).ok()?);
        }
        let began = Instant::now();
        for _ in 0..ROUNDS {
            black_box(verifier.verify(request(headers.clone(), &body)).ok()?);
        }
        let rate = f64::from(ROUNDS) / began.elapsed().as_secs_f64();
        println!("{name:<10} {rate:>10.0} a second");
    }
    Some(())
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let how = arguments.next().unwrap_or_default();
    let rounds: u32 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    if how == "rate" {
        if rates().is_none() {
            eprintln!("a signature was not accepted");
        }
        return;
    }
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let secret = Secret::new(SECRET);
    let Some(scheme) = scheme("sqreen") else { return };
    let (name, value) = sign_body(scheme, &secret, &body);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&value) {
        headers.insert(name, value);
    }
    let Ok(verifier) = Verifier::new(scheme, std::slice::from_ref(&secret), None) else { return };
    let Ok(keyed) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else { return };
    let mut accepted = 0u32;
    for _ in 0..rounds {
        let request = black_box(request(headers.clone(), &body));
        accepted += match how.as_str() {
            "hand" => u32::from(by_hand(&keyed, &request).is_some()),
            "preset" => u32::from(verifier.verify(request).is_ok()),
            _ => 1,
        };
    }
    println!("{how}: {accepted} of {rounds} accepted");
}
