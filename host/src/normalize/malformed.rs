//! Why a signed body is refused, and the limits that it may exceed.

/// Default of a source's most events in one request.
pub const EVENTS_MAX: usize = 10_000;
/// Most events in one request that a source may allow. Their places fit into 16 bits.
pub const EVENTS_LIMIT: usize = 50_000;
/// Deepest nesting of arrays and objects, including the outermost.
pub const DEPTH_MAX: usize = 64;
/// Most fields of a form.
pub const FORM_FIELDS_MAX: usize = 1_000;

/// Why a signed body is refused: a sentence that its sender may see. A retry would be refused too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the body is empty")]
    Empty,
    #[error("the body is not UTF-8 from byte {at} on")]
    NotUtf8 { at: usize },
    #[error("the body is longer than {bytes_max} bytes in UTF-8")]
    TooLongInUtf8 { bytes_max: usize },
    #[error("the body is not valid JSON, at line {line} column {column}")]
    NotJson { line: usize, column: usize },
    #[error("the JSON in the body ends too early")]
    Truncated,
    #[error("something follows the JSON document, at line {line} column {column}")]
    Trailing { line: usize, column: usize },
    #[error("the body is neither a JSON object nor an array")]
    Scalar,
    #[error("the JSON is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("the body has more than {events_max} elements")]
    TooMany { events_max: usize },
    #[error("the form in the body has more than {FORM_FIELDS_MAX} fields")]
    TooManyFields,
    #[error(
        "a field of the form is missing, and a part of its name is in another name or in the address: the \
         signature does not separate them"
    )]
    MovedField,
    #[error("the signature covers no content, so a request can bring only one event")]
    Several,
    #[error("the content type of the multipart body has no boundary")]
    NoBoundary,
}

impl Malformed {
    /// Whether the body does not have the syntax of JSON.
    pub(super) const fn is_of_syntax(self) -> bool {
        matches!(self, Self::NotJson { .. } | Self::Truncated | Self::Trailing { .. })
    }

    /// The same for a text that follows `before`.
    pub(super) fn behind(self, before: &str) -> Self {
        let lines = before.bytes().filter(|byte| *byte == b'\n').count();
        let begun = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        let column_of = |line, column| if line == 1 { column + begun } else { column };
        match self {
            Self::NotJson { line, column } => {
                Self::NotJson { line: line + lines, column: column_of(line, column) }
            }
            Self::Trailing { line, column } => {
                Self::Trailing { line: line + lines, column: column_of(line, column) }
            }
            other => other,
        }
    }
}
