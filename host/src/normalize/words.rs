//! Maps words to severities.

use crate::model::Severity;

/// Words that many senders use, in lower case, from harmless to worst.
const COMMON: [(Severity, &[&str]); 4] = [
    (
        Severity::Info,
        &["info", "information", "informational", "notice", "debug", "trace", "low", "ok", "none"],
    ),
    (Severity::Warning, &["warning", "warn", "medium", "moderate", "minor"]),
    (Severity::Error, &["error", "err", "high", "major"]),
    (
        Severity::Critical,
        &["critical", "crit", "fatal", "emergency", "emerg", "alert", "panic", "severe"],
    ),
];

/// A sender's own word; `*` at one end matches anything.
#[derive(Clone, Debug)]
pub(super) struct Word {
    text: Box<str>,
    anything: Option<End>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Before,
    After,
}

impl Word {
    pub(super) fn new(text: &str) -> Self {
        let (text, anything) = if let Some(rest) = text.strip_prefix('*') {
            (rest, Some(End::Before))
        } else if let Some(rest) = text.strip_suffix('*') {
            (rest, Some(End::After))
        } else {
            (text, None)
        };
        Self { text: text.to_lowercase().into(), anything }
    }

    fn is(&self, word: &str) -> bool {
        match self.anything {
            None => word == &*self.text,
            Some(End::Before) => word.ends_with(&*self.text),
            Some(End::After) => word.starts_with(&*self.text),
        }
    }
}

/// The severity of a word, by the sender's list or else by the common one. Case does not matter.
pub(super) fn severity(word: &str, own: &[(Word, Severity)]) -> Option<Severity> {
    let word = word.trim().to_lowercase();
    let own = own.iter().find(|(own, _)| own.is(&word)).map(|(_, severity)| *severity);
    own.or_else(|| {
        COMMON.iter().find(|(_, words)| words.contains(&&*word)).map(|(severity, _)| *severity)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_senders_own_words_come_first() {
        use Severity::{Critical, Error, Info, Warning};
        let own = [("P1", Critical), ("*.failed", Error), ("test*", Info), ("high", Warning)];
        let own = own.map(|(word, severity)| (Word::new(word), severity));
        for (word, expected) in [
            (" p1", Some(Critical)),
            ("charge.FAILED", Some(Error)),
            ("testing", Some(Info)),
            ("High", Some(Warning)),
            ("major", Some(Error)),
            ("p2", None),
            ("", None),
        ] {
            assert_eq!(severity(word, &own), expected, "{word}");
        }
    }

    #[test]
    fn the_reference_page_of_senders_lists_the_common_words() {
        let page = include_str!("../../../docs/reference/senders.md");
        for (severity, words) in &COMMON {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            let row = format!("| {severity} | {} |", words.join(" "));
            assert!(page.contains(&row), "docs/reference/senders.md needs the row {row}");
        }
    }
}
