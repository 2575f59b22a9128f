//! That an answer to a vendor's question is of no use to a forger.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use proptest::prelude::*;

use crate::model::{Request, Secret, Timestamp};
use crate::normalize::{Again, Input, normalize, sender};
use crate::verify::{Verifier, scheme};

proptest! {
    /// X signs whatever token it is asked for, with the key of its events: what comes of that must be
    /// no event.
    #[test]
    fn no_answer_serves_as_the_signature_of_an_event(token in "[A-Za-z0-9_-]{1,128}|[ -~]{1,128}|true|null|-?[0-9]{1,20}") {
        let secret = Secret::new("not-a-real-secret");
        let x = Verifier::new(scheme("x").unwrap(), &[secret], None).unwrap();
        let query: String = token.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = x.answer_unsigned(&format!("/x?crc_token={query}").parse().unwrap());
        if let Ok(Some(answer)) = answer {
            let response: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            let mut headers = HeaderMap::new();
            let signature = response["response_token"].as_str().unwrap().parse().unwrap();
            headers.insert("x-twitter-webhooks-signature", signature);
            let forged = Request {
                source: Arc::from("x"),
                method: Method::POST,
                uri: "/x".parse().unwrap(),
                headers: headers.clone(),
                body: Bytes::copy_from_slice(token.as_bytes()),
                received_at: Timestamp::from_millis(0),
            };
            // The signature is right, which is all that a forger could get.
            prop_assert!(x.verify(forged).is_ok());
            let body = Bytes::from(token);
            let input = Input { headers: &headers, query: None, body: &body, again: Again::Untold };
            let read = normalize(sender("x").unwrap(), input);
            prop_assert!(read.is_err(), "{read:?}");
        }
    }
}
