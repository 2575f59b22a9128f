//! Tests several vendors in one configuration, a user's own sender, and what identifies a copy.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Answer, Daemon, Setup, wait_for};

/// Type, severity and title.
type Seen = (&'static str, &'static str, &'static str);

/// Every built-in sample of the six sources, and what the log shows of it.
const SEEN: &[(&str, &str, &[Seen])] = &[
    ("sqreen", "sqreen/test", &[("test", "info", "Test message from Sqreen")]),
    (
        "sqreen",
        "sqreen/security_event",
        &[("security_event", "error", "SQL injection attempt from 203.0.113.7")],
    ),
    (
        "sqreen",
        "sqreen/http_scan",
        &[("http_scan", "warning", "http_scan incident created on 5fa41cdbb87595001cb7fd03")],
    ),
    (
        "sqreen",
        "sqreen/pulse",
        &[("pulse", "critical", "Massive account takeover attempts on 14 accounts")],
    ),
    (
        "sqreen",
        "sqreen/security_response",
        &[("security_response", "warning", "Playbook Block SQL injectors fired on shop")],
    ),
    ("github", "github/push", &[("push", "info", "Charge cards once only")]),
    (
        "github",
        "github/dependabot_alert",
        &[("dependabot_alert.created", "error", "Path traversal in example-unzip in example/shop")],
    ),
    (
        "github",
        "github/ping",
        &[("ping", "info", "ping on example/shop: Keep it logically awesome.")],
    ),
    (
        "stripe",
        "stripe/payment_failed",
        &[(
            "payment_intent.payment_failed",
            "error",
            "payment_intent.payment_failed: Your card was declined.",
        )],
    ),
    (
        "stripe",
        "stripe/charge_succeeded",
        &[("charge.succeeded", "info", "charge.succeeded: Order 1042")],
    ),
    (
        "falco",
        "falco/shell",
        &[(
            "Terminal shell in container",
            "info",
            "09:30:00.000000000: Notice A shell was spawned in a container with an attached terminal \
             (user=root container=web proc_cmdline=bash)",
        )],
    ),
    (
        "falco",
        "falco/etc_shadow",
        &[(
            "Read sensitive file untrusted",
            "critical",
            "09:31:00.000000000: Critical Sensitive file opened for reading by non-trusted program \
             (file=/etc/shadow proc=cat user=root)",
        )],
    ),
    (
        "alertmanager",
        "alertmanager/firing",
        &[
            ("DiskFull", "critical", "[firing] /data of db-1 is 98 % full"),
            ("DiskFull", "warning", "[firing] /data of db-2 is 91 % full"),
        ],
    ),
    (
        "alertmanager",
        "alertmanager/resolved",
        &[("DiskFull", "info", "[resolved] /data of db-1 is 98 % full")],
    ),
    ("slack", "slack/app_mention", &[("app_mention", "info", "<@U0LAN0Z89> is the shop down?")]),
    ("slack", "slack/command", &[("/deploy", "info", "/deploy shop 4.2.0")]),
];

fn six() -> Setup {
    Daemon::new()
        .server("public_url = \"https://hooks.example.org\"")
        .source_with("sqreen", "the-secret-of-sqreen", "")
        .source_with("github", "the-secret-of-github", "scheme = \"github\"")
        .source_with("stripe", "whsec_the-secret-of-stripe", "scheme = \"stripe\"")
        .source_with(
            "falco",
            "the-secret-of-falco",
            "scheme = \"token\"\ntoken_in = \"header:X-Token\"\nsender = \"falco\"",
        )
        .source_with(
            "alertmanager",
            "prometheus:the-password-of-alerts",
            "scheme = \"basic\"\nsender = \"alertmanager\"",
        )
        .source_with("slack", "the-secret-of-slack", "scheme = \"slack\"")
        .log("audit-log")
        .log_with("pages", "route = [{ severity = \"error\" }]")
}

fn run(mut command: Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout) + &text(output.stderr))
}

/// Source, type, severity and title of each line.
fn seen(lines: &[Value]) -> Vec<[String; 4]> {
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let line = |line| ["source", "type", "severity", "title"].map(|key| text(line, key));
    lines.iter().map(line).collect()
}

#[test]
fn six_vendors_in_one_configuration_reach_the_log_as_people_read_them() {
    let daemon = six().start();
    let (code, matrix) = run(daemon.command(&["check"]));
    assert_eq!(code, Some(0), "{matrix}");
    let home = daemon.home().canonicalize().unwrap();
    let matrix = matrix.replace(home.to_str().unwrap(), "HOME");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/six-senders.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &matrix).unwrap();
    }
    assert_eq!(matrix, std::fs::read_to_string(golden).unwrap_or_default());

    let to = format!("http://{}", daemon.address());
    let mut expected = Vec::new();
    for (source, sample, events) in SEEN {
        let (code, text) = run(daemon.command(&["send", source, "--sample", sample, "--to", &to]));
        assert!(code == Some(0) && text.contains("200 "), "{sample}: {text}");
        for (kind, severity, title) in *events {
            expected.push([source, kind, severity, title].map(|text| (*text).to_owned()));
        }
    }
    let lines = || daemon.log_lines("audit-log");
    wait_for("every sample", || (lines().len() >= expected.len()).then_some(()));
    let mut found = seen(&lines());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let urgent = |line: &[String; 4]| matches!(&*line[2], "error" | "critical");
    expected.retain(urgent);
    let pages = || daemon.log_lines("pages").len() >= expected.len();
    wait_for("urgent events", || pages().then_some(()));
    let mut pages = seen(&daemon.log_lines("pages"));
    pages.sort();
    assert_eq!(pages, expected);
}

#[test]
fn a_users_own_scheme_and_sender_accept_what_openssl_signed() {
    let key = ["dgst", "-sha256", "-hmac", "hush", "-r"];
    let openssl = |input: &std::path::Path| {
        let output = Command::new("openssl").args(key).arg(input).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.split(' ').next().unwrap_or_default().to_owned())
    };
    let head = "schemes.acme.header = \"X-Acme-Signature\"\nschemes.acme.prefix = \"v1=\"\n\
         schemes.acme.separator = \",\"\nschemes.acme.time = \"element:t=\"\n\
         schemes.acme.signed = [\"time\", \"literal:.\", \"body\"]\n\
         senders.door.events = \"alarms\"\nsenders.door.id = \"{serial}/{at}\"\n\
         senders.door.type = [\"{kind}\", \"door\"]\n\
         senders.door.title = \"{kind} at {place.name} ({root:site})\"\nsenders.door.time = \"{at}\"\n\
         senders.door.severity = \"{level}\"\nsenders.door.severity_default = \"info\"\n\
         senders.door.severity_words = { forced = \"critical\", \"left*\" = \"warning\" }";
    let source = "scheme = \"acme\"\nsender = \"door\"";
    let daemon =
        Daemon::new().head(head).source_with("doors", "hush", source).log("audit-log").start();
    let body = r#"{"site": "Lyon", "alarms": [
        {"serial": 7, "kind": "opened", "level": "forced", "place": {"name": "vault"}, "at": "2026-01-15T09:30:00Z"},
        {"serial": 8, "kind": "opened", "level": "left open", "place": {"name": "yard"}, "at": 1768469400}]}"#;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let signed = daemon.home().join("signed.txt");
    std::fs::write(&signed, format!("{now}.{body}")).unwrap();
    let Some(digest) = openssl(&signed) else {
        eprintln!("skipped: openssl is not installed");
        return;
    };
    let header = format!("t={now},v1={digest}");
    let post = |body: &str| {
        let headers = [("x-acme-signature", header.as_bytes())];
        daemon.client().send("POST", "/doors", &headers, body.as_bytes()).unwrap()
    };
    assert_eq!(post(&body.replace("vault", "Vault")).status, 401);
    let taken = post(body);
    assert!(taken.status == 200 && taken.json()["accepted"] == 2, "{taken:?}");
    // A repetition is identified by the id that the sender's template names.
    assert_eq!(post(body).json()["duplicates"], 2);
    wait_for("both events", || (daemon.log_lines("audit-log").len() >= 2).then_some(()));
    let lines = daemon.log_lines("audit-log");
    let mut found = seen(&lines);
    found.sort();
    let expected = [
        ["doors", "opened", "critical", "opened at vault (Lyon)"],
        ["doors", "opened", "warning", "opened at yard (Lyon)"],
    ];
    assert_eq!(found, expected);
    let at = |line: &Value| {
        line["time"].as_str().is_some_and(|at| at.starts_with("2026-01-15T09:30:00"))
    };
    assert!(lines.iter().all(at), "{lines:?}");
}

/// The header of a signature of `body`, by `dispatcher sign`.
pub(super) fn signed(daemon: &Daemon, source: &str, body: &str) -> (String, String) {
    let mut command = daemon.command(&["sign", "--source", source]);
    let file = daemon.home().join("body.json");
    std::fs::write(&file, body).unwrap();
    let output = command.stdin(std::fs::File::open(file).unwrap()).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    let (name, value) = line.lines().next().unwrap().split_once(": ").unwrap();
    (name.to_owned(), value.to_owned())
}

#[test]
fn an_event_without_an_id_is_identified_by_the_signed_bytes() {
    let of = |scheme: &str, sender: &str| {
        format!("scheme = \"{scheme}\"\nsecrets = \"literal:hush\"\nsender = \"{sender}\"")
    };
    let daemon = Daemon::new()
        .head("senders.bell.may_repeat = true")
        .source_table("plain", &of("github", "json"))
        .source_table("bell", &of("github", "bell"))
        .source_table("mail", &of("mailgun", "mailgun"))
        .source_table("test", &of("sqreen", "sqreen"))
        .log("audit-log")
        .start();
    let send = |source: &str, headers: &[(&str, &[u8])], body: &str| -> Answer {
        let path = format!("/{source}");
        daemon.client().send("POST", &path, headers, body.as_bytes()).unwrap()
    };
    let test = r#"{"message_type":"test","message_id":"1","message":{}}"#;
    for (source, body, repeated) in [
        ("plain", r#"{"what": "no id"}"#, 1),
        ("plain", r#"[{"what": "no id"}, {"what": "no id"}]"#, 2),
        ("plain", r#"{"what": "another"}"#, 1),
        ("bell", r#"{"what": "rung"}"#, 0),
        ("test", test, 0),
    ] {
        let (name, value) = signed(&daemon, source, body);
        for expected in [0, repeated] {
            let answer = send(source, &[(&name, value.as_bytes())], body);
            let duplicates = answer.json()["duplicates"].as_u64().unwrap_or(0);
            assert_eq!((answer.status, duplicates), (200, expected), "{source} {body}: {answer:?}");
        }
    }
    // Anyone who has seen one of these can send any content with its signature.
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let mut command = daemon.command(&["sign", "--source", "mail", "--curl"]);
    let file = daemon.home().join("mail.json");
    let mail = format!(
        r#"{{"signature":{{"timestamp":"{now}","token":"t0ken"}},"event-data":{{"id":"a","event":"opened"}}}}"#
    );
    std::fs::write(&file, mail).unwrap();
    let output = command.stdin(std::fs::File::open(file).unwrap()).output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    let body = line.split("--data-binary '").nth(1).and_then(|rest| rest.split('\'').next());
    let body = body.unwrap_or_else(|| panic!("{line}"));
    let other = body.replace("\"a\"", "\"b\"").replace("opened", "failed");
    assert!(other != body, "{body}");
    for (body, expected) in [(body, 0), (&other, 1)] {
        let answer = send("mail", &[], body);
        let duplicates = answer.json()["duplicates"].as_u64().unwrap_or(0);
        assert_eq!((answer.status, duplicates), (200, expected), "{answer:?}");
    }
}
