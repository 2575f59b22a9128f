//! What is wrong with a configuration, for people and for programs.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::Renderer;
use serde_json::{Value, json};

use super::document::Document;
use crate::model::printable;

/// Most problems shown at once; the rest is counted.
pub const PROBLEMS_SHOWN_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The configuration is refused.
    Error,
    /// It works, but perhaps not as meant.
    Warning,
}

/// Where a problem lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Nowhere,
    /// Bytes of the configuration file.
    Span(Range<usize>),
    /// A line (from 1) of another file, whose text is not shown because it may hold secrets.
    Line(PathBuf, usize),
}

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    pub title: String,
    pub place: Place,
    /// Stands beside the caret.
    pub label: String,
    pub help: Vec<String>,
    /// The text at the place may be a secret: it is not shown.
    pub masked: bool,
    /// Something is missing, which need not be so where part of the file could not be read.
    pub(super) absence: bool,
}

impl Problem {
    #[must_use]
    pub fn error(title: impl Into<String>) -> Self {
        Self {
            kind: Kind::Error,
            title: title.into(),
            place: Place::Nowhere,
            label: String::new(),
            help: Vec::new(),
            masked: false,
            absence: false,
        }
    }

    #[must_use]
    pub fn warning(title: impl Into<String>) -> Self {
        Self { kind: Kind::Warning, ..Self::error(title) }
    }

    /// At these bytes of the configuration, with a few words beside the caret.
    #[must_use]
    pub fn at(self, span: Range<usize>, label: impl Into<String>) -> Self {
        Self { place: Place::Span(span), label: label.into(), ..self }
    }

    #[must_use]
    pub fn in_file(self, file: &Path, line: usize) -> Self {
        Self { place: Place::Line(file.to_owned(), line), ..self }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The same, where it does not refuse the configuration.
    #[must_use]
    pub fn as_warning(self) -> Self {
        Self { kind: Kind::Warning, ..self }
    }

    #[must_use]
    pub fn is_error(&self) -> bool {
        self.kind == Kind::Error
    }

    /// Hides the text at the place.
    #[must_use]
    pub fn masked(self) -> Self {
        Self { masked: true, ..self }
    }

    pub(super) fn absence(self) -> Self {
        Self { absence: true, ..self }
    }

    /// Problems stand in the order of the file, those of no place first.
    pub(super) fn position(&self) -> (u8, usize) {
        match &self.place {
            Place::Nowhere => (0, 0),
            Place::Line(_, line) => (1, *line),
            Place::Span(span) => (2, span.start),
        }
    }
}

/// Every problem of one configuration, in the order of the file.
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

    #[must_use]
    pub fn warnings(&self) -> usize {
        self.list.len() - self.errors()
    }

    /// All of them for people, each followed by an empty line; `styled` with colours.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for problem in self.list.iter().take(PROBLEMS_SHOWN_MAX) {
            text.push_str(&self.document.render(problem, &renderer));
            text.push_str("\n\n");
        }
        if let Some(more @ 1..) = self.list.len().checked_sub(PROBLEMS_SHOWN_MAX) {
            text.push_str(&format!("… and {more} more\n\n"));
        }
        text
    }

    /// Each on one line, for a log: `dispatcher.toml:7: what (what to do)`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let line = |problem: &Problem| {
            let place = match &problem.place {
                Place::Nowhere => String::new(),
                Place::Line(file, line) => format!("{}:{line}: ", file.display()),
                Place::Span(span) => {
                    let (file, line, _) = self.document.position(span.start);
                    format!("{file}:{line}: ")
                }
            };
            let more = [&problem.label].into_iter().chain(&problem.help).filter(|m| !m.is_empty());
            let more = more.map(String::as_str).collect::<Vec<_>>().join("; ");
            let more = if more.is_empty() { more } else { format!(" ({more})") };
            printable(&format!("{place}{}{more}", problem.title))
        };
        self.list.iter().take(PROBLEMS_SHOWN_MAX).map(line).collect()
    }

    /// For programs: counts, and of each problem its file, line and column (from 1, in characters; `null`
    /// where it has no place), severity, title, the words beside the caret and what to do.
    #[must_use]
    pub fn json(&self) -> Value {
        let problem = |problem: &Problem| {
            let (file, line, column) = match &problem.place {
                Place::Nowhere => (None, None, None),
                Place::Line(file, line) => (Some(file.display().to_string()), Some(*line), None),
                Place::Span(span) => {
                    let (file, line, column) = self.document.position(span.start);
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
        json!({ "errors": self.errors(), "warnings": self.warnings(), "problems": shown })
    }

    /// `2 errors, 1 warning`.
    #[must_use]
    pub fn count(&self) -> String {
        let of =
            |count: usize, word| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
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
