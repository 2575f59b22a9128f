//! Schemes that belong to no vendor: a token, a user and a password, or nothing.

use http::{HeaderName, Method, header};

use super::scheme::{Proof, Scheme, Text, TokenIn};
use super::wanted_token::Jwt;

/// Where the token is unless the source says otherwise.
const TOKEN_HEADER: HeaderName = header::AUTHORIZATION;

/// `token`, `basic`, `jwt` and `none`.
#[must_use]
pub fn plain_schemes() -> [Scheme; 4] {
    [
        token(TokenIn::Header(TOKEN_HEADER)),
        plain("basic", Proof::Basic),
        plain("jwt", Proof::Jwt(Jwt::default())),
        plain("none", Proof::None),
    ]
}

/// The scheme `token` with the token in that place.
#[must_use]
pub fn token(place: TokenIn) -> Scheme {
    plain("token", Proof::Token(place))
}

/// The place that `header:NAME` or `query:NAME` names.
#[must_use]
pub fn token_in(text: &str) -> Option<TokenIn> {
    match text.split_once(':')? {
        ("header", name) => HeaderName::from_bytes(name.as_bytes()).ok().map(TokenIn::Header),
        ("query", name) if !name.is_empty() => Some(TokenIn::Query(name.to_owned().into())),
        _ => None,
    }
}

fn plain(name: &str, proof: Proof) -> Scheme {
    Scheme {
        name: name.into(),
        unconfirmed: false,
        methods: vec![Method::POST],
        id: Vec::new(),
        handshake: None,
        remark: proof.remark(),
        proof,
    }
}

impl Proof {
    /// What a user should know about every scheme with this proof; empty for a signature.
    #[must_use]
    pub const fn remark(&self) -> Text {
        Text::Borrowed(match self {
            Self::Signature(_) | Self::Sns(_) => "",
            Self::Token(_) | Self::Basic => {
                "a plain secret: anyone who sees one request can send any other"
            }
            Self::Jwt(_) => {
                "the token proves who sent a request, not what: anyone who sees one can send any other until the token expires"
            }
            Self::None => "accepts everything; only for a network that you trust",
        })
    }
}
