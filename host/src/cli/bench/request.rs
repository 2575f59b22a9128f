//! The requests of the load: signed, of one size, each with event ids of its own.
//!
//! A request is made once and only its ids and its signature are written anew, so that the load costs
//! less than what it measures.

use std::io;
use std::sync::Arc;

use super::SECRET;
use super::load::MakeRequest;
use crate::model::Secret;
use crate::{config, verify};

/// Events of a request that brings many.
pub(super) const MANY: u64 = 1000;
/// Stands in an event where its id goes.
const PLACE: &[u8; 24] = b"IDIDIDIDIDIDIDIDIDIDIDID";
/// Length of a signature in hexadecimal digits.
const SIGNATURE_LEN: usize = 64;
/// Ids of events that come many at once start here: none is that of a single one.
const MANY_FROM: u128 = 1 << 80;

/// What an event looks like: about 1 KB each.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Sqreen,
    /// For Alertmanager: labels that differ make another alert.
    Alert,
}

impl Shape {
    pub(super) fn event(self) -> String {
        let place = String::from_utf8_lossy(PLACE);
        match self {
            Self::Sqreen => {
                let note = "x".repeat(260);
                format!(
                    concat!(
                        r#"{{"message_id": null, "api_version": "2", "date_created": "2021-02-08T12:45:00.363713+00:00", "#,
                        r#""message_type": "security_event", "retry_count": 0, "message": {{"risk_coefficient": 25, "#,
                        r#""event_category": "http_error", "event_kind": "waf", "application_id": "5ac3f2d1b8e7a90123456789", "#,
                        r#""application_name": "Bench Shop", "environment": "production", "#,
                        r#""date_occurred": "2021-02-08T12:44:59.120000+00:00", "event_id": "{}", "#,
                        r#""event_url": "https://events.example.org/application/5ac3f2d1b8e7a90123456789/events", "#,
                        r#""humanized_description": "Attack triggered by 203.0.113.7", "note": "{}", "#,
                        r#""ips": [{{"address": "203.0.113.7", "is_tor": false, "geo": {{"code": "FRA", "city": "Paris", "#,
                        r#""point": [2.3488, 48.8534]}}, "date_resolved": "2021-02-08T12:44:59.363000+00:00"}}]}}}}"#
                    ),
                    place, note
                )
            }
            Self::Alert => {
                let note = "x".repeat(820);
                format!(
                    r#"{{"labels": {{"alertname": "bench", "id": "{place}"}}, "annotations": {{"note": "{note}"}}}}"#
                )
            }
        }
    }
}

/// Requests to `path` with so many events each.
pub(super) fn maker(path: &str, shape: Shape, events: u64) -> io::Result<Arc<MakeRequest>> {
    let secret = Secret::new(SECRET);
    let scheme =
        config::vendors::scheme("sqreen").ok_or_else(|| io::Error::other("no scheme sqreen"))?;
    let list: Vec<String> = (0..events).map(|_| shape.event()).collect();
    let body = format!("[{}]", list.join(","));
    let (name, _) = verify::sign_body(scheme, &secret, b"");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n{name}: ",
        body.len()
    );
    let signature_at = head.len();
    let template = format!("{head}{}\r\n\r\n{body}", "0".repeat(SIGNATURE_LEN)).into_bytes();
    let body_at = template.len() - body.len();
    let ids = places(&template);
    Ok(Arc::new(move |n, request| {
        request.clear();
        request.extend_from_slice(&template);
        let from = if events == 1 { u128::from(n) } else { MANY_FROM + u128::from(n * events) };
        for (id, at) in (from..).zip(&ids) {
            write_hex(&mut request[*at..*at + PLACE.len()], id);
        }
        let (_, signature) = verify::sign_body(scheme, &secret, &request[body_at..]);
        request[signature_at..signature_at + SIGNATURE_LEN].copy_from_slice(signature.as_bytes());
    }))
}

fn places(template: &[u8]) -> Vec<usize> {
    let windows = template.windows(PLACE.len()).enumerate();
    windows.filter(|(_, window)| *window == PLACE).map(|(at, _)| at).collect()
}

/// The last digits of a number, as many as there is room for.
fn write_hex(place: &mut [u8], mut number: u128) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in place.iter_mut().rev() {
        *byte = DIGITS[(number & 15) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn made(shape: Shape, events: u64, n: u64) -> (String, serde_json::Value) {
        let mut request = Vec::new();
        maker("/sqreen", shape, events).unwrap()(n, &mut request);
        let request = String::from_utf8(request).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let length = format!("content-length: {}", body.len());
        assert!(head.lines().any(|line| line == length), "{head}");
        (request.clone(), serde_json::from_str(body).unwrap())
    }

    #[test]
    fn every_event_of_every_request_has_an_id_of_its_own() {
        let mut ids = HashSet::new();
        for (events, n) in [(1, 1), (1, 2), (1, 1000), (1000, 0), (1000, 1), (1000, 2)] {
            let (_, body) = made(Shape::Sqreen, events, n);
            for event in body.as_array().unwrap() {
                assert!(ids.insert(event["message"]["event_id"].as_str().unwrap().to_owned()));
            }
        }
        assert_eq!(ids.len(), 3003);
    }

    #[test]
    fn a_request_is_signed_over_its_body_as_it_is_sent() {
        let (request, _) = made(Shape::Alert, 1, 7);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let scheme = config::vendors::scheme("sqreen").unwrap();
        let (name, signature) = verify::sign_body(scheme, &Secret::new(SECRET), body.as_bytes());
        assert!(head.ends_with(&format!("{name}: {signature}")), "{head}");
    }

    #[test]
    fn events_have_about_a_kilobyte() {
        for shape in [Shape::Sqreen, Shape::Alert] {
            assert!((900..1100).contains(&shape.event().len()), "{}", shape.event().len());
        }
    }
}
