//! Senders whose keys are published elsewhere: what is fetched, and what a request gets meanwhile.

use std::sync::Mutex;

use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::json;

use super::*;
use crate::config::vendors;
use crate::egress::PublishedKeys;
use crate::model::base64;
use crate::verify::{Proof, Scheme, Sns, Verifier};

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:alarms";
const CERTIFICATE: &str =
    "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem";
const CONFIRM: &str =
    "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37";
const KEY: &str = include_str!("../../../../tests/fixtures/rsa-key-of-the-tests.pem");
const PEM: &str = include_str!("../../../../tests/fixtures/certificate-of-the-tests.pem");

/// A source of one topic, and the addresses that were asked. `confirms`: Amazon answers.
fn kit(confirms: bool) -> (Kit, Arc<Mutex<Vec<String>>>) {
    let mut kit = Kit::new();
    let (mut settings, router) = kit::rules(&[SECRET], 77);
    let vendor = &**vendors::scheme("amazon-sns").unwrap();
    let sns = Sns { topics: vec![TOPIC.into()] };
    let scheme = Arc::new(Scheme { proof: Proof::Sns(sns), ..vendor.clone() });
    let source = &mut settings.sources[0];
    let sender = vendors::sender("amazon-sns").unwrap();
    source.sender = Arc::new(sender.limited(&scheme.coverage(), normalize::UnsignedTypes::Ignored));
    source.verifier = Verifier::new(&scheme, &[], None).unwrap();
    kit.ingest.change(settings, router);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&asked);
    kit.ingest.keys = Arc::new(PublishedKeys::of(move |url| {
        shared.lock().unwrap().push(url.to_owned());
        match url {
            CERTIFICATE => Ok(Bytes::from_static(PEM.as_bytes())),
            CONFIRM if confirms => Ok(Bytes::new()),
            _ => Err("it answered 404".to_owned()),
        }
    }));
    (kit, asked)
}

/// A message as Amazon signs it.
fn signed(kind: &str, topic: &str, id: &str) -> String {
    let at = jiff::Timestamp::now().to_string();
    let mut message = json!({
        "Type": kind, "MessageId": id, "TopicArn": topic, "Message": "m", "Timestamp": at,
        "SignatureVersion": "2", "SigningCertURL": CERTIFICATE,
    });
    let names: &[&str] = if kind == "Notification" {
        &["Message", "MessageId", "Timestamp", "TopicArn", "Type"]
    } else {
        message["SubscribeURL"] = json!(CONFIRM);
        message["Token"] = json!("2336412f37");
        &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    };
    let line = |name: &&str| format!("{name}\n{}\n", message[*name].as_str().unwrap());
    let text: String = names.iter().map(line).collect();
    let der: String = KEY.lines().skip(2).take_while(|line| !line.starts_with('-')).collect();
    let key = RsaKeyPair::from_pkcs8(&decoded(&der)).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    message["Signature"] = json!(base64::encode(&signature, base64::STANDARD));
    message.to_string()
}

/// Base64 of the key.
fn decoded(text: &str) -> Vec<u8> {
    let place = |letter: u8| base64::STANDARD.iter().position(|one| *one == letter);
    let bits =
        text.bytes().filter_map(place).flat_map(|six| (0..6).rev().map(move |bit| six >> bit & 1));
    let bits: Vec<usize> = bits.collect();
    bits.chunks_exact(8)
        .map(|byte| u8::try_from(byte.iter().fold(0, |sum, bit| sum << 1 | bit)).unwrap())
        .collect()
}

async fn send(kit: &Kit, body: &str) -> kit::Answer {
    let request = http::Request::post("/sqreen");
    kit.send(request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()).await
}

#[tokio::test]
async fn a_subscription_of_a_topic_is_confirmed_and_its_messages_are_events() {
    let (kit, asked) = kit(true);
    let subscribe = signed("SubscriptionConfirmation", TOPIC, "a-1");
    for _ in 0..20 {
        assert_eq!(send(&kit, &subscribe).await.status, 200);
    }
    assert_eq!(*asked.lock().unwrap(), [CERTIFICATE, CONFIRM], "once, however often it is sent");
    assert!(kit.queue.sizes().is_empty(), "no event");
    for (kind, id) in [("Notification", "a-2"), ("UnsubscribeConfirmation", "a-3")] {
        assert_eq!(send(&kit, &signed(kind, TOPIC, id)).await.status, 200, "{kind}");
    }
    assert_eq!(kit.queue.sizes(), [1, 1]);
    let other = signed("SubscriptionConfirmation", "arn:aws:sns:eu-west-1:999999999999:x", "a-4");
    assert_eq!(send(&kit, &other).await.status, 401);
    let forged = subscribe.replace("2336412f37", "2336412f38");
    assert_eq!(send(&kit, &forged).await.status, 401);
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_fetched_is_a_503_and_not_asked_for_again_at_once() {
    let (kit, asked) = kit(false);
    let subscribe = signed("SubscriptionConfirmation", TOPIC, "a-1");
    for _ in 0..20 {
        let answer = send(&kit, &subscribe).await;
        assert_eq!(answer.status, 503);
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert_eq!(*asked.lock().unwrap(), [CERTIFICATE, CONFIRM]);
    // Certificates that do not exist, of the right host: they share an interval.
    for number in 0..100 {
        let other = signed("Notification", TOPIC, "a-2")
            .replace("0123456789abcdef", &format!("{number:016x}"));
        assert_eq!(send(&kit, &other).await.status, 503);
    }
    let fetches = asked.lock().unwrap().len();
    assert!(fetches < 50, "{fetches} of 102");
    assert_eq!(send(&kit, &signed("Notification", TOPIC, "a-3")).await.status, 200);
}
