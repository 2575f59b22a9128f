//! Tests `dispatcher verify`: vendors' vectors, users' own schemes, and the causes that it names.
//!
//! `DISPATCHER_VECTORS` names a file of signature vectors; the default is a file beside the checkout. If it does
//! not exist, the test is skipped.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Daemon, Installed, Setup, wait_for};

/// The exit code of a command, and both of its streams.
struct Ended {
    code: Option<i32>,
    text: String,
}

fn run(mut command: Command, input: &[u8]) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses its arguments does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), text: text(output.stdout) + &text(output.stderr) }
}

fn dispatcher(installed: &Installed, arguments: &[&str], input: &[u8]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let mut command = installed.command();
    command.current_dir(folder.path()).args(arguments);
    run(command, input)
}

/// `printf BODY | dispatcher verify --scheme … --explain`.
fn verify(arguments: &[&str], body: &str) -> Ended {
    let all = [&["verify", "--explain"], arguments].concat();
    dispatcher(&Installed::new(), &all, body.as_bytes())
}

/// The built-in name of the scheme that a vector names.
fn scheme(name: &str) -> String {
    match name {
        "sendgrid_ecdsa" => "sendgrid".to_owned(),
        "discord_ed25519" => "discord".to_owned(),
        "standard_webhooks_v1a" => "standard-webhooks".to_owned(),
        name => name.replace('_', "-"),
    }
}

fn form(fields: &Value) -> String {
    let escape =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let fields = fields.as_object().into_iter().flatten();
    let pairs = fields.map(|(name, value)| {
        format!("{}={}", escape(name), escape(value.as_str().unwrap_or_default()))
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Whether a line of `verify` shows the answer to a handshake, alone or after its label.
fn answers(line: &str, response: &Value) -> bool {
    let answer = line.trim().strip_prefix("answer").unwrap_or(line);
    serde_json::from_str::<Value>(answer).is_ok_and(|answer| answer == *response)
}

#[test]
fn every_vector_of_the_vendors_is_decided_as_they_say() {
    let named = std::env::var_os("DISPATCHER_VECTORS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases/signatures.json");
    let file = named.unwrap_or(beside);
    let Ok(text) = std::fs::read(&file) else {
        eprintln!("skipped: no vectors at {}", file.display());
        return;
    };
    let document: Value = serde_json::from_slice(&text).unwrap();
    let installed = Installed::new();
    let mut wrong = Vec::new();
    let vectors = document["vectors"].as_array().unwrap();
    for vector in vectors {
        let text = |key: &str| vector[key].as_str().unwrap_or_default();
        // It is not known how the vendor signs.
        if text("note").contains("not confirmed") {
            continue;
        }
        let body = vector["body"].as_str().map_or_else(|| form(&vector["form"]), str::to_owned);
        let mut arguments = vec!["verify".to_owned(), "--explain".to_owned()];
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("--scheme", scheme(text("scheme")));
        add("--secret", text("secret").to_owned());
        for (name, value) in vector["headers"].as_object().unwrap() {
            add("--header", format!("{name}: {}", value.as_str().unwrap()));
        }
        for (key, option) in [("url", "--url"), ("method", "--method")] {
            if let Some(value) = vector[key].as_str() {
                add(option, value.to_owned());
            }
        }
        if let Some(now) = vector["now"].as_u64() {
            add("--now", now.to_string());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended = dispatcher(&installed, &arguments, body.as_bytes());
        let expected = i32::from(text("expect") != "accept");
        if ended.code != Some(expected) {
            wrong.push(format!("{}: {:?} {}", text("id"), ended.code, ended.text));
        }
        if let Some(response) = vector.get("response")
            && !ended.text.lines().any(|line| answers(line, response))
        {
            wrong.push(format!("{}: not answered {response}: {}", text("id"), ended.text));
        }
        // Neither a whole digest nor a secret may be shown.
        // Short secrets are ordinary words, or are in the signed bytes.
        let shown = text("secret").len() > 8 && ended.text.contains(text("secret"));
        assert!(!shown, "{}: {}", text("id"), ended.text);
    }
    assert!(vectors.len() > 40, "only {} vectors in {}", vectors.len(), file.display());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a sender signs rightly is accepted by a source only if the daemon would store it. A scheme alone decides the
/// signature, and says the rest.
#[test]
fn a_rightly_signed_body_that_cannot_be_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dispatcher.toml");
    std::fs::write(&file, "sources.github.secrets = \"literal:hush\"\n").unwrap();
    let config = ["--config", file.to_str().unwrap(), "verify", "--source", "github"];
    for (body, words) in [
        ("", "the body is empty"),
        ("hello", "the body is not valid JSON"),
        ("{} {}", "something follows the JSON document"),
    ] {
        let sign = ["sign", "--scheme", "github", "--secret", "literal:hush"];
        let signed = dispatcher(&Installed::new(), &sign, body.as_bytes());
        let header = signed.text.lines().next().unwrap().to_owned();
        let ended = verify(&["--scheme", "github", "--secret", "hush", "--header", &header], body);
        let text = ended.text;
        assert_eq!(ended.code, Some(0), "{text}");
        let refused = format!("but a source of this sender would refuse it: {words}");
        assert!(text.contains(&refused), "{text}");
        let arguments = [&config[..], &["--header", &header]].concat();
        let ended = dispatcher(&Installed::new(), &arguments, body.as_bytes());
        let text = ended.text;
        assert_eq!(ended.code, Some(1), "{text}");
        assert!(text.contains(&format!("the signature is right, but {words}")), "{text}");
    }
}

#[test]
fn the_usual_accident_is_named() {
    let body = r#"{"a": [1, 2.50], "b": "x"}"#;
    let signed = |scheme: &str, secret: &str, body: &str| {
        let reference = format!("literal:{secret}");
        let arguments = ["sign", "--scheme", scheme, "--secret", &reference];
        let ended = dispatcher(&Installed::new(), &arguments, body.as_bytes());
        assert_eq!(ended.code, Some(0), "{}", ended.text);
        ended.text.lines().next().unwrap().to_owned()
    };
    let good = signed("github", "hush", body);
    let shopify =
        signed("shopify", "hush", body).replace("x-shopify-hmac-sha256", "X-Sqreen-Integrity");
    let compact = body.replace(' ', "");
    let ended_line = format!("{body}\n");
    for (scheme, secret, header, body, expected) in [
        ("github", "hush", &good, compact.as_str(), "re-serialized on the way: with a space after"),
        ("github", "hush", &good, &ended_line, "white space that was not signed"),
        ("github", "\"hush\"", &good, body, "is in quotes"),
        ("github", " hush", &good, body, "white space around it"),
        ("sqreen", "hush", &shopify, body, "base64, but should be hexadecimal"),
        ("bitbucket", "hush", &good, body, "scheme `github` accepts it"),
    ] {
        let ended = verify(&["--scheme", scheme, "--secret", secret, "--header", header], body);
        assert_eq!(ended.code, Some(1), "{}", ended.text);
        assert!(ended.text.contains(expected), "{expected}: {}", ended.text);
    }
    let other = verify(&["--scheme", "github", "--secret", "other", "--header", &good], body);
    assert!(other.text.contains("\n  signed bytes  {\"a\": [1, 2.50]"), "{}", other.text);
    let digest = good.split('=').nth(1).unwrap();
    assert!(other.text.contains(&format!("sent          {}…", &digest[..8])), "{}", other.text);
    assert!(!other.text.contains(&digest[..9]) && !other.text.contains("cause"), "{}", other.text);
}

#[test]
fn a_line_break_at_the_end_of_the_body_is_named_once() {
    let (body, added) = (r#"{"a":1}"#, "such as `echo` and editors add");
    for (signed, sent, expected) in [
        (body, "{\"a\":1}\n", added),
        (body, "{\"a\":1}\r\n", added),
        (body, "{\"a\":1} \n", "white space that was not signed was added at the end"),
        ("{\"a\":1}\n", body, "the body lost the line break at its end"),
    ] {
        let sign = ["sign", "--scheme", "github", "--secret", "hush"];
        let header = dispatcher(&Installed::new(), &sign, signed.as_bytes()).text;
        let header = header.lines().next().unwrap();
        let all = ["--scheme", "github", "--secret", "hush", "--header", header];
        let text = verify(&all, sent).text;
        assert!(text.contains(expected), "{sent:?}: {text}");
        assert_eq!(
            text.matches("end of the body").count() + text.matches("at its end").count(),
            1,
            "{text}"
        );
    }
}

#[test]
fn an_address_that_a_proxy_changed_is_named() {
    let reference = "literal:hush";
    let signed = dispatcher(
        &Installed::new(),
        &[
            "sign",
            "--scheme",
            "square",
            "--secret",
            reference,
            "--url",
            "https://a.example/in/hook",
        ],
        b"{}",
    );
    let header = signed.text.lines().next().unwrap();
    for (url, expected) in [
        ("http://a.example/in/hook", "another address, https://a.example/in/hook"),
        ("https://a.example/in/hook/", "another address, https://a.example/in/hook"),
        ("https://a.example:443/in/hook", "another address, https://a.example/in/hook"),
    ] {
        let ended = verify(
            &["--scheme", "square", "--secret", "hush", "--header", header, "--url", url],
            "{}",
        );
        assert!(ended.code == Some(1) && ended.text.contains(expected), "{url}: {}", ended.text);
    }
    let none = verify(&["--scheme", "square", "--secret", "hush", "--header", header], "{}");
    assert!(none.code == Some(2) && none.text.contains("--url"), "{}", none.text);
}

#[test]
fn a_users_own_scheme_accepts_what_openssl_signed() {
    let openssl = Command::new("openssl").arg("version").output();
    if !openssl.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = concat!(
        "[schemes.acme]\nheader = \"X-Acme-Signature\"\nprefix = \"v1=\"\nseparator = \",\"\n",
        "signed = [\"time\", \"literal:.\", \"body\"]\ntime = \"element:t=\"\n",
        "[sources.acme]\nsecrets = \"env:ACME_SECRET\"\n",
        "[targets.log]\nplugin = \"file-log\"\nsettings.path = \"x\"\n",
    );
    std::fs::write(folder.path().join("dispatcher.toml"), config).unwrap();
    let mut sign = Command::new("openssl");
    sign.args(["dgst", "-sha256", "-hmac", "hush", "-r"]);
    let digest = run(sign, b"1700000000.{\"a\": 1}").text;
    let digest = digest.split(' ').next().unwrap();
    let header = format!("X-Acme-Signature: t=1700000000,v1={digest}");
    let installed = Installed::new();
    for (now, code, expected) in [
        ("1700000299", 0, "accepted: scheme `acme`"),
        ("1700000301", 1, "the timestamp is 301 s old"),
    ] {
        for by in [&["--scheme", "acme", "--secret", "hush"][..], &["--source", "acme"]] {
            let mut command = installed.command();
            command.current_dir(folder.path()).env("ACME_SECRET", "hush");
            command.args([&["verify", "--header", &header, "--now", now], by].concat());
            let ended = run(command, b"{\"a\": 1}");
            assert_eq!(ended.code, Some(code), "{}", ended.text);
            assert!(ended.text.contains(expected), "{}", ended.text);
        }
    }
}

/// The Ed25519 key pair whose seed is the bytes 0 to 31.
const SEED: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const PUBLIC: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

/// A source for each scheme that needs only one secret, named like the scheme.
fn all_schemes() -> (Setup, Vec<String>) {
    let list = dispatcher(&Installed::new(), &["verify", "--list"], b"").text;
    let mut setup = Daemon::new()
        .server("public_url = \"https://hooks.example.org/in\"")
        .head("schemes.acme.header = \"X-Acme\"\nschemes.acme.signed = [\"url\", \"body\"]")
        .log("audit-log");
    let mut names: Vec<String> = Vec::new();
    let is_published = |line: &str| line.contains("JSON Web Token") || line.contains("published");
    let shared = list.lines().filter(|line| !is_published(line));
    let listed = shared.filter_map(|line| line.split(' ').next());
    for name in listed.filter(|name| *name != "none" && *name != "sendgrid").chain(["acme"]) {
        // Hexadecimal digits are also base64.
        let secret = match name {
            "discord" => PUBLIC,
            "basic" => "user:00ff00ff",
            // Signs no content, so that it may not have the secret of a handshake that signs.
            "mailgun" => "11ff11ff",
            _ => "00ff00ff",
        };
        let lines = format!("scheme = \"{name}\"\nsecrets = \"literal:{secret}\"");
        setup = setup.source_table(name, &lines);
        names.push(name.to_owned());
    }
    (setup, names)
}

#[test]
fn a_daemon_accepts_what_each_scheme_signs_and_refuses_unsigned_requests() {
    let (setup, names) = all_schemes();
    let daemon = setup.start();
    let to = format!("http://{}", daemon.address());
    let body = daemon.home().join("body.json");
    let private = format!("literal:{SEED}");
    let mut wrong = Vec::new();
    for name in &names {
        std::fs::write(&body, format!("{{\"id\": \"{name}\"}}")).unwrap();
        let file = body.to_str().unwrap();
        let mut arguments = vec!["send", name.as_str(), "--to", &to, "--file", file];
        if name == "discord" {
            arguments.extend(["--key", &private]);
        }
        let sent = run(daemon.command(&arguments), b"");
        if sent.code != Some(0) || !sent.text.contains("200 ") {
            wrong.push(format!("{name}: {:?} {}", sent.code, sent.text));
        }
        let bare = daemon.client().send("POST", &format!("/{name}"), &[], b"{}").unwrap();
        assert!(matches!(bare.status, 401), "{name}: {bare:?}");
    }
    assert!(names.len() > 70 && wrong.is_empty(), "{}", wrong.join("\n"));
    let all = |daemon: &Daemon| daemon.log_lines("audit-log").len() == names.len();
    wait_for("every delivery", || all(&daemon).then_some(()));
    let log = std::fs::read_to_string(daemon.log_path("audit-log")).unwrap();
    assert!(!log.contains("00ff00ff") && !log.contains("11ff11ff"), "a token was kept");
}

#[test]
fn wrong_usage_exits_with_2() {
    for (arguments, expected) in [
        (&["--scheme", "gihtub", "--secret", "x"][..], "did you mean `github`?"),
        (&["--scheme", "falco", "--secret", "x"], "falco does not sign, use `token`"),
        (&["--scheme", "github"], "--secret"),
        (&["--scheme", "github", "--secret", ""], "secret 1 is empty"),
        (&["--scheme", "discord", "--secret", "x"], "not an Ed25519 public key"),
        (&["--scheme", "github", "--secret", "x", "--header", "x"], "'Name: value'"),
        (&["--scheme", "github", "--secret", "env:NOT_SET_ANYWHERE"], "is not set"),
    ] {
        let ended = verify(arguments, "{}");
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.text);
        assert!(ended.text.contains(expected), "{expected}: {}", ended.text);
    }
    for (body, expected) in [
        ("{}", "refused: "),
        (r#"{"event":"endpoint.url_validation","payload":{"plainToken":"{}"}}"#, "refused: "),
    ] {
        let ended = verify(&["--scheme", "zoom-challenge", "--secret", "x"], body);
        assert!(ended.code == Some(1) && ended.text.starts_with(expected), "{}", ended.text);
    }
    let list = dispatcher(&Installed::new(), &["verify", "--list"], b"");
    assert!(list.code == Some(0) && list.text.lines().count() > 70, "{}", list.text);
}
