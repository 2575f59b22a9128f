//! Why a request cannot be trusted: one line for the log. The sender is not told.

use http::HeaderName;

/// See the module's description. Shows names, places and figures, and never a secret or a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyRefusal {
    #[error("header {header} is missing")]
    Missing { header: HeaderName },
    #[error("header {header} is empty")]
    Empty { header: HeaderName },
    #[error("header {header} is sent {times} times; which one counts is unclear")]
    Doubled { header: HeaderName, times: usize },
    #[error("header {header} has {found} characters, a signature has {expected}")]
    Length { header: HeaderName, found: usize, expected: usize },
    #[error("{place} is no {expected}")]
    Malformed { place: String, expected: &'static str },
    #[error("{place} has no signature of a known version, written {expected}…")]
    NoVersion { place: String, expected: String },
    #[error("{place} has more than {max} elements")]
    TooMany { place: String, max: usize },
    #[error("there is no timestamp in {place}")]
    NoStamp { place: String },
    #[error("there is more than one timestamp in {place}; which one counts is unclear")]
    StampDoubled { place: String },
    #[error("the timestamp in {place} is no {expected}")]
    StampMalformed { place: String, expected: &'static str },
    #[error(
        "the timestamp is {age_s} s old, at most {max_s} s are taken: sent again, or a clock is wrong"
    )]
    Stale { age_s: u64, max_s: u32 },
    #[error(
        "the timestamp lies {ahead_s} s in the future, at most {max_s} s are taken: a clock is wrong"
    )]
    Future { ahead_s: u64, max_s: u32 },
    #[error(
        "the id has {separator:?} in it, so that it is unclear where it ends in what is signed"
    )]
    IdUnclear { separator: String },
    #[error("the signed headers do not include the timestamp's, {header}")]
    StampNotListed { header: HeaderName },
    #[error("the body has nothing at {pointer}, or more than once")]
    NotInBody { pointer: String },
    #[error("the body is no form of at most {max} fields, and its address has no hash of it")]
    NoForm { max: usize },
    #[error("the body does not have the hash that its address says")]
    BodyHash,
    #[error("the body begins like a timestamp that was moved into it")]
    StampInBody,
    #[error(
        "the address that the signature covers is not known here: server.public_url is not set"
    )]
    NoPublicUrl,
    #[error("parameter {name} is missing in the address, or there more than once")]
    NoToken { name: String },
    #[error("the token is another one")]
    Token,
    #[error("user or password are others")]
    Basic,
    #[error("what it asks to have answered is no token: 1 to 128 of A-Z a-z 0-9 _ and -")]
    Challenge,
    #[error(
        "it asks with a token of your own choice, which is not known here: write verify_token in the \
         source, and the same text where the sender is set up"
    )]
    NoVerifyToken,
    #[error(
        "the signature does not match; the secret differs, or the body was changed on its way \
         (re-formatted JSON is another body)"
    )]
    Mismatch,
    #[error(
        "the signature does not match; the secret differs, the body was changed on its way, or the \
         sender was given another address than {url}"
    )]
    UrlMismatch { url: String },
}

impl VerifyRefusal {
    /// Whether only the comparison itself failed.
    #[must_use]
    pub const fn is_mismatch(&self) -> bool {
        matches!(self, Self::Mismatch | Self::UrlMismatch { .. } | Self::Token | Self::Basic)
    }
}
