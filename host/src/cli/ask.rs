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
use crate::config;
use crate::model::printable;

/// Longest answer read, in bytes; `tail` has no end.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Longest data of an event read, in bytes: more than any request may have.
const DATA_BYTES_MAX: usize = 128 << 20;
/// What asks for stored events, which can also be read without a daemon.
const OF_THE_LOG: [&str; 3] = ["/events", "/data", "/explain"];
const OTHERWISE: &str = "; `dispatcher store dump --json` reads the log without a daemon";
/// Longest line of `tail`, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Longest wait for a whole answer: replaying many dead letters takes long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// Which daemon a command asks.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Ask {
    /// The daemon's socket; default: admin.sock in the home of the configuration
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Ask {
    pub(super) fn daemon(&self, config: Option<&Path>) -> Result<Daemon, Failure> {
        match &self.socket {
            Some(socket) => Daemon::at(socket.clone()),
            None => Daemon::find(config),
        }
    }
}

/// A daemon to ask.
pub(super) struct Daemon {
    socket: PathBuf,
    runtime: Runtime,
}

impl Daemon {
    /// The daemon of that configuration. Only its `home` is read, so that everything else in it may be
    /// wrong.
    pub(super) fn find(option: Option<&Path>) -> Result<Self, Failure> {
        let file = find::file(option)?;
        let home = config::home(&file).map_err(|error| {
            Failure::new(format!("{error}\n  give the daemon's socket instead: --socket PATH"))
        })?;
        Self::at(home.join(SOCKET))
    }

    fn at(socket: PathBuf) -> Result<Self, Failure> {
        Ok(Self { socket, runtime: Builder::new_current_thread().enable_all().build()? })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.whole(Method::GET, path, Bytes::new())
    }

    /// The bytes of an answer that may be as long as an event's data.
    pub(super) fn bytes(&self, path: &str) -> Result<Bytes, Failure> {
        self.answer(Method::GET, path, Bytes::new(), DATA_BYTES_MAX)
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
        let bytes = self.answer(method, path, body, ANSWER_BYTES_MAX)?;
        serde_json::from_slice(&bytes).map_err(|error| unreadable(&error))
    }

    fn answer(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        bytes_max: usize,
    ) -> Result<Bytes, Failure> {
        let exchange = async {
            let answer = self.send(method, path, body).await?;
            let status = answer.status();
            let bytes = Limited::new(answer.into_body(), bytes_max).collect().await;
            let bytes = bytes.map_err(|error| self.lost(error))?.to_bytes();
            if status.is_success() { Ok(bytes) } else { Err(refused(status, &bytes)) }
        };
        self.runtime.block_on(async {
            tokio::time::timeout(ANSWER_TIMEOUT, exchange)
                .await
                .unwrap_or_else(|_| Err(self.lost("no answer in time")))
        })
    }

    /// Hands over each line of an endless answer until `take` returns `false` or the daemon stops.
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
                    return Err(self.lost("a line is too long"));
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
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(&error, path))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.lost(error))?;
        // An error of the connection also ends the answer, and is reported there.
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::builder().method(method).uri(path).header("host", "admin");
        let request = request.body(Full::new(body)).map_err(Failure::usage)?;
        sender.send_request(request).await.map_err(|error| self.lost(error))
    }

    fn unreachable(&self, error: &io::Error, path: &str) -> Failure {
        let socket = self.socket.display();
        let reads_log = OF_THE_LOG.iter().any(|of_log| path.starts_with(of_log));
        let otherwise = if reads_log { OTHERWISE } else { "" };
        Failure::new(match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
                "no daemon answers at {socket}; start it with `dispatcher run`, or give its socket: \
                 --socket PATH{otherwise}"
            ),
            io::ErrorKind::PermissionDenied => format!(
                "no permission to open {socket}; run this command as the daemon's user or as root"
            ),
            _ => format!("cannot connect to the daemon at {socket}: {error}"),
        })
    }

    fn lost(&self, error: impl std::fmt::Display) -> Failure {
        Failure::new(format!(
            "lost the connection to the daemon at {}: {error}",
            self.socket.display()
        ))
    }
}

/// A path with a query, of names and values.
pub(super) fn path<'a>(path: &str, query: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// An answer that is not what this version expects.
fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::new(format!(
        "cannot read the daemon's answer ({error}); use the `dispatcher` of the daemon's version"
    ))
}

/// The daemon's own words for why it refused.
fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let text = serde_json::from_slice::<wire::ErrorBody>(body)
        .map_or_else(|_| format!("the daemon answered {status}"), |body| body.error);
    let text = printable(&text);
    if status == StatusCode::BAD_REQUEST { Failure::usage(text) } else { Failure::new(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_can_be_asked_for() {
        assert_eq!(path("/refused", []), "/refused");
        assert_eq!(path("/refused", [("source", "a_b")]), "/refused?source=a_b");
        let query = [("target", "sms/+1&x=%"), ("max", "5")];
        assert_eq!(path("/dead", query), "/dead?target=sms%2F%2B1%26x%3D%25&max=5");
    }

    #[test]
    fn an_unknown_word_in_an_answer_is_a_clear_error() {
        let answer =
            r#"{"name":"a","state":"naps","kind":"napping","pending":0,"retrying":0,"dead":0}"#;
        let error = serde_json::from_str::<wire::TargetStatus>(answer).unwrap_err();
        let Failure { code, text } = unreadable(&error);
        assert_eq!(code, crate::cli::exit::PROBLEMS);
        assert!(text.contains("unknown variant `napping`"), "{text}");
        assert!(text.ends_with("use the `dispatcher` of the daemon's version"), "{text}");
    }
}
