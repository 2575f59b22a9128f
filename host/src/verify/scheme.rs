//! How requests are signed, as data: one row a scheme.
//!
//! A row says where the signature stands, how its text is taken apart, which bytes are signed, with
//! what and with which form of the secret. A new scheme is a new row, and a new value of one of these
//! enums where nobody signed that way before.

use http::Method;

/// One way to sign a request.
#[derive(Debug)]
pub struct Scheme {
    /// As written in the configuration.
    pub name: &'static str,
    /// Methods that a sender uses; any other is refused.
    pub methods: &'static [Method],
    /// Name of the header with the signature, in lower case.
    pub header: &'static str,
    pub parse: Parse,
    pub encoding: Encoding,
    pub algorithm: Algorithm,
    pub key: KeyForm,
    /// What is signed, in this order, without separators.
    pub signed: &'static [Part],
}

/// How the header's value is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse {
    /// The whole value is the signature; a prefix such as `sha256=` makes it another scheme.
    Whole,
}

/// How the signature is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower or upper case: both mean the same number.
    Hex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    HmacSha256,
}

/// How the secret's text becomes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// The UTF-8 bytes of the text, even where the text looks like hexadecimal digits.
    Text,
}

/// A piece of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The body's bytes as received.
    Body,
}

/// Every scheme, by name.
pub static SCHEMES: &[Scheme] = &[Scheme {
    // Nothing in it says when the request was made, so that a captured one can be sent again for
    // ever; only the ids in the body let a repetition be noticed.
    name: "sqreen",
    methods: &[Method::POST],
    header: "x-sqreen-integrity",
    parse: Parse::Whole,
    encoding: Encoding::Hex,
    algorithm: Algorithm::HmacSha256,
    key: KeyForm::Text,
    signed: &[Part::Body],
}];

/// The scheme of that name.
#[must_use]
pub fn scheme(name: &str) -> Option<&'static Scheme> {
    SCHEMES.iter().find(|scheme| scheme.name == name)
}
