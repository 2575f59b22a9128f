//! What the deliverer calls: an instance of a plugin in the daemon, a script in tests.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::model::{Delivery, Digest, Verdict};
use crate::plugin::{Instance, Mode};
use crate::store::BoxFuture;

/// Delivers the events of one target.
pub trait Backend: Send + Sync + 'static {
    /// Attempts all deliveries and returns a verdict for each, in their order. It should return before `deadline`,
    /// and is cut some time after it. It may be dropped at any await.
    fn deliver<'a>(
        &'a self,
        deliveries: &'a [Delivery],
        deadline: Instant,
    ) -> BoxFuture<'a, Vec<Verdict>>;

    /// Sends one message for a whole digest, and returns one verdict.
    fn deliver_digest<'a>(
        &'a self,
        digest: &'a Digest,
        deadline: Instant,
    ) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(async move {
            let mut verdicts = self.deliver(&digest.sample, deadline).await;
            verdicts.truncate(1);
            verdicts
        })
    }

    /// Whether the destination would accept deliveries, found out without one. `None`: this cannot be known.
    fn probe(&self, _deadline: Instant) -> BoxFuture<'_, Option<Verdict>> {
        Box::pin(async { None })
    }

    /// Whether a call takes only one delivery.
    fn one_by_one(&self) -> bool;

    /// Jobs that still run although their call is over. Each counts towards `concurrency` until it ends.
    fn left_jobs(&self) -> usize {
        0
    }

    /// What the plugin counts, by name.
    fn counters(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}

impl Backend for Instance {
    fn deliver<'a>(
        &'a self,
        deliveries: &'a [Delivery],
        deadline: Instant,
    ) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(Self::deliver(self, deliveries, deadline))
    }

    fn deliver_digest<'a>(
        &'a self,
        digest: &'a Digest,
        deadline: Instant,
    ) -> BoxFuture<'a, Vec<Verdict>> {
        Box::pin(async move { vec![Self::deliver_digest(self, digest, deadline).await] })
    }

    fn probe(&self, deadline: Instant) -> BoxFuture<'_, Option<Verdict>> {
        Box::pin(Self::probe(self, deadline))
    }

    fn one_by_one(&self) -> bool {
        self.mode() == Mode::Each
    }

    fn left_jobs(&self) -> usize {
        self.left_jobs()
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        self.counters()
    }
}
