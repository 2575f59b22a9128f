//! Tests rules that come from vendors' pitfalls: requests that must and must not be accepted.

use super::*;
use crate::model::RepetitionSeed;

/// Verifies a request with these headers and this body at `NOW`, by a built-in scheme.
fn decide(
    scheme_name: &str,
    secret: &str,
    headers: &[(&str, &str)],
    uri: &str,
    body: &str,
) -> Result<u16, VerifyRefusal> {
    let scheme = scheme(scheme_name).unwrap();
    decide_by(
        &Verifier::new(scheme, &[Secret::new(secret)], Some("https://a.example")).unwrap(),
        headers,
        uri,
        body,
    )
}

fn decide_by(
    verifier: &Verifier,
    headers: &[(&str, &str)],
    uri: &str,
    body: &str,
) -> Result<u16, VerifyRefusal> {
    let mut request = request(&[], body.as_bytes());
    for (name, value) in headers {
        request.headers.append(named(name), HeaderValue::from_str(value).unwrap());
    }
    request.uri = uri.parse().unwrap();
    request.received_at = NOW;
    verifier.verify(request).map(|verified| verified.key())
}

/// HMAC-SHA256 in hexadecimal digits.
fn mac(secret: &str, message: &str) -> String {
    sign_body(sqreen(), &Secret::new(secret), message.as_bytes()).1
}

const T: &str = "1700000000";

#[test]
fn of_several_versions_one_that_is_known_must_match() {
    let good = mac("s", &format!("{T}.x"));
    let bad = mac("other", "x");
    let decide = |value: &str| decide("stripe", "s", &[("stripe-signature", value)], "/", "x");
    for value in [
        format!("t={T},v1={good}"),
        format!("v1={good},t={T}"),
        format!(" t={T} , v1={good} "),
        format!("t={T},v0=aa,v1={bad},v1={good},v9=,"),
        format!("t={T},v1=no hex at all,v1={good}"),
    ] {
        assert_eq!(decide(&value), Ok(0), "{value}");
    }
    let many = format!("t={T},{}v1={good}", "v1=00,".repeat(SIGNATURES_MAX));
    let more = format!("t={T},{}v1={good}", "x,".repeat(ELEMENTS_MAX));
    for (value, wrong) in [
        (format!("t={T},v0={good}"), "known version"),
        (format!("t={T},v1={bad}"), "does not match"),
        (format!("t={T},V1={good}"), "known version"),
        (format!("v1={good}"), "no timestamp"),
        (format!("t={T},t={T},v1={good}"), "more than one timestamp"),
        (format!("t=,v1={good}"), "is not a number of seconds"),
        (format!("t=+{T},v1={good}"), "is not a number of seconds"),
        (format!("t=1700000301,v1={good}"), "301 s in the future"),
        (format!("t=1699999699,v1={good}"), "301 s old"),
        (many, "more than 16 elements"),
        (more, "more than 32 elements"),
    ] {
        let refused = decide(&value).unwrap_err().to_string();
        assert!(refused.contains(wrong), "{value}: {refused}");
    }
}

#[test]
fn a_timestamp_that_is_not_signed_is_neither_trusted_nor_needed() {
    let good = mac("s", "x");
    let signature = ("sentry-hook-signature", good.as_str());
    for stamp in ["0", T, "no time"] {
        let headers = [signature, ("sentry-hook-timestamp", stamp)];
        assert_eq!(decide("sentry", "s", &headers, "/", "x"), Ok(0));
    }
    assert_eq!(decide("sentry", "s", &[signature], "/", "x"), Ok(0));
    assert_eq!(scheme("sentry").unwrap().replay(), Replay::SignedBytes);
    assert_eq!(scheme("mailgun").unwrap().replay(), Replay::OriginOnly);
}

#[test]
fn a_time_moved_into_the_body_is_refused() {
    let (body, moved) = ("{}", format!("{T}:{{}}"));
    let good = mac("s", &moved);
    let signature = ("x-grafana-alerting-signature", good.as_str());
    let stamp = ("x-grafana-alerting-timestamp", T);
    assert_eq!(decide("grafana", "s", &[signature, stamp], "/", body), Ok(0));
    assert_eq!(decide("grafana", "s", &[signature], "/", &moved), Err(VerifyRefusal::StampInBody));
    let plain = mac("s", body);
    let signature = ("x-grafana-alerting-signature", plain.as_str());
    assert_eq!(decide("grafana", "s", &[signature], "/", body), Ok(0));
    assert_eq!(
        decide("grafana", "s", &[signature, stamp], "/", body),
        Err(VerifyRefusal::Mismatch)
    );
}

#[test]
fn an_id_that_contains_the_separator_is_refused() {
    let random = SystemRandom::new();
    let (signer, verifier) = both(scheme("standard-webhooks").unwrap(), &random);
    let request = signed(&signer, b"{}", "/", &random);
    let mut moved = request.clone();
    let id = format!("id-1.{T}");
    moved.headers.insert(named("webhook-id"), HeaderValue::from_str(&id).unwrap());
    let unclear = VerifyRefusal::IdUnclear { separator: ".".to_owned() };
    assert_eq!(verifier.verify(moved).unwrap_err(), unclear);
    // The older names of the same headers, and a list with both kinds of signature.
    let mut older = request.clone();
    for name in ["id", "timestamp", "signature"] {
        let value = older.headers.remove(format!("webhook-{name}")).unwrap();
        let value = format!("v1a,AAAA v2,x {}", value.to_str().unwrap());
        let value =
            value.trim_start_matches(if name == "signature" { "" } else { "v1a,AAAA v2,x " });
        older.headers.insert(named(&format!("svix-{name}")), HeaderValue::from_str(value).unwrap());
    }
    assert!(verifier.verify(older).is_ok());
}

#[test]
fn each_of_two_signature_headers_may_be_the_right_one() {
    let random = SystemRandom::new();
    let scheme = scheme("box").unwrap();
    let (signer, verifier) = both(scheme, &random);
    let mut request = signed(&signer, b"{}", "/", &random);
    let good = request.headers.remove("box-signature-primary").unwrap();
    assert!(verifier.verify(request.clone()).is_err());
    request.headers.insert("box-signature-secondary", good.clone());
    assert!(verifier.verify(request.clone()).is_ok());
    request.headers.insert("box-signature-primary", HeaderValue::from_static("AAAA"));
    assert!(verifier.verify(request.clone()).is_ok());
    request.headers.append("box-signature-secondary", good);
    assert!(matches!(
        verifier.verify(request).unwrap_err(),
        VerifyRefusal::Doubled { times: 2, .. }
    ));
}

/// The form in Twilio's documentation, whose signature anyone can recompute.
#[test]
fn the_address_is_the_configured_one_and_forms_are_sorted() {
    let twilio = |public_url: &str, uri: &str, body: &str| {
        let verifier =
            Verifier::new(scheme("twilio").unwrap(), &[Secret::new("12345")], Some(public_url));
        let headers =
            [("x-twilio-signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="), ("host", "mycompany.com")];
        decide_by(&verifier.unwrap(), &headers, uri, body)
    };
    let form = "Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE";
    let uri = "/myapp.php?foo=1&bar=2";
    for url in ["https://mycompany.com", "https://mycompany.com:443", "https://mycompany.com:8443"]
    {
        assert_eq!(twilio(url, uri, form), Ok(0), "{url}");
    }
    // A repeated field counts once, and fields have any order.
    assert_eq!(twilio("https://mycompany.com", uri, &format!("{form}&Digits=1234")), Ok(0));
    for (url, uri, body) in [
        ("https://other.example", uri, form),
        ("http://mycompany.com", uri, form),
        ("https://mycompany.com", "/myapp.php?foo=1", form),
        ("https://mycompany.com", uri, "Digits=1234"),
        ("https://mycompany.com", uri, &format!("{form}&Digits=12345")),
        ("https://mycompany.com", uri, r#"{"a": 1}"#),
    ] {
        assert!(
            matches!(twilio(url, uri, body), Err(VerifyRefusal::UrlMismatch { .. })),
            "{url}{uri}"
        );
    }
    let many = "a=1&".repeat(FORM_FIELDS_MAX + 1);
    assert_eq!(
        twilio("https://mycompany.com", uri, &many),
        Err(VerifyRefusal::NoForm { max: FORM_FIELDS_MAX })
    );
    let hashed = format!("{uri}&bodySHA256=00");
    assert_eq!(twilio("https://mycompany.com", &hashed, form), Err(VerifyRefusal::BodyHash));
    let scheme = scheme("twilio").unwrap();
    let built = Verifier::new(scheme, &[Secret::new("x")], None).unwrap_err();
    assert_eq!(built, InvalidSecrets::NoPublicUrl);
}

#[test]
fn signed_headers_must_include_the_time() {
    let listed = |list: &str, headers: &str| {
        let good = mac("s", &format!("POST\n/hook\n{headers}\n{{}}"));
        let headers = [
            ("x-contentful-signature", good.as_str()),
            ("x-contentful-signed-headers", list),
            ("x-contentful-timestamp", "1700000000000"),
        ];
        decide("contentful", "s", &headers, "/hook", "{}")
    };
    let both = "x-contentful-signed-headers,x-contentful-timestamp";
    let text = format!("x-contentful-signed-headers:{both};x-contentful-timestamp:1700000000000");
    assert_eq!(listed(both, &text), Ok(0));
    let one = "x-contentful-signed-headers";
    let refused = listed(one, &format!("{one}:{one}")).unwrap_err();
    assert!(matches!(refused, VerifyRefusal::StampNotListed { .. }), "{refused}");
}

#[test]
fn tokens_and_passwords_must_be_there_once_and_whole() {
    let token = |place: TokenIn| {
        Verifier::new(&Arc::new(token(place)), &[Secret::new("one"), Secret::new("two")], None)
            .unwrap()
    };
    let header = token(TokenIn::Header(named("x-key")));
    assert_eq!(decide_by(&header, &[("x-key", "two")], "/", ""), Ok(1));
    for wrong in ["tw", "twoo", "Two", "Bearer two"] {
        assert_eq!(decide_by(&header, &[("x-key", wrong)], "/", ""), Err(VerifyRefusal::Token));
    }
    assert!(decide_by(&header, &[("x-key", "two"), ("x-key", "two")], "/", "").is_err());
    let bearer = token(TokenIn::Header(named("authorization")));
    for right in ["two", "Bearer two", "bearer two"] {
        assert_eq!(decide_by(&bearer, &[("authorization", right)], "/", ""), Ok(1));
    }
    let query = token(TokenIn::Query("key".into()));
    assert_eq!(decide_by(&query, &[], "/x?a=1&key=t%77o", ""), Ok(1));
    for uri in ["/x", "/x?key=", "/x?key=two&key=two", "/x?Key=two", "/x?key=tw"] {
        assert!(decide_by(&query, &[], uri, "").is_err(), "{uri}");
    }
    let basic = |value: &str| decide("basic", "user:pass", &[("authorization", value)], "/", "");
    assert_eq!(basic("Basic dXNlcjpwYXNz"), Ok(0));
    assert_eq!(basic("Basic dXNlcjpwYXNT"), Err(VerifyRefusal::Basic));
    assert!(matches!(basic("dXNlcjpwYXNz"), Err(VerifyRefusal::Malformed { .. })));
    let without = Verifier::new(scheme("basic").unwrap(), &[Secret::new("user")], None);
    assert!(matches!(without, Err(InvalidSecrets::Form { .. })));
    let none = Verifier::new(scheme("none").unwrap(), &[], None).unwrap();
    assert_eq!(decide_by(&none, &[], "/", ""), Ok(0));
}

#[test]
fn a_time_inside_the_body_counts_where_it_is() {
    for (body, right) in [
        (r#"{"webhookTimestamp":1700000000000}"#, true),
        (r#"{"webhookTimestamp":1700000060000}"#, true),
        (r#"{"webhookTimestamp":1700000060001}"#, false),
        (r#"{"webhookTimestamp":1699999939000}"#, false),
        (r#"{"action":"create"}"#, true),
    ] {
        let good = mac("s", body);
        let decided = decide("linear", "s", &[("linear-signature", &good)], "/", body);
        assert_eq!(decided.is_ok(), right, "{body} {decided:?}");
    }
}

#[test]
fn an_explanation_shows_neither_a_whole_digest_nor_a_secret() {
    let good = mac("hush", "x");
    let mut request = request(&[good.as_bytes()], &[b'x'; 500]);
    request.received_at = NOW;
    let explained = explain(sqreen(), &[Secret::new("hush")], None, &request, &[]).unwrap();
    let right = mac("hush", &"x".repeat(500));
    let shown = format!("{explained:?}");
    assert!(shown.contains(&right[..8]) && !shown.contains(&right[..9]), "{shown}");
    assert!(!shown.contains("hush") && shown.contains("(500 bytes)"), "{shown}");
    assert!(shown.len() < 2_000, "{shown}");
    let fine = Request { body: Bytes::from_static(b"x"), ..request };
    assert_eq!(explain(sqreen(), &[Secret::new("hush")], None, &fine, &[]), None);
}

#[test]
fn only_the_signed_bytes_identify_a_copy() {
    let random = SystemRandom::new();
    let key = |name: &str, change: &dyn Fn(&mut Request)| {
        let (signer, verifier) = both(scheme(name).unwrap(), &random);
        let request = signed(&signer, b"{\"a\": 1}", "/hook", &random);
        let mut copy = request.clone();
        change(&mut copy);
        let key =
            |request| verifier.verify(request).unwrap().repetition_key(RepetitionSeed::default());
        (key(request), key(copy))
    };
    let header = |request: &mut Request| {
        request.headers.insert("x-github-event", "other".parse().unwrap());
    };
    let content = |request: &mut Request| {
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        request.body = body.replace("\"a\":", "\"b\":").replace("\"event-data\"", "\"x\"").into();
    };
    for (name, change) in [
        ("github", &header as &dyn Fn(&mut Request)),
        ("sentry", &header),
        ("mailgun", &content),
        ("stripe", &header),
        ("slack", &header),
        ("standard-webhooks", &header),
    ] {
        let (one, other) = key(name, change);
        assert!(one.is_some() && one == other, "{name}: {one:?} {other:?}");
    }
    assert_eq!(key("basic", &header), (None, None));
    let (signer, verifier) = both(scheme("github").unwrap(), &random);
    let keys = [b"1", b"2"].map(|body| {
        let request = signed(&signer, body, "/hook", &random);
        verifier.verify(request).unwrap().repetition_key(RepetitionSeed::default())
    });
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn eight_signed_values_are_found_by_one_pass() {
    let random = SystemRandom::new();
    let scheme = scheme("adyen-payments").unwrap();
    let (signer, verifier) = both(scheme, &random);
    let body = br#"{"notificationItems":[{"NotificationRequestItem":{"additionalData":{},"pspReference":"1","amount":{"value":1130,"currency":"EUR"}}}]}"#;
    let request = signed(&signer, body, "/", &random);
    json::PASSES.set(0);
    verifier.verify(request).unwrap();
    // One for the signature, and one for the values.
    assert_eq!(json::PASSES.get(), 2);
}

#[test]
fn an_event_that_is_no_question_is_not_parsed_for_it() {
    for vendor in crate::config::vendors::all().filter(|vendor| !vendor.questions.is_empty()) {
        let verifier = Verifier::new(scheme("x").unwrap(), &[Secret::new("s")], None).unwrap();
        let verifier = verifier.with_questions(vendor.questions.clone());
        let event =
            request(&[], br#"{"repository":{"name":"latest \u0019"},"text":"caf\u00e9\n"}"#);
        json::PASSES.set(0);
        assert!(verifier.answer_unproved(&event).is_none(), "{}", vendor.name);
        assert_eq!(json::PASSES.get(), 0, "{}", vendor.name);
    }
}
