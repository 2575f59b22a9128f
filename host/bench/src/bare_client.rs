//! The floor of deliveries by HTTP: hyper clients that only post the same event over and over.
//!
//! A process of its own, with as many threads as the daemon has for receiving. Each request
//! `POST /PORT/CONNECTIONS/REQUESTS` starts a run; it is answered with 200 when the run is over.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::request::Shape;

/// Serves until the process is killed; prints its address like the daemon.
pub(crate) fn serve(workers: usize) -> io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        println!("listening on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                // The bench that asked may be gone.
                let _ = connection.await;
            });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let done = match order(request.uri().path()) {
        Some((port, connections, requests)) => post(port, connections, requests).await,
        None => Err(io::Error::other("must be POST /PORT/CONNECTIONS/REQUESTS")),
    };
    let (status, text) = match done {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}

fn order(path: &str) -> Option<(u16, usize, u64)> {
    let mut parts = path.strip_prefix('/')?.split('/');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Posts `requests` events over `connections` connections to this machine.
async fn post(port: u16, connections: usize, requests: u64) -> io::Result<()> {
    let (begun, body) = (Arc::new(AtomicU64::new(0)), Bytes::from(Shape::Sqreen.event()));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(one(port, begun.clone(), requests, body.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    Ok(())
}

async fn one(port: u16, begun: Arc<AtomicU64>, requests: u64, body: Bytes) -> io::Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // The next request sees why the connection ended.
    tokio::spawn(async move { drop(connection.await) });
    loop {
        let number = begun.fetch_add(1, Ordering::Relaxed);
        if number >= requests {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("{number:026}");
        let request = Request::post("/")
            .header("host", "sink")
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", now.as_secs())
            .header("idempotency-key", &id)
            .body(Full::new(body.clone()))
            .map_err(io::Error::other)?;
        sender.ready().await.map_err(io::Error::other)?;
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        response.into_body().collect().await.map_err(io::Error::other)?;
        if !status.is_success() {
            return Err(io::Error::other(format!("the sink answered {status}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn an_order_names_port_connections_and_requests() {
        assert_eq!(order("/80/64/1000"), Some((80, 64, 1000)));
        for path in ["", "/", "/80/64", "/80/x/1", "/70000/1/1"] {
            assert_eq!(order(path), None, "{path}");
        }
    }
}
