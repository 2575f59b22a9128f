//! Answers the requests with which a vendor checks an address.
//!
//! Pure. If the vendor signs its question, only a verified one is answered. An answer repeats or signs only a token of
//! the form `[A-Za-z0-9_-]{1,128}`: otherwise anyone who can ask could get any body signed. Two handshakes sign the
//! token:
//! - X's question is not signed, so anyone gets a valid signature of any token. `challenge` refuses every request whose
//!   signed bytes are a token, so that no such signature proves anything.
//! - Zoom signs its question, and what Zoom signs begins with `v0:`, which no token contains. The rule of `challenge`
//!   holds for it too, because a scheme of a user's own may sign other bytes.
//!
//! The other handshakes repeat the token or give a fixed answer. That signs nothing: no scheme accepts a repeated token
//! as a signature.

use http::{HeaderMap, HeaderName, Method, Uri};

use super::answer::Answer;
use super::challenge::is_token;
use super::codec::{base64, hex};
use super::key::Key;
use super::question::{Asking, QUESTION_BYTES_MAX, Question};
use super::scheme::{Handshake, Place, Proof, Signature};
use super::{Verified, Verifier, VerifyRefusal, json, url};
use crate::model::{Request, Secret};

/// With this header Asana says its secret, and expects it back.
const ASANA_SECRET: HeaderName = HeaderName::from_static("x-hook-secret");
/// Keys that make the same MAC of this text are the same.
const SAMPLE: &[u8] = b"the same key?";

impl Handshake {
    /// Whether the vendor asks with GET, while it sends events with POST.
    #[must_use]
    pub const fn is_get(self) -> bool {
        matches!(self, Self::MetaHubChallenge | Self::OktaVerification | Self::XCrc)
    }

    /// Whether it is answered unless the configuration turns it off. True if answering it gives no one
    /// access.
    #[must_use]
    pub const fn is_answered_unasked(self) -> bool {
        !matches!(self, Self::NotionToken | Self::AsanaSecret)
    }
}

impl Verifier {
    /// Adds the token that the vendor sends when it asks, if it has one besides the secret.
    #[must_use]
    pub fn with_verify_token(self, token: Option<&Secret>) -> Self {
        Self { verify_token: token.map(Key::plain), ..self }
    }

    /// Adds questions that it answers. `takes_empty_bodies`: whether a POST without a body may be an event.
    #[must_use]
    pub fn with_questions(self, questions: Vec<Question>, takes_empty_bodies: bool) -> Self {
        Self { questions: questions.into(), takes_empty_bodies, ..self }
    }

    /// Whether a request with this head may be a question without a signature; its body may decide.
    #[must_use]
    pub fn may_be_asked(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
        let asking = Asking { method, uri, headers, request: None };
        !self.questions.is_empty()
            && self.is_unproved(method, uri, headers)
            && self
                .questions
                .iter()
                .any(|question| question.unsigned && !matches!(question.answer(asking), Ok(None)))
    }

    /// The answer to a question that needs no body and no signature.
    #[must_use]
    pub fn answer_head(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Answer> {
        // The body of what may be an event without a signature decides.
        if !self.is_unproved(method, uri, headers) || self.may_be_open_event(method) {
            return None;
        }
        let asking = Asking { method, uri, headers, request: None };
        let unsigned = self.questions.iter().filter(|question| question.unsigned);
        unsigned.filter_map(|question| question.answer(asking).ok()?).next()
    }

    /// The answer to a whole request that is a question without a signature.
    #[must_use]
    pub fn answer_unproved(&self, request: &Request) -> Option<Answer> {
        let Request { method, uri, headers, .. } = request;
        if self.questions.is_empty() || !self.is_unproved(method, uri, headers) {
            return None;
        }
        let unsigned = self.questions.iter().filter(|question| question.unsigned);
        self.answer_of(unsigned, request, self.may_be_open_event(method))
    }

    /// A verified request that brings more than a question does is an event.
    fn answer_question(&self, request: &Request) -> Option<Answer> {
        let may_be_event = self.scheme.methods.contains(&request.method);
        self.answer_of(self.questions.iter(), request, may_be_event)
    }

    fn answer_of<'q>(
        &self,
        mut questions: impl Iterator<Item = &'q Question>,
        request: &Request,
        may_be_event: bool,
    ) -> Option<Answer> {
        if may_be_event && request.body.len() > QUESTION_BYTES_MAX {
            return None;
        }
        questions.find_map(|one| {
            let answer = one.answer(Asking::whole(request)).ok()??;
            (!may_be_event || self.is_alone(one, request)).then_some(answer)
        })
    }

    /// Whether a request by this method is accepted as an event without a signature.
    fn may_be_open_event(&self, method: &Method) -> bool {
        self.scheme.proof == Proof::None && self.scheme.methods.contains(method)
    }

    /// Whether nothing in the head is what the scheme verifies, or no event has this method.
    fn is_unproved(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
        !self.scheme.methods.contains(method) || !self.scheme.is_proved_by(uri, headers)
    }

    /// Whether this verifier must refuse the texts that the handshake of the other one signs, because both have the
    /// same secret, and does not do so yet.
    #[must_use]
    pub fn is_forged_by(&self, other: &Self) -> bool {
        if self.refuses_tokens || !other.scheme.signs_for_strangers() {
            return false;
        }
        let macs = |verifier: &Self| -> Vec<[u8; 32]> {
            verifier.keys.iter().filter_map(|key| key.hmac_sha256(SAMPLE)).collect()
        };
        let own = macs(self);
        macs(other).iter().any(|mac| own.contains(mac))
    }

    /// Whether what its sender signs usually is such a text.
    #[must_use]
    pub fn expects_tokens(&self) -> bool {
        let usual = |signature: &Signature| {
            signature.signs_only_tokens()
                || !(signature.covers_content() || signature.signs_a_separator())
        };
        self.scheme.signature().is_some_and(usual)
    }

    /// Makes it refuse every request whose signed bytes are a text that a handshake signs.
    pub const fn refuse_tokens(&mut self) {
        self.refuses_tokens = true;
    }

    /// The answer to a verified request that asks a question; `None` if it brings events.
    ///
    /// # Errors
    /// Its token is never answered.
    pub fn answer(&self, verified: &Verified) -> Result<Option<Answer>, VerifyRefusal> {
        let request = verified.request();
        if let Some(answer) = self.answer_question(request) {
            return Ok(Some(answer));
        }
        let Some(handshake) = self.scheme.handshake else { return Ok(None) };
        let body = |pointer: &str| json::text_at(&request.body, pointer);
        let is = |pointer: &str, text: &str| body(pointer).is_some_and(|found| found == text);
        let token = |pointer: &str| {
            let token = body(pointer).unwrap_or_default();
            is_token(token.as_bytes()).then(|| token.into_owned()).ok_or(VerifyRefusal::Challenge)
        };
        // What a question never has, and an event does.
        let brings = |pointer: &str| json::values_at(&request.body, &[pointer]) != [Ok(None)];
        let answer = match handshake {
            Handshake::SlackUrlVerification
                if is("/type", "url_verification") && !brings("/event") =>
            {
                Answer::text(token("/challenge")?)
            }
            Handshake::ZoomUrlValidation
                if is("/event", "endpoint.url_validation") && !brings("/payload/object") =>
            {
                self.zoom_answer(verified.key(), &token("/payload/plainToken")?)?
            }
            // The header that names the type of the message is not signed.
            Handshake::TwitchChallenge
                if body("/challenge").is_some() && !brings("/event") && !brings("/events") =>
            {
                Answer::text(token("/challenge")?)
            }
            Handshake::DiscordPing if is("/type", "1") && !brings("/event") && !brings("/data") => {
                Answer::json("{\"type\":1}".to_owned())
            }
            // The ping of webhook events expects an empty body.
            Handshake::DiscordPing if is("/type", "0") && !brings("/event") => {
                Answer { status: 204, ..Answer::nothing() }
            }
            Handshake::EventGridValidation
                if is("/0/eventType", "Microsoft.EventGrid.SubscriptionValidationEvent") =>
            {
                let code = token("/0/data/validationCode")?;
                Answer::json(format!("{{\"validationResponse\":\"{code}\"}}"))
            }
            Handshake::OktaVerification if request.body.is_empty() => {
                let Some(token) = header(&request.headers, "x-okta-verification-challenge") else {
                    return Ok(None);
                };
                if !is_token(token.as_bytes()) {
                    return Err(VerifyRefusal::Challenge);
                }
                Answer::json(format!("{{\"verification\":\"{token}\"}}"))
            }
            // A ping or a test is an event like any other: it expects a 2xx, and people want to see it.
            _ => return Ok(None),
        };
        Ok(Some(answer))
    }

    /// The answer to a question that the vendor asks with GET and does not sign; `None` if the vendor
    /// asks in another way.
    ///
    /// # Errors
    /// The question is not the vendor's, or its token is never answered.
    pub fn answer_unsigned(&self, uri: &Uri) -> Result<Option<Answer>, VerifyRefusal> {
        let query = uri.query().unwrap_or_default();
        let value = |name: &str| {
            let mut values = url::parameter(query, name);
            let value = values.next().and_then(|value| String::from_utf8(value.to_vec()).ok());
            value.filter(|_| values.next().is_none())
        };
        let token = |name: &str| {
            value(name).filter(|token| is_token(token.as_bytes())).ok_or(VerifyRefusal::Challenge)
        };
        match self.scheme.handshake {
            Some(Handshake::MetaHubChallenge) => {
                let expected = self.verify_token.as_ref().ok_or(VerifyRefusal::NoVerifyToken)?;
                let shown = value("hub.verify_token").unwrap_or_default();
                if !expected.is(shown.as_bytes()) {
                    return Err(VerifyRefusal::Token);
                }
                Ok(Some(Answer::text(token("hub.challenge")?)))
            }
            Some(Handshake::XCrc) => {
                let token = token("crc_token")?;
                let mac = base64(&self.mac(0, &token).ok_or(VerifyRefusal::Challenge)?);
                Ok(Some(Answer::json(format!("{{\"response_token\":\"sha256={mac}\"}}"))))
            }
            _ => Ok(None),
        }
    }

    /// The token in the first, unsigned request of a vendor, and the answer. A person enters the token at the vendor or
    /// makes it the secret.
    #[must_use]
    pub fn token_to_confirm(&self, headers: &HeaderMap, body: &[u8]) -> Option<(String, Answer)> {
        if !self.may_confirm(headers) {
            return None;
        }
        if self.scheme.handshake == Some(Handshake::AsanaSecret) {
            let token = header(headers, ASANA_SECRET.as_str())?.to_owned();
            let answer = Answer::header(ASANA_SECRET, token.clone());
            return is_token(token.as_bytes()).then_some((token, answer));
        }
        let token = json::text_at(body, "/verification_token")?;
        let answer = Answer::json("{}".to_owned());
        is_token(token.as_bytes()).then(|| (token.into_owned(), answer))
    }

    /// Whether a request without a signature may be such a request. Its body decides.
    #[must_use]
    pub fn may_confirm(&self, headers: &HeaderMap) -> bool {
        let Some(Place::First(names) | Place::Each(names)) =
            self.scheme.signature().map(|signature| &signature.place)
        else {
            return false;
        };
        let asks_once = match self.scheme.handshake {
            Some(Handshake::NotionToken) => true,
            Some(Handshake::AsanaSecret) => headers.contains_key(ASANA_SECRET),
            _ => false,
        };
        asks_once && !names.iter().any(|name| headers.contains_key(name))
    }

    fn zoom_answer(&self, key: u16, plain: &str) -> Result<Answer, VerifyRefusal> {
        let encrypted = hex(&self.mac(key, plain).ok_or(VerifyRefusal::Challenge)?);
        Ok(Answer::json(format!(
            "{{\"plainToken\":\"{plain}\",\"encryptedToken\":\"{encrypted}\"}}"
        )))
    }

    fn mac(&self, key: u16, token: &str) -> Option<[u8; 32]> {
        self.keys.get(usize::from(key))?.hmac_sha256(token.as_bytes())
    }
}

/// The answer to Zoom's question whether the receiver has the secret, without verifying who asks: for a
/// person who has only the body. The daemon answers only signed questions.
///
/// # Errors
/// The body is not such a question, or its token is never answered.
pub fn answer_zoom(verifier: &Verifier, body: &[u8]) -> Result<Answer, VerifyRefusal> {
    let text = |pointer: &str| json::text_at(body, pointer).unwrap_or_default();
    let plain = text("/payload/plainToken");
    if text("/event") != "endpoint.url_validation" || !is_token(plain.as_bytes()) {
        return Err(VerifyRefusal::Challenge);
    }
    verifier.zoom_answer(0, &plain)
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests;
