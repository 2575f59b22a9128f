//! A scripted server in place of Twilio, for the real daemon.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::receiver::{Heard, read_request};
use crate::harness::{Setup, wait_for};

/// One request for a message.
#[derive(Clone, Debug)]
pub(crate) struct Sms {
    pub(crate) at: Instant,
    pub(crate) to: String,
    pub(crate) text: String,
    /// The status of the response.
    pub(crate) status: u16,
}

/// A response: status, further header lines, body.
pub(crate) type Reply = (u16, &'static str, &'static str);

/// The message is accepted.
pub(crate) const TAKEN: Reply =
    (201, "", r#"{"sid": "SM0123456789abcdef0123456789abcdef", "status": "queued"}"#);

/// The connection is closed after the request has been read.
pub(crate) const CUT: Reply = (0, "", "");

pub(crate) struct Twilio {
    port: u16,
    asked: Arc<Mutex<Vec<Sms>>>,
}

impl Twilio {
    /// `script` gets the number of the request, from 0, and its recipient, or no recipient if the account is read.
    pub(crate) fn playing(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Sms>>> = Arc::default();
        let (asking, script) = (Arc::clone(&asked), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (asking, script) = (Arc::clone(&asking), Arc::clone(&script));
                // Ends with the connection, which the daemon closes.
                std::thread::spawn(move || serve(stream.unwrap(), &asking, &*script));
            }
        });
        Self { port, asked }
    }

    /// The target `sms` of these numbers.
    pub(crate) fn target(&self, setup: Setup, to: &[&str], lines: &str) -> Setup {
        let account = format!("AC{}", "0".repeat(32));
        let port = self.port;
        let lines = format!(
            "allow = [\"127.0.0.0/8\"]\nsettings.api_base = \"http://127.0.0.1:{port}\"\n\
             settings.account_sid = \"{account}\"\nsettings.auth_token = \"env:TWILIO_TOKEN\"\n\
             settings.from = \"+15005550006\"\nsettings.to = {to:?}\n{lines}"
        );
        setup.target_of("sms", "twilio-sms", &lines)
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Sms> {
        self.asked.lock().unwrap().clone()
    }

    /// Those that were accepted.
    pub(crate) fn taken(&self) -> Vec<Sms> {
        self.asked().into_iter().filter(|sms| sms.status == 201).collect()
    }

    #[track_caller]
    pub(crate) fn wait_asked(&self, count: usize) -> Vec<Sms> {
        wait_for(&format!("{count} requests"), || {
            Some(self.asked()).filter(|asked| asked.len() >= count)
        })
    }
}

/// The time from the first request to request number `place`, counted from 0.
pub(crate) fn after(asked: &[Sms], place: usize) -> Duration {
    asked[place].at - asked[0].at
}

/// The count of events in a message.
pub(crate) fn events_in(sms: &Sms) -> u64 {
    let more = sms.text.rsplit_once("(+").and_then(|(_, rest)| rest.split_once(" more)"));
    more.map_or(1, |(count, _)| count.parse::<u64>().unwrap() + 1)
}

fn serve(stream: TcpStream, asked: &Mutex<Vec<Sms>>, script: &dyn Fn(usize, &str) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(Heard { is_get, body: form, .. }) = read_request(&mut reader) {
        let field = |name: &str| {
            let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(key, _)| *key == name);
            found.map(|(_, value)| decoded(value)).unwrap_or_default()
        };
        let (to, text) = (field("To"), field("Body"));
        let mut list = asked.lock().unwrap();
        let (status, headers, answer) = script(list.len(), &to);
        // A check of the account sends no message.
        if !is_get {
            list.push(Sms { at: Instant::now(), to, text, status });
        }
        drop(list);
        if status == 0 {
            return;
        }
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = String::from_utf8(hex).unwrap();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap()
}
