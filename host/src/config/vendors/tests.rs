//! Reads every vendor's file strictly, and runs its test vectors and its samples.

mod handshakes;
mod samples;
mod vectors;

use super::catalog::{Embedded, FILES};
use super::file::parse;
use super::{Reads, Signs, all, scheme, sender, vendor};
use crate::config::Problem;

/// Warnings that a vendor's file may have, because the vendor decides what it signs.
const ALLOWED: [&str; 2] = ["does not sign its time", "does not sign the content"];

fn problems(file: &Embedded) -> Vec<String> {
    let problems = parse(file.name, file.text).1.into_iter();
    let wrong = problems
        .filter(|problem| problem.is_error() || !ALLOWED.iter().any(|a| problem.title.contains(a)));
    wrong.map(|problem| format!("{}: {}", file.name, show(&problem))).collect()
}

/// A problem in one line, with what to do.
fn show(problem: &Problem) -> String {
    let Problem { title, label, help, .. } = problem;
    let label = if label.is_empty() { String::new() } else { format!(": {label}") };
    let help: String = help.iter().map(|help| format!("; {help}")).collect();
    format!("{title}{label}{help}")
}

#[test]
fn every_file_is_read_without_a_problem() {
    let wrong: Vec<String> = FILES.iter().flat_map(problems).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(FILES.len() >= 87 && all().count() == FILES.len());
}

#[test]
fn an_unknown_key_is_refused() {
    let text =
        "vendor = \"A\"\nread_in = \"b\"\nsnder = \"json\"\n[scheme]\nheader = \"x\"\nhaeder = 1\n";
    let problems = problems(&Embedded::new("a", text));
    assert_eq!(problems.len(), 3, "{problems:?}");
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
