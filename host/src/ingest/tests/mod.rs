//! The handler without a socket. Tests that need one are in `wire`.

mod change;
mod coverage;
mod crowded;
mod heads;
mod kit;
mod limits;
mod pairs;
mod pipelined;
mod published;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;

use super::*;
use crate::model::{EventId, Request, Shape, TargetNumber, Timestamp};
use crate::normalize::{self, Input};
use crate::route::Router;
use crate::store::AppendError;
use crate::telemetry::Note;
use kit::{Chunks, Kit, SECRET, sample, signed};

#[tokio::test]
async fn a_signed_request_is_stored_whole_and_answered_with_its_ids() {
    let kit = Kit::new();
    let body =
        r#"[{"message_type": "security_event", "message": {"event_id": "e", "x": 1e400}}, 7 ]"#;
    let mut request = signed("/sqreen", body);
    request.headers_mut().insert("authorization", "Bearer hush".parse().unwrap());
    request.headers_mut().insert("x-other", "kept".parse().unwrap());
    let answer = kit.send(request).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json["accepted"], 2);
    assert_eq!(answer.json["ids"].as_array().unwrap().len(), 2);
    assert_eq!(answer.json.get("duplicates"), None);
    assert_eq!(answer.json["request"], answer.headers["x-request-id"].to_str().unwrap());
    assert_eq!(answer.headers["content-type"], "application/json");

    let stored = kit.queue.only();
    assert_eq!(
        (&*stored.source, &*stored.scheme, stored.key, stored.config),
        ("sqreen", "sqreen", 1, 77)
    );
    assert!(stored.received_at.as_millis() > 0 && stored.verified_at >= stored.received_at);
    assert_eq!(stored.headers.get("authorization"), None);
    assert_eq!(stored.headers.get("x-other"), Some("kept"));
    let [object, number] = &stored.events[..] else { panic!("two events") };
    assert_eq!(
        object.event.data,
        r#"{"message_type": "security_event", "message": {"event_id": "e", "x": 1e400}}"#
    );
    assert_eq!(object.targets, [TargetNumber(1)]);
    assert_eq!((number.event.shape, &number.targets[..]), (Shape::Other, &[][..]));
    assert!(!number.unrouted.is_empty());
}

#[tokio::test]
async fn an_event_does_not_keep_the_connections_read_buffer_alive() {
    let kit = Kit::new();
    let body = Bytes::from(sample("sqreen/test").to_owned());
    let whole = body.as_ptr_range();
    let request = kit::with_signature("/sqreen", SECRET, &body);
    assert_eq!(kit.send(request.map(|()| Chunks::of(vec![body]))).await.status, 200);
    let data = kit.queue.only().events[0].event.data.as_ptr_range();
    assert!(data.end <= whole.start || whole.end <= data.start);
}

#[tokio::test]
async fn several_chunks_are_one_body() {
    let kit = Kit::new();
    let body = sample("sqreen/security_event").as_bytes();
    let chunks = body.chunks(100).map(Bytes::copy_from_slice).collect();
    let request = kit::with_signature("/sqreen", SECRET, body);
    assert_eq!(kit.send(request.map(|()| Chunks::of(chunks))).await.status, 200);
    assert_eq!(kit.queue.only().events[0].event.data, &body[1..body.len() - 1]);
}

#[tokio::test]
async fn a_request_with_more_events_than_a_record_takes_is_stored_in_parts() {
    let record = crate::store::REQUEST_EVENTS_MAX;
    for (count, parts) in [
        (record, vec![record]),
        (record + 1, vec![record, 1]),
        (2 * record, vec![record, record]),
        (kit::EVENTS_MAX, vec![record, record, kit::EVENTS_MAX - 2 * record]),
    ] {
        let kit = Kit::new();
        let answer =
            kit.send(signed("/sqreen", &format!("[{}]", vec!["{}"; count].join(",")))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json["accepted"], count);
        assert_eq!(answer.json["ids"].as_array().map(Vec::len), Some(count));
        let stored = kit.queue.sizes();
        assert_eq!(stored, parts);
    }
}

#[tokio::test]
async fn the_health_path_says_whether_requests_are_accepted() {
    let ask = |method: Method, path: &str| {
        let request = http::Request::builder().method(method).uri(path);
        request.body(Full::new(Bytes::new())).unwrap()
    };
    let kit = Kit::new();
    for (method, path, status) in [
        (Method::GET, "/healthz", 200),
        (Method::HEAD, "/healthz?from=balancer", 200),
        (Method::POST, "/healthz", 404),
        (Method::GET, "/healthz/", 404),
    ] {
        assert_eq!(kit.send(ask(method, path)).await.status, status, "{path}");
    }
    kit.queue.set_full(true);
    assert_eq!(kit.send(ask(Method::GET, "/healthz")).await.status, 503);
    kit.queue.set_full(false);
    assert_eq!(kit.send(ask(Method::GET, "/healthz")).await.status, 200);
}

#[tokio::test]
async fn each_request_gets_the_status_that_says_what_to_change() {
    let test = sample("sqreen/test");
    let with = |method: Method, path: &str, body: &str| {
        let mut request = signed(path, body);
        *request.method_mut() = method;
        request
    };
    let many = format!("[{}]", vec!["{}"; kit::EVENTS_MAX + 1].join(","));
    for (request, status, error) in [
        (with(Method::POST, "/sqreen/", test), 200, None),
        (with(Method::POST, "/sqreen?from=dashboard", test), 200, None),
        (with(Method::POST, "/sqreen", "[]"), 200, None),
        (with(Method::POST, "/", test), 404, Some("unknown path")),
        (with(Method::POST, "/sqreen//", test), 404, Some("unknown path")),
        (with(Method::POST, "/Sqreen", test), 404, Some("unknown path")),
        (with(Method::GET, "/sqreen", ""), 405, Some("method not allowed")),
        (with(Method::HEAD, "/sqreen", ""), 405, Some("method not allowed")),
        (with(Method::OPTIONS, "/sqreen", ""), 405, Some("method not allowed")),
        (with(Method::PUT, "/sqreen", test), 405, Some("method not allowed")),
        (with(Method::POST, "/sqreen", ""), 400, Some("the body is empty")),
        (
            with(Method::POST, "/sqreen", "4567"),
            400,
            Some("the body is neither a JSON object nor an array"),
        ),
        (
            with(Method::POST, "/sqreen", "[{\"a\": "),
            400,
            Some("the JSON in the body ends too early"),
        ),
        (with(Method::POST, "/sqreen", &many), 413, Some("the body has more than 2500 elements")),
        (
            with(Method::POST, "/sqreen", &" ".repeat(kit::BODY_BYTES_MAX + 1)),
            413,
            Some("the body is longer than 20000 bytes"),
        ),
    ] {
        let kit = Kit::new();
        let shown = format!("{} {}", request.method(), request.uri());
        let answer = kit.send(request).await;
        assert_eq!(answer.status, status, "{shown}");
        assert_eq!(answer.json.get("error").and_then(|e| e.as_str()), error, "{shown}");
        assert_eq!(answer.json["request"], answer.headers["x-request-id"].to_str().unwrap());
        assert_eq!(kit.queue.count(), usize::from(status == 200), "{shown}");
        assert_eq!(answer.headers.get("allow").is_some(), status == 405, "{shown}");
        if status == 405 {
            assert_eq!(answer.headers["allow"], "POST");
        }
    }
}

#[tokio::test]
async fn the_answer_never_reveals_which_check_of_a_signature_failed() {
    let test = sample("sqreen/test");
    let good = signed("/sqreen", test).headers()["x-sqreen-integrity"].to_str().unwrap().to_owned();
    for (values, logged) in [
        (vec![], "is missing"),
        (vec![String::new()], "is empty"),
        (vec![good.clone(), good.clone()], "sent 2 times"),
        (vec![good[..43].to_owned()], "43 characters"),
        (vec![format!("sha256={good}")], "71 characters"),
        (vec!["g".repeat(64)], "hexadecimal"),
        (vec!["0".repeat(64)], "does not match"),
    ] {
        let kit = Kit::new();
        let mut feed = kit.feed.listen();
        let mut request = signed("/sqreen", test);
        request.headers_mut().remove("x-sqreen-integrity");
        for value in &values {
            request.headers_mut().append("x-sqreen-integrity", value.parse().unwrap());
        }
        let answer = kit.send(request).await;
        assert_eq!(answer.status, 401, "{values:?}");
        assert_eq!(answer.json["error"], "the signature is missing or wrong");
        assert_eq!(kit.queue.count(), 0);
        let Note::Refused { request, source, status: 401, reason } = feed.try_recv().unwrap()
        else {
            panic!("another note")
        };
        assert_eq!(
            (answer.json["request"].as_str(), source.as_deref()),
            (Some(&*request), Some("sqreen"))
        );
        assert!(reason.contains(logged) && !reason.contains(SECRET), "{reason}");
    }
}

#[tokio::test]
async fn a_request_refused_by_its_head_has_no_body_read() {
    let unread = |mut request: http::Request<()>, bytes: Option<u64>| {
        request.headers_mut().insert("expect", "100-continue".parse().unwrap());
        request.map(|()| Chunks::unreadable(bytes))
    };
    let body = sample("sqreen/test").as_bytes();
    let good = || kit::with_signature("/sqreen", SECRET, body);
    let mut unsigned = good();
    unsigned.headers_mut().clear();
    let too_long = Some(kit::BODY_BYTES_MAX as u64 + 1);
    for (request, status) in [
        (unread(good(), too_long), 413),
        (unread(unsigned, Some(10)), 401),
        (unread(kit::with_signature("/other", SECRET, body), Some(10)), 404),
    ] {
        let answer = Kit::new().send(request).await;
        assert_eq!(answer.status, status);
        // The rest may still come, so no other request can follow.
        assert_eq!(answer.headers["connection"], "close");
    }
}

#[tokio::test]
async fn a_body_that_grows_too_long_is_refused() {
    let kit = Kit::new();
    let chunk = Bytes::from(vec![b' '; kit::BODY_BYTES_MAX / 2 + 1]);
    let request = kit::with_signature("/sqreen", SECRET, b"")
        .map(|()| Chunks::of(vec![chunk.clone(), chunk]));
    let answer = kit.send(request).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["connection"]),
        (413, &http::HeaderValue::from_static("close"))
    );
    assert_eq!(kit.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_refused() {
    let kit = Kit::new();
    let request = kit::with_signature("/sqreen", SECRET, b"")
        .map(|()| Chunks::stuck(vec![Bytes::from_static(b"[")]));
    let answer = kit.send(request).await;
    assert_eq!(answer.status, 408);
    assert_eq!(answer.headers["connection"], "close");
    assert_eq!(kit.in_flight(), 0);
}

#[tokio::test]
async fn bytes_in_flight_are_bounded_over_all_requests() {
    let kit = Arc::new(Kit::new());
    kit.queue.stall(&["sqreen"]);
    let body = format!("[{}]", " ".repeat(kit::BYTES_IN_FLIGHT_MAX - 102));
    let holder = {
        let kit = Arc::clone(&kit);
        tokio::spawn(async move { kit.send(signed("/sqreen", &body)).await })
    };
    while kit.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    kit.queue.stall(&[]);
    let test = sample("sqreen/test");
    let answer = kit.send(signed("/sqreen", test)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!(kit.send(signed("/sqreen", "[]")).await.status, 200, "a small body has room");

    holder.abort();
    assert!(holder.await.unwrap_err().is_cancelled());
    assert_eq!(kit.in_flight(), 0);
    assert_eq!(kit.send(signed("/sqreen", test)).await.status, 200);
}

#[tokio::test]
async fn a_store_error_is_answered_so_that_the_sender_knows_whether_to_retry() {
    for (error, status, text) in [
        (AppendError::Overloaded, 503, "cannot store the request at the moment; try again later"),
        (
            AppendError::Disk("/data/0001.log: no space".to_owned()),
            503,
            "cannot store the request at the moment; try again later",
        ),
        (
            AppendError::Full { reason: "1MiB free for /data; free some space".to_owned() },
            503,
            "cannot store the request at the moment; try again later",
        ),
        (AppendError::Closed, 503, "cannot store the request at the moment; try again later"),
        (
            AppendError::TooLarge { bytes: 2, bytes_max: 1 },
            413,
            "the request is too large to store",
        ),
    ] {
        let kit = Kit::new();
        let full = matches!(error, AppendError::Full { .. });
        kit.queue.fail(error);
        let answer = kit.send(signed("/sqreen", sample("sqreen/test"))).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.json["error"], text);
        let after = answer.headers.get("retry-after").map(|after| after.to_str().unwrap());
        let expected = if full { "30" } else { "5" };
        assert_eq!(after, (status == 503).then_some(expected));
    }
}

#[tokio::test]
async fn repeated_events_are_accepted_and_counted() {
    let kit = Kit::new();
    kit.queue.answer(vec![EventId::new(Timestamp::from_millis(1), 2, 3)], 1);
    let answer = kit.send(signed("/sqreen", sample("sqreen/security_event"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!((&answer.json["accepted"], &answer.json["duplicates"]), (&1.into(), &1.into()));
}

#[tokio::test]
async fn the_feed_reports_stored_events_and_their_targets() {
    let kit = Kit::new();
    let mut feed = kit.feed.listen();
    let answer = kit.send(signed("/sqreen", sample("sqreen/test"))).await;
    let Note::Stored { request, source, events, .. } = feed.try_recv().unwrap() else {
        panic!("another note")
    };
    assert_eq!(answer.json["request"].as_str(), Some(&*request));
    assert_eq!(&*source, "sqreen");
    let [event] = &events[..] else { panic!("one event") };
    assert_eq!(answer.json["ids"][0].as_str(), Some(&*event.id));
    assert_eq!((&*event.title, event.severity), ("Test message from Sqreen", "info"));
    assert_eq!(event.targets, [Arc::from("log")]);
    assert_eq!(event.unrouted, [(Arc::from("pager"), "severity info is below error".to_owned())]);
}

#[tokio::test]
async fn a_listener_that_comes_while_a_request_is_stored_hears_the_ids_of_its_events() {
    let kit = Kit::new();
    let (feed, (sender, listener)) = (kit.feed.clone(), std::sync::mpsc::channel());
    kit.queue.before_append(move || sender.send(feed.listen()).unwrap());
    let answer = kit.send(signed("/sqreen", sample("sqreen/test"))).await;
    let Ok(Note::StoredUnheard { request, events }) = listener.recv().unwrap().try_recv() else {
        panic!("another note")
    };
    assert_eq!(answer.json["request"].as_str(), Some(&*request));
    assert_eq!(events, [(answer.json["ids"][0].as_str().unwrap().to_owned(), false)]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_releases_its_bytes() {
    let kit = Kit::new();
    let request = kit::with_signature("/sqreen", SECRET, b"")
        .map(|()| Chunks::stuck(vec![Bytes::from_static(b"[")]));
    let waited = tokio::time::timeout(Duration::from_millis(1), kit.send(request)).await;
    assert!(waited.is_err());
    assert_eq!(kit.in_flight(), 0);
}

#[test]
fn a_trailing_slash_makes_no_difference() {
    for (one, other, same) in [
        ("/a", "/a/", true),
        ("/a/", "/a/", true),
        ("/", "", true),
        ("/a", "/b", false),
        ("/a//", "/a", false),
    ] {
        assert_eq!(same_path(one, other), same, "{one} {other}");
    }
}

#[test]
fn debug_output_contains_no_secret() {
    let shown = format!("{:?}", Kit::new().ingest);
    assert!(shown.contains("sqreen") && !shown.contains(SECRET), "{shown}");
}

#[tokio::test]
async fn a_body_in_another_character_set_is_stored_in_utf_8_within_the_limits() {
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let windows = |euros: usize| [b"[\"", &vec![0x80; euros][..], b"\"]"].concat();
    let euros = |count: usize| format!("\"{}\"", "\u{20ac}".repeat(count));
    // Of the limit of 20,000 bytes, 4 are around the text, and each character takes three.
    let most = (kit::BODY_BYTES_MAX - 4) / 3;
    for (charset, body, events, status) in [
        ("utf-16", utf_16("[1,2]"), vec!["1".to_owned(), "2".to_owned()], 200),
        ("windows-1252", windows(2), vec![euros(2)], 200),
        ("utf-16", utf_16(&format!("[{}]", euros(3))), vec![euros(3)], 200),
        ("windows-1252", windows(most + 1), vec![], 413),
        ("utf-16", utf_16(&format!("[{}]", euros(most + 1))), vec![], 413),
    ] {
        let kit = Kit::new();
        let request = kit::with_signature("/sqreen", SECRET, &body);
        let mut request = request.map(|()| Full::new(Bytes::from(body)));
        let content_type = format!("application/json; charset={charset}");
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        let answer = kit.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{charset}: {:?}", answer.json);
        assert_eq!(kit.in_flight(), 0);
        if status != 200 {
            assert_eq!(answer.json["error"], "the body is longer than 20000 bytes in UTF-8");
            continue;
        }
        let stored = kit.queue.only();
        let data: Vec<_> = stored.events.iter().map(|planned| &planned.event.data[..]).collect();
        assert_eq!(data, events.iter().map(|event| event.as_bytes()).collect::<Vec<_>>());
        assert_eq!(stored.headers.get("content-type"), Some("application/json; charset=utf-8"));
    }
}
