//! The plugin `http`, loaded by the daemon, against a scripted server.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

const BUSY: &str = "HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
const TAKEN: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const GONE: &str = "HTTP/1.1 410 Gone\r\ncontent-length: 3\r\n\r\nbye";

struct Server {
    settings: Value,
    /// The requests, and the number of connections.
    seen: JoinHandle<(Vec<String>, usize)>,
}

impl Server {
    /// Answers that many requests, on as many connections as the client opens.
    async fn answering(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = tokio::spawn(async move {
            let (mut requests, mut connections) = (Vec::new(), 0);
            while requests.len() < answers.len() {
                let (mut stream, _) = listener.accept().await.unwrap();
                connections += 1;
                while let Some(answer) = answers.get(requests.len()) {
                    let Some(request) = request(&mut stream).await else { break };
                    requests.push(request);
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
            (requests, connections)
        });
        let headers = json!({ "authorization": format!("Bearer {SECRET}") });
        let settings = json!({ "url": format!("http://{address}/hook"), "headers": headers });
        Self { settings, seen }
    }

    fn target(&self) -> Instance {
        let plugin = catalog().load("http").unwrap();
        plugin.create("hook", &self.settings, &context(&["127.0.0.0/8"])).unwrap()
    }
}

/// A complete request; `None` if the client closed the connection first.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"}") {
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return None;
        }
    }
    Some(String::from_utf8(bytes).unwrap())
}

#[tokio::test]
async fn events_are_posted_one_by_one_over_one_connection() {
    let server = Server::answering(&[TAKEN, BUSY, GONE]).await;
    let target = server.target();
    assert_eq!(deliver(&target).await, Ok(Receipt::default()));
    let busy = deliver(&target).await.unwrap_err();
    assert_eq!((busy.kind, busy.after), (FailureKind::Retry, Some(Duration::from_secs(7))));
    let gone = deliver(&target).await.unwrap_err();
    assert_eq!(gone, failure(FailureKind::Broken, "answered 410: bye"));

    let (requests, connections) = server.seen.await.unwrap();
    assert_eq!(connections, 1);
    let id = delivery(1, "a title").event.id.to_string();
    for request in requests {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
        assert_eq!(body, "{ \"n\": 1 }");
        for field in [
            "content-type: application/json".to_owned(),
            "content-length: 10".to_owned(),
            format!("authorization: Bearer {SECRET}"),
            format!("webhook-id: {id}"),
            format!("idempotency-key: {id}"),
        ] {
            assert!(head.lines().any(|line| line == field), "{field} is not in {head}");
        }
        let stamps = head.lines().filter(|line| line.starts_with("webhook-timestamp: 1"));
        assert_eq!(stamps.count(), 1, "{head}");
    }
}

#[tokio::test]
async fn private_addresses_are_denied_unless_allowed() {
    let server = Server::answering(&[TAKEN]).await;
    let plugin = catalog().load("http").unwrap();
    let closed = plugin.create("hook", &server.settings, &context(&[])).unwrap();
    let refused = deliver(&closed).await.unwrap_err();
    assert_eq!((refused.kind, refused.maybe_sent), (FailureKind::Retry, false));
    assert!(refused.reason.contains("allow"), "{}", refused.reason);
    server.seen.abort();
}
