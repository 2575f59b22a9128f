//! Sample requests of a vendor, for trying rules and for sending.
//!
//! They are made up: their addresses and names are reserved for examples (RFC 2606, RFC 5737).

use crate::model::Timestamp;

/// A request as the sender would send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Sender and kind: `sqreen/http_scan`.
    pub name: String,
    /// Headers besides the signature's, including a content type that is not JSON.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The ids of its events, in the body or in a header.
    pub ids: Vec<String>,
    /// RFC 3339, or seconds or milliseconds since 1970.
    pub times: Vec<String>,
}

impl Sample {
    /// Headers and body as of `now`, with each id replaced by one from `id`, so that it is not a
    /// repetition. An id must not need escaping; Sqreen's are 24 hexadecimal digits. A number is replaced
    /// by one of as many decimal digits.
    #[must_use]
    pub fn with_fresh_ids(
        &self,
        mut id: impl FnMut() -> String,
        now: Timestamp,
    ) -> (Vec<(&str, String)>, String) {
        let fresh_id = |old: &String| {
            let is_number = old.bytes().all(|byte| byte.is_ascii_digit());
            let new = id();
            (old.clone(), if is_number { digits(&new, old.len()) } else { new })
        };
        let ids: Vec<(String, String)> = self.ids.iter().map(fresh_id).collect();
        let time = |old: &String| {
            let new = match old.len() {
                10 => (now.as_millis() / 1_000).to_string(),
                13 => now.as_millis().to_string(),
                _ => now.to_string().replace('Z', "000+00:00"),
            };
            (old.clone(), new)
        };
        let times: Vec<(String, String)> = self.times.iter().map(time).collect();
        let fresh = |text: &str| {
            let changes = ids.iter().chain(&times);
            changes.fold(text.to_owned(), |text, (old, new)| text.replace(old, new))
        };
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), fresh(value)));
        (headers.collect(), fresh(&self.body))
    }
}

/// The end of an id as a decimal number of `count` digits that does not begin with zero.
fn digits(id: &str, count: usize) -> String {
    let skipped = id.len().saturating_sub(count.saturating_sub(1));
    let rest = id.bytes().skip(skipped).map(|byte| char::from(b'0' + byte % 10));
    std::iter::once('1').chain(rest).collect()
}
