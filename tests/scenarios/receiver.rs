//! A scripted HTTP server as a destination, which also plays bytes that are not proper HTTP.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::harness::Setup;

/// Answers a request by its number, from 0, and its body.
type Script = dyn Fn(usize, &str, &mut TcpStream) + Send + Sync;

pub(crate) struct Receiver {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Receiver {
    pub(crate) fn playing(
        script: impl Fn(usize, &str, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (hears, script): (_, Arc<Script>) = (Arc::clone(&heard), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (hears, script) = (Arc::clone(&hears), Arc::clone(&script));
                // Ends with the connection, which the daemon closes.
                std::thread::spawn(move || serve(stream.unwrap(), &hears, &*script));
            }
        });
        Self { port, heard }
    }

    /// Answers each request with the status that `status` gives for its body.
    pub(crate) fn answering(status: impl Fn(&str) -> u16 + Send + Sync + 'static) -> Self {
        Self::playing(move |_, body, stream| answer(stream, status(body), ""))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A target of plugin `http` with that name.
    pub(crate) fn target(&self, setup: Setup, name: &str, lines: &str) -> Setup {
        let url = self.url();
        let lines = format!("allow = [\"127.0.0.0/8\"]\nsettings.url = \"{url}/hook\"\n{lines}");
        setup.target_of(name, "http", &lines)
    }

    /// The target `sms` of plugin `twilio-sms`, with one recipient.
    pub(crate) fn twilio(&self, setup: Setup, lines: &str) -> Setup {
        let (account, url) = (format!("AC{}", "0".repeat(32)), self.url());
        let lines = format!(
            "allow = [\"127.0.0.0/8\"]\nsettings.api_base = \"{url}\"\nsettings.account_sid = \"{account}\"\n\
             settings.auth_token = \"env:TWILIO_TOKEN\"\nsettings.from = \"+15005550006\"\n\
             settings.to = [\"+33600000001\"]\n{lines}"
        );
        setup.target_of("sms", "twilio-sms", &lines)
    }

    /// The bodies of all requests so far.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|request| request.body.clone()).collect()
    }

    /// All requests so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

/// Writes a whole response. The daemon may have closed the connection.
pub(crate) fn answer(stream: &mut TcpStream, status: u16, body: &str) {
    let length = body.len();
    let _ = stream.write_all(
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes(),
    );
}

/// A request that a destination got.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Its method is GET.
    pub(crate) is_get: bool,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// Reads the next request. `None`: the connection has ended.
pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<Heard> {
    let (mut length, mut is_get, mut headers) = (0, false, Vec::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        is_get |= line.starts_with("GET ");
        if let Some((name, value)) = line.split_once(':') {
            let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
            if name == "content-length" {
                length = value.parse().unwrap();
            }
            headers.push((name, value));
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Heard { is_get, headers, body: String::from_utf8(body).unwrap() })
}

fn serve(mut stream: TcpStream, heard: &Mutex<Vec<Heard>>, script: &Script) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = read_request(&mut reader) {
        let number = {
            let mut heard = heard.lock().unwrap();
            heard.push(request.clone());
            heard.len() - 1
        };
        script(number, &request.body, &mut stream);
    }
}
