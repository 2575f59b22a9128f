//! Replays a folder of recorded requests and checks each answer.
//!
//! `DISPATCHER_CASES` names the folder; the default is a folder beside the checkout. If it does not exist, the
//! test is skipped. A case is a JSON file: `method`, `headers`, `secret`, `body_base64`, `signature` (null, a text or
//! a list) and `expect` with `status` or `status_any_of`, `dispatch` (lines in the log) and `types`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::harness::{Answer, Daemon, SECRET, body, value};

struct Case {
    /// Also the name of its source.
    name: String,
    file: Value,
}

impl Case {
    fn text(&self, key: &str) -> &str {
        self.file[key].as_str().unwrap_or_default()
    }

    fn body(&self) -> Vec<u8> {
        base64(self.text("body_base64"))
    }

    fn send(&self, daemon: &Daemon) -> Answer {
        let mut headers: Vec<(&str, Vec<u8>)> = Vec::new();
        for (name, value) in self.file["headers"].as_object().into_iter().flatten() {
            headers.push((name, latin_1(value)));
        }
        let signatures = match &self.file["signature"] {
            Value::Null => Vec::new(),
            Value::Array(several) => several.iter().collect(),
            one => vec![one],
        };
        for signature in signatures {
            headers.push((self.text("signature_header"), latin_1(signature)));
        }
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let path = format!("/{}", self.name);
        daemon.client().send(self.text("method"), &path, &headers, &self.body()).unwrap()
    }

    /// Checks the answer, and returns how many log lines the request must cause.
    fn check_answer(&self, answer: &Answer) -> usize {
        let expect = &self.file["expect"];
        let one = expect["status"].as_u64().into_iter();
        let any = expect["status_any_of"].as_array().into_iter().flatten();
        let statuses: Vec<u64> = one.chain(any.filter_map(Value::as_u64)).collect();
        assert!(statuses.contains(&answer.status.into()), "{}: {answer:?}", self.name);
        if let Some(allow) = expect["allow_header"].as_str() {
            assert_eq!(answer.header("allow"), Some(allow), "{}", self.name);
        }
        let accepted = if answer.status == 200 { answer.json()["accepted"].as_u64() } else { None };
        // Where several answers are right, the one that was given counts.
        let is_open = !expect["dispatch_any_of"].is_null();
        let lines = expect["dispatch"].as_u64().filter(|_| !is_open).or(accepted).unwrap_or(0);
        usize::try_from(lines).unwrap()
    }

    fn check_lines(&self, lines: &[&Value], count: usize) {
        assert_eq!(lines.len(), count, "{}: {lines:#?}", self.name);
        let body = self.body();
        let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body);
        let sent: Vec<&RawValue> = serde_json::from_slice(text)
            .or_else(|_| serde_json::from_slice(text).map(|one| vec![one]))
            .unwrap_or_default();
        for (index, line) in lines.iter().enumerate() {
            for key in ["source", "type", "id", "time", "title", "severity"] {
                assert!(line[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {line}");
            }
            if let Some(expected) = self.file["expect"]["types"][index].as_str() {
                assert_eq!(line["type"], expected, "{}", self.name);
            }
            assert_eq!(line["data"], value(sent[index]), "{}", self.name);
        }
    }
}

#[test]
fn every_recorded_request_gets_its_answer_and_its_lines() {
    let named = std::env::var_os("DISPATCHER_CASES").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases/sqreen");
    let folder = named.unwrap_or(beside);
    if !folder.is_dir() {
        eprintln!("skipped: no folder of cases at {}", folder.display());
        return;
    }
    let cases = read(&folder);
    assert!(!cases.is_empty(), "no case in {}", folder.display());
    let sources = cases.iter().fold(Daemon::new().source("sqreen", SECRET), |setup, case| {
        setup.source(&case.name, case.text("secret"))
    });
    let daemon = sources.log("audit-log").start();
    let counts: Vec<usize> =
        cases.iter().map(|case| case.check_answer(&case.send(&daemon))).collect();
    // Once this one is delivered, all others are too.
    let last = ["the last one".to_owned()];
    assert_eq!(daemon.post(&body(&last)).status, 200);
    daemon.wait_delivered("audit-log", &last);
    let lines = daemon.log_lines("audit-log");
    assert_eq!(lines.len(), counts.iter().sum::<usize>() + 1);
    for (case, count) in cases.iter().zip(counts) {
        let of_case = lines.iter().filter(|line| line["source"] == case.name.as_str());
        case.check_lines(&of_case.collect::<Vec<_>>(), count);
    }
}

fn read(folder: &Path) -> Vec<Case> {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let case = |(index, file): (usize, &PathBuf)| {
        let text = fs::read_to_string(file).unwrap();
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        // Names of sources are short and kebab-case.
        let plain = stem.to_ascii_lowercase().replace('_', "-");
        let name = format!("case-{index}-{}", &plain[..plain.len().min(24)]);
        let name = name.trim_end_matches('-').to_owned();
        Case { name, file: serde_json::from_str(&text).unwrap() }
    };
    files.iter().enumerate().map(case).collect()
}

/// The files have header values in Latin-1, one byte per character.
fn latin_1(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u32> = text
        .bytes()
        .take_while(|byte| *byte != b'=')
        .map(|byte| u32::try_from(DIGITS.iter().position(|d| *d == byte).unwrap()).unwrap())
        .collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().enumerate().fold(0, |bits, (i, d)| bits | (d << (18 - 6 * i)));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
