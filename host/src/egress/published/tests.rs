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
    keys.get(&key(id), &Arc::default()).await
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
        tokio::spawn(async move { keys.get(&wanted, &Arc::default()).await });
    }
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert_eq!(server.most.load(Ordering::SeqCst), FETCHES_MAX);
    assert_eq!(keys.places().len(), PLACES_MAX);
}
