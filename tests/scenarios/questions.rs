//! The requests with which vendors ask whether an address is ours: each gets its answer, and none is an event.

use crate::harness::{Answer, Daemon, signature, wait_for};

fn ask(daemon: &Daemon, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    daemon.client().send(method, path, &headers, body.as_bytes()).unwrap()
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const ORIGIN: (&str, &str) = ("webhook-request-origin", "eventgrid.azure.net");
const SECRET: (&str, &str) = ("x-hook-secret", "b537207f20cbfa02357cf448134da559");

/// Sources of vendors that ask first, and sources with questions of their own.
fn asked() -> Daemon {
    let token = "scheme = \"token\"\ntoken_in = \"query:key\"\nsender = \"json\"\n";
    let websub = "scheme = \"websub\"\nsender = \"json\"\n\
         questions = [{ method = \"GET\", has = \"query:hub.mode=subscribe|unsubscribe\", repeat = \"query:hub.challenge\" }, { method = \"HEAD\" }]";
    Daemon::new()
        .head("schemes.websub.header = \"X-Hub-Signature\"")
        .source_with("dropbox", "hush", "scheme = \"dropbox\"")
        .source_with("nylas", "hush", "scheme = \"nylas\"")
        .source_with("intercom", "hush", "scheme = \"intercom\"")
        .source_with("shop", "hush", "scheme = \"woocommerce\"")
        .source_with("bitbucket", "hush", "scheme = \"bitbucket\"")
        .source_with("slack", "hush", "scheme = \"slack\"")
        .source_with("asana", "until the handshake", "scheme = \"asana\"\nhandshake = true")
        .source_with("quiet", "hush", "scheme = \"dropbox\"\nhandshake = false")
        .source_with("grid", "hush", &token.replace("json", "cloudevents"))
        .source_with(
            "graph",
            "hush",
            &format!("{token}questions = [{{ method = \"POST\", repeat = \"query:validationToken\" }}]"),
        )
        .source_with(
            "board",
            "hush",
            &format!(
                "{token}questions = [{{ method = \"POST\", repeat = \"body:/challenge\", answer = \"json:challenge\" }}]"
            ),
        )
        .source_with("hub", "hush", websub)
        .log("audit-log")
        .start()
}

#[test]
fn each_vendor_gets_the_answer_to_its_first_question() {
    let daemon = asked();
    for (method, path, headers, body, status, answer) in [
        ("GET", "/dropbox?challenge=abcDEF123_-", &[][..], "", 200, "abcDEF123_-"),
        ("GET", "/nylas?challenge=abcDEF123", &[], "", 200, "abcDEF123"),
        ("HEAD", "/intercom", &[], "", 200, ""),
        ("HEAD", "/hub", &[], "", 200, ""),
        ("POST", "/shop", &[FORM], "webhook_id=2", 200, ""),
        ("POST", "/bitbucket", &[("x-event-key", "diagnostics:ping")], "{\"test\": true}", 200, ""),
        ("POST", "/slack", &[FORM], "ssl_check=1&token=t", 200, ""),
        ("POST", "/asana", &[SECRET], "", 200, ""),
        ("OPTIONS", "/grid", &[ORIGIN], "", 200, ""),
        ("POST", "/graph?key=hush&validationToken=A%3a+b", &[], "", 200, "A: b"),
        ("POST", "/board?key=hush", &[], "{\"challenge\":\"x.y\"}", 200, "{\"challenge\":\"x.y\"}"),
        ("GET", "/hub?hub.mode=subscribe&hub.topic=t&hub.challenge=c1", &[], "", 200, "c1"),
    ] {
        let given = ask(&daemon, method, path, headers, body);
        assert_eq!(given.status, status, "{method} {path}: {given:?}");
        assert_eq!(String::from_utf8_lossy(&given.body), answer, "{method} {path}");
        let named = [("webhook-allowed-origin", ORIGIN.1), (SECRET.0, SECRET.1)];
        for (name, value) in named {
            let sent = headers.iter().any(|(_, sent)| *sent == value);
            assert_eq!(given.header(name), sent.then_some(value), "{path}");
        }
    }
    let refused = daemon.command(&["refused", "asana"]).output().unwrap();
    let refused = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(refused.contains(SECRET.1) && refused.contains("secret"), "{refused}");
    assert!(!daemon.log().contains(SECRET.1), "the secret is in the log");
    assert_eq!(daemon.log_lines("audit-log").len(), 0);
}

#[test]
fn what_is_not_the_question_is_refused_or_an_event() {
    let daemon = asked();
    for (method, path, headers, body, status) in [
        ("GET", "/dropbox", &[][..], "", 405),
        ("GET", "/dropbox?challenge=%3Cscript%3E", &[], "", 405),
        ("GET", "/quiet?challenge=abc", &[], "", 405),
        ("OPTIONS", "/dropbox", &[ORIGIN], "", 405),
        ("POST", "/shop", &[FORM], "order=2", 401),
        ("POST", "/shop", &[FORM], &format!("webhook_id=2&a={}", "b".repeat(5000)), 401),
        // What has a signature is verified.
        ("POST", "/shop", &[FORM, ("x-wc-webhook-signature", "AAAA")], "webhook_id=2", 401),
        ("POST", "/graph?validationToken=a", &[], "", 401),
        ("POST", "/graph?key=wrong&validationToken=a", &[], "", 401),
        ("POST", "/board?key=hush", &[], "{\"challenge\":\"<b>\"}", 200),
        ("GET", "/hub?hub.mode=denied&hub.challenge=c1", &[], "", 405),
        ("POST", "/asana", &[], "", 401),
    ] {
        let given = ask(&daemon, method, path, headers, body);
        assert_eq!(given.status, status, "{method} {path}: {given:?}");
        assert!(!String::from_utf8_lossy(&given.body).contains('<'), "{given:?}");
    }
    // The one event, which cannot be repeated as a question.
    wait_for("the event", || (daemon.log_lines("audit-log").len() == 1).then_some(()));
    assert_eq!(daemon.log_lines("audit-log")[0]["source"], "board");
}

#[test]
fn a_signed_event_that_also_has_what_a_question_has_is_stored() {
    let daemon = asked();
    let body = "{\"test\":true,\"push\":{\"changes\":[]}}";
    let mac = format!("sha256={}", signature("hush", body.as_bytes()));
    let given = ask(&daemon, "POST", "/bitbucket", &[("x-hub-signature", &mac)], body);
    assert_eq!((given.status, &given.json()["accepted"]), (200, &1.into()), "{given:?}");
    wait_for("the event", || (daemon.log_lines("audit-log").len() == 1).then_some(()));
}

/// A question is answered if the request has nothing else; with more it is an event, and `true` here.
#[test]
fn an_event_that_also_has_what_a_question_of_its_source_has_is_stored() {
    let asks = "sender = \"json\"\nquestions = [{ method = \"POST\", repeat = \"body:/challenge\", answer = \"json:challenge\" }]";
    let open = "sources.open = { scheme = \"none\", sender = \"json\", questions = [{ method = \"POST\", \
                repeat = \"body:/challenge\", answer = \"json:challenge\", unsigned = true }] }";
    let daemon = Daemon::new()
        .head(open)
        .source_with("signed", "hush", &format!("scheme = \"sqreen\"\n{asks}"))
        .source_with(
            "either",
            "hush",
            &format!("scheme = \"sqreen\"\n{}", asks.replace(" }]", ", unsigned = true }]")),
        )
        .source_with(
            "graph",
            "hush",
            &format!(
                "scheme = \"token\"\ntoken_in = \"query:key\"\n{}",
                asks.replace("body:/challenge", "query:validationToken")
            ),
        )
        .source_with(
            "get",
            "hush",
            "scheme = \"token\"\ntoken_in = \"query:key\"\nmethods = [\"GET\"]\nsender = \"json\"\n\
             questions = [{ method = \"GET\", repeat = \"query:challenge\" }]",
        )
        .log("audit-log")
        .start();
    let (question, event) = ("{\"challenge\":\"c\"}", "{\"challenge\":\"c\",\"event\":{\"id\":1}}");
    let mut stored = Vec::new();
    for (method, path, body, is_event) in [
        ("POST", "/signed", question, false),
        ("POST", "/signed", event, true),
        ("POST", "/either", question, false),
        ("POST", "/either", event, true),
        ("POST", "/open", question, false),
        ("POST", "/open", event, true),
        ("POST", "/graph?key=hush&validationToken=c", "", false),
        ("POST", "/graph?key=hush&validationToken=c", event, true),
        ("POST", "/graph?key=hush&validationToken=c", "{}", true),
        ("GET", "/get?key=hush&challenge=c", "", false),
        ("GET", "/get?key=hush&challenge=c&id=1", "", true),
    ] {
        let mac = signature("hush", body.as_bytes());
        let given = ask(&daemon, method, path, &[("x-sqreen-integrity", &mac)], body);
        let answer = String::from_utf8_lossy(&given.body).into_owned();
        assert_eq!(
            (given.status, answer.contains("\"accepted\":1")),
            (200, is_event),
            "{method} {path} {body}: {answer}"
        );
        if is_event {
            stored.push(path[1..].split('?').next().unwrap().to_owned());
        }
    }
    // Without its signature as well, if the question says so.
    let given = ask(&daemon, "POST", "/either", &[], question);
    assert_eq!((given.status, &*given.body), (200, question.as_bytes()), "{given:?}");
    wait_for("the events", || (daemon.log_lines("audit-log").len() == stored.len()).then_some(()));
    let lines = daemon.log_lines("audit-log");
    let sources: Vec<&str> = lines.iter().map(|line| line["source"].as_str().unwrap()).collect();
    assert_eq!(sources, stored);
}

#[test]
fn xero_gets_an_answer_without_a_body() {
    let daemon = Daemon::new()
        .source_with("plain", "hush", "scheme = \"sqreen\"\nsender = \"json\"\nempty_answer = true")
        .log("audit-log")
        .start();
    let body = "{\"id\":1}";
    let mac = signature("hush", body.as_bytes());
    let given = ask(&daemon, "POST", "/plain", &[("x-sqreen-integrity", &mac)], body);
    assert_eq!((given.status, given.body.len()), (200, 0), "{given:?}");
    assert_eq!(given.header("content-type"), None);
    assert!(given.header("x-request-id").is_some());
    wait_for("the event", || (daemon.log_lines("audit-log").len() == 1).then_some(()));
}
