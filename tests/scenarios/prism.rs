//! Messages to several numbers through the mock server Prism, which validates them.
//!
//! `DISPATCHER_PRISM` names the program `prism` (`.ci/run` installs it); without it the test is skipped and says
//! so. Prism accepts only what Twilio's specification allows: a message with an empty text gets 400.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::{Daemon, SECRET, Setup, body, event, events, wait_for};

const NUMBERS: [&str; 3] = ["+33600000001", "+33600000002", "+33600000003"];
/// The sid in every response of Prism: an example in the specification.
const SID: &str = "SM00000000000000000000000000000002";
/// The message of the sender's test button. Its description is empty.
const TEST_MESSAGE: &str = include_str!("../fixtures/sqreen_test.json");

/// Killed when the test ends.
struct Prism {
    process: Child,
    url: String,
}

impl Prism {
    /// Starts it on a free port and returns once it listens.
    fn start(program: &OsStr) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new(program);
        command.args(["mock", "-h", "127.0.0.1", "-p", "0"]);
        command.arg(root.join("tests/fixtures/twilio-messages.openapi.json"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut prism = Self { process: command.spawn().unwrap(), url: String::new() };
        let mut output = BufReader::new(prism.process.stdout.take().unwrap());
        loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).unwrap() > 0, "prism ended before it listened");
            if let Some((_, url)) = line.split_once("Prism is listening on ") {
                url.trim().clone_into(&mut prism.url);
                break;
            }
        }
        // Reads the rest of its output, so that it never blocks on a full pipe.
        std::thread::spawn(move || output.bytes().for_each(drop));
        prism
    }

    /// The target `sms` of three numbers.
    fn target(&self, setup: Setup) -> Setup {
        let lines = format!(
            "allow = [\"127.0.0.0/8\"]\nsettings.api_base = \"{}\"\n\
             settings.account_sid = \"AC0123456789abcdef0123456789abcdef\"\n\
             settings.auth_token = \"env:TWILIO_TOKEN\"\nsettings.from = \"+15005550006\"\n\
             settings.to = {NUMBERS:?}\nroute = {{ sources = [\"sqreen\"] }}",
            self.url
        );
        setup.target_of("sms", "twilio-sms", &lines)
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        // It may already have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn every_kind_of_event_reaches_three_numbers_and_explain_shows_each_sid() {
    let Some(program) = std::env::var_os("DISPATCHER_PRISM") else {
        eprintln!("skipped: DISPATCHER_PRISM names no program `prism`");
        return;
    };
    let prism = Prism::start(&program);
    let daemon = prism.target(Daemon::new().source("sqreen", SECRET)).start();
    let titled = |title: &str| {
        let [id] = &events("other", 1)[..] else { panic!("one was asked for") };
        let other = event(id).replace(&format!("Attack {id} from 203.0.113.9"), title);
        assert!(other.contains(title), "the event's title was replaced: {other}");
        format!("[{other}]").into_bytes()
    };
    for content in [
        body(&events("attack", 1)),
        TEST_MESSAGE.as_bytes().to_vec(),
        titled("محاولة حقن SQL على المتجر"),
        titled("🚨 Attack 👨‍👩‍👧‍👦 from 203.0.113.9 🇫🇷"),
    ] {
        let answer = daemon.post(&content);
        assert_eq!(answer.status, 200);
        let id = answer.json()["ids"][0].as_str().unwrap().to_owned();
        let output = wait_for("three deliveries", || {
            let explained = daemon.command(&["explain", &id]).output().unwrap();
            let output = String::from_utf8(explained.stdout).unwrap();
            (output.matches("  delivered at ").count() == 3).then_some(output)
        });
        assert_eq!(output.matches(SID).count(), 3, "{output}");
        for number in NUMBERS {
            assert!(output.contains(&format!("→ sms/{number}  delivered at ")), "{output}");
        }
    }
}
