//! The one HTTP client of the daemon, with a policy on which addresses it reaches. Plugins use it, and [`PublishedKeys`].
//!
//! `http` and `https` only, HTTP/1.1, pooled connections, TLS with Mozilla's root certificates. Redirects are
//! responses like any other and are not followed. Proxies in the environment are ignored. Private addresses are
//! denied unless the target's `allow` has them. Each error says whether a byte of the request may have been sent
//! ([`ErrorKind`]). It never contains the path or query of the URL, or a header, because they may be secrets.

mod address;
mod client;
mod connect;
mod error;
mod lookup;
mod message;
mod pool;
mod published;
mod request;
mod settings;
#[cfg(test)]
mod tests;

pub use address::{Denied, denied};
pub use client::{Client, TlsUnavailable};
pub use error::{EgressError, ErrorKind};
pub use message::{Answer, Outgoing};
pub use published::{Asker, KeyMissing, PublishedKeys};
pub use settings::Settings;
