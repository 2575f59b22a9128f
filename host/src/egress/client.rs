//! Sends a request and reads the response before its deadline, over pooled connections.
//!
//! Only targets with equal `allow` lists share connections. A pool finds a connection by host and port, so
//! otherwise a target could use a connection to an address that only another target may reach. There are at most
//! [`POOLS_MAX`] pools; the one unused for longest is dropped first.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use http::Response;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper_rustls::ConfigBuilderExt;
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::connect::{Connector, Unreachable};
use super::error::EgressError;
use super::message::{Answer, Outgoing};
use super::pool::{Failed, Pool};
use super::request::{self, Prepared};
use super::settings::Settings;
use crate::model::Cidr;

/// Most pools, one for each distinct `allow` list.
const POOLS_MAX: usize = 64;
/// With this many hosts, the counters of hosts without a running request are dropped.
const HOSTS_KEPT_MAX: usize = 1024;

/// The TLS library does not accept its own defaults.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsUnavailable(#[from] rustls::Error);

/// By their `allow` list.
type Pools = Vec<(Arc<[Cidr]>, Arc<Pool>)>;

struct Shared {
    settings: Settings,
    tls: ClientConfig,
    /// Ordered by last use, the latest last.
    pools: Mutex<Pools>,
    /// Free permits by `host:port`.
    permits: Mutex<HashMap<String, Arc<Semaphore>>>,
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
    /// Opens nothing; the runtime that calls [`Client::send`] opens connections.
    ///
    /// # Errors
    /// If the TLS library has no usable protocol version.
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
            permits: Mutex::default(),
        })))
    }

    /// Sends once. Redirects and error statuses are responses, not errors.
    ///
    /// # Errors
    /// If no complete response came; the kind says whether the request may have arrived.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Answer, EgressError> {
        let deadline = outgoing.deadline;
        let pool = self.pool(&outgoing.allow);
        let Prepared { request, to, peer } = request::prepare(outgoing)?;
        let peer_name = peer.name();
        if Instant::now() >= deadline {
            let reason = format!("request to {peer_name} not sent: its deadline had passed");
            return Err(EgressError::not_sent(reason));
        }
        let handed = AtomicBool::new(false);
        let exchange = async {
            let permits = self.permits(peer_name);
            // The semaphore is never closed; if it were, the request would merely not be counted.
            let _permit = permits.acquire_owned().await.ok();
            let exchanged = pool.exchange(&to, peer.origin.clone(), request, &handed).await;
            let (response, used) = exchanged.map_err(|failed| describe(failed, peer_name))?;
            let answer = self.read(response, peer_name).await?;
            used.put_back();
            Ok(answer)
        };
        match timeout_at(deadline, exchange).await {
            Ok(answer) => answer,
            Err(_) if handed.load(Ordering::Relaxed) => Err(EgressError::ambiguous(format!(
                "{peer_name} did not answer before the deadline; it may have taken the request"
            ))),
            Err(_) => Err(EgressError::not_sent(format!(
                "no connection to {peer_name} before the deadline; check that it runs and is not overloaded"
            ))),
        }
    }

    /// The pool of targets with this `allow`.
    fn pool(&self, allow: &Arc<[Cidr]>) -> Arc<Pool> {
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

    fn permits(&self, peer: &str) -> Arc<Semaphore> {
        let mut permits = self.0.permits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = permits.get(peer) {
            return Arc::clone(known);
        }
        if permits.len() >= HOSTS_KEPT_MAX {
            // A request that waits for or holds a permit also holds the counter.
            permits.retain(|_, counter| Arc::strong_count(counter) > 1);
        }
        let fresh = Arc::new(Semaphore::new(self.0.settings.connections_per_host_max));
        permits.insert(peer.to_owned(), Arc::clone(&fresh));
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
                    "lost the connection to {peer} within the body of its {status} response: {}",
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
    fn open_pool(&self, allow: &Arc<[Cidr]>) -> Arc<Pool> {
        let limit = self.settings.connect_timeout;
        let connector = Connector::new(Arc::clone(allow), self.tls.clone(), limit);
        Arc::new(Pool::new(connector, &self.settings))
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The innermost cause: the outer ones only say in which layer it happened.
fn root(error: &(dyn Error + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

fn describe(failed: Failed, peer: &str) -> EgressError {
    let error = match failed {
        Failed::NotSent(error) => error,
        // A connection that closed before it took the request gives it back as canceled.
        Failed::Broke(error) if error.is_canceled() => error.into(),
        Failed::Broke(error) => {
            let cause = root(&error);
            return EgressError::ambiguous(format!(
                "no answer from {peer}: {cause}; it may have taken the request"
            ));
        }
    };
    if let Some(unreachable) = chain(&*error).find_map(|error| error.downcast_ref::<Unreachable>())
    {
        return EgressError::not_sent(format!("cannot reach {peer}: {unreachable}"));
    }
    let cause = root(&*error);
    EgressError::not_sent(format!(
        "cannot connect to {peer}: {cause}; check that it runs, the port, and https or http"
    ))
}
