//! All problems of one configuration, shown to people and programs.

use std::fmt;
use std::sync::Arc;

use annotate_snippets::Renderer;
use serde_json::{Value, json};

use super::document::{Document, Position};
use super::problem::{Kind, Place, Problem, Stops};
use crate::model::{counted, printable};

/// Most problems shown at once, errors before warnings; the rest are only counted.
pub const PROBLEMS_SHOWN_MAX: usize = 100;

/// All problems of one configuration, in the order of the file.
#[derive(Clone, Debug)]
pub struct Problems {
    document: Arc<Document>,
    list: Vec<Problem>,
}

impl Problems {
    #[must_use]
    pub fn new(document: Arc<Document>, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(Problem::position);
        list.dedup();
        Self { document, list }
    }

    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    #[must_use]
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|problem| problem.kind == Kind::Error).count()
    }

    fn stop(&self, what: Stops) -> bool {
        self.list.iter().any(|problem| problem.is_error() && problem.stops == what)
    }

    /// Whether the daemon starts with them.
    #[must_use]
    pub fn stop_only_parts(&self) -> bool {
        !self.stop(Stops::Daemon)
    }

    /// What does not work if the daemon starts with them, over several lines.
    #[must_use]
    pub fn consequences(&self) -> String {
        let source =
            "\n- requests to a source that cannot work get a 503, so that senders repeat them";
        let target = "\n- what is routed to a target that cannot work waits";
        [(Stops::Source, source), (Stops::Target, target)]
            .into_iter()
            .filter(|(what, _)| self.stop(*what))
            .map(|(_, text)| text)
            .collect()
    }

    #[must_use]
    pub fn warnings(&self) -> usize {
        self.list.len() - self.errors()
    }

    /// Those that are shown, in the order of the file.
    fn shown(&self) -> impl Iterator<Item = &Problem> {
        let mut errors = self.errors().min(PROBLEMS_SHOWN_MAX);
        let mut warnings = PROBLEMS_SHOWN_MAX - errors;
        self.list.iter().filter(move |problem| {
            let left = if problem.is_error() { &mut errors } else { &mut warnings };
            let is_shown = *left > 0;
            *left = left.saturating_sub(1);
            is_shown
        })
    }

    /// The problems for people, each followed by an empty line. `styled`: with colours.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for problem in self.shown() {
            text.push_str(&self.document.render(problem, &renderer));
            text.push_str("\n\n");
        }
        if let Some(more @ 1..) = self.list.len().checked_sub(PROBLEMS_SHOWN_MAX) {
            text.push_str(&format!("… and {more} more\n\n"));
        }
        text
    }

    /// Each problem on one line, for a log: `dispatcher.toml:7: title (label; help)`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |problem: &Problem| {
            let place = match &problem.place {
                Place::Nowhere => String::new(),
                Place::Line(file, line) => format!("{}:{line}: ", file.display()),
                Place::Span(span) => {
                    let Position { file, line, .. } = self.document.position(span.start);
                    format!("{file}:{line}: ")
                }
            };
            let more = [&problem.label].into_iter().chain(&problem.help).filter(|m| !m.is_empty());
            let more = more.map(String::as_str).collect::<Vec<_>>().join("; ");
            let more = if more.is_empty() { more } else { format!(" ({more})") };
            printable(&format!("{place}{}{more}", problem.title))
        };
        self.shown().map(line).collect()
    }

    /// For programs: counts, and for each problem its file, line and column (from 1, in characters; `null` if it
    /// has no place), severity, title, label and help.
    #[must_use]
    pub fn json(&self) -> Value {
        let problem = |problem: &Problem| {
            let (file, line, column) = match &problem.place {
                Place::Nowhere => (None, None, None),
                Place::Line(file, line) => (Some(file.display().to_string()), Some(*line), None),
                Place::Span(span) => {
                    let Position { file, line, column } = self.document.position(span.start);
                    (Some(file.to_owned()), Some(line), Some(column))
                }
            };
            let severity = if problem.is_error() { "error" } else { "warning" };
            json!({
                "file": file, "line": line, "column": column, "severity": severity,
                "title": problem.title, "label": problem.label, "help": problem.help,
            })
        };
        let shown: Vec<_> = self.list.iter().take(PROBLEMS_SHOWN_MAX).map(problem).collect();
        json!({
            "errors": self.errors(), "warnings": self.warnings(), "starts": self.stop_only_parts(),
            "problems": shown
        })
    }

    /// `2 errors, 1 warning`.
    #[must_use]
    pub fn count(&self) -> String {
        let of = |count: usize, word: &str| counted(count as u64, word, &format!("{word}s"));
        match (self.errors(), self.warnings()) {
            (0, warnings) => of(warnings, "warning"),
            (errors, 0) => of(errors, "error"),
            (errors, warnings) => format!("{}, {}", of(errors, "error"), of(warnings, "warning")),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}
