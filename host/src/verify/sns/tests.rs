//! Messages that are signed with a real key, and every change of one: each is refused with its own sentence.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::super::{NoKeys, Proof, Scheme, Verifier, plain_schemes};
use super::*;
use crate::model::{RepetitionSeed, Timestamp};

/// Within the time of the certificate, which is the day on which it was made and a hundred years.
const NOW_MS: u64 = 1_800_000_000_000;
const AT: &str = "2027-01-15T08:00:00.123Z";
const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:alarms";
const HOST: &str = "https://sns.eu-west-1.amazonaws.com";
const KEY: &str = include_str!("../../../../tests/fixtures/rsa-key-of-the-tests.pem");
const CERTIFICATE_OF_TESTS: &str =
    include_str!("../../../../tests/fixtures/certificate-of-the-tests.pem");

fn place() -> String {
    format!("{HOST}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem")
}

fn keys_at(place: &str) -> KeySet {
    let wanted = KeyWanted { place: place.into(), id: String::new(), kind: KeyKind::Certificate };
    KeySet::read(&wanted, CERTIFICATE_OF_TESTS.as_bytes()).unwrap()
}

fn verifier() -> Verifier {
    let [.., none] = plain_schemes();
    let sns = Sns { topics: vec!["arn:aws:sns:us-east-1:111122223333:other".into(), TOPIC.into()] };
    let scheme = Scheme { name: "sns".into(), proof: Proof::Sns(sns), ..none };
    Verifier::new(&Arc::new(scheme), &[], None).unwrap()
}

/// What Amazon would sign, without a limit on what the values are.
fn signed(message: &Value) -> String {
    let names: &[&str] = match message["Type"].as_str() {
        Some("Notification") => {
            &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
        }
        _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    };
    let line = |name: &&str| message[*name].as_str().map(|text| format!("{name}\n{text}\n"));
    names.iter().filter_map(line).collect()
}

fn sign(message: &mut Value) {
    let pem = &KEY[KEY.find("-----BEGIN").unwrap()..];
    let key = RsaKeyPair::from_pkcs8(&super::super::public::bytes(pem).unwrap()).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    let text = signed(message);
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    message["Signature"] = json!(codec::base64(&signature));
}

fn notification() -> Value {
    json!({
        "Type": "Notification", "MessageId": "da41e39f-ea4d-435a-b922-c6aae3915ebe",
        "TopicArn": TOPIC, "Subject": "ALARM", "Message": "line one\nline \"two\" é", "Timestamp": AT,
        "SignatureVersion": "2", "SigningCertURL": place(),
        "UnsubscribeURL": format!("{HOST}/?Action=Unsubscribe"),
    })
}

fn confirmation() -> Value {
    let mut message = notification();
    message.as_object_mut().unwrap().remove("Subject");
    message["Type"] = json!("SubscriptionConfirmation");
    message["Token"] = json!("2336412f37");
    message["SubscribeURL"] =
        json!(format!("{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"));
    message
}

fn request(body: &str) -> Request {
    Request {
        source: Arc::from("sns"),
        method: Method::POST,
        uri: Uri::from_static("/sns"),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: Timestamp::from_millis(NOW_MS),
    }
}

/// Why a body is refused; empty if it is accepted.
fn refusal(body: &str) -> String {
    let refused = verifier().verify_with(request(body), Some(&keys_at(&place()))).err();
    refused.map(|refused| refused.to_string()).unwrap_or_default()
}

#[test]
fn what_amazon_signs_is_accepted_by_the_certificate_of_its_region_only() {
    let mut without = notification();
    without.as_object_mut().unwrap().remove("Subject");
    let mut unsubscribed = confirmation();
    unsubscribed["Type"] = json!("UnsubscribeConfirmation");
    for (mut message, confirms) in
        [(notification(), false), (without, false), (confirmation(), true), (unsubscribed, false)]
    {
        sign(&mut message);
        let body = message.to_string();
        let verified = verifier().verify_with(request(&body), Some(&keys_at(&place()))).unwrap();
        assert_eq!(verified.subscription().is_some(), confirms, "{body}");
        assert!(verified.repetition_key(RepetitionSeed::default()).is_some());
        assert!(verified.is_known_by_signature_alone() && verified.is_dated());
        let wanted = verifier().wanted_key(&request(&body)).unwrap().unwrap();
        assert_eq!(*wanted.place, *place());
        let refused = verifier().verify(request(&body)).unwrap_err().to_string();
        assert!(refused.contains("is not here"), "{refused}");
        let other = keys_at(&place().replace("0123", "3210"));
        assert!(verifier().verify_with(request(&body), Some(&other)).is_err());
        let late = Request { received_at: Timestamp::from_millis(u64::MAX / 2), ..request(&body) };
        assert!(verifier().verify_with(late, Some(&keys_at(&place()))).is_err());
    }
}

#[test]
fn each_change_of_a_message_is_refused_with_its_own_sentence() {
    let changes: [(&str, Value, &str); 31] = [
        ("Type", json!("Other"), "no `Type`"),
        ("Type", json!("SubscriptionConfirmation"), "no `SubscribeURL`"),
        ("MessageId", json!("a\nb"), "no `MessageId`"),
        ("MessageId", json!(""), "no `MessageId`"),
        ("MessageId", json!({}), "no `MessageId`"),
        ("TopicArn", json!("arn:aws:sns:eu-west-1:999999999999:alarms"), "of another topic"),
        ("TopicArn", json!(format!("{TOPIC}\n")), "no `TopicArn`"),
        ("Subject", json!("a\nb"), "`Subject` has a line break"),
        ("Subject", json!("other"), "does not match"),
        ("Subject", Value::Null, "does not match"),
        ("Message", json!("other"), "does not match"),
        ("Message", Value::Null, "no `Message`"),
        ("Timestamp", json!("2027-01-15T08:00:01.123Z"), "does not match"),
        ("Timestamp", json!("yesterday"), "no `Timestamp`"),
        ("Timestamp", json!("2027-01-14T19:00:00.123Z"), "the limit is 43200 s"),
        ("Timestamp", json!("2027-01-15T08:06:00.123Z"), "in the future"),
        ("SignatureVersion", json!("1"), "does not match"),
        ("SignatureVersion", json!("3"), "no `SignatureVersion`"),
        ("Signature", json!("AAAA"), "does not match"),
        ("Signature", json!("A"), "no `Signature`"),
        ("Signature", json!("AAAA".repeat(400)), "no `Signature`"),
        ("SigningCertURL", json!(place().replace("https", "http")), "`SigningCertURL` is not"),
        (
            "SigningCertURL",
            json!(place().replace("eu-west-1", "us-east-1")),
            "`SigningCertURL` is not",
        ),
        ("SigningCertURL", json!(place().replace(".com/", ".com:443/")), "`SigningCertURL` is not"),
        (
            "SigningCertURL",
            json!(place().replace(".com/", ".com.attacker.example/")),
            "`SigningCertURL` is not",
        ),
        ("SigningCertURL", json!(place().replace("sns.", "a@sns.")), "`SigningCertURL` is not"),
        ("SigningCertURL", json!(place().replace("sns.", "SNS.")), "`SigningCertURL` is not"),
        ("SigningCertURL", json!(place().replace("0123", "../0123")), "`SigningCertURL` is not"),
        ("SigningCertURL", json!(place().replace("0123", "%2e")), "`SigningCertURL` is not"),
        ("SigningCertURL", json!(format!("{}?x", place())), "`SigningCertURL` is not"),
        ("SigningCertURL", json!(format!("{HOST}/bucket/x.pem")), "`SigningCertURL` is not"),
    ];
    for (name, value, expected) in changes {
        let mut message = notification();
        sign(&mut message);
        message[name] = value.clone();
        let refused = refusal(&message.to_string());
        assert!(refused.contains(expected), "{name} {value}: {refused}");
    }
}

#[test]
fn each_change_of_a_confirmation_and_each_name_that_is_there_twice_is_refused() {
    for (name, value) in [
        ("SubscribeURL", "https://attacker.example/?Action=ConfirmSubscription&a"),
        ("SubscribeURL", "https://sns.eu-west-1.amazonaws.com/?Action=Publish&a"),
        ("SubscribeURL", "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&a#b"),
        (
            "SubscribeURL",
            "https://sns.eu-west-1.amazonaws.com@attacker.example/?Action=ConfirmSubscription&",
        ),
        ("SubscribeURL", "http://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&a"),
        ("Token", "a b"),
        ("Subject", "not signed in a confirmation"),
    ] {
        let mut message = confirmation();
        message[name] = json!(value);
        // Even if Amazon had signed it.
        sign(&mut message);
        let refused = refusal(&message.to_string());
        assert!(refused.contains(name), "{name} {value}: {refused}");
    }
    let mut message = notification();
    sign(&mut message);
    let body = message.to_string();
    for name in
        ["Type", "Message", "MessageId", "Subject", "TopicArn", "Signature", "SigningCertURL"]
    {
        for second in [
            format!("\"{name}\":\"x\","),
            format!("\"\\u00{:02x}{}\":\"x\",", name.as_bytes()[0], &name[1..]),
        ] {
            let doubled = body.replacen('{', &format!("{{{second}"), 1);
            assert!(refusal(&doubled).contains(&format!("`{name}`")), "{doubled}");
        }
    }
    for body in ["", "[]", "{}", "{", "null", "[[[["] {
        assert!(refusal(body).contains("no `Type`"), "{body}");
    }
}

/// The signed text has no escapes: the author of a message could give it the borders of others.
#[test]
fn no_text_of_a_message_gives_it_another_id_subject_or_text() {
    let mut message = notification();
    message["Message"] = json!("a\nMessageId\nforged\nSubject\nb");
    sign(&mut message);
    assert_eq!(refusal(&message.to_string()), "");
    let text = signed(&message);
    let mut other = message.clone();
    other["Message"] = json!("a");
    other["MessageId"] = json!("forged");
    other["Subject"] = json!("b\nMessageId\nda41e39f-ea4d-435a-b922-c6aae3915ebe\nSubject\nALARM");
    assert_eq!(signed(&other), text, "the same bytes are signed");
    assert!(refusal(&other.to_string()).contains("`Subject` has a line break"));
    let mut other = message.clone();
    other.as_object_mut().unwrap().remove("Subject");
    other["Message"] = json!("a");
    other["MessageId"] = json!("forged\nSubject\nb\nMessageId\nx\nSubject\nALARM");
    assert!(refusal(&other.to_string()).contains("no `MessageId`"));
}

#[test]
fn only_a_certificate_with_an_rsa_key_is_one() {
    let wanted = KeyWanted { place: place().into(), id: String::new(), kind: KeyKind::Certificate };
    let pem = &CERTIFICATE_OF_TESTS[CERTIFICATE_OF_TESTS.find("-----BEGIN").unwrap()..];
    let cut: String = pem.lines().filter(|line| !line.contains("END")).take(9).collect();
    for text in
        ["", "{}", KEY, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", &cut]
    {
        assert_eq!(KeySet::read(&wanted, text.as_bytes()).unwrap_err(), NoKeys::NoCertificate);
    }
    // A chain: the first one counts.
    assert!(KeySet::read(&wanted, format!("{pem}{KEY}").as_bytes()).is_ok());
    for (arn, host) in [
        (TOPIC, Some("sns.eu-west-1.amazonaws.com")),
        ("arn:aws-cn:sns:cn-north-1:111122223333:a.fifo", Some("sns.cn-north-1.amazonaws.com.cn")),
        ("arn:aws:sns:eu-west-1.attacker:111122223333:a", None),
        ("arn:aws:sns:eu/west:111122223333:a", None),
        ("arn:aws:sns::111122223333:a", None),
        ("arn:aws:sqs:eu-west-1:111122223333:a", None),
        ("arn:evil:sns:eu-west-1:111122223333:a", None),
        ("arn:aws:sns:eu-west-1:1:a", None),
        ("arn:aws:sns:eu-west-1:111122223333:*", None),
        ("arn:aws:sns:eu-west-1:111122223333:a:subscription", None),
    ] {
        assert_eq!(Sns::host(arn).as_deref(), host, "{arn}");
    }
}

proptest! {
    #[test]
    fn no_changed_byte_of_what_is_signed_is_accepted(at in 0usize..4_000, to in any::<u8>()) {
        let mut message = notification();
        sign(&mut message);
        let mut bytes = message.to_string().into_bytes();
        let at = at % bytes.len();
        bytes[at] = to;
        let accepted = verifier()
            .verify_with(request(&String::from_utf8_lossy(&bytes)), Some(&keys_at(&place())))
            .is_ok();
        // Only what is not signed may differ.
        let same = || {
            let sns = verifier().scheme().sns().unwrap().clone();
            let read = Message::read(&sns, &request(&String::from_utf8_lossy(&bytes)));
            read.is_ok_and(|read| read.signed() == signed(&message))
        };
        prop_assert!(!accepted || same());
    }

    #[test]
    fn no_body_or_certificate_causes_a_panic(body in "[\\PC\n]{0,80}", cut in 0usize..1_300, byte in any::<u8>()) {
        prop_assert!(!refusal(&body).is_empty());
        let wanted = KeyWanted { place: place().into(), id: String::new(), kind: KeyKind::Certificate };
        let _ = KeySet::read(&wanted, body.as_bytes());
        let mut text = CERTIFICATE_OF_TESTS.as_bytes().to_vec();
        let cut = cut % text.len();
        text[cut] = byte;
        let _ = KeySet::read(&wanted, &text);
    }
}
