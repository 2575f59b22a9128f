//! A text that is never printed.

use std::fmt;
use std::sync::Arc;

/// The value of a setting with one of these in its name may be a secret. A hyphen is like an underscore.
const NAMES: [&str; 14] = [
    "secret",
    "token",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "api_key",
    "apikey",
    "private_key",
    "signing_key",
    "access_key",
    "auth",
    "cookie",
    "bearer",
];
/// What only sounds so.
const HARMLESS: &str = "author";

/// Whether a setting of that name may be a secret.
#[must_use]
pub fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let name = name.replace("authorization", "auth").replace(HARMLESS, "");
    NAMES.iter().any(|word| name.contains(word))
}

/// A resolved secret. `Debug` does not show it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself; keep it out of logs, errors and `Debug`.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_names_sound_like_a_secret() {
        for name in [
            "secret",
            "X-Api-Key",
            "authorization",
            "Proxy-Authorization",
            "x-auth",
            "oauth_id",
            "signing-key",
            "private_key",
            "bot_token",
            "passphrase",
        ] {
            assert!(sounds_secret(name), "{name}");
        }
        for name in ["author", "co_authors", "key", "dedup_key", "from", "url", "x-request-id"] {
            assert!(!sounds_secret(name), "{name}");
        }
    }
}
