//! What the head of a request alone decides.

use http::HeaderValue;
use http::header::{AUTHORIZATION, EXPECT};

use super::*;
use crate::config::vendors::{scheme, schemes};
use crate::model::Secret;
use crate::verify::{Proof, Scheme, TokenIn, Verifier, token};

/// Also a user and a password.
const TOKEN: &str = "someone:secret";

fn kit_with(scheme: &Arc<Scheme>) -> Kit {
    let kit = Kit::new();
    let (mut settings, router) = kit::rules(&[SECRET], 77);
    let secrets = [Secret::new("another:one"), Secret::new(TOKEN)];
    settings.sources[0].verifier = Verifier::new(scheme, &secrets, None).unwrap();
    kit.ingest.change(settings, router);
    kit
}

/// A request whose body never comes, because its sender waits for `100 Continue`.
fn waiting(method: Method, uri: &str) -> http::Request<Chunks> {
    let request = http::Request::builder().method(method).uri(uri).header(EXPECT, "100-continue");
    request.body(Chunks::unreadable(Some(10))).unwrap()
}

#[tokio::test]
async fn a_wrong_token_or_password_is_refused_before_the_body_is_read() {
    let in_query = Arc::new(token(TokenIn::Query("key".to_owned().into())));
    let mut count = 0;
    for scheme in schemes().iter().chain([&in_query]) {
        let (header, values) = match &scheme.proof {
            Proof::Token(TokenIn::Header(name)) => (Some(name), ["wrong", "Bearer wrong", ""]),
            Proof::Token(TokenIn::Query(_)) => (None, ["wrong", "someone%3Asecre", ""]),
            // "someone:wrong", "wrong:secret", and no pair at all.
            Proof::Basic => (
                Some(&AUTHORIZATION),
                ["Basic c29tZW9uZTp3cm9uZw==", "Basic d3Jvbmc6c2VjcmV0", "Basic c29tZW9uZQ=="],
            ),
            Proof::Signature(_) | Proof::Jwt(_) | Proof::Sns(_) | Proof::None => continue,
        };
        count += 1;
        let kit = kit_with(scheme);
        for value in values {
            let query = if header.is_none() { value } else { "" };
            let mut request = waiting(Method::POST, &format!("/sqreen?key={query}"));
            if let Some(name) = header {
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            let answer = kit.send(request).await;
            assert_eq!((answer.status.as_u16(), kit.in_flight()), (401, 0), "{scheme:?} {value}");
            assert_eq!(answer.headers["connection"], "close");
        }
        assert_eq!(kit.send(waiting(Method::POST, "/sqreen")).await.status, 401, "none at all");
    }
    assert!(count >= 6, "{count} schemes");
}

#[tokio::test]
async fn a_handshake_that_is_a_get_is_answered_before_its_body() {
    let kit = kit_with(scheme("x").unwrap());
    let answer = kit.send(waiting(Method::GET, "/sqreen?crc_token=abc")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.json["response_token"].is_string());
    assert_eq!(answer.headers["connection"], "close");
    let answer = kit.send(waiting(Method::GET, "/sqreen?crc_token=a%20b")).await;
    assert_eq!(answer.status, 401);
}
