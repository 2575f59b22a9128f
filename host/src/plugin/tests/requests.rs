//! What a plugin uses the host for: HTTP, waiting, blocking work, logs, counters.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server that accepts one connection, reads the request, responds and closes.
async fn server(answer: &'static str) -> (Value, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = posting(listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (settings, task)
}

fn posting(address: std::net::SocketAddr) -> Value {
    json!({ "act": "post", "url": format!("http://{address}/hook"), "token": SECRET })
}

#[tokio::test]
async fn a_request_is_sent_and_its_response_comes_back() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nthere";
    let (settings, server) = server(answer).await;
    let verdict = deliver(&create("each", &settings).unwrap()).await.unwrap();
    assert_eq!(verdict.fields, [("body".to_owned(), "there".to_owned())]);
    let request = server.await.unwrap();
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer t\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{ \"n\": 1 }"), "{request}");
}

#[tokio::test]
async fn a_status_becomes_a_verdict() {
    use FailureKind::{Broken, Throttled};
    let wait = "HTTP/1.1 429 No\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let (settings, _server) = server(wait).await;
    let throttled = deliver(&create("each", &settings).unwrap()).await.unwrap_err();
    assert_eq!((throttled.kind, throttled.after), (Throttled, Some(Duration::from_secs(7))));

    let refused = "HTTP/1.1 401 No\r\ncontent-length: 20\r\n\r\nwho is s3cret-token?";
    let (settings, _server) = server(refused).await;
    let broken = deliver(&create("each", &settings).unwrap()).await.unwrap_err();
    assert_eq!(broken, failure(Broken, "answered 401: who is ***?"));
}

#[tokio::test]
async fn the_plugin_learns_whether_bytes_were_sent() {
    let (settings, _server) = server("").await;
    let cut = deliver(&create("each", &settings).unwrap()).await.unwrap_err();
    assert!(cut.maybe_sent, "{cut:?}");

    // A port that was free a moment ago refuses the connection.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let instance = create("each", &json!({ "act": "post", "url": url })).unwrap();
    let refused = deliver(&instance).await.unwrap_err();
    assert!(!refused.maybe_sent && refused.kind == FailureKind::Retry, "{refused:?}");
}

#[tokio::test]
async fn denied_addresses_need_allow() {
    let plugin = catalog().load("test-each").unwrap();
    let settings = json!({ "act": "post", "url": "http://127.0.0.1:9/" });
    let instance = plugin.create("a-target", &settings, &context(&[])).unwrap();
    let failure = deliver(&instance).await.unwrap_err();
    assert!(!failure.maybe_sent && failure.reason.contains("127.0.0.1"), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_before_its_delivery_does() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = posting(listener.local_addr().unwrap());
    // The clock is paused while a blocking task runs, and jumps once the request has arrived.
    let server = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert_ne!(std::io::Read::read(&mut stream, &mut [0; 4096]).unwrap(), 0);
        stream
    });
    let instance = create("each", &settings).unwrap();
    let failure = deliver(&instance).await.unwrap_err();
    assert!(failure.maybe_sent && failure.reason.contains("127.0.0.1"), "{failure:?}");
    drop(server.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_may_poll_on_its_own_thread() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nthere";
    let (mut settings, _server) = server(answer).await;
    settings["act"] = "post-on-own-thread".into();
    let verdict = deliver(&create("each", &settings).unwrap()).await.unwrap();
    assert_eq!(verdict.fields, [("body".to_owned(), "there".to_owned())]);
}

#[tokio::test]
async fn a_plugin_can_sleep_and_run_blocking_work() {
    assert_eq!(deliver(&acting("sleep")).await, receipt("slept"));
    let id = delivery(1, "a title").event.id.to_string().to_lowercase();
    assert_eq!(deliver(&acting("blocking")).await, receipt(&id));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_past_its_deadline_is_dropped_as_maybe_sent() {
    let failure = deliver(&acting("sleep-for-ever")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Retry);
    assert!(failure.maybe_sent);
}

#[tokio::test]
async fn a_blocking_job_outlives_its_delivery() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("go on");
    let instance = create("each", &json!({ "act": "block-until-file", "file": file })).unwrap();
    let deadline = Instant::now() + Duration::from_millis(10);
    let verdict = instance.deliver(&[delivery(1, "a title")], deadline).await.remove(0);
    assert!(verdict.unwrap_err().maybe_sent);
    assert!(instance.counters().is_empty());
    assert_eq!(instance.left_jobs(), 1, "it keeps its slot");
    std::fs::write(file, "").unwrap();
    while !instance.counters().contains_key("jobs_done") || instance.left_jobs() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_plugin_that_blocks_a_thread_is_logged() {
    let (log, _guard) = Log::capture();
    deliver(&acting("block-the-thread")).await.unwrap();
    let log = log.text();
    assert!(log.contains("WARN") && log.contains("to=\"a-target\""), "{log}");
    assert!(log.contains("blocks a thread"), "{log}");
}

#[tokio::test]
async fn a_plugin_can_neither_forge_a_log_line_nor_log_a_secret() {
    let (log, _guard) = Log::capture();
    deliver(&acting("log")).await.unwrap();
    let text = log.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("token ***\\nforged line"), "{text}");
    let fields = r#"plugin_fields="{\"n\":\"1\",\"token\":\"***\"}""#;
    assert!(text.contains(fields) && text.contains("to=\"a-target\""), "{text}");
}

#[tokio::test]
async fn counters_are_bounded_in_number() {
    let instance = acting("count");
    deliver(&instance).await.unwrap();
    let counters = instance.counters();
    assert_eq!(counters.len(), 32);
    assert_eq!(counters["counter_0"], 6);
    assert!(!counters.contains_key("no good name"));
}
