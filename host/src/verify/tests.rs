//! Known vectors, every form of a signature that is refused, and guesses.

use super::*;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use proptest::prelude::*;

use crate::model::Timestamp;

const BODY: &[u8] = br#"[{"message_type": "test"}]"#;
const HEADER: &str = "x-sqreen-integrity";

fn sqreen() -> &'static Scheme {
    scheme("sqreen").unwrap()
}

fn verifier(secrets: &[&str]) -> Verifier {
    Verifier::new(sqreen(), secrets.iter().map(|s| Secret::new(*s)).collect()).unwrap()
}

fn request(values: &[&[u8]], body: &[u8]) -> Request {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
    }
    Request {
        source: Arc::from("sqreen"),
        method: http::Method::POST,
        headers,
        body: Bytes::copy_from_slice(body),
        received_at: Timestamp::from_millis(0),
    }
}

fn signature(secret: &str, body: &[u8]) -> String {
    sign(sqreen(), &Secret::new(secret), body).1
}

/// Vectors that anybody can recompute with another HMAC.
#[test]
fn signs_as_known_vectors_say() {
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
            sign(sqreen(), &Secret::new(secret), body.as_bytes()),
            (HEADER, expected.to_owned())
        );
        let verified =
            verifier(&[secret]).verify(request(&[expected.as_bytes()], body.as_bytes())).unwrap();
        assert_eq!((verified.scheme().name, verified.key()), ("sqreen", 0));
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
    let header = HEADER;
    let mut latin1 = good.clone().into_bytes();
    latin1[63] = 0xE9;
    let mut letter = good.clone().into_bytes();
    letter[0] = b'g';
    let malformed = Refused::Malformed { header, expected: "hexadecimal number" };
    let length = |found| Refused::Length { header, found, expected: 64 };
    let table: Vec<(Vec<&[u8]>, Refused)> = vec![
        (vec![], Refused::Missing { header }),
        (vec![b""], Refused::Empty { header }),
        (vec![good.as_bytes(), good.as_bytes()], Refused::Doubled { header, times: 2 }),
        (vec![b"", good.as_bytes(), b""], Refused::Doubled { header, times: 3 }),
        (vec![cut.as_bytes()], length(43)),
        (vec![longer.as_bytes()], length(65)),
        (vec![prefixed.as_bytes()], length(71)),
        (vec![b"HMU9gGsZNFXIa5JmdDLKIU8Pt3KIomW+sQapKABLRgA="], length(44)),
        (vec![spaced.as_bytes()], malformed),
        (vec![&latin1], malformed),
        (vec![&letter], malformed),
        (vec![flipped.as_bytes()], Refused::Mismatch),
    ];
    for (values, expected) in table {
        let verifier = verifier(&["s"]);
        let request = request(&values, BODY);
        let prechecked = verifier.precheck(&request.headers);
        assert_eq!(prechecked.err(), Some(expected).filter(|r| *r != Refused::Mismatch));
        assert_eq!(verifier.verify(request).unwrap_err(), expected, "{values:?}");
    }
}

#[test]
fn a_changed_byte_is_another_body() {
    let good = signature("s", BODY);
    for body in [&b"[{\"message_type\":\"test\"}]"[..], b"[{\"message_type\": \"test\"}]\n", b""] {
        let refused = verifier(&["s"]).verify(request(&[good.as_bytes()], body)).unwrap_err();
        assert_eq!(refused, Refused::Mismatch);
    }
}

#[test]
fn cannot_be_built_without_a_usable_secret() {
    let build = |secrets: &[&str]| {
        Verifier::new(sqreen(), secrets.iter().map(|s| Secret::new(*s)).collect()).unwrap_err()
    };
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

#[test]
fn a_row_of_the_table_can_be_found_and_used() {
    for row in SCHEMES {
        assert!(std::ptr::eq(scheme(row.name).unwrap(), row), "two schemes named {}", row.name);
        assert_eq!(row.header, row.header.to_ascii_lowercase());
        assert!(row.signed.contains(&Part::Body), "{}: the body is not covered", row.name);
        assert!(!row.methods.is_empty());
    }
    assert!(scheme("Sqreen").is_none());
}

proptest! {
    #[test]
    fn never_panics_and_never_lets_a_guess_in(
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
