//! Decompresses any bytes with one or two content codings, of requests whose body is signed or not. The result is a
//! body within its limit, or a reason.
#![no_main]

use bytes::Bytes;
use dispatcher::config::vendors;
use dispatcher::ingest;
use dispatcher::model::{Request, Timestamp};
use dispatcher::normalize::UnsignedTypes;
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

/// Longest decompressed body, in bytes.
const BYTES_MAX: usize = 1 << 20;
const CODINGS: [&str; 6] = ["gzip", "deflate", "br", "zstd", "gzip, br", "zstd, deflate"];

fuzz_target!(|input: &[u8]| {
    let Some((number, body)) = dispatcher_fuzz::choice(input) else { return };
    let mut headers = HeaderMap::new();
    let coding = HeaderValue::from_static(CODINGS[number % CODINGS.len()]);
    headers.insert(CONTENT_ENCODING, coding);
    let request = Request {
        source: "fuzz".into(),
        method: http::Method::POST,
        uri: http::Uri::default(),
        headers,
        body: Bytes::copy_from_slice(body),
        received_at: Timestamp::default(),
    };
    let sender = vendors::sender("json").unwrap();
    for scheme in ["token", "github"] {
        let sender = sender.limited(&vendors::scheme(scheme).unwrap().coverage(), UnsignedTypes::Ignored);
        if let Ok(body) = ingest::decoded(&sender, &request, BYTES_MAX) {
            assert!(body.len() <= BYTES_MAX);
        }
    }
});
