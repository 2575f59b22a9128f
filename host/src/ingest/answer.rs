//! The answers to senders: small JSON with the id of the request, which is also in the log.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use super::refusal::RequestRefusal;
use super::settings::InForce;
use crate::store::Durable;
use crate::verify::Answer;

/// When to try again after a 503, in seconds. A full disk takes longer.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("5");
const RETRY_AFTER_FULL_S: HeaderValue = HeaderValue::from_static("30");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of the answer without the ids.
const ACCEPTED_BYTES: usize = 96;
/// Bytes of an id with its quotes and comma.
const ID_BYTES: usize = 29;

/// Identifies one request in the answer, the log and the feed. Random, so that it reveals nothing.
#[derive(Clone, Copy)]
pub(super) struct RequestId(u64);

impl RequestId {
    pub(super) fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

impl RequestId {
    fn digits(self) -> [u8; 16] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 16];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        digits
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterAnswer {
    KeepOpen,
    /// The rest of the request is unread, so no other request can follow.
    Close,
}

/// 200. Built only from the proof that the events are durable.
pub(super) fn accepted(id: RequestId, durable: &Durable) -> Response<Full<Bytes>> {
    let ids = durable.ids();
    let mut body = String::with_capacity(ACCEPTED_BYTES + ids.len() * ID_BYTES);
    // Writing to a string cannot fail.
    let _ = write!(body, "{{\"accepted\":{},\"ids\":[", ids.len());
    for (place, event) in ids.iter().enumerate() {
        body.push_str(if place == 0 { "\"" } else { ",\"" });
        event.push_to(&mut body);
        body.push('"');
    }
    body.push(']');
    if durable.duplicates() > 0 {
        let _ = write!(body, ",\"duplicates\":{}", durable.duplicates());
    }
    let digits = id.digits();
    for part in [",\"request\":\"", std::str::from_utf8(&digits).unwrap_or_default(), "\"}"] {
        body.push_str(part);
    }
    json(StatusCode::OK, id, body)
}

/// 200 for vendors that accept no body. The events are durable: only a source's setting leads here instead of to
/// [`accepted`].
pub(super) fn accepted_without_body(id: RequestId, _: &Durable) -> Response<Full<Bytes>> {
    let mut response = json(StatusCode::OK, id, String::new());
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// The answer to a handshake, in the form that the vendor requires.
pub(super) fn handshake(
    id: RequestId,
    answer: Answer,
    after: AfterAnswer,
) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = json(status, id, answer.body);
    response.headers_mut().remove(CONTENT_TYPE);
    if !answer.content_type.is_empty() {
        let content_type = HeaderValue::from_static(answer.content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        // A text of the asker's must not be taken for HTML.
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if let Some((name, value)) = answer.header
        && let Ok(value) = HeaderValue::try_from(value)
    {
        response.headers_mut().insert(name, value);
    }
    close(&mut response, after);
    response
}

/// Whether requests are accepted: for load balancers.
pub(super) fn health(id: RequestId, accepts: bool, in_force: InForce) -> Response<Full<Bytes>> {
    let InForce { config, generation, since } = in_force;
    let body = |status| {
        let config = format_args!("\"config\":\"{config:016x}\",\"generation\":{generation}");
        format!("{{\"status\":\"{status}\",{config},\"since\":\"{since}\"}}")
    };
    if accepts {
        return json(StatusCode::OK, id, body("ok"));
    }
    let body = body("nothing can be stored; `dispatcher status` says why");
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, id, body);
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_FULL_S);
    response
}

pub(super) fn refused(
    id: RequestId,
    refusal: &RequestRefusal,
    after: AfterAnswer,
) -> Response<Full<Bytes>> {
    let error = serde_json::Value::from(&*refusal.answer());
    let mut response =
        json(refusal.status(), id, format!("{{\"error\":{error},\"request\":\"{id}\"}}"));
    let headers: &mut HeaderMap = response.headers_mut();
    if let RequestRefusal::Method { allowed } = refusal {
        let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
        if let Ok(allow) = HeaderValue::try_from(names.join(", ")) {
            headers.insert(ALLOW, allow);
        }
    }
    if refusal.status() == StatusCode::SERVICE_UNAVAILABLE {
        let wait = if refusal.is_full() { RETRY_AFTER_FULL_S } else { RETRY_AFTER_S };
        headers.insert(RETRY_AFTER, wait);
    }
    if let Some(wait_s) = refusal.wait_s() {
        headers.insert(RETRY_AFTER, wait_s.into());
    }
    close(&mut response, after);
    response
}

fn close(response: &mut Response<Full<Bytes>>, after: AfterAnswer) {
    if after == AfterAnswer::Close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn json(status: StatusCode, id: RequestId, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_bytes(&id.digits()) {
        headers.insert(REQUEST_ID, id);
    }
    response
}
