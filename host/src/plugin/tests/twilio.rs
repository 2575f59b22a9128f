//! The plugin `twilio-sms`, loaded by the daemon, against a scripted server in place of Twilio.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

pub(super) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(super) const TOKEN: &str = "t0ken-of-the-account";

/// What the server does after it has read a request.
#[derive(Clone, Copy)]
enum Step {
    /// Status, further header lines, body.
    Answer(u16, &'static str, &'static str),
    /// Closes the connection without a response.
    Cut,
    /// Sends nothing and keeps the connection open.
    Silent,
}

const TAKEN: Step = Step::Answer(
    201,
    "",
    r#"{"sid": "SM0123456789abcdef0123456789abcdef", "status": "queued", "num_segments": "1", "error_code": null}"#,
);

struct Twilio {
    address: String,
    requests: JoinHandle<Vec<String>>,
}

impl Twilio {
    /// Runs the steps, each with one connection and request, and then stops listening.
    async fn playing(steps: &'static [Step]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = tokio::spawn(async move {
            let mut requests = Vec::new();
            let mut open = Vec::new();
            for step in steps {
                let (mut stream, _) = listener.accept().await.unwrap();
                requests.push(request(&mut stream).await);
                match step {
                    Step::Answer(status, headers, body) => {
                        let length = body.len();
                        let answer = format!(
                            "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\
                             connection: close\r\n\r\n{body}"
                        );
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                    Step::Cut => {}
                    Step::Silent => open.push(stream),
                }
            }
            requests
        });
        Self { address, requests }
    }

    fn target(&self, changes: Value) -> Instance {
        let mut settings = json!({
            "account_sid": ACCOUNT,
            "auth_token": TOKEN,
            "from": "+15005550006",
            "to": ["+33612345678"],
            "api_base": format!("http://{}", self.address),
        });
        let Value::Object(changes) = changes else { panic!("changes are an object") };
        settings.as_object_mut().unwrap().extend(changes);
        twilio(&settings).unwrap()
    }
}

pub(super) fn twilio(settings: &Value) -> Result<Instance, Invalid> {
    let plugin = catalog().load("twilio-sms").unwrap();
    let secrets = vec![Secret::new(TOKEN)];
    let context = TargetContext { secrets, ..context(&["127.0.0.0/8"]) };
    plugin.create("oncall", settings, &context)
}

/// Head and body of a request.
async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse::<usize>().unwrap() {
                return text.into_owned();
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request is not whole");
    }
}

async fn send(target: &Instance) -> Verdict {
    deliver(target).await
}

async fn failed(step: &'static [Step]) -> Failure {
    let twilio = Twilio::playing(step).await;
    let failure = send(&twilio.target(json!({}))).await.unwrap_err();
    assert!(!failure.reason.contains(TOKEN), "{failure:?}");
    failure
}

#[tokio::test]
async fn a_message_is_posted_in_twilios_format_and_its_sid_is_the_receipt() {
    let twilio = Twilio::playing(&[TAKEN]).await;
    let verdict = send(&twilio.target(json!({}))).await.unwrap();
    assert_eq!(verdict.id.as_deref(), Some("SM0123456789abcdef0123456789abcdef"));
    let fields: Vec<_> = verdict.fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(fields, [("to", "+33612345678"), ("segments", "1"), ("status", "queued")]);

    let request = twilio.requests.await.unwrap().remove(0);
    let line = format!("POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1\r\n");
    assert!(request.starts_with(&line), "{request}");
    for part in [
        "content-type: application/x-www-form-urlencoded\r\n",
        // The account and its token, joined by a colon, in base64.
        "authorization: Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjp0MGtlbi1vZi10aGUtYWNjb3VudA==\r\n",
        "\r\n\r\nTo=%2B33612345678&From=%2B15005550006&Body=a%20title",
    ] {
        assert!(request.contains(part), "{request}");
    }
}

#[tokio::test]
async fn many_events_are_one_message_that_is_cut_to_its_segments() {
    let twilio = Twilio::playing(&[TAKEN, TAKEN]).await;
    let target = twilio.target(json!({ "segments_max": 1 }));
    let long = "x".repeat(200);
    let events = [delivery(1, &long), delivery(2, "b"), delivery(3, "c")];
    let verdicts = target.deliver(&events, soon()).await;
    assert!(verdicts.len() == 3 && verdicts.iter().all(Result::is_ok), "{verdicts:?}");
    let emoji = delivery(4, "🚨 هجوم");
    target.deliver(&[emoji], soon()).await.remove(0).unwrap();
    let requests = twilio.requests.await.unwrap();
    let body = format!("&Body={}...%20%28%2B2%20more%29", "x".repeat(147));
    assert!(requests[0].ends_with(&body), "{}", requests[0]);
    let body = "&Body=%F0%9F%9A%A8%20%D9%87%D8%AC%D9%88%D9%85";
    assert!(requests[1].ends_with(body), "{}", requests[1]);
}

#[tokio::test]
async fn the_response_decides_the_verdict() {
    use FailureKind::{Broken, Reject, Retry, Throttled};
    const INVALID: &str = r#"{"code": 21211, "message": "The 'To' number +33612345678 is not a valid phone number.", "more_info": "https://www.twilio.com/docs/errors/21211", "status": 400}"#;
    const WHO: &str = r#"{"code": 20003, "message": "Authenticate as t0ken-of-the-account", "more_info": "https://www.twilio.com/docs/errors/20003", "status": 401}"#;
    for (step, kind, after_s, maybe_sent, reason) in [
        (
            &[Step::Answer(429, "retry-after: 2\r\n", r#"{"code": 20429}"#)],
            Throttled,
            Some(2),
            false,
            "answered 429, code 20429",
        ),
        (&[Step::Answer(429, "", "")], Throttled, None, false, "answered 429"),
        (
            &[Step::Answer(400, "", INVALID)],
            Reject,
            None,
            false,
            "to +33612345678: Twilio answered 400, code 21211: The 'To' number +33612345678 is not a \
             valid phone number. (https://www.twilio.com/docs/errors/21211)",
        ),
        (
            &[Step::Answer(401, "", WHO)],
            Broken,
            None,
            false,
            "401, code 20003: Authenticate as *** (https://www.twilio.com/docs/errors/20003)",
        ),
        (&[Step::Answer(302, "location: /\r\n", "")], Retry, None, false, "redirects"),
        (&[Step::Answer(500, "", "<html>no</html>")], Retry, None, false, "answered 500"),
        (&[Step::Answer(503, "retry-after: 9\r\n", "")], Retry, Some(9), false, "answered 503"),
        (&[Step::Answer(504, "", "")], Retry, None, true, "answered 504"),
        (&[Step::Answer(200, "", "<html>log in</html>")], Retry, None, true, "check api_base"),
        (&[Step::Cut], Retry, None, true, "may have taken the request"),
    ] {
        let failure = failed(step).await;
        assert_eq!((failure.kind, failure.maybe_sent), (kind, maybe_sent), "{failure:?}");
        assert_eq!(failure.after, after_s.map(Duration::from_secs), "{failure:?}");
        assert!(failure.reason.contains(reason), "{failure:?}");
        assert!(failure.progress.is_empty(), "{failure:?}");
    }
}

#[tokio::test]
async fn a_slow_response_is_abandoned_at_the_deadline_as_maybe_sent() {
    let twilio = Twilio::playing(&[Step::Silent, TAKEN]).await;
    let target = twilio.target(json!({}));
    let deadline = Instant::now() + Duration::from_secs(2);
    let verdict = target.deliver(&[delivery(1, "a title")], deadline).await.remove(0);
    let failure = verdict.unwrap_err();
    assert!(failure.kind == FailureKind::Retry && failure.maybe_sent, "{failure:?}");
    // The text is from the plugin, so the call was not cancelled.
    assert!(failure.reason.contains("before the deadline"), "{failure:?}");
    send(&target).await.unwrap();
}

#[tokio::test]
async fn without_a_server_nothing_was_sent() {
    let twilio = Twilio::playing(&[]).await;
    let target = twilio.target(json!({}));
    twilio.requests.await.unwrap();
    let failure = send(&target).await.unwrap_err();
    assert!(failure.kind == FailureKind::Retry && !failure.maybe_sent, "{failure:?}");
}

#[tokio::test]
async fn a_number_that_has_the_message_does_not_get_it_again() {
    const STOP: Step = Step::Answer(400, "", r#"{"code": 21610}"#);
    const NOT_WELL: Step = Step::Answer(500, "", "");
    // First attempt, then the one with its progress.
    let twilio = Twilio::playing(&[TAKEN, NOT_WELL, STOP, TAKEN, STOP]).await;
    let to = ["+33600000001", "+33600000002", "+33600000003"];
    let target = twilio.target(json!({ "to": to }));

    let first = send(&target).await.unwrap_err();
    assert_eq!(first.kind, FailureKind::Retry);
    assert!(first.reason.starts_with("2 of 3 recipients failed: to +33600000002: "), "{first:?}");
    let again = Delivery { progress: first.progress, ..delivery(1, "a title") };
    let second = target.deliver(&[again], soon()).await.remove(0).unwrap_err();
    assert_eq!(second.kind, FailureKind::Reject);
    assert!(second.reason.contains("code 21610"), "{second:?}");

    let requests = twilio.requests.await.unwrap();
    let numbers: Vec<_> = requests
        .iter()
        .map(|request| request.split("To=%2B").nth(1).unwrap().split('&').next().unwrap())
        .collect();
    let expected = ["33600000001", "33600000002", "33600000003", "33600000002", "33600000003"];
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn a_throttled_or_broken_number_stops_the_others() {
    let twilio = Twilio::playing(&[TAKEN, Step::Answer(401, "", "")]).await;
    let to = ["+33600000001", "+33600000002", "+33600000003"];
    let failure = send(&twilio.target(json!({ "to": to }))).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Broken);
    assert!(!failure.progress.is_empty());
    assert_eq!(twilio.requests.await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_manifest_has_the_recipients_setting_and_invalid_settings_name_their_key() {
    let manifest = catalog().load("twilio-sms").unwrap().manifest().clone();
    assert_eq!(manifest.fan_out.as_deref(), Some("to"));
    assert_eq!(manifest.mode, crate::plugin::Mode::Together);
    let settings = json!({
        "account_sid": ACCOUNT, "auth_token": TOKEN, "from": "Acme", "to": ["+33612345678", "12"],
    });
    assert_eq!(twilio(&settings).unwrap_err().path, "to[1]");
    let settings =
        json!({ "account_sid": ACCOUNT, "auth_token": TOKEN, "from": "Acme", "to": [1] });
    assert_eq!(twilio(&settings).unwrap_err().path, "to[0]");
}
