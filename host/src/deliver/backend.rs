//! What the deliverer calls: the plugin's instance in the daemon, a script in tests.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::model::{Delivery, Digest, Verdict};
use crate::plugin::{Instance, Mode};
use crate::store::BoxFuture;

/// One target's way out.
pub trait Backend: Send + Sync + 'static {
    /// Tries them all; a verdict for each, in their order. It should answer before `deadline`, and is
    /// cut some time after. It may be dropped at any await.
    fn deliver<'a>(
        &'a self,
        deliveries: &'a [Delivery],
        deadline: Instant,
    ) -> BoxFuture<'a, Vec<Verdict>>;

    /// One message that stands for all of a digest: one verdict.
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

    /// Whether a call takes a single delivery.
    fn one_by_one(&self) -> bool;

    /// Work that still runs though its call is over: each takes a slot until it ends.
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
