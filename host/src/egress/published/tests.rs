//! When keys are fetched, with a fetch that is counted and a clock that is moved.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::advance;

use crate::verify::KeyKind;

use super::*;

const KEY: &str = r#"{"kty":"EC","crv":"P-256","kid":"one","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY","y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}"#;
const PLACE: &str = "https://keys.example.org/set";

/// What a fetch gives.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    Keys,
    Failure,
    NoKeys,
    Never,
}

struct Server {
    given: Mutex<Given>,
    fetches: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Server {
    fn start(given: Given) -> (Arc<Self>, Arc<PublishedKeys>) {
        let server = Arc::new(Self {
            given: Mutex::new(given),
            fetches: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&server);
        let keys = PublishedKeys::with(Box::new(move |_, _| {
            let server = Arc::clone(&shared);
            server.fetches.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                let running = server.running.fetch_add(1, Ordering::SeqCst) + 1;
                server.most.fetch_max(running, Ordering::SeqCst);
                let given = *server.given.lock().unwrap();
                let time = if given == Given::Never { 1_000_000 } else { 1 };
                tokio::time::sleep(Duration::from_secs(time)).await;
                server.running.fetch_sub(1, Ordering::SeqCst);
                match given {
                    Given::Failure => Err("it answered 500".to_owned()),
                    Given::NoKeys => Ok(Bytes::from_static(b"{\"keys\":[]}")),
                    _ => Ok(Bytes::from(format!("{{\"keys\":[{KEY}]}}"))),
                }
            })
        }));
        (server, Arc::new(keys))
    }

    fn gives(&self, given: Given) {
        *self.given.lock().unwrap() = given;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

fn key(id: &str) -> KeyWanted {
    KeyWanted { place: PLACE.into(), id: id.to_owned(), kind: KeyKind::Set }
}

async fn get(keys: &Arc<PublishedKeys>, id: &str) -> Result<Arc<KeySet>, KeyMissing> {
    keys.get(&key(id), &Arc::default(), Asker::ALONE).await
}

#[tokio::test(start_paused = true)]
async fn keys_that_do_not_exist_cause_one_fetch_in_each_interval() {
    let (server, keys) = Server::start(Given::Keys);
    // This one was fetched for the request: the key does not exist.
    assert!(!get(&keys, "forged").await.unwrap().has("forged"));
    for round in 1..=3 {
        for number in 0..1_000 {
            let missing = get(&keys, &format!("forged-{number}")).await.unwrap_err();
            assert!(missing.reason.contains("not among those that were fetched"), "{missing}");
            assert!(missing.wait <= INTERVAL && !missing.wait.is_zero());
            assert!(!missing.is_failure, "a stranger causes no error of ours");
            assert!(get(&keys, "one").await.is_ok(), "others are served");
        }
        assert_eq!(server.fetches(), round);
        advance(INTERVAL).await;
        assert!(!get(&keys, "forged").await.unwrap().has("forged"));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_at_once_wait_for_one_fetch_and_not_more_than_the_limit() {
    let (server, keys) = Server::start(Given::Keys);
    let asked = |id: &'static str| {
        let keys = Arc::clone(&keys);
        tokio::spawn(async move { get(&keys, id).await })
    };
    let right: Vec<_> = (0..WAITING_MAX).map(|_| asked("one")).collect();
    tokio::task::yield_now().await;
    let late = asked("one").await.unwrap().unwrap_err();
    assert!(late.reason.starts_with("too many requests wait already"), "{late}");
    for waiting in right {
        assert!(waiting.await.unwrap().unwrap().has("one"));
    }
    assert_eq!(server.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_joined_a_fetch_is_not_refused_for_good() {
    let (_, keys) = Server::start(Given::Keys);
    let first = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { get(&keys, "one").await }
    });
    tokio::task::yield_now().await;
    let joined = get(&keys, "newer").await.unwrap_err();
    assert!(joined.reason.contains("fetched again later"), "{joined}");
    assert!(first.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn old_keys_are_used_while_they_cannot_be_fetched_but_not_for_ever() {
    let (server, keys) = Server::start(Given::Keys);
    get(&keys, "one").await.unwrap();
    server.gives(Given::Failure);
    advance(REFRESH_AFTER).await;
    let before = server.fetches();
    for _ in 0..100 {
        // At once: the refresh is in the background.
        assert!(get(&keys, "one").await.is_ok());
    }
    advance(Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    assert_eq!(server.fetches(), before + 1);
    let missing = get(&keys, "newer").await.unwrap_err();
    assert!(missing.reason.contains("it answered 500"), "{missing}");
    advance(KEYS_AGE_MAX - REFRESH_AFTER - Duration::from_secs(10)).await;
    assert!(get(&keys, "one").await.is_ok());
    advance(Duration::from_secs(10)).await;
    let missing = get(&keys, "one").await.unwrap_err();
    assert!(missing.reason.contains("it answered 500"), "{missing}");
    server.gives(Given::Keys);
    advance(INTERVAL_AFTER_FAILURE).await;
    assert!(get(&keys, "one").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_ours_and_is_repeated_after_its_own_interval() {
    for (given, reason) in [
        (Given::Failure, "it answered 500"),
        (Given::NoKeys, "none of its keys can be used"),
        (Given::Never, "no whole answer within 5 s"),
    ] {
        let (server, keys) = Server::start(given);
        for round in 1..=3 {
            for _ in 0..100 {
                let missing = get(&keys, "one").await.unwrap_err();
                assert!(missing.reason.contains(reason), "{missing}");
                assert!(missing.reason.contains(PLACE) && missing.is_failure, "{missing}");
            }
            assert_eq!(server.fetches(), round, "{reason}");
            advance(INTERVAL_AFTER_FAILURE).await;
        }
        server.gives(Given::Keys);
        assert!(get(&keys, "one").await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn few_fetches_run_at_once_and_the_addresses_that_are_kept_are_bounded() {
    let (server, keys) = Server::start(Given::Keys);
    for number in 0..PLACES_MAX + 100 {
        let place = format!("https://keys.example.org/{number}").into();
        let wanted = KeyWanted { place, id: "one".to_owned(), kind: KeyKind::Set };
        let keys = Arc::clone(&keys);
        tokio::spawn(async move { keys.get(&wanted, &Arc::default(), Asker::ALONE).await });
    }
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert_eq!(server.most.load(Ordering::SeqCst), FETCHES_MAX);
    assert_eq!(keys.places().len(), PLACES_MAX);
}

/// A certificate of Amazon that may exist.
fn certificate(number: usize) -> KeyWanted {
    let place =
        format!("https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{number}.pem");
    KeyWanted { place: place.into(), id: String::new(), kind: KeyKind::Certificate }
}

fn from(address: &str) -> Asker {
    Asker { address: address.parse().unwrap(), ..Asker::ALONE }
}

#[tokio::test(start_paused = true)]
async fn certificates_that_do_not_exist_keep_out_no_one_else() {
    const REAL: usize = 77;
    let pem = include_str!("../../../../tests/fixtures/certificate-of-the-tests.pem");
    let real = certificate(REAL);
    let (place, fetches) = (Arc::clone(&real.place), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&fetches);
    let keys = Arc::new(PublishedKeys::of(move |url| {
        counted.fetch_add(1, Ordering::SeqCst);
        match url {
            PLACE => Ok(Bytes::from(format!("{{\"keys\":[{KEY}]}}"))),
            url if *url == *place => Ok(Bytes::from_static(pem.as_bytes())),
            _ => Err("it answered 404".to_owned()),
        }
    }));
    assert!(get(&keys, "one").await.is_ok());
    // One network has many addresses.
    let forge = async |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let asker = from(&format!("2001:db8::{:x}", number % 50_000));
            let wanted = certificate(1_000 + number);
            let missing = keys.get(&wanted, &Arc::default(), asker).await.unwrap_err();
            assert!(!missing.wait.is_zero());
        }
    };
    forge(0..3 * PLACES_MAX).await;
    assert_eq!(fetches.load(Ordering::SeqCst), 2, "one of them");
    // A sender elsewhere is served at once.
    advance(INTERVAL_OF_CERTIFICATES).await;
    let sender = from("192.0.2.1");
    assert!(keys.get(&real, &Arc::default(), sender).await.is_ok());
    // What is here stays here, however many others are named, and however long it is not used.
    for round in 1..=PLACES_MAX {
        forge(round * 10_000..round * 10_000 + 3).await;
        advance(INTERVAL_OF_ASKER).await;
    }
    let before = fetches.load(Ordering::SeqCst);
    assert!(keys.places().len() <= PLACES_MAX);
    assert!(get(&keys, "one").await.is_ok());
    assert!(keys.get(&real, &Arc::default(), sender).await.is_ok());
    assert_eq!(fetches.load(Ordering::SeqCst), before, "nothing was fetched again");
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_hold_few_bytes() {
    let (_, keys) = Server::start(Given::Never);
    let ask = |bytes| {
        let (keys, asker) = (Arc::clone(&keys), Asker { bytes, bytes_max: 1_000, ..Asker::ALONE });
        tokio::spawn(async move { keys.get(&key("one"), &Arc::default(), asker).await })
    };
    // One alone waits however long it is.
    let first = ask(900);
    tokio::task::yield_now().await;
    let second = ask(100);
    tokio::task::yield_now().await;
    let late = ask(1).await.unwrap().unwrap_err();
    assert!(late.reason.starts_with("too many requests wait already"), "{late}");
    for waited in [first, second] {
        assert!(waited.await.unwrap().unwrap_err().reason.contains("no whole answer"));
    }
    let alone = ask(5_000);
    tokio::task::yield_now().await;
    assert_eq!(keys.waiting.lock().unwrap().bytes, 0, "the interval after a failure");
    assert!(alone.await.unwrap().is_err());
    advance(INTERVAL_AFTER_FAILURE).await;
    let alone = ask(5_000);
    tokio::task::yield_now().await;
    assert_eq!(keys.waiting.lock().unwrap().bytes, 5_000);
    assert!(alone.await.unwrap().is_err());
    assert_eq!(keys.waiting.lock().unwrap().requests, 0);
}
