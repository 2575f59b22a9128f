//! The schemes of vendors, as rows of one table.
//!
//! A row is written with the few words below: what most vendors do is the default, and a row says only
//! what differs. A row marked `unconfirmed` was read in second-hand sources only. A vendor whose
//! sources contradict one another has no row: a guess would either refuse everything or be trusted.

mod asked;
mod more;

use std::sync::{Arc, LazyLock};

use http::{HeaderName, Method};

use crate::verify::{
    Algorithm, Encoding, Handshake, KeyForm, Mark, Part, Place, Proof, Scheme, Signature, Stamp,
    StampIn, Text, TokenIn, Unit,
};

/// Most vendors that name a limit name this one, in seconds.
const TOLERANCE_S: u32 = 300;

/// Vendors that do not sign, and with which scheme their requests can be let in.
pub const UNSIGNED: &[(&str, &str)] = &[
    ("alertmanager", "basic"),
    ("chargebee", "basic"),
    ("datadog", "token"),
    ("deepgram", "basic"),
    ("docker-hub", "token"),
    ("falco", "token"),
    ("postmark", "basic"),
];

static TABLE: LazyLock<Vec<Arc<Scheme>>> = LazyLock::new(|| {
    let plain = [open("token", Proof::Token(TokenIn::Header(TOKEN_HEADER))), basic(), none()];
    let rows = asked::rows().into_iter().chain(more::rows()).chain(plain);
    rows.map(Arc::new).collect()
});

/// Where a token stands unless it is said.
const TOKEN_HEADER: HeaderName = http::header::AUTHORIZATION;

/// Every preset, in the order of the documentation.
#[must_use]
pub fn schemes() -> &'static [Arc<Scheme>] {
    &TABLE
}

/// The preset of that name.
#[must_use]
pub fn scheme(name: &str) -> Option<&'static Arc<Scheme>> {
    schemes().iter().find(|scheme| &*scheme.name == name)
}

/// The scheme `token` with the token in that place.
#[must_use]
pub fn token(place: TokenIn) -> Arc<Scheme> {
    Arc::new(open("token", Proof::Token(place)))
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

fn open(name: &str, proof: Proof) -> Scheme {
    Scheme {
        name: name.into(),
        unconfirmed: false,
        methods: vec![Method::POST],
        proof,
        id: Vec::new(),
        handshake: None,
        remark: "a plain secret: anybody who sees one request can send any other".into(),
    }
}

fn basic() -> Scheme {
    open("basic", Proof::Basic)
}

fn none() -> Scheme {
    open("none", Proof::None).remark("lets everybody in; only for a network that you trust")
}

/// HMAC-SHA256 of the body in hexadecimal digits, keyed with the secret's text: the commonest way.
fn row(name: &str, header: &'static str) -> Scheme {
    let mark = Mark { text: "".into(), algorithm: Algorithm::HmacSha256, key: KeyForm::Text };
    let signature = Signature {
        place: Place::First(vec![HeaderName::from_static(header)]),
        separator: None,
        marks: vec![mark],
        encoding: Encoding::Hex,
        signed: vec![Part::Body],
        stamp: None,
    };
    open(name, Proof::Signature(signature)).remark("")
}

/// `t=…,v1=…`, with `t` and a dot before the body.
fn stamped_list(
    name: &str,
    header: &'static str,
    stamp: &'static str,
    mark: &'static str,
) -> Scheme {
    row(name, header)
        .split(b',')
        .prefix(mark)
        .signed([Part::Stamp, literal("."), Part::Body])
        .stamp(StampIn::Element(stamp.into()), Unit::Seconds)
}

fn literal(text: &'static str) -> Part {
    Part::Literal(text.into())
}

fn header(name: &'static str) -> StampIn {
    StampIn::Headers(vec![HeaderName::from_static(name)])
}

/// The words of the table. Each changes what one of `row`, `open` has made.
impl Scheme {
    fn also(mut self, change: impl FnOnce(&mut Signature)) -> Self {
        if let Proof::Signature(signature) = &mut self.proof {
            change(signature);
        }
        self
    }

    fn each_mark(self, change: impl Fn(&mut Mark)) -> Self {
        self.also(|signature| signature.marks.iter_mut().for_each(change))
    }

    fn prefix(self, prefix: &'static str) -> Self {
        self.each_mark(|mark| mark.text = prefix.into())
    }

    fn split(self, separator: u8) -> Self {
        self.also(|signature| signature.separator = Some(separator))
    }

    fn base64(self) -> Self {
        self.also(|signature| signature.encoding = Encoding::Base64)
    }

    fn by(self, algorithm: Algorithm) -> Self {
        self.each_mark(|mark| mark.algorithm = algorithm)
    }

    fn key(self, key: KeyForm) -> Self {
        self.each_mark(|mark| mark.key = key.clone())
    }

    fn signed<const N: usize>(self, parts: [Part; N]) -> Self {
        self.also(|signature| signature.signed = parts.into())
    }

    fn stamp(self, place: StampIn, unit: Unit) -> Self {
        let (past_s, future_s) = (TOLERANCE_S, TOLERANCE_S);
        let stamp = Stamp { place, unit, past_s, future_s, covered: true, optional: false };
        self.also(|signature| signature.stamp = Some(stamp))
    }

    fn each_stamp(self, change: impl FnOnce(&mut Stamp)) -> Self {
        self.also(|signature| {
            if let Some(stamp) = &mut signature.stamp {
                change(stamp);
            }
        })
    }

    fn tolerance(self, seconds: u32) -> Self {
        self.each_stamp(|stamp| (stamp.past_s, stamp.future_s) = (seconds, seconds))
    }

    fn uncovered(self) -> Self {
        self.each_stamp(|stamp| stamp.covered = false)
    }

    fn optional(self) -> Self {
        self.each_stamp(|stamp| stamp.optional = true)
    }

    fn each_header<const N: usize>(self, names: [&'static str; N]) -> Self {
        let names = names.map(HeaderName::from_static);
        self.also(|signature| signature.place = Place::Each(names.into()))
    }

    fn id<const N: usize>(mut self, names: [&'static str; N]) -> Self {
        self.id = names.map(HeaderName::from_static).into();
        self
    }

    fn methods<const N: usize>(mut self, methods: [Method; N]) -> Self {
        self.methods = methods.into();
        self
    }

    fn asks(mut self, handshake: Handshake) -> Self {
        self.handshake = Some(handshake);
        self
    }

    fn remark(mut self, remark: &'static str) -> Self {
        self.remark = Text::Borrowed(remark);
        self
    }

    fn unconfirmed(mut self) -> Self {
        self.unconfirmed = true;
        self
    }
}

#[test]
fn the_files_say_what_the_tables_said() {
    for old in asked::rows().into_iter().chain(more::rows()) {
        let new = crate::vendors::scheme(&old.name).unwrap_or_else(|| panic!("{}", old.name));
        let mut new = (**new).clone();
        if old.signature().is_none() {
            new.remark = old.remark.clone();
        }
        assert_eq!(new, old);
    }
    assert_eq!(crate::vendors::schemes().len(), schemes().len());
    for (vendor, by) in UNSIGNED {
        assert_eq!(crate::vendors::unsigned(vendor), Some(*by));
    }
}
