//! How requests are signed, as data: one record per scheme.
//!
//! A record says where the signature is, how its text is split, which bytes are signed, and with which
//! algorithm and form of the secret. Built-in schemes (`host/vendors/`) and a user's own are values of the
//! same types. A new scheme is a new record; it adds a value to one of these enums only if no other
//! scheme signs that way.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderName, Method};

use super::topics::Sns;
use super::wanted_token::Jwt;

/// A text of a scheme.
pub type Text = Cow<'static, str>;

/// One way to prove who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// As written in the configuration.
    pub name: Arc<str>,
    /// Read in second-hand sources only, not checked against the vendor's documentation or a real request.
    pub unconfirmed: bool,
    /// Methods that a sender uses; any other is refused.
    pub methods: Vec<Method>,
    pub proof: Proof,
    /// Headers with the sender's id of a request: the first that is sent counts. Signed only if
    /// [`Part::Id`] is among the signed parts.
    pub id: Vec<HeaderName>,
    /// How the vendor checks an address.
    pub handshake: Option<Handshake>,
    /// A sentence that a user should know; may be empty.
    pub remark: Text,
}

/// What proves that a request is authentic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    Signature(Signature),
    /// A secret that is sent in plain text.
    Token(TokenIn),
    /// `Authorization: Basic`; the secret is `user:password`.
    Basic,
    /// A token that the sender signs with a key that it publishes. It does not cover the content.
    Jwt(Jwt),
    /// A signature of Amazon SNS over some values of the body, by a certificate that it publishes.
    Sns(Sns),
    /// Nothing: every request is accepted.
    None,
}

/// Where a plain token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenIn {
    Header(HeaderName),
    /// A parameter of the address. Proxies write addresses to their logs.
    Query(Text),
}

/// A signature over parts of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub place: Place,
    /// Separates the elements of its text; `None`: the whole text is one element.
    pub separator: Option<u8>,
    /// Which elements are signatures, and how they are made. Other elements are ignored.
    pub marks: Vec<Mark>,
    pub encoding: Encoding,
    /// What is signed, in this order, without separators.
    pub signed: Vec<Part>,
    pub stamp: Option<Stamp>,
}

/// Where the signature's text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the first of these headers that is sent. The headers of id and time then have the same index in
    /// their lists: a vendor may send the same things under several names.
    First(Vec<HeaderName>),
    /// In each of these that is sent, one signature per key.
    Each(Vec<HeaderName>),
    /// In the body or the query: the first of these that is there counts.
    Inside(Vec<Spot>),
}

/// Where a text of a request is, if not in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// At a JSON pointer of the body.
    Json(Text),
    /// In a field of the form in the body.
    Form(Text),
    /// In a parameter of the address.
    Query(Text),
}

/// How to recognize a signature among other elements, and how it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The text before the signature, such as `sha256=` or `v1=`; may be empty.
    pub text: Text,
    pub algorithm: Algorithm,
    pub key: KeyForm,
}

/// How the signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// In lower or upper case.
    Hex,
    /// The standard alphabet with padding.
    Base64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Only for vendors that use it. SHA-1 is still secure inside HMAC, but nowhere else.
    HmacSha1,
    HmacSha256,
    HmacSha512,
    Ed25519,
    /// Over SHA-256, the signature in DER.
    EcdsaP256,
}

impl Algorithm {
    /// Whether the receiver's key can sign as well.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::HmacSha1 | Self::HmacSha256 | Self::HmacSha512)
    }

    /// Bytes of a signature: the fewest and the most.
    #[must_use]
    pub const fn signature_bytes(self) -> (usize, usize) {
        match self {
            Self::HmacSha1 => (20, 20),
            Self::HmacSha256 => (32, 32),
            Self::HmacSha512 | Self::Ed25519 => (64, 64),
            Self::EcdsaP256 => (8, 72),
        }
    }
}

/// How the secret's text becomes the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// The UTF-8 bytes of the text, even where the text looks encoded.
    Text,
    /// Base64 after this prefix, which may be left out.
    Base64 {
        prefix: Text,
    },
    Hex,
    /// The timestamp's text followed by the secret's.
    StampThenText,
    /// A public key after this prefix, which may be left out: PEM, base64 or hex of its SPKI or of its raw
    /// bytes, or a JWK.
    Public {
        prefix: Text,
    },
}

/// A piece of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Literal(Text),
    /// The value of the scheme's `id`.
    Id,
    /// The timestamp's text as sent.
    Stamp,
    /// The timestamp's text followed by this text; nothing if no timestamp is sent.
    StampIfSent(Text),
    /// The body's bytes as received.
    Body,
    BodySha256Hex,
    /// `POST`.
    Method,
    /// The public address of the source with path and query as sent, never the Host header.
    Url,
    /// The same, with or without the default port, and with quotes escaped or not: some senders sign
    /// another form of the address than the one they were given.
    UrlAnyPort,
    /// The address with the escapes of `:/?@!$'()*,;` undone.
    UrlDecoded,
    /// Path and query of the public address.
    Path,
    /// Name and value of each form field, sorted by name. If the address has `bodySHA256`, nothing, and the
    /// body must have that hash.
    SortedForm {
        /// The first field of every form. Nothing else shows where the address ends and the fields begin: a form could
        /// be sent as an address that ends in its fields, and the other way round.
        always: Text,
    },
    /// The value of a header.
    Header(HeaderName),
    /// `name:value` of each header that this header lists, joined by `;`. The timestamp's must be listed.
    ListedHeaders(HeaderName),
    /// A text in the body or the query: the first of these that is there counts.
    Text(Vec<Spot>),
    /// A text or a number in the body's JSON at this pointer; nothing if it is missing.
    Value {
        pointer: Text,
        /// Whether it may contain the literal before or behind it. If it does not, the value is covered.
        open: bool,
    },
}

/// When the sender says that it signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub place: StampIn,
    pub unit: Unit,
    /// Greatest age that is accepted, in seconds.
    pub past_s: u32,
    /// Furthest in the future that is accepted, in seconds.
    pub future_s: u32,
    /// Whether the signature covers it. If not, it proves nothing and is ignored.
    pub covered: bool,
    /// Whether it may be missing. Only if the signature covers its absence too.
    pub optional: bool,
}

/// Where the timestamp is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StampIn {
    Headers(Vec<HeaderName>),
    /// In the signature's text: the element after this mark.
    Element(Text),
    /// In the body or the query: the first of these that is there counts.
    Inside(Vec<Spot>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Millis,
    Rfc3339,
    /// `Sun, 06 Nov 1994 08:49:37 GMT`.
    HttpDate,
}

/// How a vendor checks an address. `handshake` has the questions and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    SlackUrlVerification,
    ZoomUrlValidation,
    TwitchChallenge,
    MetaHubChallenge,
    DiscordPing,
    GithubPing,
    OktaVerification,
    HcpTest,
    NotionToken,
    AsanaSecret,
    EventGridValidation,
    XCrc,
}

/// What distinguishes a repeated request from a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The signature covers the sender's id, and the time.
    Id,
    /// The signed bytes, with the time among them: a copy is refused once it is older than the tolerance.
    Window,
    /// Only the signed bytes: a copy stays valid for ever.
    SignedBytes,
    /// The signed fields of a form: they may be written in another way, so they are the only key.
    Fields,
    /// The signature covers no content: anyone who has seen one request can send any content with it, so
    /// what was signed must be the repetition key of every request.
    OriginOnly,
    /// The signed values of the body, the time among them, of which one is the id.
    Values,
    /// No signature over the request: anyone who has the secret or a valid token can send anything.
    Open,
}

impl Scheme {
    #[must_use]
    pub const fn signature(&self) -> Option<&Signature> {
        match &self.proof {
            Proof::Signature(signature) => Some(signature),
            _ => None,
        }
    }

    /// Whether a source that uses it has secrets.
    #[must_use]
    pub const fn has_secrets(&self) -> bool {
        !matches!(self.proof, Proof::Jwt(_) | Proof::Sns(_) | Proof::None)
    }

    /// Whether its requests are verified with keys that the sender publishes.
    #[must_use]
    pub const fn has_published_keys(&self) -> bool {
        matches!(self.proof, Proof::Jwt(_) | Proof::Sns(_))
    }

    #[must_use]
    pub const fn sns(&self) -> Option<&Sns> {
        match &self.proof {
            Proof::Sns(sns) => Some(sns),
            _ => None,
        }
    }

    #[must_use]
    pub const fn jwt(&self) -> Option<&Jwt> {
        match &self.proof {
            Proof::Jwt(jwt) => Some(jwt),
            _ => None,
        }
    }

    #[must_use]
    pub fn replay(&self) -> Replay {
        let Some(signature) = self.signature() else {
            return if self.sns().is_some() { Replay::Values } else { Replay::Open };
        };
        // An optional timestamp may be missing.
        let covered = |stamp: &Stamp| stamp.covered && !stamp.optional;
        let covered = signature.stamp.as_ref().is_some_and(covered);
        if !signature.covers_content() {
            Replay::OriginOnly
        } else if signature.signs_sorted_form() {
            Replay::Fields
        } else if signature.covers_id() {
            Replay::Id
        } else if covered {
            Replay::Window
        } else {
            Replay::SignedBytes
        }
    }

    /// Whether the content of every request that it takes is signed, or values of it. A scheme without a signature
    /// promises nothing of its content.
    #[must_use]
    pub fn signs_content(&self) -> bool {
        let signed = |one: &Signature| one.covers_content() || one.signs_values();
        self.signature().is_none_or(signed) || self.content_is_query()
    }

    /// Whether the query is the content: only GET is taken, the query is signed and a body would not be, so it is
    /// refused.
    #[must_use]
    pub fn content_is_query(&self) -> bool {
        let only_query = |signature: &Signature| {
            signature.covers_query() && !signature.covers_content() && !signature.signs_values()
        };
        self.methods.iter().all(|method| *method == Method::GET)
            && self.signature().is_some_and(only_query)
    }

    /// Whether `server.public_url` must be set.
    #[must_use]
    pub fn needs_public_url(&self) -> bool {
        self.signature().is_some_and(Signature::signs_url)
    }
}

impl Part {
    /// Whether it is the address, whole or a part of it.
    pub(super) const fn is_address(&self) -> bool {
        matches!(self, Self::Url | Self::UrlAnyPort | Self::UrlDecoded | Self::Path)
    }

    /// The place in the body of a signed value.
    pub(super) fn pointer(&self) -> Option<&str> {
        match self {
            Self::Value { pointer, .. } => Some(pointer),
            _ => None,
        }
    }
}

impl Signature {
    /// Whether the content is signed, and not only that the sender sent something.
    #[must_use]
    pub fn covers_content(&self) -> bool {
        let content = |part: &Part| {
            matches!(part, Part::Body | Part::BodySha256Hex | Part::SortedForm { .. })
        };
        self.signed.iter().any(content)
    }

    /// Whether only the fields of a form are signed, in sorted order.
    #[must_use]
    pub fn signs_sorted_form(&self) -> bool {
        self.signed.iter().any(|part| matches!(part, Part::SortedForm { .. }))
    }

    /// Whether some values of the body are signed.
    #[must_use]
    pub fn signs_values(&self) -> bool {
        self.signed.iter().any(|part| matches!(part, Part::Value { .. }))
    }

    /// Whether the time in a signed request cannot be changed.
    #[must_use]
    pub fn covers_stamp(&self) -> bool {
        let Some(stamp) = &self.stamp else { return false };
        let in_key = self.marks.iter().all(|mark| mark.key == KeyForm::StampThenText);
        let part = |part: &Part| match (part, &stamp.place) {
            (Part::Stamp | Part::StampIfSent(_), _) => true,
            (Part::Header(name), StampIn::Headers(names)) => names.contains(name),
            // The timestamp must be listed.
            (Part::ListedHeaders(_), StampIn::Headers(_)) => true,
            (Part::Body | Part::BodySha256Hex, StampIn::Inside(spots)) => {
                !spots.iter().any(|spot| matches!(spot, Spot::Query(_)))
            }
            (Part::Text(signed), StampIn::Inside(spots)) => signed == spots,
            _ => false,
        };
        in_key || self.signed.iter().any(part)
    }

    /// Whether the address is signed, with its query.
    #[must_use]
    pub fn signs_url(&self) -> bool {
        self.signed.iter().any(Part::is_address)
    }
}
