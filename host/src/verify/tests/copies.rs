//! Tests that every copy of a request has the same repetition key, whatever of it is not signed.

use super::*;
use crate::model::RepetitionSeed;

/// Hexadecimal digits are also base64.
const OLD: &str = "00ff00ff";
const NEW: &str = "00ff00ee";
const URL: &str = "https://hooks.example.org";

fn signed_with(scheme: &Arc<Scheme>, secret: &str) -> Option<Request> {
    let random = SystemRandom::new();
    let signer = Signer::new(scheme, &Secret::new(secret), &random).ok()?;
    let body = br#"{"a": 1}"#;
    let unsigned = Unsigned {
        method: http::Method::POST,
        public_url: Some(URL),
        path: "/hook",
        headers: HeaderMap::new(),
        body,
        now: NOW,
        id: "7d444840",
    };
    let signed = signer.sign(unsigned, &random).ok()?;
    let headers = signed.headers.iter();
    let headers = headers.map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
    Some(Request {
        source: Arc::from("test"),
        method: http::Method::POST,
        uri: signed.path.as_deref().unwrap_or("/hook").parse().unwrap(),
        headers,
        body: signed.body.map_or_else(|| Bytes::from_static(body), Bytes::from),
        received_at: NOW,
    })
}

/// The request with the signatures of both, if the scheme allows several.
fn with_both(scheme: &Scheme, one: &Request, other: &Request) -> Option<Request> {
    let signature = scheme.signature()?;
    let separator = char::from(signature.separator?).to_string();
    let Place::First(names) = &signature.place else { return None };
    let name = names.first()?;
    let text = |request: &Request| request.headers[name].to_str().unwrap().to_owned();
    let (first, second) = (text(one), text(other));
    let known: Vec<&str> = first.split(&*separator).collect();
    let more = second.split(&*separator).filter(|element| !known.contains(element));
    let all: Vec<&str> = known.iter().copied().chain(more).collect();
    let mut both = one.clone();
    both.headers.insert(name, all.join(&separator).parse().unwrap());
    Some(both)
}

#[test]
fn a_copy_is_recognized_by_whichever_secret_and_signature_it_is_verified() {
    let (mut single, mut several) = (0, 0);
    for scheme in schemes() {
        if scheme.signature().is_none() {
            continue;
        }
        let (Some(old), Some(new)) = (signed_with(scheme, OLD), signed_with(scheme, NEW)) else {
            continue;
        };
        let both = with_both(scheme, &old, &new);
        (single, several) = (single + 1, several + usize::from(both.is_some()));
        let copies: Vec<Request> = [old, new].into_iter().chain(both).collect();
        let mut keys = Vec::new();
        for configured in [&[OLD][..], &[NEW, OLD], &[OLD, NEW], &[NEW]] {
            let Ok(verifier) = Verifier::new(scheme, &secrets(configured), Some(URL)) else {
                continue;
            };
            for copy in &copies {
                let verified = verifier.verify(copy.clone());
                keys.extend(
                    verified.map(|verified| verified.repetition_key(RepetitionSeed::default())),
                );
            }
        }
        let name = &scheme.name;
        assert!(keys.len() >= 6 && keys[0].is_some(), "{name}: {keys:?}");
        assert!(keys.iter().all(|key| *key == keys[0]), "{name}: {keys:?}");
    }
    assert!(single > 30 && several >= 3, "{single} {several}");
}

fn twilio(uri: &str, body: &str, signature: &str) -> Option<Verified> {
    let verifier = Verifier::new(scheme("twilio").unwrap(), &secrets(&["12345"]), Some(URL));
    let mut headers = HeaderMap::new();
    headers.insert("x-twilio-signature", signature.parse().unwrap());
    let request = Request {
        source: Arc::from("test"),
        method: http::Method::POST,
        uri: uri.parse().unwrap(),
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: NOW,
    };
    verifier.unwrap().verify(request).ok()
}

fn twilio_signature(uri: &str, body: &str) -> String {
    let random = SystemRandom::new();
    let signer = Signer::new(scheme("twilio").unwrap(), &Secret::new("12345"), &random).unwrap();
    let unsigned = Unsigned {
        method: http::Method::POST,
        public_url: Some(URL),
        path: uri,
        headers: HeaderMap::new(),
        body: body.as_bytes(),
        now: NOW,
        id: "1",
    };
    let signed = signer.sign(unsigned, &random).unwrap().headers;
    signed.into_iter().find(|(name, _)| name == "x-twilio-signature").unwrap().1
}

#[test]
fn a_form_that_is_written_in_another_way_is_a_copy() {
    let (uri, form) = ("/t?q='", "Body=hi+you&From=%2B1&MessageSid=SM1");
    let signature = twilio_signature(uri, form);
    let key = twilio(uri, form, &signature).unwrap().repetition_key(RepetitionSeed::default());
    for (uri, form) in [
        (uri, "MessageSid=SM1&From=%2B1&Body=hi+you"),
        (uri, "&Body=hi%20you&&From=%2b1&Message%53id=SM%31"),
        (uri, "Body=hi+you&From=%2B1&MessageSid=SM1&Body=hi+you"),
        // The signed text does not say where a name ends.
        (uri, "Bodyhi=+you&From=%2B1&MessageSid=SM1"),
        (uri, "Body=hi+you&From=%2B1&Messa=geSidSM1"),
        ("/t?q=%27", form),
    ] {
        let copy = twilio(uri, form, &signature).unwrap();
        assert_eq!(copy.repetition_key(RepetitionSeed::default()), key, "{uri} {form}");
        assert!(key.is_some() && copy.is_known_by_signature_alone(), "{uri} {form}");
    }
    let other = "Body=hi+you&From=%2B1&MessageSid=SM2";
    let other = twilio(uri, other, &twilio_signature(uri, other)).unwrap();
    assert_ne!(other.repetition_key(RepetitionSeed::default()), key);
}

#[test]
fn only_what_distinguishes_a_request_gives_a_key() {
    for (name, body, is_known) in [
        ("github", "x", true),
        ("github", "", false),
        ("slack", "", true),
        ("zendesk", "", true),
        ("standard-webhooks", "", true),
    ] {
        let (signer, verifier) = both(scheme(name).unwrap(), &SystemRandom::new());
        let request = signed(&signer, body.as_bytes(), "/hook", &SystemRandom::new());
        let key = verifier.verify(request).unwrap().repetition_key(RepetitionSeed::default());
        assert_eq!(key.is_some(), is_known, "{name} {body:?}");
    }
}

proptest! {
    /// Any order and any escapes of the same fields have the same key.
    #[test]
    fn a_reordered_and_escaped_form_has_the_same_key(
        fields in proptest::collection::vec(("[A-Za-z]{1,6}", "[a-z &=+'é]{0,6}"), 1..6),
        turn in 0usize..6, escapes in any::<u32>(),
    ) {
        let written = |escapes: u32, turn: usize| {
            let mut fields: Vec<String> = fields.iter().map(|(name, value)| {
                let value: String = value.bytes().enumerate().map(|(at, byte)| {
                    let plain = byte.is_ascii_lowercase() && escapes >> (at % 32) & 1 == 0;
                    if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
                }).collect();
                format!("{name}={value}")
            }).collect();
            let turn = turn % fields.len();
            fields.rotate_left(turn);
            fields.join("&")
        };
        let (first, again) = (written(0, 0), written(escapes, turn));
        let signature = twilio_signature("/t", &first);
        let key = twilio("/t", &first, &signature).unwrap().repetition_key(RepetitionSeed::default());
        let copy = twilio("/t", &again, &signature).map(|copy| copy.repetition_key(RepetitionSeed::default()));
        prop_assert_eq!(copy, Some(key), "{} {}", first, again);
    }
}
