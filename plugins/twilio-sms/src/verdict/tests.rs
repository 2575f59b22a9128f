//! Twilio's responses and their meaning, and arbitrary bytes.

use proptest::prelude::*;

use super::*;

const SID: &str = "SM0123456789abcdef0123456789ABCDEF";

fn failure(status: u16, body: &str) -> SendFailure {
    read(status, None, body.as_bytes(), None).unwrap_err()
}

fn error(code: u64) -> String {
    format!(
        r#"{{"code": {code}, "message": "No.", "more_info": "https://www.twilio.com/docs/errors/{code}", "status": 400}}"#
    )
}

#[test]
fn an_accepted_message_has_its_sid() {
    for (body, status, segments) in [
        (
            format!(
                r#"{{"sid": "{SID}", "status": "queued", "num_segments": "2", "error_code": null}}"#
            ),
            Some("queued"),
            Some(2),
        ),
        // With a messaging service the number of segments comes later.
        (
            format!(r#"{{"sid": "{SID}", "status": "accepted", "num_segments": "0"}}"#),
            Some("accepted"),
            None,
        ),
        (format!(r#"{{"sid": "{SID}"}}"#), None, None),
        (format!(r#"{{"sid": "{SID}", "status": 7, "num_segments": []}}"#), None, None),
        (format!(r#"{{"sid": "{SID}", "status": "two\nlines"}}"#), None, None),
    ] {
        let (sid, status) = (SID.to_owned(), status.map(str::to_owned));
        let sent = Sent { sid, cut: None, status, segments };
        assert_eq!(read(201, None, body.as_bytes(), None), Ok(sent), "{body}");
    }
}

#[test]
fn a_response_from_another_server_is_not_a_message() {
    for body in [
        "",
        "ok",
        "<html>Log in to the network</html>",
        "{}",
        "[]",
        "null",
        r#"{"sid": 7}"#,
        r#"{"sid": "SM123"}"#,
        r#"{"sid": "AC0123456789abcdef0123456789abcdef"}"#,
    ] {
        for status in [200, 201, 204] {
            let failure = failure(status, body);
            assert_eq!((failure.kind, failure.maybe_sent), (Kind::Retry, true), "{body}");
        }
    }
}

#[test]
fn a_success_counts_although_the_rest_of_the_response_is_missing() {
    let cut = Some("its body did not end in time");
    for body in ["", r#"{"status": "queued", "sid": "SM01"#] {
        let sent = read(201, None, body.as_bytes(), cut).unwrap();
        assert_eq!((sent.sid.as_str(), sent.cut.as_deref()), ("", cut), "{body}");
    }
    let whole = format!(r#"{{"sid": "{SID}"}}"#);
    assert_eq!(read(201, None, whole.as_bytes(), cut).unwrap().sid, SID);
    let failed = format!(r#"{{"sid": "{SID}", "status": "failed"}}"#);
    assert_eq!(read(201, None, failed.as_bytes(), cut).unwrap_err().kind, Kind::Reject);
    assert_eq!(read(500, None, b"", cut).unwrap_err().kind, Kind::Retry);
}

#[test]
fn a_message_that_fails_at_once_is_not_delivered() {
    for (code, kind) in [
        ("30006", Kind::Reject),
        ("\"30003\"", Kind::Reject),
        ("null", Kind::Reject),
        ("30001", Kind::Throttled),
        ("30002", Kind::Broken),
    ] {
        let body = format!(
            r#"{{"sid": "{SID}", "status": "failed", "error_code": {code}, "error_message": "Landline"}}"#
        );
        let failure = failure(201, &body);
        assert_eq!(failure.kind, kind, "{code}");
        assert!(failure.reason.contains(SID) && failure.reason.contains("failed"), "{failure:?}");
    }
}

#[test]
fn status_and_code_decide() {
    use Kind::{Broken, Reject, Retry, Throttled};
    for (status, code, expected) in [
        // The recipient or the text: never retried.
        (400, Some(21_211), Reject),
        (400, Some(21_610), Reject),
        (400, Some(21_614), Reject),
        (400, Some(21_635), Reject),
        (400, Some(21_408), Reject),
        (400, Some(21_608), Reject),
        (400, Some(21_612), Reject),
        (400, Some(21_617), Reject),
        (400, Some(21_602), Reject),
        (400, Some(30_003), Reject),
        (400, Some(30_006), Reject),
        (400, Some(99_999), Reject),
        (400, None, Reject),
        (422, None, Reject),
        (413, None, Reject),
        (415, None, Reject),
        (403, Some(21_408), Reject),
        (404, Some(21_610), Reject),
        // Perhaps a proxy, or a code that is not known: another attempt may get another answer.
        (404, None, Retry),
        (405, None, Retry),
        (406, None, Retry),
        (409, None, Retry),
        (410, None, Retry),
        (301, None, Retry),
        (307, None, Retry),
        (499, Some(1), Retry),
        // Account, credentials, sender: nothing can be sent.
        (401, Some(20_003), Broken),
        (401, None, Broken),
        (402, None, Broken),
        (403, Some(20_008), Broken),
        (403, None, Broken),
        (404, Some(20_404), Broken),
        (400, Some(20_003), Broken),
        (400, Some(21_603), Broken),
        (400, Some(21_606), Broken),
        (400, Some(21_659), Broken),
        (400, Some(21_703), Broken),
        // Too much at once.
        (429, Some(20_429), Throttled),
        (429, Some(21_211), Throttled),
        (429, None, Throttled),
        (400, Some(20_429), Throttled),
        (400, Some(14_107), Throttled),
        (400, Some(21_611), Throttled),
        (403, Some(63_038), Throttled),
        // Twilio has a fault; a code changes nothing.
        (408, None, Retry),
        (425, None, Retry),
        (500, Some(20_500), Retry),
        (500, Some(21_211), Retry),
        (500, Some(20_003), Retry),
        (502, None, Retry),
        (503, None, Retry),
        (504, None, Retry),
        (599, None, Retry),
        (100, None, Retry),
        (0, None, Retry),
        (700, None, Retry),
    ] {
        let body = code.map_or_else(String::new, error);
        let failure = failure(status, &body);
        assert_eq!(failure.kind, expected, "{status} {code:?}");
        assert_eq!(failure.maybe_sent, matches!(status, 502 | 504), "{status} {code:?}");
    }
}

#[test]
fn a_requested_wait_is_used_where_waiting_helps() {
    let wait = Some(Duration::from_secs(2));
    for (status, code, expected) in [
        (429, 20_429, wait),
        (503, 20_503, wait),
        (400, 14_107, wait),
        (400, 21_211, None),
        (401, 20_003, None),
    ] {
        let failure = read(status, wait, error(code).as_bytes(), None).unwrap_err();
        assert_eq!(failure.after, expected, "{status} {code}");
    }
    assert_eq!(failure(400, &error(14_107)).after, Some(Duration::from_secs(30)));
    assert_eq!(failure(429, "").after, None);
}

#[test]
fn a_reason_has_code_words_and_link() {
    let invalid_number = r#"{"code": 21211, "message": "The 'To' number +1 is not a valid phone number.", "more_info": "https://www.twilio.com/docs/errors/21211", "status": 400}"#;
    let new_form = r#"{"type": "https://www.twilio.com/docs/api/errors/20001", "title": "Bad", "status": 400, "code": "20001", "detail": "No such field."}"#;
    for (status, body, expected) in [
        (
            400,
            invalid_number,
            "Twilio answered 400, code 21211: The 'To' number +1 is not a valid phone number. \
             (https://www.twilio.com/docs/errors/21211)",
        ),
        (
            400,
            new_form,
            "Twilio answered 400, code 20001: No such field. \
             (https://www.twilio.com/docs/api/errors/20001)",
        ),
        (
            400,
            r#"{"code": 21610}"#,
            "Twilio answered 400, code 21610 (https://www.twilio.com/docs/errors/21610)",
        ),
        (
            400,
            r#"{"code": 21610, "more_info": "https://evil.example/"}"#,
            "Twilio answered 400, code 21610 (https://www.twilio.com/docs/errors/21610)",
        ),
        (503, r#"{"message": "two\n lines\u0000 x"}"#, "Twilio answered 503: two lines x"),
        (502, "<html>Bad gateway</html>", "Twilio answered 502 without a reason"),
        (404, "", "Twilio answered 404 without a reason; check account_sid and api_base"),
    ] {
        assert_eq!(failure(status, body).reason, expected);
    }
}

#[test]
fn what_was_sent_is_not_repeated() {
    // "AC…:token" in base64, as the header of the request has it.
    let basic = "QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpodW50ZXIyaHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg==";
    let reason = failure(400, &format!(r#"{{"message": "you sent Basic {basic} to us"}}"#)).reason;
    assert_eq!(reason, "Twilio answered 400: you sent Basic […] to us");
    assert!(!failure(500, &format!("authorization: Basic {basic}")).reason.contains("QUM"));
}

#[test]
fn huge_and_deeply_nested_responses_are_ignored() {
    let long = format!(r#"{{"code": 21211, "message": "{}"}}"#, "x ".repeat(ANSWER_BYTES_MAX));
    assert_eq!(failure(400, &long).reason, "Twilio answered 400 without a reason");
    let wordy = format!(r#"{{"code": 21211, "message": "{}"}}"#, "word ".repeat(1000));
    assert!(failure(400, &wordy).reason.chars().count() < 500);
    failure(400, &"[".repeat(ANSWER_BYTES_MAX));
    failure(201, &r#"{"sid":"#.repeat(5000));
}

proptest! {
    #[test]
    fn any_response_is_read_without_a_panic(
        status in any::<u16>(),
        body in prop_oneof![
            any::<Vec<u8>>(),
            r#"\{"(sid|code|message|more_info|status|error_code)": ?("[^"]{0,200}"|-?[0-9.e]{1,30}|null|\[\]|\{\})\}"#
                .prop_map(String::into_bytes),
        ],
    ) {
        if let Err(failure) = read(status, None, &body, None) {
            prop_assert!(failure.reason.len() < 1024, "{}", failure.reason);
            prop_assert!(!failure.reason.chars().any(char::is_control), "{}", failure.reason);
        }
    }
}
