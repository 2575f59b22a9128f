//! The destination of HTTP deliveries: answers 204 at once and counts. It runs on the threads of the load.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::lab::Lab;

/// How often a wait looks at the count.
const LOOK_EVERY: Duration = Duration::from_micros(200);

pub(crate) struct Sink {
    address: SocketAddr,
    count: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Sink {
    /// Port 0 takes a free one.
    pub(crate) fn open(lab: &Lab, port: u16) -> io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let listener = lab.runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let count = Arc::new(AtomicU64::new(0));
        let accepting = lab.runtime.spawn(accept(listener, count.clone()));
        Ok(Self { address, count, accepting })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until there were `count` requests; returns whether that was in time.
    pub(crate) fn wait(&self, count: u64, patience: Duration) -> bool {
        let began = Instant::now();
        while self.count() < count {
            if began.elapsed() > patience {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A port on which no program listens.
pub(crate) fn free_port() -> io::Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

async fn accept(listener: TcpListener, count: Arc<AtomicU64>) {
    // Ends with the listener.
    while let Ok((stream, _)) = listener.accept().await {
        // Without it, small answers wait for the other side. Failing to set it only costs time.
        let _ = stream.set_nodelay(true);
        let count = count.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, count.clone()));
            // A connection may break at any time.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    count: Arc<AtomicU64>,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    request.into_body().collect().await?;
    count.fetch_add(1, Ordering::Relaxed);
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
