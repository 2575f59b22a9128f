//! Turns an input of the fuzzer into a request.
//!
//! The first byte chooses a scheme, a sender or a content coding. Then come header lines up to an empty one, and
//! then the body. A line that begins with a digit stands for one of the headers that the target passes.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Most header lines of an input, as of a connection.
const LINES_MAX: usize = 100;

/// The number in the first byte, and the rest.
pub fn choice(input: &[u8]) -> Option<(usize, &[u8])> {
    input.split_first().map(|(first, rest)| (usize::from(*first), rest))
}

/// Headers and body; `known` are the headers for which digits stand.
pub fn request<'a>(input: &'a [u8], known: &[HeaderName]) -> (HeaderMap, &'a [u8]) {
    let (mut headers, mut rest) = (HeaderMap::new(), input);
    for _ in 0..LINES_MAX {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { break };
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let digit = line[0].wrapping_sub(b'0');
        let (name, value) = match known.get(usize::from(digit)) {
            Some(name) => (Some(name.clone()), &line[1..]),
            None => {
                let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
                let value = line.get(at + 1..).unwrap_or_default();
                (HeaderName::from_bytes(&line[..at]).ok(), value)
            }
        };
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    (headers, rest)
}
