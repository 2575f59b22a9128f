//! Reads every vendor's file strictly, and runs its test vectors and its samples.

use std::sync::Arc;

mod handshakes;
mod samples;
mod templates;
mod types_by_keys;
mod vectors;

use super::catalog::{Embedded, FILES};
use super::file::parse;
use super::{ConfirmedBy, Reads, Signs, all, scheme, sender, vendor};
use crate::config::document::File;
use crate::config::{Document, Problem, Problems};

/// Warnings that a vendor's file may have, because the vendor decides what it signs.
const ALLOWED: [&str; 3] = [
    "does not sign its time",
    "does not sign the content",
    "does not separate the body from the part beside it",
];

fn problems(file: &Embedded) -> Problems {
    let mut problems = parse(file.name, file.text).1;
    problems.retain(|problem| {
        problem.is_error() || !ALLOWED.iter().any(|allowed| problem.title.contains(allowed))
    });
    shown(file.name, file.text, problems)
}

/// Shown as `check` shows the problems of a configuration: with the line, a caret and help.
fn shown(name: &str, text: &str, problems: Vec<Problem>) -> Problems {
    let file = File { name: format!("host/vendors/{name}.toml"), start: 0 };
    Problems::new(Arc::new(Document::new(vec![file], text.to_owned(), Vec::new())), problems)
}

#[test]
fn every_file_is_read_without_a_problem() {
    let wrong: String = FILES.iter().map(|file| problems(file).render(false)).collect();
    assert!(wrong.is_empty(), "{wrong}");
    assert!(FILES.len() >= 87 && all().count() == FILES.len());
}

/// One reader serves vendors' files and a user's tables, so the messages are the same.
#[test]
fn a_mistake_is_shown_with_its_line_and_what_may_be_written() {
    let text = r#"vendor = "A"
read_in = "second-hand sources"
confirmed_by = "documentation"
snder = "json"
colour = "red"
[scheme]
header = "x-a"
haeder = "x-b"
speed = 1
signed = ["corpus"]
"#;
    let shown = problems(&Embedded::new("a", text)).render(false);
    for expected in [
        "`read_in` names second-hand sources, which confirm nothing\n --> host/vendors/a.toml:3:16",
        "unknown key `snder`\n --> host/vendors/a.toml:4:1",
        "did you mean `sender`?",
        "unknown key `colour`\n --> host/vendors/a.toml:5:1",
        "help: known keys: confirmed_by, empty_answer, questions, read_in, samples, scheme, sender, setup, vectors, vendor",
        "did you mean `header`?",
        "unknown key `scheme.speed`\n --> host/vendors/a.toml:9:1",
        "help: known keys: algorithm, certificate, each_header, encoding, ",
        "unknown part `corpus`\n  --> host/vendors/a.toml:10:11",
        "help: known parts: body, body-sha256, ",
    ] {
        assert!(shown.contains(expected), "{expected}\n\n{shown}");
    }
    assert!(!shown.contains("`sender` is missing"), "its name is wrong: {shown}");
    let missing = problems(&Embedded::new("a", "vendor = \"A\"\nread_in = \"b\"\n")).render(false);
    assert!(missing.contains("error: `sender` is missing"), "{missing}");
}

#[test]
fn a_file_with_a_scheme_says_what_confirms_it() {
    let text = "vendor = \"A\"\nread_in = \"b\"\nsender = \"json\"\n";
    let missing =
        problems(&Embedded::new("a", &*format!("{text}[scheme]\nheader = \"x\"\n").leak()));
    assert!(missing.render(false).contains("`confirmed_by` is missing"), "{missing}");
    let unknown = format!("{text}confirmed_by = \"rumour\"\n[scheme]\nheader = \"x\"\n");
    let unknown = problems(&Embedded::new("a", unknown.leak())).render(false);
    assert!(unknown.contains("known confirmations: documentation, library, nothing, vector"));

    let libraries = include_str!("../../../../tests/scenarios/vendors.rs");
    let mut wrong = Vec::new();
    for vendor in all() {
        let name = vendor.name;
        assert_eq!(vendor.confirmed_by.is_some(), vendor.scheme().is_some(), "{name}");
        let text = FILES.iter().find(|file| file.name == name).unwrap().text;
        let origins = vectors::origins(name, text);
        let from_elsewhere = origins.iter().any(|origin| origin != "made-here");
        let has_library = libraries.contains(&format!("(\"{name}\", "));
        match vendor.confirmed_by {
            Some(ConfirmedBy::Vector) if !from_elsewhere => {
                wrong.push(format!("{name}: \"vector\", but all vectors are \"made-here\""));
            }
            Some(ConfirmedBy::Library) if !has_library => {
                wrong.push(format!("{name}: \"library\", but tests/scenarios/vendors.rs has none"));
            }
            Some(ConfirmedBy::Nothing) if from_elsewhere || has_library => {
                wrong.push(format!("{name}: \"nothing\", but it has a library or a vector"));
            }
            // The reader has compared "documentation" with `read_in`.
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "`confirmed_by` is not true:\n{}", wrong.join("\n"));
}

#[test]
fn names_are_plain_and_sorted_and_lead_to_a_scheme_and_a_sender() {
    assert!(FILES.is_sorted_by(|a, b| a.name < b.name));
    for file in &FILES {
        let name = file.name;
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(kebab), "{name}");
        assert!(sender(name).is_some(), "{name} has no sender, or its file has a problem");
        let vendor = vendor(name).unwrap();
        if let Reads::Like(other) = &vendor.reads {
            assert!(super::vendor(other).unwrap().sender().is_some(), "{name}: {other}");
        }
        match &vendor.signs {
            Signs::By(found) => assert_eq!(scheme(name), Some(found)),
            Signs::Not { instead } => assert!(["token", "basic"].contains(&instead.as_str())),
            Signs::Unknown => assert!(scheme(name).is_none()),
        }
    }
}
