//! What schemes and senders of one vendor guarantee together.

use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::config::vendors::{self, scheme, schemes};
use crate::model::Secret;
use crate::verify::{Verifier, VerifyRefusal};

#[test]
fn the_vendor_of_every_scheme_has_a_sender() {
    for scheme in schemes() {
        let of_no_vendor = ["token", "basic", "jwt", "none"].contains(&&*scheme.name);
        let has_one = vendors::sender(&scheme.name).is_some();
        assert!(of_no_vendor || has_one, "{} has no sender", scheme.name);
    }
}

proptest! {
    /// The handshake of X signs any token, with the secret that also signs events. So no request may consist of one.
    #[test]
    fn no_answer_to_a_handshake_signs_an_event(
        token in "[A-Za-z0-9_-]{1,128}|[ -~]{1,128}|true|null|-?[0-9]{1,20}",
    ) {
        let x = Verifier::new(scheme("x").unwrap(), &[Secret::new("hush")], None).unwrap();
        let query: String = token.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = x.answer_unsigned(&format!("/x?crc_token={query}").parse().unwrap());
        if let Ok(Some(answer)) = answer {
            let response: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            let mut headers = HeaderMap::new();
            let signature = response["response_token"].as_str().unwrap().parse().unwrap();
            headers.insert("x-twitter-webhooks-signature", signature);
            let body = Bytes::from(token);
            let forged = Request {
                source: Arc::from("x"), method: Method::POST, uri: "/x".parse().unwrap(),
                headers: headers.clone(), body: body.clone(),
                received_at: Timestamp::from_millis(1_768_469_400_000),
            };
            prop_assert_eq!(x.verify(forged).err(), Some(VerifyRefusal::SignedOnRequest));
            let input = Input::example(&headers, &body);
            let read = normalize::normalize(vendors::sender("x").unwrap(), input);
            prop_assert!(read.is_err(), "{read:?}");
        }
    }
}
