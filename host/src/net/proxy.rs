//! The header of the PROXY protocol, versions 1 and 2, with which a load balancer names the client of a connection
//! before the first request.
//!
//! Reads nothing after the header. Limits: 107 bytes in version 1, by its specification, and [`BYTES_MAX`] in version
//! 2, of which addresses take at most 52; extensions are skipped. The caller limits the time.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Longest header.
pub const BYTES_MAX: usize = 2048;
const LINE_BYTES_MAX: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Possibly the beginning of a header.
    Incomplete,
    /// A header of this many bytes. No source: the connection is the proxy's own, or the proxy does not name the client.
    Complete {
        bytes: usize,
        source: Option<SocketAddr>,
    },
    Invalid(&'static str),
}

/// Parses the header at the beginning of a text.
#[must_use]
pub fn parse(text: &[u8]) -> Header {
    let begins =
        |with: &[u8]| text.len().min(with.len()) > 0 && text.iter().zip(with).all(|(a, b)| a == b);
    if begins(SIGNATURE) {
        binary(text)
    } else if begins(b"PROXY ") {
        line(text)
    } else if text.is_empty() {
        Header::Incomplete
    } else {
        Header::Invalid("the connection does not begin with a PROXY header")
    }
}

/// Version 1: `PROXY TCP4 SOURCE DESTINATION PORT PORT\r\n`.
fn line(text: &[u8]) -> Header {
    const MALFORMED: Header = Header::Invalid("the PROXY line is malformed");
    let part = &text[..text.len().min(LINE_BYTES_MAX)];
    let Some(end) = part.windows(2).position(|two| two == b"\r\n") else {
        return if text.len() < LINE_BYTES_MAX {
            Header::Incomplete
        } else {
            Header::Invalid("the PROXY line is too long")
        };
    };
    let Ok(line) = std::str::from_utf8(&part[..end]) else { return MALFORMED };
    let bytes = end + 2;
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    match words[..] {
        ["UNKNOWN", ..] => Header::Complete { bytes, source: None },
        [family @ ("TCP4" | "TCP6"), source, destination, port, other_port] => {
            let address = |text: &str| {
                let address: IpAddr = text.parse().ok()?;
                (address.is_ipv4() == (family == "TCP4")).then_some(address)
            };
            match (address(source), address(destination), number(port), number(other_port)) {
                (Some(source), Some(_), Some(port), Some(_)) => {
                    Header::Complete { bytes, source: Some(SocketAddr::new(source, port)) }
                }
                _ => MALFORMED,
            }
        }
        _ => MALFORMED,
    }
}

/// A port, without sign or leading zeros.
fn number(text: &str) -> Option<u16> {
    let plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| plain)
}

/// Version 2.
fn binary(text: &[u8]) -> Header {
    let Some((fixed, rest)) = text.split_first_chunk::<FIXED_BYTES>() else {
        return Header::Incomplete;
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let bytes = FIXED_BYTES + length;
    if bytes > BYTES_MAX {
        return Header::Invalid("the PROXY header is too long");
    }
    let names_client = match command {
        0x20 => false,
        0x21 => true,
        _ => return Header::Invalid("the PROXY header has an unknown version or command"),
    };
    let Some(addresses) = rest.get(..length) else { return Header::Incomplete };
    let source = match family {
        _ if !names_client => None,
        // Unspecified, and Unix sockets.
        0x00 | 0x31 | 0x32 => None,
        0x11 => match addresses.first_chunk::<12>() {
            Some([a, b, c, d, _, _, _, _, high, low, _, _]) => {
                let port = u16::from_be_bytes([*high, *low]);
                Some(SocketAddr::from(([*a, *b, *c, *d], port)))
            }
            None => {
                return Header::Invalid("the PROXY header is too short for its addresses");
            }
        },
        0x21 => match (addresses.first_chunk::<16>(), addresses.get(32..34), addresses.len()) {
            (Some(source), Some([high, low]), 36..) => {
                Some(SocketAddr::from((*source, u16::from_be_bytes([*high, *low]))))
            }
            _ => return Header::Invalid("the PROXY header is too short for its addresses"),
        },
        _ => return Header::Invalid("the PROXY header is not about a TCP connection"),
    };
    Header::Complete { bytes, source }
}

/// Reads the header from a connection, and not one byte more. After a cancellation, the connection must be closed.
///
/// # Errors
/// There is no valid header (`InvalidData`), or the connection failed or ended.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut text = vec![0; BYTES_MAX];
    let mut known = 0;
    loop {
        // Peeks first, so that the bytes after the header are left for hyper.
        let seen = stream.peek(&mut text[known..]).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = match parse(&text[..known + seen]) {
            Header::Incomplete => seen,
            Header::Complete { bytes, .. } => bytes - known,
            Header::Invalid(reason) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        };
        stream.read_exact(&mut text[known..known + taken]).await?;
        known += taken;
        if let Header::Complete { source, .. } = parse(&text[..known]) {
            return Ok(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    /// Source 203.0.113.7:4711.
    const FOUR: &[u8] = &[203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 0, 80];

    fn six() -> Vec<u8> {
        let source: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
        [&source.octets()[..], &[0; 16], &[0x12, 0x67, 0, 80]].concat()
    }

    #[test]
    fn both_versions_name_the_client() {
        for (text, expected) in [
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n".to_vec(), Some("203.0.113.7:4711")),
            (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n".to_vec(), Some("[2001:db8::7]:4711")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, FOUR), Some("203.0.113.7:4711")),
            (v2(0x21, 0x11, &[FOUR, &[3, 0, 4, 1, 2, 3, 4]].concat()), Some("203.0.113.7:4711")),
            (v2(0x21, 0x21, &six()), Some("[2001:db8::7]:4711")),
            (v2(0x20, 0x11, FOUR), None),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x21, 0x00, &[]), None),
            (v2(0x21, 0x31, &[b'/'; 216]), None),
        ] {
            let source = expected.map(|address| address.parse().unwrap());
            let bytes = text.len();
            let whole = Header::Complete { bytes, source };
            assert_eq!(parse(&text), whole, "{}", text.escape_ascii());
            assert_eq!(parse(&[&text, &b"POST / HTTP/1.1\r\n"[..]].concat()), whole);
            for cut in 0..bytes {
                assert_eq!(
                    parse(&text[..cut]),
                    Header::Incomplete,
                    "{cut} {}",
                    text.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn other_bytes_are_invalid() {
        for text in [
            b"POST / HTTP/1.1\r\n".to_vec(),
            b"P0".to_vec(),
            b"\r\n\r\nX".to_vec(),
            b"PROXY \r\n".to_vec(),
            b"PROXY TCP4\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 4711\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 80 1\r\n".to_vec(),
            b"PROXY TCP4  203.0.113.7 10.0.0.1 4711 80\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 ::1 4711 80\r\n".to_vec(),
            b"PROXY TCP6 203.0.113.7 10.0.0.1 4711 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 65536 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 +1 80\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.7 10.0.0.1 01 80\r\n".to_vec(),
            b"PROXY UDP4 203.0.113.7 10.0.0.1 1 80\r\n".to_vec(),
            b"PROXY \xff\r\n".to_vec(),
            [&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat(),
            v2(0x11, 0x11, FOUR),
            v2(0x22, 0x11, FOUR),
            v2(0x21, 0x12, FOUR),
            v2(0x21, 0x41, FOUR),
            v2(0x21, 0x11, &FOUR[..11]),
            v2(0x21, 0x21, &six()[..35]),
            v2(0x21, 0x11, &[0; BYTES_MAX]),
        ] {
            assert!(matches!(parse(&text), Header::Invalid(_)), "{}", text.escape_ascii());
        }
    }

    proptest! {
        /// More bytes never change a result, and the limit ends every wait.
        #[test]
        fn no_bytes_cause_a_panic_or_an_endless_wait(
            signature: bool, rest in prop::collection::vec(any::<u8>(), 0..2100),
        ) {
            let start: &[u8] = if signature { SIGNATURE } else { b"PROXY " };
            let text = [start, &rest].concat();
            let whole = parse(&text);
            if let Header::Complete { bytes, .. } = whole {
                prop_assert!(bytes <= text.len().min(BYTES_MAX));
                prop_assert_eq!(parse(&text[..bytes]), whole);
                prop_assert_eq!(parse(&text[..bytes - 1]), Header::Incomplete);
            }
            prop_assert!(whole != Header::Incomplete || text.len() < BYTES_MAX);
            let _ = parse(&rest);
        }
    }
}
