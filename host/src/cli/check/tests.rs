//! Compares what `check` prints for each `tests/golden/config/NAME.toml` with `NAME.txt` beside it (for
//! `NAME/dispatcher.toml` where there is a `conf.d`), and likewise in `tests/golden/plugins`, whose mistakes only
//! plugins can find.
//!
//! `UPDATE_GOLDEN=1 cargo test -p dispatcher golden` rewrites the expected texts; read the difference.

use std::path::{Path, PathBuf};

use super::{Found, show};
use crate::config::{self, Config, Environment, Problem};

const SECRET: &str = "6fd4a9e2-not-to-be-shown";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables, None)
}

/// The exit code and the text, without what differs between machines.
fn found(file: &Path, further: fn(&Config) -> Vec<Problem>) -> String {
    let variables = [("SQREEN_SECRET", SECRET), ("A", SECRET), ("EMPTY", "")];
    let loaded = config::load_with(file, &environment(&variables), further);
    let Found { text, code } = show(loaded, false);
    let folder = file.parent().unwrap().to_str().unwrap();
    let beside = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let packaged = beside.with_file_name("lib/dispatcher/plugins");
    let text = text.replace(packaged.to_str().unwrap(), "PACKAGED");
    let text = text.replace(beside.to_str().unwrap(), "BESIDE");
    // The file and those in conf.d are shown as the person named them, from here.
    let text = text
        .replace(&format!("> {folder}/"), "> ")
        .replace(&format!(" {folder}/conf.d"), " conf.d");
    let text = text.replace(&format!(" {folder}/dispatcher"), " dispatcher");
    let text = text.replace(folder, "FOLDER");
    format!("{text}\nexit {code}\n")
}

/// Compares each output with the expected text; returns the number of files and how many have errors.
fn compare(folder: &str, further: fn(&Config) -> Vec<Problem>) -> (usize, usize) {
    let entries =
        std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .map(|path| if path.is_dir() { path.join("dispatcher.toml") } else { path })
        .filter(|file| file.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let (mut different, mut wrong) = (Vec::new(), 0);
    for file in &files {
        let found = found(file, further);
        assert!(!found.contains(SECRET), "{} shows a secret:\n{found}", file.display());
        for literal in ["hunter2", "swordfish", "tunafish", "the-old-one"] {
            assert!(!found.contains(literal), "{} shows a secret:\n{found}", file.display());
        }
        wrong += usize::from(found.ends_with("exit 1\n"));
        let beside = file.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&beside, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if found != expected {
            let name = file.display();
            different.push(format!("{name}\n--- found\n{found}--- expected\n{expected}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    (files.len(), wrong)
}

#[test]
fn each_golden_file_gives_the_expected_text() {
    let (files, wrong) = compare("tests/golden/config", |_| Vec::new());
    assert!(files >= 20 && wrong >= 15, "golden files are missing: {files}, {wrong} wrong");
}

#[test]
fn each_golden_file_with_a_problem_of_a_plugin_gives_the_expected_text() {
    let (files, wrong) = compare("tests/golden/plugins", crate::app::check);
    assert!(files >= 8 && wrong >= 8, "golden files are missing: {files}, {wrong} wrong");
}

#[test]
fn the_json_names_file_line_and_column_of_each_problem_and_no_secret() {
    let file = root().join("tests/golden/config/several-files/dispatcher.toml");
    let loaded = config::load(&file, &environment(&[("SQREEN_SECRET", SECRET)]));
    let found = super::show_json(loaded);
    assert_eq!(found.code, 1);
    let json: serde_json::Value = serde_json::from_str(&found.text).unwrap();
    let problems = json["problems"].as_array().unwrap();
    assert_eq!(json["errors"], problems.len());
    let secret = problems.iter().find(|p| p["title"].as_str().unwrap().contains("secret")).unwrap();
    assert!(secret["file"].as_str().unwrap().ends_with("conf.d/20-mistakes.toml"), "{secret}");
    assert_eq!((&secret["line"], &secret["column"]), (&4.into(), &11.into()), "{secret}");
    assert_eq!(secret["severity"], "error");
    assert!(secret["help"][0].as_str().unwrap().contains("SQREEN_SECRET"), "{secret}");
    assert!(!found.text.contains(SECRET));
}

#[test]
fn without_the_environment_a_check_lists_what_it_did_not_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dispatcher.toml");
    let text = "[sources.sqreen]\nsecrets = \"env:NOT_HERE\"\n[targets.a]\nplugin = \"file-log\"\n\
                settings.path = \"credential:also-not\"\n";
    std::fs::write(&file, text).unwrap();
    // It would be an error if it were read.
    std::fs::write(folder.path().join(config::ENV_FILE), "no name\n").unwrap();
    let Found { text, code } =
        show(config::load_with(&file, &Environment::skipped(), crate::app::check), false);
    assert_eq!(code, 0, "{text}");
    for part in [
        "warning: not checked: the environment",
        "sources.sqreen.secrets = \"env:NOT_HERE\"",
        "targets.a.settings.path = \"credential:also-not\"",
        "http://127.0.0.1:7070/sqreen",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
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

/// With every key uncommented, the shipped file loads.
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
