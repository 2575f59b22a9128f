//! Built-in bodies, to try rules on and to send.
//!
//! Made up: addresses and names in them belong to nobody (RFC 2606, RFC 5737).

use crate::model::Timestamp;

/// A body as the sender would send it.
#[derive(Debug)]
pub struct Sample {
    /// Sender and kind: `sqreen/http_scan`.
    pub name: &'static str,
    pub body: &'static str,
    /// What makes its events the ones they are.
    pub(super) ids: &'static [&'static str],
    pub(super) times: &'static [&'static str],
}

impl Sample {
    /// The body as of `now`, with each identifier replaced by one that `id` gives, so that it is no
    /// repetition. An identifier must need no escaping in JSON; Sqreen's are 24 hexadecimal digits.
    #[must_use]
    pub fn with_fresh_ids(&self, mut id: impl FnMut() -> String, now: Timestamp) -> String {
        let now = now.to_string().replace('Z', "000+00:00");
        let body = self.ids.iter().fold(self.body.to_owned(), |body, old| body.replace(old, &id()));
        self.times.iter().fold(body, |body, old| body.replace(old, &now))
    }
}
