//! Why a token of a sender is refused: one line for the log. The sender does not see it.

use super::wanted_token::{KEY_ID_BYTES_MAX, TOKEN_CHARACTERS_MAX, TOKEN_SKEW_S};

/// Why a JSON Web Token does not prove who sent a request. Contains what the source demands, and nothing of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    #[error("the token has more than {TOKEN_CHARACTERS_MAX} characters")]
    TooLong,
    #[error("the token does not consist of three parts with dots between them")]
    Parts,
    #[error("the {part} of the token is not base64url without padding")]
    Encoding { part: &'static str },
    #[error("the {part} of the token is not a JSON object")]
    Json { part: &'static str },
    #[error("the {part} of the token has a name twice, so it is unclear which one counts")]
    Doubled { part: &'static str },
    #[error("the token's `typ` is neither JWT nor at+jwt: it was made for another use")]
    Type,
    #[error("the token has `crit`: it requires an extension that is not supported")]
    Critical,
    #[error("the token's `alg` is missing, so it is unknown how it is signed")]
    NoAlgorithm,
    #[error("the token's `alg` is none: it is not signed")]
    Unsigned,
    #[error(
        "the token's `alg` is an HMAC, whose secret would be the published key, which everyone knows"
    )]
    Symmetric,
    #[error("the token's `alg` is not RS256, PS256 or ES256")]
    Algorithm,
    #[error(
        "the token's `kid`, the name of its key, is not a text of 1 to {KEY_ID_BYTES_MAX} bytes"
    )]
    NoKeyId,
    #[error("the token's `exp` is missing, so it would be valid for ever")]
    NoExpiry,
    #[error("the token's `{name}` is not a number of seconds")]
    NotATime { name: &'static str },
    #[error(
        "the token expired {age_s} s ago (clocks may differ by {TOKEN_SKEW_S} s): the request was sent again, or a \
         clock is wrong"
    )]
    Expired { age_s: u64 },
    #[error(
        "the token's `{name}` is {ahead_s} s in the future (clocks may differ by {TOKEN_SKEW_S} s): a clock is wrong"
    )]
    Early { name: &'static str, ahead_s: u64 },
    #[error("the token's `iss` is not `{expected}`: another issuer made it")]
    Issuer { expected: String },
    #[error("the token's `aud` is not `{expected}`: it was made for another receiver")]
    Audience { expected: String },
    #[error(
        "the token's `{name}` is missing or not what the source's `claims` demand: another sender has it"
    )]
    Claim { name: String },
    #[error("it is unknown where the keys are published: set keys_url in the source")]
    NoKeysUrl,
    #[error("the keys at {place} are not here")]
    KeysNotHere { place: String },
    #[error("the token's key is not among those that are published at {place}")]
    UnknownKey { place: String },
    #[error("the key that the token names is not for {algorithm}")]
    KeyMisfit { algorithm: &'static str },
    #[error("the key that the token names is published for tokens of another issuer")]
    KeyOfOther,
    #[error("the token's signature does not match its key: it was made or changed by someone else")]
    Mismatch,
}
