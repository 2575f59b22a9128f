//! File names in settings, relative to the daemon's `home`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

thread_local! {
    /// The base of relative paths while settings are read on this thread.
    static HOME: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Sets the base of relative paths until it is dropped.
pub(crate) struct Home(String);

impl Home {
    pub(crate) fn enter(home: &str) -> Self {
        Self(HOME.with(|current| current.replace(home.to_owned())))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        HOME.with(|current| current.replace(std::mem::take(&mut self.0)));
    }
}

/// A file or folder on the daemon's machine that only this target uses: `dispatcher check` reports two
/// targets with the same one. A relative path starts at the daemon's `home`, not at the working directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalPath(PathBuf);

impl LocalPath {
    /// The path to use.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Deref for LocalPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for LocalPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl<'de> Deserialize<'de> for LocalPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() || text.contains('\0') {
            return Err(D::Error::custom("a path must not be empty or contain NUL"));
        }
        Ok(Self(HOME.with(|home| Path::new(&*home.borrow()).join(text))))
    }
}

impl JsonSchema for LocalPath {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LocalPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "path", "minLength": 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_at_home_and_absolute_ones_do_not() {
        let read = |text: &str| serde_json::from_str::<LocalPath>(&format!("{text:?}"));
        {
            let _home = Home::enter("/var/lib/dispatcher");
            assert_eq!(read("logs/a").unwrap().as_path(), Path::new("/var/lib/dispatcher/logs/a"));
            assert_eq!(read("/tmp/a").unwrap().as_path(), Path::new("/tmp/a"));
            assert!(
                read("").is_err() && serde_json::from_str::<LocalPath>("\"a\\u0000\"").is_err()
            );
        }
        assert_eq!(read("logs/a").unwrap().as_path(), Path::new("logs/a"));
    }
}
