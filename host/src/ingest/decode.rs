//! Decompresses bodies. Done only after verification, because a signature covers the bytes as sent.
//!
//! `Content-Encoding` may name one encoding or several, at most [`ENCODINGS_MAX`]. The output of each is bounded
//! by the source's longest body, and so is the memory.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use ruzstd::decoding::StreamingDecoder;

/// Most encodings of one body.
const ENCODINGS_MAX: usize = 2;
/// Size of brotli's input buffer.
const BROTLI_BUFFER_BYTES: usize = 4096;

/// Why a body cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("unsupported content encoding, or more than {ENCODINGS_MAX} of them")]
    Unsupported,
    #[error("the body is not valid {0}")]
    Invalid(&'static str),
    #[error("the decompressed body is too long")]
    TooLong,
}

/// The decompressed body, of at most `bytes_max`.
///
/// # Errors
/// See [`DecodeError`].
pub fn decoded(headers: &HeaderMap, body: Bytes, bytes_max: usize) -> Result<Bytes, DecodeError> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(body);
    }
    let mut encodings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| DecodeError::Unsupported)?;
        encodings.extend(value.split(',').map(|encoding| encoding.trim().to_ascii_lowercase()));
    }
    encodings.retain(|encoding| !encoding.is_empty() && encoding != "identity");
    if encodings.len() > ENCODINGS_MAX {
        return Err(DecodeError::Unsupported);
    }
    // The header lists them in the order in which they were applied.
    encodings.iter().rev().try_fold(body, |body, encoding| decode(encoding, &body, bytes_max))
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
        decoded(&headers(codings), Bytes::copy_from_slice(body), bytes_max)
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

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            coding in prop_oneof![Just("gzip"), Just("deflate"), Just("br"), Just("zstd")],
        ) {
            let _ = run(&[coding], &body, 10_000);
        }
    }
}
