//! The client against real servers on this machine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::{Answer, Client, EgressError, ErrorKind, Outgoing, Settings};
use crate::model::Cidr;

const DEADLINE: Duration = Duration::from_secs(60);

fn client() -> Client {
    let connect_timeout = DEADLINE * 2;
    let settings = Settings { response_bytes_max: 1000, connect_timeout, ..Settings::default() };
    Client::new(&settings).unwrap()
}

fn get(url: &str, allow: &[&str]) -> Outgoing {
    Outgoing {
        method: Method::GET,
        url: url.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        allow: allow.iter().map(|range| range.parse::<Cidr>().unwrap()).collect(),
        deadline: Instant::now() + DEADLINE,
    }
}

/// A request to a server of this test.
fn to(address: SocketAddr, path: &str) -> Outgoing {
    get(&format!("http://{address}{path}"), &["127.0.0.0/8"])
}

fn check(outcome: Result<Answer, EgressError>, kind: ErrorKind, part: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.reason.contains(part), "{error}");
    assert!(!error.reason.contains('\n') && !error.reason.contains("s3cret"), "{error}");
}

/// A server that answers by path, and counts the connections it takes.
async fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(connection);
        }
    });
    (address, connections)
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Chunks>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let known = |size: usize| Either::Left(Full::new(Bytes::from(vec![b'x'; size])));
    let answer = Response::builder();
    let answer = match head.uri.path() {
        "/echo" => answer
            .header("x-host", &head.headers["host"])
            .body(Either::Left(Full::new(body.collect().await?.to_bytes()))),
        "/moved" => answer.status(302).header("location", "/echo").body(known(0)),
        "/fits" => answer.body(known(1000)),
        "/long" => answer.body(known(1001)),
        "/chunks-fit" => answer.body(Either::Right(Chunks(10))),
        "/chunks-long" => answer.body(Either::Right(Chunks(11))),
        _ => answer.status(404).body(known(0)),
    };
    Ok(answer.unwrap())
}

/// That many times 100 bytes, without a content length.
struct Chunks(usize);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; 100])))))
    }
}

/// The next connection, once bytes of a request came.
async fn heard(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
    stream
}

#[tokio::test]
async fn body_headers_and_status_arrive_in_both_directions() {
    let (address, _) = server().await;
    let mut request = to(address, "/echo?s3cret");
    request.method = Method::POST;
    request.body = Bytes::from_static(b"hello");
    request.headers.push(("X-Extra".to_owned(), "1".to_owned()));
    let answer = client().send(request).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    assert!(answer.headers.contains(&("x-host".to_owned(), address.to_string())));
    assert_eq!(client().send(to(address, "/none")).await.unwrap().status, 404);
}

#[tokio::test]
async fn a_redirect_is_a_response_and_not_followed() {
    let (address, connections) = server().await;
    let answer = client().send(to(address, "/moved")).await.unwrap();
    assert_eq!(answer.status, 302);
    assert!(answer.headers.contains(&("location".to_owned(), "/echo".to_owned())));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn of_a_body_over_the_limit_the_start_is_read_with_and_without_a_content_length() {
    let (address, _) = server().await;
    for path in ["/fits", "/chunks-fit"] {
        assert_eq!(client().send(to(address, path)).await.unwrap().body.len(), 1000);
    }
    for path in ["/long", "/chunks-long"] {
        let answer = client().send(to(address, path)).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 1000));
        assert_eq!(answer.cut.unwrap(), "only the first 1000 bytes of its body were read");
    }
}

#[tokio::test]
async fn one_connection_serves_requests_one_after_another() {
    let (address, connections) = server().await;
    let client = client();
    for _ in 0..5 {
        client.send(to(address, "/echo")).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn unused_connections_are_kept_up_to_the_limit() {
    let (address, connections) = server().await;
    let (client, at_once) = (client(), Settings::default().connections_per_host_max);
    for _ in 0..3 {
        let requests = (0..at_once * 2).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.send(to(address, "/echo")).await })
        });
        for request in requests.collect::<Vec<_>>() {
            request.await.unwrap().unwrap();
        }
    }
    let opened = connections.load(Ordering::SeqCst);
    assert!(opened <= at_once, "{opened} connections for {at_once} requests at once");
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let idle_timeout = Duration::from_millis(20);
    let client = Client::new(&Settings { idle_timeout, ..Settings::default() }).unwrap();
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.send(to(address, "/")).await }
    });
    let mut stream = heard(&listener).await;
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(first.await.unwrap().unwrap().status, 204);
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "no request was sent");
}

#[tokio::test]
async fn a_denied_address_is_denied_in_every_spelling() {
    let (address, connections) = server().await;
    let port = address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "127.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
    ] {
        let outcome = client().send(get(&format!("http://{host}:{port}/s3cret"), &[])).await;
        check(outcome, ErrorKind::NotSent, "cannot reach ");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    let outcome = client().send(get(&format!("http://{address}/"), &["10.0.0.0/8"])).await;
    check(outcome, ErrorKind::NotSent, "add \"127.0.0.1/32\" to `allow`");
    let outcome = client().send(get("https://169.254.169.254/latest/", &["127.0.0.0/8"])).await;
    check(
        outcome,
        ErrorKind::NotSent,
        "169.254.169.254:443: targets may not reach its address 169.254.169.254 (cloud",
    );
}

#[tokio::test]
async fn a_name_is_reached_only_at_its_allowed_addresses() {
    let (address, _) = server().await;
    let url = format!("http://localhost:{}/echo", address.port());
    assert_eq!(client().send(get(&url, &["127.0.0.0/8"])).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_target_never_gets_a_pooled_connection_to_a_denied_address() {
    let (address, connections) = server().await;
    let client = client();
    let url = format!("http://{address}/echo");
    client.send(get(&url, &["127.0.0.0/8"])).await.unwrap();
    check(client.send(get(&url, &[])).await, ErrorKind::NotSent, "targets may not reach");
    client.send(get(&url, &["127.0.0.0/8"])).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_pool_over_the_limit_replaces_the_longest_unused_one() {
    let (address, connections) = server().await;
    let client = client();
    let url = format!("http://{address}/echo");
    let with = |n: usize| get(&url, &["127.0.0.1", &format!("10.0.{n}.0/24")]);
    for n in 0..64 {
        client.send(with(n)).await.unwrap();
    }
    client.send(with(0)).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 64, "all 64 are kept");
    client.send(with(64)).await.unwrap();
    client.send(with(0)).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 65, "0 was used lately and stays");
    client.send(with(1)).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 66, "1 made room");
}

#[tokio::test]
async fn requests_over_the_limit_of_a_host_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = Settings { connections_per_host_max: 1, ..Settings::default() };
    let client = Client::new(&settings).unwrap();
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.send(to(address, "/")).await }
    });
    let mut stream = heard(&listener).await;
    let mut second = to(address, "/");
    second.deadline = Instant::now() + Duration::from_millis(50);
    check(client.send(second).await, ErrorKind::NotSent, "before the deadline");
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    assert_eq!(first.await.unwrap().unwrap().status, 204);
    // The permit is free again, and the connection is reused.
    let third = tokio::spawn(async move { client.send(to(address, "/")).await });
    assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert_eq!(third.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_deadline_after_the_request_was_sent_is_ambiguous() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sent = tokio::spawn(async move { client().send(to(address, "/s3cret")).await });
    let _stream = heard(&listener).await;
    // Only the deadline remains, so the paused clock jumps to it.
    tokio::time::pause();
    check(sent.await.unwrap(), ErrorKind::Ambiguous, "did not answer before the deadline");
}

#[tokio::test]
async fn a_deadline_before_the_request_was_sent_is_not_sent() {
    let mut late = get("https://127.0.0.1:9/s3cret", &[]);
    late.deadline = Instant::now();
    check(client().send(late).await, ErrorKind::NotSent, "had passed");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/s3cret", listener.local_addr().unwrap());
    let sent = tokio::spawn(async move { client().send(get(&url, &["127.0.0.1"])).await });
    let _stream = heard(&listener).await; // The TLS hello, which gets no response.
    tokio::time::pause();
    check(sent.await.unwrap(), ErrorKind::NotSent, "no connection to 127.0.0.1:");
}

#[tokio::test]
async fn a_connection_that_takes_too_long_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let client = Client::new(&Settings::default()).unwrap();
    let sent = tokio::spawn(async move { client.send(get(&url, &["127.0.0.1"])).await });
    let _stream = heard(&listener).await;
    tokio::time::pause();
    check(sent.await.unwrap(), ErrorKind::NotSent, "more than 5000 ms");
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    check(client().send(to(address, "/s3cret")).await, ErrorKind::NotSent, "refused");
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_is_not_sent() {
    // A label of more than 63 letters never reaches a name server.
    let host = "a".repeat(64);
    let outcome = client().send(get(&format!("http://{host}/s3cret"), &[])).await;
    check(outcome, ErrorKind::NotSent, "cannot be looked up");
}

#[tokio::test]
async fn tls_to_a_server_without_it_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/s3cret", listener.local_addr().unwrap());
    let sent = tokio::spawn(async move { client().send(get(&url, &["127.0.0.1"])).await });
    heard(&listener).await.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    check(sent.await.unwrap(), ErrorKind::NotSent, "cannot connect to 127.0.0.1");
}

#[tokio::test]
async fn a_connection_closed_before_the_response_is_ambiguous() {
    for (answered, part) in [
        (&b""[..], "no answer from 127.0.0.1"),
        (b"HTTP/1.1 200", "no answer from 127.0.0.1"),
        (b"nonsense\r\n\r\n", "no answer from 127.0.0.1"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = tokio::spawn(async move { client().send(to(address, "/s3cret")).await });
        heard(&listener).await.write_all(answered).await.unwrap();
        check(sent.await.unwrap(), ErrorKind::Ambiguous, part);
    }
}

#[tokio::test]
async fn a_status_counts_although_its_body_breaks_off() {
    for body in ["content-length: 9\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = tokio::spawn(async move { client().send(to(address, "/")).await });
        let text = format!("HTTP/1.1 201 Created\r\n{body}");
        heard(&listener).await.write_all(text.as_bytes()).await.unwrap();
        let answer = sent.await.unwrap().unwrap();
        assert_eq!((answer.status, &answer.body[..]), (201, &b"half"[..]));
        assert!(answer.cut.unwrap().starts_with("the connection was lost within its body: "));
    }
}

#[tokio::test]
async fn a_status_counts_although_its_body_trickles() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let time_max = Duration::from_millis(100);
    let settings = Settings { response_time_max: time_max, ..Settings::default() };
    let client = Client::new(&settings).unwrap();
    let sent = tokio::spawn(async move { client.send(to(address, "/")).await });
    let mut stream = heard(&listener).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nh").await.unwrap();
    let answer = sent.await.unwrap().unwrap();
    assert_eq!((answer.status, answer.cut.as_deref()), (200, Some("its body did not end in time")));
}

#[tokio::test]
async fn an_endless_response_head_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sent = tokio::spawn(async move { client().send(to(address, "/")).await });
    let mut stream = heard(&listener).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await.unwrap();
    // Fails when the client closes the connection, as it must.
    while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    check(sent.await.unwrap(), ErrorKind::Ambiguous, "no answer from 127.0.0.1");
}

#[test]
fn debug_shows_no_secret() {
    let mut request = get("http://a.example/s3cret", &[]);
    request.headers.push(("authorization".to_owned(), "s3cret".to_owned()));
    request.body = Bytes::from_static(b"s3cret");
    assert!(!format!("{request:?}").contains("s3cret"));
}
