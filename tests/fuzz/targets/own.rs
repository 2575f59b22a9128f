//! Reads a user's own schemes and senders: any text in the configuration, and any template on any body.
//!
//! The first byte chooses between a configuration and a sender whose templates are the first lines.
#![no_main]

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;
use dispatcher::config::{self, Environment};
use dispatcher::model::{RepetitionSeed, Request, Severity, Timestamp};
use dispatcher::normalize::{self, Repetition, Input, Record, Sender};
use http::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// Most templates of an input.
const TEMPLATES_MAX: usize = 16;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

fuzz_target!(|input: &[u8]| {
    match dispatcher_fuzz::choice(input) {
        Some((number, rest)) if number % 2 == 0 => configured(rest),
        Some((_, rest)) => templates(rest),
        None => {}
    }
});

/// Reads a configuration and gives its source a request.
fn configured(text: &[u8]) {
    const AROUND: &str = "\n[sources.own]\nscheme = \"own\"\nsecrets = \"literal:00ff\"\n\
        sender = \"read\"\n[targets.log]\nplugin = \"file-log\"\nsettings.path = \"x\"\n\
        [server]\npublic_url = \"https://hooks.example.org\"\n";
    let text = [text, AROUND.as_bytes()].concat();
    let loaded = FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| TempDir::new().expect("a folder can be made"));
        let file = folder.path().join("dispatcher.toml");
        std::fs::write(&file, text).expect("the file can be written");
        config::load(&file, &Environment::new(&[], None))
    });
    match loaded {
        Err(problems) => assert!(!problems.to_string().is_empty()),
        Ok(config) => {
            for source in &config.ingest.sources {
                let request = Request {
                    source: Arc::clone(&source.name),
                    method: Method::POST,
                    uri: "/own?a=1".parse().unwrap_or_default(),
                    headers: HeaderMap::new(),
                    body: Bytes::from_static(b"{\"a\": [{\"b\": 1}]}"),
                    received_at: Timestamp::from_millis(1_700_000_000_000),
                };
                let (headers, body) = (request.headers.clone(), request.body.clone());
                let _ = source.verifier.verify(request);
                read(&source.sender, &headers, &body);
            }
        }
    }
}

fn templates(input: &[u8]) {
    let mut lines: Vec<_> = input.splitn(TEMPLATES_MAX, |byte| *byte == b'\n').collect();
    let body = lines.pop().unwrap_or_default();
    let texts: Vec<&str> = lines.iter().filter_map(|line| std::str::from_utf8(line).ok()).collect();
    let record = Record {
        events: texts.first().copied().filter(|text| text.starts_with('/')),
        id: &texts,
        event_type: &texts,
        subject: &texts,
        time: &texts,
        title: &texts,
        severity: &texts,
        link: &texts,
        words: &[("*a", Severity::Error)],
        any_body: true,
        ..Record::EMPTY
    };
    let Ok(sender) = Sender::new("own", &record) else { return };
    read(&sender, &HeaderMap::new(), &Bytes::copy_from_slice(body));
}

fn read(sender: &Sender, headers: &HeaderMap, body: &Bytes) {
    let key = || None;
    let input = Input { headers, query: Some("a=1"), body, is_query: false, repetition: Repetition::Key(&key), seed: RepetitionSeed::default() };
    for event in normalize::normalize(sender, input).unwrap_or_default() {
        assert!(!event.attributes.title.is_empty());
    }
}
