//! Senders that prove themselves with keys that they publish: the keys come from a server on this machine.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};

use crate::harness::{Answer, Daemon, exits, wait_for};

const KEY: &str = include_str!("../fixtures/rsa-key-of-the-tests.pem");

fn url64(bytes: &[u8]) -> String {
    dispatcher_model::base64::encode(bytes, dispatcher_model::base64::URL).replace('=', "")
}

/// The key of the issuer.
fn key() -> RsaKeyPair {
    let pem = &KEY[KEY.find("-----BEGIN").unwrap()..];
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    // The daemon reads the same form, so any decoder does.
    let letters = text.trim_end_matches('=').bytes().map(|letter| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    });
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for letter in letters {
        (held, bits) = (held << 6 | u32::from(letter), bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 255).unwrap());
        }
    }
    RsaKeyPair::from_pkcs8(&bytes).unwrap()
}

fn published(id: &str) -> Value {
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(key().public());
    json!({ "kty": "RSA", "kid": id, "alg": "RS256", "use": "sig", "n": url64(&n), "e": url64(&e) })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The header with a token of these claims and the usual times.
fn bearer(id: &str, claims: &Value) -> String {
    let mut claims = claims.clone();
    claims["iat"] = json!(now());
    claims["exp"] = json!(now() + 3_600);
    let head = json!({ "alg": "RS256", "kid": id, "typ": "JWT" });
    let [head, claims] = [head, claims].map(|part| url64(part.to_string().as_bytes()));
    let signed = format!("{head}.{claims}");
    let mut signature = vec![0; key().public().modulus_len()];
    let random = SystemRandom::new();
    key().sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
    format!("Bearer {signed}.{}", url64(&signature))
}

/// A server whose answer to every request can be changed.
struct KeyServer {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
}

impl KeyServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::default(),
            asked: Arc::default(),
            ends: Arc::default(),
        };
        server.gives("200 OK", "", &json!({ "keys": [published("one")] }).to_string());
        let (answer, asked, ends) =
            (Arc::clone(&server.answer), Arc::clone(&server.asked), Arc::clone(&server.ends));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                asked.fetch_add(1, Ordering::SeqCst);
                let answer = answer.lock().unwrap().clone();
                // The daemon may have given up.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        server
    }

    fn gives(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        *self.answer.lock().unwrap() = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
        );
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(self.address);
    }
}

const PUBSUB: &str = r#"{"message":{"attributes":{"eventType":"OBJECT_FINALIZE","objectId":"db.tar"},"data":"e30=","messageId":"20704","publishTime":"2026-01-15T09:31:00Z"},"subscription":"projects/p/subscriptions/s"}"#;
const BLOB: &str = r#"[{"topic":"/t","subject":"/blobs/db.tar","eventType":"Microsoft.Storage.BlobCreated","id":"831e1650","data":{},"eventTime":"2026-01-15T09:30:00Z"}]"#;
const VALIDATION: &str = r#"[{"id":"2d1781af","topic":"/t","subject":"","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6","validationUrl":"https://example.org/validate"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2026-01-15T09:30:00Z"}]"#;
const EVENT_GRID: &str = "4962773b-9cdb-44cf-a8bf-237846a00ab7";

fn pubsub() -> Value {
    json!({
        "iss": "https://accounts.google.com", "aud": "https://hooks.example.org/google-pubsub",
        "email": "push@p.iam.gserviceaccount.com", "email_verified": true,
    })
}

fn event_grid() -> Value {
    json!({ "iss": "https://sts.windows.net/tenant/", "aud": "api://hooks", "appid": EVENT_GRID })
}

fn started(server: &KeyServer) -> Daemon {
    let keys =
        format!("keys_url = \"http://{}/keys\"\nkeys_allow = \"127.0.0.1\"\n", server.address);
    let google = "scheme = \"google-pubsub\"\naudience = \"https://hooks.example.org/google-pubsub\"\n\
                  claims.email = \"push@p.iam.gserviceaccount.com\"";
    let azure = "scheme = \"azure-event-grid\"\naudience = \"api://hooks\"\nissuer = \"https://sts.windows.net/tenant/\"";
    Daemon::new()
        .source_table("google-pubsub", &format!("{keys}{google}"))
        .source_table("azure-event-grid", &format!("{keys}{azure}"))
        .log("audit-log")
        .start()
}

fn post(daemon: &Daemon, path: &str, authorization: &str, body: &str) -> Answer {
    let headers = [("authorization", authorization.as_bytes())];
    daemon.client().send("POST", path, &headers, body.as_bytes()).unwrap()
}

#[test]
fn events_with_a_token_of_their_issuer_are_accepted_and_no_others() {
    let server = KeyServer::start();
    let daemon = started(&server);
    let google = "/google-pubsub";
    for (path, claims, body) in
        [(google, pubsub(), PUBSUB), ("/azure-event-grid", event_grid(), BLOB)]
    {
        let answer = post(&daemon, path, &bearer("one", &claims), body);
        assert_eq!((answer.status, &answer.json()["accepted"]), (200, &json!(1)), "{answer:?}");
        // Another token, the same event.
        let again = post(&daemon, path, &bearer("one", &claims), body);
        assert_eq!((again.status, &again.json()["duplicates"]), (200, &json!(1)), "{again:?}");
    }
    assert_eq!(server.asked(), 1, "both sources have the same address");
    let asked = post(&daemon, "/azure-event-grid", &bearer("one", &event_grid()), VALIDATION);
    let expected = json!({ "validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6" });
    assert_eq!((asked.status, asked.json()), (200, expected));
    let unproved = post(&daemon, "/azure-event-grid", "Bearer x", VALIDATION);
    assert_eq!(unproved.status, 401);
    for (name, value) in [
        ("aud", "https://hooks.example.org/other"),
        ("email", "attacker@other.iam.gserviceaccount.com"),
        ("iss", "https://attacker.example"),
    ] {
        let mut claims = pubsub();
        claims[name] = json!(value);
        let answer = post(&daemon, google, &bearer("one", &claims), PUBSUB);
        assert_eq!(answer.status, 401, "{name}");
        assert_eq!(answer.json()["error"], "the signature is missing or wrong");
    }
    let mut other_app = event_grid();
    other_app["appid"] = json!("11111111-1111-1111-1111-111111111111");
    assert_eq!(post(&daemon, "/azure-event-grid", &bearer("one", &other_app), BLOB).status, 401);
    assert_eq!(daemon.client().send("POST", google, &[], b"{}").unwrap().status, 401);
    let lines = wait_for("both events", || {
        Some(daemon.log_lines("audit-log")).filter(|lines| lines.len() == 2)
    });
    let mut shown: Vec<String> = lines
        .iter()
        .map(|line| format!("{} | {} | {}", line["type"], line["title"], line["severity"]))
        .collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            r#""Microsoft.Storage.BlobCreated" | "Microsoft.Storage.BlobCreated: /blobs/db.tar" | "info""#,
            r#""OBJECT_FINALIZE" | "OBJECT_FINALIZE db.tar" | "info""#,
        ]
    );
    assert!(!daemon.log().contains("Bearer ey"), "no token is logged");
}

#[test]
fn keys_that_cannot_be_fetched_are_no_reason_to_give_up_for_good() {
    let server = KeyServer::start();
    let daemon = started(&server);
    server.gives("302 Found", "location: http://127.0.0.1:1/\r\n", "");
    let send = |id: &str| post(&daemon, "/google-pubsub", &bearer(id, &pubsub()), PUBSUB);
    let answer = send("one");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{answer:?}");
    assert_eq!(answer.json()["error"], "cannot verify the request at the moment; try again later");
    wait_for("the reason in the log", || {
        daemon.log().contains("it redirects, which is not followed").then_some(())
    });
    server.gives("200 OK", "", &json!({ "keys": [published("one")] }).to_string());
    wait_for("the next fetch", || (send("one").status == 200).then_some(()));
    let asked = server.asked();
    for number in 0..50 {
        let answer = send(&format!("forged-{number}"));
        assert_eq!(answer.status, 503, "fetched a moment ago: {answer:?}");
        assert_eq!(send("one").status, 200);
    }
    assert_eq!(server.asked(), asked, "no name of a key makes it ask again at once");
}

#[test]
fn commands_say_what_they_can_do_for_such_a_source() {
    let server = KeyServer::start();
    let daemon = started(&server);
    let sent = exits(&daemon, &["send", "google-pubsub"], 2);
    assert!(sent.contains("only the sender can sign for scheme `google-pubsub`"), "{sent}");
    let verify = |claims: &Value, code: i32| {
        let header = format!("Authorization: {}", bearer("one", claims));
        let arguments = ["verify", "--source", "google-pubsub", "--header", &header, "--explain"];
        exits(&daemon, &arguments, code)
    };
    let accepted = verify(&pubsub(), 0);
    assert!(accepted.contains("accepted: scheme `google-pubsub`, a published key"), "{accepted}");
    assert!(accepted.contains("email \"push@p.iam.gserviceaccount.com\""), "{accepted}");
    let mut claims = pubsub();
    claims["email"] = json!("attacker@example.org");
    let refused = verify(&claims, 1);
    assert!(refused.contains("the token's `email` is missing or not what"), "{refused}");
    assert!(refused.contains("email \"attacker@example.org\""), "{refused}");
    let scheme = exits(&daemon, &["verify", "--scheme", "google-pubsub"], 2);
    assert!(scheme.contains("use --source NAME"), "{scheme}");
}
