//! Checks the answer to each vendor's question, and that no answer is useful to a forger.

mod forge;

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use proptest::prelude::*;
use ring::rand::SystemRandom;

use super::super::{REPEAT_BYTES_MAX, Signer, Unsigned};
use super::*;
use crate::config::vendors::scheme;
use crate::model::{Request, Timestamp};

const SECRET: &str = "not-a-real-secret";
/// Made with openssl, see below.
const ZOOM_ENCRYPTED: &str = "5c60e2f8e51bc255c11491273f33b50f223b6f4a023f9c46fa858fa078031ddd";
const NOW: Timestamp = Timestamp::from_millis(1_768_469_400_000);

fn verifier(name: &str) -> Verifier {
    Verifier::new(scheme(name).unwrap(), &[Secret::new(SECRET)], None).unwrap()
}

fn request(uri: &str, body: &[u8], headers: HeaderMap) -> Request {
    Request {
        source: Arc::from("source"),
        method: Method::POST,
        uri: uri.parse().unwrap(),
        headers,
        body: Bytes::copy_from_slice(body),
        received_at: NOW,
    }
}

/// The answer to a vendor that signs its question.
fn asked(
    name: &str,
    body: &str,
    more: &[(&'static str, &str)],
) -> Result<Option<Answer>, VerifyRefusal> {
    let verifier = verifier(name);
    let random = SystemRandom::new();
    let signer = Signer::new(scheme(name).unwrap(), &Secret::new(SECRET), &random).unwrap();
    let mut headers: HeaderMap = more
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    let unsigned = Unsigned {
        method: Method::POST,
        public_url: None,
        path: "/source",
        headers: headers.clone(),
        body: body.as_bytes(),
        now: NOW,
        id: "id-1",
    };
    for (name, value) in signer.sign(unsigned, &random).unwrap().headers {
        headers.insert(name, value.parse().unwrap());
    }
    let verified = verifier.verify(request("/source", body.as_bytes(), headers)).unwrap();
    verifier.answer(&verified)
}

#[test]
fn each_vendor_gets_the_answer_that_it_asks_for() {
    let slack = r#"{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}"#;
    let answer = asked("slack", slack, &[]).unwrap().unwrap();
    assert_eq!(answer.body, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P");

    let zoom = r#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680,"event":"endpoint.url_validation"}"#;
    let answer = asked("zoom", zoom, &[]).unwrap().unwrap();
    // printf qgg8vlvZRS6UYooatFL8Aw | openssl dgst -sha256 -hmac not-a-real-secret
    assert_eq!(
        answer.body,
        format!(
            "{{\"plainToken\":\"qgg8vlvZRS6UYooatFL8Aw\",\"encryptedToken\":\"{ZOOM_ENCRYPTED}\"}}"
        )
    );

    let twitch = r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{}}"#;
    let verification = ("twitch-eventsub-message-type", "webhook_callback_verification");
    let answer = asked("twitch", twitch, &[verification]).unwrap().unwrap();
    assert_eq!(
        (answer.content_type, &*answer.body),
        ("text/plain", "pogchamp-kappa-360noscope-vohiyo")
    );
    // The header is not signed, so it neither makes a question an event nor an event a question.
    let notification = ("twitch-eventsub-message-type", "notification");
    assert_eq!(asked("twitch", twitch, &[notification]), Ok(Some(answer)));
    for event in [
        r#"{"event":{},"subscription":{}}"#,
        r#"{"challenge":"c","event":{},"subscription":{}}"#,
        r#"{"challenge":"c","events":[{}],"subscription":{}}"#,
    ] {
        assert_eq!(asked("twitch", event, &[verification]), Ok(None));
    }

    for (name, event) in [
        ("slack", r#"{"type":"url_verification","challenge":"abc","token":"t","event":{}}"#),
        ("zoom", r#"{"event":"endpoint.url_validation","payload":{"plainToken":"a","object":{}}}"#),
    ] {
        assert_eq!(asked(name, event, &[]), Ok(None), "{event}");
    }

    // A ping of GitHub is an event.
    assert_eq!(asked("github", r#"{"zen":"Keep it logically awesome."}"#, &[]), Ok(None));
}

#[test]
fn discord_gets_the_answer_to_each_of_its_two_pings() {
    let pair = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let random = SystemRandom::new();
    let discord = scheme("discord").unwrap();
    let signer = Signer::new(discord, &Secret::new(pair), &random).unwrap();
    let public = Secret::new(signer.public_key().unwrap());
    let verifier = Verifier::new(discord, &[public], None).unwrap();
    for (body, expected) in [
        (r#"{"type":1,"id":"1","token":"t"}"#, Some((200, "{\"type\":1}"))),
        (r#"{"version":1,"application_id":"1","type":0}"#, Some((204, ""))),
        (r#"{"version":1,"type":1,"event":{"type":"APPLICATION_AUTHORIZED"}}"#, None),
        (r#"{"type":2,"data":{"name":"deploy"}}"#, None),
        (r#"{"type":1,"data":{"name":"deploy"}}"#, None),
        (r#"{"type":0,"event":{"type":"APPLICATION_AUTHORIZED"}}"#, None),
    ] {
        let unsigned = Unsigned {
            method: Method::POST,
            public_url: None,
            path: "/source",
            headers: HeaderMap::new(),
            body: body.as_bytes(),
            now: NOW,
            id: "id-1",
        };
        let signed = signer.sign(unsigned, &random).unwrap().headers;
        let headers = signed.into_iter().map(|(name, value)| (name, value.parse().unwrap()));
        let request = request("/source", body.as_bytes(), headers.collect());
        let verified = verifier.verify(request).unwrap();
        let answer = verifier.answer(&verified).unwrap();
        assert_eq!(answer.as_ref().map(|a| (a.status, &*a.body)), expected, "{body}");
    }
}

#[test]
fn a_question_with_get_is_answered_only_with_the_right_token() {
    let token = Secret::new("chosen-by-us");
    let meta = verifier("meta").with_verify_token(Some(&token));
    let ask = |verifier: &Verifier, query: &str| {
        let answer = verifier.answer_unsigned(&format!("/meta?{query}").parse().unwrap());
        answer.map(|answer| answer.map(|answer| answer.body))
    };
    let challenge = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=";
    assert_eq!(ask(&meta, &format!("{challenge}chosen-by-us")), Ok(Some("1158201444".to_owned())));
    assert_eq!(ask(&meta, &format!("{challenge}another")), Err(VerifyRefusal::Token));
    assert_eq!(ask(&meta, challenge), Err(VerifyRefusal::Token));
    assert_eq!(
        ask(&meta, "hub.challenge=%3Cscript%3E&hub.verify_token=chosen-by-us"),
        Err(VerifyRefusal::Challenge)
    );
    assert_eq!(ask(&verifier("meta"), &format!("{challenge}x")), Err(VerifyRefusal::NoVerifyToken));

    let x = verifier("x");
    let answer = ask(&x, "crc_token=MWUyYzM").unwrap().unwrap();
    assert!(answer.starts_with("{\"response_token\":\"sha256="), "{answer}");
    for bad in ["", "crc_token=", "crc_token=a%20b", "crc_token=a&crc_token=b"] {
        assert_eq!(ask(&x, bad), Err(VerifyRefusal::Challenge), "{bad}");
    }
    assert_eq!(ask(&verifier("github"), "crc_token=a"), Ok(None));
}

#[test]
fn okta_and_notion_ask_once() {
    let token: HeaderMap = [("authorization", SECRET), ("x-okta-verification-challenge", "abc_-1")]
        .into_iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    let okta = verifier("okta");
    let verified = okta.verify(request("/okta", b"", token)).unwrap();
    assert_eq!(okta.answer(&verified).unwrap().unwrap().body, "{\"verification\":\"abc_-1\"}");

    let notion = verifier("notion");
    let body = br#"{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}"#;
    let found = notion.token_to_confirm(&HeaderMap::new(), body);
    let token = found.as_ref().map(|(token, _)| &**token);
    assert_eq!(token, Some("secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"));
    assert_eq!(
        notion.token_to_confirm(&HeaderMap::new(), br#"{"verification_token":"a b"}"#),
        None
    );
    assert_eq!(verifier("github").token_to_confirm(&HeaderMap::new(), body), None);

    let asana = verifier("asana");
    let mut headers = HeaderMap::new();
    assert_eq!(asana.token_to_confirm(&headers, b""), None);
    headers.insert("x-hook-secret", "b537207f20cbfa02357cf448134da559".parse().unwrap());
    let (token, answer) = asana.token_to_confirm(&headers, b"").unwrap();
    assert_eq!(token, "b537207f20cbfa02357cf448134da559");
    assert_eq!(answer.header.unwrap(), (http::HeaderName::from_static("x-hook-secret"), token));
    headers.insert("x-hook-signature", "00".parse().unwrap());
    assert_eq!(asana.token_to_confirm(&headers, b""), None);
}

#[test]
fn a_question_that_is_data_is_answered_with_its_own_text_or_nothing() {
    let ask = |name: &str, method: Method, path: &str, body: &str| {
        let questions = crate::config::vendors::vendor(name).unwrap().questions.clone();
        let verifier = verifier(name).with_questions(questions, false);
        let asked = Request { method, ..request(path, body.as_bytes(), HeaderMap::new()) };
        let head = verifier.answer_head(&asked.method, &asked.uri, &asked.headers);
        let may = verifier.may_be_asked(&asked.method, &asked.uri, &asked.headers);
        let answer = head.or_else(|| verifier.answer_unproved(&asked));
        assert!(may || answer.is_none(), "{name} {path} {body}");
        answer.map(|answer| answer.body)
    };
    let (get, post) = (|| Method::GET, || Method::POST);
    for (name, method, path, body, expected) in [
        ("dropbox", get(), "/dropbox?challenge=abcDEF123_-", "", Some("abcDEF123_-")),
        ("dropbox", get(), "/dropbox?challenge=a%3Cscript%3E", "", None),
        ("dropbox", get(), "/dropbox?challenge=a&challenge=b", "", None),
        ("dropbox", get(), "/dropbox?challenge=", "", None),
        ("dropbox", get(), "/dropbox", "", None),
        ("dropbox", post(), "/dropbox?challenge=abc", "", None),
        ("nylas", get(), "/nylas?challenge=abcDEF123", "", Some("abcDEF123")),
        ("woocommerce", post(), "/woocommerce", "webhook_id=2", Some("")),
        ("woocommerce", post(), "/woocommerce", "{\"webhook_id\":2}", None),
        ("woocommerce", get(), "/woocommerce", "", None),
        ("bitbucket", post(), "/bitbucket", "{\"test\": true}", Some("")),
        ("bitbucket", post(), "/bitbucket", "{\"test\": \"yes\"}", None),
        ("slack", post(), "/slack", "ssl_check=1&token=t", Some("")),
        ("slack", post(), "/slack", "ssl_check=0", None),
        ("github", post(), "/github", "{\"test\": true}", None),
    ] {
        let answer = ask(name, method, path, body);
        assert_eq!(answer.as_deref(), expected, "{name} {path} {body}");
    }
    let long = format!("/dropbox?challenge={}", "a".repeat(REPEAT_BYTES_MAX + 1));
    assert_eq!(ask("dropbox", Method::GET, &long, ""), None);
}

proptest! {
    /// Zoom's answers sign tokens; its events are signed with colons in the text.
    #[test]
    fn an_answer_to_zoom_does_not_sign_any_of_its_events(token in "[A-Za-z0-9_-]{1,128}") {
        let mac = hex(&verifier("zoom").mac(0, &token).unwrap());
        let mut headers = HeaderMap::new();
        headers.insert("x-zm-signature", format!("v0={mac}").parse().unwrap());
        headers.insert("x-zm-request-timestamp", "1768469400".parse().unwrap());
        prop_assert!(verifier("zoom").verify(request("/zoom", token.as_bytes(), headers)).is_err());
    }
}
