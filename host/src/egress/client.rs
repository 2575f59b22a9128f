//! Sends a request and reads the response before its deadline, over pooled connections.
//!
//! Once the head of a response is there, the destination has answered, whatever becomes of the body.
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
use hyper::body::Incoming;
use hyper_rustls::ConfigBuilderExt;
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::connect::{Connector, Unreachable};
use super::error::EgressError;
use super::lookup::Lookups;
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
    lookups: Arc<Lookups>,
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
            lookups: Lookups::new(),
            pools: Mutex::default(),
            permits: Mutex::default(),
        })))
    }

    /// Sends once. Redirects and error statuses are responses, not errors.
    ///
    /// # Errors
    /// If no response came; the kind says whether the request may have arrived.
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
            let permit = permits.acquire_owned().await.ok();
            let exchanged = pool.exchange(&to, peer.origin.clone(), request, &handed).await;
            exchanged
                .map(|exchanged| (exchanged, permit))
                .map_err(|failed| describe(failed, peer_name))
        };
        let ((response, used), _permit) = match timeout_at(deadline, exchange).await {
            Ok(answered) => answered?,
            Err(_) if handed.load(Ordering::Relaxed) => {
                return Err(EgressError::ambiguous(format!(
                    "{peer_name} did not answer before the deadline; it may have taken the request"
                )));
            }
            Err(_) => {
                return Err(EgressError::not_sent(format!(
                    "no connection to {peer_name} before the deadline; check that it runs and is not overloaded"
                )));
            }
        };
        let answer = self.read(response, deadline).await;
        if answer.cut.is_none() {
            used.put_back();
        }
        Ok(answer)
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

    /// The head and as much of the body as comes within the limits.
    async fn read(&self, response: Response<Incoming>, deadline: Instant) -> Answer {
        let Settings { response_bytes_max: bytes_max, response_time_max: time_max, .. } =
            self.0.settings;
        let (head, body) = response.into_parts();
        let mut read = BytesMut::new();
        let until = deadline.min(Instant::now() + time_max);
        let cut = match timeout_at(until, fill(&mut read, body, bytes_max)).await {
            Ok(cut) => cut,
            Err(_) => Some("its body did not end in time".to_owned()),
        };
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers =
            head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes())));
        let headers = headers.collect();
        Answer { status: head.status.as_u16(), headers, body: read.freeze(), cut }
    }
}

/// Reads a body up to `bytes_max`; returns why that is not all of it.
async fn fill(read: &mut BytesMut, mut body: Incoming, bytes_max: usize) -> Option<String> {
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                return Some(format!("the connection was lost within its body: {}", root(&error)));
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        let room = bytes_max - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Some(format!("only the first {bytes_max} bytes of its body were read"));
        }
    }
    None
}

impl Shared {
    fn open_pool(&self, allow: &Arc<[Cidr]>) -> Arc<Pool> {
        let limit = self.settings.connect_timeout;
        let connector =
            Connector::new(Arc::clone(allow), Arc::clone(&self.lookups), self.tls.clone(), limit);
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
