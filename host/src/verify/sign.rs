//! Signs as a vendor would, with the same records, to try out a configuration.
//!
//! Time, ids and randomness are arguments. If a scheme has its timestamp or signature in the body, the
//! body's JSON is serialized again with them.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use ring::rand::SecureRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use sha2::{Digest as _, Sha256};

use super::challenge::refuse_token;
use super::codec::{base64, hex};
use super::key::Key;
use super::message::Message;
use super::scheme::{
    Algorithm, Encoding, Mark, Part, Place, Proof, Scheme, Signature, Spot, StampIn, TokenIn,
};
use super::{VerifyRefusal, json, public, spot, stamp};
use crate::model::{Request, Secret, Timestamp};

/// Why signing failed. Never contains the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    #[error("the secret is {0}")]
    Secret(&'static str),
    #[error(
        "scheme `{scheme}` signs with a private key: give one (PKCS#8 in PEM or base64, or the 32 \
         bytes of an Ed25519 seed in hex or base64); the receiver's public key can only verify"
    )]
    NeedsPrivateKey { scheme: String },
    #[error(
        "only the sender can sign for scheme `{scheme}`, with a private key that no one else has, so no sample can be \
         sent: let the sender send a test event, or check a recorded request with `dispatcher verify --source NAME \
         --now SECONDS`, with its headers; `dispatcher try TARGET` tries a target"
    )]
    OnlySender { scheme: String },
    #[error("scheme `{scheme}` writes into the body, so the body must be a JSON object")]
    NoObject { scheme: String },
    #[error("scheme `{scheme}` writes into the body, so the body must be a form without parts")]
    NoForm { scheme: String },
    #[error("the request cannot be signed: {0}")]
    Request(#[from] VerifyRefusal),
    #[error("signing failed")]
    Failed,
}

/// What is to be signed.
#[derive(Clone, Debug)]
pub struct Unsigned<'a> {
    pub method: http::Method,
    /// The public address before the path.
    pub public_url: Option<&'a str>,
    /// Path and query.
    pub path: &'a str,
    /// Headers that the scheme signs besides its own.
    pub headers: http::HeaderMap,
    pub body: &'a [u8],
    pub now: Timestamp,
    /// The request's id; also the value of everything else that must differ between requests.
    pub id: &'a str,
}

/// What a sender adds to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub headers: Vec<(HeaderName, String)>,
    /// The new body, if the scheme changed it.
    pub body: Option<Vec<u8>>,
    /// The new path and query, if the scheme changed them.
    pub path: Option<String>,
}

/// A scheme with a key that signs.
pub struct Signer {
    scheme: Arc<Scheme>,
    pen: Pen,
    mark: usize,
}

enum Pen {
    Shared(Key),
    Ed25519(Ed25519KeyPair),
    EcdsaP256(EcdsaKeyPair),
    Plain(Secret),
}

impl Signer {
    /// `secret` is the receiver's secret, or the private key if the receiver has the public one.
    ///
    /// # Errors
    /// The secret cannot sign for this scheme.
    pub fn new(
        scheme: &Arc<Scheme>,
        secret: &Secret,
        random: &dyn SecureRandom,
    ) -> Result<Self, CannotSign> {
        let scheme = Arc::clone(scheme);
        if scheme.has_published_keys() {
            return Err(CannotSign::OnlySender { scheme: scheme.name.to_string() });
        }
        let Some(signature) = scheme.signature() else {
            return Ok(Self { scheme, pen: Pen::Plain(secret.clone()), mark: 0 });
        };
        let text = secret.expose();
        let private = |mark: &Mark| !mark.algorithm.is_symmetric();
        // If a scheme has several kinds of key, a private one is recognized by its form.
        let is_private = text.starts_with("whsk_") || text.contains("PRIVATE KEY");
        let all_private = signature.marks.iter().all(private);
        if is_private || all_private {
            let mark = signature.marks.iter().position(private);
            let mark = mark.ok_or(CannotSign::Secret("a private key; this scheme has none"))?;
            let bytes = public::bytes(text.strip_prefix("whsk_").unwrap_or(text));
            let needs = || CannotSign::NeedsPrivateKey { scheme: scheme.name.to_string() };
            let pen = match signature.marks.get(mark).map(|mark| mark.algorithm) {
                Some(Algorithm::Ed25519) => bytes.and_then(|bytes| ed25519(&bytes)),
                _ => bytes.and_then(|bytes| p256(&bytes, random)),
            };
            let pen = pen.ok_or_else(needs)?;
            return Ok(Self { scheme, pen, mark });
        }
        let key = Key::of(&signature.marks, secret).map_err(CannotSign::Secret)?;
        if signature.marks.get(key.mark).is_some_and(private) {
            return Err(CannotSign::NeedsPrivateKey { scheme: scheme.name.to_string() });
        }
        let mark = key.mark;
        Ok(Self { scheme, pen: Pen::Shared(key), mark })
    }

    /// The receiver's key, if it is not the one that signs.
    #[must_use]
    pub fn public_key(&self) -> Option<String> {
        match &self.pen {
            Pen::Ed25519(pair) => {
                Some(public::write(Algorithm::Ed25519, pair.public_key().as_ref()))
            }
            Pen::EcdsaP256(pair) => {
                Some(public::write(Algorithm::EcdsaP256, pair.public_key().as_ref()))
            }
            Pen::Shared(_) | Pen::Plain(_) => None,
        }
    }

    /// # Errors
    /// The body or the headers are not what the scheme signs.
    pub fn sign(
        &self,
        unsigned: Unsigned<'_>,
        random: &dyn SecureRandom,
    ) -> Result<Signed, CannotSign> {
        match (&self.scheme.proof, &self.pen) {
            (Proof::Signature(signature), _) => self.signed(signature, unsigned, random),
            (Proof::Token(place), Pen::Plain(secret)) => Ok(token(place, secret, unsigned.path)),
            (Proof::Basic, Pen::Plain(secret)) => {
                let value = format!("Basic {}", base64(secret.expose().as_bytes()));
                Ok(Signed::headers(vec![(header::AUTHORIZATION, value)]))
            }
            _ => Ok(Signed::headers(Vec::new())),
        }
    }

    fn signed(
        &self,
        signature: &Signature,
        unsigned: Unsigned<'_>,
        random: &dyn SecureRandom,
    ) -> Result<Signed, CannotSign> {
        let stamp = signature.stamp.as_ref();
        let stamp_text = stamp.map(|stamp| stamp::write(stamp.unit, unsigned.now));
        let mut draft = Draft::new(unsigned);
        if let (Some(StampIn::Headers(names)), Some(text)) =
            (stamp.map(|stamp| &stamp.place), &stamp_text)
        {
            draft.header(names.first(), text);
        }
        let id = draft.id.clone();
        draft.header(self.scheme.id.first(), &id);
        self.fill(signature, stamp_text.as_deref(), &mut draft)?;
        let in_element = |stamp: &super::Stamp| !matches!(stamp.place, StampIn::Inside(_));
        let sent = stamp_text.as_ref().filter(|_| stamp.is_some_and(in_element));
        let public_url = draft.public_url.clone();
        let message = Message::new(
            signature,
            &draft.request,
            id.as_bytes(),
            sent.map(|text| text.as_bytes()),
            public_url.as_deref(),
        )?;
        if self.scheme.signs_tokens() {
            refuse_token(&message)?;
        }
        let raw = match &self.pen {
            Pen::Shared(key) => key.digest(&message, 0).ok_or(CannotSign::Failed)?.bytes().to_vec(),
            Pen::Ed25519(pair) => pair.sign(&message.bytes(0)).as_ref().to_vec(),
            Pen::EcdsaP256(pair) => {
                let signed = pair.sign(random, &message.bytes(0));
                signed.map_err(|_| CannotSign::Failed)?.as_ref().to_vec()
            }
            Pen::Plain(_) => return Err(CannotSign::Failed),
        };
        drop(message);
        let text = self.write(signature, stamp_text.as_deref(), &raw);
        match &signature.place {
            Place::First(names) | Place::Each(names) => draft.header(names.first(), &text),
            Place::Inside(spots) => self.put(&mut draft, spots, &text, false)?,
        }
        Ok(draft.signed)
    }

    /// Adds what the scheme signs and the request does not have.
    fn fill(
        &self,
        signature: &Signature,
        stamp: Option<&str>,
        draft: &mut Draft,
    ) -> Result<(), CannotSign> {
        if let (Some(StampIn::Inside(spots)), Some(text)) =
            (signature.stamp.as_ref().map(|stamp| &stamp.place), stamp)
        {
            // Some vendors write it as a number; those that sign its text write a string.
            let as_text = signature.signed.contains(&Part::Text(spots.clone()));
            self.put(draft, spots, text, !as_text)?;
        }
        for part in &signature.signed {
            match part {
                Part::Text(spots) if spot::text(spots, &draft.request).is_none() => {
                    let id = draft.id.clone();
                    self.put(draft, spots, &id, false)?;
                }
                Part::SortedForm { .. } if !is_form(&draft.request.body) => draft.add_body_hash(),
                Part::ListedHeaders(list) => {
                    let stamp = draft.signed.headers.first().map(|(name, _)| name.to_string());
                    let listed = stamp.map_or(list.to_string(), |stamp| format!("{list},{stamp}"));
                    draft.header(Some(list), &listed);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the text to the first of these spots that a request with such a body can have.
    fn put(
        &self,
        draft: &mut Draft,
        spots: &[Spot],
        text: &str,
        as_number: bool,
    ) -> Result<(), CannotSign> {
        let body = &draft.request.body;
        for spot in spots {
            let written = match spot {
                Spot::Json(pointer) => put(body, pointer, text, as_number),
                Spot::Form(name) => put_field(body, name, text),
                Spot::Query(name) => {
                    draft.add_parameter(name, &escaped(text));
                    return Ok(());
                }
            };
            if let Some(body) = written {
                draft.request.body = Bytes::from(body.clone());
                draft.signed.body = Some(body);
                return Ok(());
            }
        }
        let scheme = self.scheme.name.to_string();
        let is_json = spots.iter().any(|spot| matches!(spot, Spot::Json(_)));
        Err(if is_json { CannotSign::NoObject { scheme } } else { CannotSign::NoForm { scheme } })
    }

    /// The signature's text, with the timestamp if that is beside it.
    fn write(&self, signature: &Signature, stamp: Option<&str>, raw: &[u8]) -> String {
        let encoded = match signature.encoding {
            Encoding::Hex => hex(raw),
            Encoding::Base64 => base64(raw),
        };
        let mark = signature.marks.get(self.mark).map_or("", |mark| &*mark.text);
        let own = format!("{mark}{encoded}");
        let beside = match (signature.stamp.as_ref().map(|s| &s.place), signature.separator) {
            (Some(StampIn::Element(mark)), Some(separator)) => {
                Some(format!("{mark}{}{}", stamp.unwrap_or_default(), char::from(separator)))
            }
            _ => None,
        };
        beside.unwrap_or_default() + &own
    }
}

/// A request while it is being signed.
struct Draft {
    request: Request,
    id: String,
    public_url: Option<String>,
    signed: Signed,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("scheme", &self.scheme.name).finish_non_exhaustive()
    }
}

impl Draft {
    fn new(unsigned: Unsigned<'_>) -> Self {
        let request = Request {
            source: Arc::from(""),
            method: unsigned.method,
            uri: unsigned.path.parse().unwrap_or_default(),
            headers: unsigned.headers,
            body: Bytes::copy_from_slice(unsigned.body),
            received_at: unsigned.now,
        };
        let public_url = unsigned.public_url.map(str::to_owned);
        Self {
            request,
            id: unsigned.id.to_owned(),
            public_url,
            signed: Signed::headers(Vec::new()),
        }
    }

    fn header(&mut self, name: Option<&HeaderName>, text: &str) {
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_str(text)) {
            self.request.headers.insert(name.clone(), value);
            self.signed.headers.push((name.clone(), text.to_owned()));
        }
    }

    /// A body that is not a form is signed through its hash in the address.
    fn add_body_hash(&mut self) {
        let hash = hex(&Sha256::digest(&self.request.body));
        self.add_parameter("bodySHA256", &hash);
    }

    fn add_parameter(&mut self, name: &str, value: &str) {
        let path = self.request.uri.path_and_query().map_or("", |path| path.as_str());
        let path = with_parameter(path, name, value);
        self.request.uri = path.parse().unwrap_or_default();
        self.signed.path = Some(path);
    }
}

impl Signed {
    const fn headers(headers: Vec<(HeaderName, String)>) -> Self {
        Self { headers, body: None, path: None }
    }
}

/// A private key and its public key, for a trial; `None` for schemes that use a shared secret.
#[must_use]
pub fn trial_keys(scheme: &Scheme, random: &dyn SecureRandom) -> Option<(Secret, String)> {
    let marks = &scheme.signature()?.marks;
    if marks.iter().any(|mark| mark.algorithm.is_symmetric()) {
        return None;
    }
    match marks.first()?.algorithm {
        Algorithm::Ed25519 => {
            let mut seed = [0; 32];
            random.fill(&mut seed).ok()?;
            let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
            let public = public::write(Algorithm::Ed25519, pair.public_key().as_ref());
            Some((Secret::new(hex(&seed)), public))
        }
        Algorithm::EcdsaP256 => {
            let document =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, random).ok()?;
            let Some(Pen::EcdsaP256(pair)) = p256(document.as_ref(), random) else { return None };
            let public = public::write(Algorithm::EcdsaP256, pair.public_key().as_ref());
            Some((Secret::new(base64(document.as_ref())), public))
        }
        _ => None,
    }
}

/// The header that a sender would add, for schemes that sign only the body. With an empty secret or
/// another scheme, no verifier accepts the value.
#[must_use]
pub fn sign_body(scheme: &Scheme, secret: &Secret, body: &[u8]) -> (HeaderName, String) {
    let nothing = (header::AUTHORIZATION, String::new());
    let Some(signature) = scheme.signature() else { return nothing };
    let (Place::First(names), Ok(key)) = (&signature.place, Key::of(&signature.marks, secret))
    else {
        return nothing;
    };
    let Some(name) = names.first() else { return nothing };
    let request = Draft::new(Unsigned {
        method: http::Method::POST,
        public_url: None,
        path: "/",
        headers: http::HeaderMap::new(),
        body,
        now: Timestamp::default(),
        id: "",
    })
    .request;
    let raw = Message::new(signature, &request, &[], None, None).ok();
    let raw = raw.and_then(|message| Some(key.digest(&message, 0)?.bytes().to_vec()));
    let text = raw.map(|raw| match signature.encoding {
        Encoding::Hex => hex(&raw),
        Encoding::Base64 => base64(&raw),
    });
    let mark = signature.marks.get(key.mark).map_or("", |mark| &*mark.text);
    (name.clone(), text.map(|text| format!("{mark}{text}")).unwrap_or_default())
}

fn ed25519(bytes: &[u8]) -> Option<Pen> {
    // Some vendors publish the seed followed by the public key.
    let seed = if bytes.len() == 64 { &bytes[..32] } else { bytes };
    let pair = match seed.len() {
        32 => Ed25519KeyPair::from_seed_unchecked(seed),
        _ => Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes),
    };
    pair.ok().map(Pen::Ed25519)
}

fn p256(bytes: &[u8], random: &dyn SecureRandom) -> Option<Pen> {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes, random);
    pair.ok().map(Pen::EcdsaP256)
}

fn token(place: &TokenIn, secret: &Secret, path: &str) -> Signed {
    match place {
        TokenIn::Header(name) => {
            let bare = secret.expose();
            let bearer = *name == header::AUTHORIZATION && !bare.contains(' ');
            let value = if bearer { format!("Bearer {bare}") } else { bare.to_owned() };
            Signed::headers(vec![(name.clone(), value)])
        }
        TokenIn::Query(name) => {
            let path = with_parameter(path, name, &escaped(secret.expose()));
            Signed { headers: Vec::new(), body: None, path: Some(path) }
        }
    }
}

fn with_parameter(path: &str, name: &str, value: &str) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}{name}={value}")
}

/// Escaped for a query.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(escape).collect()
}

fn is_form(body: &[u8]) -> bool {
    body.is_empty() || (body.contains(&b'=') && !matches!(body.first(), Some(b'{' | b'[')))
}

/// A form with the field, in place of those with that name; `None` if the body is something else.
fn put_field(body: &[u8], name: &str, value: &str) -> Option<Vec<u8>> {
    if !is_form(body) || spot::is_multipart(body) {
        return None;
    }
    let is_other = |field: &&[u8]| {
        let key = field.split(|byte| *byte == b'=').next().unwrap_or_default();
        !field.is_empty() && super::codec::unescape(key, true) != name.as_bytes()
    };
    let new = format!("{}={}", escaped(name), escaped(value)).into_bytes();
    let others = body.split(|byte| *byte == b'&').filter(is_other);
    let fields: Vec<&[u8]> = others.chain(std::iter::once(&new[..])).collect();
    Some(fields.join(&b'&'))
}

/// The body with a text or number at a JSON pointer, through objects, and through lists of one element.
fn put(body: &[u8], pointer: &str, text: &str, as_number: bool) -> Option<Vec<u8>> {
    let mut document: serde_json::Value = serde_json::from_slice(body).ok()?;
    let mut place = &mut document;
    let mut names = pointer.strip_prefix('/')?.split('/').peekable();
    while let Some(name) = names.next() {
        if place.is_array() {
            let [only] = place.as_array_mut()?.as_mut_slice() else { return None };
            place = Some(only).filter(|_| name == json::FIRST)?;
            continue;
        }
        let object = place.as_object_mut().filter(|_| name != json::FIRST)?;
        let is_list = names.peek() == Some(&json::FIRST);
        let new = if is_list { serde_json::json!([{}]) } else { serde_json::json!({}) };
        place = object.entry(json::unescaped(name)).or_insert(new);
    }
    let number = text.parse::<u64>().ok().filter(|_| as_number);
    *place = number.map_or_else(|| text.into(), Into::into);
    serde_json::to_vec(&document).ok()
}
