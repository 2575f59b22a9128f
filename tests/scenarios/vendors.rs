//! Lets vendors' own libraries sign for a running daemon, and verify what `dispatcher sign` signs.
//!
//! `DISPATCHER_VENDORS` names a folder with `bin/python` and `node/node_modules`, in which the libraries of
//! `tests/vendors` are installed (`.ci/run` does that). Without it the tests are skipped.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Daemon, Setup, signature};

const URL: &str = "https://hooks.example.org";
/// Ed25519: the seed with the bytes 0 to 31, its public key, and the seed with the bytes 1 to 32.
const SEED: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const PUBLIC: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
const SEED_OTHER: &str = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";

/// Where the time of a signature is.
#[derive(Clone, Copy, PartialEq)]
enum Time {
    /// Nowhere: a copy stays valid for ever, and the tests of stale and future times do not apply.
    Never,
    Signed,
    /// In the body.
    Inside,
    /// In the signature's header, in milliseconds; the library cannot sign.
    Beside,
}

/// A vendor whose library is installed.
struct Vendor {
    /// Also the name of its scheme and its source.
    name: &'static str,
    python: bool,
    /// Whether the library can sign. If not, `dispatcher sign` signs and the library verifies.
    signs: bool,
    time: Time,
    /// The header with its signature.
    header: &'static str,
}

const fn python(name: &'static str, signs: bool, time: Time, header: &'static str) -> Vendor {
    Vendor { name, python: true, signs, time, header }
}

const fn node(name: &'static str, signs: bool, time: Time, header: &'static str) -> Vendor {
    Vendor { name, python: false, signs, time, header }
}

const VENDORS: [Vendor; 15] = [
    python("svix", true, Time::Signed, "svix-signature"),
    python("standard-webhooks", true, Time::Signed, "webhook-signature"),
    python("stripe", true, Time::Signed, "stripe-signature"),
    python("slack", true, Time::Signed, "x-slack-signature"),
    python("twilio", true, Time::Never, "x-twilio-signature"),
    python("discord", true, Time::Signed, "x-signature-ed25519"),
    python("paddle", true, Time::Signed, "paddle-signature"),
    python("workos", false, Time::Beside, "workos-signature"),
    python("razorpay", false, Time::Never, "x-razorpay-signature"),
    python("line", false, Time::Never, "x-line-signature"),
    python("square", false, Time::Never, "x-square-hmacsha256-signature"),
    node("github", true, Time::Never, "x-hub-signature-256"),
    node("sendgrid", true, Time::Signed, "x-twilio-email-event-webhook-signature"),
    node("pusher", true, Time::Never, "x-pusher-signature"),
    node("linear", false, Time::Inside, "linear-signature"),
];

/// A program of `tests/vendors`. It exits when its input ends.
struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended at {question}");
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The keys of a vendor: to sign, to verify, and a wrong one.
struct Keys {
    signs: String,
    /// For `dispatcher sign`.
    signs_here: String,
    receives: String,
    other: String,
}

/// Both programs, and the keys of each vendor.
struct Libraries {
    python: Program,
    node: Program,
    keys: Vec<Keys>,
}

impl Libraries {
    fn start() -> Option<Self> {
        let Some(folder) = std::env::var_os("DISPATCHER_VENDORS").map(PathBuf::from) else {
            eprintln!("skipped: DISPATCHER_VENDORS names no folder with the vendors' libraries");
            return None;
        };
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vendors");
        let mut python = Command::new(folder.join("bin/python"));
        python.arg(scripts.join("sign.py"));
        let mut node = Command::new("node");
        // Node looks for modules from the working directory.
        node.args(["--input-type=module", "--eval"]).current_dir(folder.join("node"));
        node.arg(std::fs::read_to_string(scripts.join("sign.mjs")).unwrap());
        let mut libraries =
            Self { python: Program::start(python), node: Program::start(node), keys: Vec::new() };
        let pair = |node: &mut Program| {
            let pair = node.ask(&json!({ "op": "keys" }));
            ["private", "pkcs8", "public"].map(|key| pair[key].as_str().unwrap().to_owned())
        };
        for vendor in &VENDORS {
            let keys = match vendor.name {
                "svix" | "standard-webhooks" => {
                    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
                    Keys::shared(key, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
                }
                "discord" => Keys { receives: PUBLIC.to_owned(), ..Keys::shared(SEED, SEED_OTHER) },
                "sendgrid" => {
                    let [signs, signs_here, receives] = pair(&mut libraries.node);
                    let [other, _, _] = pair(&mut libraries.node);
                    Keys { signs, signs_here, receives, other }
                }
                name => Keys::shared(&format!("the secret of {name}"), "the secret of another"),
            };
            libraries.keys.push(keys);
        }
        Some(libraries)
    }

    fn ask(&mut self, vendor: &Vendor, question: &Value) -> Value {
        let program = if vendor.python { &mut self.python } else { &mut self.node };
        let mut question = question.clone();
        question["vendor"] = vendor.name.into();
        question["url"] = vendor.url().into();
        question["id"] = "msg_2Lh9KRb0pzN4LePd3XiA4v12Axj".into();
        program.ask(&question)
    }

    fn sign(&mut self, vendor: &Vendor, key: &str, time: u64, body: &str) -> Headers {
        let question = json!({ "op": "sign", "key": key, "time": time, "body": body });
        let headers = self.ask(vendor, &question)["headers"].take();
        let headers = headers.as_object().unwrap().iter();
        headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
    }

    /// Whether the library accepts a request.
    fn takes(&mut self, vendor: &Vendor, key: &str, headers: &Headers, body: &str) -> bool {
        let headers: serde_json::Map<_, _> =
            headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let question = json!({ "op": "verify", "key": key, "headers": headers, "body": body });
        self.ask(vendor, &question)["valid"].as_bool().unwrap()
    }
}

type Headers = Vec<(String, String)>;

impl Keys {
    fn shared(key: &str, other: &str) -> Self {
        let [signs, signs_here, receives] = [key; 3].map(str::to_owned);
        Self { signs, signs_here, receives, other: other.to_owned() }
    }
}

impl Vendor {
    fn url(&self) -> String {
        format!("{URL}/{}", self.name)
    }

    fn body(&self, time: u64) -> String {
        match self.name {
            "twilio" => "Body=as+it+was&From=%2B33600000001&To=%2B33600000002&Empty=".to_owned(),
            _ => format!(
                "{{\"type\": \"order.paid\", \"webhookTimestamp\": {time}000, \"text\": \"as it was\"}}\n"
            ),
        }
    }

    fn content_type(&self) -> &'static str {
        if self.name == "twilio" { "application/x-www-form-urlencoded" } else { "application/json" }
    }
}

fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn daemon(libraries: &Libraries) -> Daemon {
    let mut setup: Setup =
        Daemon::new().server(&format!("public_url = \"{URL}\"")).log("audit-log");
    for (vendor, keys) in VENDORS.iter().zip(&libraries.keys) {
        let scheme = format!("scheme = \"{}\"", vendor.name);
        setup = setup.source_with(vendor.name, &keys.receives, &scheme);
    }
    setup.start()
}

fn run(mut command: Command, input: &str) -> (Option<i32>, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout) + &text(output.stderr))
}

/// The headers and body that `dispatcher sign --curl` prints.
fn sign_here(daemon: &Daemon, vendor: &Vendor, key: &str, body: &str) -> (Headers, String) {
    let (key, url) = (format!("literal:{key}"), vendor.url());
    let arguments = ["sign", "--scheme", vendor.name, "--secret", &key, "--url", &url, "--curl"];
    let (code, line) = run(daemon.command(&arguments), body);
    assert_eq!(code, Some(0), "{}: {line}", vendor.name);
    let mut words = line.split('\'').collect::<Vec<_>>().into_iter();
    let (mut headers, mut sent) = (Headers::new(), String::new());
    while let (Some(before), Some(word)) = (words.next(), words.next()) {
        if before.ends_with("-H ") {
            let (name, value) = word.split_once(": ").unwrap();
            headers.push((name.to_owned(), value.to_owned()));
        } else if before.ends_with("--data-binary ") {
            word.clone_into(&mut sent);
        }
    }
    headers.retain(|(name, _)| name != "content-type");
    (headers, sent)
}

/// A request, and the text of the expected refusal; `None` if it must be accepted.
struct Case {
    what: &'static str,
    headers: Headers,
    body: String,
    expected: Option<&'static str>,
}

fn cases(libraries: &mut Libraries, daemon: &Daemon, number: usize) -> Vec<Case> {
    let vendor = &VENDORS[number];
    let keys = &libraries.keys[number];
    let (signs, signs_here, other) =
        (keys.signs.clone(), keys.signs_here.clone(), keys.other.clone());
    let body = vendor.body(now());
    let mut sign = |key: &str, time: u64| {
        let body = vendor.body(time);
        if vendor.signs { libraries.sign(vendor, key, time, &body) } else { Headers::new() }
    };
    let (headers, wrong, body) = if vendor.signs {
        (sign(&signs, now()), sign(&other, now()), body)
    } else {
        let (headers, body) = sign_here(daemon, vendor, &signs_here, &body);
        (headers, sign_here(daemon, vendor, &other, &body).0, body)
    };
    let changed = if vendor.name == "twilio" {
        body.replace("+was", "+waz")
    } else {
        body.replace(" was", " waz")
    };
    let mut doubled = headers.clone();
    doubled.extend(headers.iter().find(|(name, _)| name == vendor.header).cloned());
    let case = |what, headers: &Headers, body: &str, expected| Case {
        what,
        headers: headers.clone(),
        body: body.to_owned(),
        expected,
    };
    let mismatch = Some("the signature does not match");
    let mut cases = vec![
        case("signed", &headers, &body, None),
        case("one byte changed", &headers, &changed, mismatch),
        case("wrong key", &wrong, &body, mismatch),
        case("doubled header", &doubled, &body, Some("is sent 2 times")),
    ];
    for (what, time, expected) in
        [("stale", now() - 1_000, "s old, the limit"), ("future", now() + 1_000, "in the future")]
    {
        let body = vendor.body(time);
        let headers = match vendor.time {
            Time::Never => continue,
            Time::Signed => sign(&signs, time),
            Time::Inside => vec![(vendor.header.to_owned(), signature(&signs, body.as_bytes()))],
            Time::Beside => {
                let mac = signature(&signs, format!("{time}000.{body}").as_bytes());
                vec![(vendor.header.to_owned(), format!("t={time}000, v1={mac}"))]
            }
        };
        cases.push(case(what, &headers, &body, Some(expected)));
    }
    cases
}

fn post(daemon: &Daemon, vendor: &Vendor, case: &Case) -> u16 {
    let mut sent = vec![("content-type", vendor.content_type().as_bytes())];
    sent.extend(case.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    let path = format!("/{}", vendor.name);
    daemon.client().send("POST", &path, &sent, case.body.as_bytes()).unwrap().status
}

#[test]
fn what_vendors_libraries_sign_is_taken_and_every_refusal_explained() {
    let Some(mut libraries) = Libraries::start() else { return };
    let daemon = daemon(&libraries);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (number, vendor) in VENDORS.iter().enumerate() {
        let secret = libraries.keys[number].receives.clone();
        let at = now().to_string();
        let cases = cases(&mut libraries, &daemon, number);
        // Post all before explaining the first: one vendor's requests are valid for 5 s.
        let statuses: Vec<u16> = cases.iter().map(|case| post(&daemon, vendor, case)).collect();
        for (Case { what, headers, body, expected }, status) in cases.iter().zip(statuses) {
            count += 1;
            let mut explain = daemon.command(&["verify", "--explain", "--scheme", vendor.name]);
            explain.args(["--secret", &secret, "--url", &vendor.url(), "--now", &at]);
            for (name, value) in headers {
                explain.args(["--header", &format!("{name}: {value}")]);
            }
            let (code, explained) = run(explain, body);
            let found = (status, code, explained.contains(expected.unwrap_or("accepted: ")));
            let expected =
                if expected.is_some() { (401, Some(1), true) } else { (200, Some(0), true) };
            if found != expected {
                let name = vendor.name;
                wrong.push(format!("{name}, {what}: {found:?}\n{headers:?}\n{body}\n{explained}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 70, "only {count} cases");
}

#[test]
fn what_is_signed_here_the_vendors_libraries_take() {
    let Some(mut libraries) = Libraries::start() else { return };
    let daemon = daemon(&libraries);
    let mut wrong = Vec::new();
    for (number, vendor) in VENDORS.iter().enumerate() {
        let keys = &libraries.keys[number];
        let (signs_here, receives) = (keys.signs_here.clone(), keys.receives.clone());
        let (headers, body) = sign_here(&daemon, vendor, &signs_here, &vendor.body(now()));
        let changed = body.replace("was", "waz");
        for (body, expected) in [(&body, true), (&changed, false)] {
            if libraries.takes(vendor, &receives, &headers, body) != expected {
                wrong.push(format!("{} {expected}: {headers:?}\n{body}", vendor.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
