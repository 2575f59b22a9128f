//! When each source was last heard, as the end of the log shows it: what was saved of it may be a minute old if the
//! process was killed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::model::Timestamp;
use crate::store::{Queue, Search};

/// Most bytes of the log that are read.
const BYTES_MAX: u64 = 16 << 20;
/// Longest wait for the disk.
const TIME_MAX: Duration = Duration::from_secs(2);

/// The newest event of each source since then. Of what cannot be read in time nothing is said.
pub(super) async fn last_events(
    queue: &dyn Queue,
    since: Option<Timestamp>,
) -> BTreeMap<Arc<str>, Timestamp> {
    let found = Arc::<Mutex<BTreeMap<Arc<str>, Timestamp>>>::default();
    let seen = Arc::clone(&found);
    let search = Search {
        before: None,
        since,
        wanted: Box::new(move |event, _| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let last = seen.entry(Arc::clone(&event.source)).or_insert(event.received_at);
            *last = event.received_at.max(*last);
            // It is only looked at.
            false
        }),
        max: 1,
        bytes_max: BYTES_MAX,
    };
    // What was seen until then counts.
    let _ = timeout(TIME_MAX, queue.search(search)).await;
    std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner))
}
