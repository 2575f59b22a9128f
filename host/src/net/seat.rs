//! [`Seat`]: what the handler of a request says about it, for the case that connections must be closed to make room.

use std::sync::Arc;

use tokio::time::Instant;

use super::activity::Activity;
use super::room::Owner;

/// The place of a request among the open connections.
#[derive(Clone, Debug)]
pub struct Seat(Arc<Activity>);

impl Seat {
    pub(super) const fn of(activity: Arc<Activity>) -> Self {
        Self(activity)
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.0
    }

    /// A seat without a connection.
    #[cfg(test)]
    pub(crate) fn alone(address: std::net::IpAddr) -> Self {
        Self(Arc::new(Activity::new(address.into())))
    }

    /// The address that holds the seat: the sender's, as far as trusted proxies know it.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.0.owner()
    }

    /// The handler waits for the rest of a body. Until it has [received](Self::received) all of it, the connection may
    /// be closed to make room.
    pub fn receiving(&self) {
        self.0.receive();
    }

    /// A part of the body arrived.
    pub fn progressed(&self, bytes: usize) {
        self.0.progress(bytes);
    }

    /// The body is complete. `false`: too late, because its connection is being closed to make room.
    #[must_use]
    pub fn received(&self) -> bool {
        self.0.body_is_whole()
    }

    /// The request was verified and stored, which speaks for its connection.
    pub fn proved(&self) {
        self.0.prove();
    }

    /// Whether the body has kept that pace for a while.
    #[must_use]
    pub fn is_steady(&self, now: Instant) -> bool {
        self.0.is_steady(now)
    }

    /// How long the body is late at the pace that is expected while room is short. Negative: early.
    #[must_use]
    pub fn behind_ms(&self, now: Instant) -> i64 {
        self.0.behind_ms(now)
    }
}
