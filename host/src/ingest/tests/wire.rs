//! The handler behind a real listener: behaviour that only a socket shows.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use crate::net;

/// A kit that is being served; stops when dropped.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    pub(super) queue: Arc<kit::Memory>,
    _stop: oneshot::Sender<()>,
}

pub(super) fn serve() -> Wire {
    let settings =
        net::Settings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..net::Settings::default() };
    let listener = net::Listener::bind(&settings).unwrap();
    let address = listener.local_addr();
    let Kit { ingest, queue, .. } = Kit::new();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(listener.serve(Arc::new(ingest), async {
        let _ = stopped.await;
    }));
    Wire { address, queue, _stop: stop }
}

/// The head of a signed request for `body`, without the empty line at its end.
pub(super) fn head(body: &str, rest: &str) -> String {
    let request = signed("/sqreen", body);
    let signature = request.headers()["x-sqreen-integrity"].to_str().unwrap().to_owned();
    format!("POST /sqreen HTTP/1.1\r\nhost: localhost\r\nX-Sqreen-Integrity: {signature}\r\n{rest}")
}

/// Sends the pieces and reads until the server closes.
async fn exchange(wire: &Wire, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(wire.address).await.unwrap();
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_signed_body_comes_through_in_one_piece_and_in_chunks() {
    let wire = serve();
    let body = sample("sqreen/security_event");
    let length = format!("content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let whole = head(body, &length);
    let (front, back) = body.split_at(100);
    let chunked = head(
        body,
        &format!(
            "transfer-encoding: chunked\r\nconnection: close\r\n\r\n\
             {:x}\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\n\r\n",
            front.len(),
            back.len()
        ),
    );
    for request in [whole, chunked] {
        let answer = exchange(&wire, &[request.as_bytes()]).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("{\"accepted\":1,\"ids\":[\""), "{answer}");
    }
    assert_eq!(wire.queue.count(), 2);
}

#[tokio::test]
async fn a_sender_that_expects_100_continue_is_refused_before_it_sends_the_body() {
    let wire = serve();
    for (rest, status) in [
        (format!("content-length: {}\r\n", kit::BODY_BYTES_MAX + 1), "413 Payload Too Large"),
        ("X-Sqreen-Integrity: twice\r\ncontent-length: 10\r\n".to_owned(), "401 Unauthorized"),
    ] {
        let request = head("", &format!("expect: 100-continue\r\n{rest}\r\n"));
        let answer = exchange(&wire, &[request.as_bytes()]).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn a_sender_that_expects_100_continue_gets_it() {
    let wire = serve();
    let body = sample("sqreen/test");
    let rest = format!(
        "expect: 100-continue\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(wire.address).await.unwrap();
    stream.write_all(head(body, &rest).as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

/// Such a sender still writes while the answer is sent. A closed socket would lose the answer.
#[tokio::test]
async fn a_sender_that_does_not_wait_for_100_continue_still_reads_the_refusal() {
    let wire = serve();
    // More than the kernel buffers on both sides, and less than the daemon discards.
    let bytes = 14 * 1024 * 1024;
    let body = vec![b' '; bytes];
    let announced = head("", &format!("content-length: {bytes}\r\n\r\n"));
    let chunked = head("", "transfer-encoding: chunked\r\n\r\n");
    let chunk = format!("{bytes:x}\r\n");
    for pieces in [
        vec![announced.as_bytes(), &body[..]],
        vec![chunked.as_bytes(), chunk.as_bytes(), &body[..], b"\r\n0\r\n\r\n"],
    ] {
        let answer = exchange(&wire, &pieces).await;
        assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
        assert!(answer.contains("the body is longer than 20000 bytes"), "{answer}");
    }
    let unknown = format!("POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: {bytes}\r\n\r\n");
    let answer = exchange(&wire, &[unknown.as_bytes(), &body]).await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert_eq!(wire.queue.count(), 0);
}

#[tokio::test]
async fn a_wrong_signature_does_not_close_the_connection() {
    let wire = serve();
    let body = sample("sqreen/test");
    let length = format!("content-length: {}\r\n\r\n{body}", body.len());
    let forged = head("something else", &length);
    let good = head(body, &format!("connection: close\r\n{length}"));
    let answers = exchange(&wire, &[forged.as_bytes(), good.as_bytes()]).await;
    assert!(answers.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answers}");
    assert!(answers.contains("HTTP/1.1 200 OK\r\n"), "{answers}");
    assert_eq!(wire.queue.count(), 1);
}

#[tokio::test]
async fn invalid_http_is_answered_and_the_connection_closed() {
    let wire = serve();
    let answer = exchange(&wire, &[b"\x16\x03\x01 hello over TLS\r\n\r\n"]).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let torn = head("", "transfer-encoding: chunked\r\n\r\nzz\r\n");
    let answer = exchange(&wire, &[torn.as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
}
