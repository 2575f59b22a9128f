//! Opens connections, and only to addresses that the target may reach.
//!
//! Every address is checked by [`permitted`] right before the connection, so a name whose address changes after a
//! check gains nothing. The HTTP connector uses its resolver for names only; IP literals are checked before it
//! is called. It does not treat odd spellings (`0x7f.1`, `127.1`) as literals; they reach the resolver like any
//! name.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::address;
use super::lookup::{LookupError, Lookups};
use crate::model::Cidr;

/// Most denied addresses named in one error.
const ADDRESSES_NAMED_MAX: usize = 4;
/// How long a connection is unused before the kernel checks whether the peer still exists.
const KEEPALIVE: Duration = Duration::from_secs(30);

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Opening<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Why no connection was attempted, or none was open in time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreachable {
    #[error("{}", denial(.0))]
    Denied(Vec<(IpAddr, &'static str)>),
    #[error(transparent)]
    Lookup(LookupError),
    #[error("its name has no address; check the url")]
    NoAddress,
    #[error("name lookup, connection and TLS together took more than {} ms", .0.as_millis())]
    Slow(Duration),
}

fn denial(denied: &[(IpAddr, &'static str)]) -> String {
    let named = denied.iter().take(ADDRESSES_NAMED_MAX);
    let addresses: Vec<_> = named.clone().map(|(ip, kind)| format!("{ip} ({kind})")).collect();
    let ranges: Vec<_> = named.map(|(ip, _)| format!("\"{}\"", address::allowance(*ip))).collect();
    format!(
        "targets may not reach its address {}; if this is intended, add {} to `allow` of the target",
        addresses.join(", "),
        ranges.join(", ")
    )
}

/// The addresses that a target with this `allow` may reach; an error when none is left.
fn permitted(
    found: impl Iterator<Item = SocketAddr>,
    allow: &[Cidr],
) -> Result<Vec<SocketAddr>, Unreachable> {
    let mut denied = Vec::new();
    let mut open = Vec::new();
    for socket in found {
        match address::check(socket.ip(), allow) {
            Ok(()) => open.push(socket),
            Err(kind) => denied.push((socket.ip(), kind)),
        }
    }
    match (open.is_empty(), denied.is_empty()) {
        (false, _) => Ok(open),
        (true, false) => Err(Unreachable::Denied(denied)),
        (true, true) => Err(Unreachable::NoAddress),
    }
}

/// The system's name lookup, less the addresses that the target may not reach.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    allow: Arc<[Cidr]>,
    lookups: Arc<Lookups>,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unreachable>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (allow, lookups) = (Arc::clone(&self.allow), Arc::clone(&self.lookups));
        Box::pin(async move {
            let found = lookups.find(name.as_str().to_owned()).await;
            let found = found.map_err(Unreachable::Lookup)?;
            Ok(permitted(found.into_iter(), &allow)?.into_iter())
        })
    }
}

/// TCP to permitted addresses only.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    inner: HttpConnector<Resolver>,
    allow: Arc<[Cidr]>,
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Opening<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        if let Some(ip) = literal(&uri)
            && let Err(denied) = permitted(std::iter::once(SocketAddr::new(ip, 0)), &self.allow)
        {
            return Box::pin(std::future::ready(Err(denied.into())));
        }
        let opening = self.inner.call(uri);
        Box::pin(async move { opening.await.map_err(Into::into) })
    }
}

/// The IP address if the URL has one instead of a name.
fn literal(uri: &Uri) -> Option<IpAddr> {
    let host = uri.host()?;
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// TCP and TLS within one time limit; [`HttpConnector`] itself limits neither lookup nor TLS.
#[derive(Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<Guarded>,
    connect_timeout: Duration,
}

impl Connector {
    /// Connections for targets with this `allow`.
    pub(super) fn new(
        allow: Arc<[Cidr]>,
        lookups: Arc<Lookups>,
        tls: ClientConfig,
        connect_timeout: Duration,
    ) -> Self {
        let resolver = Resolver { allow: Arc::clone(&allow), lookups };
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        // Divided among the addresses of a name, so that a dead first one leaves time for the others.
        tcp.set_connect_timeout(Some(connect_timeout));
        let inner = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Guarded { inner: tcp, allow });
        Self { inner, connect_timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Opening<Stream>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = self.connect_timeout;
        let opening = self.inner.call(uri);
        Box::pin(async move {
            match tokio::time::timeout(limit, opening).await {
                Ok(opened) => opened,
                Err(_) => Err(Unreachable::Slow(limit).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn denied_addresses_of_a_name_are_skipped() {
        let found = sockets(&["10.0.0.1", "8.8.8.8", "::1", "2606:4700::1"]);
        let open = permitted(found.into_iter(), &[]).unwrap();
        assert_eq!(open, sockets(&["8.8.8.8", "2606:4700::1"]));
    }

    #[test]
    fn a_name_with_denied_addresses_only_says_what_to_add() {
        let found = sockets(&["::1", "127.0.0.1"]);
        let error = permitted(found.into_iter(), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "targets may not reach its address ::1 (loopback), 127.0.0.1 (loopback); if this is \
             intended, add \"::1/128\", \"127.0.0.1/32\" to `allow` of the target"
        );
    }

    #[test]
    fn a_name_without_addresses_is_an_error() {
        assert!(matches!(permitted(std::iter::empty(), &[]), Err(Unreachable::NoAddress)));
    }

    #[test]
    fn literals_are_found_with_and_without_brackets() {
        for (url, found) in [
            ("http://127.0.0.1/", Some("127.0.0.1")),
            ("http://127.0.0.1:80/", Some("127.0.0.1")),
            ("http://[::1]/", Some("::1")),
            ("http://[::ffff:127.0.0.1]:8080/x", Some("::ffff:127.0.0.1")),
            ("http://0x7f.1/", None),
            ("http://127.1/", None),
            ("http://2130706433/", None),
            ("http://localhost/", None),
            ("http://127.0.0.1./", None),
        ] {
            let expected = found.map(|text| text.parse::<IpAddr>().unwrap());
            assert_eq!(literal(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
