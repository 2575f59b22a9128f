//! Rejects words of dialect: they have a plain English replacement, or `docs/glossary.md` has the term.

use std::path::Path;

use super::tree::texts;

/// A banned phrase, and what to write instead.
const BANNED: [(&str, &str); 19] = [
    ("is no", "is not a …, not a valid …"),
    ("are no", "are not …"),
    ("is none of", "must be … or …"),
    ("told", "reported, shown, notified"),
    ("tells", "reports, shows, says"),
    ("mend", "repair (the store), fix (a mistake)"),
    ("mends", "repairs, fixes"),
    ("mended", "repaired, fixed"),
    ("mending", "repair, fixing"),
    ("nobody", "no one, no target, or say who"),
    ("somebody", "a person, or say who"),
    ("whoever", "say who"),
    ("anew", "again"),
    ("broke off", "lost the connection"),
    ("breaks off", "loses the connection"),
    ("is believed", "is trusted"),
    ("are believed", "are trusted"),
    ("lets nobody", "refuses all …"),
    ("of now", "current"),
];

/// Natural English that contains a banned phrase.
const PLAIN: [&str; 8] = [
    "there is no",
    "there are no",
    "is no longer",
    "are no longer",
    "tells apart",
    "tells them apart",
    "tells it",
    "does as told",
];

/// Files that may contain banned words, and why.
const EXCEPTIONS: [(&str, &str); 1] = [("tests/tidy/words.rs", "lists them")];

/// Folders whose texts are not ours.
const FOREIGN: [(&str, &str); 1] = [("tests/fixtures", "interfaces that vendors publish")];

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// The banned phrases of a line, in lower case, with their replacements.
fn offences(line: &str) -> Vec<&'static (&'static str, &'static str)> {
    let mut line = line.to_lowercase();
    for plain in PLAIN {
        line = line.replace(plain, "");
    }
    let has = |phrase: &str| {
        line.match_indices(phrase).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + phrase.len()..].chars().next();
            !is_word(before) && !is_word(after)
        })
    };
    BANNED.iter().filter(|(phrase, _)| has(phrase)).collect()
}

#[test]
fn words_are_plain_english() {
    let mut broken = Vec::new();
    for (path, text) in texts(&["rs", "md", "toml", "txt", "py", "mjs", "env"]) {
        let is_file = |file: &str| path == Path::new(file);
        let is_excepted = EXCEPTIONS.iter().any(|(file, _)| is_file(file))
            || FOREIGN.iter().any(|(folder, _)| path.starts_with(folder));
        if is_excepted {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for (phrase, instead) in offences(line) {
                let place = format!("{}:{}", path.display(), number + 1);
                broken.push(format!("{place}: `{phrase}`; write: {instead}"));
            }
        }
    }
    assert!(broken.is_empty(), "{} in all\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn banned_words_are_found_as_whole_words() {
    let phrases = |line| offences(line).iter().map(|(phrase, _)| *phrase).collect::<Vec<_>>();
    assert_eq!(phrases("This is no id; tell Nobody."), ["is no", "nobody"]);
    assert_eq!(phrases("There is no id any more; it is no longer retold."), Vec::<&str>::new());
    assert_eq!(phrases("recommend; untold; let told_of"), Vec::<&str>::new());
}
