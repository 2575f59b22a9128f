//! Held targets and messages on the real engine, in real time.

use super::*;
use crate::retry::BROKEN_EVENTS;
use crate::store::HoldKind;
use crate::store::contract::{append, planned, register};
use crate::store::embedded::{self, Embedded};

pub(super) fn begin(
    queue: &Arc<Embedded>,
    settings: Settings,
    backend: Arc<dyn Backend>,
    feed: &Feed,
) -> Deliverer {
    let queue: Arc<dyn Queue> = Arc::clone(queue) as _;
    Deliverer::start(&Handle::current(), queue, vec![(settings, backend)], feed.clone())
}

pub(super) async fn until(what: &str, mut probe: impl FnMut() -> bool) {
    let asked = Instant::now();
    while !probe() {
        assert!(asked.elapsed() < secs(60), "no {what} within 60 s");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_target_is_held_across_a_restart_until_a_person_resumes_it() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Embedded::open(embedded::Settings::new(folder.path())).unwrap();
    let (queue, feed) = (open(), Feed::default());
    let a = register(&*queue, &["a"]).await[0];
    append(&*queue, (0..20).map(|n| planned(n.to_string(), &[a])).collect()).await;
    let broken = Scripted::each(|_| Act::Fail(FailureKind::Broken, None));
    let settings = Settings { concurrency: 1, ..target(a) };
    let deliverer = begin(&queue, settings.clone(), broken.clone(), &feed);
    until("the hold", || queue.held(a).is_some()).await;
    let hold = queue.held(a).unwrap();
    assert_eq!((hold.kind, hold.reason.as_str()), (HoldKind::Broken, "no answer"));
    let alarms = feed.alarms().next().await;
    let kinds: Vec<_> = alarms.iter().map(|alarm| alarm.kind).collect();
    assert!(kinds.contains(&crate::telemetry::AlarmKind::TargetBroken), "{kinds:?}");
    deliverer.stop(GRACE).await;
    let calls = broken.count();
    queue.close().await.unwrap();
    drop(queue);

    let queue = open();
    let fixed = Scripted::each(|_| Act::Take);
    let deliverer = begin(&queue, settings, fixed.clone(), &feed);
    append(&*queue, vec![planned("later", &[a])]).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!((fixed.count(), calls), (0, BROKEN_EVENTS), "held");
    assert_eq!(queue.depth(a).pending, 21);
    queue.hold(a, None).await.unwrap();
    until("all of them", || queue.depth(a).pending == 0).await;
    assert_eq!((fixed.count(), queue.depth(a).dead), (21, 0));
    deliverer.stop(GRACE).await;
    queue.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_digest_is_retried_whole_and_other_events_wait_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Embedded::open(embedded::Settings::new(folder.path())).unwrap();
    let a = register(&*queue, &["a"]).await[0];
    /// Fails first, and keeps what it was given.
    #[derive(Default)]
    struct Messages(Mutex<Vec<crate::model::Digest>>);
    impl Backend for Messages {
        fn deliver<'a>(&'a self, _: &'a [Delivery], _: Instant) -> BoxFuture<'a, Vec<Verdict>> {
            unreachable!("every call is a message")
        }
        fn deliver_digest<'a>(
            &'a self,
            digest: &'a crate::model::Digest,
            _: Instant,
        ) -> BoxFuture<'a, Vec<Verdict>> {
            let mut given = self.0.lock().unwrap();
            given.push(digest.clone());
            let retry = Failure::new(FailureKind::Retry, "later");
            let failure = Failure { progress: b"half".to_vec(), ..retry };
            let receipt = Receipt { id: Some("SM1".into()), fields: Vec::new() };
            let verdict = if given.len() == 1 { Err(failure) } else { Ok(receipt) };
            Box::pin(async move { vec![verdict] })
        }
        fn one_by_one(&self) -> bool {
            false
        }
    }
    append(&*queue, (0..300).map(|n| planned(n.to_string(), &[a])).collect()).await;
    let backend = Arc::new(Messages::default());
    let digest = Some(super::super::DigestSettings { every: secs(3), by: Vec::new() });
    let settings = Settings { digest, ..target(a) };
    let deliverer = begin(&queue, settings, backend.clone(), &Feed::default());
    until("the first call", || !backend.0.lock().unwrap().is_empty()).await;
    append(&*queue, (0..50).map(|n| planned(format!("x{n}"), &[a])).collect()).await;
    until("all of them", || queue.depth(a).pending == 0).await;
    let given = backend.0.lock().unwrap().clone();
    let counts: Vec<u64> = given.iter().map(|digest| digest.count).collect();
    assert_eq!(counts, [300, 300, 50]);
    assert_eq!(given[0].key, given[1].key);
    assert_ne!(given[1].key, given[2].key);
    assert_eq!(
        (given[0].progress.as_slice(), given[1].progress.as_slice()),
        (&b""[..], &b"half"[..])
    );
    assert_eq!(given[1].sample.len(), super::super::digest::SAMPLE_MAX);
    assert_eq!(given[1].sample[0].attempt, 2);
    deliverer.stop(GRACE).await;
    queue.close().await.unwrap();
}
