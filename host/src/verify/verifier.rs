//! Decides whether a request is authentic, by a scheme and the secrets of one source.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, header};

use super::challenge::refuse_token;
use super::claim::{self, Claims};
use super::jwt::Token;
use super::key::Key;
use super::message::{self, Message};
use super::published::{KeySet, KeyWanted};
use super::question::Question;
use super::refusal::VerifyRefusal;
use super::scheme::{Part, Place, Proof, Scheme, Signature, StampIn, TokenIn};
use super::{codec, key_kind, sns, spot, stamp, url};
use crate::model::{Request, Secret, Timestamp};

/// Most secrets of one source: enough to rotate them. Each costs one hash per request.
pub const SECRETS_MAX: usize = 8;

/// A scheme with the prepared secrets of one source.
#[derive(Clone)]
pub struct Verifier {
    pub(super) scheme: Arc<Scheme>,
    pub(super) keys: Vec<Key>,
    pub(super) public_url: Option<Arc<str>>,
    /// The token that the vendor sends with an unsigned question.
    pub(super) verify_token: Option<Key>,
    /// See [`refuse_token`].
    pub(super) refuses_tokens: bool,
    /// What it answers besides the scheme's handshake.
    pub(super) questions: Arc<[Question]>,
    /// Whether a POST without a body may be an event.
    pub(super) takes_empty_bodies: bool,
}

/// Why a verifier cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecrets {
    #[error("no secret is given; set at least one")]
    None,
    #[error("secret {number} is empty; an empty secret would accept every request")]
    Empty {
        /// Its position in the list, from 1.
        number: usize,
    },
    #[error("secret {number} is {what}")]
    Form { number: usize, what: &'static str },
    #[error("{given} secrets are given, at most {SECRETS_MAX} are allowed")]
    TooMany { given: usize },
    #[error("the scheme signs the public address, which is unknown: set server.public_url")]
    NoPublicUrl,
}

/// A request whose sender is verified.
#[derive(Debug)]
pub struct Verified {
    pub(super) request: Request,
    pub(super) scheme: Arc<Scheme>,
    key: u16,
    /// The public address, if the signature covers it, and which of its forms was signed.
    pub(super) public_url: Option<Arc<str>>,
    pub(super) url_form: usize,
}

impl Verified {
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    #[must_use]
    pub fn into_request(self) -> Request {
        self.request
    }

    #[must_use]
    pub const fn scheme(&self) -> &Arc<Scheme> {
        &self.scheme
    }

    /// The index of the secret that matched, in the configured list.
    #[must_use]
    pub const fn key(&self) -> u16 {
        self.key
    }
}

impl Verified {
    /// The address that confirms the subscription that this request asks about; `None` if it brings events.
    #[must_use]
    pub fn subscription(&self) -> Option<String> {
        sns::Message::read(self.scheme.sns()?, &self.request).ok()?.confirm
    }
}

impl Verified {
    /// The form in the address of a request by GET without a body, without the token: its content. `None` if the
    /// signature covers the content, but not the query.
    #[must_use]
    pub fn form_in_query(&self) -> Option<Bytes> {
        let request = &self.request;
        if request.method != Method::GET || !request.body.is_empty() {
            return None;
        }
        let query = request.uri.query().filter(|query| !query.is_empty())?;
        let is_open = |signature: &Signature| {
            signature.covers_query() || !(signature.covers_content() || signature.signs_values())
        };
        if !self.scheme.signature().is_none_or(is_open) {
            return None;
        }
        let Proof::Token(TokenIn::Query(token)) = &self.scheme.proof else {
            return Some(Bytes::copy_from_slice(query.as_bytes()));
        };
        let is_token = |pair: &str| url::parameter(pair, token).next().is_some();
        let others: Vec<&str> = query.split('&').filter(|pair| !is_token(pair)).collect();
        Some(Bytes::from(others.join("&"))).filter(|others| !others.is_empty())
    }
}

impl Verifier {
    /// `public_url` is the public address before the source's path, without a slash at its end.
    ///
    /// # Errors
    /// There is no secret, or one that is empty or has the wrong form, or there are more than
    /// [`SECRETS_MAX`]; or the scheme signs the public address and it is unknown.
    pub fn new(
        scheme: &Arc<Scheme>,
        secrets: &[Secret],
        public_url: Option<&str>,
    ) -> Result<Self, InvalidSecrets> {
        if secrets.is_empty() && scheme.has_secrets() {
            return Err(InvalidSecrets::None);
        }
        if secrets.len() > SECRETS_MAX {
            return Err(InvalidSecrets::TooMany { given: secrets.len() });
        }
        if scheme.needs_public_url() && public_url.is_none() {
            return Err(InvalidSecrets::NoPublicUrl);
        }
        let keyed = |(place, secret): (usize, &Secret)| {
            let number = place + 1;
            if secret.expose().is_empty() {
                return Err(InvalidSecrets::Empty { number });
            }
            match &scheme.proof {
                Proof::Signature(signature) => Key::of(&signature.marks, secret)
                    .map_err(|what| InvalidSecrets::Form { number, what }),
                Proof::Basic if !secret.expose().contains(':') => {
                    Err(InvalidSecrets::Form { number, what: "not written user:password" })
                }
                _ => match key_kind::mistaken_token(secret.expose()) {
                    Some(what) => Err(InvalidSecrets::Form { number, what }),
                    None => Ok(Key::plain(secret)),
                },
            }
        };
        let keys = secrets.iter().enumerate().map(keyed).collect::<Result<_, _>>()?;
        let (scheme, public_url) = (Arc::clone(scheme), public_url.map(Arc::from));
        let refuses_tokens = scheme.signs_tokens();
        let (verify_token, questions) = (None, Arc::default());
        let takes_empty_bodies = false;
        Ok(Self {
            scheme,
            keys,
            public_url,
            verify_token,
            refuses_tokens,
            questions,
            takes_empty_bodies,
        })
    }

    #[must_use]
    pub const fn scheme(&self) -> &Arc<Scheme> {
        &self.scheme
    }

    /// The same with another public address.
    #[must_use]
    pub fn at(self, public_url: &str) -> Self {
        Self { public_url: Some(Arc::from(public_url)), ..self }
    }

    /// Refuses what the head alone shows to be wrong, so that the body need not be read.
    ///
    /// # Errors
    /// Those of [`verify`](Self::verify) that do not need the body.
    pub fn precheck(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        now: Timestamp,
    ) -> Result<(), VerifyRefusal> {
        match &self.scheme.proof {
            Proof::Signature(signature) if matches!(signature.place, Place::Inside(_)) => Ok(()),
            Proof::Signature(signature) => {
                self.claims(signature, headers, None, now)?.claims.check_form(signature)
            }
            Proof::Token(place) => self.check_token(place, headers, query).map(|_| ()),
            Proof::Basic => self.check_basic(headers).map(|_| ()),
            Proof::Jwt(jwt) => Token::read(jwt, headers, now).map(|_| ()),
            // Everything is in the body.
            Proof::Sns(_) | Proof::None => Ok(()),
        }
    }

    /// Whether requests are verified with keys that their sender publishes.
    #[must_use]
    pub fn needs_published_keys(&self) -> bool {
        self.scheme.has_published_keys()
    }

    /// The published key that this request needs. Everything else that can be checked without it is right.
    ///
    /// # Errors
    /// The reason why the request cannot be trusted, whatever keys are published.
    pub fn wanted_key(&self, request: &Request) -> Result<Option<KeyWanted>, VerifyRefusal> {
        match &self.scheme.proof {
            Proof::Jwt(jwt) => {
                Ok(Some(Token::read(jwt, &request.headers, request.received_at)?.wanted))
            }
            Proof::Sns(topics) => Ok(Some(sns::Message::read(topics, request)?.wanted)),
            _ => Ok(None),
        }
    }

    /// Verifies a request as of its `received_at`, without published keys.
    ///
    /// # Errors
    /// The reason why the request cannot be trusted.
    pub fn verify(&self, request: Request) -> Result<Verified, VerifyRefusal> {
        self.verify_with(request, None)
    }

    /// The same, with the keys of the address that [`wanted_key`](Self::wanted_key) names.
    ///
    /// # Errors
    /// The reason why the request cannot be trusted.
    pub fn verify_with(
        &self,
        request: Request,
        keys: Option<&KeySet>,
    ) -> Result<Verified, VerifyRefusal> {
        let (mut public_url, mut url_form) = (None, 0);
        let key = match &self.scheme.proof {
            Proof::Signature(signature) => {
                if signature.signs_url() {
                    public_url.clone_from(&self.public_url);
                }
                let matched = self.check(signature, &request)?;
                url_form = matched.url_form;
                matched.key
            }
            Proof::Token(place) => {
                self.check_token(place, &request.headers, request.uri.query())?
            }
            Proof::Basic => self.check_basic(&request.headers)?,
            Proof::Jwt(jwt) => {
                Token::read(jwt, &request.headers, request.received_at)?.check(keys)?;
                0
            }
            Proof::Sns(topics) => {
                sns::Message::read(topics, &request)?.check(keys, &request)?;
                0
            }
            Proof::None => 0,
        };
        let scheme = Arc::clone(&self.scheme);
        Ok(Verified { request, scheme, key, public_url, url_form })
    }

    /// Which secret the token is.
    fn check_token(
        &self,
        place: &TokenIn,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<u16, VerifyRefusal> {
        let token = sent_token(place, headers, query)?;
        let in_authorization = *place == TokenIn::Header(header::AUTHORIZATION);
        let bare = claim::behind(b"Bearer ", &token).filter(|_| in_authorization);
        let bare = bare.and_then(|bare| self.plain(bare));
        self.plain(&token).or(bare).ok_or(VerifyRefusal::Token)
    }

    /// Which secret the user and password are.
    fn check_basic(&self, headers: &HeaderMap) -> Result<u16, VerifyRefusal> {
        let malformed = || VerifyRefusal::Malformed {
            place: "header authorization".to_owned(),
            expected: "`Basic` and base64 of user:password",
        };
        let pair = user_and_password(headers)?.ok_or_else(malformed)?;
        self.plain(&pair).ok_or(VerifyRefusal::Basic)
    }

    /// Reads what the headers claim, and checks the time if it is signed.
    fn claims<'r>(
        &'r self,
        signature: &'r Signature,
        headers: &'r HeaderMap,
        in_body: Option<&'r str>,
        now: Timestamp,
    ) -> Result<Claimed<'r>, VerifyRefusal> {
        let claims = Claims::find(signature, headers, in_body)?;
        let stamp = message::stamp_text(signature, headers, &claims)?;
        if let (Some(text), Some(described)) = (stamp, &signature.stamp)
            && described.covered
        {
            stamp::check(described, text, now)?;
        }
        let id = id(&self.scheme, signature, headers, claims.set)?;
        Ok(Claimed { claims, stamp, id })
    }

    /// How the signature of the request was made.
    fn check(&self, signature: &Signature, request: &Request) -> Result<Matched, VerifyRefusal> {
        let in_body = inside_text(signature, request)?;
        let now = request.received_at;
        let claimed = self.claims(signature, &request.headers, in_body.as_deref(), now)?;
        let Claimed { claims, stamp, id } = &claimed;
        if self.could_be_by_get(signature, request) {
            return Err(VerifyRefusal::MethodUnclear);
        }
        if !request.body.is_empty() && self.scheme.content_is_query() {
            return Err(VerifyRefusal::BodyByGet);
        }
        let public_url = self.public_url.as_deref();
        let message = Message::new(signature, request, id, *stamp, public_url)?;
        if self.refuses_tokens {
            refuse_token(&message)?;
        }
        let mut matched = None;
        for url_form in 0..message.url_forms() {
            // No early exit: the time must not show which secret matched.
            for (number, key) in (0u16..).zip(&self.keys) {
                if key.matches(signature, claims, &message, url_form) && matched.is_none() {
                    matched = Some(Matched { key: number, url_form });
                }
            }
        }
        let Some(matched) = matched else {
            claims.check_form(signature)?;
            return Err(match message.url() {
                Some(url) => VerifyRefusal::UrlMismatch { url: without_query(url) },
                None => VerifyRefusal::Mismatch,
            });
        };
        check_body_stamp(signature, request)?;
        Ok(matched)
    }

    /// Whether the same signature would be that of a request by GET, whose content is its query.
    fn could_be_by_get(&self, signature: &Signature, request: &Request) -> bool {
        request.body.is_empty()
            && request.method != Method::GET
            && self.scheme.methods.contains(&Method::GET)
            && signature.covers_query()
            && !signature.signed.contains(&Part::Method)
    }

    /// Index of the secret that equals the text.
    fn plain(&self, text: &[u8]) -> Option<u16> {
        let mut matched = None;
        for (number, key) in (0u16..).zip(&self.keys) {
            if key.is(text) && matched.is_none() {
                matched = Some(number);
            }
        }
        matched
    }
}

/// Which secret made a signature, and over which form of the address.
struct Matched {
    key: u16,
    url_form: usize,
}

struct Claimed<'r> {
    claims: Claims<'r>,
    stamp: Option<&'r [u8]>,
    id: &'r [u8],
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("scheme", &self.scheme.name)
            .field("keys", &self.keys.len())
            .finish()
    }
}

/// The signed id; empty if none is signed.
pub(super) fn id<'r>(
    scheme: &Scheme,
    signature: &Signature,
    headers: &'r HeaderMap,
    set: usize,
) -> Result<&'r [u8], VerifyRefusal> {
    if !signature.signed.contains(&Part::Id) {
        return Ok(&[]);
    }
    match scheme.id.get(set).or(scheme.id.last()) {
        Some(name) => claim::single(headers, name),
        None => Ok(&[]),
    }
}

/// The signature's text, if it is in the body or the query.
pub(super) fn inside_text<'r>(
    signature: &Signature,
    request: &'r Request,
) -> Result<Option<Cow<'r, str>>, VerifyRefusal> {
    let Place::Inside(spots) = &signature.place else { return Ok(None) };
    match spot::text(spots, request) {
        Some(text) => Ok(Some(text)),
        None => Err(VerifyRefusal::NotInside { place: spot::shown(spots) }),
    }
}

/// Checks a timestamp in the body or the query. Only called once the signature is verified.
fn check_body_stamp(signature: &Signature, request: &Request) -> Result<(), VerifyRefusal> {
    let Some(described) = &signature.stamp else { return Ok(()) };
    let StampIn::Inside(spots) = &described.place else { return Ok(()) };
    if !described.covered {
        return Ok(());
    }
    match spot::text(spots, request) {
        Some(text) => stamp::check(described, text.as_bytes(), request.received_at),
        None if described.optional => Ok(()),
        None => Err(VerifyRefusal::NotInside { place: spot::shown(spots) }),
    }
}

fn sent_token<'r>(
    place: &TokenIn,
    headers: &'r HeaderMap,
    query: Option<&'r str>,
) -> Result<Cow<'r, [u8]>, VerifyRefusal> {
    match place {
        TokenIn::Header(name) => claim::single(headers, name).map(Cow::Borrowed),
        TokenIn::Query(name) => {
            let mut values = url::parameter(query.unwrap_or_default(), name);
            match (values.next(), values.next()) {
                (Some(value), None) => Ok(Cow::Owned(value)),
                _ => Err(VerifyRefusal::NoToken { name: name.to_string() }),
            }
        }
    }
}

fn user_and_password(headers: &HeaderMap) -> Result<Option<Vec<u8>>, VerifyRefusal> {
    let value = claim::single(headers, &header::AUTHORIZATION)?;
    let pair = claim::behind(b"Basic ", value).and_then(|text| std::str::from_utf8(text).ok());
    Ok(pair.and_then(|text| codec::unbase64(text.trim())))
}

/// The address without its query, which may contain a secret.
pub(super) fn without_query(url: &str) -> String {
    url.split('?').next().unwrap_or_default().to_owned()
}
