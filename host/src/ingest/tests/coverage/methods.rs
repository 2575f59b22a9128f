//! The content of a request by GET is its query, so a method that is not signed may not turn one request into another.

use super::requests::{headers_read, keyed};
use super::*;
use crate::normalize::Record;
use crate::verify::{Part, Unit};

#[test]
fn another_method_changes_no_event_and_a_query_by_get_is_read() {
    let random = SystemRandom::new();
    let literal = |text: &'static str| Part::Literal(text.into());
    let event = || Part::Header(HeaderName::from_static("x-event"));
    for (signed, reads_query) in [
        (vec![Part::Url, literal("\n"), Part::Body], true),
        (vec![Part::Url, Part::BodySha256Hex], true),
        (vec![Part::Method, Part::Url], true),
        (vec![Part::Method, Part::Url, Part::Body], true),
        (vec![Part::Method, Part::Url, Part::Stamp, Part::Body], true),
        (vec![Part::Method, Part::Path, Part::Stamp, Part::Body], true),
        (vec![Part::Url, Part::Method, Part::Body], true),
        (vec![Part::Method, Part::Url, literal("|"), Part::Body], true),
        (vec![Part::Method, Part::Url, event(), literal("\n"), Part::Body], false),
        (vec![Part::Url, Part::Body], false),
    ] {
        let mut scheme = Scheme::clone(&own::scheme(signed.clone(), Unit::Seconds));
        scheme.methods = vec![Method::POST, Method::GET];
        let (signer, verifier) = keyed(&Arc::new(scheme), &random);
        let record = Record { any_body: true, ..own::SENDER };
        let sender = Sender::new("own", &record).unwrap();
        let sender = sender.limited(&verifier.scheme().coverage(), UnsignedTypes::Ignored);
        for (method, other) in [(Method::GET, Method::POST), (Method::POST, Method::GET)] {
            let path = "/hook?severity=critical&title=x";
            let mut headers = HeaderMap::new();
            headers.insert("x-event", HeaderValue::from_static("push"));
            let unsigned = Unsigned {
                method: method.clone(),
                public_url: Some(URL),
                path,
                headers: headers.clone(),
                body: &[],
                now: NOW,
                id: "msg_1",
            };
            // What the scheme would refuse is not signed.
            let Ok(made) = signer.sign(unsigned, &random) else {
                assert!(method != Method::GET || !reads_query, "{signed:?}");
                continue;
            };
            for (name, value) in made.headers {
                headers.insert(name, HeaderValue::from_str(&value).unwrap());
            }
            let (source, body) = (Arc::from("hook"), Bytes::new());
            let uri = path.parse().unwrap();
            let honest =
                Request { source, method: method.clone(), uri, headers, body, received_at: NOW };
            let found = events(&verifier, &sender, honest.clone());
            if method == Method::GET {
                let title = found.as_ref().map(|events| events[0].title.as_str());
                assert_eq!(title == Some("x"), reads_query, "{signed:?} {found:?}");
            }
            let moved = events(&verifier, &sender, Request { method: other, ..honest });
            let only_one = found.is_none() || moved.is_none() || moved == found;
            assert!(only_one, "{signed:?}: {found:?} as {moved:?}");
        }
    }
}

#[test]
fn only_the_signed_query_counts_where_events_come_by_get_alone() {
    let random = SystemRandom::new();
    for signed in [
        vec![Part::Method, Part::Url],
        vec![Part::Url],
        vec![Part::Method, Part::Literal("\n".into()), Part::Path],
    ] {
        let mut scheme = Scheme::clone(&own::scheme(signed.clone(), Unit::Seconds));
        scheme.methods = vec![Method::GET];
        let (signer, verifier) = keyed(&Arc::new(scheme), &random);
        assert!(verifier.scheme().signs_content(), "{signed:?}");
        let sender = Sender::new("own", &own::SENDER).unwrap();
        let sender = sender.limited(&verifier.scheme().coverage(), UnsignedTypes::Ignored);
        let path = "/hook?id=7&event=push&title=x&severity=info";
        let unsigned = Unsigned {
            method: Method::GET,
            public_url: Some(URL),
            path,
            headers: HeaderMap::new(),
            body: &[],
            now: NOW,
            id: "msg_1",
        };
        let mut headers = HeaderMap::new();
        for (name, value) in signer.sign(unsigned, &random).unwrap().headers {
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        }
        let (source, body) = (Arc::from("hook"), Bytes::new());
        let (method, uri) = (Method::GET, path.parse().unwrap());
        let honest = Request { source, method, uri, headers, body, received_at: NOW };
        let found = events(&verifier, &sender, honest.clone()).unwrap();
        assert_eq!(found[0].title, "x", "{signed:?}");
        for name in headers_read(&sender) {
            for value in ["critical", "push", "7"] {
                let mut moved = honest.clone();
                moved.headers.insert(name.clone(), HeaderValue::from_static(value));
                let events = events(&verifier, &sender, moved);
                assert!(events.is_none_or(|events| events == found), "{signed:?}: {name}");
            }
        }
        for body in [r#"{"title":"forged","level":"critical"}"#, "title=forged&severity=critical"] {
            let forged = Request { body: Bytes::from_static(body.as_bytes()), ..honest.clone() };
            assert_eq!(events(&verifier, &sender, forged), None, "{signed:?}");
        }
    }
}
