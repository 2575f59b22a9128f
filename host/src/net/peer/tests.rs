//! Which address counts as the sender, over real sockets.

use std::future::pending;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::net::{Handler, Listener, Seat};

/// Answers who asked.
struct Who;

impl Handler for Who {
    async fn handle(&self, _: Request<Incoming>, peer: Peer, _: &Seat) -> Response<Full<Bytes>> {
        Response::new(Full::new(Bytes::from(peer.to_string())))
    }
}

fn serve(trusted: &[&str], proxy_protocol: bool) -> SocketAddr {
    let settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        trusted_proxies: trusted.iter().map(|range| range.parse().unwrap()).collect(),
        proxy_protocol,
        ..Settings::default()
    };
    let listener = Listener::bind(&settings).unwrap();
    let address = listener.local_addr();
    tokio::spawn(listener.serve(Arc::new(Who), pending()));
    address
}

/// What comes back for these pieces until the other side closes; ports are shown as `PORT`.
async fn exchange(address: SocketAddr, pieces: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let own = stream.local_addr().unwrap().port().to_string();
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.replace(&own, "PORT")
}

fn get(header: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{header}\r\n")
}

const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n";
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x0a\0\0\x01\x12\x67\0\x50";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[tokio::test]
async fn only_the_list_of_a_trusted_proxy_is_used() {
    let request = get("x-forwarded-for: 1.1.1.1, 203.0.113.7\r\n");
    for (trusted, expected) in [
        (&["127.0.0.0/8"][..], "203.0.113.7 via 127.0.0.1:PORT"),
        (&["10.0.0.0/8"], "127.0.0.1:PORT"),
        (&[], "127.0.0.1:PORT"),
    ] {
        let answer = exchange(serve(trusted, false), &[request.as_bytes()]).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{answer}");
    }
    let both = get("x-forwarded-for: 203.0.113.7\r\nforwarded: for=127.0.0.1\r\n");
    let answer = exchange(serve(&["127.0.0.0/8"], false), &[both.as_bytes()]).await;
    assert!(answer.ends_with("unknown via 127.0.0.1:PORT"), "{answer}");
}

#[tokio::test]
async fn a_trusted_proxys_header_may_arrive_in_pieces() {
    let address = serve(&["127.0.0.0/8"], true);
    let request = get("");
    for (header, expected) in
        [(LINE, "203.0.113.7:4711"), (BINARY, "203.0.113.7:4711"), (LOCAL, "127.0.0.1:PORT")]
    {
        let whole = [header, request.as_bytes()].concat();
        let answer = exchange(address, &[&whole]).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{answer}");
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        let answer = exchange(address, &bytes).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{answer}");
    }
    // The address in the header is not a trusted proxy, so its X-Forwarded-For is ignored.
    let forged = [LINE, get("x-forwarded-for: 10.0.0.9\r\n").as_bytes()].concat();
    assert!(exchange(address, &[&forged]).await.ends_with("203.0.113.7:4711"));
}

#[tokio::test]
async fn a_trusted_proxy_without_the_header_is_refused() {
    let address = serve(&["127.0.0.0/8"], true);
    let answer = exchange(address, &[get("").as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    assert_eq!(body, "{\"error\":\"the connection does not begin with a PROXY header\"}");
}

#[tokio::test]
async fn other_connections_need_no_header_and_may_not_send_one() {
    for (trusted, on) in [(&["10.0.0.0/8"][..], true), (&["127.0.0.0/8"], false)] {
        let address = serve(trusted, on);
        let answer = exchange(address, &[get("").as_bytes()]).await;
        assert!(answer.ends_with("127.0.0.1:PORT"), "{answer}");
        for header in [LINE, BINARY] {
            let answer = exchange(address, &[header, get("").as_bytes()]).await;
            assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        }
    }
}

#[test]
fn ipv4_mapped_addresses_are_treated_as_ipv4() {
    let mapped: SocketAddr = "[::ffff:192.0.2.1]:7".parse().unwrap();
    let peer = Peer::from(mapped);
    assert_eq!(peer.to_string(), "192.0.2.1:7");
    assert_eq!(
        (peer.client(), peer.nearest().to_string()),
        (Some(peer.nearest()), "192.0.2.1".into())
    );
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_header_times_out_like_a_head() {
    let address = serve(&["127.0.0.0/8"], true);
    let answer = exchange(address, &[&LINE[..20]]).await;
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
}
