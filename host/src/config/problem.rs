//! What is wrong with a configuration, and how a person is shown it: title, file, line, caret, help.
//!
//! A literal secret never leaves this module: its place in the text is masked before anything is
//! rendered, whichever problem's line it stands on.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

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

/// A configuration file's text as it may be shown.
#[derive(Clone)]
pub struct Document {
    /// The file as the person named it.
    name: String,
    text: String,
    /// Sorted, not overlapping.
    masks: Vec<Range<usize>>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Document {
    pub(super) fn new(name: &Path, text: String, mut masks: Vec<Range<usize>>) -> Self {
        masks.retain(|mask| text.get(mask.clone()).is_some());
        let masks = merged(masks);
        Self { name: name.display().to_string(), text, masks }
    }

    /// The line (from 1) of a byte.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// The text with every mask replaced by `***`, and `span` moved to where it is then.
    fn shown(&self, span: &Range<usize>, hide: bool) -> (String, Range<usize>) {
        const MASK: &str = "***";
        let own = hide.then(|| self.inside_quotes(span));
        let masks = merged(self.masks.iter().cloned().chain(own).collect());
        let (mut text, mut copied) = (String::with_capacity(self.text.len()), 0);
        let (mut start, mut end) = (span.start, span.end);
        for mask in masks {
            text.push_str(&self.text[copied..mask.start]);
            let place = text.len();
            text.push_str(MASK);
            // The lines below keep their numbers.
            text.extend(self.text[mask.clone()].chars().filter(|c| *c == '\n'));
            copied = mask.end;
            for (moved, original) in [(&mut start, span.start), (&mut end, span.end)] {
                if original >= mask.end {
                    *moved = original - mask.end + text.len();
                } else if original > mask.start {
                    *moved = place;
                }
            }
        }
        text.push_str(&self.text[copied..]);
        (text, start..end.max(start))
    }

    /// A string's span without its quotes.
    fn inside_quotes(&self, span: &Range<usize>) -> Range<usize> {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let quoted = text.len() >= 2 && text.starts_with(['"', '\'']);
        if quoted { span.start + 1..span.end - 1 } else { span.clone() }
    }

    fn render(&self, problem: &Problem, renderer: &Renderer) -> String {
        let level = match problem.kind {
            Kind::Error => Level::ERROR,
            Kind::Warning => Level::WARNING,
        };
        let title = level.primary_title(printable(&problem.title));
        let mut group = match &problem.place {
            Place::Nowhere => Group::with_title(title),
            Place::Line(file, line) => {
                title.element(Origin::path(file.display().to_string()).line(*line))
            }
            Place::Span(span) => {
                let (text, span) = self.shown(span, problem.masked);
                let annotation = AnnotationKind::Primary.span(span);
                let annotation = if problem.label.is_empty() {
                    annotation
                } else {
                    annotation.label(printable(&problem.label))
                };
                title.element(Snippet::source(text).path(self.name.clone()).annotation(annotation))
            }
        };
        for help in &problem.help {
            group = group.element(Level::HELP.message(printable(help)));
        }
        renderer.render(&[group])
    }
}

/// Sorted, and those that meet made one.
fn merged(mut masks: Vec<Range<usize>>) -> Vec<Range<usize>> {
    masks.sort_by_key(|mask| mask.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for mask in masks {
        match merged.last_mut() {
            Some(last) if mask.start <= last.end => last.end = last.end.max(mask.end),
            _ => merged.push(mask),
        }
    }
    merged
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
                    format!("{}:{}: ", self.document.name, self.document.line(span.start))
                }
            };
            let more = [&problem.label].into_iter().chain(&problem.help).filter(|m| !m.is_empty());
            let more = more.map(String::as_str).collect::<Vec<_>>().join("; ");
            let more = if more.is_empty() { more } else { format!(" ({more})") };
            printable(&format!("{place}{}{more}", problem.title))
        };
        self.list.iter().take(PROBLEMS_SHOWN_MAX).map(line).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_hide_secrets_on_the_line_of_another_problem_and_carets_stay_right() {
        let text = "a = \"hunter2\", bad = 1, c = \"literal:swordfish\"\n".to_owned();
        let document = Document::new(Path::new("x.toml"), text, vec![5..12, 30..40, 37..46, 6..8]);
        let problem = Problem::error("bad").at(15..18, "here");
        let shown = Problems::new(Arc::new(document), vec![problem]).to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("swordfish"), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        let (source, caret) = (lines[3], lines[4]);
        assert_eq!(source.find("bad"), caret.find("^^^ here"), "{shown}");
    }

    #[test]
    fn a_secret_over_several_lines_leaves_line_numbers_as_they_are() {
        let text = "a = QQQhunter\n2\nQQQ\nbad = 1\n".replace("QQQ", "\"\"\"");
        let at = text.find("bad").unwrap();
        let mask = 5..at - 2;
        let document = Document::new(Path::new("x.toml"), text, Vec::from([mask]));
        let problem = Problem::error("bad").at(at..at + 3, "here");
        let shown = Problems::new(Arc::new(document), vec![problem]).to_string();
        assert!(shown.contains("x.toml:4:1") && !shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn a_masked_problem_hides_its_own_place() {
        let document = Document::new(Path::new("x.toml"), "k = 'pw'\n".to_owned(), Vec::new());
        let problem = Problem::error("bad").at(4..8, "").masked();
        let shown = Problems::new(Arc::new(document), vec![problem]).to_string();
        assert!(shown.contains("k = '***'") && !shown.contains("pw"), "{shown}");
    }
}
