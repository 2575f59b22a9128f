//! Real sockets, with virtual time wherever a time limit is reached.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use super::activity::{Activity, Times};
use super::connection::{self, Remote, Stage};
use super::peer::Proxies;
use super::settings::HEAD_BYTES_MAX;
use super::*;

/// Answers 200. If a gate is set, only after it is opened.
#[derive(Default)]
struct Echo {
    asked: AtomicUsize,
    arrived: Notify,
    gate: Option<Notify>,
}

impl Handler for Echo {
    async fn handle(&self, _: Request<Incoming>, _: Peer, _: &Seat) -> Response<Full<Bytes>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.arrived.notify_one();
        // What a handler keeps while it waits is not to be had by a connection without a request.
        let ballast = [1u8; 16 << 10];
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        assert_eq!(std::hint::black_box(&ballast)[7], 1);
        Response::new(Full::new(Bytes::from_static(b"hello")))
    }
}

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    echo: Arc<Echo>,
}

fn serve(settings: Settings, echo: Echo) -> Server {
    let listener = Listener::bind(&settings).unwrap();
    let (address, echo) = (listener.local_addr(), Arc::new(echo));
    let (stop, stopped) = oneshot::channel();
    let serving = listener.serve(Arc::clone(&echo), async {
        let _ = stopped.await;
    });
    Server { address, stop, running: tokio::spawn(serving), echo }
}

fn settings() -> Settings {
    Settings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Settings::default() }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

/// Everything that comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// One answer of [`Echo`].
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"hello") {
        let byte = stream.read_u8().await.unwrap();
        text.push(byte);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn http_2_without_an_upgrade_is_refused_with_words() {
    let server = serve(settings(), Echo::default());
    let mut stream = connect(&server).await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let text = rest(&mut stream).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 505 "), "{text}");
    assert!(head.ends_with(&format!("content-length: {}", body.len())), "{text}");
    assert!(body.contains("send HTTP/1.1"), "{text}");
    assert_eq!(server.echo.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn one_connection_serves_request_after_request() {
    let server = serve(settings(), Echo::default());
    let mut stream = connect(&server).await;
    for _ in 0..3 {
        stream.write_all(GET).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(server.echo.asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn ipv6_is_served_too() {
    let listen = "[::1]:0".parse().unwrap();
    if matches!(Listener::bind(&Settings { listen, ..settings() }), Err(BindError::NotOurs(_))) {
        println!("skipped: this host has no IPv6");
        return;
    }
    let server = serve(Settings { listen, ..settings() }, Echo::default());
    let mut stream = connect(&server).await;
    stream.write_all(GET).await.unwrap();
    answer(&mut stream).await;
}

#[tokio::test]
async fn an_unavailable_address_is_an_error_that_says_what_to_do() {
    let first = Listener::bind(&settings()).unwrap();
    let listen = first.local_addr();
    let taken = Listener::bind(&Settings { listen, ..settings() }).unwrap_err();
    assert_eq!(
        taken.to_string(),
        format!("{listen} is already in use, perhaps by another dispatcher; see 'ss -ltnp'")
    );

    let listen = "192.0.2.1:7070".parse().unwrap();
    let not_ours = Listener::bind(&Settings { listen, ..settings() }).unwrap_err();
    assert!(not_ours.to_string().starts_with("192.0.2.1:7070 is not an address of this host"));
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_head_is_answered_408() {
    let server = serve(settings(), Echo::default());
    for begun in [&b""[..], b"GET / HTTP/1.1\r\nhost: loc"] {
        let mut stream = connect(&server).await;
        stream.write_all(begun).await.unwrap();
        let text = rest(&mut stream).await;
        assert!(
            text.starts_with("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n"),
            "{text}"
        );
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{text}");
    }
    assert_eq!(server.echo.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_silently_after_its_own_time_limit() {
    let server = serve(settings(), Echo::default());
    let mut stream = connect(&server).await;
    stream.write_all(GET).await.unwrap();
    answer(&mut stream).await;
    let rested = tokio::time::Instant::now();
    assert_eq!(rest(&mut stream).await, "");
    assert!(rested.elapsed() >= settings().idle_timeout, "{:?}", rested.elapsed());

    // The second head's time counts from its first byte, however long the connection rested.
    let mut stream = connect(&server).await;
    stream.write_all(GET).await.unwrap();
    answer(&mut stream).await;
    tokio::time::sleep(Duration::from_secs(33)).await;
    stream.write_all(&GET[..20]).await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 408 "));
    assert!(began.elapsed() >= settings().header_timeout, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_take_longer_than_a_head() {
    let server = serve(settings(), Echo { gate: Some(Notify::new()), ..Echo::default() });
    let mut stream = connect(&server).await;
    stream.write_all(GET).await.unwrap();
    server.echo.arrived.notified().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    server.echo.gate.as_ref().unwrap().notify_one();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_head_that_is_too_long_is_answered_431() {
    let server = serve(settings(), Echo::default());
    let mut stream = connect(&server).await;
    let long = format!("GET / HTTP/1.1\r\nx-long: {}", "x".repeat(HEAD_BYTES_MAX));
    stream.write_all(long.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 431");
}

#[tokio::test]
async fn at_the_limit_the_connection_idle_for_longest_is_closed() {
    let server = serve(Settings { connections_max: 2, ..settings() }, Echo::default());
    let mut first = connect(&server).await;
    first.write_all(GET).await.unwrap();
    answer(&mut first).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut second = connect(&server).await;
    second.write_all(GET).await.unwrap();
    answer(&mut second).await;

    let mut third = connect(&server).await;
    third.write_all(GET).await.unwrap();
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(rest(&mut first).await, "");
    second.write_all(GET).await.unwrap();
    answer(&mut second).await;
}

#[tokio::test]
async fn silent_connections_cannot_keep_others_out() {
    let server = serve(Settings { connections_max: 8, ..settings() }, Echo::default());
    let mut silent = Vec::new();
    for count in 0..50 {
        let mut stream = connect(&server).await;
        if count % 2 == 0 {
            stream.write_all(&GET[..20]).await.unwrap();
        }
        silent.push(stream);
        let mut sender = connect(&server).await;
        sender.write_all(GET).await.unwrap();
        assert!(answer(&mut sender).await.starts_with("HTTP/1.1 200 OK\r\n"), "{count}");
    }
}

#[tokio::test]
async fn while_every_connection_is_being_answered_a_new_one_gets_503() {
    let echo = Echo { gate: Some(Notify::new()), ..Echo::default() };
    let server = serve(Settings { connections_max: 1, ..settings() }, echo);
    let mut busy = connect(&server).await;
    busy.write_all(GET).await.unwrap();
    server.echo.arrived.notified().await;
    for _ in 0..3 {
        let mut more = connect(&server).await;
        more.write_all(GET).await.unwrap();
        let text = rest(&mut more).await;
        assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("retry-after: 5\r\n"), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{text}");
    }
    server.echo.gate.as_ref().unwrap().notify_one();
    assert!(answer(&mut busy).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_silent_connection_needs_little_memory() {
    let server = serve(settings(), Echo::default());
    let stream = connect(&server).await;
    let peer = stream.local_addr().unwrap();
    let (_stage, stages) = watch::channel(Stage::Serving);
    let times = Times::of(&settings());
    let activity = Arc::new(Activity::new(peer.ip().into()));
    let echo = Arc::new(Echo::default());
    let proxies = Arc::new(Proxies::of(&settings()));
    let remote = Remote { stream, address: peer, proxies };
    let serving = connection::serve(remote, echo, activity, times, stages);
    let bytes = size_of_val(&serving);
    assert!(bytes <= 1_536, "{bytes}");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_request_is_closed_in_the_end() {
    let echo = Echo { gate: Some(Notify::new()), ..Echo::default() };
    let server = serve(Settings { connections_max: 1, ..settings() }, echo);
    let mut stuck = connect(&server).await;
    stuck.write_all(GET).await.unwrap();
    server.echo.arrived.notified().await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    let mut second = connect(&server).await;
    second.write_all(GET).await.unwrap();
    server.echo.arrived.notified().await;
    server.echo.gate.as_ref().unwrap().notify_one();
    answer(&mut second).await;
    assert_eq!(rest(&mut stuck).await, "");
}

#[tokio::test]
async fn a_half_closed_connection_is_answered_and_one_that_vanished_makes_room() {
    let echo = Echo { gate: Some(Notify::new()), ..Echo::default() };
    let server = serve(Settings { connections_max: 1, ..settings() }, echo);
    for vanishes in [false, true, false] {
        let mut stream = connect(&server).await;
        stream.write_all(GET).await.unwrap();
        stream.shutdown().await.unwrap();
        server.echo.arrived.notified().await;
        let stream = (!vanishes).then_some(stream);
        server.echo.gate.as_ref().unwrap().notify_one();
        if let Some(mut stream) = stream {
            let text = rest(&mut stream).await;
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("hello"), "{text}");
        }
        // The only permit is released once the connection has ended.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_stop_refuses_new_connections_and_finishes_requests_in_flight() {
    let server = serve(settings(), Echo { gate: Some(Notify::new()), ..Echo::default() });
    let mut busy = connect(&server).await;
    busy.write_all(GET).await.unwrap();
    server.echo.arrived.notified().await;
    server.stop.send(()).unwrap();
    // The listening socket closes in the server's task: until then a connection is still taken.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.running.is_finished());
    server.echo.gate.as_ref().unwrap().notify_one();
    let text = rest(&mut busy).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("hello"), "{text}");
    assert!(text.contains("connection: close"), "{text}");
    server.running.await.unwrap();
}

#[tokio::test]
async fn a_stop_closes_idle_connections_at_once() {
    let server = serve(settings(), Echo::default());
    let mut stream = connect(&server).await;
    stream.write_all(GET).await.unwrap();
    answer(&mut stream).await;
    server.stop.send(()).unwrap();
    assert_eq!(rest(&mut stream).await, "");
    server.running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_cuts_requests_that_do_not_end() {
    let server = serve(settings(), Echo { gate: Some(Notify::new()), ..Echo::default() });
    let mut stuck = connect(&server).await;
    stuck.write_all(GET).await.unwrap();
    server.echo.arrived.notified().await;
    let stopped = tokio::time::Instant::now();
    server.stop.send(()).unwrap();
    server.running.await.unwrap();
    assert!(stopped.elapsed() >= settings().drain_timeout);
    assert_eq!(rest(&mut stuck).await, "");
}
