//! Requests of vendors in other forms than a signed JSON body: signatures in fields, and content in the address.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Answer, Daemon, signature, wait_for};

/// What `dispatcher sign` prints for this body.
fn sign(daemon: &Daemon, arguments: &[&str], body: &str) -> String {
    let mut command = daemon.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The body that its sender would send.
fn signed_body(daemon: &Daemon, source: &str, body: &str) -> String {
    let line = sign(daemon, &["sign", "--source", source, "--curl"], body);
    let body = line.split("--data-binary '").nth(1).and_then(|rest| rest.split('\'').next());
    body.unwrap_or_else(|| panic!("{line}")).to_owned()
}

fn post(daemon: &Daemon, source: &str, headers: &[(&str, &[u8])], body: &str) -> Answer {
    daemon.client().send("POST", &format!("/{source}"), headers, body.as_bytes()).unwrap()
}

const FORM: (&str, &[u8]) = ("content-type", b"application/x-www-form-urlencoded");

/// Source, type, severity, title and data of each line, sorted.
fn seen(daemon: &Daemon, count: usize) -> Vec<String> {
    wait_for("the events", || (daemon.log_lines("audit-log").len() >= count).then_some(()));
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let line = |line: &Value| {
        ["source", "type", "severity", "title"].map(|key| text(line, key)).join(" | ")
    };
    let mut lines: Vec<String> = daemon.log_lines("audit-log").iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn adyens_payments_are_signed_by_eight_values_and_nothing_else_counts() {
    let daemon = Daemon::new()
        .source_with("adyen-payments", "00ff11ee22dd33cc", "scheme = \"adyen-payments\"")
        .log("audit-log")
        .start();
    let item = |reference: &str, more: &str| {
        format!(
            r#"{{"live":"true","notificationItems":[{{"NotificationRequestItem":{{"additionalData":{{}},"eventCode":"AUTHORISATION","success":"false","pspReference":"7914","merchantAccountCode":"Shop","merchantReference":"{reference}","amount":{{"value":1130,"currency":"EUR"}}{more}}}}}]}}"#
        )
    };
    let body = signed_body(&daemon, "adyen-payments", &item("order:1", r#","reason":"Refused""#));
    let taken = post(&daemon, "adyen-payments", &[], &body);
    assert_eq!((taken.status, &taken.json()["accepted"]), (200, &1.into()), "{taken:?}");
    // The same event with other words, and another one.
    let other = body.replace("Refused", "call +1-900").replace("\"true\"", "\"false\"");
    assert_eq!(post(&daemon, "adyen-payments", &[], &other).json()["duplicates"], 1);
    for (old, new) in [
        ("7914", "7915"),
        ("1130", "1131"),
        ("AUTHORISATION", "CHARGEBACK"),
        ("\"success\":\"false\"", "\"success\":\"true\""),
        // The border between two values.
        (
            "\"Shop\",\"merchantReference\":\"order:1\"",
            "\"Shop:order\",\"merchantReference\":\"1\"",
        ),
        // A second item, and a second list.
        ("}}]}", "}},{\"NotificationRequestItem\":{\"eventCode\":\"CHARGEBACK\"}}]}"),
        ("{\"live\"", "{\"notificationItems\":[{}],\"live\""),
        // An object in place of the list, and an item in place of the document.
        (
            "\"notificationItems\":[{",
            "\"NotificationRequestItem\":{\"eventCode\":\"CHARGEBACK\"},\"notificationItems\":{\"0\":{",
        ),
    ] {
        let mut forged = body.replacen(old, new, 1);
        if new.contains("\"0\"") {
            forged = forged.replace("}}]}", "}}}}");
        }
        assert!(forged != body, "{old}");
        assert_eq!(post(&daemon, "adyen-payments", &[], &forged).status, 401, "{forged}");
    }
    let title = "AUTHORISATION order:1: 1130 EUR (minor units), success false";
    let line = format!("adyen-payments | AUTHORISATION | warning | {title}");
    assert_eq!(seen(&daemon, 1), [line]);
}

#[test]
fn mailgun_signs_json_and_forms() {
    let daemon = Daemon::new()
        .source_with("mailgun", "hush", "scheme = \"mailgun\"")
        .log("audit-log")
        .start();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let fields = format!("event=dropped&recipient=a%40example.org&timestamp={now}&token=t0ken");
    let body = signed_body(&daemon, "mailgun", &fields);
    assert!(body.contains("&signature="), "{body}");
    assert_eq!(post(&daemon, "mailgun", &[FORM], &body).status, 200);
    assert_eq!(post(&daemon, "mailgun", &[FORM], &body).json()["duplicates"], 1);
    assert_eq!(post(&daemon, "mailgun", &[FORM], &body.replace("t0ken", "t1ken")).status, 401);
    assert_eq!(post(&daemon, "mailgun", &[FORM], &format!("{body}&token=t0ken")).status, 401);

    let part = |name: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let mac = signature("hush", format!("{now}t2ken").as_bytes());
    let fields = [
        ("from", "Buyer"),
        ("subject", "Order 1042"),
        ("recipient", "help@example.org"),
        ("timestamp", &now.to_string()),
        ("token", "t2ken"),
        ("signature", &mac),
    ];
    let message: String = fields.iter().map(|(name, value)| part(name, value)).collect();
    let parts = ("content-type", &b"multipart/form-data; boundary=b"[..]);
    let taken = post(&daemon, "mailgun", &[parts], &format!("{message}--b--\r\n"));
    assert_eq!(taken.status, 200, "{taken:?}");
    assert_eq!(
        seen(&daemon, 2),
        [
            "mailgun | dropped | error | dropped: a@example.org",
            "mailgun | message | info | Buyer: Order 1042",
        ]
    );
}

#[test]
fn a_signature_of_many_spaces_is_refused() {
    let daemon = Daemon::new()
        .source_with("mailgun", "hush", "scheme = \"mailgun\"")
        .source_with("github", "hush", "scheme = \"github\"")
        .log("audit-log")
        .start();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let spaces = " ".repeat(1_000_000);
    let body = format!(
        r#"{{"signature":{{"timestamp":"{now}","token":"a","signature":"{spaces}"}},"event-data":{{}}}}"#
    );
    assert_eq!(post(&daemon, "mailgun", &[], &body).status, 401);
    let header = format!("sha256={}x", &spaces[..30_000]);
    let header = ("x-hub-signature-256", header.as_bytes());
    assert_eq!(post(&daemon, "github", &[header], "{}").status, 401);
    let signed = format!("sha256={}", signature("hush", b"{}"));
    let signed = ("x-hub-signature-256", signed.as_bytes());
    assert_eq!(post(&daemon, "github", &[signed], "{}").status, 200);
}

#[test]
fn content_in_the_address_is_an_event() {
    let daemon = Daemon::new()
        .server("public_url = \"https://hooks.example.org\"")
        .head(
            "senders.kuma.type = \"{status}\"\nsenders.kuma.title = \"{msg}\"\n\
             senders.kuma.severity_default = \"info\"\n\
             senders.bell.body = \"any\"\nsenders.bell.title = \"{query:msg}\"\n\
             senders.bell.severity_default = \"info\"",
        )
        .source_with("twilio", "token", "scheme = \"twilio\"")
        .source_with(
            "kuma",
            "hush",
            "scheme = \"token\"\ntoken_in = \"query:key\"\nsender = \"kuma\"\nmethods = [\"GET\", \"POST\"]",
        )
        .source_with(
            "bell",
            "hush",
            "scheme = \"token\"\ntoken_in = \"header:x-key\"\nsender = \"bell\"\nmethods = \"GET\"",
        )
        .log("audit-log")
        .start();
    let get = |path: &str, headers: &[(&str, &[u8])]| {
        daemon.client().send("GET", path, headers, b"").unwrap()
    };
    let path = "/twilio?From=%2B33600000002&MessageSid=SM5&Body=hi&To=%2B33600000001";
    let url = format!("https://hooks.example.org{path}");
    let header = sign(&daemon, &["sign", "--source", "twilio", "--url", &url], "");
    let (name, value) = header.lines().next().unwrap().split_once(": ").unwrap();
    let headers = [(name, value.as_bytes())];
    let taken = get(path, &headers);
    assert_eq!((taken.status, &taken.json()["accepted"]), (200, &1.into()), "{taken:?}");
    assert_eq!(get(path, &headers).json()["duplicates"], 1);
    assert_eq!(get(&path.replace("=hi", "=ho"), &headers).status, 401);

    assert_eq!(get("/kuma?status=up&key=hush&msg=OK", &[]).status, 200);
    assert_eq!(get("/kuma?status=up&key=wrong", &[]).status, 401);
    // Only the token: nothing is said.
    assert_eq!(get("/kuma?key=hush", &[]).status, 400);
    assert_eq!(get("/bell?msg=rung", &[("x-key", b"hush")]).status, 200);
    assert_eq!(post(&daemon, "bell", &[("x-key", b"hush")], "").status, 405);
    assert_eq!(
        seen(&daemon, 3),
        [
            "bell | unknown | info | rung",
            "kuma | up | info | OK",
            "twilio | message | info | +33600000002: hi",
        ]
    );
    let log = std::fs::read_to_string(daemon.log_path("audit-log")).unwrap();
    assert!(!log.contains("hush"), "{log}");
}

#[test]
fn schemes_of_ones_own_read_fields_parameters_and_a_space_behind_the_prefix() {
    let daemon = Daemon::new()
        .head(
            "schemes.form.signature_in_body = \"form:sig\"\n\
             schemes.form.signed = [\"form:at\", \"literal:.\", \"query:shop\", \"literal:.\", \"form:total\"]\n\
             schemes.address.signature_in_body = \"query:sig\"\nschemes.address.signed = \"body\"\n\
             schemes.halo.header = \"X-Halo-Signature\"\nschemes.halo.prefix = \"sha256=\"",
        )
        .source_with("form", "hush", "scheme = \"form\"\nsender = \"json\"")
        .source_with("address", "hush", "scheme = \"address\"\nsender = \"json\"")
        .source_with("halo", "hush", "scheme = \"halo\"\nsender = \"json\"")
        .log("audit-log")
        .start();
    let send = |path: &str, headers: &[(&str, &[u8])], body: &str| {
        daemon.client().send("POST", path, headers, body.as_bytes()).unwrap().status
    };
    let mac = signature("hush", b"7.a b.9,50");
    assert_eq!(send("/form?shop=a+b", &[FORM], &format!("at=7&total=9%2C50&sig={mac}")), 200);
    for (path, body) in [
        ("/form?shop=a+c", format!("at=7&total=9%2C50&sig={mac}")),
        ("/form?shop=a+b", format!("at=7&total=9%2C51&sig={mac}")),
        ("/form?shop=a+b", format!("at=7&total=9%2C50&total=9%2C50&sig={mac}")),
        ("/form?shop=a+b", "at=7&total=9%2C50".to_owned()),
    ] {
        assert_eq!(send(path, &[FORM], &body), 401, "{path} {body}");
    }
    let (body, mac) = ("{\"id\":1}", signature("hush", b"{\"id\":1}"));
    assert_eq!(send(&format!("/address?sig={mac}"), &[], body), 200);
    assert_eq!(send(&format!("/address?sig={mac}"), &[], "{\"id\":2}"), 401);
    assert_eq!(send("/address", &[], body), 401);
    for (value, expected) in [
        (format!("sha256= {mac}"), 200),
        (format!("sha256={mac}"), 200),
        (format!("sha256=\t{mac}"), 401),
        (format!("sha256= {}", mac.chars().rev().collect::<String>()), 401),
    ] {
        let status = send("/halo", &[("x-halo-signature", value.as_bytes())], body);
        assert_eq!(status, expected, "{value:?}");
    }
}

#[test]
fn the_content_type_of_what_came_is_kept_and_text_stays_text() {
    let any = "scheme = \"token\"\ntoken_in = \"query:key\"\nsender = \"any\"";
    let daemon = Daemon::new()
        .head("senders.any.body = \"any\"\nsenders.any.severity_default = \"info\"")
        .source_with("any", "hush", any)
        .source_with("json", "hush", &any.replace("\"any\"", "\"json\""))
        .source_with("signed", "hush", "scheme = \"sqreen\"\nsender = \"any\"")
        .log("audit-log")
        .start();
    let mac = |body: &str| signature("hush", body.as_bytes());
    let utf_16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("{\"id\":\"ö\"}".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let xml = "<?xml version=\"1.0\"?>\n<a>b</a>";
    let rows: [(&str, &str, &[u8]); 7] = [
        ("any", "text/xml; charset=utf-8", xml.as_bytes()),
        ("any", "text/plain", b"\n  Backup failed\n on db-1\n"),
        ("any", "application/x-www-form-urlencoded", b"a=J%F6rg&charset=windows-1252"),
        ("json", "application/json; charset=utf-16", &utf_16),
        ("json", "application/json; charset=windows-1252", b"{\"id\":\"\xe9\"}"),
        ("signed", "text/html", b"hello"),
        ("signed", "text/html", b"a=1"),
    ];
    for (source, content_type, body) in rows {
        let text = String::from_utf8_lossy(body).into_owned();
        let signed = mac(&text);
        let headers =
            [("content-type", content_type.as_bytes()), ("x-sqreen-integrity", signed.as_bytes())];
        let path = format!("/{source}?key=hush");
        let taken = daemon.client().send("POST", &path, &headers, body).unwrap();
        assert_eq!(taken.status, 200, "{content_type}: {taken:?}");
    }
    wait_for("the events", || (daemon.log_lines("audit-log").len() >= rows.len()).then_some(()));
    let shown = |line: &Value| {
        let kind = line["datacontenttype"].as_str().unwrap_or("none");
        format!("{kind} | {} | {}", line["title"].as_str().unwrap(), line["data"])
    };
    let mut lines: Vec<String> = daemon.log_lines("audit-log").iter().map(shown).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "application/x-www-form-urlencoded | unknown | \"a=1\"",
            "application/x-www-form-urlencoded | unknown | \"a=J%F6rg&charset=windows-1252\"",
            "none | unknown | {\"id\":\"é\"}",
            "none | unknown | {\"id\":\"ö\"}",
            "text/plain | Backup failed | \"\\n  Backup failed\\n on db-1\\n\"",
            "text/plain; charset=utf-8 | hello | \"hello\"",
            "text/xml; charset=utf-8 | <?xml version=\"1.0\"?> | \"<?xml version=\\\"1.0\\\"?>\\n<a>b</a>\"",
        ]
    );
}
