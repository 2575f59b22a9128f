//! Many recipients, one verdict.

use std::time::Duration;

use dispatcher_plugin_api::testing::{self, TestEvent, TestHost};

use super::*;

const TAKEN: &str = r#"{"sid": "SM0123456789abcdef0123456789abcdef", "status": "accepted"}"#;

/// A target that sends to these numbers.
fn target(host: &TestHost, to: &[&str]) -> TwilioSms {
    let settings = json!({
        "account_sid": "AC0123456789abcdef0123456789abcdef",
        "auth_token": "hunter2hunter2",
        "messaging_service_sid": "MG0123456789abcdef0123456789abcdef",
        "to": to,
    });
    host.create(settings).unwrap()
}

fn refusal(kind: Kind, after_s: Option<u64>, maybe_sent: bool) -> Refusal {
    Refusal { kind, reason: "no".to_owned(), after: after_s.map(Duration::from_secs), maybe_sent }
}

#[test]
fn the_worst_failure_is_the_verdict() {
    use Kind::{Broken, Reject, Retry, Throttled};
    let two_s = Duration::from_secs(2);
    let two = "2 of 3 recipients failed: to +1: no; to +2: no";
    for (refused, expected) in [
        ([(Reject, None, false), (Reject, None, false)], Failure::reject(two)),
        ([(Reject, None, false), (Retry, None, true)], Failure::retry(two).maybe_sent()),
        ([(Retry, Some(1), false), (Retry, Some(2), false)], Failure::retry(two).after(two_s)),
        ([(Retry, None, false), (Throttled, Some(2), false)], Failure::throttled(two, Some(two_s))),
        ([(Retry, None, false), (Throttled, None, false)], Failure::throttled(two, None)),
        ([(Retry, None, false), (Broken, None, false)], Failure::broken(two)),
    ] {
        let refused: Vec<_> = ["+1", "+2"]
            .into_iter()
            .zip(refused.map(|(kind, after, maybe_sent)| refusal(kind, after, maybe_sent)))
            .collect();
        assert_eq!(failure(&refused, 3, b"12345678".to_vec()), expected.progress(*b"12345678"));
    }
}

#[test]
fn many_reasons_are_not_told_in_full() {
    let refused: Vec<_> = (0..100).map(|_| ("+1", refusal(Kind::Retry, None, false))).collect();
    let reason = failure(&refused, 100, Vec::new()).to_string();
    assert!(reason.ends_with("to +1: no; and 97 more") && reason.len() < 200, "{reason}");
    assert_eq!(failure(&refused[..1], 1, Vec::new()).to_string(), "to +1: no");
}

#[test]
fn a_receipt_has_the_sid_of_every_message() {
    let sent = |sid: &str, segments| Sent {
        sid: sid.to_owned(),
        status: Some("queued".to_owned()),
        segments,
    };
    assert_eq!(receipt(&[], 1), Receipt::none());
    assert_eq!(
        receipt(&[("+1", sent("SM1", None)), ("+2", sent("SM2", Some(3)))], 2),
        Receipt::id("SM1")
            .with("to", "+1")
            .with("segments", 2)
            .with("status", "queued")
            .with("+2", "SM2")
    );
}

#[test]
fn an_event_that_shows_nothing_is_told_by_its_type_and_id() {
    let host = TestHost::new();
    host.answer(201, TAKEN);
    let event = TestEvent::new("{}").title("\u{200b}");
    let verdict = testing::together(&target(&host, &["+33612345678"]), &[event]);
    let receipt = Receipt::id("SM0123456789abcdef0123456789abcdef");
    let receipt = receipt.with("to", "+33612345678").with("segments", 1);
    assert_eq!(verdict, Ok(receipt.with("status", "accepted")));
    let form = "To=%2B33612345678&MessagingServiceSid=MG0123456789abcdef0123456789abcdef\
                &Body=test%2001TESTTESTTESTTESTTESTTEST";
    assert_eq!(host.requests()[0].body, form.as_bytes());
}

#[test]
fn the_sids_of_a_call_that_failed_in_part_stand_in_the_log() {
    let host = TestHost::new();
    host.answer(201, TAKEN);
    host.fail(HttpError::NotSent("no such host".to_owned()));
    let target = target(&host, &["+33612345678", "+33612345679"]);
    let failure = testing::together(&target, &[TestEvent::new("{}")]).unwrap_err();
    let reason = "1 of 2 recipients failed: to +33612345679: no such host";
    assert_eq!(failure.to_string(), reason);
    let line = "message sent, but not to all recipients to=+33612345678 \
                sid=SM0123456789abcdef0123456789abcdef";
    assert_eq!(host.lines(), [line]);
}
