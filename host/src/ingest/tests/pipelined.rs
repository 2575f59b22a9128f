//! Requests behind one another on one connection: how their bytes are cut changes nothing.

use super::wire::{Wire, head, serve};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How often the other tasks run between two pieces.
const TURNS: usize = 8;

/// The status of each answer, and how many requests were stored.
async fn outcome(wire: &Wire, pieces: &[&[u8]]) -> (Vec<String>, usize) {
    let before = wire.queue.count();
    let mut stream = TcpStream::connect(wire.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut answers, mut part) = (Vec::new(), [0; 4096]);
    for piece in pieces {
        // The server closes the connection behind a request that it refuses by its framing.
        if stream.write_all(piece).await.is_err() {
            break;
        }
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        while let Ok(count @ 1..) = stream.try_read(&mut part) {
            answers.extend_from_slice(&part[..count]);
        }
    }
    let _ = stream.shutdown().await;
    while let Ok(count @ 1..) = stream.read(&mut part).await {
        answers.extend_from_slice(&part[..count]);
    }
    let answers = String::from_utf8(answers).unwrap();
    let statuses = answers.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].to_owned());
    (statuses.collect(), wire.queue.count() - before)
}

/// Two honest requests, one with a length and one in chunks, around and behind the given one.
fn around(middle: &str) -> String {
    let body = "{\"a\":1}";
    let whole = head(body, &format!("content-length: {}\r\n\r\n{body}", body.len()));
    let (front, back) = body.split_at(3);
    let chunks = format!("3\r\n{front}\r\n{:x};x=y\r\n{back}\r\n0\r\n\r\n", back.len());
    let chunked = head(body, &format!("transfer-encoding: chunked\r\n\r\n{chunks}"));
    format!("{whole}{chunked}{middle}{whole}")
}

#[tokio::test]
async fn pipelined_requests_are_answered_the_same_however_they_are_cut() {
    let wire = serve();
    let lengths = |lines: &str, body: &str| {
        format!("POST /sqreen HTTP/1.1\r\nhost: h\r\n{lines}\r\n\r\n{body}")
    };
    // A body that hides a request with an honest signature.
    let honest = head("{}", "content-length: 2\r\n\r\n{}");
    for (middle, expected, stored) in [
        (String::new(), &["200", "200", "200"][..], 3),
        ("GET /sqreen HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(), &["200", "200", "405", "200"], 3),
        (head("other", "content-length: 2\r\n\r\n{}"), &["200", "200", "401", "200"], 3),
        (lengths("content-length: 2\r\ncontent-length: 2", "{}"), &["200", "200", "400"], 2),
        (
            lengths(
                "content-length: 2\r\nTransfer-Encoding: chunked",
                &format!("0\r\n\r\n{honest}"),
            ),
            &["200", "200", "400"],
            2,
        ),
        (lengths("transfer-encoding: gzip", &honest), &["200", "200", "400"], 2),
        (lengths("host: other\r\ncontent-length: 2", "{}"), &["200", "200", "400"], 2),
        ("\x16\x03\x01 no request\r\n\r\n".to_owned(), &["200", "200", "400"], 2),
    ] {
        let stream = around(&middle).into_bytes();
        let expected = (expected.iter().map(ToString::to_string).collect(), stored);
        let whole = outcome(&wire, &[&stream]).await;
        assert_eq!(whole, expected, "{middle}");
        for cut in 1..stream.len() {
            let (begin, end) = stream.split_at(cut);
            let found = outcome(&wire, &[begin, end]).await;
            assert_eq!(found, expected, "cut at {cut}: {middle}");
        }
        for step in [7, 64, 333] {
            let pieces: Vec<&[u8]> = stream.chunks(step).collect();
            let found = outcome(&wire, &pieces).await;
            assert_eq!(found, expected, "pieces of {step}: {middle}");
        }
    }
}
