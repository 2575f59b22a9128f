//! Decompresses bodies. Done only after verification, because a signature covers the bytes as sent.
//!
//! If the signature covers the body, its bytes decide, because no signature covers the header: gzip, zstd and zlib are
//! recognized by their first bytes. Brotli and raw deflate have none. They are tried only if `Content-Encoding`
//! names one of them and the body is not readable without; so with another header the request is refused, or its
//! events are the same. If no signature covers the body, `Content-Encoding` decides. There may be several
//! encodings, at most [`ENCODINGS_MAX`]. The output of each is bounded by the source's longest body, and so is
//! the memory.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use ruzstd::decoding::StreamingDecoder;

use crate::model::Request;
use crate::normalize::{self, Reading, Sender};

/// Most encodings of one body.
const ENCODINGS_MAX: usize = 2;
/// Size of brotli's input buffer.
const BROTLI_BUFFER_BYTES: usize = 4096;

/// Why a body cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("unsupported content encoding, or more than {ENCODINGS_MAX} of them")]
    Unsupported,
    #[error("br and raw deflate are not supported where any body is taken")]
    Unmarked,
    #[error("the body is not valid {0}")]
    Invalid(&'static str),
    #[error("the decompressed body is too long")]
    TooLong,
}

/// The decompressed body of a verified request, of at most `bytes_max`.
///
/// # Errors
/// See [`DecodeError`].
pub fn decoded(sender: &Sender, request: &Request, bytes_max: usize) -> Result<Bytes, DecodeError> {
    let body = request.body.clone();
    match sender.reading(request.uri.query()) {
        Reading::Headers => declared(&request.headers, body, bytes_max),
        Reading::Bytes => recognized(sender, &request.headers, body, bytes_max),
        Reading::SortedForm => Ok(body),
    }
}

/// Decompressed as the header says.
fn declared(headers: &HeaderMap, body: Bytes, bytes_max: usize) -> Result<Bytes, DecodeError> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(body);
    }
    let encodings = named(headers)?;
    // The header lists them in the order in which they were applied.
    encodings.iter().rev().try_fold(body, |body, encoding| decode(encoding, &body, bytes_max))
}

/// Decompressed as the bytes say.
fn recognized(
    sender: &Sender,
    headers: &HeaderMap,
    body: Bytes,
    bytes_max: usize,
) -> Result<Bytes, DecodeError> {
    let (body, layers) = unwrapped(body, ENCODINGS_MAX, bytes_max)?;
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(body);
    }
    let encodings = named(headers)?;
    let is_unmarked = |encoding: &String| matches!(&**encoding, "br" | "deflate");
    if layers >= encodings.len()
        || !encodings.iter().any(is_unmarked)
        || normalize::is_readable(&body)
    {
        return Ok(body);
    }
    // A sender that takes every body would also take this one as it is, without the header.
    if sender.takes_any_body() {
        return Err(DecodeError::Unmarked);
    }
    // Both are tried whatever the header names: if both give a document, it is unclear which one was signed.
    let document = |encoding| {
        let unpacked = decode(encoding, &body, bytes_max)
            .and_then(|body| unwrapped(body, ENCODINGS_MAX - 1 - layers, bytes_max));
        match unpacked {
            Ok((body, _)) => Ok(Some(body).filter(|body| normalize::is_readable(body))),
            Err(DecodeError::TooLong) => Err(DecodeError::TooLong),
            Err(_) => Ok(None),
        }
    };
    match (document("br")?, document("deflate")?) {
        (Some(body), None) | (None, Some(body)) => Ok(body),
        _ => Err(DecodeError::Invalid("br or deflate")),
    }
}

/// The names in the header, in lower case and in order.
fn named(headers: &HeaderMap) -> Result<Vec<String>, DecodeError> {
    let mut encodings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| DecodeError::Unsupported)?;
        encodings.extend(value.split(',').map(|encoding| encoding.trim().to_ascii_lowercase()));
    }
    encodings.retain(|encoding| !encoding.is_empty() && encoding != "identity");
    if encodings.len() > ENCODINGS_MAX {
        return Err(DecodeError::Unsupported);
    }
    Ok(encodings)
}

/// Removes at most `layers_max` encodings that have a magic number, and counts them.
fn unwrapped(
    mut body: Bytes,
    layers_max: usize,
    bytes_max: usize,
) -> Result<(Bytes, usize), DecodeError> {
    for layers in 0..layers_max {
        let encoding = match &body[..] {
            [0x1f, 0x8b, ..] => "gzip",
            [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
            bytes if is_zlib(bytes) => "deflate",
            _ => return Ok((body, layers)),
        };
        body = match decode(encoding, &body, bytes_max) {
            Ok(inner) => inner,
            // Two bytes and a checksum mark zlib, and a text may begin with such bytes: `x^2`.
            Err(DecodeError::Invalid("deflate")) => return Ok((body, layers)),
            Err(error) => return Err(error),
        };
    }
    Ok((body, layers_max))
}

fn decode(encoding: &str, body: &[u8], bytes_max: usize) -> Result<Bytes, DecodeError> {
    match encoding {
        "gzip" | "x-gzip" => read(MultiGzDecoder::new(body), "gzip", bytes_max),
        // By the standard "deflate" is the zlib format, but many send raw deflate.
        "deflate" if is_zlib(body) => read(ZlibDecoder::new(body), "deflate", bytes_max),
        "deflate" => read(DeflateDecoder::new(body), "deflate", bytes_max),
        "br" => {
            let decoder = brotli_decompressor::Decompressor::new(body, BROTLI_BUFFER_BYTES);
            read(decoder, "br", bytes_max)
        }
        "zstd" => {
            let decoder = StreamingDecoder::new(body).map_err(|_| DecodeError::Invalid("zstd"))?;
            read(decoder, "zstd", bytes_max)
        }
        _ => Err(DecodeError::Unsupported),
    }
}

/// Whether the body begins like the zlib format: the method is 8, and the first two bytes are a multiple of 31.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [a, b, ..] if a & 0x0f == 8 && u16::from_be_bytes([*a, *b]) % 31 == 0)
}

fn read(
    decoder: impl Read,
    encoding: &'static str,
    bytes_max: usize,
) -> Result<Bytes, DecodeError> {
    let mut body = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut body).map_err(|_| DecodeError::Invalid(encoding))?;
    if body.len() > bytes_max {
        return Err(DecodeError::TooLong);
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::vendors;
    use proptest::prelude::*;
    use std::io::Write as _;

    const BODY: &[u8] = b"{\"type\":\"test\"}";

    fn headers(codings: &[&str]) -> HeaderMap {
        let value = |coding: &&str| (CONTENT_ENCODING, coding.parse().unwrap());
        codings.iter().map(value).collect()
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn bare(body: &[u8]) -> Vec<u8> {
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(body: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// Made with brotli 1.1: printf '{"type":"test"}' | brotli
    const BROTLI: &[u8] =
        b"\x0b\x07\x80\x7b\x22\x74\x79\x70\x65\x22\x3a\x22\x74\x65\x73\x74\x22\x7d\x03";

    fn run(codings: &[&str], body: &[u8], bytes_max: usize) -> Result<Bytes, DecodeError> {
        declared(&headers(codings), Bytes::copy_from_slice(body), bytes_max)
    }

    /// The body of a request whose body is signed.
    fn run_signed(sender: &str, codings: &[&str], body: &[u8]) -> Result<Bytes, DecodeError> {
        let coverage = vendors::scheme("zendesk").unwrap().coverage();
        let sender = vendors::sender(sender).unwrap();
        let sender = sender.limited(&coverage, normalize::UnsignedTypes::Ignored);
        let request = Request {
            source: "test".into(),
            method: http::Method::POST,
            uri: http::Uri::default(),
            headers: headers(codings),
            body: Bytes::copy_from_slice(body),
            received_at: crate::model::Timestamp::default(),
        };
        decoded(&sender, &request, 10_000)
    }

    #[test]
    fn every_encoding_is_decoded() {
        for (codings, body) in [
            (&["gzip"][..], gzip(BODY)),
            (&["X-GZIP"], gzip(BODY)),
            (&["deflate"], zlib(BODY)),
            (&["deflate"], bare(BODY)),
            (&["br"], BROTLI.to_vec()),
            (&["zstd"], zstd(BODY)),
            (&["deflate, gzip"], gzip(&zlib(BODY))),
            (&["deflate", "gzip"], gzip(&zlib(BODY))),
            (&["identity"], BODY.to_vec()),
            (&[""], BODY.to_vec()),
            (&[], BODY.to_vec()),
        ] {
            assert_eq!(run(codings, &body, 100).as_deref(), Ok(BODY), "{codings:?}");
        }
    }

    #[test]
    fn bodies_that_are_too_long_invalid_or_in_an_unsupported_encoding_are_errors() {
        let bomb = vec![b' '; 8 << 20];
        for (codings, body, expected) in [
            (&["gzip"][..], gzip(&bomb), DecodeError::TooLong),
            (&["zstd"], zstd(&bomb), DecodeError::TooLong),
            (&["gzip, gzip"], gzip(&gzip(&bomb)), DecodeError::TooLong),
            (&["gzip"], gzip(BODY)[..12].to_vec(), DecodeError::Invalid("gzip")),
            (&["gzip"], BODY.to_vec(), DecodeError::Invalid("gzip")),
            (&["br"], b"\xff\xff\xff".to_vec(), DecodeError::Invalid("br")),
            (&["zstd"], BODY.to_vec(), DecodeError::Invalid("zstd")),
            (&["compress"], BODY.to_vec(), DecodeError::Unsupported),
            (&["gzip, gzip, gzip"], BODY.to_vec(), DecodeError::Unsupported),
        ] {
            assert_eq!(run(codings, &body, 1 << 20), Err(expected), "{codings:?}");
        }
        assert_eq!(run(&["gzip"], &gzip(BODY), BODY.len()).as_deref(), Ok(BODY));
        assert_eq!(run(&["gzip"], &gzip(BODY), BODY.len() - 1), Err(DecodeError::TooLong));
    }

    #[test]
    fn a_signed_body_is_decoded_by_its_bytes() {
        let text = b"x^2 = 4";
        for (codings, body, expected) in [
            (&[][..], BODY.to_vec(), Ok(BODY)),
            (&["gzip"], BODY.to_vec(), Ok(BODY)),
            (&["br"], BODY.to_vec(), Ok(BODY)),
            (&[], gzip(BODY), Ok(BODY)),
            (&["br"], gzip(BODY), Ok(BODY)),
            (&["zstd"], zlib(BODY), Ok(BODY)),
            (&[], zstd(BODY), Ok(BODY)),
            (&[], gzip(&zlib(BODY)), Ok(BODY)),
            (&[], text.to_vec(), Ok(text)),
            (&["gzip"], text.to_vec(), Ok(text)),
            // Without a magic number, the header must name one of the two.
            (&["br"], BROTLI.to_vec(), Ok(BODY)),
            (&["deflate"], BROTLI.to_vec(), Ok(BODY)),
            (&["deflate"], bare(BODY), Ok(BODY)),
            (&["br, gzip"], gzip(BROTLI), Ok(BODY)),
            (&["gzip, deflate"], bare(&gzip(BODY)), Ok(BODY)),
            (&[], BROTLI.to_vec(), Ok(BROTLI)),
            (&["gzip"], BROTLI.to_vec(), Ok(BROTLI)),
            (&["br"], text.to_vec(), Err(DecodeError::Invalid("br or deflate"))),
            (&["compress"], bare(BODY), Ok(&bare(BODY)[..])),
            (&[], gzip(BODY)[..12].to_vec(), Err(DecodeError::Invalid("gzip"))),
            (&[], gzip(&[b' '; 10_001]), Err(DecodeError::TooLong)),
            (&[], zlib(&[b' '; 10_001]), Err(DecodeError::TooLong)),
        ] {
            let found = run_signed("json", codings, &body);
            assert_eq!(found.as_deref(), expected.as_deref(), "{codings:?} {body:?}");
        }
        // A sender that takes every body.
        for (codings, body, expected) in [
            (&["br"][..], BROTLI.to_vec(), Err(DecodeError::Unmarked)),
            (&["deflate"], bare(text), Err(DecodeError::Unmarked)),
            (&[], BROTLI.to_vec(), Ok(BROTLI)),
            (&["br"], BODY.to_vec(), Ok(BODY)),
            (&["deflate"], zlib(text), Ok(&text[..])),
        ] {
            let found = run_signed("zendesk", codings, &body);
            assert_eq!(found.as_deref(), expected.as_deref(), "{codings:?} {body:?}");
        }
    }

    proptest! {
        /// With any header, a signed body is refused or decoded to the same document.
        #[test]
        fn no_header_decodes_a_signed_body_to_another_document(
            coding in "(br|deflate|gzip|zstd|identity|compress|, ){0,5}",
            wrapping in 0usize..6, any_body in any::<bool>(), text in "[{}\\[\\]\":,a1=& ]{0,20}",
        ) {
            let wrap = [<[u8]>::to_vec, gzip, zlib, bare, zstd, |_: &[u8]| BROTLI.to_vec()][wrapping];
            let body = wrap(if text.is_empty() { BODY } else { text.as_bytes() });
            let sender = if any_body { "zendesk" } else { "json" };
            let with_header = run_signed(sender, &[&coding], &body);
            let without = run_signed(sender, &[], &body);
            let is_event = |body: &Bytes| any_body || normalize::is_readable(body);
            if let (Ok(one), Ok(other)) = (with_header, without) {
                prop_assert!(one == other || !is_event(&other), "{:?} {:?}", one, other);
            }
        }

        #[test]
        fn no_bytes_cause_a_panic(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            coding in prop_oneof![Just("gzip"), Just("deflate"), Just("br"), Just("zstd")],
        ) {
            let _ = run(&[coding], &body, 10_000);
        }
    }
}
