//! Types for `Settings`, and the error for settings that are not accepted.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Settings that cannot work. It names a key, so that `check` can point at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub(crate) path: String,
    pub(crate) reason: String,
    /// More mistakes: path and reason.
    pub(crate) further: Vec<(String, String)>,
}

impl Invalid {
    /// About the settings as a whole.
    pub fn new(reason: impl Display) -> Self {
        Self::at("", reason)
    }

    /// About one key: `Invalid::at("to[1]", "not a phone number: write +33612345678")`. Say what is wrong and
    /// what to do. Do not include a secret.
    pub fn at(path: impl Into<String>, reason: impl Display) -> Self {
        Self { path: path.into(), reason: reason.to_string(), further: Vec::new() }
    }

    /// Both mistakes. [`Mistakes`](crate::Mistakes) does that for many.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.further.push((other.path, other.reason));
        self.further.extend(other.further);
        self
    }
}

impl Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = std::iter::once((&self.path, &self.reason));
        let further = self.further.iter().map(|(path, reason)| (path, reason));
        for (number, (path, reason)) in first.chain(further).enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            let colon = if path.is_empty() { "" } else { ": " };
            write!(f, "{separator}{path}{colon}{reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// A secret in the settings, which `Debug` does not show. In the configuration it is a reference such as
/// `env:TWILIO_AUTH_TOKEN`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself. Do not log it or put it into a failure's text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true, "minLength": 1 })
    }
}

/// The text is not a valid address for HTTP requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUrl(&'static str);

impl Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidUrl {}

/// An absolute `http` or `https` address with a host and without a user name or fragment. `Debug` shows only
/// scheme and host, because the path of a webhook address is often a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong; the text itself is not repeated, because it may contain a secret.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let scheme = ["http://", "https://"].iter().find(|scheme| {
            text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        let Some(scheme) = scheme else {
            return Err(InvalidUrl("an address must start with https:// or http://"));
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidUrl(
                "an address must be ASCII without spaces: write %20 for a space",
            ));
        }
        if text.contains('#') {
            return Err(InvalidUrl("an address must not have a # part: remove it"));
        }
        let rest = &text[scheme.len()..];
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        if authority.contains('@') {
            return Err(InvalidUrl(
                "an address must not have a user name: put credentials into a secret setting",
            ));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if port.is_some_and(|port| !matches!(port.parse::<u16>(), Ok(1..))) {
            return Err(InvalidUrl("the port must be a number from 1 to 65535"));
        }
        let literal = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || (host.contains([':', '[', ']']) && !literal) {
            return Err(InvalidUrl("an address must have a host: https://example.org/…"));
        }
        Ok(Self(text.to_owned()))
    }

    /// For a default in the source code.
    ///
    /// # Panics
    /// If `text` is not a valid address: an error in the plugin, which `check` reports.
    #[must_use]
    pub fn from_static(text: &'static str) -> Self {
        match Self::parse(text) {
            Ok(url) => url,
            Err(error) => panic!("the plugin's default address {text} is not valid: {error}"),
        }
    }

    /// This address with path segments added, each percent-encoded; a query is dropped.
    #[must_use]
    pub fn join(&self, segments: &[&str]) -> Self {
        let base = self.0.split('?').next().unwrap_or_default();
        let mut url = base.trim_end_matches('/').to_owned();
        for segment in segments {
            url.push('/');
            percent_encode(segment, &mut url);
        }
        Self(url)
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port.
    fn origin(&self) -> &str {
        let host = self.0.find("://").map_or(0, |at| at + 3);
        let end = self.0[host..].find(['/', '?']).map_or(self.0.len(), |at| host + at);
        &self.0[..end]
    }
}

/// Encodes all characters except those that are always allowed in an address.
pub(crate) fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

impl AsRef<str> for HttpUrl {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({}/…)", self.origin())
    }
}

impl<'de> Deserialize<'de> for HttpUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

impl JsonSchema for HttpUrl {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HttpUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uri", "pattern": "^[hH][tT][tT][pP][sS]?://" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_addresses_with_a_host_are_accepted() {
        let good = [
            "http://a",
            "https://example.org/x?y=1",
            "HTTPS://Example.org:8443/",
            "http://[::1]:80/x",
            "http://[::1]",
            "http://127.0.0.1:7070",
        ];
        for text in good {
            assert_eq!(HttpUrl::parse(text).map(|url| url.0), Ok(text.to_owned()));
        }
        let bad = [
            "",
            "example.org",
            "ftp://x",
            "http://",
            "http:///x",
            "http://:80",
            "http://a b",
            "http://u:p@h/",
            "http://h:x/",
            "http://h:70000",
            "http://h:0",
            "http://h/#x",
            "http://é",
            "http://a:b:1",
            "http://[::1",
            "http://::1/",
        ];
        for text in bad {
            assert!(HttpUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_shows_neither_secrets_nor_the_path_of_an_address() {
        let url = HttpUrl::from_static("https://hooks.example.org/services/T0/SECRET");
        let shown = format!("{url:?} {:?}", Secret::from("hunter2"));
        assert_eq!(shown, "HttpUrl(https://hooks.example.org/…) Secret(***)");
    }

    #[test]
    fn joined_segments_cannot_change_the_address() {
        let url = HttpUrl::from_static("https://api.example.org/base/?q=1");
        let joined = url.join(&["Accounts", "a/../b?c#d é"]);
        assert_eq!(
            joined.as_str(),
            "https://api.example.org/base/Accounts/a%2F..%2Fb%3Fc%23d%20%C3%A9"
        );
    }
}
