//! Tables and laws of the retry rules.

use std::time::Duration;

use proptest::prelude::*;

use super::breaker::PROBE_MIN;
use super::policy::InvalidPolicy;
use super::*;
use crate::model::{Failure, FailureKind, REASON_BYTES_MAX, Receipt, Timestamp, Verdict};

const FIRST: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "no answer")
}

fn finished(number: u32, verdict: Verdict, ended_at: Timestamp) -> FinishedAttempt {
    FinishedAttempt { number, first_at: FIRST, ended_at, verdict, broken: true }
}

/// Decides without jitter about an attempt that ended `after_first_s` after the first began.
fn check(policy: &Policy, attempt: u32, after_first_s: u64, failure: Failure) -> String {
    let now = FIRST.plus(secs(after_first_s));
    shown(decide(policy, finished(attempt, Err(failure), now), 0.0), now)
}

fn shown(decision: Decision, now: Timestamp) -> String {
    match decision {
        Decision::Delivered(_) => "delivered".into(),
        Decision::RetryAt { at, .. } => format!("retry in {:?}", at.since(now)),
        Decision::Dead { reason } => format!("dead: {reason}"),
        Decision::Hold { wait, .. } => format!("hold {wait:?}"),
    }
}

#[test]
fn a_failure_is_retried_with_doubling_waits_until_the_limit() {
    let policy = Policy::default();
    for (attempt, after_first_s, expected) in [
        (1, 0, "retry in 1s"),
        (2, 1, "retry in 2s"),
        (3, 3, "retry in 4s"),
        (12, 2047, "retry in 2048s"),
        (13, 4095, "retry in 3600s"),
        (4_000_000_000, 4095, "retry in 3600s"),
        // The last attempt is made at the limit, not past it.
        (35, 86_399, "retry in 1s"),
        (36, 86_400, "dead: given up after 24h (36 attempts): no answer"),
        (36, 99_999, "dead: given up after 24h (36 attempts): no answer"),
    ] {
        let failure = failure(FailureKind::Retry);
        assert_eq!(check(&policy, attempt, after_first_s, failure), expected, "{attempt}");
    }
}

#[test]
fn the_kind_of_failure_and_the_policy_choose_what_follows() {
    let policy = Policy { attempts_max: Some(3), ..Policy::default() };
    let never_twice = Policy { maybe_sent: MaybeSent::DeadLetter, ..Policy::default() };
    let once = Policy { give_up_after: Duration::ZERO, ..Policy::default() };
    let after = |kind, s| Failure { after: Some(secs(s)), ..failure(kind) };
    let maybe_sent = |kind| Failure { maybe_sent: true, ..failure(kind) };
    for (policy, attempt, failure, expected) in [
        (&policy, 1, failure(FailureKind::Reject), "dead: no answer"),
        (&policy, 2, failure(FailureKind::Retry), "retry in 2s"),
        (
            &policy,
            3,
            failure(FailureKind::Retry),
            "dead: given up after the last attempt allowed (3 attempts): no answer",
        ),
        (&policy, 3, failure(FailureKind::Throttled), "hold None"),
        (&policy, 1, after(FailureKind::Throttled, 7), "hold Some(7s)"),
        (&policy, 1, after(FailureKind::Throttled, 999_999), "hold Some(21600s)"),
        (&policy, 3, after(FailureKind::Broken, 7), "hold None"),
        (&policy, 1, after(FailureKind::Retry, 7), "retry in 7s"),
        (&policy, 2, after(FailureKind::Retry, 1), "retry in 2s"),
        (&policy, 1, after(FailureKind::Retry, 999_999), "retry in 21600s"),
        (&policy, 1, maybe_sent(FailureKind::Retry), "retry in 1s"),
        (
            &never_twice,
            1,
            maybe_sent(FailureKind::Retry),
            "dead: may have arrived, so it is not sent again: no answer",
        ),
        (&never_twice, 1, maybe_sent(FailureKind::Throttled), "hold None"),
        (&once, 1, failure(FailureKind::Retry), "dead: given up after 0s (1 attempt): no answer"),
        (&once, 1, failure(FailureKind::Broken), "hold None"),
    ] {
        assert_eq!(check(policy, attempt, 0, failure.clone()), expected, "{failure:?}");
    }
    // Not known to be broken: the verdict of one event is a failure like any other.
    for (policy, attempt, after_first_s, expected) in [
        (&Policy::default(), 1, 0, "retry in 1s"),
        (&Policy::default(), 36, 86_400, "dead: given up after 24h (36 attempts): no answer"),
        (&policy, 3, 3, "dead: given up after the last attempt allowed (3 attempts): no answer"),
    ] {
        let now = FIRST.plus(secs(after_first_s));
        let broken = Err(failure(FailureKind::Broken));
        let attempt = FinishedAttempt { broken: false, ..finished(attempt, broken, now) };
        assert_eq!(shown(decide(policy, attempt, 0.0), now), expected);
    }
    let receipt = Receipt { id: Some("SM1".into()), fields: Vec::new() };
    let delivered = decide(&policy, finished(1, Ok(receipt.clone()), FIRST), 0.0);
    assert_eq!(delivered, Decision::Delivered(receipt));
}

#[test]
fn progress_is_handed_on_and_a_reason_keeps_its_limit() {
    let full = Failure {
        progress: b"2 of 3".to_vec(),
        reason: "é".repeat(REASON_BYTES_MAX / 2),
        ..failure(FailureKind::Retry)
    };
    let decision = decide(&Policy::default(), finished(1, Err(full.clone()), FIRST), 0.0);
    let Decision::RetryAt { progress, .. } = decision else { panic!("{decision:?}") };
    assert_eq!(progress, b"2 of 3");
    let late = FIRST.plus(secs(99_999));
    let decision = decide(&Policy::default(), finished(1, Err(full), late), 0.0);
    let Decision::Dead { reason } = decision else { panic!("{decision:?}") };
    assert!(reason.len() <= REASON_BYTES_MAX && reason.starts_with("given up"), "{reason}");
}

#[test]
fn the_schedule_doubles_to_the_longest_wait_and_ends_at_the_limit() {
    let two_hours = Policy { give_up_after: secs(7200), ..Policy::default() };
    let expected = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3105].map(secs);
    assert_eq!(schedule(&two_hours), expected);
    assert_eq!(schedule(&Policy { attempts_max: Some(3), ..Policy::default() }), [1, 2].map(secs));
    let endless = Policy { give_up_after: Duration::MAX, ..Policy::default() };
    assert_eq!(schedule(&endless).len(), SCHEDULE_WAITS_MAX);
    assert!(schedule(&Policy { give_up_after: Duration::ZERO, ..Policy::default() }).is_empty());
}

#[test]
fn a_policy_that_makes_no_sense_is_refused() {
    let default = Policy::default;
    for (policy, expected) in [
        (default(), Ok(())),
        (Policy { backoff_min: secs(7200), ..default() }, Err(InvalidPolicy::BackoffMinAboveMax)),
        (Policy { backoff_min: Duration::ZERO, ..default() }, Err(InvalidPolicy::BackoffTooShort)),
        (Policy { attempts_max: Some(0), ..default() }, Err(InvalidPolicy::NoAttempt)),
    ] {
        assert_eq!(policy.validate(), expected, "{policy:?}");
    }
}

/// Any policy, sound or not.
fn policies() -> impl Strategy<Value = Policy> {
    (0u64..100_000, 0u64..10_000_000, 0u64..100_000_000).prop_map(|(min, max, give_up)| Policy {
        backoff_min: Duration::from_millis(min),
        backoff_max: Duration::from_millis(max),
        give_up_after: Duration::from_millis(give_up),
        ..Policy::default()
    })
}

proptest! {
    #[test]
    fn a_delivery_that_always_fails_dies_at_its_limit_and_never_before(
        policy in policies(), jitter in 0.0f64..=1.0
    ) {
        let (mut now, mut wait_before) = (FIRST, Duration::ZERO);
        let limit = FIRST.plus(policy.give_up_after);
        let wait_max = policy.backoff_max.max(BACKOFF_MIN);
        // Short waits against a long limit would take for ever to play through.
        for attempt in 1..2_000 {
            let verdict = Err(failure(FailureKind::Retry));
            match decide(&policy, finished(attempt, verdict, now), jitter) {
                Decision::RetryAt { at, .. } => {
                    prop_assert!(at > now && at <= limit);
                    prop_assert!(at.since(now) <= wait_max);
                    prop_assert!(at == limit || at.since(now) >= wait_before, "waits grow");
                    wait_before = at.since(now);
                    now = at;
                }
                Decision::Dead { .. } => {
                    prop_assert_eq!(now, limit);
                    return Ok(());
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn a_schedule_lasts_as_long_as_the_limit(policy in policies()) {
        let waits = schedule(&policy);
        let total: Duration = waits.iter().sum();
        prop_assert!(total <= policy.give_up_after);
        prop_assert!(waits.len() == SCHEDULE_WAITS_MAX || total == policy.give_up_after);
    }

    #[test]
    fn no_random_number_breaks_a_decision(policy in policies(), attempt: u32, jitter: f64, now: u64) {
        let failure = failure(FailureKind::Retry);
        let now = Timestamp::from_millis(now);
        let _ = decide(&policy, finished(attempt, Err(failure), now), jitter);
    }

    #[test]
    fn a_probe_comes_within_the_longest_interval_and_a_success_ends_the_hold(
        signs in proptest::collection::vec((signs(), any::<bool>()), 0..60)
    ) {
        let (mut breaker, mut now) = (Breaker::default(), Duration::ZERO);
        for (sign, probe) in signs {
            breaker.observe(sign, probe && breaker.is_held(), now);
            if let Permit::Wait { until } = breaker.permit(now) {
                let longest = match sign { Sign::Throttled(Some(wait)) => wait, _ => PROBE_MAX };
                prop_assert!(until - now <= longest.max(secs(500)).max(BROKEN_PROBE_MAX));
                now = until;
            }
            let waits = matches!(breaker.permit(now), Permit::Wait { .. });
            prop_assert!(!waits);
        }
        breaker.observe(Sign::Alive, true, now);
        prop_assert_eq!(breaker.permit(now), Permit::All);
    }
}

fn signs() -> impl Strategy<Value = Sign> {
    prop_oneof![
        Just(Sign::Alive),
        (1u32..300).prop_map(Sign::Rejected),
        (1u32..300).prop_map(Sign::Failed),
        proptest::option::of((1u64..500).prop_map(secs)).prop_map(Sign::Throttled),
        Just(Sign::Suspected),
        Just(Sign::Broken),
    ]
}

#[test]
fn failures_in_a_row_open_the_breaker_and_probes_grow_apart() {
    let mut breaker = Breaker::default();
    for _ in 1..FAILURES_TO_OPEN {
        assert_eq!(breaker.observe(Sign::Failed(1), false, secs(0)), None);
        assert_eq!(breaker.permit(secs(0)), Permit::All);
    }
    let change = breaker.observe(Sign::Failed(1), false, secs(0));
    assert_eq!(change, Some(Change::Held(Cause::Failing)));
    let mut now = secs(0);
    for interval in [1, 2, 4, 8, 16, 32, 60, 60] {
        let until = now + secs(interval);
        assert_eq!(breaker.permit(now), Permit::Wait { until });
        assert_eq!(breaker.permit(until), Permit::Probe);
        // Calls that had begun before say nothing new.
        assert_eq!(breaker.observe(Sign::Failed(256), false, until), None);
        assert_eq!(breaker.permit(until), Permit::Probe);
        assert_eq!(breaker.observe(Sign::Failed(1), true, until), None);
        now = until;
    }
    assert_eq!(breaker.failing_for(now), Some(now));
    let change = breaker.observe(Sign::Alive, true, now);
    assert_eq!(change, Some(Change::Recovered { held_for: now }));
    assert_eq!((breaker.permit(now), breaker.failing_for(now)), (Permit::All, None));
}

#[test]
fn a_success_between_failures_keeps_the_breaker_closed() {
    let mut breaker = Breaker::default();
    for _ in 0..100 {
        breaker.observe(Sign::Failed(FAILURES_TO_OPEN - 1), false, secs(0));
        assert_eq!(breaker.observe(Sign::Alive, false, secs(0)), None);
    }
    assert!(!breaker.is_held());
}

#[test]
fn a_throttled_target_is_left_alone_for_as_long_as_it_asks() {
    let mut breaker = Breaker::default();
    let change = breaker.observe(Sign::Throttled(Some(secs(30))), false, secs(5));
    assert_eq!(change, Some(Change::Held(Cause::Throttled)));
    // Another call was under way and succeeded: the wish stands.
    assert_eq!(breaker.observe(Sign::Alive, false, secs(6)), None);
    assert_eq!(breaker.permit(secs(6)), Permit::Wait { until: secs(35) });
    assert_eq!(breaker.observe(Sign::Throttled(None), false, secs(7)), None);
    assert_eq!(breaker.permit(secs(8)), Permit::Wait { until: secs(35) });
    assert_eq!(breaker.throttled_until(), Some(secs(35)));
    assert_eq!(breaker.permit(secs(35)), Permit::Probe);
    assert!(breaker.observe(Sign::Alive, true, secs(36)).is_some());
}

#[test]
fn a_failure_after_a_throttled_time_is_not_yet_a_target_that_is_down() {
    let mut breaker = Breaker::default();
    breaker.observe(Sign::Throttled(Some(secs(2))), false, secs(0));
    for attempt in 1..FAILURES_TO_OPEN {
        let now = secs(u64::from(attempt) * 100);
        assert_eq!(breaker.observe(Sign::Failed(1), true, now), None, "{attempt}");
    }
    let change = breaker.observe(Sign::Failed(1), true, secs(1_000));
    assert_eq!(change, Some(Change::Held(Cause::Failing)));
}

#[test]
fn time_spent_broken_counts_for_nothing() {
    let mut breaker = Breaker::default();
    breaker.observe(Sign::Broken, false, secs(0));
    assert_eq!(breaker.failing_for(secs(1_000)), None);
    let change = breaker.observe(Sign::Failed(1), true, secs(1_000));
    assert_eq!(change, Some(Change::Held(Cause::Failing)));
    assert_eq!(breaker.failing_for(secs(1_010)), Some(secs(10)));
    let change = breaker.observe(Sign::Alive, true, secs(1_010));
    assert_eq!(change, Some(Change::Recovered { held_for: secs(1_010) }));
}

#[test]
fn a_suspected_target_is_probed_and_a_broken_one_rarely() {
    let mut breaker = Breaker::default();
    let change = breaker.observe(Sign::Suspected, false, secs(0));
    assert_eq!(change, Some(Change::Held(Cause::Failing)));
    assert_eq!(breaker.permit(secs(0)), Permit::Wait { until: PROBE_MIN });
    assert_eq!(breaker.observe(Sign::Suspected, false, secs(1)), None);
    let mut now = PROBE_MIN;
    let change = breaker.observe(Sign::Broken, true, now);
    assert_eq!(change, Some(Change::Held(Cause::Broken)));
    for interval in [60, 120, 240, 480, 900, 900] {
        let until = now + secs(interval);
        assert_eq!(breaker.permit(now), Permit::Wait { until });
        assert_eq!(breaker.observe(Sign::Broken, true, until), None);
        now = until;
    }
    assert_eq!((BROKEN_PROBE_MIN, BROKEN_PROBE_MAX), (secs(60), secs(900)));
    assert!(breaker.observe(Sign::Alive, true, now).is_some());
    assert_eq!(breaker.permit(now), Permit::All);
}

#[test]
fn a_run_of_rejections_opens_the_breaker_until_one_event_is_accepted() {
    let mut breaker = Breaker::default();
    for _ in 1..REJECTIONS_TO_OPEN {
        assert_eq!(breaker.observe(Sign::Rejected(1), false, secs(0)), None);
    }
    // A success ends the run.
    breaker.observe(Sign::Alive, false, secs(0));
    assert_eq!(breaker.observe(Sign::Rejected(REJECTIONS_TO_OPEN - 1), false, secs(1)), None);
    let change = breaker.observe(Sign::Rejected(1), false, secs(1));
    assert_eq!(change, Some(Change::Held(Cause::Failing)));
    // What was under way shows nothing new; a probe that is rejected waits for the next one.
    assert_eq!(breaker.observe(Sign::Rejected(7), false, secs(1)), None);
    assert_eq!(breaker.permit(secs(2)), Permit::Probe);
    assert_eq!(breaker.observe(Sign::Rejected(1), true, secs(2)), None);
    assert_eq!(breaker.permit(secs(3)), Permit::Wait { until: secs(4) });
    let change = breaker.observe(Sign::Alive, true, secs(4));
    assert_eq!(change, Some(Change::Recovered { held_for: secs(3) }));
    assert_eq!(breaker.observe(Sign::Rejected(1), false, secs(5)), None);
}

#[test]
fn a_rejection_ends_an_outage() {
    let mut breaker = Breaker::default();
    breaker.observe(Sign::Failed(FAILURES_TO_OPEN), false, secs(0));
    let change = breaker.observe(Sign::Rejected(1), true, secs(1));
    assert_eq!(change, Some(Change::Recovered { held_for: secs(1) }));
}
