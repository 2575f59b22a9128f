//! Looks up names within seats of its own.
//!
//! The system's lookup blocks a thread, and hangs for as long as a DNS server does not answer: longer than anyone waits
//! for it. So at most [`LOOKUPS_MAX`] run at once, of which a name has at most [`LOOKUPS_PER_NAME_MAX`], and the blocking
//! threads that are left belong to plugins and the store. A seat is free when the system's lookup has ended, not when
//! its caller has given up.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Most lookups at once.
const LOOKUPS_MAX: usize = 32;
/// Most lookups of one name at once, so that one that hangs leaves seats for the others.
const LOOKUPS_PER_NAME_MAX: usize = 2;
/// The longest time for a lookup, its wait for a seat included. Shorter than `connect_timeout`.
const LOOKUP_TIME_MAX: Duration = Duration::from_secs(4);
/// With this many names, those without a running lookup are dropped.
const NAMES_KEPT_MAX: usize = 1024;

type Found = io::Result<Vec<SocketAddr>>;

/// The seats of all targets.
pub(super) struct Lookups {
    system: fn(&str) -> Found,
    time_max: Duration,
    all: Arc<Semaphore>,
    names: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl std::fmt::Debug for Lookups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookups").finish_non_exhaustive()
    }
}

/// Why a name has no address now.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("its name cannot be looked up: {0}; check the url and the DNS of this machine")]
    Failed(io::Error),
    #[error(
        "the lookup of its name did not end within {} ms; check the DNS of this machine",
        .0.as_millis()
    )]
    Slow(Duration),
    #[error("earlier lookups of names have not ended; check the DNS of this machine")]
    Busy,
}

impl Lookups {
    pub(super) fn new() -> Arc<Self> {
        // Port 0 is replaced by the connector.
        Self::with(|name| (name, 0).to_socket_addrs().map(Iterator::collect), LOOKUP_TIME_MAX)
    }

    fn with(system: fn(&str) -> Found, time_max: Duration) -> Arc<Self> {
        let all = Arc::new(Semaphore::new(LOOKUPS_MAX));
        Arc::new(Self { system, time_max, all, names: Mutex::default() })
    }

    /// The addresses of a name.
    pub(super) async fn find(&self, name: String) -> Result<Vec<SocketAddr>, LookupError> {
        let mut seated = false;
        let lookup = async {
            let seats = self.seats(&name).await;
            seated = true;
            let system = self.system;
            let job = move || {
                let found = system(&name);
                drop(seats);
                found
            };
            let ended = tokio::task::spawn_blocking(job).await;
            ended.unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        match timeout(self.time_max, lookup).await {
            Ok(found) => found.map_err(LookupError::Failed),
            Err(_) if seated => Err(LookupError::Slow(self.time_max)),
            Err(_) => Err(LookupError::Busy),
        }
    }

    /// A seat of the name, then one of all.
    async fn seats(&self, name: &str) -> [Option<OwnedSemaphorePermit>; 2] {
        let of_name = self.of_name(name);
        // The semaphores are never closed.
        let own = of_name.acquire_owned().await.ok();
        [own, Arc::clone(&self.all).acquire_owned().await.ok()]
    }

    fn of_name(&self, name: &str) -> Arc<Semaphore> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Arc::clone(known);
        }
        if names.len() >= NAMES_KEPT_MAX {
            names.retain(|_, seats| {
                Arc::strong_count(seats) > 1 || seats.available_permits() < LOOKUPS_PER_NAME_MAX
            });
        }
        let seats = Arc::new(Semaphore::new(LOOKUPS_PER_NAME_MAX));
        names.insert(name.to_owned(), Arc::clone(&seats));
        seats
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn lookups_that_hang_take_few_threads_and_hold_up_no_other_name_and_no_other_work() {
        static HANGING: AtomicUsize = AtomicUsize::new(0);
        static OPEN: AtomicUsize = AtomicUsize::new(0);
        fn system(name: &str) -> Found {
            if name.starts_with("hangs") {
                HANGING.fetch_add(1, Ordering::SeqCst);
                while OPEN.load(Ordering::SeqCst) == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Ok(vec!["8.8.8.8:0".parse().unwrap()])
        }
        // As few blocking threads as there are seats, and one.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(LOOKUPS_MAX + 1)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let lookups = Lookups::with(system, Duration::from_secs(1));
            let find = |name: String| {
                let lookups = Arc::clone(&lookups);
                tokio::spawn(async move { lookups.find(name).await })
            };
            let first: Vec<_> = (0..50).map(|_| find("hangs".to_owned())).collect();
            assert_eq!(find("works".to_owned()).await.unwrap().unwrap().len(), 1);
            let mut ends = Vec::new();
            for hanging in first {
                ends.push(hanging.await.unwrap().unwrap_err());
            }
            let slow = ends.iter().filter(|error| matches!(error, LookupError::Slow(_))).count();
            assert_eq!((slow, ends.len() - slow), (LOOKUPS_PER_NAME_MAX, 48));
            assert_eq!(HANGING.load(Ordering::SeqCst), LOOKUPS_PER_NAME_MAX);
            // Every name hangs: other blocking work has a thread all the same.
            let more: Vec<_> = (0..200).map(|n| find(format!("hangs-{n}"))).collect();
            for hanging in more {
                assert!(hanging.await.unwrap().is_err());
            }
            assert_eq!(HANGING.load(Ordering::SeqCst), LOOKUPS_MAX);
            assert_eq!(tokio::task::spawn_blocking(|| 7).await.unwrap(), 7);
            // When they end, their seats are free again.
            OPEN.store(1, Ordering::SeqCst);
            assert!(find("hangs".to_owned()).await.unwrap().is_ok());
        });
        runtime.shutdown_background();
    }
}
