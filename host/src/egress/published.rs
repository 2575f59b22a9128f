//! Keeps the public keys that senders publish: fetches them when a request needs one, and again before they are old.
//!
//! Only addresses of the configuration and of vendors' files get here, never one that a request chooses. However many
//! requests name keys that do not exist, an address is asked once per [`INTERVAL`] ([`INTERVAL_AFTER_FAILURE`] if it
//! failed), by at most [`FETCHES_MAX`] fetches at once, each of at most [`FETCH_TIME_MAX`] and [`KEYS_BYTES_MAX`].
//! Meanwhile up to [`WAITING_MAX`] requests wait, each for [`WAIT_MAX`]. Keys that cannot be fetched again are used until
//! they are [`KEYS_AGE_MAX`] old.

use std::collections::HashMap;
use std::fmt;
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
const INTERVAL_OF_CERTIFICATES: Duration = Duration::from_secs(2);
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
    waiting: Semaphore,
    next_certificate: Mutex<Option<Instant>>,
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
            waiting: Semaphore::new(WAITING_MAX),
            next_certificate: Mutex::default(),
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
    ) -> Result<Arc<KeySet>, KeyMissing> {
        let (mut running, began) = match self.step(wanted, allow) {
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
        let Ok(_permit) = self.waiting.try_acquire() else {
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

    fn step(self: &Arc<Self>, wanted: &KeyWanted, allow: &Arc<[Cidr]>) -> Step {
        let now = Instant::now();
        let mut places = self.places();
        if !places.contains_key(&wanted.place) {
            make_room(&mut places);
        }
        let place = places.entry(Arc::clone(&wanted.place)).or_insert_with(|| Place::new(now));
        place.used = now;
        let is_new_certificate = wanted.kind == KeyKind::Certificate && place.keys.is_none();
        if place.keys.as_ref().is_some_and(|(_, at)| now.duration_since(*at) >= KEYS_AGE_MAX) {
            place.keys = None;
        }
        let may_fetch = place.running().is_none() && place.next_fetch <= now;
        let may_fetch = may_fetch && (!is_new_certificate || self.may_fetch_certificate(now));
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

    /// Whether a certificate that is not known may be fetched now: a request chooses which one of its sender, so all of
    /// them share an interval.
    fn may_fetch_certificate(&self, now: Instant) -> bool {
        let mut next = self.next_certificate.lock().unwrap_or_else(PoisonError::into_inner);
        let may = next.is_none_or(|next| next <= now);
        if may {
            *next = Some(now + INTERVAL_OF_CERTIFICATES);
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

/// Removes the addresses that were unused for longest, down to one below the limit.
fn make_room(places: &mut HashMap<Arc<str>, Place>) {
    while places.len() >= PLACES_MAX {
        let oldest = places.iter().min_by_key(|(_, place)| place.used);
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
