//! Built-in bodies, to try rules on and to send.
//!
//! Made up: addresses and names in them belong to nobody (RFC 2606, RFC 5737).

use crate::model::Timestamp;

/// A request as the sender would send it.
#[derive(Debug)]
pub struct Sample {
    /// Sender and kind: `sqreen/http_scan`.
    pub name: &'static str,
    /// Header fields besides the signature's; a content type that is not JSON among them.
    pub headers: &'static [(&'static str, &'static str)],
    pub body: &'static str,
    /// What makes its events the ones they are, in the body or in a header.
    pub(super) ids: &'static [&'static str],
    /// RFC 3339, or seconds or milliseconds since 1970.
    pub(super) times: &'static [&'static str],
}

impl Sample {
    /// Nothing in it.
    pub(super) const EMPTY: Self = Self { name: "", headers: &[], body: "", ids: &[], times: &[] };

    /// Header fields and body as of `now`, with each identifier replaced by one that `id` gives, so
    /// that it is no repetition. An identifier must need no escaping; Sqreen's are 24 hexadecimal
    /// digits. Of one that stands for a number, as many decimal digits are made as it had.
    #[must_use]
    pub fn with_fresh_ids(
        &self,
        mut id: impl FnMut() -> String,
        now: Timestamp,
    ) -> (Vec<(&'static str, String)>, String) {
        let fresh_id = |old: &&'static str| match old.bytes().all(|byte| byte.is_ascii_digit()) {
            true => (*old, digits(&id(), old.len())),
            false => (*old, id()),
        };
        let ids: Vec<(&str, String)> = self.ids.iter().map(fresh_id).collect();
        let time = |old: &&'static str| {
            let new = match old.len() {
                10 => (now.as_millis() / 1_000).to_string(),
                13 => now.as_millis().to_string(),
                _ => now.to_string().replace('Z', "000+00:00"),
            };
            (*old, new)
        };
        let times: Vec<(&str, String)> = self.times.iter().map(time).collect();
        let fresh = |text: &str| {
            let changes = ids.iter().chain(&times);
            changes.fold(text.to_owned(), |text, (old, new)| text.replace(old, new))
        };
        let headers = self.headers.iter().map(|(name, value)| (*name, fresh(value))).collect();
        (headers, fresh(self.body))
    }
}

/// The end of an identifier as a decimal number of so many digits, which begins with no zero.
fn digits(id: &str, count: usize) -> String {
    let skipped = id.len().saturating_sub(count.saturating_sub(1));
    let rest = id.bytes().skip(skipped).map(|byte| char::from(b'0' + byte % 10));
    std::iter::once('1').chain(rest).collect()
}
