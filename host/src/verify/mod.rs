//! Verifies who sent a request, over its raw bytes and before anything parses them.
//!
//! Pure: time is an argument. Every secret of the source is tried on every request, in constant time,
//! so that neither the time nor the text of the answer shows which one failed or how far it matched. Only
//! this module makes a [`Verified`], and only of a request that passed. A verifier without a usable secret
//! cannot be built, so an unset secret never means "accept"; to accept everything, a source must name the
//! scheme `none`.
//!
//! How vendors sign is data: see [`Scheme`]. Every pass over a request is linear in its size, except for
//! sorting the fields of a signed form, of which there are at most [`FORM_FIELDS_MAX`].

mod alone;
mod answer;
mod certificate;
mod challenge;
mod claim;
mod codec;
mod coverage;
mod explain;
mod handshake;
mod json;
mod jwt;
mod key;
mod key_kind;
mod message;
mod plain;
mod point;
mod public;
mod published;
mod question;
mod refusal;
mod repetition;
mod scheme;
mod show;
mod sign;
mod sns;
mod sns_refusal;
mod spot;
mod stamp;
#[cfg(test)]
mod tests;
mod token_refusal;
mod topics;
mod url;
mod verifier;
mod wanted_token;

pub use answer::Answer;
pub use challenge::TOKEN_BYTES_MAX;
pub use claim::{ELEMENTS_MAX, SIGNATURES_MAX};
pub use explain::{Explanation, PREVIEW_BYTES_MAX, SEARCH_BYTES_MAX, describe, explain};
pub use handshake::answer_zoom;
pub use message::{FORM_FIELDS_MAX, LISTED_HEADERS_MAX};
pub use plain::{plain_schemes, token, token_in};
pub use published::{KeyKind, KeySet, KeyWanted, NoKeys, PUBLISHED_KEYS_MAX};
pub use question::{
    Asked, QUESTION_BYTES_MAX, QUESTIONS_MAX, Question, REPEAT_BYTES_MAX, Reply, Sign,
    is_repeatable,
};
pub use refusal::VerifyRefusal;
pub use scheme::{
    Algorithm, Encoding, Handshake, KeyForm, Mark, Part, Place, Proof, Replay, Scheme, Signature,
    Spot, Stamp, StampIn, Text, TokenIn, Unit,
};
pub use sign::{CannotSign, Signed, Signer, Unsigned, sign_body, trial_keys};
pub use sns::{SNS_AGE_MAX_S, SNS_AHEAD_MAX_S};
pub use sns_refusal::SnsRefusal;
pub use token_refusal::TokenRefusal;
pub use topics::{Sns, TOPICS_MAX};
pub use verifier::{InvalidSecrets, SECRETS_MAX, Verified, Verifier};
pub use wanted_token::{
    CLAIMS_MAX, ClaimValue, Jwt, KEY_ID_BYTES_MAX, TOKEN_CHARACTERS_MAX, TOKEN_SKEW_S, WantedClaim,
};

use verifier::{id, inside_text, without_query};
