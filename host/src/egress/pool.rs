//! Open connections of the targets with one `allow` list, each for one request at a time.
//!
//! A request takes a connection, the one used last, and puts it back after the response has been read. If the
//! peer has closed it and the request was not sent, another connection is used. At most [`IDLE_MAX`] unused
//! connections are kept, each for at most `idle_timeout`.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use tokio::time::{Instant, sleep_until, timeout};
use tower_service::Service;

use super::connect::{BoxError, Connector};
use super::settings::Settings;

/// Most unused connections to all hosts together.
const IDLE_MAX: usize = 1_024;
/// Most bytes of a response's head.
const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

/// A connection still busy with the previous request after this time is closed: its peer has responded without
/// reading the rest of the request.
const READY_TIME_MAX: Duration = Duration::from_millis(200);

type Sender = SendRequest<Full<Bytes>>;

struct Idle {
    sender: Sender,
    since: Instant,
}

#[derive(Default)]
struct State {
    /// By scheme, host and port; no list is empty.
    idle: HashMap<String, Vec<Idle>>,
    count: usize,
    /// A task closes connections that are unused for too long.
    watched: bool,
}

pub(super) struct Pool {
    connector: Connector,
    per_host_max: usize,
    idle_timeout: Duration,
    state: Mutex<State>,
}

/// Why no response came.
#[derive(Debug)]
pub(super) enum Failed {
    /// No connection, or one that gave the request back.
    NotSent(BoxError),
    Broke(hyper::Error),
}

/// The connection on which a response arrives.
pub(super) struct UsedConnection {
    pool: Arc<Pool>,
    origin: String,
    sender: Sender,
}

impl UsedConnection {
    /// Keeps it for the next request; only after the whole response has been read.
    pub(super) fn put_back(self) {
        self.pool.put(self.origin, self.sender);
    }
}

impl Pool {
    pub(super) fn new(connector: Connector, settings: &Settings) -> Self {
        Self {
            connector,
            per_host_max: settings.connections_idle_max,
            idle_timeout: settings.idle_timeout,
            state: Mutex::default(),
        }
    }

    /// Sends `request` over a connection to `origin`, the scheme, host and port of `to`. `handed` is set
    /// while a connection has the request: bytes of it may have been sent.
    pub(super) async fn exchange(
        self: Arc<Self>,
        to: &Uri,
        origin: String,
        mut request: Request<Full<Bytes>>,
        handed: &AtomicBool,
    ) -> Result<(Response<Incoming>, UsedConnection), Failed> {
        loop {
            let taken = self.take(&origin);
            let reused = taken.is_some();
            let mut sender = match taken {
                Some(sender) => sender,
                None => self.connect(to).await.map_err(Failed::NotSent)?,
            };
            match timeout(READY_TIME_MAX, sender.ready()).await {
                Ok(Ok(())) => {}
                _ if reused => continue,
                Ok(Err(error)) => return Err(Failed::NotSent(error.into())),
                Err(error) => return Err(Failed::NotSent(error.into())),
            }
            handed.store(true, Ordering::Relaxed);
            match sender.try_send_request(request).await {
                Ok(response) => {
                    return Ok((response, UsedConnection { pool: self, origin, sender }));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    Some(_) => return Err(Failed::NotSent(error.into_error().into())),
                    None => return Err(Failed::Broke(error.into_error())),
                },
            }
            handed.store(false, Ordering::Relaxed);
        }
    }

    async fn connect(&self, to: &Uri) -> Result<Sender, BoxError> {
        let mut connector = self.connector.clone();
        poll_fn(|context| connector.poll_ready(context)).await?;
        let stream = connector.call(to.clone()).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(RESPONSE_HEAD_BYTES_MAX);
        let (sender, connection) = builder.handshake(stream).await?;
        // The user of the connection gets its errors.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    fn take(&self, origin: &str) -> Option<Sender> {
        let now = Instant::now();
        let mut state = self.lock();
        let State { idle, count, .. } = &mut *state;
        let list = idle.get_mut(origin)?;
        let mut found = None;
        while let Some(Idle { sender, since }) = list.pop() {
            *count -= 1;
            if !sender.is_closed() && now < since + self.idle_timeout {
                found = Some(sender);
                break;
            }
        }
        if list.is_empty() {
            idle.remove(origin);
        }
        found
    }

    fn put(self: &Arc<Self>, origin: String, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut state = self.lock();
        let State { idle, count, watched } = &mut *state;
        if *count >= IDLE_MAX {
            return;
        }
        let list = idle.entry(origin).or_default();
        if list.len() < self.per_host_max {
            list.push(Idle { sender, since: Instant::now() });
            *count += 1;
        }
        if !std::mem::replace(watched, true) {
            tokio::spawn(watch(Arc::downgrade(self), self.idle_timeout));
        }
    }

    /// Closes connections that are unused for too long; returns when to check again, if any are left.
    fn close_old(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let State { idle, count, watched } = &mut *state;
        let mut oldest: Option<Instant> = None;
        idle.retain(|_, list| {
            let before = list.len();
            list.retain(|idle| !idle.sender.is_closed() && now < idle.since + self.idle_timeout);
            *count -= before - list.len();
            let since = list.iter().map(|idle| idle.since).min();
            oldest = [oldest, since].into_iter().flatten().min();
            !list.is_empty()
        });
        *watched = oldest.is_some();
        oldest.map(|since| since + self.idle_timeout)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn watch(pool: Weak<Pool>, idle_timeout: Duration) {
    let mut next = Instant::now() + idle_timeout;
    loop {
        sleep_until(next).await;
        let Some(at) = pool.upgrade().and_then(|pool| pool.close_old()) else { return };
        next = at;
    }
}
