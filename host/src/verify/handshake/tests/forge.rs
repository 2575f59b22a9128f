//! Tries to forge requests with the answers to handshakes.
//!
//! A forger chooses every part of a request, asks the handshake to sign the bytes that the request's signature must
//! cover, and sends the request with each text of the answer as its signature.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, Method};
use proptest::prelude::*;
use proptest::sample::select;
use ring::rand::SystemRandom;

use super::super::super::claim::Claims;
use super::super::super::codec::{unbase64, unhex};
use super::super::super::message::{Message, stamp_text};
use super::super::super::question::Asking;
use super::super::super::{
    Asked, Encoding, Part, Proof, Question, Reply, Scheme, Signature, Signer, Spot, Stamp, StampIn,
    Unit, Unsigned, id, inside_text,
};
use super::super::*;
use crate::config::vendors::{scheme, schemes};
use crate::model::{Request, Timestamp};

/// Valid as text, as hexadecimal digits and as base64.
const SECRETS: [&str; 2] = ["00ff00ff", "11ff11ff"];
/// The forger does not know a secret.
const GUESS: &str = "22ff22ff";
const VERIFY_TOKEN: &str = "chosen-by-us";
const URL: &str = "https://hooks.example.org";
const NOW: Timestamp = Timestamp::from_millis(1_768_469_400_000);
const HANDSHAKES: [Handshake; 12] = [
    Handshake::SlackUrlVerification,
    Handshake::ZoomUrlValidation,
    Handshake::TwitchChallenge,
    Handshake::MetaHubChallenge,
    Handshake::DiscordPing,
    Handshake::GithubPing,
    Handshake::OktaVerification,
    Handshake::HcpTest,
    Handshake::NotionToken,
    Handshake::AsanaSecret,
    Handshake::EventGridValidation,
    Handshake::XCrc,
];
const CONTENT_TYPES: [Option<&str>; 6] = [
    None,
    Some("application/json"),
    Some("application/x-www-form-urlencoded"),
    Some("multipart/form-data; boundary=bb"),
    Some("text/plain"),
    Some("application/cloudevents-batch+json"),
];
const ENCODINGS: [Option<&str>; 6] =
    [None, Some("gzip"), Some("zstd"), Some("br"), Some("deflate"), Some("identity")];
const BODIES: [&str; 8] = [
    "forged_event_1",
    "--bb--",
    "1768469400",
    "true",
    "",
    "{\"type\":\"forged\"}",
    "a=1&b=2",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];

/// Questions as data, with each form of the answer, which repeat the token from each place.
fn questions() -> Vec<Question> {
    let header = HeaderName::from_static("x-asked");
    let places = [
        Asked::Header(header.clone()),
        Asked::Inside(Spot::Query("asked".into())),
        Asked::Inside(Spot::Json("/asked".into())),
        Asked::Inside(Spot::Form("asked".into())),
    ];
    let replies = [Reply::Text, Reply::Json("asked".into()), Reply::Header(header)];
    let pairs = places.iter().flat_map(|place| replies.iter().map(move |reply| (place, reply)));
    let question = |(place, reply): (&Asked, &Reply)| Question {
        method: Method::GET,
        has: Vec::new(),
        repeat: Some(place.clone()),
        reply: reply.clone(),
        unsigned: true,
    };
    pairs.map(question).collect()
}

/// The scheme with another handshake.
fn with(scheme: &Scheme, handshake: Option<Handshake>) -> Arc<Scheme> {
    Arc::new(Scheme { handshake, ..scheme.clone() })
}

/// Schemes that a user could write, which sign each kind of part.
fn own() -> Vec<Scheme> {
    let x = scheme("x").unwrap();
    let header = HeaderName::from_static("x-part");
    let lists = [
        vec![Part::Body],
        vec![Part::Stamp, Part::Body],
        vec![Part::Id, Part::Body],
        vec![Part::Id, Part::Stamp, Part::Body],
        vec![Part::Literal("v0_".into()), Part::Body],
        vec![Part::Literal("v0:".into()), Part::Body],
        vec![Part::Method, Part::Body],
        vec![Part::Header(header), Part::Body],
        vec![Part::StampIfSent(".".into()), Part::Body],
        vec![Part::BodySha256Hex],
        vec![Part::Stamp, Part::BodySha256Hex],
        vec![Part::SortedForm { always: "AccountSid".into() }],
        vec![Part::Text(vec![Spot::Json("/text".into())])],
        vec![Part::Value { pointer: "/text".into(), open: false }],
        vec![Part::Text(vec![
            Spot::Form("a".into()),
            Spot::Query("a".into()),
            Spot::Json("/text".into()),
        ])],
        vec![Part::Stamp, Part::Text(vec![Spot::Json("/text".into())])],
        vec![Part::Url, Part::Body],
        vec![Part::Path, Part::Body],
        vec![Part::ListedHeaders(HeaderName::from_static("x-listed")), Part::Body],
    ];
    let scheme = |signed: Vec<Part>| {
        let is_stamp = |part: &Part| {
            matches!(part, Part::Stamp | Part::StampIfSent(_) | Part::ListedHeaders(_))
        };
        let stamp = signed.iter().any(is_stamp).then(|| Stamp {
            place: StampIn::Headers(vec![HeaderName::from_static("x-time")]),
            unit: Unit::Seconds,
            past_s: 300,
            future_s: 300,
            covered: true,
            optional: false,
        });
        let Proof::Signature(signature) = &x.proof else { panic!("x signs") };
        let proof = Proof::Signature(Signature { signed, stamp, ..signature.clone() });
        Scheme { proof, id: vec![HeaderName::from_static("x-id")], ..(**x).clone() }
    };
    lists.into_iter().map(scheme).collect()
}

/// Every scheme with a secret that can also sign: the built-in ones, with the handshake of their vendor and with every
/// other, and a user's own with every handshake.
fn all() -> Vec<Arc<Scheme>> {
    let is_shared = |scheme: &Scheme| {
        let signature = scheme.signature();
        signature.is_some_and(|signature| signature.marks[0].algorithm.is_symmetric())
    };
    let built_in = schemes().iter().map(|scheme| (**scheme).clone()).filter(is_shared);
    let every = |scheme: Scheme| HANDSHAKES.map(|handshake| with(&scheme, Some(handshake)));
    built_in.chain(own()).flat_map(every).collect()
}

fn verifier(scheme: &Arc<Scheme>) -> Verifier {
    let verifier = Verifier::new(scheme, &SECRETS.map(Secret::new), Some(URL)).unwrap();
    verifier.with_verify_token(Some(&Secret::new(VERIFY_TOKEN))).with_questions(questions(), false)
}

fn request(path: &str, headers: HeaderMap, body: Bytes) -> Request {
    let (source, uri) = (Arc::from("source"), path.parse().unwrap());
    Request { source, method: Method::POST, uri, headers, body, received_at: NOW }
}

/// A complete request that is signed with this secret; `None` if the scheme cannot sign this body.
fn signed(scheme: &Arc<Scheme>, secret: &str, body: &str, more: &HeaderMap) -> Option<Request> {
    let random = SystemRandom::new();
    let signer = Signer::new(scheme, &Secret::new(secret), &random).unwrap();
    let path = "/source";
    let headers = more.clone();
    let unsigned = Unsigned {
        method: Method::POST,
        public_url: Some(URL),
        path,
        headers,
        body: body.as_bytes(),
        now: NOW,
        id: "id-1",
    };
    let signed = signer.sign(unsigned, &random).ok()?;
    let mut headers = more.clone();
    for (name, value) in signed.headers {
        headers.insert(name, value.parse().unwrap());
    }
    let body = signed.body.map_or_else(|| Bytes::copy_from_slice(body.as_bytes()), Bytes::from);
    Some(request(signed.path.as_deref().unwrap_or(path), headers, body))
}

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), value.parse().unwrap())
    };
    list.iter().map(header).collect()
}

/// All texts in the answers to every question about this token. The vendor is assumed to sign any question.
fn answers(scheme: &Arc<Scheme>, token: &str) -> Vec<String> {
    let verifier = verifier(scheme);
    let query = format!("crc_token={token}&hub.challenge={token}&hub.verify_token={VERIFY_TOKEN}");
    let mut answers: Vec<Answer> = Vec::new();
    if let Ok(uri) = format!("/source?{query}").parse() {
        answers.extend(verifier.answer_unsigned(&uri).ok().flatten());
    }
    let asked = token.parse().map(|token| [(HeaderName::from_static("x-asked"), token)]);
    let asked: HeaderMap = asked.into_iter().flatten().collect();
    let json = serde_json::json!({ "asked": token }).to_string();
    for (path, body) in [
        (format!("/source?asked={token}"), String::new()),
        ("/source".to_owned(), format!("asked={token}")),
        ("/source".to_owned(), json),
    ] {
        if path.parse::<Uri>().is_ok() {
            let asking = request(&path, asked.clone(), Bytes::from(body));
            let asking = Request { method: Method::GET, ..asking };
            answers.extend(
                verifier
                    .questions
                    .iter()
                    .filter_map(|question| question.answer(Asking::whole(&asking)).ok().flatten()),
            );
        }
    }
    let mut more = headers(&[
        ("twitch-eventsub-message-type", "webhook_callback_verification"),
        ("x-part", "part"),
    ]);
    more.extend(
        token
            .parse()
            .ok()
            .map(|token| (HeaderName::from_static("x-okta-verification-challenge"), token)),
    );
    for kind in ["url_verification", "1"] {
        let question = serde_json::json!({
            "type": kind, "challenge": token, "event": "endpoint.url_validation", "text": "a:b",
            "payload": {"plainToken": token}, "verification_token": token,
        });
        for secret in SECRETS {
            let asked = signed(scheme, secret, &question.to_string(), &more);
            let verified = asked.and_then(|asked| verifier.verify(asked).ok());
            let answer = verified.map(|verified| verifier.answer(&verified));
            answers.extend(answer.and_then(|answer| answer.ok().flatten()));
        }
    }
    let header = |answer: &Answer| answer.header.as_ref().map(|(_, value)| value.clone());
    let headers: Vec<String> = answers.iter().filter_map(header).collect();
    let texts = answers.iter().flat_map(|answer| answer.body.split('"')).map(str::to_owned);
    texts.chain(headers).collect()
}

/// The bytes that the signature of a request must cover.
fn message(scheme: &Scheme, request: &Request) -> Option<Vec<u8>> {
    let signature = scheme.signature()?;
    let in_body = inside_text(signature, request).ok()?;
    let claims = Claims::find(signature, &request.headers, in_body.as_deref()).ok()?;
    let stamp = stamp_text(signature, &request.headers, &claims).ok()?;
    let id = id(scheme, signature, &request.headers, claims.set).ok()?;
    Some(Message::new(signature, request, id, stamp, Some(URL)).ok()?.bytes(0))
}

/// The request with another signature, and with headers that say how to read its body.
fn resigned(scheme: &Scheme, request: &Request, mac: &[u8], read_as: &HeaderMap) -> Request {
    let signature = scheme.signature().unwrap();
    let write = |mac: &[u8]| match signature.encoding {
        Encoding::Hex => hex(mac),
        Encoding::Base64 => base64(mac),
    };
    let guess = Key::of(&signature.marks, &Secret::new(GUESS)).unwrap();
    let in_body = inside_text(signature, request).unwrap();
    let claims = Claims::find(signature, &request.headers, in_body.as_deref()).unwrap();
    let stamp = stamp_text(signature, &request.headers, &claims).unwrap();
    let id = id(scheme, signature, &request.headers, claims.set).unwrap();
    let message = Message::new(signature, request, id, stamp, Some(URL)).unwrap();
    let before = write(guess.digest(&message, 0).unwrap().bytes());
    let mut forged = request.clone();
    for value in forged.headers.values_mut() {
        let text = value.to_str().unwrap_or_default().replace(&before, &write(mac));
        *value = text.parse().unwrap();
    }
    let body = String::from_utf8_lossy(&forged.body).replace(&before, &write(mac));
    forged.body = Bytes::from(body);
    forged.headers.extend(read_as.clone());
    forged
}

/// Tries everything with this body. How many requests would be accepted without the rule against tokens.
fn forge(scheme: &Arc<Scheme>, body: &str, read_as: &[HeaderMap]) -> usize {
    // What the forger and a verifier without the rule know of the scheme.
    let bare = with(scheme, None);
    let (ruled, bare_verifier) = (verifier(scheme), verifier(&bare));
    let Some(request) = signed(&bare, GUESS, body, &headers(&[("x-part", "part")])) else {
        return 0;
    };
    let Some(covered) = message(&bare, &request) else { return 0 };
    let Ok(token) = String::from_utf8(covered) else { return 0 };
    let mut accepted = 0;
    for answer in answers(scheme, &token) {
        let text = answer.strip_prefix("sha256=").unwrap_or(&answer);
        for mac in [unhex(text), unbase64(text), Some(text.as_bytes().to_vec())] {
            for read_as in read_as {
                let Some(mac) = &mac else { continue };
                let forged = resigned(&bare, &request, mac, read_as);
                accepted += usize::from(bare_verifier.verify(forged.clone()).is_ok());
                let refused = ruled.verify(forged).map(|verified| verified.into_request());
                assert!(refused.is_err(), "{}: {refused:?}", scheme.name);
            }
        }
    }
    accepted
}

/// Headers with each content type and each encoding.
fn readings() -> Vec<HeaderMap> {
    let pairs = CONTENT_TYPES.iter().flat_map(|kind| ENCODINGS.map(|encoding| (kind, encoding)));
    let reading = |(kind, encoding): (&Option<&str>, Option<&str>)| {
        let kind = kind.map(|kind| ("content-type", kind));
        let encoding = encoding.map(|encoding| ("content-encoding", encoding));
        headers(&kind.into_iter().chain(encoding).collect::<Vec<_>>())
    };
    pairs.map(reading).collect()
}

#[test]
fn no_answer_of_a_built_in_scheme_forges_a_request() {
    let readings = readings();
    for scheme in schemes().iter().filter(|scheme| scheme.handshake.is_some()) {
        if scheme.signature().is_none_or(|signature| !signature.marks[0].algorithm.is_symmetric()) {
            continue;
        }
        let accepted: usize = BODIES.iter().map(|body| forge(scheme, body, &readings)).sum();
        let is_x = scheme.handshake == Some(Handshake::XCrc);
        assert_eq!(accepted > 0, is_x, "{}: without the rule, {accepted} pass", scheme.name);
    }
}

#[test]
fn no_answer_of_a_scheme_of_ones_own_forges_a_request() {
    let readings = readings();
    let mut accepted = 0;
    for scheme in own() {
        for handshake in HANDSHAKES {
            let scheme = with(&scheme, Some(handshake));
            accepted +=
                BODIES.iter().map(|body| forge(&scheme, body, &readings[..1])).sum::<usize>();
        }
    }
    assert!(accepted >= 50, "without the rule, only {accepted} pass");
}

#[test]
fn a_body_that_is_not_a_token_is_still_accepted() {
    for scheme in all() {
        let body = "{\"text\":\"a:b\",\"type\":\"event\"}";
        let Some(request) = signed(&scheme, SECRETS[1], body, &headers(&[("x-part", "part")]))
        else {
            let only = scheme.signature().is_some_and(Signature::signs_only_tokens);
            // Mailgun signs a time and a random text: tokens, as long as the text is one.
            assert!(only || &*scheme.name == "mailgun", "{}: {:?}", scheme.name, scheme.handshake);
            continue;
        };
        let refused = verifier(&scheme).verify(request).err();
        assert_eq!(refused, None, "{}: {:?}", scheme.name, scheme.handshake);
    }
}

#[test]
fn a_source_with_the_same_secret_refuses_what_the_handshake_signs() {
    let (x, github) = (scheme("x").unwrap(), scheme("github").unwrap());
    let asked = verifier(x);
    let answers = answers(x, "forged_event_1");
    let mac = answers.iter().find_map(|text| unbase64(text.strip_prefix("sha256=")?));
    let mut other = verifier(github);
    assert!(other.is_forged_by(&asked));
    let body = Bytes::from_static(b"forged_event_1");
    let signature = format!("sha256={}", hex(&mac.unwrap()));
    let forged =
        || request("/source", headers(&[("x-hub-signature-256", &signature)]), body.clone());
    assert!(other.verify(forged()).is_ok());
    other.refuse_tokens();
    assert_eq!(other.verify(forged()).err(), Some(VerifyRefusal::SignedOnRequest));
    let honest = signed(github, SECRETS[1], "{\"a\":1}", &HeaderMap::new()).unwrap();
    assert!(other.verify(honest).is_ok());

    let twitter = verifier(scheme("twitter").unwrap());
    let token = verifier(scheme("token").unwrap());
    let elsewhere = Verifier::new(github, &[Secret::new(GUESS)], None).unwrap();
    for safe in [&other, &twitter, &token, &elsewhere] {
        assert!(!safe.is_forged_by(&asked), "{safe:?}");
    }
    assert!(!verifier(github).is_forged_by(&verifier(scheme("zoom").unwrap())));
}

proptest! {
    #[test]
    fn no_token_forges_a_request(
        scheme in select(all()),
        body in "[A-Za-z0-9_-]{1,128}|[ -~]{0,40}|\\{\"text\":\"[A-Za-z0-9_-]{1,40}\"\\}|-?[0-9]{1,20}",
        kind in select(&CONTENT_TYPES), encoding in select(&ENCODINGS),
    ) {
        let kind = kind.map(|kind| ("content-type", kind));
        let encoding = encoding.map(|encoding| ("content-encoding", encoding));
        let reading = headers(&kind.into_iter().chain(encoding).collect::<Vec<_>>());
        forge(&scheme, &body, &[reading]);
    }
}
