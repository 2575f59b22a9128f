//! One problem in a configuration: what is wrong, where, and what to do.

use std::ops::Range;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The configuration is rejected.
    Error,
    /// The configuration works, but perhaps not as intended.
    Warning,
}

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Nowhere,
    /// Bytes of the configuration file.
    Span(Range<usize>),
    /// A line (from 1) of another file. Its text is not shown, because it may contain secrets.
    Line(PathBuf, usize),
}

/// What a problem stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stops {
    Daemon,
    /// What is routed to it waits.
    Target,
    /// Its requests get a 503, so that senders repeat them.
    Source,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    pub title: String,
    pub place: Place,
    /// The text at the caret.
    pub label: String,
    pub help: Vec<String>,
    /// Do not show the text at the place, which may be a secret.
    pub masked: bool,
    /// Of an error: what does not work because of it.
    pub(super) stops: Stops,
    /// The key that is missing. It may be in a part of the file that could not be read.
    pub(super) absence: Option<&'static str>,
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
            stops: Stops::Daemon,
            absence: None,
        }
    }

    #[must_use]
    pub fn warning(title: impl Into<String>) -> Self {
        Self { kind: Kind::Warning, ..Self::error(title) }
    }

    /// Sets the place, as bytes of the configuration, and the text at the caret.
    #[must_use]
    pub fn at(self, span: Range<usize>, label: impl Into<String>) -> Self {
        Self { place: Place::Span(span), label: label.into(), ..self }
    }

    /// Sets the place, as a line of another file.
    #[must_use]
    pub fn in_file(self, file: &Path, line: usize) -> Self {
        Self { place: Place::Line(file.to_owned(), line), ..self }
    }

    /// Adds a line of help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The same problem as a warning, which does not reject the configuration.
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

    /// The daemon starts with it, though a reload is refused: what is routed to the target waits.
    #[must_use]
    pub fn of_a_target(self) -> Self {
        Self { stops: Stops::Target, ..self }
    }

    /// The daemon starts with it if another source works, though a reload is refused: requests to the source get a 503.
    #[must_use]
    pub(super) fn of_a_source(self) -> Self {
        Self { stops: Stops::Source, ..self }
    }

    /// No source works, so what stops a source stops the daemon.
    #[must_use]
    pub(super) fn of_all_sources(self) -> Self {
        let stops = if self.stops == Stops::Source { Stops::Daemon } else { self.stops };
        Self { stops, ..self }
    }

    /// The key is missing from the table at the place, or from the file if it has no place.
    pub(super) fn absence(self, key: &'static str) -> Self {
        Self { absence: Some(key), ..self }
    }

    /// The order in which problems are shown: those without a place first, then in the order of the file, and last
    /// what the whole file lacks, because an error above may be the cause.
    pub(super) fn position(&self) -> (u8, usize) {
        match &self.place {
            Place::Nowhere if self.absence.is_some() => (3, 0),
            Place::Nowhere => (0, 0),
            Place::Line(_, line) => (1, *line),
            Place::Span(span) => (2, span.start),
        }
    }
}
