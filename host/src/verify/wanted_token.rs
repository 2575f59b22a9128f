//! Which JSON Web Tokens prove that a request is authentic, as data.

use std::borrow::Cow;

use serde_json::Value;

/// A text of a scheme.
pub(super) type Text = Cow<'static, str>;

/// Longest token, in characters.
pub const TOKEN_CHARACTERS_MAX: usize = 8_192;
/// Longest name of a key, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 256;
/// Most claims of a token that a source demands.
pub const CLAIMS_MAX: usize = 16;
/// How far the sender's clock and ours may differ, in seconds.
pub const TOKEN_SKEW_S: u64 = 60;

/// Which tokens prove that a request is authentic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jwt {
    /// Where the issuer publishes its keys. `None`: the source must say it; so for the other keys that are empty.
    pub keys_url: Option<Text>,
    /// `iss` must be one of these.
    pub issuer: Vec<Text>,
    /// `aud` must have one of these.
    pub audience: Vec<Text>,
    pub claims: Vec<WantedClaim>,
    /// Claims that a source must demand, because without them others could send: `email`.
    pub source_claims: Vec<Text>,
}

/// A claim that a token must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedClaim {
    /// The first of these that the token has counts.
    pub names: Vec<Text>,
    /// It must be one of these, or a list that has one of them.
    pub values: Vec<ClaimValue>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimValue {
    Text(Text),
    Truth(bool),
}

impl ClaimValue {
    pub(super) fn is(&self, value: &Value) -> bool {
        match self {
            Self::Text(text) => value.as_str() == Some(text),
            Self::Truth(truth) => value.as_bool() == Some(*truth),
        }
    }
}

impl Jwt {
    /// Whether everything is known that tokens are checked with.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.keys_url.is_some()
            && !(self.issuer.is_empty() || self.audience.is_empty() || self.claims.is_empty())
            && self.missing_claims().next().is_none()
    }

    /// The names of the claims that must be there.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.claims.iter().flat_map(|claim| &claim.names).map(|name| &**name)
    }

    /// The claims that the source must demand and does not.
    pub fn missing_claims(&self) -> impl Iterator<Item = &Text> {
        let is_wanted =
            |name: &Text| self.claims.iter().any(|claim| claim.names == std::slice::from_ref(name));
        self.source_claims.iter().filter(move |name| !is_wanted(name))
    }
}
