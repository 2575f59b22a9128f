//! Windows, groups, and retried messages.

use std::sync::Arc;

use super::*;
use crate::model::{Attributes, Headers, Severity};

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const EVERY: Duration = Duration::from_secs(300);

fn secs(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn delivery(number: u64, title: &str, received: Timestamp) -> Delivery {
    let event = StoredEvent {
        id: EventId::new(START, 1, number),
        source: "sqreen".into(),
        received_at: received,
        headers: Arc::new(Headers::default()),
        attributes: Attributes {
            event_type: "test".into(),
            subject: None,
            time: None,
            title: title.into(),
            severity: Severity::Info,
            link: None,
        },
        data: "{}".into(),
    };
    Delivery { event: Arc::new(event), attempt: 1, first_attempt_at: None, progress: Vec::new() }
}

fn digests(by: &[Attribute]) -> Digests {
    Digests::new(DigestSettings { every: EVERY, by: by.to_vec() })
}

/// Messages, and until when the others wait.
fn gather(
    digests: &mut Digests,
    list: Vec<Delivery>,
    now: Timestamp,
) -> (Vec<Message>, Vec<Timestamp>) {
    let mut gathered = Gathered::default();
    digests.gather(&mut gathered, list, now);
    let waiting = std::mem::take(&mut gathered.waiting);
    let until = waiting.into_iter().filter_map(|settlement| match settlement.outcome {
        Outcome::Wait { until } => Some(until),
        _ => None,
    });
    (gathered.into_messages(), until.collect())
}

#[test]
fn the_first_message_is_sent_at_once_and_then_one_per_period() {
    let mut digests = digests(&[]);
    let (sets, _) = gather(&mut digests, vec![delivery(0, "a", secs(0))], secs(1));
    assert_eq!((sets.len(), sets[0].digest.count), (1, 1));
    assert_eq!(sets[0].window.until, secs(300), "from when the event was received");
    let later =
        |from: u64| (from..from + 40).map(|n| delivery(n, "a", secs(n))).collect::<Vec<_>>();
    let (sets, waiting) = gather(&mut digests, later(1), secs(60));
    assert!(sets.is_empty());
    assert_eq!(waiting, vec![secs(300); 40]);
    let (sets, _) = gather(&mut digests, later(1), secs(300));
    assert_eq!(
        (sets.len(), sets[0].digest.count, sets[0].digest.sample.len()),
        (1, 40, SAMPLE_MAX)
    );
    assert_eq!(sets[0].window.until, secs(600), "from the end of the one before");
    // After a silence the next one goes at once.
    let (sets, _) = gather(&mut digests, vec![delivery(99, "a", secs(5_000))], secs(5_000));
    assert_eq!((sets.len(), sets[0].window.until), (1, secs(5_300)));
}

#[test]
fn a_backlog_is_one_message_and_the_next_follows_a_period_later() {
    let mut digests = digests(&[]);
    let old = (0..50).map(|n| delivery(n, "a", secs(n))).collect();
    let (sets, _) = gather(&mut digests, old, secs(10_000));
    assert_eq!((sets.len(), sets[0].window.until), (1, secs(10_300)));
    let (sets, waiting) = gather(&mut digests, vec![delivery(60, "a", secs(50))], secs(10_001));
    assert!(sets.is_empty() && waiting == [secs(10_300)]);
}

#[test]
fn each_group_has_its_own_window() {
    let mut digests = digests(&[Attribute::Title]);
    let list =
        vec![delivery(0, "a", secs(0)), delivery(1, "b", secs(0)), delivery(2, "a", secs(0))];
    let (sets, _) = gather(&mut digests, list, secs(0));
    let mut counts: Vec<_> = sets.iter().map(|set| set.digest.count).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2]);
    let (sets, waiting) =
        gather(&mut digests, vec![delivery(3, "c", secs(1)), delivery(4, "b", secs(1))], secs(1));
    assert_eq!((sets.len(), waiting.len()), (1, 1));
}

#[test]
fn a_failed_message_is_retried_with_its_members_key_and_progress() {
    let mut digests = digests(&[]);
    let list: Vec<_> = (0..30).map(|n| delivery(n, "a", secs(0))).collect();
    let (sets, _) = gather(&mut digests, list.clone(), secs(0));
    let set = &sets[0];
    let mut back = Vec::new();
    for (mut delivery, settlement) in
        list.into_iter().zip(set.retry(secs(2), "no answer", (b"", b"half")))
    {
        let Outcome::Retry { at, reason, progress } = settlement.outcome else { panic!() };
        assert_eq!((at, settlement.event), (secs(2), delivery.event.id));
        assert!(reason.contains("no answer"));
        (delivery.attempt, delivery.progress) = (2, progress);
        delivery.first_attempt_at = Some(secs(0));
        back.push(delivery);
    }
    back.push(delivery(77, "a", secs(1)));
    let (again, waiting) = gather(&mut digests, back, secs(2));
    assert_eq!((again.len(), waiting), (1, vec![secs(300)]), "a new event does not join");
    let again = &again[0];
    assert_eq!(again.digest.key, set.digest.key);
    assert_eq!(again.members, set.members);
    assert_eq!((again.digest.count, again.digest.progress.as_slice()), (30, b"half".as_slice()));
    assert_eq!((again.attempt, again.window.until), (2, secs(300)));
    assert!(again.digest.sample.iter().all(|delivery| delivery.progress.is_empty()));
}

#[test]
fn a_message_that_was_not_attempted_opens_no_window() {
    let mut digests = digests(&[]);
    let (sets, _) = gather(&mut digests, vec![delivery(0, "a", secs(0))], secs(0));
    assert_eq!(digests.cancel(&sets[0]).len(), 1);
    let (sets, _) = gather(&mut digests, vec![delivery(0, "a", secs(0))], secs(1));
    assert_eq!(sets.len(), 1);
}

#[test]
fn a_restart_keeps_the_window_and_a_clock_set_back_does_not_keep_it_open() {
    let mut digests = digests(&[]);
    let (sets, _) = gather(&mut digests, vec![delivery(0, "a", secs(0))], secs(0));
    let mut restarted = self::digests(&[]);
    restarted.restore(vec![sets[0].window], secs(0));
    let (sets, waiting) = gather(&mut restarted, vec![delivery(1, "a", secs(9))], secs(9));
    assert!(sets.is_empty() && waiting == [secs(300)]);
    let long_ago = Timestamp::from_millis(1_600_000_000_000);
    let (sets, _) = gather(&mut restarted, vec![delivery(2, "a", long_ago)], long_ago);
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0].window.until, long_ago.plus(EVERY));
    for back in [1, 3_600, 86_400, 365 * 86_400] {
        let (mut restarted, now) = (self::digests(&[]), secs(400_000_000));
        let until = now.plus(EVERY + Duration::from_secs(back));
        restarted.restore(vec![Window { group: sets[0].window.group, until }], now);
        let (sets, waiting) = gather(&mut restarted, vec![delivery(3, "a", now)], now);
        assert!(sets.is_empty() && waiting == [now.plus(EVERY)], "{back}: no longer than a period");
    }
}

#[test]
fn groups_and_the_events_of_a_message_are_bounded() {
    let mut digests = digests(&[Attribute::Title]);
    let many = 0..GROUPS_MAX as u64 + 10;
    let list = many.map(|n| delivery(n, &n.to_string(), secs(0))).collect();
    let (sets, _) = gather(&mut digests, list, secs(0));
    assert_eq!(sets.len(), GROUPS_MAX + 1);
    let mut digests = self::digests(&[]);
    let list = (0..DIGEST_EVENTS_MAX as u64 + 5).map(|n| delivery(n, "a", secs(0))).collect();
    let (sets, waiting) = gather(&mut digests, list, secs(0));
    assert_eq!((sets[0].members.len(), waiting.len()), (DIGEST_EVENTS_MAX, 5));
}
