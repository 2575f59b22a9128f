//! Refuses requests whose host or whose end is ambiguous, as RFC 9112 requires (3.2, 6.1, 6.3).
//!
//! A proxy in front of the daemon could read such a request in another way, and see one request where the daemon sees
//! two. hyper drops `Content-Length` if there is a `Transfer-Encoding`, so both can only be seen in the raw head, see
//! [`Requests`](super::requests::Requests). The connection is closed after the answer: nothing behind such a request is
//! read as another one.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};

/// How much of a refused body is read and discarded, so that a reset does not destroy the answer.
const UNWANTED_BYTES_MAX: usize = 64 * 1024;
/// How long that may take.
const UNWANTED_TIME_MAX: Duration = Duration::from_secs(1);

/// What is wrong with the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the Host header is missing")]
    NoHost,
    #[error("there is more than one Host header")]
    Hosts,
    #[error("the Host header is not a host with or without a port")]
    NotHost,
    #[error("Content-Length must be one number")]
    Lengths,
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    TwoLengths,
    #[error("the only Transfer-Encoding that is supported is chunked")]
    TransferEncoding,
}

/// Which bytes the name of a host may have (RFC 3986, 3.2.2), except a comma, which joins two lines.
const IN_NAME: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let text = byte as u8;
        allowed[byte] = text.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~%!$&'()*+;=";
    let mut place = 0;
    while place < others.len() {
        allowed[others[place] as usize] = true;
        place += 1;
    }
    allowed
};

/// Whether it is a name or an address, with or without a port. An address of IPv6 is in brackets.
fn is_host(text: &[u8]) -> bool {
    let (name, behind) = match text {
        [b'[', rest @ ..] => {
            let Some(end) = memchr::memchr(b']', rest) else { return false };
            let (address, behind) = (&rest[..end], &rest[end + 1..]);
            if !address.iter().all(|byte| *byte == b':' || IN_NAME[usize::from(*byte)]) {
                return false;
            }
            (&[][..], behind)
        }
        text => text.split_at(memchr::memchr(b':', text).unwrap_or(text.len())),
    };
    let is_port = match behind {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_port && name.iter().all(|byte| IN_NAME[usize::from(*byte)])
}

/// The fault of a request. `two_lengths`: its raw head has two lengths, or both a length and a transfer encoding.
pub(super) fn fault<B>(request: &Request<B>, two_lengths: bool) -> Option<Fault> {
    let (mut hosts, mut encodings, mut chunked) = (0_usize, 0_usize, true);
    let (mut has_host, mut lengths, mut is_number) = (true, 0_usize, true);
    // One pass instead of several look-ups, each of which would hash a name.
    for (name, value) in request.headers() {
        if *name == header::HOST {
            hosts += 1;
            has_host = is_host(value.as_bytes());
        } else if *name == header::CONTENT_LENGTH {
            lengths += 1;
            // hyper also takes a list of equal numbers, which RFC 9110 allows and another parser may not.
            is_number = value.as_bytes().iter().all(u8::is_ascii_digit);
        } else if *name == header::TRANSFER_ENCODING {
            encodings += 1;
            chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
        }
    }
    match hosts {
        0 if request.version() >= Version::HTTP_11 => Some(Fault::NoHost),
        0 | 1 if !has_host => Some(Fault::NotHost),
        0 | 1 if lengths > 1 || !is_number => Some(Fault::Lengths),
        0 | 1 if two_lengths && encodings == 0 => Some(Fault::Lengths),
        0 | 1 if two_lengths => Some(Fault::TwoLengths),
        0 | 1 if encodings > 1 || !chunked => Some(Fault::TransferEncoding),
        0 | 1 => None,
        _ => Some(Fault::Hosts),
    }
}

/// The answer to a request with a fault. Discards what has arrived of its body.
pub(super) async fn refuse(request: Request<Incoming>, fault: Fault) -> Response<Full<Bytes>> {
    // Reading the body would ask a sender that waits for `100 Continue` to send it.
    if !request.headers().contains_key(header::EXPECT) {
        let unwanted = discard(request.into_body());
        let _ = tokio::time::timeout(UNWANTED_TIME_MAX, unwanted).await;
    }
    let mut answer = Response::new(Full::new(Bytes::from(format!("{{\"error\":\"{fault}\"}}"))));
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    answer
}

async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut bytes = 0;
    while bytes < UNWANTED_BYTES_MAX {
        let Some(Ok(frame)) = body.frame().await else { return };
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}
