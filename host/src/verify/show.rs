//! Describes a scheme in words, for lists, tables and `check`.

use super::scheme::{
    Algorithm, Encoding, KeyForm, Part, Place, Proof, Replay, Scheme, Signature, Spot, Stamp,
    StampIn, TokenIn, Unit,
};
use super::sns::{SNS_AGE_MAX_S, SNS_AHEAD_MAX_S};
use super::spot;
use super::wanted_token::TOKEN_SKEW_S;

impl Scheme {
    /// Where the proof is: `header x-hub-signature-256, written sha256=…`.
    #[must_use]
    pub fn place_shown(&self) -> String {
        match &self.proof {
            Proof::Signature(signature) => signature.place_shown(),
            Proof::Token(TokenIn::Header(name)) => format!("header {name}"),
            Proof::Token(TokenIn::Query(name)) => format!("address, parameter {name}"),
            Proof::Basic => "header authorization, written Basic …".to_owned(),
            Proof::Jwt(_) => "header authorization, written Bearer …".to_owned(),
            Proof::Sns(_) => "body at /Signature".to_owned(),
            Proof::None => "nowhere".to_owned(),
        }
    }

    /// How it is made: `HMAC-SHA256, hex`.
    #[must_use]
    pub fn algorithm_shown(&self) -> String {
        match &self.proof {
            Proof::Signature(signature) => signature.algorithm_shown(),
            Proof::Token(_) => "plain token".to_owned(),
            Proof::Basic => "user and password".to_owned(),
            Proof::Jwt(_) => "JSON Web Token, RS256, PS256 or ES256".to_owned(),
            Proof::Sns(_) => "RSA-SHA256 or RSA-SHA1 by a published certificate, base64".to_owned(),
            Proof::None => "none".to_owned(),
        }
    }

    /// What is signed: `time "." body`.
    #[must_use]
    pub fn signed_shown(&self) -> String {
        if let Proof::Sns(_) = self.proof {
            return "names and values of Message, MessageId, Subject, Timestamp, TopicArn and Type, each on a line".to_owned();
        }
        let Some(signature) = self.signature() else { return "nothing".to_owned() };
        signature.signed.iter().map(Part::shown).collect::<Vec<_>>().join(" ")
    }

    /// How the secret is read.
    #[must_use]
    pub fn key_shown(&self) -> String {
        match &self.proof {
            Proof::Signature(signature) => {
                let mut forms: Vec<String> =
                    signature.marks.iter().map(|mark| mark.key.shown()).collect();
                forms.dedup();
                forms.join(" or ")
            }
            Proof::Token(_) => "text".to_owned(),
            Proof::Basic => "user:password".to_owned(),
            Proof::Jwt(jwt) => match &jwt.keys_url {
                Some(url) => format!("none: published at {url}"),
                None => "none: published at the source's `keys_url`".to_owned(),
            },
            Proof::Sns(_) => "none: published at sns.REGION.amazonaws.com".to_owned(),
            Proof::None => "none".to_owned(),
        }
    }

    /// Where the time is, and how old a request may be.
    #[must_use]
    pub fn stamp_shown(&self) -> String {
        if let Proof::Jwt(_) = self.proof {
            return format!("the token's `exp`, `nbf`, `iat` (s, ± {TOKEN_SKEW_S} s)");
        }
        if let Proof::Sns(_) = self.proof {
            return format!("body at /Timestamp (RFC 3339, -{SNS_AGE_MAX_S} +{SNS_AHEAD_MAX_S} s)");
        }
        let stamp = self.signature().and_then(|signature| signature.stamp.as_ref());
        stamp.map_or("none".to_owned(), Stamp::shown)
    }
}

impl Replay {
    /// What identifies a copy.
    #[must_use]
    pub const fn shown(self) -> &'static str {
        match self {
            Self::Id => "the event's id, or else the signed id",
            Self::Window => {
                "the event's id, or else the signed bytes; refused once it is older than the time limit"
            }
            Self::SignedBytes => "the event's id, or else the signed bytes",
            Self::Fields => "only the signed fields, in whatever order",
            Self::OriginOnly => "only the signed bytes, whatever the content",
            Self::Values => {
                "only the signed values; refused once they are older than the time limit"
            }
            Self::Open => "the event's id",
        }
    }
}

impl Signature {
    fn place_shown(&self) -> String {
        let names = |names: &[http::HeaderName], joint: &str| {
            let names: Vec<&str> = names.iter().map(http::HeaderName::as_str).collect();
            format!("header {}", names.join(joint))
        };
        let place = match &self.place {
            Place::First(list) => names(list, " or "),
            Place::Each(list) => names(list, ", "),
            Place::Inside(spots) => inside(spots),
        };
        let stamp = match self.stamp.as_ref().map(|stamp| &stamp.place) {
            Some(StampIn::Element(mark)) => format!("{mark}…{}", self.separator_shown()),
            _ => String::new(),
        };
        let marks: Vec<&str> = self.marks.iter().map(|mark| &*mark.text).collect();
        let marks = marks.join("… or ");
        if stamp.is_empty() && marks.is_empty() {
            return place;
        }
        format!("{place}, written {stamp}{marks}…")
    }

    fn separator_shown(&self) -> String {
        self.separator.map(char::from).map(String::from).unwrap_or_default()
    }

    fn algorithm_shown(&self) -> String {
        let mut names: Vec<&str> = self.marks.iter().map(|mark| mark.algorithm.shown()).collect();
        names.dedup();
        let encoding = match self.encoding {
            Encoding::Hex => "hex",
            Encoding::Base64 => "base64",
        };
        format!("{}, {encoding}", names.join(" or "))
    }
}

fn inside(spots: &[Spot]) -> String {
    spot::shown(spots).replace("the body", "body")
}

impl Algorithm {
    #[must_use]
    pub const fn shown(self) -> &'static str {
        match self {
            Self::HmacSha1 => "HMAC-SHA1",
            Self::HmacSha256 => "HMAC-SHA256",
            Self::HmacSha512 => "HMAC-SHA512",
            Self::Ed25519 => "Ed25519",
            Self::EcdsaP256 => "ECDSA P-256",
        }
    }
}

impl KeyForm {
    fn shown(&self) -> String {
        let behind = |what: &str, prefix: &str| {
            if prefix.is_empty() { what.to_owned() } else { format!("{what} after {prefix}") }
        };
        match self {
            Self::Text => "text".to_owned(),
            Self::Base64 { prefix } => behind("base64", prefix),
            Self::Hex => "hex".to_owned(),
            Self::StampThenText => "time and text".to_owned(),
            Self::Public { prefix } => behind("public key", prefix),
        }
    }
}

impl Part {
    fn shown(&self) -> String {
        match self {
            Self::Literal(text) => format!("\"{}\"", text.escape_default()),
            Self::Id => "id".to_owned(),
            Self::Stamp => "time".to_owned(),
            Self::StampIfSent(behind) => format!("[time \"{behind}\"]"),
            Self::Body => "body".to_owned(),
            Self::BodySha256Hex => "sha256-of-body".to_owned(),
            Self::Method => "method".to_owned(),
            Self::Url => "address".to_owned(),
            Self::UrlAnyPort => "address-with-or-without-port".to_owned(),
            Self::UrlDecoded => "address-unescaped".to_owned(),
            Self::Path => "path".to_owned(),
            Self::SortedForm { .. } => "sorted-form-fields".to_owned(),
            Self::Header(name) => name.to_string(),
            Self::ListedHeaders(list) => format!("headers-listed-in-{list}"),
            Self::Text(spots) => {
                spots.iter().map(Spot::written).collect::<Vec<_>>().join("|").replace(' ', "-")
            }
            Self::Value { pointer, open } => {
                format!("{}:{pointer}", if *open { "open-value" } else { "value" })
            }
        }
    }
}

impl Stamp {
    fn shown(&self) -> String {
        let place = match &self.place {
            StampIn::Headers(names) => {
                let names: Vec<&str> = names.iter().map(http::HeaderName::as_str).collect();
                format!("header {}", names.join(" or "))
            }
            StampIn::Element(mark) => format!("{mark}…"),
            StampIn::Inside(spots) => inside(spots),
        };
        let unit = match self.unit {
            Unit::Seconds => "s",
            Unit::Millis => "ms",
            Unit::Rfc3339 => "RFC 3339",
            Unit::HttpDate => "HTTP date",
        };
        let limit = if !self.covered {
            "not signed".to_owned()
        } else if self.past_s == self.future_s {
            format!("± {} s", self.past_s)
        } else {
            format!("-{} +{} s", self.past_s, self.future_s)
        };
        let optional = if self.optional { ", may be missing" } else { "" };
        format!("{place} ({unit}, {limit}{optional})")
    }
}
