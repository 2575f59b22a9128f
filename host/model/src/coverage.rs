//! Which parts of a request its signature covers.

use http::HeaderName;

/// Which parts of a request only the owner of the secret can choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// No signature covers any content. Anyone who can send a request can choose every part of it, so all parts are
    /// trusted alike.
    Nothing,
    /// The signature covers the body, and these other parts.
    Signed(SignedParts),
}

/// What a signature over the content covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedParts {
    /// Sent exactly once each, or the request is refused.
    pub headers: Vec<HeaderName>,
    /// Headers of the vendor's other sets, each with the one of this set that says the same. Anyone can send a captured
    /// request again with the names of another set, so what is read must not depend on the set.
    pub same_as: Vec<(HeaderName, HeaderName)>,
    /// The part of the address after `?`.
    pub query: bool,
    pub body: SignedBody,
}

/// How the body is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedBody {
    /// Its bytes.
    Bytes,
    /// The fields of a form, sorted; or its bytes, if the address has their hash.
    SortedForm,
    /// The values at these JSON pointers, and nothing else of it.
    Values(Box<[Box<str>]>),
}
