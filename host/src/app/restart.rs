//! The keys that only a restart changes: one list for the comparison of a reload, for the help and for tests.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Config;
use crate::net;
use crate::store::embedded;

/// What cannot change while the daemon runs.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) file: PathBuf,
    pub(super) home: PathBuf,
    pub(super) server: net::Settings,
    /// In force; differs from the file's if that has port 0.
    pub(super) address: SocketAddr,
    pub(super) store: embedded::Settings,
}

/// A key and whether its value in the file differs from the one in force.
type RestartKey = (&'static str, fn(&Fixed, &Config) -> bool);

const KEYS: [RestartKey; 13] = [
    ("home", |now, file| now.home != file.home_in_file),
    ("server.listen", |now, file| now.server.listen != file.server.listen),
    ("server.header_timeout", |now, file| now.server.header_timeout != file.server.header_timeout),
    ("server.idle_timeout", |now, file| now.server.idle_timeout != file.server.idle_timeout),
    ("server.drain_timeout", |now, file| now.server.drain_timeout != file.server.drain_timeout),
    ("server.connections_max", |now, file| {
        now.server.connections_max != file.server.connections_max
    }),
    ("server.trusted_proxies", |now, file| {
        now.server.trusted_proxies != file.server.trusted_proxies
    }),
    ("server.proxy_protocol", |now, file| now.server.proxy_protocol != file.server.proxy_protocol),
    ("store.directory", |now, file| now.store.directory != file.store.directory),
    ("store.segment", |now, file| now.store.segment_bytes != file.store.segment_bytes),
    ("store.free_min", |now, file| now.store.free_min_bytes != file.store.free_min_bytes),
    ("store.retention.age", |now, file| now.store.retention_age_ms != file.store.retention_age_ms),
    ("store.retention.size", |now, file| now.store.retention_bytes != file.store.retention_bytes),
];

/// Every key that needs a restart.
pub fn restart_keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(key, _)| *key)
}

impl Fixed {
    pub(super) fn of(config: &Config, address: SocketAddr) -> Self {
        let (server, store) = (config.server.clone(), config.store.clone());
        Self { file: config.file.clone(), home: config.home.clone(), server, address, store }
    }

    /// Keys whose values in the file are not those in force.
    pub(super) fn differences(&self, config: &Config) -> Vec<&'static str> {
        KEYS.iter().filter(|(_, differs)| differs(self, config)).map(|(key, _)| *key).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, load_again};

    /// A configuration with these lines, read while the daemon's home is `home`.
    fn config(home: &Path, lines: &str) -> Config {
        let file = home.join("dispatcher.toml");
        std::fs::write(&file, lines).unwrap();
        load_again(&file, &Environment::default(), home, |_| Vec::new()).unwrap()
    }

    #[test]
    fn a_changed_value_of_each_key_is_found() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("elsewhere")).unwrap();
        let proxies = "server.trusted_proxies = [\"10.0.0.0/8\"]\n";
        let before = config(home.path(), "");
        let fixed = Fixed::of(&before, before.server.listen);
        assert_eq!(fixed.differences(&before), Vec::<&str>::new());
        let both = ["server.trusted_proxies", "server.proxy_protocol"];
        let mut found = Vec::new();
        for (lines, keys) in [
            ("home = \"elsewhere\"", &["home"][..]),
            ("server.listen = \"127.0.0.1:9\"", &["server.listen"]),
            ("server.header_timeout = \"3s\"", &["server.header_timeout"]),
            ("server.idle_timeout = \"3s\"", &["server.idle_timeout"]),
            ("server.drain_timeout = \"3s\"", &["server.drain_timeout"]),
            ("server.connections_max = 7", &["server.connections_max"]),
            (proxies, &["server.trusted_proxies"]),
            (&format!("{proxies}server.proxy_protocol = true"), &both),
            ("store.directory = \"other\"", &["store.directory"]),
            ("store.segment = \"32MiB\"", &["store.segment"]),
            ("store.free_min = \"1MiB\"", &["store.free_min"]),
            ("store.retention.age = \"3d\"", &["store.retention.age"]),
            ("store.retention.size = \"9GiB\"", &["store.retention.size"]),
            ("server.body_timeout = \"3s\"\nstore.free_low = \"3GiB\"", &[]),
        ] {
            assert_eq!(fixed.differences(&config(home.path(), lines)), keys, "{lines}");
            found.extend_from_slice(keys);
        }
        let never: Vec<_> = restart_keys().filter(|key| !found.contains(key)).collect();
        assert!(never.is_empty(), "not tried: {never:?}");
    }

    /// The comment above each of these keys says `restart`.
    #[test]
    fn the_shipped_file_marks_every_key() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let shipped = std::fs::read_to_string(root.join("dispatcher.toml")).unwrap();
        let (mut table, mut comment, mut marked) = (String::new(), String::new(), Vec::new());
        let mut above_is_key = false;
        for line in shipped.lines() {
            let key = line.trim_start_matches('#').split_once(" = ").map(|(key, _)| key);
            let key = key.filter(|key| !key.contains(' '));
            if let Some(name) = line.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
                table = format!("{name}.");
            } else if let Some(key) = key {
                // Several keys may share a comment.
                if comment.contains("restart") {
                    marked.push(format!("{table}{key}"));
                }
            } else {
                if above_is_key {
                    comment.clear();
                }
                comment.push_str(line);
            }
            above_is_key = key.is_some() || line.is_empty();
        }
        let missing: Vec<_> =
            restart_keys().filter(|key| !marked.iter().any(|marked| marked == key)).collect();
        assert!(missing.is_empty(), "without a mark: {missing:?}; marked: {marked:?}");
    }
}
