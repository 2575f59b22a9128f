//! Why a request cannot be trusted: one line for the log. The sender does not see it.

use http::HeaderName;

use super::{SnsRefusal, TokenRefusal};

/// Why a request is refused. Contains names, places and numbers, never a secret or a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyRefusal {
    #[error("header {header} is missing")]
    Missing { header: HeaderName },
    #[error("header {header} is empty")]
    Empty { header: HeaderName },
    #[error("header {header} is sent {times} times, so it is unclear which one counts")]
    Doubled { header: HeaderName, times: usize },
    #[error("header {header} has {found} characters, a signature has {expected}")]
    Length { header: HeaderName, found: usize, expected: usize },
    #[error("{place} is not {expected}")]
    Malformed { place: String, expected: &'static str },
    #[error("{place} has no signature of a known version; expected {expected}…")]
    NoVersion { place: String, expected: String },
    #[error("{place} has more than {max} elements")]
    TooMany { place: String, max: usize },
    #[error("there is no timestamp in {place}")]
    NoStamp { place: String },
    #[error("there is more than one timestamp in {place}, so it is unclear which one counts")]
    StampDoubled { place: String },
    #[error("the timestamp in {place} is not {expected}")]
    StampMalformed { place: String, expected: &'static str },
    #[error(
        "the timestamp is {age_s} s old, the limit is {max_s} s: the request was sent again, or a clock is wrong"
    )]
    Stale { age_s: u64, max_s: u32 },
    #[error("the timestamp is {ahead_s} s in the future, the limit is {max_s} s: a clock is wrong")]
    Future { ahead_s: u64, max_s: u32 },
    #[error("the id contains {separator:?}, so it is unclear where it ends in the signed bytes")]
    IdUnclear { separator: String },
    #[error("the signed headers do not include the timestamp's header, {header}")]
    StampNotListed { header: HeaderName },
    #[error("{place} must have exactly one value")]
    NotInside { place: String },
    #[error(
        "the value in the body at {pointer} is there twice, is not a text or a number, or contains the text that \
         separates it from the next one in the signed bytes"
    )]
    ValueUnclear { pointer: String },
    #[error(
        "the body is not a form of at most {max} fields, and the address does not have its hash"
    )]
    NoForm { max: usize },
    #[error("the hash in the address does not match the body")]
    BodyHash,
    #[error(
        "it is unclear where the address ends and the form begins: in the order of names {field} must be the first \
         field, and a value or the address may not contain what looks like {field} or `bodySHA256=` at another place"
    )]
    FormUnclear { field: String },
    #[error(
        "the body is not a JSON document, and nothing in the signed bytes separates it from the part beside it, so it \
         is unclear where it begins and ends"
    )]
    BodyUnclear,
    #[error(
        "the body is empty, and the method is not signed, so it is unclear whether the content is the query, as it is by GET"
    )]
    MethodUnclear,
    #[error(
        "it is by GET and has a body, which is not signed: the signature covers the query alone"
    )]
    BodyByGet,
    #[error("the body begins like a timestamp that was moved into it")]
    StampInBody,
    #[error("the signature covers the public address, which is unknown: set server.public_url")]
    NoPublicUrl,
    #[error("parameter {name} is missing in the address, or is there more than once")]
    NoToken { name: String },
    #[error("the token does not match")]
    Token,
    #[error("the user or the password does not match")]
    Basic,
    #[error(transparent)]
    Jwt(#[from] TokenRefusal),
    #[error(transparent)]
    Sns(#[from] SnsRefusal),
    #[error("the token to answer is not 1 to 128 characters of A-Z a-z 0-9 _ and -")]
    Challenge,
    #[error(
        "the signed bytes are 1 to 128 characters of A-Z a-z 0-9 _ and -; a handshake signs any such text with this \
         secret on request, so the signature does not prove who sent it"
    )]
    SignedOnRequest,
    #[error(
        "the vendor asks with a token that you chose there, which is unknown here: set the same text as \
         verify_token in the source"
    )]
    NoVerifyToken,
    #[error(
        "the signature does not match; the secret differs, or the body was changed on the way \
         (re-formatted JSON is another body)"
    )]
    Mismatch,
    #[error(
        "the signature does not match; the secret differs, the body was changed on the way, or the \
         sender signed an address other than {url}"
    )]
    UrlMismatch { url: String },
}

impl VerifyRefusal {
    /// Whether only the comparison itself failed.
    #[must_use]
    pub const fn is_mismatch(&self) -> bool {
        matches!(
            self,
            Self::Mismatch
                | Self::UrlMismatch { .. }
                | Self::Token
                | Self::Basic
                | Self::Jwt(TokenRefusal::Mismatch)
                | Self::Sns(SnsRefusal::Mismatch)
        )
    }
}
