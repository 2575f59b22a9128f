//! Keeps fragile crates in the one folder that may name them.

use super::tree::sources;

/// A crate, and the folders whose code may name it.
const FENCES: [(&str, &[&str]); 5] = [
    ("abi_stable", &["plugin-api/src/abi"]),
    ("async_ffi", &["plugin-api/src/abi"]),
    ("libloading", &["host/src/plugin"]),
    ("fjall", &["host/store/src/embedded"]),
    ("toml::", &["host/src/config"]),
];

#[test]
fn fragile_crates_stay_behind_their_fence() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code: String = text.lines().filter(is_code).collect::<Vec<_>>().join("\n");
        for (word, folders) in FENCES {
            let is_allowed = folders
                .iter()
                .any(|folder| path.starts_with(folder) || path.starts_with(format!("{folder}.rs")));
            if code.contains(word) && !is_allowed && !path.starts_with("tests/tidy") {
                broken.push(format!("{}: names {word}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
