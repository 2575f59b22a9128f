//! The text of a configuration, and how a place in it is shown to a person.
//!
//! The texts of all files are concatenated, so that a place is one range of bytes, whichever file it is in. No
//! literal secret leaves this module: secrets are masked in the text before any problem is rendered.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::problem::{Kind, Place, Problem};
use crate::model::printable;

/// The text of all configuration files, with the places that must not be shown.
#[derive(Clone)]
pub struct Document {
    /// In the order of their texts; at least one.
    files: Vec<File>,
    text: String,
    /// Sorted, not overlapping.
    masks: Vec<Range<usize>>,
}

/// Where a byte is, for people. Line and column count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position<'d> {
    pub file: &'d str,
    pub line: usize,
    /// In characters.
    pub column: usize,
}

/// One file, and where its text starts. It ends at the line break before the next file.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// As given on the command line.
    pub(super) name: String,
    pub(super) start: usize,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Document {
    pub(super) fn new(files: Vec<File>, text: String, mut masks: Vec<Range<usize>>) -> Self {
        masks.retain(|mask| text.get(mask.clone()).is_some());
        let masks = merged(masks);
        Self { files, text, masks }
    }

    /// For a file that could not be read.
    pub(super) fn without_text(name: &Path) -> Self {
        let file = File { name: name.display().to_string(), start: 0 };
        Self::new(vec![file], String::new(), Vec::new())
    }

    /// The position of a byte.
    #[must_use]
    pub fn position(&self, at: usize) -> Position<'_> {
        let (file, part) = self.part(at);
        let before = self.text.get(part.start..at.min(part.end)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before[before.rfind('\n').map_or(0, |end| end + 1)..].chars().count() + 1;
        Position { file, line, column }
    }

    /// The name of the file that a byte belongs to, and the range of its text.
    fn part(&self, at: usize) -> (&str, Range<usize>) {
        let next = self.files.iter().position(|file| file.start > at);
        let end = next.map_or(self.text.len(), |next| self.files[next].start - 1);
        let own =
            next.unwrap_or(self.files.len()).checked_sub(1).and_then(|own| self.files.get(own));
        own.map_or(("", 0..end), |file| (&file.name, file.start..end))
    }

    /// The text of the file around `span` with `***` in place of every mask. `hide`: mask the span, too.
    fn shown(&self, span: &Range<usize>, hide: bool) -> Shown<'_> {
        const MASK: &str = "***";
        let (name, part) = self.part(span.start);
        let own = hide.then(|| self.inside_quotes(span));
        let masks = merged(self.masks.iter().cloned().chain(own).collect());
        let masks =
            masks.into_iter().filter(|mask| part.start <= mask.start && mask.end <= part.end);
        let (mut text, mut copied) = (String::with_capacity(part.len()), part.start);
        // The span within the part, as long as no mask before it changes the length.
        let moved = |at: usize| at.min(part.end).saturating_sub(part.start);
        let (mut start, mut end) = (moved(span.start), moved(span.end));
        for mask in masks {
            text.push_str(&self.text[copied..mask.start]);
            let place = text.len();
            text.push_str(MASK);
            // Keeps the numbers of the lines below.
            text.extend(self.text[mask.clone()].chars().filter(|c| *c == '\n'));
            copied = mask.end;
            for (moved, original) in [(&mut start, span.start), (&mut end, span.end)] {
                if original >= mask.end {
                    *moved = original.min(part.end) - mask.end + text.len();
                } else if original > mask.start {
                    *moved = place;
                }
            }
        }
        text.push_str(&self.text[copied..part.end]);
        Shown { file: name, text, span: start..end.max(start) }
    }

    /// A string's span without its quotes.
    fn inside_quotes(&self, span: &Range<usize>) -> Range<usize> {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let quoted = text.len() >= 2 && text.starts_with(['"', '\'']);
        if quoted { span.start + 1..span.end - 1 } else { span.clone() }
    }

    pub(super) fn render(&self, problem: &Problem, renderer: &Renderer) -> String {
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
                let Shown { file, text, span } = self.shown(span, problem.masked);
                let annotation = AnnotationKind::Primary.span(span);
                let annotation = if problem.label.is_empty() {
                    annotation
                } else {
                    annotation.label(printable(&problem.label))
                };
                title.element(Snippet::source(text).path(file.to_owned()).annotation(annotation))
            }
        };
        for help in &problem.help {
            group = group.element(Level::HELP.message(printable(help)));
        }
        renderer.render(&[group])
    }
}

/// One file's text as it is shown.
struct Shown<'d> {
    file: &'d str,
    /// With `***` in place of every mask.
    text: String,
    /// The place of the problem in `text`.
    span: Range<usize>,
}

/// The masks sorted, with overlapping and adjacent ones merged.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problems::Problems;
    use std::sync::Arc;

    fn document(text: String, masks: Vec<Range<usize>>) -> Document {
        let file = File { name: "x.toml".to_owned(), start: 0 };
        Document::new(vec![file], text, masks)
    }

    #[test]
    fn masks_hide_secrets_on_the_line_of_a_problem_and_the_caret_stays_correct() {
        let text = "a = \"hunter2\", bad = 1, c = \"literal:swordfish\"\n".to_owned();
        let document = document(text, vec![5..12, 30..40, 37..46, 6..8]);
        let problem = Problem::error("bad").at(15..18, "here");
        let shown = Problems::new(Arc::new(document), vec![problem]).to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("swordfish"), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        let (source, caret) = (lines[3], lines[4]);
        assert_eq!(source.find("bad"), caret.find("^^^ here"), "{shown}");
    }

    #[test]
    fn masking_a_secret_of_several_lines_does_not_change_line_numbers() {
        let text = "a = QQQhunter\n2\nQQQ\nbad = 1\n".replace("QQQ", "\"\"\"");
        let at = text.find("bad").unwrap();
        let document = document(text, std::iter::once(5..at - 2).collect());
        let problem = Problem::error("bad").at(at..at + 3, "here");
        let shown = Problems::new(Arc::new(document), vec![problem]).to_string();
        assert!(shown.contains("x.toml:4:1") && !shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn a_masked_problem_hides_the_text_at_its_own_place() {
        let document = document("k = 'pw'\n".to_owned(), Vec::new());
        let problem = Problem::error("bad").at(4..8, "").masked();
        let shown = Problems::new(Arc::new(document), vec![problem]).to_string();
        assert!(shown.contains("k = '***'") && !shown.contains("pw"), "{shown}");
    }

    #[test]
    fn the_caret_points_into_the_file_of_its_byte() {
        let files = [("a.toml", 0), ("b.toml", 7)]
            .map(|(name, start)| File { name: name.to_owned(), start });
        let text = "a = 1\n\nbé = 'pw', c\n".to_owned();
        let masks = std::iter::once(14..16).collect();
        let document = Document::new(files.into(), text, masks);
        for (at, file, line, column) in
            [(0, "a.toml", 1, 1), (5, "a.toml", 1, 6), (7, "b.toml", 1, 1), (19, "b.toml", 1, 12)]
        {
            assert_eq!(document.position(at), Position { file, line, column }, "{at}");
        }
        let problem = Problem::error("bad").at(19..20, "here");
        let shown = Problems::new(Arc::new(document), vec![problem]).to_string();
        assert!(shown.contains("b.toml:1:13") && shown.contains("bé = '***', c"), "{shown}");
        assert!(!shown.contains("a = 1"), "{shown}");
    }
}
