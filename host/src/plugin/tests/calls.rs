//! The verdicts of a plugin, whatever it does.

use super::*;

#[tokio::test]
async fn the_plugin_gets_every_attribute_of_an_event() {
    let settings = json!({ "act": "describe", "file": "logs/a", "to": ["https://a", "https://b"] });
    let instance = create("each", &settings).unwrap();
    let mut second = delivery(1, "a title");
    second.attempt = 2;
    let verdict = instance.deliver(&[second.clone()], soon()).await.remove(0).unwrap();
    assert_eq!(verdict.id, Some(second.event.id.to_string()));
    let fields: Vec<_> = verdict.fields.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(
        fields,
        [
            "source=sqreen",
            "type=incident",
            "subject=None",
            "time=Some(\"2021-02-08\")",
            "title=a title",
            "message=a title",
            "link=Some(\"https://example.org/\")",
            "severity=error",
            "attempt=2",
            "received_at=2021-02-08T12:45:00.363Z",
            "header=Some(\"r1\")",
            "missing=None",
            "data={ \"n\": 1 }",
            "file=Some(LocalPath(\"/srv/home/logs/a\"))",
            "urls=2",
        ]
    );
}

#[tokio::test]
async fn each_kind_of_verdict_comes_back_unchanged() {
    use FailureKind::{Broken, Reject, Retry, Throttled};
    let hour = Some(Duration::from_secs(3600));
    let retry = Failure { after: hour, maybe_sent: true, ..failure(Retry, "later") };
    let throttled = Failure { after: hour, ..failure(Throttled, "too fast") };
    let price = ("price".to_owned(), "7".to_owned());
    let nasty = ("nasty\\n".to_owned(), "\\u{1b}[2J".to_owned());
    let receipt = Receipt { id: Some("SM1".to_owned()), fields: vec![price, nasty] };
    for (act, expected) in [
        ("receipt", Ok(receipt)),
        ("retry", Err(retry)),
        ("reject", Err(failure(Reject, "never"))),
        ("throttled", Err(throttled)),
        ("broken", Err(failure(Broken, "no such account"))),
    ] {
        assert_eq!(deliver(&acting(act)).await, expected, "{act}");
    }
}

#[tokio::test]
async fn progress_comes_back_at_the_next_attempt() {
    let instance = acting("progress");
    let failed = deliver(&instance).await.unwrap_err();
    assert_eq!((failed.reason.as_str(), &failed.progress[..]), ("half", &b"\0half\xff"[..]));
    let again = Delivery { progress: failed.progress, ..delivery(1, "a title") };
    let verdict = instance.deliver(&[again], soon()).await.remove(0);
    assert_eq!(verdict, receipt("[0, 104, 97, 108, 102, 255]"));
}

#[tokio::test]
async fn progress_that_is_too_long_or_contains_a_secret_is_dropped() {
    for act in ["long-progress", "secret-progress"] {
        assert_eq!(deliver(&acting(act)).await.unwrap_err().progress, b"", "{act}");
    }
}

#[tokio::test]
async fn reasons_are_one_short_line() {
    let long = deliver(&acting("long-reason")).await.unwrap_err().reason;
    assert!(long.len() <= 1024 && long.len() > 1000 && long.ends_with('…'), "{}", long.len());
    let nasty = deliver(&acting("nasty-reason")).await.unwrap_err().reason;
    assert_eq!(nasty, "a\\u{0}b\\nc\\u{1b}[31m\\u{202e}d\\u{2028}");
}

#[tokio::test]
async fn secrets_are_masked_in_receipts_errors_and_panics() {
    let (log, _guard) = Log::capture();
    let verdict = deliver(&acting("secret-everywhere")).await.unwrap();
    assert_eq!(format!("{verdict:?}").matches("***").count(), 3);
    let panic = deliver(&acting("panic-at-once")).await.unwrap_err().reason;
    assert_eq!(panic, "the plugin panicked: bomb at once, ***");
    for act in ["refuse-settings", "panic-in-create"] {
        let invalid = create("each", &json!({ "act": act, "token": SECRET })).unwrap_err();
        assert!(!format!("{invalid:?}").contains(SECRET) && invalid.reason.contains("***"));
    }
    assert!(log.text().contains("bomb in create, ***") && !log.text().contains(SECRET));
}

#[tokio::test]
async fn a_panic_is_a_retry_with_its_text_and_a_log_line_with_its_location() {
    for (act, text) in [
        ("panic-at-once", "bomb at once"),
        ("panic-after-await", "bomb after an await"),
        ("panic-in-blocking", "bomb in blocking"),
    ] {
        let (log, _guard) = Log::capture();
        let instance = acting(act);
        for _ in 0..2 {
            let failure = deliver(&instance).await.unwrap_err();
            assert_eq!(failure.kind, FailureKind::Retry);
            assert!(failure.maybe_sent);
            assert!(failure.reason.starts_with(&format!("the plugin panicked: {text}")));
        }
        // The blocking one happens on a thread whose log is not captured.
        if act != "panic-in-blocking" {
            let log = log.text();
            assert!(log.contains("ERROR") && log.contains(text), "{log}");
            assert!(log.contains(r#"\"panicked_at\":\"tests/plugins/each/src/lib.rs:"#), "{log}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn panics_in_drops_stay_in_the_plugin() {
    let (log, _guard) = Log::capture();
    let verdict = deliver(&acting("panic-in-future-drop")).await.unwrap_err();
    assert_eq!(verdict.reason, "no answer before the attempt timed out");
    assert!(verdict.maybe_sent);
    drop(acting("panic-in-drop"));
    assert_eq!(log.text().matches("bomb in a drop").count(), 2, "{}", log.text());
}

#[tokio::test]
async fn a_panic_in_create_refuses_the_target() {
    let invalid = create("each", &json!({ "act": "panic-in-create" })).unwrap_err();
    assert_eq!(invalid.reason, "the plugin panicked: bomb in create, ");
}

#[tokio::test]
async fn invalid_settings_name_their_key() {
    for (settings, path, reason) in [
        (json!({ "act": "refuse-settings" }), "to[1]", "\\nis refused"),
        (json!({ "act": "describe", "fill": 1 }), "fill", "unknown field `fill`, expected one of"),
        (json!({}), "", "missing field `act`"),
        (json!({ "act": "describe", "to": ["https://a", "ftp://b"] }), "to[1]", "https://"),
        (json!({ "act": "describe", "to": 7 }), "to", "invalid type: integer `7`"),
        (json!({ "act": "sing" }), "act", "unknown variant `sing`"),
        (json!(7), "", "invalid type"),
    ] {
        let invalid = create("each", &settings).unwrap_err();
        assert_eq!(invalid.path, path, "{invalid}");
        assert!(
            invalid.reason.contains(reason) && !invalid.reason.contains(" at line "),
            "{invalid}"
        );
    }
}

#[tokio::test]
async fn many_events_of_an_each_plugin_are_delivered_one_by_one() {
    let instance = acting("describe");
    let deliveries = [delivery(1, "one"), delivery(2, "two")];
    let verdicts = instance.deliver(&deliveries, soon()).await;
    let ids: Vec<_> = verdicts.into_iter().map(|verdict| verdict.unwrap().id.unwrap()).collect();
    assert_eq!(ids, deliveries.map(|delivery| delivery.event.id.to_string()));
    assert!(instance.deliver(&[], soon()).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn events_delivered_before_the_deadline_stay_delivered() {
    let instance = acting("sleep-for-ever");
    let verdicts = instance.deliver(&[delivery(1, "a"), delivery(2, "b")], soon()).await;
    let maybe: Vec<_> = verdicts.iter().map(|v| v.as_ref().unwrap_err().maybe_sent).collect();
    assert_eq!(maybe, [true, false]);
}

#[tokio::test]
async fn a_batch_answers_for_each_event_in_order() {
    let instance = create("batch", &json!({ "act": "each" })).unwrap();
    let deliveries = [delivery(1, "one"), delivery(2, "bad"), delivery(3, "three")];
    let verdicts = instance.deliver(&deliveries, soon()).await;
    let request = vec![("request".to_owned(), "r1".to_owned())];
    let good = |id: &str| Ok(Receipt { id: Some(id.to_owned()), fields: request.clone() });
    assert_eq!(verdicts, [good("one"), Err(failure(FailureKind::Reject, "bad")), good("three")]);
    let instance = create("batch", &json!({ "act": "all" })).unwrap();
    let full = Err(failure(FailureKind::Retry, "full"));
    assert_eq!(instance.deliver(&deliveries, soon()).await, vec![full; 3]);
}

#[tokio::test]
async fn after_a_wrong_number_of_verdicts_all_events_are_retried() {
    let deliveries = [delivery(1, "one"), delivery(2, "two"), delivery(3, "three")];
    for (act, given) in [("too-few", 2), ("too-many", 6), ("none", 0)] {
        let instance = create("batch", &json!({ "act": act })).unwrap();
        let reason = format!("the plugin returned {given} verdicts for 3 events");
        let retry = Failure { maybe_sent: true, ..failure(FailureKind::Retry, &reason) };
        assert_eq!(instance.deliver(&deliveries, soon()).await, vec![Err(retry); 3], "{act}");
    }
}

#[tokio::test]
async fn a_digest_is_one_message_with_one_key_and_one_verdict() {
    let instance = create("together", &json!({})).unwrap();
    let (a, b) = (delivery(1, "first"), delivery(2, "second"));
    let both = instance.deliver(&[a.clone(), b.clone()], soon()).await;
    assert_eq!(both[0], both[1]);
    let receipt = both[0].clone().unwrap();
    let field = |receipt: &Receipt, key: &str| {
        receipt.fields.iter().find(|(name, _)| name == key).unwrap().1.clone()
    };
    assert_eq!(field(&receipt, "message"), "first (+1 more)");
    assert_eq!(field(&receipt, "count"), "2");
    assert_eq!(field(&receipt, "ids"), format!("{} {}", a.event.id, b.event.id));

    let key_of = |verdicts: Vec<Verdict>| verdicts[0].clone().unwrap().id.unwrap();
    let swapped = instance.deliver(&[b.clone(), a.clone()], soon()).await;
    assert_eq!(key_of(swapped), key_of(both));
    let alone = instance.deliver(std::slice::from_ref(&a), soon()).await;
    assert_ne!(key_of(alone.clone()), receipt.id.unwrap());
    assert_eq!(field(&alone[0].clone().unwrap(), "message"), "first");
}

#[tokio::test]
async fn progress_of_a_digest_belongs_to_its_whole_set() {
    let failing = create("together", &json!({ "fail": true })).unwrap();
    let fresh = [delivery(1, "first"), delivery(2, "second")];
    let failed = failing.deliver(&fresh, soon()).await;
    assert!(failed.iter().all(|verdict| verdict.as_ref().unwrap_err().progress == b"half"));

    let telling = create("together", &json!({})).unwrap();
    let half = |delivery: &Delivery| Delivery { progress: b"half".to_vec(), ..delivery.clone() };
    let progress = async |deliveries: &[Delivery]| {
        let receipt = telling.deliver(deliveries, soon()).await.remove(0).unwrap();
        receipt.fields.last().unwrap().1.clone()
    };
    assert_eq!(progress(&[half(&fresh[0]), half(&fresh[1])]).await, "[104, 97, 108, 102]");
    assert_eq!(progress(&[half(&fresh[0]), fresh[1].clone()]).await, "[]");
}

#[tokio::test]
async fn a_probe_comes_back_as_given_and_a_plugin_without_one_cannot_tell() {
    assert_eq!(acting("receipt").probe(soon()).await, Some(receipt("open")));
    assert_eq!(acting("describe").probe(soon()).await, None);
    let together = create("together", &json!({})).unwrap();
    assert_eq!(together.probe(soon()).await, None);
}

#[tokio::test]
async fn a_probe_is_guarded_like_a_delivery() {
    let broken = Err(failure(FailureKind::Broken, "*** was refused"));
    assert_eq!(acting("secret-in-reason").probe(soon()).await, Some(broken));
    let panicked = Err(failure(FailureKind::Retry, "the plugin panicked: bomb in probe, ***"));
    assert_eq!(acting("panic-at-once").probe(soon()).await, Some(panicked));
}

#[tokio::test(start_paused = true)]
async fn a_probe_ends_at_its_deadline() {
    let late = acting("sleep-for-ever").probe(soon()).await.unwrap().unwrap_err();
    assert!(late.kind == FailureKind::Retry && !late.maybe_sent, "{late:?}");
}
