//! Tokens that are made with real keys, and every change of one: each is refused with its own sentence.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::json;

use super::super::{ClaimValue, NoKeys, Proof, Scheme, Verifier, plain_schemes};
use super::*;
use crate::model::Request;

const NOW_S: u64 = 1_768_469_400;
const PLACE: &str = "https://issuer.example.org/keys";
const RSA_KEY: &str = include_str!("../../../../tests/fixtures/rsa-key-of-the-tests.pem");

fn url64(bytes: &[u8]) -> String {
    let text = super::super::codec::base64(bytes);
    text.replace('+', "-").replace('/', "_").replace('=', "")
}

struct Keys {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    random: SystemRandom,
}

impl Keys {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pem = &RSA_KEY[RSA_KEY.find("-----BEGIN").unwrap()..];
        let rsa = RsaKeyPair::from_pkcs8(&super::super::public::bytes(pem).unwrap()).unwrap();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let ec = EcdsaKeyPair::from_pkcs8(algorithm, ec.as_ref(), &random).unwrap();
        Self { rsa, ec, random }
    }

    /// The published form of both, as `rsa` and `ec`.
    fn published(&self) -> Vec<Value> {
        let RsaPublicKeyComponents { n, e } =
            RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let point = self.ec.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        vec![
            json!({ "kty": "RSA", "kid": "rsa", "use": "sig", "n": url64(&n), "e": url64(&e) }),
            json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": url64(x), "y": url64(y) }),
        ]
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let rsa = |padding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &self.random, message, &mut signature).unwrap();
            signature
        };
        match algorithm {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "PS256" => rsa(&RSA_PSS_SHA256),
            _ => self.ec.sign(&self.random, message).unwrap().as_ref().to_vec(),
        }
    }

    /// A token of these texts, signed by that algorithm whatever they say.
    fn token(&self, algorithm: &str, head: &str, claims: &str) -> String {
        let signed = format!("{}.{}", url64(head.as_bytes()), url64(claims.as_bytes()));
        let signature = url64(&self.sign(algorithm, signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::of_json(PLACE.into(), json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn jwt() -> Jwt {
    let claim = |name: &'static str, value| WantedClaim {
        names: name.split('|').map(Into::into).collect(),
        values: vec![value],
    };
    Jwt {
        keys_url: Some(PLACE.into()),
        issuer: vec!["https://issuer.example.org".into(), "issuer.example.org".into()],
        audience: vec!["us".into()],
        claims: vec![
            claim("email", ClaimValue::Text("push@example.org".into())),
            claim("email_verified", ClaimValue::Truth(true)),
            claim("azp|appid", ClaimValue::Text("hooks".into())),
        ],
        source_claims: vec!["email".into()],
    }
}

fn verifier(jwt: Jwt) -> Verifier {
    let [.., none] = plain_schemes();
    let scheme = Scheme { name: "tokens".into(), proof: Proof::Jwt(jwt), ..none };
    Verifier::new(&Arc::new(scheme), &[], None).unwrap()
}

fn request(authorization: &[u8]) -> Request {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(authorization) {
        headers.insert(header::AUTHORIZATION, value);
    }
    Request {
        source: Arc::from("tokens"),
        method: Method::POST,
        uri: Uri::from_static("/tokens"),
        headers,
        body: Bytes::from_static(b"{}"),
        received_at: Timestamp::from_millis(NOW_S * 1_000 + 999),
    }
}

fn head(algorithm: &str) -> Value {
    let kid = if algorithm == "ES256" { "ec" } else { "rsa" };
    json!({ "alg": algorithm, "kid": kid, "typ": "JWT" })
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example.org", "aud": "us", "sub": "1",
        "email": "push@example.org", "email_verified": true, "appid": "hooks",
        "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 3_600,
    })
}

/// Why a token is refused; empty if it is accepted.
fn refusal(keys: &KeySet, token: &str) -> String {
    let request = request(format!("Bearer {token}").as_bytes());
    let verifier = verifier(jwt());
    match verifier.verify_with(request.clone(), Some(keys)) {
        Ok(_) => {
            let wanted = verifier.wanted_key(&request).unwrap().unwrap();
            assert_eq!(&*wanted.place, PLACE, "no token chooses where keys are");
            String::new()
        }
        Err(refused) => refused.to_string(),
    }
}

#[test]
fn a_token_of_each_algorithm_is_accepted_and_none_without_its_key() {
    let keys = Keys::new();
    let published = set(&keys.published());
    for algorithm in ["RS256", "PS256", "ES256"] {
        let token = keys.token(algorithm, &head(algorithm).to_string(), &claims().to_string());
        assert_eq!(refusal(&published, &token), "", "{algorithm}");
        let verifier = verifier(jwt());
        let sent = || request(format!("bearer {token}").as_bytes());
        assert!(verifier.verify_with(sent(), Some(&published)).is_ok(), "the case of Bearer");
        assert!(verifier.precheck(&sent().headers, None, sent().received_at).is_ok());
        let refused = verifier.verify(sent()).unwrap_err().to_string();
        assert_eq!(refused, format!("the keys at {PLACE} are not here"));
        let text = json!({ "keys": keys.published() }).to_string();
        let elsewhere = KeySet::of_json("https://other.example".into(), text.as_bytes()).unwrap();
        let refused = verifier.verify_with(sent(), Some(&elsewhere)).unwrap_err().to_string();
        assert_eq!(refused, format!("the keys at {PLACE} are not here"));
        // Of others with the same name.
        let others = set(&Keys::new().published());
        if algorithm == "ES256" {
            assert!(refusal(&others, &token).contains("signature does not match"));
        }
    }
}

/// A change of a header or of claims, and a part of the sentence that refuses it.
type Change = (&'static str, Value, &'static str);

#[test]
fn each_change_of_the_header_is_refused_with_its_own_sentence() {
    let keys = Keys::new();
    let published = set(&keys.published());
    let changes: [Change; 19] = [
        ("alg", json!("none"), "it is not signed"),
        ("alg", json!("None"), "it is not signed"),
        ("alg", json!("HS256"), "is an HMAC"),
        ("alg", json!("hs512"), "is an HMAC"),
        ("alg", json!("RS1"), "not RS256, PS256 or ES256"),
        ("alg", json!("rs256"), "not RS256, PS256 or ES256"),
        ("alg", json!("ES384"), "not RS256, PS256 or ES256"),
        ("alg", json!(7), "`alg` is missing"),
        ("alg", Value::Null, "`alg` is missing"),
        ("alg", json!("ES256"), "is not for ES256"),
        ("alg", json!("PS256"), "signature does not match"),
        ("kid", Value::Null, "`kid`, the name of its key"),
        ("kid", json!(""), "`kid`, the name of its key"),
        ("kid", json!("k".repeat(257)), "`kid`, the name of its key"),
        ("kid", json!("other"), "not among those that are published"),
        ("kid", json!("ec"), "is not for RS256"),
        ("crit", json!(["b64"]), "has `crit`"),
        ("typ", json!("logout+jwt"), "`typ` is neither"),
        ("typ", json!(1), "`typ` is neither"),
    ];
    for (name, value, expected) in changes {
        let mut head = head("RS256");
        head[name] = value.clone();
        let token = keys.token("RS256", &head.to_string(), &claims().to_string());
        let refused = refusal(&published, &token);
        assert!(refused.contains(expected), "{name} {value}: {refused}");
    }
    // What names or brings a key is not used.
    for (name, value) in [
        ("jku", json!("https://attacker.example/keys")),
        ("x5u", json!("https://attacker.example/cert")),
        ("jwk", keys.published()[0].clone()),
        ("typ", json!("application/AT+JWT")),
    ] {
        let mut head = head("RS256");
        head[name] = value;
        let token = keys.token("RS256", &head.to_string(), &claims().to_string());
        assert_eq!(refusal(&published, &token), "", "{name}");
        let forged = Keys { rsa: Keys::new().rsa, ..Keys::new() };
        let forged = forged.token("ES256", &head.to_string(), &claims().to_string());
        assert!(refusal(&published, &forged).contains("signature does not match"), "{name}");
    }
}

#[test]
fn each_change_of_the_claims_is_refused_with_its_own_sentence() {
    let keys = Keys::new();
    let published = set(&keys.published());
    let changes: [Change; 29] = [
        ("iss", json!("https://issuer.example.org/"), "`iss` is not `https://issuer.example.org`"),
        ("iss", json!(["https://issuer.example.org"]), "`iss` is not"),
        ("iss", Value::Null, "`iss` is not"),
        ("aud", json!("them"), "`aud` is not `us`"),
        ("aud", json!(["them", "other"]), "`aud` is not `us`"),
        ("aud", json!([]), "`aud` is not `us`"),
        ("aud", json!("US"), "`aud` is not `us`"),
        ("aud", Value::Null, "`aud` is not `us`"),
        ("email", json!("other@example.org"), "`email` is missing"),
        ("email", json!("Push@example.org"), "`email` is missing"),
        ("email", json!("push@example.org "), "`email` is missing"),
        ("email", json!({ "0": "push@example.org" }), "`email` is missing"),
        ("email", Value::Null, "`email` is missing"),
        ("email_verified", json!(false), "`email_verified` is missing"),
        ("email_verified", json!("true"), "`email_verified` is missing"),
        ("email_verified", Value::Null, "`email_verified` is missing"),
        ("azp", json!("other"), "`azp` or `appid` is missing"),
        ("appid", json!("other"), "`azp` or `appid` is missing"),
        ("exp", json!(NOW_S - 60), "expired 60 s ago"),
        ("exp", json!(0), "expired"),
        ("exp", json!("9999999999"), "`exp` is not a number"),
        ("exp", json!(-1), "`exp` is not a number"),
        ("exp", json!(1e300), "`exp` is not a number"),
        ("exp", Value::Null, "`exp` is not a number"),
        ("nbf", json!(NOW_S + 61), "`nbf` is 61 s in the future"),
        ("nbf", json!(true), "`nbf` is not a number"),
        ("iat", json!(NOW_S + 3_600), "`iat` is 3600 s in the future"),
        ("iat", json!([]), "`iat` is not a number"),
        ("nbf", json!(u64::MAX), "in the future"),
    ];
    for (name, value, expected) in changes {
        let mut claims = claims();
        claims[name] = value.clone();
        let token = keys.token("RS256", &head("RS256").to_string(), &claims.to_string());
        let refused = refusal(&published, &token);
        assert!(refused.contains(expected), "{name} {value}: {refused}");
    }
    for (name, expected) in [
        ("iss", "`iss`"),
        ("aud", "`aud`"),
        ("exp", "`exp` is missing"),
        ("email", "`email`"),
        ("email_verified", "`email_verified`"),
        ("appid", "`appid`"),
    ] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let token = keys.token("RS256", &head("RS256").to_string(), &claims.to_string());
        let refused = refusal(&published, &token);
        assert!(refused.contains(expected), "without {name}: {refused}");
    }
    for (name, value) in [
        ("aud", json!(["them", "us"])),
        ("iss", json!("issuer.example.org")),
        ("exp", json!(NOW_S - 59)),
        ("exp", json!(NOW_S as f64 + 0.5)),
        ("nbf", json!(NOW_S + 60)),
        ("azp", json!("hooks")),
        ("email", json!(["push@example.org"])),
        ("more", json!({ "a": [1] })),
    ] {
        let mut claims = claims();
        claims[name] = value.clone();
        let token = keys.token("RS256", &head("RS256").to_string(), &claims.to_string());
        assert_eq!(refusal(&published, &token), "", "{name} {value}");
    }
}

#[test]
fn a_token_of_another_form_is_refused_with_its_own_sentence() {
    let keys = Keys::new();
    let published = set(&keys.published());
    let (head, claims) = (head("RS256").to_string(), claims().to_string());
    let right = keys.token("RS256", &head, &claims);
    let [one, two, three] = right.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let doubled_head = head.replacen('{', r#"{"alg":"none","#, 1);
    let doubled = claims.replacen('{', r#"{"aud":"us","#, 1);
    let escaped = claims.replacen('{', r#"{"\u0061ud":"them","#, 1);
    for (token, expected) in [
        (String::new(), "three parts"),
        (format!("{one}.{two}"), "three parts"),
        (format!("{right}.{three}"), "three parts"),
        (format!("{one}.{two}."), "signature does not match"),
        (format!("{one}.{two}.{three}="), "signature of the token is not base64url"),
        (format!("{one}=.{two}.{three}"), "header of the token is not base64url"),
        (format!("{one}.{two}+.{three}"), "payload of the token is not base64url"),
        (format!("{one}.{two} .{three}"), "payload of the token is not base64url"),
        (format!(".{two}.{three}"), "header of the token is not a JSON object"),
        (format!("{one}..{three}"), "payload of the token is not a JSON object"),
        (format!("{}.{two}.{three}", url64(b"[]")), "header of the token is not a JSON object"),
        (format!("{one}.{}.{three}", url64(b"{}{}")), "payload of the token is not a JSON object"),
        (keys.token("RS256", &doubled_head, &claims), "header of the token has a name twice"),
        (keys.token("RS256", &head, &doubled), "payload of the token has a name twice"),
        (keys.token("RS256", &head, &escaped), "payload of the token has a name twice"),
        (format!("{right}{}", "A".repeat(TOKEN_CHARACTERS_MAX)), "more than 8192 characters"),
    ] {
        let refused = refusal(&published, &token);
        assert!(refused.contains(expected), "{token}: {refused}");
    }
    let verifier = verifier(jwt());
    for (value, expected) in [
        (String::new(), "is empty"),
        (right.clone(), "is not `Bearer`"),
        (format!("Basic {right}"), "is not `Bearer`"),
        (format!("Bearer  {right}"), "not base64url"),
    ] {
        let refused = verifier.verify_with(request(value.as_bytes()), Some(&published));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(expected), "{value}: {refused}");
    }
    let mut twice = request(format!("Bearer {right}").as_bytes());
    twice.headers.append(header::AUTHORIZATION, "Bearer x".parse().unwrap());
    let refused = verifier.verify_with(twice, Some(&published)).unwrap_err().to_string();
    assert!(refused.contains("is sent 2 times"), "{refused}");
}

#[test]
fn only_keys_for_signatures_of_a_safe_size_are_used() {
    let keys = Keys::new().published();
    let [rsa, ec] = &keys[..] else { panic!() };
    let with = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    let n = rsa["n"].as_str().unwrap();
    for key in [
        with(rsa, "use", json!("enc")),
        with(rsa, "key_ops", json!(["encrypt"])),
        with(rsa, "n", json!(&n[..170])),
        with(rsa, "n", json!(n.repeat(5))),
        with(rsa, "n", json!("")),
        with(rsa, "e", json!("AA")),
        with(rsa, "alg", json!(1)),
        with(rsa, "issuer", json!([])),
        with(rsa, "kid", json!(1)),
        with(rsa, "kid", Value::Null),
        with(rsa, "kty", json!("oct")),
        with(ec, "crv", json!("P-384")),
        with(ec, "x", ec["y"].clone()),
        json!(null),
        json!({ "kty": "oct", "kid": "rsa", "k": "c2VjcmV0" }),
    ] {
        let text = json!({ "keys": [key.clone()] }).to_string();
        let read = KeySet::of_json(PLACE.into(), text.as_bytes());
        assert_eq!(read.unwrap_err(), NoKeys::NoneUsable, "{key}");
        // It does not spoil the others.
        assert!(set(&[key, ec.clone()]).has("ec"));
    }
    for (text, expected) in [
        ("", NoKeys::NotASet),
        ("<html>", NoKeys::NotASet),
        ("[]", NoKeys::NotASet),
        ("{\"keys\":{}}", NoKeys::NotASet),
        ("{\"keys\":[]}", NoKeys::NoneUsable),
    ] {
        assert_eq!(KeySet::of_json(PLACE.into(), text.as_bytes()).unwrap_err(), expected, "{text}");
    }
    let many = json!({ "keys": vec![rsa.clone(); 65] }).to_string();
    assert_eq!(KeySet::of_json(PLACE.into(), many.as_bytes()).unwrap_err(), NoKeys::TooMany);
    // A key that is for one algorithm only.
    let own = Keys::new();
    let token = own.token("RS256", &head("RS256").to_string(), &claims().to_string());
    let for_ps = set(&[with(&own.published()[0], "alg", json!("PS256"))]);
    assert!(refusal(&for_ps, &token).contains("is not for RS256"));
    // A key that is for one issuer only, or for all of a family.
    let of = |issuer: &str| set(&[with(&own.published()[0], "issuer", json!(issuer))]);
    assert!(refusal(&of("issuer.example.org"), &token).contains("of another issuer"));
    assert!(refusal(&of(""), &token).contains("of another issuer"));
    assert_eq!(refusal(&of("https://issuer.example.org"), &token), "");
    assert_eq!(refusal(&of("https://login.example.org/{tenantid}/v2.0"), &token), "");
    // Two kinds of key may have one name.
    let shared = set(&[with(&own.published()[1], "kid", json!("rsa")), own.published()[0].clone()]);
    assert_eq!(refusal(&shared, &token), "");
}

#[test]
fn a_token_covers_nothing_of_the_request() {
    let verifier = verifier(jwt());
    let scheme = verifier.scheme();
    assert_eq!(scheme.covered_shown(), "nothing");
    assert_eq!(scheme.replay(), super::super::Replay::Open);
    assert!(!verifier.scheme().has_secrets() && verifier.needs_published_keys());
}

proptest! {
    #[test]
    fn no_byte_of_a_token_can_be_changed(at in 0usize..2_000, to in any::<u8>()) {
        let keys = Keys::new();
        let published = set(&keys.published());
        let token = keys.token("ES256", &head("ES256").to_string(), &claims().to_string());
        let mut bytes = token.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = to;
        let sent = request(&[b"Bearer ", &bytes[..]].concat());
        let accepted = verifier(jwt()).verify_with(sent, Some(&published)).is_ok();
        prop_assert_eq!(accepted, bytes == token.into_bytes());
    }

    #[test]
    fn no_text_causes_a_panic(
        text in "(Bearer )?[A-Za-z0-9_.=-]{0,60}", head in "[{}\\[\\]\":,a-z0-9 ]{0,30}", claims in "\\PC{0,30}",
    ) {
        let published = set(&Keys::new().published());
        let made = format!("Bearer {}.{}.AA", url64(head.as_bytes()), url64(claims.as_bytes()));
        for value in [text, made] {
            let sent = request(value.as_bytes());
            shown(&jwt(), &sent.headers);
            prop_assert!(verifier(jwt()).verify_with(sent, Some(&published)).is_err());
        }
        let _ = KeySet::of_json(PLACE.into(), claims.as_bytes());
    }
}
