//! The requests of `twilio-sms`, validated by the mock server Prism.
//!
//! `DISPATCHER_PRISM` names the program `prism` (`npm install @stoplight/prism-cli@5` puts it at
//! `node_modules/.bin/prism`); without it the test says that it is skipped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::twilio::{ACCOUNT, TOKEN, twilio};
use super::*;

struct Prism {
    process: Child,
    url: String,
}

impl Prism {
    /// Returns when it listens, however long that takes.
    fn start(program: &std::ffi::OsStr) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new(program);
        command.args(["mock", "-h", "127.0.0.1", "-p", "0"]);
        command.arg(root.join("tests/fixtures/twilio-messages.openapi.json"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut prism = Self { process: command.spawn().unwrap(), url: String::new() };
        let mut output = BufReader::new(prism.process.stdout.take().unwrap()).lines();
        let listening = |line: String| Some(line.split("listening on ").nth(1)?.trim().to_owned());
        let url = output.by_ref().map_while(Result::ok).find_map(listening);
        prism.url = url.expect("prism ended before it listened");
        // Reads the rest of its output, so that it never blocks on a full pipe.
        std::thread::spawn(move || output.for_each(drop));
        prism
    }

    fn target(&self, changes: Value) -> Instance {
        let mut settings =
            json!({ "account_sid": ACCOUNT, "to": "+33612345678", "api_base": self.url });
        let Value::Object(changes) = changes else { panic!("changes are an object") };
        settings.as_object_mut().unwrap().extend(changes);
        twilio(&settings).unwrap()
    }

    /// The status of its response to a form.
    async fn status(&self, form: &'static str) -> u16 {
        let outgoing = egress::Outgoing {
            method: http::Method::POST,
            url: format!("{}/2010-04-01/Accounts/{ACCOUNT}/Messages.json", self.url),
            headers: vec![
                ("authorization".to_owned(), "Basic YTpi".to_owned()),
                ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
            ],
            body: Bytes::from_static(form.as_bytes()),
            allow: Arc::new(["127.0.0.0/8".parse().unwrap()]),
            deadline: soon(),
        };
        let client = egress::Client::new(&egress::Settings::default()).unwrap();
        client.send(outgoing).await.unwrap().status
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        // It may already have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_mock_server_built_from_twilios_specification_accepts_every_message() {
    let Some(program) = std::env::var_os("DISPATCHER_PRISM") else {
        println!("skipped: DISPATCHER_PRISM names no program `prism`");
        return;
    };
    let prism = Prism::start(&program);
    assert_eq!(prism.status("To=%2B33612345678&From=Acme&Body=x").await, 201);
    assert_eq!(prism.status("From=Acme&Body=x").await, 400, "it looks at what it gets");
    assert_eq!(prism.status("To=%2B33612345678&From=Acme&Body=").await, 400);

    let service = "MG0123456789abcdef0123456789abcdef";
    let key = "SK0123456789abcdef0123456789abcdef";
    for changes in [
        json!({ "auth_token": TOKEN, "from": "+15005550006" }),
        json!({ "auth_token": TOKEN, "messaging_service_sid": service }),
        json!({ "api_key": key, "api_key_secret": TOKEN, "from": "Acme" }),
        json!({
            "auth_token": TOKEN,
            "from": "12345",
            "to": ["+33612345678", "+14155552345", "+966501234567"],
            "segments_max": 10,
        }),
    ] {
        let target = prism.target(changes.clone());
        let long = "&=%+ €{}".repeat(1000);
        for title in
            ["SQL injection from 203.0.113.9", "هجوم على المتجر", "🚨 👨‍👩‍👧‍👦", "\u{200b}", &long]
        {
            let verdict = target.deliver(&[delivery(1, title)], soon()).await.remove(0);
            let receipt =
                verdict.unwrap_or_else(|failure| panic!("{changes} {title}: {failure:?}"));
            assert_eq!(receipt.id.as_deref(), Some("SM00000000000000000000000000000002"));
        }
    }
}
