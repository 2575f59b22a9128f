//! The floor: the least that a durable, verified 200 can cost on this machine.
//!
//! A bare hyper server that checks one HMAC and group-commits the raw body into a pre-written
//! file: no parsing, no routing, no index, no delivery. It exists only to be measured beside the
//! daemon in the same run. The file is written over and over, so its blocks always exist.
//! Without the disk, the same server answers as soon as the HMAC is right.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::servers::SECRET;

/// Size of the pre-written file: that of a segment of the daemon.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Most bodies waiting for the disk.
const QUEUE_MAX: usize = 4096;
/// Most bytes of one group commit.
const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;

type Job = (Bytes, oneshot::Sender<bool>);

/// Bodies on their way to the disk; `None`: nothing is written.
type Queue = Option<SyncSender<Job>>;

/// Serves until the process is killed; prints its address like the daemon. Without a directory, nothing is
/// written.
pub(crate) fn serve(directory: Option<&Path>, workers: usize) -> io::Result<()> {
    let queue = match directory {
        Some(directory) => {
            let file = prewritten(&directory.join("floor.log"))?;
            let (queue, jobs) = sync_channel(QUEUE_MAX);
            let commit = move || commit_all(&file, &jobs);
            std::thread::Builder::new().name("commit".into()).spawn(commit)?;
            Some(queue)
        }
        None => None,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).map_err(io::Error::other)?;
    runtime.block_on(accept(mac, queue))
}

async fn accept(mac: Hmac<Sha256>, queue: Queue) -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (mac, queue) = (mac.clone(), queue.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, mac.clone(), queue.clone()));
            // The load counts a connection that breaks.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    mut mac: Hmac<Sha256>,
    queue: Queue,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    mac.update(&body);
    let signature = head.headers.get("x-sqreen-integrity").map(http::HeaderValue::as_bytes);
    let verified = signature.and_then(unhex).is_some_and(|tag| mac.verify_slice(&tag).is_ok());
    let status = if !verified {
        StatusCode::UNAUTHORIZED
    } else if stored(body, queue).await {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
    *response.status_mut() = status;
    Ok(response)
}

async fn stored(body: Bytes, queue: Queue) -> bool {
    let Some(queue) = queue else { return true };
    let (done, durable) = oneshot::channel();
    queue.try_send((body, done)).is_ok() && durable.await.unwrap_or(false)
}

fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let mut tag = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in tag.iter_mut().zip(text.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(tag)
}

fn prewritten(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path)?;
    let zeros = vec![0; 1024 * 1024];
    for step in 0..FILE_BYTES / zeros.len() as u64 {
        file.write_all_at(&zeros, step * zeros.len() as u64)?;
    }
    file.sync_all()?;
    Ok(file)
}

/// One write and one fdatasync for all bodies that wait.
fn commit_all(file: &File, jobs: &Receiver<Job>) {
    let mut offset = 0;
    let mut buffer = Vec::with_capacity(COMMIT_BYTES_MAX);
    let mut waiting = Vec::new();
    while let Ok(first) = jobs.recv() {
        let mut next = Some(first);
        while let Some((body, done)) = next {
            buffer.extend_from_slice(&body);
            waiting.push(done);
            next = if buffer.len() < COMMIT_BYTES_MAX { jobs.try_recv().ok() } else { None };
        }
        if offset + buffer.len() as u64 > FILE_BYTES {
            offset = 0;
        }
        let durable = file.write_all_at(&buffer, offset).and_then(|()| file.sync_data()).is_ok();
        offset += buffer.len() as u64;
        buffer.clear();
        for done in waiting.drain(..) {
            // Fails when the connection broke meanwhile.
            let _ = done.send(durable);
        }
    }
}
