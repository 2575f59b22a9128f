//! The response to a vendor that asks whether an address is ours.

use http::HeaderName;

/// The response to the vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200, or 204 without a body.
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
    /// A header that the vendor looks for.
    pub header: Option<(HeaderName, String)>,
}

impl Answer {
    pub(super) const fn text(body: String) -> Self {
        let content_type = if body.is_empty() { "" } else { "text/plain" };
        Self { status: 200, content_type, body, header: None }
    }

    pub(super) const fn json(body: String) -> Self {
        Self { status: 200, content_type: "application/json", body, header: None }
    }

    pub(super) fn header(name: HeaderName, value: String) -> Self {
        Self { header: Some((name, value)), ..Self::nothing() }
    }

    /// 200 without a body.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { status: 200, content_type: "", body: String::new(), header: None }
    }
}
