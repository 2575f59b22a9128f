//! Accepts connections and speaks HTTP/1.1.
//!
//! The only module that knows how connections begin and end. Limits:
//! - open connections ([`Settings::connections_max`]). At the limit, idle and slow connections are closed, see
//!   `open_connections`. If all connections have a whole request that is being answered, a new one gets a 503.
//! - the request head (`HEAD_BYTES_MAX` bytes and 100 fields; then 431), and the time for it (then 408)
//! - the time between requests, and the time that a stop may take
//!
//! A request whose host or whose end is ambiguous gets a 400, see `framing`. A sender that closes its side after a whole
//! request gets its answer.
//!
//! Bodies and their limits are up to the handler. Only trusted proxies can say who sends a request, see `forwarded` and
//! `proxy`.
//!
//! An error of `accept` never ends the listener. One that concerns a single connection is skipped. One that concerns the
//! process, such as too many open files, is waited out while idle connections are closed.

mod acceptor;
mod activity;
mod connection;
mod displaced;
pub mod forwarded;
mod framing;
mod handler;
mod listener;
mod open_connections;
mod peer;
pub mod proxy;
mod requests;
mod room;
mod seat;
mod settings;
#[cfg(test)]
mod tests;

pub use displaced::Displaced;
pub use handler::Handler;
pub use listener::{BindError, Listener};
pub use peer::Peer;
pub use room::{Holding, order};
pub use seat::Seat;
pub use settings::Settings;
