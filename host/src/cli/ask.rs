//! Asks the running daemon over its admin socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use super::exit::Failure;
use super::find;
use crate::admin::{SOCKET, wire};
use crate::config::{self, Environment};

/// Longest answer read, in bytes; one of `tail` has no end.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Longest line of `tail`, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Longest wait for a whole answer: a long run of dead letters takes its time.
const PATIENCE: Duration = Duration::from_secs(600);

/// The way to the daemon of a configuration.
pub(super) struct Daemon {
    socket: PathBuf,
    runtime: Runtime,
}

impl Daemon {
    /// Of that configuration; only its home matters, so that one with mistakes does as well.
    pub(super) fn find(option: Option<&Path>) -> Result<Self, Failure> {
        let file = find::file(option)?;
        let home = config::load(&file, &Environment::of_process())
            .map_or_else(|_| config::folder(&file), |config| config.home);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { socket: home.join(SOCKET), runtime })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.whole(Method::GET, path, Bytes::new())
    }

    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(Failure::new)?;
        self.whole(Method::POST, path, body.into())
    }

    fn whole<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        let exchange = async {
            let answer = self.send(method, path, body).await?;
            let status = answer.status();
            let bytes = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let bytes = bytes.map_err(|error| self.broken(error))?.to_bytes();
            if status.is_success() {
                return serde_json::from_slice(&bytes).map_err(|error| self.broken(error));
            }
            Err(refused(status, &bytes))
        };
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, exchange)
                .await
                .unwrap_or_else(|_| Err(self.broken("no answer in time")))
        })
    }

    /// Hands over each line of an endless answer until `take` has enough or the daemon stops.
    pub(super) fn lines(
        &self,
        path: &str,
        mut take: impl FnMut(&str) -> bool,
    ) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let mut body = self.send(Method::GET, path, Bytes::new()).await?.into_body();
            let mut text = Vec::new();
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { break };
                text.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    if !take(String::from_utf8_lossy(&line).trim_end()) {
                        return Ok(());
                    }
                }
                if text.len() > LINE_BYTES_MAX {
                    return Err(self.broken("a line without an end"));
                }
            }
            Err(Failure::new("the daemon stopped"))
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.none(&error))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.broken(error))?;
        // What ends the connection ends the answer too, and is seen there.
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::builder().method(method).uri(path).header("host", "admin");
        let request = request.body(Full::new(body)).map_err(Failure::usage)?;
        sender.send_request(request).await.map_err(|error| self.broken(error))
    }

    fn none(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        Failure::new(match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                format!("no daemon answers at {socket}; start it with dispatcher run")
            }
            io::ErrorKind::PermissionDenied => {
                format!("{socket} is for the daemon's own user; ask as that one, or as root")
            }
            _ => format!("cannot ask the daemon at {socket}: {error}"),
        })
    }

    fn broken(&self, error: impl std::fmt::Display) -> Failure {
        Failure::new(format!("the daemon at {} broke off: {error}", self.socket.display()))
    }
}

/// What the daemon does not do, in its words.
fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let text = serde_json::from_slice::<wire::Wrong>(body)
        .map_or_else(|_| format!("the daemon answered {status}"), |wrong| wrong.error);
    let text = crate::model::printable(&text);
    if status == StatusCode::BAD_REQUEST { Failure::usage(text) } else { Failure::new(text) }
}
