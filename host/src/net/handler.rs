//! [`Handler`]: what answers the requests of a listener.

use std::future::Future;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;

use super::peer::Peer;
use super::seat::Seat;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// A connection was refused, because there are too many.
    fn turned_away(&self) {}

    /// Dropped at any await when the connection ends.
    fn handle(
        &self,
        request: http::Request<Incoming>,
        peer: Peer,
        seat: &Seat,
    ) -> impl Future<Output = http::Response<Full<Bytes>>> + Send;
}
