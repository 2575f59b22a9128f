//! How requests are signed, as data: one record a scheme.
//!
//! A record says where the signature stands, how its text is taken apart, which bytes are signed, with
//! what and with which form of the secret. Presets (`presets/`) and a user's own schemes are values of
//! the same types. A new scheme is a new record, and a new value of one of these enums only where
//! nobody signed that way before.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderName, Method};

/// A text of the table, or of a user's own scheme.
pub type Text = Cow<'static, str>;

/// One way to prove who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// As written in the configuration.
    pub name: Arc<str>,
    /// Known from second-hand sources only: no vector and no page of the vendor's own was seen.
    pub unconfirmed: bool,
    /// Methods that a sender uses; any other is refused.
    pub methods: Vec<Method>,
    pub proof: Proof,
    /// Headers with the sender's own id of a request: the first that is sent counts. Part of what is
    /// signed only where [`Part::Id`] says so.
    pub id: Vec<HeaderName>,
    /// What the vendor asks before, or besides, sending events.
    pub handshake: Option<Handshake>,
    /// What a user should know, a sentence; may be empty.
    pub remark: Text,
}

/// What lets a request in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    Signature(Signature),
    /// A secret sent as it is.
    Token(TokenIn),
    /// `Authorization: Basic`; the secret is `user:password`.
    Basic,
    /// Nothing: everybody is let in.
    None,
}

/// Where a plain token stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenIn {
    Header(HeaderName),
    /// A parameter of the address. Addresses end up in logs of proxies.
    Query(Text),
}

/// A signature over parts of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub place: Place,
    /// Between the elements of its text; `None`: the whole text is one element.
    pub separator: Option<u8>,
    /// Elements that are signatures, and how those are made. Other elements are ignored.
    pub marks: Vec<Mark>,
    pub encoding: Encoding,
    /// What is signed, in this order, without separators.
    pub signed: Vec<Part>,
    pub stamp: Option<Stamp>,
}

/// Where the signature's text stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the first of these headers that is sent; the headers of id and time are then taken from the
    /// same place of their own lists. One vendor writes the same things under several names.
    First(Vec<HeaderName>),
    /// In each of these that is sent, one signature a key.
    Each(Vec<HeaderName>),
    /// In the body: a JSON pointer.
    Body(Text),
}

/// How a signature is told from other elements, and made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Before the signature: `sha256=`, `v1=`; may be empty.
    pub text: Text,
    pub algorithm: Algorithm,
    pub key: KeyForm,
}

/// How the signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower or upper case: both mean the same number.
    Hex,
    /// The standard alphabet with padding.
    Base64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Only where the vendor demands it: inside HMAC it still holds, anywhere else it does not.
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
    /// Base64, behind this prefix, which may be left out.
    Base64 {
        prefix: Text,
    },
    Hex,
    /// The timestamp's text and then the secret's.
    StampThenText,
    /// A public key behind this prefix, which may be left out: PEM, base64 or hex of its SPKI or of its
    /// raw bytes, or a JWK.
    Public {
        prefix: Text,
    },
}

/// A piece of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Literal(Text),
    /// The value of the header that [`Scheme`] names for it.
    Id,
    /// The timestamp's text as sent.
    Stamp,
    /// The timestamp's text and this text behind it where a timestamp is sent, else nothing.
    StampIfSent(Text),
    /// The body's bytes as received.
    Body,
    BodySha256Hex,
    /// `POST`.
    Method,
    /// The public address of the source with path and query as sent, never the Host header.
    Url,
    /// The same, with the usual port or without, and quotes escaped or not: not every sender signs what
    /// it was told.
    UrlAnyPort,
    /// The address with the escapes of `:/?@!$'()*,;` undone.
    UrlDecoded,
    /// Path and query of the public address.
    Path,
    /// Each form field, sorted by name: name and value. Where the address has `bodySHA256`, nothing,
    /// and the body must have that hash.
    SortedForm,
    /// The value of a header.
    Header(HeaderName),
    /// `name:value` of each header that this header lists, joined by `;`. The timestamp's must be listed.
    ListedHeaders(HeaderName),
    /// A text inside the body: a JSON pointer.
    BodyText(Text),
}

/// When the sender says that it signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub place: StampIn,
    pub unit: Unit,
    /// Oldest that is taken, in seconds.
    pub past_s: u32,
    /// Farthest in the future that is taken, in seconds.
    pub future_s: u32,
    /// Whether the signature covers it. One that is not covered says nothing and is not looked at.
    pub covered: bool,
    /// Whether a request may come without. Only where its absence is covered too.
    pub optional: bool,
}

/// Where the timestamp stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StampIn {
    Headers(Vec<HeaderName>),
    /// In the signature's own text: the element behind this mark.
    Element(Text),
    /// In the body: a JSON pointer.
    Body(Text),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Millis,
    Rfc3339,
    /// `Sun, 06 Nov 1994 08:49:37 GMT`.
    HttpDate,
}

/// What a vendor asks besides events. Who answers is told only that this scheme's vendor asks.
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
    XCrc,
}

/// What tells a repeated request from a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The signature covers the sender's id, and the time.
    Id,
    /// The signature covers the time: a copy is taken within the tolerance only.
    Window,
    /// Nothing but the signed bytes themselves: a copy is good for ever.
    SignedBytes,
    /// The signature covers no content: whoever has seen one request can send any content with it, so
    /// that what was signed must be remembered in every case.
    OriginOnly,
    /// No signature: who has the secret can say anything.
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

    #[must_use]
    pub fn replay(&self) -> Replay {
        let Some(signature) = self.signature() else { return Replay::Open };
        // A request may come without one that is optional.
        let covered = |stamp: &Stamp| stamp.covered && !stamp.optional;
        let covered = signature.stamp.as_ref().is_some_and(covered);
        if !signature.covers_content() {
            Replay::OriginOnly
        } else if signature.signed.contains(&Part::Id) {
            Replay::Id
        } else if covered {
            Replay::Window
        } else {
            Replay::SignedBytes
        }
    }

    /// Whether the configuration must say what senders see.
    #[must_use]
    pub fn needs_public_url(&self) -> bool {
        self.signature().is_some_and(Signature::signs_url)
    }
}

impl Signature {
    /// Whether the content is signed, and not only that the sender sent something.
    #[must_use]
    pub fn covers_content(&self) -> bool {
        let content =
            |part: &Part| matches!(part, Part::Body | Part::BodySha256Hex | Part::SortedForm);
        self.signed.iter().any(content)
    }

    /// Whether nobody can write another time into a signed request.
    #[must_use]
    pub fn covers_stamp(&self) -> bool {
        let Some(stamp) = &self.stamp else { return false };
        let in_key = self.marks.iter().all(|mark| mark.key == KeyForm::StampThenText);
        let part = |part: &Part| match (part, &stamp.place) {
            (Part::Stamp | Part::StampIfSent(_), _) => true,
            (Part::Header(name), StampIn::Headers(names)) => names.contains(name),
            // The timestamp must be listed.
            (Part::ListedHeaders(_), StampIn::Headers(_)) => true,
            (Part::Body | Part::BodySha256Hex, StampIn::Body(_)) => true,
            (Part::BodyText(pointer), StampIn::Body(place)) => pointer == place,
            _ => false,
        };
        in_key || self.signed.iter().any(part)
    }

    pub(super) fn signs_url(&self) -> bool {
        let url = |part: &Part| {
            matches!(part, Part::Url | Part::UrlAnyPort | Part::UrlDecoded | Part::Path)
        };
        self.signed.iter().any(url)
    }
}
