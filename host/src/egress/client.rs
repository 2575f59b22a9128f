//! Sends a request and reads the answer within its deadline, over pooled connections.
//!
//! Connections are shared between targets with equal `allow` lists only: a pool is found by host and
//! port, so a connection to a closed address that one target may use would else serve a target that
//! may not. At most [`POOLS_MAX`] such pools live; the one unused for longest goes first.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_rustls::ConfigBuilderExt;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::connect::{Connector, Unreachable};
use super::request::{self, Prepared};
use super::{Answer, EgressError, Outgoing, Settings};
use crate::model::Cidr;

/// Most pools, one for each distinct `allow` list.
const POOLS_MAX: usize = 64;
/// From this many hosts on, the counters of those without a request under way are dropped.
const HOSTS_KEPT_MAX: usize = 1024;
/// Most bytes of an answer's head.
const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

/// The TLS library refuses its own defaults.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsUnavailable(#[from] rustls::Error);

type Pooled = legacy::Client<Connector, Full<Bytes>>;

struct Shared {
    settings: Settings,
    tls: ClientConfig,
    /// Ordered by last use, the latest last.
    pools: Mutex<Vec<(Arc<[Cidr]>, Pooled)>>,
    /// Free places by `host:port`.
    places: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// See the module's description. Clones share connections and limits.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Client {
    /// Opens nothing; connections are made by the runtime that calls [`Client::send`].
    ///
    /// # Errors
    ///
    /// When the TLS library has no usable protocol version.
    pub fn new(settings: &Settings) -> Result<Self, TlsUnavailable> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_webpki_roots()
            .with_no_client_auth();
        Ok(Self(Arc::new(Shared {
            settings: settings.clone(),
            tls,
            pools: Mutex::default(),
            places: Mutex::default(),
        })))
    }

    /// Sends once. Redirects and errors by status are answers, not errors.
    ///
    /// # Errors
    ///
    /// When there is no whole answer; its kind says whether the request may have arrived.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Answer, EgressError> {
        let deadline = outgoing.deadline;
        let pool = self.pool(&outgoing.allow);
        let Prepared { mut request, peer } = request::prepare(outgoing)?;
        if Instant::now() >= deadline {
            let reason = format!("request to {peer} not sent: its deadline had passed before");
            return Err(EgressError::not_sent(reason));
        }
        let captured = capture_connection(&mut request);
        let exchange = async {
            let places = self.places(&peer);
            // Nobody closes the semaphore; without a place the request is merely not counted.
            let _place = places.acquire_owned().await.ok();
            let response = pool.request(request).await;
            let response = response.map_err(|error| describe(&error, &peer, &captured))?;
            self.read(response, &peer).await
        };
        match timeout_at(deadline, exchange).await {
            Ok(answer) => answer,
            Err(_) if has_connection(&captured) => Err(EgressError::ambiguous(format!(
                "{peer} did not answer before the deadline; it may have taken the request"
            ))),
            Err(_) => Err(EgressError::not_sent(format!(
                "no connection to {peer} before the deadline; check that it runs and is not overloaded"
            ))),
        }
    }

    /// The pool of targets with this `allow`.
    fn pool(&self, allow: &Arc<[Cidr]>) -> Pooled {
        let mut pools = self.0.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pools.iter().position(|(list, _)| Arc::ptr_eq(list, allow) || list == allow);
        let entry = match known {
            Some(at) => pools.remove(at),
            None => (Arc::clone(allow), self.0.open_pool(allow)),
        };
        let pool = entry.1.clone();
        if pools.len() >= POOLS_MAX {
            pools.remove(0);
        }
        pools.push(entry);
        pool
    }

    fn places(&self, peer: &str) -> Arc<Semaphore> {
        let mut places = self.0.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = places.get(peer) {
            return Arc::clone(known);
        }
        if places.len() >= HOSTS_KEPT_MAX {
            // Whoever waits or holds a place also holds the counter.
            places.retain(|_, counter| Arc::strong_count(counter) > 1);
        }
        let fresh = Arc::new(Semaphore::new(self.0.settings.connections_per_host_max));
        places.insert(peer.to_owned(), Arc::clone(&fresh));
        fresh
    }

    async fn read(&self, response: Response<Incoming>, peer: &str) -> Result<Answer, EgressError> {
        let bytes_max = self.0.settings.response_bytes_max;
        let (head, mut body) = response.into_parts();
        let status = head.status.as_u16();
        let too_long = || {
            EgressError::ambiguous(format!(
                "{peer} answered {status} with a body of more than {bytes_max} bytes; \
                 check that the url is the one of an API"
            ))
        };
        let bytes_promised = body.size_hint().lower();
        if bytes_promised > bytes_max as u64 {
            return Err(too_long());
        }
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                EgressError::ambiguous(format!(
                    "{peer} answered {status} and broke off within the body: {}",
                    root(&error)
                ))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len().saturating_add(data.len()) > bytes_max {
                return Err(too_long());
            }
            whole.extend_from_slice(&data);
        }
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers =
            head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
        Ok(Answer { status, headers: headers.collect(), body: whole.freeze() })
    }
}

impl Shared {
    fn open_pool(&self, allow: &Arc<[Cidr]>) -> Pooled {
        let Settings { connections_idle_max, idle_timeout, connect_timeout, .. } = self.settings;
        let connector = Connector::new(Arc::clone(allow), self.tls.clone(), connect_timeout);
        legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle_timeout)
            .pool_max_idle_per_host(connections_idle_max)
            .http1_max_buf_size(RESPONSE_HEAD_BYTES_MAX)
            .build(connector)
    }
}

/// The request is given its connection right before its first byte is written.
fn has_connection(captured: &CaptureConnection) -> bool {
    captured.connection_metadata().is_some()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The innermost cause: the outer ones only say which layer met it.
fn root(error: &(dyn Error + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

fn describe(error: &legacy::Error, peer: &str, captured: &CaptureConnection) -> EgressError {
    if let Some(unreachable) = chain(error).find_map(|error| error.downcast_ref::<Unreachable>()) {
        return EgressError::not_sent(format!("cannot reach {peer}: {unreachable}"));
    }
    let cause = root(error);
    // A connection that closed before it took the request gives it back as canceled.
    let given_back = chain(error)
        .filter_map(|error| error.downcast_ref::<hyper::Error>())
        .any(hyper::Error::is_canceled);
    if error.is_connect() || given_back || !has_connection(captured) {
        return EgressError::not_sent(format!(
            "cannot connect to {peer}: {cause}; check that it runs, the port, and https or http"
        ));
    }
    EgressError::ambiguous(format!("no answer from {peer}: {cause}; it may have taken the request"))
}
