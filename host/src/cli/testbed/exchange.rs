//! One HTTP/1.1 request on an open connection, written and read without an HTTP client: that costs the
//! least, and a connection that ends in the middle is seen as such.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Of the whole answer, head included.
    length: usize,
    /// The server closes the connection after this answer.
    pub closes: bool,
}

/// Sends a whole request and reads its whole answer.
///
/// # Errors
/// The connection broke, or the answer is not HTTP with a length.
pub async fn exchange(stream: &mut TcpStream, request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request).await?;
    let mut text = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut text).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(answer) = parse(&text)? {
            if text.len() >= answer.length {
                return Ok(answer);
            }
        } else if text.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("the head of the answer is too long"));
        }
    }
}

/// `None` until the head is complete.
fn parse(text: &[u8]) -> io::Result<Option<Answer>> {
    let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let bad = || io::Error::other("the answer is not HTTP");
    let head = std::str::from_utf8(&text[..end]).map_err(|_| bad())?;
    let status = head.get(9..12).and_then(|code| code.parse().ok()).ok_or_else(bad)?;
    let (mut length, mut closes) = (end + 4, head.starts_with("HTTP/1.0"));
    for line in head.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length += value.parse::<usize>().map_err(|_| bad())?;
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(io::Error::other("an answer in chunks is not supported"));
        }
    }
    Ok(Some(Answer { status, length, closes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_gives_the_length_of_the_answer_and_the_end_of_the_connection() {
        let answer = |status, length, closes| Some(Answer { status, length, closes });
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-le", None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", answer(200, 40, false)),
            ("HTTP/1.1 503 X\r\nConnection: close\r\n\r\n", answer(503, 37, true)),
            ("HTTP/1.0 200 OK\r\n\r\n", answer(200, 19, true)),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap(), expected, "{text}");
        }
        for text in ["nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
