//! Reads any PROXY header, and any `X-Forwarded-For` and `Forwarded` of a trusted proxy.
//!
//! The first byte chooses between them. More bytes never change what a PROXY header says, and what a sender writes at the
//! left of a list never changes who sent the request.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use dispatcher::model::Cidr;
use dispatcher::net::{forwarded, proxy};
use http::{HeaderName, HeaderValue, header};
use libfuzzer_sys::fuzz_target;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The headers for which digits stand.
const KNOWN: [HeaderName; 2] = [X_FORWARDED_FOR, header::FORWARDED];
const HOP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

static TRUSTED: LazyLock<[Cidr; 2]> = LazyLock::new(|| {
    ["10.0.0.0/8", "2001:db8::/64"].map(|range| range.parse().expect("the range is valid"))
});

fuzz_target!(|input: &[u8]| {
    match dispatcher_fuzz::choice(input) {
        Some((number, rest)) if number % 2 == 0 => proxy_header(rest),
        Some((_, rest)) => forwarded_lists(rest),
        None => {}
    }
});

fn proxy_header(text: &[u8]) {
    let whole = proxy::parse(text);
    match whole {
        proxy::Header::Complete { bytes, .. } => {
            assert!(bytes <= text.len().min(proxy::BYTES_MAX));
            assert_eq!(proxy::parse(&text[..bytes]), whole);
            for end in 0..bytes {
                assert_eq!(proxy::parse(&text[..end]), proxy::Header::Incomplete);
            }
        }
        proxy::Header::Incomplete => assert!(text.len() < proxy::BYTES_MAX),
        proxy::Header::Invalid(_) => {}
    }
}

fn forwarded_lists(input: &[u8]) {
    let (headers, _) = dispatcher_fuzz::request(input, &KNOWN);
    // Without a trusted proxy nothing is read.
    assert_eq!(forwarded::client(&headers, STRANGER, &*TRUSTED), Some(STRANGER));
    let client = forwarded::client(&headers, HOP, &*TRUSTED);
    let Some(client) = client.filter(|client| !TRUSTED.iter().any(|range| range.contains(*client))) else {
        return;
    };
    let mut forged = headers.clone();
    for (name, entry) in [(X_FORWARDED_FOR, &b"198.51.100.1, "[..]), (header::FORWARDED, b"for=198.51.100.1, ")] {
        // A list without an entry is as if there were none: then what is added is not at its left, but a list that the
        // sender alone wrote, which may contradict the other.
        let is_entry = |value: &HeaderValue| value.as_bytes().iter().any(|byte| !b" \t,".contains(byte));
        if !headers.get_all(&name).iter().any(is_entry) {
            continue;
        }
        let Some(first) = forged.get_mut(&name) else { continue };
        let value = [entry, first.as_bytes()].concat();
        *first = HeaderValue::from_bytes(&value).expect("it was a value before");
    }
    assert_eq!(forwarded::client(&forged, HOP, &*TRUSTED), Some(client));
}
