//! Keeps the public keys that senders publish: fetches them when a request needs one, and again before they are old.
//!
//! Only addresses of the configuration and of vendors' files get here, never one that a request chooses. However many
//! requests name keys that do not exist, an address is asked once per [`INTERVAL`] ([`INTERVAL_AFTER_FAILURE`] if it
//! failed), by at most [`FETCHES_MAX`] fetches at once, each of at most [`FETCH_TIME_MAX`] and [`KEYS_BYTES_MAX`].
//! Meanwhile up to [`WAITING_MAX`] requests wait, each for [`WAIT_MAX`], with an eighth of the bytes of bodies. Keys that
//! cannot be fetched again are used until they are [`KEYS_AGE_MAX`] old.
//!
//! A request chooses which certificate of its sender it names, and is not verified yet. So an address gets one that is not
//! known per [`INTERVAL_OF_ASKER`], and what was fetched makes no room for what was not.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::{Answer, Client, Outgoing, Settings, TlsUnavailable};
use crate::model::Cidr;
use crate::verify::{KeyKind, KeySet, KeyWanted};

/// Most bytes of what is at an address.
const KEYS_BYTES_MAX: usize = 256 * 1024;
/// Longest time for a fetch.
const FETCH_TIME_MAX: Duration = Duration::from_secs(5);
/// Most fetches at once; further ones wait.
const FETCHES_MAX: usize = 4;
/// Longest time that a request waits for its key.
const WAIT_MAX: Duration = Duration::from_secs(6);
/// Most requests that wait for a key.
const WAITING_MAX: usize = 64;
/// An address is not asked again before this time has passed.
const INTERVAL: Duration = Duration::from_secs(30);
/// The same if it could not be reached, or had no keys.
const INTERVAL_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Between two fetches of certificates that are not known.
const INTERVAL_OF_CERTIFICATES: Duration = Duration::from_millis(100);
/// The same for requests from one address.
const INTERVAL_OF_ASKER: Duration = Duration::from_secs(2);
/// Keys that are used at this age are fetched again.
const REFRESH_AFTER: Duration = Duration::from_secs(3_600);
/// Keys of this age are not used any more.
const KEYS_AGE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Most addresses whose keys are kept; the one unused for longest makes room.
const PLACES_MAX: usize = 1_024;

type Fetched = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;
type Fetch = Box<dyn Fn(Arc<str>, Arc<[Cidr]>) -> Fetched + Send + Sync>;

/// See the module's description.
pub struct PublishedKeys {
    fetch: Fetch,
    places: Mutex<HashMap<Arc<str>, Place>>,
    fetches: Semaphore,
    waiting: Mutex<Waiting>,
    /// When certificates that are not known were last fetched, and for which addresses.
    certificates: Mutex<HashMap<IpAddr, Instant>>,
}

/// Who needs a key.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Where the request comes from.
    pub address: IpAddr,
    /// The bytes that it holds while it waits.
    pub bytes: usize,
    /// How many bytes all that wait may hold. One alone may hold more.
    pub bytes_max: usize,
}

impl Asker {
    /// One whom no one else waits for.
    pub const ALONE: Self =
        Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), bytes: 0, bytes_max: 0 };

    /// What addresses are counted by: one sender may have all IPv6 addresses that begin with the same 64 bits.
    fn network(self) -> IpAddr {
        match self.address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address => address,
        }
    }
}

/// What waits for keys.
#[derive(Debug, Default)]
struct Waiting {
    requests: usize,
    bytes: usize,
}

/// One that waits, until it is dropped.
struct Waits<'k>(&'k Mutex<Waiting>, usize);

impl<'k> Waits<'k> {
    fn begin(waiting: &'k Mutex<Waiting>, asker: Asker) -> Option<Self> {
        let mut all = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = all.bytes.saturating_add(asker.bytes);
        if all.requests >= WAITING_MAX || (all.requests > 0 && bytes > asker.bytes_max) {
            return None;
        }
        *all = Waiting { requests: all.requests + 1, bytes };
        Some(Self(waiting, asker.bytes))
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all = Waiting { requests: all.requests - 1, bytes: all.bytes - self.1 };
    }
}

/// Why a request cannot be verified now. The sender is not to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct KeyMissing {
    pub reason: String,
    /// When the sender should try again.
    pub wait: Duration,
    /// Whether something failed, and not only that a request names a key that was not there a moment ago.
    pub is_failure: bool,
}

/// What is known of an address.
struct Place {
    keys: Option<(Arc<KeySet>, Instant)>,
    /// Why the last fetch failed, if it did.
    failure: Option<String>,
    next_fetch: Instant,
    /// Closed when the running fetch has ended.
    running: Option<watch::Receiver<()>>,
    used: Instant,
}

impl Place {
    fn new(now: Instant) -> Self {
        Self { keys: None, failure: None, next_fetch: now, running: None, used: now }
    }

    fn running(&self) -> Option<&watch::Receiver<()>> {
        self.running.as_ref().filter(|running| running.has_changed().is_ok())
    }

    /// The keys, if that one is among them.
    fn having(&self, id: &str) -> Option<&(Arc<KeySet>, Instant)> {
        self.keys.as_ref().filter(|(keys, _)| keys.has(id))
    }

    fn missing(&self, place: &str, now: Instant) -> KeyMissing {
        let wait = self.next_fetch.saturating_duration_since(now).max(INTERVAL_AFTER_FAILURE);
        let reason = match &self.failure {
            Some(failure) => format!(
                "the sender's keys are not here: {failure}; check that this machine reaches {place}"
            ),
            None => format!(
                "the key is not among those that were fetched from {place} a moment ago; they are fetched again later"
            ),
        };
        KeyMissing { reason, wait, is_failure: self.failure.is_some() }
    }
}

/// What a request does about its key.
enum Step {
    Use(Arc<KeySet>),
    /// `began`: the fetch began for this request.
    Wait {
        running: watch::Receiver<()>,
        began: bool,
    },
    GiveUp(KeyMissing),
}

impl Default for PublishedKeys {
    fn default() -> Self {
        let client: Arc<OnceLock<Result<Client, TlsUnavailable>>> = Arc::default();
        Self::with(Box::new(move |place, allow| {
            let client = Arc::clone(&client);
            Box::pin(async move {
                let settings =
                    || Settings { response_bytes_max: KEYS_BYTES_MAX, ..Settings::default() };
                match client.get_or_init(|| Client::new(&settings())) {
                    Ok(client) => get(client, &place, allow).await,
                    Err(error) => Err(error.to_string()),
                }
            })
        }))
    }
}

impl PublishedKeys {
    fn with(fetch: Fetch) -> Self {
        Self {
            fetch,
            places: Mutex::default(),
            fetches: Semaphore::new(FETCHES_MAX),
            waiting: Mutex::default(),
            certificates: Mutex::default(),
        }
    }

    /// What this gives is at each address.
    #[cfg(test)]
    pub(crate) fn of(
        given: impl Fn(&str) -> Result<Bytes, String> + Send + Sync + 'static,
    ) -> Self {
        Self::with(Box::new(move |place, _| {
            let given = given(&place);
            Box::pin(async move { given })
        }))
    }

    /// The keys at an address. The wanted one is not among them only if they were fetched after this was called.
    ///
    /// # Errors
    /// They could not be fetched in time, or were fetched so lately that they are not fetched again.
    pub async fn get(
        self: &Arc<Self>,
        wanted: &KeyWanted,
        allow: &Arc<[Cidr]>,
        asker: Asker,
    ) -> Result<Arc<KeySet>, KeyMissing> {
        let (mut running, began) = match self.step(wanted, allow, asker) {
            Step::Use(keys) => return Ok(keys),
            Step::GiveUp(missing) => return Err(missing),
            Step::Wait { running, began } => (running, began),
        };
        let place = &wanted.place;
        let late = |what| KeyMissing {
            reason: format!("{what} the sender's keys from {place}"),
            wait: INTERVAL_AFTER_FAILURE,
            is_failure: true,
        };
        let Some(_waits) = Waits::begin(&self.waiting, asker) else {
            return Err(late("too many requests wait already for"));
        };
        if timeout(WAIT_MAX, running.changed()).await.is_err() {
            return Err(late("nothing has come yet of the fetch of"));
        }
        let places = self.places();
        let Some(known) = places.get(place) else { return Err(late("there was no room for")) };
        match &known.keys {
            Some((keys, _)) if keys.has(&wanted.id) || (began && known.failure.is_none()) => {
                Ok(Arc::clone(keys))
            }
            _ => Err(known.missing(place, Instant::now())),
        }
    }

    /// Asks an address that a verified request names, at most once in each [`INTERVAL`].
    ///
    /// # Errors
    /// It did not answer 200, or there are too many fetches.
    pub async fn visit(&self, url: &str) -> Result<(), KeyMissing> {
        let place: Arc<str> = url.into();
        {
            let now = Instant::now();
            let mut places = self.places();
            if !places.contains_key(&place) {
                make_room(&mut places);
            }
            let known = places.entry(Arc::clone(&place)).or_insert_with(|| Place::new(now));
            known.used = now;
            if known.next_fetch > now {
                let wait = known.next_fetch.duration_since(now);
                let failure = known.failure.clone();
                let missing = |reason| Err(KeyMissing { reason, wait, is_failure: true });
                return failure.map_or(Ok(()), missing);
            }
            known.next_fetch = now + INTERVAL;
            known.failure = Some("it has not answered yet".to_owned());
        }
        let visited = match self.fetches.try_acquire() {
            Err(_) => Err("too many fetches run already".to_owned()),
            Ok(_permit) => {
                let fetched = (self.fetch)(Arc::clone(&place), Arc::default());
                let late = || format!("no whole answer within {} s", FETCH_TIME_MAX.as_secs());
                timeout(FETCH_TIME_MAX, fetched).await.map_err(|_| late()).and_then(|it| it)
            }
        };
        let failure = visited.err();
        if let Some(known) = self.places().get_mut(&place) {
            known.failure.clone_from(&failure);
        }
        let wait = INTERVAL;
        failure.map_or(Ok(()), |reason| Err(KeyMissing { reason, wait, is_failure: true }))
    }

    fn step(self: &Arc<Self>, wanted: &KeyWanted, allow: &Arc<[Cidr]>, asker: Asker) -> Step {
        let now = Instant::now();
        let mut places = self.places();
        let is_known = places.contains_key(&wanted.place);
        let is_certificate = wanted.kind == KeyKind::Certificate;
        if !is_known {
            if is_certificate && !self.may_fetch_certificate(asker, now) {
                // It leaves nothing behind.
                return Step::GiveUp(Place::new(now).missing(&wanted.place, now));
            }
            make_room(&mut places);
        }
        let place = places.entry(Arc::clone(&wanted.place)).or_insert_with(|| Place::new(now));
        place.used = now;
        let needs_turn = is_known && is_certificate && place.keys.is_none();
        if place.keys.as_ref().is_some_and(|(_, at)| now.duration_since(*at) >= KEYS_AGE_MAX) {
            place.keys = None;
        }
        let may_fetch = place.running().is_none() && place.next_fetch <= now;
        let may_fetch = may_fetch && (!needs_turn || self.may_fetch_certificate(asker, now));
        if let Some((keys, at)) = place.having(&wanted.id) {
            let keys = Arc::clone(keys);
            if may_fetch && now.duration_since(*at) >= REFRESH_AFTER {
                self.begin(place, wanted, allow);
            }
            return Step::Use(keys);
        }
        if may_fetch {
            self.begin(place, wanted, allow);
        }
        match place.running() {
            Some(running) => Step::Wait { running: running.clone(), began: may_fetch },
            None => Step::GiveUp(place.missing(&wanted.place, now)),
        }
    }

    /// Whether a certificate that is not known may be fetched now: a request chooses which one of its sender.
    fn may_fetch_certificate(&self, asker: Asker, now: Instant) -> bool {
        let mut last = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| now.duration_since(*at) < INTERVAL_OF_ASKER);
        let is_soon = |at: &Instant| now.duration_since(*at) < INTERVAL_OF_CERTIFICATES;
        let may = !last.contains_key(&asker.network()) && !last.values().any(is_soon);
        if may {
            last.insert(asker.network(), now);
        }
        may
    }

    /// Fetches in the background.
    fn begin(self: &Arc<Self>, place: &mut Place, wanted: &KeyWanted, allow: &Arc<[Cidr]>) {
        let (ended, running) = watch::channel(());
        place.running = Some(running);
        // If the fetch ends without a result.
        place.next_fetch = Instant::now() + INTERVAL;
        let (keys, allow, wanted) = (Arc::clone(self), Arc::clone(allow), wanted.clone());
        tokio::spawn(async move {
            let fetched = keys.fetched(&wanted, allow).await;
            keys.keep(&wanted.place, fetched);
            // The requests that wait go on.
            drop(ended);
        });
    }

    async fn fetched(&self, wanted: &KeyWanted, allow: Arc<[Cidr]>) -> Result<KeySet, String> {
        // The semaphore is never closed.
        let _permit = self.fetches.acquire().await.map_err(|error| error.to_string())?;
        let text = timeout(FETCH_TIME_MAX, (self.fetch)(Arc::clone(&wanted.place), allow)).await;
        let text =
            text.map_err(|_| format!("no whole answer within {} s", FETCH_TIME_MAX.as_secs()))??;
        KeySet::read(wanted, &text).map_err(|error| error.to_string())
    }

    fn keep(&self, place: &str, fetched: Result<KeySet, String>) {
        let now = Instant::now();
        let mut places = self.places();
        let Some(known) = places.get_mut(place) else { return };
        match fetched {
            Ok(keys) => {
                known.keys = Some((Arc::new(keys), now));
                (known.failure, known.next_fetch) = (None, now + INTERVAL);
                tracing::debug!(place, "fetched the keys of a sender");
            }
            Err(failure) => {
                known.next_fetch = now + INTERVAL_AFTER_FAILURE;
                let has_old = known.keys.is_some();
                tracing::warn!(place, has_old, "cannot fetch the keys of a sender: {failure}");
                known.failure = Some(failure);
            }
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Arc<str>, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PublishedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishedKeys")
            .field("places", &self.places().len())
            .finish_non_exhaustive()
    }
}

/// Removes addresses, down to one below the limit: those without keys first, then those that were unused for longest.
fn make_room(places: &mut HashMap<Arc<str>, Place>) {
    while places.len() >= PLACES_MAX {
        let oldest = places.iter().min_by_key(|(_, place)| (place.keys.is_some(), place.used));
        let Some(oldest) = oldest.map(|(place, _)| Arc::clone(place)) else { return };
        places.remove(&oldest);
    }
}

async fn get(client: &Client, url: &str, allow: Arc<[Cidr]>) -> Result<Bytes, String> {
    let outgoing = Outgoing {
        method: http::Method::GET,
        url: url.to_owned(),
        headers: vec![("accept".to_owned(), "application/json, */*;q=0.5".to_owned())],
        body: Bytes::new(),
        allow,
        deadline: Instant::now() + FETCH_TIME_MAX,
    };
    match client.send(outgoing).await.map_err(|error| error.reason)? {
        Answer { status: 200, cut: None, body, .. } => Ok(body),
        Answer { status: 200, cut: Some(cut), .. } => Err(cut),
        Answer { status: 300..=399, .. } => Err("it redirects, which is not followed".to_owned()),
        Answer { status, .. } => Err(format!("it answered {status}")),
    }
}

#[cfg(test)]
mod tests;
