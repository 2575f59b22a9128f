//! Refuses requests whose host or whose end is ambiguous, as RFC 9112 requires (3.2, 6.1, 6.3).
//!
//! A proxy in front of the daemon could read such a request in another way, and see one request where the daemon sees
//! two. hyper drops `Content-Length` if there is a `Transfer-Encoding`, so both can only be seen in the raw head, see
//! [`HeadLines`]. A pipelined head that was read, wholly or in part, while the request before it was answered is
//! not judged reliably: a part of it may be missed, or the rest be read from its middle. hyper closes the connection
//! after a request with both, so that no second request can hide behind it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};

const TRANSFER_ENCODING: &[u8; NAME_BYTES_MAX] = b"transfer-encoding:";
const CONTENT_LENGTH: &[u8] = b"content-length:";
/// Length of the longest name that is looked for, with its colon.
const NAME_BYTES_MAX: usize = 18;

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

/// Which bytes a host with a port may have (RFC 3986, 3.2.2), except a comma, which joins two lines.
const IN_HOST: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let text = byte as u8;
        allowed[byte] = text.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~%!$&'()*+;=:[]";
    let mut place = 0;
    while place < others.len() {
        allowed[others[place] as usize] = true;
        place += 1;
    }
    allowed
};

/// The fault of a request. `two_lengths`: its raw head has two lengths, or both a length and a transfer encoding.
pub(super) fn fault<B>(request: &Request<B>, two_lengths: bool) -> Option<Fault> {
    let (mut hosts, mut encodings, mut chunked) = (0_usize, 0_usize, true);
    let (mut is_host, mut lengths, mut is_number) = (true, 0_usize, true);
    // One pass instead of several look-ups, each of which would hash a name.
    for (name, value) in request.headers() {
        if *name == header::HOST {
            hosts += 1;
            is_host = value.as_bytes().iter().all(|byte| IN_HOST[usize::from(*byte)]);
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
        0 | 1 if !is_host => Some(Fault::NotHost),
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

/// The lines of one raw head, as they arrive in pieces.
#[derive(Debug, Default)]
pub(super) struct HeadLines {
    /// The beginning of a line whose end has not arrived.
    begun: [u8; NAME_BYTES_MAX],
    begun_bytes: usize,
    /// A line that is not empty was read; empty lines before it are allowed.
    started: bool,
    ended: bool,
    length: bool,
    length_again: bool,
    encoding: bool,
}

impl HeadLines {
    /// Reads the next piece. Bytes after the head are ignored.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !self.ended {
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.keep(bytes);
                return;
            };
            if self.begun_bytes == 0 {
                self.line(&bytes[..end]);
            } else {
                self.keep(&bytes[..end]);
                let (begun, count) = (self.begun, self.begun_bytes);
                self.line(&begun[..count]);
                self.begun_bytes = 0;
            }
            bytes = &bytes[end + 1..];
        }
    }

    /// Whether the head has two lengths, or both a length and a transfer encoding.
    pub(super) const fn has_two_lengths(&self) -> bool {
        self.length && (self.encoding || self.length_again)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(NAME_BYTES_MAX - self.begun_bytes);
        self.begun[self.begun_bytes..][..kept].copy_from_slice(&bytes[..kept]);
        self.begun_bytes += kept;
    }

    fn line(&mut self, line: &[u8]) {
        match line {
            [] | [b'\r'] => {
                self.ended = self.started;
                return;
            }
            [b't' | b'T', ..] => self.encoding |= begins_with(line, TRANSFER_ENCODING),
            [b'c' | b'C', ..] if begins_with(line, CONTENT_LENGTH) => {
                // hyper merges equal ones.
                self.length_again |= self.length;
                self.length = true;
            }
            _ => {}
        }
        self.started = true;
    }
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_lengths(pieces: &[&[u8]]) -> bool {
        let mut lines = HeadLines::default();
        pieces.iter().for_each(|piece| lines.read(piece));
        lines.has_two_lengths()
    }

    #[test]
    fn both_lengths_are_seen_in_every_order_case_and_cut() {
        for head in [
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nhost: h\r\nCONTENT-LENGTH:5\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\nhost: h\r\nContent-Length: 5\r\n\r\n",
            "\r\n\r\nPOST / HTTP/1.1\nContent-Length: 5\nTRANSFER-encoding:chunked\n\n",
        ] {
            let head = head.as_bytes();
            for cut in 0..head.len() {
                let (begin, end) = head.split_at(cut);
                assert!(two_lengths(&[begin, end]), "{cut}: {}", head.escape_ascii());
            }
            let bytes: Vec<&[u8]> = head.chunks(1).collect();
            assert!(two_lengths(&bytes), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn one_length_and_lines_of_the_body_are_no_fault() {
        for head in [
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\ntransfer-encoding: chunked\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\ncontent-length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\nx-transfer-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\nx: transfer-encoding: chunked\r\n\r\n",
        ] {
            let head = head.as_bytes();
            for cut in 0..head.len() {
                let (begin, end) = head.split_at(cut);
                assert!(!two_lengths(&[begin, end]), "{cut}: {}", head.escape_ascii());
            }
        }
    }
}
