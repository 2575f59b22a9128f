//! Sends one HTTP/1.1 request over its own connection, without TLS, to a daemon on this machine.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;

/// Longest answer read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Longest wait for the whole answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answer of the server.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Posts `body` and reads the answer. `path` may include a query.
pub(super) async fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut request = Request::post(path).header(header::HOST, address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request =
        request.body(Full::new(Bytes::copy_from_slice(body))).map_err(io::Error::other)?;
    tokio::time::timeout(PATIENCE, exchange(address, request)).await.map_err(|_| {
        let text = format!("{address} did not answer within {} s", PATIENCE.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    })?
}

async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> io::Result<Answer> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(io::Error::other)?.to_bytes();
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The server may close the connection right after its answer.
        _ = connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers one connection with `answer` and closes it; returns the bytes received.
    async fn serve(listener: TcpListener, answer: &'static str) -> Vec<u8> {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"body") {
            stream.read_buf(&mut got).await.unwrap();
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        got
    }

    #[tokio::test]
    async fn posts_headers_and_body_and_reads_the_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer =
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
        let server = tokio::spawn(serve(listener, answer));
        let headers = [("x-sqreen-integrity", "00ff")];
        let answer = post(address, "/sqreen?x=1", &headers, b"body").await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (401, "no"));
        let got = String::from_utf8(server.await.unwrap()).unwrap();
        assert!(got.starts_with("POST /sqreen?x=1 HTTP/1.1\r\n"), "{got}");
        assert!(got.contains("x-sqreen-integrity: 00ff\r\n"), "{got}");
        assert!(got.contains("content-length: 4\r\n"), "{got}");
    }

    #[tokio::test]
    async fn a_closed_port_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = post(address, "/", &[], b"").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
