//! Where the home of a configuration is, whatever else is wrong with it: how commands find the running
//! daemon.
//!
//! Reads no secret and no plugin, and needs neither valid keys nor, apart from `home`, valid TOML.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::files::{Parsed, Text, Unreadable};
use super::load::folder;

/// The configuration file cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot read {}: {reason}", file.display())]
pub struct HomeError {
    file: PathBuf,
    reason: String,
}

/// The home of the daemon that runs with this configuration.
///
/// # Errors
/// The file cannot be read.
pub fn home(file: &Path) -> Result<PathBuf, HomeError> {
    // What cannot be read of `conf.d` is left out.
    let text = Text::read(file).or_else(|_| Text::read_one(file));
    let text = text.map_err(|Unreadable { file, reason }| HomeError { file, reason })?;
    let Parsed { tables, .. } = text.parse();
    let named = tables.iter().find_map(|table| match table.get("home")?.get_ref() {
        DeValue::String(path) => Some(path.as_ref()),
        _ => None,
    });
    // Without the dots of "./x".
    let home = |path: &str| folder(file).join(path).components().collect();
    Ok(named.filter(|path| !path.is_empty()).map_or_else(|| folder(file), home))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The home of a configuration of that text, from its folder on.
    fn home_of(text: &str, conf_d: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dispatcher.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::create_dir(folder.path().join("conf.d")).unwrap();
        std::fs::write(folder.path().join("conf.d/more.toml"), conf_d).unwrap();
        let home = home(&file).unwrap();
        home.strip_prefix(folder.path())
            .map_or_else(|_| home.display().to_string(), |relative| relative.display().to_string())
    }

    #[test]
    fn home_is_found_in_a_configuration_full_of_mistakes() {
        for (text, expected) in [
            ("", ""),
            ("home = \"./state\"\n", "state"),
            ("home = \"/srv/x\"\n", "/srv/x"),
            (
                "home = \"state\"\n[sever]\nlisten = 7\n[sources.a]\nsecrets = \"env:UNSET\"\n",
                "state",
            ),
            ("home = \"state\"\nthis is not TOML\n[targets.\n", "state"),
            ("home = 7\n", ""),
            ("[server]\nhome = \"state\"\n", ""),
        ] {
            assert_eq!(home_of(text, b""), expected, "{text}");
        }
        assert_eq!(home_of("", b"home = \"state\"\n"), "state");
        assert_eq!(home_of("home = \"state\"\n", &[0xff, 0xfe]), "state", "conf.d is not UTF-8");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = home(Path::new("/nowhere/dispatcher.toml")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read /nowhere/dispatcher.toml: "), "{error}");
    }
}
