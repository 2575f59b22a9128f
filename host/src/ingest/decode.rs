//! A compressed body as it was before: read only after its signature, which covers the bytes as sent.
//!
//! One coding of those named in `Content-Encoding`, or several one after the other, at most
//! [`CODINGS_MAX`]; what comes out of each is at most as long as the source takes, and no more than that is
//! ever held.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use ruzstd::decoding::StreamingDecoder;

/// Most codings of one body.
const CODINGS_MAX: usize = 2;
/// What brotli reads at once, in bytes.
const BROTLI_BUFFER_BYTES: usize = 4096;

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecoded {
    Unknown,
    Broken(&'static str),
    TooLong,
}

/// The body without its codings; at most `bytes_max`.
///
/// # Errors
/// A coding that is not known or not kept to, or a body that becomes too long.
pub fn decoded(headers: &HeaderMap, body: Bytes, bytes_max: usize) -> Result<Bytes, Undecoded> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(body);
    }
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| Undecoded::Unknown)?;
        codings.extend(value.split(',').map(|coding| coding.trim().to_ascii_lowercase()));
    }
    codings.retain(|coding| !coding.is_empty() && coding != "identity");
    if codings.len() > CODINGS_MAX {
        return Err(Undecoded::Unknown);
    }
    // They were applied in the order written.
    codings.iter().rev().try_fold(body, |body, coding| decode(coding, &body, bytes_max))
}

fn decode(coding: &str, body: &[u8], bytes_max: usize) -> Result<Bytes, Undecoded> {
    match coding {
        "gzip" | "x-gzip" => read(MultiGzDecoder::new(body), "gzip", bytes_max),
        // The name means zlib's form; many send the bare one.
        "deflate" if is_zlib(body) => read(ZlibDecoder::new(body), "deflate", bytes_max),
        "deflate" => read(DeflateDecoder::new(body), "deflate", bytes_max),
        "br" => {
            let decoder = brotli_decompressor::Decompressor::new(body, BROTLI_BUFFER_BYTES);
            read(decoder, "br", bytes_max)
        }
        "zstd" => {
            let decoder = StreamingDecoder::new(body).map_err(|_| Undecoded::Broken("zstd"))?;
            read(decoder, "zstd", bytes_max)
        }
        _ => Err(Undecoded::Unknown),
    }
}

/// The first two bytes of zlib's form: the method is 8, and both together are a multiple of 31.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [a, b, ..] if a & 0x0f == 8 && u16::from_be_bytes([*a, *b]) % 31 == 0)
}

fn read(decoder: impl Read, coding: &'static str, bytes_max: usize) -> Result<Bytes, Undecoded> {
    let mut body = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut body).map_err(|_| Undecoded::Broken(coding))?;
    if body.len() > bytes_max {
        return Err(Undecoded::TooLong);
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

    fn run(codings: &[&str], body: &[u8], bytes_max: usize) -> Result<Bytes, Undecoded> {
        decoded(&headers(codings), Bytes::copy_from_slice(body), bytes_max)
    }

    #[test]
    fn every_coding_comes_back_as_it_was() {
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
    fn what_is_too_long_broken_or_unknown_is_refused() {
        let bomb = vec![b' '; 8 << 20];
        for (codings, body, expected) in [
            (&["gzip"][..], gzip(&bomb), Undecoded::TooLong),
            (&["zstd"], zstd(&bomb), Undecoded::TooLong),
            (&["gzip, gzip"], gzip(&gzip(&bomb)), Undecoded::TooLong),
            (&["gzip"], gzip(BODY)[..12].to_vec(), Undecoded::Broken("gzip")),
            (&["gzip"], BODY.to_vec(), Undecoded::Broken("gzip")),
            (&["br"], b"\xff\xff\xff".to_vec(), Undecoded::Broken("br")),
            (&["zstd"], BODY.to_vec(), Undecoded::Broken("zstd")),
            (&["compress"], BODY.to_vec(), Undecoded::Unknown),
            (&["gzip, gzip, gzip"], BODY.to_vec(), Undecoded::Unknown),
        ] {
            assert_eq!(run(codings, &body, 1 << 20), Err(expected), "{codings:?}");
        }
        assert_eq!(run(&["gzip"], &gzip(BODY), BODY.len()).as_deref(), Ok(BODY));
        assert_eq!(run(&["gzip"], &gzip(BODY), BODY.len() - 1), Err(Undecoded::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_body_or_refused(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            coding in prop_oneof![Just("gzip"), Just("deflate"), Just("br"), Just("zstd")],
        ) {
            let _ = run(&[coding], &body, 10_000);
        }
    }
}
