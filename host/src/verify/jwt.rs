//! JSON Web Tokens (RFC 7519) of a sender, in the header Authorization, signed with a key that it publishes.
//!
//! A token says who sent a request, not what: it does not cover the body. The words of a token decide only which key of the
//! configured address counts (`kid`) and how the signature was made (`alg`); an address in a token is never used. Limit:
//! [`TOKEN_CHARACTERS_MAX`].

use http::{HeaderMap, header};
use serde_json::Value;

use super::claim::{behind, single};
use super::codec::unbase64_url;
use super::published::{KeyKind, KeySet, KeyWanted, TokenAlgorithm};
use super::wanted_token::{
    Jwt, KEY_ID_BYTES_MAX, TOKEN_CHARACTERS_MAX, TOKEN_SKEW_S, Text, WantedClaim,
};
use super::{TokenRefusal, VerifyRefusal};
use crate::model::{Timestamp, printable};

/// Types of tokens that are accepted (RFC 7519, RFC 9068), besides none. Others are made for another use.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// Characters shown of what a token says.
const SHOWN_CHARACTERS_MAX: usize = 400;

/// A token whose claims are as they must be; its signature is not checked yet.
pub(super) struct Token<'r> {
    /// The bytes that are signed: the first two parts.
    signed: &'r [u8],
    signature: Vec<u8>,
    algorithm: TokenAlgorithm,
    issuer: String,
    pub(super) wanted: KeyWanted,
}

impl<'r> Token<'r> {
    /// Reads the token of a request and checks all but its signature.
    pub(super) fn read(
        jwt: &Jwt,
        headers: &'r HeaderMap,
        now: Timestamp,
    ) -> Result<Self, VerifyRefusal> {
        let value = single(headers, &header::AUTHORIZATION)?;
        let malformed = || VerifyRefusal::Malformed {
            place: "header authorization".to_owned(),
            expected: "`Bearer` and a JSON Web Token",
        };
        let text = behind(b"Bearer ", value).ok_or_else(malformed)?;
        Ok(Self::of_text(jwt, text, now)?)
    }

    fn of_text(jwt: &Jwt, text: &'r [u8], now: Timestamp) -> Result<Self, TokenRefusal> {
        if text.len() > TOKEN_CHARACTERS_MAX {
            return Err(TokenRefusal::TooLong);
        }
        let mut parts = text.split(|byte| *byte == b'.');
        let (Some(head), Some(body), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenRefusal::Parts);
        };
        let signed = &text[..head.len() + 1 + body.len()];
        let head = members("header", head)?;
        let algorithm = algorithm(&head)?;
        let id = key_id(&head)?;
        let signature =
            unbase64_url(signature).ok_or(TokenRefusal::Encoding { part: "signature" })?;
        let claims = members("payload", body)?;
        check_claims(jwt, &claims, now)?;
        let issuer = member(&claims, "iss").and_then(Value::as_str).unwrap_or_default().to_owned();
        let place = jwt.keys_url.as_deref().ok_or(TokenRefusal::NoKeysUrl)?.into();
        Ok(Self {
            signed,
            signature,
            algorithm,
            issuer,
            wanted: KeyWanted { place, id, kind: KeyKind::Set },
        })
    }

    /// Checks the signature with the keys that are published.
    pub(super) fn check(&self, keys: Option<&KeySet>) -> Result<(), TokenRefusal> {
        let KeyWanted { place, id, .. } = &self.wanted;
        let shown = || place.to_string();
        let keys = keys.filter(|keys| keys.place() == place);
        let keys = keys.ok_or_else(|| TokenRefusal::KeysNotHere { place: shown() })?;
        if !keys.has(id) {
            return Err(TokenRefusal::UnknownKey { place: shown() });
        }
        let mut fitting = keys.named(id).filter(|key| key.fits(self.algorithm)).peekable();
        if fitting.peek().is_none() {
            return Err(TokenRefusal::KeyMisfit { algorithm: self.algorithm.name() });
        }
        let mut fitting = fitting.filter(|key| key.is_of(&self.issuer)).peekable();
        if fitting.peek().is_none() {
            return Err(TokenRefusal::KeyOfOther);
        }
        let verifies =
            fitting.any(|key| key.verifies(self.algorithm, self.signed, &self.signature));
        if verifies { Ok(()) } else { Err(TokenRefusal::Mismatch) }
    }
}

/// What a token says, and where its keys are, for people. Nothing of it is checked.
pub(super) fn shown(jwt: &Jwt, headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let value = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
    let text = value.and_then(|value| behind(b"Bearer ", value)).unwrap_or_default();
    let mut parts = text.split(|byte| *byte == b'.');
    let (head, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    for (word, text, names) in [
        ("token header", head, vec!["alg", "kid", "typ"]),
        ("token", claims, ["iss", "aud", "exp"].into_iter().chain(jwt.names()).collect()),
    ] {
        let Ok(members) = members(word, text) else { continue };
        let found = names.iter().filter_map(|name| Some((name, member(&members, name)?)));
        let found: Vec<String> = found.map(|(name, value)| format!("{name} {value}")).collect();
        let mut line = printable(&found.join(", "));
        if line.chars().count() > SHOWN_CHARACTERS_MAX {
            line = line.chars().take(SHOWN_CHARACTERS_MAX).chain("…".chars()).collect();
        }
        lines.push((word, line));
    }
    lines.extend(jwt.keys_url.as_ref().map(|url| ("keys", url.to_string())));
    lines
}

type Members = Vec<(String, Value)>;

/// The members of the JSON object that a part of a token is.
fn members(part: &'static str, text: &[u8]) -> Result<Members, TokenRefusal> {
    let bytes = unbase64_url(text).ok_or(TokenRefusal::Encoding { part })?;
    let Object(mut members) =
        serde_json::from_slice(&bytes).map_err(|_| TokenRefusal::Json { part })?;
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(TokenRefusal::Doubled { part });
    }
    Ok(members)
}

/// All members of an object, also those that are there twice.
struct Object(Members);

impl<'de> serde::Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Object;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        json.deserialize_map(Visitor)
    }
}

fn member<'m>(members: &'m Members, name: &str) -> Option<&'m Value> {
    members.iter().find(|(found, _)| found == name).map(|(_, value)| value)
}

/// How the token is signed, if it is signed in a way that only the owner of a private key can.
fn algorithm(head: &Members) -> Result<TokenAlgorithm, TokenRefusal> {
    let is_type = |kind: &str| {
        let kind = kind.to_ascii_lowercase();
        TYPES.contains(&kind.strip_prefix("application/").unwrap_or(&kind))
    };
    if member(head, "typ").is_some_and(|kind| !kind.as_str().is_some_and(is_type)) {
        return Err(TokenRefusal::Type);
    }
    if member(head, "crit").is_some() {
        return Err(TokenRefusal::Critical);
    }
    let name = member(head, "alg").and_then(Value::as_str).ok_or(TokenRefusal::NoAlgorithm)?;
    if name.eq_ignore_ascii_case("none") {
        return Err(TokenRefusal::Unsigned);
    }
    if name.get(..2).is_some_and(|begin| begin.eq_ignore_ascii_case("hs")) {
        return Err(TokenRefusal::Symmetric);
    }
    let found = TokenAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
    found.ok_or(TokenRefusal::Algorithm)
}

fn key_id(head: &Members) -> Result<String, TokenRefusal> {
    let id = member(head, "kid").and_then(Value::as_str);
    let id = id.filter(|id| (1..=KEY_ID_BYTES_MAX).contains(&id.len()));
    id.map(str::to_owned).ok_or(TokenRefusal::NoKeyId)
}

fn check_claims(jwt: &Jwt, claims: &Members, now: Timestamp) -> Result<(), TokenRefusal> {
    check_times(claims, now)?;
    let one_of = |name: &str, allowed: &[Text]| {
        let is = |value: &Value| allowed.iter().any(|text| value.as_str() == Some(text));
        member(claims, name).is_some_and(|value| is_or_has(value, is))
    };
    // An issuer is one text, while a token may be for several.
    if !member(claims, "iss").is_some_and(Value::is_string) || !one_of("iss", &jwt.issuer) {
        return Err(TokenRefusal::Issuer { expected: jwt.issuer.join("` or `") });
    }
    if !one_of("aud", &jwt.audience) {
        return Err(TokenRefusal::Audience { expected: jwt.audience.join("` or `") });
    }
    for WantedClaim { names, values } in &jwt.claims {
        let found = names.iter().find_map(|name| member(claims, name));
        let is = |value: &Value| values.iter().any(|wanted| wanted.is(value));
        if !found.is_some_and(|value| is_or_has(value, is)) {
            return Err(TokenRefusal::Claim { name: names.join("` or `") });
        }
    }
    Ok(())
}

/// Whether the value is wanted, or is a list that has what is wanted.
fn is_or_has(value: &Value, is: impl Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(values) => values.iter().any(is),
        value => is(value),
    }
}

fn check_times(claims: &Members, now: Timestamp) -> Result<(), TokenRefusal> {
    let now_s = now.as_millis() / 1_000;
    let time = |name: &'static str| match member(claims, name) {
        None => Ok(None),
        // A NumericDate may have a fraction.
        Some(value) => match value.as_u64().or_else(|| value.as_f64().and_then(whole_seconds)) {
            Some(time) => Ok(Some(time)),
            None => Err(TokenRefusal::NotATime { name }),
        },
    };
    let expires = time("exp")?.ok_or(TokenRefusal::NoExpiry)?;
    if now_s >= expires.saturating_add(TOKEN_SKEW_S) {
        return Err(TokenRefusal::Expired { age_s: now_s - expires });
    }
    for name in ["nbf", "iat"] {
        let begins = time(name)?.unwrap_or_default();
        if begins > now_s.saturating_add(TOKEN_SKEW_S) {
            return Err(TokenRefusal::Early { name, ahead_s: begins - now_s });
        }
    }
    Ok(())
}

/// The seconds before the point; `None` if that is not a time that a clock can show.
fn whole_seconds(time: f64) -> Option<u64> {
    /// Beyond this a number with a fraction does not have each whole second.
    const MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only numbers that fit are cast"
    )]
    (0.0..=MAX).contains(&time).then_some(time as u64)
}

#[cfg(test)]
mod tests;
