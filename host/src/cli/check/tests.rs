//! What `check` prints, file by file: `tests/golden/config/NAME.toml` and beside it `NAME.txt`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p dispatcher golden` writes the expected texts anew; read the difference.

use std::path::{Path, PathBuf};

use super::{Found, show};
use crate::config::{self, Environment};

const SECRET: &str = "6fd4a9e2-not-to-be-shown";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables, None)
}

/// The exit code and the text, without what differs between machines.
fn found(file: &Path) -> String {
    let variables = [("SQREEN_SECRET", SECRET), ("A", SECRET), ("EMPTY", "")];
    let loaded = config::load(file, &environment(&variables));
    let Found { text, code } = show(loaded, false);
    let name = file.file_name().unwrap().to_str().unwrap();
    let text = text.replace(file.to_str().unwrap(), name);
    let text = text.replace(file.parent().unwrap().to_str().unwrap(), "FOLDER");
    format!("{text}\nexit {code}\n")
}

#[test]
fn golden_files_are_answered_as_written_beside_them() {
    let folder = root().join("tests/golden/config");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(files.len() >= 18, "the golden files are not there");
    let mut different = Vec::new();
    for file in files {
        let found = found(&file);
        assert!(!found.contains(SECRET), "{} shows a secret:\n{found}", file.display());
        for literal in ["hunter2", "swordfish", "tunafish", "the-old-one"] {
            assert!(!found.contains(literal), "{} shows a secret:\n{found}", file.display());
        }
        let beside = file.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&beside, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if found != expected {
            different
                .push(format!("{}\n--- found\n{found}--- expected\n{expected}", file.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn the_shipped_file_needs_nothing_but_the_secret() {
    let shipped = root().join("dispatcher.toml");
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join("dispatcher.toml");
    std::fs::copy(shipped, &file).unwrap();
    let config = config::load(&file, &environment(&[("SQREEN_SECRET", SECRET)])).unwrap();
    assert_eq!(config.warnings, Vec::new());
    assert_eq!(config.home, copy.path());
    assert_eq!(&*config.targets[0].plugin, "file-log");
    let without = config::load(&file, &environment(&[])).unwrap_err();
    assert_eq!(without.count(), "1 error");
    assert!(without.to_string().contains("the secret of source `sqreen` is not set"), "{without}");
}

/// Every key that the shipped file shows is one that works: uncommented, the file loads.
#[test]
fn each_key_that_the_shipped_file_explains_is_known() {
    let text = std::fs::read_to_string(root().join("dispatcher.toml")).unwrap();
    let is_key = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ")
            && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.')
    };
    let mut seen = std::collections::HashSet::new();
    let mut shown = 0;
    let mut whole = String::new();
    for line in text.lines() {
        match line.strip_prefix('#') {
            Some(key)
                if is_key(key) && seen.insert(key.split(" = ").next().unwrap().to_owned()) =>
            {
                whole.push_str(key);
                shown += 1;
            }
            Some(_) => {}
            None => whole.push_str(line),
        }
        whole.push('\n');
    }
    assert!(shown >= 20, "only {shown} keys are explained");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dispatcher.toml");
    std::fs::write(&file, whole).unwrap();
    let loaded = config::load(&file, &environment(&[("SQREEN_SECRET", SECRET)]));
    assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
}
