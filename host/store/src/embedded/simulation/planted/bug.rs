//! The list of planted bugs, and the part of the hardware that each one changes.

use std::sync::Arc;

use crate::embedded::index::rows::IndexHome;
use crate::embedded::platform::disk::Disk;

use crate::embedded::simulation::hardware::faulty_index::{FaultyHome, IndexFault};
use crate::embedded::simulation::hardware::time::Time;

use super::disk::{DiskFault, PlantedDisk};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// A record of settlements has the end of what it settles as its cursor, not the oldest open
    /// delivery.
    CursorAhead,
    /// A failed delivery is recorded as settled, but not that it will be retried.
    RetryLost,
    /// Senders are answered before their events are durable.
    AckBeforeSync,
    /// The index reads settlements that are not durable.
    IndexAhead,
    /// Only a part of the outcomes of a digest is recorded, but its window is.
    DigestInParts,
    /// A start does not rewrite what may be only in the kernel's memory.
    RewriteSkipped,
    /// An event is copied out of its old segment without the state of its deliveries.
    CopiedBare,
    /// The index does not keep rows of deliveries that wait for a retry.
    RetryRowForgotten,
    /// A batch of the index is not atomic.
    BatchTorn,
    /// Leases follow the wall clock.
    LeaseByWallClock,
}

pub(crate) const ALL: [Planted; 10] = [
    Planted::CursorAhead,
    Planted::RetryLost,
    Planted::AckBeforeSync,
    Planted::IndexAhead,
    Planted::DigestInParts,
    Planted::RewriteSkipped,
    Planted::CopiedBare,
    Planted::RetryRowForgotten,
    Planted::BatchTorn,
    Planted::LeaseByWallClock,
];

impl Planted {
    /// Puts the bug between the store and its disk, if it belongs there. `salt` is that of the log.
    pub(crate) fn disk(self, disk: Arc<dyn Disk>, salt: u32) -> Arc<dyn Disk> {
        let fault = match self {
            Self::CursorAhead => DiskFault::CursorAhead,
            Self::RetryLost => DiskFault::RetryLost,
            Self::AckBeforeSync => DiskFault::SyncLies,
            Self::IndexAhead => DiskFault::SyncLiesAboutSettlements,
            Self::DigestInParts => DiskFault::DigestInParts,
            Self::RewriteSkipped => DiskFault::SkipsSameBytes,
            Self::CopiedBare => DiskFault::CopiedBare,
            Self::RetryRowForgotten | Self::BatchTorn | Self::LeaseByWallClock => return disk,
        };
        Arc::new(PlantedDisk { disk, fault, salt })
    }

    pub(crate) fn index(self, home: Arc<dyn IndexHome>) -> Arc<dyn IndexHome> {
        let fault = match self {
            Self::RetryRowForgotten => IndexFault::ForgetsRetries,
            Self::BatchTorn => IndexFault::TearsBatches,
            _ => return home,
        };
        Arc::new(FaultyHome { home, fault })
    }

    pub(crate) fn time(self) -> Time {
        match self {
            Self::LeaseByWallClock => Time::with_a_bad_steady_clock(),
            _ => Time::new(),
        }
    }
}
