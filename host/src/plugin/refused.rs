//! Which of the files that cannot be used has the plugin that is asked for, and why it cannot be used.

use std::fmt;
use std::path::Path;

use super::directory::{OWN_PREFIX, PluginFile};
use super::file_problem::FileProblem;
use super::sanitize::one_line;

/// Most files that one line names.
const SHOWN_MAX: usize = 3;
/// Longest text about one of several files, in bytes.
const SHOWN_BYTES_MAX: usize = 240;

/// Files that cannot be used, each with its reason, the likeliest first.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    shown: Vec<String>,
    /// Other files that cannot be used.
    others: usize,
}

impl Refused {
    /// `unusable` is the number of all files that cannot be used.
    pub(super) fn new<'a>(
        files: impl Iterator<Item = (&'a Path, &'a FileProblem)>,
        unusable: usize,
    ) -> Self {
        let text =
            |(path, problem): (&Path, &FileProblem)| format!("{}: {problem}", path.display());
        let shown: Vec<_> = files.take(SHOWN_MAX).map(text).collect();
        let others = unusable.saturating_sub(shown.len());
        Self { shown, others }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shown[..] {
            // With its whole reason.
            [only] => write!(f, "{only}")?,
            shown => {
                let shown: Vec<_> =
                    shown.iter().map(|text| one_line(text, SHOWN_BYTES_MAX)).collect();
                write!(f, "{}", shown.join("; "))?;
            }
        }
        match self.others {
            0 => Ok(()),
            1 => write!(f, "; one other file cannot be used (`dispatcher plugin list`)"),
            n => write!(f, "; {n} other files cannot be used (`dispatcher plugin list`)"),
        }
    }
}

/// Whether a file whose plugin cannot be read has this one by its own name: `slack` is in `libdispatcher_slack.so`, and
/// in `acme-slack.so`.
pub(super) fn is_called(file: &PluginFile, name: &str) -> bool {
    let name = plain(name);
    let stem = stem(file);
    let rest = stem.strip_suffix(&name);
    file.version.is_empty()
        && !name.is_empty()
        && rest.is_some_and(|rest| rest.is_empty() || rest == "lib" || rest.ends_with('_'))
}

/// The files with the names that are most like that of the plugin first.
pub(super) fn likeliest_first<'a>(
    mut files: Vec<&'a PluginFile>,
    name: &str,
) -> Vec<&'a PluginFile> {
    let name = plain(name);
    let likeness = |file: &PluginFile| {
        let stem = stem(file);
        let stem = stem.strip_prefix(OWN_PREFIX).or_else(|| stem.strip_prefix("lib"));
        strsim::jaro_winkler(stem.unwrap_or(&plain(&file.name)), &name)
    };
    files.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    files
}

/// The file's name without its ending.
fn stem(file: &PluginFile) -> String {
    plain(&file.path.file_stem().unwrap_or_default().to_string_lossy())
}

/// As a name of a file writes it.
fn plain(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}
