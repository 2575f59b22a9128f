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

fn send_failure(kind: Kind, after_s: Option<u64>, maybe_sent: bool) -> SendFailure {
    SendFailure {
        kind,
        reason: "no".to_owned(),
        after: after_s.map(Duration::from_secs),
        maybe_sent,
    }
}

#[test]
fn the_worst_failure_is_the_verdict() {
    use Kind::{Broken, Reject, Retry, Throttled};
    let two_s = Duration::from_secs(2);
    let two = "2 of 3 recipients failed: to +1: no; to +2: no";
    for (failed, expected) in [
        ([(Reject, None, false), (Reject, None, false)], Failure::reject(two)),
        ([(Reject, None, false), (Retry, None, true)], Failure::retry(two).maybe_sent()),
        ([(Retry, Some(1), false), (Retry, Some(2), false)], Failure::retry(two).after(two_s)),
        ([(Retry, None, false), (Throttled, Some(2), false)], Failure::throttled(two, Some(two_s))),
        ([(Retry, None, false), (Throttled, None, false)], Failure::throttled(two, None)),
        ([(Retry, None, false), (Broken, None, false)], Failure::broken(two)),
    ] {
        let failed: Vec<_> = ["+1", "+2"]
            .into_iter()
            .zip(failed.map(|(kind, after, maybe_sent)| send_failure(kind, after, maybe_sent)))
            .collect();
        assert_eq!(failure(&failed, 3, b"12345678".to_vec()), expected.progress(*b"12345678"));
    }
}

#[test]
fn many_reasons_are_shortened() {
    let failed: Vec<_> = (0..100).map(|_| ("+1", send_failure(Kind::Retry, None, false))).collect();
    let reason = failure(&failed, 100, Vec::new()).to_string();
    assert!(reason.ends_with("to +1: no; and 97 more") && reason.len() < 200, "{reason}");
    assert_eq!(failure(&failed[..1], 1, Vec::new()).to_string(), "to +1: no");
}

#[test]
fn a_receipt_has_the_sid_of_every_message() {
    let sent = |sid: &str, segments| Sent {
        sid: sid.to_owned(),
        cut: None,
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
fn an_event_without_visible_text_is_sent_as_its_type_and_id() {
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
fn the_sids_of_a_partly_failed_call_are_logged() {
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

#[test]
fn a_probe_reads_the_account_and_sends_nothing() {
    const ACTIVE: &str =
        r#"{"sid": "AC0123456789abcdef0123456789abcdef", "status": "active", "type": "Full"}"#;
    const SUSPENDED: &str =
        r#"{"sid": "AC0123456789abcdef0123456789abcdef", "status": "suspended"}"#;
    for (status, body, expected) in [
        (200, ACTIVE, "Ok"),
        (200, SUSPENDED, "Broken: the account is suspended"),
        (200, "<html>log in</html>", "Broken: 200 was answered, but not by Twilio's API"),
        (401, r#"{"code": 20003}"#, "Broken: Twilio answered 401, code 20003"),
        (404, "", "check account_sid and api_base"),
        (503, "", "Retry: Twilio answered 503"),
    ] {
        let host = TestHost::new();
        host.answer(status, body);
        let verdict = testing::probe(&target(&host, &["+33612345678"])).unwrap();
        let shown = match verdict {
            Ok(_) => "Ok".to_owned(),
            Err(failure) => format!("{failure:?}: {failure}"),
        };
        let parts = expected.split(": ").map(str::to_owned);
        assert!(parts.into_iter().all(|part| shown.contains(&part)), "{expected}: {shown}");
        let request = &host.requests()[0];
        assert_eq!((request.method.as_str(), &request.body[..]), ("GET", &b""[..]));
        assert!(request.url.ends_with("/Accounts/AC0123456789abcdef0123456789abcdef.json"));
    }
}

#[test]
fn a_probe_with_an_api_key_reads_the_list_of_messages() {
    let settings = json!({
        "account_sid": "AC0123456789abcdef0123456789abcdef",
        "api_key": "SK0123456789abcdef0123456789abcdef",
        "api_key_secret": "hunter2hunter2",
        "from": "Acme",
        "to": "+33612345678",
    });
    let host = TestHost::new();
    let target: TwilioSms = host.create(settings).unwrap();
    host.answer(200, r#"{"messages": []}"#);
    assert_eq!(testing::probe(&target), Some(Ok(Receipt::none())));
    // A restricted key may send and not read.
    host.answer(403, r#"{"code": 20003}"#);
    assert_eq!(testing::probe(&target), None);
    host.answer(401, r#"{"code": 20003}"#);
    assert!(testing::probe(&target).is_some_and(|verdict| verdict.is_err()));
    let list = "/Accounts/AC0123456789abcdef0123456789abcdef/Messages.json?PageSize=1";
    assert!(host.requests().iter().all(|request| request.url.ends_with(list)));
}
