//! Messages that a target refuses because of one of their events. Time is virtual, except on the real engine.

use std::collections::BTreeSet;

use super::super::DigestSettings;
use super::held::{begin, until};
use super::*;
use crate::model::Digest;
use crate::retry::REJECTIONS_TO_OPEN;
use crate::store::contract::{append, planned, register};
use crate::store::embedded::{self, Embedded};

/// Refuses every message with one of these events, and keeps what it was given.
struct Picky {
    refuses: BTreeSet<u64>,
    with: FailureKind,
    given: Mutex<Vec<(Vec<u64>, bool)>>,
}

impl Backend for Picky {
    fn deliver<'a>(&'a self, _: &'a [Delivery], _: Instant) -> BoxFuture<'a, Vec<Verdict>> {
        unreachable!("every call is a message")
    }

    fn deliver_digest<'a>(&'a self, digest: &'a Digest, _: Instant) -> BoxFuture<'a, Vec<Verdict>> {
        let numbers: Vec<u64> =
            digest.sample.iter().map(|delivery| delivery.event.id.number()).collect();
        let refused = numbers.iter().any(|number| self.refuses.contains(number));
        self.given.lock().unwrap().push((numbers, refused));
        let verdict = match refused {
            true => Err(Failure::new(self.with, "answered 4xx")),
            false => Ok(Receipt::default()),
        };
        Box::pin(async move { vec![verdict] })
    }

    fn one_by_one(&self) -> bool {
        false
    }
}

/// A target that refuses these events of a digest, after this time.
async fn digest_of(
    numbers: std::ops::Range<u64>,
    refuses: &[u64],
    with: FailureKind,
    policy: Policy,
    time: Duration,
) -> (Arc<Memory>, Vec<(Vec<u64>, bool)>) {
    let refuses = refuses.iter().copied().collect();
    let backend = Arc::new(Picky { refuses, with, given: Mutex::default() });
    let queue = Memory::with_holds();
    let later = numbers.end..numbers.end + 2;
    queue.put(A, numbers);
    let digest = Some(DigestSettings { every: secs(300), by: Vec::new() });
    let settings = Settings { digest, policy, ..target(A) };
    let deliverer = start(&queue, vec![(settings, backend.clone())]);
    sleep(secs(400)).await;
    queue.put(A, later);
    sleep(time).await;
    deliverer.stop(GRACE).await;
    let given = backend.given.lock().unwrap().clone();
    (queue, given)
}

#[tokio::test(start_paused = true)]
async fn only_the_event_that_is_refused_becomes_a_dead_letter() {
    // An attempt that only halved a message does not count.
    let policy = Policy { attempts_max: Some(1), ..Policy::default() };
    for refuses in [&[5][..], &[0], &[15], &[3, 4, 11]] {
        let (queue, given) =
            digest_of(0..16, refuses, FailureKind::Reject, policy.clone(), secs(400)).await;
        let settled = queue.settled(A);
        assert_eq!(settled["dead"], refuses.len(), "{given:?}");
        assert_eq!(settled["delivered"], 18 - refuses.len(), "{given:?}");
        assert_eq!(queue.depth(A).pending, 0);
        assert_eq!(queue.reasons(), vec!["answered 4xx"; refuses.len()]);
        let mut taken: Vec<u64> =
            given.iter().filter(|(_, refused)| !refused).flat_map(|(of, _)| of.clone()).collect();
        taken.sort_unstable();
        let good: Vec<u64> = (0..18).filter(|number| !refuses.contains(number)).collect();
        assert_eq!(taken, good, "each once");
        // A halving takes two messages.
        let halvings = refuses.len() * 4;
        assert!(given.len() <= 2 + 2 * halvings, "{given:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_with_an_event_that_a_firewall_refuses_is_halved_once_others_are_accepted() {
    let (queue, given) =
        digest_of(0..16, &[5], FailureKind::Broken, Policy::default(), secs(3 * 3_600)).await;
    let first_taken = given.iter().position(|(_, refused)| !refused).unwrap();
    assert!(given[..first_taken].iter().all(|(of, _)| of.len() == 16), "whole: {given:?}");
    assert_eq!(queue.settled(A)["delivered"], 17, "{given:?}");
    assert_eq!(queue.depth(A).pending, 1, "the refused one is tried again");
    assert_eq!(queue.held(A), None);
}

#[tokio::test(start_paused = true)]
async fn many_refusals_in_a_row_do_not_end_the_halving_of_a_target_that_has_accepted_something() {
    let bad = (1..17).filter(|number| number % 2 == 0);
    let backend = Arc::new(Picky {
        refuses: bad.collect(),
        with: FailureKind::Reject,
        given: Mutex::default(),
    });
    let queue = Memory::with_holds();
    queue.put(A, 0..1);
    let digest = Some(DigestSettings { every: secs(300), by: Vec::new() });
    let deliverer = start(&queue, vec![(Settings { digest, ..target(A) }, backend.clone())]);
    sleep(secs(400)).await;
    // More refusals than open the breaker come before the first single event.
    queue.put(A, 1..17);
    sleep(secs(12 * 3_600)).await;
    deliverer.stop(GRACE).await;
    let given = backend.given.lock().unwrap().clone();
    let settled = queue.settled(A);
    assert_eq!((settled["dead"], settled["delivered"]), (8, 9), "{given:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_refuses_everything_gets_few_messages() {
    let all: Vec<u64> = (0..40).collect();
    let (_, given) =
        digest_of(0..16, &all, FailureKind::Broken, Policy::default(), secs(3_600)).await;
    assert!(given.iter().all(|(of, _)| matches!(of.len(), 2 | 16 | 18)), "{given:?}");
    let (queue, given) =
        digest_of(0..20, &all, FailureKind::Reject, Policy::default(), secs(3_600)).await;
    assert_eq!((queue.settled(A)["dead"], queue.depth(A).pending), (22, 0));
    // Until that is known, and one message for each that was left.
    assert!(given.len() <= 2 * REJECTIONS_TO_OPEN as usize + 1, "{given:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_keeps_the_halves_of_a_message_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Embedded::open(embedded::Settings::new(folder.path())).unwrap();
    let queue = open();
    let a = register(&*queue, &["a"]).await[0];
    let ids = append(&*queue, (0..16).map(|n| planned(n.to_string(), &[a])).collect()).await;
    let backend = |refuses: &[EventId]| {
        let refuses = refuses.iter().map(|id| id.number()).collect();
        Arc::new(Picky { refuses, with: FailureKind::Reject, given: Mutex::default() })
    };
    let digest = Some(DigestSettings { every: secs(3_600), by: Vec::new() });
    let settings = Settings { digest, ..target(a) };
    // It refuses all until it has refused both halves.
    let (first, feed) = (backend(&ids), Feed::default());
    let deliverer = begin(&queue, settings.clone(), first.clone(), &feed);
    until("the halves", || first.given.lock().unwrap().len() >= 3).await;
    deliverer.stop(GRACE).await;
    queue.close().await.unwrap();
    drop(queue);

    let queue = open();
    let second = backend(&ids[5..6]);
    let deliverer = begin(&queue, settings, second.clone(), &feed);
    until("all of them", || queue.depth(a).pending == 0).await;
    let given = second.given.lock().unwrap().clone();
    assert!(given.iter().all(|(of, _)| of.len() < 16), "never whole again: {given:?}");
    let mut taken: Vec<u64> =
        given.iter().filter(|(_, no)| !no).flat_map(|(of, _)| of.clone()).collect();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(queue.depth(a).dead + taken.len() as u64, 16, "{given:?}");
    deliverer.stop(GRACE).await;
    queue.close().await.unwrap();
}
