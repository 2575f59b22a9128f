//! Why deliveries from before the start failed: until a target's first attempt nothing else shows what it does.
//!
//! Looked for once, among the newest events: at most [`EVENTS_MAX`] of them, and [`BYTES_MAX`] of the log.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::TargetNumber;
use crate::store::{Fate, Queue, Search, StoreError};
use crate::telemetry::Feed;

/// Most events whose fates are looked up.
const EVENTS_MAX: usize = 256;
/// Most bytes of the log that are read.
const BYTES_MAX: u64 = 4 << 20;

/// Shows the newest reason of each target that has retries. A store that cannot tell, such as one whose index is being
/// made, shows none.
pub(super) async fn show_errors(
    queue: Arc<dyn Queue>,
    names: HashMap<TargetNumber, Arc<str>>,
    feed: Feed,
) {
    let retrying: HashMap<_, _> =
        names.into_iter().filter(|(number, _)| queue.depth(*number).retrying > 0).collect();
    if !retrying.is_empty()
        && let Err(error) = find(&*queue, &retrying, &feed).await
    {
        tracing::debug!(%error, "the last errors of targets are shown after their next attempts");
    }
}

async fn find(
    queue: &dyn Queue,
    retrying: &HashMap<TargetNumber, Arc<str>>,
    feed: &Feed,
) -> Result<(), StoreError> {
    let asked: Vec<_> = retrying.keys().copied().collect();
    let search = Search {
        before: None,
        since: None,
        wanted: Box::new(move |_, targets| targets.iter().any(|target| asked.contains(target))),
        max: EVENTS_MAX,
        bytes_max: BYTES_MAX,
    };
    let page = queue.search(search).await?;
    // The newest first.
    for (_, fates) in queue.fates(page.events, Vec::new()).await? {
        for (target, fate) in fates {
            if let (Some(name), Fate::Retrying { reason, .. }) = (retrying.get(&target), fate) {
                feed.history().earlier_error(name, &reason);
            }
        }
    }
    Ok(())
}
